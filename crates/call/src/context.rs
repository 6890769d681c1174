//! What a verb sees of its call: it can push outputs, open and end legs, ask questions and set a deadline.
//!
//! Everything that must hold for every verb is here: nothing is sent to a leg that is gone, every media session is
//! closed, every leg leaves one record, and nothing answers the caller before its row is on disk.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use media::OfferOrAnswer;
use sip::{Header, Name, Status, Text};
use uuid::Uuid;

use crate::about::{
    About, CallStatus, DialAction, DialLeg, Direction, Fetch, FetchId, Notice, Occasion,
};
use crate::bridge::Bridge;
use crate::call::{Caller, Now, Output};
use crate::cdr::{Cause, Cdr};
use crate::leg::{
    Asked, Attempt, CallNumber, Described, End, Leg, LegId, LegRecord, Media, Wire, leg_of, session,
};
use crate::verb::{Link, Place, QueryId, TargetKind};

/// Documents that may be asked for while nobody talks: voice-xml.md §1.5.
const MAX_DOCUMENTS: u32 = 70;
/// How long the caller's row may take before the call is given up.
const RECORD_LIMIT: Duration = Duration::from_secs(10);
/// How long the plane may take to close a session before its record is written without figures.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// What a call waits for by the clock.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Timer {
    /// The running verb's deadline.
    Verb,
    /// A Hangup with `schedule`.
    Schedule,
    /// The caller's row is overdue.
    Recorded,
    /// Closed events are overdue.
    Closed,
}

/// What the plane said about a leg that is still there.
#[derive(Clone, Debug)]
pub(crate) enum Heard {
    Offered(Bytes),
    Answered(Bytes),
    Accepted,
    Refused(u16),
    Silent(Duration),
    Unavailable,
}

/// A request to the customer's server that goes out once all ended legs have left their records.
#[derive(Debug)]
struct Deferred {
    id: FetchId,
    link: Link,
    occasion: Occasion,
    wants_document: bool,
}

/// The call as its verbs see it.
pub(crate) struct Context {
    pub(crate) now: Now,
    began: Now,
    number: CallNumber,
    shard: u8,
    uuids: Box<dyn FnMut() -> Uuid + Send>,
    pub(crate) caller: Caller,
    pub(crate) a_uuid: Uuid,
    /// How the last Dial ended, for refusing a caller when the document runs out.
    pub(crate) last_dial: Option<End>,
    pub(crate) bridge: Bridge,
    /// Custom headers of the call, as callbacks show them.
    headers: Vec<(String, String)>,
    pub(crate) outputs: VecDeque<Output>,
    legs: BTreeMap<LegId, Leg>,
    attempts: BTreeMap<LegId, Attempt>,
    /// What waits for the caller's row; `None` once that is on disk.
    held: Option<VecDeque<sip::Command>>,
    deferred: Vec<Deferred>,
    timers: BTreeMap<Timer, Instant>,
    next_leg: u16,
    next_question: u64,
    documents: u32,
    over: bool,
}

impl Context {
    pub(crate) fn new(
        now: Now,
        number: CallNumber,
        shard: u8,
        mut uuids: Box<dyn FnMut() -> Uuid + Send>,
        caller: Caller,
        hangup: Option<Link>,
    ) -> Self {
        let a_uuid = uuids();
        let record = LegRecord {
            uuid: a_uuid,
            parent: None,
            leg: LegId::A,
            direction: Direction::Inbound,
            from: caller.from.clone(),
            to: caller.to.clone(),
            endpoint: caller.endpoint,
            started: now.wall,
            rang: None,
            answered: None,
            hangup,
            source_ip: Some(caller.source.remote.ip()),
            call_id: caller.call_id.clone(),
        };
        let headers = caller.headers.clone();
        let near = caller.source.remote.ip();
        let mut context = Self {
            now,
            began: now,
            number,
            shard,
            uuids,
            caller,
            a_uuid,
            last_dial: None,
            bridge: Bridge::default(),
            headers,
            outputs: VecDeque::new(),
            legs: BTreeMap::new(),
            attempts: BTreeMap::new(),
            held: Some(VecDeque::new()),
            deferred: Vec::new(),
            timers: BTreeMap::new(),
            next_leg: 1,
            next_question: 1,
            documents: 0,
            over: false,
        };
        context.set_timer(Timer::Recorded, RECORD_LIMIT);
        context.open_leg(record, None, 0);
        context.open_attempt(LegId::A, LegId::A, Wire::Incoming, near);
        context
    }

    /// The wall clock of records: it moves with the clock that never jumps.
    fn wall(&self) -> Timestamp {
        let elapsed = self
            .now
            .instant
            .saturating_duration_since(self.began.instant);
        self.began
            .wall
            .checked_add(elapsed)
            .unwrap_or(self.now.wall)
    }

    // ---- time

    pub(crate) fn set_timer(&mut self, timer: Timer, after: Duration) {
        self.timers.insert(timer, self.now.instant + after);
    }

    pub(crate) fn clear_timer(&mut self, timer: Timer) {
        self.timers.remove(&timer);
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.timers.values().min().copied()
    }

    /// Takes the earliest timer whose time has come.
    pub(crate) fn take_due(&mut self) -> Option<Timer> {
        let (timer, at) = self
            .timers
            .iter()
            .map(|(timer, at)| (*timer, *at))
            .min_by_key(|(_, at)| *at)?;
        (at <= self.now.instant).then(|| {
            self.timers.remove(&timer);
            timer
        })
    }

    // ---- questions and callbacks

    fn question(&mut self) -> u64 {
        let question = self.next_question;
        self.next_question += 1;
        question
    }

    /// Asks for a document, unless too many were asked for while nobody talked.
    pub(crate) fn fetch_document(&mut self, link: Link, occasion: Occasion) -> Option<FetchId> {
        if self.documents >= MAX_DOCUMENTS {
            return None;
        }
        self.documents += 1;
        Some(self.fetch(link, occasion, true))
    }

    /// Asks a URL whose answer is thrown away.
    pub(crate) fn fetch_only(&mut self, link: Link, occasion: Occasion) {
        self.fetch(link, occasion, false);
    }

    fn fetch(&mut self, link: Link, occasion: Occasion, wants_document: bool) -> FetchId {
        let id = FetchId(self.question());
        self.deferred.push(Deferred {
            id,
            link,
            occasion,
            wants_document,
        });
        id
    }

    /// Somebody talked: documents are counted from zero again.
    pub(crate) fn made_progress(&mut self) {
        self.documents = 0;
    }

    pub(crate) fn locate(&mut self, target: TargetKind) -> QueryId {
        let query = QueryId(self.question());
        let caller = self.caller.endpoint;
        self.outputs.push_back(Output::Locate {
            query,
            target,
            caller,
        });
        query
    }

    /// Adds custom headers to what callbacks show.
    pub(crate) fn show_headers(&mut self, headers: &[(String, String)]) {
        for (name, value) in headers {
            self.headers
                .retain(|(shown, _)| !shown.eq_ignore_ascii_case(name));
            self.headers.push((name.clone(), value.clone()));
        }
    }

    fn about(&self, status: CallStatus) -> About {
        About {
            call_uuid: self.a_uuid,
            a_leg: self.a_uuid,
            from: self.caller.from.clone(),
            to: self.caller.to.clone(),
            direction: Direction::Inbound,
            status,
            caller_name: self.caller.name.clone(),
            session_start: self.began.wall,
            to_header: self.caller.to_header.clone(),
            headers: self.headers.clone(),
            auth: self.caller.auth.clone(),
            source_ip: self.caller.source.remote.ip(),
        }
    }

    fn status(&self) -> CallStatus {
        match self.legs.get(&LegId::A) {
            Some(leg) if leg.end.is_some() => CallStatus::Completed,
            Some(leg) if leg.answered.is_some() => CallStatus::InProgress,
            Some(_) => CallStatus::Ringing,
            None => CallStatus::Completed,
        }
    }

    /// Tells the Dial's callbackUrl what happened to one of its legs.
    pub(crate) fn tell(&mut self, leg: LegId, action: DialAction) {
        let Some(leg) = self.legs.get(&leg) else {
            return;
        };
        let Some(link) = leg.callback.clone() else {
            return;
        };
        let (b, position) = (leg.record.clone(), leg.position);
        let about = self.about(self.status());
        let occasion = Occasion::DialLeg(DialLeg {
            action,
            b,
            position,
            cdr: None,
        });
        self.outputs.push_back(Output::Notify(Notice {
            link,
            occasion,
            about,
        }));
    }

    // ---- legs

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
            },
        );
    }

    pub(crate) fn leg_mut(&mut self, leg: LegId) -> Option<&mut Leg> {
        self.legs.get_mut(&leg)
    }

    pub(crate) fn leg_uuid(&self, leg: LegId) -> Option<Uuid> {
        self.legs.get(&leg).map(|leg| leg.record.uuid)
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
        leg.answered = Some(instant);
        leg.sip_status = Some(200);
        leg.record.answered = Some(wall);
        if call_id.is_some() {
            leg.record.call_id = call_id;
        }
        self.outputs.push_back(Output::Record(leg.record.clone()));
    }

    /// Ends a leg: what is open of it is hung up and closed; its record follows when its media is closed.
    pub(crate) fn end_leg(&mut self, id: LegId, end: End) {
        if id == LegId::A {
            self.unanswer();
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
        let leg = attempt.leg;
        let wire = std::mem::replace(&mut attempt.wire, Wire::Gone);
        let headers = reason(end);
        match wire {
            Wire::Incoming => {
                let status = end.refusal();
                self.note_status(leg, status.0);
                self.to_a(sip::Command::Refuse {
                    session,
                    status,
                    reason: None,
                    headers: Vec::new(),
                });
            }
            Wire::Calling => {
                self.note_status(leg, Status::REQUEST_TERMINATED.0);
                self.outputs
                    .push_back(Output::Sip(sip::Command::Hangup { session, headers }));
            }
            Wire::Up if id == LegId::A => self.to_a(sip::Command::Hangup { session, headers }),
            Wire::Up => self
                .outputs
                .push_back(Output::Sip(sip::Command::Hangup { session, headers })),
            Wire::Idle | Wire::Gone => {}
        }
        self.close_media(id);
        self.exchange_lost(id);
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
        // The caller's media is closed after that of its callees, so that their records come first.
        if id != LegId::A {
            self.close_media(id);
        }
        self.exchange_lost(id);
    }

    fn note_status(&mut self, leg: LegId, status: u16) {
        if let Some(leg) = self.legs.get_mut(&leg)
            && leg.answered.is_none()
        {
            leg.sip_status = Some(status);
        }
    }

    // ---- signalling

    pub(crate) fn session(&self, leg: LegId) -> sip::SessionId {
        session(self.shard, self.number, leg)
    }

    fn to_a(&mut self, command: sip::Command) {
        match &mut self.held {
            Some(held) => held.push_back(command),
            None => self.outputs.push_back(Output::Sip(command)),
        }
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
    }

    pub(crate) fn ring_a(&mut self, status: Status, sdp: Option<Bytes>) {
        if self.wire(LegId::A) != Wire::Incoming {
            return;
        }
        self.leg_rings(LegId::A);
        let session = self.session(LegId::A);
        self.to_a(sip::Command::Ring {
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
        self.to_a(sip::Command::Answer {
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
        }));
    }

    pub(crate) fn set_wire(&mut self, id: LegId, wire: Wire) {
        if let Some(attempt) = self.attempts.get_mut(&id) {
            attempt.wire = wire;
        }
    }

    // ---- media

    fn media_session(&self, id: LegId) -> media::SessionId {
        media::SessionId(self.session(id).0)
    }

    pub(crate) fn media(&mut self, command: media::Command) {
        self.outputs.push_back(Output::Media(command));
    }

    /// Opens the media of an attempt that is still there.
    fn use_media(&mut self, id: LegId) -> Option<&mut Attempt> {
        let attempt = self.attempts.get_mut(&id)?;
        if attempt.wire == Wire::Gone || attempt.media == Media::Closing {
            return None;
        }
        attempt.media = Media::Open;
        Some(attempt)
    }

    /// Gives the plane what the other side described.
    pub(crate) fn describe(&mut self, id: LegId, kind: OfferOrAnswer, sdp: Bytes) {
        let session = self.media_session(id);
        let Some(attempt) = self.use_media(id) else {
            return;
        };
        attempt.described = Described::Asked;
        attempt.asked.remotes = attempt.asked.remotes.saturating_add(1);
        let near = Some(attempt.near);
        self.media(media::Command::Remote {
            session,
            kind,
            sdp,
            near,
        });
    }

    /// Asks the plane for an offer to a leg.
    pub(crate) fn make_offer(&mut self, id: LegId, like: Option<LegId>) {
        let session = self.media_session(id);
        let like = like.map(|like| self.media_session(like));
        let Some(attempt) = self.use_media(id) else {
            return;
        };
        attempt.asked.offers = attempt.asked.offers.saturating_add(1);
        let near = Some(attempt.near);
        self.media(media::Command::Offer {
            session,
            like,
            near,
        });
    }

    /// Asks the plane for an answer to the offer of a leg.
    pub(crate) fn make_answer(&mut self, id: LegId, like: Option<LegId>) {
        let session = self.media_session(id);
        let like = like.map(|like| self.media_session(like));
        let Some(attempt) = self.use_media(id) else {
            return;
        };
        attempt.asked.answers = attempt.asked.answers.saturating_add(1);
        self.media(media::Command::Answer { session, like });
    }

    /// Tells whether our offer for an attempt was asked for.
    pub(crate) fn has_asked_offer(&self, id: LegId) -> bool {
        self.attempts
            .get(&id)
            .is_none_or(|attempt| attempt.media != Media::Absent)
    }

    pub(crate) fn relay(&mut self, b: LegId) {
        let (a, b) = (self.media_session(LegId::A), self.media_session(b));
        self.media(media::Command::Bridge { a, b });
    }

    pub(crate) fn stop_relay(&mut self) {
        let session = self.media_session(LegId::A);
        self.media(media::Command::Unbridge { session });
    }

    fn close_media(&mut self, id: LegId) {
        let session = self.media_session(id);
        let Some(attempt) = self.attempts.get_mut(&id) else {
            return;
        };
        if attempt.media != Media::Open {
            return;
        }
        attempt.media = Media::Closing;
        self.relay_lost(id);
        self.media(media::Command::Close { session });
        self.set_timer(Timer::Closed, CLOSE_LIMIT);
    }

    /// Takes in what the plane says; answers that a later question has overtaken are dropped.
    pub(crate) fn hear(&mut self, event: media::Event) -> Option<(LegId, Heard)> {
        let (session, heard) = match event {
            media::Event::Offered { session, sdp } => (session, Heard::Offered(sdp)),
            media::Event::Answered { session, sdp } => (session, Heard::Answered(sdp)),
            media::Event::Accepted { session, .. } => (session, Heard::Accepted),
            media::Event::Refused {
                session, status, ..
            } => (session, Heard::Refused(status)),
            media::Event::Silent { session, for_ } => (session, Heard::Silent(for_)),
            media::Event::Unavailable { session } => (session, Heard::Unavailable),
            media::Event::Closed { session, stats } => {
                self.media_closed(leg_of(sip::SessionId(session.0)).1, stats);
                return None;
            }
        };
        let (_, id) = leg_of(sip::SessionId(session.0));
        let attempt = self
            .attempts
            .get_mut(&id)
            .filter(|attempt| attempt.media == Media::Open)?;
        if attempt.wire == Wire::Gone {
            return None;
        }
        let asked = &mut attempt.asked;
        let waiting = match heard {
            Heard::Offered(_) => less(&mut asked.offers),
            Heard::Answered(_) => less(&mut asked.answers),
            Heard::Accepted => less(&mut asked.remotes),
            Heard::Refused(_) if asked.remotes > 0 => less(&mut asked.remotes),
            Heard::Refused(_) if asked.answers > 0 => less(&mut asked.answers),
            Heard::Refused(_) => less(&mut asked.offers),
            Heard::Silent(_) => 0,
            Heard::Unavailable => {
                *asked = Asked::default();
                0
            }
        };
        if waiting > 0 {
            return None;
        }
        match heard {
            Heard::Accepted => attempt.described = Described::Yes,
            Heard::Refused(_) if attempt.described == Described::Asked => {
                attempt.described = Described::No
            }
            _ => {}
        }
        Some((id, heard))
    }

    fn media_closed(&mut self, id: LegId, stats: media::Stats) {
        let Some(attempt) = self
            .attempts
            .get_mut(&id)
            .filter(|attempt| attempt.media == Media::Closing)
        else {
            return;
        };
        attempt.media = Media::Absent;
        let leg = attempt.leg;
        if let Some(leg) = self.legs.get_mut(&leg) {
            // Of several attempts the one that carried something is told.
            let better = leg
                .stats
                .is_none_or(|old| stats.received + stats.sent >= old.received + old.sent);
            leg.stats = if better { Some(stats) } else { leg.stats };
        }
    }

    /// Gives up waiting for the plane.
    pub(crate) fn closing_overdue(&mut self) {
        for attempt in self
            .attempts
            .values_mut()
            .filter(|attempt| attempt.media == Media::Closing)
        {
            attempt.media = Media::Absent;
        }
    }

    // ---- the end

    /// Writes the records of legs whose media is closed, sends what waited for them, and notices the end.
    pub(crate) fn settle(&mut self) {
        self.attempts
            .retain(|_, attempt| attempt.wire != Wire::Gone || attempt.media != Media::Absent);
        if !self
            .attempts
            .values()
            .any(|attempt| attempt.media == Media::Closing)
        {
            self.clear_timer(Timer::Closed);
        }
        // Callees first: their hangup callbacks come before that of the call.
        let ended: Vec<LegId> = self
            .legs
            .iter()
            .rev()
            .filter(|(_, leg)| leg.end.is_some())
            .map(|(id, _)| *id)
            .collect();
        for id in ended {
            let open = self.attempts.values().any(|attempt| attempt.leg == id);
            if open || (id == LegId::A && self.legs.len() > 1) {
                continue;
            }
            if let Some(leg) = self.legs.remove(&id) {
                self.write_record(id, leg);
            }
        }
        if !self.legs.values().any(|leg| leg.end.is_some()) {
            self.send_deferred();
        }
        let waiting = self.held.as_ref().is_some_and(|held| !held.is_empty());
        if self.legs.is_empty() && self.attempts.is_empty() && !waiting && !self.over {
            self.over = true;
            self.timers.clear();
            self.outputs.push_back(Output::Over);
        }
    }

    fn write_record(&mut self, id: LegId, leg: Leg) {
        let Some((end, at)) = leg.end else { return };
        let duration = leg.answered.map_or(Duration::ZERO, |answered| {
            at.saturating_duration_since(answered)
        });
        let ended = self
            .began
            .wall
            .checked_add(at.saturating_duration_since(self.began.instant))
            .unwrap_or(self.now.wall);
        let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
        let cdr = Cdr {
            ended,
            duration,
            billed_seconds: seconds.div_ceil(60) * 60,
            cause: end.cause,
            source: end.source,
            status: end.cause.final_status(leg.answered.is_some()),
            sip_status: leg.sip_status,
            media: leg.stats,
            leg: leg.record.clone(),
        };
        self.outputs.push_back(Output::Cdr(cdr.clone()));
        if id == LegId::A {
            if let Some(link) = leg.record.hangup {
                let about = self.about(cdr.status);
                let occasion = Occasion::Hangup(Box::new(cdr));
                self.outputs.push_back(Output::Notify(Notice {
                    link,
                    occasion,
                    about,
                }));
            }
        } else if let Some(link) = leg.callback {
            let about = self.about(self.status());
            let (action, position) = (DialAction::Hangup, leg.position);
            let occasion = Occasion::DialLeg(DialLeg {
                action,
                b: leg.record,
                position,
                cdr: Some(cdr),
            });
            self.outputs.push_back(Output::Notify(Notice {
                link,
                occasion,
                about,
            }));
        }
    }

    fn send_deferred(&mut self) {
        let gone = !self.legs.contains_key(&LegId::A);
        for Deferred {
            id,
            link,
            occasion,
            wants_document,
        } in std::mem::take(&mut self.deferred)
        {
            // After the caller has left only the outcome of a Dial is still told (voice-xml.md §1.5).
            if gone && !matches!(occasion, Occasion::DialEnded(_)) {
                continue;
            }
            let about = self.about(self.status());
            let wants_document = wants_document && !gone;
            self.outputs.push_back(Output::Fetch(Fetch {
                id,
                link,
                occasion,
                about,
                wants_document,
            }));
        }
    }
}

/// Counts one answer and tells how many are still to come.
fn less(asked: &mut u8) -> u8 {
    *asked = asked.saturating_sub(1);
    *asked
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
