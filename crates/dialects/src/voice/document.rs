//! The voice documents that Plivo and Vobiz share; each hands in what differs. voice-xml.md §1.2–1.7, §4.6, §4.10, §4.11.

use std::time::Duration;

use call::{Dial, Document, Hangup, HangupReason, Redirect, Target, TargetKind, Verb};
use percent_encoding::percent_decode_str;
use roxmltree::Node;

use crate::xml::{self, Fault};

/// The largest document.
const DOCUMENT_LIMIT: usize = 100 * 1024;
/// Ring time of a Dial that says nothing.
const RING: i64 = 120;
/// Connected time of a Dial that says nothing, and the most there is.
const CONNECTED: (i64, i64) = (14_400, 86_400);
/// The longest display name.
const CALLER_NAME: usize = 50;
/// Header names that are dropped: prefixes, in any case.
const RESERVED_HEADERS: [&str; 6] = ["PH-", "PLIVO", "FS-", "SIPAUTH", "ZT-", "TWILIO"];

/// Elements that a contract has and this server does not run.
const UNBUILT: [&str; 15] = [
    "Conference",
    "DTMF",
    "Gather",
    "GetDigits",
    "GetInput",
    "Message",
    "MultiPartyCall",
    "Play",
    "PreAnswer",
    "Record",
    "Speak",
    "Stream",
    "Wait",
    "AgentHoldMusic",
    "CustomerHoldMusic",
];

/// What distinguishes one dialect's documents.
pub(crate) struct Manner {
    /// Before the name of a custom SIP header.
    pub(crate) header_prefix: &'static str,
    /// What an absent `dialMusic` means.
    pub(crate) early_media: bool,
}

/// Reads and checks a whole document.
pub(crate) fn document(body: &[u8], base: &str, manner: &Manner) -> Result<Document, Fault> {
    xml::with_response(body, DOCUMENT_LIMIT, |response| {
        let mut verbs = Vec::new();
        for (name, node) in xml::children(response) {
            match name {
                "Dial" => verbs.push(Verb::Dial(dial(node, base, manner)?)),
                "Hangup" => verbs.extend(hangup(node).map(Verb::Hangup)),
                "Redirect" => verbs.push(Verb::Redirect(redirect(node, base)?)),
                name if UNBUILT.contains(&name) => return Err(Fault::Unsupported(name.to_owned())),
                name => return Err(Fault::Unknown(name.to_owned())),
            }
        }
        Ok(Document { verbs })
    })
}

fn dial(node: Node<'_, '_>, base: &str, manner: &Manner) -> Result<Dial, Fault> {
    let mut targets = Vec::new();
    let mut has_children = false;
    for (name, child) in xml::children(node) {
        has_children = true;
        match name {
            "Number" => targets.push(target(
                child,
                TargetKind::Number(number(&xml::body(child))?),
                manner,
            )),
            "User" => match xml::body(child) {
                uri if uri.is_empty() => {
                    return Err(Fault::Invalid {
                        element: "User",
                        what: "body",
                    });
                }
                uri => targets.push(target(child, TargetKind::User(uri), manner)),
            },
            // Vobiz: records the bridge. To drop it silently would lose what the customer asked to keep.
            "Record" => return Err(Fault::Unsupported("Record inside Dial".to_owned())),
            other => tracing::debug!(element = other, "an unknown element inside Dial is ignored"),
        }
    }
    // Vobiz: one bare number as text.
    let bare = xml::body(node);
    if !has_children && !bare.is_empty() {
        let kind = TargetKind::Number(number(&bare)?);
        targets.push(Target {
            kind,
            caller_id: None,
            caller_name: None,
            sip_headers: Vec::new(),
        });
    }
    for unbuilt in [
        "confirmSound",
        "confirmKey",
        "digitsMatch",
        "digitsMatchBLeg",
        "hangupOnStar",
    ] {
        if xml::attribute(node, unbuilt).is_some_and(|value| value != "false") {
            tracing::warn!(
                attribute = unbuilt,
                "an attribute of Dial is not supported and is ignored"
            );
        }
    }
    let timeout = xml::integer(node, "timeout").unwrap_or(RING);
    if timeout <= 0 {
        return Err(Fault::Invalid {
            element: "Dial",
            what: "timeout",
        });
    }
    let time_limit = match xml::integer(node, "timeLimit") {
        Some(seconds) if seconds > 0 => seconds.min(CONNECTED.1),
        _ => CONNECTED.0,
    };
    let action_method = xml::method(node, "Dial", "method")?;
    let callback_method = xml::method(node, "Dial", "callbackMethod")?;
    Ok(Dial {
        targets,
        timeout: seconds(timeout),
        time_limit: seconds(time_limit),
        caller_id: caller_id(node),
        caller_name: caller_name(node),
        action: xml::attribute(node, "action").map(|url| xml::link(base, url, action_method)),
        redirect: xml::flag(node, "redirect", true),
        callback: xml::attribute(node, "callbackUrl")
            .map(|url| xml::link(base, url, callback_method)),
        sip_headers: sip_headers(
            xml::attribute(node, "sipHeaders").unwrap_or_default(),
            manner.header_prefix,
        ),
        early_media: xml::attribute(node, "dialMusic")
            .map_or(manner.early_media, |music| music.trim() == "real"),
        direct: false,
    })
}

fn target(node: Node<'_, '_>, kind: TargetKind, manner: &Manner) -> Target {
    Target {
        kind,
        caller_id: caller_id(node),
        caller_name: caller_name(node),
        sip_headers: sip_headers(
            xml::attribute(node, "sipHeaders").unwrap_or_default(),
            manner.header_prefix,
        ),
    }
}

/// What follows a comma or a bar is cut.
fn number(body: &str) -> Result<String, Fault> {
    match body.split([',', '|']).next().map(str::trim) {
        Some(number) if !number.is_empty() => Ok(number.to_owned()),
        _ => Err(Fault::Invalid {
            element: "Number",
            what: "body",
        }),
    }
}

fn caller_id(node: Node<'_, '_>) -> Option<String> {
    xml::attribute(node, "callerId").map(|value| value.trim().to_owned())
}

fn caller_name(node: Node<'_, '_>) -> Option<String> {
    xml::attribute(node, "callerName").map(|value| value.trim().chars().take(CALLER_NAME).collect())
}

/// Reads `k=v,k2=v2`. A name that is no token, or a value that would break the header, is dropped.
fn sip_headers(list: &str, prefix: &str) -> Vec<(String, String)> {
    list.split(',')
        .filter_map(|pair| pair.split_once('='))
        .filter_map(|(name, value)| {
            let name = name.trim();
            let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
            let plain = !name.is_empty()
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
            let upper = name.to_ascii_uppercase();
            let reserved = RESERVED_HEADERS
                .iter()
                .any(|start| upper.starts_with(start))
                || name == "ClientRegion";
            (plain && !reserved && !value.chars().any(char::is_control))
                .then(|| (format!("{prefix}{name}"), value.into_owned()))
        })
        .collect()
}

/// A `schedule` that is no number drops the element (voice-xml.md §4.11).
fn hangup(node: Node<'_, '_>) -> Option<Hangup> {
    let schedule = match xml::attribute(node, "schedule") {
        None => None,
        Some(value) => Some(value.trim().parse::<i64>().ok()?).filter(|after| *after > 0),
    };
    let reason = match xml::attribute(node, "reason").map(str::trim) {
        Some(reason) if reason.eq_ignore_ascii_case("rejected") => Some(HangupReason::Rejected),
        Some(reason) if reason.eq_ignore_ascii_case("busy") => Some(HangupReason::Busy),
        _ => None,
    };
    Some(Hangup {
        reason,
        schedule: schedule.map(seconds),
    })
}

fn redirect(node: Node<'_, '_>, base: &str) -> Result<Redirect, Fault> {
    let method = xml::method(node, "Redirect", "method")?;
    match xml::body(node) {
        url if url.is_empty() => Err(Fault::Invalid {
            element: "Redirect",
            what: "body",
        }),
        url => Ok(Redirect {
            link: xml::link(base, &url, method),
        }),
    }
}

fn seconds(count: i64) -> Duration {
    Duration::from_secs(count.clamp(0, CONNECTED.1).unsigned_abs())
}
