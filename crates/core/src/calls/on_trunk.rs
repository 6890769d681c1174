//! The legs of one call that are on trunks: each has its place there, and how it goes tells how the trunk is.

use std::collections::BTreeMap;

use call::{LegId, Located};
use sip::{Destination, SessionEvent};
use store::Id;

use crate::clock::Clock;
use crate::directory::Directory;
use crate::trunks::keep::is_failure;
use crate::trunks::{OnTrunk, Trunks, retry_after};

/// The legs of a call that are on trunks.
#[derive(Debug, Default)]
pub(crate) struct OnTrunks {
    /// Places that were found, and whose they are.
    known: Vec<(Destination, Option<Id>)>,
    legs: BTreeMap<LegId, (Destination, Option<OnTrunk>)>,
    /// The caller's own, while the call lasts.
    _caller: Option<OnTrunk>,
}

impl OnTrunks {
    pub(crate) fn new(caller: Option<OnTrunk>) -> Self {
        Self {
            _caller: caller,
            ..Self::default()
        }
    }

    /// Remembers which of the places that were found are trunks'.
    pub(crate) fn located(&mut self, located: &Located) {
        for place in &located.destinations {
            if let Some(over) = &place.over {
                let trunk = over.trunk.and_then(|id| Id::try_from(id).ok());
                self.known.push((place.destination.clone(), trunk));
            }
        }
    }

    /// Takes the place of a leg on its trunk. `false`: there is none left.
    pub(crate) fn call(
        &mut self,
        trunks: &Trunks,
        directory: &Directory,
        leg: LegId,
        to: &Destination,
    ) -> bool {
        let Some((_, trunk)) = self.known.iter().find(|(known, _)| known == to) else {
            return true;
        };
        let place = match trunk.and_then(|id| directory.trunk_by_id(id)) {
            Some(trunk) => match trunks.states.take_call(trunk.id, trunk.max_calls) {
                Some(place) => Some(place),
                None => return false,
            },
            None => None,
        };
        self.legs.insert(leg, (to.clone(), place));
        true
    }

    /// Takes note of what happened to a leg.
    pub(crate) fn heard(
        &mut self,
        trunks: &Trunks,
        clock: &Clock,
        leg: LegId,
        event: &SessionEvent,
    ) {
        let Some((to, place)) = self.legs.get(&leg) else {
            return;
        };
        let (transport, remote) = (to.flow.transport, to.flow.remote);
        let cooldown = &trunks.reach.cooldown;
        match event {
            SessionEvent::Ringing { .. } | SessionEvent::Answered { .. } => {
                cooldown.answered(transport, remote);
            }
            SessionEvent::Failed { status, response } => {
                let failed = response.is_none() && matches!(status.0, 408 | 503)
                    || response.is_some() && is_failure(status.0);
                if failed {
                    let wait = response.as_ref().and_then(retry_after);
                    cooldown.failed(clock.now().instant, transport, remote, wait);
                    let why = match response {
                        Some(_) => format!("INVITE was answered {}", status.0),
                        None => format!("INVITE to {remote} was not answered"),
                    };
                    tracing::info!(%remote, why, "a host of a trunk failed");
                    if let Some(place) = place {
                        trunks.states.change(place.trunk, |state| {
                            state.last_error = Some(why);
                        });
                    }
                }
                self.legs.remove(&leg);
            }
            SessionEvent::Ended { .. } => {
                self.legs.remove(&leg);
            }
            _ => {}
        }
    }
}
