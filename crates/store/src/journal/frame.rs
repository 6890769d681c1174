//! The journal's records: one per change, whole or not at all.
//!
//! ```text
//! length 4 | CRC-32 4 | endpoint 8 | operations
//! operation: 1 length packed-binding | 2 length key | 3
//! ```
//!
//! The length counts what follows the checksum, which covers it too. A length of 0 ends a segment: its file is longer than
//! what was written to it.

use crate::Id;
use crate::binding::packed::{Packed, Reader, push_length};

/// Octets before the endpoint.
const HEADER: usize = 8;
/// A record is one REGISTER: more than this is none of ours.
const LONGEST: usize = 1 << 20;

const PUT: u8 = 1;
const DELETE: u8 = 2;
const CLEAR: u8 = 3;

/// One operation of a record, read.
#[derive(Debug)]
pub(crate) enum Op {
    Put(Packed),
    /// By its key.
    Delete(String),
    Clear,
}

/// Writes one record to the end of a buffer; it counts when it is finished.
pub(crate) struct Writer<'a> {
    bytes: &'a mut Vec<u8>,
    start: usize,
}

impl<'a> Writer<'a> {
    pub(crate) fn begin(bytes: &'a mut Vec<u8>, endpoint: Id) -> Self {
        let start = bytes.len();
        bytes.extend_from_slice(&[0; HEADER]);
        bytes.extend_from_slice(&endpoint.to_le_bytes());
        Writer { bytes, start }
    }

    pub(crate) fn put(&mut self, packed: &[u8]) {
        self.text(PUT, packed);
    }

    pub(crate) fn delete(&mut self, key: &str) {
        self.text(DELETE, key.as_bytes());
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.push(CLEAR);
    }

    fn text(&mut self, tag: u8, text: &[u8]) {
        self.bytes.push(tag);
        push_length(self.bytes, text.len());
        self.bytes.extend_from_slice(text);
    }

    pub(crate) fn finish(self) {
        let body = &self.bytes[self.start + HEADER..];
        let (length, checksum) = (body.len() as u32, crc32fast::hash(body));
        self.bytes[self.start..self.start + 4].copy_from_slice(&length.to_le_bytes());
        self.bytes[self.start + 4..self.start + 8].copy_from_slice(&checksum.to_le_bytes());
    }
}

/// About what a live binding takes in the journal.
pub(crate) fn length_of(packed: &[u8]) -> u64 {
    (packed.len() + HEADER + 10) as u64
}

/// One record as it lies in a segment.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) endpoint: Id,
    ops: &'a [u8],
}

/// What comes next in a segment.
pub(crate) enum Next<'a> {
    /// A record, and where the next one begins.
    Frame(Frame<'a>, usize),
    /// Octets that are no record although one follows them; where it begins.
    Damaged(usize),
    /// Nothing more that counts.
    End,
}

/// Reads the record at this place of a segment.
pub(crate) fn next(segment: &[u8], at: usize) -> Next<'_> {
    let Some((end, whole)) = bounds(segment, at) else {
        return Next::End;
    };
    if let Some(frame) = whole {
        return Next::Frame(frame, end);
    }
    // A record that rotted is left out when a whole one follows; else this is the torn end of the last batch.
    match bounds(segment, end) {
        Some((_, Some(_))) => Next::Damaged(end),
        _ => Next::End,
    }
}

/// Where a record ends, and the record when its checksum holds; none when there is no room for one.
fn bounds(segment: &[u8], at: usize) -> Option<(usize, Option<Frame<'_>>)> {
    let (length, rest) = segment.get(at..)?.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    if !(9..=LONGEST).contains(&length) {
        return None;
    }
    let (checksum, rest) = rest.split_first_chunk::<4>()?;
    let body = rest.get(..length)?;
    let holds = crc32fast::hash(body) == u32::from_le_bytes(*checksum);
    let frame = body
        .split_first_chunk::<8>()
        .filter(|_| holds)
        .map(|(endpoint, ops)| Frame {
            endpoint: Id::from_le_bytes(*endpoint),
            ops,
        });
    Some((at + HEADER + length, frame))
}

impl<'a> Frame<'a> {
    /// The operations; reading ends at one that is not understood.
    pub(crate) fn ops(&self) -> impl Iterator<Item = Op> + use<'a> {
        let mut rest = Reader(self.ops);
        std::iter::from_fn(move || {
            let [tag] = rest.array()?;
            match tag {
                PUT => Packed::from_disk(rest.take()?).map(Op::Put),
                DELETE => String::from_utf8(rest.take()?.to_vec())
                    .ok()
                    .map(Op::Delete),
                CLEAR => Some(Op::Clear),
                _ => None,
            }
        })
    }

    /// The bindings that it puts, as octets.
    pub(crate) fn puts(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut rest = Reader(self.ops);
        std::iter::from_fn(move || {
            loop {
                let [tag] = rest.array()?;
                match tag {
                    PUT => return rest.take(),
                    DELETE => {
                        rest.take()?;
                    }
                    CLEAR => {}
                    _ => return None,
                }
            }
        })
    }
}
