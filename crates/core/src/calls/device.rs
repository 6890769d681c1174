//! From the bindings of an endpoint to the places that a call rings: a device with several flows is one place (RFC 5626 §7),
//! a GRUU is one device (RFC 5627 §6.1), and a Path is gone back (RFC 3327 §5.4).

use sip::{Destination, Flow, FlowId, Text, Uri};

use crate::Settings;
use crate::calls::locate::is_own_address;
use crate::registrar::{Reach, next_hop, route};

/// One device and the flows that lead to it, the best first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Ways {
    instance: Option<String>,
    /// Preference of the first in thousandths (RFC 3261 §20.10).
    pub(crate) q: u16,
    /// Never empty.
    pub(crate) first: Destination,
    pub(crate) others: Vec<Destination>,
}

/// Gathers what leads to the same device, in the order in which devices come first. `leads` says whether a flow may be used.
pub(crate) fn devices(
    settings: &Settings,
    reach: Vec<Reach>,
    leads: impl Fn(&Flow) -> bool,
) -> Vec<Ways> {
    let mut devices: Vec<Ways> = Vec::new();
    for reach in reach {
        let Some(way) = way(settings, &reach).filter(|way| leads(&way.flow)) else {
            continue;
        };
        let same = |known: &&mut Ways| reach.instance.is_some() && known.instance == reach.instance;
        match devices.iter_mut().find(same) {
            Some(device) => device.others.push(way),
            None => devices.push(Ways {
                instance: reach.instance,
                q: reach.q,
                first: way,
                others: Vec::new(),
            }),
        }
    }
    devices
}

/// The way that a call goes to a binding; none leads to ourselves (S72).
pub(crate) fn way(settings: &Settings, reach: &Reach) -> Option<Destination> {
    let route = reach.path.as_deref().map(route).unwrap_or_default();
    let flow = if !route.is_empty() {
        next_hop(settings, &route, reach.flow)
    } else if reach.flow.id != FlowId::NONE {
        reach.flow
    } else {
        let contact = Uri::parse(&reach.contact.as_str().into()).ok()?;
        let remote = sip::target::datagram_target(&contact, reach.flow.remote);
        Flow {
            remote,
            ..reach.flow
        }
    };
    let leads_back = flow.id == FlowId::NONE && is_own_address(settings, flow.remote);
    (!leads_back).then(|| Destination {
        flow,
        uri: request_uri(&reach.contact.as_str().into()),
        route,
    })
}

/// Makes a Request-URI of a Contact: headers and method belong to none (RFC 3261 §19.1.1, Table 1), so that nobody slips a
/// Route into our INVITE.
fn request_uri(contact: &Text) -> Text {
    let Ok(mut uri) = Uri::parse(contact) else {
        return contact.clone();
    };
    if uri.headers.is_empty() && uri.param("method").is_none() {
        return contact.clone();
    }
    let is_method = |param: &&str| {
        let name = param.split('=').next().unwrap_or_default();
        name.eq_ignore_ascii_case("method")
    };
    let params: Vec<&str> = uri
        .params
        .split(';')
        .filter(|param| !is_method(param))
        .collect();
    uri.params = params.join(";").into();
    uri.headers = Text::new();
    uri.to_string().into()
}
