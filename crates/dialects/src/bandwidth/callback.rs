//! Bandwidth's events: bandwidth-v1.md §7.

use call::{About, CallStatus, Cause, DialAction, Direction, Occasion};
use jiff::Timestamp;
use offhook_core::{AccountFacts, MessageFacts, RegistrationEvent, TrunkEvent};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::extension::Spelling;

/// Spells the event of a message. Undocumented; chosen: the words of the vendor's libraries, and `state` says whether a
/// phone took it.
pub(crate) fn message(account: &AccountFacts, message: &MessageFacts) -> Value {
    let mut event = Map::new();
    let id = format!("m-{}", message.uuid.simple());
    let uri = format!(
        "{}/v1/users/{}/messages/{id}",
        account.public_url, account.bandwidth_user
    );
    put(&mut event, "eventType", "sms");
    put(&mut event, "direction", "in");
    put(&mut event, "messageId", &id);
    put(&mut event, "messageUri", &uri);
    put(&mut event, "from", &message.from);
    put(&mut event, "to", &message.to);
    put(&mut event, "text", &message.text);
    if let Some(application) = &account.application {
        put(&mut event, "applicationId", &application.public_id);
    }
    put(&mut event, "time", &time(message.time));
    let state = if message.delivered {
        "received"
    } else {
        "error"
    };
    put(&mut event, "state", state);
    Value::Object(event)
}

/// Spells an event.
pub(crate) fn event(account: &AccountFacts, about: &About, occasion: &Occasion) -> Value {
    let mut event = Map::new();
    let call = call_id(about.a_leg);
    let uri = format!(
        "{}/v1/users/{}/calls/{call}",
        account.public_url, account.bandwidth_user
    );
    put(&mut event, "callId", &call);
    put(&mut event, "callUri", &uri);
    put(&mut event, "from", &about.from);
    put(&mut event, "to", &e164(&about.to));
    match occasion {
        Occasion::StartApp => {
            // BXML mode asks for the document with the event that follows the answer (§7.2, 5).
            let wants_document = account
                .application
                .as_ref()
                .is_some_and(|application| is_get(application));
            put(
                &mut event,
                "eventType",
                if wants_document {
                    "answer"
                } else {
                    "incomingcall"
                },
            );
            // `active` even while it rings.
            put(&mut event, "callState", "active");
            if !wants_document && let Some(application) = &account.application {
                put(&mut event, "applicationId", &application.public_id);
            }
            if about.direction == Direction::Inbound {
                put(&mut event, "displayName", crate::caller_name(about));
                put(&mut event, "withholdCallerName", "false");
                put(&mut event, "withholdCallerNumber", "false");
            }
            put(&mut event, "time", &time(about.session_start));
        }
        Occasion::Redirect | Occasion::Transfer { .. } => {
            put(&mut event, "eventType", "redirect");
            put(&mut event, "callState", call_state(about.status));
            put(&mut event, "time", &time(about.session_start));
        }
        Occasion::DialEnded(summary) => {
            put(&mut event, "eventType", "transferComplete");
            put(&mut event, "callState", call_state(about.status));
            put(&mut event, "cause", cause(summary.cause));
            put(&mut event, "time", &time(about.session_start));
        }
        Occasion::DialLeg(leg) => {
            let call = call_id(leg.b.uuid);
            let uri = format!(
                "{}/v1/users/{}/calls/{call}",
                account.public_url, account.bandwidth_user
            );
            put(&mut event, "callId", &call);
            put(&mut event, "callUri", &uri);
            put(&mut event, "from", &leg.b.from);
            put(&mut event, "to", &leg.b.to);
            match (leg.action, &leg.cdr) {
                (DialAction::Hangup, cdr) => {
                    put(&mut event, "eventType", "hangup");
                    put(&mut event, "callState", "completed");
                    put(
                        &mut event,
                        "cause",
                        cause(cdr.as_ref().map_or(Cause::Unknown, |cdr| cdr.cause)),
                    );
                    put(
                        &mut event,
                        "time",
                        &time(cdr.as_ref().map_or(leg.b.started, |cdr| cdr.ended)),
                    );
                }
                (DialAction::Answer | DialAction::Connected, _) => {
                    put(&mut event, "eventType", "answer");
                    put(&mut event, "callState", "active");
                    put(
                        &mut event,
                        "time",
                        &time(leg.b.answered.unwrap_or(leg.b.started)),
                    );
                }
            }
        }
        Occasion::Hangup(cdr) => {
            put(&mut event, "eventType", "hangup");
            put(&mut event, "callState", "completed");
            put(&mut event, "cause", cause(cdr.cause));
            put(&mut event, "time", &time(cdr.ended));
        }
    }
    Value::Object(event)
}

/// Spells what happened to a registration, an event of ours in the vendor's style.
pub(crate) fn registration(account: &AccountFacts, event: &RegistrationEvent) -> Value {
    let mut object = crate::extension::event::object(event, Spelling::Camel);
    put(&mut object, "eventType", "registration");
    put(&mut object, "userId", &account.bandwidth_user);
    Value::Object(object)
}

/// What happened to a trunk: an event of ours.
pub(crate) fn trunk(account: &AccountFacts, event: &TrunkEvent) -> Value {
    let mut object = crate::extension::event::of_trunk(event, Spelling::Camel);
    put(&mut object, "eventType", "trunk");
    put(&mut object, "userId", &account.bandwidth_user);
    Value::Object(object)
}

/// The number that was dialled as events show it: without visual separators, and national ones of ten digits made
/// international (bandwidth-v1.md §4, Dialled formats). What is no number stays.
fn e164(dialled: &str) -> String {
    let plain: String = dialled
        .chars()
        .filter(|c| !matches!(c, ' ' | '-' | '.' | '(' | ')'))
        .collect();
    let digits = plain.strip_prefix('+').unwrap_or(&plain);
    if digits.is_empty() || !digits.bytes().all(|octet| octet.is_ascii_digit()) {
        return dialled.to_owned();
    }
    match (plain.starts_with('+'), digits.len()) {
        (false, 10) => format!("+1{digits}"),
        (false, 11) if digits.starts_with('1') => format!("+{digits}"),
        _ => plain,
    }
}

/// Names a call: the prefix, then lower-case letters and digits (bandwidth-v1.md §1.2).
fn call_id(uuid: Uuid) -> String {
    format!("c-{}", uuid.simple())
}

fn is_get(application: &offhook_core::Application) -> bool {
    application.answer_method == offhook_core::HttpMethod::Get
}

fn put(event: &mut Map<String, Value>, name: &str, value: &str) {
    event.insert(name.to_owned(), json!(value));
}

fn time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn call_state(status: CallStatus) -> &'static str {
    match status {
        CallStatus::Ringing | CallStatus::InProgress => "active",
        _ => "completed",
    }
}

/// The seven causes that are documented; all others are an internal error.
fn cause(cause: Cause) -> &'static str {
    match cause.switch_name() {
        "NORMAL_CLEARING" | "ALLOTTED_TIMEOUT" => "NORMAL_CLEARING",
        "ORIGINATOR_CANCEL" | "LOSE_RACE" => "ORIGINATOR_CANCEL",
        "USER_BUSY" => "USER_BUSY",
        // Out of service: an endpoint that is switched off (bandwidth-v1.md §3.3).
        "CALL_REJECTED" | "OUTGOING_CALL_BARRED" | "DESTINATION_OUT_OF_ORDER" => "CALL_REJECTED",
        "UNALLOCATED_NUMBER" | "INVALID_NUMBER_FORMAT" | "NO_ROUTE_DESTINATION" => {
            "UNALLOCATED_NUMBER"
        }
        // An endpoint without a registration too (bandwidth-v1.md §3.3).
        "NO_ANSWER" | "NO_USER_RESPONSE" | "USER_NOT_REGISTERED" | "RECOVERY_ON_TIMER_EXPIRE" => {
            "NO_ANSWER"
        }
        _ => "NORMAL_TEMPORARY_FAILURE",
    }
}

#[cfg(test)]
mod tests {
    use super::e164;

    #[test]
    fn dialled_numbers_become_international() {
        for (dialled, shown) in [
            ("500-555-0123", "+15005550123"),
            ("(500) 555.0123", "+15005550123"),
            ("15005550123", "+15005550123"),
            ("+4930123456", "+4930123456"),
            ("911", "911"),
            ("sip:bob@acme.example", "sip:bob@acme.example"),
            ("front_desk", "front_desk"),
            ("", ""),
        ] {
            assert_eq!(e164(dialled), shown);
        }
    }
}
