#![expect(dead_code, reason = "each test file uses a part")]
//! One Stack against a scripted foreign peer, in virtual time; what goes over the wire is a transcript.
//!
//! `<` the peer sends, `>` the stack sends, `!` a command, `*` an event.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;
use sip::{
    Command, Config, Destination, Effort, Event, Flow, FlowId, Framing, Header, InDialog, Input,
    Message, Method, Name, Outcome, Output, Request, RequestId, Response, SessionEvent, SessionId,
    Stack, Status, SubscriptionEvent, Text, Transport,
};

pub const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nt=0 0\r\n";
pub const SESSION: SessionId = SessionId(1);

pub struct Ladder {
    pub stack: Stack,
    pub flow: Flow,
    /// Of the calls that are made.
    pub effort: Effort,
    start: Instant,
    now: Instant,
    lines: Vec<String>,
    pub sent: Vec<Message>,
    pub asked: Vec<Request>,
    /// Requests inside the dialog that wait for [`Ladder::respond`].
    pub requested: VecDeque<RequestId>,
}

impl Ladder {
    pub fn new() -> Self {
        Self::with(Config::for_shard(0))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "any instant will do as the start"
    )]
    pub fn with(config: Config) -> Self {
        let start = Instant::now();
        let mut ladder = Self {
            stack: Stack::new(config, ChaCha12Rng::seed_from_u64(1)),
            flow: udp(),
            effort: Effort::default(),
            start,
            now: start,
            lines: Vec::new(),
            sent: Vec::new(),
            asked: Vec::new(),
            requested: VecDeque::new(),
        };
        ladder.handle(Input::Tick);
        ladder
    }

    /// Compares the whole transcript, and begins a new one.
    #[track_caller]
    pub fn shows(&mut self, expected: &str) {
        let expected: Vec<&str> = expected.trim().lines().map(str::trim).collect();
        let lines = std::mem::take(&mut self.lines);
        assert_eq!(lines, expected, "\n{}\n", lines.join("\n"));
    }

    #[track_caller]
    pub fn shows_nothing_left(&self) {
        assert_eq!((self.stack.sessions(), self.stack.transactions()), (0, 0));
        assert_eq!(self.stack.subscriptions(), 0);
        assert_eq!(self.stack.poll_timeout(), None);
    }

    /// Begins a new transcript.
    pub fn forget(&mut self) {
        self.lines.clear();
    }

    pub fn now(&self) -> Instant {
        self.now
    }

    /// Lets the time pass.
    pub fn at(&mut self, seconds: f64) {
        let until = self.start + Duration::from_secs_f64(seconds);
        while let Some(due) = self.stack.poll_timeout().filter(|due| *due <= until) {
            self.now = due;
            self.handle(Input::Tick);
        }
        self.now = until;
        self.handle(Input::Tick);
    }

    pub fn get(&mut self, message: impl Spoken) {
        let message = message.message();
        self.write("<", &summary(&message));
        self.get_bytes(message.write());
    }

    pub fn get_text(&mut self, text: &str) {
        let first = text.lines().next().unwrap_or_default().to_owned();
        self.write("<", &first);
        self.get_bytes(Bytes::from(text.replace('\n', "\r\n")));
    }

    fn get_bytes(&mut self, bytes: Bytes) {
        let flow = self.flow;
        self.handle(Input::Received { flow, bytes });
    }

    pub fn close_flow(&mut self) {
        self.write("<", "closed");
        self.handle(Input::FlowClosed(self.flow.id));
    }

    // --- commands ---

    pub fn accept(&mut self) {
        let (flow, session) = (self.flow, SESSION);
        let request = self.asked.pop().expect("an INVITE came up");
        self.command(
            "accept",
            Command::Accept {
                session,
                request,
                flow,
            },
        );
    }

    pub fn ring(&mut self) {
        self.ring_with("ring", None);
    }

    /// Rings with a session description.
    pub fn ring_early(&mut self) {
        self.ring_with("ring early", sdp());
    }

    fn ring_with(&mut self, what: &str, sdp: Option<Bytes>) {
        let (session, headers) = (SESSION, Vec::new());
        let status = match sdp {
            Some(_) => Status::SESSION_PROGRESS,
            None => Status::RINGING,
        };
        let command = Command::Ring {
            session,
            status,
            sdp,
            headers,
        };
        self.command(what, command);
    }

    pub fn answer(&mut self) {
        let (session, headers) = (SESSION, Vec::new());
        self.command(
            "answer",
            Command::Answer {
                session,
                sdp: sdp(),
                headers,
            },
        );
    }

    pub fn refuse(&mut self, status: Status) {
        let (session, headers) = (SESSION, Vec::new());
        self.command(
            "refuse",
            Command::Refuse {
                session,
                status,
                reason: None,
                headers,
            },
        );
    }

    pub fn reinvite(&mut self) {
        let (session, sdp) = (SESSION, sdp());
        self.command("reinvite", Command::Reinvite { session, sdp });
    }

    pub fn reinvite_without_offer(&mut self) {
        let (session, sdp) = (SESSION, None);
        self.command("reinvite", Command::Reinvite { session, sdp });
    }

    pub fn update(&mut self) {
        let (session, sdp) = (SESSION, Bytes::from_static(SDP.as_bytes()));
        self.command("update", Command::Update { session, sdp });
    }

    pub fn acknowledge(&mut self) {
        let (session, sdp) = (SESSION, sdp());
        self.command("acknowledge", Command::Acknowledge { session, sdp });
    }

    /// Answers the oldest request inside the dialog.
    pub fn respond(&mut self, status: Status) -> RequestId {
        self.respond_with(status, None)
    }

    pub fn respond_with_sdp(&mut self, status: Status) {
        self.respond_with(status, sdp());
    }

    fn respond_with(&mut self, status: Status, sdp: Option<Bytes>) -> RequestId {
        let request = self.requested.pop_front().expect("a request came up");
        let (session, headers) = (SESSION, Vec::new());
        self.command(
            &format!("respond {status}"),
            Command::RespondInDialog {
                session,
                request,
                status,
                sdp,
                headers,
            },
        );
        request
    }

    pub fn hang_up(&mut self) {
        let (session, headers) = (SESSION, Vec::new());
        self.command("hangup", Command::Hangup { session, headers });
    }

    pub fn invite(&mut self) {
        self.invite_with(sdp(), Vec::new());
    }

    pub fn invite_without_offer(&mut self) {
        self.invite_with(None, Vec::new());
    }

    pub fn invite_with(&mut self, sdp: Option<Bytes>, headers: Vec<Header>) {
        let to = Destination {
            flow: self.flow,
            uri: Text::from_static("sip:peer@192.0.2.9"),
            route: Vec::new(),
        };
        let command = Command::Invite {
            session: SESSION,
            to,
            from: Text::from_static("<sip:us@example.com>"),
            to_value: Text::from_static("<sip:peer@example.com>"),
            sdp,
            headers,
            contact_user: Text::from_static("us"),
            effort: self.effort.clone(),
        };
        self.command("invite", command);
    }

    pub fn command(&mut self, what: &str, command: Command) {
        self.write("!", what);
        self.handle(Input::Command(command));
    }

    // --- the peer's messages ---

    /// A request of the peer outside of a dialog.
    pub fn request(&self, method: Method, branch: &str) -> Request {
        let mut request = Request::new(method.clone(), "sip:us@192.0.2.1");
        let transport = self.flow.transport;
        let via = format!("SIP/2.0/{transport} 192.0.2.9:5060;branch=z9hG4bK{branch};rport");
        request.headers.push(Name::Via, via);
        request.headers.push(Name::MaxForwards, "70");
        request
            .headers
            .push(Name::From, "<sip:peer@example.com>;tag=peer");
        request.headers.push(Name::To, "<sip:us@example.com>");
        request.headers.push(Name::CallId, "call-of-peer");
        request.headers.push(Name::CSeq, format!("1 {method}"));
        request
            .headers
            .push(Name::Contact, "<sip:peer@192.0.2.9:5060>");
        request
    }

    /// A request of the peer inside of the dialog that the peer began.
    pub fn in_dialog(&self, method: Method, branch: &str, cseq: u32) -> Request {
        let mut request = self.request(method.clone(), branch);
        let tagged = self.sent.iter().rev().find_map(|message| match message {
            Message::Response(response) => {
                let to = response.headers.get(&Name::To)?;
                to.contains(";tag=").then(|| to.clone())
            }
            Message::Request(_) => None,
        });
        request.headers.set(Name::To, tagged.expect("a dialog"));
        request.headers.set(Name::CSeq, format!("{cseq} {method}"));
        request
    }

    /// A request of the peer inside of the dialog that the stack began.
    pub fn back(&self, method: Method, branch: &str, cseq: u32) -> Request {
        let invite = self.last_request(&Method::Invite);
        let mut request = self.request(method.clone(), branch);
        let from = invite.headers.get(&Name::From).expect("From");
        request.headers.set(Name::To, from.clone());
        let tag = "<sip:peer@example.com>;tag=peer";
        request.headers.set(Name::From, tag);
        request
            .headers
            .set(Name::CallId, invite.call_id().expect("Call-ID").clone());
        request.headers.set(Name::CSeq, format!("{cseq} {method}"));
        request
    }

    /// The peer's answer to the last request of a method.
    pub fn reply(&self, method: &Method, status: Status, tag: &str) -> Response {
        let request = self.last_request(method);
        let mut response = request.respond(status);
        if request.to().expect("To").tag().is_none() && !tag.is_empty() {
            let to = request.headers.get(&Name::To).expect("To");
            response.headers.set(Name::To, format!("{to};tag={tag}"));
        }
        let contact = format!("<sip:{tag}@192.0.2.9:5060>");
        response.headers.push(Name::Contact, contact);
        response
    }

    pub fn last_request(&self, method: &Method) -> &Request {
        let of_method = |message: &&Message| match message {
            Message::Request(request) => request.method == *method,
            Message::Response(_) => false,
        };
        match self.sent.iter().rev().find(of_method) {
            Some(Message::Request(request)) => request,
            _ => panic!("no {method} was sent"),
        }
    }

    pub fn last_response(&self) -> &Response {
        match self.sent.last() {
            Some(Message::Response(response)) => response,
            other => panic!("not a response: {other:?}"),
        }
    }

    // --- the machine ---

    fn handle(&mut self, input: Input) {
        self.stack.handle(self.now, input);
        while let Some(output) = self.stack.poll_output() {
            match output {
                Output::Send { bytes, .. } => {
                    let message = Message::parse(bytes, Framing::Stream).expect("ours parses");
                    self.write(">", &summary(&message));
                    self.sent.push(message);
                }
                Output::Event(event) => {
                    self.write("*", &told(&event));
                    match event {
                        Event::Request { request, .. } => self.asked.push(request),
                        Event::Session {
                            event: SessionEvent::Requested { id, .. },
                            ..
                        } => self.requested.push_back(id),
                        _ => {}
                    }
                }
                Output::Handoff { shard, .. } => self.write(">", &format!("to shard {shard}")),
                // What connections make of it is the server's business; tests/flows.rs watches it.
                Output::Keep(_) | Output::Release(_) => {}
            }
        }
    }

    fn write(&mut self, mark: &str, what: &str) {
        let at = self.now.duration_since(self.start).as_secs_f64();
        let line = format!("{at:.3} {mark} {what}");
        self.lines.push(line.trim_end().to_owned());
    }
}

/// What the peer can say.
pub trait Spoken {
    fn message(self) -> Message;
}

impl Spoken for Request {
    fn message(self) -> Message {
        Message::Request(self)
    }
}

impl Spoken for Response {
    fn message(self) -> Message {
        Message::Response(self)
    }
}

pub fn udp() -> Flow {
    Flow {
        transport: Transport::Udp,
        id: FlowId::NONE,
        local: SocketAddr::from(([192, 0, 2, 1], 5060)),
        remote: SocketAddr::from(([198, 51, 100, 9], 40_000)),
    }
}

pub fn ws(id: u64) -> Flow {
    Flow {
        transport: Transport::Ws,
        id: FlowId(id),
        ..udp()
    }
}

pub fn with_sdp(mut request: Request) -> Request {
    request.headers.push(Name::ContentType, "application/sdp");
    request.body = Bytes::from_static(SDP.as_bytes());
    request
}

pub fn answered_with_sdp(mut response: Response) -> Response {
    response.headers.push(Name::ContentType, "application/sdp");
    response.body = Bytes::from_static(SDP.as_bytes());
    response
}

fn sdp() -> Option<Bytes> {
    Some(Bytes::from_static(SDP.as_bytes()))
}

fn summary(message: &Message) -> String {
    let (start, body, headers) = match message {
        Message::Request(request) => {
            let start = format!("{} {}", request.method, request.uri);
            (start, &request.body, &request.headers)
        }
        Message::Response(response) => {
            let cseq = response.headers.get(&Name::CSeq).expect("CSeq");
            let start = format!("{} ({cseq})", response.status.0);
            (start, &response.body, &response.headers)
        }
    };
    let route = headers.get(&Name::Route);
    let route = route
        .map(|route| format!(" via {route}"))
        .unwrap_or_default();
    let reliable = match headers.get(&Name::RSeq) {
        Some(_) => " reliably",
        None => "",
    };
    let sdp = if body.starts_with(b"v=0") {
        " +sdp"
    } else {
        ""
    };
    // How far a referred call has come is in the body.
    let of_refer = headers
        .get(&Name::Event)
        .is_some_and(|event| event.starts_with("refer"));
    let state = headers.get(&Name::SubscriptionState);
    let state = state.filter(|_| !of_refer);
    let state = state.map(|state| format!(" {state}")).unwrap_or_default();
    format!("{start}{reliable}{route}{state}{sdp}")
}

fn told(event: &Event) -> String {
    let with = |sdp: &Option<Bytes>| if sdp.is_some() { " +sdp" } else { "" };
    match event {
        Event::Request {
            request, replaces, ..
        } => match replaces {
            Some(replaced) => format!("Request {} for {replaced:?}", request.method),
            None => format!("Request {}", request.method),
        },
        Event::Noise { .. } => "Noise".into(),
        Event::Rejected { status, why, .. } => format!("Rejected {} {why}", status.0).trim().into(),
        Event::NoRoom { .. } => "NoRoom".into(),
        Event::Pong { mark, .. } => format!("Pong {:?}", mark.0),
        Event::Subscription { event, .. } => match event {
            SubscriptionEvent::Wanted { number, full, last } => {
                let full = if *full { " full" } else { "" };
                let last = if *last { " last" } else { "" };
                format!("Wanted {number}{full}{last}")
            }
            SubscriptionEvent::Ended { why } => format!("Ended {why:?}"),
        },
        Event::Answer { id, outcome } => match outcome {
            Outcome::Answered(response) => format!("Answer {} {}", id.0, response.status.0),
            other => format!("Answer {} {other:?}", id.0),
        },
        Event::Session { event, .. } => match event {
            SessionEvent::Ringing { status, sdp, .. } => {
                format!("Ringing {}{}", status.0, with(sdp))
            }
            SessionEvent::Answered { sdp, .. } => format!("Answered{}", with(sdp)),
            SessionEvent::Failed { status, .. } => format!("Failed {}", status.0),
            SessionEvent::Cancelled { reason } => match reason {
                Some(reason) => format!("Cancelled {reason}"),
                None => "Cancelled".into(),
            },
            SessionEvent::Acknowledged { .. } => "Acknowledged +sdp".into(),
            SessionEvent::Confirmed { sdp } => format!("Confirmed{}", with(sdp)),
            SessionEvent::Offered { sdp } => format!("Offered{}", with(sdp)),
            SessionEvent::Reanswered { sdp } => format!("Reanswered{}", with(sdp)),
            SessionEvent::ReofferFailed { status } => format!("ReofferFailed {}", status.0),
            SessionEvent::Ended { why } => format!("Ended {why:?}"),
            SessionEvent::Requested { wants, .. } => match wants {
                InDialog::Refer(refer) => format!("Refer to {}", refer.to.uri),
                InDialog::Info => "Info".into(),
                InDialog::Message => "Message".into(),
                InDialog::Offer { .. } => "Offer".into(),
            },
            SessionEvent::Responded { id, status, .. } => format!("Responded {} {status}", id.0),
            SessionEvent::Notified {
                refer,
                status,
                last,
            } => {
                let status = status.map_or(0, |status| status.0);
                format!(
                    "Notified {} {status}{}",
                    refer.0,
                    if *last { " last" } else { "" }
                )
            }
            SessionEvent::Found { replaced, .. } => format!("Found {replaced:?}"),
            SessionEvent::Moved { remote } => format!("Moved {remote}"),
        },
    }
}
