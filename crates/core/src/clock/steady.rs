//! The time of day as this process tells it: it goes with the monotonic clock, and follows the system's clock slowly when that
//! one is stepped. So a step makes no binding, nonce or call older than it is, and no duration negative (hard case D13).

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;

/// How often the system's clock is looked at, in microseconds.
const LOOK: i64 = 100_000;

/// What is followed of a step in a second: a sixteenth. A phone that refreshes after nine tenths of its hour is in time.
const PACE: i64 = 16;

/// Beyond two hours the system's clock is believed at once: it was set for the first time, or the machine slept.
const BELIEVED: i64 = 7_200 * 1_000_000;

/// The time of day since a moment; all in microseconds.
#[derive(Debug)]
pub(crate) struct Steady {
    begun: Instant,
    /// The time of day at that moment.
    at: i64,
    /// What was followed of the steps since.
    followed: AtomicI64,
    /// When the system's clock was looked at last, since the moment.
    looked: AtomicI64,
}

impl Steady {
    pub(crate) fn new(instant: Instant, real: Timestamp) -> Self {
        Self {
            begun: instant,
            at: real.as_microsecond(),
            followed: AtomicI64::new(0),
            looked: AtomicI64::new(0),
        }
    }

    /// Tells the time of day at this moment; `real` reads the system's clock.
    pub(crate) fn tell(&self, instant: Instant, real: impl FnOnce() -> Timestamp) -> Timestamp {
        let since = micros(instant.saturating_duration_since(self.begun));
        let looked = self.looked.load(Ordering::Relaxed);
        let is_turn = since - looked >= LOOK
            && self
                .looked
                .compare_exchange(looked, since, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if is_turn {
            self.look(since, since - looked, real().as_microsecond());
        }
        let told = self.at + since + self.followed.load(Ordering::Relaxed);
        Timestamp::from_microsecond(told).unwrap_or(Timestamp::MAX)
    }

    fn look(&self, since: i64, passed: i64, real: i64) {
        let step = real - (self.at + since + self.followed.load(Ordering::Relaxed));
        let most = passed / PACE;
        let followed = match step.abs() > BELIEVED {
            true => step,
            false => step.clamp(-most, most),
        };
        self.followed.fetch_add(followed, Ordering::Relaxed);
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use jiff::Timestamp;

    use super::Steady;

    const START: i64 = 1_800_000_000_000_000;
    const SECOND: i64 = 1_000_000;

    /// Two clocks: a monotonic one, and one that steps.
    struct World {
        steady: Steady,
        instant: Instant,
        real: i64,
        told: i64,
    }

    impl World {
        #[expect(clippy::disallowed_methods, reason = "a moment to begin with")]
        fn new() -> Self {
            let (instant, real) = (Instant::now(), Timestamp::from_microsecond(START));
            Self {
                steady: Steady::new(instant, real.expect("a time")),
                instant,
                real: START,
                told: START,
            }
        }

        /// Lets time pass in pieces; the time told never goes back by more than a piece's share.
        fn pass(&mut self, seconds: i64) {
            for _ in 0..seconds * 5 {
                self.instant += Duration::from_millis(200);
                self.real += 200_000;
                let real = Timestamp::from_microsecond(self.real).expect("a time");
                let told = self.steady.tell(self.instant, || real).as_microsecond();
                assert!(told > self.told, "{told} after {}", self.told);
                self.told = told;
            }
        }

        fn lag(&self) -> i64 {
            self.real - self.told
        }
    }

    #[test]
    fn d13_a_step_of_an_hour_either_way_is_followed_slowly() {
        for step in [3600 * SECOND, -3600 * SECOND] {
            let mut world = World::new();
            world.pass(60);
            assert_eq!(world.lag(), 0);
            world.real += step;
            let before = world.told;
            world.pass(3000);
            let passed = world.told - before;
            assert_eq!(passed, 3000 * SECOND + step.signum() * 3000 * SECOND / 16);
            world.pass(16 * 3600);
            assert_eq!(world.lag(), 0);
        }
    }

    #[test]
    fn a_leap_second_is_over_in_16() {
        let mut world = World::new();
        world.real -= SECOND;
        world.pass(17);
        assert_eq!(world.lag(), 0);
    }

    #[test]
    fn a_clock_that_is_set_for_the_first_time_is_believed() {
        let mut world = World::new();
        world.real += 40 * 365 * 86_400 * SECOND;
        world.pass(1);
        assert_eq!(world.lag(), 0);
    }
}
