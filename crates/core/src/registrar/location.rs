//! Where endpoints are: bindings in memory, each of them on disk before anybody is told (RFC 3261 §10.2, §10.3).
//!
//! A change is decided, put into memory and handed to the store's queue under the lock of its endpoint, so that the order
//! in memory is the order on disk. Expired bindings count for nothing; a sweep removes them from memory and disk.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use dashmap::DashMap;
use jiff::Timestamp;
use sip::{Flow, FlowId};
use smallvec::SmallVec;
use store::{Binding, BindingChange, Completion, Id, Store};
use tokio::sync::oneshot;

use crate::Error;
use crate::directory::Device;

/// The table of bindings by endpoint; clones share it.
#[derive(Clone, Debug)]
pub struct Location(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    endpoints: DashMap<Id, Vec<Held>>,
    /// Which endpoints came over a stream connection of this process.
    flows: DashMap<u64, SmallVec<[Id; 1]>>,
    /// Who hears that the bindings of an endpoint changed.
    watcher: OnceLock<Watcher>,
}

/// Is told of each change while the endpoint is locked: it must not wait, nor ask the table.
struct Watcher(Box<dyn Fn(Id) + Send + Sync>);

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watcher")
    }
}

/// A binding in memory.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) binding: Binding,
    /// Whether its flow can carry a request: not after a restart, for a stream connection.
    pub(crate) reachable: bool,
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
}

/// How to put back what was there before a change.
#[derive(Debug, Default)]
struct Undo {
    before: Vec<Held>,
    /// Key, Call-ID and CSeq of what the change put in.
    put: Vec<(String, String, u32)>,
}

impl Undo {
    /// Puts back what was there, where nothing changed since.
    fn run(&self, entry: &mut Vec<Held>) {
        entry.retain(|held| {
            let binding = &held.binding;
            !self.put.iter().any(|(key, call_id, cseq)| {
                *key == binding.key && *call_id == binding.call_id && *cseq == binding.cseq
            })
        });
        for held in &self.before {
            if !entry.iter().any(|now| now.binding.key == held.binding.key) {
                entry.push(held.clone());
            }
        }
    }
}

/// What a change of an endpoint's bindings does.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// Keys of bindings that go.
    pub(crate) remove: Vec<String>,
    /// Bindings that come or take the place of one with the same key.
    pub(crate) put: Vec<Binding>,
}

impl Location {
    /// Makes an empty table over a store.
    pub fn new(store: Store) -> Self {
        Self(Arc::new(Inner {
            store,
            endpoints: DashMap::new(),
            flows: DashMap::new(),
            watcher: OnceLock::new(),
        }))
    }

    /// Tells somebody of the endpoints whose bindings change; only the first who asks is heard.
    pub(crate) fn tell(&self, watcher: impl Fn(Id) + Send + Sync + 'static) {
        // There is one core over a table.
        let _ = self.0.watcher.set(Watcher(Box::new(watcher)));
    }

    fn changed(&self, endpoint: Id) {
        if let Some(Watcher(told)) = self.0.watcher.get() {
            told(endpoint);
        }
    }

    /// Reads all bindings from the store. Those of stream connections belong to an earlier process: they are shown until
    /// they expire, and nothing is sent to them.
    pub(crate) async fn load(&self, now: Timestamp) -> Result<usize, Error> {
        let mut count = 0;
        self.0
            .store
            .load_bindings(|binding| {
                if binding.expires_at > now {
                    count += 1;
                    let reachable = binding.transport == store::Transport::Udp;
                    let mut held = self.0.endpoints.entry(binding.endpoint).or_default();
                    held.push(Held { binding, reachable });
                }
            })
            .await?;
        Ok(count)
    }

    /// Gives the live bindings of an endpoint, newest login first.
    pub fn bindings(&self, endpoint: Id, now: Timestamp) -> Vec<Binding> {
        self.live(endpoint, now)
            .into_iter()
            .map(|held| held.binding)
            .collect()
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
        let live = self.live(endpoint, now).into_iter();
        live.filter(|held| held.reachable)
            .filter(|held| device.is_none_or(|device| device.is_at(&held.binding)))
            .map(|held| Reach {
                flow: flow_of(&held.binding),
                contact: held.binding.contact,
                path: held.binding.path,
                instance: held.binding.instance,
            })
            .collect()
    }

    fn live(&self, endpoint: Id, now: Timestamp) -> Vec<Held> {
        let Some(held) = self.0.endpoints.get(&endpoint) else {
            return Vec::new();
        };
        let mut live: Vec<Held> = held
            .iter()
            .filter(|held| held.binding.expires_at > now)
            .cloned()
            .collect();
        drop(held);
        live.sort_by_key(|held| std::cmp::Reverse(held.binding.logged_in));
        live
    }

    /// Decides a change from the endpoint's live bindings and carries it out. What `decide` refuses with is handed back.
    /// `done` sees the bindings after the change and says what to do after the commit; when that fails, the bindings of
    /// before are put back first.
    pub(crate) fn change<R>(
        &self,
        endpoint: Id,
        now: Timestamp,
        decide: impl FnOnce(&[Held]) -> Result<Change, R>,
        done: impl FnOnce(&[Held]) -> Completion,
    ) -> Result<Result<(), R>, store::Error> {
        let mut entry = self.0.endpoints.entry(endpoint).or_default();
        entry.retain(|held| held.binding.expires_at > now);
        let change = match decide(&entry) {
            Ok(change) => change,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut undo = Undo::default();
        let mut rows = Vec::with_capacity(1);
        for key in change.remove {
            if let Some(at) = entry.iter().position(|held| held.binding.key == key) {
                undo.before.push(entry.remove(at));
                rows.push(BindingChange::Delete { endpoint, key });
            }
        }
        for binding in change.put {
            if binding.flow != FlowId::NONE.0 {
                self.note_flow(binding.flow, endpoint);
            }
            undo.put
                .push((binding.key.clone(), binding.call_id.clone(), binding.cseq));
            rows.push(BindingChange::Put(binding.clone()));
            let new = Held {
                binding,
                reachable: true,
            };
            match entry
                .iter_mut()
                .find(|held| held.binding.key == new.binding.key)
            {
                Some(held) => undo.before.push(std::mem::replace(held, new)),
                None => entry.push(new),
            }
        }
        let (undo, told) = (Arc::new(undo), done(&entry));
        let tell: Completion = {
            let (location, undo) = (self.clone(), Arc::clone(&undo));
            Box::new(move |outcome| {
                if outcome.is_err()
                    && let Some(mut entry) = location.0.endpoints.get_mut(&endpoint)
                {
                    undo.run(&mut entry);
                    location.changed(endpoint);
                }
                told(outcome);
            })
        };
        // Under the lock: a later change of this endpoint stands behind this one in the queue.
        if let Err(refused) = self.0.store.change_bindings(rows, tell) {
            undo.run(&mut entry);
            return Err(refused);
        }
        self.changed(endpoint);
        Ok(Ok(()))
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
        let is_live = |held: &Held| held.binding.flow == flow.0 && held.binding.expires_at > now;
        endpoints
            .iter()
            .filter_map(|endpoint| self.0.endpoints.get(endpoint))
            .any(|held| held.iter().any(is_live))
    }

    /// Removes the bindings of a stream connection that is gone.
    pub(crate) fn flow_closed(&self, flow: FlowId) {
        let Some((_, endpoints)) = self.0.flows.remove(&flow.0) else {
            return;
        };
        for endpoint in endpoints {
            let mut rows = Vec::new();
            if let Some(mut held) = self.0.endpoints.get_mut(&endpoint) {
                held.retain(|held| {
                    let stays = held.binding.flow != flow.0;
                    if !stays {
                        let key = held.binding.key.clone();
                        rows.push(BindingChange::Delete { endpoint, key });
                    }
                    stays
                });
                // A row that stays because the queue is full is never reached again and expires.
                if !rows.is_empty()
                    && self
                        .0
                        .store
                        .change_bindings(rows, Box::new(|_| ()))
                        .is_err()
                {
                    tracing::debug!(
                        endpoint,
                        "the row of a closed connection stays until it expires"
                    );
                }
                self.changed(endpoint);
            }
        }
    }

    /// Removes all bindings of an endpoint and waits until that is on disk.
    pub async fn drop_bindings(&self, endpoint: Id) -> Result<(), Error> {
        let (told, committed) = oneshot::channel();
        if let Some(mut held) = self.0.endpoints.get_mut(&endpoint) {
            let tell: Completion = Box::new(move |outcome| {
                // Nobody listens when the REST request was given up.
                let _: Result<(), _> = told.send(outcome);
            });
            let rows = vec![BindingChange::DeleteAll { endpoint }];
            self.0.store.change_bindings(rows, tell)?;
            held.clear();
            self.changed(endpoint);
        } else {
            return Ok(());
        }
        match committed.await {
            Ok(outcome) => Ok(outcome?),
            Err(_) => Err(store::Error::Closed.into()),
        }
    }

    /// Removes what has expired from memory and disk.
    pub(crate) async fn sweep(&self, now: Timestamp) {
        self.0.endpoints.retain(|endpoint, held| {
            let before = held.len();
            held.retain(|held| held.binding.expires_at > now);
            if held.len() != before {
                self.changed(*endpoint);
            }
            !held.is_empty()
        });
        // What is registered again meanwhile has a later time, in the table too.
        if let Err(error) = self.0.store.sweep_bindings(now).await {
            tracing::debug!(%error, "expired bindings stay on disk until the next sweep");
        }
    }

    /// Counts the bindings; what expired since the last sweep included.
    pub fn count(&self) -> usize {
        self.0.endpoints.iter().map(|held| held.len()).sum()
    }
}

/// Reads a binding's flow.
pub(crate) fn flow_of(binding: &Binding) -> Flow {
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

/// The address to send to for a datagram binding: the port that the Contact says when it names the host that the REGISTER
/// came from, else where the REGISTER came from, which is what leads through a NAT (RFC 3581 §4, RFC 5626 §5.3).
pub(crate) fn datagram_target(contact: &sip::Uri, source: SocketAddr) -> SocketAddr {
    let host = contact.host.trim_start_matches('[').trim_end_matches(']');
    let plain = contact
        .param("transport")
        .is_none_or(|transport| transport.eq_ignore_ascii_case("udp"));
    match host.parse::<std::net::IpAddr>() {
        Ok(address) if plain && address.to_canonical() == source.ip().to_canonical() => {
            SocketAddr::new(source.ip(), contact.port.unwrap_or(5060))
        }
        _ => source,
    }
}
