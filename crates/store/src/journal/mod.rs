//! The journal of bindings: an append-only log with one writer thread and group commit.
//!
//! A change is written into the waiting buffer under the lock of its endpoint, so that the order on disk is the order in
//! memory. The writer takes the whole buffer, writes it, syncs it (`Durability::Power`), and tells those who wait; what
//! comes meanwhile is the next batch. Old segments are cleaned: what is live in the oldest is written again at the end, and
//! the file goes, once everything that was decided until then is on disk.

mod cleaning;
mod examine;
pub(crate) mod frame;
mod preparing;
mod recovery;
mod segment;
mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use smallvec::SmallVec;

use crate::binding::table::Table;
use crate::engine::{Completion, Durability};
use crate::error::{Error, Result};
use segment::Directory;

pub use examine::{Entry, examine};

/// Octets of records that may wait for the writer; the next change is refused with [`Error::Busy`]. At a hundred octets
/// each that is ten times what a processor registers in the time of a slow commit.
const WAITING: usize = 4 << 20;

/// Watchers that there may be: bits of a batch's mask.
pub(crate) const WATCHERS: usize = 64;

/// The place of a change in the order of all changes; its outcome is told by [`Watcher::take`].
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Ticket(u64);

/// What became of a batch: of all tickets up to this one that were not told of before.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The last ticket of the batch.
    pub to: Ticket,
    /// Whether it is on disk.
    pub committed: bool,
}

/// Who waits for changes of his own without a completion for each.
pub struct Watcher {
    outcomes: Mutex<SmallVec<[Outcome; 4]>>,
    any: AtomicBool,
    wake: Box<dyn Fn() + Send + Sync>,
}

/// Who is told of a change's outcome.
pub(crate) enum Tell {
    /// The watcher of this number.
    Watcher(u8),
    Completion(Completion),
    Nobody,
}

/// The journal, and the thread that writes it.
pub(crate) struct Journal {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    state: Mutex<State>,
    work: Condvar,
    watchers: Mutex<Vec<(u8, Arc<Watcher>)>>,
}

/// What waits for the writer.
#[derive(Default)]
struct State {
    batch: Batch,
    /// Changes so far.
    appended: u64,
    /// The writer sleeps.
    idle: bool,
    /// No more changes are taken; the writer ends when it has written what waits.
    closed: bool,
}

#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    completions: Vec<Completion>,
    /// A bit for each watcher with a change in it.
    watchers: u64,
    /// The ticket of the last change.
    to: u64,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watcher {
    /// Takes the outcomes that came since the last time, oldest first.
    pub fn take(&self) -> SmallVec<[Outcome; 4]> {
        if !self.any.swap(false, Ordering::Acquire) {
            return SmallVec::new();
        }
        let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *outcomes)
    }

    fn tell(&self, outcome: Outcome) {
        let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        // As few as possible however long nobody asks.
        match outcomes.last_mut() {
            Some(last) if last.committed == outcome.committed => last.to = outcome.to,
            _ => outcomes.push(outcome),
        }
        drop(outcomes);
        self.any.store(true, Ordering::Release);
        (self.wake)();
    }
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watcher")
    }
}

impl Journal {
    /// Opens the journal in a directory and fills the table from it; without one nothing outlives the process. A journal
    /// that another process has open takes no changes here.
    pub(crate) fn open(
        path: Option<&Path>,
        durability: Durability,
        table: &Arc<Table>,
    ) -> Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            work: Condvar::new(),
            watchers: Mutex::default(),
        });
        let disk = match path {
            None => None,
            Some(path) => match Directory::open(path).map_err(Error::Journal)? {
                Some(directory) => {
                    let recovered = recovery::recover(&directory, table).map_err(Error::Journal)?;
                    Some(writer::Disk::new(directory, recovered, durability))
                }
                None => {
                    shared.lock().closed = true;
                    return Ok(Journal {
                        shared,
                        thread: Mutex::default(),
                    });
                }
            },
        };
        let writer = writer::Writer::new(Arc::clone(&shared), Arc::clone(table), disk);
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run())
            .map_err(Error::Journal)?;
        Ok(Journal {
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Adds one record to what waits. The caller holds the lock of its endpoint; the writer may have to be woken
    /// ([`Journal::flush`]).
    pub(crate) fn append(&self, tell: Tell, write: impl FnOnce(&mut Vec<u8>)) -> Result<Ticket> {
        let mut state = self.shared.lock();
        if state.closed {
            return Err(Error::Closed);
        }
        if state.batch.bytes.len() >= WAITING {
            return Err(Error::Busy);
        }
        write(&mut state.batch.bytes);
        state.appended += 1;
        state.batch.to = state.appended;
        match tell {
            Tell::Watcher(number) => state.batch.watchers |= 1 << (u32::from(number) % 64),
            Tell::Completion(completion) => state.batch.completions.push(completion),
            Tell::Nobody => {}
        }
        Ok(Ticket(state.appended))
    }

    /// Wakes the writer when something waits for it.
    pub(crate) fn flush(&self) {
        let mut state = self.shared.lock();
        if state.idle && !state.batch.bytes.is_empty() {
            state.idle = false;
            drop(state);
            self.shared.work.notify_one();
        }
    }

    /// Enters a watcher; `wake` is called on the writer's thread after each batch with a change of this number.
    pub(crate) fn watch(
        &self,
        number: u8,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Arc<Watcher> {
        let watcher = Arc::new(Watcher {
            outcomes: Mutex::default(),
            any: AtomicBool::new(false),
            wake: Box::new(wake),
        });
        let number = number % WATCHERS as u8;
        let mut watchers = self
            .shared
            .watchers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        watchers.retain(|(other, _)| *other != number);
        watchers.push((number, Arc::clone(&watcher)));
        watcher
    }

    /// Takes no more changes, and returns when what waited is written.
    pub(crate) fn close(&self) {
        let thread = {
            let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
            thread.take()
        };
        self.shared.lock().closed = true;
        self.shared.work.notify_one();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the journal's writer panicked");
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A journal whose writer does not run.
    fn without_writer() -> Journal {
        Journal {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                work: Condvar::new(),
                watchers: Mutex::default(),
            }),
            thread: Mutex::default(),
        }
    }

    #[test]
    fn a_full_buffer_refuses_and_a_closed_journal_too() {
        let journal = without_writer();
        let record = |bytes: &mut Vec<u8>| bytes.extend_from_slice(&[0; 1 << 20]);
        for number in 1..=4 {
            let ticket = journal.append(Tell::Nobody, record);
            assert_eq!(ticket.ok(), Some(Ticket(number)));
        }
        assert!(matches!(
            journal.append(Tell::Nobody, record),
            Err(Error::Busy)
        ));
        journal.close();
        assert!(matches!(
            journal.append(Tell::Nobody, record),
            Err(Error::Closed)
        ));
    }

    #[test]
    fn outcomes_that_nobody_asked_for_are_joined_as_far_as_they_are_the_same() {
        let journal = without_writer();
        let watcher = journal.watch(1, || ());
        let outcome = |to, committed| Outcome {
            to: Ticket(to),
            committed,
        };
        for (to, committed) in [(3, true), (5, true), (6, false), (9, false), (12, true)] {
            watcher.tell(outcome(to, committed));
        }
        let expected = [outcome(5, true), outcome(9, false), outcome(12, true)];
        assert_eq!(watcher.take().as_slice(), expected);
        assert!(watcher.take().is_empty());
    }
}
