//! What is known of each trunk at this moment: whether it is alive, registered, and how many calls are on it.

use std::net::IpAddr;
use std::sync::Arc;

use dashmap::DashMap;
use jiff::Timestamp;
use store::Id;

/// Whether a trunk takes calls.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub enum Health {
    /// Nobody has asked it, or it has not answered yet.
    #[default]
    Unknown,
    /// It answered.
    Up,
    /// It did not answer several times in a row, or answers that it is not available.
    Down,
}

/// Whether we are registered with a trunk.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub enum Registration {
    /// It is no trunk to register with.
    #[default]
    Unwanted,
    /// The first answer is awaited.
    Pending,
    /// Its calls find us.
    Registered {
        /// Until then, unless it is refreshed.
        until: Timestamp,
    },
    /// It refused, or did not answer; it is tried again.
    Failed {
        /// The last status, or none.
        status: Option<u16>,
    },
}

/// What is known of a trunk.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct TrunkState {
    /// Whether it takes calls.
    pub health: Health,
    /// Since when.
    pub since: Option<Timestamp>,
    /// The last thing that went wrong.
    pub last_error: Option<String>,
    /// Whether we are registered with it.
    pub registration: Registration,
    /// Calls on it, both ways.
    pub calls: u32,
    /// The addresses that we register with; its calls come from them.
    pub(crate) peers: Vec<IpAddr>,
}

/// The states of all trunks; clones share them. A trunk has an entry once something is known of it.
#[derive(Clone, Default, Debug)]
pub struct TrunkStates(Arc<Inner>);

#[derive(Default, Debug)]
struct Inner {
    of: DashMap<Id, TrunkState>,
    /// By how many trunks an address is registered with.
    peers: DashMap<IpAddr, u32>,
}

impl TrunkStates {
    /// What is known of a trunk.
    pub fn of(&self, trunk: Id) -> TrunkState {
        self.0
            .of
            .get(&trunk)
            .map_or_else(TrunkState::default, |state| state.clone())
    }

    /// Whether a trunk is known to take no calls.
    pub(crate) fn is_down(&self, trunk: Id) -> bool {
        self.0
            .of
            .get(&trunk)
            .is_some_and(|state| state.health == Health::Down)
    }

    /// Whether we register with a trunk at this address.
    pub(crate) fn is_peer(&self, trunk: Id, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0
            .of
            .get(&trunk)
            .is_some_and(|state| state.peers.contains(&address))
    }

    /// Whether we register with any trunk at this address.
    pub(crate) fn is_any_peer(&self, address: IpAddr) -> bool {
        self.0.peers.contains_key(&address.to_canonical())
    }

    /// Notes where we register with a trunk, in place of what was known.
    pub(crate) fn set_peers(&self, trunk: Id, peers: Vec<IpAddr>) {
        for peer in &peers {
            *self.0.peers.entry(*peer).or_default() += 1;
        }
        let mut before = peers;
        self.change(trunk, |state| std::mem::swap(&mut state.peers, &mut before));
        self.0.forget(&before);
    }

    /// Changes what is known of a trunk, and gives what it was before.
    pub(crate) fn change(&self, trunk: Id, change: impl FnOnce(&mut TrunkState)) -> TrunkState {
        let mut state = self.0.of.entry(trunk).or_default();
        let before = state.clone();
        change(&mut state);
        before
    }

    /// Forgets trunks that are not there any more.
    pub(crate) fn retain(&self, is_there: impl Fn(Id) -> bool) {
        self.0.of.retain(|id, state| {
            let stays = state.calls > 0 || is_there(*id);
            if !stays {
                self.0.forget(&state.peers);
            }
            stays
        });
    }

    /// Takes one of a trunk's calls; the place is free again when what is given is dropped. `None`: all are taken.
    pub(crate) fn take_call(&self, trunk: Id, most: u32) -> Option<OnTrunk> {
        let mut state = self.0.of.entry(trunk).or_default();
        if most > 0 && state.calls >= most {
            return None;
        }
        state.calls += 1;
        Some(OnTrunk {
            states: self.clone(),
            trunk,
        })
    }
}

impl Inner {
    fn forget(&self, peers: &[IpAddr]) {
        for peer in peers {
            self.peers.remove_if_mut(peer, |_, trunks| {
                *trunks = trunks.saturating_sub(1);
                *trunks == 0
            });
        }
    }
}

/// A call's place on a trunk.
#[derive(Debug)]
pub(crate) struct OnTrunk {
    states: TrunkStates,
    pub(crate) trunk: Id,
}

impl Drop for OnTrunk {
    fn drop(&mut self) {
        if let Some(mut state) = self.states.0.of.get_mut(&self.trunk) {
            state.calls = state.calls.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_peers_as_long_as_any_trunk_is_registered_there() {
        let states = TrunkStates::default();
        let [first, second]: [IpAddr; 2] =
            ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().expect("an address"));
        states.set_peers(7, vec![first, second]);
        states.set_peers(8, vec![first]);
        states.set_peers(7, vec![second]);
        assert!(states.is_any_peer(first) && states.is_peer(8, first) && !states.is_peer(7, first));
        states.set_peers(8, vec![]);
        assert!(!states.is_any_peer(first) && states.is_any_peer(second));
        states.retain(|_| false);
        assert!(!states.is_any_peer(second));
    }

    #[test]
    fn a_trunk_has_so_many_places_and_no_more() {
        let states = TrunkStates::default();
        let first = states.take_call(7, 2).expect("a place");
        let second = states.take_call(7, 2).expect("a place");
        assert!(states.take_call(7, 2).is_none());
        assert_eq!(states.of(7).calls, 2);
        drop(first);
        assert!(states.take_call(7, 2).is_some());
        drop(second);
        assert_eq!(states.of(7).calls, 0);
        assert!(states.take_call(8, 0).is_some(), "0 sets no limit");
    }
}
