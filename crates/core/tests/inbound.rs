//! INVITE from endpoints, strangers and attackers, and what a call leaves behind: rows, and word to the customer.

mod world;

use std::time::Duration;

use offhook_core::{AccountChange, ApplicationChange, Clock, EndpointChange, Key};
use sip::{Command, Method, Name, SessionEvent, SessionId, Status};
use world::{
    Customer, OFFER, Outcome, PASSWORD, World, address, eventually, http, invite, prove, register,
    settings, shown, udp, with_proof,
};

const STRANGER: &str = "sip:carol@elsewhere.example.com";

async fn world_with_two_phones() -> World {
    let mut world = World::with(settings(), Clock::System).await;
    world.direct_dial().await;
    for (user, port) in [("alice", 5060), ("bob", 5070)] {
        world.endpoint(user).await;
        let request = register(user, 1, &format!("<sip:{user}@198.51.100.7:{port}>"));
        assert_eq!(
            world
                .send_as(user, PASSWORD, &request, udp(port))
                .await
                .status(),
            200
        );
    }
    world
}

#[tokio::test]
async fn an_endpoint_is_challenged_with_407_and_a_proof_for_register_is_none() {
    let mut world = world_with_two_phones().await;
    let call = invite(&address("alice"), &address("bob"), 1);
    let challenge = world.send(&call, udp(5060)).await.reply();
    assert_eq!(
        shown(&challenge),
        "407 Proxy Authentication Required\n\
         Via: SIP/2.0/UDP 10.0.0.5:5060;rport;branch=z9hG4bK-1\n\
         From: <sip:alice@sip.example.net>;tag=*\n\
         To: <sip:bob@sip.example.net>;tag=*\n\
         Call-ID: call-1\n\
         CSeq: 1 INVITE\n\
         Proxy-Authenticate: Digest realm=\"sip.example.net\", nonce=\"*\", algorithm=MD5, qop=\"auth\""
    );
    // S63: the digest of a REGISTER for the same URI.
    let again = invite(&address("alice"), &address("bob"), 2);
    let mut other_method = again.clone();
    other_method.method = Method::Register;
    let proof = prove(&challenge, "alice", PASSWORD, 1, &other_method);
    assert_eq!(
        world
            .send(&with_proof(&again, proof), udp(5060))
            .await
            .status(),
        407
    );
    // S61 as for REGISTER; S69: whoever From says.
    let mut spoofed = invite(&address("bob"), &address("bob"), 3);
    spoofed.headers.set(Name::CallId, "call-9");
    let proof = prove(&challenge, "alice", PASSWORD, 1, &spoofed);
    let spoofed = with_proof(&spoofed, proof);
    assert!(matches!(
        world.send(&spoofed, udp(5060)).await,
        Outcome::Accept(_)
    ));
    let row = eventually("a row", || async {
        world.store.calls_live().await.expect("rows").pop()
    })
    .await;
    assert_eq!(row.from, address("alice"));
    let mut replay = spoofed.clone();
    replay
        .headers
        .set(Name::Via, "SIP/2.0/UDP 10.0.0.5:5060;branch=z9hG4bK-replay");
    let refused = world.send(&replay, udp(5060)).await.reply();
    assert!(
        refused.status.0 == 407 && shown(&refused).contains("stale=true"),
        "{}",
        shown(&refused)
    );
}

#[tokio::test]
async fn who_may_not_call_hears_why() {
    let mut world = World::new().await;
    world.endpoint("alice").await;
    let bob = world.endpoint("bob").await;
    let call = |serial| invite(&address("alice"), &address("bob"), serial);
    let refused = world
        .send_as("alice", PASSWORD, &call(1), udp(5060))
        .await
        .reply();
    assert_eq!(refused.status, Status::NOT_FOUND);
    assert_eq!(
        refused.headers.get(&Name::Warning).map(|value| &**value),
        Some("399 sip.example.net \"No application for this endpoint\"")
    );
    let application = world.direct_dial().await;
    let key = Key::Number(application.id);
    let off = ApplicationChange {
        enabled: Some(false),
        ..ApplicationChange::default()
    };
    world
        .core
        .directory
        .update_application(&world.account, &key, off)
        .await
        .expect("changed");
    assert_eq!(
        world
            .send_as("alice", PASSWORD, &call(2), udp(5060))
            .await
            .status(),
        403
    );
    let change = EndpointChange {
        enabled: Some(false),
        ..EndpointChange::default()
    };
    let key = Key::Number(bob.endpoint.id);
    world
        .core
        .directory
        .update_endpoint(&world.account, &key, change)
        .await
        .expect("changed");
    let from_bob = invite(&address("bob"), &address("alice"), 3);
    assert_eq!(
        world
            .send_as("bob", PASSWORD, &from_bob, udp(5060))
            .await
            .status(),
        403
    );
    // S71, S72: our own leg came back.
    let mut ourselves = udp(5060);
    ourselves.remote = ourselves.local;
    assert_eq!(world.send(&call(4), ourselves).await.status(), 482);
    // S24.
    assert_eq!(
        world
            .send(&invite(&address("a%00b"), &address("bob"), 5), udp(5060))
            .await
            .status(),
        400
    );
    // S46: strangers and foreign domains.
    assert_eq!(
        world
            .send(&invite(STRANGER, "sip:x@far.example.com", 6), udp(5060))
            .await
            .status(),
        403
    );
    assert_eq!(
        world
            .send(&invite(STRANGER, &address("nobody"), 7), udp(5060))
            .await
            .status(),
        404
    );
    assert_eq!(
        world
            .send(&invite(STRANGER, &address("bob"), 8), udp(5060))
            .await
            .status(),
        404
    );
    let shut = AccountChange {
        allow_external_callers: Some(false),
        ..AccountChange::default()
    };
    world
        .core
        .directory
        .update_account(&world.account, shut)
        .await
        .expect("changed");
    assert_eq!(
        world
            .send(&invite(STRANGER, &address("alice"), 9), udp(5060))
            .await
            .status(),
        404
    );
    world.core.drain(Duration::ZERO).await;
    let drained = world.send(&call(10), udp(5060)).await.reply();
    assert_eq!(drained.status, Status::SERVICE_UNAVAILABLE);
    assert!(drained.headers.get(&Name::RetryAfter).is_some());
}

#[tokio::test]
async fn a_body_that_is_no_description_is_415_and_never_a_call_without_an_offer() {
    let mut world = world_with_two_phones().await;
    let mut call = invite(&address("alice"), &address("bob"), 1);
    call.headers
        .set(Name::ContentType, "multipart/mixed;boundary=b");
    let refused = world.send(&call, udp(5060)).await.reply();
    assert_eq!(refused.status, Status::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(
        refused.headers.get(&Name::Accept).map(|value| &**value),
        Some("application/sdp")
    );
    call.headers
        .set(Name::ContentType, "Application/SDP ; charset=utf-8");
    assert_eq!(world.send(&call, udp(5060)).await.status(), 407);
}

#[tokio::test]
async fn strangers_and_calls_are_limited() {
    let mut limits = settings();
    limits.strangers_per_minute = 2;
    let mut world = World::with(limits, world::standing_clock()).await;
    world.endpoint("alice").await;
    let mut statuses = Vec::new();
    for serial in 1..=3 {
        let call = invite(STRANGER, &address("alice"), serial);
        statuses.push(world.send(&call, udp(5060)).await.status());
    }
    assert_eq!(statuses, [100, 100, 503]);
    let mut limits = settings();
    limits.max_calls = 0;
    let mut world = World::with(limits, world::standing_clock()).await;
    assert_eq!(
        world
            .send(&invite(STRANGER, &address("alice"), 1), udp(5060))
            .await
            .status(),
        503
    );
}

#[tokio::test]
async fn a_stranger_rings_under_its_own_domain_and_never_under_ours() {
    let mut world = world_with_two_phones().await;
    let cases = [
        (STRANGER, format!("<{STRANGER}>")),
        (
            "sip:bob@far.example.com",
            "<sip:bob@far.example.com>".into(),
        ),
        ("sip:far.example.com", "<sip:far.example.com>".into()),
        ("tel:+15551234", "<sip:+15551234@anonymous.invalid>".into()),
    ];
    for (serial, (who, shown)) in (1..).zip(cases) {
        let call = invite(who, &address("alice"), serial);
        assert_eq!(world.send(&call, udp(5060)).await.status(), 100, "{who}");
        let (_, command) = called(&mut world).await;
        let Command::Invite { from, .. } = command else {
            unreachable!("it is one");
        };
        assert_eq!(&*from, shown);
    }
}

/// Goes on until the stack is asked to call; gives that leg.
async fn called(world: &mut World) -> (SessionId, Command) {
    loop {
        let command = world.command().await;
        if let Command::Invite { session, .. } = &command {
            return (*session, command);
        }
    }
}

async fn answered(world: &mut World) {
    while !matches!(world.command().await, Command::Answer { .. }) {}
}

fn ok() -> sip::Response {
    sip::Response::new(Status::OK)
}

#[tokio::test]
async fn a_call_leaves_a_row_for_each_leg_and_word_for_the_customer() {
    let mut customer = Customer::new(|_| http("200 OK", "", b"")).await;
    let mut world = world_with_two_phones().await;
    let hangup = ApplicationChange {
        hangup_url: Some(Some(format!("{}/hangup", customer.base))),
        ..ApplicationChange::default()
    };
    let application = world
        .core
        .directory
        .default_application(world.account.id)
        .expect("one");
    let key = Key::Number(application.id);
    world
        .core
        .directory
        .update_application(&world.account, &key, hangup)
        .await
        .expect("changed");

    let call = invite(&address("alice"), &address("bob"), 7);
    let Outcome::Accept(a) = world.send_as("alice", PASSWORD, &call, udp(5060)).await else {
        panic!("not accepted");
    };
    let (b, command) = called(&mut world).await;
    let Command::Invite { to, to_value, .. } = command else {
        unreachable!("it is one");
    };
    assert_eq!(
        (&*to.uri, to.flow),
        ("sip:bob@198.51.100.7:5070", udp(5070))
    );
    assert_eq!(&*to_value, "<sip:bob@sip.example.net>");
    let answer = SessionEvent::Answered {
        sdp: Some(OFFER.into()),
        response: ok(),
    };
    world.core.calls.session_event(b, answer);
    answered(&mut world).await;
    // The caller's row was on disk before the caller was answered.
    let live = world.store.calls_live().await.expect("rows");
    assert!(live.iter().any(|row| row.parent.is_none()));
    world
        .core
        .calls
        .session_event(a, SessionEvent::Confirmed { sdp: None });
    assert_eq!(world.core.calls.live(), 1);
    let why = sip::EndReason::Bye { reason: None };
    world
        .core
        .calls
        .session_event(a, SessionEvent::Ended { why });
    loop {
        if let Command::Hangup { session, .. } = world.command().await {
            assert_eq!(session, b);
            break;
        }
    }
    world.core.calls.session_event(
        b,
        SessionEvent::Ended {
            why: sip::EndReason::HungUp,
        },
    );

    let request = customer.request().await;
    let body = request.split("\r\n\r\n").nth(1).expect("a body");
    let auth = &world.account.auth_id;
    let expected = format!(
        "Auth={auth}&Event=Hangup+4000&From=sip%3Aalice%40sip.example.net&To=sip%3Abob%40sip.example.net"
    );
    assert_eq!(body, expected);
    let rows = eventually("both rows", || async {
        let filter = store::CallFilter {
            account: world.account.id,
            ..store::CallFilter::default()
        };
        let rows = world
            .store
            .calls(
                &filter,
                store::Page {
                    limit: 9,
                    offset: 0,
                },
            )
            .await
            .expect("rows");
        (rows.total == 2).then_some(rows.items)
    })
    .await;
    let a_row = rows
        .iter()
        .find(|row| row.parent.is_none())
        .expect("the caller's row");
    let b_row = rows
        .iter()
        .find(|row| row.parent.is_some())
        .expect("the other row");
    assert_eq!(b_row.parent, Some(a_row.uuid));
    for row in [a_row, b_row] {
        assert_eq!(row.cause_code, Some(4000));
        assert_eq!(row.status, "completed");
        assert_eq!(row.source.as_deref(), Some("caller"));
        assert_eq!(row.billed_duration, 60);
    }
    eventually("an empty outbox", || async {
        (world.store.count_callbacks().await.expect("a count") == 0).then_some(())
    })
    .await;
    assert_eq!(world.core.calls.live(), 0);
}

#[tokio::test]
async fn a_call_that_a_crash_cut_off_is_closed_and_told_after_the_restart() {
    let mut customer = Customer::new(|_| http("200 OK", "", b"")).await;
    let mut world = world_with_two_phones().await;
    let hangup = ApplicationChange {
        hangup_url: Some(Some(format!("{}/hangup", customer.base))),
        ..ApplicationChange::default()
    };
    let application = world
        .core
        .directory
        .default_application(world.account.id)
        .expect("one");
    let key = Key::Number(application.id);
    world
        .core
        .directory
        .update_application(&world.account, &key, hangup)
        .await
        .expect("changed");
    let call = invite(&address("alice"), &address("bob"), 7);
    let outcome = world.send_as("alice", PASSWORD, &call, udp(5060)).await;
    assert!(matches!(outcome, Outcome::Accept(_)));
    called(&mut world).await;
    let cut_off = eventually("the caller's row", || async {
        let live = world.store.calls_live().await.expect("rows");
        live.into_iter().find(|row| row.parent.is_none())
    })
    .await;
    world.restart().await;
    let request = customer.request().await;
    assert!(request.contains("Event=Hangup+5010"), "{request}");
    let row = world
        .store
        .call(world.account.id, cut_off.uuid)
        .await
        .expect("a row")
        .expect("the row");
    assert_eq!(
        (row.cause_code, row.source.as_deref(), row.status.as_str()),
        (Some(5010), Some("error"), "failed")
    );
    assert!(row.ended.is_some());
}

#[tokio::test]
async fn x10_what_a_customer_does_not_take_waits_on_disk() {
    let mut customer = Customer::new(|_| http("503 Service Unavailable", "", b"")).await;
    let mut world = world_with_two_phones().await;
    let hangup = ApplicationChange {
        hangup_url: Some(Some(customer.base.clone())),
        ..ApplicationChange::default()
    };
    let application = world
        .core
        .directory
        .default_application(world.account.id)
        .expect("one");
    let key = Key::Number(application.id);
    world
        .core
        .directory
        .update_application(&world.account, &key, hangup)
        .await
        .expect("changed");
    let call = invite(&address("alice"), &address("bob"), 7);
    let Outcome::Accept(a) = world.send_as("alice", PASSWORD, &call, udp(5060)).await else {
        panic!("not accepted");
    };
    let (b, _) = called(&mut world).await;
    world
        .core
        .calls
        .session_event(a, SessionEvent::Cancelled { reason: None });
    world.core.calls.session_event(
        b,
        SessionEvent::Failed {
            status: Status::REQUEST_TERMINATED,
            response: None,
        },
    );
    assert!(customer.request().await.contains("Event=Hangup+1000"));
    let later = Clock::System
        .now()
        .wall
        .saturating_add(Duration::from_secs(60))
        .expect("a time");
    let row = eventually("a postponed row", || async {
        let rows = world.store.due_callbacks(later, 9).await.expect("rows");
        rows.into_iter().find(|row| row.attempts == 1)
    })
    .await;
    assert_eq!(row.url, customer.base);
    assert!(row.next_at > row.created);
}
