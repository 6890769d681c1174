//! Resources of our own that no vendor's interface has, spelled alike in all of them.

pub(crate) mod trunk;
