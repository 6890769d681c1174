//! From the bindings of an endpoint to the places that a call rings: a device with several flows is one place (RFC 5626 §7),
//! a GRUU is one device (RFC 5627 §6.1), and a Path is gone back (RFC 3327 §5.4).

use sip::{Destination, Flow, FlowId, Uri};

use crate::Settings;
use crate::calls::locate::is_own_address;
use crate::registrar::{Reach, datagram_target, next_hop, route};

/// One device and the flows that lead to it, the best first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Ways {
    instance: Option<String>,
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
                first: way,
                others: Vec::new(),
            }),
        }
    }
    devices
}

/// The way that a call goes to a binding; none leads to ourselves (S72).
fn way(settings: &Settings, reach: &Reach) -> Option<Destination> {
    let route = reach.path.as_deref().map(route).unwrap_or_default();
    let flow = if !route.is_empty() {
        next_hop(settings, &route, reach.flow)
    } else if reach.flow.id != FlowId::NONE {
        reach.flow
    } else {
        let contact = Uri::parse(&reach.contact.as_str().into()).ok()?;
        let remote = datagram_target(&contact, reach.flow.remote);
        Flow {
            remote,
            ..reach.flow
        }
    };
    let leads_back = flow.id == FlowId::NONE && is_own_address(settings, flow.remote);
    (!leads_back).then(|| Destination {
        flow,
        uri: reach.contact.as_str().into(),
        route,
    })
}
