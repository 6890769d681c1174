//! `sip::Stack`: bytes, commands and due times in; bytes and events out (RFC 3261 §17, §12, §13).
//!
//! The stack owns the timer wheel, the transactions and the INVITE sessions of one shard. Requests outside of a
//! dialog are handed up with no state kept (RFC 3261 §8.2.7); `Command::Accept` turns an INVITE into a session.

mod ask;
mod command;
mod hold;
mod in_dialog;
pub mod ping;
pub(crate) mod prove;
mod receive;
mod replace;
mod subscribe;
pub(crate) mod wire;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand_chacha::ChaCha12Rng;

use crate::invite::Session;
use crate::stack::replace::HandedOff;
use crate::stack::wire::{Due, Told, Wire};
use crate::subscription::{
    Farewell, News, SubscriptionEnd, SubscriptionEvent, SubscriptionId, Subscriptions, Terms,
};
use crate::transaction::Input as Happening;
use crate::transaction::key::{Seeded, Token};
use crate::transaction::layer::{TransactionId, User};
use crate::{Flow, FlowId, Header, Method, Replaces, Request, Response, Status, Text};

pub use in_dialog::{InDialog, Refer, Replaced};

pub use crate::stack::ask::{Outcome, Question, RequestId};
pub use crate::stack::prove::Login;

/// The SIP machine of one shard: RFC 3261 §17 transactions, §12 dialogs and §13 INVITE sessions.
#[derive(Debug)]
pub struct Stack {
    wire: Wire,
    sessions: HashMap<SessionId, Session, Seeded>,
    by_token: HashMap<Token, SessionId, Seeded>,
    by_flow: BTreeSet<(u64, SessionId)>,
    /// At most [`replace`]'s number.
    handed_off: VecDeque<HandedOff>,
    asked: HashMap<RequestId, ask::Asked, Seeded>,
    held: HashMap<RequestId, hold::Held, Seeded>,
    subscriptions: Subscriptions,
}

impl Stack {
    /// Makes an empty stack that draws its tags and branches from `rng`.
    pub fn new(config: Config, rng: ChaCha12Rng) -> Self {
        let wire = Wire::new(config, rng);
        let hasher = wire.hasher;
        Self {
            wire,
            sessions: HashMap::with_hasher(hasher),
            by_token: HashMap::with_hasher(hasher),
            by_flow: BTreeSet::new(),
            handed_off: VecDeque::new(),
            asked: HashMap::with_hasher(hasher),
            held: HashMap::with_hasher(hasher),
            subscriptions: Subscriptions::new(hasher),
        }
    }

    /// Makes exactly one change, after what is due by then; drain [`Stack::poll_output`] afterwards.
    pub fn handle(&mut self, now: Instant, input: Input) {
        while let Some(due) = self.wire.wheel.pop(now) {
            self.due(now, due);
        }
        match input {
            Input::Received { flow, bytes } => self.received(now, flow, bytes),
            Input::FlowClosed(flow) => self.flow_closed(now, flow),
            Input::Command(command) => self.command(now, command),
            Input::Tick => {}
        }
    }

    /// Takes the next thing to do for the world outside.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.wire.outputs.pop_front()
    }

    /// Tells when [`Input::Tick`] is due: not later than the first timer, seldom earlier.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.wire.wheel.next_due()
    }

    /// Counts the sessions that are alive.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Counts the transactions that are alive.
    pub fn transactions(&self) -> usize {
        self.wire.transactions.len()
    }

    fn due(&mut self, now: Instant, due: Due) {
        match due {
            Due::Session(session, alarm) => {
                self.with(now, session, |session, wire| session.due(now, wire, alarm));
            }
            Due::Transaction(transaction, timer) => {
                self.drive(now, transaction, Happening::Fired(timer));
            }
            Due::Held(id) => self.held_too_long(id),
            Due::Subscription(id, alarm) => self.subscription_due(id, alarm),
        }
    }

    fn flow_closed(&mut self, now: Instant, flow: FlowId) {
        if flow == FlowId::NONE {
            return;
        }
        self.subscriptions_lost(flow);
        for transaction in self.wire.transactions.on_flow(flow) {
            self.drive(now, transaction, Happening::TransportLost);
        }
        let sessions: Vec<_> = self.on_flow(flow).collect();
        for session in sessions {
            self.with(now, session, |session, wire| session.flow_closed(now, wire));
        }
    }

    /// Drives a transaction by something other than a message, and tells its session what came of it.
    fn drive(&mut self, now: Instant, transaction: TransactionId, happening: Happening) {
        let user = self
            .wire
            .transactions
            .get(transaction)
            .and_then(|found| found.user);
        // RFC 3261 §8.1.3.1.
        let (status, outcome, end) = match self.wire.drive(now, transaction, happening) {
            Told::Nothing | Told::Pass => return,
            Told::Timeout => (
                Status::REQUEST_TIMEOUT,
                Outcome::Timeout,
                SubscriptionEnd::Timeout,
            ),
            Told::Lost => (
                Status::SERVICE_UNAVAILABLE,
                Outcome::FlowLost,
                SubscriptionEnd::FlowLost,
            ),
        };
        match user {
            Some(User::Session(session)) => {
                self.with(now, session, |session, wire| {
                    session.unanswered(now, wire, transaction, status);
                });
            }
            Some(User::Asked(id)) => self.ask_unanswered(id, outcome),
            Some(User::Held(id)) => self.release(id),
            Some(User::Subscription(id)) => self.subscription_lost(id, end),
            None => {}
        }
    }

    /// Changes a session, and keeps the tables true. `false`: there is no such session.
    fn with(
        &mut self,
        now: Instant,
        id: SessionId,
        change: impl FnOnce(&mut Session, &mut Wire),
    ) -> bool {
        let Some(session) = self.sessions.get_mut(&id) else {
            return false;
        };
        let before = session.flow.id;
        change(session, &mut self.wire);
        let (after, is_gone, token) = (session.flow.id, session.is_gone(), session.token);
        if is_gone {
            session.close(now, &mut self.wire);
            self.sessions.remove(&id);
            self.by_token.remove(&token);
        }
        if before != after && !is_gone {
            self.join_flow(after, id);
        }
        if before != after || is_gone {
            self.leave_flow(before, id);
        }
        true
    }

    /// Notes that a session goes over a connection.
    fn join_flow(&mut self, flow: FlowId, id: SessionId) {
        if flow != FlowId::NONE {
            if self.on_flow(flow).next().is_none() {
                self.wire.outputs.push_back(Output::Keep(flow));
            }
            self.by_flow.insert((flow.0, id));
        }
    }

    fn leave_flow(&mut self, flow: FlowId, id: SessionId) {
        if self.by_flow.remove(&(flow.0, id)) && self.on_flow(flow).next().is_none() {
            self.wire.outputs.push_back(Output::Release(flow));
        }
    }

    fn on_flow(&self, flow: FlowId) -> impl Iterator<Item = SessionId> {
        let of_flow = (flow.0, SessionId(0))..=(flow.0, SessionId(u64::MAX));
        self.by_flow.range(of_flow).map(|&(_, id)| id)
    }

    fn insert(&mut self, session: Session) {
        self.join_flow(session.flow.id, session.id);
        self.by_token.insert(session.token, session.id);
        self.sessions.insert(session.id, session);
    }
}

/// What a [`Stack`] must know at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Number of this shard: first two hex digits of our tags, branches and Call-IDs.
    pub shard: u8,
    /// RTT estimate, RFC 3261 §17.1.1.1: 500 ms.
    pub t1: Duration,
    /// Longest interval between retransmissions, RFC 3261 §17.1.2.2: 4 s.
    pub t2: Duration,
    /// Longest life of a message in the network, RFC 3261 §17.1.2.2: 5 s.
    pub t4: Duration,
    /// Transactions alive at once; more are refused with 503.
    pub max_transactions: usize,
    /// Sessions alive at once; more are refused with 503.
    pub max_sessions: usize,
    /// Subscriptions alive at once; more are refused with 503.
    pub max_subscriptions: usize,
    /// The session interval that we ask for, in seconds, at least 90 (RFC 4028 §4); zero: we ask for none.
    pub session_interval: u32,
    /// Value of Server and User-Agent.
    pub product: Text,
}

impl Config {
    /// The RFC's timer values and generous limits for the shard of this number.
    pub fn for_shard(shard: u8) -> Self {
        Self {
            shard,
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
            max_transactions: 100_000,
            max_sessions: 20_000,
            max_subscriptions: 10_000,
            session_interval: 1_800,
            product: Text::from_static("Offhook"),
        }
    }
}

/// One INVITE dialog usage, which is one leg on the wire; bits 56..64 are the shard, the caller chooses the rest.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SessionId(pub u64);

/// What can happen to a [`Stack`].
#[expect(
    clippy::large_enum_variant,
    reason = "a request is moved a few times only; a box would be one more allocation for each"
)]
#[derive(Debug)]
pub enum Input {
    /// One whole message arrived on a flow.
    Received {
        /// Where it came from and went to.
        flow: Flow,
        /// The message.
        bytes: Bytes,
    },
    /// A stream connection is gone.
    FlowClosed(FlowId),
    /// Somebody above wants something.
    Command(Command),
    /// The time of [`Stack::poll_timeout`] has come.
    Tick,
}

/// What a [`Stack`] wants done.
#[derive(Debug)]
pub enum Output {
    /// Bytes for the wire.
    Send {
        /// The flow that carries them.
        flow: Flow,
        /// One whole message.
        bytes: Bytes,
    },
    /// Something to tell the layer above.
    Event(Event),
    /// A stream connection has its first session: silence is no reason to close it.
    Keep(FlowId),
    /// The last session of a stream connection is gone, or goes on over another one.
    Release(FlowId),
    /// A message that belongs to a dialog or transaction of another shard.
    Handoff {
        /// The shard that owns it.
        shard: u8,
        /// As in [`Input::Received`].
        flow: Flow,
        /// As in [`Input::Received`].
        bytes: Bytes,
    },
}

/// What the layer above may ask of a [`Stack`].
#[derive(Debug)]
pub enum Command {
    /// Answers an [`Event::Request`] statelessly (RFC 3261 §8.2.7).
    Reply {
        /// The flow of the request.
        flow: Flow,
        /// The answer; Via gets its received and rport here (RFC 3581 §4).
        response: Response,
    },
    /// Asks a phone whether it is there; [`Event::Pong`] says that it is.
    Ping(ping::Ping),
    /// Sends a double CRLF on a stream (RFC 5626 §4.4.1); on any other flow it does nothing.
    KeepAlive {
        /// The flow.
        flow: Flow,
    },
    /// Answers an [`Event::Request`] other than INVITE through a transaction, which repeats the answer while there is room
    /// for it (RFC 3261 §17.2.2).
    Serve {
        /// The request as it came.
        request: Box<Request>,
        /// The flow of the request.
        flow: Flow,
        /// The answer.
        response: Box<Response>,
    },
    /// Makes the INVITE server transaction and the session of an [`Event::Request`], and sends 100.
    Accept {
        /// Number of the new session.
        session: SessionId,
        /// The INVITE as it came.
        request: Request,
        /// The flow of the request.
        flow: Flow,
    },
    /// Sends a request outside of a dialog and tells what became of it by [`Event::Answer`], exactly once.
    Ask {
        /// Its number; no other request of ours may have it at the same time.
        id: RequestId,
        /// The request.
        question: Question,
    },
    /// Keeps the transaction of an [`Event::Request`] that is answered later by [`Command::Respond`]; any method but
    /// INVITE, ACK and CANCEL. Without room for it the request is answered 503.
    Hold {
        /// Its number.
        id: RequestId,
        /// The request as it came.
        request: Request,
        /// The flow of the request.
        flow: Flow,
    },
    /// Answers a request that is held. Ignored when it is not, or not any longer: its client waits for 64*T1.
    Respond {
        /// The number of the request.
        id: RequestId,
        /// The answer.
        response: Response,
    },
    /// Makes a subscription of an [`Event::Request`] that is a SUBSCRIBE, and answers it 200 (RFC 6665 §4.2.1).
    Subscribe {
        /// Its number.
        subscription: SubscriptionId,
        /// The SUBSCRIBE as it came; its Event is known.
        request: Request,
        /// The flow of the request.
        flow: Flow,
        /// How long it may last.
        terms: Terms,
        /// User part of our Contact.
        contact_user: Text,
    },
    /// What a subscription is about has changed.
    Changed {
        /// The subscription.
        subscription: SubscriptionId,
    },
    /// Answers [`SubscriptionEvent::Wanted`].
    Tell {
        /// The subscription.
        subscription: SubscriptionId,
        /// What to tell.
        news: News,
    },
    /// Ends a subscription.
    Unsubscribe {
        /// The subscription.
        subscription: SubscriptionId,
        /// Why.
        farewell: Farewell,
    },
    /// Sends a provisional answer to the pending INVITE.
    Ring {
        /// The session.
        session: SessionId,
        /// 180, 183, …
        status: Status,
        /// Early media description.
        sdp: Option<Bytes>,
        /// More headers.
        headers: Vec<Header>,
    },
    /// Answers the pending INVITE or re-INVITE with 200, and again until its ACK comes (RFC 3261 §13.3.1.4).
    Answer {
        /// The session.
        session: SessionId,
        /// Our answer, or our offer when the INVITE had none.
        sdp: Option<Bytes>,
        /// More headers.
        headers: Vec<Header>,
    },
    /// Refuses the pending INVITE or re-INVITE.
    Refuse {
        /// The session.
        session: SessionId,
        /// 300 to 699.
        status: Status,
        /// Reason phrase, when the default one will not do.
        reason: Option<Text>,
        /// More headers.
        headers: Vec<Header>,
    },
    /// Calls somebody. Without an offer of ours the answer brings one: [`Command::Acknowledge`].
    Invite {
        /// Number of the new session.
        session: SessionId,
        /// Where to.
        to: Destination,
        /// From value without tag.
        from: Text,
        /// To value without tag.
        to_value: Text,
        /// Our offer.
        sdp: Option<Bytes>,
        /// More headers.
        headers: Vec<Header>,
        /// User part of the Contact.
        contact_user: Text,
        /// What is done for it beyond that.
        effort: Effort,
    },
    /// Acknowledges a 2xx that made an offer because our INVITE or re-INVITE had none (RFC 3261 §13.2.2.4).
    Acknowledge {
        /// The session.
        session: SessionId,
        /// Our answer.
        sdp: Option<Bytes>,
    },
    /// A phone has registered over another flow: its established sessions go on there (RFC 5626 §4.3).
    Follow {
        /// The Call-ID of the session.
        call_id: Text,
        /// The Contact that it registered. A session with another one is of another phone, and stays.
        contact: Text,
        /// The flow.
        flow: Flow,
    },
    /// Changes an established session (RFC 3261 §14.1). Without an offer of ours the answer brings one:
    /// [`Command::Acknowledge`].
    Reinvite {
        /// The session.
        session: SessionId,
        /// Our offer.
        sdp: Option<Bytes>,
    },
    /// Changes a session by UPDATE where the other side takes it, early too; an established one by re-INVITE otherwise
    /// (RFC 3311 §5.1).
    Update {
        /// The session.
        session: SessionId,
        /// Our offer.
        sdp: Bytes,
    },
    /// Answers a [`SessionEvent::Requested`].
    RespondInDialog {
        /// The session.
        session: SessionId,
        /// Which.
        request: RequestId,
        /// 200 to 699. A 2xx to REFER sends a first NOTIFY, unless none is wanted (RFC 3515 §2.4.4).
        status: Status,
        /// Our answer to its offer.
        sdp: Option<Bytes>,
        /// More headers.
        headers: Vec<Header>,
    },
    /// Sends INFO, MESSAGE or REFER inside the dialog; [`SessionEvent::Responded`] tells what came of it.
    RequestInDialog {
        /// The session.
        session: SessionId,
        /// The sender's own name for it.
        request: RequestId,
        /// What to send; other methods are refused with 405.
        method: Method,
        /// Its headers, Content-Type and Refer-To among them.
        headers: Vec<Header>,
        /// Its body.
        body: Bytes,
    },
    /// Tells whoever sent REFER how far the referred request has come (RFC 3515 §2.4.5). A final status ends the
    /// subscription.
    Notify {
        /// The session.
        session: SessionId,
        /// The REFER.
        refer: RequestId,
        /// Status of the last response.
        status: Status,
        /// Its reason phrase, when the default one will not do.
        reason: Option<Text>,
    },
    /// Asks the shard of [`Replaces::shard`] which session that is; [`SessionEvent::Found`] goes to whoever asks, of
    /// whatever shard.
    Find {
        /// Who asks.
        session: SessionId,
        /// Why: comes back in the answer.
        request: RequestId,
        /// The dialog.
        replaces: Replaces,
    },
    /// Ends a session by whatever ends it in its state: BYE, CANCEL or 480.
    Hangup {
        /// The session.
        session: SessionId,
        /// More headers, for example Reason.
        headers: Vec<Header>,
    },
}

/// What is done for a call of ours beyond sending its INVITE.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Effort {
    /// Who answers a challenge (RFC 3261 §22.2, §22.3). `None`: nobody does.
    pub login: Option<Login>,
    /// How long the first sign of life may take, if less than Timer B: after it the INVITE has failed with 408, and whatever
    /// is still answered is cancelled or hung up.
    pub patience: Option<Duration>,
}

/// Where an outgoing request goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Destination {
    /// The flow that carries it.
    pub flow: Flow,
    /// Request-URI.
    pub uri: Text,
    /// Route values, first hop first.
    pub route: Vec<Text>,
}

/// What a [`Stack`] tells the layer above.
#[derive(Debug)]
pub enum Event {
    /// A valid request outside of a dialog; no state is held and nothing was answered.
    Request {
        /// The request.
        request: Request,
        /// The flow it came on.
        flow: Flow,
        /// The session that the INVITE wants to take the place of, which lives in this shard (RFC 3891 §3). Whether it
        /// may is decided above.
        replaces: Option<Replaced>,
    },
    /// What became of a [`Command::Ask`].
    Answer {
        /// The number of the request.
        id: RequestId,
        /// What became of it.
        outcome: Outcome,
    },
    /// A phone answered a [`Command::Ping`].
    Pong {
        /// As in the ping.
        mark: ping::PingMark,
        /// Where the answer came from.
        flow: Flow,
    },
    /// Something happened to a subscription.
    Subscription {
        /// The subscription.
        id: SubscriptionId,
        /// What happened.
        event: SubscriptionEvent,
    },
    /// What came is no message of SIP, and gets no answer.
    Noise {
        /// The flow it came on.
        flow: Flow,
    },
    /// The stack refused something by itself; for logs and counters.
    Rejected {
        /// The flow it came on.
        flow: Flow,
        /// The status it was answered with.
        status: Status,
        /// Why.
        why: &'static str,
    },
    /// Something happened to a session.
    Session {
        /// The session.
        session: SessionId,
        /// What happened.
        event: SessionEvent,
    },
    /// A limit refused Accept (503 was sent) or Invite (nothing was sent); the session does not exist.
    NoRoom {
        /// The session that was asked for.
        session: SessionId,
    },
}

/// What happens to a session.
#[derive(Debug)]
pub enum SessionEvent {
    /// A provisional answer to our INVITE, other than 100.
    Ringing {
        /// Its status.
        status: Status,
        /// Its body when it is a session description.
        sdp: Option<Bytes>,
        /// The whole answer.
        response: Response,
    },
    /// The first 2xx to our INVITE; its ACK is sent, or waits for [`Command::Acknowledge`] where the INVITE had no offer
    /// and this has one.
    Answered {
        /// The session description: of its body, or the one that its early dialog answered with before.
        sdp: Option<Bytes>,
        /// The whole answer.
        response: Response,
    },
    /// Our INVITE failed for good: 408 on Timer B, 503 on a lost flow, 487 after CANCEL. The session is gone.
    Failed {
        /// Why.
        status: Status,
        /// The answer, when there was one.
        response: Option<Response>,
    },
    /// The other side goes on over another flow (RFC 5626 §4.3): its media may come from elsewhere too.
    Moved {
        /// Where it is.
        remote: SocketAddr,
    },
    /// CANCEL came for the pending INVITE; 200 and 487 are sent. The session is gone.
    Cancelled {
        /// Value of its Reason header (RFC 3326 §2).
        reason: Option<Text>,
    },
    /// The PRACK for a provisional answer of ours that made the first offer brought the answer (RFC 3262 §5).
    Acknowledged {
        /// The answer.
        sdp: Bytes,
    },
    /// The ACK for our 2xx came.
    Confirmed {
        /// The answer to an offer that our 2xx made.
        sdp: Option<Bytes>,
    },
    /// A re-INVITE, or an UPDATE with an offer, wants Answer or Refuse.
    Offered {
        /// The offer; `None` asks for ours.
        sdp: Option<Bytes>,
    },
    /// Our re-INVITE or UPDATE was answered.
    Reanswered {
        /// The answer; where ours had no offer, an offer that waits for [`Command::Acknowledge`].
        sdp: Option<Bytes>,
    },
    /// Our re-INVITE or UPDATE failed; the session goes on as it was.
    ReofferFailed {
        /// Why.
        status: Status,
    },
    /// The other side ended the session, or it died. The session is gone.
    Ended {
        /// Why.
        why: EndReason,
    },
    /// A request inside the dialog wants [`Command::RespondInDialog`] within 64*T1; else it is answered with 500.
    Requested {
        /// The stack's own name for it.
        id: RequestId,
        /// What it wants.
        wants: InDialog,
        /// The whole request.
        request: Request,
    },
    /// A [`Command::RequestInDialog`] has its final answer.
    Responded {
        /// Which.
        id: RequestId,
        /// Its status: 408 when none came, 481, 503 or 405 when it could not be sent.
        status: Status,
        /// The whole answer, when there was one.
        response: Option<Response>,
    },
    /// A NOTIFY tells how far a REFER of ours has come (RFC 3515 §2.4.5); it is answered with 200.
    Notified {
        /// The [`Command::RequestInDialog`] that sent the REFER.
        refer: RequestId,
        /// Status of the referred request, if the NOTIFY tells one.
        status: Option<Status>,
        /// Nothing more will be told.
        last: bool,
    },
    /// The answer to [`Command::Find`].
    Found {
        /// What was asked.
        request: RequestId,
        /// `None`: there is no such session (any more).
        replaced: Option<Replaced>,
    },
}

/// Why an established session ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EndReason {
    /// BYE came.
    Bye {
        /// Value of its Reason header (RFC 3326 §2).
        reason: Option<Text>,
    },
    /// Our 2xx (RFC 3261 §13.3.1.4) or reliable provisional answer (RFC 3262 §3) was never acknowledged.
    NoAck,
    /// The flow is gone and nothing else leads to the other side.
    TransportLost,
    /// A request of ours inside the dialog was answered 481 or 408, or never (RFC 3261 §12.2.1.2, RFC 5057 §5.1).
    ReinviteTimeout481,
    /// The refresher did not refresh (RFC 4028 §10).
    SessionExpired,
    /// Our own Hangup is through: the BYE was answered or timed out.
    HungUp,
}
