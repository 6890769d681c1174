//! `reg`: the bindings of an address of record, RFC 3680. The first document after a SUBSCRIBE tells the full state, the ones
//! that follow what has changed since the last.

use std::fmt::Write as _;

use bytes::Bytes;
use jiff::Timestamp;
use store::{Binding, Id};

use crate::events::document::{Escaped, PROLOGUE};

/// A contact as a watcher was told of it last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Told {
    /// Its id in the documents.
    id: String,
    contact: String,
    call_id: String,
    cseq: u32,
    expires_at: Timestamp,
    q: u16,
}

impl Told {
    fn of(binding: &Binding) -> Self {
        Self {
            id: identity(binding),
            contact: binding.contact.clone(),
            call_id: binding.call_id.clone(),
            cseq: binding.cseq,
            expires_at: binding.expires_at,
            q: binding.q,
        }
    }
}

/// What a watcher is told from here on: at most as many as an address of record may have bindings.
pub(super) fn told(bindings: &[Binding]) -> Box<[Told]> {
    bindings.iter().map(Told::of).collect()
}

/// Writes the document of an address of record: of all its contacts, or of those that `before` tells otherwise.
pub(super) fn document(
    address: &str,
    endpoint: Id,
    version: u32,
    bindings: &[Binding],
    before: Option<&[Told]>,
    now: Timestamp,
) -> Bytes {
    // RFC 3680 §4.1: without a binding the registration is in its first state or terminated; the table does not tell
    // whether there ever was one.
    let state = if bindings.is_empty() {
        "terminated"
    } else {
        "active"
    };
    let extent = match before {
        Some(_) => "partial",
        None => "full",
    };
    let mut text = String::from(PROLOGUE);
    let _ = write!(
        text,
        "<reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"{version}\" state=\"{extent}\">\r\n\
         <registration aor=\"{}\" id=\"e{endpoint}\" state=\"{state}\">\r\n",
        Escaped(address)
    );
    let before = before.unwrap_or_default();
    for binding in bindings {
        let told = Told::of(binding);
        let event = match before.iter().find(|other| other.id == told.id) {
            Some(other) if *other == told => continue,
            // RFC 3680 §5.3: a refresh that ends it sooner is told apart from one that prolongs it.
            Some(other) if told.expires_at < other.expires_at => "shortened",
            Some(_) => "refreshed",
            None => "registered",
        };
        contact(&mut text, binding, event, now);
    }
    for gone in before {
        if !bindings.iter().any(|binding| identity(binding) == gone.id) {
            terminated(&mut text, gone, now);
        }
    }
    text.push_str("</registration>\r\n</reginfo>\r\n");
    Bytes::from(text)
}

/// RFC 3680 §5.3.
fn contact(text: &mut String, binding: &Binding, event: &str, now: Timestamp) {
    let left = binding.expires_at.duration_since(now).as_secs().max(0);
    let lasts = now.duration_since(binding.logged_in).as_secs().max(0);
    let _ = write!(
        text,
        "<contact id=\"{}\" state=\"active\" event=\"{event}\" duration-registered=\"{lasts}\" expires=\"{left}\" \
         q=\"{}.{:03}\" callid=\"{}\" cseq=\"{}\"><uri>{}</uri>",
        identity(binding),
        binding.q / 1000,
        binding.q % 1000,
        Escaped(&binding.call_id),
        binding.cseq,
        Escaped(&binding.contact),
    );
    if let Some(instance) = &binding.instance {
        let _ = write!(
            text,
            "<unknown-param name=\"+sip.instance\">&quot;{}&quot;</unknown-param>",
            Escaped(instance)
        );
    }
    text.push_str("</contact>\r\n");
}

/// A contact that is there no more: its time is over, or somebody took it away.
fn terminated(text: &mut String, gone: &Told, now: Timestamp) {
    let event = match gone.expires_at <= now {
        true => "expired",
        false => "unregistered",
    };
    let _ = write!(
        text,
        "<contact id=\"{}\" state=\"terminated\" event=\"{event}\" callid=\"{}\" cseq=\"{}\"><uri>{}</uri></contact>\r\n",
        gone.id,
        Escaped(&gone.call_id),
        gone.cseq,
        Escaped(&gone.contact),
    );
}

/// The same contact has the same id in every document (RFC 3680 §5.3).
fn identity(binding: &Binding) -> String {
    use md5::Digest as _;
    let mut hash = md5::Md5::new();
    hash.update(binding.key.as_bytes());
    let mut id = hex::encode(hash.finalize());
    id.truncate(16);
    format!("c{id}")
}
