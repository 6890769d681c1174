//! What Vobiz tells a customer's URL: vobiz-rest.md §8.1, §8.2; voice-xml.md §1.1, §4.6.

use call::{About, Cdr, DialAction, DialLeg, Occasion};
use offhook_core::AccountFacts;

use crate::voice::parameter::{
    Parameters, call_status, dial_action, dial_ended, dial_leg_ended, direction, ended,
    microseconds, put, transfer,
};

/// The name of this platform as the source of a hang-up.
pub(crate) const PLATFORM: &str = "Vobiz";

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
            common(&mut parameters, account, about, "DialAction");
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
    for name in ["CallUUID", "RequestUUID", "ALegUUID", "ALegRequestUUID"] {
        put(to, name, about.call_uuid);
    }
    put(to, "From", &about.from);
    put(to, "To", &about.to);
    // Empty for calls from the telephone network.
    put(
        to,
        "RouteType",
        if about.from.starts_with("sip:") {
            "sip"
        } else {
            ""
        },
    );
    put(to, "Direction", direction(about.direction));
    put(to, "Event", event);
    put(to, "CallStatus", call_status(about.status));
    let name = crate::caller_name(about);
    if !name.is_empty() {
        put(to, "CallerName", name);
    }
    put(to, "ParentAuthID", &account.main_auth_id);
    put(to, "SessionStart", microseconds(about.session_start));
    put(to, "STIRVerification", "Not Applicable");
    put(to, "STIRAttestation", "Not Applicable");
}

fn dial_leg(to: &mut Parameters, about: &About, leg: &DialLeg) {
    let action = dial_action(leg.action);
    let event = match leg.action {
        DialAction::Answer => "DialAnswer",
        DialAction::Connected => "DialConnected",
        DialAction::Hangup => "DialHangup",
    };
    put(to, "Event", event);
    put(to, "CallUUID", about.call_uuid);
    put(to, "DialAction", action);
    put(to, "DialALegUUID", about.a_leg);
    put(to, "DialBLegUUID", leg.b.uuid);
    put(to, "DialBLegFrom", &leg.b.from);
    put(to, "DialBLegTo", &leg.b.to);
    put(to, "DialBLegStatus", action);
    put(to, "DialBLegPosition", leg.position);
    if let Some(cdr) = &leg.cdr {
        dial_leg_ended(to, cdr, PLATFORM);
    }
}

fn hangup(to: &mut Parameters, cdr: &Cdr) {
    ended(to, cdr, PLATFORM);
    put(to, "BillRate", "0");
    put(to, "TotalCost", "0.00000");
}
