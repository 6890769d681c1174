//! Message boundaries on streams: RFC 3261 §18.3; keep-alive by CRLF: RFC 5626 §4.4.1.

use bytes::{Buf, Bytes, BytesMut};

use crate::message::grammar::is_token_byte;
use crate::message::{Limits, content_length, head_end};

/// Cuts what a stream delivers into messages. Holds at most one unfinished message and reserves nothing for lengths
/// that are only announced.
#[derive(Debug)]
pub struct Framer {
    buffer: BytesMut,
    /// Octets already searched for the end of the head.
    searched: usize,
    /// Length of the message whose head is complete.
    whole: Option<usize>,
    limits: Limits,
    broken: bool,
}

/// What a stream carries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Frame {
    /// One whole message.
    Message(Bytes),
    /// A double CRLF, to be answered with one CRLF (RFC 5626 §4.4.1).
    Ping,
}

/// Why the boundaries are lost. The connection must be closed (RFC 4475 §3.1.2.3).
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FramingError {
    /// The stream does not carry SIP.
    #[error("not SIP")]
    NotSip,
    /// The head does not end within the limit.
    #[error("headers too large")]
    HeadTooLarge,
    /// The head has no Content-Length.
    #[error("missing Content-Length")]
    NoLength(Bytes),
    /// Content-Length is no number, or there are two.
    #[error("bad Content-Length")]
    BadLength(Bytes),
    /// The announced body is over the limit.
    #[error("body too large")]
    BodyTooLarge(Bytes),
}

impl FramingError {
    /// Gives the head, if there is one: as a message by itself it is refused with the right status.
    pub fn head(self) -> Option<Bytes> {
        match self {
            Self::NotSip | Self::HeadTooLarge => None,
            Self::NoLength(head) | Self::BadLength(head) | Self::BodyTooLarge(head) => Some(head),
        }
    }
}

impl Default for Framer {
    fn default() -> Self {
        Self::new()
    }
}

impl Framer {
    /// Starts a stream under the usual limits.
    pub fn new() -> Self {
        Self::with_limits(Limits::DEFAULT)
    }

    /// Starts a stream under limits of the caller's choice.
    pub fn with_limits(limits: Limits) -> Self {
        Self {
            buffer: BytesMut::new(),
            searched: 0,
            whole: None,
            limits,
            broken: false,
        }
    }

    /// Takes what was read from the stream. Nothing is taken after an error.
    pub fn push(&mut self, bytes: &[u8]) {
        if !self.broken {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// Tells whether no part of a message is held: the connection is idle.
    pub fn is_empty(&self) -> bool {
        self.buffer.iter().all(|byte| matches!(byte, b'\r' | b'\n'))
    }

    /// Gives the next frame. `None`: more has to be pushed first, or an error was given before.
    #[expect(
        clippy::should_implement_trait,
        reason = "it may give more after None, and is fed in between"
    )]
    pub fn next(&mut self) -> Option<Result<Frame, FramingError>> {
        if self.broken {
            return None;
        }
        let frame = self.advance();
        if let Err(_broken) = &frame {
            self.broken = true;
            self.buffer = BytesMut::new();
        } else if self.buffer.is_empty() {
            // An idle connection holds no buffer.
            self.buffer = BytesMut::new();
        }
        frame.transpose()
    }

    fn advance(&mut self) -> Result<Option<Frame>, FramingError> {
        let whole = match self.whole {
            Some(whole) => whole,
            None => match self.between_messages()? {
                Between::Ping => return Ok(Some(Frame::Ping)),
                Between::Wait => return Ok(None),
                Between::Message => match self.measure()? {
                    Some(whole) => whole,
                    None => return Ok(None),
                },
            },
        };
        if self.buffer.len() < whole {
            self.whole = Some(whole);
            return Ok(None);
        }
        self.whole = None;
        self.searched = 0;
        Ok(Some(Frame::Message(self.buffer.split_to(whole).freeze())))
    }

    /// Leaves line ends between messages aside (RFC 3261 §7.5) and notices the ping among them.
    fn between_messages(&mut self) -> Result<Between, FramingError> {
        loop {
            match &*self.buffer {
                [b'\r', b'\n', b'\r', b'\n', ..] => {
                    self.buffer.advance(4);
                    return Ok(Between::Ping);
                }
                [] | [b'\r'] | [b'\r', b'\n'] | [b'\r', b'\n', b'\r'] => return Ok(Between::Wait),
                [b'\r', b'\n', ..] => self.buffer.advance(2),
                [b'\n', ..] => self.buffer.advance(1),
                [first, ..] if is_token_byte(*first) => return Ok(Between::Message),
                _ => return Err(FramingError::NotSip),
            }
        }
    }

    /// Finds the length of the message at the front, once its head is complete.
    fn measure(&mut self) -> Result<Option<usize>, FramingError> {
        let Some(end) = head_end(&self.buffer, self.searched) else {
            if self.buffer.len() > self.limits.head {
                return Err(FramingError::HeadTooLarge);
            }
            // The last three octets may be the beginning of the blank line.
            self.searched = self.buffer.len().saturating_sub(3);
            return Ok(None);
        };
        if end > self.limits.head {
            return Err(FramingError::HeadTooLarge);
        }
        let head = self.buffer.get(..end).unwrap_or_default();
        match content_length(head) {
            Ok(Some(length)) if length <= self.limits.body => Ok(end.checked_add(length)),
            Ok(Some(_)) => Err(FramingError::BodyTooLarge(Bytes::copy_from_slice(head))),
            Ok(None) => Err(FramingError::NoLength(Bytes::copy_from_slice(head))),
            Err(()) => Err(FramingError::BadLength(Bytes::copy_from_slice(head))),
        }
    }
}

/// What stands between two messages.
enum Between {
    Ping,
    Wait,
    Message,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 4\r\n\r\nbody";
    const TWO: &str = "BYE sip:a@b SIP/2.0\r\nl:\r\n 0\r\n\r\n";

    fn frames(framer: &mut Framer) -> Vec<Result<Frame, FramingError>> {
        std::iter::from_fn(|| framer.next()).collect()
    }

    fn message(text: &'static str) -> Result<Frame, FramingError> {
        Ok(Frame::Message(Bytes::from_static(text.as_bytes())))
    }

    #[test]
    fn pipelined_messages_and_pings_come_out_in_order() {
        let mut framer = Framer::new();
        framer.push(format!("\r\n{ONE}{TWO}\r\n\r\n{TWO}\r\n").as_bytes());
        assert_eq!(
            frames(&mut framer),
            [message(ONE), message(TWO), Ok(Frame::Ping), message(TWO)]
        );
        assert!(framer.is_empty());
    }

    #[test]
    fn one_octet_at_a_time_gives_the_same() {
        let mut framer = Framer::new();
        let mut all = Vec::new();
        for byte in format!("{ONE}\r\n\r\n{TWO}").bytes() {
            framer.push(&[byte]);
            all.extend(frames(&mut framer));
        }
        assert_eq!(all, [message(ONE), Ok(Frame::Ping), message(TWO)]);
    }

    #[test]
    fn lost_boundaries_end_the_stream_and_leave_the_head_for_an_answer() {
        let lost = |text: &str| {
            let mut framer = Framer::new();
            framer.push(text.as_bytes());
            let error = framer.next().expect("something").expect_err("an error");
            framer.push(ONE.as_bytes());
            assert_eq!(framer.next(), None);
            error
        };
        let head = |line: &str| format!("OPTIONS sip:a@b SIP/2.0\r\n{line}\r\n\r\n");
        let bytes = |line: &str| Bytes::from(head(line));
        assert_eq!(lost(&head("X: y")), FramingError::NoLength(bytes("X: y")));
        assert_eq!(
            lost(&head("l: -1")),
            FramingError::BadLength(bytes("l: -1"))
        );
        assert_eq!(
            lost(&head("l: 4294967296")),
            FramingError::BodyTooLarge(bytes("l: 4294967296"))
        );
        assert_eq!(lost("\x16\x03\x01\x02"), FramingError::NotSip);
        assert_eq!(lost(&"x".repeat(70_000)), FramingError::HeadTooLarge);
        assert_eq!(lost(&"x".repeat(70_000)).head(), None);
    }

    #[test]
    fn an_announced_length_reserves_nothing() {
        let mut framer = Framer::new();
        framer.push(b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 200000\r\n\r\n");
        assert_eq!(framer.next(), None);
        assert!(framer.buffer.capacity() < 1024);
        assert!(!framer.is_empty());
    }
}
