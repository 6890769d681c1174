//! Who hears of registrations, of what, and in which order.

mod world;

use std::time::Duration;

use offhook_core::{
    AccountEvent, ApplicationChange, EndpointView, Key, NewAccount, PolicyChange, PolicyOf,
};
use sip::{FlowId, Name, Request};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;
use world::{Customer, PASSWORD, World, eventually, http, register, udp, websocket};

const CONTACT: &str = "<sip:alice@10.0.0.5:5060>";
const OTHER: &str = "<sip:alice@10.0.0.6:5060>";

/// Event and reason of a callback.
fn told(request: &str) -> (String, String) {
    let (_, body) = request.split_once("\r\n\r\n").expect("a body");
    let field = |name: &str| {
        let mut fields = body.split('&');
        let found = fields.find_map(|field| field.strip_prefix(name));
        found.expect("the field").to_owned()
    };
    (field("Event="), field("Reason="))
}

fn told_of(kind: &str) -> (String, String) {
    (kind.to_owned(), String::new())
}

fn bye(serial: u32, contact: &str) -> Request {
    register("alice", serial, &format!("{contact};expires=0"))
}

async fn send(world: &mut World, request: &Request, flow: sip::Flow) -> u16 {
    let sent = world.send_as("alice", PASSWORD, request, flow).await;
    sent.status()
}

async fn world_with(url: Option<&str>) -> (World, EndpointView) {
    let mut world = World::new().await;
    let application = world.direct_dial().await;
    let change = ApplicationChange {
        registration_url: Some(url.map(str::to_owned)),
        ..ApplicationChange::default()
    };
    let directory = &world.core.directory;
    let key = Key::Number(application.id);
    directory
        .update_application(&world.account, &key, change)
        .await
        .expect("an application");
    let alice = world.endpoint("alice").await;
    // What is set must be there after a restart.
    world.restart().await;
    (world, alice)
}

#[tokio::test]
async fn a_customers_url_hears_of_an_endpoint_in_order() {
    let mut customer = Customer::new(|_| http("200 OK", "", b"")).await;
    let (mut world, alice) = world_with(Some(&customer.base)).await;
    assert_eq!(
        send(&mut world, &register("alice", 1, CONTACT), udp(5060)).await,
        200
    );
    assert_eq!(told(&customer.request().await), told_of("registered"));
    // A refresh is not told, unless a policy asks for it.
    assert_eq!(
        send(&mut world, &register("alice", 2, CONTACT), udp(5060)).await,
        200
    );
    let wrong = world
        .send_as("alice", "wrong", &register("alice", 3, CONTACT), udp(5060))
        .await;
    assert_eq!(wrong.status(), 401);
    assert_eq!(
        told(&customer.request().await),
        ("auth_failed".to_owned(), "wrong_password".to_owned())
    );
    let policy = PolicyChange {
        registration_refreshed: Some(Some(true)),
        ..PolicyChange::default()
    };
    let of = PolicyOf::Endpoint(Key::Number(alice.endpoint.id));
    let set = world
        .core
        .directory
        .update_policy(&world.account, &of, policy);
    set.await.expect("a policy");
    assert_eq!(
        send(&mut world, &register("alice", 4, CONTACT), udp(5060)).await,
        200
    );
    assert_eq!(told(&customer.request().await), told_of("refreshed"));
    assert_eq!(send(&mut world, &bye(5, CONTACT), udp(5060)).await, 200);
    assert_eq!(told(&customer.request().await), told_of("unregistered"));
    assert_eq!(
        send(&mut world, &register("alice", 6, CONTACT), websocket(9)).await,
        200
    );
    assert_eq!(told(&customer.request().await), told_of("registered"));
    world.core.flow_closed(FlowId(9));
    assert_eq!(told(&customer.request().await), told_of("flow_lost"));
    assert_eq!(
        send(&mut world, &register("alice", 7, CONTACT), udp(5060)).await,
        200
    );
    assert_eq!(told(&customer.request().await), told_of("registered"));
    world.clock.advance(Duration::from_secs(3601));
    assert_eq!(
        send(&mut world, &register("alice", 8, OTHER), udp(5060)).await,
        200
    );
    assert_eq!(told(&customer.request().await), told_of("expired"));
    assert_eq!(told(&customer.request().await), told_of("registered"));
    let now = world.clock.now().wall;
    let registrar = &world.core.registrar;
    let gone = registrar.unregister(alice.endpoint.id, now, None).await;
    assert_eq!(gone.expect("gone").len(), 1);
    assert_eq!(told(&customer.request().await), told_of("unregistered"));
    assert!(customer.requests.try_recv().is_err());
}

async fn next(stream: &mut Receiver<std::sync::Arc<AccountEvent>>) -> (String, String) {
    let next = tokio::time::timeout(Duration::from_secs(10), stream.recv());
    let event = next.await.expect("in time").expect("an event");
    let reason = match &*event {
        AccountEvent::Registration(event) => event.reason.map_or("", |cause| cause.name()),
        AccountEvent::Trunk(event) => event.reason.as_deref().unwrap_or_default(),
    };
    (event.name().to_owned(), reason.to_owned())
}

#[tokio::test]
async fn a_stream_shows_its_own_account_and_brute_force_once_a_minute() {
    let (mut world, _) = world_with(None).await;
    let other = NewAccount::named("other");
    let other = world
        .core
        .directory
        .create_account(other)
        .await
        .expect("one");
    let mut own = world
        .core
        .events
        .subscribe(world.account.id)
        .expect("a stream");
    let mut foreign = world.core.events.subscribe(other.id).expect("a stream");
    let failed = ("auth_failed".to_owned(), "wrong_password".to_owned());
    for serial in 1..=5 {
        let request = register("alice", serial, CONTACT);
        let wrong = world.send_as("alice", "wrong", &request, udp(5060)).await;
        assert_eq!(wrong.status(), 401);
    }
    assert_eq!(next(&mut own).await, failed);
    assert_eq!(
        send(&mut world, &register("alice", 21, CONTACT), udp(5060)).await,
        200
    );
    assert_eq!(next(&mut own).await, told_of("registered"));
    world.clock.advance(Duration::from_secs(61));
    let again = register("alice", 22, CONTACT);
    let wrong = world.send_as("alice", "wrong", &again, udp(5060)).await;
    assert_eq!(wrong.status(), 401);
    assert_eq!(next(&mut own).await, failed);
    assert_eq!(foreign.try_recv(), Err(TryRecvError::Empty));
    // The server stops: streams end, and none begins.
    world.core.events.close();
    assert_eq!(foreign.try_recv(), Err(TryRecvError::Closed));
    assert!(world.core.events.subscribe(world.account.id).is_err());
}

#[tokio::test]
async fn an_account_has_so_many_streams_and_no_more() {
    let world = World::new().await;
    let events = &world.core.events;
    let streams: Vec<_> = std::iter::from_fn(|| events.subscribe(world.account.id).ok())
        .take(100)
        .collect();
    assert_eq!(streams.len(), 20);
    drop(streams);
    assert!(events.subscribe(world.account.id).is_ok());
}

#[tokio::test]
async fn a_policys_url_hears_when_the_application_names_none() {
    let mut customer = Customer::new(|_| http("200 OK", "", b"")).await;
    let (mut world, _) = world_with(None).await;
    let policy = PolicyChange {
        registration_url: Some(Some(format!("{}/policy", customer.base))),
        ..PolicyChange::default()
    };
    let directory = &world.core.directory;
    let set = directory.update_policy(&world.account, &PolicyOf::Account, policy);
    set.await.expect("a policy");
    let mut request = register("alice", 1, CONTACT);
    request.headers.push(Name::Expires, "1");
    // Refused registrations are told too.
    assert_eq!(send(&mut world, &request, udp(5060)).await, 423);
    let heard = customer.request().await;
    assert!(heard.starts_with("POST /policy HTTP/1.1"), "{heard}");
    assert_eq!(
        told(&heard),
        ("auth_failed".to_owned(), "expires_too_short".to_owned())
    );
    eventually("an empty outbox", || async {
        (world.store.count_callbacks().await.expect("a count") == 0).then_some(())
    })
    .await;
}
