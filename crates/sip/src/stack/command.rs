//! What the layer above asks for: RFC 3261 §8.2.7, §13.2.1, §13.3.1.

use std::time::Instant;

use crate::invite::{Call, Session};
use crate::stack::{Command, Event, Output, SessionEvent, SessionId, Stack};
use crate::transaction::key::MergeKey;
use crate::{Flow, Request, Status, Text};

impl Stack {
    pub(super) fn command(&mut self, now: Instant, command: Command) {
        match command {
            Command::Reply { flow, response } => self.wire.reply(flow, response),
            Command::Serve {
                request,
                flow,
                response,
            } => self.wire.serve(now, &request, flow, *response),
            Command::Ask { id, question } => self.ask(now, id, question),
            Command::Hold { id, request, flow } => self.hold(now, id, &request, flow),
            Command::Respond { id, response } => self.respond_held(now, id, response),
            Command::Ping(ping) => self.ping(ping),
            Command::KeepAlive { flow } => self.keep_alive(flow),
            Command::Subscribe {
                subscription,
                request,
                flow,
                terms,
                contact_user,
            } => self.subscribe(now, subscription, &request, flow, terms, contact_user),
            Command::Changed { .. } | Command::Tell { .. } | Command::Unsubscribe { .. } => {
                self.subscription_command(now, command);
            }
            Command::Accept {
                session,
                request,
                flow,
            } => self.accept(now, session, request, flow),
            Command::Invite {
                session,
                to,
                from,
                to_value,
                sdp,
                headers,
                contact_user,
                effort,
            } => {
                let call = Call {
                    to,
                    from,
                    to_value,
                    sdp,
                    headers,
                    contact_user,
                    effort,
                };
                self.invite(now, session, call);
            }
            Command::Ring { session, .. }
            | Command::Answer { session, .. }
            | Command::Refuse { session, .. }
            | Command::Acknowledge { session, .. }
            | Command::Reinvite { session, .. }
            | Command::Update { session, .. }
            | Command::RespondInDialog { session, .. }
            | Command::RequestInDialog { session, .. }
            | Command::Notify { session, .. }
            | Command::Hangup { session, .. } => {
                self.with(now, session, |session, wire| {
                    session.command(now, wire, command)
                });
            }
            Command::Follow {
                call_id,
                contact,
                flow,
            } => self.follow(now, &call_id, &contact, flow),
            Command::Find {
                session,
                request,
                replaces,
            } => {
                let replaced = self.find(&replaces);
                let event = SessionEvent::Found { request, replaced };
                self.wire.tell(session, event);
            }
        }
    }

    fn accept(&mut self, now: Instant, id: SessionId, request: Request, flow: Flow) {
        if self.has_no_room() {
            let status = Status::SERVICE_UNAVAILABLE;
            self.wire.reject(flow, &request, status, "");
            self.no_room(id);
            return;
        }
        // A number in use, or an INVITE that has its session already: the copy of it was accepted twice.
        if self.sessions.contains_key(&id) {
            return;
        }
        let merge = MergeKey::of(&request);
        let Some(transaction) = self.wire.open(&request, flow, Some(id), merge) else {
            self.no_room(id);
            return;
        };
        let trying = request.respond(Status::TRYING);
        self.wire.respond(now, transaction, trying);
        let token = self.wire.draw();
        match Session::incoming(id, token, flow, request, transaction) {
            Some(session) => self.insert(session),
            None => {
                self.wire.drop_transaction(transaction);
                self.no_room(id);
            }
        }
    }

    fn invite(&mut self, now: Instant, id: SessionId, call: Call) {
        if self.sessions.contains_key(&id) {
            return;
        }
        if self.has_no_room() {
            self.no_room(id);
            return;
        }
        let token = self.wire.draw();
        let session = Session::outgoing(now, &mut self.wire, id, token, call);
        self.insert(session);
    }

    /// Looks at every session: a phone moves seldom, and only one that talks is followed.
    fn follow(&mut self, now: Instant, call_id: &Text, contact: &Text, flow: Flow) {
        let sessions = self.sessions.values();
        let of_phone = sessions.filter(|session| session.is_of(call_id, contact));
        let ids: Vec<_> = of_phone.map(|session| session.id).collect();
        for id in ids {
            self.with(now, id, |session, wire| session.go_on(wire, flow));
        }
    }

    fn has_no_room(&self) -> bool {
        self.sessions.len() >= self.wire.config.max_sessions || self.wire.is_full()
    }

    fn no_room(&mut self, session: SessionId) {
        let event = Event::NoRoom { session };
        self.wire.outputs.push_back(Output::Event(event));
    }
}
