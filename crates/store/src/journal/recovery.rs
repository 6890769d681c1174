//! Reads what an earlier process left: every record in order, endpoint by endpoint on all processors.

use std::io;
use std::thread;

use super::frame::{self, Next};
use super::segment::{self, Directory, Listed, Open};
use crate::binding::table::{Table, stripe_of};

/// Threads that read; each takes the endpoints of its own stripes, so that the records of one stay in order.
const MOST_READERS: usize = 8;

/// What was found.
pub(crate) struct Recovered {
    /// Where writing goes on.
    pub(crate) open: Open,
    /// The segments before it, oldest first, with the octets that count.
    pub(crate) sealed: Vec<(Listed, u64)>,
}

/// How a segment ended.
#[derive(Copy, Clone, Default)]
struct Ending {
    end: u64,
    damaged: usize,
}

/// Fills the table from the directory.
pub(crate) fn recover(directory: &Directory, table: &Table) -> io::Result<Recovered> {
    let mut listed = directory.list()?;
    let readers = thread::available_parallelism()
        .map_or(1, |count| count.get())
        .min(MOST_READERS);
    let listed_ref = &listed;
    let endings = thread::scope(|scope| {
        let others: Vec<_> = (1..readers)
            .map(|reader| scope.spawn(move || read(listed_ref, table, reader, readers)))
            .collect();
        let mut endings = read(listed_ref, table, 0, readers);
        for other in others {
            match other.join() {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => endings = Err(error),
                Err(_) => endings = Err(io::Error::other("a reader of the journal panicked")),
            }
        }
        endings
    })?;
    for (segment, ending) in listed.iter().zip(&endings) {
        if ending.damaged > 0 {
            tracing::error!(path = %segment.path.display(), records = ending.damaged, "damaged records of bindings were left out");
        }
    }
    let last = listed.last().map_or(0, |segment| segment.number);
    let ends = endings.iter().map(|ending| ending.end);
    // A crash in the moment of its making leaves a segment without a header.
    let open = match (listed.pop(), endings.last()) {
        (Some(segment), Some(ending)) if ending.end >= segment::HEADER as u64 => {
            directory.resume(&segment, ending.end)?
        }
        (Some(segment), _) => {
            directory.remove(&segment)?;
            directory.create(last)?
        }
        (None, _) => directory.create(1)?,
    };
    let sealed = listed.into_iter().zip(ends).collect();
    Ok(Recovered { open, sealed })
}

fn read(
    listed: &[Listed],
    table: &Table,
    reader: usize,
    readers: usize,
) -> io::Result<Vec<Ending>> {
    let mut endings = Vec::with_capacity(listed.len());
    for segment in listed {
        let Some(bytes) = segment.read()? else {
            endings.push(Ending::default());
            continue;
        };
        let (mut at, mut damaged) = (segment::HEADER, 0);
        loop {
            match frame::next(&bytes, at) {
                Next::Frame(frame, next) => {
                    if stripe_of(frame.endpoint) % readers == reader {
                        table.replay(frame.endpoint, frame.ops());
                    }
                    at = next;
                }
                Next::Damaged(next) => {
                    damaged += 1;
                    at = next;
                }
                Next::End => break,
            }
        }
        let end = at as u64;
        endings.push(Ending { end, damaged });
    }
    Ok(endings)
}
