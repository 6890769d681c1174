//! `reg`: the bindings of an address of record, RFC 3680. Every document tells the full state.

use std::fmt::Write as _;

use bytes::Bytes;
use jiff::Timestamp;
use store::{Binding, Id};

use crate::events::document::{Escaped, PROLOGUE};

/// Writes the document of an address of record.
pub(super) fn document(
    address: &str,
    endpoint: Id,
    version: u32,
    bindings: &[Binding],
    now: Timestamp,
) -> Bytes {
    // RFC 3680 §4.1: without a binding the registration is in its first state or terminated; the table does not tell
    // whether there ever was one.
    let state = if bindings.is_empty() {
        "terminated"
    } else {
        "active"
    };
    let mut text = String::from(PROLOGUE);
    let _ = write!(
        text,
        "<reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"{version}\" state=\"full\">\r\n\
         <registration aor=\"{}\" id=\"e{endpoint}\" state=\"{state}\">\r\n",
        Escaped(address)
    );
    for binding in bindings {
        contact(&mut text, binding, now);
    }
    text.push_str("</registration>\r\n</reginfo>\r\n");
    Bytes::from(text)
}

/// RFC 3680 §5.3.
fn contact(text: &mut String, binding: &Binding, now: Timestamp) {
    let left = binding.expires_at.duration_since(now).as_secs().max(0);
    let lasts = now.duration_since(binding.logged_in).as_secs().max(0);
    let _ = write!(
        text,
        "<contact id=\"{}\" state=\"active\" event=\"registered\" duration-registered=\"{lasts}\" expires=\"{left}\" \
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

/// The same contact has the same id in every document (RFC 3680 §5.3).
fn identity(binding: &Binding) -> String {
    use md5::Digest as _;
    let mut hash = md5::Md5::new();
    hash.update(binding.key.as_bytes());
    let mut id = hex::encode(hash.finalize());
    id.truncate(16);
    format!("c{id}")
}
