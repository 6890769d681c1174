//! Digest credentials and challenges: RFC 7616.

use sip::digest::{Algorithm, Challenge, Credentials, Nonces, Validity};
use sip::{Method, Text};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::trace::Trace;

/// A value of Authorization and of WWW-Authenticate.
pub fn run(bytes: &[u8]) -> u64 {
    let mut trace = Trace::default();
    let value = Text::from(String::from_utf8_lossy(bytes).into_owned());
    if let Ok(Some(credentials)) = Credentials::parse(&value) {
        trace.note((credentials.nc.is_some(), credentials.algorithm_used()));
        // No input proves a password that is not known.
        let ha1 = sip::digest::ha1(
            Algorithm::Md5,
            b"alice",
            "realm",
            b"a secret of thirty letters...",
        );
        assert!(!credentials.verify(&ha1, &Method::Register, b""));
        let nonces = Nonces::new([7; 32], Duration::from_secs(60));
        let source = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let validity = nonces.check(1_000_000, &credentials.nonce, source, "realm");
        assert!(matches!(validity, Validity::Invented), "{validity:?}");
    }
    if let Ok(Some(challenge)) = Challenge::parse(&value) {
        trace.note(format!("{:?}", challenge.algorithm));
    }
    trace.finish()
}
