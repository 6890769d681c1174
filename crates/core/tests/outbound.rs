//! Outbound, Path, Service-Route and GRUU: RFC 5626, RFC 3327, RFC 3608, RFC 5627. What a REGISTER gets, and where a call
//! goes afterwards.

mod world;

use offhook_core::{Clock, Settings};
use sip::{Command, Destination, Flow, Name, Request, Response, SessionEvent, SessionId, Status};
use world::{
    Outcome, PASSWORD, World, address, invite, mask, prove, register, settings, shown, udp,
    websocket, with_proof,
};

const PHONE: &str = "<urn:uuid:00000000-0000-1000-8000-000a95a0e128>";
const STRANGER: &str = "sip:carol@elsewhere.example.com";

/// A Contact of a flow of the phone.
fn flow_contact(host: &str, reg_id: &str) -> String {
    let reg_id = if reg_id.is_empty() {
        String::new()
    } else {
        format!(";reg-id={reg_id}")
    };
    format!("<sip:alice@{host}>;+sip.instance=\"{PHONE}\"{reg_id}")
}

fn with(mut request: Request, headers: &[(Name, &str)]) -> Request {
    for (name, value) in headers {
        request.headers.push(name.clone(), *value);
    }
    request
}

fn supporting(request: Request, tags: &str) -> Request {
    with(request, &[(Name::Supported, tags)])
}

/// Through a proxy, which has put its Via on top.
fn proxied(mut request: Request, path: &str) -> Request {
    request
        .headers
        .push_front(Name::Via, "SIP/2.0/UDP 198.51.100.7;branch=z9hG4bK-proxy");
    if !path.is_empty() {
        request.headers.push(Name::Path, path);
    }
    request
}

async fn answer(world: &mut World, request: &Request, flow: Flow) -> Response {
    world
        .send_as("alice", PASSWORD, request, flow)
        .await
        .reply()
}

fn value<'a>(response: &'a Response, name: &Name) -> Option<&'a str> {
    response.headers.get(name).map(|value| &**value)
}

fn contacts(response: &Response) -> Vec<String> {
    response
        .headers
        .all(&Name::Contact)
        .map(|contact| mask(contact))
        .collect()
}

async fn world(change: impl FnOnce(&mut Settings)) -> World {
    let mut settings = settings();
    change(&mut settings);
    let world = World::with(settings, Clock::System).await;
    world.direct_dial().await;
    world.endpoint("alice").await;
    world
}

/// Calls an address as a stranger would; gives the leg that goes out and where.
async fn ring(world: &mut World, uri: &str, serial: u32) -> (SessionId, Destination) {
    let mut call = invite(STRANGER, uri, serial);
    call.headers.set(Name::CallId, format!("ring-{serial}"));
    let outcome = world.send(&call, udp(7000)).await;
    assert!(matches!(outcome, Outcome::Accept(_)), "{uri}: {outcome:?}");
    going_out(world).await
}

async fn going_out(world: &mut World) -> (SessionId, Destination) {
    loop {
        if let Command::Invite { session, to, .. } = world.command().await {
            return (session, to);
        }
    }
}

/// How a call to an address that leads nowhere ends.
async fn refusal(world: &mut World, uri: &str, serial: u32) -> u16 {
    let mut call = invite(STRANGER, uri, serial);
    call.headers.set(Name::CallId, format!("refused-{serial}"));
    match world.send(&call, udp(7000)).await {
        Outcome::Reply(response) => return response.status.0,
        Outcome::Accept(_) => (),
        other => panic!("no answer but {other:?}"),
    }
    loop {
        if let Command::Refuse { status, .. } = world.command().await {
            return status.0;
        }
    }
}

/// RFC 5626 §6, §4.4.
#[tokio::test]
async fn a_flow_is_bound_by_instance_and_reg_id_and_the_answer_says_so() {
    let mut world = World::new().await;
    let alice = world.endpoint("alice").await;
    let first = supporting(
        register("alice", 1, &flow_contact("a.invalid", "1")),
        "outbound, path",
    );
    let ok = answer(&mut world, &first, websocket(1)).await;
    assert_eq!(
        shown(&ok),
        "200 OK\n\
         Via: SIP/2.0/UDP 10.0.0.5:5060;rport;branch=z9hG4bK-1\n\
         From: <sip:alice@sip.example.net>;tag=*\n\
         To: <sip:alice@sip.example.net>;tag=*\n\
         Call-ID: call-1\n\
         CSeq: 1 REGISTER\n\
         Contact: <sip:alice@a.invalid>;expires=3600;+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000a95a0e128>\";reg-id=1\n\
         Require: outbound\n\
         Flow-Timer: 120\n\
         Date: Fri, 02 Jan 2026 03:04:05 GMT"
    );
    // A second flow with the same Contact is another binding; the same flow with another Contact is the same.
    let second = supporting(
        register("alice", 2, &flow_contact("a.invalid", "2")),
        "outbound",
    );
    let ok = answer(&mut world, &second, udp(5060)).await;
    assert_eq!(
        (value(&ok, &Name::Require), contacts(&ok).len()),
        (Some("outbound"), 2)
    );
    // RFC 5626 §4.4.2: of a datagram flow nothing is said.
    assert_eq!(value(&ok, &Name::FlowTimer), None);
    let moved = supporting(
        register("alice", 3, &flow_contact("b.invalid", "1")),
        "outbound",
    );
    let ok = answer(&mut world, &moved, websocket(3)).await;
    assert_eq!(contacts(&ok).len(), 2);
    assert!(contacts(&ok).concat().contains("sip:alice@b.invalid"));
    // Without the word in Supported the answer does not require it (RFC 3261 §8.2.4); the flows stay apart.
    let silent = register("alice", 4, &flow_contact("c.invalid", "3"));
    let ok = answer(&mut world, &silent, websocket(4)).await;
    assert_eq!((value(&ok, &Name::Require), contacts(&ok).len()), (None, 3));
    // A closed connection takes its binding along, and no other.
    world.core.flow_closed(websocket(4).id);
    assert_eq!(world.bindings(&alice).len(), 2);
    // One flow is removed by its reg-id, whatever its Contact.
    let gone = format!("{};expires=0", flow_contact("z.invalid", "1"));
    let ok = answer(
        &mut world,
        &supporting(register("alice", 5, &gone), "outbound"),
        udp(5060),
    )
    .await;
    assert_eq!(contacts(&ok).len(), 1);
}

/// RFC 5626 §6.
#[tokio::test]
async fn what_outbound_does_not_allow() {
    let mut world = World::new().await;
    let alice = world.endpoint("alice").await;
    // A reg-id without an instance is ignored: the Contact is the key, and nothing is required.
    let bare = supporting(
        register("alice", 1, "<sip:alice@10.0.0.5>;reg-id=1"),
        "outbound",
    );
    let ok = answer(&mut world, &bare, udp(5060)).await;
    assert_eq!(value(&ok, &Name::Require), None);
    assert_eq!(contacts(&ok), ["<sip:alice@10.0.0.5>;expires=3600"]);
    let before = world.bindings(&alice);
    // Two new bindings with a reg-id among them.
    let two = format!("{}, <sip:alice@10.0.0.6>", flow_contact("a.invalid", "1"));
    let refused = answer(&mut world, &register("alice", 2, &two), udp(5060)).await;
    assert_eq!(refused.status, Status::BAD_REQUEST);
    assert_eq!(world.bindings(&alice), before);
    // One that comes and one that goes is allowed.
    let swap = format!(
        "{}, <sip:alice@10.0.0.5>;expires=0",
        flow_contact("a.invalid", "1")
    );
    let ok = answer(&mut world, &register("alice", 3, &swap), udp(5060)).await;
    assert_eq!(contacts(&ok).len(), 1);
    // Through a proxy that does not keep flows: 439 to who asks for outbound; else the reg-id is ignored.
    let asks = |serial, path: &str| {
        supporting(
            proxied(
                register("alice", serial, &flow_contact("a.invalid", "9")),
                path,
            ),
            "outbound, path",
        )
    };
    for (serial, path) in [(4, ""), (5, "<sip:198.51.100.7;lr>")] {
        let refused = answer(&mut world, &asks(serial, path), udp(5060)).await;
        assert_eq!(refused.status, Status::FIRST_HOP_LACKS_OUTBOUND);
        assert_eq!(&*refused.reason, "First Hop Lacks Outbound Support");
    }
    let ok = answer(&mut world, &asks(6, "<sip:198.51.100.7;lr;ob>"), udp(5060)).await;
    assert_eq!(value(&ok, &Name::Require), Some("outbound"));
    let plain = proxied(register("alice", 7, &flow_contact("d.invalid", "9")), "");
    let ok = answer(&mut world, &plain, udp(5060)).await;
    assert_eq!(value(&ok, &Name::Require), None);
    let keys: Vec<String> = world
        .bindings(&alice)
        .into_iter()
        .map(|binding| binding.key)
        .collect();
    assert!(keys.contains(&"sip:alice@d.invalid".to_owned()), "{keys:?}");
}

/// RFC 3327 §5.3, RFC 3608 §6.3.
#[tokio::test]
async fn a_path_is_stored_and_echoed_and_service_routes_are_told() {
    let mut world = world(|settings| {
        settings.service_route = vec!["<sip:edge.example.net;lr>".into()];
    })
    .await;
    let path = "<sip:198.51.100.7;lr>, <sip:inner.example.com;lr>";
    let known = supporting(
        proxied(register("alice", 1, "<sip:alice@10.0.0.5>"), path),
        "path",
    );
    let ok = answer(&mut world, &known, udp(5060)).await;
    assert_eq!(value(&ok, &Name::Path), Some(path));
    assert_eq!(
        value(&ok, &Name::ServiceRoute),
        Some("<sip:edge.example.net;lr>")
    );
    // A call takes that way: to the proxy, with its Route, for the Contact.
    let (_, to) = ring(&mut world, &address("alice"), 1).await;
    assert_eq!(to.flow, udp(5060));
    assert_eq!(&*to.uri, "sip:alice@10.0.0.5");
    assert_eq!(
        to.route,
        ["<sip:198.51.100.7;lr>", "<sip:inner.example.com;lr>"]
    );
    let unknown = proxied(register("alice", 2, "<sip:alice@10.0.0.5>"), path);
    let refused = answer(&mut world, &unknown, udp(5060)).await;
    assert_eq!(
        (refused.status, value(&refused, &Name::Unsupported)),
        (Status::BAD_EXTENSION, Some("path"))
    );
    // S47: no REGISTER makes us send to a third party.
    let elsewhere = proxied(
        register("alice", 3, "<sip:alice@10.0.0.5>"),
        "<sip:203.0.113.9;lr>",
    );
    let refused = answer(&mut world, &supporting(elsewhere, "path"), udp(5060)).await;
    assert_eq!(refused.status, Status::FORBIDDEN);
}

/// RFC 3327 §5.3: what the operator's own proxies say is believed.
#[tokio::test]
async fn a_trusted_proxy_may_name_another_one_and_need_not_be_known_to_the_phone() {
    let mut world = world(|settings| {
        settings.proxies = vec!["198.51.100.0/24".parse().expect("a network")];
    })
    .await;
    let request = proxied(
        register("alice", 1, "<sip:alice@10.0.0.5>"),
        "<sip:198.51.100.9:5080;lr>",
    );
    let ok = answer(&mut world, &request, udp(5060)).await;
    assert_eq!((ok.status, value(&ok, &Name::Path)), (Status::OK, None));
    let (_, to) = ring(&mut world, &address("alice"), 1).await;
    assert_eq!(to.flow.remote.to_string(), "198.51.100.9:5080");
}

/// RFC 5626 §7.
#[tokio::test]
async fn a_call_takes_the_newest_flow_of_a_device_and_the_other_one_when_that_is_gone() {
    let mut world = world(|_| ()).await;
    for (serial, flow) in [(1, websocket(1)), (2, websocket(2))] {
        let contact = flow_contact(&format!("f{serial}.invalid"), &serial.to_string());
        let mut request = supporting(register("alice", serial, &contact), "outbound");
        request.headers.set(Name::CallId, format!("flow-{serial}"));
        assert_eq!(answer(&mut world, &request, flow).await.status, Status::OK);
    }
    let (leg, to) = ring(&mut world, &address("alice"), 1).await;
    assert_eq!((&*to.uri, to.flow), ("sip:alice@f2.invalid", websocket(2)));
    let lost = SessionEvent::Failed {
        status: Status::SERVICE_UNAVAILABLE,
        response: None,
    };
    world.core.calls.session_event(leg, lost);
    let (_, to) = going_out(&mut world).await;
    assert_eq!((&*to.uri, to.flow), ("sip:alice@f1.invalid", websocket(1)));
}

/// RFC 5627 §5.3, §5.1, §6.1.
#[tokio::test]
async fn a_gruu_reaches_one_device_and_a_temporary_one_ends_with_its_registration() {
    let mut world = world(|_| ()).await;
    // The desk phone is newer, so that an ordinary call rings it.
    let phone = supporting(register("alice", 1, &flow_contact("10.0.0.5", "")), "gruu");
    let ok = answer(&mut world, &phone, udp(5060)).await;
    let mut desk = register("alice", 1, "<sip:alice@10.0.0.6>");
    desk.headers.set(Name::CallId, "desk");
    assert_eq!(
        answer(&mut world, &desk, udp(5070)).await.status,
        Status::OK
    );
    let contact = contacts_raw(&ok).remove(0);
    let public = param(&contact, "pub-gruu");
    assert_eq!(
        public,
        "sip:alice@sip.example.net;gr=urn:uuid:00000000-0000-1000-8000-000a95a0e128"
    );
    let temporary = param(&contact, "temp-gruu");
    assert!(
        temporary.starts_with("sip:tgruu.") && temporary.ends_with("@sip.example.net;gr"),
        "{temporary}"
    );
    assert!(!temporary.contains("alice"));

    let (_, to) = ring(&mut world, &address("alice"), 1).await;
    assert_eq!(&*to.uri, "sip:alice@10.0.0.6");
    for (serial, gruu) in [(2, &public), (3, &temporary)] {
        let (_, to) = ring(&mut world, gruu, serial).await;
        assert_eq!(&*to.uri, "sip:alice@10.0.0.5", "{gruu}");
    }
    let other = public.replace("000a95a0e128", "000a95a0e129");
    assert_eq!(refusal(&mut world, &other, 4).await, 480);
    let forged = temporary.replace("tgruu.", "tgruu.A");
    assert_eq!(refusal(&mut world, &forged, 5).await, 404);

    // Another temporary one comes with each refresh, and both are good; a new Call-ID ends them all.
    let again = supporting(register("alice", 2, &flow_contact("10.0.0.5", "")), "gruu");
    let ok = answer(&mut world, &again, udp(5060)).await;
    let newer = contacts_raw(&ok)
        .into_iter()
        .find(|contact| contact.contains("temp-gruu"))
        .expect("one");
    let newer = param(&newer, "temp-gruu");
    assert_ne!(newer, temporary);
    for (serial, gruu) in [(6, &temporary), (7, &newer)] {
        let (_, to) = ring(&mut world, gruu, serial).await;
        assert_eq!(&*to.uri, "sip:alice@10.0.0.5");
    }
    let mut restarted = supporting(register("alice", 3, &flow_contact("10.0.0.5", "")), "gruu");
    restarted.headers.set(Name::CallId, "restarted");
    assert_eq!(
        answer(&mut world, &restarted, udp(5060)).await.status,
        Status::OK
    );
    assert_eq!(refusal(&mut world, &newer, 8).await, 480);
    let (_, to) = ring(&mut world, &public, 9).await;
    assert_eq!(&*to.uri, "sip:alice@10.0.0.5");
    // Who does not ask for GRUUs gets none; who requires the extension is understood.
    let required = with(
        register("alice", 4, &flow_contact("10.0.0.5", "")),
        &[(Name::Require, "gruu, outbound, path")],
    );
    let ok = answer(&mut world, &required, udp(5060)).await;
    assert_eq!(ok.status, Status::OK);
    assert!(!shown(&ok).contains("gruu="), "{}", shown(&ok));
}

/// RFC 5627 §5.1: a GRUU, or any address of ours, is no Contact.
#[tokio::test]
async fn a_gruu_cannot_be_registered_as_a_contact() {
    let mut world = World::new().await;
    world.endpoint("alice").await;
    let gruu = "<sip:alice@sip.example.net;gr=urn:uuid:00000000-0000-1000-8000-000a95a0e128>";
    let first = register("alice", 1, gruu);
    let challenge = world.send(&first, udp(5060)).await.reply();
    let proof = prove(&challenge, "alice", PASSWORD, 1, &first);
    let refused = world.send(&with_proof(&first, proof), udp(5060)).await;
    assert_eq!(refused.status(), 403);
}

fn contacts_raw(response: &Response) -> Vec<String> {
    response
        .headers
        .all(&Name::Contact)
        .map(ToString::to_string)
        .collect()
}

fn param(contact: &str, name: &str) -> String {
    let rest = contact.split_once(&format!("{name}=\"")).expect(name).1;
    rest.split_once('"').expect("an end").0.to_owned()
}
