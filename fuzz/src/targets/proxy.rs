//! The header of the PROXY protocol, version 2: not one octet too many is read, whatever its length says.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use offhook::net::proxies::read_header;

use crate::trace::Trace;

/// The bytes are the beginning of a connection, and all that comes of it.
pub fn run(bytes: &[u8]) -> u64 {
    let mut trace = Trace::default();
    let mut stream = bytes;
    let outcome = {
        let mut reading = pin!(read_header(&mut stream));
        // Octets that are there, or an end: nothing is waited for.
        match reading
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => panic!("it waits"),
        }
    };
    match outcome {
        Ok(client) => {
            let length = bytes
                .get(14..16)
                .map(|two| usize::from(two[0]) << 8 | usize::from(two[1]));
            assert_eq!(
                length.map(|length| 16 + length),
                Some(bytes.len() - stream.len())
            );
            trace.note(client.map(|(from, to)| (from.is_ipv4(), to.is_ipv4())));
            trace.note_size(stream.len());
        }
        Err(error) => trace.note(error.to_string()),
    }
    trace.finish()
}
