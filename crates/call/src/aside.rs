//! What one side of a conversation says to the other beside the session: digits in INFO (RFC 6086) and MESSAGE
//! (RFC 3428 §7). It goes on to whoever the side talks with, and what that one answers comes back.

use bytes::Bytes;
use sip::{Header, Method, Name, Request, RequestId, Status, Text};

use crate::across::Word;
use crate::call::Output;
use crate::context::Context;
use crate::leg::{LegId, Wire};

/// Requests that may wait for their answers at once; more are refused.
const MAX_PASSED: usize = 16;
/// The bodies that an INFO may have.
const DIGITS: &str = "application/dtmf-relay, application/dtmf";
/// How long a digit lasts that does not say it, in milliseconds; and at most (voice-xml.md knows no longer one).
const DURATION: u32 = 160;
const LONGEST: u32 = 6_000;

/// Something that is said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Aside {
    /// A digit.
    Digit(Digit),
    /// A text.
    Message {
        /// What it is.
        content_type: Option<Text>,
        /// The text.
        body: Bytes,
    },
}

/// A digit as an INFO tells it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Digit {
    /// `0` to `9`, `*`, `#`, `A` to `D`.
    pub key: char,
    /// How long it lasts, in milliseconds; none where the body has no place for it.
    pub duration: Option<u32>,
}

/// Requests that were passed on and are not answered yet.
#[derive(Default, Debug)]
pub(crate) struct Asides {
    passed: Vec<Passed>,
    last: u64,
}

#[derive(Copy, Clone, Debug)]
struct Passed {
    /// Our name for it.
    id: RequestId,
    to: LegId,
    from: LegId,
    /// The name of whoever asked.
    asked: RequestId,
}

impl Digit {
    /// Reads the body of an INFO: `application/dtmf-relay` (`Signal` and `Duration`) or `application/dtmf` (the digit).
    fn read(kind: &str, body: &[u8]) -> Result<Self, Status> {
        let text = std::str::from_utf8(body).map_err(|_| Status::BAD_REQUEST)?;
        let value = |wanted: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once('='));
            let found = lines.find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted));
            found.map(|(_, value)| value.trim())
        };
        let (signal, duration) = match kind {
            "application/dtmf-relay" => {
                let duration = value("Duration").and_then(|duration| duration.parse().ok());
                let duration: u32 = duration.unwrap_or(DURATION);
                (value("Signal"), Some(duration.clamp(1, LONGEST)))
            }
            "application/dtmf" => (Some(text.trim()), None),
            _ => return Err(Status::UNSUPPORTED_MEDIA_TYPE),
        };
        let key = key(signal.unwrap_or_default()).ok_or(Status::BAD_REQUEST)?;
        Ok(Self { key, duration })
    }

    fn write(self) -> (Text, Bytes) {
        match self.duration {
            Some(duration) => (
                Text::from_static("application/dtmf-relay"),
                format!("Signal={}\r\nDuration={duration}\r\n", self.key).into(),
            ),
            None => (
                Text::from_static("application/dtmf"),
                self.key.to_string().into(),
            ),
        }
    }
}

/// RFC 4733 §3.2 numbers the keys; phones write either the key or its number.
fn key(signal: &str) -> Option<char> {
    match signal {
        "10" => Some('*'),
        "11" => Some('#'),
        "12" => Some('A'),
        "13" => Some('B'),
        "14" => Some('C'),
        "15" => Some('D'),
        _ => {
            let mut letters = signal.chars();
            let (key, None) = (letters.next()?.to_ascii_uppercase(), letters.next()) else {
                return None;
            };
            matches!(key, '0'..='9' | '*' | '#' | 'A'..='D').then_some(key)
        }
    }
}

impl Aside {
    fn request(self) -> (Method, Vec<Header>, Bytes) {
        let (method, kind, body) = match self {
            Self::Digit(digit) => {
                let (kind, body) = digit.write();
                (Method::Info, Some(kind), body)
            }
            Self::Message { content_type, body } => (Method::Message, content_type, body),
        };
        let headers = kind.map(|kind| Header::new(Name::ContentType, kind));
        (method, headers.into_iter().collect(), body)
    }
}

impl Context {
    /// An INFO came.
    pub(crate) fn informed(&mut self, leg: LegId, id: RequestId, request: &Request) {
        let kind = request.headers.get(&Name::ContentType);
        let kind = kind.and_then(|kind| kind.split(';').next());
        let kind = kind.unwrap_or_default().trim().to_ascii_lowercase();
        if kind.is_empty() && request.body.is_empty() {
            // RFC 6086 §4.2.2: one without a body asks for nothing.
            return self.respond(leg, id, Status::OK);
        }
        match Digit::read(&kind, &request.body) {
            Ok(digit) => self.pass_on(leg, id, Aside::Digit(digit)),
            Err(status @ Status::UNSUPPORTED_MEDIA_TYPE) => {
                let accept = Header::new(Name::Accept, DIGITS);
                self.respond_with(leg, id, status, vec![accept]);
            }
            Err(status) => self.respond(leg, id, status),
        }
    }

    /// A MESSAGE came.
    pub(crate) fn messaged(&mut self, leg: LegId, id: RequestId, request: &Request) {
        let content_type = request.headers.get(&Name::ContentType).cloned();
        let body = request.body.clone();
        self.pass_on(leg, id, Aside::Message { content_type, body });
    }

    /// Passes something on to whom a leg talks with.
    pub(crate) fn pass_on(&mut self, from: LegId, asked: RequestId, aside: Aside) {
        let peer = self.peer_of(from);
        let Some(to) = peer.filter(|peer| self.wire(*peer) == Wire::Up) else {
            // A digit that nobody waits for is heard all the same.
            let status = match aside {
                Aside::Digit(_) => Status::OK,
                Aside::Message { .. } => Status::TEMPORARILY_UNAVAILABLE,
            };
            return self.answer_aside(from, asked, status);
        };
        if self.asides.passed.len() >= MAX_PASSED {
            return self.answer_aside(from, asked, Status::SERVICE_UNAVAILABLE);
        }
        self.asides.last += 1;
        let id = RequestId(self.asides.last);
        self.asides.passed.push(Passed {
            id,
            to,
            from,
            asked,
        });
        if self.is_distant(to) {
            return self.say_to(to, Word::Aside { id, aside });
        }
        let (method, headers, body) = aside.request();
        let command = sip::Command::RequestInDialog {
            session: self.session(to),
            request: id,
            method,
            headers,
            body,
        };
        self.outputs.push_back(Output::Sip(command));
    }

    /// What was passed on is answered.
    pub(crate) fn aside_answered(&mut self, to: LegId, id: RequestId, status: Status) {
        let is_it = |passed: &Passed| (passed.to, passed.id) == (to, id);
        let Some(at) = self.asides.passed.iter().position(is_it) else {
            return;
        };
        let Passed { from, asked, .. } = self.asides.passed.swap_remove(at);
        let status = match status {
            // Who was asked for a password is us.
            Status::UNAUTHORIZED | Status::PROXY_AUTHENTICATION_REQUIRED => Status::FORBIDDEN,
            Status::REQUEST_TIMEOUT | Status::CALL_DOES_NOT_EXIST => {
                Status::TEMPORARILY_UNAVAILABLE
            }
            status => status,
        };
        self.answer_aside(from, asked, status);
    }

    /// A leg is gone: nothing that it was asked is answered any more.
    pub(crate) fn asides_lost(&mut self, id: LegId) {
        self.asides.passed.retain(|passed| passed.from != id);
        let (lost, rest) = std::mem::take(&mut self.asides.passed)
            .into_iter()
            .partition(|passed| passed.to == id);
        self.asides.passed = rest;
        let lost: Vec<Passed> = lost;
        for Passed { from, asked, .. } in lost {
            self.answer_aside(from, asked, Status::TEMPORARILY_UNAVAILABLE);
        }
    }

    fn answer_aside(&mut self, from: LegId, asked: RequestId, status: Status) {
        match self.is_distant(from) {
            true => self.say_to(from, Word::Heard { id: asked, status }),
            false => self.respond(from, asked, status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digit_is_read_in_both_forms() {
        let relay = "application/dtmf-relay";
        let digit = |key, duration| Ok(Digit { key, duration });
        let cases: [(&str, &str, Result<Digit, Status>); 11] = [
            (relay, "Signal=5\r\nDuration=250\r\n", digit('5', Some(250))),
            (relay, "signal= * \nduration= x", digit('*', Some(160))),
            (
                relay,
                "Signal=11\r\nDuration=99999",
                digit('#', Some(6_000)),
            ),
            (relay, "Duration=1", Err(Status::BAD_REQUEST)),
            (relay, "Signal=16", Err(Status::BAD_REQUEST)),
            ("application/dtmf", "d\r\n", digit('D', None)),
            ("application/dtmf", "10", digit('*', None)),
            ("application/dtmf", "12345", Err(Status::BAD_REQUEST)),
            ("application/dtmf", "\u{ff11}", Err(Status::BAD_REQUEST)),
            ("text/plain", "5", Err(Status::UNSUPPORTED_MEDIA_TYPE)),
            ("", "5", Err(Status::UNSUPPORTED_MEDIA_TYPE)),
        ];
        for (kind, body, wanted) in cases {
            assert_eq!(Digit::read(kind, body.as_bytes()), wanted, "{kind}: {body}");
        }
    }
}
