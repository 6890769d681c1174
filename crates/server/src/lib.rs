//! Everything of the binary that touches the operating system: sockets, threads, signals, files, the command line.
//!
//! [`run`] starts the parts in order and stops them in reverse. [`net`] carries bytes; [`signalling`] is the thread that
//! owns a `sip::Stack`, [`media`] the one that owns a `media::Plane`; [`http`] picks the dialect. Nothing here decides
//! about a call.

pub mod account;
pub mod config;
pub mod data;
pub mod dev;
pub mod http;
pub mod log;
pub mod media;
pub mod net;
pub mod ready;
pub mod run;
pub mod signalling;
