//! The log on its way to standard error: a thread of its own writes it, so that a reader that takes no more (a full pipe, a
//! stopped terminal) holds up nothing but the log (hard case D24).

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait to be written; more are lost, and counted.
const WAITING: usize = 4_096;

/// How long the end of the program waits for the last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

/// How often it looks for room among the lines that wait, within that time.
const ROOM_TRIES: u32 = 100;

enum Item {
    Line(Box<[u8]>),
    /// Tells its sender that all before it is written.
    Flush(SyncSender<()>),
}

/// The way to the thread that writes.
#[derive(Clone)]
pub struct Log(Arc<Inner>);

struct Inner {
    items: SyncSender<Item>,
    lost: Arc<AtomicU64>,
}

impl Log {
    /// Begins to write to a sink.
    pub fn to(sink: impl Write + Send + 'static) -> io::Result<Self> {
        let (items, waiting) = sync_channel(WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&lost);
        thread::Builder::new()
            .name("log".into())
            .spawn(move || write(&waiting, sink, &counted))?;
        Ok(Self(Arc::new(Inner { items, lost })))
    }

    /// Waits until what was logged before is written, but not long.
    pub fn flush(&self) {
        let (told, done) = sync_channel(1);
        for _ in 0..ROOM_TRIES {
            match self.0.items.try_send(Item::Flush(told.clone())) {
                Ok(()) => {
                    // A sink that takes nothing is not waited for any longer.
                    let _ = done.recv_timeout(LAST_LINES);
                    return;
                }
                Err(_) => thread::sleep(LAST_LINES / ROOM_TRIES),
            }
        }
    }
}

fn write(waiting: &Receiver<Item>, mut sink: impl Write, lost: &AtomicU64) {
    while let Ok(item) = waiting.recv() {
        let missed = lost.swap(0, Ordering::Relaxed);
        // Nobody is left to tell of a sink that fails.
        if missed > 0 {
            let told = format!("{missed} lines of the log are lost: it was not read\n");
            let _ = sink.write_all(told.as_bytes());
        }
        match item {
            Item::Line(line) => {
                let _ = sink.write_all(&line);
            }
            Item::Flush(told) => {
                let _ = sink.flush();
                let _ = told.send(());
            }
        }
    }
}

/// One line: what is formatted comes in one piece.
pub struct Line<'a>(&'a Inner);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.0.items.try_send(Item::Line(line.into())).is_err() {
            self.0.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::mpsc::{Receiver, Sender, channel};

    use tracing_subscriber::fmt::MakeWriter;

    use super::{Log, WAITING};

    /// Takes a line for each permission, and shows it.
    struct Reluctant(Receiver<()>, Sender<String>);

    impl Write for Reluctant {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(io::Error::other)?;
            let text = String::from_utf8_lossy(line).into_owned();
            self.1.send(text).map_err(io::Error::other)?;
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn d24_a_sink_that_takes_nothing_holds_up_nobody_and_hears_later_what_was_lost() {
        let ((may, permission), (shown, lines)) = (channel(), channel());
        let log = Log::to(Reluctant(permission, shown)).expect("a thread");
        let more = WAITING + 10;
        for number in 0..more {
            let line = format!("{number}\n");
            let taken = log.make_writer().write_all(line.as_bytes());
            taken.expect("it never fails");
        }
        for _ in 0..2 * more {
            may.send(()).expect("the sink");
        }
        log.flush();
        let (mut written, mut lost) = (Vec::new(), 0);
        for line in lines.try_iter() {
            match line.split_once(' ') {
                None => written.push(line.trim_end().parse::<usize>().expect("a number")),
                Some((count, _)) => lost += count.parse::<usize>().expect("a count"),
            }
        }
        assert_eq!(written.len() + lost, more);
        assert!(lost > 0 && written.is_sorted(), "{lost} lost");
    }
}
