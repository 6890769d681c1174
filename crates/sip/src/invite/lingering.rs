//! What is left of a dialog whose session the other side ended while its REFER is not answered yet or still told of: the
//! subscription is a usage of its own (RFC 5057 §4.1, RFC 3515 §2.4.7).

use std::time::{Duration, Instant};

use crate::dialog::Dialog;
use crate::invite::courtesy::{self, Refused};
use crate::invite::{Session, Stage};
use crate::stack::wire::Wire;
use crate::{Flow, Method, Request};

/// How long the last word may take, as long as the other side was promised to be told.
pub(super) const LONGEST: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub(super) struct Lingering {
    pub(super) dialog: Dialog,
}

impl Lingering {
    pub(super) fn request(
        mut self: Box<Self>,
        session: &mut Session,
        now: Instant,
        wire: &mut Wire,
        request: Request,
        flow: Flow,
    ) -> Stage {
        match request.method {
            Method::Subscribe
                if courtesy::in_order(&mut self.dialog, now, wire, &request, flow) =>
            {
                session.subscribed(now, wire, &mut self.dialog, &request, flow);
            }
            Method::Subscribe => {}
            _ => courtesy::refuse(now, wire, &request, flow, Refused::Gone),
        }
        session.linger(Stage::Lingering(self))
    }
}

impl Session {
    /// Goes on only while somebody is to be told.
    pub(super) fn linger(&self, stage: Stage) -> Stage {
        match stage {
            Stage::Lingering(_)
                if self.asides.subscriptions.is_empty() && !self.asides.owe_a_refer() =>
            {
                Stage::Gone
            }
            stage => stage,
        }
    }
}
