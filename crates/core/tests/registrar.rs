//! REGISTER as phones and attackers send it: RFC 3261 §10.3, RFC 7616, hard cases S50 to S68.

mod world;

use std::time::Duration;

use offhook_core::{EndpointChange, Key};
use sip::{Method, Name, Request};
use world::{
    DOMAIN, Outcome, PASSWORD, World, address, prove, register, request, shown, udp, websocket,
    with_proof,
};

const CONTACT: &str = "<sip:alice@10.0.0.5:5060>";

async fn registered(world: &mut World, request: &Request) -> u16 {
    world
        .send_as("alice", PASSWORD, request, udp(5060))
        .await
        .status()
}

#[tokio::test]
async fn a_phone_is_challenged_and_bound_after_its_proof() {
    let mut world = World::new().await;
    let alice = world.endpoint("alice").await;
    let first = register("alice", 1, CONTACT);
    let challenge = world.send(&first, udp(5060)).await.reply();
    assert_eq!(
        shown(&challenge),
        "401 Unauthorized\n\
         Via: SIP/2.0/UDP 10.0.0.5:5060;rport;branch=z9hG4bK-1\n\
         From: <sip:alice@sip.example.net>;tag=*\n\
         To: <sip:alice@sip.example.net>;tag=*\n\
         Call-ID: call-1\n\
         CSeq: 1 REGISTER\n\
         WWW-Authenticate: Digest realm=\"sip.example.net\", nonce=\"*\", algorithm=MD5, qop=\"auth\""
    );
    let second = register("alice", 2, CONTACT);
    let proof = prove(&challenge, "alice", PASSWORD, 1, &second);
    let ok = world
        .send(&with_proof(&second, proof), udp(5060))
        .await
        .reply();
    assert_eq!(
        shown(&ok),
        "200 OK\n\
         Via: SIP/2.0/UDP 10.0.0.5:5060;rport;branch=z9hG4bK-2\n\
         From: <sip:alice@sip.example.net>;tag=*\n\
         To: <sip:alice@sip.example.net>;tag=*\n\
         Call-ID: call-1\n\
         CSeq: 2 REGISTER\n\
         Contact: <sip:alice@10.0.0.5:5060>;expires=3600\n\
         Date: Fri, 02 Jan 2026 03:04:05 GMT"
    );
    assert_eq!(world.store.count_bindings().await.expect("a count"), 1);
    let bindings = world.bindings(&alice);
    assert_eq!(bindings[0].contact, "sip:alice@10.0.0.5:5060");
    assert_eq!(bindings[0].remote, udp(5060).remote);
}

#[tokio::test]
async fn s67_s68_unknown_user_and_wrong_password_look_the_same() {
    let mut world = World::new().await;
    world.endpoint("alice").await;
    let mut texts = Vec::new();
    for user in ["alice", "nobody"] {
        let first = register(user, 1, CONTACT);
        let challenge = world.send(&first, udp(5060)).await.reply();
        let second = register(user, 2, CONTACT);
        let proof = prove(&challenge, user, "wrong", 1, &second);
        let refusal = world
            .send(&with_proof(&second, proof), udp(5060))
            .await
            .reply();
        let whole = format!("{}\n{}", shown(&challenge), shown(&refusal));
        let lengths = (challenge.write().len(), refusal.write().len());
        let short = |length: usize| length - 2 * user.len();
        texts.push((
            whole.replace(user, "user"),
            short(lengths.0),
            short(lengths.1),
        ));
    }
    assert_eq!(texts[0], texts[1]);
    assert!(texts[0].0.contains("401") && !texts[0].0.contains("stale"));
}

#[tokio::test]
async fn s56_to_s66_what_proves_nothing_is_challenged_again() {
    let mut world = World::new().await;
    world.endpoint("alice").await;
    let challenge = world
        .send(&register("alice", 1, CONTACT), udp(5060))
        .await
        .reply();
    let again = register("alice", 2, CONTACT);
    let proof = prove(&challenge, "alice", PASSWORD, 1, &again);
    let nonce = proof
        .split("nonce=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .expect("a nonce");
    let response = proof
        .split("response=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .expect("one");
    let cases = [
        ("S34", "Unknown abc=\"d\"".to_owned(), 401),
        (
            "S56",
            proof.replace("realm=\"sip.example.net\"", "realm=\"elsewhere\""),
            401,
        ),
        ("S57", proof.replace(nonce, &"0".repeat(nonce.len())), 401),
        ("S58", proof.replace(response, ""), 401),
        ("S59", proof.replace(response, "abc"), 401),
        (
            "S60",
            proof.replace(
                "uri=\"sip:sip.example.net\"",
                "uri=\"sip:other.example.net\"",
            ),
            400,
        ),
        (
            "S64",
            proof.replace("\"alice\"", &format!("\"{}\"", "a".repeat(8000))),
            401,
        ),
        ("S65", proof.replace("\"alice\"", "\"' OR 1=1 --\""), 401),
        (
            "S66",
            proof.replace("algorithm=MD5", "algorithm=SHA-256"),
            401,
        ),
    ];
    for (name, value, expected) in cases {
        let outcome = world.send(&with_proof(&again, value), udp(5060)).await;
        assert_eq!(outcome.status(), expected, "{name}");
    }
    // None of it used up the nonce.
    assert_eq!(
        world
            .send(&with_proof(&again, proof), udp(5060))
            .await
            .status(),
        200
    );
}

#[tokio::test]
async fn s61_a_retransmission_is_answered_again_and_a_replay_is_not() {
    let mut world = World::new().await;
    let alice = world.endpoint("alice").await;
    let challenge = world
        .send(&register("alice", 1, CONTACT), udp(5060))
        .await
        .reply();
    let second = register("alice", 2, CONTACT);
    let second = with_proof(&second, prove(&challenge, "alice", PASSWORD, 1, &second));
    let now = world.core.now();
    let waits = world
        .core
        .uas
        .request(&now, 0, second.clone(), udp(5060), None);
    assert!(matches!(waits, offhook_core::Decision::Wait));
    // Its commit is pending: nothing is awaited in between.
    assert!(matches!(
        world.send(&second, udp(5060)).await,
        Outcome::Silence
    ));
    let first = world.answer().await;
    let again = world.send(&second, udp(5060)).await.reply();
    assert_eq!(first.write(), again.write());
    // S62: the same from another address; S61: another branch.
    let elsewhere = world.send(&second, udp(5061)).await.reply();
    assert!(
        shown(&elsewhere).contains("stale=true"),
        "{}",
        shown(&elsewhere)
    );
    let mut replay = second.clone();
    replay.headers.set(
        Name::Via,
        "SIP/2.0/UDP 10.0.0.5:5060;rport;branch=z9hG4bK-other",
    );
    let replayed = world.send(&replay, udp(5060)).await.reply();
    assert!(
        shown(&replayed).contains("stale=true"),
        "{}",
        shown(&replayed)
    );
    // The nonce goes on with the next count, and is too old in the end.
    let third = register("alice", 3, CONTACT);
    let third = with_proof(&third, prove(&challenge, "alice", PASSWORD, 2, &third));
    assert_eq!(world.send(&third, udp(5060)).await.status(), 200);
    world.clock.advance(Duration::from_secs(121));
    let fourth = register("alice", 4, CONTACT);
    let fourth = with_proof(&fourth, prove(&challenge, "alice", PASSWORD, 3, &fourth));
    let old = world.send(&fourth, udp(5060)).await.reply();
    assert!(
        old.status.0 == 401 && shown(&old).contains("stale=true"),
        "{}",
        shown(&old)
    );
    assert_eq!(world.bindings(&alice).len(), 1);
}

#[tokio::test]
async fn s50_to_s55_what_a_register_may_not_ask_leaves_the_bindings_alone() {
    let mut world = World::new().await;
    let alice = world.endpoint("alice").await;
    world.endpoint("bob").await;
    assert_eq!(
        registered(&mut world, &register("alice", 1, CONTACT)).await,
        200
    );
    let before = world.bindings(&alice);
    let with = |serial, contact: &str, expires: &str| {
        let mut request = register("alice", serial, contact);
        if !expires.is_empty() {
            request.headers.push(Name::Expires, expires);
        }
        request
    };
    let many: Vec<String> = (0..50).map(|n| format!("<sip:alice@10.0.0.{n}>")).collect();
    let mut hijack = register("bob", 20, CONTACT);
    hijack
        .headers
        .set(Name::From, format!("<{}>;tag=1", address("alice")));
    let mut third_party = register("alice", 21, CONTACT);
    third_party
        .headers
        .set(Name::From, format!("<{}>;tag=1", address("bob")));
    let mut foreign = register("alice", 22, CONTACT);
    foreign.uri = "sip:elsewhere.example.com".into();
    let mut blocked = register("alice", 23, CONTACT);
    blocked.headers.push(Name::UserAgent, "VaxSIPUserAgent/3.1");
    let cases = [
        ("S50 * with expiry", with(10, "*", "60"), 400),
        ("S50 * without expiry", with(11, "*", ""), 400),
        (
            "S51 * with another",
            with(12, "*, <sip:a@10.0.0.1>", "0"),
            400,
        ),
        ("too brief", with(13, CONTACT, "30"), 423),
        ("S54", with(14, &many.join(", "), ""), 403),
        ("S72", with(15, "<sip:alice@192.0.2.1:5060>", ""), 403),
        (
            "S72 by name",
            with(16, &format!("<sip:alice@{DOMAIN}>"), ""),
            403,
        ),
        ("not SIP", with(17, "<mailto:alice@example.com>", ""), 400),
        ("old CSeq", with(1, CONTACT, ""), 500),
        ("S55", hijack, 403),
        ("third party", third_party, 403),
        ("user agent", blocked, 403),
    ];
    for (name, request, expected) in cases {
        let first = world.send(&request, udp(5060)).await.reply();
        let status = match first.status.0 {
            401 => {
                let proof = prove(&first, "alice", PASSWORD, 1, &request);
                world
                    .send(&with_proof(&request, proof), udp(5060))
                    .await
                    .status()
            }
            status => status,
        };
        assert_eq!(status, expected, "{name}");
        assert_eq!(world.bindings(&alice), before, "{name}");
    }
    assert_eq!(world.send(&foreign, udp(5060)).await.status(), 404);
    let brief = with(30, CONTACT, "30");
    let reply = world
        .send_as("alice", PASSWORD, &brief, udp(5060))
        .await
        .reply();
    assert_eq!(
        reply.headers.get(&Name::MinExpires).map(|value| &**value),
        Some("60")
    );
    // S53: capped at the maximum. S52: a date counts as absent.
    for (serial, wish, granted) in [
        (31, "1099511627776", 7200),
        (32, "Thu, 01 Dec 2026 16:00:00 GMT", 3600),
    ] {
        assert_eq!(
            registered(&mut world, &with(serial, CONTACT, wish)).await,
            200
        );
        let left = world.bindings(&alice)[0]
            .expires_at
            .duration_since(world.clock.now().wall);
        assert_eq!(left.as_secs(), granted, "{wish}");
    }
}

#[tokio::test]
async fn bindings_come_go_and_are_ordered_by_login() {
    let mut world = World::new().await;
    let alice = world.endpoint("alice").await;
    let other = "<sip:alice@10.0.0.6;transport=udp>;expires=120;q=0.5";
    assert_eq!(
        registered(&mut world, &register("alice", 1, CONTACT)).await,
        200
    );
    world.clock.advance(Duration::from_secs(10));
    let mut desk = register("alice", 1, other);
    desk.headers.set(Name::CallId, "call-2");
    assert_eq!(registered(&mut world, &desk).await, 200);
    let contacts = |world: &World| -> Vec<String> {
        world
            .bindings(&alice)
            .into_iter()
            .map(|binding| binding.contact)
            .collect()
    };
    assert_eq!(
        contacts(&world),
        [
            "sip:alice@10.0.0.6;transport=udp",
            "sip:alice@10.0.0.5:5060"
        ]
    );
    // A refresh does not move the login, an equivalent URI is the same binding (RFC 3261 §19.1.4).
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(
        registered(
            &mut world,
            &register("alice", 2, "<sip:%61lice@10.0.0.5:5060>")
        )
        .await,
        200
    );
    assert_eq!(
        contacts(&world),
        [
            "sip:alice@10.0.0.6;transport=udp",
            "sip:%61lice@10.0.0.5:5060"
        ]
    );
    // The same phone started anew is a new login.
    world.clock.advance(Duration::from_secs(10));
    let mut anew = register("alice", 1, CONTACT);
    anew.headers.set(Name::CallId, "call-3");
    assert_eq!(registered(&mut world, &anew).await, 200);
    assert_eq!(
        contacts(&world),
        [
            "sip:alice@10.0.0.5:5060",
            "sip:alice@10.0.0.6;transport=udp"
        ]
    );
    // A query lists both with what is left of their time; then the shorter one expires.
    let query = world
        .send_as("alice", PASSWORD, &register("alice", 5, ""), udp(5060))
        .await
        .reply();
    let listed: Vec<_> = query
        .headers
        .all(&Name::Contact)
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        listed,
        [
            "<sip:alice@10.0.0.5:5060>;expires=3600",
            "<sip:alice@10.0.0.6;transport=udp>;expires=100;q=0.500"
        ]
    );
    world.clock.advance(Duration::from_secs(100));
    assert_eq!(contacts(&world), ["sip:alice@10.0.0.5:5060"]);
    // `*` with Expires 0 removes all.
    let mut star = register("alice", 6, "*");
    star.headers.push(Name::Expires, "0");
    assert_eq!(registered(&mut world, &star).await, 200);
    assert_eq!(contacts(&world), [""; 0]);
}

#[tokio::test]
async fn bindings_survive_a_restart_and_those_of_a_closed_connection_go() {
    let mut world = World::new().await;
    let alice = world.endpoint("alice").await;
    assert_eq!(
        registered(&mut world, &register("alice", 1, CONTACT)).await,
        200
    );
    let browser = |serial| register("alice", serial, "<sip:x1@abc.invalid;transport=ws>");
    for flow in [websocket(7), websocket(8)] {
        let mut request = browser(u32::try_from(flow.id.0).expect("small"));
        request
            .headers
            .set(Name::CallId, format!("ws-{}", flow.id.0));
        request.headers.set(
            Name::Contact,
            format!("<sip:x{}@abc.invalid;transport=ws>", flow.id.0),
        );
        assert_eq!(
            world
                .send_as("alice", PASSWORD, &request, flow)
                .await
                .status(),
            200
        );
    }
    let now = world.clock.now().wall;
    let reach = |world: &World| {
        world
            .core
            .registrar
            .location()
            .reach(alice.endpoint.id, now)
            .len()
    };
    assert_eq!((world.bindings(&alice).len(), reach(&world)), (3, 3));
    world.core.flow_closed(websocket(7).id);
    assert_eq!((world.bindings(&alice).len(), reach(&world)), (2, 2));
    world.restart().await;
    // The other connection is gone with its process: shown until it expires, and not called.
    assert_eq!((world.bindings(&alice).len(), reach(&world)), (2, 1));
    assert_eq!(world.store.count_bindings().await.expect("a count"), 2);
}

#[tokio::test]
async fn a_change_of_password_or_a_switch_off_drops_the_bindings_at_once() {
    let mut world = World::new().await;
    let alice = world.endpoint("alice").await;
    let key = Key::Number(alice.endpoint.id);
    assert_eq!(
        registered(&mut world, &register("alice", 1, CONTACT)).await,
        200
    );
    let change = EndpointChange {
        password: Some("another one".into()),
        ..EndpointChange::default()
    };
    world
        .core
        .directory
        .update_endpoint(&world.account, &key, change)
        .await
        .expect("changed");
    assert_eq!(world.bindings(&alice), []);
    assert_eq!(world.store.count_bindings().await.expect("a count"), 0);
    assert_eq!(
        registered(&mut world, &register("alice", 2, CONTACT)).await,
        401
    );
    let change = EndpointChange {
        enabled: Some(false),
        ..EndpointChange::default()
    };
    world
        .core
        .directory
        .update_endpoint(&world.account, &key, change)
        .await
        .expect("changed");
    let disabled = world
        .send_as(
            "alice",
            "another one",
            &register("alice", 3, CONTACT),
            udp(5060),
        )
        .await;
    assert_eq!(disabled.status(), 403);
}

#[tokio::test]
async fn what_is_not_served_is_refused_before_anybody_is_asked_for_a_password() {
    let mut world = World::new().await;
    world.endpoint("alice").await;
    let to = address("alice");
    let plain = |method: Method, uri: &str| request(method, uri, &to, &to, 1);
    let mut required = register("alice", 1, CONTACT);
    required
        .headers
        .push(Name::Require, "nothingSupportsThis, timer");
    let mut proxied = world::invite(&to, &address("bob"), 1);
    proxied
        .headers
        .push(Name::ProxyRequire, "noProxiesSupportThis");
    let mut asks_address = plain(Method::Message, "sip:admin@phone.plivo.com");
    asks_address.body = "ipAddress".into();
    let cases = [
        ("S19", plain(Method::Other("FOO".into()), &to), 405),
        (
            "S20",
            plain(Method::Options, "nobodyKnowsThisScheme:totallyopaque"),
            416,
        ),
        ("S32", required, 420),
        ("S33", proxied, 420),
        ("S48", plain(Method::Message, &to), 407),
        ("S49", plain(Method::Subscribe, &to), 489),
        ("S40", plain(Method::Bye, &to), 481),
        (
            "OPTIONS",
            plain(Method::Options, &format!("sip:{DOMAIN}")),
            200,
        ),
        (
            "keepalive",
            plain(Method::Options, "sip:admin@phone.plivo.com"),
            404,
        ),
        ("address", asks_address.clone(), 200),
    ];
    for (name, request, expected) in cases {
        assert_eq!(
            world.send(&request, udp(5060)).await.status(),
            expected,
            "{name}"
        );
    }
    let answer = world.send(&asks_address, udp(5060)).await.reply();
    assert_eq!(answer.body, "198.51.100.7");
    let mut required = register("alice", 2, CONTACT);
    required
        .headers
        .push(Name::Require, "nothingSupportsThis, timer");
    let answer = world.send(&required, udp(5060)).await.reply();
    assert_eq!(
        answer.headers.get(&Name::Unsupported).map(|tag| &**tag),
        Some("nothingSupportsThis")
    );
}

#[tokio::test]
async fn a_store_that_takes_nothing_is_answered_503_and_nothing_is_bound() {
    let mut world = World::new().await;
    let alice = world.endpoint("alice").await;
    world.store.close().await;
    let first = register("alice", 1, CONTACT);
    let challenge = world.send(&first, udp(5060)).await.reply();
    let proof = prove(&challenge, "alice", PASSWORD, 1, &first);
    let proved = with_proof(&first, proof);
    // The same request may come again as it is: it is not taken for a replay.
    for _ in 0..2 {
        let refused = world.send(&proved, udp(5060)).await.reply();
        assert_eq!(refused.status.0, 503);
        assert_eq!(
            refused.headers.get(&Name::RetryAfter).map(|value| &**value),
            Some("2")
        );
    }
    assert_eq!(world.bindings(&alice), []);
}
