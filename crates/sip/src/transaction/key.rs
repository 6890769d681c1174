//! What a message is matched by: our branches and tags, keys of server transactions, the hasher of the tables.
//!
//! RFC 3261 §17.1.3, §17.2.3, §19.3. Our branches, tags and Call-IDs carry the number of our shard, so that any shard
//! knows whose a message is.

use std::fmt;
use std::fmt::Write as _;
use std::hash::{BuildHasher, DefaultHasher, Hasher};

use rand_chacha::ChaCha12Rng;
use rand_core::RngCore;

use crate::{Request, Text};

/// RFC 3261 §8.1.1.7: begins every branch that is unique.
const COOKIE: &str = "z9hG4bK";

/// A number that we drew, with the shard that drew it: the tag of a dialog, the branch of a client transaction.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Token {
    pub(crate) shard: u8,
    pub(crate) number: u64,
}

impl Token {
    pub(crate) fn draw(shard: u8, rng: &mut ChaCha12Rng) -> Self {
        Self {
            shard,
            number: rng.next_u64(),
        }
    }

    /// Reads a tag of ours; `None`: not ours.
    pub(crate) fn from_tag(tag: &str) -> Option<Self> {
        let (shard, number) = tag.split_at_checked(2).filter(|_| tag.len() == 18)?;
        let canonical = tag
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        canonical.then_some(Self {
            shard: u8::from_str_radix(shard, 16).ok()?,
            number: u64::from_str_radix(number, 16).ok()?,
        })
    }

    /// Reads a branch of ours.
    pub(crate) fn from_branch(branch: &str) -> Option<Self> {
        Self::from_tag(branch.strip_prefix(COOKIE)?)
    }

    pub(crate) fn branch(self) -> String {
        let mut text = String::with_capacity(COOKIE.len() + 18);
        text.push_str(COOKIE);
        // Writing into a String cannot fail.
        let _ = write!(text, "{self}");
        text
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut rest = u128::from(self.shard) << 64 | u128::from(self.number);
        let mut text = [b'0'; 18];
        // By hand, because every message of ours has several of them.
        for place in text.iter_mut().rev() {
            *place = DIGITS.get((rest & 15) as usize).copied().unwrap_or(b'0');
            rest >>= 4;
        }
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

/// Matches answers to client transactions: RFC 3261 §17.1.3. A CANCEL has the branch of its INVITE.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct ClientKey {
    pub(crate) branch: Token,
    pub(crate) cancel: bool,
}

/// Matches requests to server transactions: RFC 3261 §17.2.3.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct ServerKey(Box<str>);

impl ServerKey {
    /// The key of a request; that of an ACK is its INVITE's.
    pub(crate) fn of(request: &Request) -> Option<Self> {
        let method = request.method.as_str();
        Self::with(request, if method == "ACK" { "INVITE" } else { method })
    }

    /// The key of the INVITE that a CANCEL means (RFC 3261 §9.2).
    pub(crate) fn of_cancelled(request: &Request) -> Option<Self> {
        Self::with(request, "INVITE")
    }

    fn with(request: &Request, method: &str) -> Option<Self> {
        let via = request.via().ok()?;
        let mut key = String::with_capacity(96);
        key.push_str(method);
        match via.branch().filter(|branch| branch.starts_with(COOKIE)) {
            Some(branch) => {
                key.push(' ');
                key.push_str(&branch);
            }
            // A peer of RFC 2543. Departs from RFC 3261 §17.2.3: Request-URI and To tag are left out, because an ACK
            // may differ there; Call-ID, From tag and CSeq tell the transactions of such peers apart.
            None => {
                let from = request.from().ok()?.tag().unwrap_or_default();
                let number = request.cseq().ok()?.number;
                write!(key, "\n{}\n{from}\n{number}", request.call_id()?).ok()?;
            }
        }
        key.push(' ');
        key.extend(
            via.sent_by_host
                .chars()
                .map(|letter| letter.to_ascii_lowercase()),
        );
        write!(key, " {}", via.port.unwrap_or(0)).ok()?;
        Some(Self(key.into_boxed_str()))
    }
}

/// Tells copies of one request apart from it, that came over another path: RFC 3261 §8.2.2.2.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct MergeKey(Box<str>);

impl MergeKey {
    pub(crate) fn of(request: &Request) -> Option<Self> {
        let from = request.from().ok()?.tag().unwrap_or_default();
        let call_id: &Text = request.call_id()?;
        let number = request.cseq().ok()?.number;
        let mut key = String::with_capacity(from.len() + call_id.len() + 12);
        write!(key, "{number} ").ok()?;
        key.push_str(&from);
        key.push('\n');
        key.push_str(call_id);
        Some(Self(key.into_boxed_str()))
    }
}

/// A hasher whose seed nobody outside knows, so that no peer can choose colliding keys; the same seed gives the same
/// tables.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Seeded([u64; 2]);

impl Seeded {
    pub(crate) fn draw(rng: &mut ChaCha12Rng) -> Self {
        Self([rng.next_u64(), rng.next_u64()])
    }
}

impl BuildHasher for Seeded {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        let mut hasher = DefaultHasher::new();
        for half in self.0 {
            hasher.write_u64(half);
        }
        hasher
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Method, Name};

    fn request(method: Method, via: &str) -> Request {
        let mut request = Request::new(method.clone(), "sip:b@example.com");
        request.headers.push(Name::Via, Text::from(via));
        request
            .headers
            .push(Name::From, "<sip:a@example.com>;tag=1");
        request.headers.push(Name::CallId, "c");
        request.headers.push(Name::CSeq, format!("7 {method}"));
        request
    }

    #[test]
    fn our_tokens_read_back_and_others_do_not() {
        let token = Token {
            shard: 3,
            number: 0x1f,
        };
        assert_eq!(token.to_string(), "03000000000000001f");
        assert_eq!(Token::from_tag(&token.to_string()), Some(token));
        assert_eq!(Token::from_branch(&token.branch()), Some(token));
        for other in [
            "",
            "03000000000000001F",
            "+3000000000000001f",
            "0300",
            "é3000000000000001",
        ] {
            assert_eq!(Token::from_tag(other), None, "{other}");
        }
    }

    #[test]
    fn an_ack_matches_its_invite_by_branch_and_sent_by() {
        let via = "SIP/2.0/UDP Host:5070;branch=z9hG4bKx";
        let invite = ServerKey::of(&request(Method::Invite, via));
        assert_eq!(invite, ServerKey::of(&request(Method::Ack, via)));
        assert_eq!(
            invite,
            ServerKey::of_cancelled(&request(Method::Cancel, via))
        );
        assert_ne!(invite, ServerKey::of(&request(Method::Cancel, via)));
        let elsewhere = "SIP/2.0/UDP host:5071;branch=z9hG4bKx";
        assert_ne!(invite, ServerKey::of(&request(Method::Invite, elsewhere)));
    }

    #[test]
    fn a_peer_without_the_cookie_matches_by_call_id_tag_and_cseq() {
        let invite = ServerKey::of(&request(Method::Invite, "SIP/2.0/UDP host;branch=1"));
        let ack = ServerKey::of(&request(Method::Ack, "SIP/2.0/UDP host"));
        assert!(invite.is_some() && invite == ack);
    }
}
