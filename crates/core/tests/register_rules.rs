//! The rules of RFC 3261 §10 one by one, where `registrar.rs` tells no story of them.

mod world;

use offhook_core::{Clock, EndpointView};
use sip::{Command, Name, Request, Response, Status};
use world::{Outcome, PASSWORD, World, address, invite, register, request, settings, udp};

const CONTACT: &str = "<sip:alice@10.0.0.5:5060>";

async fn world() -> (World, EndpointView) {
    let world = World::new().await;
    let alice = world.endpoint("alice").await;
    (world, alice)
}

async fn answer(world: &mut World, request: &Request) -> Response {
    let outcome = world.send_as("alice", PASSWORD, request, udp(5060)).await;
    outcome.reply()
}

fn with(mut request: Request, name: Name, value: &str) -> Request {
    request.headers.push(name, value);
    request
}

fn listed(response: &Response) -> Vec<String> {
    let contacts = response.headers.all(&Name::Contact);
    contacts.map(ToString::to_string).collect()
}

/// RFC 3261 §10.2.3: without a Contact nothing changes, whatever Expires says.
#[tokio::test]
async fn a_query_changes_nothing() {
    let (mut world, alice) = world().await;
    answer(&mut world, &register("alice", 1, CONTACT)).await;
    let before = world.bindings(&alice);
    for (serial, expires) in [(2, ""), (3, "0"), (4, "120")] {
        let mut query = register("alice", serial, "");
        if !expires.is_empty() {
            query = with(query, Name::Expires, expires);
        }
        let ok = answer(&mut world, &query).await;
        assert_eq!(listed(&ok), ["<sip:alice@10.0.0.5:5060>;expires=3600"]);
        assert_eq!(world.bindings(&alice), before);
    }
}

/// RFC 3261 §10.3 step 7: all of a request or nothing of it.
#[tokio::test]
async fn when_one_contact_cannot_be_had_none_is() {
    let (mut world, alice) = world().await;
    answer(&mut world, &register("alice", 1, CONTACT)).await;
    let before = world.bindings(&alice);
    let other = "<sip:alice@10.0.0.6>";
    let cases = [
        (format!("{other}, <sip:alice@10.0.0.7>;expires=5"), 423),
        (format!("{other}, <mailto:alice@example.com>"), 400),
        (format!("{other}, <sip:alice@192.0.2.1:5060>"), 403),
        (
            format!("{CONTACT};expires=0, <sip:alice@10.0.0.7>;expires=5"),
            423,
        ),
    ];
    for (serial, (contacts, status)) in (2..).zip(cases) {
        let refused = answer(&mut world, &register("alice", serial, &contacts)).await;
        assert_eq!(refused.status.0, status, "{contacts}");
        assert_eq!(world.bindings(&alice), before, "{contacts}");
    }
}

/// RFC 3261 §10.2.1, §7.3.1: several lines and one list are the same, in their order; of two for one binding the last counts.
#[tokio::test]
async fn contacts_are_taken_in_their_order() {
    let (mut world, _) = world().await;
    let lines = with(
        register("alice", 1, "<sip:alice@10.0.0.5>;q=0.2"),
        Name::Contact,
        "<sip:alice@10.0.0.6>",
    );
    let ok = answer(&mut world, &lines).await;
    let both = [
        "<sip:alice@10.0.0.5>;expires=3600;q=0.200",
        "<sip:alice@10.0.0.6>;expires=3600",
    ];
    assert_eq!(listed(&ok), both);
    let list = "<sip:alice@10.0.0.5>;q=0.9, <sip:alice@10.0.0.6>, <sip:alice@10.0.0.5>;q=0.2";
    let ok = answer(&mut world, &register("alice", 2, list)).await;
    let mut shown = listed(&ok);
    shown.sort();
    assert_eq!(shown, both);
}

/// RFC 3261 §10.2.1.1: a Contact's own expiry, else that of Expires, else the registrar's.
#[tokio::test]
async fn each_contact_has_the_expiry_that_is_nearest_to_it() {
    let (mut world, _) = world().await;
    let contacts =
        "<sip:alice@10.0.0.5>;expires=200, <sip:alice@10.0.0.6>, <sip:alice@10.0.0.7>;expires=abc";
    let both = with(register("alice", 1, contacts), Name::Expires, "300");
    let mut shown = listed(&answer(&mut world, &both).await);
    shown.sort();
    assert_eq!(
        shown,
        [
            "<sip:alice@10.0.0.5>;expires=200",
            "<sip:alice@10.0.0.6>;expires=300",
            "<sip:alice@10.0.0.7>;expires=300",
        ]
    );
    let ok = answer(&mut world, &register("alice", 2, "<sip:alice@10.0.0.6>")).await;
    assert!(listed(&ok).contains(&"<sip:alice@10.0.0.6>;expires=3600".to_owned()));
}

/// RFC 3261 §10.2.2, §10.3 step 7: what is not there is removed without complaint, and nothing else goes with it.
#[tokio::test]
async fn removing_takes_what_it_names_and_nothing_else() {
    let (mut world, _) = world().await;
    let two = "<sip:alice@10.0.0.5>, <sip:alice@10.0.0.6>";
    answer(&mut world, &register("alice", 1, two)).await;
    let gone = "<sip:alice@10.0.0.9>;expires=0, <sip:alice@10.0.0.5>;expires=0";
    let ok = answer(&mut world, &register("alice", 2, gone)).await;
    assert_eq!(
        (ok.status, listed(&ok)),
        (Status::OK, vec!["<sip:alice@10.0.0.6>;expires=3600".into()])
    );
    let all = with(
        register("alice", 3, "<sip:alice@10.0.0.6>"),
        Name::Expires,
        "0",
    );
    assert!(listed(&answer(&mut world, &all).await).is_empty());
}

/// RFC 3261 §10.3 step 7: with another Call-ID an update is taken whatever its number; with the same one it must be higher.
/// `*` obeys the same rule (step 6).
#[tokio::test]
async fn numbers_count_within_a_call_id_only() {
    let (mut world, alice) = world().await;
    answer(&mut world, &register("alice", 9, CONTACT)).await;
    for (serial, expected) in [(9, 500), (8, 500), (10, 200)] {
        assert_eq!(
            answer(&mut world, &register("alice", serial, CONTACT))
                .await
                .status
                .0,
            expected
        );
    }
    let star = |serial| with(register("alice", serial, "*"), Name::Expires, "0");
    assert_eq!(answer(&mut world, &star(10)).await.status.0, 500);
    assert_eq!(world.bindings(&alice).len(), 1);
    let mut another = star(1);
    another.headers.set(Name::CallId, "another");
    assert_eq!(answer(&mut world, &another).await.status.0, 200);
    assert!(world.bindings(&alice).is_empty());
}

/// RFC 3261 §10.3 step 5: parameters and escapes of To do not matter, and neither does the form of From.
#[tokio::test]
async fn the_address_of_record_is_compared_without_its_trimmings() {
    let (mut world, alice) = world().await;
    let spellings = [
        "<sip:%61lice@sip.example.net;user=phone;x=1>",
        "\"Alice\" <sip:alice@SIP.Example.NET>",
        "sip:alice@sip.example.net;x=1",
    ];
    for (serial, to) in (1..).zip(spellings) {
        let mut request = register("alice", serial, CONTACT);
        request.headers.set(Name::To, to);
        assert_eq!(
            answer(&mut world, &request).await.status,
            Status::OK,
            "{to}"
        );
    }
    assert_eq!(world.bindings(&alice).len(), 1);
    // Names are compared with regard to case, and To must name who proves the password.
    for (serial, to) in [
        (7, "<sip:ALICE@sip.example.net>"),
        (8, "<sip:nobody@sip.example.net>"),
        (9, "<sip:alice@elsewhere.example.com>"),
    ] {
        let mut request = register("alice", serial, CONTACT);
        request.headers.set(Name::To, to);
        assert_eq!(
            answer(&mut world, &request).await.status,
            Status::FORBIDDEN,
            "{to}"
        );
    }
}

/// RFC 3261 §10.3 step 8: each binding with its expiry and q, and a date; other parameters of a Contact are read over.
#[tokio::test]
async fn unknown_parameters_of_a_contact_are_read_over() {
    let (mut world, _) = world().await;
    let contact =
        "\"Desk\" <sip:alice@10.0.0.5;transport=udp;line=7>;methods=\"INVITE, BYE\";x=y;q=0.5";
    let ok = answer(&mut world, &register("alice", 1, contact)).await;
    assert_eq!(
        listed(&ok),
        ["<sip:alice@10.0.0.5;transport=udp;line=7>;expires=3600;q=0.500"]
    );
    assert!(ok.headers.get(&Name::Date).is_some());
}

/// RFC 3261 §10.3 step 2, §8.2.2.3: what a phone requires is judged before it is asked who it is.
#[tokio::test]
async fn required_extensions_are_those_that_are_served() {
    let (mut world, _) = world().await;
    let known = with(
        register("alice", 1, CONTACT),
        Name::Require,
        "path, gruu, outbound",
    );
    assert_eq!(answer(&mut world, &known).await.status, Status::OK);
    let unknown = with(
        register("alice", 2, CONTACT),
        Name::Require,
        "path, sec-agree",
    );
    let refused = world.send(&unknown, udp(5060)).await.reply();
    assert_eq!(refused.status, Status::BAD_EXTENSION);
    let tags: Vec<_> = refused
        .headers
        .all(&Name::Unsupported)
        .map(|tag| tag.to_string())
        .collect();
    assert_eq!(tags, ["sec-agree"]);
}

/// RFC 3261 §10.2: a REGISTER makes no dialog; a tag in To or a Record-Route means nothing.
#[tokio::test]
async fn a_register_makes_no_dialog() {
    let (mut world, _) = world().await;
    let mut tagged = with(
        register("alice", 1, CONTACT),
        Name::RecordRoute,
        "<sip:p.example.com;lr>",
    );
    tagged
        .headers
        .set(Name::To, format!("<{}>;tag=old", address("alice")));
    let ok = answer(&mut world, &tagged).await;
    assert_eq!(ok.status, Status::OK);
    assert!(ok.headers.get(&Name::RecordRoute).is_none());
}

/// RFC 3261 §19.1.5, §19.1.1 Table 1: a Request-URI has no headers and no method, whatever the Contact has (RFC 4475 §3.3.14).
#[tokio::test]
async fn headers_of_a_contact_do_not_get_into_a_request_uri() {
    let mut world = World::with(settings(), Clock::System).await;
    world.direct_dial().await;
    world.endpoint("alice").await;
    let contact = "<sip:a%3fb@198.51.100.7;x=1;method=BYE?Route=%3Csip:203.0.113.1%3E>";
    let ok = answer(&mut world, &register("alice", 1, contact)).await;
    assert!(listed(&ok)[0].starts_with(contact), "{:?}", listed(&ok));
    let call = invite("sip:carol@elsewhere.example.com", &address("alice"), 1);
    assert!(matches!(
        world.send(&call, udp(7000)).await,
        Outcome::Accept(_)
    ));
    let to = loop {
        if let Command::Invite { to, .. } = world.command().await {
            break to;
        }
    };
    assert_eq!(&*to.uri, "sip:a%3fb@198.51.100.7;x=1");
    assert!(to.route.is_empty());
}

/// RFC 3261 §10.3 step 1: a domain that is not ours is nobody's address here.
#[tokio::test]
async fn a_foreign_domain_is_404() {
    let (mut world, _) = world().await;
    let uri = "sip:elsewhere.example.com";
    let foreign = request(
        sip::Method::Register,
        uri,
        &address("alice"),
        &address("alice"),
        1,
    );
    assert_eq!(world.send(&foreign, udp(5060)).await.status(), 404);
}
