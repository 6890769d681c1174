//! Several flows of one device: one of them is called at a time, the next when the flow failed (RFC 5626 §7).

use sip::{Response, Status};

use super::{CalleeState, Dialing};
use crate::context::Context;
use crate::leg::{LegId, Wire};
use crate::verb::dial::Place;

/// Tells whether an INVITE failed because of its flow, so that another flow of the same device may still lead to it. Any
/// other answer is the device's own.
fn is_failure_of_flow(status: Status, response: Option<&Response>) -> bool {
    match response {
        Some(_) => status == Status::FLOW_FAILED,
        None => matches!(
            status,
            Status::SERVICE_UNAVAILABLE | Status::REQUEST_TIMEOUT
        ),
    }
}

/// Notes the other flows of the device that an attempt is made at.
pub(super) fn keep_other_flows(flows: &mut Vec<(LegId, Place)>, id: LegId, place: &Place) {
    if let Some((destination, others)) = place.others.split_first() {
        let next = Place {
            near: destination.flow.remote.ip(),
            destination: destination.clone(),
            others: others.to_vec(),
            ..place.clone()
        };
        flows.push((id, next));
    }
}

impl Dialing {
    /// Calls the device of a failed attempt by its next flow. `false`: it was not the flow that failed, or there is no other.
    pub(super) fn flow_failed(
        &mut self,
        ctx: &mut Context,
        id: LegId,
        status: Status,
        response: Option<&Response>,
    ) -> bool {
        // A device that was heard by the caller was reached.
        let heard = self.early.as_ref().is_some_and(|early| early.b == id);
        if self.room == 0 || heard || !is_failure_of_flow(status, response) {
            return false;
        }
        let Some(at) = self.flows.iter().position(|(failed, _)| *failed == id) else {
            return false;
        };
        let calling = self
            .callees
            .iter_mut()
            .find_map(|callee| match &mut callee.state {
                CalleeState::Calling { leg, attempts } => {
                    let attempt = attempts.iter_mut().find(|(attempt, _)| *attempt == id);
                    attempt.map(|attempt| (*leg, attempt))
                }
                _ => None,
            });
        let (Some((leg, attempt)), Some(next)) = (calling, ctx.new_leg_id()) else {
            return false;
        };
        let (_, place) = self.flows.swap_remove(at);
        ctx.attempt_gone(id, None);
        ctx.open_attempt(next, leg, Wire::Idle, place.near);
        *attempt = (next, Some(place));
        self.room -= 1;
        self.call_ready(ctx);
        true
    }
}
