//! Phones that leave their pings unanswered: shown, passed over by calls, and back with their next answer or REGISTER.

mod world;

use std::sync::Arc;
use std::time::Duration;

use offhook_core::{AccountEvent, Clock, EventKind, LiveBinding};
use sip::{Command, Flow, Ping};
use world::{PASSWORD, World, register, settings, udp, websocket};

/// Pings every second, silent after one that was missed.
async fn world() -> World {
    let mut settings = settings();
    settings.ping = 1;
    settings.ping_misses = 1;
    settings.ping_round = Duration::from_millis(100);
    World::with(settings, Clock::System).await
}

async fn bind(world: &mut World, serial: u32, contact: &str, flow: Flow) {
    let mut request = register("alice", serial, contact);
    request
        .headers
        .set(sip::Name::CallId, format!("call-{contact}"));
    let outcome = world.send_as("alice", PASSWORD, &request, flow).await;
    assert_eq!(outcome.status(), 200);
}

/// What is told next of the phone at this port.
async fn told_of(
    told: &mut tokio::sync::broadcast::Receiver<Arc<AccountEvent>>,
    port: u16,
) -> EventKind {
    loop {
        if let AccountEvent::Registration(event) = &*told.recv().await.expect("an event")
            && event.source.port() == port
        {
            return event.kind;
        }
    }
}

/// The next ping; other commands are passed over.
async fn ping(world: &mut World) -> Ping {
    loop {
        if let Command::Ping(ping) = world.command().await {
            return ping;
        }
    }
}

#[tokio::test]
async fn a_phone_that_misses_its_pings_is_passed_over_until_it_answers_or_registers() {
    let mut world = world().await;
    let alice = world.endpoint("alice").await;
    let endpoint = alice.endpoint.id;
    let mut told = world
        .core
        .events
        .subscribe(world.account.id)
        .expect("a stream");
    bind(&mut world, 1, "<sip:alice@198.51.100.7:5060>", udp(5060)).await;
    bind(&mut world, 1, "<sip:alice@10.0.0.6:5070>", udp(5070)).await;
    let shown = |world: &World| -> Vec<(u16, bool, bool)> {
        let live = world
            .core
            .registrar
            .location()
            .live_bindings(endpoint, world.clock.now().wall);
        let of = |live: LiveBinding| (live.binding.remote.port(), live.reachable, live.nat);
        live.into_iter().map(of).collect()
    };
    let called = |world: &World| -> Vec<u16> {
        let reach = world
            .core
            .registrar
            .location()
            .reach(endpoint, world.clock.now().wall);
        reach
            .into_iter()
            .map(|way| way.flow.remote.port())
            .collect()
    };
    assert_eq!(shown(&world), [(5070, true, true), (5060, true, false)]);
    // Both are asked; one answers, the other never does, until its silence shows.
    let mut asked = 0;
    while called(&world).len() == 2 {
        let ping = ping(&mut world).await;
        if ping.to.flow.remote.port() == 5060 {
            assert_eq!(&*ping.to.uri, "sip:alice@198.51.100.7:5060");
            world
                .core
                .registrar
                .location()
                .pong(ping.mark, world.clock.now().wall);
        } else {
            asked += 1;
        }
    }
    assert_eq!(asked, 2);
    assert_eq!(called(&world), [5060]);
    assert_eq!(shown(&world), [(5070, false, true), (5060, true, false)]);
    assert_eq!(told_of(&mut told, 5070).await, EventKind::Registered);
    assert_eq!(told_of(&mut told, 5070).await, EventKind::FlowLost);
    // It is asked again all the same, and its answer brings it back.
    let answered = loop {
        let ping = ping(&mut world).await;
        world
            .core
            .registrar
            .location()
            .pong(ping.mark, world.clock.now().wall);
        if ping.to.flow.remote.port() == 5070 {
            break ping;
        }
    };
    assert_eq!(called(&world).len(), 2);
    assert_eq!(told_of(&mut told, 5070).await, EventKind::Refreshed);
    // Silent again; a REGISTER brings it back too. When nobody answers all of them are called.
    while called(&world).len() == 2 && shown(&world).iter().any(|(_, reachable, _)| *reachable) {
        ping(&mut world).await;
    }
    while shown(&world).iter().any(|(_, reachable, _)| *reachable) {
        ping(&mut world).await;
    }
    assert_eq!(called(&world).len(), 2);
    bind(&mut world, 3, "<sip:alice@10.0.0.6:5070>", udp(5070)).await;
    assert_eq!(called(&world), [5070]);
    assert_eq!(answered.to.flow, udp(5070));
}

#[tokio::test]
async fn a_connection_is_kept_alive_and_nothing_is_awaited_from_it() {
    let mut world = world().await;
    let alice = world.endpoint("alice").await;
    bind(
        &mut world,
        1,
        "<sip:alice@a.invalid;transport=ws>",
        websocket(7),
    )
    .await;
    for _ in 0..3 {
        match world.command().await {
            Command::KeepAlive { flow } => assert_eq!(flow, websocket(7)),
            other => panic!("{other:?}"),
        }
    }
    let now = world.clock.now().wall;
    let live = world
        .core
        .registrar
        .location()
        .live_bindings(alice.endpoint.id, now);
    assert!(live[0].reachable && !live[0].nat);
}
