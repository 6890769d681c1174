//! Digest authentication: RFC 7616, RFC 8760; as SIP uses it: RFC 3261 §22.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use hmac::{Hmac, Mac};
use md5::Md5;
use sha2::{Digest, Sha256, Sha512_256};
use subtle::ConstantTimeEq;

use crate::Text;
use crate::message::grammar::{
    List, percent_decode, quote, quoted_end, slice, split_once, trim, unquote,
};
use crate::message::header::Malformed;
use crate::message::method::Method;

/// A hash that digests are made with (RFC 7616 §3.3, RFC 8760 §2.1).
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Algorithm {
    /// `MD5`, what every phone knows.
    Md5,
    /// `SHA-256`.
    Sha256,
    /// `SHA-512-256`.
    Sha512_256,
}

impl Algorithm {
    /// Spells the algorithm as on the wire.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
            Self::Sha512_256 => "SHA-512-256",
        }
    }

    /// Recognises a token without regard to case. The `-sess` variants are not known: they are never offered.
    pub fn from_token(token: &str) -> Option<Self> {
        [Self::Md5, Self::Sha256, Self::Sha512_256]
            .into_iter()
            .find(|algorithm| algorithm.token().eq_ignore_ascii_case(token))
    }

    /// Hashes the parts with colons between them, in hex.
    fn hash(self, parts: &[&[u8]]) -> String {
        match self {
            Self::Md5 => joined::<Md5>(parts),
            Self::Sha256 => joined::<Sha256>(parts),
            Self::Sha512_256 => joined::<Sha512_256>(parts),
        }
    }
}

fn joined<D: Digest>(parts: &[&[u8]]) -> String {
    let mut hash = D::new();
    for (position, part) in parts.iter().enumerate() {
        if position > 0 {
            hash.update(b":");
        }
        hash.update(part);
    }
    hex_text(&hash.finalize())
}

/// Hashes user, realm and password, in hex: what stands for the password from then on (RFC 7616 §3.4.2).
pub fn ha1(algorithm: Algorithm, username: &[u8], realm: &str, password: &[u8]) -> String {
    algorithm.hash(&[username, realm.as_bytes(), password])
}

/// What a message names as its algorithm.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum AlgorithmName {
    /// One of ours.
    Known(Algorithm),
    /// Something else, which we never offer.
    Unknown,
}

impl AlgorithmName {
    fn read(token: &str) -> Self {
        Algorithm::from_token(token).map_or(Self::Unknown, Self::Known)
    }
}

/// The credentials of an Authorization or Proxy-Authorization header (RFC 7616 §3.4).
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user, unquoted.
    pub username: Text,
    /// The realm of the challenge.
    pub realm: Text,
    /// The nonce of the challenge.
    pub nonce: Text,
    /// The URI that the digest covers; should equal the Request-URI.
    pub uri: Text,
    /// The digest in hex, as sent.
    pub response: Text,
    /// The algorithm. `None`: not said, which means MD5.
    pub algorithm: Option<AlgorithmName>,
    /// The quality of protection, as sent.
    pub qop: Option<Text>,
    /// The count of requests with this nonce.
    pub nc: Option<u32>,
    /// The client's nonce.
    pub cnonce: Option<Text>,
    /// The opaque value of the challenge.
    pub opaque: Option<Text>,
    /// The count as sent, which the digest covers.
    nc_text: Option<Text>,
}

impl Credentials {
    /// Reads a header value. `Ok(None)`: another scheme than Digest. Tolerates what phones send: missing and needless
    /// quotes, blanks, stray commas, any case.
    pub fn parse(value: &Text) -> Result<Option<Self>, Malformed> {
        let Some(params) = AuthParams::parse(value)? else {
            return Ok(None);
        };
        let username = match params.get("username") {
            Some(username) => username,
            None => extended(&params.get("username*").ok_or(Malformed)?)?,
        };
        let nc_text = params.get("nc");
        let nc = match &nc_text {
            Some(count) => Some(u32::from_str_radix(count, 16).map_err(|_| Malformed)?),
            None => None,
        };
        Ok(Some(Self {
            username,
            realm: params.get("realm").ok_or(Malformed)?,
            nonce: params.get("nonce").ok_or(Malformed)?,
            uri: params.get("uri").ok_or(Malformed)?,
            response: params.get("response").ok_or(Malformed)?,
            algorithm: params
                .get("algorithm")
                .map(|token| AlgorithmName::read(&token)),
            qop: params.get("qop").filter(|qop| !qop.is_empty()),
            nc,
            cnonce: params.get("cnonce"),
            opaque: params.get("opaque"),
            nc_text,
        }))
    }

    /// Gives the algorithm the digest was made with; MD5 if none is said. `None`: one we never offer.
    pub fn algorithm_used(&self) -> Option<Algorithm> {
        match self.algorithm {
            None => Some(Algorithm::Md5),
            Some(AlgorithmName::Known(algorithm)) => Some(algorithm),
            Some(AlgorithmName::Unknown) => None,
        }
    }

    /// Tells whether the digest was made with the password behind `ha1`. Compares in constant time.
    pub fn verify(&self, ha1: &str, method: &Method, body: &[u8]) -> bool {
        let Some(expected) = self.expected(ha1, method, body) else {
            return false;
        };
        let given = self.response.to_ascii_lowercase();
        expected.as_bytes().ct_eq(given.as_bytes()).into()
    }

    /// RFC 7616 §3.4.1; without `qop` as RFC 2069 §2.1.2.
    fn expected(&self, ha1: &str, method: &Method, body: &[u8]) -> Option<String> {
        let algorithm = self.algorithm_used()?;
        let (method, uri) = (method.as_str().as_bytes(), self.uri.as_bytes());
        let nonce = self.nonce.as_bytes();
        let Some(qop) = &self.qop else {
            let ha2 = algorithm.hash(&[method, uri]);
            return Some(algorithm.hash(&[ha1.as_bytes(), nonce, ha2.as_bytes()]));
        };
        let ha2 = if qop.eq_ignore_ascii_case("auth") {
            algorithm.hash(&[method, uri])
        } else if qop.eq_ignore_ascii_case("auth-int") {
            algorithm.hash(&[method, uri, algorithm.hash(&[body]).as_bytes()])
        } else {
            return None;
        };
        let (count, cnonce) = (self.nc_text.as_ref()?, self.cnonce.as_ref()?);
        Some(algorithm.hash(&[
            ha1.as_bytes(),
            nonce,
            count.as_bytes(),
            cnonce.as_bytes(),
            qop.as_bytes(),
            ha2.as_bytes(),
        ]))
    }
}

/// Leaves out what must not get into a log.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("realm", &self.realm)
            .field("algorithm", &self.algorithm)
            .field("qop", &self.qop)
            .field("nc", &self.nc)
            .finish_non_exhaustive()
    }
}

/// A Digest challenge as a client reads it (RFC 7616 §3.3).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Challenge {
    /// The realm.
    pub realm: Text,
    /// The nonce.
    pub nonce: Text,
    /// The algorithm. `None`: not said, which means MD5.
    pub algorithm: Option<AlgorithmName>,
    /// Whether `qop` offers `auth`.
    pub auth: bool,
    /// What has to be returned unchanged.
    pub opaque: Option<Text>,
    /// Whether only the nonce was too old.
    pub stale: bool,
}

impl Challenge {
    /// Reads a WWW-Authenticate or Proxy-Authenticate value. `Ok(None)`: another scheme than Digest.
    pub fn parse(value: &Text) -> Result<Option<Self>, Malformed> {
        let Some(params) = AuthParams::parse(value)? else {
            return Ok(None);
        };
        let offers = |qop: &Text| List::new(qop).any(|offer| offer.eq_ignore_ascii_case("auth"));
        Ok(Some(Self {
            realm: params.get("realm").ok_or(Malformed)?,
            nonce: params.get("nonce").ok_or(Malformed)?,
            algorithm: params
                .get("algorithm")
                .map(|token| AlgorithmName::read(&token)),
            auth: params.get("qop").is_some_and(|qop| offers(&qop)),
            opaque: params.get("opaque"),
            stale: params
                .get("stale")
                .is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
        }))
    }
}

/// Makes the value of a WWW-Authenticate or Proxy-Authenticate header; offers `qop="auth"` only (RFC 7616 §3.3).
pub fn challenge(realm: &str, nonce: &str, algorithm: Algorithm, stale: bool) -> String {
    let realm = quote(realm);
    let nonce = quote(nonce);
    let stale = if stale { ", stale=true" } else { "" };
    format!(
        "Digest realm={realm}, nonce={nonce}, algorithm={}, qop=\"auth\"{stale}",
        algorithm.token()
    )
}

/// Who answers a challenge.
#[derive(Copy, Clone)]
pub struct Answerer<'a> {
    /// The user.
    pub username: &'a str,
    /// The password.
    pub password: &'a str,
    /// A random string of the client.
    pub cnonce: &'a str,
    /// How many requests have used this nonce, this one included.
    pub count: u32,
}

/// Makes the value of an Authorization or Proxy-Authorization header. `None`: an algorithm we do not know.
pub fn answer(
    challenge: &Challenge,
    who: Answerer<'_>,
    method: &Method,
    uri: &str,
) -> Option<String> {
    let algorithm = match challenge.algorithm {
        None => Algorithm::Md5,
        Some(AlgorithmName::Known(algorithm)) => algorithm,
        Some(AlgorithmName::Unknown) => return None,
    };
    let mut credentials = Credentials {
        username: who.username.into(),
        realm: challenge.realm.clone(),
        nonce: challenge.nonce.clone(),
        uri: uri.into(),
        response: Text::new(),
        algorithm: challenge.algorithm,
        qop: challenge.auth.then(|| Text::from_static("auth")),
        nc: Some(who.count),
        cnonce: Some(who.cnonce.into()),
        opaque: challenge.opaque.clone(),
        nc_text: Some(format!("{:08x}", who.count).into()),
    };
    let secret = ha1(
        algorithm,
        who.username.as_bytes(),
        &challenge.realm,
        who.password.as_bytes(),
    );
    credentials.response = credentials.expected(&secret, method, &[])?.into();
    Some(credentials.to_string())
}

/// Writes a header value (RFC 7616 §3.4).
impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Digest username={}, realm={}, nonce={}, uri={}, response=\"{}\"",
            quote(&self.username),
            quote(&self.realm),
            quote(&self.nonce),
            quote(&self.uri),
            self.response
        )?;
        if let Some(AlgorithmName::Known(algorithm)) = self.algorithm {
            write!(f, ", algorithm={}", algorithm.token())?;
        }
        if let (Some(qop), Some(count), Some(cnonce)) = (&self.qop, &self.nc_text, &self.cnonce) {
            write!(f, ", qop={qop}, nc={count}, cnonce={}", quote(cnonce))?;
        }
        if let Some(opaque) = &self.opaque {
            write!(f, ", opaque={}", quote(opaque))?;
        }
        Ok(())
    }
}

/// Parameters that one header may have: each is compared with those before it.
const MOST_PARAMS: usize = 32;

/// The parameters after `Digest`, each name at most once.
struct AuthParams(smallvec::SmallVec<[(Text, Text); 12]>);

impl AuthParams {
    fn parse(value: &Text) -> Result<Option<Self>, Malformed> {
        let text = trim(value);
        let (scheme, rest) = text
            .find([' ', '\t'])
            .and_then(|at| text.split_at_checked(at))
            .unwrap_or((text, ""));
        if !scheme.eq_ignore_ascii_case("Digest") {
            return Ok(None);
        }
        let mut params = Self(smallvec::SmallVec::new());
        for param in List::new(rest).filter(|param| !param.is_empty()) {
            let (name, content) = split_once(param, b'=').ok_or(Malformed)?;
            let (name, content) = (trim(name), trim(content));
            if content.starts_with('"') && quoted_end(content) != Some(content.len()) {
                return Err(Malformed);
            }
            if params.0.len() == MOST_PARAMS || params.get(name).is_some() {
                return Err(Malformed);
            }
            params
                .0
                .push((slice(value, name), unquote(&slice(value, content))));
        }
        Ok(Some(params))
    }

    fn get(&self, name: &str) -> Option<Text> {
        self.0
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, content)| content.clone())
    }
}

/// Reads `UTF-8''J%c3%a4s%c3%b8n` (RFC 7616 §3.4.4, RFC 8187 §3.2).
fn extended(value: &str) -> Result<Text, Malformed> {
    let mut parts = value.splitn(3, '\'');
    let (Some(charset), Some(_language), Some(encoded)) =
        (parts.next(), parts.next(), parts.next())
    else {
        return Err(Malformed);
    };
    if !charset.eq_ignore_ascii_case("UTF-8") {
        return Err(Malformed);
    }
    let octets = percent_decode(encoded).into_owned();
    Text::try_from(octets).map_err(|_| Malformed)
}

/// Octets in hexadecimal digits, lower case.
pub fn hex_text(octets: &[u8]) -> String {
    let mut text = vec![0; 2 * octets.len()];
    // The sizes fit: it cannot fail. `hex::encode` goes digit by digit.
    let _: Result<(), hex::FromHexError> = hex::encode_to_slice(octets, &mut text);
    String::from_utf8(text).unwrap_or_default()
}

/// Makes nonces and recognises them again without remembering any: time and salt under a keyed hash that also covers
/// source address and realm.
pub struct Nonces {
    keyed: Hmac<Sha256>,
    lifetime: Duration,
}

/// The number of a nonce, to count its uses by.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct NonceId {
    /// When it was made, in seconds since 1970.
    pub minted: u64,
    /// Tells it from the others of that second.
    pub number: u64,
}

/// What a nonce is worth.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Validity {
    /// Ours and young enough.
    Fresh(NonceId),
    /// Ours, but too old: challenge again with `stale=true` (RFC 7616 §3.3).
    Stale,
    /// Not ours, or made for another address or realm.
    Invented,
}

/// Octets of time, salt and keyed hash in a nonce.
const NONCE_LENGTH: usize = 8 + 8 + 16;

impl Nonces {
    /// Takes the secret key, and how long a nonce may be used.
    pub fn new(key: [u8; 32], lifetime: Duration) -> Self {
        // A key shorter than a block is the key padded with zeros (RFC 2104 §2).
        let mut block = [0; 64];
        if let Some(start) = block.first_chunk_mut::<32>() {
            *start = key;
        }
        Self {
            keyed: <Hmac<Sha256> as hmac::digest::KeyInit>::new((&block).into()),
            lifetime,
        }
    }

    /// Makes a nonce for a source and realm. The salt makes two of the same second differ.
    pub fn mint(&self, now_secs: u64, source: IpAddr, realm: &str, salt: u64) -> String {
        let mac = self.mac(now_secs, source, realm, salt);
        let mut nonce = Vec::with_capacity(NONCE_LENGTH);
        nonce.extend_from_slice(&now_secs.to_be_bytes());
        nonce.extend_from_slice(&salt.to_be_bytes());
        nonce.extend_from_slice(&mac);
        hex_text(&nonce)
    }

    /// Judges a nonce that came back.
    pub fn check(&self, now_secs: u64, nonce: &str, source: IpAddr, realm: &str) -> Validity {
        let mut octets = [0; NONCE_LENGTH];
        if hex::decode_to_slice(nonce, &mut octets).is_err() {
            return Validity::Invented;
        }
        let (Some((minted, rest)), Some(mac)) =
            (octets.split_first_chunk::<8>(), octets.last_chunk::<16>())
        else {
            return Validity::Invented;
        };
        let Some(salt) = rest.first_chunk::<8>() else {
            return Validity::Invented;
        };
        let minted = u64::from_be_bytes(*minted);
        let expected = self.mac(minted, source, realm, u64::from_be_bytes(*salt));
        if !bool::from(expected.ct_eq(mac)) {
            return Validity::Invented;
        }
        // A clock that was set back makes a nonce seem to come from the future; it stays good for a lifetime.
        if now_secs.abs_diff(minted) > self.lifetime.as_secs() {
            return Validity::Stale;
        }
        let number = mac.first_chunk::<8>().copied().unwrap_or_default();
        Validity::Fresh(NonceId {
            minted,
            number: u64::from_be_bytes(number),
        })
    }

    fn mac(&self, minted: u64, source: IpAddr, realm: &str, salt: u64) -> [u8; 16] {
        let address: Ipv6Addr = match source {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        let mut keyed = self.keyed.clone();
        keyed.update(&minted.to_be_bytes());
        keyed.update(&salt.to_be_bytes());
        keyed.update(&address.octets());
        keyed.update(realm.as_bytes());
        let whole: [u8; 32] = keyed.finalize().into_bytes().into();
        whole.first_chunk::<16>().copied().unwrap_or_default()
    }
}

/// Leaves the key out.
impl fmt::Debug for Nonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nonces")
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: &str = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
    const CNONCE: &str = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";

    fn credentials(text: &str) -> Credentials {
        Credentials::parse(&text.into())
            .expect("parses")
            .expect("Digest")
    }

    /// The examples of RFC 7616 §3.9.1.
    #[test]
    fn the_examples_of_the_rfc_verify() {
        for (algorithm, response) in [
            (Algorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
            (
                Algorithm::Sha256,
                "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            ),
        ] {
            let secret = ha1(
                algorithm,
                b"Mufasa",
                "http-auth@example.org",
                b"Circle of Life",
            );
            let credentials = credentials(&format!(
                "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", \
                 algorithm={}, nonce=\"{NONCE}\", nc=00000001, cnonce=\"{CNONCE}\", qop=auth, response=\"{response}\"",
                algorithm.token()
            ));
            let get = Method::Other("GET".into());
            assert!(credentials.verify(&secret, &get, b""));
            assert!(!credentials.verify(&secret, &Method::Register, b""));
            assert!(!credentials.verify(&ha1(algorithm, b"Mufasa", "x", b"y"), &get, b""));
        }
    }

    #[test]
    fn an_answer_to_our_challenge_verifies_for_every_algorithm() {
        for algorithm in [Algorithm::Md5, Algorithm::Sha256, Algorithm::Sha512_256] {
            let offered = challenge("a \"realm\"", "n", algorithm, true);
            let read = Challenge::parse(&offered.into())
                .expect("parses")
                .expect("Digest");
            assert!(read.auth && read.stale);
            assert_eq!(read.realm, "a \"realm\"");
            let who = Answerer {
                username: "ali\"ce",
                password: "secret",
                cnonce: "c",
                count: 10,
            };
            let value = answer(&read, who, &Method::Register, "sip:example.com").expect("known");
            let credentials = credentials(&value);
            assert_eq!(
                (&*credentials.username, credentials.nc),
                ("ali\"ce", Some(10))
            );
            let secret = ha1(algorithm, b"ali\"ce", "a \"realm\"", b"secret");
            assert!(credentials.verify(&secret, &Method::Register, b""));
            assert!(!credentials.verify(&secret, &Method::Invite, b""));
        }
    }

    #[test]
    fn phones_write_credentials_in_their_own_ways() {
        let tidy = credentials(
            "Digest username=\"u\",realm=\"r\",nonce=\"n\",uri=\"sip:h\",response=\"AB\",algorithm=MD5,qop=auth,nc=0000000a,cnonce=\"c\"",
        );
        for text in [
            "DIGEST\tusername = \"u\" , realm=\"r\",nonce=n, uri=sip:h,response=AB,, Algorithm=\"md5\",qop=\"auth\",nc=\"0000000a\",cnonce=c,",
            "digest qop=auth, nc=0000000a, cnonce=\"c\", algorithm=MD5, username=\"\\u\", realm=\"r\", nonce=\"n\", uri=\"sip:h\", response=\"AB\"",
            "Digest username*=UTF-8''%75, realm=\"r\",nonce=\"n\",uri=\"sip:h\",response=\"AB\",algorithm=MD5,qop=auth,nc=0000000a,cnonce=\"c\"",
        ] {
            assert!(credentials(text) == tidy, "{text}");
        }
    }

    #[test]
    fn other_schemes_and_broken_credentials_differ() {
        let parse = |text: &str| Credentials::parse(&text.into()).map(|read| read.is_some());
        assert_eq!(parse("NoOneKnowsThisScheme opaque-data=here"), Ok(false));
        assert_eq!(parse("Basic dTpw"), Ok(false));
        for bad in [
            "Digest",
            "Digest username=\"u\"",
            "Digest username=\"u,realm=\"r\",nonce=\"n\",uri=\"sip:h\",response=\"x\"",
            "Digest username=\"u\",realm=\"r\",nonce=\"n\",uri=\"sip:h\",response=\"x\",nc=zz",
            "Digest username=\"u\",username=\"v\",realm=\"r\",nonce=\"n\",uri=\"sip:h\",response=\"x\"",
        ] {
            assert_eq!(parse(bad), Err(Malformed), "{bad}");
        }
    }

    #[test]
    fn empty_short_and_foreign_digests_do_not_verify() {
        let secret = ha1(Algorithm::Md5, b"u", "r", b"p");
        for tail in [
            "response=\"\"",
            "response=\"00\"",
            "response=\"00\",algorithm=SHA-1",
            "response=\"00\",qop=auth",
            "response=\"00\",qop=x",
        ] {
            let text =
                format!("Digest username=\"u\",realm=\"r\",nonce=\"n\",uri=\"sip:h\",{tail}");
            assert!(
                !credentials(&text).verify(&secret, &Method::Register, b""),
                "{tail}"
            );
        }
    }

    #[test]
    fn without_qop_the_old_digest_verifies() {
        let secret = ha1(Algorithm::Md5, b"u", "r", b"p");
        let ha2 = Algorithm::Md5.hash(&[b"REGISTER", b"sip:h"]);
        let response = Algorithm::Md5
            .hash(&[secret.as_bytes(), b"n", ha2.as_bytes()])
            .to_ascii_uppercase();
        let text = format!(
            "Digest username=\"u\",realm=\"r\",nonce=\"n\",uri=\"sip:h\",response=\"{response}\""
        );
        assert!(credentials(&text).verify(&secret, &Method::Register, b""));
    }

    #[test]
    fn nonces_are_bound_to_time_source_and_realm() {
        let nonces = Nonces::new([7; 32], Duration::from_secs(120));
        let source: IpAddr = "192.0.2.1".parse().expect("address");
        let other: IpAddr = "192.0.2.2".parse().expect("address");
        let nonce = nonces.mint(1000, source, "r", 1);
        let fresh = nonces.check(1120, &nonce, source, "r");
        assert!(matches!(fresh, Validity::Fresh(_)));
        assert_eq!(nonces.check(1121, &nonce, source, "r"), Validity::Stale);
        assert_eq!(nonces.check(879, &nonce, source, "r"), Validity::Stale);
        assert_eq!(nonces.check(1000, &nonce, other, "r"), Validity::Invented);
        assert_eq!(nonces.check(1000, &nonce, source, "s"), Validity::Invented);
        assert_eq!(nonces.check(1000, "", source, "r"), Validity::Invented);
        assert_eq!(
            nonces.check(1000, &"0".repeat(64), source, "r"),
            Validity::Invented
        );
        assert_ne!(
            nonces.check(1000, &nonces.mint(1000, source, "r", 2), source, "r"),
            fresh
        );
        let strangers = Nonces::new([8; 32], Duration::from_secs(120));
        assert_eq!(
            strangers.check(1000, &nonce, source, "r"),
            Validity::Invented
        );
        assert!(!format!("{nonces:?}").contains('7'));
    }
}
