//! The wire: bytes in, bytes out. Nothing here reads a message; framing is `sip::framing`'s.
//!
//! A UDP socket belongs to a signalling thread, and so is used without a task in between (`udp.rs`, `batch.rs`). A stream
//! is a task on the main runtime that feeds the inbox of one signalling thread (`tcp.rs`, `ws.rs`, either of them under
//! `tls.rs`); what is to be written to it lies in its queue in `connections.rs`.

pub mod acme;
pub mod batch;
pub mod certificate;
pub mod connections;
pub mod counters;
pub mod dial;
pub mod listen;
pub mod proxies;
pub mod rtp;
pub mod self_signed;
pub mod streams;
pub mod tcp;
pub mod tls;
pub mod udp;
pub mod validity;
pub mod ws;
