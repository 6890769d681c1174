//! What policies do to registrations: RFC 3261 §10.3, RFC 8760, hard cases S61 to S68.

mod world;

use std::net::SocketAddr;

use offhook_core::{Key, PolicyChange, PolicyOf};
use sip::{Flow, Name, Request, Response};
use world::{DOMAIN, PASSWORD, World, address, invite, prove, register, shown, udp, with_proof};

const CONTACT: &str = "<sip:alice@10.0.0.5:5060>";

async fn set(world: &World, of: PolicyOf, change: PolicyChange) {
    let directory = &world.core.directory;
    directory
        .update_policy(&world.account, &of, change)
        .await
        .expect("a policy");
}

fn algorithm(token: &str) -> PolicyChange {
    PolicyChange {
        digest_algorithm: Some(Some(token.into())),
        ..PolicyChange::default()
    }
}

fn challenge(response: &Response) -> String {
    let value = response.headers.get(&Name::WwwAuthenticate);
    let value = value.unwrap_or_else(|| panic!("no challenge: {}", shown(response)));
    let (_, after) = value.split_once("algorithm=").expect("an algorithm");
    after.to_owned()
}

fn with_expires(serial: u32, seconds: &str) -> Request {
    let mut request = register("alice", serial, CONTACT);
    request.headers.push(Name::Expires, seconds.to_owned());
    request
}

#[tokio::test]
async fn expiry_and_bindings_follow_the_nearest_policy() {
    let mut world = World::new().await;
    let alice = world.endpoint("alice").await;
    let of_alice = PolicyOf::Endpoint(Key::Number(alice.endpoint.id));
    let account = PolicyChange {
        min_expires: Some(Some(300)),
        max_bindings: Some(Some(1)),
        ..PolicyChange::default()
    };
    set(&world, PolicyOf::Account, account).await;
    let brief = world
        .send_as("alice", PASSWORD, &with_expires(1, "299"), udp(5060))
        .await
        .reply();
    // RFC 3261 §10.3 step 7, §21.4.17.
    assert_eq!(brief.status.0, 423);
    assert_eq!(brief.headers.get(&Name::MinExpires).expect("one"), "300");

    let own = PolicyChange {
        min_expires: Some(Some(5)),
        max_expires: Some(Some(20)),
        ..PolicyChange::default()
    };
    set(&world, of_alice.clone(), own).await;
    let cut = world
        .send_as("alice", PASSWORD, &with_expires(2, "299"), udp(5060))
        .await
        .reply();
    assert!(shown(&cut).contains(">;expires=20"), "{}", shown(&cut));
    let second = register("alice", 3, "<sip:alice@10.0.0.6:5060>");
    let refused = world.send_as("alice", PASSWORD, &second, udp(5061)).await;
    assert_eq!(refused.status(), 403);
    assert_eq!(refused.reply().reason, "Too many bindings");

    world.restart().await;
    let policy = world.core.directory.policy(&world.account, &of_alice).await;
    let effective = policy.expect("a policy").effective;
    assert_eq!((effective.min_expires, effective.max_expires), (5, 20));
    assert_eq!(effective.max_bindings, 1);
}

#[tokio::test]
async fn an_account_that_asks_for_sha_256_is_challenged_with_it_known_user_or_not() {
    let mut world = World::new().await;
    world.endpoint("alice").await;
    set(&world, PolicyOf::Account, algorithm("SHA-256")).await;
    for user in ["alice", "nobody"] {
        let first = register(user, 1, CONTACT);
        let asked = world.send(&first, udp(5060)).await.reply();
        assert_eq!(challenge(&asked), "SHA-256, qop=\"auth\"", "{user}");
    }
    let second = register("alice", 2, CONTACT);
    let registered = world.send_as("alice", PASSWORD, &second, udp(5060)).await;
    assert_eq!(registered.status(), 200);
}

#[tokio::test]
async fn s66_a_digest_too_weak_for_its_endpoint_is_challenged_with_the_right_one() {
    let mut world = World::new().await;
    let alice = world.endpoint("alice").await;
    let of = PolicyOf::Endpoint(Key::Number(alice.endpoint.id));
    set(&world, of, algorithm("SHA-512-256")).await;
    // Nobody without the password sees a difference to a user that does not exist (S67).
    let first = register("alice", 1, CONTACT);
    let md5 = world.send(&first, udp(5060)).await.reply();
    assert_eq!(challenge(&md5), "MD5, qop=\"auth\"");
    let wrong = prove(&md5, "alice", "wrong", 1, &first);
    let wrong = world
        .send(&with_proof(&first, wrong), udp(5060))
        .await
        .reply();
    assert_eq!(challenge(&wrong), "MD5, qop=\"auth\"");
    // Who has it is asked again, without `stale`: the nonce was not old.
    let weak = prove(&md5, "alice", PASSWORD, 1, &first);
    let strong = world
        .send(&with_proof(&first, weak), udp(5060))
        .await
        .reply();
    assert_eq!(strong.status.0, 401);
    assert_eq!(challenge(&strong), "SHA-512-256, qop=\"auth\"");
    assert!(world.bindings(&alice).is_empty());
    // From then on the first challenge is one that this user agent can answer, from there and nowhere else.
    let next = register("alice", 2, CONTACT);
    let asked = world.send(&next, udp(5060)).await.reply();
    assert_eq!(challenge(&asked), "SHA-512-256, qop=\"auth\"");
    let elsewhere = Flow {
        remote: SocketAddr::from(([198, 51, 100, 8], 5060)),
        ..udp(5060)
    };
    let asked = world.send(&next, elsewhere).await.reply();
    assert_eq!(challenge(&asked), "MD5, qop=\"auth\"");
    let registered = world.send_as("alice", PASSWORD, &next, udp(5060)).await;
    assert_eq!(registered.status(), 200);
}

#[tokio::test]
async fn who_answers_with_a_stronger_digest_than_asked_is_asked_for_it_from_then_on() {
    let mut world = World::new().await;
    world.endpoint("alice").await;
    let first = register("alice", 1, CONTACT);
    let mut asked = world.send(&first, udp(5060)).await.reply();
    let value = asked.headers.get(&Name::WwwAuthenticate).expect("one");
    let value = value.replace("MD5", "SHA-256");
    asked.headers.set(Name::WwwAuthenticate, value);
    let proof = prove(&asked, "alice", PASSWORD, 1, &first);
    let registered = world.send(&with_proof(&first, proof), udp(5060)).await;
    assert_eq!(registered.status(), 200);
    let next = world
        .send(&register("alice", 2, CONTACT), udp(5060))
        .await
        .reply();
    assert_eq!(challenge(&next), "SHA-256, qop=\"auth\"");
}

#[tokio::test]
async fn s63_a_nonce_is_bound_to_its_source_unless_the_account_says_otherwise() {
    let mut world = World::new().await;
    world.endpoint("alice").await;
    let elsewhere = Flow {
        remote: SocketAddr::from(([203, 0, 113, 9], 5060)),
        ..udp(5060)
    };
    for (bound, expected) in [(true, 401), (false, 200)] {
        let change = PolicyChange {
            bind_nonces: Some(Some(bound)),
            ..PolicyChange::default()
        };
        set(&world, PolicyOf::Account, change).await;
        let request = register("alice", 1, CONTACT);
        let asked = world.send(&request, udp(5060)).await.reply();
        let proof = prove(&asked, "alice", PASSWORD, 1, &request);
        let proved = world.send(&with_proof(&request, proof), elsewhere).await;
        assert_eq!(proved.status(), expected, "bound: {bound}");
    }
}

#[tokio::test]
async fn a_user_agent_that_the_account_refuses_neither_registers_nor_calls() {
    let mut world = World::new().await;
    world.endpoint("alice").await;
    world.direct_dial().await;
    let change = PolicyChange {
        refused_user_agents: Some(Some("BadPhone|Other".into())),
        ..PolicyChange::default()
    };
    set(&world, PolicyOf::Account, change).await;
    let mut bad = register("alice", 1, CONTACT);
    bad.headers.push(Name::UserAgent, "A BadPhone 1");
    // Only after the password: before, it would tell whose the user is.
    assert_eq!(world.send(&bad, udp(5060)).await.status(), 401);
    let refused = world.send_as("alice", PASSWORD, &bad, udp(5060)).await;
    assert_eq!(refused.status(), 403);
    let mut call = invite(&address("alice"), &format!("sip:bob@{DOMAIN}"), 2);
    call.headers.push(Name::UserAgent, "A BadPhone 1");
    let refused = world.send_as("alice", PASSWORD, &call, udp(5060)).await;
    assert_eq!(refused.status(), 403);
    let good = register("alice", 3, CONTACT);
    let registered = world.send_as("alice", PASSWORD, &good, udp(5060)).await;
    assert_eq!(registered.status(), 200);
}

#[tokio::test]
async fn registrations_are_ended_by_hand_all_or_one_and_that_is_on_disk() {
    let mut world = World::new().await;
    let alice = world.endpoint("alice").await;
    let endpoint = alice.endpoint.id;
    for (serial, contact) in [(1, CONTACT), (2, "<sip:alice@10.0.0.6:5060>")] {
        let request = register("alice", serial, contact);
        let sent = world.send_as("alice", PASSWORD, &request, udp(5060)).await;
        assert_eq!(sent.status(), 200);
    }
    let registrar = &world.core.registrar;
    let now = world.clock.now().wall;
    let live = registrar.location().live_bindings(endpoint, now);
    assert_eq!(live.len(), 2);
    assert!(live.iter().all(|one| one.reachable && one.id.len() == 16));
    let end = async |only: Option<&str>| {
        let gone = registrar
            .unregister(endpoint, now, only)
            .await
            .expect("gone");
        (
            gone.len(),
            world.store.count_bindings().await.expect("a count"),
        )
    };
    assert_eq!(end(Some("0000000000000000")).await, (0, 2));
    assert_eq!(end(Some(live[0].id.as_str())).await, (1, 1));
    let left = registrar.location().live_bindings(endpoint, now);
    assert_eq!(left, live[1..]);
    assert_eq!(end(None).await, (1, 0));
    assert_eq!(end(None).await, (0, 0));
}
