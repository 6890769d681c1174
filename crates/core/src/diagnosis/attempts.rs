//! The last attempts of each endpoint, and of strangers to each account: bounded rings of which the oldest are forgotten.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use sip::{Flow, Method, Name, Request};
use store::{Id, Transport};

use crate::diagnosis::Cause;
use crate::registrar::transport_of;

/// Attempts that are kept of one endpoint or stranger.
const RING: usize = 16;
/// Endpoints and, apart from them, strangers that are remembered, at most about 5 kB each; beyond that the one that tried
/// longest ago is forgotten. Strangers cannot push endpoints out.
const ENDPOINTS: usize = 8192;
const STRANGERS: usize = 1024;
/// Characters of each text.
const TEXT: usize = 128;

/// One try to get in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// When.
    pub at: Timestamp,
    /// What it was about: REGISTER, INVITE …
    pub method: String,
    /// The domain that was asked, lower case.
    pub host: String,
    /// The user name that was given.
    pub user: String,
    /// Where it came from.
    pub source: SocketAddr,
    /// Over what.
    pub transport: Transport,
    /// As the phone calls itself.
    pub user_agent: String,
    /// Its Call-ID, to find it in the phone's own log.
    pub call_id: String,
    /// What came of it.
    pub cause: Cause,
}

impl Attempt {
    /// Notes a request; the user is that of To in a REGISTER, of From in all others, unless `user` says otherwise.
    pub fn of(
        at: Timestamp,
        request: &Request,
        flow: Flow,
        user: Option<&str>,
        cause: Cause,
    ) -> Self {
        let claimed = match request.method {
            Method::Register => request.to(),
            _ => request.from(),
        };
        let claimed = claimed.ok();
        let host = match (&request.method, &claimed) {
            (Method::Register, _) => request
                .uri_parsed()
                .map(|uri| uri.host_lower().into_owned())
                .ok(),
            (_, Some(address)) => Some(address.uri.host_lower().into_owned()),
            (_, None) => None,
        };
        let user = user.map_or_else(
            || {
                let claimed = claimed.as_ref().and_then(|it| it.uri.user_decoded());
                short(&claimed.unwrap_or_default())
            },
            short,
        );
        Self {
            at,
            method: short(request.method.as_str()),
            host: short(&host.unwrap_or_default()),
            user,
            source: flow.remote,
            transport: transport_of(flow),
            user_agent: short(request.headers.get(&Name::UserAgent).map_or("", |it| it)),
            call_id: short(request.call_id().map_or("", |it| it)),
            cause,
        }
    }
}

fn short(text: &str) -> String {
    text.chars()
        .filter(|letter| !letter.is_control())
        .take(TEXT)
        .collect()
}

/// Whose attempts they are.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) enum Who {
    /// An endpoint's.
    Endpoint(Id),
    /// Somebody's whom the account does not have, by the user name that was tried.
    Stranger(Id, String),
}

/// All rings.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    endpoints: Mutex<Rings>,
    strangers: Mutex<Rings>,
}

#[derive(Debug, Default)]
struct Rings {
    rings: HashMap<Who, Ring>,
    /// Who tried when, by a count that rises.
    order: BTreeMap<u64, Who>,
    next: u64,
}

#[derive(Debug, Default)]
struct Ring {
    order: u64,
    attempts: VecDeque<Attempt>,
}

impl Attempts {
    /// Keeps an attempt; returns who was forgotten for it.
    pub(crate) fn push(&self, who: Who, attempt: Attempt) -> Option<Who> {
        let (rings, most) = match &who {
            Who::Endpoint(_) => (&self.endpoints, ENDPOINTS),
            Who::Stranger(..) => (&self.strangers, STRANGERS),
        };
        let mut rings = rings.lock().unwrap_or_else(PoisonError::into_inner);
        rings.push(who, attempt);
        rings.forget_beyond(most)
    }

    /// The attempts of one, newest first.
    pub(crate) fn of(&self, who: &Who) -> Vec<Attempt> {
        let rings = match who {
            Who::Endpoint(_) => &self.endpoints,
            Who::Stranger(..) => &self.strangers,
        };
        let rings = rings.lock().unwrap_or_else(PoisonError::into_inner);
        let ring = rings.rings.get(who);
        ring.map_or_else(Vec::new, |ring| ring.attempts.iter().cloned().collect())
    }

    /// The attempts of all strangers to an account, newest first.
    pub(crate) fn of_strangers(&self, account: Id) -> Vec<Attempt> {
        let rings = &self.strangers;
        let rings = rings.lock().unwrap_or_else(PoisonError::into_inner);
        let own = rings
            .rings
            .iter()
            .filter(|(who, _)| matches!(who, Who::Stranger(whose, _) if *whose == account));
        let mut all: Vec<Attempt> = own
            .flat_map(|(_, ring)| ring.attempts.iter().cloned())
            .collect();
        all.sort_by_key(|attempt| std::cmp::Reverse(attempt.at));
        all
    }
}

impl Rings {
    fn push(&mut self, who: Who, attempt: Attempt) {
        self.next += 1;
        let ring = self.rings.entry(who.clone()).or_default();
        self.order.remove(&ring.order);
        ring.order = self.next;
        self.order.insert(self.next, who);
        ring.attempts.push_front(attempt);
        ring.attempts.truncate(RING);
    }

    fn forget_beyond(&mut self, most: usize) -> Option<Who> {
        if self.rings.len() <= most {
            return None;
        }
        let (_, oldest) = self.order.pop_first()?;
        self.rings.remove(&oldest);
        Some(oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(user: &str, second: i64) -> Attempt {
        Attempt {
            at: Timestamp::from_second(second).expect("a time"),
            method: "REGISTER".into(),
            host: "example.net".into(),
            user: user.into(),
            source: "192.0.2.1:5060".parse().expect("an address"),
            transport: Transport::Udp,
            user_agent: String::new(),
            call_id: String::new(),
            cause: Cause::UnknownUser,
        }
    }

    #[test]
    fn of_each_the_newest_are_kept_and_strangers_push_no_endpoint_out() {
        let attempts = Attempts::default();
        for second in 0..20 {
            attempts.push(Who::Endpoint(1), attempt("alice", second));
        }
        let seconds = |who: &Who| -> Vec<i64> {
            let all = attempts.of(who);
            all.iter().map(|attempt| attempt.at.as_second()).collect()
        };
        let newest: Vec<i64> = (4..20).rev().collect();
        assert_eq!(seconds(&Who::Endpoint(1)), newest);
        for number in 0..STRANGERS as i64 + 10 {
            let user = format!("user{number}");
            let forgotten = attempts.push(Who::Stranger(7, user.clone()), attempt(&user, number));
            let expected = (number >= STRANGERS as i64)
                .then(|| Who::Stranger(7, format!("user{}", number - STRANGERS as i64)));
            assert_eq!(forgotten, expected);
        }
        assert_eq!(seconds(&Who::Endpoint(1)), newest);
        assert_eq!(attempts.of_strangers(7).len(), STRANGERS);
        assert_eq!(attempts.of_strangers(7)[0].user, "user1033");
        assert!(attempts.of_strangers(8).is_empty());
    }

    #[test]
    fn an_attempt_says_what_a_phones_own_log_says() {
        let mut request = Request::new(Method::Register, "sip:Example.NET");
        for (name, value) in [
            (Name::From, "<sip:alice@example.net>;tag=1".to_owned()),
            (Name::To, "<sip:al%69ce@example.net>".to_owned()),
            (Name::CallId, "call-1".to_owned()),
            (Name::UserAgent, "x".repeat(200)),
        ] {
            request.headers.push(name, value);
        }
        let flow = Flow {
            transport: sip::Transport::Tcp,
            id: sip::FlowId(1),
            local: ([192, 0, 2, 9], 5060).into(),
            remote: ([192, 0, 2, 1], 5060).into(),
        };
        let noted = Attempt::of(Timestamp::UNIX_EPOCH, &request, flow, None, Cause::Disabled);
        assert_eq!(
            noted,
            Attempt {
                host: "example.net".into(),
                transport: Transport::Tcp,
                user_agent: "x".repeat(TEXT),
                call_id: "call-1".into(),
                cause: Cause::Disabled,
                ..attempt("alice", 0)
            }
        );
        let named = Attempt::of(noted.at, &request, flow, Some("bob\r\n"), Cause::Disabled);
        assert_eq!(named.user, "bob");
    }
}
