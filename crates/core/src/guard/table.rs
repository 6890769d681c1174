//! The scores of all sources, bounded and striped.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use call::Now;
use jiff::Timestamp;
use store::Id;

use super::Blocked;
use super::offence::Offence;
use super::score::{Limits, Score, Silence};

const STRIPES: usize = 64;
/// Sources of one stripe, about 130,000 of all. A full stripe forgets one that is not silenced; when all are, the newcomer is
/// not remembered.
const PER_STRIPE: usize = 2_048;
/// Sources among which the one to forget is chosen: the one not heard of for the longest time.
const EVICTION: usize = 8;

/// The table.
#[derive(Debug)]
pub(super) struct Table {
    limits: Limits,
    stripes: Vec<Mutex<HashMap<IpAddr, Score>>>,
    /// At least the number of sources that are silenced.
    silenced: AtomicUsize,
}

impl Table {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            stripes: (0..STRIPES).map(|_| Mutex::default()).collect(),
            silenced: AtomicUsize::new(0),
        }
    }

    pub(super) fn has_silenced(&self) -> bool {
        self.silenced.load(Ordering::Relaxed) > 0
    }

    pub(super) fn is_silenced(&self, now: &Now, source: IpAddr) -> bool {
        let stripe = self.stripe(source);
        stripe
            .get(&source)
            .is_some_and(|score| score.is_silenced(now.instant))
    }

    pub(super) fn silenced_until(&self, now: &Now, source: IpAddr) -> Option<Timestamp> {
        let until = self
            .stripe(source)
            .get(&source)?
            .silenced_until(now.instant)?;
        Some(at(now, until))
    }

    pub(super) fn users_behind(&self, source: IpAddr) -> u32 {
        self.stripe(source).get(&source).map_or(0, Score::users)
    }

    pub(super) fn asked_for(&self, now: &Now, source: IpAddr, endpoint: Id) -> bool {
        let mut stripe = self.stripe(source);
        stripe
            .get_mut(&source)
            .is_some_and(|score| score.asked_for(now.instant, endpoint))
    }

    /// The silenced sources that asked for an endpoint.
    pub(super) fn silenced_that_asked_for(&self, now: &Now, endpoint: Id) -> Vec<Blocked> {
        let mut found = Vec::new();
        for index in 0..STRIPES {
            let stripe = self.locked(index);
            let asked = stripe
                .iter()
                .filter(|(_, score)| score.has_asked_for(endpoint));
            found.extend(asked.filter_map(|(source, score)| {
                let until = at(now, score.silenced_until(now.instant)?);
                Some(Blocked {
                    source: *source,
                    until,
                })
            }));
        }
        found
    }

    pub(super) fn restore(&self, now: &Now, source: IpAddr, strikes: u32, until: Timestamp) {
        let left = until.duration_since(now.wall);
        let left = Duration::try_from(left).unwrap_or_default();
        let score = Score::silenced(now.instant, now.instant + left, strikes);
        let mut stripe = self.stripe(source);
        if stripe.len() < PER_STRIPE && stripe.insert(source, score).is_none() {
            self.silenced.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn note(&self, now: &Now, source: IpAddr, offence: Offence) -> Option<Silence> {
        let mut stripe = self.stripe(source);
        let score = self.entry(&mut stripe, now.instant, source)?;
        let silence = score.note(now.instant, &self.limits, offence)?;
        self.silenced.fetch_add(1, Ordering::Relaxed);
        Some(silence)
    }

    pub(super) fn proved(&self, now: &Now, source: IpAddr, endpoint: Id) {
        let mut stripe = self.stripe(source);
        if let Some(score) = self.entry(&mut stripe, now.instant, source) {
            score.proved(now.instant, &self.limits, endpoint);
        }
    }

    /// Forgets who is good again, and counts anew who is silenced.
    pub(super) fn sweep(&self, now: Instant) {
        // What is silenced while this runs is counted by who silences it: the sum may be too large, never too small.
        let before = self.silenced.load(Ordering::Relaxed);
        let mut silenced = 0;
        for index in 0..STRIPES {
            let mut stripe = self.locked(index);
            stripe.retain(|_, score| !score.is_forgettable(now, &self.limits));
            silenced += stripe
                .values()
                .filter(|score| score.is_silenced(now))
                .count();
        }
        self.silenced
            .fetch_sub(before.saturating_sub(silenced), Ordering::Relaxed);
    }

    pub(super) fn len(&self) -> usize {
        (0..STRIPES).map(|index| self.locked(index).len()).sum()
    }

    fn entry<'a>(
        &self,
        stripe: &'a mut HashMap<IpAddr, Score>,
        now: Instant,
        source: IpAddr,
    ) -> Option<&'a mut Score> {
        if stripe.len() >= PER_STRIPE && !stripe.contains_key(&source) {
            let oldest = stripe
                .iter()
                .filter(|(_, score)| !score.is_silenced(now))
                .take(EVICTION)
                .min_by_key(|(_, score)| score.touched())
                .map(|(source, _)| *source)?;
            stripe.remove(&oldest);
        }
        Some(stripe.entry(source).or_insert_with(|| Score::new(now)))
    }

    fn stripe(&self, source: IpAddr) -> MutexGuard<'_, HashMap<IpAddr, Score>> {
        let octets = match source {
            IpAddr::V4(address) => u64::from(address.to_bits()),
            IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
        };
        let mixed = octets.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58;
        self.locked(usize::try_from(mixed).unwrap_or_default())
    }

    fn locked(&self, index: usize) -> MutexGuard<'_, HashMap<IpAddr, Score>> {
        self.stripes[index % STRIPES]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// When an instant to come is by the clock.
fn at(now: &Now, instant: Instant) -> Timestamp {
    let left = instant.saturating_duration_since(now.instant);
    now.wall.saturating_add(left).unwrap_or(now.wall)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::Abuse;
    use std::net::Ipv4Addr;

    #[expect(clippy::disallowed_methods, reason = "a test needs one first instant")]
    fn start() -> Now {
        Now {
            instant: Instant::now(),
            wall: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_flood_of_sources_does_not_fill_the_memory_and_the_silenced_stay() {
        let (table, now) = (Table::new(Limits::of(&Abuse::default())), start());
        let attacker = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));
        assert!(table.note(&now, attacker, Offence::Scanner).is_some());
        for source in 0..200_000 {
            let source = IpAddr::V4(Ipv4Addr::from_bits(source));
            table.note(&now, source, Offence::WrongCredentials);
        }
        assert!(table.len() <= STRIPES * PER_STRIPE);
        assert!(table.is_silenced(&now, attacker));
    }

    #[test]
    fn a_sweep_forgets_who_is_good_again_and_counts_who_is_silenced() {
        let (table, mut now) = (Table::new(Limits::of(&Abuse::default())), start());
        let source = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));
        table.note(&now, source, Offence::Scanner);
        now.instant += Duration::from_secs(61);
        table.sweep(now.instant);
        assert!(
            !table.has_silenced() && table.len() == 1,
            "it is remembered"
        );
        now.instant += Duration::from_secs(3600);
        table.sweep(now.instant);
        assert_eq!(table.len(), 0);
    }
}
