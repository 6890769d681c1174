//! The one place of this crate that reads a clock; tests hand in one that they move.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use call::Now;

/// Tells the time: the system's, or one that a test moves.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The system's clocks.
    #[default]
    System,
    /// A time that stands still until [`Clock::advance`].
    Manual(Arc<Mutex<Now>>),
}

impl Clock {
    /// Makes a clock that stands at this time.
    pub fn manual(start: Now) -> Self {
        Self::Manual(Arc::new(Mutex::new(start)))
    }

    /// Tells the time.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the room that reads the clocks"
    )]
    pub fn now(&self) -> Now {
        match self {
            Self::System => Now {
                instant: Instant::now(),
                wall: jiff::Timestamp::now(),
            },
            Self::Manual(time) => {
                let time = time.lock().unwrap_or_else(PoisonError::into_inner);
                Now {
                    instant: time.instant,
                    wall: time.wall,
                }
            }
        }
    }

    /// Moves a manual clock; the system's cannot be moved.
    pub fn advance(&self, by: Duration) {
        if let Self::Manual(time) = self {
            let mut time = time.lock().unwrap_or_else(PoisonError::into_inner);
            time.instant += by;
            time.wall = time.wall.saturating_add(by).unwrap_or(time.wall);
        }
    }
}
