//! `message-summary`: waiting messages, RFC 3842. The platform keeps no messages of its own: what a mailbox published is
//! told as it stands, and without it there are none.

use bytes::Bytes;

/// Says that nothing waits (RFC 3842 §5.2).
pub(super) fn document(address: &str) -> Bytes {
    // An address of record has no control characters: the directory refuses them.
    Bytes::from(format!(
        "Messages-Waiting: no\r\nMessage-Account: {address}\r\nVoice-Message: 0/0 (0/0)\r\n"
    ))
}
