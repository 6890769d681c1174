//! All bindings in memory, by endpoint, in stripes.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use smallvec::SmallVec;

use super::packed::Packed;
use crate::Id;
use crate::journal::frame::{self, Op};

/// Parts of the table, each with a lock of its own; a power of two.
pub(crate) const STRIPES: usize = 256;

/// The bindings of one endpoint: one for nearly all.
pub(crate) type Held = SmallVec<[Packed; 1]>;

type Stripe = HashMap<Id, Held, BuildHasherDefault<Spread>>;

/// The table. What it holds is what the journal's records add up to, and changes whose commit is on its way.
pub(crate) struct Table {
    stripes: Box<[Mutex<Stripe>]>,
    count: AtomicUsize,
    /// Octets that the live bindings take in the journal.
    live: AtomicU64,
}

/// Ids are ours, so that nobody chooses them to collide: multiplication spreads those that follow each other.
#[derive(Default)]
pub(crate) struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(self.0 ^ u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        let wide = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = wide ^ wide >> 32;
    }

    fn write_i64(&mut self, number: i64) {
        self.write_u64(number.cast_unsigned());
    }
}

/// The stripe of an endpoint.
pub(crate) fn stripe_of(endpoint: Id) -> usize {
    let wide = endpoint.cast_unsigned().wrapping_mul(0xd6e8_feb8_6659_fd93);
    (wide >> 40) as usize % STRIPES
}

/// A locked stripe, seen from one endpoint.
pub(crate) struct Entry<'a> {
    stripe: MutexGuard<'a, Stripe>,
    table: &'a Table,
    endpoint: Id,
}

impl Table {
    pub(crate) fn new() -> Self {
        Table {
            stripes: (0..STRIPES).map(|_| Mutex::default()).collect(),
            count: AtomicUsize::new(0),
            live: AtomicU64::new(0),
        }
    }

    fn lock(&self, stripe: usize) -> MutexGuard<'_, Stripe> {
        // A panic leaves no half-changed stripe: what changes one does not panic in between.
        self.stripes[stripe % STRIPES]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn entry(&self, endpoint: Id) -> Entry<'_> {
        Entry {
            stripe: self.lock(stripe_of(endpoint)),
            table: self,
            endpoint,
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn live(&self) -> u64 {
        self.live.load(Ordering::Relaxed)
    }

    fn came(&self, packed: &Packed) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.live
            .fetch_add(frame::length_of(packed.bytes()), Ordering::Relaxed);
    }

    fn went(&self, packed: &Packed) {
        self.count.fetch_sub(1, Ordering::Relaxed);
        self.live
            .fetch_sub(frame::length_of(packed.bytes()), Ordering::Relaxed);
    }

    /// Removes what lapsed by then, one stripe after the other; tells of each, returns how many.
    pub(crate) fn sweep(&self, now: i64, mut each: impl FnMut(Id, &Packed)) -> usize {
        let mut gone = 0;
        for stripe in 0..STRIPES {
            self.lock(stripe).retain(|endpoint, held| {
                held.retain(|packed| {
                    let stays = packed.expires_at() > now;
                    if !stays {
                        self.went(packed);
                        each(*endpoint, packed);
                        gone += 1;
                    }
                    stays
                });
                !held.is_empty()
            });
        }
        gone
    }

    /// Sees every endpoint with its bindings, which it may change in place as long as their octets stay as many.
    pub(crate) fn each(&self, mut see: impl FnMut(Id, &mut [Packed])) {
        for stripe in 0..STRIPES {
            for (endpoint, held) in self.lock(stripe).iter_mut() {
                see(*endpoint, held);
            }
        }
    }

    /// Makes the change that a record describes.
    pub(crate) fn replay(&self, endpoint: Id, ops: impl Iterator<Item = Op>) {
        let mut entry = self.entry(endpoint);
        for op in ops {
            match op {
                Op::Put(packed) => {
                    let place = entry.place(packed.view().key);
                    entry.put(place, packed);
                }
                Op::Delete(key) => {
                    if let Some(place) = entry.place(&key) {
                        entry.remove(place);
                    }
                }
                Op::Clear => entry.clear(),
            }
        }
        entry.tidy();
    }

    /// Whether the journal's octets are a binding that is held.
    pub(crate) fn holds(&self, endpoint: Id, disk: &[u8]) -> bool {
        let stripe = self.lock(stripe_of(endpoint));
        stripe
            .get(&endpoint)
            .is_some_and(|held| held.iter().any(|packed| packed.is(disk)))
    }
}

impl Entry<'_> {
    pub(crate) fn held(&self) -> &[Packed] {
        self.stripe.get(&self.endpoint).map_or(&[], |held| held)
    }

    /// Where the binding with this key is.
    pub(crate) fn place(&self, key: &str) -> Option<usize> {
        self.held()
            .iter()
            .position(|packed| packed.view().key == key)
    }

    /// Forgets what lapsed by then; the sweep does the same later.
    pub(crate) fn forget_lapsed(&mut self, now: i64) {
        let Some(held) = self.stripe.get_mut(&self.endpoint) else {
            return;
        };
        let table = self.table;
        held.retain(|packed| {
            let stays = packed.expires_at() > now;
            if !stays {
                table.went(packed);
            }
            stays
        });
    }

    /// Puts a binding in, in the place of another one or at the end; returns the other one.
    pub(crate) fn put(&mut self, place: Option<usize>, packed: Packed) -> Option<Packed> {
        self.table.came(&packed);
        let held = self.stripe.entry(self.endpoint).or_default();
        match place.and_then(|place| held.get_mut(place)) {
            Some(former) => {
                let former = std::mem::replace(former, packed);
                self.table.went(&former);
                Some(former)
            }
            None => {
                held.push(packed);
                None
            }
        }
    }

    pub(crate) fn remove(&mut self, place: usize) -> Option<Packed> {
        let held = self.stripe.get_mut(&self.endpoint)?;
        let gone = (place < held.len()).then(|| held.remove(place))?;
        self.table.went(&gone);
        Some(gone)
    }

    pub(crate) fn clear(&mut self) {
        for packed in self.stripe.remove(&self.endpoint).unwrap_or_default() {
            self.table.went(&packed);
        }
    }

    /// Leaves no empty list behind.
    pub(crate) fn tidy(&mut self) {
        if self
            .stripe
            .get(&self.endpoint)
            .is_some_and(SmallVec::is_empty)
        {
            self.stripe.remove(&self.endpoint);
        }
    }
}
