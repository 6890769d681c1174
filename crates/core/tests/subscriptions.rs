//! Who may watch whom, what a watcher is told, and what an endpoint says of itself: RFC 6665, 4235, 3856, 3842, 3680, 3903.

mod world;

use std::time::Duration;

use offhook_core::{Clock, EndpointChange, Key, NewAccount, NewEndpoint, Permissions, Ring};
use sip::{
    Command, Farewell, FlowId, Method, Name, News, Request, Response, SessionEvent, Status,
    SubscriptionEnd, SubscriptionEvent, SubscriptionId,
};
use world::{
    Outcome, PASSWORD, World, address, eventually, invite, register, request, settings, shown,
    standing_clock, udp, websocket,
};

fn subscribe(watcher: &str, target: &str, event: &str, serial: u32) -> Request {
    let (from, to) = (address(watcher), address(target));
    let mut request = request(Method::Subscribe, &to, &from, &to, serial);
    request
        .headers
        .push(Name::Contact, "<sip:phone@198.51.100.7:5060>");
    request.headers.push(Name::Event, event);
    request
}

fn publish(user: &str, event: &str, serial: u32, body: &str) -> Request {
    let own = address(user);
    let mut request = request(Method::Publish, &own, &own, &own, serial);
    request.headers.push(Name::Event, event);
    if !body.is_empty() {
        request
            .headers
            .push(Name::ContentType, "application/pidf+xml");
        request.body = body.to_owned().into();
    }
    request
}

async fn world_with(settings: offhook_core::Settings) -> World {
    let mut world = World::with(settings, standing_clock()).await;
    for (user, port) in [("alice", 5060), ("bob", 5070)] {
        world.endpoint(user).await;
        let request = register(user, 1, &format!("<sip:{user}@198.51.100.7:{port}>"));
        let answer = world.send_as(user, PASSWORD, &request, udp(port)).await;
        assert_eq!(answer.status(), 200);
    }
    world
}

async fn watch(world: &mut World, request: &Request) -> SubscriptionId {
    match world.send_as("alice", PASSWORD, request, udp(5060)).await {
        Outcome::Subscribe(subscription, _) => subscription,
        other => panic!("no subscription but {other:?}"),
    }
}

/// What a NOTIFY says that may go out.
fn told(world: &World, id: SubscriptionId, number: u32, full: bool) -> News {
    let last = false;
    let event = SubscriptionEvent::Wanted { number, full, last };
    match world.core.packages.happened(&world.core.now(), id, event) {
        Some(Command::Tell { news, .. }) => news,
        other => panic!("no news but {other:?}"),
    }
}

fn text(news: &News) -> String {
    String::from_utf8(news.body.to_vec()).expect("text")
}

/// The next change that a stack is told of.
async fn changed(world: &mut World) -> SubscriptionId {
    loop {
        match world.command().await {
            Command::Changed { subscription } => return subscription,
            Command::Unsubscribe { .. } => panic!("ended"),
            _ => (),
        }
    }
}

#[tokio::test]
async fn a_stranger_is_challenged_and_an_unknown_event_is_named_with_those_that_are_served() {
    let mut world = world_with(settings()).await;
    // S49.
    let request = subscribe("alice", "bob", "dialog", 1);
    let challenge = world.send(&request, udp(5060)).await.reply();
    assert_eq!(challenge.status, Status::PROXY_AUTHENTICATION_REQUIRED);
    let wrong = world.send_as("alice", "wrong", &request, udp(5060)).await;
    assert_eq!(wrong.status(), 407);
    let unknown = subscribe("alice", "bob", "conference", 2);
    let refused = world.send(&unknown, udp(5060)).await.reply();
    assert_eq!(
        shown(&refused),
        "489 Bad Event\n\
         Via: SIP/2.0/UDP 10.0.0.5:5060;rport;branch=z9hG4bK-2\n\
         From: <sip:alice@sip.example.net>;tag=*\n\
         To: <sip:bob@sip.example.net>;tag=*\n\
         Call-ID: call-1\n\
         CSeq: 2 SUBSCRIBE\n\
         Allow-Events: dialog, presence, message-summary, reg"
    );
    let mut none = subscribe("alice", "bob", "dialog", 3);
    none.headers.remove(&Name::Event);
    assert_eq!(world.send(&none, udp(5060)).await.status(), 489);
    assert_eq!(world.core.packages.subscriptions(), 0);
}

#[tokio::test]
async fn what_another_account_has_does_not_exist() {
    let mut world = world_with(settings()).await;
    let directory = world.core.directory.clone();
    let other = NewAccount::named("other");
    let other = directory.create_account(other).await.expect("an account");
    let domain = directory.account_domain(&other).expect("a domain");
    let spy = NewEndpoint {
        flavor: offhook_core::Flavor::Plivo,
        domain: None,
        user: "spy".into(),
        append_digits: false,
        label: "spy".into(),
        description: None,
        password: PASSWORD.into(),
        application: None,
        default_application: true,
        enabled: true,
        ring: Ring::Latest,
        permissions: Permissions::default(),
    };
    directory
        .create_endpoint(&other, spy)
        .await
        .expect("an endpoint");
    let mut answers = Vec::new();
    for (serial, target) in [(1, "bob"), (2, "nobody")] {
        let mut request = subscribe("spy", target, "presence", serial);
        let from = format!("<sip:spy@{}>;tag=f1", domain.sip_domain);
        request.headers.set(Name::From, from);
        let answer = world.send_as("spy", PASSWORD, &request, udp(5099)).await;
        let answer = shown(&answer.reply()).replace(target, "X");
        answers.push(
            answer
                .replace(&format!("K-{serial}"), "K-S")
                .replace(&format!("{serial} SUBSCRIBE"), "S SUBSCRIBE"),
        );
    }
    assert!(answers[0].starts_with("404 "), "{}", answers[0]);
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test]
async fn the_terms_are_ours_and_a_subscriber_must_say_where_it_is() {
    let mut world = world_with(settings()).await;
    let asks = async |world: &mut World, serial: u32, name: Name, value: &str| {
        let mut request = subscribe("alice", "bob", "dialog", serial);
        request.headers.remove(&name);
        if !value.is_empty() {
            request.headers.push(name, value);
        }
        world.send_as("alice", PASSWORD, &request, udp(5060)).await
    };
    let brief = asks(&mut world, 1, Name::Expires, "59").await.reply();
    assert_eq!(brief.status, Status::INTERVAL_TOO_BRIEF);
    assert_eq!(brief.headers.get(&Name::MinExpires).unwrap(), "60");
    for (serial, expires, granted) in [
        (2, "60", 60),
        (3, "99999999", 3600),
        (4, "", 3600),
        (5, "0", 0),
    ] {
        match asks(&mut world, serial, Name::Expires, expires).await {
            Outcome::Subscribe(_, terms) => assert_eq!(terms.granted, granted, "{expires}"),
            other => panic!("no subscription but {other:?}"),
        }
    }
    assert_eq!(asks(&mut world, 6, Name::Contact, "").await.status(), 400);
    let accepts = "application/pidf+xml";
    assert_eq!(
        asks(&mut world, 7, Name::Accept, accepts).await.status(),
        406
    );
    let accepts = "text/plain, application/*;q=0.5";
    assert_eq!(
        asks(&mut world, 8, Name::Accept, accepts).await.status(),
        200
    );
}

#[tokio::test]
async fn ten_thousand_are_held_and_one_more_is_503_until_one_has_gone() {
    let mut chosen = settings();
    chosen.max_subscriptions_of_endpoint = 10_000;
    let mut world = world_with(chosen).await;
    let request = subscribe("alice", "bob", "presence", 1);
    let challenge = world.send(&request, udp(5060)).await.reply();
    let mut count = 0;
    let mut send = async |world: &mut World| {
        count += 1;
        let request = subscribe("alice", "bob", "presence", count + 1);
        let proof = world::prove(&challenge, "alice", PASSWORD, count, &request);
        world
            .send(&world::with_proof(&request, proof), udp(5060))
            .await
    };
    for _ in 0..10_000 {
        assert_eq!(send(&mut world).await.status(), 200);
    }
    assert_eq!(world.core.packages.subscriptions(), 10_000);
    let full = send(&mut world).await.reply();
    assert_eq!(full.status, Status::SERVICE_UNAVAILABLE);
    assert!(full.headers.get(&Name::RetryAfter).is_some());
    let why = SubscriptionEnd::FlowLost;
    let gone = SubscriptionEvent::Ended { why };
    let now = world.core.now();
    for id in 1..=10_000 {
        let id = SubscriptionId(id);
        assert!(world.core.packages.happened(&now, id, gone).is_none());
    }
    assert_eq!(world.core.packages.subscriptions(), 0);
    assert_eq!(send(&mut world).await.status(), 200);
}

#[tokio::test]
async fn one_endpoint_cannot_take_the_room_of_all() {
    let mut chosen = settings();
    chosen.max_subscriptions_of_endpoint = 1;
    let mut world = world_with(chosen).await;
    let first = subscribe("alice", "bob", "dialog", 1);
    watch(&mut world, &first).await;
    let second = subscribe("alice", "bob", "presence", 2);
    let answer = world.send_as("alice", PASSWORD, &second, udp(5060)).await;
    assert_eq!(answer.status(), 503);
    let other = subscribe("bob", "alice", "presence", 3);
    let answer = world.send_as("bob", PASSWORD, &other, udp(5070)).await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn a_lamp_follows_a_call_from_ringing_to_its_end() {
    let mut world = World::with(settings(), Clock::System).await;
    world.direct_dial().await;
    for (user, port) in [("alice", 5060), ("bob", 5070), ("carol", 5080)] {
        world.endpoint(user).await;
        let request = register(user, 1, &format!("<sip:{user}@198.51.100.7:{port}>"));
        world.send_as(user, PASSWORD, &request, udp(port)).await;
    }
    let lamp = watch(&mut world, &subscribe("alice", "bob", "dialog", 1)).await;
    let idle = text(&told(&world, lamp, 0, true));
    assert_eq!(
        idle,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
         <dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"0\" state=\"full\" \
         entity=\"sip:bob@sip.example.net\">\r\n</dialog-info>\r\n"
    );
    let call = invite(&address("carol"), &address("bob"), 7);
    let Outcome::Accept(caller) = world.send_as("carol", PASSWORD, &call, udp(5080)).await else {
        panic!("the call is not taken");
    };
    assert_eq!(changed(&mut world).await, lamp);
    let trying = text(&told(&world, lamp, 1, false));
    assert!(
        trying.contains("version=\"1\" state=\"partial\""),
        "{trying}"
    );
    assert!(
        trying.contains("direction=\"recipient\"><state>trying</state>"),
        "{trying}"
    );
    assert!(
        trying.contains("<remote><identity>sip:carol@sip.example.net</identity>"),
        "{trying}"
    );
    let callee = loop {
        if let Command::Invite { session, .. } = world.command().await {
            break session;
        }
    };
    let response = Request::new(Method::Invite, "sip:x").respond(Status::RINGING);
    let ringing = SessionEvent::Ringing {
        status: Status::RINGING,
        sdp: None,
        response,
    };
    world.core.calls.session_event(callee, ringing);
    assert_eq!(changed(&mut world).await, lamp);
    let early = text(&told(&world, lamp, 2, false));
    assert!(early.contains("<state>early</state>"), "{early}");
    // A watcher who comes now sees the call at once, and the caller's side is the other one.
    let late = watch(&mut world, &subscribe("alice", "carol", "dialog", 2)).await;
    let full = eventually("the caller hears it ring", || async {
        let full = text(&told(&world, late, 0, true));
        let rings = "direction=\"initiator\"><state>early</state>";
        full.contains(rings).then_some(full)
    })
    .await;
    assert!(full.contains("call-id=\"call-1\""), "{full}");
    let cancelled = SessionEvent::Cancelled { reason: None };
    world.core.calls.session_event(caller, cancelled);
    eventually("the call is over", || async {
        let lines = text(&told(&world, lamp, 3, false));
        lines.contains("<state>terminated</state>").then_some(())
    })
    .await;
    let full = text(&told(&world, lamp, 4, true));
    assert!(!full.contains("<dialog "), "{full}");
}

#[tokio::test]
async fn registrations_show_in_reg_and_presence_and_a_closed_flow_takes_them_away() {
    let mut world = world_with(settings()).await;
    let reg = watch(&mut world, &subscribe("alice", "bob", "reg", 1)).await;
    let seen = watch(&mut world, &subscribe("alice", "bob", "presence", 2)).await;
    let news = told(&world, reg, 0, true);
    assert_eq!(&*news.content_type, "application/reginfo+xml");
    assert_eq!(
        text(&news),
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
         <reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"0\" state=\"full\">\r\n\
         <registration aor=\"sip:bob@sip.example.net\" id=\"{id}\" state=\"active\">\r\n\
         <contact id=\"c6a4a4a4a\" state=\"active\" event=\"registered\" duration-registered=\"0\" expires=\"3600\" \
         q=\"1.000\" callid=\"call-1\" cseq=\"1\"><uri>sip:bob@198.51.100.7:5070</uri></contact>\r\n\
         </registration>\r\n</reginfo>\r\n"
            .replace("c6a4a4a4a", &id_in(&text(&news), "<contact"))
            .replace("{id}", &format!("e{}", bob(&world)))
    );
    let open = told(&world, seen, 0, true);
    assert_eq!(&*open.content_type, "application/pidf+xml");
    assert_eq!(
        text(&open),
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
         <presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" \
         xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" entity=\"pres:bob@sip.example.net\">\r\n\
         <tuple id=\"{id}\"><status><basic>open</basic></status><contact>sip:bob@sip.example.net</contact>\
         <timestamp>2026-01-02T03:04:05Z</timestamp></tuple>\r\n</presence>\r\n"
            .replace("{id}", &format!("e{}", bob(&world)))
    );
    // Another phone, over a WebSocket.
    let request = register("bob", 2, "<sip:bob@x.invalid;transport=ws>");
    let answer = world.send_as("bob", PASSWORD, &request, websocket(9)).await;
    assert_eq!(answer.status(), 200);
    let both = text(&told(&world, reg, 1, true));
    assert_eq!(both.matches("<contact ").count(), 2, "{both}");
    world.core.flow_closed(FlowId(9));
    let mut heard = vec![changed(&mut world).await, changed(&mut world).await];
    heard.sort();
    assert_eq!(heard, [reg, seen]);
    // What is gone is told, and nothing else; the same watcher hears all of it again when it asks.
    let gone = text(&told(&world, reg, 2, false));
    assert!(gone.contains("version=\"2\" state=\"partial\""), "{gone}");
    assert_eq!(gone.matches("<contact ").count(), 1, "{gone}");
    assert!(
        gone.contains("state=\"terminated\" event=\"unregistered\""),
        "{gone}"
    );
    assert!(gone.contains("<uri>sip:bob@x.invalid;transport=ws</uri>"));
    let one = text(&told(&world, reg, 3, true));
    assert_eq!(one.matches("<contact ").count(), 1, "{one}");
    let nothing = text(&told(&world, reg, 4, false));
    assert_eq!(nothing.matches("<contact ").count(), 0, "{nothing}");
    // A refresh, and one that ends sooner.
    for (cseq, seconds, event) in [(20, 3600, "refreshed"), (22, 60, "shortened")] {
        world.clock.advance(Duration::from_secs(10));
        let mut again = register("bob", cseq, "<sip:bob@198.51.100.7:5070>");
        again.headers.push(Name::Expires, seconds.to_string());
        let answer = world.send_as("bob", PASSWORD, &again, udp(5070)).await;
        assert_eq!(answer.status(), 200);
        let changed = text(&told(&world, reg, cseq, false));
        assert!(changed.contains(&format!("event=\"{event}\"")), "{changed}");
    }
    // Unregistered: closed.
    let mut bye = register("bob", 30, "*");
    bye.headers.push(Name::Expires, "0");
    let answer = world.send_as("bob", PASSWORD, &bye, udp(5070)).await;
    assert_eq!(answer.status(), 200);
    assert!(text(&told(&world, seen, 1, true)).contains("<basic>closed</basic>"));
    assert!(text(&told(&world, reg, 5, true)).contains("state=\"terminated\""));
}

fn id_in(document: &str, element: &str) -> String {
    let before = format!("{element} id=\"");
    let (_, rest) = document.split_once(&before).expect("an element");
    rest.split_once('"').expect("an id").0.to_owned()
}

fn bob(world: &World) -> store::Id {
    let directory = &world.core.directory;
    let bob = directory.subscriber(world::DOMAIN, "bob");
    bob.expect("bob").endpoint
}

#[tokio::test]
async fn nothing_waits_until_a_mailbox_says_so() {
    let mut world = world_with(settings()).await;
    let id = watch(&mut world, &subscribe("alice", "bob", "message-summary", 1)).await;
    let news = told(&world, id, 0, true);
    assert_eq!(&*news.content_type, "application/simple-message-summary");
    assert_eq!(
        text(&news),
        "Messages-Waiting: no\r\nMessage-Account: sip:bob@sip.example.net\r\nVoice-Message: 0/0 (0/0)\r\n"
    );
    let mut full = publish("bob", "message-summary", 2, "Messages-Waiting: yes\r\n");
    let kind = "application/simple-message-summary";
    full.headers.set(Name::ContentType, kind);
    let answer = world.send_as("bob", PASSWORD, &full, udp(5070)).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(changed(&mut world).await, id);
    assert_eq!(
        text(&told(&world, id, 1, true)),
        "Messages-Waiting: yes\r\n"
    );
}

fn tag(response: &Response) -> String {
    let tag = response.headers.get(&Name::SipEtag).expect("SIP-ETag");
    tag.to_string()
}

#[tokio::test]
async fn a_publication_lives_by_its_tag_and_ends_by_itself() {
    let mut world = world_with(settings()).await;
    let id = watch(&mut world, &subscribe("alice", "bob", "presence", 1)).await;
    let send = async |world: &mut World, serial, body: &str, tag: &str, expires: &str| {
        let mut request = publish("bob", "presence", serial, body);
        if !tag.is_empty() {
            request.headers.push(Name::SipIfMatch, tag);
        }
        request.headers.push(Name::Expires, expires);
        let answer = world.send_as("bob", PASSWORD, &request, udp(5070)).await;
        answer.reply()
    };
    let first = send(&mut world, 2, "<presence>one</presence>", "", "600").await;
    assert_eq!(first.status, Status::OK);
    assert_eq!(first.headers.expires(), Some(600));
    assert_eq!(changed(&mut world).await, id);
    assert_eq!(text(&told(&world, id, 1, true)), "<presence>one</presence>");
    // RFC 3903 §4.1: a refresh without a document, and the old tag is used up.
    let second = send(&mut world, 3, "", &tag(&first), "600").await;
    assert_eq!(second.status, Status::OK);
    assert_ne!(tag(&first), tag(&second));
    for (serial, stale) in [(4, tag(&first)), (5, "nonsense".to_owned())] {
        let answer = send(&mut world, serial, "", &stale, "600").await;
        assert_eq!(answer.status, Status::CONDITIONAL_REQUEST_FAILED);
    }
    let third = send(
        &mut world,
        6,
        "<presence>two</presence>",
        &tag(&second),
        "600",
    )
    .await;
    assert_eq!(changed(&mut world).await, id);
    assert_eq!(text(&told(&world, id, 2, true)), "<presence>two</presence>");
    let brief = send(&mut world, 7, "", &tag(&third), "5").await;
    assert_eq!(brief.headers.get(&Name::MinExpires).unwrap(), "60");
    world.clock.advance(Duration::from_secs(599));
    assert_eq!(text(&told(&world, id, 3, true)), "<presence>two</presence>");
    world.clock.advance(Duration::from_secs(1));
    // What the platform knows by itself.
    assert!(text(&told(&world, id, 4, true)).contains("<basic>open</basic>"));
    let gone = send(&mut world, 8, "", &tag(&third), "600").await;
    assert_eq!(gone.status, Status::CONDITIONAL_REQUEST_FAILED);
    let fourth = send(&mut world, 9, "<presence/>", "", "600").await;
    let removed = send(&mut world, 10, "", &tag(&fourth), "0").await;
    assert_eq!(
        (removed.status.0, removed.headers.expires()),
        (200, Some(0))
    );
    assert!(text(&told(&world, id, 5, true)).contains("<basic>open</basic>"));
}

#[tokio::test]
async fn nobody_publishes_for_others_or_what_is_no_document() {
    let mut world = world_with(settings()).await;
    let as_bob = async |world: &mut World, request: &Request| {
        world.send_as("bob", PASSWORD, request, udp(5070)).await
    };
    let mut other = publish("alice", "presence", 1, "<presence/>");
    let from = format!("<{}>;tag=f1", address("bob"));
    other.headers.set(Name::From, from);
    assert_eq!(as_bob(&mut world, &other).await.status(), 403);
    // The platform knows its calls better than any phone.
    let dialog = publish("bob", "dialog", 2, "<dialog-info/>");
    assert_eq!(world.send(&dialog, udp(5070)).await.status(), 489);
    let mut kind = publish("bob", "presence", 3, "hello");
    kind.headers.set(Name::ContentType, "text/plain");
    let refused = as_bob(&mut world, &kind).await.reply();
    assert_eq!(refused.status, Status::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(
        refused.headers.get(&Name::Accept).unwrap(),
        "application/pidf+xml"
    );
    let large = publish("bob", "presence", 4, &"x".repeat(4097));
    assert_eq!(as_bob(&mut world, &large).await.status(), 413);
    let empty = publish("bob", "presence", 5, "");
    assert_eq!(as_bob(&mut world, &empty).await.status(), 400);
    assert_eq!(world.core.packages.publications(), 0);
}

#[tokio::test]
async fn a_watcher_that_is_switched_off_and_a_subject_that_is_deleted_end_the_watch() {
    let mut world = world_with(settings()).await;
    let first = watch(&mut world, &subscribe("alice", "bob", "presence", 1)).await;
    let own = watch(&mut world, &subscribe("alice", "alice", "presence", 2)).await;
    let directory = world.core.directory.clone();
    let key = |user: &str| {
        let found = directory.subscriber(world::DOMAIN, user);
        Key::Number(found.expect("an endpoint").endpoint)
    };
    directory
        .delete_endpoint(&world.account, &key("bob"))
        .await
        .expect("deleted");
    let wanted = SubscriptionEvent::Wanted {
        number: 1,
        full: false,
        last: false,
    };
    let now = world.core.now();
    match world.core.packages.happened(&now, first, wanted) {
        Some(Command::Unsubscribe { farewell, .. }) => assert_eq!(farewell, Farewell::NoResource),
        other => panic!("still told: {other:?}"),
    }
    assert!(world.core.packages.happened(&now, own, wanted).is_some());
    let change = EndpointChange {
        enabled: Some(false),
        ..EndpointChange::default()
    };
    directory
        .update_endpoint(&world.account, &key("alice"), change)
        .await
        .expect("switched off");
    let refused = subscribe("alice", "alice", "presence", 3);
    let answer = world.send_as("alice", PASSWORD, &refused, udp(5060)).await;
    assert_eq!(answer.status(), 403);
}
