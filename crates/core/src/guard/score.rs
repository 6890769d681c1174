//! The score of one source: offences raise it, time and proved passwords lower it, too much silences it.

use std::time::{Duration, Instant};

use smallvec::SmallVec;
use store::Id;

use super::Abuse;
use super::offence::{Offence, POINT};

/// Users of one source that are remembered: beyond it a source gets no more patience.
const USERS: usize = 64;
/// Endpoints that a silenced source is remembered to have asked for.
const ASKED: usize = 16;
/// Silences in a row that make the next one longer.
const STRIKES: u32 = 16;

/// What is too much, in the unit of scores.
#[derive(Copy, Clone, Debug)]
pub(super) struct Limits {
    score: u32,
    per_minute: u32,
    silence: Duration,
    max_silence: Duration,
}

impl Limits {
    pub(super) fn of(abuse: &Abuse) -> Self {
        Self {
            score: abuse.score.saturating_mul(POINT),
            per_minute: abuse.per_minute.saturating_mul(POINT),
            silence: abuse.silence,
            max_silence: abuse.max_silence,
        }
    }
}

/// A silence that has just begun.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Silence {
    pub(super) length: Duration,
    /// How many there were in a row, this one included.
    pub(super) strikes: u32,
}

/// One source.
#[derive(Debug)]
pub(super) struct Score {
    level: u32,
    touched: Instant,
    silenced_until: Option<Instant>,
    strikes: u32,
    /// Who proved a password from here: many users behind one address make more mistakes than one.
    users: SmallVec<[Id; 2]>,
    /// The endpoints that it asked for since it was silenced.
    asked: Vec<Id>,
}

impl Score {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            level: 0,
            touched: now,
            silenced_until: None,
            strikes: 0,
            users: SmallVec::new(),
            asked: Vec::new(),
        }
    }

    /// A source that an earlier process silenced.
    pub(super) fn silenced(now: Instant, until: Instant, strikes: u32) -> Self {
        Self {
            silenced_until: Some(until),
            strikes: strikes.min(STRIKES),
            ..Self::new(now)
        }
    }

    /// Adds an offence; says so when it was too much.
    pub(super) fn note(
        &mut self,
        now: Instant,
        limits: &Limits,
        offence: Offence,
    ) -> Option<Silence> {
        self.settle(now, limits);
        if self.is_silenced(now) {
            return None;
        }
        if offence == Offence::NoiseOfAnybody && !self.users.is_empty() {
            return None;
        }
        self.level = self.level.saturating_add(offence.weight());
        if offence == Offence::WrongCredentials {
            // It answered its challenge.
            let challenge = Offence::UnansweredChallenge.weight();
            self.level = self.level.saturating_sub(challenge);
        }
        let patience = limits.score.saturating_mul(self.users().saturating_add(1));
        let is_scanner = offence == Offence::Scanner;
        if self.level < patience && !is_scanner {
            return None;
        }
        let doubled = limits
            .silence
            .saturating_mul(1 << self.strikes.min(STRIKES));
        let length = doubled.min(limits.max_silence);
        self.strikes = self.strikes.saturating_add(1).min(STRIKES);
        self.level = 0;
        self.asked.clear();
        self.silenced_until = Some(now + length);
        Some(Silence {
            length,
            strikes: self.strikes,
        })
    }

    /// How many users proved a password from here.
    pub(super) fn users(&self) -> u32 {
        u32::try_from(self.users.len()).unwrap_or(u32::MAX)
    }

    /// A user proved a password.
    pub(super) fn proved(&mut self, now: Instant, limits: &Limits, user: Id) {
        self.settle(now, limits);
        let given_back = POINT + Offence::UnansweredChallenge.weight();
        self.level = self.level.saturating_sub(given_back);
        if !self.users.contains(&user) && self.users.len() < USERS {
            self.users.push(user);
        }
    }

    pub(super) fn is_silenced(&self, now: Instant) -> bool {
        self.silenced_until(now).is_some()
    }

    /// Until when it is silenced, if it is.
    pub(super) fn silenced_until(&self, now: Instant) -> Option<Instant> {
        self.silenced_until.filter(|until| now < *until)
    }

    /// Notes that it asked for an endpoint while it is silenced; tells whether that is news.
    pub(super) fn asked_for(&mut self, now: Instant, endpoint: Id) -> bool {
        let is_news =
            self.is_silenced(now) && self.asked.len() < ASKED && !self.asked.contains(&endpoint);
        if is_news {
            self.asked.push(endpoint);
        }
        is_news
    }

    pub(super) fn has_asked_for(&self, endpoint: Id) -> bool {
        self.asked.contains(&endpoint)
    }

    /// Whether nothing would be lost by forgetting it: it is good again, and was so for as long as its last silence counts.
    pub(super) fn is_forgettable(&mut self, now: Instant, limits: &Limits) -> bool {
        self.settle(now, limits);
        let grace = limits.max_silence;
        let remembers = self.silenced_until.is_some_and(|until| now < until + grace);
        self.level == 0 && !remembers
    }

    /// When it was last heard of.
    pub(super) fn touched(&self) -> Instant {
        self.touched
    }

    fn settle(&mut self, now: Instant, limits: &Limits) {
        let passed = now.saturating_duration_since(self.touched).as_millis();
        let lost = passed.saturating_mul(u128::from(limits.per_minute)) / 60_000;
        if lost > 0 || self.level == 0 {
            self.level = self
                .level
                .saturating_sub(u32::try_from(lost).unwrap_or(u32::MAX));
            self.touched = now;
        }
        let over = limits.max_silence;
        if self.silenced_until.is_some_and(|until| now >= until + over) {
            self.silenced_until = None;
            self.asked = Vec::new();
            self.strikes = 0;
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

    fn limits() -> Limits {
        Limits::of(&Abuse::default())
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn ten_wrong_passwords_in_a_minute_are_too_many_and_one_each_six_seconds_never_is() {
        let (limits, start) = (limits(), start());
        let mut fast = Score::new(start);
        let silenced: Vec<_> = (0..12)
            .map(|_| {
                fast.note(start, &limits, Offence::WrongCredentials)
                    .is_some()
            })
            .collect();
        // The tenth of a point for the answered challenge comes off each.
        assert_eq!(silenced.iter().position(|silenced| *silenced), Some(11));
        assert!(fast.is_silenced(start + seconds(59)) && !fast.is_silenced(start + seconds(60)));
        let mut slow = Score::new(start);
        let silenced = (0..1000).any(|turn| {
            slow.note(
                start + seconds(6 * turn),
                &limits,
                Offence::WrongCredentials,
            )
            .is_some()
        });
        assert!(!silenced);
    }

    #[test]
    fn each_silence_in_a_row_is_twice_as_long_up_to_the_longest() {
        let limits = limits();
        let mut now = start();
        let mut score = Score::new(now);
        let mut lengths = Vec::new();
        for _ in 0..8 {
            let silence = score.note(now, &limits, Offence::Scanner).expect("silence");
            lengths.push(silence.length.as_secs());
            now += silence.length;
        }
        assert_eq!(lengths, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
        now += seconds(3600);
        let again = score.note(now, &limits, Offence::Scanner);
        assert_eq!(again.map(|silence| silence.length.as_secs()), Some(60));
    }

    #[test]
    fn an_endpoint_is_asked_for_once_in_each_silence_and_not_without_one() {
        let (limits, start) = (limits(), start());
        let mut score = Score::new(start);
        assert!(!score.asked_for(start, 1));
        score.note(start, &limits, Offence::Scanner);
        let news: Vec<bool> = [1, 1, 2].map(|id| score.asked_for(start, id)).into();
        assert_eq!(news, [true, false, true]);
        assert!((0..100).filter(|id| score.asked_for(start, *id)).count() < ASKED);
        let later = start + seconds(60);
        assert!(!score.asked_for(later, 200));
        score.note(later, &limits, Offence::Scanner);
        assert!(!score.has_asked_for(1) && score.asked_for(later, 1));
    }

    #[test]
    fn many_users_behind_one_address_have_more_patience_than_one() {
        let (limits, start) = (limits(), start());
        let mut office = Score::new(start);
        for user in 0..30 {
            office.note(start, &limits, Offence::UnansweredChallenge);
            office.proved(start, &limits, user);
        }
        let mistakes = (0..)
            .take_while(|_| {
                office
                    .note(start, &limits, Offence::WrongCredentials)
                    .is_none()
            })
            .count();
        assert!(mistakes > 300, "{mistakes}");
    }

    #[test]
    fn the_legal_first_challenge_costs_an_honest_phone_nothing() {
        let (limits, start) = (limits(), start());
        let mut score = Score::new(start);
        let silenced = (0..10_000).any(|_| {
            let silenced = score.note(start, &limits, Offence::UnansweredChallenge);
            score.proved(start, &limits, 1);
            silenced.is_some()
        });
        assert!(!silenced);
        let mut scanner = Score::new(start);
        let asked = (0..)
            .take_while(|_| {
                scanner
                    .note(start, &limits, Offence::UnansweredChallenge)
                    .is_none()
            })
            .count();
        assert_eq!(asked, 99);
    }
}
