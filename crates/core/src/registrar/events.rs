//! What happens to registrations, on its way from the signalling threads to those who want to know: customers' URLs, the
//! dashboard's streams, the explainer. Signalling never waits for any of them.
//!
//! A happening that nobody wants to hear of costs a look-up. What a failed attempt was is found out behind the queue, so
//! that the threads do the same for a user who exists and one who does not (S67).

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use dashmap::DashMap;
use jiff::Timestamp;
use sip::{Flow, Request};
use store::{Binding, Flavor, Id, Transport};
use tokio::sync::{broadcast, mpsc};

use crate::diagnosis::{Attempt, Cause};
use crate::directory::Subscriber;
use crate::trunks::TrunkEvent;
use crate::{Clock, Directory, Error};

/// Happenings that wait to be told, at most about 1 kB each; more are counted and left out.
const QUEUE: usize = 8192;
/// Events that a stream may fall behind; then it is told how many it missed.
const STREAM: usize = 256;
/// Streams of one account at a time.
const STREAMS: usize = 20;
/// Seconds until a full house may have room again.
const RETRY_AFTER: std::time::Duration = std::time::Duration::from_secs(10);

/// What happened to a registration.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum EventKind {
    /// A phone logged in.
    Registered,
    /// It said that it is still there.
    Refreshed,
    /// It logged out, or was logged out.
    Unregistered,
    /// It did not come back in time.
    Expired,
    /// Its connection was lost.
    FlowLost,
    /// It was not let in.
    AuthFailed,
}

impl EventKind {
    /// Its name for programs.
    pub fn name(self) -> &'static str {
        match self {
            EventKind::Registered => "registered",
            EventKind::Refreshed => "refreshed",
            EventKind::Unregistered => "unregistered",
            EventKind::Expired => "expired",
            EventKind::FlowLost => "flow_lost",
            EventKind::AuthFailed => "auth_failed",
        }
    }
}

/// One thing that happened to an endpoint's registration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegistrationEvent {
    /// What.
    pub kind: EventKind,
    /// When.
    pub at: Timestamp,
    /// Whose endpoint it is.
    pub account: Id,
    /// The endpoint.
    pub endpoint: Id,
    /// Its `re-…` id.
    pub public_id: String,
    /// Its user.
    pub user: String,
    /// Its SIP domain.
    pub domain: String,
    /// Which face made it.
    pub flavor: Flavor,
    /// The name of the binding in REST; none for a failed attempt, which has no binding.
    pub registration: Option<String>,
    /// The Contact; none for a failed attempt.
    pub contact: Option<String>,
    /// When the binding lapses; none for a failed attempt.
    pub expires_at: Option<Timestamp>,
    /// Where the phone is.
    pub source: SocketAddr,
    /// Over what it came.
    pub transport: Transport,
    /// As it calls itself.
    pub user_agent: String,
    /// Why it was not let in.
    pub reason: Option<Cause>,
}

/// What an account's streams show.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AccountEvent {
    /// Something happened to a registration.
    Registration(RegistrationEvent),
    /// Something happened to a trunk.
    Trunk(TrunkEvent),
}

impl AccountEvent {
    /// Its name for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Registration(event) => event.kind.name(),
            Self::Trunk(event) => event.kind.name(),
        }
    }

    fn account(&self) -> Id {
        match self {
            Self::Registration(event) => event.account,
            Self::Trunk(event) => event.account,
        }
    }
}

/// What the signalling threads saw, and who keeps trunks.
pub(crate) enum Happening {
    /// Something happened to a trunk.
    Trunk(Box<TrunkEvent>),
    /// Something happened to a binding.
    Binding {
        kind: EventKind,
        at: Timestamp,
        subscriber: Arc<Subscriber>,
        binding: Box<Binding>,
    },
    /// Somebody was not let in.
    Attempt(Box<Attempt>),
}

/// The way to those who want to know; clones share it.
#[derive(Clone)]
pub struct Events(Arc<Inner>);

struct Inner {
    directory: Directory,
    clock: Clock,
    queue: mpsc::Sender<Happening>,
    left_out: AtomicU64,
    streams: DashMap<Id, broadcast::Sender<Arc<AccountEvent>>>,
    closed: AtomicBool,
    /// Endpoints that the explainer remembers: it wants to hear that they got in.
    remembered: DashMap<Id, ()>,
    stale: StaleCounts,
}

impl Events {
    /// Makes it, and the other end of its queue.
    pub(crate) fn new(directory: Directory, clock: Clock) -> (Self, mpsc::Receiver<Happening>) {
        let (queue, happenings) = mpsc::channel(QUEUE);
        let events = Self(Arc::new(Inner {
            directory,
            clock,
            queue,
            left_out: AtomicU64::new(0),
            streams: DashMap::new(),
            closed: AtomicBool::new(false),
            remembered: DashMap::new(),
            stale: StaleCounts::default(),
        }));
        (events, happenings)
    }

    /// Whether anybody wants to hear of this endpoint's bindings.
    pub(crate) fn are_heard(&self, subscriber: &Subscriber) -> bool {
        self.0.streams.contains_key(&subscriber.account)
            || self.0.remembered.contains_key(&subscriber.endpoint)
            || self.0.directory.registration_link(subscriber).is_some()
    }

    /// Tells of a binding of a subscriber that [`Events::are_heard`] was asked about.
    pub(crate) fn bound(
        &self,
        kind: EventKind,
        at: Timestamp,
        subscriber: &Arc<Subscriber>,
        binding: Binding,
    ) {
        self.send(Happening::Binding {
            kind,
            at,
            subscriber: Arc::clone(subscriber),
            binding: Box::new(binding),
        });
    }

    /// Tells of a binding that is gone, if anybody wants to hear of it.
    pub(crate) fn gone(&self, kind: EventKind, endpoint: Id, binding: impl FnOnce() -> Binding) {
        let found = self.0.directory.subscriber_by_id(endpoint);
        if let Some(subscriber) = found.filter(|subscriber| self.are_heard(subscriber)) {
            let binding = binding();
            let at = match kind {
                EventKind::Expired => binding.expires_at,
                _ => self.0.clock.now().wall,
            };
            self.bound(kind, at, &subscriber, binding);
        }
    }

    /// What the table of bindings keeps to tell of those that are gone.
    pub(crate) fn listener(&self) -> Listener {
        Listener(Arc::downgrade(&self.0))
    }

    /// Notes that somebody was not let in.
    pub(crate) fn refused(
        &self,
        at: Timestamp,
        request: &Request,
        flow: Flow,
        user: Option<&str>,
        cause: Cause,
    ) {
        let attempt = Attempt::of(at, request, flow, user, cause);
        self.send(Happening::Attempt(Box::new(attempt)));
    }

    /// Tells of a trunk.
    pub(crate) fn trunk(&self, event: TrunkEvent) {
        self.send(Happening::Trunk(Box::new(event)));
    }

    /// Notes that an endpoint proved its password with a nonce that is no longer good. Once or twice is how refreshes go;
    /// a phone that goes on like that never takes a new one.
    pub(crate) fn stale(&self, at: Timestamp, request: &Request, flow: Flow, who: &Subscriber) {
        if self.0.stale.raise(who.endpoint) {
            self.refused(at, request, flow, Some(&who.user), Cause::StaleNonce);
        }
    }

    /// Notes that an endpoint proved its password with a good nonce.
    pub(crate) fn fresh(&self, endpoint: Id) {
        self.0.stale.clear(endpoint);
    }

    fn send(&self, happening: Happening) {
        if self.0.queue.try_send(happening).is_err() {
            let so_far = self.0.left_out.fetch_add(1, Ordering::Relaxed);
            if so_far.is_multiple_of(QUEUE as u64) {
                tracing::warn!(so_far, "registration events are left out: too many at once");
            }
        }
    }

    /// The events of an account from now on. A receiver that falls behind by more than 256 is told how many it missed.
    pub fn subscribe(&self, account: Id) -> Result<broadcast::Receiver<Arc<AccountEvent>>, Error> {
        if self.0.closed.load(Ordering::Acquire) {
            return Err(Error::busy());
        }
        let stream = self.0.streams.entry(account);
        let stream = stream.or_insert_with(|| broadcast::channel(STREAM).0);
        if stream.receiver_count() >= STREAMS {
            return Err(Error::TooMany {
                retry_after: RETRY_AFTER,
            });
        }
        Ok(stream.subscribe())
    }

    /// Ends all streams: the server stops.
    pub fn close(&self) {
        self.0.closed.store(true, Ordering::Release);
        self.0.streams.clear();
    }

    /// Shows an event to the account's streams.
    pub(crate) fn show(&self, event: AccountEvent) {
        let (streams, account) = (&self.0.streams, event.account());
        let is_watched = match streams.get(&account) {
            Some(stream) => stream.send(Arc::new(event)).is_ok(),
            None => return,
        };
        if !is_watched {
            streams.remove_if(&account, |_, stream| stream.receiver_count() == 0);
        }
    }

    /// Notes whether the explainer remembers an endpoint.
    pub(crate) fn remember(&self, endpoint: Id, remembered: bool) {
        match remembered {
            true => self.0.remembered.insert(endpoint, ()),
            false => self.0.remembered.remove(&endpoint).map(|_| ()),
        };
    }

    /// How many happenings were left out because too many waited.
    pub fn left_out(&self) -> u64 {
        self.0.left_out.load(Ordering::Relaxed)
    }
}

/// Hears of bindings that are gone. It keeps nothing alive: the directory keeps the table that keeps this.
pub(crate) struct Listener(Weak<Inner>);

impl Listener {
    /// Tells of a binding that is gone.
    pub(crate) fn gone(&self, kind: EventKind, endpoint: Id, binding: impl FnOnce() -> Binding) {
        if let Some(inner) = self.0.upgrade() {
            Events(inner).gone(kind, endpoint, binding);
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Events({} streams)", self.0.streams.len())
    }
}

/// Places for endpoints whose nonces are no longer good; two endpoints that share one lose counts, never gain any.
const PLACES: usize = 4096;
/// Stale nonces in a row that no phone needs.
const ENDLESS: u64 = 3;

/// How often in a row endpoints came with nonces that are no longer good: a fixed table, 8 octets a place. The upper 56 bits
/// of a place tell whose it is, the lower eight count.
struct StaleCounts {
    places: Vec<AtomicU64>,
    hasher: RandomState,
}

impl Default for StaleCounts {
    fn default() -> Self {
        Self {
            places: (0..PLACES).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
        }
    }
}

impl StaleCounts {
    fn place(&self, endpoint: Id) -> Option<(&AtomicU64, u64)> {
        let hash = self.hasher.hash_one(endpoint);
        let place = usize::try_from(hash % PLACES as u64).ok()?;
        Some((self.places.get(place)?, hash & !0xff))
    }

    /// Counts one more; tells whether they are too many.
    fn raise(&self, endpoint: Id) -> bool {
        let Some((place, owner)) = self.place(endpoint) else {
            return false;
        };
        let before = place.load(Ordering::Relaxed);
        let count = match before & !0xff == owner {
            true => (before & 0xff).saturating_add(1).min(0xff),
            false => 1,
        };
        place.store(owner | count, Ordering::Relaxed);
        count >= ENDLESS
    }

    fn clear(&self, endpoint: Id) {
        if let Some((place, owner)) = self.place(endpoint)
            && place.load(Ordering::Relaxed) & !0xff == owner
        {
            place.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_stale_nonces_in_a_row_are_too_many_and_a_good_one_starts_anew() {
        let counts = StaleCounts::default();
        assert_eq!(
            [1, 1, 1, 1].map(|id| counts.raise(id)),
            [false, false, true, true]
        );
        counts.clear(1);
        assert_eq!([1, 1, 1].map(|id| counts.raise(id)), [false, false, true]);
        assert!(!counts.raise(2));
        counts.clear(2);
    }
}
