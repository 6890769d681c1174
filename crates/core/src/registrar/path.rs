//! Path: the proxies between a phone and us, which a call to it must pass again (RFC 3327).
//!
//! A Path makes us send to an address that the REGISTER names. So its next hop has to be the address that the REGISTER came
//! from, or the REGISTER comes from a proxy that the operator trusts (hard case S47; docs/decisions/0035).

use std::net::{IpAddr, SocketAddr};

use sip::{Flow, FlowId, Name, NameAddr, Request, Status, Text};

use crate::Settings;
use crate::registrar::answer::{Refused, refused, supports};

/// Proxies that one Path may name.
const MOST_HOPS: usize = 8;
/// The longest Path that is stored, in octets.
const LONGEST: usize = 1024;

/// A Path that we would go.
#[derive(Debug)]
pub(crate) struct Path {
    /// Its values as sent, commas between.
    pub(crate) text: String,
    /// Whether the proxy that the phone talks to keeps its flow: its URI has `ob` (RFC 5626 §5.1).
    pub(crate) keeps_flows: bool,
}

/// Reads the Path of a REGISTER. None is no error; one that leads elsewhere is refused.
pub(crate) fn read(
    settings: &Settings,
    request: &Request,
    flow: Flow,
) -> Result<Option<Path>, Refused> {
    let values: Vec<Text> = request.headers.values(&Name::Path).collect();
    if values.is_empty() {
        return Ok(None);
    }
    let text = values
        .iter()
        .map(|value| &**value)
        .collect::<Vec<_>>()
        .join(", ");
    if values.len() > MOST_HOPS || text.len() > LONGEST {
        return Err(refused(Status::BAD_REQUEST, "Path is too long"));
    }
    let hops = values
        .iter()
        .map(NameAddr::parse)
        .collect::<Result<Vec<_>, _>>();
    let hops = hops.map_err(|_| refused(Status::BAD_REQUEST, "Path"))?;
    // RFC 3327 §5.1: its URIs are those of loose routers.
    if !hops
        .iter()
        .all(|hop| hop.uri.scheme.is_sip() && hop.uri.param("lr").is_some())
    {
        return Err(refused(Status::BAD_REQUEST, "Path without lr"));
    }
    let trusted = is_proxy(settings, flow.remote.ip());
    let next = hops.first().and_then(address);
    let returns = next.is_some_and(|next| same(next.ip(), flow.remote.ip()));
    if !trusted && !returns {
        return Err(refused(Status::FORBIDDEN, "Path leads elsewhere"));
    }
    // RFC 3327 §5.3: a phone that does not know the extension must not be led through a proxy that it never hears of,
    // unless the operator says that the proxy belongs to us.
    if !trusted && !supports(request, "path") {
        return Err(refused(Status::BAD_EXTENSION, ""));
    }
    // Each proxy puts itself before those that the request has passed: the last one is the phone's.
    let keeps_flows = hops.last().is_some_and(|hop| hop.uri.param("ob").is_some());
    Ok(Some(Path { text, keeps_flows }))
}

/// The Route of a request to a binding with this Path (RFC 3327 §5.4).
pub(crate) fn route(path: &str) -> Vec<Text> {
    let mut headers = sip::Headers::default();
    headers.push(Name::Path, path);
    headers.values(&Name::Path).collect()
}

/// The flow to the next hop of a Path that was read when the REGISTER came on `flow`: its connection, or the address that
/// the hop names if that is the same host or a trusted proxy, else where the REGISTER came from.
pub(crate) fn next_hop(settings: &Settings, route: &[Text], flow: Flow) -> Flow {
    if flow.id != FlowId::NONE {
        return flow;
    }
    let named = route.first().and_then(|hop| NameAddr::parse(hop).ok());
    let named = named
        .as_ref()
        .and_then(address)
        .filter(|named| same(named.ip(), flow.remote.ip()) || is_proxy(settings, named.ip()));
    match named {
        Some(remote) if remote.is_ipv4() == flow.remote.is_ipv4() => Flow { remote, ..flow },
        _ => flow,
    }
}

/// The address that a hop names, for datagrams; a name is none.
fn address(hop: &NameAddr) -> Option<SocketAddr> {
    let host = hop.uri.host.trim_start_matches('[').trim_end_matches(']');
    let address: IpAddr = host.parse().ok()?;
    Some(SocketAddr::new(address, hop.uri.port.unwrap_or(5060)))
}

fn same(one: IpAddr, other: IpAddr) -> bool {
    one.to_canonical() == other.to_canonical()
}

fn is_proxy(settings: &Settings, address: IpAddr) -> bool {
    let address = address.to_canonical();
    settings
        .proxies
        .iter()
        .any(|network| network.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sip::{Method, Transport};

    const FROM_PROXY: [u8; 4] = [192, 0, 2, 9];

    fn flow(id: u64) -> Flow {
        Flow {
            transport: if id == 0 {
                Transport::Udp
            } else {
                Transport::Tcp
            },
            id: FlowId(id),
            local: SocketAddr::from(([192, 0, 2, 1], 5060)),
            remote: SocketAddr::from((FROM_PROXY, 5070)),
        }
    }

    fn settings(proxies: &[&str]) -> Settings {
        let proxies = proxies
            .iter()
            .map(|network| network.parse().expect("a network"));
        Settings {
            proxies: proxies.collect(),
            ..Settings::default()
        }
    }

    fn outcome(settings: &Settings, path: &str, supported: &str) -> Result<Option<bool>, u16> {
        let mut request = Request::new(Method::Register, "sip:example.net");
        request.headers.push(Name::Path, path);
        request.headers.push(Name::Supported, supported);
        match read(settings, &request, flow(0)) {
            Ok(path) => Ok(path.map(|path| path.keeps_flows)),
            Err(refused) => Err(refused.status.0),
        }
    }

    /// RFC 3327 §5.3, RFC 5626 §6.
    #[test]
    fn a_path_is_taken_when_it_leads_back_to_its_sender_or_comes_from_a_trusted_proxy() {
        let (nobody, trusted) = (settings(&[]), settings(&["192.0.2.8/29"]));
        let here = "<sip:192.0.2.9;lr>";
        assert_eq!(outcome(&nobody, here, "path"), Ok(Some(false)));
        assert_eq!(outcome(&nobody, here, ""), Err(420));
        assert_eq!(outcome(&trusted, here, ""), Ok(Some(false)));
        // S47: somebody who is no proxy of ours makes us send nowhere else.
        for elsewhere in ["<sip:198.51.100.1;lr>", "<sip:proxy.example.com;lr>"] {
            assert_eq!(outcome(&nobody, elsewhere, "path"), Err(403), "{elsewhere}");
            assert_eq!(outcome(&trusted, elsewhere, "path"), Ok(Some(false)));
        }
        let two = "<sip:192.0.2.9;lr>, <sip:edge.example.com;lr;ob>";
        assert_eq!(outcome(&nobody, two, "path"), Ok(Some(true)));
        let other_way = "<sip:192.0.2.9;lr;ob>, <sip:edge.example.com;lr>";
        assert_eq!(outcome(&nobody, other_way, "path"), Ok(Some(false)));
        for bad in [
            "<sip:192.0.2.9>",
            "<tel:1;lr>",
            "<sip:192.0.2.9;lr",
            &[here; 9].join(","),
        ] {
            assert_eq!(outcome(&nobody, bad, "path"), Err(400), "{bad}");
        }
    }

    /// RFC 3327 §5.4.
    #[test]
    fn requests_go_to_the_next_hop_and_never_to_a_stranger() {
        let to = |settings: &Settings, path: &str, id| {
            next_hop(settings, &route(path), flow(id))
                .remote
                .to_string()
        };
        let (nobody, trusted) = (settings(&[]), settings(&["192.0.2.8/29"]));
        assert_eq!(route("<sip:a;lr>, <sip:b;lr>").len(), 2);
        assert_eq!(to(&nobody, "<sip:192.0.2.9:5080;lr>", 0), "192.0.2.9:5080");
        assert_eq!(to(&nobody, "<sip:192.0.2.10;lr>", 0), "192.0.2.9:5070");
        assert_eq!(to(&trusted, "<sip:192.0.2.10;lr>", 0), "192.0.2.10:5060");
        assert_eq!(
            to(&trusted, "<sip:edge.example.com;lr>", 0),
            "192.0.2.9:5070"
        );
        assert_eq!(to(&nobody, "<sip:192.0.2.9:5080;lr>", 7), "192.0.2.9:5070");
    }
}
