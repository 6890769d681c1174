//! The thread that writes the journal: batches, commits, and the cleaning of old segments.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, PoisonError};

use super::frame::{self, Next};
use super::recovery::Recovered;
use super::segment::{self, Directory, Listed, Open};
use super::{Batch, Outcome, Shared, Ticket};
use crate::binding::table::Table;
use crate::engine::Durability;
use crate::error::Error;

/// Dead octets that are left lying, beside as many as live ones.
const TOLERATED: u64 = 64 << 20;
/// Octets of an old segment that are looked through between two batches, or twice what the batch wrote: the cleaning has
/// to be faster than the writing.
const STEP: usize = 256 << 10;

/// Where the journal is written.
pub(super) struct Disk {
    directory: Directory,
    open: Open,
    /// Segments before the open one, oldest first, with their octets.
    sealed: VecDeque<(Listed, u64)>,
    sync: bool,
    /// The open segment's file is not to be trusted: a sync failed.
    broken: bool,
    cleaning: Option<Cleaning>,
}

/// The oldest segment on its way out.
struct Cleaning {
    bytes: Vec<u8>,
    at: usize,
    /// What was decided when the last record had been looked at; the file goes when that is on disk.
    until: Option<u64>,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    table: Arc<Table>,
    disk: Option<Disk>,
    /// Given back and forth with the shared state, so that buffers keep their room.
    batch: Batch,
    /// Live records of an old segment, to be written behind the batch.
    again: Vec<u8>,
}

impl Disk {
    pub(super) fn new(directory: Directory, recovered: Recovered, durability: Durability) -> Self {
        Disk {
            directory,
            open: recovered.open,
            sealed: recovered.sealed.into(),
            sync: durability == Durability::Power,
            broken: false,
            cleaning: None,
        }
    }

    /// Writes records and makes them last as long as they should.
    fn commit(&mut self, records: [&[u8]; 2]) -> io::Result<()> {
        let length: u64 = records.iter().map(|records| records.len() as u64).sum();
        if length == 0 {
            return Ok(());
        }
        let is_empty = self.open.end <= segment::HEADER as u64;
        if self.broken || !is_empty && self.open.end + length > segment::LENGTH {
            self.roll()?;
        }
        let before = self.open.end;
        for part in records.into_iter().filter(|part| !part.is_empty()) {
            if let Err(error) = self.open.write(part) {
                // Nothing of the batch stays, so that a later record never lies behind a part of it.
                self.open.end = before;
                self.broken = self.open.wipe().is_err();
                return Err(error);
            }
        }
        if self.sync {
            // What a failed sync leaves in the file is unknown: it gets no more records.
            self.open.sync().inspect_err(|_| self.broken = true)?;
        }
        Ok(())
    }

    /// Goes on in a new segment.
    fn roll(&mut self) -> io::Result<()> {
        if !self.sync && !self.broken {
            self.open.sync()?;
        }
        let next = self.directory.create(self.open.number + 1)?;
        let former = std::mem::replace(&mut self.open, next);
        self.broken = false;
        let path = self.directory.path_of(former.number);
        let listed = Listed {
            number: former.number,
            path,
        };
        self.sealed.push_back((listed, former.end));
        Ok(())
    }

    /// Whether the oldest segment has to go.
    fn is_wasteful(&self, live: u64) -> bool {
        let all: u64 = self.sealed.iter().map(|(_, length)| length).sum();
        !self.sealed.is_empty() && all + self.open.end > TOLERATED + 2 * live
    }

    /// Looks through a part of the oldest segment and copies what is live; `decided` is the last change so far.
    fn clean(
        &mut self,
        step: usize,
        table: &Table,
        again: &mut Vec<u8>,
        decided: impl FnOnce() -> u64,
    ) {
        let Some(cleaning) = &mut self.cleaning else {
            let Some((oldest, _)) = self.sealed.front() else {
                return;
            };
            match oldest.read() {
                Ok(bytes) => {
                    self.cleaning = Some(Cleaning {
                        bytes: bytes.unwrap_or_default(),
                        at: segment::HEADER,
                        until: None,
                    });
                }
                Err(error) => {
                    tracing::error!(%error, path = %oldest.path.display(), "a segment of bindings cannot be read and stays");
                    // The others are cleaned in its place; it is read again at the next start.
                    self.sealed.pop_front();
                }
            }
            return;
        };
        let stop = cleaning.at + step;
        while cleaning.at < stop {
            match frame::next(&cleaning.bytes, cleaning.at) {
                Next::Frame(frame, next) => {
                    for packed in frame.puts() {
                        // Under the lock of its stripe a binding is live or has a newer record behind this one.
                        if table.holds(frame.endpoint, packed) {
                            let mut copy = frame::Writer::begin(again, frame.endpoint);
                            copy.put(packed);
                            copy.finish();
                        }
                    }
                    cleaning.at = next;
                }
                Next::Damaged(next) => cleaning.at = next,
                Next::End => {
                    cleaning.until = Some(decided());
                    return;
                }
            }
        }
    }

    /// Removes the cleaned segment when all that took the place of its records is on disk.
    fn finish_cleaning(&mut self, committed: u64) {
        let done = self
            .cleaning
            .as_ref()
            .is_some_and(|cleaning| cleaning.until.is_some_and(|until| until <= committed));
        if !done {
            return;
        }
        self.cleaning = None;
        if !self.sync
            && let Err(error) = self.open.sync()
        {
            tracing::error!(%error, "the journal of bindings cannot be synced");
            self.broken = true;
            return;
        }
        if let Some((oldest, length)) = self.sealed.pop_front()
            && let Err(error) = self.directory.remove(&oldest)
        {
            tracing::error!(%error, path = %oldest.path.display(), "an old segment of bindings stays");
            self.sealed.push_front((oldest, length));
        }
    }
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, table: Arc<Table>, disk: Option<Disk>) -> Self {
        Writer {
            shared,
            table,
            disk,
            batch: Batch::default(),
            again: Vec::new(),
        }
    }

    pub(super) fn run(mut self) {
        let mut committed = 0;
        while self.take() {
            let outcome = match &mut self.disk {
                Some(disk) => disk.commit([&self.batch.bytes, &self.again]),
                None => Ok(()),
            };
            self.again.clear();
            if outcome.is_ok() {
                committed = committed.max(self.batch.to);
            }
            let table = &self.table;
            if let Some(disk) = &mut self.disk {
                if outcome.is_err() {
                    // A change that is undone may bring a record of the old segment back to life.
                    disk.cleaning = None;
                } else {
                    disk.finish_cleaning(committed);
                    if disk.cleaning.is_some() || disk.is_wasteful(table.live()) {
                        let shared = &self.shared;
                        let step = STEP.max(2 * self.batch.bytes.len());
                        disk.clean(step, table, &mut self.again, || shared.lock().appended);
                    }
                }
            }
            self.tell(outcome);
        }
        if let Some(disk) = &self.disk
            && let Err(error) = disk.open.sync()
        {
            tracing::warn!(%error, "the journal of bindings did not close cleanly");
        }
    }

    /// Waits for the next batch; an empty one is for a cleaning that is on its way. False: there will be none.
    fn take(&mut self) -> bool {
        let is_cleaning = |disk: &Option<Disk>| {
            disk.as_ref()
                .is_some_and(|disk| disk.cleaning.is_some() && !disk.broken)
        };
        let mut state = self.shared.lock();
        loop {
            if !state.batch.bytes.is_empty() {
                std::mem::swap(&mut state.batch, &mut self.batch);
                state.batch.to = self.batch.to;
                state.idle = false;
                return true;
            }
            if state.closed {
                return false;
            }
            if is_cleaning(&self.disk) {
                self.batch.to = state.batch.to;
                return true;
            }
            state.idle = true;
            state = self
                .shared
                .work
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            state.idle = false;
        }
    }

    /// Tells everybody of the batch, and empties it.
    fn tell(&mut self, outcome: io::Result<()>) {
        let batch = &mut self.batch;
        if let Err(error) = &outcome {
            tracing::error!(%error, "a batch of bindings was not written");
        }
        batch.bytes.clear();
        let why = outcome.err().map(|error| error.to_string());
        for completion in batch.completions.drain(..) {
            completion(match &why {
                Some(why) => Err(Error::NotCommitted { why: why.clone() }),
                None => Ok(()),
            });
        }
        if batch.watchers != 0 {
            let watchers = self
                .shared
                .watchers
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            for (number, watcher) in watchers.iter() {
                if batch.watchers >> u32::from(*number) & 1 == 1 {
                    watcher.tell(Outcome {
                        to: Ticket(batch.to),
                        committed: why.is_none(),
                    });
                }
            }
            batch.watchers = 0;
        }
    }
}

impl Drop for Writer {
    /// Whoever still waits when the thread ends, by whatever it ends, hears of it.
    fn drop(&mut self) {
        let left = {
            let mut state = self.shared.lock();
            state.closed = true;
            std::mem::take(&mut state.batch.completions)
        };
        for completion in left.into_iter().chain(self.batch.completions.drain(..)) {
            completion(Err(Error::Closed));
        }
    }
}
