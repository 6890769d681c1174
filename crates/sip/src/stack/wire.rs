//! What sessions act through: transactions, timers, and the way out (RFC 3261 §8, §17, §18).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand_chacha::ChaCha12Rng;
use rand_core::RngCore;
use smallvec::SmallVec;

use crate::dialog::Dialog;
use crate::invite::{Alarm, put_sdp, session_timer};
use crate::message::write::push_address;
use crate::stack::{Config, Event, Output, RequestId, SessionEvent, SessionId};
use crate::subscription::{self, SubscriptionId};
use crate::transaction::key::{ClientKey, MergeKey, Seeded, ServerKey, Token};
use crate::transaction::layer::{Key, Machine, Sent, Times, TransactionId, Transactions, User};
use crate::transaction::timer::{Timer, TimerId, Wheel};
use crate::transaction::{
    Action, Input, client_invite, client_non_invite, server_invite, server_non_invite,
};
use crate::{Flow, Header, Method, Name, Request, Response, Status, Text, Transport};

/// The methods that we take.
pub(crate) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, PRACK, OPTIONS, INFO, MESSAGE, \
    UPDATE, REFER, NOTIFY, REGISTER, SUBSCRIBE, PUBLISH";

/// The extensions that we support in a session (RFC 3262, RFC 4028, RFC 3891, RFC 4488).
pub(crate) const SUPPORTED: &str = "100rel, timer, replaces, norefersub";

/// Whose time has come.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Due {
    Transaction(TransactionId, Timer),
    Session(SessionId, Alarm),
    Held(RequestId),
    Subscription(SubscriptionId, subscription::Alarm),
}

/// What a transaction has to say to its user.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Told {
    Nothing,
    Pass,
    Timeout,
    Lost,
}

/// Everything of a stack but its sessions.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) config: Config,
    pub(crate) rng: ChaCha12Rng,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) wheel: Wheel<Due>,
    pub(crate) transactions: Transactions,
    pub(crate) hasher: Seeded,
}

impl Wire {
    pub(crate) fn new(config: Config, mut rng: ChaCha12Rng) -> Self {
        let hasher = Seeded::draw(&mut rng);
        Self {
            config,
            rng,
            outputs: VecDeque::new(),
            wheel: Wheel::new(),
            transactions: Transactions::new(hasher),
            hasher,
        }
    }

    pub(crate) fn draw(&mut self) -> Token {
        Token::draw(self.config.shard, &mut self.rng)
    }

    /// Draws a number below `bound`.
    pub(crate) fn draw_below(&mut self, bound: u64) -> u64 {
        self.rng.next_u64() % bound.max(1)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.transactions.len() >= self.config.max_transactions
    }

    pub(crate) fn send(&mut self, flow: Flow, bytes: Bytes) {
        self.outputs.push_back(Output::Send { flow, bytes });
    }

    pub(crate) fn tell(&mut self, session: SessionId, event: SessionEvent) {
        let event = Event::Session { session, event };
        self.outputs.push_back(Output::Event(event));
    }

    pub(crate) fn arm(&mut self, now: Instant, wait: Duration, due: Due) -> TimerId {
        self.wheel.arm(now + wait, due)
    }

    /// 64*T1: how long anybody waits for an answer.
    pub(crate) fn patience(&self) -> Duration {
        64 * self.config.t1
    }

    // --- what we send ---

    /// Makes the Contact value of a session on this flow: RFC 3261 §8.1.1.8.
    pub(crate) fn contact(&self, flow: &Flow, user: &str) -> Text {
        let mut text = String::with_capacity(user.len() + 48);
        text.push_str("<sip:");
        text.push_str(user);
        if !user.is_empty() {
            text.push('@');
        }
        push_address(&mut text, flow.local);
        if let Some(transport) = flow.transport.uri_param() {
            text.push_str(";transport=");
            text.push_str(transport);
        }
        text.push('>');
        text.into()
    }

    /// Gives an answer its last touches and writes it: RFC 3261 §18.2.1, RFC 3581 §4.
    pub(crate) fn finish(&self, flow: &Flow, response: &mut Response) -> Bytes {
        response.set_received(flow.remote);
        if response.headers.get(&Name::Server).is_none() {
            response
                .headers
                .push(Name::Server, self.config.product.clone());
        }
        response.write()
    }

    /// Answers without a transaction: RFC 3261 §8.2.7. The same request gets the same To tag again.
    pub(crate) fn reply(&mut self, flow: Flow, mut response: Response) {
        if response.status != Status::TRYING
            && let Ok(to) = response.to()
            && to.tag().is_none()
        {
            let tag = Token {
                shard: self.config.shard,
                number: self.same_number(&response),
            };
            tag_to(&mut response, &tag.to_string());
        }
        let bytes = self.finish(&flow, &mut response);
        self.send(flow, bytes);
    }

    fn same_number(&self, response: &Response) -> u64 {
        use std::hash::{BuildHasher as _, Hash as _, Hasher as _};
        let mut hasher = self.hasher.build_hasher();
        for name in [Name::Via, Name::From, Name::CallId, Name::CSeq] {
            if let Some(value) = response.headers.get(&name) {
                value.hash(&mut hasher);
            }
        }
        hasher.finish()
    }

    /// Refuses a request without a transaction, and says so.
    pub(crate) fn reject(
        &mut self,
        flow: Flow,
        request: &Request,
        status: Status,
        why: &'static str,
    ) {
        if request.method == Method::Ack {
            return;
        }
        let mut response = request.respond(status);
        if !why.is_empty() {
            response.reason = Text::from_static(why);
        }
        match status {
            Status::SERVICE_UNAVAILABLE => response.headers.push(Name::RetryAfter, "5"),
            Status::METHOD_NOT_ALLOWED => response.headers.push(Name::Allow, ALLOW),
            Status::SESSION_INTERVAL_TOO_SMALL => {
                response.headers.push(Name::MinSe, session_timer::min_se());
            }
            _ => {}
        }
        self.reply(flow, response);
        let event = Event::Rejected { flow, status, why };
        self.outputs.push_back(Output::Event(event));
    }

    // --- server transactions ---

    /// Makes the transaction of a request that is answered later. `None`: no room, or it exists.
    pub(crate) fn open(
        &mut self,
        request: &Request,
        flow: Flow,
        user: Option<impl Into<User>>,
        merge: Option<MergeKey>,
    ) -> Option<TransactionId> {
        let user = user.map(Into::into);
        let key = ServerKey::of(request)?;
        if self.is_full() || self.transactions.server(&key).is_some() {
            return None;
        }
        let machine = match request.method {
            Method::Invite => Machine::ServerInvite(server_invite::State::Proceeding),
            _ => Machine::ServerNonInvite(server_non_invite::State::Trying),
        };
        let key = Key::Server(key, merge);
        Some(
            self.transactions
                .insert(machine, key, flow, user, Bytes::new()),
        )
    }

    /// Sends an answer through its transaction; gives the bytes for the session's own repetitions.
    pub(crate) fn respond(
        &mut self,
        now: Instant,
        transaction: TransactionId,
        mut response: Response,
    ) -> Bytes {
        let Some(flow) = self.transactions.get(transaction).map(|found| found.flow) else {
            return Bytes::new();
        };
        let bytes = self.finish(&flow, &mut response);
        if let Some(found) = self.transactions.get_mut(transaction) {
            found.message = bytes.clone();
        }
        self.drive(now, transaction, input_of(response.status));
        bytes
    }

    /// Answers a request other than INVITE for good, through a transaction of its own while there is room.
    pub(crate) fn serve(
        &mut self,
        now: Instant,
        request: &Request,
        flow: Flow,
        mut response: Response,
    ) {
        let bytes = self.finish(&flow, &mut response);
        let key = ServerKey::of(request).filter(|_| !self.is_full());
        let Some(key) = key else {
            self.send(flow, bytes);
            return;
        };
        let machine = Machine::ServerNonInvite(server_non_invite::State::Trying);
        let key = Key::Server(key, None);
        let transaction = self.transactions.insert(machine, key, flow, None, bytes);
        self.drive(now, transaction, input_of(response.status));
    }

    // --- client transactions ---

    /// Sends a request through a new transaction.
    pub(crate) fn call(
        &mut self,
        now: Instant,
        flow: Flow,
        mut request: Request,
        user: Option<impl Into<User>>,
        in_dialog: bool,
    ) -> TransactionId {
        let user = user.map(Into::into);
        let branch = self.draw();
        request.headers.push_front(Name::Via, via(&flow, branch));
        self.push_product(&mut request);
        let bytes = request.write();
        let cancel = false;
        let machine = if request.method == Method::Invite {
            let sent = Sent {
                request,
                refusal: None,
                acks: SmallVec::new(),
                in_dialog,
            };
            Machine::ClientInvite(client_invite::State::Calling, Box::new(sent))
        } else {
            Machine::ClientNonInvite(client_non_invite::State::Trying)
        };
        let key = Key::Client(ClientKey { branch, cancel });
        let transaction = self.transactions.insert(machine, key, flow, user, bytes);
        self.drive(now, transaction, Input::Begin);
        transaction
    }

    fn push_product(&self, request: &mut Request) {
        if request.headers.get(&Name::UserAgent).is_none() {
            let product = self.config.product.clone();
            request.headers.push(Name::UserAgent, product);
        }
    }

    /// Cancels an INVITE of ours that has a provisional answer: RFC 3261 §9.1.
    pub(crate) fn cancel(&mut self, now: Instant, invite: TransactionId, headers: Vec<Header>) {
        let Some((flow, sent)) = self.transactions.get(invite).and_then(|found| {
            let Machine::ClientInvite(_, sent) = &found.machine else {
                return None;
            };
            Some((found.flow, sent))
        }) else {
            return;
        };
        let Some(branch) = own_branch(&sent.request) else {
            return;
        };
        let mut request = within(&sent.request, Method::Cancel);
        if let Some(to) = sent.request.headers.get(&Name::To) {
            request.headers.push(Name::To, to.clone());
        }
        request.headers.extend(headers);
        self.push_product(&mut request);
        let bytes = request.write();
        let key = Key::Client(ClientKey {
            branch,
            cancel: true,
        });
        let machine = Machine::ClientNonInvite(client_non_invite::State::Trying);
        let transaction = self.transactions.insert(machine, key, flow, None, bytes);
        self.drive(now, transaction, Input::Begin);
    }

    /// Acknowledges a 2xx; the transaction keeps the ACK for when the 2xx comes again.
    pub(crate) fn acknowledge(
        &mut self,
        flow: Flow,
        transaction: TransactionId,
        dialog: &Dialog,
        number: u32,
        sdp: Option<Bytes>,
    ) {
        let mut request = dialog.ack(number);
        put_sdp(&mut request.headers, &mut request.body, sdp);
        let branch = self.draw();
        request.headers.push_front(Name::Via, via(&flow, branch));
        let bytes = request.write();
        if let Some(found) = self.transactions.get_mut(transaction)
            && let Machine::ClientInvite(_, sent) = &mut found.machine
        {
            let tag = dialog.remote_tag.clone();
            sent.acks.push((tag, flow, bytes.clone()));
        }
        self.send(flow, bytes);
    }

    /// Sends BYE in a dialog whose outcome nobody waits for.
    pub(crate) fn bye(
        &mut self,
        now: Instant,
        flow: Flow,
        dialog: &mut Dialog,
        headers: Vec<Header>,
        user: Option<SessionId>,
    ) -> TransactionId {
        let mut request = dialog.request(Method::Bye);
        request.headers.extend(headers);
        self.call(now, flow, request, user, true)
    }

    /// Lets a transaction run out by itself: nobody waits for its answer any more.
    pub(crate) fn orphan(&mut self, now: Instant, id: TransactionId) {
        let wait = self.patience();
        let Some(found) = self.transactions.get_mut(id) else {
            return;
        };
        found.user = None;
        let state = client_invite::State::Proceeding;
        if matches!(&found.machine, Machine::ClientInvite(now, _) if *now == state) {
            let due = Due::Transaction(id, Timer::B);
            *found.place_of(Timer::B) = Some(self.wheel.arm(now + wait, due));
        }
    }

    // --- the machines ---

    /// Gives a transaction its input and does what its machine says.
    pub(crate) fn drive(&mut self, now: Instant, id: TransactionId, input: Input) -> Told {
        let config = &self.config;
        let times = Times {
            t1: config.t1,
            t2: config.t2,
            t4: config.t4,
        };
        let mut told = Told::Nothing;
        let mut next = Some(input);
        while let Some(input) = next.take() {
            let Some(found) = self.transactions.get_mut(id) else {
                return told;
            };
            for &action in found.step(input) {
                match action {
                    Action::Send if found.message.is_empty() => {}
                    Action::Send => self.outputs.push_back(Output::Send {
                        flow: found.flow,
                        bytes: found.message.clone(),
                    }),
                    Action::Acknowledge => {
                        if let Machine::ClientInvite(_, sent) = &found.machine
                            && let Some(bytes) = sent.refusal.clone()
                        {
                            let flow = found.flow;
                            self.outputs.push_back(Output::Send { flow, bytes });
                        }
                    }
                    Action::Pass => told = Told::Pass,
                    Action::ReportTimeout => told = Told::Timeout,
                    Action::ReportLost => told = Told::Lost,
                    Action::StopRetransmission => {
                        if let Some(timer) = found.take_retransmission() {
                            self.wheel.cancel(timer);
                        }
                    }
                    // See `Wire::orphan`.
                    Action::StopEnd if found.user.is_none() => {}
                    Action::StopEnd => {
                        if let Some(timer) = found.take_end() {
                            self.wheel.cancel(timer);
                        }
                    }
                    Action::Start(timer) | Action::Double(timer) | Action::Settle(timer) => {
                        let Some(wait) = found.interval(action, times) else {
                            continue;
                        };
                        if let Some(old) = found.place_of(timer).take() {
                            self.wheel.cancel(old);
                        }
                        if wait.is_zero() {
                            next = Some(Input::Fired(timer));
                            continue;
                        }
                        let due = Due::Transaction(id, timer);
                        *found.place_of(timer) = Some(self.wheel.arm(now + wait, due));
                    }
                }
            }
            if found.is_terminated() {
                self.drop_transaction(id);
            }
        }
        told
    }

    /// Forgets a transaction and its timers.
    pub(crate) fn drop_transaction(&mut self, id: TransactionId) {
        if let Some(mut gone) = self.transactions.remove(id) {
            let timers = [gone.take_retransmission(), gone.take_end()];
            for timer in timers.into_iter().flatten() {
                self.wheel.cancel(timer);
            }
        }
    }
}

/// The input that sending or receiving an answer is.
pub(crate) fn input_of(status: Status) -> Input {
    match status.0 {
        ..=199 => Input::Provisional,
        200..=299 => Input::Success,
        _ => Input::Failure,
    }
}

/// Puts our tag into To.
pub(crate) fn tag_to(response: &mut Response, tag: &str) {
    if let Some(to) = response.headers.get(&Name::To) {
        let tagged = format!("{to};tag={tag}");
        response.headers.set(Name::To, tagged);
    }
}

/// The ACK for a non-2xx: RFC 3261 §17.1.1.3.
pub(crate) fn acknowledgement(invite: &Request, response: &Response) -> Bytes {
    let mut request = within(invite, Method::Ack);
    if let Some(to) = response.headers.get(&Name::To) {
        request.headers.push(Name::To, to.clone());
    }
    request.write()
}

/// Makes a request that belongs to the transaction of an INVITE; To is left to the caller.
fn within(invite: &Request, method: Method) -> Request {
    let cseq = invite.cseq().map_or(0, |cseq| cseq.number);
    let cseq = format!("{cseq} {method}");
    let mut request = Request::new(method, invite.uri.clone());
    if let Some(via) = invite.headers.get(&Name::Via) {
        request.headers.push(Name::Via, via.clone());
    }
    request
        .headers
        .push(Name::MaxForwards, Text::from_static("70"));
    for name in [Name::Route, Name::From, Name::CallId] {
        for value in invite.headers.all(&name) {
            request.headers.push(name.clone(), value.clone());
        }
    }
    request.headers.push(Name::CSeq, cseq);
    request
}

fn own_branch(request: &Request) -> Option<Token> {
    Token::from_branch(&request.via().ok()?.branch()?)
}

fn via(flow: &Flow, branch: Token) -> Text {
    let mut text = String::with_capacity(80);
    text.push_str("SIP/2.0/");
    text.push_str(flow.transport.via_name());
    text.push(' ');
    push_address(&mut text, flow.local);
    text.push_str(";branch=");
    text.push_str(&branch.branch());
    // RFC 3581 §3: datagrams only.
    if flow.transport == Transport::Udp {
        text.push_str(";rport");
    }
    text.into()
}
