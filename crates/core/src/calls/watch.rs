//! Which of our endpoints a call concerns, and where it stands for each: what the watchers of dialogs are told.
//!
//! It only looks on: at what the call is told, and at what it wants done.

use std::collections::BTreeMap;

use call::{Direction, Input, LegId, LegRecord, Output};
use sip::{Command, SessionEvent};
use store::Id;

use crate::calls::Inner;
use crate::events::{DialogState, Side};

/// The legs of a call that are endpoints of ours.
#[derive(Debug, Default)]
pub(crate) struct Watch(BTreeMap<LegId, (Option<Id>, Side)>);

impl Watch {
    /// Looks at what the call is told.
    pub(crate) fn came(&mut self, calls: &Inner, input: &Input) {
        if let Input::Leg {
            leg,
            event: SessionEvent::Ringing { status, .. },
        } = input
            && (180..=189).contains(&status.0)
        {
            self.rings(calls, *leg);
        }
    }

    /// Looks at what the call wants done.
    pub(crate) fn goes(&mut self, calls: &Inner, output: &Output) {
        match output {
            Output::Record(record) => self.recorded(calls, record),
            Output::Sip(Command::Ring { session, .. }) => {
                self.rings(calls, call::leg_of(*session).1);
            }
            Output::Cdr(cdr) => {
                if let Some((Some(endpoint), side)) = self.0.remove(&cdr.leg.leg) {
                    let now = calls.clock.now();
                    let state = DialogState::Terminated;
                    calls.packages.dialog(&now, endpoint, &side, state);
                }
            }
            _ => (),
        }
    }

    /// Tells which of our endpoints sits at an attempt: it belongs to the last leg that was opened before it.
    pub(crate) fn endpoint(&self, attempt: LegId) -> Option<Id> {
        let (_, (endpoint, _)) = self.0.range(..=attempt).next_back()?;
        *endpoint
    }

    fn recorded(&mut self, calls: &Inner, record: &LegRecord) {
        let endpoint = record.endpoint.and_then(|id| Id::try_from(id.0).ok());
        let is_initiator = record.direction == Direction::Inbound;
        let side = Side {
            leg: record.uuid,
            is_initiator,
            call_id: record.call_id.clone(),
            remote: if is_initiator {
                record.to.clone()
            } else {
                record.from.clone()
            },
        };
        if let Some(endpoint) = endpoint {
            let state = match record.answered {
                Some(_) => DialogState::Confirmed,
                None => DialogState::Trying,
            };
            let now = calls.clock.now();
            calls.packages.dialog(&now, endpoint, &side, state);
        }
        self.0.insert(record.leg, (endpoint, side));
    }

    /// An attempt rings: it belongs to the last leg that was opened before it.
    fn rings(&self, calls: &Inner, attempt: LegId) {
        if let Some((_, (Some(endpoint), side))) = self.0.range(..=attempt).next_back() {
            let now = calls.clock.now();
            calls
                .packages
                .dialog(&now, *endpoint, side, DialogState::Early);
        }
    }
}
