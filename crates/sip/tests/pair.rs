//! Two Stacks on a wire that loses, delays, repeats and reorders: set-up, hold, hang-up and cancel (RFC 3261 §13–§17).
//!
//! Everything is drawn from a seed; a run that breaks an invariant prints its seed and its transcript.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand_chacha::ChaCha12Rng;
use rand_core::{RngCore, SeedableRng};
use sip::{
    Command, Config, Destination, EndReason, Event, Flow, FlowId, Header, InDialog, Input, Method,
    Name, Output, RequestId, SessionEvent, SessionId, Stack, Status, Text, Transport,
};

const RUNS: u64 = 10_000;
const SDP: &[u8] = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n";

#[test]
fn both_sides_agree_on_the_end_and_nothing_is_left() {
    let start = start();
    let check = |seeds: std::ops::Range<u64>| {
        for seed in seeds {
            if let Err(broken) = Run::new(seed, start, false).play() {
                let transcript = Run::new(seed, start, true).transcribe();
                panic!("seed {seed}: {broken}\n{transcript}");
            }
        }
    };
    std::thread::scope(|scope| {
        let half = scope.spawn(|| check(0..RUNS / 2));
        check(RUNS / 2..RUNS);
        half.join().expect("the other half holds too");
    });
}

#[test]
fn damaged_messages_leave_nothing_behind() {
    let start = start();
    for seed in 0..RUNS / 5 {
        let damaged = |writes| {
            let mut run = Run::new(seed, start, writes);
            run.damages = true;
            run
        };
        if let Err(broken) = damaged(false).play() {
            let transcript = damaged(true).transcribe();
            panic!("seed {seed}: {broken}\n{transcript}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let start = start();
    for seed in 0..20 {
        let first = Run::new(seed, start, true).transcribe();
        let again = Run::new(seed, start + Duration::from_millis(12_345), true).transcribe();
        assert_eq!(first, again, "seed {seed}");
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "any instant will do as the start"
)]
fn start() -> Instant {
    Instant::now()
}

/// What a user of a stack does at some time.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Deed {
    Ring,
    Answer,
    Refuse,
    Reinvite,
    Update,
    Reanswer,
    Rerefuse,
    Acknowledge,
    Info,
    Refer,
    Hangup,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Arrives(Bytes),
    Deed(Deed),
}

/// How a session looks from the layer above.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Fate {
    Open,
    Refused(Status),
    Dropped,
    Cancelled,
    Failed(Status, bool),
    Ended(EndReason),
}

#[derive(Debug)]
struct User {
    fate: Fate,
    finals: usize,
    session: bool,
    answered: bool,
    confirmed: bool,
    hung_up: bool,
}

struct Run {
    rng: ChaCha12Rng,
    start: Instant,
    now: Instant,
    stacks: [Stack; 2],
    users: [User; 2],
    transport: Transport,
    loss: u64,
    /// The caller requires reliable provisional answers (RFC 3262 §3).
    reliably: bool,
    /// The caller leaves the offer to the called side.
    offerless: bool,
    /// Some messages are changed on their way; then the two sides need not agree.
    damages: bool,
    queue: BinaryHeap<Reverse<(Instant, u64, usize, Happening)>>,
    count: u64,
    broken: Option<String>,
    transcript: Option<String>,
}

const CALLER: usize = 0;
const CALLED: usize = 1;
const SESSION: SessionId = SessionId(7);

impl Run {
    fn new(seed: u64, start: Instant, writes: bool) -> Self {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let stack = |shard: u8, rng: &mut ChaCha12Rng| {
            let own = ChaCha12Rng::seed_from_u64(rng.next_u64());
            let config = Config {
                // Short enough for a refresh or two.
                session_interval: 90,
                ..Config::for_shard(shard)
            };
            Stack::new(config, own)
        };
        let stacks = [stack(0, &mut rng), stack(1, &mut rng)];
        let user = || User {
            fate: Fate::Open,
            finals: 0,
            session: false,
            answered: false,
            confirmed: false,
            hung_up: false,
        };
        let transport = match rng.next_u64() % 4 {
            0 => Transport::Tcp,
            _ => Transport::Udp,
        };
        let loss = rng.next_u64() % 50;
        let reliably = rng.next_u64().is_multiple_of(3);
        let offerless = !reliably && rng.next_u64().is_multiple_of(5);
        Self {
            rng,
            start,
            now: start,
            stacks,
            users: [user(), user()],
            transport,
            loss,
            reliably,
            offerless,
            damages: false,
            queue: BinaryHeap::new(),
            count: 0,
            broken: None,
            transcript: writes.then(String::new),
        }
    }

    fn transcribe(mut self) -> String {
        let _ = self.play_on();
        self.transcript.take().unwrap_or_default()
    }

    fn play(mut self) -> Result<(), String> {
        self.play_on()
    }

    fn play_on(&mut self) -> Result<(), String> {
        let invite = Command::Invite {
            session: SESSION,
            to: Destination {
                flow: self.flow(CALLER),
                uri: Text::from_static("sip:bob@192.0.2.2"),
                route: Vec::new(),
            },
            from: Text::from_static("<sip:alice@example.com>"),
            to_value: Text::from_static("<sip:bob@example.com>"),
            sdp: (!self.offerless).then(|| Bytes::from_static(SDP)),
            headers: match self.reliably {
                true => vec![Header::new(Name::Require, "100rel")],
                false => Vec::new(),
            },
            contact_user: Text::from_static("alice"),
            effort: sip::Effort::default(),
        };
        self.users[CALLER].session = true;
        self.handle(CALLER, Input::Command(invite));
        if self.chance(25) {
            self.plan(CALLER, Deed::Hangup, 3_000);
        }
        // Nobody waits for an answer for ever.
        self.push(CALLER, 70_000, Happening::Deed(Deed::Hangup));
        loop {
            let due = (0..2).filter_map(|side| Some((self.stacks[side].poll_timeout()?, side)));
            let due = due.min();
            let next = self.queue.peek().map(|Reverse((at, ..))| *at);
            match (due, next) {
                (Some((at, side)), next) if next.is_none_or(|next| at < next) => {
                    self.now = at;
                    self.handle(side, Input::Tick);
                }
                (_, Some(_)) => {
                    if let Some(Reverse((at, _, side, happening))) = self.queue.pop() {
                        self.now = at;
                        self.happens(side, happening);
                    }
                }
                _ => break,
            }
            if self.now > self.start + Duration::from_secs(1_000) {
                return Err("it never ends".into());
            }
            if let Some(broken) = self.broken.take() {
                return Err(broken);
            }
        }
        self.judge()
    }

    /// The invariants.
    fn judge(&self) -> Result<(), String> {
        for (side, stack) in self.stacks.iter().enumerate() {
            if stack.sessions() + stack.transactions() != 0 {
                let (sessions, transactions) = (stack.sessions(), stack.transactions());
                return Err(format!(
                    "side {side} keeps {sessions} sessions, {transactions} transactions"
                ));
            }
        }
        if self.damages {
            return Ok(());
        }
        let [caller, called] = &self.users;
        let is = |holds: bool, what: &str| {
            holds
                .then_some(())
                .ok_or_else(|| format!("not so: {what}\n{caller:?}\n{called:?}"))
        };
        is(caller.finals == 1, "the caller hears one end")?;
        is(
            !called.session || called.finals == 1,
            "the called side has one end",
        )?;
        is(
            !caller.answered || called.answered,
            "only who answered is heard to answer",
        )?;
        is(
            !called.confirmed || caller.answered || caller.hung_up,
            "an ACK is sent by who heard the answer",
        )?;
        match (&caller.fate, &called.fate) {
            (Fate::Failed(status, true), Fate::Refused(sent)) => {
                is(status == sent, "the refusal arrives as it was sent")?;
            }
            (Fate::Failed(status, true), Fate::Cancelled) => {
                is(*status == Status::REQUEST_TERMINATED, "487 follows CANCEL")?;
            }
            (Fate::Failed(_, true), Fate::Dropped) => {}
            (Fate::Failed(status, true), Fate::Ended(EndReason::NoAck)) if self.reliably => {
                is(*status == Status::SERVER_TIMEOUT, "no PRACK, no call")?;
            }
            // Its answer still waited for a PRACK when it hung up.
            (Fate::Failed(_, true), Fate::Ended(EndReason::HungUp)) if self.reliably => {}
            (Fate::Failed(_, true), other) => {
                return Err(format!("refused, but the other side says {other:?}"));
            }
            // Nothing came through, or the answer crossed the CANCEL.
            (Fate::Failed(..), _) => {}
            (Fate::Ended(_), Fate::Ended(_)) => {}
            (caller, called) => return Err(format!("{caller:?} but {called:?}")),
        }
        is(
            called.fate != Fate::Cancelled || caller.hung_up,
            "CANCEL was wanted",
        )?;
        for (one, other) in [(caller, called), (called, caller)] {
            if matches!(one.fate, Fate::Ended(EndReason::Bye { .. })) {
                let said = match other.fate {
                    Fate::Ended(EndReason::Bye { .. }) => false,
                    Fate::Ended(_) => true,
                    Fate::Failed(..) => other.hung_up,
                    _ => false,
                };
                is(said, "who hears BYE hears it from one that ended")?;
            }
        }
        Ok(())
    }

    // --- the wire ---

    fn handle(&mut self, side: usize, input: Input) {
        self.stacks[side].handle(self.now, input);
        while let Some(output) = self.stacks[side].poll_output() {
            match output {
                Output::Send { flow, bytes } => {
                    assert_eq!(flow, self.flow(side));
                    self.send(side, bytes);
                }
                Output::Event(event) => {
                    self.write(side, "*", &format!("{event:?}"));
                    self.hear(side, event);
                }
                Output::Keep(_) | Output::Release(_) => {}
                Output::Handoff { .. } if self.damages => {}
                Output::Handoff { .. } => self.broken = Some("handed off".into()),
            }
        }
    }

    fn send(&mut self, from: usize, bytes: Bytes) {
        if self.transcript.is_some() {
            self.write(from, ">", &String::from_utf8_lossy(&bytes));
        }
        let reliable = self.transport.is_reliable();
        let bytes = match self.damages && self.chance(15) {
            true => self.damage(&bytes),
            false => bytes,
        };
        let copies = match reliable {
            true => 1,
            false if self.chance(self.loss) => 0,
            false => 1 + u64::from(self.chance(10)),
        };
        for _ in 0..copies {
            let late = !reliable && self.chance(5);
            let most = if late { 2_500 } else { 200 };
            let wait = if reliable {
                40
            } else {
                self.rng.next_u64() % most
            };
            self.push(1 - from, wait, Happening::Arrives(bytes.clone()));
        }
    }

    fn damage(&mut self, bytes: &Bytes) -> Bytes {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.rng.next_u64() % 3 {
            let at = (self.rng.next_u64() as usize) % bytes.len();
            match self.rng.next_u64() % 4 {
                0 => bytes[at] = self.rng.next_u64() as u8,
                1 => bytes[at] = b'0' + (self.rng.next_u64() % 10) as u8,
                2 => bytes.truncate(at.max(1)),
                _ => {
                    let other = (self.rng.next_u64() as usize) % bytes.len();
                    let piece = bytes[at.min(other)..at.max(other)].to_vec();
                    bytes.splice(at..at, piece);
                }
            }
        }
        bytes.into()
    }

    fn happens(&mut self, side: usize, happening: Happening) {
        match happening {
            Happening::Arrives(bytes) => {
                let flow = self.flow(side);
                self.handle(side, Input::Received { flow, bytes });
            }
            Happening::Deed(deed) => self.act(side, deed),
        }
    }

    fn flow(&self, side: usize) -> Flow {
        let at = |side: usize| SocketAddr::from(([192, 0, 2, side as u8 + 1], 5060));
        Flow {
            transport: self.transport,
            id: FlowId(u64::from(self.transport.is_reliable())),
            local: at(side),
            remote: at(1 - side),
        }
    }

    // --- the users ---

    fn act(&mut self, side: usize, deed: Deed) {
        if self.users[side].fate != Fate::Open {
            return;
        }
        self.write(side, "!", &format!("{deed:?}"));
        let (session, headers, sdp) = (SESSION, Vec::new(), Some(Bytes::from_static(SDP)));
        let unanswered_incoming = side == CALLED && !self.users[side].answered;
        let command = match deed {
            Deed::Ring => {
                let status = Status::RINGING;
                let sdp = sdp.filter(|_| self.chance(50));
                Command::Ring {
                    session,
                    status,
                    sdp,
                    headers,
                }
            }
            Deed::Answer => {
                if self.users[side].answered {
                    return;
                }
                self.users[side].answered = true;
                self.plan_calls(side);
                Command::Answer {
                    session,
                    sdp,
                    headers,
                }
            }
            Deed::Refuse => {
                if self.users[side].answered {
                    return;
                }
                let status = Status::BUSY_HERE;
                self.end(side, Fate::Refused(status));
                Command::Refuse {
                    session,
                    status,
                    reason: None,
                    headers,
                }
            }
            Deed::Reinvite => Command::Reinvite { session, sdp },
            Deed::Acknowledge => Command::Acknowledge { session, sdp },
            Deed::Update => {
                let sdp = Bytes::from_static(SDP);
                Command::Update { session, sdp }
            }
            Deed::Info | Deed::Refer => {
                let method = match deed {
                    Deed::Info => Method::Info,
                    _ => Method::Refer,
                };
                Command::RequestInDialog {
                    session,
                    request: RequestId(1),
                    method,
                    headers: vec![Header::new(Name::ReferTo, "<sip:carol@example.com>")],
                    body: Bytes::new(),
                }
            }
            Deed::Reanswer => Command::Answer {
                session,
                sdp,
                headers,
            },
            Deed::Rerefuse => {
                let status = Status::NOT_ACCEPTABLE_HERE;
                Command::Refuse {
                    session,
                    status,
                    reason: None,
                    headers,
                }
            }
            Deed::Hangup => {
                self.users[side].hung_up = true;
                if unanswered_incoming {
                    self.end(side, Fate::Dropped);
                }
                Command::Hangup { session, headers }
            }
        };
        self.handle(side, Input::Command(command));
    }

    /// What somebody who is connected may do; in any case the call ends some time.
    fn plan_calls(&mut self, side: usize) {
        for _ in 0..2 {
            if self.chance(40) {
                let deed = match self.rng.next_u64() % 5 {
                    0 => Deed::Update,
                    1 => Deed::Info,
                    2 => Deed::Refer,
                    _ => Deed::Reinvite,
                };
                self.plan(side, deed, 8_000);
            }
        }
        if self.chance(50) {
            self.plan(side, Deed::Hangup, 9_000);
        }
        let late = 60_000 + self.rng.next_u64() % 100;
        self.push(side, late, Happening::Deed(Deed::Hangup));
    }

    fn hear(&mut self, side: usize, event: Event) {
        match event {
            Event::Request { request, flow, .. } => {
                if self.damages && (self.users[side].session || request.method != Method::Invite) {
                    return;
                }
                assert!(side == CALLED && request.method == Method::Invite);
                if self.users[side].session {
                    self.broken = Some("the same INVITE came up twice".into());
                    return;
                }
                self.users[side].session = true;
                let session = SESSION;
                self.handle(
                    side,
                    Input::Command(Command::Accept {
                        session,
                        request,
                        flow,
                    }),
                );
                if self.chance(70) {
                    self.plan(side, Deed::Ring, 500);
                }
                if self.chance(20) {
                    self.plan(side, Deed::Update, 2_000);
                }
                match self.rng.next_u64() % 10 {
                    0..=6 => self.plan(side, Deed::Answer, 4_000),
                    7..=8 => self.plan(side, Deed::Refuse, 4_000),
                    _ => self.plan(side, Deed::Hangup, 9_000),
                }
            }
            Event::Session { event, .. } => self.session(side, event),
            Event::Noise { .. } | Event::Rejected { .. } => {}
            Event::NoRoom { .. } => self.broken = Some("there is room".into()),
            Event::Answer { .. } | Event::Subscription { .. } => {
                self.broken = Some("an answer to nothing".into());
            }
            Event::Pong { .. } => self.broken = Some("nobody was pinged".into()),
        }
    }

    fn session(&mut self, side: usize, event: SessionEvent) {
        if self.users[side].fate != Fate::Open {
            self.broken = Some(format!("side {side} after its end: {event:?}"));
        }
        match event {
            SessionEvent::Answered { sdp, .. } => {
                assert!(self.damages || sdp.as_deref() == Some(SDP));
                self.users[side].answered = true;
                self.plan_calls(side);
                if self.offerless {
                    self.plan(side, Deed::Acknowledge, 2_000);
                }
            }
            SessionEvent::Requested { id, wants, .. } => self.respond(side, id, &wants),
            SessionEvent::Confirmed { .. } => self.users[side].confirmed = true,
            SessionEvent::Offered { .. } => {
                let deed = match self.chance(85) {
                    true => Deed::Reanswer,
                    false => Deed::Rerefuse,
                };
                self.plan(side, deed, 600);
            }
            SessionEvent::Cancelled { .. } => self.end(side, Fate::Cancelled),
            SessionEvent::Failed { status, response } => {
                self.end(side, Fate::Failed(status, response.is_some()));
            }
            SessionEvent::Ended { why } => self.end(side, Fate::Ended(why)),
            SessionEvent::Ringing { .. }
            | SessionEvent::Reanswered { .. }
            | SessionEvent::ReofferFailed { .. }
            | SessionEvent::Acknowledged { .. }
            | SessionEvent::Responded { .. }
            | SessionEvent::Notified { .. }
            | SessionEvent::Moved { .. }
            | SessionEvent::Found { .. } => {}
        }
    }

    /// Takes what is asked inside the dialog, most of the time; a REFER is over at once.
    fn respond(&mut self, side: usize, request: RequestId, wants: &InDialog) {
        if self.chance(10) {
            return;
        }
        let (session, headers) = (SESSION, Vec::new());
        let status = Status::OK;
        let sdp = matches!(wants, InDialog::Offer { .. }).then(|| Bytes::from_static(SDP));
        let command = Command::RespondInDialog {
            session,
            request,
            status,
            sdp,
            headers,
        };
        self.handle(side, Input::Command(command));
        if matches!(wants, InDialog::Refer(_)) {
            let (refer, reason) = (request, None);
            let command = Command::Notify {
                session,
                refer,
                status,
                reason,
            };
            self.handle(side, Input::Command(command));
        }
    }

    fn end(&mut self, side: usize, fate: Fate) {
        self.users[side].fate = fate;
        self.users[side].finals += 1;
    }

    // --- chance and time ---

    fn chance(&mut self, percent: u64) -> bool {
        self.rng.next_u64() % 100 < percent
    }

    fn plan(&mut self, side: usize, deed: Deed, within: u64) {
        let wait = self.rng.next_u64() % within;
        self.push(side, wait, Happening::Deed(deed));
    }

    fn push(&mut self, side: usize, wait: u64, happening: Happening) {
        self.count += 1;
        let at = self.now + Duration::from_millis(wait);
        self.queue.push(Reverse((at, self.count, side, happening)));
    }

    fn write(&mut self, side: usize, mark: &str, what: &str) {
        if let Some(transcript) = &mut self.transcript {
            let at = self.now.duration_since(self.start).as_secs_f64();
            let name = ["caller", "called"][side];
            let _ = writeln!(transcript, "{at:8.3} {name} {mark} {what}");
        }
    }
}
