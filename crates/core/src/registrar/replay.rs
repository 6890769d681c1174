//! Which nonce counts were used: RFC 7616 §3.4 "nc", §5.5. A nonce costs memory only after somebody proved a password
//! with it, so strangers cannot fill the table.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sip::digest::NonceId;

/// Parts of the table, each with a lock of its own, so small that neither its growth nor its cleaning is felt by who waits
/// for it; a power of two.
const STRIPES: usize = 1024;

/// Nonces that a part remembers, 48 octets each: what a hash table of 2,048 places holds. Together they are 1.8 million.
/// When there are more, those past their age are forgotten, and then the older half, which counts as stale from then on:
/// its owners are challenged once more and ask nobody for a password.
const CAPACITY: usize = 1792;

/// What one request is known by when it comes again (RFC 3261 §17.2.3), and where it came from.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Fingerprint<'a> {
    pub(crate) source: SocketAddr,
    pub(crate) branch: &'a str,
    pub(crate) call_id: &'a str,
    pub(crate) cseq: u32,
}

/// What the table says of a nonce and count.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Use {
    /// Never seen: go on.
    First,
    /// The same request again, answered before or on its way: no replay.
    Retransmission {
        /// Its commit is not through.
        pending: bool,
    },
    /// The count was used by another request.
    Replay,
    /// The nonce is older than what the table remembers.
    Forgotten,
}

#[derive(Debug)]
struct Last {
    count: u32,
    request: u64,
    pending: bool,
}

/// A nonce's number is a keyed hash already: nobody chooses it.
#[derive(Default)]
struct ByNumber(u64);

impl Hasher for ByNumber {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = self.0.rotate_left(32) ^ number;
    }
}

/// The highest count of each nonce, bounded, striped by nonce.
#[derive(Debug)]
pub(crate) struct Replays {
    stripes: Box<[Mutex<Stripe>]>,
    hasher: RandomState,
    capacity: usize,
}

#[derive(Debug, Default)]
struct Stripe {
    last: HashMap<NonceId, Last, BuildHasherDefault<ByNumber>>,
    /// Nonces that were minted before this second are forgotten.
    floor: u64,
}

impl Default for Replays {
    fn default() -> Self {
        Self::with_capacity(STRIPES, CAPACITY)
    }
}

impl Replays {
    fn with_capacity(stripes: usize, capacity: usize) -> Self {
        Self {
            stripes: (0..stripes).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            capacity,
        }
    }

    /// Notes the use of a count; counts must rise (RFC 7616 §3.4). `pending`: its answer is going to wait for a commit.
    pub(crate) fn note(
        &self,
        now: u64,
        lifetime: u64,
        nonce: NonceId,
        count: u32,
        request: Fingerprint<'_>,
        pending: bool,
    ) -> Use {
        let request = self.hasher.hash_one((
            request.source,
            request.branch,
            request.call_id,
            request.cseq,
        ));
        let mut stripe = self.stripe(nonce);
        if stripe.last.len() >= self.capacity {
            stripe.make_room(now, lifetime, self.capacity);
        }
        if nonce.minted < stripe.floor {
            return Use::Forgotten;
        }
        match stripe.last.entry(nonce) {
            Entry::Vacant(slot) => {
                slot.insert(Last {
                    count,
                    request,
                    pending,
                });
                Use::First
            }
            Entry::Occupied(mut slot) => {
                let last = slot.get_mut();
                if count > last.count {
                    last.count = count;
                    last.request = request;
                    last.pending = pending;
                    Use::First
                } else if count == last.count && request == last.request {
                    Use::Retransmission {
                        pending: last.pending,
                    }
                } else {
                    Use::Replay
                }
            }
        }
    }

    /// Notes that the answer to the last request with this nonce waits for its commit, or that it does not any more.
    pub(crate) fn set_pending(&self, nonce: NonceId, count: u32, pending: bool) {
        if let Some(last) = self.stripe(nonce).last.get_mut(&nonce)
            && last.count == count
        {
            last.pending = pending;
        }
    }

    /// Forgets a use, so that the same request may be tried again after its commit failed.
    pub(crate) fn forget(&self, nonce: NonceId, count: u32) {
        if let Some(last) = self.stripe(nonce).last.get_mut(&nonce)
            && last.count == count
        {
            last.pending = false;
            last.count = last.count.saturating_sub(1);
        }
    }

    /// Forgets nonces that no longer pass the check of their age, one stripe after the other.
    pub(crate) fn sweep(&self, now: u64, lifetime: u64) {
        for stripe in &self.stripes {
            lock(stripe).forget_before(now.saturating_sub(lifetime));
        }
    }

    fn stripe(&self, nonce: NonceId) -> MutexGuard<'_, Stripe> {
        // The upper half: a stripe's own table goes by the lower one.
        let index = (nonce.number >> 32) as usize % self.stripes.len();
        lock(&self.stripes[index])
    }
}

impl Stripe {
    /// Forgets what is past its age; when that is less than a quarter, the older half of the rest: at least what was not
    /// minted in this second.
    fn make_room(&mut self, now: u64, lifetime: u64, capacity: usize) {
        let oldest = self.floor.max(now.saturating_sub(lifetime));
        self.forget_before(oldest);
        if self.last.len() * 4 > capacity * 3 {
            self.floor = oldest + now.saturating_sub(oldest).div_ceil(2);
            self.forget_before(self.floor);
        }
    }

    fn forget_before(&mut self, minted: u64) {
        self.last.retain(|nonce, _| nonce.minted >= minted);
    }
}

fn lock(stripe: &Mutex<Stripe>) -> MutexGuard<'_, Stripe> {
    // What changes a stripe does not panic in between.
    stripe.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(branch: &str, port: u16) -> Fingerprint<'_> {
        Fingerprint {
            source: SocketAddr::from(([192, 0, 2, 1], port)),
            branch,
            call_id: "c",
            cseq: 2,
        }
    }

    #[test]
    fn a_count_is_good_once_and_the_same_request_again_is_no_replay() {
        let replays = Replays::default();
        let nonce = minted(100);
        let note = |count, request| replays.note(100, 120, nonce, count, request, false);
        assert_eq!(note(1, request("b1", 1)), Use::First);
        replays.set_pending(nonce, 1, true);
        assert_eq!(
            note(1, request("b1", 1)),
            Use::Retransmission { pending: true }
        );
        replays.set_pending(nonce, 1, false);
        assert_eq!(
            note(1, request("b1", 1)),
            Use::Retransmission { pending: false }
        );
        assert_eq!(note(1, request("b2", 1)), Use::Replay);
        assert_eq!(note(1, request("b1", 2)), Use::Replay);
        assert_eq!(note(3, request("b3", 1)), Use::First);
        assert_eq!(note(2, request("b2", 1)), Use::Replay);
        replays.forget(nonce, 3);
        assert_eq!(note(3, request("b3", 1)), Use::First);
    }

    #[test]
    fn a_full_table_forgets_the_older_half_which_is_stale_from_then_on() {
        let replays = Replays::with_capacity(1, 2);
        let note = |now, nonce| replays.note(now, 120, nonce, 1, request("b", 1), false);
        assert_eq!(note(100, minted(100)), Use::First);
        assert_eq!(note(200, minted(190)), Use::First);
        assert_eq!(note(200, minted(200)), Use::First);
        assert_eq!(held(&replays), 2);
        assert_eq!(note(201, minted(100)), Use::Forgotten);
        let again = Use::Retransmission { pending: false };
        assert_eq!(note(201, minted(200)), again);
    }

    #[test]
    fn nonces_past_their_age_are_swept() {
        let replays = Replays::default();
        assert_eq!(
            replays.note(100, 120, minted(100), 1, request("b", 1), false),
            Use::First
        );
        replays.sweep(220, 120);
        assert_eq!(held(&replays), 1);
        replays.sweep(221, 120);
        assert_eq!(held(&replays), 0);
    }

    fn held(replays: &Replays) -> usize {
        replays
            .stripes
            .iter()
            .map(|stripe| lock(stripe).last.len())
            .sum()
    }

    fn minted(minted: u64) -> NonceId {
        NonceId { minted, number: 7 }
    }
}
