//! Plain REGISTER and OPTIONS over datagrams without a transaction and without a copy (RFC 3261 §8.2.7): [`Plain::scan`] reads
//! a datagram in place, [`Answer`] writes the answer into the buffer that is sent.
//!
//! Only what is quite usual is read here. Anything else (a header that changes what is asked, a folded line, a compact
//! name, an escape, a second Via, a body) is nothing to [`Plain::scan`], and the whole parser takes it. [`Glance`] reads any
//! request, but no more of it than its refusal needs.

mod answer;
mod glance;
mod proof;
mod scan;

pub use answer::{Answer, refusal_of};
pub use glance::Glance;
pub use proof::{Ha2, Proof};
pub use scan::{Asked, Plain, PlainContact, host_of};
