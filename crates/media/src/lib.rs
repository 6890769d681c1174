//! The media plane: SDP offer and answer, RTP relay. Pure: no socket, no clock, no task.
//!
//! [`Plane`] is a machine with three methods, `handle`, `poll_output` and `poll_timeout`, and a packet path, `forward`, that
//! neither allocates nor queues. Each leg of a call has one session here, under the number that its SIP session has.
//! This is the only crate that looks inside an SDP; whoever drives it sees bytes and events.
//!
//! * `sdp`: what a description says and how ours are made (RFC 8866, RFC 3264).
//! * `session`: one leg: negotiation, the source that it accepts, its packets.
//! * `room`: what joins legs; a bridge relays between two.

mod plane;
mod room;
mod sdp;
mod session;

pub use plane::{
    Command, Config, Event, Forward, Input, OfferOrAnswer, Output, Plane, PortId, SessionId,
};
pub use session::Stats;
