//! Whether a digest is a user's: at the same cost for everybody who fails (hard-case list "user enumeration", S67).

use sip::digest::Algorithm;

use crate::directory::{MOST_HASHES, Subscriber};

/// Tells whether `verify` takes one of a user's hashes. Who fails costs as many tries as the user with the most hashes does:
/// unknown users, which are tried with a hash that no password has, and users with one hash or two.
pub(super) fn is_proved(
    subscriber: Option<&Subscriber>,
    realm: &str,
    algorithm: Algorithm,
    nobody: &str,
    mut verify: impl FnMut(&str) -> bool,
) -> bool {
    let mut left = MOST_HASHES;
    for ha1 in subscriber.iter().flat_map(|it| it.ha1s(realm, algorithm)) {
        if verify(&ha1) {
            return true;
        }
        left = left.saturating_sub(1);
    }
    for _ in 0..left {
        verify(nobody);
    }
    false
}

#[cfg(test)]
mod tests {
    use store::{EndpointLogin, Flavor, Permissions, Ring, Secret};

    use super::*;

    fn subscriber(password: &str, enabled: bool) -> Subscriber {
        let login = EndpointLogin {
            id: 1,
            account: 1,
            flavor: Flavor::Plivo,
            domain: 1,
            user: "alice".into(),
            password: Secret::new(password),
            application: None,
            enabled,
            ring: Ring::Latest,
            permissions: Permissions::default(),
        };
        let domain = "example.net";
        Subscriber::new(
            &login,
            domain,
            &domain.into(),
            &"installation.example".into(),
        )
    }

    #[test]
    fn every_refusal_costs_the_same_number_of_hashes() {
        let (known, disabled) = (subscriber("secret", true), subscriber("secret", false));
        let latin = subscriber("s\u{e9}cret", true);
        let cost = |who: Option<&Subscriber>, realm: &str| {
            let mut hashes = 0;
            let proved = is_proved(who, realm, Algorithm::Md5, "none", |_| {
                hashes += 1;
                false
            });
            (proved, hashes)
        };
        for who in [None, Some(&known), Some(&disabled), Some(&latin)] {
            for realm in ["example.net", "installation.example", "elsewhere.example"] {
                assert_eq!(cost(who, realm), (false, MOST_HASHES));
            }
        }
        // The right one is the last that is tried.
        let mut hashes = 0;
        assert!(is_proved(
            Some(&known),
            "example.net",
            Algorithm::Md5,
            "none",
            |_| {
                hashes += 1;
                true
            }
        ));
        assert_eq!(hashes, 1);
    }
}
