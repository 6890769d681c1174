//! What customers' documents turn into: voice-xml.md §1.2–1.7, §4.6, §4.10, §4.11; bandwidth-v1.md §7.4.

use std::time::Duration;

use call::{
    Dial, Document, Hangup, HangupReason, HttpMethod, Link, Redirect, Target, TargetKind, Verb,
};
use dialects::bandwidth::Bandwidth;
use dialects::plivo::Plivo;
use dialects::vobiz::Vobiz;
use offhook_core::{Dialect, DocumentError};

const BASE: &str = "https://app.example/voice/start?x=1";

fn read(dialect: &dyn Dialect, body: &str) -> Result<Vec<Verb>, String> {
    match dialect.document(body.as_bytes(), Some("text/plain"), BASE) {
        Ok(Document { verbs }) => Ok(verbs),
        Err(DocumentError::Xml(why) | DocumentError::Url(why) | DocumentError::Method(why)) => {
            Err(why)
        }
    }
}

fn response(dialect: &dyn Dialect, inside: &str) -> Result<Vec<Verb>, String> {
    read(dialect, &format!("<Response>{inside}</Response>"))
}

fn one_dial(dialect: &dyn Dialect, inside: &str) -> Dial {
    match response(dialect, inside).as_deref() {
        Ok([Verb::Dial(dial)]) => dial.clone(),
        other => panic!("{inside}: {other:?}"),
    }
}

fn target(kind: TargetKind) -> Target {
    Target {
        kind,
        caller_id: None,
        caller_name: None,
        sip_headers: Vec::new(),
    }
}

fn number(digits: &str) -> Target {
    target(TargetKind::Number(digits.to_owned()))
}

fn link(url: &str, method: HttpMethod) -> Option<Link> {
    Some(Link {
        url: url.to_owned(),
        method,
    })
}

fn dial(targets: Vec<Target>) -> Dial {
    Dial {
        targets,
        timeout: Duration::from_secs(120),
        time_limit: Duration::from_secs(14_400),
        caller_id: None,
        caller_name: None,
        action: None,
        redirect: true,
        callback: None,
        sip_headers: Vec::new(),
        early_media: false,
        direct: false,
    }
}

#[test]
fn a_dial_is_read_whole() {
    let document = r#"<Dial action="/done/" method="get" redirect="false" timeout="30" timeLimit="600" callerId="15550100"
        callerName="Example" callbackUrl="https://b.example/cb#rc=2" callbackMethod="POST" dialMusic="real"
        sipHeaders="Team=blue,Plivo-x=1,zt-y=2,Two=a%20b,Bad=a%0Ab,=x,ClientRegion=eu,clientregion=eu" unknown="1">
          <Number sendDigits="1" callerId="none"> +15550123,,9 </Number>
          <User sipHeaders="Own=1">sip:bob@phone.example.net;transport=tcp</User>
          <Nothing/>
        </Dial>"#;
    let expected = Dial {
        timeout: Duration::from_secs(30),
        time_limit: Duration::from_secs(600),
        caller_id: Some("15550100".into()),
        caller_name: Some("Example".into()),
        action: link("https://app.example/done/", HttpMethod::Get),
        redirect: false,
        callback: link("https://b.example/cb#rc=2", HttpMethod::Post),
        sip_headers: vec![
            ("X-PH-Team".into(), "blue".into()),
            ("X-PH-Two".into(), "a b".into()),
            ("X-PH-clientregion".into(), "eu".into()),
        ],
        early_media: true,
        ..dial(vec![
            Target {
                caller_id: Some("none".into()),
                ..number("+15550123")
            },
            Target {
                sip_headers: vec![("X-PH-Own".into(), "1".into())],
                ..target(TargetKind::User(
                    "sip:bob@phone.example.net;transport=tcp".into(),
                ))
            },
        ])
    };
    assert_eq!(one_dial(&Plivo, document), expected);
    let vobiz = one_dial(&Vobiz, "<Dial sipHeaders='a=1'>+14155550100</Dial>");
    let expected = Dial {
        sip_headers: vec![("X-VH-a".into(), "1".into())],
        early_media: true,
        ..dial(vec![number("+14155550100")])
    };
    assert_eq!(vobiz, expected);
}

#[test]
fn attributes_are_read_as_loosely_as_the_contract_says() {
    let limits = |attributes: &str| {
        let dial = one_dial(
            &Plivo,
            &format!("<Dial {attributes}><Number>1</Number></Dial>"),
        );
        (
            dial.timeout.as_secs(),
            dial.time_limit.as_secs(),
            dial.redirect,
        )
    };
    assert_eq!(limits(""), (120, 14_400, true));
    assert_eq!(
        limits("timeout='' timeLimit='' redirect=''"),
        (120, 14_400, true)
    );
    assert_eq!(limits("timeout='soon' timeLimit='-1'"), (120, 14_400, true));
    assert_eq!(
        limits("timeLimit='0' redirect='True'"),
        (120, 14_400, false)
    );
    assert_eq!(limits("timeLimit='86400' timeout=' 5 '"), (5, 86_400, true));
    assert_eq!(limits("timeLimit='99999999999'"), (120, 86_400, true));
    assert_eq!(one_dial(&Plivo, "<Dial/>"), dial(Vec::new()));
    assert_eq!(one_dial(&Plivo, "<Dial></Dial>"), dial(Vec::new()));
    assert_eq!(
        one_dial(&Plivo, "<Dial><Number>1|2</Number></Dial>"),
        dial(vec![number("1")])
    );
    let long = "x".repeat(60);
    let named = one_dial(
        &Plivo,
        &format!("<Dial callerName='{long}'><Number>1</Number></Dial>"),
    );
    assert_eq!(named.caller_name.map(|name| name.len()), Some(50));
}

#[test]
fn hangup_and_redirect_are_read_whole() {
    let hangup = |reason, schedule: Option<u64>| {
        Verb::Hangup(Hangup {
            reason,
            schedule: schedule.map(Duration::from_secs),
        })
    };
    let redirect = |url: &str, method| {
        Verb::Redirect(Redirect {
            link: Link {
                url: url.into(),
                method,
            },
        })
    };
    let table = [
        ("<Hangup/>", vec![hangup(None, None)]),
        (
            "<Hangup reason='busy'/>",
            vec![hangup(Some(HangupReason::Busy), None)],
        ),
        (
            "<Hangup reason='Rejected' schedule='60'/>",
            vec![hangup(Some(HangupReason::Rejected), Some(60))],
        ),
        (
            "<Hangup reason='tired' schedule='0'/>",
            vec![hangup(None, None)],
        ),
        ("<Hangup schedule='soon'/>", vec![]),
        (
            "<Redirect>https://b.example/x?a=1&amp;b=2</Redirect>",
            vec![redirect("https://b.example/x?a=1&b=2", HttpMethod::Post)],
        ),
        (
            "<Redirect method='GET'> next </Redirect>",
            vec![redirect("https://app.example/voice/next", HttpMethod::Get)],
        ),
        (
            "<Redirect>ftp://b.example/x</Redirect>",
            vec![redirect("ftp://b.example/x", HttpMethod::Post)],
        ),
        ("", vec![]),
        ("text <!-- and a comment -->", vec![]),
    ];
    for dialect in [&Plivo as &dyn Dialect, &Vobiz] {
        for (inside, expected) in &table {
            assert_eq!(response(dialect, inside).as_ref(), Ok(expected), "{inside}");
        }
    }
}

#[test]
fn a_bad_element_spoils_the_whole_document() {
    let table = [
        (
            "<Dial><Number>1</Number></Dial><Reject/>",
            "Reject is not an element of Response",
        ),
        (
            "<Dial><Number>1</Number></Dial><dial/>",
            "dial is not an element of Response",
        ),
        (
            "<Hangup/><Speak>hello</Speak>",
            "Speak is not supported by this server",
        ),
        ("<Play>x.mp3</Play>", "Play is not supported by this server"),
        ("<GetDigits/>", "GetDigits is not supported by this server"),
        ("<Gather/>", "Gather is not supported by this server"),
        (
            "<Conference>room</Conference>",
            "Conference is not supported by this server",
        ),
        (
            "<Dial><Record/></Dial>",
            "Record inside Dial is not supported by this server",
        ),
        ("<Dial><Number/></Dial>", "Number: body is not valid"),
        (
            "<Dial><Number> ,1 </Number></Dial>",
            "Number: body is not valid",
        ),
        ("<Dial><User> </User></Dial>", "User: body is not valid"),
        (
            "<Dial timeout='0'><Number>1</Number></Dial>",
            "Dial: timeout is not valid",
        ),
        (
            "<Dial method='PUT'><Number>1</Number></Dial>",
            "Dial: method is not valid",
        ),
        (
            "<Dial callbackMethod='x'><Number>1</Number></Dial>",
            "Dial: callbackMethod is not valid",
        ),
        ("<Redirect/>", "Redirect: body is not valid"),
        (
            "<Redirect method='PUT'>x</Redirect>",
            "Redirect: method is not valid",
        ),
    ];
    for dialect in [&Plivo as &dyn Dialect, &Vobiz] {
        for (inside, why) in table {
            assert_eq!(response(dialect, inside), Err(why.to_owned()), "{inside}");
        }
        assert_eq!(read(dialect, ""), Err("the body is empty".into()));
        assert_eq!(
            read(dialect, "<Reply/>"),
            Err("the root element is Reply, not Response".into())
        );
        assert!(
            read(dialect, "{\"a\":1}").is_err_and(|why| why.starts_with("XML Parsing Error: "))
        );
    }
}

#[test]
fn bxml_is_read_whole() {
    let transfer = |targets| Dial {
        timeout: Duration::from_secs(60),
        time_limit: Duration::from_secs(86_400),
        early_media: true,
        ..dial(targets)
    };
    let user = |uri: &str| target(TargetKind::User(uri.to_owned()));
    let document = "<Transfer transferTo='sip:bob@acme.example' transferCallerId='private' callTimeout='30' requestUrl='/next'>\
        <PhoneNumber> +15005550123 </PhoneNumber><PhoneNumber>bob@acme.example</PhoneNumber></Transfer>";
    let expected = Dial {
        timeout: Duration::from_secs(30),
        caller_id: Some("none".into()),
        action: link("https://app.example/next", HttpMethod::Get),
        ..transfer(vec![
            user("sip:bob@acme.example"),
            number("+15005550123"),
            user("sip:bob@acme.example"),
        ])
    };
    assert_eq!(one_dial(&Bandwidth, document), expected);
    assert_eq!(
        one_dial(&Bandwidth, "<Transfer transferTo='1' callTimeout='999'/>")
            .timeout
            .as_secs(),
        300
    );
    let verbs = response(
        &Bandwidth,
        "<Redirect requestUrl='x' requestUrlTimeout='1'/><Hangup/>",
    );
    let url = "https://app.example/voice/x".to_owned();
    let expected = vec![
        Verb::Redirect(Redirect {
            link: Link {
                url,
                method: HttpMethod::Get,
            },
        }),
        Verb::Hangup(Hangup {
            reason: None,
            schedule: None,
        }),
    ];
    assert_eq!(verbs, Ok(expected));
    let eight = format!(
        "<Transfer>{}</Transfer>",
        "<PhoneNumber>1</PhoneNumber>".repeat(8)
    );
    let table = [
        ("<Transfer/>", "Transfer: transferTo is not valid"),
        (eight.as_str(), "Transfer: PhoneNumber is not valid"),
        (
            "<Transfer transferTo='1'><Record/></Transfer>",
            "Record inside Transfer is not supported by this server",
        ),
        ("<Redirect/>", "Redirect: requestUrl is not valid"),
        (
            "<SpeakSentence>x</SpeakSentence>",
            "SpeakSentence is not supported by this server",
        ),
        ("<Dial/>", "Dial is not an element of Response"),
    ];
    for (inside, why) in table {
        assert_eq!(
            response(&Bandwidth, inside),
            Err(why.to_owned()),
            "{inside}"
        );
    }
    assert!(
        read(
            &Bandwidth,
            &format!("<Response>{}</Response>", " ".repeat(17 * 1024))
        )
        .is_err()
    );
}
