//! The files of the journal: numbered, written in order, deleted oldest first.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The first octets of a segment: what it is, the version of the format; its number follows.
const MAGIC: [u8; 8] = *b"offhook\x01";
/// Octets before the first record.
pub(crate) const HEADER: usize = 16;
/// The octets of a segment, unless one batch is larger.
pub(crate) const LENGTH: u64 = 16 << 20;
/// Octets that are filled and synced at a time.
const PIECE: u64 = 1 << 20;

/// The directory that the segments are in, for one process at a time.
pub(crate) struct Directory {
    path: PathBuf,
    handle: File,
    /// Held while the process lives.
    _lock: File,
}

/// A segment as it lies there.
#[derive(Clone)]
pub(crate) struct Listed {
    pub(crate) number: u64,
    pub(crate) path: PathBuf,
}

/// The segment that is written to.
pub(crate) struct Open {
    pub(crate) number: u64,
    file: File,
    /// Where the next record goes.
    pub(crate) end: u64,
}

impl Directory {
    /// Makes or opens it; nothing when another process has it.
    pub(crate) fn open(path: &Path) -> io::Result<Option<Self>> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let lock = private().create(true).open(path.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Directory {
                path: path.to_path_buf(),
                handle: File::open(path)?,
                _lock: lock,
            })),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(error)) => Err(error),
        }
    }

    /// All segments, oldest first.
    pub(crate) fn list(&self) -> io::Result<Vec<Listed>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let path = entry?.path();
            let number = path
                .file_name()
                .and_then(|name| name.to_str()?.strip_suffix(".log")?.parse().ok());
            if let Some(number) = number {
                found.push(Listed { number, path });
            }
        }
        found.sort_by_key(|segment| segment.number);
        Ok(found)
    }

    /// The file of a segment.
    pub(crate) fn path_of(&self, number: u64) -> PathBuf {
        self.path.join(format!("{number:012}.log"))
    }

    /// Makes the segment of this number; its name is on disk on return.
    pub(crate) fn create(&self, number: u64) -> io::Result<Open> {
        let path = self.path_of(number);
        let file = private().create(true).truncate(true).open(path)?;
        let mut header = [0; HEADER];
        header[..8].copy_from_slice(&MAGIC);
        header[8..].copy_from_slice(&number.to_le_bytes());
        // Longer from the start: a commit then need not make a new length durable each time.
        file.set_len(LENGTH)?;
        file.write_all_at(&header, 0)?;
        file.sync_all()?;
        self.sync()?;
        Ok(Open {
            number,
            file,
            end: HEADER as u64,
        })
    }

    /// Goes on with a segment behind its last whole record; what lies there is wiped.
    pub(crate) fn resume(&self, segment: &Listed, end: u64) -> io::Result<Open> {
        let file = private().open(&segment.path)?;
        file.set_len(end)?;
        file.set_len(LENGTH.max(end))?;
        file.sync_all()?;
        Ok(Open {
            number: segment.number,
            file,
            end,
        })
    }

    /// The same directory, for another thread; the lock stays with this one.
    pub(crate) fn another(&self) -> io::Result<Self> {
        Ok(Directory {
            path: self.path.clone(),
            handle: self.handle.try_clone()?,
            _lock: self._lock.try_clone()?,
        })
    }

    pub(crate) fn remove(&self, segment: &Listed) -> io::Result<()> {
        std::fs::remove_file(&segment.path)?;
        self.sync()
    }

    fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }
}

impl Listed {
    /// Reads all of it. Made in the moment of a crash: nothing.
    pub(crate) fn read(&self) -> io::Result<Option<Vec<u8>>> {
        let bytes = std::fs::read(&self.path)?;
        Ok(self.has_records(&bytes)?.then_some(bytes))
    }

    /// Whether these octets of it hold records. Not one of ours, or of another version: an error. Made in the moment of a
    /// crash: no.
    pub(crate) fn has_records(&self, bytes: &[u8]) -> io::Result<bool> {
        let header = bytes.first_chunk::<HEADER>();
        match header.map(|header| header.split_at(8)) {
            Some((magic, number)) if *magic == MAGIC && *number == self.number.to_le_bytes() => {
                Ok(true)
            }
            Some(_) if bytes.iter().take(HEADER).all(|octet| *octet == 0) => Ok(false),
            None => Ok(false),
            Some(_) => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{} is not a journal of this version", self.path.display()),
            )),
        }
    }
}

impl Open {
    /// Writes records behind the last one.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.end)?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// Cuts off what lies behind the end.
    pub(crate) fn wipe(&self) -> io::Result<()> {
        self.file.set_len(self.end)?;
        self.file.set_len(LENGTH.max(self.end))
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Writes zeros where records will be. The file system finds their places now: a commit then syncs its data and nothing
    /// else. In pieces, so that a commit beside it has the disk soon.
    pub(super) fn fill(&self) -> io::Result<()> {
        let zeros = vec![0; PIECE as usize];
        let mut at = HEADER as u64;
        while at < LENGTH {
            let piece = PIECE.min(LENGTH - at);
            self.file.write_all_at(&zeros[..piece as usize], at)?;
            self.file.sync_data()?;
            at += piece;
        }
        Ok(())
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}
