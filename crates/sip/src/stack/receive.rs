//! Who gets a message that came: RFC 3261 §8.2, §9.2, §12.2.2, §17.1.3, §17.2.3, §18.1.2.

use std::time::Instant;

use bytes::Bytes;

use crate::dialog::Dialog;
use crate::invite::session_timer;
use crate::message::validate::{self, Judged};
use crate::stack::replace::Unreplaceable;
use crate::stack::wire::{Told, acknowledgement, input_of, tag_to};
use crate::stack::{Event, Output, SessionId, Stack};
use crate::stun;
use crate::transaction::Input as Happening;
use crate::transaction::key::{ClientKey, MergeKey, ServerKey, Token};
use crate::transaction::layer::{Machine, TransactionId, User};
use crate::{Flow, Framing, Message, Method, Name, Request, Response, Status, Transport};

/// ACKs that one INVITE of ours sends to different forks; more 2xx are not answered.
const MAX_FORKS: usize = 16;

impl Stack {
    pub(super) fn received(&mut self, now: Instant, flow: Flow, bytes: Bytes) {
        // Keep-alive of RFC 5626 §4.4.1, and what some phones send as one.
        if bytes
            .iter()
            .all(|byte| matches!(byte, b'\r' | b'\n' | b' ' | 0))
        {
            return;
        }
        // RFC 5626 §4.4.2: on datagrams, and without a trace in anything else.
        if flow.transport == Transport::Udp && stun::is_stun(&bytes) {
            if let Some(answer) = stun::answer(&bytes, flow.remote) {
                self.wire.send(flow, answer);
            }
            return;
        }
        let framing = match flow.transport {
            Transport::Tcp | Transport::Tls => Framing::Stream,
            Transport::Udp | Transport::Ws | Transport::Wss => Framing::Datagram,
        };
        match Message::parse(bytes.clone(), framing) {
            Ok(Message::Request(request)) => self.request(now, flow, bytes, request),
            Ok(Message::Response(response)) => self.response(now, flow, bytes, response),
            Err(error) => match error.partial {
                Some(request) => self.wire.reject(flow, &request, error.status, error.why),
                None => self
                    .wire
                    .outputs
                    .push_back(Output::Event(Event::Noise { flow })),
            },
        }
    }

    // --- requests ---

    fn request(&mut self, now: Instant, flow: Flow, bytes: Bytes, request: Request) {
        let judged = match validate::request(&request) {
            Ok(judged) => judged,
            Err(refusal) => {
                self.wire
                    .reject(flow, &request, refusal.status, refusal.why);
                return;
            }
        };
        let tag = match request.method {
            // REGISTER makes no dialog; a tag that a phone sends in it means nothing.
            Method::Register => None,
            _ => judged.to.tag(),
        };
        let token = tag.as_ref().map(|tag| Token::from_tag(tag));
        // A dialog of another shard. CANCEL and the ACK to a refusal come from where the INVITE came from.
        if let Some(Some(token)) = token
            && token.shard != self.wire.config.shard
            && request.method != Method::Cancel
        {
            let shard = token.shard;
            self.wire
                .outputs
                .push_back(Output::Handoff { shard, flow, bytes });
            return;
        }
        match (&request.method, token) {
            (Method::Ack, token) => self.ack(now, flow, &request, token.flatten()),
            (Method::Cancel, _) => self.cancel(now, flow, bytes, &request),
            (_, Some(token)) => self.in_dialog(now, flow, request, token),
            (_, None) => self.out_of_dialog(now, flow, bytes, request),
        }
    }

    fn out_of_dialog(&mut self, now: Instant, flow: Flow, bytes: Bytes, request: Request) {
        if request.method == Method::Invite {
            let Some(key) = ServerKey::of(&request) else {
                return;
            };
            let merge = MergeKey::of(&request);
            let merged = merge.and_then(|merge| self.wire.transactions.merged(&merge));
            match self.wire.transactions.server(&key) {
                Some(transaction) if merged == Some(transaction) => {
                    self.wire.drive(now, transaction, Happening::Request);
                    return;
                }
                // RFC 3261 §8.2.2.2; and one branch for two requests, which nobody may send.
                found => {
                    if found.is_some() || merged.is_some() {
                        let status = Status::LOOP_DETECTED;
                        self.wire.reject(flow, &request, status, "");
                        return;
                    }
                }
            }
        }
        // A request that is held. REGISTER and OPTIONS never are, and are too many to be looked up.
        if !matches!(
            request.method,
            Method::Invite | Method::Register | Method::Options
        ) && let Some(key) = ServerKey::of(&request)
            && let Some(transaction) = self.wire.transactions.server(&key)
        {
            self.wire.drive(now, transaction, Happening::Request);
            return;
        }
        if request.max_forwards() == Some(0) {
            let status = Status::TOO_MANY_HOPS;
            self.wire.reject(flow, &request, status, "");
            return;
        }
        if session_timer::is_too_short(&request) {
            let status = Status::SESSION_INTERVAL_TOO_SMALL;
            self.wire.reject(flow, &request, status, "");
            return;
        }
        let replaces = match self.replaced(&request) {
            Ok(replaces) => replaces,
            Err(Unreplaceable::Elsewhere(shard)) => {
                self.hand_off_invite(now, shard, flow, bytes, &request);
                return;
            }
            Err(Unreplaceable::Refused(status)) => {
                self.wire.reject(flow, &request, status, "");
                return;
            }
        };
        let event = Event::Request {
            request,
            flow,
            replaces,
        };
        self.wire.outputs.push_back(Output::Event(event));
    }

    fn in_dialog(&mut self, now: Instant, flow: Flow, request: Request, token: Option<Token>) {
        if let Some(transaction) =
            ServerKey::of(&request).and_then(|key| self.wire.transactions.server(&key))
        {
            self.wire.drive(now, transaction, Happening::Request);
            return;
        }
        if let Some(session) = self.session_of(&request, token) {
            self.with(now, session, |session, wire| {
                session.request(now, wire, request, flow)
            });
        } else if let Some(id) = self.subscriptions.of(&request, token) {
            self.subscription_request(now, id, &request, flow);
        } else {
            // RFC 3261 §12.2.2.
            let status = Status::CALL_DOES_NOT_EXIST;
            self.wire.reject(flow, &request, status, "");
        }
    }

    fn session_of(&self, request: &Request, token: Option<Token>) -> Option<SessionId> {
        let session = self.by_token.get(&token?)?;
        self.sessions
            .get(session)
            .is_some_and(|session| session.is_with(request))
            .then_some(*session)
    }

    /// Nothing answers an ACK; one that belongs nowhere is ignored.
    fn ack(&mut self, now: Instant, flow: Flow, request: &Request, token: Option<Token>) {
        if let Some(transaction) =
            ServerKey::of(request).and_then(|key| self.wire.transactions.server(&key))
            && self.wire.drive(now, transaction, Happening::Ack) != Told::Pass
        {
            return;
        }
        if let Some(session) = self.session_of(request, token) {
            self.with(now, session, |session, wire| {
                session.ack(now, wire, request, flow)
            });
        }
    }

    /// RFC 3261 §9.2.
    fn cancel(&mut self, now: Instant, flow: Flow, bytes: Bytes, request: &Request) {
        if let Some(transaction) =
            ServerKey::of(request).and_then(|key| self.wire.transactions.server(&key))
        {
            self.wire.drive(now, transaction, Happening::Request);
            return;
        }
        let invite = ServerKey::of_cancelled(request)
            .and_then(|key| self.wire.transactions.server(&key))
            .and_then(|id| self.wire.transactions.get(id));
        let Some(invite) = invite else {
            if let Some(shard) = self.shard_of_invite(now, request) {
                self.wire
                    .outputs
                    .push_back(Output::Handoff { shard, flow, bytes });
                return;
            }
            let status = Status::CALL_DOES_NOT_EXIST;
            self.wire.reject(flow, request, status, "");
            return;
        };
        let session = invite.user.and_then(User::session);
        let session = session.filter(|_| invite.awaits_answer());
        let mut response = request.respond(Status::OK);
        // RFC 3261 §9.2: the tag is that of the answer to the INVITE.
        if let Some(session) = session.and_then(|session| self.sessions.get(&session))
            && request.to().is_ok_and(|to| to.tag().is_none())
        {
            tag_to(&mut response, &session.token.to_string());
        }
        self.wire.serve(now, request, flow, response);
        if let Some(session) = session {
            let reason = request.headers.get(&Name::Reason).cloned();
            self.with(now, session, |session, wire| {
                session.cancel(now, wire, reason)
            });
        }
    }

    // --- responses ---

    fn response(&mut self, now: Instant, flow: Flow, bytes: Bytes, response: Response) {
        // RFC 3261 §8.1.3.3: more than our own Via is somebody else's answer.
        let Ok(Judged { via, cseq, .. }) = validate::response(&response) else {
            return;
        };
        if response.headers.values(&Name::Via).nth(1).is_some() {
            return;
        }
        let branch = via.branch();
        if let Some(branch) = &branch
            && self.pong(flow, branch, &response)
        {
            return;
        }
        let Some(branch) = branch.and_then(|branch| Token::from_branch(&branch)) else {
            return;
        };
        if branch.shard != self.wire.config.shard {
            let shard = branch.shard;
            self.wire
                .outputs
                .push_back(Output::Handoff { shard, flow, bytes });
            return;
        }
        let cancel = cseq.method == Method::Cancel;
        let Some(transaction) = self.wire.transactions.client(ClientKey { branch, cancel }) else {
            return;
        };
        let input = input_of(response.status);
        let Some(found) = self.wire.transactions.get_mut(transaction) else {
            return;
        };
        let user = found.user;
        if let Machine::ClientInvite(_, sent) = &mut found.machine {
            if cseq.method != Method::Invite {
                return;
            }
            if input == Happening::Failure && sent.refusal.is_none() {
                sent.refusal = Some(acknowledgement(&sent.request, &response));
            }
        }
        let is_invite = matches!(found.machine, Machine::ClientInvite(..));
        if self.wire.drive(now, transaction, input) != Told::Pass {
            return;
        }
        if is_invite && input == Happening::Success {
            let session = user.and_then(User::session);
            self.success(now, transaction, session, response);
            return;
        }
        match user {
            Some(User::Session(session)) => self.deliver(now, session, transaction, response),
            Some(User::Asked(id)) => self.ask_answered(now, id, response),
            Some(User::Subscription(id)) => {
                self.notify_answered(now, id, transaction, &response);
            }
            Some(User::Held(_)) | None => {}
        }
    }

    fn deliver(
        &mut self,
        now: Instant,
        session: SessionId,
        transaction: TransactionId,
        response: Response,
    ) {
        self.with(now, session, |session, wire| {
            session.answered(now, wire, transaction, response);
        });
    }

    /// A 2xx to an INVITE of ours: the first goes to the session; one that comes again gets its ACK again; one of
    /// another fork gets ACK and BYE (RFC 3261 §13.2.2.4).
    fn success(
        &mut self,
        now: Instant,
        transaction: TransactionId,
        user: Option<SessionId>,
        response: Response,
    ) {
        let tag = response.to().ok().and_then(|to| to.tag());
        let tag = tag.unwrap_or_default();
        let Some(found) = self.wire.transactions.get(transaction) else {
            return;
        };
        let Machine::ClientInvite(_, sent) = &found.machine else {
            return;
        };
        if let Some((_, flow, ack)) = sent.acks.iter().find(|(known, ..)| *known == tag) {
            let (flow, ack) = (*flow, ack.clone());
            self.wire.send(flow, ack);
            return;
        }
        if let Some((id, session)) =
            user.and_then(|id| self.sessions.get(&id).map(|session| (id, session)))
        {
            if session.awaits(transaction) {
                self.deliver(now, id, transaction, response);
                return;
            }
            if session.owes_ack(transaction, &tag) {
                return;
            }
        }
        let number = response.cseq().map_or(0, |cseq| cseq.number);
        let (flow, in_dialog) = (found.flow, sent.in_dialog);
        let Some(mut dialog) = Dialog::of_outgoing(&sent.request, &response) else {
            return;
        };
        if sent.acks.len() >= MAX_FORKS {
            return;
        }
        self.wire
            .acknowledge(flow, transaction, &dialog, number, None);
        if !in_dialog {
            self.wire.bye(now, flow, &mut dialog, Vec::new(), None);
        }
    }
}
