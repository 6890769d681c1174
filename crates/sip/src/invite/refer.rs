//! The implicit subscription of a REFER, both sides of it: RFC 3515 §2.4.4 to §2.4.7, RFC 6665 §4.

use std::time::Instant;

use bytes::Bytes;

use crate::dialog::Dialog;
use crate::invite::Session;
use crate::stack::wire::Wire;
use crate::stack::{RequestId, SessionEvent};
use crate::{Flow, Headers, Method, Name, Request, Status, Text};

/// REFERs of one session whose progress is told at once; of more, the oldest is forgotten.
const MAX_REFERS: usize = 8;
/// How long the other side may expect to be told, in seconds; the session's end ends it too.
const EXPIRES: u32 = 300;

/// How far a referred request has come.
pub(super) struct Progress {
    status: Status,
    reason: Option<Text>,
    state: State,
}

/// What a NOTIFY says of its subscription (RFC 6665 §4.1.3).
enum State {
    Active,
    /// With the value of Subscription-State.
    Over(&'static str),
}

impl Progress {
    /// A final status is the last word.
    pub(super) fn of(status: Status, reason: Option<Text>) -> Self {
        let state = match status.is_final() {
            true => State::Over("terminated;reason=noresource"),
            false => State::Active,
        };
        Self {
            status,
            reason,
            state,
        }
    }
}

/// REFERs whose progress is told: theirs to them, or ours to us.
#[derive(Default, Debug)]
pub(super) struct Refers(Vec<Open>);

#[derive(Debug)]
struct Open {
    refer: RequestId,
    /// Sequence number of the REFER: its name on the wire.
    number: u32,
}

impl Refers {
    pub(super) fn open(&mut self, refer: RequestId, number: u32) {
        if self.0.len() >= MAX_REFERS {
            self.0.remove(0);
        }
        self.0.push(Open { refer, number });
    }

    pub(super) fn close(&mut self, refer: RequestId) {
        self.0.retain(|open| open.refer != refer);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn number(&self, refer: RequestId) -> Option<u32> {
        let open = self.0.iter().find(|open| open.refer == refer)?;
        Some(open.number)
    }

    /// Finds the REFER that an Event header means (RFC 3515 §2.4.6): without an id, the first.
    fn named(&self, event: &str) -> Option<RequestId> {
        match id_of(event) {
            Some(id) => self.0.iter().find(|open| open.number == id),
            None => self.0.first(),
        }
        .map(|open| open.refer)
    }
}

impl Session {
    /// Sends the NOTIFY of a REFER's implicit subscription, if there is one. The last word ends it.
    pub(super) fn notify(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        dialog: &mut Dialog,
        refer: RequestId,
        progress: Progress,
    ) {
        let Some(number) = self.asides.subscriptions.number(refer) else {
            return;
        };
        if !self.may_send(wire) {
            return;
        }
        let Progress {
            status,
            reason,
            state,
        } = progress;
        let state = match state {
            State::Active => format!("active;expires={EXPIRES}").into(),
            State::Over(why) => {
                self.asides.subscriptions.close(refer);
                Text::from_static(why)
            }
        };
        let reason = reason.unwrap_or_else(|| Text::from_static(status.reason()));
        let mut request = dialog.request(Method::Notify);
        let headers = &mut request.headers;
        headers.push(Name::Contact, self.contact(wire));
        // RFC 3515 §2.4.6: the id tells several REFERs of one dialog apart.
        headers.push(Name::Event, format!("refer;id={number}"));
        headers.push(Name::SubscriptionState, state);
        let kind = Text::from_static("message/sipfrag;version=2.0");
        headers.push(Name::ContentType, kind);
        request.body = format!("SIP/2.0 {status} {reason}\r\n").into();
        self.send_notify(now, wire, request, refer);
    }

    /// A NOTIFY inside the dialog.
    pub(super) fn notified(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        request: &Request,
        flow: Flow,
    ) {
        let refer = match refer_event(&request.headers) {
            Some(event) => self.asides.referrals.named(event),
            None => {
                // RFC 6665 §4.1.3 knows subscriptions only; nobody here has any other.
                wire.serve(now, request, flow, request.respond(Status::BAD_EVENT));
                return;
            }
        };
        let Some(refer) = refer else {
            let status = Status::CALL_DOES_NOT_EXIST;
            wire.serve(now, request, flow, request.respond(status));
            return;
        };
        wire.serve(now, request, flow, request.respond(Status::OK));
        let state = request.headers.get(&Name::SubscriptionState);
        let last = state.is_some_and(|state| {
            let state = state.split(';').next().unwrap_or_default();
            state.trim().eq_ignore_ascii_case("terminated")
        });
        if last {
            self.asides.referrals.close(refer);
        }
        let status = fragment(&request.body);
        self.tell(
            wire,
            SessionEvent::Notified {
                refer,
                status,
                last,
            },
        );
    }

    /// A SUBSCRIBE inside the dialog: it prolongs or ends what a REFER began (RFC 3515 §2.4.4).
    pub(super) fn subscribed(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        dialog: &mut Dialog,
        request: &Request,
        flow: Flow,
    ) {
        let Some(event) = refer_event(&request.headers) else {
            wire.serve(now, request, flow, request.respond(Status::BAD_EVENT));
            return;
        };
        let Some(refer) = self.asides.subscriptions.named(event) else {
            let status = Status::CALL_DOES_NOT_EXIST;
            wire.serve(now, request, flow, request.respond(status));
            return;
        };
        let expires = request.expires().unwrap_or(EXPIRES).min(EXPIRES);
        let mut response = request.respond(Status::OK);
        response.headers.push(Name::Contact, self.contact(wire));
        response.headers.push(Name::Expires, expires.to_string());
        wire.serve(now, request, flow, response);
        let mut progress = Progress::of(Status::TRYING, None);
        if expires == 0 {
            progress.state = State::Over("terminated;reason=timeout");
        }
        self.notify(now, wire, dialog, refer, progress);
    }
}

/// Gives the Event header when it is that of a REFER.
fn refer_event(headers: &Headers) -> Option<&Text> {
    headers.get(&Name::Event).filter(|event| {
        let package = event.split(';').next().unwrap_or_default();
        package.trim().eq_ignore_ascii_case("refer")
    })
}

fn id_of(event: &str) -> Option<u32> {
    let mut params = event.split(';').skip(1);
    params.find_map(|param| {
        let (name, value) = param.split_once('=')?;
        let is_id = name.trim().eq_ignore_ascii_case("id");
        is_id.then(|| value.trim().parse().ok()).flatten()
    })
}

/// Reads the status line of a message/sipfrag (RFC 3420 §2.1).
fn fragment(body: &Bytes) -> Option<Status> {
    let code = body.strip_prefix(b"SIP/2.0 ")?.get(..3)?;
    let code: u16 = std::str::from_utf8(code).ok()?.parse().ok()?;
    (100..=699).contains(&code).then_some(Status(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_begins_with_a_status_line() {
        assert_eq!(
            fragment(&"SIP/2.0 180 Ringing\r\n".into()),
            Some(Status(180))
        );
        for bad in ["", "SIP/2.0 18", "SIP/2.0 999 x", "INVITE sip:a@b SIP/2.0"] {
            assert_eq!(fragment(&bad.into()), None, "{bad}");
        }
    }

    #[test]
    fn a_notify_names_its_refer_by_sequence_number() {
        let mut refers = Refers::default();
        refers.open(RequestId(1), 7);
        refers.open(RequestId(2), 9);
        assert_eq!(refers.named("refer;id=9"), Some(RequestId(2)));
        assert_eq!(refers.named("refer ; ID = 8"), None);
        assert_eq!(refers.named("refer"), Some(RequestId(1)));
        refers.close(RequestId(1));
        assert_eq!(refers.named("refer"), Some(RequestId(2)));
        assert_eq!(refers.number(RequestId(1)), None);
    }
}
