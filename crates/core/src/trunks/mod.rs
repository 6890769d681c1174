//! Trunks at work: which of them takes a number (`route`) and how that is written (`e164`), where they are reached (`reach`,
//! `dns`, `cooldown`), registering with them and asking whether they are alive (`keep`, `registration`), what is known of
//! each (`state`), what happens to it (`event`), and which addresses are theirs (`peers`).

pub(crate) mod cooldown;
mod dns;
pub(crate) mod e164;
mod event;
pub(crate) mod keep;
mod peers;
pub(crate) mod reach;
mod registration;
pub(crate) mod route;
mod state;

use std::sync::Arc;

use crate::{Dialer, Settings};

pub use dns::Dns;
pub use event::{TrunkEvent, TrunkEventKind};

pub(crate) use peers::TrunkPeers;
pub(crate) use reach::Reach;
pub(crate) use registration::retry_after;
pub(crate) use state::OnTrunk;
pub use state::{Health, Registration, TrunkState, TrunkStates};

/// What calls need of trunks; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Trunks {
    pub(crate) states: TrunkStates,
    pub(crate) reach: Reach,
}

impl Trunks {
    pub(crate) fn new(settings: Arc<Settings>, dialer: Dialer, states: TrunkStates) -> Self {
        Self {
            states,
            reach: Reach {
                dns: Dns::new(settings.dns_server),
                cooldown: cooldown::Cooldown::default(),
                dialer,
                settings,
            },
        }
    }
}
