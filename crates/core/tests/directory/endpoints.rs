//! Endpoints: which names are free, and who finds them.

use offhook_core::directory::{EndpointChange, Key, NewEndpoint};
use offhook_core::error::Error;
use sip::digest::{self, Algorithm};

use crate::{DOMAIN, World, named, world};

#[tokio::test]
async fn of_fifty_that_want_one_name_exactly_one_gets_it() {
    let World { directory, one, .. } = world().await;
    let wishes = (0..50).map(|_| directory.create_endpoint(&one, named("alice")));
    let outcomes = futures_util::future::join_all(wishes).await;
    let conflict = Error::Conflict {
        what: "endpoint",
        value: "alice".into(),
    };
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert!(
        outcomes
            .into_iter()
            .filter_map(Result::err)
            .all(|error| error == conflict)
    );
    assert_eq!(directory.len(), 1);
}

#[tokio::test]
async fn fifty_that_want_one_name_with_digits_all_get_another() {
    let World { directory, one, .. } = world().await;
    let with_digits = NewEndpoint {
        append_digits: true,
        ..named("alice")
    };
    let wishes = (0..50).map(|_| directory.create_endpoint(&one, with_digits.clone()));
    let mut users = Vec::new();
    for outcome in futures_util::future::join_all(wishes).await {
        let endpoint = outcome.expect("an endpoint").endpoint;
        assert_eq!(
            (endpoint.submitted_user.as_str(), endpoint.user.len()),
            ("alice", 17)
        );
        assert!(
            endpoint
                .user
                .strip_prefix("alice")
                .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()))
        );
        users.push(endpoint.user);
    }
    users.sort();
    users.dedup();
    assert_eq!(users.len(), 50);
}

#[tokio::test]
async fn a_shared_domain_tells_nothing_about_a_name_that_two_accounts_have() {
    let World {
        directory,
        one,
        two,
        ..
    } = world().await;
    let first = directory
        .create_endpoint(&one, named("alice"))
        .await
        .expect("an endpoint")
        .endpoint
        .id;
    let found = |host: &str, user: &str| {
        directory
            .subscriber(host, user)
            .map(|subscriber| subscriber.endpoint)
    };
    assert_eq!(
        (found(DOMAIN, "alice"), found("sip.vobiz.ai", "alice")),
        (Some(first), Some(first))
    );
    let second = directory
        .create_endpoint(&two, named("alice"))
        .await
        .expect("an endpoint")
        .endpoint
        .id;
    let own = directory
        .account_domain(&two)
        .expect("a domain")
        .sip_domain
        .clone();
    assert_eq!(
        (found(DOMAIN, "alice"), found(&own, "alice")),
        (Some(first), Some(second))
    );
    for shared in ["sip.vobiz.ai", "192.0.2.9"] {
        assert_eq!(found(shared, "alice"), None);
    }
    assert_eq!(found(DOMAIN, "Alice"), None);
    assert_eq!(
        directory
            .subscriber_in(two.id, "alice")
            .map(|subscriber| subscriber.endpoint),
        Some(second)
    );
    directory
        .delete_endpoint(&one, &Key::Number(first))
        .await
        .expect("deleted");
    assert_eq!(found("sip.vobiz.ai", "alice"), Some(second));
    assert!(
        directory
            .create_endpoint(&one, named("alice"))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn hashes_follow_the_password_and_a_subscriber_of_before_is_no_longer_current() {
    let World { directory, two, .. } = world().await;
    let endpoint = directory
        .create_endpoint(&two, named("alice"))
        .await
        .expect("an endpoint")
        .endpoint;
    let before = directory
        .subscriber_by_id(endpoint.id)
        .expect("a subscriber");
    let realm = directory
        .account_domain(&two)
        .expect("a domain")
        .realm
        .clone();
    let key = Key::Number(endpoint.id);
    let label = EndpointChange {
        label: Some("desk".into()),
        ..EndpointChange::default()
    };
    directory
        .update_endpoint(&two, &key, label)
        .await
        .expect("changed");
    assert!(before.is_current());
    let change = EndpointChange {
        password: Some("changed".into()),
        ..EndpointChange::default()
    };
    let view = directory
        .update_endpoint(&two, &Key::Number(endpoint.id), change)
        .await
        .expect("changed");
    assert!(!before.is_current());
    let after = directory
        .subscriber_by_id(endpoint.id)
        .expect("a subscriber");
    for algorithm in [Algorithm::Md5, Algorithm::Sha256, Algorithm::Sha512_256] {
        for realm in [realm.as_str(), DOMAIN] {
            let hash =
                |password: &str| digest::ha1(algorithm, b"alice", realm, password.as_bytes());
            assert_eq!(
                before.ha1(realm, algorithm).as_deref(),
                Some(hash("secret of alice").as_str())
            );
            assert_eq!(
                after.ha1(realm, algorithm).as_deref(),
                Some(hash("changed").as_str())
            );
        }
    }
    // `printf changed | md5sum`
    assert_eq!(
        directory.password_md5(&view.endpoint).as_deref(),
        Some("8977dfac2f8e04cb96e66882235f5aba")
    );
}
