//! What a verb sees of its call: it can push outputs, open and end legs, ask questions and set a deadline.
//!
//! Everything that must hold for every verb is here: nothing is sent to a leg that is gone, every media session is
//! closed, every leg leaves one record, and nothing answers the caller before its row is on disk.

mod legs;
mod plane;
mod settle;
mod wire;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use uuid::Uuid;

use crate::about::{About, CallStatus, DialAction, DialLeg, Direction, FetchId, Notice, Occasion};
use crate::aside::Asides;
use crate::bridge::Bridge;
use crate::call::{Caller, Now, Output};
use crate::leg::{Attempt, CallNumber, End, Leg, LegId, LegRecord, Wire};
use crate::verb::{Link, QueryId, TargetKind};

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
    /// Two have talked as long as their Dial lets them.
    TimeLimit,
    /// The next place of a target has its turn.
    Turn,
    /// A Hangup with `schedule`.
    Schedule,
    /// The caller's row is overdue.
    Recorded,
    /// Closed events are overdue.
    Closed,
    /// The caller has talked as long as its account may.
    Allowance,
}

/// Who took the caller's place when the caller transferred its call: the leg that the caller talked with.
#[derive(Debug)]
pub(crate) struct Survivor {
    /// Its session.
    pub(crate) attempt: LegId,
    pub(crate) leg: LegId,
    pub(crate) uuid: Uuid,
    /// What legs that are called on its behalf are shown.
    pub(crate) caller: Caller,
}

/// What the plane said about a leg that is still there.
#[derive(Clone, Debug)]
pub(crate) enum Heard {
    Offered(Bytes),
    Answered(Bytes),
    Accepted,
    Refused(u16),
    Silent,
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
    /// Who is served in the caller's place.
    survivor: Option<Box<Survivor>>,
    /// Asked when somebody transfers the call.
    pub(crate) transfer: Option<Link>,
    /// How the last Dial ended, for refusing a caller when the document runs out.
    pub(crate) last_dial: Option<End>,
    pub(crate) bridge: Bridge,
    pub(crate) asides: Asides,
    /// How long the caller may talk at most.
    pub(crate) allowance: Option<Duration>,
    /// Custom headers of the call, as callbacks show them.
    headers: Vec<(String, String)>,
    pub(crate) outputs: VecDeque<Output>,
    legs: BTreeMap<LegId, Leg>,
    pub(crate) attempts: BTreeMap<LegId, Attempt>,
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
            survivor: None,
            transfer: None,
            last_dial: None,
            bridge: Bridge::default(),
            asides: Asides::default(),
            allowance: None,
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

    pub(crate) fn set_timer(&mut self, timer: Timer, after: Duration) {
        self.timers.insert(timer, self.now.instant + after);
    }

    /// Sets a timer that does not run yet.
    pub(crate) fn start_timer(&mut self, timer: Timer, after: Duration) {
        let due = self.now.instant + after;
        self.timers.entry(timer).or_insert(due);
    }

    pub(crate) fn clear_timer(&mut self, timer: Timer) {
        self.timers.remove(&timer);
    }

    /// Tells how long a timer still runs.
    pub(crate) fn time_left(&self, timer: Timer) -> Duration {
        let due = self.timers.get(&timer);
        due.map_or(Duration::ZERO, |due| {
            due.saturating_duration_since(self.now.instant)
        })
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

    /// Tells whom the script serves: the caller, or who took its place.
    pub(crate) fn served(&self) -> LegId {
        self.survivor
            .as_ref()
            .map_or(LegId::A, |survivor| survivor.attempt)
    }

    /// Tells the leg of whom the script serves.
    pub(crate) fn served_leg(&self) -> LegId {
        self.survivor
            .as_ref()
            .map_or(LegId::A, |survivor| survivor.leg)
    }

    /// Tells on whose behalf the script calls.
    pub(crate) fn serving(&self) -> &Caller {
        self.survivor
            .as_ref()
            .map_or(&self.caller, |survivor| &survivor.caller)
    }

    /// Lets the script serve somebody else, because the caller has transferred its call.
    pub(crate) fn serve(&mut self, survivor: Box<Survivor>) {
        self.survivor = Some(survivor);
    }

    /// Lets the script serve a leg of another call that waits for an answer in the place of who was served.
    pub(crate) fn serve_waiting(&mut self, waiting: LegId) {
        self.survivor = Some(Box::new(Survivor {
            attempt: waiting,
            leg: waiting,
            uuid: self.a_uuid,
            caller: self.serving().clone(),
        }));
    }

    /// Tells whether a session is one of this call.
    pub(crate) fn is_own(&self, session: sip::SessionId) -> bool {
        crate::leg::leg_of(session).0 == self.number
    }

    /// Asks where a target is; `shown` is the caller ID that it is to see, if it may.
    pub(crate) fn locate(&mut self, shown: String, target: TargetKind) -> QueryId {
        let query = QueryId(self.question());
        let caller = self.caller.endpoint;
        self.outputs.push_back(Output::Locate {
            query,
            target,
            caller,
            shown,
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

    /// The call as it stands for whom it serves.
    fn about(&self, status: CallStatus) -> About {
        let about = self.about_caller(status);
        match &self.survivor {
            // A leg of another call that took the caller's place has no number here.
            Some(survivor) if survivor.uuid != self.a_uuid => About {
                call_uuid: survivor.uuid,
                to: survivor.caller.from.clone(),
                direction: Direction::Outbound,
                ..about
            },
            _ => about,
        }
    }

    /// The call as its caller saw it.
    fn about_caller(&self, status: CallStatus) -> About {
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
        match self.legs.get(&self.served_leg()) {
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
        let occasion = Occasion::DialLeg(Box::new(DialLeg {
            action,
            b,
            position,
            cdr: None,
        }));
        self.outputs.push_back(Output::Notify(Notice {
            link,
            occasion,
            about,
        }));
    }
}
