//! What an endpoint may do (vobiz-rest.md §2.8), who it is shown as, where redirects lead, and which of its phones ring.

mod world;

use offhook_core::{ApplicationChange, Clock, EndpointChange, Key, NewApplication, Ring};
use sip::{Command, Name, Request, Response, SessionEvent, SessionId, Status};
use store::{CallRow, HttpMethod};
use world::{
    Customer, OFFER, Outcome, PASSWORD, World, address, eventually, http, invite, register,
    settings, udp,
};

const STRANGER: &str = "sip:carol@elsewhere.example.com";

async fn world_with(users: &[&str]) -> World {
    let mut world = World::with(settings(), Clock::System).await;
    world.direct_dial().await;
    for (user, port) in users.iter().zip(5060_u16..) {
        world.endpoint(user).await;
        bind(&mut world, user, port, "").await;
    }
    world
}

async fn bind(world: &mut World, user: &str, port: u16, more: &str) {
    let contact = format!("<sip:{user}@198.51.100.7:{port}>{more}");
    let mut request = register(user, u32::from(port), &contact);
    request.headers.set(Name::CallId, format!("bind-{port}"));
    let bound = world.send_as(user, PASSWORD, &request, udp(port)).await;
    assert_eq!(bound.status(), 200);
}

/// A call that the core took, and the status that refused it.
async fn refused(world: &mut World, from: &str, to: &str, serial: u32) -> (u16, String, CallRow) {
    refused_with(world, from, invite(&address(from), to, serial)).await
}

async fn refused_with(world: &mut World, from: &str, call: Request) -> (u16, String, CallRow) {
    let outcome = world.send_as(from, PASSWORD, &call, udp(5060)).await;
    assert!(matches!(outcome, Outcome::Accept(_)), "{outcome:?}");
    let (status, reason) = loop {
        match world.command().await {
            Command::Refuse { status, reason, .. } => break (status.0, reason),
            Command::Invite { .. } => panic!("somebody is called"),
            _ => {}
        }
    };
    let row = last_row(world).await;
    (
        status,
        reason.map_or_else(String::new, |text| text.to_string()),
        row,
    )
}

async fn rows(world: &World) -> Vec<CallRow> {
    let filter = store::CallFilter {
        account: world.account.id,
        ..store::CallFilter::default()
    };
    let page = store::Page {
        limit: 20,
        offset: 0,
    };
    world.store.calls(&filter, page).await.expect("rows").items
}

async fn last_row(world: &World) -> CallRow {
    eventually("a final row", || async {
        let rows = rows(world).await.into_iter();
        let none_alive = world.core.calls.live() == 0;
        rows.filter(|row| row.parent.is_none() && none_alive)
            .max_by_key(|row| row.started)
    })
    .await
}

async fn called(world: &mut World) -> (SessionId, Command) {
    loop {
        let command = world.command().await;
        if let Command::Invite { session, .. } = &command {
            return (*session, command);
        }
    }
}

fn target(command: &Command) -> String {
    match command {
        Command::Invite { to, .. } => to.uri.to_string(),
        other => panic!("no call but {other:?}"),
    }
}

#[tokio::test]
async fn each_permission_that_is_missing_refuses_with_its_name_a_record_and_word_to_the_customer() {
    let mut customer = Customer::new(|_| http("200 OK", "", b"")).await;
    let mut world = World::with(settings(), Clock::System).await;
    let application = world.direct_dial().await;
    let hangup = ApplicationChange {
        hangup_url: Some(Some(customer.base.clone())),
        ..ApplicationChange::default()
    };
    let key = Key::Number(application.id);
    world
        .core
        .directory
        .update_application(&world.account, &key, hangup)
        .await
        .expect("changed");
    world.endpoint("bob").await;
    bind(&mut world, "bob", 5070, "").await;
    let app = format!("sip:{}@app.{}", application.id, world::DOMAIN);
    let cases: [(&str, &str, u16, &str); 6] = [
        (
            "voice",
            &address("bob"),
            2110,
            "Calls Not Allowed (allow_voice)",
        ),
        (
            "same",
            &address("bob"),
            2120,
            "Own Domain Not Allowed (allow_same_domain)",
        ),
        (
            "nobody",
            &address("no-such-user"),
            2120,
            "Own Domain Not Allowed (allow_same_domain)",
        ),
        (
            "other",
            "sip:x@far.example.com",
            2130,
            "Other Domains Not Allowed (allow_other_domains)",
        ),
        (
            "phones",
            &address("15005550123"),
            2140,
            "Phone Numbers Not Allowed (allow_phones)",
        ),
        ("apps", &app, 2150, "Applications Not Allowed (allow_apps)"),
    ];
    for (serial, (user, to, code, name)) in (1..).zip(cases) {
        world
            .endpoint_with(user, |new| {
                let allowed = &mut new.permissions;
                match user {
                    "voice" => allowed.voice = false,
                    "same" | "nobody" => allowed.same_domain = false,
                    "other" => allowed.other_domains = false,
                    "phones" => allowed.phones = false,
                    _ => allowed.apps = false,
                }
            })
            .await;
        let (status, reason, row) = refused(&mut world, user, to, serial).await;
        assert_eq!((status, reason.as_str()), (403, name), "{user}");
        assert_eq!(row.cause_code, Some(code));
        assert_eq!(row.cause_name.as_deref(), Some(name));
        assert_eq!(row.switch_cause.as_deref(), Some("CALL_REJECTED"));
        assert_eq!((row.status.as_str(), row.sip_status), ("failed", Some(403)));
        let told = customer.request().await;
        assert!(told.contains(&format!("Event=Hangup+{code}")), "{told}");
    }
}

#[tokio::test]
async fn an_offer_of_video_alone_needs_its_permission() {
    let mut world = world_with(&["bob"]).await;
    world
        .endpoint_with("alice", |new| new.permissions.video = false)
        .await;
    let offer = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=video 4000 RTP/AVP 96\r\n";
    let mut call = invite(&address("alice"), &address("bob"), 4);
    call.body = offer.into();
    let (status, reason, row) = refused_with(&mut world, "alice", call).await;
    let name = "Video Not Allowed (allow_video)";
    assert_eq!((status, reason.as_str()), (488, name));
    assert_eq!((row.cause_code, row.sip_status), (Some(2160), Some(488)));
}

#[tokio::test]
async fn an_endpoint_without_voice_is_not_rung_whoever_calls() {
    let mut world = world_with(&["alice"]).await;
    world
        .endpoint_with("mute", |new| new.permissions.voice = false)
        .await;
    let (status, _, row) = refused(&mut world, "alice", &address("mute"), 9).await;
    assert_eq!((status, row.cause_code), (403, Some(2110)));
    // To a stranger it is as if there were nobody.
    let call = invite(STRANGER, &address("mute"), 10);
    assert_eq!(world.send(&call, udp(5062)).await.status(), 404);
}

#[tokio::test]
async fn what_the_application_dials_is_not_the_endpoints_permission() {
    let answer = b"<Response><Dial>bob</Dial></Response>";
    let mut customer = Customer::new(move |_| http("200 OK", "", answer)).await;
    let mut world = world_with(&["alice", "bob"]).await;
    let application = xml_application(&world, &customer, false).await;
    world
        .endpoint_with("phone", |new| {
            new.permissions.same_domain = false;
            new.application = Some(application);
        })
        .await;
    let call = invite(&address("phone"), "tel:+15005550123", 5);
    let outcome = world.send_as("phone", PASSWORD, &call, udp(5060)).await;
    assert!(matches!(outcome, Outcome::Accept(_)), "{outcome:?}");
    let (_, command) = called(&mut world).await;
    assert_eq!(target(&command), "sip:bob@198.51.100.7:5061");
    assert!(customer.request().await.contains("Event=StartApp"));
}

/// An application that asks the customer.
async fn xml_application(world: &World, customer: &Customer, public: bool) -> store::Id {
    let new = NewApplication {
        kind: store::ApplicationKind::Xml,
        answer_url: Some(customer.base.clone()),
        answer_method: HttpMethod::Post,
        default_endpoint_app: false,
        public_uri: public,
        ..NewApplication::direct_dial("asks")
    };
    let made = world
        .core
        .directory
        .create_application(&world.account, new)
        .await;
    made.expect("an application").id
}

#[tokio::test]
async fn an_application_is_called_by_its_address_from_inside_and_from_outside_only_when_public() {
    let answer = b"<Response><Dial>bob</Dial></Response>";
    let mut customer = Customer::new(move |_| http("200 OK", "", answer)).await;
    let mut world = world_with(&["alice", "bob"]).await;
    let private = xml_application(&world, &customer, false).await;
    let public = xml_application(&world, &customer, true).await;
    let address_of = |id: store::Id| format!("sip:{id}@app.{}", world::DOMAIN);

    let call = invite(&address("alice"), &address_of(private), 5);
    let outcome = world.send_as("alice", PASSWORD, &call, udp(5060)).await;
    assert!(matches!(outcome, Outcome::Accept(_)), "{outcome:?}");
    assert!(customer.request().await.contains("Event=StartApp"));
    called(&mut world).await;

    // From outside one that is not public is not told from one that does not exist.
    for (serial, id) in [(6, private), (7, 1)] {
        let call = invite(STRANGER, &address_of(id), serial);
        assert_eq!(world.send(&call, udp(5062)).await.status(), 404);
    }
    let call = invite(STRANGER, &address_of(public), 8);
    assert_eq!(world.send(&call, udp(5062)).await.status(), 100);
    assert!(
        customer
            .request()
            .await
            .contains("From=sip%3Acarol%40elsewhere.example.com")
    );
    let (_, command) = called(&mut world).await;
    assert_eq!(target(&command), "sip:bob@198.51.100.7:5061");
}

#[tokio::test]
async fn s73_what_a_client_asserts_about_itself_ends_here() {
    let mut world = world_with(&["alice", "bob"]).await;
    let mut call = invite(&address("alice"), &address("bob"), 5);
    for (name, value) in [
        ("P-Asserted-Identity", "<sip:15005550100@bank.example>"),
        ("P-Preferred-Identity", "<sip:15005550100@bank.example>"),
        ("Remote-Party-ID", "<sip:15005550100@bank.example>"),
        ("Diversion", "<sip:15005550100@bank.example>"),
        ("History-Info", "<sip:15005550100@bank.example>;index=1"),
        ("Identity", "eyJhbGciOiJFUzI1NiJ9"),
        ("X-Internal-Account", "1"),
        ("X-PH-Tag", "7"),
    ] {
        call.headers.push(Name::from(name), value);
    }
    world.send_as("alice", PASSWORD, &call, udp(5060)).await;
    let (_, command) = called(&mut world).await;
    let Command::Invite { headers, from, .. } = command else {
        unreachable!("it is one");
    };
    let headers: Vec<String> = headers.iter().map(ToString::to_string).collect();
    assert_eq!(headers, ["X-PH-Tag: 7", "Max-Forwards: 69"]);
    assert_eq!(&*from, format!("<{}>", address("alice")));
}

#[tokio::test]
async fn s69_the_other_side_sees_who_proved_the_password_and_nobody_who_asks_for_privacy() {
    let cases = [
        (&[][..], false, "<sip:alice@sip.example.net>", &[][..]),
        (
            &["id"],
            false,
            "\"Anonymous\" <sip:anonymous@anonymous.invalid>",
            &[],
        ),
        (
            &["user;critical"],
            false,
            "\"Anonymous\" <sip:anonymous@anonymous.invalid>",
            &[],
        ),
        (&["id", "none"], false, "<sip:alice@sip.example.net>", &[]),
        (&["session"], false, "<sip:alice@sip.example.net>", &[]),
        (
            &["header; id"],
            true,
            "\"Anonymous\" <sip:anonymous@anonymous.invalid>",
            &[
                "P-Asserted-Identity: <sip:alice@sip.example.net>",
                "Privacy: id",
            ],
        ),
    ];
    for (privacy, trusted, shown, asserted) in cases {
        let mut settings = settings();
        if trusted {
            settings.trusted_peers = vec!["198.51.100.0/24".parse().expect("a network")];
        }
        let mut world = World::with(settings, Clock::System).await;
        world.direct_dial().await;
        for (user, port) in [("alice", 5060), ("bob", 5061)] {
            world.endpoint(user).await;
            bind(&mut world, user, port, "").await;
        }
        let mut call = invite("sip:bob@sip.example.net", &address("bob"), 5);
        for value in privacy {
            call.headers.push(Name::Privacy, *value);
        }
        world.send_as("alice", PASSWORD, &call, udp(5060)).await;
        let (_, command) = called(&mut world).await;
        let Command::Invite { headers, from, .. } = command else {
            unreachable!("it is one");
        };
        assert_eq!(&*from, shown, "{privacy:?}");
        let headers: Vec<String> = headers.iter().map(ToString::to_string).collect();
        let (hops, headers) = headers.split_first().expect("Max-Forwards");
        assert_eq!(hops, "Max-Forwards: 69");
        assert_eq!(headers, asserted, "{privacy:?}");
    }
}

#[tokio::test]
async fn s74_a_302_leads_to_what_the_account_has_and_to_no_number() {
    let mut world = world_with(&["alice", "bob", "carol"]).await;
    let moves = |contact: &str| {
        let mut response = Response::new(Status(302));
        response.headers.push(Name::Contact, contact);
        SessionEvent::Failed {
            status: Status(302),
            response: Some(response),
        }
    };
    for (serial, contact) in [
        (5, "<sip:19005550123@sip.example.net>"),
        (6, "<tel:+19005550123>"),
        (7, "<sip:x@far.example.com>"),
        (8, "<sip:bob@10.9.9.9>"),
    ] {
        let call = invite(&address("alice"), &address("bob"), serial);
        world.send_as("alice", PASSWORD, &call, udp(5060)).await;
        let (b, _) = called(&mut world).await;
        world.core.calls.session_event(b, moves(contact));
        loop {
            match world.command().await {
                Command::Refuse { status, .. } => break assert_eq!(status.0, 480),
                Command::Invite { .. } => panic!("{contact} is followed"),
                _ => {}
            }
        }
        assert_eq!(last_row(&world).await.cause_code, Some(2310), "{contact}");
    }
    let call = invite(&address("alice"), &address("bob"), 9);
    world.send_as("alice", PASSWORD, &call, udp(5060)).await;
    let (b, _) = called(&mut world).await;
    let contacts = format!(
        "<{}>;q=0.3, <sip:19005550123@sip.example.net>",
        address("carol")
    );
    world.core.calls.session_event(b, moves(&contacts));
    let (_, command) = called(&mut world).await;
    assert_eq!(target(&command), "sip:carol@198.51.100.7:5062");
}

#[tokio::test]
async fn a_ring_policy_picks_the_phones_of_an_endpoint() {
    let mut world = world_with(&["alice"]).await;
    let bob = world.endpoint("bob").await;
    bind(&mut world, "bob", 5070, ";q=0.2").await;
    bind(&mut world, "bob", 5071, ";q=0.9").await;
    bind(&mut world, "bob", 5072, ";q=0.2").await;
    let cases = [
        (Ring::Latest, &["5072"][..]),
        (Ring::All, &["5070", "5071", "5072"]),
        (Ring::Sequential, &["5071"]),
    ];
    let mut last = None;
    for (serial, (ring, ports)) in (20..).zip(cases) {
        let change = EndpointChange {
            ring: Some(ring),
            ..EndpointChange::default()
        };
        let key = Key::Number(bob.endpoint.id);
        let changed = world
            .core
            .directory
            .update_endpoint(&world.account, &key, change);
        assert_eq!(changed.await.expect("changed").endpoint.ring, ring);
        let call = invite(&address("alice"), &address("bob"), serial);
        let outcome = world.send_as("alice", PASSWORD, &call, udp(5060)).await;
        let Outcome::Accept(a) = outcome else {
            panic!("not accepted: {outcome:?}");
        };
        let mut rung = Vec::new();
        for _ in ports {
            let (b, command) = called(&mut world).await;
            let uri = target(&command);
            rung.push(uri.rsplit(':').next().expect("a port").to_owned());
            last = Some(b);
        }
        rung.sort();
        assert_eq!(rung, ports, "{ring:?}");
        if ring != Ring::Sequential {
            let left = SessionEvent::Cancelled { reason: None };
            world.core.calls.session_event(a, left);
        }
    }
    // The next in the order of q: the two of equal q at once.
    let busy = SessionEvent::Failed {
        status: Status(486),
        response: Some(Response::new(Status(486))),
    };
    let last = last.expect("the one that rings");
    world.core.calls.session_event(last, busy);
    let (first, one) = called(&mut world).await;
    let (second, other) = called(&mut world).await;
    let mut both = [target(&one), target(&other)];
    both.sort();
    assert_eq!(
        both,
        ["sip:bob@198.51.100.7:5070", "sip:bob@198.51.100.7:5072"]
    );
    let answer = SessionEvent::Answered {
        sdp: Some(OFFER.into()),
        response: Response::new(Status::OK),
    };
    world.core.calls.session_event(second, answer);
    let told = loop {
        if let Command::Hangup { session, headers } = world.command().await
            && session == first
        {
            break headers;
        }
    };
    let told: Vec<String> = told.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        ["Reason: SIP;cause=200;text=\"Call completed elsewhere\""]
    );
}
