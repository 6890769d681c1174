//! Sessions that end by themselves or move, and what the core makes of it: hard cases S78, S80, T17; RFC 3261 §13.3.1.4,
//! RFC 4028 §10, RFC 5626 §4.3.

mod world;

use offhook_core::Clock;
use sip::{Command, EndReason, Flow, SessionEvent, SessionId, Status};
use world::{
    OFFER, Outcome, PASSWORD, World, address, eventually, invite, register, settings, udp,
};

const ALICE: &str = "<sip:phone@198.51.100.7:5060>";
const BOB: &str = "<sip:bob@10.0.0.9:5060>";

async fn bind(world: &mut World, user: &str, serial: u32, contact: &str, flow: Flow) {
    let request = register(user, serial, contact);
    let bound = world.send_as(user, PASSWORD, &request, flow).await;
    assert_eq!(bound.status(), 200);
}

/// Alice's call to Bob, who has answered: her session and his.
async fn talking() -> (World, SessionId, SessionId) {
    let mut world = World::with(settings(), Clock::System).await;
    world.direct_dial().await;
    for (user, contact, port) in [("alice", ALICE, 5060), ("bob", BOB, 5070)] {
        world.endpoint(user).await;
        bind(&mut world, user, 1, contact, udp(port)).await;
    }
    let call = invite(&address("alice"), &address("bob"), 7);
    let Outcome::Accept(a) = world.send_as("alice", PASSWORD, &call, udp(5060)).await else {
        panic!("not accepted");
    };
    let b = loop {
        if let Command::Invite { session, .. } = world.command().await {
            break session;
        }
    };
    let mut response = sip::Response::new(Status::OK);
    response.headers.push(sip::Name::CallId, "of-bob");
    let sdp = Some(OFFER.into());
    let calls = &world.core.calls;
    calls.session_event(b, SessionEvent::Answered { sdp, response });
    while !matches!(world.command().await, Command::Answer { .. }) {}
    (world, a, b)
}

/// Who is hung up on, and the causes in the records of both legs.
async fn ended(
    mut world: World,
    who: SessionId,
    other: SessionId,
    why: EndReason,
) -> Vec<(u16, String)> {
    let calls = world.core.calls.clone();
    calls.session_event(who, SessionEvent::Ended { why });
    loop {
        if let Command::Hangup { session, .. } = world.command().await {
            break assert_eq!(session, other);
        }
    }
    let why = EndReason::HungUp;
    calls.session_event(other, SessionEvent::Ended { why });
    let rows = eventually("both rows", || async {
        let filter = store::CallFilter {
            account: world.account.id,
            ..store::CallFilter::default()
        };
        let page = store::Page {
            limit: 9,
            offset: 0,
        };
        let rows = world.store.calls(&filter, page).await.expect("rows");
        (rows.items.len() == 2 && world.core.calls.live() == 0).then_some(rows.items)
    })
    .await;
    let mut causes: Vec<_> = rows
        .into_iter()
        .map(|row| (row.cause_code.unwrap_or(0), row.source.unwrap_or_default()))
        .collect();
    causes.sort();
    causes
}

#[tokio::test]
async fn s78_a_caller_that_never_acknowledges_leaves_records_with_the_reason() {
    let (world, a, b) = talking().await;
    let causes = ended(world, a, b, EndReason::NoAck).await;
    assert_eq!(
        causes,
        [(5110, "error".to_owned()), (5110, "error".to_owned())]
    );
}

#[tokio::test]
async fn s80_a_session_that_nobody_refreshes_leaves_records_with_the_reason() {
    let (world, a, b) = talking().await;
    let confirmed = SessionEvent::Confirmed { sdp: None };
    world.core.calls.session_event(a, confirmed);
    let causes = ended(world, b, a, EndReason::SessionExpired).await;
    assert_eq!(
        causes,
        [(5120, "error".to_owned()), (5120, "error".to_owned())]
    );
}

#[tokio::test]
async fn t17_the_calls_of_a_phone_follow_it_to_the_flow_that_it_registers_over() {
    let (mut world, a, _) = talking().await;
    let confirmed = SessionEvent::Confirmed { sdp: None };
    world.core.calls.session_event(a, confirmed);
    // A refresh from where it was says nothing new, and another phone of Bob's has no call.
    bind(&mut world, "bob", 2, BOB, udp(5070)).await;
    bind(&mut world, "bob", 3, "<sip:bob@10.0.0.10:5060>", udp(5071)).await;
    bind(&mut world, "bob", 4, BOB, udp(40_001)).await;
    let mut followed = Vec::new();
    while followed.len() < 2 {
        if let Command::Follow {
            call_id,
            contact,
            flow,
        } = world.command().await
        {
            followed.push((call_id.to_string(), contact.to_string(), flow));
        }
    }
    // The stack leaves a session alone that is with another Contact.
    let said = |contact: &str, port| ("of-bob".to_owned(), contact.to_owned(), udp(port));
    assert_eq!(
        followed,
        [
            said("sip:bob@10.0.0.10:5060", 5071),
            said("sip:bob@10.0.0.9:5060", 40_001)
        ]
    );
    // Alice is reached at the port that her Contact says, whatever port she registers from.
    bind(&mut world, "alice", 2, ALICE, udp(40_002)).await;
    let flow = loop {
        if let Command::Follow { flow, .. } = world.command().await {
            break flow;
        }
    };
    assert_eq!(flow, udp(5060));
}
