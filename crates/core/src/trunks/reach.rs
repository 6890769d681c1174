//! The places where a trunk is reached: its hosts in their order, each as the DNS says, those that failed lately last.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use sip::{Destination, Flow, FlowId, Transport, Uri};
use store::Trunk;

use crate::calls::egress;
use crate::calls::locate::is_own_address;
use crate::trunks::cooldown::Cooldown;
use crate::trunks::dns::Dns;
use crate::{Dial, Dialer, Settings};

/// Places of one trunk; more are not tried.
const MOST: usize = 16;
/// The transports that calls can leave by, the best first.
const SUPPORTED: [Transport; 3] = [Transport::Udp, Transport::Tcp, Transport::Tls];

/// Finds places; clones share what is behind it.
#[derive(Clone, Debug)]
pub(crate) struct Reach {
    pub(crate) settings: Arc<Settings>,
    pub(crate) dns: Dns,
    pub(crate) cooldown: Cooldown,
    pub(crate) dialer: Dialer,
}

/// One place of a trunk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct TrunkPlace {
    pub(crate) flow: Flow,
    /// `host`, `host:port`, with a transport parameter where the trunk has one: what follows the `@` of its URIs.
    pub(crate) host: String,
    /// The host without port, for addresses that are shown.
    pub(crate) domain: String,
}

impl TrunkPlace {
    /// Where a request to a user of the trunk goes; without one to the trunk itself.
    pub(crate) fn destination(&self, user: Option<&str>) -> Destination {
        let uri = match user {
            Some(user) => format!("sip:{user}@{}", self.host),
            None => format!("sip:{}", self.host),
        };
        Destination {
            flow: self.flow,
            uri: uri.into(),
            route: Vec::new(),
        }
    }
}

impl Reach {
    /// The places of a customer's trunk: only addresses that its calls may go to.
    pub(crate) async fn places(&self, now: Instant, trunk: &Trunk) -> Vec<TrunkPlace> {
        let transport = trunk.transport.map(transport_of);
        let allowed = |address: SocketAddr| egress::may_reach(&self.settings.egress, address.ip());
        self.of_hosts(now, &trunk.hosts, transport, allowed).await
    }

    /// The places of some hosts, where each address is allowed.
    pub(crate) async fn of_hosts(
        &self,
        now: Instant,
        hosts: &[String],
        wanted: Option<Transport>,
        allowed: impl Fn(SocketAddr) -> bool,
    ) -> Vec<TrunkPlace> {
        let mut places = Vec::new();
        for text in hosts {
            let Ok(uri) = Uri::parse(&text.as_str().into()) else {
                continue;
            };
            let targets = match self.dns.targets(&uri, wanted, &SUPPORTED).await {
                Ok(targets) => targets,
                Err(error) => {
                    tracing::info!(host = text, %error, "a trunk's host cannot be used");
                    continue;
                }
            };
            let mut found = false;
            for target in targets {
                if !allowed(target.address) || is_own_address(&self.settings, target.address) {
                    tracing::info!(
                        host = text,
                        "a trunk's address is left aside: it is private or ours"
                    );
                    continue;
                }
                if let Some(flow) = self.flow(&uri, target.transport, target.address)
                    && places.len() < MOST
                {
                    found = true;
                    places.push(place(&uri, flow));
                }
            }
            if !found {
                tracing::info!(
                    host = text,
                    "a trunk's host has no address that can be used"
                );
            }
        }
        // A stable sort: within each half the order stays.
        places.sort_by_key(|place| {
            let flow = place.flow;
            self.cooldown.is_cooling(now, flow.transport, flow.remote)
        });
        places
    }

    fn flow(&self, uri: &Uri, transport: Transport, remote: SocketAddr) -> Option<Flow> {
        if transport != Transport::Udp {
            let host = uri.host.trim_start_matches('[').trim_end_matches(']');
            return self.dialer.dial(Dial {
                transport,
                remote,
                host: host.into(),
            });
        }
        let same_family = |own: &&SocketAddr| own.is_ipv4() == remote.is_ipv4();
        let local = self.settings.own_addresses.iter().find(same_family)?;
        Some(Flow {
            transport,
            id: FlowId::NONE,
            local: *local,
            remote,
        })
    }
}

fn place(uri: &Uri, flow: Flow) -> TrunkPlace {
    let mut host = match uri.port {
        Some(port) => format!("{}:{port}", uri.host),
        None => uri.host.to_string(),
    };
    if let Some(transport) = flow.transport.uri_param() {
        host.push_str(";transport=");
        host.push_str(transport);
    }
    TrunkPlace {
        flow,
        host,
        domain: uri.host.to_string(),
    }
}

fn transport_of(transport: store::Transport) -> Transport {
    match transport {
        store::Transport::Udp => Transport::Udp,
        store::Transport::Tcp => Transport::Tcp,
        store::Transport::Tls => Transport::Tls,
        store::Transport::Ws => Transport::Ws,
        store::Transport::Wss => Transport::Wss,
    }
}
