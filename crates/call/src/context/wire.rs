//! What goes to the stack: nothing to a session that is gone, and nothing that answers the caller before its row.

use bytes::Bytes;
use sip::{Header, Status, Text};

use super::{Context, Timer};
use crate::call::Output;
use crate::leg::{LegId, Wire, session};
use crate::verb::Place;

impl Context {
    pub(crate) fn session(&self, leg: LegId) -> sip::SessionId {
        session(self.shard, self.number, leg)
    }

    pub(super) fn send_a(&mut self, command: sip::Command) {
        match &mut self.held {
            Some(held) => held.push_back(command),
            None => self.outputs.push_back(Output::Sip(command)),
        }
    }

    /// Tells whether commands to the caller wait for its row.
    pub(crate) fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// Lets out what waited for the caller's row.
    pub(crate) fn release(&mut self) {
        self.clear_timer(Timer::Recorded);
        for command in self.held.take().into_iter().flatten() {
            self.outputs.push_back(Output::Sip(command));
        }
    }

    /// Takes back an answer that still waits for the caller's row.
    pub(crate) fn unanswer(&mut self) {
        let Some(held) = &mut self.held else { return };
        if !held
            .iter()
            .any(|command| matches!(command, sip::Command::Answer { .. }))
        {
            return;
        }
        held.clear();
        if let Some(attempt) = self.attempts.get_mut(&LegId::A)
            && attempt.wire == Wire::Up
        {
            attempt.wire = Wire::Incoming;
        }
        self.forget_answer();
    }

    /// A leg whose INVITE was given up was never answered.
    pub(crate) fn forget_answer(&mut self) {
        if let Some(leg) = self.legs.get_mut(&LegId::A) {
            leg.answered = None;
            leg.record.answered = None;
            leg.sip_status = None;
        }
        self.clear_timer(Timer::Allowance);
    }

    pub(crate) fn ring_a(&mut self, status: Status, sdp: Option<Bytes>) {
        if self.wire(LegId::A) != Wire::Incoming {
            return;
        }
        self.leg_rings(LegId::A);
        let session = self.session(LegId::A);
        self.send_a(sip::Command::Ring {
            session,
            status,
            sdp,
            headers: Vec::new(),
        });
    }

    pub(crate) fn answer_a(&mut self, sdp: Bytes) {
        let session = self.session(LegId::A);
        let Some(attempt) = self.attempts.get_mut(&LegId::A) else {
            return;
        };
        if attempt.wire != Wire::Incoming {
            return;
        }
        attempt.wire = Wire::Up;
        self.leg_answered(LegId::A, None);
        self.send_a(sip::Command::Answer {
            session,
            sdp: Some(sdp),
            headers: Vec::new(),
        });
    }

    pub(crate) fn invite(
        &mut self,
        id: LegId,
        place: Place,
        from: Text,
        headers: Vec<Header>,
        sdp: Bytes,
    ) {
        let session = self.session(id);
        let Some(attempt) = self.attempts.get_mut(&id) else {
            return;
        };
        if attempt.wire != Wire::Idle {
            return;
        }
        attempt.wire = Wire::Calling;
        self.outputs.push_back(Output::Sip(sip::Command::Invite {
            session,
            to: place.destination,
            from,
            to_value: place.to_value,
            sdp: Some(sdp),
            headers,
            contact_user: place.contact_user,
            effort: place.over.map(|over| over.effort).unwrap_or_default(),
        }));
    }

    pub(crate) fn set_wire(&mut self, id: LegId, wire: Wire) {
        if let Some(attempt) = self.attempts.get_mut(&id) {
            attempt.wire = wire;
        }
    }
}
