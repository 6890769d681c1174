//! Opening, answering and ending legs: whatever ends one hangs up and closes all that is open of it.

use sip::{Header, Name, Status};
use uuid::Uuid;

use super::{Context, Timer};
use crate::about::Direction;
use crate::across::Word;
use crate::call::Output;
use crate::cdr::Cause;
use crate::leg::{Asked, Attempt, Described, End, EndpointId, Leg, LegId, LegRecord, Media, Wire};
use crate::verb::Link;

impl Context {
    /// Takes a number for a leg or an attempt; a call that has used them all gets none.
    pub(crate) fn new_leg_id(&mut self) -> Option<LegId> {
        let id = self.next_leg;
        self.next_leg = id.checked_add(1)?;
        Some(LegId(id))
    }

    /// Makes the record of a leg that we call.
    pub(crate) fn callee_record(&mut self, leg: LegId, from: String, to: String) -> LegRecord {
        LegRecord {
            uuid: (self.uuids)(),
            parent: Some(self.a_uuid),
            leg,
            direction: Direction::Outbound,
            from,
            to,
            endpoint: None,
            started: self.wall(),
            rang: None,
            answered: None,
            hangup: None,
            source_ip: None,
            call_id: None,
        }
    }

    pub(crate) fn open_leg(&mut self, record: LegRecord, callback: Option<Link>, position: u16) {
        self.outputs.push_back(Output::Record(record.clone()));
        let leg = record.leg;
        let state = Leg {
            record,
            answered: None,
            end: None,
            sip_status: None,
            stats: None,
            callback,
            position,
        };
        self.legs.insert(leg, state);
    }

    pub(crate) fn open_attempt(
        &mut self,
        id: LegId,
        leg: LegId,
        wire: Wire,
        near: std::net::IpAddr,
    ) {
        let media = Media::Absent;
        let described = Described::No;
        self.attempts.insert(
            id,
            Attempt {
                leg,
                wire,
                media,
                described,
                near,
                asked: Asked::default(),
                distant: None,
            },
        );
    }

    /// Tells the leg of an attempt.
    pub(crate) fn leg_of(&self, id: LegId) -> LegId {
        self.attempts.get(&id).map_or(id, |attempt| attempt.leg)
    }

    pub(crate) fn leg_uuid(&self, leg: LegId) -> Option<Uuid> {
        self.legs.get(&leg).map(|leg| leg.record.uuid)
    }

    /// Who is called by a leg, as its record shows it.
    pub(crate) fn shown_to(&self, leg: LegId) -> Option<&str> {
        self.legs.get(&leg).map(|leg| leg.record.to.as_str())
    }

    pub(crate) fn leg_endpoint(&self, leg: LegId) -> Option<EndpointId> {
        self.legs.get(&leg).and_then(|leg| leg.record.endpoint)
    }

    pub(crate) fn wire(&self, id: LegId) -> Wire {
        self.attempts
            .get(&id)
            .map_or(Wire::Gone, |attempt| attempt.wire)
    }

    pub(crate) fn described(&self, id: LegId) -> Described {
        self.attempts
            .get(&id)
            .map_or(Described::No, |attempt| attempt.described)
    }

    pub(crate) const fn is_over(&self) -> bool {
        self.over
    }

    /// Notes that the leg's far side rings.
    pub(crate) fn leg_rings(&mut self, leg: LegId) {
        let wall = self.wall();
        if let Some(leg) = self.legs.get_mut(&leg) {
            leg.record.rang.get_or_insert(wall);
        }
    }

    /// Notes that a leg is answered, and updates its row.
    pub(crate) fn leg_answered(&mut self, leg: LegId, call_id: Option<String>) {
        let (wall, instant) = (self.wall(), self.now.instant);
        let Some(leg) = self.legs.get_mut(&leg) else {
            return;
        };
        let is_caller = leg.record.leg == LegId::A;
        leg.answered = Some(instant);
        leg.sip_status = Some(200);
        leg.record.answered = Some(wall);
        if call_id.is_some() {
            leg.record.call_id = call_id;
        }
        self.outputs.push_back(Output::Record(leg.record.clone()));
        if let Some(allowance) = self.allowance.filter(|_| is_caller) {
            self.set_timer(Timer::Allowance, allowance);
        }
    }

    /// Ends a leg: what is open of it is hung up and closed; its record follows when its media is closed.
    pub(crate) fn end_leg(&mut self, id: LegId, end: End) {
        if id == LegId::A {
            self.unanswer();
        }
        if self.is_distant(id) {
            self.drop_attempt(id, &end);
            return;
        }
        let Some(leg) = self.legs.get_mut(&id) else {
            return;
        };
        if leg.end.is_some() {
            return;
        }
        let mut ended = end;
        // plivo-rest.md §15: 1000 before the answer, 4000 after it.
        ended.cause = match (end.cause, leg.answered) {
            (Cause::NormalHangup, None) => Cause::Canceled,
            (Cause::Canceled, Some(_)) => Cause::NormalHangup,
            (cause, _) => cause,
        };
        leg.end = Some((ended, self.now.instant));
        let attempts: Vec<LegId> = self
            .attempts
            .iter()
            .filter(|(_, a)| a.leg == id)
            .map(|(id, _)| *id)
            .collect();
        for attempt in attempts {
            self.drop_attempt(attempt, &end);
        }
    }

    /// Hangs up one attempt by whatever fits its state, and closes its media.
    pub(crate) fn drop_attempt(&mut self, id: LegId, end: &End) {
        let session = self.session(id);
        let Some(attempt) = self.attempts.get_mut(&id) else {
            return;
        };
        let (leg, distant) = (attempt.leg, attempt.distant);
        let wire = std::mem::replace(&mut attempt.wire, Wire::Gone);
        let headers = reason(end);
        match (wire, distant) {
            (Wire::Incoming, Some(distant)) => self.decline_waiting(distant, end.refusal()),
            (Wire::Incoming, None) => {
                let status = end.refusal();
                self.note_status(leg, status.0);
                self.send_a(sip::Command::Refuse {
                    session,
                    status,
                    // A rule of ours is best told by its name.
                    reason: end.cause.is_rule().then(|| end.cause.name().into()),
                    headers: retry_after(status),
                });
            }
            (Wire::Calling, _) => {
                self.note_status(leg, Status::REQUEST_TERMINATED.0);
                self.outputs
                    .push_back(Output::Sip(sip::Command::Hangup { session, headers }));
            }
            (Wire::Up, Some(_)) => self.say_to(id, Word::Gone),
            (Wire::Up, None) if id == LegId::A => {
                self.send_a(sip::Command::Hangup { session, headers });
            }
            (Wire::Up, None) => self
                .outputs
                .push_back(Output::Sip(sip::Command::Hangup { session, headers })),
            (Wire::Idle | Wire::Gone, _) => {}
        }
        self.close_media(id);
        self.exchange_lost(id);
        self.asides_lost(id);
    }

    /// Notes that the wire itself ended an attempt.
    pub(crate) fn attempt_gone(&mut self, id: LegId, status: Option<u16>) {
        if id == LegId::A
            && let Some(held) = &mut self.held
        {
            held.clear();
        }
        let Some(attempt) = self.attempts.get_mut(&id) else {
            return;
        };
        attempt.wire = Wire::Gone;
        let leg = attempt.leg;
        if let Some(status) = status {
            self.note_status(leg, status);
        }
        // The media of who is served is closed after that of its callees, so that their records come first.
        if id != self.served() {
            self.close_media(id);
        }
        self.exchange_lost(id);
        self.asides_lost(id);
    }

    /// Notes with which status the INVITE of an unanswered leg ended.
    pub(crate) fn note_status(&mut self, leg: LegId, status: u16) {
        if let Some(leg) = self.legs.get_mut(&leg)
            && leg.answered.is_none()
        {
            leg.sip_status = Some(status);
        }
    }
}

/// Tells a caller that there is no room for, when to try again (RFC 3261 §20.33).
fn retry_after(status: Status) -> Vec<Header> {
    match status {
        Status::SERVICE_UNAVAILABLE => vec![Header::new(Name::RetryAfter, "5")],
        _ => Vec::new(),
    }
}

/// Tells a phone why it stops ringing (RFC 3326 §2).
fn reason(end: &End) -> Vec<Header> {
    match end.cause {
        Cause::LostRace => vec![Header::new(
            Name::Reason,
            "SIP;cause=200;text=\"Call completed elsewhere\"",
        )],
        _ => Vec::new(),
    }
}
