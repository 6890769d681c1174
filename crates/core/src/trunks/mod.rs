//! Trunks at work: how numbers are written (`e164`), and what is known of each trunk (`state`).

pub(crate) mod e164;
mod state;

pub use state::{Health, Registration, TrunkState, TrunkStates};
