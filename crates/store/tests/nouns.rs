//! The nouns: paging, filters, what belongs to what.

#[expect(dead_code, reason = "each test file uses its share")]
mod world;

use std::sync::Arc;

use store::{
    Application, ApplicationFilter, ApplicationKind, Busy, CallDirection, CallFilter, CallbackRow,
    Comparison, DomainFilter, DomainKind, EndpointFilter, Error, Flavor, HttpMethod, Id, Login,
    Match, Number, NumberFilter, Page, Route, Secret, Store, Transport, Trunk, WithEndpoints,
};
use uuid::Uuid;
use world::{account, at, call, domain, endpoint, in_memory};

const ALL: Page = Page {
    limit: 100,
    offset: 0,
};

async fn two_accounts() -> Store {
    let store = in_memory().await;
    for id in [1, 2] {
        let (account, domain) = account(id);
        store.insert_account(account, domain).await.unwrap();
    }
    store
}

fn application(id: Id, account: Id, name: &str) -> Application {
    Application {
        id,
        public_id: format!("a-{id}"),
        account,
        flavor: Flavor::Plivo,
        name: name.into(),
        kind: ApplicationKind::Xml,
        answer_url: Some("https://hooks.example.com/answer".into()),
        answer_method: HttpMethod::Get,
        hangup_url: None,
        hangup_method: HttpMethod::Post,
        fallback_url: None,
        fallback_method: HttpMethod::Post,
        message_url: None,
        message_method: HttpMethod::Post,
        registration_url: Some("https://hooks.example.com/registration".into()),
        registration_method: HttpMethod::Get,
        default_number_app: false,
        default_endpoint_app: false,
        public_uri: true,
        log_incoming: true,
        enabled: true,
        extra: serde_json::json!({"sip_transfer_url": null}),
        created: at(0),
        updated: at(0),
    }
}

async fn users(store: &Store, filter: EndpointFilter) -> Vec<String> {
    let page = store
        .endpoints(
            &EndpointFilter {
                account: 1,
                ..filter
            },
            ALL,
        )
        .await
        .unwrap();
    assert_eq!(page.total, page.items.len() as u64);
    page.items
        .into_iter()
        .map(|endpoint| endpoint.user)
        .collect()
}

#[tokio::test]
async fn lists_are_newest_first_and_paged() {
    let store = two_accounts().await;
    for id in 1..=45 {
        store
            .insert_endpoint(endpoint(1000 - id, 1, &format!("u{id}")))
            .await
            .unwrap();
    }
    store
        .insert_endpoint(endpoint(2000, 2, "other"))
        .await
        .unwrap();
    let filter = EndpointFilter {
        account: 1,
        ..Default::default()
    };
    let mut seen = Vec::new();
    for offset in [0, 20, 40, 60] {
        let page = store
            .endpoints(&filter, Page { limit: 20, offset })
            .await
            .unwrap();
        assert_eq!(page.total, 45);
        seen.extend(page.items.into_iter().map(|endpoint| endpoint.user));
    }
    assert_eq!(
        seen,
        (1..=45)
            .rev()
            .map(|id| format!("u{id}"))
            .collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn an_endpoint_comes_back_as_it_was_inserted() {
    let store = two_accounts().await;
    store
        .insert_endpoint(endpoint(7, 1, "alice"))
        .await
        .unwrap();
    let read = store.endpoint(7).await.unwrap().unwrap();
    assert_eq!(
        format!("{read:?}"),
        format!("{:?}", endpoint(7, 1, "alice"))
    );
    assert_eq!(read.password.expose(), "CLEAR-password-7");
    assert_eq!(
        store
            .endpoint_by_public_id("re-7")
            .await
            .unwrap()
            .map(|found| found.id),
        Some(7)
    );
}

#[tokio::test]
async fn endpoint_filters_are_literal_and_combine() {
    let store = two_accounts().await;
    store
        .insert_application(application(5, 1, "five"), false)
        .await
        .unwrap();
    for (id, user, application) in [
        (1, "lobby_1", Some(5)),
        (2, "lobbyX1", None),
        (3, "Lobby_2", None),
        (4, "my_lobby_1", None),
    ] {
        store
            .insert_endpoint(store::Endpoint {
                application,
                ..endpoint(id, 1, user)
            })
            .await
            .unwrap();
    }
    let user = |wanted: Match| EndpointFilter {
        user: vec![wanted],
        ..Default::default()
    };
    assert_eq!(
        users(&store, user(Match::StartsWith("lobby_".into()))).await,
        ["lobby_1"]
    );
    assert_eq!(
        users(&store, user(Match::Contains("lobby_1".into()))).await,
        ["my_lobby_1", "lobby_1"]
    );
    assert_eq!(
        users(&store, user(Match::Exact("Lobby_2".into()))).await,
        ["Lobby_2"]
    );
    for hostile in ["%", "lobby%", "' OR '1'='1", "\"", "[a-z]*"] {
        assert!(
            users(&store, user(Match::Contains(hostile.into())))
                .await
                .is_empty(),
            "{hostile}"
        );
    }
    let label = EndpointFilter {
        label: vec![Match::Exact("label of lobbyX1".into())],
        ..Default::default()
    };
    assert_eq!(users(&store, label).await, ["lobbyX1"]);
    let with = EndpointFilter {
        application: Some(5),
        ..Default::default()
    };
    assert_eq!(users(&store, with).await, ["lobby_1"]);
    let without = EndpointFilter {
        without_application: Some(true),
        user: vec![
            Match::Contains("obby".into()),
            Match::StartsWith("my".into()),
        ],
        ..Default::default()
    };
    assert_eq!(users(&store, without).await, ["my_lobby_1"]);
}

#[tokio::test]
async fn an_endpoint_takes_only_an_application_of_its_own_account() {
    let store = two_accounts().await;
    store
        .insert_application(application(5, 2, "five"), false)
        .await
        .unwrap();
    for application in [5, 6] {
        let wanted = store::Endpoint {
            application: Some(application),
            ..endpoint(1, 1, "alice")
        };
        assert!(matches!(
            store.insert_endpoint(wanted).await,
            Err(Error::Gone)
        ));
    }
}

#[tokio::test]
async fn default_flags_move_and_names_are_unique_only_on_demand() {
    let store = two_accounts().await;
    let mut first = application(1, 1, "same");
    first.default_endpoint_app = true;
    first.default_number_app = true;
    store.insert_application(first, true).await.unwrap();
    let mut second = application(2, 1, "same");
    second.default_endpoint_app = true;
    assert!(matches!(
        store.insert_application(second.clone(), true).await,
        Err(Error::Taken { .. })
    ));
    store.insert_application(second, false).await.unwrap();
    store
        .insert_application(application(3, 2, "same"), true)
        .await
        .unwrap();
    let first = store.application(1).await.unwrap().unwrap();
    assert_eq!(
        (first.default_endpoint_app, first.default_number_app),
        (false, true)
    );
    let filter = ApplicationFilter {
        account: 1,
        name_prefix: Some("sa".into()),
        flavor: Some(Flavor::Plivo),
    };
    let ids = store
        .applications(&filter, ALL)
        .await
        .unwrap()
        .items
        .iter()
        .map(|found| found.id)
        .collect::<Vec<_>>();
    assert_eq!(ids, [2, 1]);
    let filter = ApplicationFilter {
        account: 1,
        name_prefix: Some("_a".into()),
        flavor: None,
    };
    assert_eq!(store.applications(&filter, ALL).await.unwrap().total, 0);
}

#[tokio::test]
async fn a_deleted_application_takes_its_endpoints_along_or_leaves_them() {
    let store = two_accounts().await;
    for id in [5, 6] {
        store
            .insert_application(application(id, 1, "app"), false)
            .await
            .unwrap();
    }
    for (id, application) in [(1, Some(5)), (2, Some(5)), (3, Some(6))] {
        store
            .insert_endpoint(store::Endpoint {
                application,
                ..endpoint(id, 1, &format!("u{id}"))
            })
            .await
            .unwrap();
    }
    let moved = store
        .delete_application(5, WithEndpoints::Move(Some(6)))
        .await
        .unwrap();
    assert_eq!(moved, Some(vec![1, 2]));
    assert_eq!(
        store.endpoint(1).await.unwrap().unwrap().application,
        Some(6)
    );
    assert_eq!(
        store
            .delete_application(6, WithEndpoints::Delete)
            .await
            .unwrap()
            .map(|gone| gone.len()),
        Some(3)
    );
    assert_eq!(users(&store, EndpointFilter::default()).await, [""; 0]);
    assert_eq!(
        store
            .delete_application(6, WithEndpoints::Delete)
            .await
            .unwrap(),
        None
    );
}

#[tokio::test]
async fn domains_are_unique_counted_and_deleted_with_their_endpoints() {
    let store = two_accounts().await;
    store
        .insert_domain(domain(10, 1, "lab.example.net", DomainKind::Bandwidth), 2)
        .await
        .unwrap();
    let same = domain(11, 2, "lab.example.net", DomainKind::Bandwidth);
    match store.insert_domain(same, 2).await {
        Err(Error::Taken { columns }) => assert_eq!(columns, "domain.sip_domain"),
        other => panic!("{other:?}"),
    }
    store
        .insert_domain(domain(12, 1, "two.example.net", DomainKind::Bandwidth), 2)
        .await
        .unwrap();
    let third = domain(13, 1, "three.example.net", DomainKind::Bandwidth);
    assert!(matches!(
        store.insert_domain(third, 2).await,
        Err(Error::Limit { limit: 2 })
    ));
    store
        .insert_endpoint(store::Endpoint {
            domain: 10,
            ..endpoint(1, 1, "alice")
        })
        .await
        .unwrap();
    store
        .insert_endpoint(endpoint(2, 1, "alice"))
        .await
        .unwrap();
    assert_eq!(store.delete_domain(10).await.unwrap(), Some(vec![1]));
    assert_eq!(store.delete_domain(10).await.unwrap(), None);
    assert!(
        store.endpoint(1).await.unwrap().is_none() && store.endpoint(2).await.unwrap().is_some()
    );
    let own = store
        .domains(
            &DomainFilter {
                account: 1,
                kind: Some(DomainKind::Bandwidth),
            },
            ALL,
        )
        .await
        .unwrap();
    assert_eq!(
        own.items
            .iter()
            .map(|found| found.public_id.as_str())
            .collect::<Vec<_>>(),
        ["rd-12"]
    );
}

#[tokio::test]
async fn calls_are_listed_when_they_are_over_and_found_by_every_filter() {
    let store = two_accounts().await;
    let answered = call(1, 1, Some(12));
    let mut b_leg = call(2, 1, Some(32));
    b_leg.parent = Some(answered.uuid);
    b_leg.direction = CallDirection::Outbound;
    b_leg.from = "15550199".into();
    b_leg.source = Some("API Request".into());
    b_leg.cause_code = Some(1000);
    let live = call(3, 1, None);
    let foreign = call(4, 2, Some(50));
    let rows = vec![call(1, 1, None), b_leg.clone(), live.clone(), foreign];
    let rows = rows.into_iter().map(Arc::new).collect();
    store.put_calls(rows, Vec::new()).await.unwrap();
    assert_eq!(store.calls_live().await.unwrap(), [call(1, 1, None), live]);
    store.upsert_call(answered.clone()).await.unwrap();
    assert_eq!(
        store.call(1, answered.uuid).await.unwrap(),
        Some(answered.clone())
    );
    assert_eq!(store.call(2, answered.uuid).await.unwrap(), None);

    let found = async |filter: CallFilter| {
        let page = store
            .calls(
                &CallFilter {
                    account: 1,
                    ..filter
                },
                ALL,
            )
            .await
            .unwrap();
        assert_eq!(page.total, page.items.len() as u64);
        page.items
            .iter()
            .map(|call| call.uuid.as_u128())
            .collect::<Vec<_>>()
    };
    let none = CallFilter::default;
    assert_eq!(found(none()).await, [2, 1]);
    assert_eq!(
        found(CallFilter {
            direction: Some(CallDirection::Outbound),
            ..none()
        })
        .await,
        [2]
    );
    assert_eq!(
        found(CallFilter {
            from: Some(Match::StartsWith("1555".into())),
            ..none()
        })
        .await,
        [2]
    );
    assert_eq!(
        found(CallFilter {
            from: Some(Match::Exact("1555".into())),
            ..none()
        })
        .await,
        [0; 0]
    );
    assert_eq!(
        found(CallFilter {
            to: Some(Match::Exact("15550100".into())),
            ..none()
        })
        .await,
        [2, 1]
    );
    assert_eq!(
        found(CallFilter {
            parent: Some(Uuid::from_u128(1)),
            ..none()
        })
        .await,
        [2]
    );
    assert_eq!(
        found(CallFilter {
            cause_code: Some(1000),
            ..none()
        })
        .await,
        [2]
    );
    assert_eq!(
        found(CallFilter {
            source: Some("Callee".into()),
            ..none()
        })
        .await,
        [1]
    );
    assert_eq!(
        found(CallFilter {
            endpoint: Some(6),
            ..none()
        })
        .await,
        [0; 0]
    );
    let seconds = [
        (Comparison::Equal, 10, vec![1]),
        (Comparison::Greater, 10, vec![2]),
        (Comparison::GreaterOrEqual, 10, vec![2, 1]),
        (Comparison::Less, 30, vec![1]),
        (Comparison::LessOrEqual, 30, vec![2, 1]),
    ];
    for (how, value, expected) in seconds {
        assert_eq!(
            found(CallFilter {
                bill_duration: vec![(how, value)],
                ..none()
            })
            .await,
            expected,
            "{how:?}"
        );
    }
    let between = vec![
        (Comparison::GreaterOrEqual, at(12)),
        (Comparison::Less, at(32)),
    ];
    assert_eq!(
        found(CallFilter {
            end_time: between,
            ..none()
        })
        .await,
        [1]
    );
    let second = store
        .calls(
            &CallFilter {
                account: 1,
                ..none()
            },
            Page {
                limit: 1,
                offset: 1,
            },
        )
        .await
        .unwrap();
    assert_eq!((second.total, second.items), (2, vec![answered]));
}

#[tokio::test]
async fn a_callback_waits_until_it_is_due_and_survives_with_its_call() {
    let store = two_accounts().await;
    let row = CallbackRow {
        id: 0,
        account: 1,
        call: Some(Uuid::from_u128(1)),
        flavor: Flavor::Vobiz,
        url: "https://hooks.example.com/hangup".into(),
        method: HttpMethod::Post,
        body: serde_json::json!([["Event", "Hangup"]]),
        attempts: 0,
        next_at: at(5),
        created: at(0),
    };
    assert_eq!(store.next_callback(at(0)).await.unwrap(), None);
    store
        .put_calls(vec![Arc::new(call(1, 1, Some(5)))], vec![row.clone()])
        .await
        .unwrap();
    assert_eq!(store.due_callbacks(at(4), 10).await.unwrap(), []);
    let due = store.due_callbacks(at(5), 10).await.unwrap();
    assert_eq!(
        due,
        [CallbackRow {
            id: due[0].id,
            ..row.clone()
        }]
    );
    store
        .update_callback(CallbackRow {
            attempts: 1,
            next_at: at(65),
            ..due[0].clone()
        })
        .await
        .unwrap();
    assert_eq!(store.next_callback(at(5)).await.unwrap(), Some(at(65)));
    let told = |rows: &[i64], call: Option<u128>, receivers: &[(i64, &str)]| Busy {
        rows: rows.to_vec(),
        calls: call.map(Uuid::from_u128).into_iter().collect(),
        receivers: receivers
            .iter()
            .map(|(account, start)| (*account, (*start).to_owned()))
            .collect(),
    };
    assert_eq!(store.next_callback(at(65)).await.unwrap(), None);
    for (busy, left) in [
        (told(&[], None, &[]), 1),
        (told(&[due[0].id], None, &[]), 0),
        (told(&[due[0].id + 1], Some(2), &[]), 1),
        (told(&[], Some(1), &[]), 0),
        (told(&[], None, &[(1, "https://hooks.example.com")]), 0),
        (told(&[], None, &[(1, "")]), 0),
        (
            told(&[], None, &[(2, ""), (1, "https://other.example.com")]),
            1,
        ),
    ] {
        let due = store.due_callbacks_beside(at(65), 10, &busy).await.unwrap();
        assert_eq!(due.len(), left, "{busy:?}");
    }
    assert_eq!(
        store.due_callbacks(at(65), 10).await.unwrap()[0].attempts,
        1
    );
    store.delete_callback(due[0].id).await.unwrap();
    assert_eq!(store.count_callbacks().await.unwrap(), 0);
}

fn trunk(id: Id, account: Id, name: &str) -> Trunk {
    Trunk {
        id,
        public_id: format!("tr-{id}"),
        account,
        name: name.into(),
        register: true,
        hosts: vec!["sip:gw.example.net".into(), "sip:192.0.2.7:5070".into()],
        transport: Some(Transport::Tcp),
        login: Some(Login {
            user: "acme".into(),
            password: Secret::new("CLEAR-out"),
        }),
        inbound_login: None,
        inbound_networks: vec!["192.0.2.0/24".into()],
        routes: vec![Route {
            prefix: "44".into(),
            strip: 2,
            prepend: "0".into(),
            priority: 1,
            weight: 10,
        }],
        shown_prefixes: vec![String::new()],
        default_caller_id: Some("15550100".into()),
        plus: true,
        trusted: false,
        from_domain: None,
        max_calls: 30,
        options_interval: 60,
        expires: 3600,
        enabled: true,
        created: at(0),
        updated: at(0),
    }
}

/// Everything but the secrets, which show themselves as `***`.
fn shown(trunk: &Trunk) -> String {
    format!("{trunk:?}")
}

#[tokio::test]
async fn a_trunk_reads_back_as_it_was_written_and_its_name_is_unique_in_its_account() {
    let store = two_accounts().await;
    let first = trunk(7, 1, "carrier");
    store.insert_trunk(first.clone(), 2).await.unwrap();
    store.insert_trunk(trunk(8, 2, "carrier"), 2).await.unwrap();
    let twin = store.insert_trunk(trunk(9, 1, "carrier"), 2).await;
    assert!(matches!(twin, Err(Error::Taken { columns }) if columns.contains("trunk.name")));
    store.insert_trunk(trunk(9, 1, "other"), 2).await.unwrap();
    let third = store.insert_trunk(trunk(10, 1, "third"), 2).await;
    assert!(matches!(third, Err(Error::Limit { limit: 2 })));

    let found = store.trunk_by_public_id("tr-7").await.unwrap().unwrap();
    assert_eq!(shown(&found), shown(&first));
    assert_eq!(found.login.unwrap().password.expose(), "CLEAR-out");

    let mut changed = first;
    changed.register = false;
    changed.login = None;
    changed.inbound_login = Some(Login {
        user: "them".into(),
        password: Secret::new("CLEAR-in"),
    });
    changed.transport = None;
    assert!(store.update_trunk(changed.clone()).await.unwrap());
    let page = store.trunks(1, ALL).await.unwrap();
    assert_eq!(page.total, 2);
    assert_eq!(shown(&page.items[1]), shown(&changed));
    let mut loaded = Vec::new();
    store
        .load_trunks(|trunk| loaded.push(trunk.public_id))
        .await
        .unwrap();
    assert_eq!(loaded, ["tr-7", "tr-8", "tr-9"]);
    assert!(store.delete_trunk(7).await.unwrap());
    assert!(!store.delete_trunk(7).await.unwrap());
}

fn number(id: Id, account: Id, digits: &str) -> Number {
    Number {
        id,
        public_id: format!("n-{id}"),
        number: digits.into(),
        account,
        application: None,
        alias: None,
        carrier: Some("carrier".into()),
        region: None,
        kind: "local".into(),
        created: at(0),
        updated: at(0),
    }
}

#[tokio::test]
async fn a_number_has_one_owner_and_loses_an_application_that_is_deleted() {
    let store = two_accounts().await;
    store
        .insert_application(application(20, 1, "did"), false)
        .await
        .unwrap();
    let pair = vec![number(1, 1, "15550100"), number(2, 1, "442079460000")];
    store.insert_numbers(pair).await.unwrap();
    let again = vec![number(3, 2, "15550199"), number(4, 2, "15550100")];
    assert!(matches!(
        store.insert_numbers(again).await,
        Err(Error::Taken { .. })
    ));
    let mut mine = number(1, 1, "15550100");
    mine.application = Some(20);
    mine.alias = Some("main".into());
    assert!(store.update_number(mine.clone()).await.unwrap());
    let mut foreign = number(2, 1, "442079460000");
    foreign.application = Some(99);
    assert!(matches!(
        store.update_number(foreign).await,
        Err(Error::Gone)
    ));
    let filter = NumberFilter {
        account: 1,
        number: Some(Match::StartsWith("1555".into())),
        ..NumberFilter::default()
    };
    let found = store.numbers(&filter, ALL).await.unwrap();
    assert_eq!((found.total, found.items), (1, vec![mine.clone()]));
    let all = |account| NumberFilter {
        account,
        ..NumberFilter::default()
    };
    assert_eq!(store.numbers(&all(2), ALL).await.unwrap().total, 0);
    store
        .delete_application(20, WithEndpoints::Move(None))
        .await
        .unwrap();
    mine.application = None;
    assert_eq!(store.numbers(&filter, ALL).await.unwrap().items, [mine]);
    assert!(store.delete_number(1).await.unwrap());
    assert_eq!(store.numbers(&all(1), ALL).await.unwrap().total, 1);
}
