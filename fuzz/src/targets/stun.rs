//! STUN on a SIP port (RFC 8489 §6.3): an answer is well formed, little longer than its question, and answers nothing.

use std::net::SocketAddr;

use sip::stun;

use crate::trace::Trace;

/// What an answer may be longer than its question: an address of IPv6, and a fingerprint that the question had too.
const MORE: usize = 24;

/// The bytes are one datagram.
pub fn run(bytes: &[u8]) -> u64 {
    let mut trace = Trace::default();
    trace.note(stun::is_stun(bytes));
    for remote in ["192.0.2.7:5060", "[2001:db8::7]:5060"] {
        let remote: SocketAddr = remote.parse().expect("an address");
        let Some(answer) = stun::answer(bytes, remote) else {
            continue;
        };
        assert!(stun::is_stun(bytes) && stun::is_stun(&answer));
        assert!(answer.len() <= bytes.len() + MORE, "an amplifier");
        // RFC 8489 §6.3.3: of the same transaction, with a length that is right.
        assert_eq!(answer.get(8..20), bytes.get(8..20));
        let length = answer.get(2..4).map(|two| two.to_vec());
        assert_eq!(
            length,
            Some(((answer.len() - 20) as u16).to_be_bytes().to_vec())
        );
        assert_eq!(stun::answer(&answer, remote), None, "answers go round");
        trace.note(answer.get(..2).map(<[u8]>::to_vec));
        trace.note_size(answer.len());
    }
    trace.finish()
}
