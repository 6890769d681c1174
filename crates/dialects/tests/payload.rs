//! What customers' URLs are told, parameter by parameter: plivo-rest.md §14.4, vobiz-rest.md §8, bandwidth-v1.md §7.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use call::{
    About, AuthKind, AuthUser, CallStatus, Cause, Cdr, DialAction, DialLeg, DialStatus,
    DialSummary, Direction, HangupSource, LegId, LegRecord, Occasion,
};
use dialects::bandwidth::Bandwidth;
use dialects::plivo::Plivo;
use dialects::vobiz::Vobiz;
use offhook_core::{
    AccountFacts, Application, ApplicationKind, Dialect, Flavor, HttpMethod, MessageFacts, Payload,
    Secret,
};
use uuid::Uuid;

const A: Uuid = Uuid::from_u128(0x3f0c5f0e_6a5a_4a63_9c3e_2a0f6f3c1b11);
const B: Uuid = Uuid::from_u128(0x3f0c5f0e_6a5a_4a63_9c3e_2a0f6f3c1b12);

fn account(answer_method: HttpMethod) -> AccountFacts {
    let application = Application {
        id: 1,
        public_id: "a-77qpz".into(),
        account: 1,
        flavor: Flavor::Bandwidth,
        name: "Reception".into(),
        kind: ApplicationKind::Xml,
        answer_url: None,
        answer_method,
        hangup_url: None,
        hangup_method: HttpMethod::Post,
        fallback_url: None,
        fallback_method: HttpMethod::Post,
        message_url: None,
        message_method: HttpMethod::Post,
        registration_url: None,
        registration_method: HttpMethod::Post,
        default_number_app: false,
        default_endpoint_app: false,
        public_uri: false,
        log_incoming: true,
        enabled: true,
        extra: serde_json::Value::Null,
        created: "2026-02-01T08:00:00Z".parse().unwrap(),
        updated: "2026-02-01T08:00:00Z".parse().unwrap(),
    };
    AccountFacts {
        auth_id: "SAZZTESTSUBACCT00001".into(),
        main_auth_id: "MAZZTESTACCOUNT00001".into(),
        auth_token: Secret::new("token"),
        bandwidth_user: "u-test1".into(),
        public_url: "http://api.example.net".into(),
        application: Some(Arc::new(application)),
    }
}

fn about(direction: Direction, status: CallStatus) -> About {
    About {
        call_uuid: A,
        a_leg: A,
        from: "sip:alice240611101530@phone.example.net".into(),
        to: "15550123".into(),
        direction,
        status,
        caller_name: "Alice".into(),
        session_start: "2026-02-03T09:30:00.123456Z".parse().unwrap(),
        to_header: "<sip:15550123@phone.example.net>".into(),
        headers: vec![
            ("X-PH-team".into(), "blue".into()),
            ("X-PH-Team".into(), "Ä b".into()),
        ],
        auth: Some(AuthUser {
            user: "alice240611101530".into(),
            kind: AuthKind::Credentials,
        }),
        source_ip: [192, 0, 2, 10].into(),
    }
}

fn cdr(uuid: Uuid, answered: bool) -> Cdr {
    let leg = LegRecord {
        uuid,
        parent: (uuid == B).then_some(A),
        leg: LegId(u16::from(uuid == B)),
        direction: if uuid == B {
            Direction::Outbound
        } else {
            Direction::Inbound
        },
        from: "15550100".into(),
        to: "sip:bob@phone.example.net".into(),
        endpoint: None,
        started: "2026-02-03T09:30:00.123456Z".parse().unwrap(),
        rang: None,
        answered: answered.then(|| "2026-02-03T09:30:05Z".parse().unwrap()),
        hangup: None,
        source_ip: None,
        call_id: None,
    };
    let cause = if answered {
        Cause::NormalHangup
    } else {
        Cause::EndpointNotRegistered
    };
    Cdr {
        leg,
        ended: "2026-02-03T09:31:11.9Z".parse().unwrap(),
        duration: Duration::from_millis(if answered { 66_900 } else { 0 }),
        billed_seconds: if answered { 120 } else { 0 },
        cause,
        source: if answered {
            HangupSource::Callee
        } else {
            HangupSource::Platform
        },
        status: cause.final_status(answered),
        sip_status: None,
        media: None,
    }
}

fn occasions() -> Vec<(&'static str, About, Occasion)> {
    let ringing = || about(Direction::Inbound, CallStatus::Ringing);
    let talking = || about(Direction::Inbound, CallStatus::InProgress);
    let over = |status| about(Direction::Inbound, status);
    let anonymous = About {
        caller_name: String::new(),
        to_header: String::new(),
        headers: Vec::new(),
        auth: None,
        ..ringing()
    };
    let leg = |action, cdr: Option<Cdr>| {
        let b = cdr
            .as_ref()
            .map_or_else(|| crate::cdr(B, true).leg, |cdr| cdr.leg.clone());
        Occasion::DialLeg(Box::new(DialLeg {
            action,
            b,
            position: 2,
            cdr,
        }))
    };
    let ended = |status, b_leg| {
        let cause = if b_leg {
            Cause::NormalHangup
        } else {
            Cause::BusyLine
        };
        Occasion::DialEnded(DialSummary {
            status,
            rang: b_leg,
            cause,
            b_leg: b_leg.then_some(B),
        })
    };
    vec![
        ("an endpoint dials", ringing(), Occasion::StartApp),
        (
            "somebody dials who says little",
            anonymous,
            Occasion::StartApp,
        ),
        (
            "a call of ours is answered",
            about(Direction::Outbound, CallStatus::InProgress),
            Occasion::StartApp,
        ),
        ("a document redirects", talking(), Occasion::Redirect),
        (
            "a dial was bridged",
            talking(),
            ended(DialStatus::Completed, true),
        ),
        ("a dial was busy", talking(), ended(DialStatus::Busy, false)),
        ("a B leg answered", ringing(), leg(DialAction::Answer, None)),
        (
            "a B leg was connected",
            talking(),
            leg(DialAction::Connected, None),
        ),
        (
            "a B leg is over",
            talking(),
            leg(DialAction::Hangup, Some(cdr(B, true))),
        ),
        (
            "a B leg was never answered",
            ringing(),
            leg(DialAction::Hangup, Some(cdr(B, false))),
        ),
        (
            "an answered call is over",
            over(CallStatus::Completed),
            Occasion::Hangup(Box::new(cdr(A, true))),
        ),
        (
            "an unanswered call is over",
            over(CallStatus::Failed),
            Occasion::Hangup(Box::new(cdr(A, false))),
        ),
    ]
}

#[test]
fn an_endpoint_without_a_display_name_is_called_by_its_user() {
    let nameless = About {
        caller_name: String::new(),
        ..about(Direction::Inbound, CallStatus::Ringing)
    };
    let told = |dialect: &dyn Dialect, name: &str| {
        let payload = dialect.payload(&account(HttpMethod::Post), &nameless, &Occasion::StartApp);
        match payload {
            Payload::Form(fields) => fields
                .into_iter()
                .find(|(field, _)| field == name)
                .map(|(_, value)| value),
            Payload::Json(event) => event[name].as_str().map(str::to_owned),
        }
    };
    let user = Some("alice240611101530".to_owned());
    assert_eq!(told(&Plivo, "CallerName"), user);
    assert_eq!(told(&Vobiz, "CallerName"), user);
    assert_eq!(told(&Bandwidth, "displayName"), user);
}

#[test]
fn requests_name_the_program_that_the_vendor_documents() {
    assert_eq!(Vobiz.profile().user_agent, "Vobiz");
    assert!(
        Bandwidth
            .profile()
            .user_agent
            .starts_with("BandwidthAPI/v1 (")
    );
}

fn table(dialect: &dyn Dialect, account: &AccountFacts) -> String {
    let mut table = String::new();
    for (name, about, occasion) in occasions() {
        writeln!(table, "{name}").unwrap();
        match dialect.payload(account, &about, &occasion) {
            Payload::Form(parameters) => {
                let names: Vec<&[u8]> =
                    parameters.iter().map(|(name, _)| name.as_bytes()).collect();
                assert!(
                    names.is_sorted_by(|one, next| one < next),
                    "sorted bytewise, none twice: {parameters:?}"
                );
                for (name, value) in parameters {
                    writeln!(table, "  {name}={value}").unwrap();
                }
            }
            Payload::Json(value) => {
                for (name, value) in value.as_object().unwrap() {
                    writeln!(table, "  {name}: {value}").unwrap();
                }
            }
        }
    }
    table
}

#[test]
fn plivo_tells_what_its_contract_lists() {
    insta::assert_snapshot!(table(&Plivo, &account(HttpMethod::Post)));
}

#[test]
fn vobiz_tells_what_its_contract_lists() {
    insta::assert_snapshot!(table(&Vobiz, &account(HttpMethod::Post)));
}

#[test]
fn bandwidth_tells_what_its_contract_lists() {
    insta::assert_snapshot!(table(&Bandwidth, &account(HttpMethod::Post)));
}

#[test]
fn bandwidth_asks_for_a_document_after_the_answer() {
    let account = account(HttpMethod::Get);
    let Payload::Json(event) = Bandwidth.payload(
        &account,
        &about(Direction::Inbound, CallStatus::Ringing),
        &Occasion::StartApp,
    ) else {
        panic!("no event");
    };
    assert_eq!(event["eventType"], "answer");
    assert_eq!(event.get("applicationId"), None);
}

fn message(delivered: bool, content_type: &str) -> MessageFacts {
    MessageFacts {
        uuid: A,
        from: "sip:alice@phone.example.net".into(),
        to: "sip:bob@phone.example.net".into(),
        text: "Are you there?".into(),
        content_type: content_type.into(),
        delivered,
        time: "2026-02-03T09:30:00Z".parse().unwrap(),
    }
}

#[test]
fn plivo_and_vobiz_tell_of_a_message_what_the_contract_lists_and_what_became_of_it() {
    let account = account(HttpMethod::Post);
    let dialects: [&dyn Dialect; 2] = [&Plivo, &Vobiz];
    for dialect in dialects {
        let shown = |message: &MessageFacts| match dialect.message(&account, message) {
            Payload::Form(fields) => fields
                .into_iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect::<Vec<_>>()
                .join("\n"),
            Payload::Json(other) => panic!("no form but {other}"),
        };
        assert_eq!(
            shown(&message(true, "text/plain;charset=utf-8")),
            "From=sip:alice@phone.example.net\n\
             MessageState=delivered\n\
             MessageUUID=3f0c5f0e-6a5a-4a63-9c3e-2a0f6f3c1b11\n\
             ParentAuthID=MAZZTESTACCOUNT00001\n\
             Text=Are you there?\n\
             To=sip:bob@phone.example.net\n\
             Type=sms"
        );
        let other = shown(&message(false, "text/html"));
        assert!(other.starts_with("ContentType=text/html\n"), "{other}");
        assert!(other.contains("\nMessageState=undelivered\n"), "{other}");
    }
}

#[test]
fn bandwidth_tells_of_a_message_as_of_a_short_one() {
    let account = account(HttpMethod::Post);
    let Payload::Json(event) = Bandwidth.message(&account, &message(true, "text/plain")) else {
        panic!("no event");
    };
    let id = "m-3f0c5f0e6a5a4a639c3e2a0f6f3c1b11";
    let expected = serde_json::json!({
        "eventType": "sms",
        "direction": "in",
        "messageId": id,
        "messageUri": format!("http://api.example.net/v1/users/u-test1/messages/{id}"),
        "from": "sip:alice@phone.example.net",
        "to": "sip:bob@phone.example.net",
        "text": "Are you there?",
        "applicationId": "a-77qpz",
        "time": "2026-02-03T09:30:00Z",
        "state": "received",
    });
    assert_eq!(event, expected);
    let lost = Bandwidth.message(&account, &message(false, "text/plain"));
    assert!(matches!(lost, Payload::Json(event) if event["state"] == "error"));
}
