//! MESSAGE between endpoints: who may write to whom, every phone of the reader, and word to its application (RFC 3428,
//! vobiz-rest.md §2.8, hard case S48).

mod world;

use offhook_core::{ApplicationChange, Clock, EndpointChange, Key, NewAccount, Settings};
use sip::{Command, Method, Name, Outcome as Became, Question, Request, RequestId, Status};
use tokio::task::JoinSet;
use world::{
    Customer, PASSWORD, World, address, http, prove, register, request, settings, udp, with_proof,
};

fn message(from: &str, to: &str, serial: u32, body: &str) -> Request {
    let mut request = request(
        Method::Message,
        &address(to),
        &address(from),
        &address(to),
        serial,
    );
    request.headers.push(Name::ContentType, "text/plain");
    request.body = body.to_owned().into();
    request
}

/// Alice with one phone; Bob with two.
async fn world_with(settings: Settings) -> World {
    let mut world = World::with(settings, Clock::System).await;
    world.direct_dial().await;
    for (user, port) in [("alice", 5060), ("bob", 5070)] {
        world.endpoint(user).await;
        register_at(&mut world, user, port, port.into()).await;
    }
    register_at(&mut world, "bob", 5071, 2).await;
    world
}

async fn register_at(world: &mut World, user: &str, port: u16, serial: u32) {
    let contact = format!("<sip:{user}@198.51.100.7:{port}>");
    let mut request = register(user, serial, &contact);
    let call_id = format!("register-{port}");
    request.headers.set(Name::CallId, call_id);
    let answer = world.send_as(user, PASSWORD, &request, udp(port)).await;
    assert_eq!(answer.status(), 200);
}

/// Sends a message of Alice's with its proof; what the stack is asked to do comes over `world.wire`.
async fn write(world: &mut World, request: &Request) -> offhook_core::Decision {
    let challenge = world.send(request, udp(5060)).await.reply();
    assert_eq!(challenge.status, Status::PROXY_AUTHENTICATION_REQUIRED);
    let proof = prove(&challenge, "alice", PASSWORD, 1, request);
    let request = with_proof(request, proof);
    let now = world.core.now();
    world.core.uas.request(&now, 0, request, udp(5060), None)
}

async fn question(world: &mut World) -> (RequestId, Question) {
    match world.command().await {
        Command::Ask { id, question } => (id, question),
        other => panic!("no question but {other:?}"),
    }
}

async fn answer(world: &mut World) -> u16 {
    match world.command().await {
        Command::Respond { response, .. } => response.status.0,
        other => panic!("no answer but {other:?}"),
    }
}

fn became(status: Status) -> Became {
    let request = Request::new(Method::Message, "sip:x");
    Became::Answered(request.respond(status))
}

/// A customer's server that Bob's application tells of messages.
async fn told(world: &World) -> Customer {
    let customer = Customer::new(|_| http("200 OK", "", b"")).await;
    let change = ApplicationChange {
        message_url: Some(Some(format!("{}/message", customer.base))),
        ..ApplicationChange::default()
    };
    let directory = &world.core.directory;
    let application = directory.default_application(world.account.id);
    let key = Key::Number(application.expect("an application").id);
    directory
        .update_application(&world.account, &key, change)
        .await
        .expect("changed");
    customer
}

#[tokio::test]
async fn every_phone_gets_it_the_first_that_takes_it_answers_and_the_application_hears() {
    let mut world = world_with(settings()).await;
    let mut customer = told(&world).await;
    let mut request = message("alice", "bob", 1, "Hello Bob & all");
    // S69, S73: who writes is who proved the password; what is not for phones stays here.
    request
        .headers
        .set(Name::From, "\"The Boss\" <sip:boss@sip.example.net>;tag=f1");
    request
        .headers
        .push(Name::PAssertedIdentity, "<sip:boss@sip.example.net>");
    request.headers.push(Name::Other("X-PH-Room".into()), "7");
    let decision = write(&mut world, &request).await;
    assert!(
        matches!(decision, offhook_core::Decision::Hold(_)),
        "{decision:?}"
    );
    let (first, sent) = question(&mut world).await;
    let (second, other) = question(&mut world).await;
    let mut remotes = [sent.to.flow.remote.port(), other.to.flow.remote.port()];
    remotes.sort_unstable();
    assert_eq!(remotes, [5070, 5071]);
    assert_eq!(&*sent.from, "<sip:alice@sip.example.net>");
    assert_eq!(&*sent.to_value, "<sip:bob@sip.example.net>");
    assert_eq!(sent.body, "Hello Bob & all");
    let headers: Vec<String> = sent.headers.iter().map(ToString::to_string).collect();
    assert_eq!(headers, ["X-PH-Room: 7", "Content-Type: text/plain"]);
    world.core.answered(first, became(Status::BUSY_HERE));
    world.core.answered(second, became(Status::OK));
    assert_eq!(answer(&mut world).await, 200);
    let heard = customer.request().await;
    assert!(heard.starts_with("POST /message "), "{heard}");
    assert!(
        heard.ends_with(
            "From=sip%3Aalice%40sip.example.net&State=taken&Text=Hello+Bob+%26+all&To=sip%3Abob%40sip.example.net"
        ),
        "{heard}"
    );
}

#[tokio::test]
async fn nobody_at_home_is_480_and_the_application_hears_that_too() {
    let mut world = world_with(settings()).await;
    let mut customer = told(&world).await;
    world.endpoint("dave").await;
    let decision = write(&mut world, &message("alice", "dave", 1, "Hello?")).await;
    assert!(
        matches!(decision, offhook_core::Decision::Hold(_)),
        "{decision:?}"
    );
    assert_eq!(answer(&mut world).await, 480);
    let heard = customer.request().await;
    assert!(heard.contains("&State=nobody&Text=Hello%3F&"), "{heard}");
}

#[tokio::test]
async fn what_the_phones_say_of_the_message_comes_back_and_silence_is_480() {
    let mut world = world_with(settings()).await;
    for (serial, became_of, expected) in [
        (
            1,
            [became(Status::UNSUPPORTED_MEDIA_TYPE), Became::Timeout],
            415,
        ),
        (2, [Became::Timeout, Became::FlowLost], 480),
        // A phone that asks for a password asks the wrong one.
        (3, [became(Status::UNAUTHORIZED), became(Status(302))], 480),
    ] {
        let request = message("alice", "bob", serial, "Hello");
        write(&mut world, &request).await;
        for outcome in became_of {
            let (id, _) = question(&mut world).await;
            world.core.answered(id, outcome);
        }
        assert_eq!(answer(&mut world).await, expected);
    }
}

#[tokio::test]
async fn a_stranger_is_challenged_and_learns_nothing() {
    let mut world = world_with(settings()).await;
    // S48.
    for (serial, to) in [(1, "bob"), (2, "nobody")] {
        let mut request = message("alice", to, serial, "Hello");
        request
            .headers
            .set(Name::From, "<sip:carol@elsewhere.example.com>;tag=f1");
        assert_eq!(world.send(&request, udp(9)).await.status(), 407, "{to}");
    }
    let mut request = message("alice", "bob", 3, "Hello");
    request.uri = "sip:bob@elsewhere.example.com".into();
    request
        .headers
        .set(Name::From, "<sip:carol@elsewhere.example.com>;tag=f1");
    assert_eq!(world.send(&request, udp(9)).await.status(), 404);
}

#[tokio::test]
async fn who_may_not_write_or_read_is_refused() {
    let mut world = world_with(settings()).await;
    let directory = world.core.directory.clone();
    let refused = async |world: &mut World, to: &str, serial: u32| {
        let request = message("alice", to, serial, "Hello");
        let answer = world.send_as("alice", PASSWORD, &request, udp(5060)).await;
        answer.status()
    };
    assert_eq!(refused(&mut world, "nobody", 1).await, 404);
    // S46: nothing leaves to a foreign host.
    let mut request = message("alice", "bob", 2, "Hello");
    request.uri = "sip:bob@elsewhere.example.com".into();
    let answer = world.send_as("alice", PASSWORD, &request, udp(5060)).await;
    assert_eq!(answer.status(), 403);
    // Another account's endpoints do not exist for those who may not write to them.
    let other = NewAccount {
        allow_external_callers: false,
        ..NewAccount::named("other")
    };
    let other = directory.create_account(other).await.expect("an account");
    let domain = directory.account_domain(&other).expect("a domain");
    let mut request = message("alice", "bob", 3, "Hello");
    request.uri = format!("sip:bob@{}", domain.sip_domain).into();
    let answer = world.send_as("alice", PASSWORD, &request, udp(5060)).await;
    assert_eq!(answer.status(), 404);
    let key = |user: &str| {
        let found = directory.subscriber(world::DOMAIN, user);
        Key::Number(found.expect("an endpoint").endpoint)
    };
    for (serial, user, what) in [
        (4, "alice", "same domain"),
        (5, "bob", "message"),
        (6, "alice", "message"),
    ] {
        let mut permissions = offhook_core::Permissions::default();
        match what {
            "same domain" => permissions.same_domain = false,
            _ => permissions.message = false,
        }
        let change = |permissions| EndpointChange {
            permissions: Some(permissions),
            ..EndpointChange::default()
        };
        directory
            .update_endpoint(&world.account, &key(user), change(permissions))
            .await
            .expect("changed");
        assert_eq!(
            refused(&mut world, "bob", serial).await,
            403,
            "{user} {what}"
        );
        directory
            .update_endpoint(&world.account, &key(user), change(Default::default()))
            .await
            .expect("changed");
    }
}

#[tokio::test]
async fn size_and_rate_are_bounded() {
    let mut chosen = settings();
    chosen.messages_per_minute = 2;
    let mut world = world_with(chosen).await;
    let large = message("alice", "bob", 1, &"x".repeat(4097));
    let answer_to_large = world.send_as("alice", PASSWORD, &large, udp(5060)).await;
    assert_eq!(answer_to_large.status(), 413);
    // RFC 3428 §8: no more than 1300 bytes in a datagram, and Bob's phones know nothing else.
    let long = message("alice", "bob", 2, &"x".repeat(900));
    write(&mut world, &long).await;
    assert_eq!(answer(&mut world).await, 513);
    let short = message("alice", "bob", 3, &"x".repeat(700));
    write(&mut world, &short).await;
    for _ in 0..2 {
        let (id, _) = question(&mut world).await;
        world.core.answered(id, became(Status::OK));
    }
    assert_eq!(answer(&mut world).await, 200);
    let third = message("alice", "bob", 4, "x");
    let refused = world.send_as("alice", PASSWORD, &third, udp(5060)).await;
    let refused = refused.reply();
    assert_eq!(refused.status, Status::SERVICE_UNAVAILABLE);
    assert!(refused.headers.get(&Name::RetryAfter).is_some());
}

#[tokio::test]
async fn a_phone_does_not_get_what_it_wrote_to_its_own_address() {
    let mut world = world_with(settings()).await;
    register_at(&mut world, "alice", 5061, 3).await;
    let note = message("alice", "alice", 1, "for my desk");
    write(&mut world, &note).await;
    let (id, question) = question(&mut world).await;
    assert_eq!(question.to.flow.remote.port(), 5061);
    world.core.answered(id, became(Status::OK));
    assert_eq!(answer(&mut world).await, 200);
}

#[tokio::test]
async fn the_administrator_still_tells_browsers_their_address() {
    let mut world = world_with(settings()).await;
    let mut request = message("alice", "bob", 1, "ipAddress");
    request.uri = "sip:admin@phone.plivo.com".into();
    let answer = world.send(&request, udp(5060)).await.reply();
    assert_eq!(answer.status, Status::OK);
    assert_eq!(answer.body, "198.51.100.7");
}

#[tokio::test]
async fn stopping_waits_for_what_is_under_way() {
    let mut world = world_with(settings()).await;
    write(&mut world, &message("alice", "bob", 1, "Hello")).await;
    let (first, _) = question(&mut world).await;
    let (second, _) = question(&mut world).await;
    let core = world.core.clone();
    let mut stopping = JoinSet::new();
    stopping.spawn(async move { core.stop().await });
    world.core.answered(first, became(Status::OK));
    assert_eq!(answer(&mut world).await, 200);
    assert!(stopping.try_join_next().is_none());
    world.core.answered(second, Became::Timeout);
    let stopped = stopping.join_next().await;
    stopped.expect("a task").expect("stopped");
}
