//! Timers by the RFC's letters (RFC 3261 §17, Table 4; RFC 6026 §7) and the wheel that holds them.
//!
//! The wheel has levels of 64 slots, a slot of the first being one millisecond. Arming and cancelling are O(1); a
//! timer moves down at most once per level before it fires. Due times are rounded up to whole milliseconds.

use std::time::{Duration, Instant};

use crate::transaction::slab::{Id, Slab};

/// A timer of a transaction.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Timer {
    A,
    B,
    D,
    E,
    F,
    G,
    H,
    I,
    J,
    K,
    L,
    M,
}

impl Timer {
    /// Tells whether the timer repeats a message; the others end a state. No state has two of a kind.
    pub(crate) fn retransmits(self) -> bool {
        matches!(self, Self::A | Self::E | Self::G)
    }

    /// Gives the first interval (RFC 3261 Table 4). `None`: not used on this transport.
    pub(crate) fn interval(self, t1: Duration, t4: Duration, reliable: bool) -> Option<Duration> {
        match self {
            Self::A | Self::E | Self::G => (!reliable).then_some(t1),
            Self::B | Self::F | Self::H | Self::L | Self::M => Some(64 * t1),
            Self::D | Self::I | Self::J | Self::K if reliable => Some(Duration::ZERO),
            Self::D | Self::J => Some(64 * t1),
            Self::I | Self::K => Some(t4),
        }
    }
}

/// Names an armed timer.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct TimerId(Id);

const LEVELS: usize = 7;
const SLOTS: usize = 64;

#[derive(Debug)]
struct Entry<T> {
    payload: T,
    due: u64,
    level: u8,
    slot: u8,
    before: Option<Id>,
    after: Option<Id>,
}

#[derive(Copy, Clone, Debug)]
struct List {
    first: Option<Id>,
    last: Option<Id>,
}

/// A hashed, hierarchical timer wheel.
#[derive(Debug)]
pub(crate) struct Wheel<T> {
    /// The time of tick 0: the first time that the wheel hears of.
    origin: Option<Instant>,
    tick: u64,
    occupied: [u64; LEVELS],
    lists: Box<[List]>,
    entries: Slab<Entry<T>>,
}

impl<T> Wheel<T> {
    pub(crate) fn new() -> Self {
        let nobody = List {
            first: None,
            last: None,
        };
        Self {
            origin: None,
            tick: 0,
            occupied: [0; LEVELS],
            lists: vec![nobody; LEVELS * SLOTS].into_boxed_slice(),
            entries: Slab::new(),
        }
    }

    /// Arms a timer.
    pub(crate) fn arm(&mut self, due: Instant, payload: T) -> TimerId {
        let origin = *self.origin.get_or_insert(due);
        let since = due.saturating_duration_since(origin);
        let due = u64::try_from(since.as_micros().div_ceil(1000)).unwrap_or(u64::MAX);
        let id = self.entries.insert(Entry {
            payload,
            due,
            level: 0,
            slot: 0,
            before: None,
            after: None,
        });
        self.link(id);
        TimerId(id)
    }

    /// Cancels a timer; one that has fired is nothing to cancel.
    pub(crate) fn cancel(&mut self, TimerId(id): TimerId) {
        if self.entries.get(id).is_some() {
            self.unlink(id);
            self.entries.remove(id);
        }
    }

    /// Takes a timer that is due.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<T> {
        let origin = *self.origin.get_or_insert(now);
        let since = now.saturating_duration_since(origin).as_millis();
        let now = u64::try_from(since).unwrap_or(u64::MAX);
        loop {
            match self.next() {
                Some((level, slot, tick)) if tick <= now => {
                    self.tick = self.tick.max(tick);
                    let list = self.lists.get(level * SLOTS + slot)?;
                    let first = list.first?;
                    if level == 0 {
                        self.unlink(first);
                        return self.entries.remove(first).map(|entry| entry.payload);
                    }
                    self.cascade(level, slot);
                }
                _ => {
                    self.tick = self.tick.max(now);
                    return None;
                }
            }
        }
    }

    /// Tells when to call [`Wheel::pop`]: not later than the first timer, seldom earlier.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let (_, _, tick) = self.next()?;
        self.origin?.checked_add(Duration::from_millis(tick))
    }

    /// The first slot that holds anything, and the tick at which it begins.
    fn next(&self) -> Option<(usize, usize, u64)> {
        let (level, occupied) = self
            .occupied
            .iter()
            .enumerate()
            .find(|(_, occupied)| **occupied != 0)?;
        let shift = 6 * level as u32;
        let here = ((self.tick >> shift) & 63) as u32;
        let slot = (occupied.rotate_right(here).trailing_zeros() + here) & 63;
        let begin = (self.tick >> shift >> 6 << 6 | u64::from(slot)) << shift;
        Some((level, slot as usize, begin))
    }

    fn cascade(&mut self, level: usize, slot: usize) {
        while let Some(id) = self
            .lists
            .get(level * SLOTS + slot)
            .and_then(|list| list.first)
        {
            self.unlink(id);
            self.link(id);
        }
    }

    fn link(&mut self, id: Id) {
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        let due = entry
            .due
            .clamp(self.tick, self.tick | ((1 << (6 * LEVELS)) - 1));
        let apart = (due ^ self.tick) | 63;
        let level = ((63 - apart.leading_zeros()) / 6) as usize;
        let slot = ((due >> (6 * level)) & 63) as usize;
        let Some(list) = self.lists.get_mut(level * SLOTS + slot) else {
            return;
        };
        entry.level = level as u8;
        entry.slot = slot as u8;
        entry.after = None;
        entry.before = list.last.replace(id);
        let before = entry.before;
        if list.first.is_none() {
            list.first = Some(id);
        }
        if let Some(occupied) = self.occupied.get_mut(level) {
            *occupied |= 1 << slot;
        }
        if let Some(before) = before.and_then(|before| self.entries.get_mut(before)) {
            before.after = Some(id);
        }
    }

    fn unlink(&mut self, id: Id) {
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        let (before, after) = (entry.before.take(), entry.after.take());
        let (level, slot) = (usize::from(entry.level), usize::from(entry.slot));
        if let Some(before) = before.and_then(|before| self.entries.get_mut(before)) {
            before.after = after;
        }
        if let Some(after) = after.and_then(|after| self.entries.get_mut(after)) {
            after.before = before;
        }
        let Some(list) = self.lists.get_mut(level * SLOTS + slot) else {
            return;
        };
        if list.first == Some(id) {
            list.first = after;
        }
        if list.last == Some(id) {
            list.last = before;
        }
        if list.first.is_none()
            && let Some(occupied) = self.occupied.get_mut(level)
        {
            *occupied &= !(1 << slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha12Rng;
    use rand_core::{RngCore, SeedableRng};

    use super::*;

    #[test]
    fn random_timers_fire_once_in_order_and_on_time() {
        let mut rng = ChaCha12Rng::seed_from_u64(7);
        let start = start();
        let mut wheel = Wheel::new();
        assert_eq!(wheel.pop(start), None);
        let mut now = start;
        let mut armed = Vec::new();
        let mut fired = 0;
        for round in 0..20_000_u64 {
            let wait = Duration::from_millis(rng.next_u64() % (1 << (rng.next_u64() % 24)));
            armed.push((wheel.arm(now + wait, round), now + wait, Some(round)));
            if rng.next_u64().is_multiple_of(3) {
                let index = (rng.next_u64() as usize) % armed.len();
                wheel.cancel(armed[index].0);
                armed[index].2 = None;
            }
            if rng.next_u64().is_multiple_of(2) {
                now += Duration::from_millis(rng.next_u64() % 900);
            }
            while let Some(payload) = wheel.pop(now) {
                let entry = &mut armed[payload as usize];
                assert!(entry.1 <= now && entry.2.take() == Some(payload));
                fired += 1;
            }
            if let Some(next) = wheel.next_due() {
                assert!(next > now);
            }
        }
        while let Some(next) = wheel.next_due() {
            now = next;
            while let Some(payload) = wheel.pop(now) {
                let entry = &mut armed[payload as usize];
                assert!(entry.1 == now && entry.2.take() == Some(payload));
                fired += 1;
            }
        }
        assert!(armed.iter().all(|entry| entry.2.is_none()));
        assert!(fired > 10_000 && wheel.entries.len() == 0);
    }

    #[test]
    fn timers_of_one_tick_fire_in_the_order_of_arming() {
        let start = start();
        let mut wheel = Wheel::new();
        assert_eq!(wheel.pop(start), None);
        for payload in 0..5 {
            wheel.arm(start + Duration::from_secs(32), payload);
        }
        let due = start + Duration::from_secs(32);
        assert_eq!(wheel.pop(due - Duration::from_millis(1)), None);
        let fired: Vec<_> = std::iter::from_fn(|| wheel.pop(due)).collect();
        assert_eq!(fired, [0, 1, 2, 3, 4]);
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "any instant will do as the start"
    )]
    fn start() -> Instant {
        Instant::now()
    }
}
