//! Accounts: who is who, what is whose, and what is left after a restart.

use std::sync::Arc;

use offhook_core::Settings;
use offhook_core::directory::{
    AccountChange, ApplicationChange, ApplicationFilter, CallFilter, EndpointChange,
    EndpointFilter, Key, NewAccount, NewApplication, NewEndpoint, Orphans,
};
use offhook_core::error::{Barred, Error};
use sip::digest::Algorithm;
use store::{Account, CallDirection, CallRow};

use crate::{ALL, DOMAIN, ENDPOINT, World, application, call, load, named, second, world};

#[tokio::test]
async fn the_first_account_has_the_installations_domain_and_the_others_have_their_own() {
    let World {
        directory,
        one,
        two,
        ..
    } = world().await;
    let domain = |account: &Account| {
        directory
            .account_domain(account)
            .expect("a domain")
            .sip_domain
            .clone()
    };
    assert_eq!(domain(&one), DOMAIN);
    assert_eq!(
        domain(&two),
        format!("{}.{DOMAIN}", two.auth_id.to_ascii_lowercase())
    );
    let host = |name: &str| {
        directory
            .host(name)
            .map(|host| (host.realm.to_string(), host.shared))
    };
    assert_eq!(host(DOMAIN), Some((DOMAIN.into(), false)));
    assert_eq!(host(&domain(&two)), Some((domain(&two), false)));
    for alias in [
        "phone.plivo.com",
        "192.0.2.9",
        "[2001:db8::9]",
        "2001:db8:0::9",
    ] {
        assert_eq!(host(alias), Some((DOMAIN.into(), true)), "{alias}");
    }
    for foreign in ["192.0.2.8", "example.net", "", "[192.0.2.9"] {
        assert_eq!(host(foreign), None, "{foreign}");
    }
}

#[tokio::test]
async fn credentials_prove_an_account_until_they_are_changed() {
    let World {
        directory,
        one,
        two,
        ..
    } = world().await;
    let basic = async |account: &Account, token: &str| {
        directory
            .authenticate_basic(&account.auth_id, token)
            .await
            .map(|found| found.id)
    };
    assert_eq!(basic(&one, one.auth_token.expose()).await, Ok(one.id));
    assert_eq!(
        basic(&one, two.auth_token.expose()).await,
        Err(Error::Unauthorized)
    );
    assert_eq!(
        directory
            .authenticate_basic("MA0", "")
            .await
            .map(|found| found.id),
        Err(Error::Unauthorized)
    );
    let (token, secret) = (one.bandwidth_token.expose(), one.bandwidth_secret.expose());
    assert_eq!(
        directory
            .authenticate_bandwidth(token, secret)
            .await
            .map(|found| found.id),
        Ok(one.id)
    );
    let crossed = directory
        .authenticate_bandwidth(token, two.bandwidth_secret.expose())
        .await;
    assert_eq!(crossed.map(|found| found.id), Err(Error::Unauthorized));

    let rotate = AccountChange {
        new_tokens: true,
        ..AccountChange::default()
    };
    let rotated = directory
        .update_account(&one, rotate)
        .await
        .expect("changed");
    assert_eq!(
        basic(&one, one.auth_token.expose()).await,
        Err(Error::Unauthorized)
    );
    assert_eq!(basic(&one, rotated.auth_token.expose()).await, Ok(one.id));
    let old = directory.authenticate_bandwidth(token, secret).await;
    assert_eq!(old.map(|found| found.id), Err(Error::Unauthorized));
    let off = AccountChange {
        enabled: Some(false),
        ..AccountChange::default()
    };
    directory.update_account(&one, off).await.expect("changed");
    let refused = Error::Forbidden {
        why: Barred::AccountDisabled,
    };
    assert_eq!(basic(&one, rotated.auth_token.expose()).await, Err(refused));
}

#[tokio::test]
async fn an_account_of_another_process_is_known_when_it_comes() {
    let World {
        directory,
        store,
        settings,
        ..
    } = world().await;
    let other = load(&store, &settings)
        .await
        .create_account(NewAccount::named("three"))
        .await
        .expect("an account");
    let found = directory
        .authenticate_basic(&other.auth_id, other.auth_token.expose())
        .await
        .expect("proved");
    assert_eq!(found.id, other.id);
    assert!(
        directory
            .create_endpoint(&found, named("alice"))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn what_belongs_to_somebody_else_is_not_there() {
    let World {
        directory,
        store,
        one,
        two,
        ..
    } = world().await;
    let alice = directory
        .create_endpoint(&one, named("alice"))
        .await
        .expect("an endpoint")
        .endpoint;
    let app = directory
        .create_application(&one, application("app"))
        .await
        .expect("an application");
    let domain = directory
        .create_domain(&one, "lab".into(), None)
        .await
        .expect("a domain");
    let call = call(1, one.id);
    store.upsert_call(call.clone()).await.expect("written");

    for key in [Key::Number(alice.id), Key::Public(alice.public_id.clone())] {
        assert_eq!(
            directory
                .endpoint(&one, &key)
                .await
                .map(|view| view.endpoint.id),
            Ok(alice.id)
        );
        assert_eq!(
            directory
                .endpoint(&two, &key)
                .await
                .map(|view| view.endpoint.id),
            Err(ENDPOINT)
        );
        let change = directory
            .update_endpoint(&two, &key, EndpointChange::default())
            .await;
        assert_eq!(change.map(|view| view.endpoint.id), Err(ENDPOINT));
        assert_eq!(directory.delete_endpoint(&two, &key).await, Err(ENDPOINT));
    }
    for key in [Key::Number(app.id), Key::Public(app.public_id.clone())] {
        let none = Error::NotFound {
            what: "application",
        };
        assert_eq!(
            directory.application_by_key(&two, &key).await,
            Err(none.clone())
        );
        assert_eq!(
            directory
                .update_application(&two, &key, ApplicationChange::default())
                .await,
            Err(none.clone())
        );
        assert_eq!(
            directory
                .delete_application(&two, &key, Orphans::Delete)
                .await,
            Err(none)
        );
    }
    let none = Error::NotFound { what: "domain" };
    assert_eq!(
        directory.domain(&two, &domain.public_id).await,
        Err(none.clone())
    );
    assert_eq!(
        directory.delete_domain(&two, &domain.public_id).await,
        Err(none.clone())
    );
    let inside = NewEndpoint {
        domain: Some(domain.id),
        ..named("bob")
    };
    assert_eq!(
        directory
            .create_endpoint(&two, inside)
            .await
            .map(|view| view.endpoint.id),
        Err(none)
    );
    let with = NewEndpoint {
        application: Some(app.id),
        ..named("bob")
    };
    let refused = directory
        .create_endpoint(&two, with)
        .await
        .map(|view| view.endpoint.id);
    assert!(matches!(
        refused,
        Err(Error::Invalid {
            field: "application",
            ..
        })
    ));
    assert_eq!(directory.call(&one, call.uuid).await, Ok(call.clone()));
    assert_eq!(
        directory.call(&two, call.uuid).await,
        Err(Error::NotFound { what: "call" })
    );

    let count = async |account: &Account| {
        let endpoints = directory
            .endpoints(account, &EndpointFilter::default(), ALL)
            .await
            .expect("a list");
        let applications = directory
            .applications(account, &ApplicationFilter::default(), ALL)
            .await
            .expect("a list");
        let domains = directory.domains(account, ALL).await.expect("a list");
        let calls = directory
            .calls(account, &CallFilter::default(), ALL)
            .await
            .expect("a list");
        [
            endpoints.total,
            applications.total,
            domains.total,
            calls.total,
        ]
    };
    assert_eq!(count(&one).await, [1, 1, 1, 1]);
    assert_eq!(count(&two).await, [0, 0, 0, 0]);
}

#[tokio::test]
async fn after_a_restart_everything_is_as_it_was() {
    let World {
        directory,
        store,
        settings,
        one,
        two,
    } = world().await;
    let default = directory
        .create_application(&two, NewApplication::direct_dial("app"))
        .await
        .expect("one");
    let alice = directory
        .create_endpoint(&two, named("alice"))
        .await
        .expect("an endpoint")
        .endpoint;
    let again = load(&store, &settings).await;
    let own = again.account_domain(&two).expect("a domain");
    let subscriber = again
        .subscriber(&own.sip_domain, "alice")
        .expect("a subscriber");
    assert_eq!(
        (subscriber.endpoint, subscriber.application),
        (alice.id, Some(default.id))
    );
    assert_eq!(again.default_application(two.id), Some(default));
    assert!(
        again
            .authenticate_basic(&one.auth_id, one.auth_token.expose())
            .await
            .is_ok()
    );
    // The realm stays when the domain is called differently, and the new name means the whole installation.
    let renamed = Arc::new(Settings::new("other.example.org"));
    let again = load(&store, &renamed).await;
    let host = again.host("other.example.org").expect("ours");
    assert_eq!((&*host.realm, host.shared), (DOMAIN, true));
    assert!(
        again
            .subscriber("other.example.org", "alice")
            .is_some_and(|found| found.ha1(DOMAIN, Algorithm::Md5).is_some())
    );
}

#[tokio::test]
async fn finished_calls_are_filtered_and_live_ones_are_not_shown() {
    let World {
        directory,
        store,
        one,
        ..
    } = world().await;
    let live = CallRow {
        ended: None,
        ..call(1, one.id)
    };
    let mut outbound = call(2, one.id);
    outbound.direction = CallDirection::Outbound;
    store
        .put_calls(
            [live.clone(), outbound.clone(), call(3, one.id)]
                .map(Arc::new)
                .to_vec(),
            Vec::new(),
        )
        .await
        .expect("written");
    assert_eq!(
        directory.call(&one, live.uuid).await,
        Err(Error::NotFound { what: "call" })
    );
    let list = async |filter: CallFilter| {
        let found = directory.calls(&one, &filter, ALL).await.expect("a list");
        found
            .items
            .iter()
            .map(|call| call.uuid.as_u128())
            .collect::<Vec<_>>()
    };
    let none = CallFilter::default;
    assert_eq!(list(none()).await, [3, 2]);
    assert_eq!(
        list(CallFilter {
            direction: Some("outbound".into()),
            ..none()
        })
        .await,
        [2]
    );
    assert_eq!(
        list(CallFilter {
            direction: Some("sideways".into()),
            ..none()
        })
        .await,
        [0; 0]
    );
    assert_eq!(
        list(CallFilter {
            ended_from: Some(second(12)),
            ended_to: Some(second(13)),
            ..none()
        })
        .await,
        [2]
    );
    assert_eq!(
        list(CallFilter {
            duration_min: Some(3),
            duration_max: Some(3),
            ..none()
        })
        .await,
        [3]
    );
}
