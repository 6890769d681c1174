//! A core over a store in memory, with all faces in front of it, and the case files' language.

mod matcher;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use base64::Engine as _;
use offhook_core::{
    Answer, Clock, Core, Decision, Dialects, MediaHandle, NewAccount, Settings, Signalling,
};
use serde_json::Value;
use sip::digest::{Answerer, Challenge};
use sip::{Flow, FlowId, Name, Transport};
use store::{Account, CallDirection, CallRow, Durability, SealKey, Store};
use tokio::sync::mpsc;
use tower::ServiceExt as _;

const DOMAIN: &str = "phone.example.net";
const START: &str = "2026-02-01T08:05:00Z";
const A_LEG: &str = "3f0c5f0e-6a5a-4a63-9c3e-2a0f6f3c1b11";
const B_LEG: &str = "3f0c5f0e-6a5a-4a63-9c3e-2a0f6f3c1b12";

/// Whose credentials and spelling a case file uses.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Face {
    Plivo,
    Vobiz,
    Bandwidth,
}

/// One running installation.
pub struct World {
    core: Arc<Core>,
    clock: Clock,
    _wire: mpsc::Receiver<sip::Input>,
    router: Router,
    account: Arc<Account>,
    other: Arc<Account>,
    registers: u32,
}

impl World {
    pub async fn new() -> Self {
        let config = store::Config {
            url: "sqlite::memory:".to_owned(),
            durability: Durability::Process,
            key: SealKey::random().unwrap(),
        };
        let store = Store::open(config).await.unwrap();
        let clock = standing_clock();
        let mut settings = Settings::new(DOMAIN);
        settings.app_domain = "app.example.net".to_owned();
        settings.public_url = "http://api.example.net:8080".to_owned();
        settings.own_addresses = vec![SocketAddr::from(([192, 0, 2, 1], 5060))];
        let (inbox, wire) = mpsc::channel(64);
        let signalling = Signalling {
            shards: vec![inbox],
            dialer: offhook_core::Dialer::none(),
        };
        let media = MediaHandle::new(|_| Ok(()), || ());
        let dialects = Dialects::new(dialects::dialect);
        let core = Core::start(
            settings,
            store.clone(),
            signalling,
            media,
            dialects,
            clock.clone(),
        )
        .await
        .unwrap();
        let account = core
            .directory
            .create_account(NewAccount::named("Example Ltd"))
            .await
            .unwrap();
        let other = core
            .directory
            .create_account(NewAccount::named("Other"))
            .await
            .unwrap();
        for row in calls(&account) {
            store.upsert_call(row).await.unwrap();
        }
        let router = dialects::router(Arc::clone(&core));
        Self {
            core,
            clock,
            _wire: wire,
            router,
            account,
            other,
            registers: 0,
        }
    }

    /// Puts this world's names into a case file.
    fn localize(&self, text: &str) -> String {
        [
            ("MAZZTESTACCOUNT00001", &self.account.auth_id),
            ("MAZZOTHERACCOUNT0001", &self.other.auth_id),
            ("MA_T35TACCT", &self.account.auth_id),
            ("MA_OTHERACC", &self.other.auth_id),
            ("u-test1", &self.account.bandwidth_user),
            ("u-test2", &self.other.bandwidth_user),
        ]
        .into_iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }

    /// Runs the cases of a file in order, and answers with the operations that they asked for.
    pub async fn run(&mut self, face: Face, name: &str, text: &str) -> Vec<(Method, String)> {
        let file: Value = serde_json::from_str(&self.localize(text))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut names = BTreeMap::from([("basic".to_owned(), self.basic(Face::Plivo))]);
        let mut asked = Vec::new();
        for case in file["cases"].as_array().unwrap() {
            let place = format!("{name}: {}", case["name"].as_str().unwrap());
            self.set_up(face, case["given"].as_str().unwrap_or_default(), &names)
                .await;
            let request = &case["request"];
            let path = filled(request["path"].as_str().unwrap(), &names);
            let method: Method = request["method"].as_str().unwrap().parse().unwrap();
            let got = self.ask(face, &method, &path, request, &names).await;
            check(&place, &case["response"], &got, &names);
            for (name, key) in case["save"].as_object().into_iter().flatten() {
                let key = key.as_str().unwrap();
                let found = match key.starts_with('/') {
                    true => got.json.pointer(key).unwrap_or(&Value::Null),
                    false => &got.json[key],
                };
                let value = found
                    .as_str()
                    .unwrap_or_else(|| panic!("{place}: no {key}"));
                names.insert(name.clone(), value.to_owned());
            }
            if let Some(name) = case["save_location"].as_str() {
                let location = got.headers["location"].to_str().unwrap();
                names.insert(
                    name.to_owned(),
                    location.rsplit('/').next().unwrap().to_owned(),
                );
            }
            asked.push((method, path.split('?').next().unwrap().to_owned()));
            // Lists are newest first; what is made later is newer.
            self.clock.advance(Duration::from_millis(1));
        }
        asked
    }

    fn basic(&self, face: Face) -> String {
        let pair = match face {
            Face::Plivo | Face::Vobiz => (&self.account.auth_id, &self.account.auth_token),
            Face::Bandwidth => {
                let pair = format!(
                    "{}:{}",
                    self.account.bandwidth_token.expose(),
                    self.account.bandwidth_secret.expose()
                );
                return format!(
                    "Basic {}",
                    base64::engine::general_purpose::STANDARD.encode(pair)
                );
            }
        };
        format!(
            "Basic {}",
            base64::engine::general_purpose::STANDARD.encode(format!(
                "{}:{}",
                pair.0,
                pair.1.expose()
            ))
        )
    }

    async fn ask(
        &self,
        face: Face,
        method: &Method,
        path: &str,
        request: &Value,
        names: &BTreeMap<String, String>,
    ) -> Got {
        let mut uri = path.to_owned();
        if let Some(query) = request["query"].as_object() {
            let mut form = form_urlencoded(query, names);
            form.insert(0, '?');
            uri.push_str(&form);
        }
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("api.example.net:8080"));
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        match face {
            Face::Plivo | Face::Bandwidth => {
                headers.insert("authorization", self.basic(face).parse().unwrap());
            }
            Face::Vobiz => {
                headers.insert("x-auth-id", self.account.auth_id.parse().unwrap());
                headers.insert(
                    "x-auth-token",
                    self.account.auth_token.expose().parse().unwrap(),
                );
            }
        }
        for (name, value) in request["headers"].as_object().into_iter().flatten() {
            let name: HeaderName = name.parse().unwrap();
            match value.as_str() {
                Some(value) => headers.insert(name, filled(value, names).parse().unwrap()),
                None => headers.remove(name),
            };
        }
        let body = match (
            &request["body"],
            request["raw_body"].as_str(),
            request["huge_body"].as_u64(),
        ) {
            (_, Some(raw), _) => raw.to_owned(),
            (_, _, Some(size)) => "x".repeat(size.try_into().unwrap()),
            (Value::Null, None, None) => String::new(),
            (body, None, None) => filled(&body.to_string(), names),
        };
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .body(Body::from(body))
            .unwrap();
        *request.headers_mut() = headers;
        request
            .extensions_mut()
            .insert(ConnectInfo(SocketAddr::from(([192, 0, 2, 17], 40_000))));
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let is_stream = parts
            .headers
            .get("content-type")
            .is_some_and(|kind| kind == "text/event-stream");
        let bytes = match is_stream {
            // It has no end to wait for.
            true => Default::default(),
            false => to_bytes(body, usize::MAX).await.unwrap(),
        };
        let raw = String::from_utf8(bytes.to_vec()).unwrap();
        let json = serde_json::from_str(&raw).unwrap_or_default();
        Got {
            status: parts.status.as_u16(),
            headers: parts.headers,
            raw,
            json,
        }
    }

    /// What must be true before a case; other words need no setting up.
    async fn set_up(&mut self, face: Face, given: &str, names: &BTreeMap<String, String>) {
        let (user, password) = match face {
            Face::Vobiz => ("lobby_1", "Correct#Horse9"),
            _ => (
                names.get("username").map_or("", String::as_str),
                "s3cret-pw",
            ),
        };
        match given {
            "the endpoint has sent REGISTER with Expires 3600 and a User-Agent" | "registered" => {
                self.register(user, password, "3600").await;
            }
            "a phone came with a wrong password" => {
                let answer = self.send_register(user, "3600", None).await;
                let answer = self.prove(answer, user, "wrong", "3600").await;
                assert_eq!(answer.status.0, 401);
                // What it was is found out by a task.
                for _ in 0..1000 {
                    tokio::task::yield_now().await;
                }
            }
            "the endpoint has sent REGISTER with Expires 0" => {
                self.register(user, password, "0").await
            }
            _ => {}
        }
    }

    async fn register(&mut self, user: &str, password: &str, expires: &str) {
        let challenge = self.send_register(user, expires, None).await;
        let answer = self.prove(challenge, user, password, expires).await;
        assert_eq!(answer.status.0, 200, "REGISTER of {user}");
    }

    async fn prove(
        &mut self,
        challenge: sip::Response,
        user: &str,
        password: &str,
        expires: &str,
    ) -> sip::Response {
        let value = challenge
            .headers
            .get(&Name::WwwAuthenticate)
            .expect("a challenge");
        let challenge = Challenge::parse(value).unwrap().unwrap();
        let who = Answerer {
            username: user,
            password,
            cnonce: "abc",
            count: 1,
        };
        let proof = sip::digest::answer(
            &challenge,
            who,
            &sip::Method::Register,
            &format!("sip:{DOMAIN}"),
        )
        .unwrap();
        self.send_register(user, expires, Some(proof)).await
    }

    async fn send_register(
        &mut self,
        user: &str,
        expires: &str,
        proof: Option<String>,
    ) -> sip::Response {
        self.registers += 1;
        let mut request = sip::Request::new(sip::Method::Register, format!("sip:{DOMAIN}"));
        let via = format!(
            "SIP/2.0/UDP 192.0.2.10:40312;rport;branch=z9hG4bK-{}",
            self.registers
        );
        for (name, value) in [
            (Name::Via, via),
            (Name::From, format!("<sip:{user}@{DOMAIN}>;tag=f1")),
            (Name::To, format!("<sip:{user}@{DOMAIN}>")),
            (Name::CallId, "call-1".to_owned()),
            (Name::CSeq, format!("{} REGISTER", self.registers)),
            (Name::MaxForwards, "70".to_owned()),
            (Name::Contact, format!("<sip:{user}@192.0.2.10:40312;ob>")),
            (Name::Expires, expires.to_owned()),
            (Name::UserAgent, "Softphone 5.2".to_owned()),
        ] {
            request.headers.push(name, value);
        }
        if let Some(proof) = proof {
            request.headers.push(Name::Authorization, proof);
        }
        let flow = Flow {
            transport: Transport::Udp,
            id: FlowId::NONE,
            local: SocketAddr::from(([192, 0, 2, 1], 5060)),
            remote: SocketAddr::from(([192, 0, 2, 10], 40312)),
        };
        match self
            .core
            .uas
            .request(&self.core.now(), 0, request, flow, None)
        {
            Decision::Reply(response) => response,
            Decision::Wait => {
                let registrar = &self.core.registrar;
                registrar.flush();
                let mut found = None;
                while found.is_none() {
                    registrar.committed(0).await;
                    registrar.answers(0, |_, answer| found = Some(answer));
                }
                match found {
                    Some(Answer::Response(response)) => *response,
                    other => panic!("no answer but {other:?}"),
                }
            }
            other => panic!("no answer but {other:?}"),
        }
    }
}

/// An answer, read to its end.
struct Got {
    status: u16,
    headers: HeaderMap,
    raw: String,
    json: Value,
}

fn check(place: &str, expected: &Value, got: &Got, names: &BTreeMap<String, String>) {
    let shown = format!("{place}\n  got {} {}", got.status, got.raw);
    assert_eq!(
        u64::from(got.status),
        expected["status"].as_u64().unwrap(),
        "{shown}"
    );
    if expected["empty"] == true {
        assert_eq!(got.raw, "", "{shown}");
    }
    if let Some(raw) = expected["raw"].as_str() {
        assert_eq!(got.raw, raw, "{shown}");
    }
    let exact = expected["exact"] == true;
    if let Some(body) = expected.get("body") {
        assert_eq!(got.headers["content-type"], "application/json", "{shown}");
        matcher::holds(body, &got.json, exact, names)
            .unwrap_or_else(|why| panic!("{shown}\n  {why}"));
    }
    if let Some(list) = expected.get("list") {
        matcher::holds(list, &got.json, exact, names)
            .unwrap_or_else(|why| panic!("{shown}\n  {why}"));
    }
    for key in expected["absent"].as_array().into_iter().flatten() {
        assert!(
            got.json.get(key.as_str().unwrap()).is_none(),
            "{shown}\n  {key} is there"
        );
    }
    for (name, value) in expected["headers"].as_object().into_iter().flatten() {
        let sent = got
            .headers
            .get(name)
            .map_or(Value::Null, |value| Value::from(value.to_str().unwrap()));
        matcher::holds(value, &sent, true, names)
            .unwrap_or_else(|why| panic!("{shown}\n  {name}: {why}"));
    }
    match got.status {
        401 => assert!(
            place.contains("vobiz") || got.headers.contains_key("www-authenticate"),
            "{shown}"
        ),
        405 => assert!(got.headers.contains_key("allow"), "{shown}"),
        _ => {}
    }
}

/// Puts saved values in the place of `${name}`.
fn filled(text: &str, names: &BTreeMap<String, String>) -> String {
    names.iter().fold(text.to_owned(), |text, (name, value)| {
        text.replace(&format!("${{{name}}}"), value)
    })
}

fn form_urlencoded(
    query: &serde_json::Map<String, Value>,
    names: &BTreeMap<String, String>,
) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in query {
        form.append_pair(name, &filled(value.as_str().unwrap(), names));
    }
    form.finish()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a manual clock needs one first instant"
)]
fn standing_clock() -> Clock {
    Clock::manual(call::Now {
        instant: std::time::Instant::now(),
        wall: START.parse().unwrap(),
    })
}

/// An answered leg and its busy B leg.
fn calls(account: &Account) -> [CallRow; 2] {
    let a = CallRow {
        uuid: A_LEG.parse().unwrap(),
        account: account.id,
        parent: None,
        leg: 0,
        flavor: store::Flavor::Plivo,
        direction: CallDirection::Inbound,
        from: "sip:alice240611101530@phone.example.net".to_owned(),
        to: "15550123".to_owned(),
        endpoint: None,
        application: None,
        call_id: "a@192.0.2.10".to_owned(),
        source_ip: Some([192, 0, 2, 10].into()),
        started: "2026-02-01T08:00:00Z".parse().unwrap(),
        rang: None,
        answered: Some("2026-02-01T08:00:07Z".parse().unwrap()),
        ended: Some("2026-02-01T08:00:49Z".parse().unwrap()),
        bill_duration: 42,
        billed_duration: 60,
        status: "completed".to_owned(),
        cause_code: Some(4000),
        cause_name: Some("Normal Hangup".to_owned()),
        switch_cause: Some("NORMAL_CLEARING".to_owned()),
        source: Some("callee".to_owned()),
        sip_status: Some(200),
        hangup_url: None,
        hangup_method: store::HttpMethod::Post,
        extra: Value::Null,
    };
    let b = CallRow {
        uuid: B_LEG.parse().unwrap(),
        parent: Some(a.uuid),
        leg: 1,
        direction: CallDirection::Outbound,
        call_id: "b@192.0.2.1".to_owned(),
        source_ip: None,
        answered: None,
        ended: Some("2026-02-01T08:00:03Z".parse().unwrap()),
        bill_duration: 0,
        billed_duration: 0,
        status: "busy".to_owned(),
        cause_code: Some(3010),
        cause_name: Some("Busy Line".to_owned()),
        switch_cause: Some("USER_BUSY".to_owned()),
        source: Some("platform".to_owned()),
        sip_status: Some(486),
        ..a.clone()
    };
    [a, b]
}
