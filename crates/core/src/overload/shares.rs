//! Which sources ask much: counts of requests by source in windows of a tenth of a second, in bounded memory.

use std::net::IpAddr;
use std::time::Instant;

use super::admission::WINDOW;

/// Counters, shared by the sources that fall on the same one. A flood from more sources than these makes all of them look
/// as if they asked much; then the kind of request alone decides.
const COUNTERS: usize = 1024;
/// Requests in a window that are little, from a source with no known user; each user that proved a password from there adds
/// as many, so that an office behind one address is no flood.
const LITTLE: u32 = 10;

/// Windows for which a source is known to have registered users.
const KNOWN: u128 = 20;

/// Whether a source asks much.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Weight {
    Much,
    Little,
}

#[derive(Debug)]
pub(super) struct Shares {
    start: Instant,
    seed: u64,
    window: u128,
    counts: Box<[u32]>,
    /// Where somebody has registered a moment ago, and in which window; a source that falls on another one's place takes it.
    known: Box<[(Option<IpAddr>, u128)]>,
}

impl Shares {
    pub(super) fn new(start: Instant, seed: u64) -> Self {
        Self {
            start,
            seed,
            window: 0,
            counts: vec![0; COUNTERS].into(),
            known: vec![(None, 0); COUNTERS].into(),
        }
    }

    /// The number of the window that an instant is in.
    pub(super) fn window(&self, now: Instant) -> u128 {
        let passed = now.saturating_duration_since(self.start);
        passed.as_nanos() / WINDOW.as_nanos()
    }

    pub(super) fn weigh(
        &mut self,
        now: Instant,
        source: IpAddr,
        users: impl FnOnce() -> u32,
    ) -> Weight {
        let window = self.window(now);
        if self.window != window {
            self.window = window;
            self.counts.fill(0);
        }
        let index = self.index(source);
        let Some(count) = self.counts.get_mut(index) else {
            return Weight::Little;
        };
        *count = count.saturating_add(1);
        let is_little =
            *count <= LITTLE || *count <= LITTLE.saturating_mul(users().saturating_add(1));
        match is_little {
            true => Weight::Little,
            false => Weight::Much,
        }
    }

    /// Notes that somebody registers from a source.
    pub(super) fn registers(&mut self, now: Instant, source: IpAddr) {
        let (window, index) = (self.window(now), self.index(source));
        if let Some(place) = self.known.get_mut(index) {
            *place = (Some(source), window);
        }
    }

    /// Whether somebody has registered from a source within the last two seconds.
    pub(super) fn is_known(&self, now: Instant, source: IpAddr) -> bool {
        let known = self.known.get(self.index(source));
        known.is_some_and(|(whose, at)| {
            *whose == Some(source) && self.window(now).saturating_sub(*at) < KNOWN
        })
    }

    fn index(&self, source: IpAddr) -> usize {
        let octets = match source.to_canonical() {
            IpAddr::V4(address) => u64::from(address.to_bits()),
            IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
        };
        let mixed = (octets ^ self.seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed =
            (mixed ^ (mixed >> 32) ^ self.seed.rotate_left(17)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        usize::try_from(mixed >> 54).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[expect(clippy::disallowed_methods, reason = "a test needs one first instant")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_source_is_known_for_two_seconds_after_somebody_registered_there() {
        let start = start();
        let mut shares = Shares::new(start, 7);
        let office: IpAddr = "198.51.100.7".parse().expect("an address");
        let other: IpAddr = "198.51.100.8".parse().expect("an address");
        shares.registers(start, office);
        assert!(shares.is_known(start + Duration::from_millis(1999), office));
        assert!(!shares.is_known(start + Duration::from_millis(2000), office));
        assert!(!shares.is_known(start, other));
    }

    #[test]
    fn an_office_may_ask_as_much_as_its_users_and_a_flood_is_much_until_it_ends() {
        let start = start();
        let mut shares = Shares::new(start, 7);
        let flood: IpAddr = "203.0.113.9".parse().expect("an address");
        let office: IpAddr = "198.51.100.7".parse().expect("an address");
        let mut little = |source, users| {
            let all = 0..1000;
            all.filter(|_| shares.weigh(start, source, || users) == Weight::Little)
                .count()
        };
        assert_eq!((little(flood, 0), little(office, 49)), (10, 500));
        let later = start + Duration::from_millis(100);
        assert_eq!(shares.weigh(later, flood, || 0), Weight::Little);
    }
}
