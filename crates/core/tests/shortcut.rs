//! The short way of plain REGISTER and OPTIONS gives the answers of the whole way, and leaves to it what is not plain.

mod world;

use offhook_core::{Short, Shortcut};
use sip::{Method, Name, Request, Response};
use world::{
    DOMAIN, PASSWORD, World, address, mask, prove, read_response, register, request, shown, udp,
    websocket, with_proof,
};

const CONTACT: &str = "<sip:alice@10.0.0.5:5060>";

struct Ways {
    world: World,
    short: Shortcut,
}

impl Ways {
    async fn new() -> Self {
        let world = World::new().await;
        let registrar = std::sync::Arc::clone(&world.core.registrar);
        let short = Shortcut::new(registrar, 0, "Offhook", &world.core.now(), 7);
        Ways { world, short }
    }

    /// Sends a request the short way; none: it is not plain.
    async fn send(&mut self, request: &Request) -> Option<Response> {
        let mut out = Vec::new();
        let now = self.world.core.now();
        match self.short.take(&now, udp(5060), &request.write(), &mut out) {
            Short::Answered => Some(read_response(&out)),
            Short::Waits => {
                assert_eq!(out, b"");
                Some(self.world.answer().await)
            }
            shed @ (Short::Refused | Short::Dropped) => panic!("nothing is full: {shed:?}"),
            Short::Not => {
                assert_eq!(out, b"");
                None
            }
        }
    }
}

/// The answer as the stack finishes it.
fn finished(mut response: Response) -> Response {
    response.set_received(udp(5060).remote);
    response.headers.push(Name::Server, "Offhook");
    response.headers.push(Name::ContentLength, "0");
    response
}

#[tokio::test]
async fn the_short_way_answers_as_the_whole_way_does() {
    let mut short = Ways::new().await;
    let mut whole = World::new().await;
    for world in [&short.world, &whole] {
        world.endpoint("alice").await;
    }
    let options = request(
        Method::Options,
        &format!("sip:{DOMAIN}"),
        &address("alice"),
        &address("alice"),
        9,
    );
    let plain = short.send(&options).await.expect("it is plain");
    let full = finished(whole.send(&options, udp(5060)).await.reply());
    assert_eq!(mask(&shown(&plain)), mask(&shown(&full)));
    // A first binding, a refresh, the phone started anew, a shorter time.
    for (serial, call_id, contact) in [
        (1, "call-1", CONTACT),
        (3, "call-1", CONTACT),
        (5, "call-2", CONTACT),
        (7, "call-2", "<sip:alice@10.0.0.5:5060>;expires=90"),
    ] {
        let mut first = register("alice", serial, contact);
        let mut second = register("alice", serial + 1, contact);
        for request in [&mut first, &mut second] {
            request.headers.set(Name::CallId, call_id);
        }
        let asked = short.send(&first).await.expect("it is plain");
        let full = whole.send(&first, udp(5060)).await.reply();
        assert_eq!(
            mask(&shown(&asked)),
            mask(&shown(&finished(full.clone()))),
            "{serial}"
        );
        let proved = |challenge: &Response| {
            with_proof(&second, prove(challenge, "alice", PASSWORD, 1, &second))
        };
        let ok = short.send(&proved(&asked)).await.expect("it is plain");
        let full = whole.send(&proved(&full), udp(5060)).await.reply();
        assert_eq!(mask(&shown(&ok)), mask(&shown(&finished(full))), "{serial}");
    }
    let alice = |world: &World| {
        let directory = &world.core.directory;
        let found = directory.subscriber(DOMAIN, "alice").expect("she is there");
        let location = world.core.registrar.location();
        let mut bindings = location.bindings(found.endpoint, world.clock.now().wall);
        for binding in &mut bindings {
            binding.endpoint = 0;
        }
        bindings
    };
    assert_eq!(alice(&short.world), alice(&whole));
    assert_eq!(alice(&whole).len(), 1);
}

#[tokio::test]
async fn what_is_not_proved_or_not_simple_goes_the_whole_way_as_if_it_had_not_been_looked_at() {
    let mut ways = Ways::new().await;
    ways.world.endpoint("alice").await;
    let first = register("alice", 1, CONTACT);
    let challenge = ways.send(&first).await.expect("it is plain");
    let with = |serial, contact: &str, expires: &str, user: &str, password: &str| {
        let mut request = register("alice", serial, contact);
        if !expires.is_empty() {
            request.headers.push(Name::Expires, expires);
        }
        let proof = prove(&challenge, user, password, serial, &request);
        with_proof(&request, proof)
    };
    let plain = |serial| with(serial, CONTACT, "", "alice", PASSWORD);
    let ok = ways.send(&plain(2)).await.expect("it is plain");
    assert_eq!(ok.status.0, 200);
    let again = "<sip:alice@10.0.0.6:5060>";
    for (name, request, status) in [
        ("wrong", with(3, CONTACT, "", "alice", "wrong"), 401),
        ("unknown", with(4, CONTACT, "", "nobody", PASSWORD), 401),
        ("replay", plain(2), 200),
        ("old", with(1, CONTACT, "", "alice", PASSWORD), 401),
        ("brief", with(5, CONTACT, "5", "alice", PASSWORD), 423),
        ("second contact", with(6, again, "", "alice", PASSWORD), 200),
        ("two bindings", plain(7), 200),
        ("removal", with(8, again, "0", "alice", PASSWORD), 200),
        ("query", with(9, "", "", "alice", PASSWORD), 200),
        (
            "our own",
            with(10, "<sip:alice@192.0.2.1:5060>", "", "alice", PASSWORD),
            403,
        ),
    ] {
        assert_eq!(ways.send(&request).await, None, "{name}");
        let whole = ways.world.send(&request, udp(5060)).await;
        assert_eq!(whole.status(), status, "{name}");
    }
    // What went wrong is remembered, and so what follows it is written down; who made no mistake is not slowed down.
    ways.world.endpoint("bob").await;
    let request = register("bob", 11, "<sip:bob@10.0.0.5:5060>");
    let challenge = ways.send(&request).await.expect("plain again");
    let proof = prove(&challenge, "bob", PASSWORD, 1, &request);
    let ok = ways.send(&with_proof(&request, proof)).await;
    assert_eq!(ok.expect("plain again").status.0, 200);
    let mut out = Vec::new();
    let now = ways.world.core.now();
    let bytes = first.write();
    let over_ws = ways.short.take(&now, websocket(1), &bytes, &mut out);
    assert_eq!((over_ws, out.len()), (Short::Not, 0));
}

#[tokio::test]
async fn a_plain_register_that_cannot_be_kept_is_503_and_may_come_again() {
    let mut ways = Ways::new().await;
    ways.world.endpoint("alice").await;
    let first = register("alice", 1, CONTACT);
    let challenge = ways.send(&first).await.expect("it is plain");
    let second = with_proof(&first, prove(&challenge, "alice", PASSWORD, 1, &first));
    ways.world.store.close().await;
    for _ in 0..2 {
        assert_eq!(ways.send(&second).await, None);
        assert_eq!(ways.world.send(&second, udp(5060)).await.status(), 503);
    }
}
