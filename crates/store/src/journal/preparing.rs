//! The next segment, made ahead by a thread of its own: a commit waits for neither its creation nor for room on the disk.

use std::io;
use std::thread::{self, JoinHandle};

use super::segment::{Directory, Open};

/// A segment that is being made.
pub(super) struct Preparing {
    number: u64,
    thread: JoinHandle<io::Result<Open>>,
}

impl Preparing {
    pub(super) fn begin(directory: &Directory, number: u64) -> io::Result<Self> {
        let directory = directory.another()?;
        let thread = thread::Builder::new()
            .name("journal-next".to_owned())
            .spawn(move || {
                let open = directory.create(number)?;
                open.fill()?;
                Ok(open)
            })?;
        Ok(Preparing { number, thread })
    }

    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// Waits for the end.
    pub(super) fn finish(self) -> io::Result<Open> {
        let panicked = |_| io::Error::other("the thread that makes a segment panicked");
        self.thread.join().map_err(panicked)?
    }
}
