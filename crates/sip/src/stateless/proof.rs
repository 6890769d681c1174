//! The usual form of a digest (RFC 7616 §3.4, `qop=auth`, MD5), checked in place.

use md5::{Digest, Md5};
use memchr::{memchr, memchr2};
use subtle::ConstantTimeEq;

use super::scan::cut;

/// Parameters that an Authorization may have.
const MOST_PARAMS: usize = 16;

/// An Authorization of the usual form.
#[derive(Copy, Clone)]
pub struct Proof<'a> {
    /// The user.
    pub username: &'a str,
    /// The realm of the challenge.
    pub realm: &'a str,
    /// The nonce of the challenge.
    pub nonce: &'a str,
    /// The URI that the digest covers.
    pub uri: &'a str,
    /// The count of requests with this nonce.
    pub count: u32,
    response: &'a str,
    count_text: &'a str,
    cnonce: &'a str,
}

/// The hash of method and URI that goes into a digest, kept from one request to the next: phones of one domain all ask
/// the same URI.
#[derive(Default)]
pub struct Ha2 {
    uri: String,
    hash: [u8; 32],
}

impl std::fmt::Debug for Proof<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Proof")
    }
}

impl std::fmt::Debug for Ha2 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ha2")
    }
}

impl Ha2 {
    fn of(&mut self, uri: &str) -> &[u8; 32] {
        if self.uri != uri {
            self.uri.clear();
            self.uri.push_str(uri);
            let mut hash = Md5::new();
            hash.update(b"REGISTER:");
            hash.update(uri);
            self.hash = hex_of(&hash.finalize().into());
        }
        &self.hash
    }
}

impl<'a> Proof<'a> {
    /// Reads the value of an Authorization; nothing when it is not of the usual form, right or wrong.
    pub fn read(value: &'a str) -> Option<Self> {
        let mut rest = value.strip_prefix("Digest ")?;
        let (mut username, mut realm, mut nonce, mut uri) = (None, None, None, None);
        let (mut response, mut count, mut cnonce, mut qop) = (None, None, None, None);
        let (mut algorithm, mut opaque) = (None, None);
        for _ in 0..MOST_PARAMS {
            let (name, after) = cut(rest.trim_ascii_start(), b'=')?;
            let (text, after) = match after.strip_prefix('"') {
                Some(quoted) => {
                    let (text, after) = cut(quoted, b'"')?;
                    (text, after.trim_ascii_start())
                }
                None => {
                    let end = memchr(b',', after.as_bytes()).unwrap_or(after.len());
                    let (text, after) = after.split_at_checked(end)?;
                    (text.trim_ascii_end(), after)
                }
            };
            if memchr2(b'\\', b'"', text.as_bytes()).is_some() {
                return None;
            }
            let place = match name {
                "username" => &mut username,
                "realm" => &mut realm,
                "nonce" => &mut nonce,
                "uri" => &mut uri,
                "response" => &mut response,
                "nc" => &mut count,
                "cnonce" => &mut cnonce,
                "qop" => &mut qop,
                "algorithm" => &mut algorithm,
                "opaque" => &mut opaque,
                _ => return None,
            };
            if place.replace(text).is_some() {
                return None;
            }
            match after.strip_prefix(',') {
                Some(after) => rest = after,
                None if after.is_empty() => {
                    let count_text: &str = count?;
                    if qop != Some("auth")
                        || algorithm.is_some_and(|algorithm| algorithm != "MD5")
                        || count_text.len() != 8
                    {
                        return None;
                    }
                    return Some(Proof {
                        username: username?,
                        realm: realm?,
                        nonce: nonce?,
                        uri: uri?,
                        count: u32::from_str_radix(count_text, 16).ok()?,
                        response: response?,
                        count_text,
                        cnonce: cnonce?,
                    });
                }
                None => return None,
            }
        }
        None
    }

    /// Tells whether a REGISTER's digest was made with the password behind `ha1` (hexadecimal digits). Compares in
    /// constant time.
    pub fn verify(&self, ha1: &str, ha2: &mut Ha2) -> bool {
        let mut hash = Md5::new();
        for part in [ha1, self.nonce, self.count_text, self.cnonce] {
            hash.update(part);
            hash.update(b":");
        }
        hash.update(b"auth:");
        hash.update(ha2.of(self.uri));
        let expected = hex_of(&hash.finalize().into());
        expected.as_slice().ct_eq(self.response.as_bytes()).into()
    }
}

fn hex_of(hash: &[u8; 16]) -> [u8; 32] {
    let mut text = [0; 32];
    // The sizes fit: it cannot fail.
    let _: Result<(), hex::FromHexError> = hex::encode_to_slice(hash, &mut text);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Method;
    use crate::digest::{Algorithm, Answerer, Challenge, answer, challenge, ha1};

    #[test]
    fn a_usual_answer_to_our_challenge_is_read_and_verified() {
        let offered = challenge("example.net", "n1", Algorithm::Md5, false);
        let offered = Challenge::parse(&offered.into())
            .expect("parses")
            .expect("Digest");
        let who = Answerer {
            username: "alice",
            password: "secret",
            cnonce: "c",
            count: 26,
        };
        let value = answer(&offered, who, &Method::Register, "sip:example.net").expect("known");
        let proof = Proof::read(&value).expect("it is usual");
        assert_eq!((proof.username, proof.realm), ("alice", "example.net"));
        assert_eq!((proof.nonce, proof.count), ("n1", 26));
        let mut ha2 = Ha2::default();
        let right = ha1(Algorithm::Md5, b"alice", "example.net", b"secret");
        let wrong = ha1(Algorithm::Md5, b"alice", "example.net", b"Secret");
        assert!(proof.verify(&right, &mut ha2));
        assert!(!proof.verify(&wrong, &mut ha2));
        for (usual, other) in [
            ("Digest ", "Basic "),
            ("qop=auth", "qop=auth-int"),
            ("algorithm=MD5", "algorithm=SHA-256"),
            ("\"alice\"", "\"al\\\"ice\""),
            ("nc=0000001a", "nc=1a"),
            ("nc=0000001a", "nc=0000001a, nc=0000001b"),
            ("cnonce=\"c\"", "x=\"c\""),
            ("nonce=\"n1\"", "nonce=\"n1"),
        ] {
            let text = value.replacen(usual, other, 1);
            assert_ne!(text, value, "{usual}");
            assert!(Proof::read(&text).is_none(), "{other}");
        }
        let other = answer(&offered, who, &Method::Register, "sip:example.com").expect("known");
        let proof = Proof::read(&other).expect("it is usual");
        assert!(proof.verify(&right, &mut ha2));
        let get = answer(&offered, who, &Method::Invite, "sip:example.com").expect("known");
        let proof = Proof::read(&get).expect("it is usual");
        assert!(!proof.verify(&right, &mut ha2));
    }
}
