//! The rows of a shard's calls on their way to the store, those of a call in the order in which it wrote them.
//!
//! The first row of a call goes at once: the call waits for it. What comes up while a batch is being written is the next one: a
//! commit costs more than all that one call writes. The other rows wait for company a little longer, and of a leg that has
//! changed meanwhile only the last one is written. Rows that the store refuses are tried again beside the others: no
//! call waits for another one's.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use call::{CallNumber, Input, LegId};
use store::{CallRow, CallbackRow};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::calls::Inner;

/// How often rows are tried to be written while the store is busy or away: about ten minutes.
const TRIES: u32 = 130;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A batch of so many calls shows that there is much to write; then the next one waits for company.
const BUSY: usize = 4;
/// As long.
const COMPANY: Duration = Duration::from_millis(1);
/// How long rows wait that no call waits for.
const PATIENCE: Duration = Duration::from_millis(20);

/// Rows of one call that travel together.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) rows: Vec<Arc<CallRow>>,
    pub(crate) callbacks: Vec<CallbackRow>,
    /// Whether the call waits until they are on disk. Its first batch alone is of that kind.
    pub(crate) is_awaited: bool,
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
pub(crate) struct Rows {
    waiting: Mutex<Waiting>,
    /// Something came that a call waits for.
    came: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    awaited: Vec<Part>,
    patient: Vec<Part>,
    /// When the patient ones are written.
    due: Option<Instant>,
    /// What the store refused, with what its call has written since, and when it is tried again.
    refused: BTreeMap<CallNumber, (Part, Instant)>,
    /// Whether a task sees to them.
    is_written: bool,
}

/// What is to be done now.
#[derive(Debug)]
enum Next {
    Write(Vec<Part>),
    Wait(Instant),
    Nothing,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.callbacks.is_empty()
    }

    fn append(&mut self, mut later: Batch) {
        self.rows.append(&mut later.rows);
        self.callbacks.append(&mut later.callbacks);
        self.is_awaited |= later.is_awaited;
    }
}

impl Waiting {
    fn put(&mut self, call: CallNumber, batch: Batch, now: Instant) {
        if let Some((refused, _)) = self.refused.get_mut(&call) {
            refused.batch.append(batch);
            return;
        }
        let part = Part {
            call,
            batch,
            tries: 0,
        };
        if part.batch.is_awaited {
            self.awaited.push(part);
        } else {
            self.due.get_or_insert(now + PATIENCE);
            self.patient.push(part);
        }
    }

    fn next(&mut self, now: Instant) -> Next {
        let again = self.refused.extract_if(.., |_, (_, due)| *due <= now);
        let again: Vec<_> = again.map(|(_, (part, _))| part).collect();
        if !again.is_empty() {
            return Next::Write(again);
        }
        let mut parts = mem::take(&mut self.awaited);
        if self.due.is_some_and(|due| due <= now) {
            parts.append(&mut self.patient);
            self.due = None;
        }
        if !parts.is_empty() {
            return Next::Write(parts);
        }
        let refused = self.refused.values().map(|(_, due)| *due);
        match refused.chain(self.due).min() {
            Some(due) => Next::Wait(due),
            None => Next::Nothing,
        }
    }

    /// Keeps what was not written, before what its call has written since.
    fn put_back(&mut self, mut part: Part, now: Instant) {
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(part.tries - 1));
        for later in [&mut self.awaited, &mut self.patient] {
            for later in later.extract_if(.., |later| later.call == part.call) {
                part.batch.append(later.batch);
            }
        }
        let due = now + pause.min(LONGEST_PAUSE);
        self.refused.insert(part.call, (part, due));
    }
}

impl Rows {
    /// Says what is to be done; when it is nothing, the next batch has to start a task.
    fn next(&self) -> Next {
        let mut waiting = self.lock();
        let next = waiting.next(Instant::now());
        waiting.is_written = !matches!(next, Next::Nothing);
        next
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Has a batch of a call written; if the call awaits it, it hears of it by [`Input::Recorded`].
pub(crate) fn put(calls: &Arc<Inner>, shard: u8, call: CallNumber, batch: Batch) {
    let rows = &calls.shard(shard).rows;
    let is_awaited = batch.is_awaited;
    let is_written = {
        let mut waiting = rows.lock();
        waiting.put(call, batch, Instant::now());
        mem::replace(&mut waiting.is_written, true)
    };
    if !is_written {
        let written = write_all(Arc::clone(calls), shard);
        calls.tasks.spawn_on(written, calls.runtime_of(shard));
    } else if is_awaited {
        rows.came.notify_one();
    }
}

/// Writes until nothing waits.
async fn write_all(calls: Arc<Inner>, shard: u8) {
    let rows = &calls.shard(shard).rows;
    let _writing = Writing(rows);
    loop {
        let parts = match rows.next() {
            Next::Write(parts) => parts,
            Next::Wait(until) => {
                tokio::select! {
                    () = tokio::time::sleep_until(until) => (),
                    () = rows.came.notified() => (),
                }
                continue;
            }
            Next::Nothing => return,
        };
        let is_busy = parts.len() >= BUSY;
        write(&calls, rows, parts).await;
        if is_busy {
            tokio::time::sleep(COMPANY).await;
        }
    }
}

/// Writes the parts in one, or, if that does not go, each by itself; keeps those that are to be tried again.
async fn write(calls: &Inner, rows: &Rows, parts: Vec<Part>) {
    let all = parts.iter().flat_map(|part| &part.batch.rows);
    let callbacks = parts.iter().flat_map(|part| &part.batch.callbacks);
    let put = calls
        .store
        .put_calls(all.cloned().collect(), callbacks.cloned().collect());
    if put.await.is_ok() {
        for part in parts {
            written(calls, &part);
        }
        return;
    }
    for mut part in by_call(parts) {
        let batch = &part.batch;
        let (count, callbacks) = (batch.rows.len(), batch.callbacks.len());
        let put = calls
            .store
            .put_calls(batch.rows.clone(), batch.callbacks.clone());
        let Err(error) = put.await else {
            written(calls, &part);
            continue;
        };
        tracing::warn!(%error, "the rows of a call are not written");
        part.tries += 1;
        if part.tries < TRIES {
            rows.lock().put_back(part, Instant::now());
        } else {
            tracing::error!(rows = count, callbacks, "the rows of a call are lost");
        }
    }
}

/// Joins the parts of each call: none of its rows is written when an earlier one is refused.
fn by_call(parts: Vec<Part>) -> impl Iterator<Item = Part> {
    let mut calls = BTreeMap::new();
    for part in parts {
        match calls.entry(part.call) {
            Entry::Vacant(place) => {
                place.insert(part);
            }
            Entry::Occupied(mut before) => {
                let before: &mut Part = before.get_mut();
                before.batch.append(part.batch);
            }
        }
    }
    calls.into_values()
}

/// Tells who waits for it.
fn written(calls: &Inner, part: &Part) {
    if !part.batch.callbacks.is_empty() {
        calls.outbox.wake();
    }
    if part.batch.is_awaited {
        calls.live.tell(part.call, Input::Recorded(LegId::A));
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn batch(url: &str, is_awaited: bool) -> Batch {
        let callback = CallbackRow {
            id: 0,
            account: 1,
            call: None,
            flavor: store::Flavor::Plivo,
            url: url.to_owned(),
            method: store::HttpMethod::Post,
            body: serde_json::Value::Null,
            attempts: 0,
            next_at: Timestamp::UNIX_EPOCH,
            created: Timestamp::UNIX_EPOCH,
        };
        Batch {
            rows: Vec::new(),
            callbacks: vec![callback],
            is_awaited,
        }
    }

    fn to_write(waiting: &mut Waiting, now: Instant) -> Vec<Part> {
        match waiting.next(now) {
            Next::Write(parts) => parts,
            next => panic!("nothing to write: {next:?}"),
        }
    }

    /// The calls, and the order in which what they wrote would come to the store.
    fn shape(parts: &[Part]) -> Vec<(u64, Vec<&str>)> {
        parts
            .iter()
            .map(|part| {
                let urls = part.batch.callbacks.iter().map(|row| row.url.as_str());
                (part.call.0, urls.collect())
            })
            .collect()
    }

    #[test]
    fn what_a_call_waits_for_goes_at_once_and_the_rest_soon() {
        let (mut waiting, start) = (Waiting::default(), Instant::now());
        waiting.put(CallNumber(1), batch("late", false), start);
        waiting.put(CallNumber(2), batch("first", true), start);
        assert_eq!(shape(&to_write(&mut waiting, start)), [(2, vec!["first"])]);
        let due = start + PATIENCE;
        assert!(matches!(waiting.next(start), Next::Wait(at) if at == due));
        waiting.put(CallNumber(2), batch("second", false), start + PATIENCE / 2);
        assert_eq!(
            shape(&to_write(&mut waiting, due)),
            [(1, vec!["late"]), (2, vec!["second"])]
        );
        assert!(matches!(waiting.next(due), Next::Nothing));
    }

    #[test]
    fn refused_rows_hold_up_their_own_call_alone() {
        let (mut waiting, start) = (Waiting::default(), Instant::now());
        waiting.put(CallNumber(1), batch("first", true), start);
        let mut refused = to_write(&mut waiting, start);
        // Something came while it was tried, and something comes while it waits.
        waiting.put(CallNumber(1), batch("second", false), start);
        let mut part = refused.remove(0);
        part.tries = 1;
        waiting.put_back(part, start);
        waiting.put(CallNumber(1), batch("third", false), start);
        waiting.put(CallNumber(2), batch("other", true), start);
        assert_eq!(shape(&to_write(&mut waiting, start)), [(2, vec!["other"])]);
        let again = to_write(&mut waiting, start + FIRST_PAUSE);
        assert_eq!(shape(&again), [(1, vec!["first", "second", "third"])]);
        assert!(
            again
                .iter()
                .all(|part| part.batch.is_awaited && part.tries == 1)
        );
    }

    #[test]
    fn what_is_tried_alone_is_all_that_a_call_wrote() {
        let (mut waiting, start) = (Waiting::default(), Instant::now());
        waiting.put(CallNumber(1), batch("first", true), start);
        waiting.put(CallNumber(2), batch("other", false), start);
        waiting.put(CallNumber(1), batch("second", false), start);
        waiting.put(CallNumber(1), batch("third", false), start);
        let parts = to_write(&mut waiting, start + PATIENCE);
        assert_eq!(parts.len(), 4);
        let alone: Vec<_> = by_call(parts).collect();
        assert_eq!(
            shape(&alone),
            [(1, vec!["first", "second", "third"]), (2, vec!["other"])]
        );
        assert!(alone[0].batch.is_awaited);
    }

    #[test]
    fn pauses_grow_to_five_seconds() {
        let (mut waiting, start) = (Waiting::default(), Instant::now());
        for (tries, millis) in [(1, 50), (2, 100), (7, 3200), (8, 5000), (129, 5000)] {
            let part = Part {
                call: CallNumber(1),
                batch: batch("first", true),
                tries,
            };
            waiting.put_back(part, start);
            let due = start + Duration::from_millis(millis);
            assert!(
                matches!(waiting.next(start), Next::Wait(at) if at == due),
                "{tries}"
            );
            assert_eq!(to_write(&mut waiting, due).len(), 1);
        }
    }
}
