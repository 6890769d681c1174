//! The addresses that trunks come from: they are peers, and are never scored as attackers.

use std::net::IpAddr;

use super::TrunkStates;
use crate::Directory;

/// Tells whether an address is a trunk's; clones share what they know.
#[derive(Clone, Debug)]
pub(crate) struct TrunkPeers {
    directory: Directory,
    states: TrunkStates,
}

impl TrunkPeers {
    pub(crate) fn new(directory: Directory, states: TrunkStates) -> Self {
        Self { directory, states }
    }

    /// Whether a trunk that is on has the address in one of its narrow networks, or is registered with there.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        self.states.is_any_peer(address) || self.directory.is_trunks_own_address(address)
    }
}
