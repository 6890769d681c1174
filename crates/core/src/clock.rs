//! The one place of this crate that reads a clock; tests hand in one that they move.

mod steady;

use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use call::Now;

use self::steady::Steady;

/// The time of day of this process.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the room that reads the clocks"
)]
static STEADY: LazyLock<Steady> =
    LazyLock::new(|| Steady::new(Instant::now(), jiff::Timestamp::now()));

/// Tells the time: the system's, or one that a test moves.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The system's clocks; a step of the time of day is followed slowly.
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
            Self::System => {
                let steady = &*STEADY;
                let instant = Instant::now();
                let wall = steady.tell(instant, jiff::Timestamp::now);
                Now { instant, wall }
            }
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
