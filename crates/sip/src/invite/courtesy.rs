//! Requests inside a dialog that every stage serves alike, and refusals: RFC 3261 §12.2.2, §14.2; RFC 3311, RFC 6086.

use std::time::Instant;

use crate::dialog::Dialog;
use crate::invite::{Session, sdp, session_timer};
use crate::stack::wire::{ALLOW, SUPPORTED, Wire};
use crate::transaction::layer::User;
use crate::{Flow, Method, Name, Request, Response, Status, Text};

/// Why a request inside a dialog is refused.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Refused {
    /// Its sequence number is behind (RFC 3261 §12.2.2).
    OutOfOrder,
    /// An earlier offer of the same side has no answer yet (RFC 3261 §14.2).
    Later,
    /// An offer of ours is on its way (RFC 3261 §14.2).
    Pending,
    /// There is no such dialog any more.
    Gone,
}

/// Refuses, through a transaction while there is room.
pub(super) fn refuse(
    now: Instant,
    wire: &mut Wire,
    request: &Request,
    flow: Flow,
    refused: Refused,
) {
    let status = match refused {
        Refused::OutOfOrder | Refused::Later => Status::SERVER_INTERNAL_ERROR,
        Refused::Pending => Status::REQUEST_PENDING,
        Refused::Gone => Status::CALL_DOES_NOT_EXIST,
    };
    let mut response = request.respond(status);
    if refused == Refused::Later {
        // RFC 3261 §14.2: a random number of seconds up to ten.
        let seconds = wire.draw_below(11);
        response.headers.push(Name::RetryAfter, seconds.to_string());
    }
    refuse_with(now, wire, request, flow, response);
}

fn refuse_with(now: Instant, wire: &mut Wire, request: &Request, flow: Flow, response: Response) {
    if request.method != Method::Invite {
        wire.serve(now, request, flow, response);
        return;
    }
    match wire.open(request, flow, None::<User>, None) {
        Some(transaction) => {
            wire.respond(now, transaction, response);
        }
        None => wire.reply(flow, response),
    }
}

/// What a request asks that we cannot do: RFC 3261 §8.2.2.3, RFC 4028 §9.
fn unacceptable(request: &Request) -> Option<Response> {
    let required = request.headers.values(&Name::Require);
    let unknown: Vec<Text> = required.filter(|tag| !is_supported(tag)).collect();
    if !unknown.is_empty() {
        let mut response = request.respond(Status::BAD_EXTENSION);
        for tag in unknown {
            response.headers.push(Name::Unsupported, tag);
        }
        return Some(response);
    }
    if session_timer::is_too_short(request) {
        let mut response = request.respond(Status::SESSION_INTERVAL_TOO_SMALL);
        response.headers.push(Name::MinSe, session_timer::min_se());
        return Some(response);
    }
    None
}

fn is_supported(tag: &str) -> bool {
    SUPPORTED
        .split(", ")
        .any(|known| known.eq_ignore_ascii_case(tag))
}

/// Takes the sequence number of a request, or refuses it; one that asks for what we cannot do is refused too.
pub(super) fn in_order(
    dialog: &mut Dialog,
    now: Instant,
    wire: &mut Wire,
    request: &Request,
    flow: Flow,
) -> bool {
    let taken = request.cseq().is_ok_and(|cseq| dialog.takes(&cseq));
    if !taken {
        refuse(now, wire, request, flow, Refused::OutOfOrder);
        return false;
    }
    match unacceptable(request) {
        Some(response) => {
            refuse_with(now, wire, request, flow, response);
            false
        }
        None => true,
    }
}

pub(super) fn has_sdp(request: &Request) -> bool {
    sdp(&request.headers, &request.body).is_some()
}

/// Serves what is neither INVITE nor BYE nor PRACK nor an offer.
pub(super) fn serve(
    session: &mut Session,
    dialog: &mut Dialog,
    now: Instant,
    wire: &mut Wire,
    request: Request,
    flow: Flow,
) {
    let status = match request.method {
        Method::Refer | Method::Info | Method::Message => {
            session.ask_for(now, wire, request, flow);
            return;
        }
        Method::Notify => {
            session.notified(now, wire, &request, flow);
            return;
        }
        Method::Subscribe => {
            session.subscribed(now, wire, dialog, &request, flow);
            return;
        }
        Method::Options | Method::Update => Status::OK,
        // RFC 3262 §3: it acknowledges nothing that we sent.
        Method::Prack => Status::CALL_DOES_NOT_EXIST,
        Method::Other(_) => Status::NOT_IMPLEMENTED,
        _ => Status::METHOD_NOT_ALLOWED,
    };
    let mut response = request.respond(status);
    match request.method {
        Method::Update => {
            dialog.refresh(request.contacts().ok());
            response.headers.push(Name::Contact, session.contact(wire));
            let usual = wire.config.session_interval;
            if let Some(timed) = session_timer::grant(&request, &mut response, usual) {
                session.time(now, wire, Some(timed));
            }
        }
        Method::Options => {
            response.headers.push(Name::Allow, Text::from_static(ALLOW));
            response
                .headers
                .push(Name::Accept, Text::from_static("application/sdp"));
        }
        _ if status != Status::OK => {
            response.headers.push(Name::Allow, Text::from_static(ALLOW));
        }
        _ => {}
    }
    wire.serve(now, &request, flow, response);
}
