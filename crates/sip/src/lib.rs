//! SIP as RFC 3261 layers it: messages, transactions, dialogs, digest. Pure: no socket, no clock, no task.
//!
//! Time, bytes and randomness come in as arguments, values go out. [`Stack`] is the machine; [`message`] reads and
//! writes what travels; [`framing`] cuts streams into messages; [`digest`] is HTTP Digest as SIP uses it; [`stun`] answers keep-alives.

pub mod dialog;
pub mod digest;
pub mod flow;
pub mod framing;
mod invite;
pub mod message;
pub mod stack;
pub mod stateless;
pub mod stun;
mod subscription;
pub mod target;
mod transaction;

/// Text inside a message: a cheap slice of the received buffer.
pub use bytestring::ByteString as Text;

pub use flow::{Flow, FlowId, Transport};
pub use message::header::{
    CSeq, Contacts, Header, HeaderError, Malformed, Name, NameAddr, Reason, ReferTo, Replaces, Via,
};
pub use message::headers::Headers;
pub use message::method::Method;
pub use message::params::Params;
pub use message::request::{Refusal, Request};
pub use message::response::Response;
pub use message::status::Status;
pub use message::uri::{Scheme, Uri};
pub use message::{Framing, Limits, Message, ParseError};
pub use stack::ping::{Ping, PingMark};
pub use stack::{
    Command, Config, Destination, Effort, EndReason, Event, InDialog, Input, Login, Outcome,
    Output, Question, Refer, Replaced, RequestId, SessionEvent, SessionId, Stack,
};
pub use subscription::{Farewell, News, SubscriptionEnd, SubscriptionEvent, SubscriptionId, Terms};
