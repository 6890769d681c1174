//! Messages: read without copying from one received buffer, written into one buffer (RFC 3261 §7, §25).
//!
//! Header values stay text until somebody asks for the typed form; each typed header is one file in [`header`].

pub(crate) mod body;
pub(crate) mod grammar;
pub mod header;
pub mod headers;
pub mod method;
pub mod params;
mod parse;
#[cfg(test)]
mod properties;
pub mod request;
pub mod response;
pub mod status;
pub mod uri;
pub(crate) mod validate;
pub(crate) mod write;

use bytes::Bytes;

use crate::message::request::Request;
use crate::message::response::Response;
use crate::message::status::Status;

pub(crate) use parse::{content_length, head_end};

/// A SIP message (RFC 3261 §7).
#[derive(Clone, Debug)]
pub enum Message {
    /// A request.
    Request(Request),
    /// A response.
    Response(Response),
}

/// How the end of a message is known (RFC 3261 §18.3).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Framing {
    /// The transport delimits it: UDP, and WebSocket frames (RFC 7118 §5.1). `Content-Length` may be missing.
    Datagram,
    /// Only `Content-Length` tells: TCP and TLS.
    Stream,
}

/// The sizes beyond which a message is refused.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Octets of start line and headers.
    pub head: usize,
    /// Header lines.
    pub headers: usize,
    /// Octets of the Request-URI.
    pub uri: usize,
    /// Octets of the body.
    pub body: usize,
}

impl Limits {
    /// What the platform takes.
    pub const DEFAULT: Self = Self {
        head: 64 * 1024,
        headers: 256,
        uri: 8 * 1024,
        body: 256 * 1024,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A message that cannot be read, with what a reply needs when enough is known.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{why}")]
pub struct ParseError {
    /// The status a reply would carry: 400, 413, 414, 505 or 513.
    pub status: Status,
    /// The reason phrase of that reply.
    pub why: &'static str,
    /// The request as far as it could be read. `None`: not a request, or no Via to answer to; stay silent.
    pub partial: Option<Box<Request>>,
}

impl Message {
    /// Reads a message under the usual [`Limits`]. A head that is not UTF-8 is read again as Latin-1.
    pub fn parse(bytes: Bytes, framing: Framing) -> Result<Self, ParseError> {
        parse::parse(bytes, framing, Limits::DEFAULT)
    }

    /// Reads a message under limits of the caller's choice.
    pub fn parse_within(
        bytes: Bytes,
        framing: Framing,
        limits: Limits,
    ) -> Result<Self, ParseError> {
        parse::parse(bytes, framing, limits)
    }

    /// Writes the message into one buffer, with a true `Content-Length`.
    pub fn write(&self) -> Bytes {
        match self {
            Self::Request(request) => request.write(),
            Self::Response(response) => response.write(),
        }
    }
}
