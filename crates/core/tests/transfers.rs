//! Transfers: whose permissions and limits they go by, and whose dialogs may be replaced (hard case S75).

mod world;

use offhook_core::{Clock, EndpointChange, Flavor, Key, LimitChange, NewAccount, NewEndpoint};
use sip::{
    Command, InDialog, Method, Name, Refer, ReferTo, Replaced, Request, RequestId, Response,
    SessionEvent, SessionId, Status,
};
use store::Ring;
use world::{DOMAIN, OFFER, Outcome, PASSWORD, World, address, invite, settings, udp};

async fn world_with(users: &[&str]) -> World {
    let mut world = World::with(settings(), Clock::System).await;
    world.direct_dial().await;
    for (user, port) in users.iter().zip(5060_u16..) {
        world.endpoint(user).await;
        bind(&mut world, user, port).await;
    }
    world
}

async fn bind(world: &mut World, user: &str, port: u16) {
    bind_in(world, DOMAIN, user, port).await;
}

async fn bind_in(world: &mut World, domain: &str, user: &str, port: u16) {
    let address = format!("sip:{user}@{domain}");
    let uri = format!("sip:{domain}");
    let serial = u32::from(port);
    let mut request = world::request(Method::Register, &uri, &address, &address, serial);
    let contact = format!("<sip:{user}@198.51.100.7:{port}>");
    request.headers.push(Name::Contact, contact);
    request.headers.set(Name::CallId, format!("bind-{port}"));
    let bound = world.send_as(user, PASSWORD, &request, udp(port)).await;
    assert_eq!(bound.status(), 200);
}

/// The next command that is about calls, in few words, and the session that it is for.
async fn next(world: &mut World) -> (SessionId, String) {
    match world.command().await {
        Command::Invite { session, to, .. } => (session, format!("INVITE {}", to.uri)),
        Command::Answer { session, .. } => (session, "answer".to_owned()),
        Command::Reinvite { session, .. } => (session, "re-INVITE".to_owned()),
        Command::Hangup { session, .. } => (session, "hang up".to_owned()),
        Command::Find { session, .. } => (session, "find".to_owned()),
        Command::RespondInDialog {
            session, status, ..
        } => (session, format!("respond {status}")),
        Command::Notify {
            session,
            status,
            reason,
            ..
        } => {
            let reason = reason.map_or_else(String::new, |reason| format!(" {reason}"));
            (session, format!("notify {status}{reason}"))
        }
        other => panic!("not expected: {other:?}"),
    }
}

async fn hears(world: &mut World, session: SessionId, what: &str) {
    assert_eq!(next(world).await, (session, what.to_owned()));
}

/// A call from one to the other, answered.
async fn up(world: &mut World, from: (&str, u16), to: &str, serial: u32) -> (SessionId, SessionId) {
    up_in(world, DOMAIN, from, to, serial).await
}

async fn up_in(
    world: &mut World,
    domain: &str,
    from: (&str, u16),
    to: &str,
    serial: u32,
) -> (SessionId, SessionId) {
    let address = |user| format!("sip:{user}@{domain}");
    let call = invite(&address(from.0), &address(to), serial);
    let outcome = world.send_as(from.0, PASSWORD, &call, udp(from.1)).await;
    let Outcome::Accept(a) = outcome else {
        panic!("not taken: {outcome:?}");
    };
    let (b, asked) = next(world).await;
    assert!(asked.starts_with("INVITE"), "{asked}");
    let answered = SessionEvent::Answered {
        sdp: Some(OFFER.into()),
        response: Response::new(Status::OK),
    };
    world.core.calls.session_event(b, answered);
    hears(world, a, "answer").await;
    let confirmed = SessionEvent::Confirmed { sdp: None };
    world.core.calls.session_event(a, confirmed);
    (a, b)
}

fn refers(world: &World, by: SessionId, id: u64, to: &str) {
    let refer = Refer {
        to: ReferTo::parse(&format!("<{to}>").into()).expect("a Refer-To"),
        referred_by: None,
        subscribes: true,
    };
    let event = SessionEvent::Requested {
        id: RequestId(id),
        wants: InDialog::Refer(Box::new(refer)),
        request: Request::new(Method::Refer, "sip:x@192.0.2.1"),
    };
    world.core.calls.session_event(by, event);
}

fn found(world: &World, by: SessionId, id: u64, session: SessionId) {
    let replaced = Some(Replaced {
        session,
        early: false,
    });
    let request = RequestId(id);
    let event = SessionEvent::Found { request, replaced };
    world.core.calls.session_event(by, event);
}

const CONSULTED: &str = "sip:carol@sip.example.net?Replaces=1%3Bto-tag%3D1%3Bfrom-tag%3D2";

#[tokio::test]
async fn a_transfer_goes_where_the_transferor_may_call_and_is_refused_by_name() {
    let mut world = world_with(&["alice", "bob", "carol"]).await;
    let view = world.endpoint("dave").await;
    bind(&mut world, "dave", 5090).await;
    let mut permissions = view.endpoint.permissions;
    permissions.phones = false;
    permissions.same_domain = false;
    let key = Key::Number(view.endpoint.id);
    let change = EndpointChange {
        permissions: Some(permissions),
        ..EndpointChange::default()
    };
    let directory = &world.core.directory;
    let changed = directory.update_endpoint(&world.account, &key, change);
    changed.await.expect("changed");
    let (_, b) = up(&mut world, ("alice", 5060), "dave", 1).await;
    for (id, to, told) in [
        (
            1,
            "tel:+4930123456",
            "403 Phone Numbers Not Allowed (allow_phones)",
        ),
        (
            2,
            "sip:carol@sip.example.net",
            "403 Own Domain Not Allowed (allow_same_domain)",
        ),
    ] {
        refers(&world, b, id, to);
        hears(&mut world, b, "respond 202").await;
        hears(&mut world, b, &format!("notify {told}")).await;
    }
    // Elsewhere nobody leads, whatever the flags say (S46).
    refers(&world, b, 3, "sip:x@elsewhere.example.com");
    hears(&mut world, b, "respond 202").await;
    hears(&mut world, b, "notify 403").await;
}

#[tokio::test]
async fn a_transfer_counts_as_a_call_of_the_transferor() {
    let mut world = world_with(&["alice", "bob", "carol"]).await;
    let view = world.endpoint("dave").await;
    bind(&mut world, "dave", 5090).await;
    let one = LimitChange {
        concurrent_calls: Some(Some(1)),
        calls_per_second: Some(Some(1)),
        ..LimitChange::default()
    };
    let key = Key::Number(view.endpoint.id);
    let limited = &world.core.directory;
    let limited = limited.update_limits(&world.account, Some(&key), one);
    limited.await.expect("changed");
    let (_, b) = up(&mut world, ("alice", 5060), "dave", 1).await;
    refers(&world, b, 1, "sip:carol@sip.example.net");
    hears(&mut world, b, "respond 202").await;
    let (c, asked) = next(&mut world).await;
    assert_eq!(asked, "INVITE sip:carol@198.51.100.7:5062");
    let refused = SessionEvent::Failed {
        status: Status::BUSY_HERE,
        response: Some(Response::new(Status::BUSY_HERE)),
    };
    world.core.calls.session_event(c, refused);
    hears(&mut world, b, "notify 486").await;
    refers(&world, b, 2, "sip:carol@sip.example.net");
    hears(&mut world, b, "respond 202").await;
    let told = "notify 503 Limit Of Calls Per Second Reached";
    hears(&mut world, b, told).await;
}

#[tokio::test]
async fn two_calls_of_one_account_become_one_conversation() {
    let mut world = world_with(&["alice", "bob", "carol"]).await;
    let (a, b) = up(&mut world, ("alice", 5060), "bob", 1).await;
    let (other, c) = up(&mut world, ("alice", 5060), "carol", 2).await;
    refers(&world, a, 1, CONSULTED);
    hears(&mut world, a, "find").await;
    found(&world, a, 1, other);
    let mut told = Vec::new();
    for _ in 0..5 {
        told.push(next(&mut world).await);
    }
    let place = |what| told.iter().position(|(_, said)| said == what);
    assert!(place("respond 202") < place("notify 200"), "{told:?}");
    told.sort();
    let mut wanted = vec![
        (a, "hang up".to_owned()),
        (a, "notify 200".to_owned()),
        (a, "respond 202".to_owned()),
        (b, "re-INVITE".to_owned()),
        (other, "hang up".to_owned()),
    ];
    wanted.sort();
    assert_eq!(told, wanted);
    let sdp = Some(OFFER.into());
    let reanswered = SessionEvent::Reanswered { sdp };
    world.core.calls.session_event(b, reanswered);
    hears(&mut world, c, "re-INVITE").await;
    let why = sip::EndReason::Bye { reason: None };
    world
        .core
        .calls
        .session_event(c, SessionEvent::Ended { why });
    hears(&mut world, b, "hang up").await;
}

#[tokio::test]
async fn a_dialog_of_another_account_is_not_there() {
    let mut world = world_with(&["alice", "bob", "carol"]).await;
    let (a, _) = up(&mut world, ("alice", 5060), "bob", 1).await;
    let second = world
        .core
        .directory
        .create_account(NewAccount::named("second"))
        .await
        .expect("an account");
    let application = offhook_core::NewApplication::direct_dial("direct");
    let made = world
        .core
        .directory
        .create_application(&second, application);
    let application = made.await.expect("an application");
    let mut domain = String::new();
    for user in ["mallory", "oscar"] {
        let new = NewEndpoint {
            flavor: Flavor::Plivo,
            domain: None,
            user: user.into(),
            append_digits: false,
            label: user.into(),
            description: None,
            password: PASSWORD.into(),
            application: Some(application.id),
            default_application: false,
            enabled: true,
            ring: Ring::Latest,
            permissions: offhook_core::Permissions::default(),
        };
        let made = world.core.directory.create_endpoint(&second, new);
        domain.clone_from(&made.await.expect("an endpoint").domain.name);
    }
    bind_in(&mut world, &domain, "mallory", 5080).await;
    bind_in(&mut world, &domain, "oscar", 5081).await;
    let (m, _) = up_in(&mut world, &domain, ("mallory", 5080), "oscar", 2).await;
    refers(&world, m, 1, CONSULTED);
    hears(&mut world, m, "find").await;
    found(&world, m, 1, a);
    hears(&mut world, m, "respond 202").await;
    hears(&mut world, m, "notify 481").await;

    let replaced = Replaced {
        session: a,
        early: false,
    };
    let call = invite(&format!("sip:mallory@{domain}"), &address("bob"), 3);
    assert_eq!(replacing(&mut world, "mallory", &call, replaced).await, 481);
    let call = invite(&address("carol"), &address("bob"), 4);
    assert_eq!(replacing(&mut world, "carol", &call, replaced).await, 100);
    let call = invite("sip:x@elsewhere.example.com", &address("bob"), 5);
    let now = world.core.now();
    let uas = &world.core.uas;
    let decision = uas.request(&now, 0, call, udp(7000), Some(replaced));
    let offhook_core::Decision::Reply(refused) = decision else {
        panic!("a stranger is heard: {decision:?}");
    };
    assert_eq!(refused.status.0, 403);
}

/// An INVITE that replaces a session, with its password: the status of the answer.
async fn replacing(world: &mut World, user: &str, call: &Request, replaced: Replaced) -> u16 {
    let now = world.core.now();
    let uas = world.core.uas.clone();
    let ask = |request: Request| uas.request(&now, 0, request, udp(5099), Some(replaced));
    let offhook_core::Decision::Reply(challenge) = ask(call.clone()) else {
        panic!("taken without a password");
    };
    let proof = world::prove(&challenge, user, PASSWORD, 1, call);
    match ask(world::with_proof(call, proof)) {
        offhook_core::Decision::Reply(refused) => refused.status.0,
        offhook_core::Decision::Accept(_) => 100,
        other => panic!("neither: {other:?}"),
    }
}
