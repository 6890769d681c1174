//! Bindings: where an endpoint is reached. All of them are in memory, and each change is in the journal before anybody is
//! told of it.

mod legacy;
pub(crate) mod packed;
pub(crate) mod table;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use smallvec::SmallVec;
use tokio::sync::oneshot;

use crate::Id;
use crate::column::Word;
use crate::engine::{Completion, Durability, Store};
use crate::error::{Error, Result};
use crate::journal::frame;
use crate::journal::{Journal, Tell, Ticket, Watcher};

pub use packed::{Packed, View};
use table::{Entry, Table};

/// What carries the messages of a binding.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A stream.
    Tcp,
    /// An encrypted stream.
    Tls,
    /// RFC 7118 §3.
    Ws,
    /// RFC 7118 §3 over TLS.
    Wss,
}

impl Transport {
    /// Its name in lower case, as REST and the table spell it.
    pub fn name(self) -> &'static str {
        self.word()
    }
}

/// One contact of one endpoint (RFC 3261 §10.3).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Binding {
    /// Whose.
    pub endpoint: Id,
    /// What tells it from the endpoint's others: the contact's URI, or instance and registration id.
    pub key: String,
    /// The contact's URI as it was sent.
    pub contact: String,
    /// Of the REGISTER that made or refreshed it.
    pub call_id: String,
    /// Of the same.
    pub cseq: u32,
    /// When it lapses.
    pub expires_at: Timestamp,
    /// When it was made; a refresh does not move it.
    pub logged_in: Timestamp,
    /// What carries its messages.
    pub transport: Transport,
    /// Our address on that flow.
    pub local: SocketAddr,
    /// The phone's address as we see it.
    pub remote: SocketAddr,
    /// The number of the stream connection; 0 for datagrams.
    pub flow: u64,
    /// RFC 3327 §5.3.
    pub path: Option<String>,
    /// As the phone calls itself.
    pub user_agent: String,
    /// Preference in thousandths.
    pub q: u16,
    /// RFC 5626 §4.1.
    pub instance: Option<String>,
    /// RFC 5626 §4.2.
    pub reg_id: Option<u32>,
}

/// One change of the table.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all changes are of the large variant"
)]
pub enum BindingChange {
    /// Makes or replaces a binding.
    Put(Binding),
    /// Removes one.
    Delete {
        /// Whose.
        endpoint: Id,
        /// Which.
        key: String,
    },
    /// Removes all of an endpoint.
    DeleteAll {
        /// Whose.
        endpoint: Id,
    },
}

/// All bindings of a store. Clones share them.
#[derive(Clone)]
pub struct Bindings(Arc<Inner>);

struct Inner {
    table: Arc<Table>,
    journal: Journal,
}

/// What a change does to an endpoint's bindings, by their places.
#[derive(Default, Debug)]
pub struct Change {
    /// Places of bindings that go.
    pub remove: SmallVec<[usize; 1]>,
    /// Bindings that come, each in the place of the one with its key or as a new one.
    pub put: SmallVec<[(Option<usize>, Packed); 1]>,
}

/// How to put back what was there before a change.
#[derive(Debug)]
pub struct Undo {
    endpoint: Id,
    before: SmallVec<[Packed; 1]>,
    /// CSeq and expiry tell what the change put in from what came later.
    put: SmallVec<[(u32, i64); 1]>,
}

impl Undo {
    /// Whose bindings were changed.
    pub fn endpoint(&self) -> Id {
        self.endpoint
    }
}

impl Bindings {
    /// Opens them in a directory, or in memory alone.
    pub(crate) fn open(path: Option<&Path>, durability: Durability) -> Result<Self> {
        let table = Arc::new(Table::new());
        let journal = Journal::open(path, durability, &table)?;
        Ok(Bindings(Arc::new(Inner { table, journal })))
    }

    /// Looks at the bindings of an endpoint under its lock, lapsed ones included.
    pub fn look<R>(&self, endpoint: Id, look: impl FnOnce(&[Packed]) -> R) -> R {
        look(self.0.table.entry(endpoint).held())
    }

    /// Decides a change from the endpoint's bindings that are live at `now` and carries it out, under its lock. What
    /// `decide` refuses with is handed back. The outcome is told to the watcher of this number; the writer waits for
    /// [`Bindings::flush`]. `done` sees the bindings as they are then.
    pub fn change<R, T>(
        &self,
        endpoint: Id,
        now: Timestamp,
        watcher: u8,
        decide: impl FnOnce(&[Packed]) -> std::result::Result<Change, R>,
        done: impl FnOnce(&[Packed]) -> T,
    ) -> Result<std::result::Result<(Ticket, Undo, T), R>> {
        let mut entry = self.0.table.entry(endpoint);
        entry.forget_lapsed(now.as_microsecond());
        let change = match decide(entry.held()) {
            Ok(change) => change,
            Err(refusal) => {
                entry.tidy();
                return Ok(Err(refusal));
            }
        };
        let ticket = self
            .0
            .journal
            .append(Tell::Watcher(watcher), |bytes| {
                describe(bytes, endpoint, entry.held(), &change);
            })
            .inspect_err(|_| entry.tidy())?;
        let undo = apply(&mut entry, endpoint, change);
        let told = done(entry.held());
        entry.tidy();
        Ok(Ok((ticket, undo, told)))
    }

    /// Puts back what was there before a change that was not committed, where nothing changed since. Of several, the last
    /// is undone first.
    pub fn undo(&self, undo: &Undo) {
        let mut entry = self.0.table.entry(undo.endpoint);
        for &(cseq, expires_at) in &undo.put {
            let place = entry
                .held()
                .iter()
                .position(|packed| packed.expires_at() == expires_at && packed.view().cseq == cseq);
            if let Some(place) = place {
                entry.remove(place);
            }
        }
        for former in &undo.before {
            if entry.place(former.view().key).is_none() {
                entry.put(None, former.clone());
            }
        }
        // A batch whose sync failed may be on disk all the same: say once more what counts.
        let restored = self.0.journal.append(Tell::Nobody, |bytes| {
            let mut frame = frame::Writer::begin(bytes, undo.endpoint);
            frame.clear();
            for packed in entry.held() {
                frame.put(packed.bytes());
            }
            frame.finish();
        });
        if let Err(error) = restored {
            tracing::debug!(%error, endpoint = undo.endpoint, "an undone change is not noted");
        }
        entry.tidy();
    }

    /// Removes bindings of an endpoint without waiting; the writer is woken.
    pub fn remove(
        &self,
        endpoint: Id,
        goes: impl Fn(&Packed) -> bool,
    ) -> Result<SmallVec<[Packed; 1]>> {
        self.take(endpoint, goes, Tell::Nobody)
    }

    /// As [`Bindings::remove`]; returns when that is on disk.
    pub async fn end(
        &self,
        endpoint: Id,
        goes: impl Fn(&Packed) -> bool,
    ) -> Result<SmallVec<[Packed; 1]>> {
        let (told, committed) = oneshot::channel();
        let completion: Completion = Box::new(move |outcome| {
            // Nobody listens when the caller was cancelled: they are gone all the same.
            let _: std::result::Result<(), _> = told.send(outcome);
        });
        let gone = self.take(endpoint, goes, Tell::Completion(completion))?;
        if !gone.is_empty() {
            committed.await.map_err(|_| Error::Closed)??;
        }
        Ok(gone)
    }

    fn take(
        &self,
        endpoint: Id,
        goes: impl Fn(&Packed) -> bool,
        tell: Tell,
    ) -> Result<SmallVec<[Packed; 1]>> {
        let mut entry = self.0.table.entry(endpoint);
        let places = entry.held().iter().enumerate();
        let change = Change {
            remove: places
                .filter(|(_, packed)| goes(packed))
                .map(|(place, _)| place)
                .collect(),
            put: SmallVec::new(),
        };
        if change.remove.is_empty() {
            return Ok(SmallVec::new());
        }
        self.0.journal.append(tell, |bytes| {
            describe(bytes, endpoint, entry.held(), &change);
        })?;
        let undo = apply(&mut entry, endpoint, change);
        entry.tidy();
        drop(entry);
        self.0.journal.flush();
        Ok(undo.before)
    }

    /// Removes all bindings of an endpoint; returns when that is on disk.
    pub async fn clear(&self, endpoint: Id) -> Result<()> {
        self.end(endpoint, |_| true).await?;
        Ok(())
    }

    /// Makes changes of one endpoint as they are described.
    fn replay(
        &self,
        endpoint: Id,
        changes: Vec<BindingChange>,
        completion: Completion,
    ) -> Result<()> {
        let mut entry = self.0.table.entry(endpoint);
        self.0
            .journal
            .append(Tell::Completion(completion), |bytes| {
                let mut frame = frame::Writer::begin(bytes, endpoint);
                for change in &changes {
                    match change {
                        BindingChange::Put(binding) => {
                            frame.put(Packed::new(&binding.view(), true).bytes());
                        }
                        BindingChange::Delete { key, .. } => frame.delete(key),
                        BindingChange::DeleteAll { .. } => frame.clear(),
                    }
                }
                frame.finish();
            })?;
        for change in changes {
            match change {
                BindingChange::Put(binding) => {
                    let place = entry.place(&binding.key);
                    entry.put(place, Packed::new(&binding.view(), true));
                }
                BindingChange::Delete { key, .. } => {
                    if let Some(place) = entry.place(&key) {
                        entry.remove(place);
                    }
                }
                BindingChange::DeleteAll { .. } => entry.clear(),
            }
        }
        entry.tidy();
        Ok(())
    }

    /// Wakes the writer when changes wait for it: once a turn, for all changes of the turn.
    pub fn flush(&self) {
        self.0.journal.flush();
    }

    /// Enters a watcher (0 to 63); `wake` is called on the writer's thread after each batch that has changes of this
    /// number. It must not wait.
    pub fn watch(&self, number: u8, wake: impl Fn() + Send + Sync + 'static) -> Arc<Watcher> {
        self.0.journal.watch(number, wake)
    }

    /// Forgets what lapsed by then, and tells of each; returns how many. The journal needs no word of it.
    pub fn sweep(&self, now: Timestamp, each: impl FnMut(Id, &Packed)) -> usize {
        self.0.table.sweep(now.as_microsecond(), each)
    }

    /// Marks those of stream connections as not to be reached: the connections belong to an earlier process.
    pub fn forget_flows(&self) {
        self.0.table.each(|_, held| {
            for packed in held {
                let datagrams = packed.view().transport == Transport::Udp;
                packed.set_reachable(datagrams);
            }
        });
    }

    /// Gives the endpoints that have bindings, lapsed ones included.
    pub fn endpoints(&self) -> Vec<Id> {
        let mut endpoints = Vec::new();
        self.0.table.each(|endpoint, held| {
            if !held.is_empty() {
                endpoints.push(endpoint);
            }
        });
        endpoints
    }

    /// Counts them, lapsed ones included.
    pub fn count(&self) -> usize {
        self.0.table.count()
    }

    pub(crate) fn close(&self) {
        self.0.journal.close();
    }
}

impl std::fmt::Debug for Bindings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bindings({})", self.count())
    }
}

/// Writes a change as a record.
fn describe(bytes: &mut Vec<u8>, endpoint: Id, held: &[Packed], change: &Change) {
    let mut frame = frame::Writer::begin(bytes, endpoint);
    for packed in change.remove.iter().filter_map(|place| held.get(*place)) {
        frame.delete(packed.view().key);
    }
    for (_, packed) in &change.put {
        frame.put(packed.bytes());
    }
    frame.finish();
}

fn apply(entry: &mut Entry<'_>, endpoint: Id, change: Change) -> Undo {
    let mut undo = Undo {
        endpoint,
        before: SmallVec::new(),
        put: SmallVec::new(),
    };
    for (place, packed) in change.put {
        undo.put.push((packed.view().cseq, packed.expires_at()));
        undo.before.extend(entry.put(place, packed));
    }
    // The last ones first: what is put in comes to the end, so that the places of the others stay.
    let mut remove = change.remove;
    remove.sort_unstable();
    for place in remove.into_iter().rev() {
        undo.before.extend(entry.remove(place));
    }
    undo
}

impl Store {
    /// The bindings.
    pub fn bindings(&self) -> &Bindings {
        self.bindings_ref()
    }

    /// Makes changes of bindings as they are described; all of one endpoint hold together. Never waits.
    pub fn change_bindings(&self, changes: Vec<BindingChange>, tell: Completion) -> Result<()> {
        let endpoint_of = |change: &BindingChange| match change {
            BindingChange::Put(binding) => binding.endpoint,
            BindingChange::Delete { endpoint, .. } | BindingChange::DeleteAll { endpoint } => {
                *endpoint
            }
        };
        let mut tell = Some(tell);
        let mut rest = changes.into_iter().peekable();
        while let Some(first) = rest.next() {
            let endpoint = endpoint_of(&first);
            let mut same = vec![first];
            while let Some(next) = rest.next_if(|next| endpoint_of(next) == endpoint) {
                same.push(next);
            }
            let completion: Completion = match rest.peek() {
                Some(_) => Box::new(|_| ()),
                None => tell.take().unwrap_or_else(|| Box::new(|_| ())),
            };
            self.bindings().replay(endpoint, same, completion)?;
        }
        self.bindings().flush();
        Ok(())
    }

    /// Sees all bindings, lapsed ones too, in no order.
    pub async fn load_bindings(&self, mut each: impl FnMut(Binding)) -> Result<()> {
        self.bindings().0.table.each(|endpoint, held| {
            for packed in held {
                each(packed.view().binding(endpoint));
            }
        });
        Ok(())
    }

    /// How many there are, lapsed ones included.
    pub async fn count_bindings(&self) -> Result<u64> {
        Ok(self.bindings().count() as u64)
    }
}
