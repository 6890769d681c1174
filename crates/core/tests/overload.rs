//! What an overloaded shard refuses, and how: strangers first, and never what goes on or who is registered.

mod world;

use std::net::SocketAddr;
use std::time::Duration;

use offhook_core::{Load, Short, Shortcut, TrunkChange};
use sip::{Flow, Method, Name, Request};
use world::{
    DOMAIN, PASSWORD, World, address, invite, prove, read_response, register, request, shown, udp,
    with_proof,
};

const CONTACT: &str = "<sip:alice@10.0.0.5:5060>";

fn elsewhere() -> Flow {
    Flow {
        remote: SocketAddr::from(([203, 0, 113, 9], 5060)),
        ..udp(5060)
    }
}

/// A shard whose queues stand at this level, in thousandths.
fn overloaded(world: &World, socket: u16) -> Shortcut {
    let core = &world.core;
    let mut shortcut = Shortcut::new(core.registrar.clone(), 0, "Offhook", &core.now(), 7);
    let load = Load {
        socket,
        ..Load::default()
    };
    shortcut.look(&core.now(), load);
    world.clock.advance(Duration::from_millis(100));
    shortcut.look(&core.now(), load);
    shortcut
}

/// Whether a request is refused, and with what.
fn refusal(
    world: &World,
    shortcut: &mut Shortcut,
    request: &Request,
    flow: Flow,
) -> Option<String> {
    let mut out = Vec::new();
    let short = shortcut.shed(&world.core.now(), flow, &request.write(), &mut out);
    short.map(|short| {
        assert_eq!(short, Short::Refused);
        shown(&read_response(&out))
    })
}

#[tokio::test]
async fn each_kind_has_its_mark_and_who_is_registered_calls_on() {
    let mut world = World::new().await;
    for user in ["alice", "carol"] {
        world.endpoint(user).await;
    }
    let peer = TrunkChange {
        name: Some("carrier".into()),
        hosts: Some(vec!["192.0.2.77".into()]),
        inbound_networks: Some(vec!["192.0.2.77/32".into()]),
        ..TrunkChange::default()
    };
    let made = world.core.directory.create_trunk(&world.account, peer);
    made.await.expect("a trunk");
    let phone = udp(5060);
    let login = register("alice", 1, CONTACT);
    let sent = world.send_as("alice", PASSWORD, &login, phone).await;
    assert_eq!(sent.status(), 200);
    // A challenge from before the overload, and its proof.
    let first = register("carol", 5, "<sip:carol@10.0.0.6:5060>");
    let challenge = world.send(&first, elsewhere()).await.reply();
    let proved = with_proof(&first, prove(&challenge, "carol", PASSWORD, 1, &first));
    let invented = with_proof(
        &first,
        prove(&challenge, "carol", PASSWORD, 1, &first).replace("nonce=\"", "nonce=\"00"),
    );
    let trunk = Flow {
        remote: SocketAddr::from(([192, 0, 2, 77], 5060)),
        ..udp(5060)
    };
    let (alice, carol) = (address("alice"), address("carol"));
    let stranger = "sip:joe@elsewhere.example";
    let mut dialog = request(Method::Info, &alice, stranger, &alice, 9);
    let to = dialog.headers.get(&Name::To).expect("one").clone();
    dialog.headers.set(Name::To, format!("{to};tag=x"));
    let options = |from: &str| request(Method::Options, &format!("sip:{DOMAIN}"), from, from, 3);
    let cases = [
        (
            "a stranger's call",
            invite(stranger, &alice, 1),
            elsewhere(),
            Some(375),
        ),
        ("OPTIONS", options(&alice), elsewhere(), Some(375)),
        (
            "REGISTER without a proof",
            register("carol", 6, CONTACT),
            elsewhere(),
            Some(375),
        ),
        (
            "one with an invented nonce",
            invented,
            elsewhere(),
            Some(375),
        ),
        (
            "one of who is registered",
            register("alice", 7, CONTACT),
            phone,
            Some(500),
        ),
        ("one with a good nonce", proved, elsewhere(), Some(750)),
        (
            "a call of who is registered",
            invite(&alice, &carol, 8),
            phone,
            None,
        ),
        ("OPTIONS of who is", options(&alice), phone, None),
        (
            "a call that says to be hers",
            invite(&alice, &carol, 8),
            elsewhere(),
            Some(375),
        ),
        ("a trunk's call", invite(stranger, &alice, 1), trunk, None),
        ("in a dialog", dialog, elsewhere(), None),
        (
            "BYE",
            request(Method::Bye, &alice, stranger, &alice, 9),
            elsewhere(),
            None,
        ),
        (
            "CANCEL",
            request(Method::Cancel, &alice, stranger, &alice, 9),
            elsewhere(),
            None,
        ),
        (
            "ACK",
            request(Method::Ack, &alice, stranger, &alice, 9),
            elsewhere(),
            None,
        ),
    ];
    for (what, request, flow, mark) in cases {
        // A source that asks little is a little ahead; so each is asked of a shard of its own, below and at its mark.
        let mut found = None;
        for level in [374, 434, 435, 499, 559, 560, 749, 809, 810, 1000] {
            let mut shortcut = overloaded(&world, level);
            if refusal(&world, &mut shortcut, &request, flow).is_some() {
                found = found.or(Some(level));
            }
        }
        assert_eq!(found, mark.map(|mark| mark + 60), "{what}");
    }
}

#[tokio::test]
async fn the_refusal_says_when_to_come_again_over_any_transport() {
    let world = World::new().await;
    let mut shortcut = overloaded(&world, 600);
    let request = register("alice", 1, CONTACT);
    let said = refusal(&world, &mut shortcut, &request, udp(5060)).expect("a refusal");
    let after = said
        .lines()
        .find_map(|line| line.strip_prefix("Retry-After: "));
    let after: u32 = after.and_then(|text| text.parse().ok()).expect("a number");
    assert!((2..=4).contains(&after), "{said}");
    let again = refusal(&world, &mut shortcut, &request, world::websocket(7));
    assert!(
        again
            .expect("a refusal")
            .starts_with("503 Service Unavailable")
    );
    // RFC 3261 §8.2.6.2: what names the request is as it was.
    let expected = request.respond(sip::Status::SERVICE_UNAVAILABLE);
    for name in [Name::CallId, Name::CSeq] {
        let value = expected.headers.get(&name).expect("one");
        assert!(said.contains(&value.to_string()), "{said}");
    }
}

#[tokio::test]
async fn a_source_that_asks_much_is_refused_before_one_that_asks_little() {
    let world = World::new().await;
    let mut shortcut = overloaded(&world, 520);
    let (mut first, mut flood) = (Vec::new(), 0);
    for serial in 0..100 {
        let request = register("alice", serial, CONTACT);
        let refused = refusal(&world, &mut shortcut, &request, elsewhere()).is_some();
        flood += u32::from(refused);
        first.push(refused);
    }
    // At 520 strangers are refused all alike; REGISTERs of bound ones would not be.
    assert_eq!(flood, 100);
    let mut shortcut = overloaded(&world, 400);
    let refused: Vec<bool> = (0..20)
        .map(|serial| {
            let request = register("alice", serial, CONTACT);
            refusal(&world, &mut shortcut, &request, elsewhere()).is_some()
        })
        .collect();
    assert_eq!(refused, [[false; 10], [true; 10]].concat());
    let other = register("carol", 1, CONTACT);
    assert_eq!(refusal(&world, &mut shortcut, &other, udp(5060)), None);
}

#[tokio::test]
async fn what_a_silenced_source_sends_is_dropped_without_a_word() {
    let mut world = World::new().await;
    let mut scan = register("nobody", 1, CONTACT);
    scan.headers.push(Name::UserAgent, "sipvicious");
    assert_eq!(world.send(&scan, elsewhere()).await.status(), 0);
    let mut shortcut = overloaded(&world, 600);
    let mut out = Vec::new();
    let request = register("alice", 2, CONTACT).write();
    let short = shortcut.shed(&world.core.now(), elsewhere(), &request, &mut out);
    assert_eq!((short, out.len()), (Some(Short::Dropped), 0));
}
