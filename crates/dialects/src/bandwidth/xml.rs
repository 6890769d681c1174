//! BXML: bandwidth-v1.md §7.4.

use std::time::Duration;

use call::{Dial, Document, Hangup, HttpMethod, Redirect, Target, TargetKind, Verb};
use roxmltree::Node;

use crate::xml::{self, Fault};

/// The largest document.
const DOCUMENT_LIMIT: usize = 16 * 1024;
/// Ring time of a Transfer that says nothing, and the most there is, in seconds.
const CALL_TIMEOUT: (i64, i64) = (60, 300);
/// How many numbers ring at once.
const PHONE_NUMBERS: usize = 7;
/// No limit is published. Undocumented; chosen: a day.
const TIME_LIMIT: Duration = Duration::from_secs(86_400);

const UNBUILT: [&str; 6] = [
    "Gather",
    "Pause",
    "PlayAudio",
    "Record",
    "SendDtmf",
    "SpeakSentence",
];

/// Reads a document that was fetched from `base`.
pub(crate) fn document(body: &[u8], base: &str) -> Result<Document, Fault> {
    xml::with_response(body, DOCUMENT_LIMIT, |response| {
        let mut verbs = Vec::new();
        for (name, node) in xml::children(response) {
            match name {
                "Transfer" => verbs.push(Verb::Dial(transfer(node, base)?)),
                "Hangup" => verbs.push(Verb::Hangup(Hangup {
                    reason: None,
                    schedule: None,
                })),
                "Redirect" => match xml::attribute(node, "requestUrl") {
                    // Follow-up requests are GET.
                    Some(url) => verbs.push(Verb::Redirect(Redirect {
                        link: xml::link(base, url, HttpMethod::Get),
                    })),
                    None => {
                        return Err(Fault::Invalid {
                            element: "Redirect",
                            what: "requestUrl",
                        });
                    }
                },
                name if UNBUILT.contains(&name) => return Err(Fault::Unsupported(name.to_owned())),
                name => return Err(Fault::Unknown(name.to_owned())),
            }
        }
        Ok(Document { verbs })
    })
}

fn transfer(node: Node<'_, '_>, base: &str) -> Result<Dial, Fault> {
    let mut targets: Vec<Target> = xml::attribute(node, "transferTo")
        .map(target)
        .into_iter()
        .collect();
    for (name, child) in xml::children(node) {
        match name {
            "PhoneNumber" => match xml::body(child) {
                number if number.is_empty() => {
                    return Err(Fault::Invalid {
                        element: "PhoneNumber",
                        what: "body",
                    });
                }
                number => targets.push(target(&number)),
            },
            name if UNBUILT.contains(&name) => {
                return Err(Fault::Unsupported(format!("{name} inside Transfer")));
            }
            other => tracing::debug!(
                element = other,
                "an unknown element inside Transfer is ignored"
            ),
        }
    }
    if targets.is_empty() {
        return Err(Fault::Invalid {
            element: "Transfer",
            what: "transferTo",
        });
    }
    if targets.len() > PHONE_NUMBERS {
        return Err(Fault::Invalid {
            element: "Transfer",
            what: "PhoneNumber",
        });
    }
    let timeout = match xml::integer(node, "callTimeout") {
        Some(seconds) if seconds > 0 => seconds.min(CALL_TIMEOUT.1),
        _ => CALL_TIMEOUT.0,
    };
    Ok(Dial {
        targets,
        timeout: Duration::from_secs(timeout.unsigned_abs()),
        time_limit: TIME_LIMIT,
        caller_id: xml::attribute(node, "transferCallerId").map(caller_id),
        caller_name: None,
        action: xml::attribute(node, "requestUrl").map(|url| xml::link(base, url, HttpMethod::Get)),
        redirect: true,
        callback: None,
        sip_headers: Vec::new(),
        early_media: true,
        direct: false,
    })
}

/// `private` hides the caller, as in a transfer over REST (bandwidth-v1.md §6).
fn caller_id(value: &str) -> String {
    if value == "private" {
        "none".to_owned()
    } else {
        value.to_owned()
    }
}

fn target(to: &str) -> Target {
    let to = to.trim();
    let is_uri = to
        .get(..4)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("sip:"))
        || to.contains('@');
    let kind = match is_uri {
        true if to.contains(':') => TargetKind::User(to.to_owned()),
        true => TargetKind::User(format!("sip:{to}")),
        false => TargetKind::Number(to.to_owned()),
    };
    Target {
        kind,
        caller_id: None,
        caller_name: None,
        sip_headers: Vec::new(),
    }
}
