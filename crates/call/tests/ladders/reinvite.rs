//! reinvite
