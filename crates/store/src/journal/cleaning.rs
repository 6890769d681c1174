//! Cleaning: what is live in the oldest segment is written again at the journal's end, and its file goes. It is done in
//! steps between the batches, none of them long enough to be felt by who waits for a commit.

use std::fs::File;
use std::io::{self, Read};
use std::thread::{self, JoinHandle};

use super::frame::{self, Next};
use super::segment::{self, Directory, Listed};
use crate::binding::table::Table;

/// Octets that are read in a step, or as many as are looked through.
const READ: u64 = 1 << 20;

/// A segment on its way out.
pub(super) struct Cleaning {
    segment: Listed,
    file: File,
    /// As much of it as was read.
    bytes: Vec<u8>,
    is_read: bool,
    at: usize,
    /// What was decided when the last record had been looked at; the file goes when that is on disk.
    until: Option<u64>,
}

/// A segment that is being deleted, by a thread of its own: the directory's sync takes longer than a commit should wait.
pub(super) struct Removal {
    segment: (Listed, u64),
    thread: JoinHandle<io::Result<()>>,
}

impl Cleaning {
    pub(super) fn begin(segment: &Listed) -> io::Result<Self> {
        Ok(Cleaning {
            file: File::open(&segment.path)?,
            segment: segment.clone(),
            bytes: Vec::new(),
            is_read: false,
            at: segment::HEADER,
            until: None,
        })
    }

    /// Reads this many octets, or looks through them and copies what is live; `decided` is the last change so far.
    pub(super) fn step(
        &mut self,
        octets: usize,
        table: &Table,
        again: &mut Vec<u8>,
        decided: impl FnOnce() -> u64,
    ) -> io::Result<()> {
        if !self.is_read {
            let most = READ.max(octets as u64);
            let mut part = (&self.file).take(most);
            self.is_read = (part.read_to_end(&mut self.bytes)? as u64) < most;
            if self.is_read && !self.segment.has_records(&self.bytes)? {
                self.bytes.clear();
            }
            return Ok(());
        }
        let stop = self.at + octets;
        while self.at < stop {
            match frame::next(&self.bytes, self.at) {
                Next::Frame(frame, next) => {
                    for packed in frame.puts() {
                        // Under the lock of its stripe a binding is live or has a newer record behind this one.
                        if table.holds(frame.endpoint, packed) {
                            let mut copy = frame::Writer::begin(again, frame.endpoint);
                            copy.put(packed);
                            copy.finish();
                        }
                    }
                    self.at = next;
                }
                Next::Damaged(next) => self.at = next,
                Next::End => {
                    self.until = Some(decided());
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Whether all that takes the place of its records is on disk.
    pub(super) fn is_done(&self, committed: u64) -> bool {
        self.until.is_some_and(|until| until <= committed)
    }
}

impl Removal {
    pub(super) fn begin(directory: &Directory, segment: (Listed, u64)) -> io::Result<Self> {
        let (directory, listed) = (directory.another()?, segment.0.clone());
        let thread = thread::Builder::new()
            .name("journal-removal".to_owned())
            .spawn(move || directory.remove(&listed))?;
        Ok(Removal { segment, thread })
    }

    pub(super) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the end; gives the segment back when it stays.
    pub(super) fn finish(self) -> Option<(Listed, u64)> {
        let error = match self.thread.join() {
            Ok(Ok(())) => return None,
            Ok(Err(error)) => error,
            Err(_) => io::Error::other("the thread that deletes it panicked"),
        };
        let path = self.segment.0.path.display();
        tracing::error!(%error, %path, "an old segment of bindings stays");
        Some(self.segment)
    }
}
