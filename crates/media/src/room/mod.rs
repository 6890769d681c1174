//! What joins legs.

pub(crate) mod bridge;
