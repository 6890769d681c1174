//! The thread that writes the journal: batches, commits, and the cleaning of old segments.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::Duration;

use super::cleaning::{Cleaning, Removal};
use super::preparing::Preparing;
use super::recovery::Recovered;
use super::segment::{self, Directory, Listed, Open};
use super::{Batch, Outcome, Shared, Ticket};
use crate::binding::table::Table;
use crate::engine::Durability;
use crate::error::Error;

/// Dead octets that are left lying, beside as many as live ones.
const TOLERATED: u64 = 64 << 20;
/// Octets of an old segment that are looked through between two batches, or four times what the batch wrote: the cleaning,
/// which reads them first, has to be faster than the writing.
const STEP: usize = 256 << 10;

/// A batch of more changes than this had company: the next one waits for some.
const FEW: u64 = 8;
/// How long: a sync costs as much for a hundred changes as for one.
const COMPANY: Duration = Duration::from_micros(700);

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
    removal: Option<Removal>,
    /// The next segment.
    preparing: Option<Preparing>,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    table: Arc<Table>,
    disk: Option<Disk>,
    /// Given back and forth with the shared state, so that buffers keep their room.
    batch: Batch,
    /// How many changes the last batch had.
    changes: u64,
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
            removal: None,
            preparing: None,
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
        let number = self.open.number + 1;
        let next = match self.preparing.take() {
            Some(prepared) if prepared.number() == number => prepared.finish().or_else(|error| {
                tracing::warn!(%error, "the next segment of bindings was not made ahead");
                self.directory.create(number)
            }),
            _ => self.directory.create(number),
        }?;
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

    /// Has the next segment made when the open one is half full.
    fn prepare(&mut self) {
        if self.preparing.is_some() || self.open.end < segment::LENGTH / 2 {
            return;
        }
        match Preparing::begin(&self.directory, self.open.number + 1) {
            Ok(preparing) => self.preparing = Some(preparing),
            Err(error) => {
                tracing::warn!(%error, "the next segment of bindings is not made ahead");
            }
        }
    }

    /// Whether the oldest segment has to go.
    fn is_wasteful(&self, live: u64) -> bool {
        let all: u64 = self.sealed.iter().map(|(_, length)| length).sum();
        !self.sealed.is_empty() && all + self.open.end > TOLERATED + 2 * live
    }

    /// Goes on with the cleaning of the oldest segment, or begins it; `decided` is the last change so far.
    fn clean(
        &mut self,
        octets: usize,
        table: &Table,
        again: &mut Vec<u8>,
        decided: impl FnOnce() -> u64,
    ) {
        let Some((oldest, _)) = self.sealed.front() else {
            self.cleaning = None;
            return;
        };
        let outcome = match &mut self.cleaning {
            Some(cleaning) => cleaning.step(octets, table, again, decided),
            None => Cleaning::begin(oldest).map(|cleaning| self.cleaning = Some(cleaning)),
        };
        if let Err(error) = outcome {
            tracing::error!(%error, path = %oldest.path.display(), "a segment of bindings cannot be read and stays");
            // The others are cleaned in its place; it is read again at the next start.
            self.cleaning = None;
            self.sealed.pop_front();
        }
    }

    /// Deletes the cleaned segment when all that took the place of its records is on disk. A segment goes after those
    /// before it: else a binding whose end was in one of them would come back.
    fn finish_cleaning(&mut self, committed: u64) {
        if self.removal.as_ref().is_some_and(Removal::is_finished) {
            self.finish_removal();
        }
        let done = self
            .cleaning
            .as_ref()
            .is_some_and(|cleaning| cleaning.is_done(committed));
        if !done || self.removal.is_some() {
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
        let Some(segment) = self.sealed.pop_front() else {
            return;
        };
        let (oldest, length) = (segment.0.clone(), segment.1);
        match Removal::begin(&self.directory, segment) {
            Ok(removal) => self.removal = Some(removal),
            Err(error) => {
                tracing::error!(%error, path = %oldest.path.display(), "an old segment of bindings stays");
                self.sealed.push_front((oldest, length));
            }
        }
    }

    fn finish_removal(&mut self) {
        if let Some(segment) = self.removal.take().and_then(Removal::finish) {
            self.cleaning = None;
            self.sealed.push_front(segment);
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
            changes: 0,
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
            let is_written = outcome.is_ok();
            let octets = STEP.max(4 * self.batch.bytes.len());
            self.tell(outcome);
            let Some(disk) = &mut self.disk else {
                continue;
            };
            if !is_written {
                // A change that is undone may bring a record of the old segment back to life.
                disk.cleaning = None;
                continue;
            }
            disk.prepare();
            disk.finish_cleaning(committed);
            if disk.cleaning.is_some() || disk.is_wasteful(self.table.live()) {
                let shared = &self.shared;
                disk.clean(octets, &self.table, &mut self.again, || {
                    shared.lock().appended
                });
            }
        }
        let Some(disk) = &mut self.disk else {
            return;
        };
        disk.finish_removal();
        // A segment that was made and is not needed is the one to go on in at the next start.
        let prepared = disk.preparing.take().map(Preparing::finish);
        if let Err(error) = prepared.transpose().and_then(|_| disk.open.sync()) {
            tracing::warn!(%error, "the journal of bindings did not close cleanly");
        }
    }

    /// Waits for the next batch; an empty one is for a cleaning that is on its way. False: there will be none.
    fn take(&mut self) -> bool {
        if self.changes > FEW {
            thread::sleep(COMPANY);
        }
        let is_cleaning = |disk: &Option<Disk>| {
            disk.as_ref()
                .is_some_and(|disk| disk.cleaning.is_some() && !disk.broken)
        };
        let mut state = self.shared.lock();
        loop {
            if !state.batch.bytes.is_empty() {
                let before = self.batch.to;
                std::mem::swap(&mut state.batch, &mut self.batch);
                state.batch.to = self.batch.to;
                self.changes = self.batch.to - before;
                state.idle = false;
                return true;
            }
            if state.closed {
                return false;
            }
            if is_cleaning(&self.disk) {
                self.batch.to = state.batch.to;
                self.changes = 0;
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
