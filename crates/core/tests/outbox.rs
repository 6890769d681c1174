//! The outbox: who is told when another receiver hangs, and how often (plivo-rest.md §14.2; hard cases X10, D20).

mod world;

use std::time::Duration;

use store::{CallbackRow, Flavor, HttpMethod};
use uuid::Uuid;
use world::{Customer, World, eventually, http, settings};

use offhook_core::{Clock, NewAccount};

fn row(account: store::Id, url: &str, call: u128) -> CallbackRow {
    CallbackRow {
        id: 0,
        account,
        call: Some(Uuid::from_u128(call)),
        flavor: Flavor::Plivo,
        url: url.to_owned(),
        method: HttpMethod::Post,
        body: serde_json::json!([["Event", "Hangup"], ["CallUUID", call.to_string()]]),
        attempts: 0,
        next_at: "2026-01-01T00:00:00Z".parse().expect("a time"),
        created: "2026-01-01T00:00:00Z".parse().expect("a time"),
    }
}

/// A world whose outbox finds these rows when it starts.
async fn world_that_tells(rows: impl Fn(store::Id, store::Id) -> Vec<CallbackRow>) -> World {
    let mut world = World::with(settings(), Clock::System).await;
    let other = NewAccount::named("other");
    let other = world.core.directory.create_account(other).await;
    let other = other.expect("an account").id;
    world.core.stop().await;
    for row in rows(world.account.id, other) {
        world.store.insert_callback(row).await.expect("a row");
    }
    world.restart().await;
    world
}

#[tokio::test]
async fn a_receiver_that_hangs_holds_up_nobody_else() {
    let mut hangs = Customer::new(|_| Vec::new()).await;
    let mut hears = Customer::new(|_| http("200 OK", "", b"")).await;
    let (dead, good) = (hangs.base.clone(), hears.base.clone());
    let world = world_that_tells(|one, other| {
        let mut rows: Vec<_> = (1..=300).map(|call| row(one, &dead, call)).collect();
        // Another server of the same account, and another account.
        rows.extend((301..=310).map(|call| row(one, &good, call)));
        rows.extend((311..=320).map(|call| row(other, &good, call)));
        // Two of one call: in order.
        rows.push(row(other, &format!("{good}/then"), 311));
        rows
    })
    .await;
    let mut heard = Vec::new();
    for _ in 0..21 {
        heard.push(hears.request().await);
    }
    let of_call = |call: &str| {
        let told = heard.iter().filter(|told| told.ends_with(call));
        told.map(|told| told.lines().next().unwrap_or_default())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        of_call("CallUUID=311&Event=Hangup"),
        ["POST / HTTP/1.1", "POST /then HTTP/1.1"]
    );
    eventually("only what hangs is left", || async {
        (world.store.count_callbacks().await.expect("a count") == 300).then_some(())
    })
    .await;
    let mut at_once = 0;
    while hangs.requests.try_recv().is_ok() {
        at_once += 1;
    }
    assert_eq!(at_once, 8);
}

#[tokio::test]
async fn a_second_try_is_not_late_because_of_a_receiver_that_hangs() {
    let hangs = Customer::new(|_| Vec::new()).await;
    let mut hears = Customer::new(|_| http("200 OK", "", b"")).await;
    let (dead, good) = (hangs.base.clone(), hears.base.clone());
    let soon = Clock::System
        .now()
        .wall
        .saturating_add(Duration::from_millis(200))
        .expect("a time");
    let _world = world_that_tells(|one, other| {
        let put_off = CallbackRow {
            next_at: soon,
            ..row(other, &good, 2)
        };
        vec![row(one, &dead, 1), put_off]
    })
    .await;
    assert!(hears.request().await.starts_with("POST / HTTP/1.1"));
}

#[tokio::test]
async fn a_url_that_says_how_often_is_asked_just_so_often() {
    let mut fails = Customer::new(|_| http("500 Internal Server Error", "", b"")).await;
    let url = format!("{}/hangup#rc=2&rp=5xx", fails.base);
    let world = world_that_tells(|one, _| vec![row(one, &url, 1)]).await;
    for _ in 0..3 {
        assert!(fails.request().await.starts_with("POST /hangup HTTP/1.1"));
    }
    eventually("an empty outbox", || async {
        (world.store.count_callbacks().await.expect("a count") == 0).then_some(())
    })
    .await;
    assert!(fails.requests.try_recv().is_err());
}
