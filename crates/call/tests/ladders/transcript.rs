//! How inputs and outputs of a call are written down.

use bytes::Bytes;
use call::{LegId, Occasion, Output, TargetKind, Word, leg_of};
use sip::{EndReason, InDialog, SessionEvent};

use crate::ladder::{A, CALL};

pub fn name(leg: LegId) -> String {
    if leg == A {
        "A".to_owned()
    } else {
        leg.0.to_string()
    }
}

pub fn media_name(id: media::SessionId) -> String {
    session(sip::SessionId(id.0))
}

pub fn media_session(command: &media::Command) -> Option<media::SessionId> {
    match command {
        media::Command::Offer { session, .. }
        | media::Command::Remote { session, .. }
        | media::Command::Answer { session, .. }
        | media::Command::Unbridge { session }
        | media::Command::Near { session, .. }
        | media::Command::Close { session } => Some(*session),
        media::Command::Bridge { .. } => None,
    }
}

fn text(sdp: &Option<Bytes>) -> String {
    sdp.as_ref().map_or_else(String::new, |sdp| {
        format!(", \"{}\"", String::from_utf8_lossy(sdp))
    })
}

pub fn write_output(output: &Output) -> String {
    match output {
        Output::Sip(command) => write_sip(command),
        Output::Media(command) => write_media(command),
        Output::Fetch(fetch) => {
            let tells = if fetch.wants_document {
                ""
            } else {
                ", only tells"
            };
            let (id, url, status) = (fetch.id.0, &fetch.link.url, fetch.about.status);
            format!(
                "Fetch({id}, {}, {url}, {status:?}{tells})",
                write_occasion(&fetch.occasion)
            )
        }
        Output::Locate { query, target, .. } => match target {
            TargetKind::Number(text) | TargetKind::User(text) | TargetKind::Any(text) => {
                format!("Locate({}, {text})", query.0)
            }
            TargetKind::Referred(referred) => {
                let by = if referred.by_caller { "A" } else { "B" };
                format!("Locate({}, {} for {by})", query.0, referred.to)
            }
            TargetKind::Redirected(redirected) => {
                let contacts = redirected.contacts.iter();
                let contacts = contacts.map(|(contact, q)| format!("{contact};q={q}"));
                let contacts = contacts.collect::<Vec<_>>().join(" ");
                format!("Locate({}, {contacts})", query.0)
            }
        },
        Output::Notify(notice) => {
            format!(
                "Notify({}, {}, {:?})",
                write_occasion(&notice.occasion),
                notice.link.url,
                notice.about.status
            )
        }
        Output::Record(record) => {
            let (leg, from, to) = (name(record.leg), &record.from, &record.to);
            let state = if record.answered.is_some() {
                ", answered"
            } else {
                ""
            };
            format!("Record({leg}, {from} to {to}{state})")
        }
        Output::Cdr(cdr) => {
            let (leg, code, source, status) =
                (name(cdr.leg.leg), cdr.cause.code(), cdr.source, cdr.status);
            let sip = cdr
                .sip_status
                .map_or_else(|| "no".to_owned(), |status| status.to_string());
            let (duration, billed) = (cdr.duration.as_secs_f64(), cdr.billed_seconds);
            format!(
                "Cdr({leg}, {code} {source:?}, {status:?}, {duration} s, {billed} billed, {sip})"
            )
        }
        Output::Across { to, from, word } => {
            format!(
                "Across({} to {}, {})",
                session(*from),
                session(*to),
                write_word(word)
            )
        }
        Output::Over => "Over".to_owned(),
    }
}

/// A session of this call by its leg, one of another call by both numbers.
fn session(session: sip::SessionId) -> String {
    match leg_of(session) {
        (CALL, leg) => name(leg),
        (call, leg) => format!("{}.{}", call.0, name(leg)),
    }
}

pub fn write_word(word: &Word) -> String {
    match word {
        Word::Join { replaced } => format!("Join for {}", session(*replaced)),
        Word::Joined { replaced } => format!("Joined for {}", session(*replaced)),
        Word::Declined { replaced, status } => {
            format!("Declined for {}, {status}", session(*replaced))
        }
        Word::Rings { replaced, left } => {
            format!("Rings for {}, {} s", session(*replaced), left.as_secs_f64())
        }
        Word::Refer {
            id,
            refer,
            endpoint,
            name,
        } => format!(
            "Refer {} to {} by {name}{}",
            id.0,
            refer.to.uri,
            endpoint.map_or_else(String::new, |endpoint| format!(", endpoint {}", endpoint.0))
        ),
        Word::Responded { id, status } => format!("Responded {} {status}", id.0),
        Word::Progress { id, status, .. } => format!("Progress {} {status}", id.0),
        word => format!("{word:?}"),
    }
}

fn write_sip(command: &sip::Command) -> String {
    use sip::Command::{
        Answer, Find, Hangup, Invite, Notify, Refuse, Reinvite, RequestInDialog, RespondInDialog,
        Ring,
    };
    let leg = |session: &sip::SessionId| name(leg_of(*session).1);
    let headers = |headers: &[sip::Header]| {
        headers
            .iter()
            .fold(String::new(), |text, header| format!("{text}, {header}"))
    };
    match command {
        Ring {
            session,
            status,
            sdp,
            ..
        } => format!("Ring({}, {status}{})", leg(session), text(sdp)),
        Answer { session, sdp, .. } => format!("Answer({}{})", leg(session), text(sdp)),
        Refuse {
            session,
            status,
            reason,
            headers: more,
        } => {
            let reason = reason
                .as_ref()
                .map_or_else(String::new, |reason| format!(" {reason}"));
            format!(
                "Refuse({}, {status}{reason}{})",
                leg(session),
                headers(more)
            )
        }
        Invite {
            session,
            to,
            from,
            sdp,
            headers: more,
            ..
        } => {
            format!(
                "Invite({}, {}, {from}{}{})",
                leg(session),
                to.uri,
                text(sdp),
                headers(more)
            )
        }
        Reinvite { session, sdp } => format!("Reinvite({}{})", leg(session), text(sdp)),
        RespondInDialog {
            session,
            request,
            status,
            headers: more,
            ..
        } => format!(
            "Respond({}, {}, {status}{})",
            leg(session),
            request.0,
            headers(more)
        ),
        Notify {
            session,
            refer,
            status,
            reason,
        } => {
            let reason = reason
                .as_ref()
                .map_or_else(String::new, |reason| format!(" {reason}"));
            format!("Notify({}, {}, {status}{reason})", leg(session), refer.0)
        }
        RequestInDialog {
            session,
            request,
            method,
            headers: more,
            body,
        } => format!(
            "Request({}, {}, {method}, {:?}{})",
            leg(session),
            request.0,
            String::from_utf8_lossy(body),
            headers(more)
        ),
        Find {
            session, replaces, ..
        } => format!("Find({}, {replaces})", leg(session)),
        Hangup {
            session,
            headers: more,
        } => format!("Hangup({}{})", leg(session), headers(more)),
        other => format!("{other:?}"),
    }
}

fn write_media(command: &media::Command) -> String {
    let like = |like: &Option<media::SessionId>| {
        like.map_or_else(String::new, |like| format!(" like {}", media_name(like)))
    };
    match command {
        media::Command::Offer {
            session,
            like: other,
            both_ways,
            ..
        } => {
            let talk = if *both_ways { ", to talk" } else { "" };
            format!("Offer({}{}{talk})", media_name(*session), like(other))
        }
        media::Command::Answer {
            session,
            like: other,
        } => format!("MediaAnswer({}{})", media_name(*session), like(other)),
        media::Command::Remote {
            session, kind, sdp, ..
        } => {
            format!(
                "Remote({}, {kind:?}, \"{}\")",
                media_name(*session),
                String::from_utf8_lossy(sdp)
            )
        }
        media::Command::Bridge { a, b } => {
            format!("Bridge({}, {})", media_name(*a), media_name(*b))
        }
        media::Command::Unbridge { session } => format!("Unbridge({})", media_name(*session)),
        media::Command::Near { session, near } => format!("Near({}, {near})", media_name(*session)),
        media::Command::Close { session } => format!("Close({})", media_name(*session)),
    }
}

pub fn write_media_event(event: &media::Event) -> String {
    use media::Event::{Accepted, Answered, Closed, Offered, Refused, Silent, Unavailable};
    match event {
        Offered { session, .. } => format!("Offered({})", media_name(*session)),
        Answered { session, .. } => format!("MediaAnswered({})", media_name(*session)),
        Accepted { session, .. } => format!("Accepted({})", media_name(*session)),
        Refused {
            session, status, ..
        } => format!("MediaRefused({}, {status})", media_name(*session)),
        Silent { session, for_ } => {
            format!("Silent({}, {} s)", media_name(*session), for_.as_secs())
        }
        Closed { session, .. } => format!("Closed({})", media_name(*session)),
        Unavailable { session } => format!("Unavailable({})", media_name(*session)),
    }
}

pub fn write_event(leg: LegId, event: &SessionEvent) -> String {
    let leg = name(leg);
    match event {
        SessionEvent::Ringing { status, sdp, .. } => {
            format!("Ringing({leg}, {status}{})", text(sdp))
        }
        SessionEvent::Answered { sdp, .. } => format!("Answered({leg}{})", text(sdp)),
        SessionEvent::Failed { status, .. } => format!("Failed({leg}, {status})"),
        SessionEvent::Cancelled { .. } => format!("Cancelled({leg})"),
        SessionEvent::Acknowledged { .. } => format!("Acknowledged({leg})"),
        SessionEvent::Confirmed { sdp } => format!("Confirmed({leg}{})", text(sdp)),
        SessionEvent::Offered { sdp } => format!("Reoffered({leg}{})", text(sdp)),
        SessionEvent::Reanswered { sdp } => format!("Reanswered({leg}{})", text(sdp)),
        SessionEvent::ReofferFailed { status } => format!("ReofferFailed({leg}, {status})"),
        SessionEvent::Ended {
            why: EndReason::Bye { .. },
        } => format!("Bye({leg})"),
        SessionEvent::Ended { why } => format!("Ended({leg}, {why:?})"),
        SessionEvent::Requested { id, wants, .. } => match wants {
            InDialog::Refer(refer) => format!("Refer({leg}, {}, {})", id.0, refer.to.uri),
            wants => format!("Requested({leg}, {}, {wants:?})", id.0),
        },
        SessionEvent::Responded { id, status, .. } => {
            format!("Responded({leg}, {}, {status})", id.0)
        }
        SessionEvent::Notified { status, .. } => format!("Notified({leg}, {status:?})"),
        SessionEvent::Found { replaced, .. } => {
            let replaced = replaced.map_or("none".to_owned(), |found| session(found.session));
            format!("Found({leg}, {replaced})")
        }
        SessionEvent::Moved { remote } => format!("Moved({leg}, {remote})"),
    }
}

fn write_occasion(occasion: &Occasion) -> String {
    match occasion {
        Occasion::StartApp | Occasion::Redirect => format!("{occasion:?}"),
        Occasion::Transfer { refer_to, .. } => format!("Transfer {refer_to}"),
        Occasion::DialEnded(summary) => {
            let rang = if summary.rang { ", rang" } else { "" };
            let b = summary
                .b_leg
                .map_or_else(String::new, |uuid| format!(", b {}", uuid.as_u128()));
            format!(
                "DialEnded {:?} {}{rang}{b}",
                summary.status,
                summary.cause.switch_name()
            )
        }
        Occasion::DialLeg(leg) => {
            let cause = leg
                .cdr
                .as_ref()
                .map_or_else(String::new, |cdr| format!(" {}", cdr.cause.code()));
            format!("DialLeg {:?} {}{cause}", leg.action, leg.position)
        }
        Occasion::Hangup(cdr) => format!("Hangup {}", cdr.cause.code()),
    }
}
