//! Abuse as an attacker does it: brute force, enumeration, scanners, and the honest phones beside them.

mod world;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use offhook_core::{Offence, TrunkChange};
use sip::{Flow, Name};
use world::{Outcome, PASSWORD, World, address, invite, prove, register, udp, with_proof};

const CONTACT: &str = "<sip:alice@10.0.0.5:5060>";

fn from(address: &str) -> Flow {
    let address: IpAddr = address.parse().expect("an address");
    Flow {
        remote: SocketAddr::new(address, 5060),
        ..udp(5060)
    }
}

async fn guess(world: &mut World, user: &str, serial: u32, flow: Flow) -> u16 {
    let request = register(user, serial, CONTACT);
    let challenge = match world.send(&request, flow).await {
        Outcome::Reply(challenge) => challenge,
        unheard => return unheard.status(),
    };
    let proof = prove(&challenge, user, "a guess", 1, &request);
    let guess = with_proof(&request, proof);
    world.send(&guess, flow).await.status()
}

/// Guesses until there is no answer any more; gives the number of guesses.
async fn guess_until_silence(world: &mut World, user: &str, first: u32, flow: Flow) -> u32 {
    for serial in 0..100 {
        if guess(world, user, first + 2 * serial, flow).await == 0 {
            return serial;
        }
    }
    panic!("100 guesses were answered")
}

#[tokio::test]
async fn a_guesser_is_silenced_and_the_right_user_from_another_address_registers() {
    let mut world = World::new().await;
    world.endpoint("alice").await;
    let guesses = guess_until_silence(&mut world, "alice", 1, from("203.0.113.9")).await;
    assert_eq!(guesses, 10);
    let own = register("alice", 1000, CONTACT);
    let outcome = world.send_as("alice", PASSWORD, &own, from("198.51.100.7"));
    assert_eq!(outcome.await.status(), 200);
    // Even the right password is not heard from there until the time is over.
    let right = register("alice", 2000, "<sip:alice@203.0.113.9>");
    let outcome = world.send(&right, from("203.0.113.9")).await;
    assert_eq!(outcome.status(), 0);
    world.clock.advance(Duration::from_secs(61));
    let outcome = world.send_as("alice", PASSWORD, &right, from("203.0.113.9"));
    assert_eq!(outcome.await.status(), 200);
}

#[tokio::test]
async fn a_name_that_exists_is_silenced_after_as_many_guesses_as_one_that_does_not() {
    let mut world = World::new().await;
    world.endpoint("alice").await;
    world
        .endpoint_with("carol", |new| new.enabled = false)
        .await;
    let known = guess_until_silence(&mut world, "alice", 1, from("203.0.113.1")).await;
    let unknown = guess_until_silence(&mut world, "mallory", 1001, from("203.0.113.2")).await;
    let disabled = guess_until_silence(&mut world, "carol", 2001, from("203.0.113.3")).await;
    assert_eq!((known, unknown), (disabled, disabled));
}

#[tokio::test]
async fn a_phone_that_is_registered_from_the_attackers_address_is_heard() {
    let mut world = World::new().await;
    world.endpoint("alice").await;
    let office = from("198.51.100.7");
    let request = register("alice", 1, CONTACT);
    let outcome = world.send_as("alice", PASSWORD, &request, office).await;
    assert_eq!(outcome.status(), 200);
    guess_until_silence(&mut world, "mallory", 101, office).await;
    let refresh = register("alice", 3, CONTACT);
    let outcome = world.send_as("alice", PASSWORD, &refresh, office).await;
    assert_eq!(outcome.status(), 200);
    assert_eq!(guess(&mut world, "mallory", 501, office).await, 0);
}

#[tokio::test]
async fn challenges_that_are_answered_count_for_nothing_and_those_that_never_are_do() {
    let mut world = World::new().await;
    world.endpoint("alice").await;
    let office = from("198.51.100.7");
    for serial in 0..200 {
        let request = register("alice", 1 + 2 * serial, CONTACT);
        let outcome = world.send_as("alice", PASSWORD, &request, office).await;
        assert_eq!(outcome.status(), 200);
    }
    let scanner = from("203.0.113.9");
    let mut answered = 0;
    while world
        .send(&register("alice", 1001 + answered, CONTACT), scanner)
        .await
        .status()
        == 401
    {
        answered += 1;
    }
    assert_eq!(answered, 100);
}

#[tokio::test]
async fn a_scanner_gets_no_answer_at_all() {
    let mut world = World::new().await;
    let mut request = register("100", 1, CONTACT);
    request.headers.push(Name::UserAgent, "Friendly-Scanner");
    assert_eq!(world.send(&request, from("203.0.113.9")).await.status(), 0);
    let plain = register("100", 2, CONTACT);
    assert_eq!(world.send(&plain, from("203.0.113.9")).await.status(), 0);
    assert_eq!(world.send(&plain, from("203.0.113.10")).await.status(), 401);
}

#[tokio::test]
async fn a_silence_lasts_over_a_restart() {
    let mut world = World::new().await;
    guess_until_silence(&mut world, "mallory", 1, from("203.0.113.9")).await;
    let store = world.store.clone();
    let wall = world.clock.now().wall;
    world::eventually("the block on disk", || {
        let store = store.clone();
        async move {
            let blocks = store.blocks(wall, 10).await.expect("the blocks");
            (!blocks.is_empty()).then_some(())
        }
    })
    .await;
    world.restart().await;
    assert_eq!(
        guess(&mut world, "mallory", 901, from("203.0.113.9")).await,
        0
    );
    assert_eq!(
        guess(&mut world, "mallory", 903, from("203.0.113.8")).await,
        401
    );
}

#[tokio::test]
async fn exempt_networks_are_never_scored() {
    let mut settings = world::settings();
    settings.abuse.exempt = vec!["203.0.113.0/24".parse().expect("a network")];
    let mut world = World::with(settings, world::standing_clock()).await;
    for serial in 0..50 {
        let status = guess(&mut world, "mallory", 1 + 2 * serial, from("203.0.113.9")).await;
        assert_eq!(status, 401);
    }
}

#[tokio::test]
async fn a_trunks_own_addresses_are_never_scored_while_it_is_on() {
    let mut world = World::new().await;
    let directory = world.core.directory.clone();
    let trunk = TrunkChange {
        name: Some("carrier".into()),
        hosts: Some(vec!["carrier.example.net".into()]),
        inbound_networks: Some(vec!["203.0.113.0/24".into(), "198.18.0.0/16".into()]),
        ..TrunkChange::default()
    };
    let trunk = directory.create_trunk(&world.account, trunk).await;
    let trunk = trunk.expect("a trunk");
    for serial in 0..50 {
        let status = guess(&mut world, "mallory", 1 + 2 * serial, from("203.0.113.9")).await;
        assert_eq!(status, 401);
    }
    // A network this wide has others in it too.
    assert_eq!(
        guess_until_silence(&mut world, "mallory", 201, from("198.18.0.9")).await,
        10
    );
    let off = TrunkChange {
        enabled: Some(false),
        ..TrunkChange::default()
    };
    let changed = directory.update_trunk(&world.account, &trunk.public_id, off);
    changed.await.expect("switched off");
    guess_until_silence(&mut world, "mallory", 401, from("203.0.113.9")).await;
}

#[tokio::test]
async fn to_a_stranger_nobody_and_somebody_who_is_not_to_be_called_are_the_same() {
    let mut world = World::new().await;
    world.endpoint("alice").await;
    world
        .endpoint_with("carol", |new| new.permissions.voice = false)
        .await;
    let mut answers = Vec::new();
    for (serial, user) in [(1, "carol"), (2, "nobody")] {
        let request = invite("sip:stranger@elsewhere.example", &address(user), serial);
        let answer = world.send(&request, from("203.0.113.9")).await.reply();
        answers.push((answer.status, answer.reason.to_string()));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0].0.0, 404);
}

#[tokio::test]
async fn a_right_password_with_a_proof_of_an_old_nonce_is_no_offence() {
    let mut world = World::new().await;
    world.endpoint("alice").await;
    let office = from("198.51.100.7");
    for serial in 0..30 {
        let request = register("alice", 1 + 2 * serial, CONTACT);
        let challenge = world.send(&request, office).await.reply();
        world.clock.advance(Duration::from_secs(121));
        let proof = prove(&challenge, "alice", PASSWORD, 1, &request);
        let stale = world
            .send(&with_proof(&request, proof), office)
            .await
            .reply();
        assert_eq!(stale.status.0, 401);
    }
}

#[tokio::test]
async fn octets_that_are_no_sip_silence_a_stranger_and_never_a_phone() {
    let mut world = World::new().await;
    world.endpoint("alice").await;
    let own = register("alice", 1, CONTACT);
    let here = from("203.0.113.9");
    let outcome = world.send_as("alice", PASSWORD, &own, here);
    assert_eq!(outcome.await.status(), 200);
    // Anybody can send datagrams in the name of the phone's address.
    let now = world.clock.now();
    for _ in 0..1000 {
        for address in ["203.0.113.9", "203.0.113.10"] {
            let source: IpAddr = address.parse().expect("an address");
            let offence = Offence::noise(sip::Transport::Udp);
            world.core.guard.note(&now, source, offence);
        }
    }
    let again = register("alice", 10, CONTACT);
    assert_eq!(world.send(&again, here).await.status(), 401);
    let stranger = register("alice", 20, CONTACT);
    let outcome = world.send(&stranger, from("203.0.113.10")).await;
    assert_eq!(outcome.status(), 0);
    // A connection is its peer's own; even so who is registered from there is heard.
    let source = here.remote.ip();
    for _ in 0..1000 {
        let offence = Offence::noise(sip::Transport::Tcp);
        world.core.guard.note(&now, source, offence);
    }
    assert!(world.core.guard.is_silenced(&now, source));
    let again = register("alice", 30, CONTACT);
    assert_eq!(world.send(&again, here).await.status(), 401);
}
