//! Safe dialling: what passes a limit of its account or endpoint is refused by name and leaves a record.

mod world;

use offhook_core::{Clock, EndpointView, Key, LimitChange};
use sip::{Command, EndReason, SessionEvent, SessionId};
use store::CallRow;
use world::{
    OFFER, Outcome, PASSWORD, World, address, eventually, invite, register, settings, udp,
};

async fn world_with_two_phones() -> (World, EndpointView) {
    let mut world = World::with(settings(), Clock::System).await;
    world.direct_dial().await;
    let alice = world.endpoint("alice").await;
    for (user, port) in [("alice", 5060), ("bob", 5070)] {
        if user == "bob" {
            world.endpoint(user).await;
        }
        let request = register(user, 1, &format!("<sip:{user}@198.51.100.7:{port}>"));
        let bound = world.send_as(user, PASSWORD, &request, udp(port)).await;
        assert_eq!(bound.status(), 200);
    }
    (world, alice)
}

async fn limit(world: &World, endpoint: Option<&EndpointView>, change: LimitChange) {
    let key = endpoint.map(|view| Key::Number(view.endpoint.id));
    let directory = &world.core.directory;
    let changed = directory.update_limits(&world.account, key.as_ref(), change);
    changed.await.expect("changed");
}

/// Alice calls; the session, and how the core refused it if it did.
async fn call(world: &mut World, to: &str, serial: u32) -> (SessionId, Option<(u16, String)>) {
    let invite = invite(&address("alice"), to, serial);
    let outcome = world.send_as("alice", PASSWORD, &invite, udp(5060)).await;
    let Outcome::Accept(a) = outcome else {
        panic!("not taken: {outcome:?}");
    };
    loop {
        match world.command().await {
            Command::Invite { .. } => return (a, None),
            Command::Refuse {
                session,
                status,
                reason,
                ..
            } if session == a => {
                let reason = reason.map_or_else(String::new, |reason| reason.to_string());
                return (a, Some((status.0, reason)));
            }
            _ => {}
        }
    }
}

async fn newest(world: &World) -> CallRow {
    let filter = store::CallFilter {
        account: world.account.id,
        ..store::CallFilter::default()
    };
    let page = store::Page {
        limit: 20,
        offset: 0,
    };
    eventually("a row of a refused call", || async {
        let rows = world.store.calls(&filter, page).await.expect("rows");
        let callers = rows.items.into_iter().filter(|row| row.parent.is_none());
        callers.max_by_key(|row| row.started)
    })
    .await
}

fn cancelled() -> SessionEvent {
    SessionEvent::Cancelled { reason: None }
}

#[tokio::test]
async fn calls_at_a_time_are_counted_from_the_moment_the_limit_is_set_and_given_back() {
    let (mut world, alice) = world_with_two_phones().await;
    let (first, refused) = call(&mut world, &address("bob"), 1).await;
    assert_eq!(refused, None);
    for owner in [Some(&alice), None] {
        let one = LimitChange {
            concurrent_calls: Some(Some(1)),
            ..LimitChange::default()
        };
        limit(&world, owner, one).await;
        let (_, refused) = call(&mut world, &address("bob"), 2).await;
        let named = "Limit Of Concurrent Calls Reached".to_owned();
        assert_eq!(refused, Some((503, named)));
        assert_eq!(newest(&world).await.cause_code, Some(2210));
        let none = LimitChange {
            concurrent_calls: Some(None),
            ..LimitChange::default()
        };
        limit(&world, owner, none).await;
    }
    let one = LimitChange {
        concurrent_calls: Some(Some(1)),
        ..LimitChange::default()
    };
    limit(&world, Some(&alice), one).await;
    world.core.calls.session_event(first, cancelled());
    eventually("the end of the first", || async {
        (world.core.calls.live() == 0).then_some(())
    })
    .await;
    let (_, refused) = call(&mut world, &address("bob"), 3).await;
    assert_eq!(refused, None);
}

#[tokio::test]
async fn calls_in_a_second_are_a_bucket_of_as_many() {
    let (mut world, alice) = world_with_two_phones().await;
    let two = LimitChange {
        calls_per_second: Some(Some(2)),
        ..LimitChange::default()
    };
    limit(&world, Some(&alice), two).await;
    let mut refusals = 0;
    for serial in 1..=12 {
        let (_, refused) = call(&mut world, &address("bob"), serial).await;
        if let Some(refused) = refused {
            assert_eq!(
                refused,
                (503, "Limit Of Calls Per Second Reached".to_owned())
            );
            refusals += 1;
        }
    }
    // Twelve in a fraction of a second: two at once, and what the clock of a slow machine gives in between.
    assert!((6..=10).contains(&refusals), "{refusals}");
}

#[tokio::test]
async fn numbers_outside_of_the_prefixes_are_not_dialled_by_endpoint_or_account() {
    let (mut world, alice) = world_with_two_phones().await;
    let north_america = LimitChange {
        prefixes: Some(vec!["+1".into()]),
        ..LimitChange::default()
    };
    for owner in [Some(&alice), None] {
        limit(&world, owner, north_america.clone()).await;
        let (_, refused) = call(&mut world, &address("+4930123456"), 1).await;
        let named = "Number Outside Of The Allowed Prefixes".to_owned();
        assert_eq!(refused, Some((403, named)));
        // The caller hears of it before the row is written.
        eventually("the row of the refused call", || async {
            (newest(&world).await.cause_code == Some(2240)).then_some(())
        })
        .await;
        // Inside of them it goes on to the trunk, of which there is none.
        let (_, refused) = call(&mut world, &address("15005550123"), 2).await;
        assert_eq!(refused.map(|(status, _)| status), Some(404));
        let anywhere = LimitChange {
            prefixes: Some(Vec::new()),
            ..LimitChange::default()
        };
        limit(&world, owner, anywhere).await;
    }
}

#[tokio::test]
async fn minutes_of_a_day_end_the_call_that_uses_them_up_and_survive_a_restart() {
    let (mut world, alice) = world_with_two_phones().await;
    let (a, _) = call(&mut world, &address("bob"), 1).await;
    // The callee's leg has the number after the caller's.
    let b = SessionId(a.0 + 1);
    let answer = SessionEvent::Answered {
        sdp: Some(OFFER.into()),
        response: sip::Response::new(sip::Status::OK),
    };
    world.core.calls.session_event(b, answer);
    while !matches!(world.command().await, Command::Answer { .. }) {}
    world.core.calls.session_event(
        a,
        SessionEvent::Ended {
            why: EndReason::Bye { reason: None },
        },
    );
    eventually("the end of the call", || async {
        (world.core.calls.live() == 0).then_some(())
    })
    .await;
    // What the day has used is read from the records.
    let mut row = newest(&world).await;
    row.bill_duration = 3 * 60;
    world.store.upsert_call(row).await.expect("written");
    let three = LimitChange {
        minutes_per_day: Some(Some(3)),
        ..LimitChange::default()
    };
    limit(&world, Some(&alice), three).await;
    world.restart().await;
    let (_, refused) = call(&mut world, &address("bob"), 2).await;
    let named = "Limit Of Minutes A Day Reached".to_owned();
    assert_eq!(refused, Some((403, named)));
    assert_eq!(newest(&world).await.cause_code, Some(2230));
    let four = LimitChange {
        minutes_per_day: Some(Some(4)),
        ..LimitChange::default()
    };
    limit(&world, Some(&alice), four).await;
    let (_, refused) = call(&mut world, &address("bob"), 3).await;
    assert_eq!(refused, None);
}

#[tokio::test]
async fn limits_go_with_their_endpoint() {
    let (world, alice) = world_with_two_phones().await;
    let one = LimitChange {
        concurrent_calls: Some(Some(1)),
        ..LimitChange::default()
    };
    limit(&world, Some(&alice), one).await;
    let key = Key::Number(alice.endpoint.id);
    let directory = &world.core.directory;
    directory
        .delete_endpoint(&world.account, &key)
        .await
        .expect("deleted");
    assert!(directory.limits(&world.account, Some(&key)).await.is_err());
    let mut left = 0;
    world
        .store
        .load_limits(|_, _| left += 1)
        .await
        .expect("read");
    assert_eq!(left, 0);
}
