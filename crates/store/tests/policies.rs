//! Policies come back as they were put and go with what they belong to.

#[expect(dead_code, reason = "each test file uses its share")]
mod world;

use store::{Error, HttpMethod, Policy, PolicyRow, PolicyScope, Store};
use world::{account, endpoint, in_memory};

async fn all(store: &Store) -> Vec<PolicyRow> {
    let mut rows = Vec::new();
    store.load_policies(|row| rows.push(row)).await.unwrap();
    rows
}

#[tokio::test]
async fn a_policy_comes_back_and_goes_with_what_it_belongs_to() {
    let store = in_memory().await;
    let (account, domain) = account(1);
    store.insert_account(account, domain).await.unwrap();
    let phone = endpoint(7, 1, "alice");
    store.insert_endpoint(phone).await.unwrap();
    let row = |scope, subject| PolicyRow {
        scope,
        subject,
        account: 1,
        policy: Policy {
            min_expires: Some(30),
            max_bindings: Some(2),
            digest_algorithm: Some("SHA-256".into()),
            bind_nonces: Some(false),
            registration_method: Some(HttpMethod::Get),
            ..Policy::default()
        },
    };
    store
        .put_policy(row(PolicyScope::Account, 1))
        .await
        .unwrap();
    store
        .put_policy(row(PolicyScope::Endpoint, 7))
        .await
        .unwrap();
    let changed = PolicyRow {
        policy: Policy {
            ping: Some(30),
            ..Policy::default()
        },
        ..row(PolicyScope::Endpoint, 7)
    };
    store.put_policy(changed.clone()).await.unwrap();
    assert_eq!(all(&store).await, [row(PolicyScope::Account, 1), changed]);
    let nobody = store.put_policy(row(PolicyScope::Endpoint, 8)).await;
    assert!(matches!(nobody, Err(Error::Gone)));

    assert!(store.delete_endpoint(7).await.unwrap());
    assert_eq!(all(&store).await, [row(PolicyScope::Account, 1)]);
    assert!(store.delete_policy(PolicyScope::Account, 1).await.unwrap());
    assert!(!store.delete_policy(PolicyScope::Account, 1).await.unwrap());
}
