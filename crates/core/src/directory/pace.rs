//! How many requests an account may make over REST: a bucket of tokens for each (hard case H15). Only requests that proved
//! whose they are count, so that strangers cannot use up a customer's.

use std::time::{Duration, Instant};

use dashmap::DashMap;
use store::Id;

/// A burst holds what this many seconds grant; the vendors count in such windows (plivo-rest.md §4).
const WINDOW: f64 = 5.0;

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

/// The buckets of all accounts.
#[derive(Debug)]
pub(super) struct Pace {
    buckets: DashMap<Id, Bucket>,
    per_second: f64,
}

impl Pace {
    /// Lets each account make so many requests a second; 0 sets no limit.
    pub(super) fn new(per_second: u32) -> Self {
        Self {
            buckets: DashMap::new(),
            per_second: f64::from(per_second),
        }
    }

    /// Takes a token for a request of this account, or says how long to wait for one.
    pub(super) fn admit(&self, now: Instant, account: Id) -> Result<(), Duration> {
        if self.per_second <= 0.0 {
            return Ok(());
        }
        let most = self.per_second * WINDOW;
        let mut bucket = self.buckets.entry(account).or_insert(Bucket {
            tokens: most,
            filled: now,
        });
        let passed = now.saturating_duration_since(bucket.filled).as_secs_f64();
        bucket.tokens = (bucket.tokens + passed * self.per_second).min(most);
        bucket.filled = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            Ok(())
        } else {
            Err(Duration::from_secs_f64(
                (1.0 - bucket.tokens) / self.per_second,
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test needs one first instant")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn h15_an_account_that_asks_too_much_waits_and_the_others_do_not() {
        let (pace, start) = (Pace::new(2), start());
        let admitted = (0..11).filter(|_| pace.admit(start, 1).is_ok()).count();
        assert_eq!(admitted, 10);
        assert_eq!(pace.admit(start, 1), Err(Duration::from_millis(500)));
        assert_eq!(pace.admit(start, 2), Ok(()));
        let later = start + Duration::from_millis(500);
        assert_eq!(pace.admit(later, 1), Ok(()));
        assert!(pace.admit(later, 1).is_err());
        let unlimited = Pace::new(0);
        assert!((0..10_000).all(|_| unlimited.admit(start, 1).is_ok()));
    }
}
