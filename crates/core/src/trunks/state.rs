//! What is known of each trunk at this moment: whether it is alive, registered, and how many calls are on it.

use std::sync::Arc;

use dashmap::DashMap;
use jiff::Timestamp;
use store::Id;

/// Whether a trunk takes calls.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub enum Health {
    /// Nobody has asked it, or it has not answered yet.
    #[default]
    Unknown,
    /// It answered.
    Up,
    /// It did not answer several times in a row, or answers that it is not available.
    Down,
}

/// Whether we are registered with a trunk.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub enum Registration {
    /// It is no trunk to register with.
    #[default]
    Unwanted,
    /// The first answer is awaited.
    Pending,
    /// Its calls find us.
    Registered {
        /// Until then, unless it is refreshed.
        until: Timestamp,
    },
    /// It refused, or did not answer; it is tried again.
    Failed {
        /// The last status, or none.
        status: Option<u16>,
    },
}

/// What is known of a trunk.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct TrunkState {
    /// Whether it takes calls.
    pub health: Health,
    /// Since when.
    pub since: Option<Timestamp>,
    /// The last thing that went wrong.
    pub last_error: Option<String>,
    /// Whether we are registered with it.
    pub registration: Registration,
    /// Calls on it, both ways.
    pub calls: u32,
}

/// The states of all trunks; clones share them. A trunk has an entry once something is known of it.
#[derive(Clone, Default, Debug)]
pub struct TrunkStates(Arc<DashMap<Id, TrunkState>>);

impl TrunkStates {
    /// What is known of a trunk.
    pub fn of(&self, trunk: Id) -> TrunkState {
        self.0
            .get(&trunk)
            .map_or_else(TrunkState::default, |state| state.clone())
    }
}
