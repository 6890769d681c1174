//! What user agents have shown that they can: a stronger digest than their domain asks for (RFC 8760 §2.4: a client that
//! knows only MD5 gives up at a challenge that it cannot answer, so none gets one that nobody has answered from there).
//!
//! Only who proved a password is noted, and only for the address and the program that it came with: to anybody else the
//! user's challenge is that of a user who does not exist (S67).

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};

use dashmap::DashMap;
use sip::digest::Algorithm;
use sip::{Flow, Name, Request};

/// User agents that are remembered, 24 octets each. When there is one more all are forgotten; each then goes once more
/// through what made it known.
const CAPACITY: usize = 100_000;

/// The strongest algorithm of each user agent, bounded.
#[derive(Debug, Default)]
pub(crate) struct Capabilities {
    shown: DashMap<u64, Algorithm>,
    /// Somebody has ever shown something. Asking `shown` would take all its locks.
    any: AtomicBool,
    hasher: RandomState,
}

impl Capabilities {
    /// Whether nobody has ever shown anything.
    pub(crate) fn is_empty(&self) -> bool {
        !self.any.load(Ordering::Acquire)
    }

    /// The algorithm that the sender of this request has shown.
    pub(crate) fn of(&self, request: &Request, flow: Flow, realm: &str) -> Option<Algorithm> {
        if self.is_empty() {
            return None;
        }
        let shown = self.shown.get(&self.key(request, flow, realm))?;
        Some(*shown)
    }

    /// Notes what the sender of this request is to be asked for.
    pub(crate) fn note(&self, request: &Request, flow: Flow, realm: &str, algorithm: Algorithm) {
        let key = self.key(request, flow, realm);
        let known = self.shown.get(&key).map(|shown| *shown);
        if known == Some(algorithm) {
            return;
        }
        if known.is_none() && self.shown.len() >= CAPACITY {
            self.shown.clear();
        }
        self.shown.insert(key, algorithm);
        self.any.store(true, Ordering::Release);
    }

    /// A user, where it is, and its program.
    fn key(&self, request: &Request, flow: Flow, realm: &str) -> u64 {
        let from = request.from().ok();
        let user = from.as_ref().and_then(|from| from.uri.user_decoded());
        let program = request.headers.get(&Name::UserAgent);
        let program = program.map_or("", |value| value);
        let source = flow.remote.ip();
        self.hasher
            .hash_one((realm, user.unwrap_or_default(), source, program))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(user: &str, program: &str) -> Request {
        let mut request = Request::new(sip::Method::Register, "sip:example.net");
        let from = format!("<sip:{user}@example.net>;tag=1");
        request.headers.push(Name::From, from);
        request.headers.push(Name::UserAgent, program.to_owned());
        request
    }

    #[test]
    fn what_is_shown_counts_for_that_user_address_and_program_alone() {
        let all = Capabilities::default();
        let from = |host: u8| Flow {
            transport: sip::Transport::Udp,
            id: sip::FlowId::NONE,
            local: ([192, 0, 2, 9], 5060).into(),
            remote: ([192, 0, 2, host], 5060).into(),
        };
        let phone = request("alice", "phone 1");
        assert_eq!(all.of(&phone, from(1), "r"), None);
        all.note(&phone, from(1), "r", Algorithm::Sha256);
        assert_eq!(all.of(&phone, from(1), "r"), Some(Algorithm::Sha256));
        assert_eq!(all.of(&phone, from(2), "r"), None);
        assert_eq!(all.of(&phone, from(1), "s"), None);
        let bob = request("bob", "phone 1");
        assert_eq!(all.of(&bob, from(1), "r"), None);
        let other = request("alice", "phone 2");
        assert_eq!(all.of(&other, from(1), "r"), None);
        for number in 0..=CAPACITY {
            let realm = number.to_string();
            all.note(&phone, from(1), &realm, Algorithm::Sha256);
        }
        assert!(all.shown.len() <= CAPACITY);
    }
}
