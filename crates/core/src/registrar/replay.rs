//! Which nonce counts were used: RFC 7616 §3.4 "nc", §5.5. A nonce costs memory only after somebody proved a password
//! with it, so strangers cannot fill the table.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use sip::digest::NonceId;

/// Nonces in use at once. Beyond it the table is swept, and if that frees nothing the request is challenged anew:
/// 500,000 of 40 octets are more than 4,000 proved passwords a second over a nonce's life of two minutes.
const CAPACITY: usize = 500_000;

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
    /// No room to remember it.
    Full,
}

#[derive(Debug)]
struct Last {
    count: u32,
    request: u64,
    pending: bool,
    forget_at: u64,
}

/// The highest count of each nonce, bounded, striped by nonce.
#[derive(Debug)]
pub(crate) struct Replays {
    last: DashMap<NonceId, Last>,
    hasher: RandomState,
    capacity: usize,
}

impl Default for Replays {
    fn default() -> Self {
        Self::with_capacity(CAPACITY)
    }
}

impl Replays {
    fn with_capacity(capacity: usize) -> Self {
        Self {
            last: DashMap::new(),
            hasher: RandomState::new(),
            capacity,
        }
    }

    /// Notes the use of a count; counts must rise (RFC 7616 §3.4).
    pub(crate) fn note(
        &self,
        now: u64,
        lifetime: u64,
        nonce: NonceId,
        count: u32,
        request: Fingerprint<'_>,
    ) -> Use {
        let request = self.hasher.hash_one((
            request.source,
            request.branch,
            request.call_id,
            request.cseq,
        ));
        if self.last.len() >= self.capacity && !self.last.contains_key(&nonce) {
            self.sweep(now);
            if self.last.len() >= self.capacity {
                return Use::Full;
            }
        }
        match self.last.entry(nonce) {
            Entry::Vacant(slot) => {
                slot.insert(Last {
                    count,
                    request,
                    pending: false,
                    forget_at: now.saturating_add(lifetime).saturating_add(1),
                });
                Use::First
            }
            Entry::Occupied(mut slot) => {
                let last = slot.get_mut();
                if count > last.count {
                    last.count = count;
                    last.request = request;
                    last.pending = false;
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
        if let Some(mut last) = self.last.get_mut(&nonce)
            && last.count == count
        {
            last.pending = pending;
        }
    }

    /// Forgets a use, so that the same request may be tried again after its commit failed.
    pub(crate) fn forget(&self, nonce: NonceId, count: u32) {
        if let Some(mut last) = self.last.get_mut(&nonce)
            && last.count == count
        {
            last.pending = false;
            last.count = last.count.saturating_sub(1);
        }
    }

    /// Forgets nonces that no longer pass the check of their age.
    pub(crate) fn sweep(&self, now: u64) {
        self.last.retain(|_, last| last.forget_at > now);
    }
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
        let nonce = NonceId(7);
        let note = |count, request| replays.note(100, 120, nonce, count, request);
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
    fn the_table_is_bounded_and_forgets_old_nonces() {
        let replays = Replays::with_capacity(1);
        let note = |now, nonce| replays.note(now, 120, NonceId(nonce), 1, request("b", 1));
        assert_eq!(note(100, 1), Use::First);
        assert_eq!(note(200, 2), Use::Full);
        assert_eq!(note(221, 2), Use::First);
        assert_eq!(note(221, 2), Use::Retransmission { pending: false });
    }
}
