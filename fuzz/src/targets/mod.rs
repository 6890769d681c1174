//! The targets. Each is a function that panics when something holds no longer.

mod call;
mod differential;
mod digest;
mod document;
mod framing;
mod headers;
mod journal;
mod message;
mod plane;
mod proxy;
mod sdp;
mod stack;
mod stun;
mod subscription;
mod uri;

use bytes::Bytes;

/// A target.
#[derive(Debug)]
pub struct Target {
    /// Its name, and that of its corpus folder.
    pub name: &'static str,
    /// Runs one input and tells which way it took.
    pub run: fn(&[u8]) -> u64,
}

/// All targets: parsers first, then machines.
pub const ALL: &[Target] = &[
    Target {
        name: "message",
        run: message::run,
    },
    Target {
        name: "differential",
        run: differential::run,
    },
    Target {
        name: "framing",
        run: framing::run,
    },
    Target {
        name: "uri",
        run: uri::run,
    },
    Target {
        name: "headers",
        run: headers::run,
    },
    Target {
        name: "digest",
        run: digest::run,
    },
    Target {
        name: "sdp",
        run: sdp::run,
    },
    Target {
        name: "document",
        run: document::run,
    },
    Target {
        name: "stun",
        run: stun::run,
    },
    Target {
        name: "proxy",
        run: proxy::run,
    },
    Target {
        name: "journal",
        run: journal::run,
    },
    Target {
        name: "stack",
        run: stack::run,
    },
    Target {
        name: "subscription",
        run: subscription::run,
    },
    Target {
        name: "plane",
        run: plane::run,
    },
    Target {
        name: "call",
        run: call::run,
    },
];

/// Takes an operation's text: up to the next zero octet.
fn take(rest: &mut &[u8]) -> Bytes {
    let end = rest
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(rest.len());
    let (taken, after) = rest.split_at(end);
    *rest = after.get(1..).unwrap_or_default();
    Bytes::copy_from_slice(taken)
}
