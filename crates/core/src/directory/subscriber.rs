//! The index that SIP asks: every endpoint with the hashes of its password, found by name without waiting.
//!
//! A user name leads to all endpoints that have it, ordered by domain: one look-up serves the exact name and the alias
//! domains, under which a name is found only when exactly one domain has it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dashmap::DashMap;
use sip::digest::{self, Algorithm};
use smallvec::SmallVec;
use store::{EndpointLogin, Flavor, Id, Permissions, Ring};

/// What SIP must know of an endpoint. It is never changed: a change puts another one in its place.
#[derive(Clone, PartialEq, Eq)]
pub struct Subscriber {
    /// The endpoint.
    pub endpoint: Id,
    /// Whose it is.
    pub account: Id,
    /// The SIP domain, lower case.
    pub domain: String,
    /// The user, case-sensitive.
    pub user: String,
    /// Off: it neither registers nor calls nor rings.
    pub enabled: bool,
    /// Which of its bindings a call rings.
    pub ring: Ring,
    /// What it may do.
    pub permissions: Permissions,
    /// The application of its calls.
    pub application: Option<Id>,
    /// Which face made it.
    pub flavor: Flavor,
    /// The realm of its domain, and the installation's.
    realms: [Arc<str>; 2],
    /// For each spelling of the password and each realm, once where both are the same: MD5, SHA-256, SHA-512-256.
    hashes: Box<[u8]>,
    replaced: Replaced,
}

/// Set when another one takes its place, or nobody does. It says nothing about what a subscriber is: a copy is not
/// replaced, and two that differ by this alone are equal.
#[derive(Default)]
struct Replaced(AtomicBool);

impl Clone for Replaced {
    fn clone(&self) -> Self {
        Replaced::default()
    }
}

impl PartialEq for Replaced {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Replaced {}

/// Octets of the hashes of one password for one realm.
const HASHES: usize = 16 + 32 + 32;

/// Hashes of one algorithm for one realm that a subscriber may have: one for each spelling of its password.
pub(crate) const MOST_HASHES: usize = 2;

/// A hash that a digest is checked with (RFC 7616 §3.4.2), in hexadecimal digits.
#[derive(Clone, PartialEq, Eq)]
pub struct Ha1 {
    digits: [u8; 64],
    length: usize,
}

impl Subscriber {
    /// Makes the subscriber of an endpoint, with hashes for its domain's realm and the installation's.
    pub(crate) fn new(
        endpoint: &EndpointLogin,
        sip_domain: &str,
        realm: &Arc<str>,
        installation: &Arc<str>,
    ) -> Self {
        let mut hashes = Vec::with_capacity(2 * HASHES);
        let password = endpoint.password.expose();
        // bandwidth-v1.md §3.2: phones hash either the UTF-8 or the ISO 8859-1 bytes.
        let other = latin1(password);
        for bytes in [Some(password.as_bytes()), other.as_deref()] {
            let Some(bytes) = bytes else { continue };
            push_hashes(&mut hashes, realm, &endpoint.user, bytes);
            if realm != installation {
                push_hashes(&mut hashes, installation, &endpoint.user, bytes);
            }
        }
        Subscriber {
            endpoint: endpoint.id,
            account: endpoint.account,
            domain: sip_domain.to_owned(),
            user: endpoint.user.clone(),
            enabled: endpoint.enabled,
            ring: endpoint.ring,
            permissions: endpoint.permissions,
            application: endpoint.application,
            flavor: endpoint.flavor,
            realms: [Arc::clone(realm), Arc::clone(installation)],
            hashes: hashes.into_boxed_slice(),
            replaced: Replaced::default(),
        }
    }

    /// Whether nothing changed since it was looked up.
    pub fn is_current(&self) -> bool {
        !self.replaced.0.load(Ordering::Acquire)
    }

    /// The first of [`Subscriber::ha1s`].
    pub fn ha1(&self, realm: &str, algorithm: Algorithm) -> Option<Ha1> {
        self.ha1s(realm, algorithm).next()
    }

    /// All hashes that a digest may be checked with: a second one when the password has Latin-1 letters; none for a realm
    /// that is neither its domain's nor the installation's.
    pub fn ha1s(&self, realm: &str, algorithm: Algorithm) -> impl Iterator<Item = Ha1> {
        let [own, installation] = &self.realms;
        let realms = if own == installation { 1 } else { 2 };
        let place = self.realms.iter().position(|known| **known == *realm);
        let part = match algorithm {
            Algorithm::Md5 => 0..16,
            Algorithm::Sha256 => 16..48,
            Algorithm::Sha512_256 => 48..80,
        };
        let all = self.hashes.chunks_exact(HASHES);
        let of_realm = all.skip(place.unwrap_or(usize::MAX)).step_by(realms);
        of_realm.filter_map(move |hashes| hashes.get(part.clone()).map(Ha1::of))
    }

    /// The same with another application.
    pub(crate) fn with_application(&self, application: Option<Id>) -> Self {
        Subscriber {
            application,
            ..self.clone()
        }
    }
}

impl Ha1 {
    fn of(octets: &[u8]) -> Self {
        let mut ha1 = Ha1 {
            digits: [b'0'; 64],
            length: (2 * octets.len()).min(64),
        };
        let digits = &mut ha1.digits[..ha1.length];
        // The sizes fit: it cannot fail.
        let _: Result<(), hex::FromHexError> = hex::encode_to_slice(octets, digits);
        ha1
    }
}

impl std::fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Subscriber({} {}@{})",
            self.endpoint, self.user, self.domain
        )
    }
}

impl std::ops::Deref for Ha1 {
    type Target = str;

    fn deref(&self) -> &str {
        std::str::from_utf8(&self.digits[..self.length]).unwrap_or_default()
    }
}

impl std::fmt::Debug for Ha1 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

fn push_hashes(hashes: &mut Vec<u8>, realm: &str, user: &str, password: &[u8]) {
    for algorithm in [Algorithm::Md5, Algorithm::Sha256, Algorithm::Sha512_256] {
        let digits = digest::ha1(algorithm, user.as_bytes(), realm, password);
        hashes.extend(hex::decode(digits).unwrap_or_default());
    }
}

/// The ISO 8859-1 bytes of a password, when they exist and differ from its UTF-8 bytes.
fn latin1(password: &str) -> Option<Vec<u8>> {
    if password.is_ascii() {
        return None;
    }
    password
        .chars()
        .map(|letter| u8::try_from(u32::from(letter)).ok())
        .collect()
}

/// All subscribers by name and by endpoint.
#[derive(Default)]
pub(crate) struct Subscribers {
    /// Ordered by domain.
    by_user: DashMap<String, SmallVec<[Arc<Subscriber>; 1]>>,
    by_endpoint: DashMap<Id, Arc<Subscriber>>,
}

impl Subscribers {
    /// Puts a subscriber in, in the place of the same endpoint's former one; an equal one stays, so that whoever holds
    /// it sees that nothing changed.
    pub fn put(&self, subscriber: Subscriber) {
        if self
            .of(subscriber.endpoint)
            .is_some_and(|former| *former == subscriber)
        {
            return;
        }
        let subscriber = Arc::new(subscriber);
        let mut same_name = self.by_user.entry(subscriber.user.clone()).or_default();
        match same_name.binary_search_by(|other| other.domain.as_str().cmp(&subscriber.domain)) {
            Ok(place) => same_name[place] = Arc::clone(&subscriber),
            Err(place) => same_name.insert(place, Arc::clone(&subscriber)),
        }
        drop(same_name);
        if let Some(former) = self.by_endpoint.insert(subscriber.endpoint, subscriber) {
            former.replaced.0.store(true, Ordering::Release);
        }
    }

    /// Puts a subscriber in unless its endpoint is there already: what was read earlier is not newer.
    pub fn put_absent(&self, subscriber: Subscriber) {
        if self.of(subscriber.endpoint).is_none() {
            self.put(subscriber);
        }
    }

    /// Takes an endpoint's subscriber out.
    pub fn remove(&self, endpoint: Id) {
        let Some((_, gone)) = self.by_endpoint.remove(&endpoint) else {
            return;
        };
        gone.replaced.0.store(true, Ordering::Release);
        if let Some(mut same_name) = self.by_user.get_mut(&gone.user) {
            same_name.retain(|other| other.endpoint != endpoint);
        }
        self.by_user
            .remove_if(&gone.user, |_, same_name| same_name.is_empty());
    }

    /// The subscriber with this name in this domain.
    pub fn exact(&self, domain: &str, user: &str) -> Option<Arc<Subscriber>> {
        let same_name = self.by_user.get(user)?;
        let place = same_name
            .binary_search_by(|other| other.domain.as_str().cmp(domain))
            .ok()?;
        same_name.get(place).cloned()
    }

    /// The subscriber with this name, when exactly one domain has it.
    pub fn only(&self, user: &str) -> Option<Arc<Subscriber>> {
        match self.by_user.get(user)?.as_slice() {
            [only] => Some(Arc::clone(only)),
            _ => None,
        }
    }

    /// The account's subscriber with this name, when exactly one of its domains has it.
    pub fn only_of(&self, account: Id, user: &str) -> Option<Arc<Subscriber>> {
        let same_name = self.by_user.get(user)?;
        let mut own = same_name.iter().filter(|other| other.account == account);
        match (own.next(), own.next()) {
            (Some(only), None) => Some(Arc::clone(only)),
            _ => None,
        }
    }

    /// Whether any domain has this user.
    pub fn is_taken(&self, user: &str) -> bool {
        self.by_user.contains_key(user)
    }

    /// The subscriber of an endpoint.
    pub fn of(&self, endpoint: Id) -> Option<Arc<Subscriber>> {
        self.by_endpoint
            .get(&endpoint)
            .map(|found| Arc::clone(&found))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_endpoint.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::Secret;

    fn endpoint(id: Id, account: Id, password: &str) -> EndpointLogin {
        EndpointLogin {
            id,
            account,
            flavor: Flavor::Plivo,
            domain: 1,
            user: "alice".into(),
            password: Secret::new(password),
            application: None,
            enabled: true,
            ring: Ring::Latest,
            permissions: Permissions::default(),
        }
    }

    fn subscriber(id: Id, account: Id, domain: &str, password: &str) -> Subscriber {
        Subscriber::new(
            &endpoint(id, account, password),
            domain,
            &domain.into(),
            &"example.net".into(),
        )
    }

    #[test]
    fn a_shared_domain_finds_a_name_only_while_exactly_one_domain_has_it() {
        let all = Subscribers::default();
        all.put(subscriber(1, 10, "b.example.net", "secret"));
        assert_eq!(all.only("alice").map(|s| s.endpoint), Some(1));
        all.put(subscriber(2, 20, "a.example.net", "secret"));
        assert_eq!(all.only("alice").map(|s| s.endpoint), None);
        assert_eq!(
            all.exact("a.example.net", "alice").map(|s| s.endpoint),
            Some(2)
        );
        assert_eq!(
            all.exact("b.example.net", "alice").map(|s| s.endpoint),
            Some(1)
        );
        assert_eq!(
            all.exact("c.example.net", "alice").map(|s| s.endpoint),
            None
        );
        assert_eq!(all.only_of(20, "alice").map(|s| s.endpoint), Some(2));
        assert_eq!(
            all.exact("b.example.net", "Alice").map(|s| s.endpoint),
            None
        );
        all.remove(1);
        assert_eq!(all.only("alice").map(|s| s.endpoint), Some(2));
        all.remove(2);
        assert!(!all.is_taken("alice") && all.len() == 0);
    }

    #[test]
    fn hashes_exist_for_the_own_realm_and_the_installations_in_all_algorithms() {
        let one = subscriber(1, 10, "own.example.net", "secret");
        for algorithm in [Algorithm::Md5, Algorithm::Sha256, Algorithm::Sha512_256] {
            for realm in ["own.example.net", "example.net"] {
                let expected = digest::ha1(algorithm, b"alice", realm, b"secret");
                let found: Vec<String> = one
                    .ha1s(realm, algorithm)
                    .map(|ha1| ha1.to_string())
                    .collect();
                assert_eq!(found, [expected]);
            }
            assert_eq!(one.ha1s("elsewhere", algorithm).count(), 0);
        }
    }

    #[test]
    fn a_latin_1_password_is_accepted_in_both_encodings() {
        let one = subscriber(1, 10, "example.net", "s\u{e9}cret");
        let found: Vec<String> = one
            .ha1s("example.net", Algorithm::Md5)
            .map(|ha1| ha1.to_string())
            .collect();
        let expected = [&b"s\xc3\xa9cret"[..], b"s\xe9cret"]
            .map(|bytes| digest::ha1(Algorithm::Md5, b"alice", "example.net", bytes));
        assert_eq!(found, expected);
        assert_eq!(
            subscriber(1, 10, "example.net", "s\u{20ac}cret")
                .ha1s("example.net", Algorithm::Md5)
                .count(),
            1
        );
    }
}
