//! Who watches what: a bounded table, by number and by what is watched.

use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use sip::SubscriptionId;
use smallvec::SmallVec;
use store::Id;

use crate::events::package::Package;
use crate::events::reg::Told;

/// One subscription, as far as the core goes.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Watch {
    /// The shard that holds its dialog.
    pub(super) shard: u8,
    pub(super) package: Package,
    /// What is watched.
    pub(super) endpoint: Id,
    /// Who watches.
    pub(super) watcher: Id,
    /// Whose both are.
    pub(super) account: Id,
    /// Up to which revision the watcher was told; `dialog` only.
    pub(super) seen: u64,
}

#[derive(Debug)]
struct Row {
    watch: Watch,
    /// A change could not be said because the shard's queue was full.
    missed: bool,
    /// What the watcher was told last; `reg` only.
    told: Option<Box<[Told]>>,
}

/// A shard's share of the watchers of one thing.
type Watchers = SmallVec<[(SubscriptionId, u8); 2]>;

#[derive(Debug)]
pub(super) struct Subscriptions {
    rows: DashMap<SubscriptionId, Row>,
    watchers: DashMap<(Package, Id), Watchers>,
    /// How many each endpoint holds.
    held: DashMap<Id, usize>,
    count: AtomicUsize,
    most: usize,
    most_of_endpoint: usize,
}

impl Subscriptions {
    /// Holds so many in all, and so many of one watcher.
    pub(super) fn new(most: usize, most_of_endpoint: usize) -> Self {
        Self {
            rows: DashMap::new(),
            watchers: DashMap::new(),
            held: DashMap::new(),
            count: AtomicUsize::new(0),
            most,
            most_of_endpoint,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Takes one in; `false`: there is no room.
    pub(super) fn insert(&self, id: SubscriptionId, watch: Watch) -> bool {
        let room = |count| (count < self.most).then_some(count + 1);
        if self
            .count
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, room)
            .is_err()
        {
            return false;
        }
        {
            let mut held = self.held.entry(watch.watcher).or_default();
            if *held >= self.most_of_endpoint {
                self.count.fetch_sub(1, Ordering::Relaxed);
                return false;
            }
            *held += 1;
        }
        let row = Row {
            watch,
            missed: false,
            told: None,
        };
        self.rows.insert(id, row);
        let key = (watch.package, watch.endpoint);
        self.watchers
            .entry(key)
            .or_default()
            .push((id, watch.shard));
        true
    }

    pub(super) fn remove(&self, id: SubscriptionId) {
        let Some((_, Row { watch, .. })) = self.rows.remove(&id) else {
            return;
        };
        let key = (watch.package, watch.endpoint);
        self.watchers.remove_if_mut(&key, |_, watchers| {
            watchers.retain(|(other, _)| *other != id);
            watchers.is_empty()
        });
        self.held.remove_if_mut(&watch.watcher, |_, held| {
            *held = held.saturating_sub(1);
            *held == 0
        });
        self.count.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn get(&self, id: SubscriptionId) -> Option<Watch> {
        self.rows.get(&id).map(|row| row.watch)
    }

    /// The watchers of one thing, with their shards.
    pub(super) fn of(&self, package: Package, endpoint: Id) -> Watchers {
        if self.count.load(Ordering::Relaxed) == 0 {
            return Watchers::new();
        }
        let watchers = self.watchers.get(&(package, endpoint));
        watchers.map(|found| found.clone()).unwrap_or_default()
    }

    pub(super) fn is_watched(&self, package: Package, endpoint: Id) -> bool {
        self.watchers.contains_key(&(package, endpoint))
    }

    /// Notes up to which revision a watcher was told.
    pub(super) fn saw(&self, id: SubscriptionId, revision: u64) {
        if let Some(mut row) = self.rows.get_mut(&id) {
            row.watch.seen = revision;
        }
    }

    /// Gives the contacts that a watcher was told of last.
    pub(super) fn told(&self, id: SubscriptionId) -> Option<Box<[Told]>> {
        self.rows.get(&id)?.told.clone()
    }

    /// Notes the contacts that a watcher is told of.
    pub(super) fn tell(&self, id: SubscriptionId, told: Box<[Told]>) {
        if let Some(mut row) = self.rows.get_mut(&id) {
            row.told = Some(told);
        }
    }

    /// Notes that a watcher has still to hear of a change.
    pub(super) fn missed(&self, id: SubscriptionId) {
        if let Some(mut row) = self.rows.get_mut(&id) {
            row.missed = true;
        }
    }

    pub(super) fn heard(&self, id: SubscriptionId) {
        if let Some(mut row) = self.rows.get_mut(&id) {
            row.missed = false;
        }
    }

    /// All of them, for a sweep.
    pub(super) fn all(&self) -> Vec<(SubscriptionId, Watch, bool)> {
        let rows = self.rows.iter();
        rows.map(|row| (*row.key(), row.watch, row.missed))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(endpoint: Id, watcher: Id) -> Watch {
        Watch {
            shard: 0,
            package: Package::Dialog,
            endpoint,
            watcher,
            account: 1,
            seen: 0,
        }
    }

    #[test]
    fn a_full_table_takes_one_when_another_has_gone_and_keeps_no_empty_places() {
        let table = Subscriptions::new(3, 2);
        assert!(table.insert(SubscriptionId(1), watch(10, 20)));
        assert!(table.insert(SubscriptionId(2), watch(10, 20)));
        // The watcher has as many as one may have.
        assert!(!table.insert(SubscriptionId(3), watch(10, 20)));
        assert!(table.insert(SubscriptionId(4), watch(10, 21)));
        assert!(!table.insert(SubscriptionId(5), watch(10, 22)));
        assert_eq!((table.len(), table.of(Package::Dialog, 10).len()), (3, 3));
        assert!(table.of(Package::Reg, 10).is_empty());
        for id in [1, 2, 4, 4, 9] {
            table.remove(SubscriptionId(id));
        }
        let left = (table.rows.len(), table.watchers.len(), table.held.len());
        assert_eq!((table.len(), left), (0, (0, 0, 0)));
    }
}
