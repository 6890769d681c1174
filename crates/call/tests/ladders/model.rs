//! Random interleavings: a stack, a plane, a customer and a clock that do what theirs may do, in any order.
//!
//! Whatever they do, every leg leaves one record, the caller's leg is told of once, every media session is closed once,
//! nothing is sent to a leg that is gone, and the call is over once.

mod others;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use call::{
    Call, Cause, Command, Dial, Document, HangupSource, Input, LegId, Now, Occasion, Output,
    Script, Start, Verb, leg_of,
};
use jiff::Timestamp;
use media::{Event as Say, OfferOrAnswer};
use sip::{EndReason, SessionEvent, Status};
use uuid::Uuid;

use crate::ladder::{
    A, CALL, answered, application, body, dial, link, media_session, refer, ringing, start,
    write_event, write_media_event, write_output,
};

const RUNS: u64 = 10_000;

#[test]
fn whatever_happens_every_leg_leaves_one_record_and_the_call_is_over_once() {
    let mut seen = Seen::default();
    for seed in 0..RUNS {
        World::new(seed).run(&mut seen);
    }
    // The runs must reach what they are about.
    assert!(
        seen.bridged > RUNS / 10
            && seen.reinvites > RUNS / 20
            && seen.late > RUNS / 20
            && seen.transfers > RUNS / 20
            && seen.linked > RUNS / 100
            && seen.waited > RUNS / 200
            && seen.passed > RUNS / 200
            && seen.referred > RUNS / 2000,
        "{seen:?}"
    );
}

#[derive(Default, Debug)]
struct Seen {
    bridged: u64,
    reinvites: u64,
    late: u64,
    transfers: u64,
    linked: u64,
    waited: u64,
    passed: u64,
    referred: u64,
}

/// One session as the stack knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Side {
    /// The caller's INVITE waits.
    Incoming,
    /// Our INVITE is out.
    Calling {
        early: Option<String>,
    },
    /// Answered by us: the ACK is awaited.
    Unacked {
        offered: bool,
    },
    Up,
    /// The far side has re-invited.
    Asks {
        offered: bool,
    },
    /// We have re-invited.
    Asked,
    Gone,
}

/// One media session as the plane knows it.
#[derive(Default, Debug)]
struct Session {
    offer: bool,
    closed: bool,
}

struct World {
    seed: u64,
    random: u64,
    origin: Instant,
    at: Duration,
    call: Call,
    log: Vec<String>,
    sides: BTreeMap<LegId, Side>,
    from_stack: BTreeMap<LegId, VecDeque<Input>>,
    from_plane: VecDeque<Input>,
    elsewhere: Vec<Input>,
    /// What the call has been told, or has itself made gone.
    known_gone: BTreeSet<LegId>,
    recorded: bool,
    given_up: bool,
    sessions: BTreeMap<LegId, Session>,
    legs: BTreeMap<Uuid, u32>,
    hangups: u32,
    overs: u32,
    requests: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let origin = Instant::now();
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let offer = (!next(&mut random).is_multiple_of(4)).then_some("offer of A");
        let script = if next(&mut random).is_multiple_of(4) {
            let verbs = vec![Verb::Dial(Dial {
                direct: true,
                ..dial(&["bob"])
            })];
            Script::Document {
                document: Document { verbs },
                hangup: link("hangup"),
            }
        } else {
            application()
        };
        let transfer = next(&mut random)
            .is_multiple_of(4)
            .then(|| link("transfer"));
        let call = Call::new(
            Now {
                instant: origin,
                wall: Timestamp::UNIX_EPOCH,
            },
            Start {
                transfer: transfer.flatten(),
                ..start(script, offer)
            },
        );
        Self {
            seed,
            random,
            origin,
            at: Duration::ZERO,
            call,
            log: Vec::new(),
            sides: BTreeMap::from([(A, Side::Incoming)]),
            from_stack: BTreeMap::new(),
            from_plane: VecDeque::new(),
            elsewhere: Vec::new(),
            known_gone: BTreeSet::new(),
            recorded: false,
            given_up: false,
            sessions: BTreeMap::new(),
            legs: BTreeMap::new(),
            hangups: 0,
            overs: 0,
            requests: 0,
        }
    }

    fn run(mut self, seen: &mut Seen) {
        self.drain(seen);
        for _ in 0..400 {
            if self.call.is_over() {
                break;
            }
            self.step(seen);
        }
        if self.seed.is_multiple_of(2) {
            self.come_to_rest(seen);
        }
        let command = Command::HangUp {
            cause: Cause::NormalHangup,
            source: HangupSource::ApiRequest,
        };
        self.feed(Input::Command(command), seen);
        while let Some(input) = self.take() {
            seen.late += u64::from(self.call.is_over());
            self.feed(input, seen);
        }
        while let Some(due) = self.call.poll_timeout() {
            self.at = due - self.origin;
            self.feed(Input::Due, seen);
        }
        self.check(self.overs == 1, "over once");
        self.check(self.hangups == 1, "one hang-up notice");
        self.check(
            self.legs.values().all(|records| *records == 1),
            "one record for each leg",
        );
        self.check(
            self.sessions.values().all(|session| session.closed),
            "all media closed",
        );
    }

    /// Delivers all that is under way: nobody who asked may be left without an answer.
    fn come_to_rest(&mut self, seen: &mut Seen) {
        while let Some(input) = self.take() {
            self.feed(input, seen);
        }
        let waits = |side: &Side| matches!(side, Side::Asked | Side::Unacked { .. });
        let asks = |side: &Side| matches!(side, Side::Asks { .. });
        let stuck = self.sides.values().any(asks) && !self.sides.values().any(waits);
        self.check(
            self.call.is_over() || !stuck,
            "an answer to every re-INVITE",
        );
    }

    fn step(&mut self, seen: &mut Seen) {
        match self.pick(10) {
            0..=5 => {
                if let Some(input) = self.take() {
                    self.feed(input, seen);
                }
            }
            6..=8 => match self.pick(30) {
                0 => self.other_call_acts(),
                _ => self.far_side_acts(seen),
            },
            _ => {
                let passed = Duration::from_millis(self.pick(3_000));
                self.at += passed;
                if let Some(due) = self.call.poll_timeout()
                    && (due <= self.origin + self.at || self.pick(8) == 0)
                {
                    self.at = self.at.max(due - self.origin);
                    self.feed(Input::Due, seen);
                }
                if self.pick(200) == 0 {
                    let source = if self.pick(2) == 0 {
                        HangupSource::ApiRequest
                    } else {
                        HangupSource::Platform
                    };
                    self.feed(
                        Input::Command(Command::HangUp {
                            cause: Cause::NormalHangup,
                            source,
                        }),
                        seen,
                    );
                }
            }
        }
    }

    // ---- the far sides

    fn far_side_acts(&mut self, seen: &mut Seen) {
        let legs: Vec<LegId> = self
            .sides
            .iter()
            .filter(|(_, side)| **side != Side::Gone)
            .map(|(leg, _)| *leg)
            .collect();
        if legs.is_empty() {
            return;
        }
        let leg = legs[self.pick(legs.len() as u64) as usize];
        let dice = self.pick(12);
        let (next, event) = match (self.sides[&leg].clone(), dice) {
            (Side::Incoming, 0) => (Side::Gone, Some(SessionEvent::Cancelled { reason: None })),
            (Side::Calling { .. }, 0 | 1) => {
                let status = Status(
                    [302, 403, 404, 408, 480, 486, 500, 503, 600, 603][self.pick(10) as usize],
                );
                (
                    Side::Gone,
                    Some(SessionEvent::Failed {
                        response: (300..400).contains(&status.0).then(moved),
                        status,
                    }),
                )
            }
            (Side::Calling { .. }, 2) => {
                let early = format!("early of {}", leg.0);
                (
                    Side::Calling {
                        early: Some(early.clone()),
                    },
                    Some(ringing(183, Some(&early))),
                )
            }
            (side @ Side::Calling { .. }, 3..=5) => (side, Some(ringing(180, None))),
            (Side::Calling { early }, 6..=10) => {
                let sdp = match self.pick(6) {
                    0 => None,
                    1 | 2 if early.is_some() => early,
                    _ => Some(format!("answer of {}", leg.0)),
                };
                (Side::Up, Some(answered(sdp.as_deref())))
            }
            (Side::Unacked { .. }, 0) => (
                Side::Gone,
                Some(SessionEvent::Ended {
                    why: EndReason::NoAck,
                }),
            ),
            (Side::Unacked { offered }, 1..=10) => {
                let sdp = (offered && dice < 10).then(|| body("answer in ACK"));
                (Side::Up, Some(SessionEvent::Confirmed { sdp }))
            }
            (Side::Up | Side::Asked | Side::Asks { .. }, 0) => {
                let why = match self.pick(4) {
                    0 => EndReason::TransportLost,
                    1 => EndReason::SessionExpired,
                    _ => EndReason::Bye { reason: None },
                };
                (Side::Gone, Some(SessionEvent::Ended { why }))
            }
            (Side::Up, 1..=3) => {
                seen.reinvites += 1;
                let sdp = (dice > 1).then(|| body("new offer"));
                (
                    Side::Asks {
                        offered: sdp.is_none(),
                    },
                    Some(SessionEvent::Offered { sdp }),
                )
            }
            (Side::Up, 4) => {
                self.requests += 1;
                let to = match self.pick(2) {
                    0 => "sip:carol@d",
                    _ => "sip:carol@d?Replaces=1%3Bto-tag%3D1%3Bfrom-tag%3D2",
                };
                (Side::Up, Some(refer(self.requests, to)))
            }
            (Side::Asked, 1..=5) => (
                Side::Up,
                Some(SessionEvent::Reanswered {
                    sdp: Some(body("new answer")),
                }),
            ),
            (Side::Asked, 6) => (Side::Up, Some(SessionEvent::Reanswered { sdp: None })),
            (Side::Asked, 7 | 8) => (
                Side::Up,
                Some(SessionEvent::ReofferFailed {
                    status: Status(488),
                }),
            ),
            (side, _) => (side, None),
        };
        self.sides.insert(leg, next);
        if let Some(event) = event {
            self.from_stack
                .entry(leg)
                .or_default()
                .push_back(Input::Leg { leg, event });
        }
    }

    /// Takes what is next on one of the channels; each keeps its order.
    fn take(&mut self) -> Option<Input> {
        let stack: Vec<LegId> = self
            .from_stack
            .iter()
            .filter(|(_, queue)| !queue.is_empty())
            .map(|(leg, _)| *leg)
            .collect();
        let mut ways = stack.len() + self.elsewhere.len();
        ways += usize::from(!self.from_plane.is_empty()) * 3;
        if ways == 0 {
            return None;
        }
        let way = self.pick(ways as u64) as usize;
        if way < stack.len() {
            self.from_stack.get_mut(&stack[way])?.pop_front()
        } else if way < stack.len() + self.elsewhere.len() {
            Some(self.elsewhere.remove(way - stack.len()))
        } else {
            self.from_plane.pop_front()
        }
    }

    // ---- the call's outputs

    fn feed(&mut self, input: Input, seen: &mut Seen) {
        let line = match &input {
            Input::Leg { leg, event } => write_event(*leg, event),
            Input::Media(event) => write_media_event(event),
            other => format!("{other:?}"),
        };
        self.log
            .push(format!("{:9.3} < {line}", self.at.as_secs_f64()));
        match &input {
            Input::Leg { leg, event } => {
                use SessionEvent::{Cancelled, Ended, Failed};
                if matches!(event, Cancelled { .. } | Ended { .. } | Failed { .. }) {
                    self.known_gone.insert(*leg);
                }
            }
            Input::LegRefused(leg) => {
                self.known_gone.insert(*leg);
            }
            Input::Recorded(A) => self.recorded = true,
            Input::Command(_) => self.given_up = true,
            _ => {}
        }
        let was_over = self.call.is_over();
        self.call.handle(
            Now {
                instant: self.origin + self.at,
                wall: Timestamp::UNIX_EPOCH + self.at,
            },
            input,
        );
        let outputs = self.drain(seen);
        self.check(!was_over || outputs == 0, "silence after the end");
    }

    fn drain(&mut self, seen: &mut Seen) -> usize {
        let mut outputs = 0;
        while let Some(output) = self.call.poll_output() {
            outputs += 1;
            self.log.push(format!(
                "{:9.3} > {}",
                self.at.as_secs_f64(),
                write_output(&output)
            ));
            self.check(self.overs == 0, "nothing after Over");
            self.take_output(output, seen);
        }
        outputs
    }

    fn take_output(&mut self, output: Output, seen: &mut Seen) {
        match output {
            Output::Sip(command) => self.stack(command, seen),
            Output::Media(command) => {
                seen.bridged += u64::from(matches!(command, media::Command::Bridge { .. }));
                self.plane(command);
            }
            Output::Fetch(fetch) => {
                let outcome = if self.pick(8) == 0 {
                    Err(self.failure())
                } else {
                    Ok(self.document())
                };
                if fetch.wants_document {
                    self.elsewhere.push(Input::Fetched {
                        fetch: fetch.id,
                        outcome,
                    });
                }
            }
            Output::Locate { query, .. } => {
                let outcome = self.located();
                self.elsewhere.push(Input::Located { query, outcome });
            }
            Output::Notify(notice) => {
                self.hangups += u32::from(matches!(notice.occasion, Occasion::Hangup(_)));
            }
            Output::Record(record) => {
                let records = *self.legs.entry(record.uuid).or_default();
                self.check(records == 0, "no row after the final one");
                if record.leg == A && !self.recorded && record.answered.is_none() {
                    self.elsewhere.push(Input::Recorded(A));
                }
            }
            Output::Cdr(cdr) => {
                self.check(
                    self.legs.contains_key(&cdr.leg.uuid),
                    "a record of a leg that began",
                );
                self.check(
                    cdr.duration.is_zero() || cdr.leg.answered.is_some(),
                    "only answered legs last",
                );
                *self.legs.entry(cdr.leg.uuid).or_default() += 1;
            }
            Output::Across { from, word, .. } if leg_of(from).0 == CALL => {
                self.other_call(from, word, seen);
            }
            // Passed on for a third call.
            Output::Across { .. } => {}
            Output::Over => {
                self.overs += 1;
                self.check(self.call.poll_timeout().is_none(), "no timer left");
            }
        }
    }

    fn stack(&mut self, command: sip::Command, seen: &mut Seen) {
        use sip::Command::{
            Answer, Find, Hangup, Invite, Notify, Refuse, Reinvite, RespondInDialog, Ring,
        };
        let (Ring { session, .. }
        | Answer { session, .. }
        | Refuse { session, .. }
        | Invite { session, .. }
        | Reinvite { session, .. }
        | RespondInDialog { session, .. }
        | Notify { session, .. }
        | Find { session, .. }
        | Hangup { session, .. }) = &command
        else {
            return self.check(false, "a command that calls do not give");
        };
        let leg = leg_of(*session).1;
        // A REFER outlives the BYE of who sent it.
        let answers_refer = matches!(
            &command,
            RespondInDialog {
                status: Status::ACCEPTED | Status::REQUEST_TERMINATED,
                ..
            }
        );
        self.check(
            answers_refer || !self.known_gone.contains(&leg),
            "no command to a leg that is gone",
        );
        let overdue = self.at >= Duration::from_secs(10);
        let answers = leg == A && matches!(command, Ring { .. } | Answer { .. });
        self.check(
            !answers || self.recorded || self.given_up || overdue,
            "the row before any answer",
        );
        if let Find { session, .. } = command {
            return self.find(session);
        }
        let side = self.sides.get(&leg).cloned();
        let next = match (side, &command) {
            (None, Invite { sdp, .. }) => {
                self.check(sdp.is_some(), "an offer in our INVITE");
                if self.pick(30) == 0 {
                    self.from_stack
                        .entry(leg)
                        .or_default()
                        .push_back(Input::LegRefused(leg));
                    Side::Gone
                } else {
                    Side::Calling { early: None }
                }
            }
            // What has crossed an end that the call has not heard of is dropped by the stack.
            (Some(Side::Gone), _) => Side::Gone,
            (Some(Side::Incoming), Ring { .. }) => Side::Incoming,
            (Some(Side::Incoming), Answer { sdp, .. }) => {
                let offered = String::from_utf8_lossy(sdp.as_deref().unwrap_or_default())
                    .starts_with("offer");
                Side::Unacked { offered }
            }
            (Some(Side::Asks { offered }), Answer { .. }) => Side::Unacked { offered },
            (Some(Side::Incoming), Refuse { .. }) => {
                self.known_gone.insert(leg);
                Side::Gone
            }
            (Some(Side::Asks { .. }), Refuse { .. }) => Side::Up,
            (Some(side), RespondInDialog { status, .. }) => {
                seen.transfers += u64::from(*status == Status::ACCEPTED);
                side
            }
            (Some(side), Notify { .. }) => side,
            (Some(Side::Up), Reinvite { .. }) => Side::Asked,
            // RFC 3261 §14.1: they cross.
            (Some(Side::Asks { offered }), Reinvite { .. }) => {
                let event = SessionEvent::ReofferFailed {
                    status: Status(491),
                };
                self.from_stack
                    .entry(leg)
                    .or_default()
                    .push_back(Input::Leg { leg, event });
                Side::Asks { offered }
            }
            (Some(Side::Unacked { offered }), Reinvite { .. }) => {
                let event = SessionEvent::ReofferFailed {
                    status: Status(491),
                };
                self.from_stack
                    .entry(leg)
                    .or_default()
                    .push_back(Input::Leg { leg, event });
                Side::Unacked { offered }
            }
            (Some(side), Hangup { .. }) => {
                self.check(
                    leg != A || side != Side::Incoming,
                    "an unanswered caller is refused",
                );
                self.known_gone.insert(leg);
                let event = match side {
                    Side::Calling { .. } if self.pick(3) == 0 => answered(Some("crossing")),
                    Side::Calling { .. } => SessionEvent::Failed {
                        status: Status(487),
                        response: None,
                    },
                    _ => SessionEvent::Ended {
                        why: EndReason::HungUp,
                    },
                };
                self.from_stack
                    .entry(leg)
                    .or_default()
                    .push_back(Input::Leg { leg, event });
                Side::Gone
            }
            (side, _) => {
                self.check(false, &format!("a command that fits {side:?}"));
                Side::Gone
            }
        };
        self.sides.insert(leg, next);
    }

    fn plane(&mut self, command: media::Command) {
        if let media::Command::Bridge { a, b } = command {
            for session in [a, b].into_iter().filter(is_own) {
                let leg = leg_of(sip::SessionId(session.0)).1;
                let open = self
                    .sessions
                    .get(&leg)
                    .is_some_and(|session| !session.closed);
                self.check(open, "a bridge of open sessions");
            }
            return;
        }
        let Some(session) = media_session(&command) else {
            return;
        };
        let leg = leg_of(sip::SessionId(session.0)).1;
        if let media::Command::Offer {
            like: Some(like), ..
        }
        | media::Command::Answer {
            like: Some(like), ..
        } = &command
        {
            let own = is_own(like);
            let like = leg_of(sip::SessionId(like.0)).1;
            self.check(
                !own || self.sessions.get(&like).is_some_and(|like| !like.closed),
                "a pattern that is open",
            );
        }
        let state = self.sessions.entry(leg).or_default();
        let was_closed = state.closed;
        let fails = self.pick(60);
        let state = self.sessions.entry(leg).or_default();
        let had_offer = state.offer;
        let why = "no codec";
        let event = match command {
            media::Command::Close { .. } => {
                state.closed = true;
                (fails > 1).then(|| Say::Closed {
                    session,
                    stats: media::Stats::default(),
                })
            }
            media::Command::Unbridge { .. }
            | media::Command::Bridge { .. }
            | media::Command::Near { .. } => None,
            media::Command::Remote { kind, .. } => {
                state.offer |= kind == OfferOrAnswer::Offer;
                Some(match fails {
                    0 => Say::Refused {
                        session,
                        status: 488,
                        why,
                    },
                    1 => Say::Unavailable { session },
                    _ => Say::Accepted {
                        session,
                        held: false,
                    },
                })
            }
            media::Command::Offer { .. } => Some(match fails {
                0 => Say::Unavailable { session },
                _ => Say::Offered {
                    session,
                    sdp: body("offer of the plane"),
                },
            }),
            media::Command::Answer { .. } => {
                self.check(had_offer, "an answer to an offer");
                Some(match fails {
                    0 => Say::Refused {
                        session,
                        status: 488,
                        why,
                    },
                    1 => Say::Unavailable { session },
                    _ => Say::Answered {
                        session,
                        sdp: body("answer of the plane"),
                    },
                })
            }
        };
        self.check(!was_closed, "nothing to media that is closed");
        self.from_plane.extend(event.map(Input::Media));
        if fails == 59 {
            self.from_plane.push_back(Input::Media(Say::Silent {
                session,
                for_: Duration::from_secs(60),
            }));
        }
    }

    fn pick(&mut self, below: u64) -> u64 {
        next(&mut self.random) % below
    }

    #[track_caller]
    fn check(&self, holds: bool, what: &str) {
        assert!(holds, "seed {}: {what}\n{}", self.seed, self.log.join("\n"));
    }
}

fn is_own(session: &media::SessionId) -> bool {
    leg_of(sip::SessionId(session.0)).0 == CALL
}

/// A redirect to two places.
fn moved() -> sip::Response {
    let mut response = sip::Response::new(Status(302));
    response.headers.push(
        sip::Name::Contact,
        "<sip:b@192.0.2.30>;q=0.5, <sip:b@192.0.2.31>",
    );
    response
}

/// Xorshift: the same seed, the same run.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state >> 11
}
