//! Where endpoints are: bindings in memory, each of them on disk before anybody is told (RFC 3261 §10.2, §10.3).
//!
//! A change is decided, put into memory and handed to the store's journal under the lock of its endpoint, so that the order
//! in memory is the order on disk. Expired bindings count for nothing; a sweep removes them.

use std::fmt;
use std::sync::{Arc, OnceLock};

use dashmap::DashMap;
use jiff::Timestamp;
use sip::{Flow, FlowId, PingMark};
use smallvec::SmallVec;
use store::{Binding, Bindings, Change, Id, Packed, Store, Ticket, Undo, View, Watcher};

use crate::Error;
use crate::directory::Device;
use crate::registrar::events::{EventKind, Listener};
use crate::registrar::ping::Awaited;

/// The table of bindings by endpoint; clones share it.
#[derive(Clone, Debug)]
pub struct Location(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bindings: Bindings,
    /// Phones that were pinged and have not answered.
    awaited: Awaited,
    /// Hears of bindings that go without a REGISTER; set once, when there is somebody to hear.
    listener: OnceLock<Listener>,
    /// Which endpoints came over a stream connection of this process.
    flows: DashMap<u64, SmallVec<[Id; 1]>>,
    /// Who hears that the bindings of an endpoint changed.
    told: OnceLock<Told>,
    /// Who hears of phones that came over another flow than before.
    follower: OnceLock<Follower>,
}

/// Is told of each change, maybe while a table is locked: it must not wait, nor ask the table.
struct Told(Box<dyn Fn(Id) + Send + Sync>);

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Told")
    }
}

/// Is told of an endpoint's phone that has registered over a new flow, by its contact; under the same rules.
struct Follower(Box<Follow>);

type Follow = dyn Fn(Id, &str, Flow) + Send + Sync;

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Follower")
    }
}

/// How a binding is reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reach {
    /// The URI that the phone gave, as sent.
    pub contact: String,
    /// The flow that carries requests to it.
    pub flow: Flow,
    /// The proxies that requests to it pass, as in Path (RFC 3327).
    pub path: Option<String>,
    /// Which device it is, when it said so (RFC 5626 §4.1).
    pub instance: Option<String>,
    /// Its preference in thousandths (RFC 3261 §20.10).
    pub q: u16,
}

impl Location {
    /// Makes the view of a store's bindings.
    pub fn new(store: &Store) -> Self {
        Self(Arc::new(Inner {
            bindings: store.bindings().clone(),
            awaited: Awaited::default(),
            listener: OnceLock::new(),
            flows: DashMap::new(),
            told: OnceLock::new(),
            follower: OnceLock::new(),
        }))
    }

    /// Tells somebody of the endpoints whose bindings change; only the first who asks is heard.
    pub(crate) fn watched_by(&self, told: impl Fn(Id) + Send + Sync + 'static) {
        // There is one core over a table.
        let _ = self.0.told.set(Told(Box::new(told)));
    }

    /// Tells somebody of phones that come over a new flow; only the first who asks is heard.
    pub(crate) fn followed_by(&self, follow: impl Fn(Id, &str, Flow) + Send + Sync + 'static) {
        let _ = self.0.follower.set(Follower(Box::new(follow)));
    }

    fn changed(&self, endpoint: Id) {
        if let Some(Told(told)) = self.0.told.get() {
            told(endpoint);
        }
    }

    /// Forgets what expired since the last process ran, and the connections of that one: what came over them is shown until
    /// it expires, and nothing is sent there. Answers how many bindings are left.
    pub(crate) fn begin(&self, now: Timestamp) -> usize {
        self.0.bindings.sweep(now, |_, _| ());
        self.0.bindings.forget_flows();
        self.0.bindings.count()
    }

    /// Gives the live bindings of an endpoint, newest login first.
    pub fn bindings(&self, endpoint: Id, now: Timestamp) -> Vec<Binding> {
        self.live(endpoint, now, |_, view| Some(view.binding(endpoint)))
    }

    /// Gives the ways to an endpoint's phones, newest login first.
    pub fn reach(&self, endpoint: Id, now: Timestamp) -> Vec<Reach> {
        self.reach_at(endpoint, now, None)
    }

    /// Gives the ways to an endpoint's phones, or to one of its devices only.
    pub(crate) fn reach_at(
        &self,
        endpoint: Id,
        now: Timestamp,
        device: Option<&Device>,
    ) -> Vec<Reach> {
        let mut ways = self.ways(endpoint, now);
        ways.retain(|(binding, _)| device.is_none_or(|device| device.is_at(binding)));
        // A phone that leaves its pings unanswered is called when no other can be.
        let answers = |binding: &Binding| !self.0.awaited.is_silent(binding);
        if ways.iter().any(|(binding, _)| answers(binding)) {
            ways.retain(|(binding, _)| answers(binding));
        }
        ways.into_iter().map(|(_, reach)| reach).collect()
    }

    /// Gives the bindings of an endpoint that requests can be sent to, newest login first.
    pub(crate) fn ways(&self, endpoint: Id, now: Timestamp) -> Vec<(Binding, Reach)> {
        self.live(endpoint, now, |packed, view| {
            packed.is_reachable().then(|| {
                let reach = Reach {
                    flow: flow_of(view),
                    q: view.q,
                    contact: view.contact.to_owned(),
                    path: view.path.map(str::to_owned),
                    instance: view.instance.map(str::to_owned),
                };
                (view.binding(endpoint), reach)
            })
        })
    }

    /// Gives the endpoints that have bindings.
    pub(crate) fn endpoints(&self) -> Vec<Id> {
        self.0.bindings.endpoints()
    }

    /// Gives the phones that were pinged and have not answered.
    pub(crate) fn awaited(&self) -> &Awaited {
        &self.0.awaited
    }

    /// Takes the answer to a ping.
    pub fn pong(&self, mark: PingMark, now: Timestamp) {
        if !self.0.awaited.heard(mark) {
            return;
        }
        let endpoint = mark.0[0].cast_signed();
        for binding in self.bindings(endpoint, now) {
            if self.0.awaited.mark(&binding) == mark {
                self.tell(EventKind::Refreshed, endpoint, || binding);
            }
        }
    }

    fn live<T>(
        &self,
        endpoint: Id,
        now: Timestamp,
        each: impl Fn(&Packed, &View<'_>) -> Option<T>,
    ) -> Vec<T> {
        let now = now.as_microsecond();
        let mut live: SmallVec<[(i64, T); 4]> = self.0.bindings.look(endpoint, |held| {
            let live = held.iter().filter(|packed| packed.expires_at() > now);
            live.filter_map(|packed| {
                let view = packed.view();
                Some((view.logged_in, each(packed, &view)?))
            })
            .collect()
        });
        live.sort_by_key(|(logged_in, _)| std::cmp::Reverse(*logged_in));
        live.into_iter().map(|(_, one)| one).collect()
    }

    /// Decides a change from the endpoint's live bindings and carries it out. What `decide` refuses with is handed back.
    /// `done` sees the bindings after the change. The outcome is told to the shard's watcher; when the change was not
    /// committed, [`Location::undo`] puts back what was there.
    pub(crate) fn change<R, T>(
        &self,
        endpoint: Id,
        now: Timestamp,
        shard: u8,
        decide: impl FnOnce(&[Packed]) -> Result<Change, R>,
        done: impl FnOnce(&[Packed]) -> T,
    ) -> Result<Result<(Ticket, Undo, T), R>, store::Error> {
        let decide = |held: &[Packed]| {
            let change = decide(held)?;
            for (place, packed) in &change.put {
                let view = packed.view();
                let flow = view.flow;
                self.0.awaited.registered(endpoint, &view);
                let before = place.and_then(|place| held.get(place));
                if let Some(Follower(follow)) = self.0.follower.get()
                    && before.is_none_or(|before| flow_of(&before.view()) != flow_of(&view))
                    && view.path.is_none()
                {
                    follow(endpoint, view.contact, way_to(&view));
                }
                if flow != FlowId::NONE.0 {
                    self.note_flow(flow, endpoint);
                }
            }
            Ok(change)
        };
        let outcome = self.0.bindings.change(endpoint, now, shard, decide, done);
        if matches!(&outcome, Ok(Ok(_))) {
            self.changed(endpoint);
        }
        outcome
    }

    /// Puts back what was there before a change that was not committed.
    pub(crate) fn undo(&self, undo: &Undo) {
        self.0.bindings.undo(undo);
        self.changed(undo.endpoint());
    }

    /// Wakes the journal's writer when changes wait for it.
    pub(crate) fn flush(&self) {
        self.0.bindings.flush();
    }

    /// Enters the watcher of a shard's changes.
    pub(crate) fn watch(&self, shard: u8, wake: impl Fn() + Send + Sync + 'static) -> Arc<Watcher> {
        self.0.bindings.watch(shard, wake)
    }

    /// Sets who hears of bindings that go without a REGISTER.
    pub(crate) fn heard_by(&self, listener: Listener) {
        // There is one Core over a table, so the first one stays.
        let _: Result<(), _> = self.0.listener.set(listener);
    }

    /// Tells of something that happened to a binding without a REGISTER.
    pub(crate) fn tell(&self, kind: EventKind, endpoint: Id, binding: impl FnOnce() -> Binding) {
        if let Some(listener) = self.0.listener.get() {
            listener.gone(kind, endpoint, binding);
        }
    }

    /// Tells of bindings of an endpoint that lapsed and are not swept yet: the next change forgets them.
    pub(crate) fn tell_lapsed(&self, endpoint: Id, now: Timestamp) {
        let now = now.as_microsecond();
        let lapsed: SmallVec<[Binding; 1]> = self.0.bindings.look(endpoint, |held| {
            let lapsed = held.iter().filter(|packed| packed.expires_at() <= now);
            lapsed
                .map(|packed| packed.view().binding(endpoint))
                .collect()
        });
        let Some(listener) = self.0.listener.get() else {
            return;
        };
        for binding in lapsed {
            listener.gone(EventKind::Expired, endpoint, || binding);
        }
    }

    fn note_flow(&self, flow: u64, endpoint: Id) {
        let mut endpoints = self.0.flows.entry(flow).or_default();
        if !endpoints.contains(&endpoint) {
            endpoints.push(endpoint);
        }
    }

    /// Whether a live binding came over this stream connection.
    pub(crate) fn is_bound_to(&self, flow: FlowId, now: Timestamp) -> bool {
        // Copied out: no lock is held while the other table is asked.
        let Some(endpoints) = self.0.flows.get(&flow.0).map(|found| found.clone()) else {
            return false;
        };
        let now = now.as_microsecond();
        let is_live = |packed: &Packed| packed.view().flow == flow.0 && packed.expires_at() > now;
        endpoints.iter().any(|endpoint| {
            self.0
                .bindings
                .look(*endpoint, |held| held.iter().any(is_live))
        })
    }

    /// Removes the bindings of a stream connection that is gone.
    pub(crate) fn flow_closed(&self, flow: FlowId) {
        let Some((_, endpoints)) = self.0.flows.remove(&flow.0) else {
            return;
        };
        for endpoint in endpoints {
            let gone = self
                .0
                .bindings
                .remove(endpoint, |packed| packed.view().flow == flow.0);
            // What stays because the journal is full is never reached again and expires.
            if let Ok(gone) = &gone {
                for packed in gone {
                    self.tell(EventKind::FlowLost, endpoint, || {
                        packed.view().binding(endpoint)
                    });
                }
            }
            if let Err(error) = gone {
                tracing::debug!(endpoint, %error, "the binding of a closed connection stays until it expires");
            }
            self.changed(endpoint);
        }
    }

    /// Ends the live bindings of an endpoint whose keys are asked for; returns them once that is on disk.
    pub(crate) async fn end(
        &self,
        endpoint: Id,
        now: Timestamp,
        goes: impl Fn(&str) -> bool,
    ) -> Result<Vec<Binding>, Error> {
        let now = now.as_microsecond();
        let goes = |packed: &Packed| packed.expires_at() > now && goes(packed.view().key);
        let gone = self.0.bindings.end(endpoint, goes).await?;
        self.changed(endpoint);
        let gone = gone.iter().map(|packed| packed.view().binding(endpoint));
        Ok(gone.collect())
    }

    /// Removes all bindings of an endpoint and waits until that is on disk.
    pub async fn drop_bindings(&self, endpoint: Id) -> Result<(), Error> {
        for packed in self.0.bindings.end(endpoint, |_| true).await? {
            self.tell(EventKind::Unregistered, endpoint, || {
                packed.view().binding(endpoint)
            });
        }
        self.changed(endpoint);
        Ok(())
    }

    /// Removes what has expired.
    pub(crate) fn sweep(&self, now: Timestamp) {
        self.0.bindings.sweep(now, |endpoint, packed| {
            self.tell(EventKind::Expired, endpoint, || {
                packed.view().binding(endpoint)
            });
            self.changed(endpoint);
        });
    }

    /// Counts the bindings; what expired since the last sweep included.
    pub fn count(&self) -> usize {
        self.0.bindings.count()
    }
}

/// Reads a binding's flow.
pub(crate) fn flow_of(binding: &View<'_>) -> Flow {
    let transport = match binding.transport {
        store::Transport::Udp => sip::Transport::Udp,
        store::Transport::Tcp => sip::Transport::Tcp,
        store::Transport::Tls => sip::Transport::Tls,
        store::Transport::Ws => sip::Transport::Ws,
        store::Transport::Wss => sip::Transport::Wss,
    };
    Flow {
        transport,
        id: FlowId(binding.flow),
        local: binding.local,
        remote: binding.remote,
    }
}

/// The flow of requests to a phone that registered here directly.
fn way_to(binding: &View<'_>) -> Flow {
    let flow = flow_of(binding);
    let contact = sip::Uri::parse(&binding.contact.into());
    match contact {
        Ok(contact) if !flow.transport.is_reliable() => Flow {
            remote: sip::target::datagram_target(&contact, flow.remote),
            ..flow
        },
        _ => flow,
    }
}

/// Spells a transport as the store keeps it.
pub(crate) fn transport_of(flow: Flow) -> store::Transport {
    match flow.transport {
        sip::Transport::Udp => store::Transport::Udp,
        sip::Transport::Tcp => store::Transport::Tcp,
        sip::Transport::Tls => store::Transport::Tls,
        sip::Transport::Ws => store::Transport::Ws,
        sip::Transport::Wss => store::Transport::Wss,
    }
}
