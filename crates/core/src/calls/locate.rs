//! Where a target is: our own endpoint, the account's trunk, or a foreign host.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use call::{EndpointId, LocateFailure, Located, Place, TargetKind};
use jiff::Timestamp;
use sip::{Destination, Flow, FlowId, Scheme, Text, Transport, Uri};
use store::{Account, LimitOwner, Ring};

use crate::calls::aim::{Aim, Viewpoint};
use crate::calls::device::Ways;
use crate::calls::limits::Limits;
use crate::calls::{device, egress};
use crate::directory::{Device, Gruus, Subscriber};
use crate::registrar::Reach;
use crate::trunks::{Trunks, e164};
use crate::{Clock, Dial, Dialer, Directory, Location, Settings};

/// Who asks for a target.
#[derive(Clone)]
pub(crate) struct Asker {
    /// Whose targets are looked up first, and whose trunk is used.
    pub(crate) account: Arc<Account>,
    /// The endpoint that calls; none for a stranger.
    pub(crate) caller: Option<Arc<Subscriber>>,
    /// Where its signalling comes from.
    pub(crate) source: Flow,
    /// The caller ID that the target is to see, if it may.
    pub(crate) shown: String,
}

/// The tables in which targets are found.
#[derive(Clone)]
pub(crate) struct Locator {
    pub(crate) settings: Arc<Settings>,
    pub(crate) directory: Directory,
    pub(crate) location: Location,
    pub(crate) limits: Limits,
    pub(crate) dialer: Dialer,
    pub(crate) gruus: Gruus,
    pub(crate) trunks: Trunks,
    pub(crate) clock: Clock,
}

impl Locator {
    /// Finds the places where a target can be reached.
    pub(crate) async fn locate(
        &self,
        now: Timestamp,
        asker: &Asker,
        target: &TargetKind,
    ) -> Result<Located, LocateFailure> {
        let (text, chosen) = match target {
            TargetKind::Number(number) => {
                let number = e164::normalised(self.country(&asker.account), number);
                let number = number.ok_or(LocateFailure::BadAddress)?;
                return self.number(asker, &number, true).await;
            }
            TargetKind::User(text) => (text, true),
            // The built-in direct dial reaches own endpoints and numbers, no foreign host (S46).
            TargetKind::Any(text) => (text, false),
            // `referred` finds more than places.
            TargetKind::Referred(_) => return Err(LocateFailure::BadAddress),
            TargetKind::Redirected(redirected) => {
                return self.redirected(now, asker, redirected).await;
            }
        };
        self.directory.loaded().await;
        let aim = self.view(asker).read(text);
        self.aimed(now, asker, &aim, text.trim(), chosen).await
    }

    /// How addresses are read for this asker.
    pub(crate) fn view<'a>(&'a self, asker: &'a Asker) -> Viewpoint<'a> {
        Viewpoint {
            directory: &self.directory,
            settings: &self.settings,
            gruus: &self.gruus,
            account: asker.account.id,
            country: self.country(&asker.account),
            home: asker.caller.as_ref().map(|caller| caller.domain.as_str()),
        }
    }

    /// Finds what an address means; `chosen`: a document of the account names it, and not the caller.
    pub(crate) async fn aimed(
        &self,
        now: Timestamp,
        asker: &Asker,
        aim: &Aim,
        text: &str,
        chosen: bool,
    ) -> Result<Located, LocateFailure> {
        match aim {
            Aim::Endpoint(subscriber) => {
                let uri = Uri::parse(&text.into()).ok();
                let device = uri.and_then(|uri| self.gruus.read(&uri));
                self.endpoint(now, asker, subscriber, device.as_ref())
            }
            // Strangers reach endpoints and nothing else: a trunk costs money. What an application dials is its account's.
            Aim::Number(_) if !chosen && asker.caller.is_none() => Err(LocateFailure::NoTrunk),
            Aim::Number(number) => self.number(asker, number, chosen).await,
            Aim::Foreign if chosen => self.foreign(text).await,
            Aim::Foreign => Err(LocateFailure::Barred),
            // An application is called by who dials it, not by another call's leg.
            Aim::Nobody | Aim::Application(_) => Err(LocateFailure::UnknownUser),
            Aim::Unusable => Err(LocateFailure::BadAddress),
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

    /// Whether the account, and the endpoint that dials it itself, may call this number; then its trunks.
    async fn number(
        &self,
        asker: &Asker,
        number: &str,
        chosen: bool,
    ) -> Result<Located, LocateFailure> {
        let dials = asker.caller.as_ref().filter(|_| !chosen);
        let owners = [
            Some(LimitOwner::Account(asker.account.id)),
            dials.map(|caller| LimitOwner::Endpoint(caller.endpoint)),
        ];
        let mut owners = owners.into_iter().flatten();
        if !owners.all(|owner| self.limits.may_dial(owner, number)) {
            return Err(LocateFailure::PrefixLimit);
        }
        self.over_trunks(asker, number).await
    }

    pub(crate) fn endpoint(
        &self,
        now: Timestamp,
        asker: &Asker,
        subscriber: &Subscriber,
        device: Option<&Device>,
    ) -> Result<Located, LocateFailure> {
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
        // vobiz-rest.md §2.8: the called endpoint's own flag counts whoever dials it.
        if !subscriber.permissions.voice {
            return Err(LocateFailure::VoiceNotAllowed);
        }
        let address = format!("sip:{}@{}", subscriber.user, subscriber.domain);
        let mut reach = self.location.reach_at(subscriber.endpoint, now, device);
        if reach.is_empty() {
            return Err(LocateFailure::NotRegistered);
        }
        if subscriber.ring == Ring::Sequential {
            reach.sort_by_key(|reach| std::cmp::Reverse(reach.q));
        }
        let mut destinations = Vec::new();
        let (mut rank, mut last) = (0, None);
        for way in self.ways(asker, subscriber, reach) {
            let q = way.q;
            if subscriber.ring == Ring::Sequential && last.is_some_and(|last| last != q) {
                rank += 1;
            }
            last = Some(q);
            let place = self.place_of(subscriber, &address, way);
            destinations.push(Place { rank, ..place });
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

    /// The ways to an endpoint's devices, without the one that whoever calls sits at.
    fn ways(&self, asker: &Asker, subscriber: &Subscriber, reach: Vec<Reach>) -> Vec<Ways> {
        let calls_itself = asker
            .caller
            .as_ref()
            .is_some_and(|caller| caller.endpoint == subscriber.endpoint);
        // A phone that calls its own address does not ring itself.
        let leads = |flow: &Flow| !(calls_itself && flow.remote == asker.source.remote);
        device::devices(&self.settings, reach, leads)
    }

    fn place_of(&self, subscriber: &Subscriber, address: &str, way: Ways) -> Place {
        let near = way.first.flow.remote.ip();
        Place {
            near,
            destination: way.first,
            others: way.others,
            to_value: format!("<{address}>").into(),
            contact_user: subscriber.user.as_str().into(),
            rank: 0,
            trusted: self.is_trusted(near),
            over: None,
        }
    }

    /// The place behind the binding of an endpoint that has this URI.
    pub(crate) fn binding_of(
        &self,
        now: Timestamp,
        asker: &Asker,
        subscriber: &Subscriber,
        uri: &Uri,
    ) -> Option<Place> {
        let address = format!("sip:{}@{}", subscriber.user, subscriber.domain);
        let is_it =
            |contact: &str| Uri::parse(&contact.into()).is_ok_and(|contact| contact.same_as(uri));
        let mut reach = self.location.reach(subscriber.endpoint, now).into_iter();
        let reach = reach.find(|reach| is_it(&reach.contact))?;
        let way = self.ways(asker, subscriber, vec![reach]).pop()?;
        Some(self.place_of(subscriber, &address, way))
    }

    /// Whether a peer may know callers that want to be anonymous, and may name them (RFC 3325 §2).
    pub(crate) fn is_trusted(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let mut peers = self.settings.trusted_peers.iter();
        peers.any(|network| network.contains(&address))
    }

    fn is_ours(&self, address: SocketAddr) -> bool {
        is_own_address(&self.settings, address)
    }

    async fn foreign(&self, text: &str) -> Result<Located, LocateFailure> {
        let uri = &Uri::parse(&text.into()).map_err(|_| LocateFailure::BadAddress)?;
        let allowed = |address| egress::may_reach(&self.settings.egress, address);
        let flow = self
            .way_to(uri, allowed)
            .await
            .ok_or(LocateFailure::BadAddress)?;
        Ok(Located {
            destinations: vec![self.place(flow, text, uri.user.as_deref().unwrap_or_default())],
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

    fn place(&self, flow: Flow, uri: &str, user: &str) -> Place {
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
            rank: 0,
            trusted: self.is_trusted(flow.remote.ip()),
            over: None,
        }
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
