//! What a registration is granted: RFC 3261 §10.3 step 7, and the operator's wishes.

use std::sync::Arc;

use sip::digest::Algorithm;
use sip::{NameAddr, Uri};
use store::Policy;

use crate::{Directory, Settings};

/// What holds for the registrations of one endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegistrationPolicy {
    /// The shortest registration, in seconds; less is answered 423.
    pub min_expires: u32,
    /// The registration of a phone that does not say for how long, in seconds.
    pub default_expires: u32,
    /// The longest registration, in seconds; more is cut to it.
    pub max_expires: u32,
    /// The most bindings.
    pub max_bindings: usize,
    /// The weakest digest algorithm that is taken.
    pub algorithm: Algorithm,
    /// Whether a nonce is good for the address only that it was made for.
    pub bind_nonces: bool,
    /// User agents that are refused besides the installation's: alternatives divided by `|`.
    pub refused_user_agents: Option<Arc<str>>,
    /// Seconds between two pings of a binding; 0: none.
    pub ping: u32,
}

impl RegistrationPolicy {
    /// What the installation's settings say.
    pub(crate) fn of(settings: &Settings) -> Self {
        Self {
            min_expires: settings.min_expires,
            default_expires: settings.default_expires,
            max_expires: settings.max_expires,
            max_bindings: settings.max_bindings,
            algorithm: settings.algorithm,
            bind_nonces: settings.bind_nonces,
            refused_user_agents: None,
            ping: 0,
        }
    }

    /// What policies say, nearest first, and the settings where none says anything. Where they contradict each other the
    /// shortest and the longest registration win over what lies between them.
    pub(crate) fn resolve(settings: &Settings, chain: impl Iterator<Item = Arc<Policy>>) -> Self {
        let chain: smallvec::SmallVec<[Arc<Policy>; 3]> = chain.collect();
        let first = |of: fn(&Policy) -> Option<u32>| chain.iter().find_map(|policy| of(policy));
        let usual = Self::of(settings);
        let min_expires = first(|policy| policy.min_expires).unwrap_or(usual.min_expires);
        let max_expires = first(|policy| policy.max_expires)
            .unwrap_or(usual.max_expires)
            .max(min_expires);
        let most = first(|policy| policy.max_bindings);
        let most = most.and_then(|most| usize::try_from(most).ok());
        let text = |policy: &Arc<Policy>| policy.refused_user_agents.as_deref().map(Arc::from);
        let challenge = ChallengePolicy::resolve(settings, chain.iter().map(Arc::clone));
        Self {
            min_expires,
            default_expires: first(|policy| policy.default_expires)
                .unwrap_or(usual.default_expires)
                .clamp(min_expires, max_expires),
            max_expires,
            max_bindings: most.unwrap_or(usual.max_bindings),
            algorithm: challenge.algorithm,
            bind_nonces: challenge.bind_nonces,
            refused_user_agents: chain.iter().find_map(text),
            ping: first(|policy| policy.ping).unwrap_or(usual.ping),
        }
    }

    /// Tells whether a User-Agent is one that this policy refuses.
    pub(crate) fn refuses(&self, user_agent: Option<&str>) -> bool {
        let refused = self.refused_user_agents.as_deref();
        refused.is_some_and(|refused| is_refused_user_agent(refused, user_agent))
    }
}

/// What holds for a challenge.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct ChallengePolicy {
    /// The weakest algorithm that is taken.
    pub(crate) algorithm: Algorithm,
    /// Whether its nonce is good for the address only that it was made for.
    pub(crate) bind_nonces: bool,
}

impl ChallengePolicy {
    /// What the installation's settings say.
    pub(crate) fn of(settings: &Settings) -> Self {
        Self {
            algorithm: settings.algorithm,
            bind_nonces: settings.bind_nonces,
        }
    }

    /// What policies say, nearest first, and the settings where none says anything.
    pub(crate) fn resolve(settings: &Settings, chain: impl Iterator<Item = Arc<Policy>>) -> Self {
        let (mut algorithm, mut bind_nonces) = (None, None);
        for policy in chain {
            let token = policy.digest_algorithm.as_deref();
            algorithm = algorithm.or_else(|| token.and_then(Algorithm::from_token));
            bind_nonces = bind_nonces.or(policy.bind_nonces);
        }
        let usual = Self::of(settings);
        Self {
            algorithm: algorithm.unwrap_or(usual.algorithm),
            bind_nonces: bind_nonces.unwrap_or(usual.bind_nonces),
        }
    }
}

/// Of two algorithms the one that is harder to break (RFC 8760 §2.3).
pub(crate) fn stronger(one: Algorithm, other: Algorithm) -> Algorithm {
    match strength(one) < strength(other) {
        true => other,
        false => one,
    }
}

/// Tells whether an algorithm is as hard to break as another.
pub(crate) fn is_enough(used: Algorithm, least: Algorithm) -> bool {
    strength(used) >= strength(least)
}

fn strength(algorithm: Algorithm) -> u8 {
    match algorithm {
        Algorithm::Md5 => 0,
        Algorithm::Sha256 => 1,
        Algorithm::Sha512_256 => 2,
    }
}

/// What becomes of one Contact.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Grant {
    /// Zero seconds: the binding goes.
    Remove,
    /// So many seconds.
    Seconds(u32),
    /// Too short a wish: 423 (RFC 3261 §10.3 step 7).
    TooBrief,
}

/// Decides how long a Contact may stay. Its own `expires` wins over the header's.
pub(crate) fn grant(policy: &RegistrationPolicy, contact: &NameAddr, header: Option<u32>) -> Grant {
    // S52: an expiry that is no number counts as absent.
    match contact.expires().or(header) {
        Some(0) => Grant::Remove,
        // RFC 3261 §10.3: an interval of an hour or more is never too brief.
        Some(wish) if wish < policy.min_expires && wish < 3600 => Grant::TooBrief,
        Some(wish) => Grant::Seconds(wish.min(policy.max_expires)),
        None => Grant::Seconds(policy.default_expires.min(policy.max_expires)),
    }
}

/// Tells whether a User-Agent is one that the operator refuses: any of the alternatives is found in it.
pub(crate) fn is_refused_user_agent(alternatives: &str, user_agent: Option<&str>) -> bool {
    user_agent.is_some_and(|user_agent| {
        alternatives
            .split('|')
            .map(str::trim)
            .any(|refused| !refused.is_empty() && user_agent.contains(refused))
    })
}

/// Tells whether a URI leads to the platform itself, so that a call to it would come back (hard case S72).
pub(crate) fn is_our_own(settings: &Settings, directory: &Directory, uri: &Uri) -> bool {
    let host = uri.host_lower();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<std::net::IpAddr>() {
        Ok(address) => {
            let port = uri.port.unwrap_or(5060);
            settings
                .own_addresses
                .iter()
                .any(|own| own.ip().to_canonical() == address.to_canonical() && own.port() == port)
        }
        Err(_) => directory.host(&host).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_user_agents_are_found_anywhere_in_the_value() {
        let refused = |user_agent| is_refused_user_agent("VaxSIPUserAgent|Ozeki", user_agent);
        assert!(refused(Some("VaxSIPUserAgent/4.5")));
        assert!(refused(Some("My Ozeki phone")));
        assert!(!refused(Some("baresip v1.0.0")));
        assert!(!refused(None));
        assert!(!is_refused_user_agent("", Some("anything")));
    }

    #[test]
    fn an_expiry_is_granted_cut_or_refused() {
        let policy = RegistrationPolicy::of(&Settings {
            min_expires: 60,
            default_expires: 600,
            max_expires: 7200,
            ..Settings::default()
        });
        let contact = |text: &str| NameAddr::parse(&text.into()).expect("a contact");
        let cases = [
            ("<sip:a@b>", None, Grant::Seconds(600)),
            ("<sip:a@b>", Some(100), Grant::Seconds(100)),
            ("<sip:a@b>;expires=200", Some(100), Grant::Seconds(200)),
            ("<sip:a@b>;expires=0", Some(100), Grant::Remove),
            ("<sip:a@b>", Some(0), Grant::Remove),
            ("<sip:a@b>", Some(59), Grant::TooBrief),
            ("<sip:a@b>", Some(u32::MAX), Grant::Seconds(7200)),
            ("<sip:a@b>;expires=\"Thu\"", None, Grant::Seconds(600)),
        ];
        for (text, header, expected) in cases {
            assert_eq!(
                grant(&policy, &contact(text), header),
                expected,
                "{text} {header:?}"
            );
        }
    }

    #[test]
    fn the_nearest_word_wins_and_what_lies_between_gives_way() {
        let settings = Settings::default();
        let near = Policy {
            max_expires: Some(90),
            refused_user_agents: Some("Bad".into()),
            ..Policy::default()
        };
        let far = Policy {
            min_expires: Some(30),
            max_expires: Some(600),
            default_expires: Some(300),
            max_bindings: Some(2),
            digest_algorithm: Some("SHA-256".into()),
            bind_nonces: Some(false),
            ping: Some(20),
            ..Policy::default()
        };
        let resolve = |chain: Vec<Policy>| {
            RegistrationPolicy::resolve(&settings, chain.into_iter().map(Arc::new))
        };
        assert_eq!(resolve(vec![]), RegistrationPolicy::of(&settings));
        let both = resolve(vec![near, far]);
        assert!(both.refuses(Some("A Bad phone")) && !both.refuses(Some("A phone")));
        assert_eq!(
            both,
            RegistrationPolicy {
                min_expires: 30,
                default_expires: 90,
                max_expires: 90,
                max_bindings: 2,
                algorithm: Algorithm::Sha256,
                bind_nonces: false,
                refused_user_agents: Some("Bad".into()),
                ping: 20,
            }
        );
        assert_eq!(
            stronger(Algorithm::Sha256, Algorithm::Md5),
            Algorithm::Sha256
        );
        assert!(is_enough(Algorithm::Sha512_256, Algorithm::Sha256));
        assert!(!is_enough(Algorithm::Md5, Algorithm::Sha256));
    }
}
