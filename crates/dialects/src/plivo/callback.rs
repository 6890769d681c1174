//! What Plivo tells a customer's URL: plivo-rest.md §14.3, §14.4, §15; voice-xml.md §1.1, §4.6.

use call::{About, AuthKind, Cdr, DialLeg, Direction, Occasion};
use offhook_core::AccountFacts;

use crate::voice::parameter::{
    Parameters, call_status, dial_action, dial_ended, dial_leg_ended, direction, ended,
    microseconds, put, times, transfer,
};

/// The name of this platform as the source of a hang-up.
pub(crate) const PLATFORM: &str = "Plivo";

/// Spells the parameters of an occasion, sorted by name bytewise.
pub(crate) fn parameters(account: &AccountFacts, about: &About, occasion: &Occasion) -> Parameters {
    let mut parameters: Parameters = about.headers.clone();
    match occasion {
        Occasion::StartApp => common(&mut parameters, account, about, "StartApp"),
        Occasion::Redirect => common(&mut parameters, account, about, "Redirect"),
        Occasion::Transfer {
            refer_to,
            by_caller,
        } => {
            common(&mut parameters, account, about, "Redirect");
            transfer(&mut parameters, refer_to, *by_caller);
        }
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
        dial_leg_ended(to, cdr, PLATFORM);
        put(to, "DialBLegTotalCost", "0.00000");
        times(to, cdr);
    }
}

fn hangup(to: &mut Parameters, cdr: &Cdr) {
    ended(to, cdr, PLATFORM);
    put(to, "TotalCost", "0.00000");
}

/// Absent values are left out, not sent empty.
fn put_known(to: &mut Parameters, name: &str, value: &str) {
    if !value.is_empty() {
        put(to, name, value);
    }
}
