//! What Plivo tells a customer's URL: plivo-rest.md §14.3, §14.4, §15; voice-xml.md §1.1, §4.6.

use call::{
    About, AuthKind, CallStatus, Cdr, DialAction, DialLeg, DialStatus, DialSummary, Direction,
    HangupSource, Occasion,
};
use jiff::Timestamp;
use offhook_core::AccountFacts;

type Parameters = Vec<(String, String)>;

/// Spells the parameters of an occasion, sorted by name bytewise.
pub(crate) fn parameters(account: &AccountFacts, about: &About, occasion: &Occasion) -> Parameters {
    let mut parameters: Parameters = about.headers.clone();
    match occasion {
        Occasion::StartApp => common(&mut parameters, account, about, "StartApp"),
        Occasion::Redirect => common(&mut parameters, account, about, "Redirect"),
        Occasion::DialEnded(summary) => {
            common(&mut parameters, account, about, "Redirect");
            dial_ended(&mut parameters, about, summary);
        }
        Occasion::DialLeg(leg) => dial_leg(&mut parameters, about, leg),
        Occasion::Hangup(cdr) => {
            common(&mut parameters, account, about, "Hangup");
            hangup(&mut parameters, cdr);
        }
    }
    parameters.sort();
    parameters
}

fn common(to: &mut Parameters, account: &AccountFacts, about: &About, event: &str) {
    put(to, "CallUUID", about.call_uuid);
    put(to, "From", &about.from);
    put(to, "To", &about.to);
    put(to, "CallStatus", call_status(about.status));
    put(to, "Direction", direction(about.direction));
    put(to, "Event", event);
    put(to, "BillRate", "0");
    put(to, "ParentAuthID", &account.main_auth_id);
    put(to, "SessionStart", microseconds(about.session_start));
    put(to, "STIRVerification", "Not Applicable");
    put(to, "STIRAttestation", "Not Applicable");
    match about.direction {
        Direction::Inbound => put_known(to, "CallerName", crate::caller_name(about)),
        // Equal for a call with a single destination.
        Direction::Outbound => {
            for name in ["RequestUUID", "ALegUUID", "ALegRequestUUID"] {
                put(to, name, about.call_uuid);
            }
        }
    }
    put_known(to, "SIP-H-To", &about.to_header);
    if let Some(auth) = &about.auth {
        put(to, "SIPAuthUser", &auth.user);
        // The names exist, their values were not found. Undocumented; chosen: these two words.
        put(
            to,
            "SIPAuthType",
            match auth.kind {
                AuthKind::Credentials => "credentials",
                AuthKind::Address => "ip",
            },
        );
        put(to, "SIPSourceIP", about.source_ip);
    }
}

fn dial_ended(to: &mut Parameters, about: &About, summary: &DialSummary) {
    put(to, "DialStatus", dial_status(summary.status));
    put(to, "DialRingStatus", summary.rang);
    put(to, "DialHangupCause", summary.cause.switch_name());
    put(to, "DialALegUUID", about.a_leg);
    put(
        to,
        "DialBLegUUID",
        summary
            .b_leg
            .map(|uuid| uuid.to_string())
            .unwrap_or_default(),
    );
}

fn dial_leg(to: &mut Parameters, about: &About, leg: &DialLeg) {
    let action = dial_action(leg.action);
    put(to, "CallUUID", about.call_uuid);
    put(to, "DialAction", action);
    put(to, "DialALegUUID", about.a_leg);
    put(to, "DialBLegUUID", leg.b.uuid);
    put(to, "DialBLegFrom", &leg.b.from);
    put(to, "DialBLegTo", &leg.b.to);
    put(to, "DialBLegStatus", action);
    if let Some(cdr) = &leg.cdr {
        put(to, "DialBLegDuration", cdr.duration.as_secs());
        put(to, "DialBLegBillDuration", cdr.billed_seconds);
        put(to, "DialBLegTotalCost", "0.00000");
        put(to, "DialBLegHangupCause", cdr.cause.switch_name());
        put(to, "DialBLegHangupCauseName", cdr.cause.name());
        put(to, "DialBLegHangupCauseCode", cdr.cause.code());
        put(to, "DialBLegHangupSource", hangup_source(cdr.source));
        times(to, cdr);
    }
}

fn hangup(to: &mut Parameters, cdr: &Cdr) {
    put(to, "Duration", cdr.duration.as_secs());
    put(to, "BillDuration", cdr.billed_seconds);
    put(to, "TotalCost", "0.00000");
    put(to, "HangupCause", cdr.cause.switch_name());
    put(to, "HangupCauseName", cdr.cause.name());
    put(to, "HangupCauseCode", cdr.cause.code());
    put(to, "HangupSource", hangup_source(cdr.source));
    times(to, cdr);
}

fn times(to: &mut Parameters, cdr: &Cdr) {
    put(to, "StartTime", seconds(cdr.leg.started));
    if let Some(answered) = cdr.leg.answered {
        put(to, "AnswerTime", seconds(answered));
    }
    put(to, "EndTime", seconds(cdr.ended));
}

fn put(to: &mut Parameters, name: &str, value: impl ToString) {
    to.push((name.to_owned(), value.to_string()));
}

/// Absent values are left out, not sent empty.
fn put_known(to: &mut Parameters, name: &str, value: &str) {
    if !value.is_empty() {
        put(to, name, value);
    }
}

fn microseconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S%.6f").to_string()
}

fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    }
}

fn call_status(status: CallStatus) -> &'static str {
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

fn dial_action(action: DialAction) -> &'static str {
    match action {
        DialAction::Answer => "answer",
        DialAction::Connected => "connected",
        DialAction::Hangup => "hangup",
    }
}

/// Who ended a leg: the word of the core's records and the vendor's.
const SOURCES: [(&str, &str); 8] = [
    ("caller", "Caller"),
    ("callee", "Callee"),
    ("platform", "Plivo"),
    ("api-request", "API Request"),
    ("answer-xml", "Answer XML"),
    ("carrier", "Carrier"),
    ("error", "Error"),
    ("unknown", "Unknown"),
];

fn hangup_source(source: HangupSource) -> &'static str {
    source_name(match source {
        HangupSource::Caller => "caller",
        HangupSource::Callee => "callee",
        HangupSource::Platform => "platform",
        HangupSource::ApiRequest => "api-request",
        HangupSource::AnswerXml => "answer-xml",
        HangupSource::Carrier => "carrier",
        HangupSource::Error => "error",
        HangupSource::Unknown => "unknown",
    })
}

/// Spells the word of a record.
pub(crate) fn source_name(word: &str) -> &'static str {
    SOURCES
        .iter()
        .find(|(stored, _)| *stored == word)
        .map_or("Unknown", |(_, name)| name)
}

/// Reads the vendor's word, in any case.
pub(crate) fn source_word(name: &str) -> Option<&'static str> {
    SOURCES
        .iter()
        .find(|(_, vendor)| vendor.eq_ignore_ascii_case(name))
        .map(|(word, _)| *word)
}
