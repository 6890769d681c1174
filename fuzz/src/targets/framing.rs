//! A stream in pieces of any size gives the same messages as in one (RFC 3261 §18.3).

use sip::framing::{Frame, Framer};

use crate::trace::Trace;

/// The first octet says how large the pieces are; the rest is the stream.
pub fn run(bytes: &[u8]) -> u64 {
    let mut trace = Trace::default();
    let Some((size, stream)) = bytes.split_first() else {
        return trace.finish();
    };
    let size = usize::from(*size).max(1);
    let whole = frames(stream, stream.len().max(1));
    let pieces = frames(stream, size);
    assert_eq!(whole, pieces);
    for frame in whole {
        match frame {
            Ok(Frame::Message(message)) => trace.note_size(message.len()),
            Ok(Frame::Ping) => trace.note("ping"),
            Err(why) => trace.note(why),
        }
    }
    trace.finish()
}

fn frames(stream: &[u8], size: usize) -> Vec<Result<Frame, String>> {
    let mut framer = Framer::new();
    let mut frames = Vec::new();
    for piece in stream.chunks(size) {
        framer.push(piece);
        while let Some(frame) = framer.next() {
            let is_end = frame.is_err();
            frames.push(frame.map_err(|error| error.to_string()));
            if is_end {
                return frames;
            }
        }
    }
    frames
}
