//! Our BYE until its answer: RFC 3261 §15.1.1.

use std::time::Instant;

use crate::dialog::Dialog;
use crate::invite::courtesy::{self, Refused};
use crate::invite::{Session, Stage};
use crate::stack::EndReason;
use crate::stack::wire::Wire;
use crate::transaction::layer::TransactionId;
use crate::{Flow, Method, Request, Response, Status};

#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) dialog: Dialog,
    pub(super) transaction: TransactionId,
}

impl Leaving {
    /// Any final answer ends it; the session is over in any case.
    pub(super) fn answered(
        self: Box<Self>,
        session: &Session,
        wire: &mut Wire,
        response: Response,
    ) -> Stage {
        if response.status.0 < 200 {
            return Stage::Leaving(self);
        }
        session.ended(wire, EndReason::HungUp)
    }

    pub(super) fn request(
        self: Box<Self>,
        session: &Session,
        now: Instant,
        wire: &mut Wire,
        request: Request,
        flow: Flow,
    ) -> Stage {
        if request.method == Method::Bye {
            // The two BYEs crossed; both are answered.
            wire.serve(now, &request, flow, request.respond(Status::OK));
            return session.ended(wire, EndReason::HungUp);
        }
        courtesy::refuse(now, wire, &request, flow, Refused::Gone);
        Stage::Leaving(self)
    }
}
