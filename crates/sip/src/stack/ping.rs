//! Pings of registered phones: OPTIONS over datagrams (RFC 3261 §11), a double CRLF on streams (RFC 5626 §4.4.1).
//!
//! Departs from RFC 3261 §17.1: an OPTIONS of this kind has no transaction and is not sent again. There is one for each phone
//! every few seconds, the next one is its repetition, and what is to be known of it is in its branch, so that a million of
//! them hold no memory and no timer.

use crate::stack::{Destination, Event, Output, Stack};
use crate::transaction::key::COOKIE;
use crate::{Flow, Message, Method, Name, Request, Response, Text, Transport};

/// Follows the cookie in the branch of a ping; a branch of a transaction has no such letters.
const PING: &str = "-ping-";

/// What a ping is about, in the words of the layer above; it comes back with the answer and must not be guessable.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PingMark(pub [u64; 2]);

/// A ping by OPTIONS.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ping {
    /// Where the phone is.
    pub to: Destination,
    /// From value without tag.
    pub from: Text,
    /// Comes back in [`Event::Pong`].
    pub mark: PingMark,
}

impl Stack {
    pub(super) fn ping(&mut self, ping: Ping) {
        let flow = ping.to.flow;
        let [high, low] = ping.mark.0;
        let (tag, call_id) = (self.wire.draw(), self.wire.draw());
        let mut request = Request::new(Method::Options, ping.to.uri.clone());
        let headers = &mut request.headers;
        let branch = format!("{COOKIE}{PING}{high:016x}{low:016x}");
        let (transport, local) = (flow.transport.via_name(), flow.local);
        let via = format!("SIP/2.0/{transport} {local};branch={branch};rport");
        headers.push(Name::Via, via);
        headers.push(Name::MaxForwards, Text::from_static("70"));
        for hop in ping.to.route {
            headers.push(Name::Route, hop);
        }
        headers.push(Name::From, format!("{};tag={tag}", ping.from));
        headers.push(Name::To, format!("<{}>", ping.to.uri));
        headers.push(Name::CallId, call_id.to_string());
        headers.push(Name::CSeq, Text::from_static("1 OPTIONS"));
        // RFC 3261 §11.1: the answer says what the phone takes; nobody asks.
        headers.push(Name::Accept, Text::from_static("application/sdp"));
        let bytes = Message::Request(request).write();
        self.wire.send(flow, bytes);
    }

    /// Nothing is expected back: a peer that is gone shows when the bytes cannot be delivered.
    pub(super) fn keep_alive(&mut self, flow: Flow) {
        if matches!(flow.transport, Transport::Tcp | Transport::Tls) {
            self.wire.send(flow, bytes::Bytes::from_static(b"\r\n\r\n"));
        }
    }

    /// Takes the answer to a ping, whatever it says: somebody is there. `false`: it is another one's.
    pub(super) fn pong(&mut self, flow: Flow, branch: &str, response: &Response) -> bool {
        let Some(mark) = mark_of(branch) else {
            return false;
        };
        if !response.status.is_provisional() {
            let event = Event::Pong { mark, flow };
            self.wire.outputs.push_back(Output::Event(event));
        }
        true
    }
}

fn mark_of(branch: &str) -> Option<PingMark> {
    let mark = branch.strip_prefix(COOKIE)?.strip_prefix(PING)?;
    let (high, low) = mark.split_at_checked(16).filter(|_| mark.len() == 32)?;
    let read = |half| u64::from_str_radix(half, 16).ok();
    Some(PingMark([read(high)?, read(low)?]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_from_the_branch_that_was_written_with_it() {
        let branch = "z9hG4bK-ping-0000000000000007ffffffffffffffff";
        assert_eq!(mark_of(branch), Some(PingMark([7, u64::MAX])));
        for other in [
            "z9hG4bK0000000000000000ff",
            "z9hG4bK-ping-",
            "z9hG4bK-ping-000000000000000g0000000000000000",
            "z9hG4bK-ping-00000000000000070000000000000007a",
            "-ping-00000000000000070000000000000007",
        ] {
            assert_eq!(mark_of(other), None, "{other}");
        }
    }
}
