//! Trunks and numbers: whose they are, and what may be said about them.

use offhook_core::directory::{NewAccount, NewNumbers, NumberChange, NumberFilter, TrunkChange};
use offhook_core::error::{Error, Why};
use offhook_core::{AccountChange, Secret};

use super::{ALL, World, application, load, world};

const TRUNK: Error = Error::NotFound { what: "trunk" };
const NUMBER: Error = Error::NotFound { what: "number" };

fn carrier(name: &str) -> TrunkChange {
    TrunkChange {
        name: Some(name.into()),
        hosts: Some(vec!["gw.example.net".into()]),
        inbound_networks: Some(vec!["192.0.2.0/24".into()]),
        username: Some(Some("acme".into())),
        password: Some(Some(Secret::new("secret"))),
        ..TrunkChange::default()
    }
}

fn numbers(text: &str) -> NewNumbers {
    NewNumbers {
        numbers: vec![text.into()],
        ..NewNumbers::default()
    }
}

#[tokio::test]
async fn a_trunk_is_its_accounts_alone_and_survives_a_restart() {
    let World {
        directory,
        store,
        settings,
        one,
        two,
    } = world().await;
    let trunk = directory
        .create_trunk(&one, carrier("a"))
        .await
        .expect("a trunk");
    let id = trunk.public_id.as_str();
    assert_eq!(directory.trunk(&two, id).err(), Some(TRUNK));
    let change = directory.update_trunk(&two, id, carrier("b")).await;
    assert_eq!(change.err(), Some(TRUNK));
    assert_eq!(directory.delete_trunk(&two, id).await, Err(TRUNK));
    assert_eq!(directory.trunks(&two, ALL).await.expect("a list").total, 0);

    let again = load(&store, &settings).await;
    let known = again.trunk(&one, id).expect("it is there");
    assert_eq!(
        known.login.as_ref().expect("a login").password.expose(),
        "secret"
    );
    let host = format!("{id}.sip.example.net");
    assert_eq!(again.realm_of_trunk(&known), host);
    assert_eq!(
        again.trunk_of_host(&host).expect("by its realm").id,
        trunk.id
    );
    assert!(again.trunk_of_host("tr-x.sip.example.net").is_none());
    let at = |text: &str| {
        again
            .trunks_with_address(text.parse().expect("an address"))
            .len()
    };
    assert_eq!((at("192.0.2.200"), at("192.0.3.1")), (1, 0));
    assert_eq!(again.enabled_trunks_of(one.id).len(), 1);

    let off = TrunkChange {
        enabled: Some(false),
        password: Some(None),
        username: Some(None),
        inbound_networks: Some(Vec::new()),
        ..TrunkChange::default()
    };
    let changed = again.update_trunk(&one, id, off).await.expect("changed");
    assert!(changed.login.is_none());
    assert!(again.enabled_trunks_of(one.id).is_empty() && again.enabled_trunks().is_empty());
    assert!(
        again
            .trunks_with_address("192.0.2.200".parse().expect("one"))
            .is_empty()
    );
    again.delete_trunk(&one, id).await.expect("deleted");
    assert_eq!(again.trunk(&one, id).err(), Some(TRUNK));
}

#[tokio::test]
async fn a_number_leads_to_an_application_of_its_account_and_nobody_else_sees_it() {
    let World {
        directory,
        store,
        settings,
        one,
        two,
    } = world().await;
    let app = directory
        .create_application(&one, application("did"))
        .await
        .expect("an application");
    let made = directory
        .create_numbers(&one, numbers("+1 555 0100"))
        .await
        .expect("a number");
    assert_eq!(
        (made[0].number.as_str(), made[0].application),
        ("15550100", None)
    );
    let taken = directory.create_numbers(&two, numbers("15550100")).await;
    assert!(matches!(taken, Err(Error::Conflict { what: "number", .. })));
    assert_eq!(directory.number(&two, "15550100").err(), Some(NUMBER));
    assert_eq!(directory.delete_number(&two, "15550100").await, Err(NUMBER));

    let attach = |id| NumberChange {
        application: Some(Some(id)),
        alias: None,
    };
    let changed = directory
        .update_number(&one, "+15550100", attach(app.id))
        .await
        .expect("attached");
    assert_eq!(changed.application, Some(app.id));
    let foreign = directory
        .create_numbers(
            &two,
            NewNumbers {
                application: Some(Some(app.id)),
                ..numbers("15550101")
            },
        )
        .await;
    assert!(matches!(
        foreign,
        Err(Error::Invalid {
            field: "application",
            why: Why::NotValid(_)
        })
    ));

    let again = load(&store, &settings).await;
    assert_eq!(
        again.known_number("15550100").expect("known").application,
        Some(app.id)
    );
    assert_eq!(
        again
            .number(&one, &made[0].public_id)
            .expect("by its id")
            .number,
        "15550100"
    );
    assert_eq!(again.numbers_with_application(app.id), 1);
    let key = offhook_core::Key::Number(app.id);
    again
        .delete_application(&one, &key, offhook_core::Orphans::Move(None))
        .await
        .expect("deleted");
    assert_eq!(
        again
            .known_number("15550100")
            .expect("it stays")
            .application,
        None
    );
    let listed = again
        .numbers(&one, &NumberFilter::default(), ALL)
        .await
        .expect("a list");
    assert_eq!((listed.total, listed.items[0].application), (1, None));
    again
        .delete_number(&one, "15550100")
        .await
        .expect("deleted");
    assert!(again.known_number("15550100").is_none());
}

#[tokio::test]
async fn people_write_numbers_as_in_their_country() {
    let World { directory, .. } = world().await;
    let new = NewAccount {
        country_code: Some("44".into()),
        ..NewAccount::named("london")
    };
    let london = directory.create_account(new).await.expect("an account");
    let made = directory
        .create_numbers(&london, numbers("020 7946 0000"))
        .await
        .expect("a number");
    assert_eq!(made[0].number, "442079460000");
    assert!(directory.number(&london, "0044 20 7946 0000").is_ok());
    let change = AccountChange {
        country_code: Some(Some("044".into())),
        ..AccountChange::default()
    };
    let refused = directory.update_account(&london, change).await;
    assert!(matches!(
        refused,
        Err(Error::Invalid {
            field: "country_code",
            ..
        })
    ));
}
