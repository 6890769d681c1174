//! Where a target is: our own endpoint, the account's trunk, or a foreign host.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use call::{EndpointId, LocateFailure, Located, Place, TargetKind};
use jiff::Timestamp;
use sip::{Destination, Flow, FlowId, Scheme, Text, Transport, Uri};
use store::{Account, Ring};

use crate::calls::{device, egress};
use crate::directory::{Device, Gruus, Subscriber};
use crate::{Dial, Dialer, Directory, Location, Settings};

/// Who asks for a target.
#[derive(Clone)]
pub(crate) struct Asker {
    /// Whose targets are looked up first, and whose trunk is used.
    pub(crate) account: Arc<Account>,
    /// The endpoint that calls; none for a stranger.
    pub(crate) caller: Option<Arc<Subscriber>>,
    /// Where its signalling comes from.
    pub(crate) source: Flow,
}

/// The tables in which targets are found.
#[derive(Clone)]
pub(crate) struct Locator {
    pub(crate) settings: Arc<Settings>,
    pub(crate) directory: Directory,
    pub(crate) location: Location,
    pub(crate) dialer: Dialer,
    pub(crate) gruus: Gruus,
}

impl Locator {
    /// Finds the places where a target can be reached.
    pub(crate) async fn locate(
        &self,
        now: Timestamp,
        asker: &Asker,
        target: &TargetKind,
    ) -> Result<Located, LocateFailure> {
        let (text, may_leave) = match target {
            TargetKind::Number(number) => {
                let number = digits(number).ok_or(LocateFailure::BadAddress)?;
                return self.trunk(asker, &number).await;
            }
            TargetKind::User(text) => (text, true),
            // The built-in direct dial reaches own endpoints and numbers, no foreign host (S46).
            TargetKind::Any(text) => (text, false),
        };
        self.directory.loaded().await;
        let text = text.trim();
        if !text.contains(':') {
            return match self.directory.subscriber_in(asker.account.id, text) {
                Some(subscriber) => self.endpoint(now, asker, &subscriber, None),
                None => self.number_or_nobody(asker, text).await,
            };
        }
        let uri = Uri::parse(&text.into()).map_err(|_| LocateFailure::BadAddress)?;
        let user = uri.user_decoded().unwrap_or_default();
        match uri.scheme {
            Scheme::Tel => return self.number_or_nobody(asker, &user).await,
            Scheme::Sip | Scheme::Sips => (),
            Scheme::Other(_) => return Err(LocateFailure::BadAddress),
        }
        let host = uri.host_lower();
        let device = self.gruus.read(&uri);
        match self.directory.host(&host) {
            Some(_) if let Some(sealed @ Device::Sealed { endpoint, .. }) = &device => {
                // RFC 5627 §6.1: 404 for a GRUU that is no more.
                let subscriber = self.directory.subscriber_by_id(*endpoint);
                let subscriber = subscriber.ok_or(LocateFailure::UnknownUser)?;
                self.endpoint(now, asker, &subscriber, Some(sealed))
            }
            Some(known) => match self.own(asker, &host, known.shared, &user) {
                Some(subscriber) => self.endpoint(now, asker, &subscriber, device.as_ref()),
                None => self.number_or_nobody(asker, &user).await,
            },
            None if may_leave => self.foreign(asker, &uri, text).await,
            None => Err(LocateFailure::Barred),
        }
    }

    /// Whose address a URI with a host of ours is: a user's name or a GRUU.
    pub(crate) fn owner(&self, uri: &Uri) -> Option<Arc<Subscriber>> {
        if let Some(Device::Sealed { endpoint, .. }) = self.gruus.read(uri) {
            return self.directory.subscriber_by_id(endpoint);
        }
        let user = uri.user_decoded().unwrap_or_default();
        self.directory.subscriber(&uri.host_lower(), &user)
    }

    /// A name that many domains share is looked up in the caller's account first.
    fn own(&self, asker: &Asker, host: &str, shared: bool, user: &str) -> Option<Arc<Subscriber>> {
        let inside = if shared || self.is_domain_of(asker, host) {
            self.directory.subscriber_in(asker.account.id, user)
        } else {
            None
        };
        let exact = || self.directory.subscriber(host, user);
        if shared {
            inside.or_else(exact)
        } else {
            exact().or(inside)
        }
    }

    fn is_domain_of(&self, asker: &Asker, host: &str) -> bool {
        asker
            .caller
            .as_ref()
            .is_some_and(|caller| caller.domain == host)
    }

    async fn number_or_nobody(&self, asker: &Asker, text: &str) -> Result<Located, LocateFailure> {
        match digits(text) {
            Some(number) => self.trunk(asker, &number).await,
            None => Err(LocateFailure::UnknownUser),
        }
    }

    fn endpoint(
        &self,
        now: Timestamp,
        asker: &Asker,
        subscriber: &Subscriber,
        device: Option<&Device>,
    ) -> Result<Located, LocateFailure> {
        if let Some(caller) = &asker.caller {
            let permissions = caller.permissions;
            let allowed = if caller.account == subscriber.account {
                permissions.same_domain
            } else {
                permissions.other_domains
            };
            if !allowed {
                return Err(LocateFailure::Barred);
            }
        }
        let foreign = asker.account.id != subscriber.account;
        let admits = || {
            self.directory
                .account(subscriber.account)
                .is_some_and(|account| account.allow_external_callers)
        };
        if foreign && !admits() {
            return Err(LocateFailure::Barred);
        }
        if !subscriber.enabled {
            return Err(LocateFailure::Disabled);
        }
        if !subscriber.permissions.voice {
            return Err(LocateFailure::Barred);
        }
        let address = format!("sip:{}@{}", subscriber.user, subscriber.domain);
        let reach = self.location.reach_at(subscriber.endpoint, now, device);
        if reach.is_empty() {
            return Err(LocateFailure::NotRegistered);
        }
        let calls_itself = asker
            .caller
            .as_ref()
            .is_some_and(|caller| caller.endpoint == subscriber.endpoint);
        // A phone that calls its own address does not ring itself.
        let leads = |flow: &Flow| !(calls_itself && flow.remote == asker.source.remote);
        let mut destinations = Vec::new();
        for way in device::devices(&self.settings, reach, leads) {
            destinations.push(Place {
                near: way.first.flow.remote.ip(),
                destination: way.first,
                others: way.others,
                to_value: format!("<{address}>").into(),
                contact_user: subscriber.user.as_str().into(),
            });
            if subscriber.ring == Ring::Latest {
                break;
            }
        }
        if destinations.is_empty() {
            return Err(LocateFailure::Loop);
        }
        Ok(Located {
            destinations,
            endpoint: u64::try_from(subscriber.endpoint).ok().map(EndpointId),
            shows_as: address,
        })
    }

    fn is_ours(&self, address: SocketAddr) -> bool {
        is_own_address(&self.settings, address)
    }

    /// A phone number goes to the account's trunk.
    async fn trunk(&self, asker: &Asker, number: &str) -> Result<Located, LocateFailure> {
        if asker
            .caller
            .as_ref()
            .is_some_and(|caller| !caller.permissions.phones)
        {
            return Err(LocateFailure::Barred);
        }
        // Strangers reach endpoints and nothing else: a trunk costs money.
        let trunk = asker
            .account
            .trunk
            .as_deref()
            .filter(|_| asker.caller.is_some());
        let trunk = trunk.ok_or(LocateFailure::NoTrunk)?;
        let trunk = if trunk.contains(':') && trunk.starts_with("sip") {
            trunk.to_owned()
        } else {
            format!("sip:{trunk}")
        };
        let trunk = Uri::parse(&trunk.as_str().into()).map_err(|_| LocateFailure::NoTrunk)?;
        // The operator set the trunk: it may be in a private network.
        let flow = self
            .way_to(&trunk, |_| true)
            .await
            .ok_or(LocateFailure::NoTrunk)?;
        let host = match trunk.port {
            Some(port) => format!("{}:{port}", trunk.host),
            None => trunk.host.to_string(),
        };
        let uri = format!("sip:{number}@{host}");
        Ok(Located {
            destinations: vec![place(flow, &uri, number)],
            endpoint: None,
            shows_as: number.to_owned(),
        })
    }

    async fn foreign(
        &self,
        asker: &Asker,
        uri: &Uri,
        text: &str,
    ) -> Result<Located, LocateFailure> {
        let caller = asker.caller.as_ref().ok_or(LocateFailure::Barred)?;
        if !caller.permissions.other_domains {
            return Err(LocateFailure::Barred);
        }
        let allowed = |address| egress::may_reach(&self.settings.egress, address);
        let flow = self
            .way_to(uri, allowed)
            .await
            .ok_or(LocateFailure::BadAddress)?;
        Ok(Located {
            destinations: vec![place(flow, text, uri.user.as_deref().unwrap_or_default())],
            endpoint: None,
            shows_as: text.to_owned(),
        })
    }

    /// Resolves a host (RFC 3263 §4.2, without NAPTR and SRV) to the first address that is allowed and not ours, over the
    /// transport that the URI says.
    async fn way_to(&self, uri: &Uri, allowed: impl Fn(IpAddr) -> bool) -> Option<Flow> {
        let host = uri.host.trim_start_matches('[').trim_end_matches(']');
        let transport = transport_of(uri)?;
        let usual = if transport == Transport::Tls {
            5061
        } else {
            5060
        };
        let found = tokio::net::lookup_host((host, uri.port.unwrap_or(usual))).await;
        let found = found
            .inspect_err(|error| tracing::debug!(%error, "a SIP host is not found"))
            .ok()?;
        for remote in found.filter(|address| allowed(address.ip()) && !self.is_ours(*address)) {
            if transport != Transport::Udp {
                return self.dialer.dial(Dial {
                    transport,
                    remote,
                    host: host.into(),
                });
            }
            let same_family = |own: &&SocketAddr| own.is_ipv4() == remote.is_ipv4();
            if let Some(local) = self.settings.own_addresses.iter().find(same_family) {
                return Some(Flow {
                    transport: Transport::Udp,
                    id: FlowId::NONE,
                    local: *local,
                    remote,
                });
            }
        }
        None
    }
}

/// RFC 3263 §4.1, without NAPTR: what the URI says, else TLS for `sips` and UDP for `sip`.
fn transport_of(uri: &Uri) -> Option<Transport> {
    let secure = uri.scheme == Scheme::Sips;
    match uri.param("transport") {
        None if secure => Some(Transport::Tls),
        None => Some(Transport::Udp),
        Some(name) if name.eq_ignore_ascii_case("tls") => Some(Transport::Tls),
        Some(name) if name.eq_ignore_ascii_case("tcp") && secure => Some(Transport::Tls),
        Some(name) if name.eq_ignore_ascii_case("tcp") => Some(Transport::Tcp),
        Some(name) if name.eq_ignore_ascii_case("udp") && !secure => Some(Transport::Udp),
        Some(_) => None,
    }
}

fn place(flow: Flow, uri: &str, user: &str) -> Place {
    Place {
        destination: Destination {
            flow,
            uri: uri.into(),
            route: Vec::new(),
        },
        others: Vec::new(),
        near: flow.remote.ip(),
        to_value: format!("<{uri}>").into(),
        contact_user: Text::from(user),
    }
}

/// Tells whether a SIP message to this address would come back to us.
pub(crate) fn is_own_address(settings: &Settings, address: SocketAddr) -> bool {
    settings.own_addresses.iter().any(|own| {
        let same = own.ip().to_canonical() == address.ip().to_canonical();
        own.port() == address.port()
            && (same || own.ip().is_unspecified() && address.ip().is_loopback())
    })
}

/// Reads a phone number: digits, at most 15 (E.164), a plus before them and visual separators among them left aside.
pub(crate) fn digits(text: &str) -> Option<String> {
    let text = text.trim();
    let bare = text.strip_prefix('+').unwrap_or(text);
    if !bare
        .chars()
        .all(|letter| letter.is_ascii_digit() || matches!(letter, '-' | '.' | '(' | ')' | ' '))
    {
        return None;
    }
    let digits: String = bare.chars().filter(char::is_ascii_digit).collect();
    (1..=15).contains(&digits.len()).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::digits;

    #[test]
    fn phone_numbers_are_digits_with_a_plus_and_separators() {
        assert_eq!(digits("+1 (201) 555-0123").as_deref(), Some("12015550123"));
        assert_eq!(digits("100").as_deref(), Some("100"));
        for none in ["", "+", "bob", "1a", "1234567890123456", "+-"] {
            assert_eq!(digits(none), None, "{none}");
        }
    }
}
