//! What a shard does when it has more to do than it can: it refuses at the cheapest point (RFC 3261 §21.5.4), strangers first.
//!
//! The decision is a machine (`admission`) over how full the shard's queues are; `shares` tells sources that ask much from
//! those that ask little; `class` finds out of which kind a request is. Docs: decision 0041.

mod admission;
mod class;
mod shares;

pub use admission::{Gate, Load};

pub(crate) use admission::{Admission, Class, Course, Refusal};
pub(crate) use class::is_refused;
