//! Applications and domains: what goes with them.

use offhook_core::directory::{
    ApplicationChange, EndpointChange, Key, NewApplication, NewEndpoint, Orphans,
};
use offhook_core::error::{Barred, Error};
use store::{ApplicationKind, Id};

use crate::{DOMAIN, ENDPOINT, World, application, named, world};

#[tokio::test]
async fn a_new_endpoint_takes_the_default_application_of_its_moment() {
    let World { directory, one, .. } = world().await;
    let first = directory
        .create_application(&one, NewApplication::direct_dial("first"))
        .await
        .expect("one");
    let alice = directory
        .create_endpoint(&one, named("alice"))
        .await
        .expect("an endpoint")
        .endpoint;
    let second = directory
        .create_application(&one, NewApplication::direct_dial("second"))
        .await
        .expect("one");
    assert_eq!(
        directory.default_application(one.id).map(|found| found.id),
        Some(second.id)
    );
    assert!(
        !directory
            .application(first.id)
            .expect("it is there")
            .default_endpoint_app
    );
    let bob = directory
        .create_endpoint(&one, named("bob"))
        .await
        .expect("an endpoint")
        .endpoint;
    let without = NewEndpoint {
        default_application: false,
        ..named("carol")
    };
    let carol = directory
        .create_endpoint(&one, without)
        .await
        .expect("an endpoint")
        .endpoint;
    assert_eq!(
        [alice.application, bob.application, carol.application],
        [Some(first.id), Some(second.id), None]
    );
    assert_eq!(
        directory
            .subscriber(DOMAIN, "alice")
            .and_then(|found| found.application),
        Some(first.id)
    );

    let clear = ApplicationChange {
        default_endpoint_app: Some(false),
        ..ApplicationChange::default()
    };
    directory
        .update_application(&one, &Key::Number(second.id), clear)
        .await
        .expect("changed");
    assert_eq!(directory.default_application(one.id), None);
    let both = ApplicationChange {
        default_endpoint_app: Some(true),
        default_number_app: Some(true),
        ..ApplicationChange::default()
    };
    directory
        .update_application(&one, &Key::Number(first.id), both.clone())
        .await
        .expect("changed");
    directory
        .update_application(&one, &Key::Number(second.id), both)
        .await
        .expect("changed");
    for (id, holds) in [(first.id, false), (second.id, true)] {
        let held = directory.application(id).expect("it is there");
        assert_eq!(
            (held.default_endpoint_app, held.default_number_app),
            (holds, holds)
        );
    }
}

#[tokio::test]
async fn a_direct_dial_that_is_given_an_answer_url_asks_it() {
    let World {
        directory,
        one,
        store,
        ..
    } = world().await;
    let made = directory
        .create_application(&one, NewApplication::direct_dial("first"))
        .await
        .expect("one");
    let key = Key::Number(made.id);
    let renamed = ApplicationChange {
        name: Some("renamed".into()),
        ..ApplicationChange::default()
    };
    let changed = directory.update_application(&one, &key, renamed).await;
    assert_eq!(changed.expect("one").kind, ApplicationKind::DirectDial);
    let asked = ApplicationChange {
        answer_url: Some(Some("https://app.example.org/answer".into())),
        ..ApplicationChange::default()
    };
    let changed = directory.update_application(&one, &key, asked).await;
    assert_eq!(changed.expect("one").kind, ApplicationKind::Xml);
    let kept = store.application(made.id).await.expect("a read");
    assert_eq!(kept.expect("one").kind, ApplicationKind::Xml);
}

#[tokio::test]
async fn a_deleted_application_takes_its_endpoints_along_moves_them_or_leaves_them() {
    let World {
        directory,
        one,
        two,
        ..
    } = world().await;
    let mut ids = Vec::new();
    for name in ["a", "b", "c"] {
        ids.push(
            directory
                .create_application(&one, application(name))
                .await
                .expect("an application")
                .id,
        );
    }
    let foreign = directory
        .create_application(&two, application("foreign"))
        .await
        .expect("an application")
        .id;
    let with = NewEndpoint {
        application: Some(ids[0]),
        ..named("alice")
    };
    let alice = directory
        .create_endpoint(&one, with)
        .await
        .expect("an endpoint")
        .endpoint
        .id;
    let remove = async |id: Id, orphans| {
        directory
            .delete_application(&one, &Key::Number(id), orphans)
            .await
    };
    let of_alice = || {
        directory
            .subscriber_by_id(alice)
            .map(|subscriber| subscriber.application)
    };

    for to in [foreign, ids[0], 1] {
        let refused = remove(ids[0], Orphans::Move(Some(to))).await;
        assert!(matches!(
            refused,
            Err(Error::Invalid {
                field: "application",
                ..
            })
        ));
    }
    assert_eq!(remove(ids[0], Orphans::Move(Some(ids[1]))).await, Ok(()));
    assert_eq!(of_alice(), Some(Some(ids[1])));
    assert_eq!(remove(ids[1], Orphans::Move(None)).await, Ok(()));
    assert_eq!(of_alice(), Some(None));
    let attach = EndpointChange {
        application: Some(Some(ids[2])),
        ..EndpointChange::default()
    };
    directory
        .update_endpoint(&one, &Key::Number(alice), attach)
        .await
        .expect("changed");
    assert_eq!(remove(ids[2], Orphans::Delete).await, Ok(()));
    assert_eq!(of_alice(), None);
    assert_eq!(
        directory
            .endpoint(&one, &Key::Number(alice))
            .await
            .map(|view| view.endpoint.id),
        Err(ENDPOINT)
    );
}

#[tokio::test]
async fn a_domain_is_unique_without_regard_to_case_and_goes_with_its_endpoints() {
    let World {
        directory,
        one,
        two,
        ..
    } = world().await;
    let lab = directory
        .create_domain(&one, "Lab".into(), Some("phones".into()))
        .await
        .expect("a domain");
    assert_eq!(
        (lab.name.as_str(), lab.sip_domain.as_str()),
        ("Lab", "lab.sip.example.net")
    );
    let taken = Error::Conflict {
        what: "domain",
        value: "LAB".into(),
    };
    assert_eq!(
        directory.create_domain(&two, "LAB".into(), None).await,
        Err(taken)
    );
    let inside = NewEndpoint {
        domain: Some(lab.id),
        ..named("alice")
    };
    let view = directory
        .create_endpoint(&one, inside)
        .await
        .expect("an endpoint");
    assert_eq!(view.domain, lab);
    assert!(
        directory
            .create_endpoint(&one, named("alice"))
            .await
            .is_ok()
    );
    assert!(
        directory
            .subscriber("lab.sip.example.net", "alice")
            .is_some()
    );
    assert_eq!(
        directory
            .subscriber_in(one.id, "alice")
            .map(|found| found.endpoint),
        None
    );
    directory
        .delete_domain(&one, &lab.public_id)
        .await
        .expect("deleted");
    assert_eq!(directory.host("lab.sip.example.net"), None);
    assert!(directory.subscriber_by_id(view.endpoint.id).is_none());
    assert_eq!(directory.len(), 1);
    assert!(
        directory
            .create_domain(&two, "lab".into(), None)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn an_account_makes_a_hundred_domains_and_no_more() {
    let World {
        directory,
        one,
        two,
        ..
    } = world().await;
    let wishes = (0..101).map(|number| directory.create_domain(&one, format!("d{number}"), None));
    let outcomes = futures_util::future::join_all(wishes).await;
    let refused: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
    assert_eq!(
        refused,
        [Error::Forbidden {
            why: Barred::DomainLimit
        }]
    );
    assert!(
        directory
            .create_domain(&two, "more".into(), None)
            .await
            .is_ok()
    );
}
