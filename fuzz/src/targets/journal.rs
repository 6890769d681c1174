//! Records of the journal with right and wrong checksums: what counts is read the same way again, and what is read is whole.

use store::{Entry, Packed, examine};

use crate::trace::Trace;

/// A length and a record of that many octets each, whose checksum is put in; after a length of 0 what follows is raw.
pub fn run(bytes: &[u8]) -> u64 {
    let mut trace = Trace::default();
    let segment = records(bytes);
    let mut read = Vec::new();
    let end = examine(&segment, |endpoint, entry| {
        if let Entry::Put(packed) = &entry {
            let view = packed.view();
            let again = Packed::new(&view, packed.is_reachable());
            assert_eq!(format!("{view:?}"), format!("{:?}", again.view()));
            trace.note(view.transport);
            trace.note((view.path.is_some(), view.instance.is_some(), view.reg_id));
            trace.note_size(view.contact.len());
        }
        trace.note(std::mem::discriminant(&entry));
        read.push(format!("{endpoint} {entry:?}"));
    });
    assert!(end <= segment.len());
    let mut again = Vec::new();
    let counts = segment.get(..end).unwrap_or_default();
    let same = examine(counts, |endpoint, entry| {
        again.push(format!("{endpoint} {entry:?}"));
    });
    // A damaged record at the end counts only while a whole one follows it, and that one counts.
    assert_eq!((end, read), (same, again));
    trace.note(end == segment.len());
    trace.finish()
}

fn records(mut rest: &[u8]) -> Vec<u8> {
    let mut segment = Vec::new();
    while let Some((length, after)) = rest.split_first() {
        if *length == 0 {
            segment.extend_from_slice(after);
            break;
        }
        let (body, after) = after.split_at(after.len().min(usize::from(*length)));
        segment.extend_from_slice(&(body.len() as u32).to_le_bytes());
        segment.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
        segment.extend_from_slice(body);
        rest = after;
    }
    segment
}
