//! How many calls a stranger's address may make: a bucket of tokens per source, in a bounded table.

use std::net::IpAddr;
use std::time::Instant;

use dashmap::DashMap;

use crate::guard::network;

/// Addresses remembered at once; beyond it those that may call freely again are forgotten, and if there are none the
/// stranger is refused.
const CAPACITY: usize = 65_536;

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

/// The buckets of all strangers.
#[derive(Debug)]
pub(crate) struct Strangers {
    buckets: DashMap<IpAddr, Bucket>,
    per_minute: f64,
    capacity: usize,
}

impl Strangers {
    /// Lets each address make so many calls a minute.
    pub(crate) fn new(per_minute: u32) -> Self {
        Self::with_capacity(per_minute, CAPACITY)
    }

    fn with_capacity(per_minute: u32, capacity: usize) -> Self {
        Self {
            buckets: DashMap::new(),
            per_minute: f64::from(per_minute),
            capacity,
        }
    }

    /// Takes a token for a call from this address, or says that there is none.
    pub(crate) fn admit(&self, now: Instant, source: IpAddr) -> bool {
        let source = network(source);
        if self.buckets.len() >= self.capacity && !self.buckets.contains_key(&source) {
            self.buckets
                .retain(|_, bucket| self.level(bucket, now) < self.per_minute);
            if self.buckets.len() >= self.capacity {
                return false;
            }
        }
        let mut bucket = self.buckets.entry(source).or_insert(Bucket {
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

    #[expect(clippy::disallowed_methods, reason = "a test needs one first instant")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_stranger_gets_so_many_calls_and_then_more_with_time() {
        let (strangers, start) = (Strangers::new(2), start());
        let one: IpAddr = "192.0.2.1".parse().expect("an address");
        let other: IpAddr = "192.0.2.2".parse().expect("an address");
        let admitted: Vec<_> = (0..3).map(|_| strangers.admit(start, one)).collect();
        assert_eq!(admitted, [true, true, false]);
        assert!(strangers.admit(start, other));
        assert!(!strangers.admit(start + Duration::from_secs(29), one));
        assert!(strangers.admit(start + Duration::from_secs(60), one));
    }

    #[test]
    fn a_network_of_ipv6_is_one_stranger_and_the_table_is_bounded() {
        let (strangers, start) = (Strangers::with_capacity(1, 1), start());
        assert!(strangers.admit(start, "2001:db8::1".parse().expect("an address")));
        assert!(!strangers.admit(start, "2001:db8::2".parse().expect("an address")));
        let other: IpAddr = "2001:db8:1::1".parse().expect("an address");
        assert!(!strangers.admit(start, other));
        assert!(strangers.admit(start + Duration::from_secs(60), other));
    }
}
