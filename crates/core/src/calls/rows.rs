//! The rows of a shard's calls on their way to the store, one batch after the other, so that the final row of a leg never
//! comes before its first.
//!
//! What comes up while a batch is being written is the next one: a commit costs more than all that one call writes.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use call::{CallNumber, Input, LegId};
use store::{CallRow, CallbackRow};

use crate::calls::Inner;

/// How often rows are tried to be written while the store is busy or away: about ten minutes.
const TRIES: u32 = 130;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A batch of so many calls shows that there is much to write; then the next one waits for company.
const BUSY: usize = 4;
/// As long.
const COMPANY: Duration = Duration::from_millis(2);

/// Rows of one call that travel together.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) rows: Vec<CallRow>,
    pub(crate) callbacks: Vec<CallbackRow>,
    /// The legs whose first or changed rows are in it: the call hears that they are on disk.
    pub(crate) recorded: Vec<LegId>,
}

/// The batch of one call, and how often it was tried.
#[derive(Debug)]
struct Part {
    call: CallNumber,
    batch: Batch,
    tries: u32,
}

/// What is to be written. Its length is bounded by the number of calls: each has few rows.
#[derive(Debug, Default)]
pub(crate) struct Rows(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    parts: VecDeque<Part>,
    /// Whether a task sees to them.
    is_written: bool,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.callbacks.is_empty()
    }
}

impl Rows {
    fn take(&self) -> Option<Vec<Part>> {
        let mut waiting = self.lock();
        waiting.is_written = !waiting.parts.is_empty();
        waiting
            .is_written
            .then(|| mem::take(&mut waiting.parts).into())
    }

    /// Puts those that were not written before what has come since.
    fn put_back(&self, parts: Vec<Part>) {
        let mut waiting = self.lock();
        for part in parts.into_iter().rev() {
            waiting.parts.push_front(part);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets the next batch start a task when this one panics; the panic hook has logged it, its rows are lost.
struct Writing<'a>(&'a Rows);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().is_written = false;
        }
    }
}

/// Has a batch of a call written; the call hears of it by [`Input::Recorded`].
pub(crate) fn put(calls: &Arc<Inner>, shard: u8, call: CallNumber, batch: Batch) {
    let is_written = {
        let mut waiting = calls.shard(shard).rows.lock();
        waiting.parts.push_back(Part {
            call,
            batch,
            tries: 0,
        });
        mem::replace(&mut waiting.is_written, true)
    };
    if !is_written {
        let written = write_all(Arc::clone(calls), shard);
        calls.tasks.spawn_on(written, calls.runtime_of(shard));
    }
}

/// Writes until nothing waits.
async fn write_all(calls: Arc<Inner>, shard: u8) {
    let rows = &calls.shard(shard).rows;
    let _writing = Writing(rows);
    let mut pause = FIRST_PAUSE;
    while let Some(parts) = rows.take() {
        let is_busy = parts.len() >= BUSY;
        let failed = write(&calls, parts).await;
        if !failed.is_empty() {
            rows.put_back(failed);
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
            continue;
        }
        pause = FIRST_PAUSE;
        if is_busy {
            tokio::time::sleep(COMPANY).await;
        }
    }
}

/// Writes the parts in one, or, if that does not go, each by itself; returns those that are to be tried again.
async fn write(calls: &Inner, parts: Vec<Part>) -> Vec<Part> {
    let rows = parts.iter().flat_map(|part| &part.batch.rows);
    let callbacks = parts.iter().flat_map(|part| &part.batch.callbacks);
    let put = calls
        .store
        .put_calls(rows.cloned().collect(), callbacks.cloned().collect());
    if put.await.is_ok() {
        for part in parts {
            written(calls, &part);
        }
        return Vec::new();
    }
    let mut failed = Vec::new();
    for mut part in parts {
        let (rows, callbacks) = (part.batch.rows.clone(), part.batch.callbacks.clone());
        let Err(error) = calls.store.put_calls(rows, callbacks).await else {
            written(calls, &part);
            continue;
        };
        tracing::warn!(%error, "the rows of a call are not written");
        part.tries += 1;
        if part.tries < TRIES {
            failed.push(part);
            continue;
        }
        let Batch {
            rows, callbacks, ..
        } = &part.batch;
        let (rows, callbacks) = (rows.len(), callbacks.len());
        tracing::error!(rows, callbacks, "the rows of a call are lost");
    }
    failed
}

/// Tells who waits for it.
fn written(calls: &Inner, part: &Part) {
    if !part.batch.callbacks.is_empty() {
        calls.outbox.wake();
    }
    for leg in &part.batch.recorded {
        calls.live.tell(part.call, Input::Recorded(*leg));
    }
}
