//! The index that SIP asks: every endpoint with the hashes of its password, found by name without waiting.
//!
//! A user name leads to all endpoints that have it, ordered by domain: one look-up serves the exact name and the alias
//! domains, under which a name is found only when exactly one domain has it.

use std::sync::Arc;

use dashmap::DashMap;
use sip::digest::{self, Algorithm};
use smallvec::SmallVec;
use store::{Endpoint, Flavor, Id, Permissions, Ring};

/// What SIP must know of an endpoint. It is never changed: a change puts another one in its place.
#[derive(Clone, PartialEq, Eq, Debug)]
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
    hashes: Arc<[RealmHashes]>,
}

impl Subscriber {
    /// Makes the subscriber of an endpoint, with hashes for its domain's realm and the installation's.
    pub(crate) fn new(
        endpoint: &Endpoint,
        sip_domain: &str,
        realm: &Arc<str>,
        installation: &Arc<str>,
    ) -> Self {
        let mut hashes: SmallVec<[RealmHashes; 4]> = SmallVec::new();
        let mut passwords: SmallVec<[Vec<u8>; 2]> = SmallVec::new();
        passwords.push(endpoint.password.expose().as_bytes().to_vec());
        // bandwidth-v1.md §3.2: phones hash either the UTF-8 or the ISO 8859-1 bytes.
        passwords.extend(latin1(endpoint.password.expose()));
        for password in &passwords {
            hashes.push(RealmHashes::new(realm, &endpoint.user, password));
            if realm != installation {
                hashes.push(RealmHashes::new(installation, &endpoint.user, password));
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
            hashes: hashes.into_vec().into(),
        }
    }

    /// The hash that a digest is checked with (RFC 7616 §3.4.2), in hexadecimal digits.
    pub fn ha1(&self, realm: &str, algorithm: Algorithm) -> Option<&str> {
        self.ha1s(realm, algorithm).next()
    }

    /// All hashes that a digest may be checked with: a second one when the password has Latin-1 letters.
    pub fn ha1s(&self, realm: &str, algorithm: Algorithm) -> impl Iterator<Item = &str> {
        self.hashes
            .iter()
            .filter(move |hashes| *hashes.realm == *realm)
            .filter_map(move |hashes| hashes.of(algorithm))
    }

    /// The same with another application.
    pub(crate) fn with_application(&self, application: Option<Id>) -> Self {
        Subscriber {
            application,
            ..self.clone()
        }
    }
}

/// The hashes of one password for one realm, in one piece of memory.
#[derive(Clone, PartialEq, Eq)]
struct RealmHashes {
    realm: Arc<str>,
    /// MD5, SHA-256, SHA-512-256.
    text: Box<str>,
}

impl RealmHashes {
    fn new(realm: &Arc<str>, user: &str, password: &[u8]) -> Self {
        let mut text = String::with_capacity(160);
        for algorithm in [Algorithm::Md5, Algorithm::Sha256, Algorithm::Sha512_256] {
            text.push_str(&digest::ha1(algorithm, user.as_bytes(), realm, password));
        }
        RealmHashes {
            realm: Arc::clone(realm),
            text: text.into_boxed_str(),
        }
    }

    fn of(&self, algorithm: Algorithm) -> Option<&str> {
        self.text.get(match algorithm {
            Algorithm::Md5 => 0..32,
            Algorithm::Sha256 => 32..96,
            Algorithm::Sha512_256 => 96..160,
        })
    }
}

impl std::fmt::Debug for RealmHashes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: ***", self.realm)
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
        self.by_endpoint.insert(subscriber.endpoint, subscriber);
    }

    /// Takes an endpoint's subscriber out.
    pub fn remove(&self, endpoint: Id) {
        let Some((_, gone)) = self.by_endpoint.remove(&endpoint) else {
            return;
        };
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

    fn endpoint(id: Id, account: Id, password: &str) -> Endpoint {
        Endpoint {
            id,
            public_id: format!("re-{id}"),
            account,
            flavor: Flavor::Plivo,
            domain: 1,
            user: "alice".into(),
            submitted_user: "alice".into(),
            label: String::new(),
            description: None,
            password: Secret::new(password),
            application: None,
            enabled: true,
            ring: Ring::Latest,
            permissions: Permissions::default(),
            created: jiff::Timestamp::UNIX_EPOCH,
            updated: jiff::Timestamp::UNIX_EPOCH,
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
                assert_eq!(one.ha1s(realm, algorithm).collect::<Vec<_>>(), [expected]);
            }
            assert_eq!(one.ha1("elsewhere", algorithm), None);
        }
    }

    #[test]
    fn a_latin_1_password_is_accepted_in_both_encodings() {
        let one = subscriber(1, 10, "example.net", "s\u{e9}cret");
        let found: Vec<_> = one.ha1s("example.net", Algorithm::Md5).collect();
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
