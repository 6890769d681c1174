//! A core over a store in memory, with the wire, the plane's sockets and the customer's HTTP server in the test's hands.

#![expect(dead_code, reason = "each test file uses a part of it")]

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use call::{About, Document, Now, Occasion};
use offhook_core::{
    AccountFacts, Answer, Clock, Core, Decision, DeliveryProfile, Dialect, Dialects, DocumentError,
    EndpointView, Flavor, MediaHandle, MessageFacts, NewAccount, NewApplication, NewEndpoint,
    Payload, Permissions, RegistrationEvent, Ring, Settings, Signalling, TrunkEvent,
};
use rand_chacha::ChaCha12Rng;
use sip::digest::{self, Answerer, Challenge};
use sip::{
    Command, Flow, FlowId, Method, Name, Request, Response, SessionId, Status, SubscriptionId,
    Terms, Transport,
};
use store::{Durability, SealKey, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub const DOMAIN: &str = "sip.example.net";
pub const PASSWORD: &str = "correct horse";
const START: &str = "2026-01-02T03:04:05Z";

/// Reads an answer that is written.
pub fn read_response(bytes: &[u8]) -> Response {
    let bytes = bytes::Bytes::copy_from_slice(bytes);
    match sip::Message::parse(bytes, sip::Framing::Datagram) {
        Ok(sip::Message::Response(response)) => response,
        other => panic!("no answer but {other:?}"),
    }
}

/// Answers as compact text, so that a test compares all of one.
pub fn shown(response: &Response) -> String {
    let mut lines = vec![format!("{} {}", response.status.0, response.reason)];
    for header in response.headers.iter() {
        lines.push(mask(&header.to_string()));
    }
    lines.join("\n")
}

/// Hides what is random: nonces and tags.
pub fn mask(text: &str) -> String {
    let mut shown = text.to_owned();
    for (before, after) in [("nonce=\"", '"'), (";tag=", '\r')] {
        if let Some(at) = shown.find(before) {
            let value = at + before.len();
            let end = shown[value..]
                .find(after)
                .map_or(shown.len(), |end| value + end);
            shown.replace_range(value..end, "*");
        }
    }
    shown
}

/// Waits until a condition holds; fails after ten seconds.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut condition: impl FnMut() -> F,
) -> T {
    let waiting = async {
        loop {
            if let Some(value) = condition().await {
                return value;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting)
        .await
        .unwrap_or_else(|_| panic!("in vain: {what}"))
}

pub fn udp(port: u16) -> Flow {
    Flow {
        transport: Transport::Udp,
        id: FlowId::NONE,
        local: SocketAddr::from(([192, 0, 2, 1], 5060)),
        remote: SocketAddr::from(([198, 51, 100, 7], port)),
    }
}

pub fn websocket(id: u64) -> Flow {
    Flow {
        transport: Transport::Ws,
        id: FlowId(id),
        ..udp(40_000)
    }
}

/// What came of a request.
#[derive(Debug)]
pub enum Outcome {
    Reply(Response),
    Silence,
    Accept(SessionId),
    Subscribe(SubscriptionId, Terms),
}

impl Outcome {
    pub fn status(&self) -> u16 {
        match self {
            Outcome::Reply(response) => response.status.0,
            Outcome::Silence => 0,
            Outcome::Accept(_) => 100,
            Outcome::Subscribe(..) => 200,
        }
    }

    pub fn reply(self) -> Response {
        match self {
            Outcome::Reply(response) => response,
            other => panic!("no reply but {other:?}"),
        }
    }
}

pub struct World {
    pub core: Arc<Core>,
    pub store: Store,
    pub clock: Clock,
    pub account: Arc<store::Account>,
    pub wire: mpsc::Receiver<sip::Input>,
    settings: Settings,
}

pub fn settings() -> Settings {
    let mut settings = Settings::new(DOMAIN);
    settings.own_addresses = vec![SocketAddr::from(([192, 0, 2, 1], 5060))];
    settings.egress.allow = vec!["127.0.0.1/32".parse().expect("a network")];
    settings
}

#[expect(
    clippy::disallowed_methods,
    reason = "a manual clock needs one first instant"
)]
pub fn standing_clock() -> Clock {
    Clock::manual(Now {
        instant: std::time::Instant::now(),
        wall: START.parse().expect("a time"),
    })
}

impl World {
    pub async fn new() -> Self {
        Self::with(settings(), standing_clock()).await
    }

    pub async fn with(settings: Settings, clock: Clock) -> Self {
        let config = store::Config {
            url: "sqlite::memory:".into(),
            durability: Durability::Process,
            key: SealKey::random().expect("a key"),
        };
        let store = Store::open(config).await.expect("a store");
        let (core, wire) = start(&settings, &store, &clock).await;
        let account = core
            .directory
            .create_account(NewAccount::named("first"))
            .await
            .expect("an account");
        World {
            core,
            store,
            clock,
            account,
            wire,
            settings,
        }
    }

    /// Stops the core and starts another one over the same store.
    pub async fn restart(&mut self) {
        self.core.stop().await;
        (self.core, self.wire) = start(&self.settings, &self.store, &self.clock).await;
    }

    pub async fn direct_dial(&self) -> Arc<store::Application> {
        let application = NewApplication::direct_dial("direct");
        self.core
            .directory
            .create_application(&self.account, application)
            .await
            .expect("an application")
    }

    pub async fn endpoint(&self, user: &str) -> EndpointView {
        self.endpoint_with(user, |_| ()).await
    }

    pub async fn endpoint_with(
        &self,
        user: &str,
        change: impl FnOnce(&mut NewEndpoint),
    ) -> EndpointView {
        let mut new = NewEndpoint {
            flavor: Flavor::Plivo,
            domain: None,
            user: user.into(),
            append_digits: false,
            label: user.into(),
            description: None,
            password: PASSWORD.into(),
            application: None,
            default_application: true,
            enabled: true,
            ring: Ring::Latest,
            permissions: Permissions::default(),
        };
        change(&mut new);
        self.core
            .directory
            .create_endpoint(&self.account, new)
            .await
            .expect("an endpoint")
    }

    /// Sends a request and waits for its answer when that comes after a commit.
    pub async fn send(&mut self, request: &Request, flow: Flow) -> Outcome {
        match self
            .core
            .uas
            .request(&self.core.now(), 0, request.clone(), flow, None)
        {
            Decision::Reply(response) => Outcome::Reply(response),
            Decision::Silence => Outcome::Silence,
            Decision::Accept(session) => Outcome::Accept(session),
            Decision::Serve(response) => Outcome::Reply(response),
            Decision::Subscribe {
                subscription,
                terms,
                ..
            } => Outcome::Subscribe(subscription, terms),
            Decision::Hold(id) => match self.command().await {
                Command::Respond {
                    id: answered,
                    response,
                } if answered == id => Outcome::Reply(response),
                other => panic!("no answer but {other:?}"),
            },
            Decision::Wait => Outcome::Reply(self.answer().await),
        }
    }

    /// Sends a request, proves the password to the challenge, and sends it again.
    pub async fn send_as(
        &mut self,
        user: &str,
        password: &str,
        request: &Request,
        flow: Flow,
    ) -> Outcome {
        let challenge = self.send(request, flow).await.reply();
        let proof = prove(&challenge, user, password, 1, request);
        self.send(&with_proof(request, proof), flow).await
    }

    /// The next answer that waited for its commit.
    pub async fn answer(&mut self) -> Response {
        let registrar = &self.core.registrar;
        registrar.flush();
        let mut found = None;
        while found.is_none() {
            let told = tokio::time::timeout(Duration::from_secs(10), registrar.committed(0)).await;
            told.expect("a commit in time");
            registrar.answers(0, |_, answer| found = Some(answer));
        }
        match found.expect("an answer") {
            Answer::Response(response) => *response,
            Answer::Written(bytes) => read_response(&bytes),
        }
    }

    /// The next command for the stack.
    pub async fn command(&mut self) -> Command {
        let next = tokio::time::timeout(Duration::from_secs(10), self.wire.recv()).await;
        match next.expect("a command in time").expect("a live core") {
            sip::Input::Command(command) => command,
            other => panic!("no command but {other:?}"),
        }
    }

    pub fn bindings(&self, endpoint: &EndpointView) -> Vec<store::Binding> {
        self.core
            .registrar
            .location()
            .bindings(endpoint.endpoint.id, self.clock.now().wall)
    }
}

async fn start(
    settings: &Settings,
    store: &Store,
    clock: &Clock,
) -> (Arc<Core>, mpsc::Receiver<sip::Input>) {
    let (inbox, wire) = mpsc::channel(1024);
    let signalling = Signalling {
        shards: vec![inbox],
        dialer: offhook_core::Dialer::none(),
    };
    let told: Arc<OnceLock<offhook_core::Calls>> = Arc::default();
    let media = plane(Arc::clone(&told));
    let dialects = Dialects::new(|_| Arc::new(Words));
    let core = Core::start(
        settings.clone(),
        store.clone(),
        signalling,
        media,
        dialects,
        clock.clone(),
    )
    .await
    .expect("a core");
    let _ = told.set(core.calls.clone());
    (core, wire)
}

/// The real plane; its sockets are numbers.
#[expect(
    clippy::disallowed_methods,
    reason = "the plane's owner reads the clock"
)]
fn plane(told: Arc<OnceLock<offhook_core::Calls>>) -> MediaHandle {
    let config = media::Config {
        address: [192, 0, 2, 1].into(),
        silence_after: Duration::from_secs(60),
        max_sessions: 100,
    };
    let random: ChaCha12Rng = rand::SeedableRng::seed_from_u64(1);
    let plane = Mutex::new(media::Plane::new(config, random));
    let send = move |command| {
        let now = std::time::Instant::now();
        let mut plane = plane.lock().expect("the plane");
        plane.handle(now, media::Input::Command(command));
        while let Some(output) = plane.poll_output() {
            match output {
                media::Output::OpenPorts { session, rtp, .. } => {
                    let rtp = 20_000 + 2 * u16::try_from(rtp.0).expect("few ports");
                    plane.handle(
                        now,
                        media::Input::Ports {
                            session,
                            rtp,
                            rtcp: rtp + 1,
                        },
                    );
                }
                media::Output::Event(event) => told.get().expect("a core").media_event(event),
                media::Output::ClosePorts { .. } => (),
            }
        }
        Ok(())
    };
    MediaHandle::new(send, || ())
}

/// A dialect of few words.
struct Words;

impl Dialect for Words {
    fn payload(&self, account: &AccountFacts, about: &About, occasion: &Occasion) -> Payload {
        let event = match occasion {
            Occasion::StartApp => "StartApp".to_owned(),
            Occasion::Hangup(cdr) => format!("Hangup {}", cdr.cause.code()),
            other => format!("{other:?}"),
        };
        let fields = [
            ("To", about.to.as_str()),
            ("From", &about.from),
            ("Event", &event),
            ("Auth", &account.auth_id),
        ];
        Payload::Form(
            fields
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
        )
    }

    fn trunk(&self, account: &AccountFacts, event: &TrunkEvent) -> Payload {
        let reason = event.reason.clone().unwrap_or_default();
        let fields = [
            ("Event", event.kind.name()),
            ("Trunk", &event.name),
            ("Reason", &reason),
            ("Auth", &account.auth_id),
        ];
        Payload::Form(
            fields
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        )
    }

    fn registration(&self, account: &AccountFacts, event: &RegistrationEvent) -> Payload {
        let reason = event.reason.map_or("", |cause| cause.name());
        let fields = [
            ("Event", event.kind.name()),
            ("User", &event.user),
            ("Reason", reason),
            ("Auth", &account.auth_id),
        ];
        Payload::Form(
            fields
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        )
    }

    fn message(&self, _: &AccountFacts, message: &MessageFacts) -> Payload {
        let state = if message.delivered { "taken" } else { "nobody" };
        let fields = [
            ("To", message.to.as_str()),
            ("From", &message.from),
            ("Text", &message.text),
            ("State", state),
        ];
        Payload::Form(
            fields
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
        )
    }

    fn document(&self, body: &[u8], _: Option<&str>, _: &str) -> Result<Document, DocumentError> {
        match body {
            b"<Response/>" => Ok(Document { verbs: Vec::new() }),
            _ => match dialled(body) {
                Some(dial) => Ok(Document {
                    verbs: vec![call::Verb::Dial(dial)],
                }),
                None => Err(DocumentError::Xml("unknown".into())),
            },
        }
    }

    fn profile(&self) -> DeliveryProfile {
        DeliveryProfile {
            connect: Duration::from_secs(2),
            read: Duration::from_secs(5),
            retries: 1,
            user_agent: "Offhook",
        }
    }
}

/// Reads `<Response><Dial>somebody</Dial></Response>`.
fn dialled(body: &[u8]) -> Option<call::Dial> {
    let text = std::str::from_utf8(body).ok()?;
    let text = text.strip_prefix("<Response><Dial>")?;
    let whom = text.strip_suffix("</Dial></Response>")?;
    let target = call::Target {
        kind: call::TargetKind::User(whom.to_owned()),
        caller_id: None,
        caller_name: None,
        sip_headers: Vec::new(),
    };
    Some(call::Dial {
        targets: vec![target],
        timeout: Duration::from_secs(30),
        time_limit: Duration::from_secs(3600),
        caller_id: None,
        caller_name: None,
        action: None,
        redirect: false,
        callback: None,
        sip_headers: Vec::new(),
        early_media: false,
        direct: false,
    })
}

/// A request as a phone sends it; `serial` makes branch and CSeq.
pub fn request(method: Method, uri: &str, from: &str, to: &str, serial: u32) -> Request {
    let mut request = Request::new(method.clone(), uri);
    let via = format!("SIP/2.0/UDP 10.0.0.5:5060;rport;branch=z9hG4bK-{serial}");
    request.headers.push(Name::Via, via);
    request.headers.push(Name::From, format!("<{from}>;tag=f1"));
    request.headers.push(Name::To, format!("<{to}>"));
    request.headers.push(Name::CallId, "call-1");
    request
        .headers
        .push(Name::CSeq, format!("{serial} {method}"));
    request.headers.push(Name::MaxForwards, "70");
    request
}

pub fn address(user: &str) -> String {
    format!("sip:{user}@{DOMAIN}")
}

/// A REGISTER of one's own address.
pub fn register(user: &str, serial: u32, contact: &str) -> Request {
    let uri = format!("sip:{DOMAIN}");
    let mut request = request(
        Method::Register,
        &uri,
        &address(user),
        &address(user),
        serial,
    );
    if !contact.is_empty() {
        request.headers.push(Name::Contact, contact);
    }
    request
}

pub const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n\
    m=audio 40000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n";

pub fn invite(from: &str, to: &str, serial: u32) -> Request {
    let mut request = request(Method::Invite, to, from, to, serial);
    request
        .headers
        .push(Name::Contact, "<sip:phone@198.51.100.7:5060>");
    request.headers.push(Name::ContentType, "application/sdp");
    request.body = OFFER.into();
    request
}

/// The value that proves a password to a challenge.
pub fn prove(
    challenge: &Response,
    user: &str,
    password: &str,
    count: u32,
    request: &Request,
) -> String {
    let name = match challenge.status {
        Status::UNAUTHORIZED => Name::WwwAuthenticate,
        _ => Name::ProxyAuthenticate,
    };
    let value = challenge
        .headers
        .get(&name)
        .unwrap_or_else(|| panic!("no challenge: {}", shown(challenge)));
    let challenge = Challenge::parse(value)
        .expect("a challenge")
        .expect("a digest");
    let who = Answerer {
        username: user,
        password,
        cnonce: "abc",
        count,
    };
    digest::answer(&challenge, who, &request.method, &request.uri).expect("a known algorithm")
}

pub fn with_proof(request: &Request, proof: impl Into<sip::Text>) -> Request {
    let mut request = request.clone();
    let name = match request.method {
        Method::Register => Name::Authorization,
        _ => Name::ProxyAuthorization,
    };
    request.headers.set(name, proof);
    request
}

/// A customer's HTTP server.
pub struct Customer {
    pub base: String,
    pub requests: mpsc::Receiver<String>,
    _server: JoinSet<()>,
}

impl Customer {
    /// Answers each request with what `answer` makes of its first line; an empty answer hangs.
    pub async fn new(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let (seen, requests) = mpsc::channel(100);
        let answer = Arc::new(answer);
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let (seen, answer) = (seen.clone(), Arc::clone(&answer));
                connections.spawn(async move {
                    let request = read_request(&mut stream).await;
                    let line = request.lines().next().unwrap_or_default().to_owned();
                    let _ = seen.send(request).await;
                    let bytes = answer(&line);
                    if bytes.is_empty() {
                        std::future::pending::<()>().await;
                    }
                    let _ = stream.write_all(&bytes).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        Customer {
            base,
            requests,
            _server: server,
        }
    }

    pub async fn request(&mut self) -> String {
        let next = tokio::time::timeout(Duration::from_secs(10), self.requests.recv()).await;
        next.expect("a request in time").expect("a server")
    }
}

async fn read_request(stream: &mut tokio::net::TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.trim().parse().ok())?
            });
            if body.len() >= length.unwrap_or(0_usize) {
                return text;
            }
        }
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return text,
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
        }
    }
}

pub fn http(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut bytes = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n"
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}
