//! Who sends a request outside of a dialog that is neither REGISTER nor INVITE, and which of its account's endpoints it
//! is about: RFC 3261 §8.2.2, §22. SUBSCRIBE, PUBLISH and MESSAGE share it.

use std::sync::Arc;

use call::Now;
use sip::{Flow, Name, Request, Response, Status, Uri};
use store::Account;

use crate::calls::is_own_address;
use crate::directory::Subscriber;
use crate::registrar::{Authenticator, is_refused_user_agent};
use crate::{Directory, Settings};

/// Seconds after which a client may come again that was sent away for want of room.
const RETRY_AFTER: &str = "30";

/// Finds out who sends a request; clones share the tables.
#[derive(Clone, Debug)]
pub(crate) struct Senders {
    pub(crate) settings: Arc<Settings>,
    pub(crate) directory: Directory,
    pub(crate) authenticator: Authenticator,
}

/// Who proved the password.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    pub(crate) subscriber: Arc<Subscriber>,
    pub(crate) account: Arc<Account>,
}

impl Sender {
    /// The sender's address of record.
    pub(crate) fn address(&self) -> String {
        address_of(&self.subscriber)
    }
}

/// An endpoint's address of record.
pub(crate) fn address_of(subscriber: &Subscriber) -> String {
    format!("sip:{}@{}", subscriber.user, subscriber.domain)
}

impl Senders {
    /// Finds out who sends the request, or how it is to be answered (407 to whoever proves nothing: S48, S49).
    pub(crate) fn who(
        &self,
        now: &Now,
        shard: u8,
        request: &Request,
        flow: Flow,
    ) -> Result<Sender, Box<Response>> {
        let refuse = |status, why| Err(self.refusal(shard, request, status, why));
        // What we sent came back to us (S71, S72).
        if is_own_address(&self.settings, flow.remote) {
            return refuse(Status::LOOP_DETECTED, "");
        }
        let user_agent = request.headers.get(&Name::UserAgent).map(|value| &**value);
        if is_refused_user_agent(&self.settings.refused_user_agents, user_agent) {
            return refuse(Status::FORBIDDEN, "User agent refused");
        }
        let (Ok(uri), Ok(from)) = (request.uri_parsed(), request.from()) else {
            return refuse(Status::BAD_REQUEST, "");
        };
        // Users are looked up under the domain that they say they are of, else under the one that they ask.
        let names = [from.uri.host_lower(), uri.host_lower()];
        let found = names
            .into_iter()
            .find_map(|name| Some((self.directory.host(&name)?, name)));
        let Some((host, name)) = found else {
            return refuse(Status::NOT_FOUND, "Domain not served here");
        };
        let who = self
            .authenticator
            .check(now, shard, request, flow, &name, &host)?;
        let account = self
            .directory
            .account(who.subscriber.account)
            .filter(|account| account.enabled);
        let Some(account) = account.filter(|_| who.subscriber.enabled) else {
            return refuse(Status::FORBIDDEN, "Endpoint disabled");
        };
        Ok(Sender {
            subscriber: who.subscriber,
            account,
        })
    }

    /// The endpoint that a URI names, as the sender sees it: under a name that many domains share, its own account's comes
    /// first.
    pub(crate) fn named(&self, sender: &Sender, uri: &Uri) -> Option<Arc<Subscriber>> {
        let host = uri.host_lower();
        let user = uri.user_decoded()?;
        let shared = self.directory.host(&host)?.shared;
        let inside = || self.directory.subscriber_in(sender.account.id, &user);
        let exact = || self.directory.subscriber(&host, &user);
        if shared {
            inside().or_else(exact)
        } else {
            exact().or_else(|| inside().filter(|_| sender.subscriber.domain == *host))
        }
    }

    /// The same within the sender's account: what belongs to another does not exist.
    pub(crate) fn own(&self, sender: &Sender, uri: &Uri) -> Option<Arc<Subscriber>> {
        self.named(sender, uri)
            .filter(|found| found.account == sender.account.id)
    }

    pub(crate) fn refusal(
        &self,
        shard: u8,
        request: &Request,
        status: Status,
        why: &'static str,
    ) -> Box<Response> {
        let mut response = self.authenticator.respond(shard, request, status);
        if !why.is_empty() {
            response.reason = why.into();
        }
        if status == Status::SERVICE_UNAVAILABLE {
            response.headers.push(Name::RetryAfter, RETRY_AFTER);
        }
        Box::new(response)
    }
}
