//! The explainer: each cause by the requests that lead to it, and what follows from the evidence.

mod world;

use std::net::SocketAddr;
use std::time::Duration;

use offhook_core::diagnosis::{Finding, Question, Report, Verdict};
use offhook_core::{EndpointChange, EndpointView, Key, NewAccount, PolicyChange, PolicyOf};
use serde_json::json;
use sip::{Flow, Name, Request};
use store::{CallDirection, CallRow, Flavor, HttpMethod};
use uuid::Uuid;
use world::{DOMAIN, PASSWORD, World, eventually, prove, register, udp, websocket, with_proof};

const CONTACT: &str = "<sip:alice@10.0.0.5:5060>";

async fn report(world: &World, endpoint: &EndpointView) -> Report {
    let key = Key::Number(endpoint.endpoint.id);
    let found = world.core.diagnosis.of_endpoint(&world.account, &key).await;
    found.expect("a report")
}

/// The causes of the attempts, newest first, once there are so many.
async fn causes(world: &World, endpoint: &EndpointView, count: usize) -> Vec<&'static str> {
    let found = eventually("the attempts", || async {
        let report = report(world, endpoint).await;
        (report.attempts.len() >= count).then_some(report)
    });
    let attempts = found.await.attempts;
    attempts.iter().map(|it| it.cause.name()).collect()
}

fn codes(report: &Report, question: Question) -> Vec<(&'static str, Verdict)> {
    let all = report.findings.iter();
    all.filter(|it| it.question == question)
        .map(|it| (it.code, it.verdict))
        .collect()
}

fn finding<'r>(report: &'r Report, code: &str) -> &'r Finding {
    let mut all = report.findings.iter();
    all.find(|it| it.code == code)
        .unwrap_or_else(|| panic!("no {code} in {:?}", report.findings))
}

#[tokio::test]
async fn each_way_to_fail_has_its_name_which_only_the_explainer_tells() {
    let mut world = World::new().await;
    let alice = world.endpoint("alice").await;
    let policy = PolicyChange {
        max_bindings: Some(Some(1)),
        refused_user_agents: Some(Some("BadPhone".into())),
        ..PolicyChange::default()
    };
    let directory = world.core.directory.clone();
    let set = directory.update_policy(&world.account, &PolicyOf::Account, policy);
    set.await.expect("a policy");
    let mut expected = Vec::new();
    let with = |serial, contact: &str, name: Name, value: &str| {
        let mut request = register("alice", serial, contact);
        request.headers.push(name, value.to_owned());
        request
    };
    let bob = register("bob", 9, CONTACT);
    let mut not_own = register("alice", 10, CONTACT);
    let to = bob.headers.get(&Name::To).expect("one").clone();
    not_own.headers.set(Name::To, to);
    world.endpoint("bob").await;
    let cases: Vec<(&str, Request, &str, u16)> = vec![
        (
            "wrong_password",
            register("alice", 1, CONTACT),
            "wrong",
            401,
        ),
        (
            "expires_too_short",
            with(2, CONTACT, Name::Expires, "5"),
            PASSWORD,
            423,
        ),
        (
            "refused_user_agent",
            with(3, CONTACT, Name::UserAgent, "BadPhone"),
            PASSWORD,
            403,
        ),
        (
            "contact_points_here",
            register("alice", 4, "<sip:alice@192.0.2.1:5060>"),
            PASSWORD,
            403,
        ),
        (
            "bad_contact",
            register("alice", 5, "<mailto:alice@example.net>"),
            PASSWORD,
            400,
        ),
        ("not_own_address", not_own, PASSWORD, 403),
        ("registered", register("alice", 20, CONTACT), PASSWORD, 200),
        (
            "too_many_bindings",
            register("alice", 21, "<sip:alice@10.0.0.6:5060>"),
            PASSWORD,
            403,
        ),
        (
            "out_of_order",
            register("alice", 19, CONTACT),
            PASSWORD,
            500,
        ),
    ];
    for (cause, request, password, status) in cases {
        let sent = world.send_as("alice", password, &request, udp(5060)).await;
        assert_eq!(sent.status(), status, "{cause}");
        expected.insert(0, cause);
        assert_eq!(causes(&world, &alice, expected.len()).await, expected);
    }
    // Credentials for another realm.
    let request = register("alice", 30, CONTACT);
    let challenge = world.send(&request, udp(5060)).await.reply();
    let proof = prove(&challenge, "alice", PASSWORD, 1, &request);
    let elsewhere = proof.replace("realm=\"sip.example.net\"", "realm=\"asterisk\"");
    let sent = world
        .send(&with_proof(&request, elsewhere), udp(5060))
        .await;
    assert_eq!(sent.status(), 401);
    expected.insert(0, "wrong_realm");
    assert_eq!(causes(&world, &alice, expected.len()).await, expected);
    // A domain that is not ours, and a user that is known all the same.
    let mut lost = register("alice", 31, CONTACT);
    lost.uri = "sip:elsewhere.example.org".into();
    assert_eq!(world.send(&lost, udp(5060)).await.status(), 404);
    expected.insert(0, "wrong_domain");
    assert_eq!(causes(&world, &alice, expected.len()).await, expected);

    let off = EndpointChange {
        enabled: Some(false),
        ..EndpointChange::default()
    };
    let key = Key::Number(alice.endpoint.id);
    let set = directory.update_endpoint(&world.account, &key, off);
    set.await.expect("switched off");
    let request = register("alice", 40, CONTACT);
    let sent = world.send_as("alice", PASSWORD, &request, udp(5060)).await;
    assert_eq!(sent.status(), 403);
    expected.insert(0, "disabled");
    assert_eq!(causes(&world, &alice, expected.len()).await, expected);
    let report = report(&world, &alice).await;
    assert_eq!(
        codes(&report, Question::LogIn),
        [("disabled", Verdict::Problem)]
    );
    let newest = &report.attempts[0];
    assert_eq!(newest.source, udp(5060).remote);
    assert_eq!(
        (newest.user.as_str(), newest.host.as_str()),
        ("alice", DOMAIN)
    );
    let shown = format!("{report:?}");
    assert!(
        !shown.contains(PASSWORD) && !shown.contains("nonce"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_stale_nonce_is_named_when_it_does_not_end() {
    let mut world = World::new().await;
    let alice = world.endpoint("alice").await;
    let request = register("alice", 1, CONTACT);
    let challenge = world.send(&request, udp(5060)).await.reply();
    world.clock.advance(Duration::from_secs(121));
    let proof = prove(&challenge, "alice", PASSWORD, 1, &request);
    for _ in 0..2 {
        let sent = world
            .send(&with_proof(&request, proof.clone()), udp(5060))
            .await;
        let again = sent.reply();
        let value = again.headers.get(&Name::WwwAuthenticate).expect("one");
        assert!(value.ends_with("stale=true"), "{value}");
    }
    // Twice is how phones are; one that takes the new nonce starts anew.
    let sent = world.send_as("alice", PASSWORD, &request, udp(5060)).await;
    assert_eq!(sent.status(), 200);
    assert!(report(&world, &alice).await.attempts.is_empty());
    for _ in 0..3 {
        world
            .send(&with_proof(&request, proof.clone()), udp(5060))
            .await;
    }
    assert_eq!(causes(&world, &alice, 1).await, ["stale_nonce"]);
}

#[tokio::test]
async fn strangers_are_shown_to_the_account_whose_domain_they_asked_and_to_no_other() {
    let mut world = World::new().await;
    let alice = world
        .endpoint_with("alice", |new| new.append_digits = true)
        .await;
    let directory = world.core.directory.clone();
    let other = directory.create_account(NewAccount::named("other")).await;
    let other = other.expect("an account");
    let auth_id = world.account.auth_id.clone();
    for (serial, user) in [(1, "alice"), (2, auth_id.as_str())] {
        let request = register(user, serial, CONTACT);
        let sent = world.send_as(user, PASSWORD, &request, udp(5060)).await;
        assert_eq!(sent.status(), 401);
    }
    let diagnosis = world.core.diagnosis.clone();
    let strangers = eventually("both attempts", || async {
        let found = diagnosis.of_strangers(&world.account);
        (found.len() == 2).then_some(found)
    })
    .await;
    let seen: Vec<_> = strangers
        .iter()
        .map(|it| (it.user.as_str(), it.cause.name()))
        .collect();
    assert!(seen.contains(&("alice", "unknown_user")), "{seen:?}");
    assert!(seen.contains(&(auth_id.as_str(), "account_credentials")));
    assert!(diagnosis.of_strangers(&other).is_empty());
    // The endpoint that was meant says so.
    let report = report(&world, &alice).await;
    assert!(report.attempts.is_empty());
    let log_in = codes(&report, Question::LogIn);
    assert_eq!(log_in.len(), 1, "{log_in:?}");
    let key = Key::Number(alice.endpoint.id);
    assert!(diagnosis.of_endpoint(&other, &key).await.is_err());
}

#[tokio::test]
async fn a_binding_without_its_connection_and_a_private_address_are_found() {
    let mut world = World::new().await;
    let alice = world.endpoint("alice").await;
    let never = report(&world, &alice).await;
    assert_eq!(
        codes(&never, Question::LogIn),
        [("never_tried", Verdict::Note)]
    );
    assert_eq!(
        codes(&never, Question::ReceiveCalls),
        [("not_registered", Verdict::Problem)]
    );
    assert_eq!(
        codes(&never, Question::MakeCalls),
        [("no_application", Verdict::Problem)]
    );
    world.direct_dial().await;
    let request = register("alice", 1, CONTACT);
    let sent = world
        .send_as("alice", PASSWORD, &request, websocket(7))
        .await;
    assert_eq!(sent.status(), 200);
    let there = report(&world, &alice).await;
    assert_eq!(
        codes(&there, Question::LogIn),
        [("registered", Verdict::Fine)]
    );
    assert_eq!(
        codes(&there, Question::MakeCalls),
        [("calls_possible", Verdict::Fine)]
    );
    assert_eq!(
        codes(&there, Question::ReceiveCalls),
        [("behind_nat", Verdict::Note)]
    );
    assert_eq!(
        finding(&there, "behind_nat").evidence,
        ["the phone says 10.0.0.5 and comes from 198.51.100.7"]
    );
    world.restart().await;
    let after = report(&world, &alice).await;
    assert_eq!(
        codes(&after, Question::ReceiveCalls)[0],
        ("unreachable", Verdict::Problem)
    );
}

fn call(
    world: &World,
    endpoint: &EndpointView,
    direction: CallDirection,
    cause: call::Cause,
) -> CallRow {
    let now = world.clock.now().wall;
    CallRow {
        uuid: Uuid::from_u128(u128::from(cause.code()) << 8 | direction as u128),
        account: world.account.id,
        parent: None,
        leg: 0,
        flavor: Flavor::Plivo,
        direction,
        from: "sip:alice@sip.example.net".into(),
        to: "+15551234567".into(),
        endpoint: Some(endpoint.endpoint.id),
        application: None,
        call_id: "c".into(),
        source_ip: None,
        started: now,
        rang: None,
        answered: None,
        ended: Some(now),
        bill_duration: 0,
        billed_duration: 0,
        status: "failed".into(),
        cause_code: Some(cause.code()),
        cause_name: Some(cause.name().into()),
        switch_cause: Some(cause.switch_name().into()),
        source: Some("error".into()),
        sip_status: None,
        hangup_url: None,
        hangup_method: HttpMethod::Post,
        extra: json!({}),
    }
}

#[tokio::test]
async fn what_became_of_calls_answers_the_other_questions() {
    use call::Cause;
    let world = World::new().await;
    let alice = world.endpoint("alice").await;
    world.direct_dial().await;
    let (made, taken) = (CallDirection::Inbound, CallDirection::Outbound);
    for (cause, code) in [
        (Cause::AnswerUnreachable, "answer_url_failed"),
        (Cause::InvalidAnswerXml, "answer_xml_invalid"),
        (Cause::ConcurrencyLimit, "limit_reached"),
        (Cause::RoutingError, "no_trunk"),
        (Cause::EndpointNotRegistered, "callee_not_registered"),
        (Cause::NetworkError, "last_call_failed"),
    ] {
        world.clock.advance(Duration::from_secs(1));
        let row = call(&world, &alice, made, cause);
        world.store.upsert_call(row).await.expect("a row");
        let found = codes(&report(&world, &alice).await, Question::MakeCalls);
        assert_eq!(found.len(), 1, "{cause:?}: {found:?}");
        assert_eq!(found[0].0, code, "{cause:?}");
    }
    world.clock.advance(Duration::from_secs(1));
    let row = call(&world, &alice, taken, Cause::RequestTimeout);
    world.store.upsert_call(row).await.expect("a row");
    let seen = report(&world, &alice).await;
    let line = &finding(&seen, "never_rang").evidence[0];
    assert!(line.ends_with("3070 Request timeout (error)"), "{line}");
    assert_eq!(
        codes(&seen, Question::CallDisconnected),
        [("no_calls", Verdict::Fine)]
    );
    let answered = |cause, received: u64, sent: u64, lost: u64| {
        let row = call(&world, &alice, made, cause);
        CallRow {
            answered: row.ended,
            extra: json!({ "media": {
                "received": received, "sent": sent, "lost": lost, "strangers": 0, "dropped": 0,
            }}),
            ..row
        }
    };
    for (row, disconnected, quality) in [
        (
            answered(Cause::NormalHangup, 500, 500, 0),
            "hung_up",
            "audio_both_ways",
        ),
        (
            answered(Cause::AnswerNotAcknowledged, 0, 500, 0),
            "ack_lost",
            "no_audio_from_phone",
        ),
        (
            answered(Cause::MediaTimeout, 900, 1000, 100),
            "media_timeout",
            "packet_loss",
        ),
    ] {
        world.clock.advance(Duration::from_secs(1));
        world.store.upsert_call(row).await.expect("a row");
        let seen = report(&world, &alice).await;
        finding(&seen, disconnected);
        finding(&seen, quality);
    }
}

#[tokio::test]
async fn a_blocked_source_is_shown_as_long_as_the_block_lasts_and_once() {
    let mut world = World::new().await;
    let alice = world.endpoint("alice").await;
    let blocked = Flow {
        remote: SocketAddr::from(([203, 0, 113, 9], 5062)),
        ..udp(5060)
    };
    let mut scan = register("nobody", 1, CONTACT);
    scan.headers.push(Name::UserAgent, "sipvicious");
    assert_eq!(world.send(&scan, blocked).await.status(), 0);
    for serial in 0..5 {
        let request = register("alice", 2 + serial, CONTACT);
        assert_eq!(world.send(&request, blocked).await.status(), 0);
    }
    assert_eq!(causes(&world, &alice, 1).await, ["source_blocked"]);
    let shown = report(&world, &alice).await;
    let log_in = codes(&shown, Question::LogIn);
    assert_eq!(log_in, [("source_blocked", Verdict::Problem)]);
    let seen = &finding(&shown, "source_blocked").evidence;
    assert_eq!(
        *seen,
        ["203.0.113.9 is not answered until 2026-01-02 03:05:05"]
    );
    // Who is logged in from elsewhere learns of it too, but has no problem.
    let request = register("alice", 20, CONTACT);
    let sent = world.send_as("alice", PASSWORD, &request, udp(5060)).await;
    assert_eq!(sent.status(), 200);
    let log_in = codes(&report(&world, &alice).await, Question::LogIn);
    assert_eq!(log_in, [("source_blocked", Verdict::Note)]);
    world.clock.advance(Duration::from_secs(61));
    let after = report(&world, &alice).await;
    assert_eq!(
        codes(&after, Question::LogIn),
        [("registered", Verdict::Fine)]
    );
}

#[tokio::test]
async fn who_guesses_until_it_is_blocked_need_not_come_again_to_be_shown() {
    let mut world = World::new().await;
    let alice = world.endpoint("alice").await;
    let phone = Flow {
        remote: SocketAddr::from(([203, 0, 113, 9], 5062)),
        ..udp(5060)
    };
    for serial in 0..10 {
        let request = register("alice", 1 + 2 * serial, CONTACT);
        world.send_as("alice", "wrong", &request, phone).await;
    }
    causes(&world, &alice, 10).await;
    let shown = report(&world, &alice).await;
    assert_eq!(
        codes(&shown, Question::LogIn),
        [
            ("source_blocked", Verdict::Problem),
            ("wrong_password", Verdict::Problem)
        ]
    );
}
