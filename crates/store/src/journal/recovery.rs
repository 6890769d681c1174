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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use super::*;
    use crate::Id;
    use crate::binding::packed::{Packed, View};
    use crate::engine::Durability;
    use crate::journal::frame::Writer;
    use crate::journal::{Journal, Tell};

    /// A directory that goes away with the value.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("offhook-recovery-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&path).expect("a directory");
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    type State = BTreeMap<(Id, String), u32>;

    fn open(path: &Path) -> io::Result<(Arc<Table>, Journal)> {
        let table = Arc::new(Table::new());
        match Journal::open(Some(path), Durability::Process, &table) {
            Ok(journal) => Ok((table, journal)),
            Err(crate::Error::Journal(error)) => Err(error),
            Err(other) => Err(io::Error::other(other)),
        }
    }

    fn state(table: &Table) -> State {
        let mut state = State::new();
        table.each(|endpoint, held| {
            for packed in held {
                let view = packed.view();
                state.insert((endpoint, view.key.to_owned()), view.cseq);
            }
        });
        state
    }

    fn packed(key: &str, cseq: u32) -> Packed {
        let view = View {
            key,
            contact: "sip:a@192.0.2.1",
            call_id: "c",
            cseq,
            expires_at: i64::MAX,
            logged_in: 0,
            transport: crate::Transport::Udp,
            local: ([192, 0, 2, 9], 5060).into(),
            remote: ([192, 0, 2, 1], 5060).into(),
            flow: 0,
            path: None,
            user_agent: "",
            q: 1000,
            instance: None,
            reg_id: None,
        };
        Packed::new(&view, true)
    }

    fn append(journal: &Journal, endpoint: Id, write: impl FnOnce(&mut Writer<'_>)) {
        let appended = journal.append(Tell::Nobody, |bytes| {
            let mut frame = Writer::begin(bytes, endpoint);
            write(&mut frame);
            frame.finish();
        });
        appended.expect("there is room");
    }

    #[test]
    fn d04_a_journal_that_is_cut_anywhere_opens_with_what_lies_before_the_cut() {
        let folder = Folder::new("whole");
        let file = folder.0.join(format!("{:012}.log", 1));
        let (table, journal) = open(&folder.0).expect("it opens");
        journal.close();
        // Each state with the length of the file that holds it.
        let mut states = vec![(segment::HEADER, state(&table))];
        for number in 0..6 {
            let (_, journal) = open(&folder.0).expect("it opens");
            append(&journal, number % 2, |frame| match number {
                3 => frame.delete("b1"),
                4 => frame.clear(),
                _ => {
                    let cseq = u32::try_from(number).expect("small");
                    frame.put(packed("a", cseq).bytes());
                    frame.put(packed(&format!("b{number}"), cseq).bytes());
                }
            });
            journal.close();
            let (table, journal) = open(&folder.0).expect("it opens");
            journal.close();
            let bytes = std::fs::read(&file).expect("a segment");
            let mut end = segment::HEADER;
            while let Next::Frame(_, next) = frame::next(&bytes, end) {
                end = next;
            }
            states.push((end, state(&table)));
        }
        assert_eq!(states.last().map(|(_, state)| state.len()), Some(2));
        let whole = std::fs::read(&file).expect("a segment");
        let last = states.last().map_or(0, |(end, _)| *end);
        for (cut, garbage) in (0..=last).flat_map(|cut| [(cut, false), (cut, true)]) {
            let left = Folder::new(&format!("{cut}-{garbage}"));
            let mut bytes = whole[..cut].to_vec();
            if garbage {
                bytes.extend_from_slice(&[0xa5; 100]);
            }
            std::fs::write(left.0.join(format!("{:012}.log", 1)), bytes).expect("written");
            let opened = open(&left.0);
            if garbage && cut < segment::HEADER {
                let kind = opened.err().map(|error| error.kind());
                assert_eq!(kind, Some(io::ErrorKind::InvalidData));
                continue;
            }
            let (table, journal) = opened.expect("it opens");
            let expected = states.iter().rev().find(|(end, _)| *end <= cut);
            let mut expected = expected.map_or_else(State::new, |(_, state)| state.clone());
            assert_eq!(state(&table), expected, "cut at {cut}");
            // What is written behind the cut counts, and the garbage does not come back.
            append(&journal, 9, |frame| frame.put(packed("later", 9).bytes()));
            journal.close();
            expected.insert((9, "later".to_owned()), 9);
            let (table, _journal) = open(&left.0).expect("it opens");
            assert_eq!(state(&table), expected, "cut at {cut}");
        }
    }
}
