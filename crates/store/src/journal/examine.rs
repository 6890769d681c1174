//! Reads a segment without a table, for those who look into a journal.

use super::frame::{self, Next, Op};
use crate::{Id, Packed};

/// What one operation of a record does to the bindings of an endpoint.
#[derive(Debug)]
pub enum Entry {
    /// A binding is made or changed.
    Put(Packed),
    /// The binding with this key goes.
    Delete(String),
    /// All of them go.
    Clear,
}

/// Reads records, from after the header of a segment, as a start does. Answers where what counts ends.
pub fn examine(records: &[u8], mut each: impl FnMut(Id, Entry)) -> usize {
    let mut at = 0;
    loop {
        match frame::next(records, at) {
            Next::Frame(frame, next) => {
                for op in frame.ops() {
                    let entry = match op {
                        Op::Put(packed) => Entry::Put(packed),
                        Op::Delete(key) => Entry::Delete(key),
                        Op::Clear => Entry::Clear,
                    };
                    each(frame.endpoint, entry);
                }
                at = next;
            }
            Next::Damaged(next) => at = next,
            Next::End => return at,
        }
    }
}
