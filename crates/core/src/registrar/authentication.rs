//! Who sends a request: RFC 3261 §22, RFC 7616, RFC 8760. One check for REGISTER (401) and INVITE (407).
//!
//! Nonces are checked without memory. An unknown user costs the same digests as a wrong password (`proof`) and gets the same answer.

mod proof;
mod short;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use call::Now;
use sip::digest::{self, Algorithm, Credentials, NonceId, Nonces, Validity};
use sip::{Flow, Method, Name, Request, Response, Status, Text, Uri};

use crate::diagnosis::Cause;
use crate::directory::{Host, Subscriber};
use crate::registrar::capability::Capabilities;
use crate::registrar::events::Events;
use crate::registrar::policy::{ChallengePolicy, is_enough, stronger};
use crate::registrar::replay::{Fingerprint, Replays, Use};
use crate::{Directory, Guard, Offence, Settings};

/// A user who proved the password.
#[derive(Clone, Debug)]
pub(crate) struct Authenticated {
    /// Who it is.
    pub(crate) subscriber: Arc<Subscriber>,
    /// The nonce it was proved with.
    pub(crate) nonce: NonceId,
    /// Its count.
    pub(crate) count: u32,
    /// Whether the same request was answered before; `pending`: it waits for its commit.
    pub(crate) again: Option<Pending>,
}

/// Whether the answer to a request that came again still waits for its commit.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Pending(pub(crate) bool);

/// Checks digests and makes challenges.
#[derive(Clone)]
pub(crate) struct Authenticator(Arc<Inner>);

struct Inner {
    settings: Arc<Settings>,
    directory: Directory,
    events: Events,
    guard: Guard,
    nonces: Nonces,
    replays: Replays,
    capabilities: Capabilities,
    salt: AtomicU64,
    tags: RandomState,
    /// The HA1s that an unknown user is checked against, one for each algorithm; no password has them.
    nobody: [String; 3],
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authenticator")
    }
}

/// Seconds since 1970, as nonces count them.
pub(crate) fn seconds(now: &Now) -> u64 {
    u64::try_from(now.wall.as_second()).unwrap_or_default()
}

impl Authenticator {
    /// Makes one whose nonces are sealed with `key`; those of another key are invented ones.
    pub(crate) fn new(
        settings: Arc<Settings>,
        directory: Directory,
        events: Events,
        guard: Guard,
        key: [u8; 32],
    ) -> Self {
        let nobody = [Algorithm::Md5, Algorithm::Sha256, Algorithm::Sha512_256]
            .map(|algorithm| digest::ha1(algorithm, b"", "", &key));
        Self(Arc::new(Inner {
            nonces: Nonces::new(key, settings.nonce_lifetime),
            replays: Replays::default(),
            capabilities: Capabilities::default(),
            salt: AtomicU64::new(0),
            tags: RandomState::new(),
            nobody,
            settings,
            directory,
            events,
            guard,
        }))
    }

    /// Finds out who sends the request, or how it is to be answered. `host` is the lower-case name that its users are
    /// looked up under.
    pub(crate) fn check(
        &self,
        now: &Now,
        shard: u8,
        request: &Request,
        flow: Flow,
        host_name: &str,
        host: &Host,
    ) -> Result<Authenticated, Box<Response>> {
        let policy = self.0.directory.challenge_policy(host);
        let challenge_with = |algorithm, stale| {
            let policy = ChallengePolicy {
                algorithm,
                ..policy
            };
            Err(Box::new(
                self.challenge(now, shard, request, flow, host, policy, stale),
            ))
        };
        let events = &self.0.events;
        let refused = |user: &str, cause| {
            events.refused(now.wall, request, flow, Some(user), cause);
        };
        let challenge = |stale| {
            let shown = self.0.capabilities.of(request, flow, &host.realm);
            let shown = shown.unwrap_or(policy.algorithm);
            challenge_with(stronger(policy.algorithm, shown), stale)
        };
        let Some(credentials) = self.credentials(request, &host.realm, policy.algorithm) else {
            if let Some((user, cause)) = self.unusable(request, &host.realm) {
                refused(&user, cause);
            }
            self.0.guard.challenged(now, flow.remote.ip());
            return challenge(false);
        };
        // RFC 3261 §22.4 point 7, RFC 7616 §3.4.6: the digest is about this request and no other (S60).
        if !self.is_about(&credentials.uri, request) {
            return Err(Box::new(self.respond(shard, request, Status::BAD_REQUEST)));
        }
        let realm: &str = &host.realm;
        let subscriber = self
            .0
            .directory
            .subscriber(host_name, &credentials.username);
        let verify = |ha1: &str| credentials.verify(ha1, &request.method, &request.body);
        let used = credentials.algorithm_used().unwrap_or(policy.algorithm);
        let nobody = match used {
            Algorithm::Md5 => &self.0.nobody[0],
            Algorithm::Sha256 => &self.0.nobody[1],
            Algorithm::Sha512_256 => &self.0.nobody[2],
        };
        let proved = proof::is_proved(subscriber.as_deref(), realm, used, nobody, verify);
        let validity = self.0.nonces.check(
            seconds(now),
            &credentials.nonce,
            nonce_source(policy, flow),
            realm,
        );
        let (Some(subscriber), true) = (subscriber, proved) else {
            // Which of the two it was is found out later: here it would take time that a stranger can measure.
            refused(&credentials.username, Cause::WrongPassword);
            let source = flow.remote.ip();
            self.0.guard.note(now, source, Offence::WrongCredentials);
            return challenge(false);
        };
        let nonce = match validity {
            Validity::Fresh(nonce) => nonce,
            // RFC 7616 §3.3: the password is right, only the nonce is old: no need to ask the person again.
            Validity::Stale => {
                events.stale(now.wall, request, flow, &subscriber);
                return challenge(true);
            }
            Validity::Invented => {
                events.stale(now.wall, request, flow, &subscriber);
                return challenge(false);
            }
        };
        // S66: the endpoint asks for more than its domain does. Who does not have the password never learns of it.
        let least = self.0.directory.registration_policy(&subscriber).algorithm;
        if !is_enough(used, least) {
            let realm = &host.realm;
            refused(&subscriber.user, Cause::WeakAlgorithm);
            self.0.capabilities.note(request, flow, realm, least);
            return challenge_with(stronger(policy.algorithm, least), false);
        }
        if used != policy.algorithm {
            self.0.capabilities.note(request, flow, &host.realm, used);
        }
        // A client that knows no qop sends no count: its nonce is good for one request.
        let count = credentials.nc.unwrap_or(1);
        let via = request.via();
        let branch = via.ok().and_then(|via| via.branch()).unwrap_or_default();
        let fingerprint = Fingerprint {
            source: flow.remote,
            branch: &branch,
            call_id: request.call_id().map_or("", |call_id| call_id),
            cseq: request.cseq().map_or(0, |cseq| cseq.number),
        };
        let lifetime = self.0.settings.nonce_lifetime.as_secs();
        let again =
            match self
                .0
                .replays
                .note(seconds(now), lifetime, nonce, count, fingerprint, false)
            {
                Use::First => None,
                Use::Retransmission { pending } => Some(Pending(pending)),
                Use::Replay | Use::Forgotten => {
                    events.stale(now.wall, request, flow, &subscriber);
                    return challenge(true);
                }
            };
        events.fresh(subscriber.endpoint);
        self.0
            .guard
            .proved(now, flow.remote.ip(), subscriber.endpoint);
        Ok(Authenticated {
            subscriber,
            nonce,
            count,
            again,
        })
    }

    /// Finds out whether a peer that is no endpoint proves its password, or how its request is to be answered.
    pub(crate) fn check_peer(
        &self,
        now: &Now,
        shard: u8,
        request: &Request,
        flow: Flow,
        realm: &str,
        login: &store::Login,
    ) -> Result<(), Box<Response>> {
        let host = Host {
            realm: realm.into(),
            shared: false,
            domain: None,
        };
        let policy = self.0.directory.challenge_policy(&host);
        let challenge = |stale| {
            Err(Box::new(
                self.challenge(now, shard, request, flow, &host, policy, stale),
            ))
        };
        let Some(credentials) = self.credentials(request, realm, policy.algorithm) else {
            return challenge(false);
        };
        if !self.is_about(&credentials.uri, request) {
            return Err(Box::new(self.respond(shard, request, Status::BAD_REQUEST)));
        }
        let used = credentials.algorithm_used().unwrap_or(policy.algorithm);
        let password = login.password.expose().as_bytes();
        let ha1 = digest::ha1(used, login.user.as_bytes(), realm, password);
        // Both are computed whatever the user is called, so that the time does not tell.
        let proved = credentials.verify(&ha1, &request.method, &request.body);
        if !proved || *credentials.username != *login.user {
            return challenge(false);
        }
        let source = nonce_source(policy, flow);
        let nonce = match self
            .0
            .nonces
            .check(seconds(now), &credentials.nonce, source, realm)
        {
            Validity::Fresh(nonce) => nonce,
            Validity::Stale => return challenge(true),
            Validity::Invented => return challenge(false),
        };
        let via = request.via();
        let branch = via.ok().and_then(|via| via.branch()).unwrap_or_default();
        let fingerprint = Fingerprint {
            source: flow.remote,
            branch: &branch,
            call_id: request.call_id().map_or("", |call_id| call_id),
            cseq: request.cseq().map_or(0, |cseq| cseq.number),
        };
        let count = credentials.nc.unwrap_or(1);
        let lifetime = self.0.settings.nonce_lifetime.as_secs();
        let replays = &self.0.replays;
        match replays.note(seconds(now), lifetime, nonce, count, fingerprint, false) {
            Use::First | Use::Retransmission { .. } => Ok(()),
            Use::Replay | Use::Forgotten => challenge(true),
        }
    }

    /// Whether a digest was made for this request: its URI is the Request-URI, or names this host without a user.
    // Departs from RFC 7616 §3.4.6: some clients (sipp among them) sign the address that they send to, whatever they
    // ask for. Such a digest is still good for nobody but us, once, from its own address.
    fn is_about(&self, uri: &Text, request: &Request) -> bool {
        if *uri == request.uri {
            return true;
        }
        match (Uri::parse(uri), request.uri_parsed()) {
            (Ok(said), Ok(real)) => {
                said.same_as(&real) || said.user.is_none() && self.is_ours(&said.host_lower())
            }
            _ => false,
        }
    }

    /// Whether a host means us: a domain, or what a trunk calls us.
    fn is_ours(&self, host: &str) -> bool {
        let directory = &self.0.directory;
        directory.host(host).is_some() || directory.trunk_of_host(host).is_some()
    }

    /// The credentials for our realm that are made with the algorithm that we offer or a stronger one. Anything else
    /// counts as none (S34, S56, S66).
    fn credentials(&self, request: &Request, realm: &str, least: Algorithm) -> Option<Credentials> {
        let name = match request.method {
            Method::Register => Name::Authorization,
            _ => Name::ProxyAuthorization,
        };
        request
            .headers
            .all(&name)
            .filter_map(|value| Credentials::parse(value).ok().flatten())
            .find(|credentials| {
                let used = credentials.algorithm_used();
                *credentials.realm == *realm && used.is_some_and(|used| is_enough(used, least))
            })
    }

    /// What is wrong with credentials that count as none; nothing is, when there are none.
    fn unusable(&self, request: &Request, realm: &str) -> Option<(Text, Cause)> {
        let name = match request.method {
            Method::Register => Name::Authorization,
            _ => Name::ProxyAuthorization,
        };
        let mut all = request.headers.all(&name);
        let first = all.next()?;
        let read = |value| Credentials::parse(value).ok().flatten();
        let own = std::iter::once(first)
            .chain(all)
            .filter_map(read)
            .find(|credentials| *credentials.realm == *realm);
        Some(match own {
            Some(credentials) => (credentials.username, Cause::WeakAlgorithm),
            None => {
                let user = read(first).map(|credentials| credentials.username);
                (user.unwrap_or_default(), Cause::WrongRealm)
            }
        })
    }

    /// Asks for the password: 401 from a registrar, 407 before a call (RFC 3261 §22.1).
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a fact of the one request that is answered"
    )]
    fn challenge(
        &self,
        now: &Now,
        shard: u8,
        request: &Request,
        flow: Flow,
        host: &Host,
        policy: ChallengePolicy,
        stale: bool,
    ) -> Response {
        let (status, name) = match request.method {
            Method::Register => (Status::UNAUTHORIZED, Name::WwwAuthenticate),
            _ => (
                Status::PROXY_AUTHENTICATION_REQUIRED,
                Name::ProxyAuthenticate,
            ),
        };
        let salt = self.0.salt.fetch_add(1, Ordering::Relaxed);
        let source = nonce_source(policy, flow);
        let nonce = self.0.nonces.mint(seconds(now), source, &host.realm, salt);
        let mut response = self.respond(shard, request, status);
        let value = digest::challenge(&host.realm, &nonce, policy.algorithm, stale);
        response.headers.push(name, value);
        response
    }

    /// Answers a request outside of a dialog, with a To tag that is the same each time the request comes (RFC 3261
    /// §8.2.6.2, §8.2.7).
    pub(crate) fn respond(&self, shard: u8, request: &Request, status: Status) -> Response {
        let mut response = request.respond(status);
        if let Some(to) = request.headers.get(&Name::To)
            && request.to().is_ok_and(|to| to.tag().is_none())
        {
            let branch = request.via().ok().and_then(|via| via.branch());
            let call_id = request.call_id().map_or("", |call_id| call_id);
            let tag = self.tag(shard, branch.as_deref().unwrap_or_default(), call_id);
            response.headers.set(Name::To, format!("{to};tag={tag}"));
        }
        response
    }

    /// The To tag of our answers to a request: the same each time it comes.
    pub(crate) fn tag(&self, shard: u8, branch: &str, call_id: &str) -> String {
        let hash = self.0.tags.hash_one((branch, call_id));
        let [a, b, c, d, e, f, g, h] = hash.to_be_bytes();
        digest::hex_text(&[shard, a, b, c, d, e, f, g, h])
    }

    /// Notes that the answer waits for its commit, or that it does not any more.
    pub(crate) fn set_pending(&self, who: &Authenticated, pending: bool) {
        self.0.replays.set_pending(who.nonce, who.count, pending);
    }

    /// Forgets a proof whose request failed for our own reasons, so that it may come again as it is.
    pub(crate) fn forget(&self, nonce: NonceId, count: u32) {
        self.0.replays.forget(nonce, count);
    }

    /// Notes that an answer is through, by the numbers of its proof.
    pub(crate) fn committed(&self, nonce: NonceId, count: u32) {
        self.0.replays.set_pending(nonce, count, false);
    }

    /// Forgets nonces that are too old to be taken.
    pub(crate) fn sweep(&self, now: &Now) {
        let lifetime = self.0.settings.nonce_lifetime.as_secs();
        self.0.replays.sweep(seconds(now), lifetime);
    }
}

/// The address that a nonce is made for: that of the asker, or none where nonces are good for all.
fn nonce_source(policy: ChallengePolicy, flow: Flow) -> IpAddr {
    match policy.bind_nonces {
        true => flow.remote.ip(),
        false => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    }
}
