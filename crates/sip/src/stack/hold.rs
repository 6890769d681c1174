//! Requests outside of a dialog that the layer above answers later: RFC 3261 §8.2, §17.2.2.
//!
//! The transaction takes in what its client repeats. One that is never answered is forgotten when its client has given
//! up: an answer after that helps nobody (RFC 4320 §4.2).

use std::time::Instant;

use crate::stack::wire::Due;
use crate::stack::{RequestId, Stack};
use crate::transaction::layer::{TransactionId, User};
use crate::transaction::timer::TimerId;
use crate::{Flow, Request, Response, Status};

/// A request that waits for its answer.
#[derive(Debug)]
pub(super) struct Held {
    transaction: TransactionId,
    timer: TimerId,
}

impl Stack {
    pub(super) fn hold(&mut self, now: Instant, id: RequestId, request: &Request, flow: Flow) {
        if self.held.contains_key(&id) {
            return;
        }
        let user = Some(User::Held(id));
        let Some(transaction) = self.wire.open(request, flow, user, None) else {
            self.wire
                .reject(flow, request, Status::SERVICE_UNAVAILABLE, "");
            return;
        };
        let patience = self.wire.patience();
        let timer = self.wire.arm(now, patience, Due::Held(id));
        self.held.insert(id, Held { transaction, timer });
    }

    pub(super) fn respond_held(&mut self, now: Instant, id: RequestId, response: Response) {
        let Some(held) = self.held.get(&id) else {
            return;
        };
        let transaction = held.transaction;
        if response.status.is_final() {
            self.release(id);
        }
        self.wire.respond(now, transaction, response);
    }

    /// Nobody answered in time.
    pub(super) fn held_too_long(&mut self, id: RequestId) {
        if let Some(held) = self.held.remove(&id) {
            self.wire.drop_transaction(held.transaction);
        }
    }

    pub(super) fn release(&mut self, id: RequestId) {
        if let Some(held) = self.held.remove(&id) {
            self.wire.wheel.cancel(held.timer);
        }
    }
}
