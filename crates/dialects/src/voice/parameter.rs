//! Parameters of callbacks and their words: plivo-rest.md §14.3, §14.4, §15; vobiz-rest.md §8.2; voice-xml.md §4.6.

use call::{About, CallStatus, Cdr, DialAction, DialStatus, DialSummary, Direction, HangupSource};
use jiff::Timestamp;
use offhook_core::{AccountFacts, RegistrationEvent, TrunkEvent};

/// Form fields: name, value.
pub(crate) type Parameters = Vec<(String, String)>;

/// Adds a parameter.
pub(crate) fn put(to: &mut Parameters, name: &str, value: impl ToString) {
    to.push((name.to_owned(), value.to_string()));
}

/// What happened to a registration, sorted by name bytewise: an event of ours in the vendors' style.
pub(crate) fn registration_event(account: &AccountFacts, event: &RegistrationEvent) -> Parameters {
    let mut parameters = Parameters::new();
    let to = &mut parameters;
    put(to, "Event", "Registration");
    put(to, "RegistrationEvent", event.kind.name());
    put(to, "AuthID", &account.auth_id);
    put(to, "ParentAuthID", &account.main_auth_id);
    put(to, "EndpointID", event.endpoint);
    put(to, "Username", &event.user);
    put(to, "SIPURI", format!("sip:{}@{}", event.user, event.domain));
    put(to, "SIPSourceIP", event.source.ip());
    put(to, "SIPSourcePort", event.source.port());
    put(to, "Transport", event.transport.name());
    put(to, "UserAgent", &event.user_agent);
    put(to, "Timestamp", microseconds(event.at));
    if let Some(registration) = &event.registration {
        put(to, "RegistrationID", registration);
    }
    if let Some(contact) = &event.contact {
        put(to, "Contact", contact);
    }
    if let Some(expires) = event.expires_at {
        put(to, "ExpiresAt", microseconds(expires));
    }
    if let Some(reason) = event.reason {
        put(to, "Reason", reason.name());
    }
    parameters.sort();
    parameters
}

/// What happened to a trunk, sorted like the rest.
pub(crate) fn trunk_event(account: &AccountFacts, event: &TrunkEvent) -> Parameters {
    let mut parameters = Parameters::new();
    let to = &mut parameters;
    put(to, "Event", "Trunk");
    put(to, "TrunkEvent", event.kind.name());
    put(to, "AuthID", &account.auth_id);
    put(to, "ParentAuthID", &account.main_auth_id);
    put(to, "TrunkID", &event.public_id);
    put(to, "TrunkName", &event.name);
    put(to, "Timestamp", microseconds(event.at));
    if let Some(reason) = &event.reason {
        put(to, "Reason", reason);
    }
    parameters.sort();
    parameters
}

/// What a Dial that is over says to its `action`.
pub(crate) fn dial_ended(to: &mut Parameters, about: &About, summary: &DialSummary) {
    put(to, "DialStatus", dial_status(summary.status));
    put(to, "DialRingStatus", summary.rang);
    put(to, "DialHangupCause", summary.cause.switch_name());
    put(to, "DialALegUUID", about.a_leg);
    // Empty when no leg was made or none answered.
    let b_leg = summary.b_leg.map(|uuid| uuid.to_string());
    put(to, "DialBLegUUID", b_leg.unwrap_or_default());
}

/// What the transfer URL is told; the names are chosen, no vendor documents them.
pub(crate) fn transfer(to: &mut Parameters, refer_to: &str, by_caller: bool) {
    put(to, "ReferTo", refer_to);
    put(to, "TransferredBy", if by_caller { "aleg" } else { "bleg" });
}

/// What a leg that is over says, but for its amounts.
pub(crate) fn ended(to: &mut Parameters, cdr: &Cdr, platform: &'static str) {
    put(to, "Duration", cdr.duration.as_secs());
    put(to, "BillDuration", cdr.billed_seconds);
    put(to, "HangupCause", cdr.cause.switch_name());
    put(to, "HangupCauseName", cdr.cause.name());
    put(to, "HangupCauseCode", cdr.cause.code());
    put(
        to,
        "HangupSource",
        source_name(source(cdr.source), platform),
    );
    times(to, cdr);
}

/// The same of a leg that a Dial made.
pub(crate) fn dial_leg_ended(to: &mut Parameters, cdr: &Cdr, platform: &'static str) {
    put(to, "DialBLegDuration", cdr.duration.as_secs());
    put(to, "DialBLegBillDuration", cdr.billed_seconds);
    put(to, "DialBLegHangupCause", cdr.cause.switch_name());
    put(to, "DialBLegHangupCauseName", cdr.cause.name());
    put(to, "DialBLegHangupCauseCode", cdr.cause.code());
    put(
        to,
        "DialBLegHangupSource",
        source_name(source(cdr.source), platform),
    );
}

/// When a leg began, was answered (absent if it was not) and ended.
pub(crate) fn times(to: &mut Parameters, cdr: &Cdr) {
    put(to, "StartTime", seconds(cdr.leg.started));
    if let Some(answered) = cdr.leg.answered {
        put(to, "AnswerTime", seconds(answered));
    }
    put(to, "EndTime", seconds(cdr.ended));
}

/// `2026-02-03 09:30:00.123456`, UTC.
pub(crate) fn microseconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S%.6f").to_string()
}

fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// The word for who started a leg.
pub(crate) fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    }
}

/// The word for the state of a call.
pub(crate) fn call_status(status: CallStatus) -> &'static str {
    match status {
        CallStatus::Ringing => "ringing",
        CallStatus::InProgress => "in-progress",
        CallStatus::Completed => "completed",
        CallStatus::Busy => "busy",
        CallStatus::Failed => "failed",
        CallStatus::Timeout => "timeout",
        CallStatus::NoAnswer => "no-answer",
        CallStatus::Cancel => "cancel",
    }
}

fn dial_status(status: DialStatus) -> &'static str {
    match status {
        DialStatus::Completed => "completed",
        DialStatus::Busy => "busy",
        DialStatus::Failed => "failed",
        DialStatus::Cancel => "cancel",
        DialStatus::Timeout => "timeout",
        DialStatus::NoAnswer => "no-answer",
    }
}

/// The word for what happened to a leg that a Dial made.
pub(crate) fn dial_action(action: DialAction) -> &'static str {
    match action {
        DialAction::Answer => "answer",
        DialAction::Connected => "connected",
        DialAction::Hangup => "hangup",
    }
}

/// Who ended a leg: the word of the core's records and the vendors'. For the platform itself each has its own name.
const SOURCES: [(&str, &str); 7] = [
    ("caller", "Caller"),
    ("callee", "Callee"),
    ("api-request", "API Request"),
    ("answer-xml", "Answer XML"),
    ("carrier", "Carrier"),
    ("error", "Error"),
    ("unknown", "Unknown"),
];
const PLATFORM: &str = "platform";

fn source(source: HangupSource) -> &'static str {
    match source {
        HangupSource::Caller => "caller",
        HangupSource::Callee => "callee",
        HangupSource::Platform => PLATFORM,
        HangupSource::ApiRequest => "api-request",
        HangupSource::AnswerXml => "answer-xml",
        HangupSource::Carrier => "carrier",
        HangupSource::Error => "error",
        HangupSource::Unknown => "unknown",
    }
}

/// Spells the word of a record.
pub(crate) fn source_name(word: &str, platform: &'static str) -> &'static str {
    if word == PLATFORM {
        return platform;
    }
    let known = SOURCES.iter().find(|(stored, _)| *stored == word);
    known.map_or("Unknown", |(_, name)| name)
}

/// Reads the vendor's word, in any case.
pub(crate) fn source_word(name: &str, platform: &str) -> Option<&'static str> {
    if name.eq_ignore_ascii_case(platform) {
        return Some(PLATFORM);
    }
    let known = SOURCES
        .iter()
        .find(|(_, vendor)| vendor.eq_ignore_ascii_case(name));
    known.map(|(word, _)| *word)
}
