//! What happens to a trunk, for those who want to know: the account's URL and its streams (decision 0053).

use jiff::Timestamp;
use store::Id;

/// Which way it went.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum TrunkEventKind {
    /// It does not answer any more: calls pass it over.
    Down,
    /// It answers again.
    Up,
}

impl TrunkEventKind {
    /// Its name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Down => "trunk_down",
            Self::Up => "trunk_up",
        }
    }
}

/// One thing that happened to a trunk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrunkEvent {
    /// What.
    pub kind: TrunkEventKind,
    /// When.
    pub at: Timestamp,
    /// Whose it is.
    pub account: Id,
    /// The trunk.
    pub trunk: Id,
    /// Its `tr-…` id.
    pub public_id: String,
    /// What people call it.
    pub name: String,
    /// What went wrong; none when it is up again.
    pub reason: Option<String>,
}
