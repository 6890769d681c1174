//! How many messages one endpoint may write: a bucket of tokens for each, in a bounded table.

use std::time::Instant;

use dashmap::DashMap;
use store::Id;

/// Endpoints remembered at once; beyond it those whose bucket is full again are forgotten.
const CAPACITY: usize = 65_536;

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

/// The buckets of all writers.
#[derive(Debug)]
pub(super) struct Rate {
    buckets: DashMap<Id, Bucket>,
    per_minute: f64,
    capacity: usize,
}

impl Rate {
    /// Lets each endpoint write so many messages a minute; 0 sets no limit.
    pub(super) fn new(per_minute: u32) -> Self {
        Self {
            buckets: DashMap::new(),
            per_minute: f64::from(per_minute),
            capacity: CAPACITY,
        }
    }

    /// Takes a token of an endpoint, or says that there is none.
    pub(super) fn admit(&self, now: Instant, endpoint: Id) -> bool {
        if self.per_minute == 0.0 {
            return true;
        }
        if self.buckets.len() >= self.capacity && !self.buckets.contains_key(&endpoint) {
            self.buckets
                .retain(|_, bucket| self.level(bucket, now) < self.per_minute);
            if self.buckets.len() >= self.capacity {
                return false;
            }
        }
        let mut bucket = self.buckets.entry(endpoint).or_insert(Bucket {
            tokens: self.per_minute,
            filled: now,
        });
        let tokens = self.level(&bucket, now);
        let admitted = tokens >= 1.0;
        bucket.tokens = if admitted { tokens - 1.0 } else { tokens };
        bucket.filled = now;
        admitted
    }

    fn level(&self, bucket: &Bucket, now: Instant) -> f64 {
        let minutes = now.saturating_duration_since(bucket.filled).as_secs_f64() / 60.0;
        (bucket.tokens + minutes * self.per_minute).min(self.per_minute)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test needs one first instant")]
    fn a_writer_gets_so_many_messages_and_more_with_time_and_the_table_is_bounded() {
        let (mut rate, start) = (Rate::new(2), Instant::now());
        rate.capacity = 1;
        let admitted: Vec<_> = (0..3).map(|_| rate.admit(start, 1)).collect();
        assert_eq!(admitted, [true, true, false]);
        assert!(!rate.admit(start, 2));
        assert!(rate.admit(start + Duration::from_secs(30), 1));
        assert!(rate.admit(start + Duration::from_secs(120), 2));
        let free = Rate::new(0);
        assert!((0..100).all(|_| free.admit(start, 1)));
    }
}
