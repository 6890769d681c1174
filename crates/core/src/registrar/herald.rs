//! Tells of registrations: one task empties the queue of [`Events`], finds out what failed attempts were about, keeps them
//! for the explainer, shows events to streams and puts callbacks into the outbox, in the order in which things happened.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use store::{CallbackRow, Flavor, Id, Store, Transport};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::calls::callback::{self, Outbox};
use crate::diagnosis::{Attempt, Attempts, Cause, Who};
use crate::directory::Subscriber;
use crate::registrar::binding_id;
use crate::registrar::events::{AccountEvent, EventKind, Events, Happening, RegistrationEvent};
use crate::trunks::TrunkEvent;
use crate::{Calls, Directory};

/// Happenings that are told in one go.
const BATCH: usize = 256;
/// How long the same failure of the same endpoint is told only once: brute force must not become a flood of callbacks.
const QUIET: Duration = Duration::from_secs(60);
/// Failures that are remembered as told; beyond that none is told until some are old.
const MOST_TOLD: usize = 10_000;
/// Public ids that are remembered, about 50 octets each; beyond that all are read anew.
const MOST_IDS: usize = 10_000;
/// How often callbacks are offered to a store that takes none, and the pause between.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(200);
/// The upper half of the UUIDs under which the outbox keeps what is about one endpoint in order. Those of calls are random
/// and carry a version there; this is none.
const ORDER: u64 = 0x656e_6470_6f69_6e74;
/// The same for trunks.
const TRUNK_ORDER: u64 = 0x7472_756e_6b00_0000;

/// The task's state.
pub(crate) struct Herald {
    pub(crate) events: Events,
    pub(crate) attempts: Arc<Attempts>,
    pub(crate) directory: Directory,
    pub(crate) calls: Calls,
    pub(crate) store: Store,
    pub(crate) outbox: Outbox,
    /// Failures that were told, and when.
    told: HashMap<(Id, Cause), Timestamp>,
    public_ids: HashMap<Id, String>,
}

impl Herald {
    pub(crate) fn new(
        events: Events,
        attempts: Arc<Attempts>,
        directory: Directory,
        calls: Calls,
        store: Store,
    ) -> Self {
        Self {
            events,
            attempts,
            directory,
            outbox: calls.outbox(),
            calls,
            store,
            told: HashMap::new(),
            public_ids: HashMap::new(),
        }
    }

    /// Tells until the token is cancelled.
    pub(crate) async fn run(
        mut self,
        mut happenings: mpsc::Receiver<Happening>,
        stop: CancellationToken,
    ) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                count = happenings.recv_many(&mut batch, BATCH) => if count == 0 { return },
            }
            let mut rows = Vec::new();
            for happening in batch.drain(..) {
                match happening {
                    Happening::Attempt(attempt) => self.attempt(*attempt, &mut rows).await,
                    Happening::Trunk(event) => self.trunk(*event, &mut rows),
                    Happening::Binding {
                        kind,
                        at,
                        subscriber,
                        binding,
                    } => {
                        self.note_success(kind, at, &subscriber, &binding);
                        if let Some(public_id) = self.public_id(subscriber.endpoint).await {
                            let seen = Seen {
                                at,
                                source: binding.remote,
                                transport: binding.transport,
                                user_agent: binding.user_agent.clone(),
                            };
                            let event = RegistrationEvent {
                                registration: Some(binding_id(&binding)),
                                expires_at: Some(binding.expires_at),
                                contact: Some(binding.contact),
                                ..event(kind, seen, &subscriber, public_id)
                            };
                            self.tell(event, &subscriber, &mut rows);
                        }
                    }
                }
            }
            self.hand_over(rows, &stop).await;
        }
    }

    /// Finds out what a failed attempt was about, keeps it, and tells it unless it was told just now.
    async fn attempt(&mut self, mut attempt: Attempt, rows: &mut Vec<CallbackRow>) {
        let Some((who, subscriber)) = self.judge(&mut attempt) else {
            return;
        };
        if let Who::Endpoint(endpoint) = &who {
            self.events.remember(*endpoint, true);
        }
        let (at, cause) = (attempt.at, attempt.cause);
        let seen = Seen {
            at,
            source: attempt.source,
            transport: attempt.transport,
            user_agent: attempt.user_agent.clone(),
        };
        if let Some(Who::Endpoint(forgotten)) = self.attempts.push(who, attempt) {
            self.events.remember(forgotten, false);
        }
        let Some(subscriber) = subscriber else {
            return;
        };
        if !self.events.are_heard(&subscriber) || !self.is_news(subscriber.endpoint, cause, at) {
            return;
        }
        if let Some(public_id) = self.public_id(subscriber.endpoint).await {
            let event = RegistrationEvent {
                reason: Some(cause),
                ..event(EventKind::AuthFailed, seen, &subscriber, public_id)
            };
            self.tell(event, &subscriber, rows);
        }
    }

    /// Whose attempt it was; corrects its cause where that needed a look at the directory. None: nobody's of ours.
    fn judge(&self, attempt: &mut Attempt) -> Option<(Who, Option<Arc<Subscriber>>)> {
        let found = match attempt.cause {
            // Only a name that one domain alone has is known to be meant.
            Cause::WrongDomain => self.directory.only_subscriber(&attempt.user),
            _ => self.directory.subscriber(&attempt.host, &attempt.user),
        };
        if let Some(subscriber) = found {
            return Some((Who::Endpoint(subscriber.endpoint), Some(subscriber)));
        }
        let user = attempt.user.clone();
        if let Some(account) = self.directory.account_by_auth_id(&user) {
            attempt.cause = Cause::AccountCredentials;
            return Some((Who::Stranger(account.id, user), None));
        }
        let domain = self.directory.host(&attempt.host)?.domain?;
        let account = self.directory.domain_by_id(domain)?.account;
        if attempt.cause != Cause::SourceBlocked {
            attempt.cause = Cause::UnknownUser;
        }
        Some((Who::Stranger(account, user), None))
    }

    /// Keeps that an endpoint got in, after attempts that failed.
    fn note_success(
        &self,
        kind: EventKind,
        at: Timestamp,
        subscriber: &Subscriber,
        binding: &store::Binding,
    ) {
        let who = Who::Endpoint(subscriber.endpoint);
        if kind != EventKind::Registered || self.attempts.of(&who).is_empty() {
            return;
        }
        let attempt = Attempt {
            at,
            method: "REGISTER".to_owned(),
            host: subscriber.domain.clone(),
            user: subscriber.user.clone(),
            source: binding.remote,
            transport: binding.transport,
            user_agent: binding.user_agent.clone(),
            call_id: binding.call_id.clone(),
            cause: Cause::Registered,
        };
        // It was remembered before, so nobody is forgotten for it.
        let _ = self.attempts.push(who, attempt);
    }

    fn is_news(&mut self, endpoint: Id, cause: Cause, at: Timestamp) -> bool {
        let is_old = |told: &Timestamp| {
            let age = Duration::try_from(at.duration_since(*told)).unwrap_or_default();
            age >= QUIET
        };
        if self.told.len() >= MOST_TOLD {
            self.told.retain(|_, told| !is_old(told));
        }
        let is_full = self.told.len() >= MOST_TOLD;
        match self.told.get(&(endpoint, cause)) {
            Some(told) if !is_old(told) => return false,
            None if is_full => return false,
            _ => self.told.insert((endpoint, cause), at),
        };
        true
    }

    async fn public_id(&mut self, endpoint: Id) -> Option<String> {
        if let Some(known) = self.public_ids.get(&endpoint) {
            return Some(known.clone());
        }
        let found = self.store.endpoint(endpoint).await;
        let found = found.inspect_err(|error| tracing::warn!(%error, "an endpoint cannot be read"));
        let public_id = found.ok()??.public_id;
        if self.public_ids.len() >= MOST_IDS {
            self.public_ids.clear();
        }
        self.public_ids.insert(endpoint, public_id.clone());
        Some(public_id)
    }

    /// Shows an event to streams and makes the callback about it.
    fn tell(&self, event: RegistrationEvent, subscriber: &Subscriber, rows: &mut Vec<CallbackRow>) {
        self.events.show(AccountEvent::Registration(event.clone()));
        let Some(link) = self.directory.registration_link(subscriber) else {
            return;
        };
        if event.kind == EventKind::Refreshed && !link.refreshed {
            return;
        }
        let Some(account) = self.directory.account(subscriber.account) else {
            return;
        };
        let facts = self
            .calls
            .facts(&account, link.application, subscriber.flavor);
        let payload = facts.dialect.registration(&facts.account, &event);
        rows.push(CallbackRow {
            id: 0,
            account: account.id,
            call: Some(order_of(subscriber.endpoint)),
            flavor: facts.flavor,
            url: link.url,
            method: link.method,
            body: callback::body(payload),
            attempts: 0,
            next_at: event.at,
            created: event.at,
        });
    }

    /// Shows what happened to a trunk, and makes the callback about it: the account's own policy names the URL.
    fn trunk(&self, event: TrunkEvent, rows: &mut Vec<CallbackRow>) {
        self.events.show(AccountEvent::Trunk(event.clone()));
        let (Some(link), Some(account)) = (
            self.directory.trunk_link(event.account),
            self.directory.account(event.account),
        ) else {
            return;
        };
        let facts = self.calls.facts(&account, None, Flavor::Plivo);
        rows.push(CallbackRow {
            id: 0,
            account: account.id,
            call: Some(Uuid::from_u64_pair(TRUNK_ORDER, event.trunk.unsigned_abs())),
            flavor: facts.flavor,
            url: link.url,
            method: link.method,
            body: callback::body(facts.dialect.trunk(&facts.account, &event)),
            attempts: 0,
            next_at: event.at,
            created: event.at,
        });
    }

    /// Puts callbacks into the outbox; those that it does not take for two seconds are left out.
    async fn hand_over(&self, rows: Vec<CallbackRow>, stop: &CancellationToken) {
        if rows.is_empty() {
            return;
        }
        for _ in 0..TRIES {
            match self.store.put_calls(Vec::new(), rows.clone()).await {
                Ok(()) => return self.outbox.wake(),
                Err(error) => tracing::debug!(%error, "the outbox takes no callbacks"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PAUSE) => (),
            }
        }
        let callbacks = rows.len();
        tracing::warn!(callbacks, "callbacks about registrations are lost");
    }
}

/// When and where it was seen, and of what program.
struct Seen {
    at: Timestamp,
    source: SocketAddr,
    transport: Transport,
    user_agent: String,
}

/// Makes an event that says nothing of a binding or a reason.
fn event(
    kind: EventKind,
    seen: Seen,
    subscriber: &Subscriber,
    public_id: String,
) -> RegistrationEvent {
    RegistrationEvent {
        kind,
        at: seen.at,
        account: subscriber.account,
        endpoint: subscriber.endpoint,
        public_id,
        user: subscriber.user.clone(),
        domain: subscriber.domain.clone(),
        flavor: subscriber.flavor,
        registration: None,
        contact: None,
        expires_at: None,
        source: seen.source,
        transport: seen.transport,
        user_agent: seen.user_agent,
        reason: None,
    }
}

/// The name under which the outbox tells what is about an endpoint one after the other.
fn order_of(endpoint: Id) -> Uuid {
    Uuid::from_u64_pair(ORDER, endpoint.unsigned_abs())
}
