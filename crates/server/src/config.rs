//! The configuration: one structure whose doc comments are the manual (`cargo xtask docs` makes docs/configuration.md of
//! them) and whose defaults are one TOML text. How the layers are read is in `load.rs`.

mod load;
mod ports;
mod settings;

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use self::load::{ConfigError, Layers};
pub use self::ports::PortRange;

/// Signalling threads that there may be: the journal knows whom to tell by a bit.
const MOST_SHARDS: u8 = 64;

/// The lowest layer: every key with its default. A key that is not here does not exist.
pub const DEFAULTS: &str = r#"
log = "info"
drain_seconds = 30

[http]
listen = "127.0.0.1:8080"
public_url = ""

[sip]
udp = ["127.0.0.1:5060"]
tcp = ["127.0.0.1:5060"]
tls = []
ws = []
wss = []
origins = []
domains = ["offhook.localhost"]
aliases = ["phone.plivo.com", "sip.vobiz.ai", "registrar.vobiz.ai"]
app_domain = ""
shards = 0
min_expires = 60
default_expires = 3600
max_expires = 7200
max_bindings = 10
flow_timer = 120
session_expires = 1800
ping_seconds = 0
ping_misses = 3
proxies = []
service_route = []
digest = "MD5"
bind_nonces = true
nonce_seconds = 120
refused_user_agents = "VaxSIPUserAgent|Ozeki"

[tls]
certificate = ""
key = ""
authorities = ""

[acme]
names = []
directory = "https://acme-v02.api.letsencrypt.org/directory"
terms_agreed = false
contact = ""
listen = "0.0.0.0:80"
authorities = ""

[proxies]
announcing = []
forwarding = []

[calls]
redirects = "own"
trusted_peers = []

[media]
ip = "127.0.0.1"
ports = "20000-29999"
silence_seconds = 60

[store]
url = "sqlite:./offhook-data/offhook.db"
durability = "power"
key = ""
key_file = ""

[events]
subscriptions = 10000
subscriptions_per_endpoint = 500
publications = 10000
min_expires = 60
max_expires = 3600

[messages]
max_bytes = 4096
per_minute = 60

[egress]
allow = []

[plivo]
password_md5 = true

[trunks]
default = ""
country_code = ""
patience_seconds = 5
dns_server = ""

[abuse]
score = 10
per_minute = 10
silence_seconds = 60
max_silence_seconds = 3600
exempt = []
scanners = "friendly-scanner|friendly-request|sipvicious|sundayddr|sipcli|sip-scan|pplsip|sipsak|iWar|VaxIPUserAgent"

[limits]
transactions = 500000
calls = 10000
connections = 20000
connections_per_address = 1024
requests_per_second = 0
body_bytes = 1048576
fetch_bytes = 100000
fetch_seconds = 60
"#;

/// The whole configuration.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What is logged, to standard error: `error`, `warn`, `info`, `debug`, `trace`, or a list by module such as
    /// `info,sip=debug`. Credentials are never logged; numbers and addresses only from `debug` on.
    pub log: String,
    /// How long calls in progress may go on after SIGTERM before they are ended with BYE. New calls are refused at once;
    /// with no call in progress the program ends at once.
    pub drain_seconds: u64,
    /// See the section.
    pub http: Http,
    /// See the section.
    pub sip: Sip,
    /// See the section.
    pub tls: Tls,
    /// See the section.
    pub acme: Acme,
    /// See the section.
    pub proxies: Proxies,
    /// See the section.
    pub calls: Calls,
    /// See the section.
    pub media: Media,
    /// See the section.
    pub store: Store,
    /// See the section.
    pub events: Events,
    /// See the section.
    pub messages: Messages,
    /// See the section.
    pub egress: Egress,
    /// See the section.
    pub plivo: Plivo,
    /// See the section.
    pub trunks: Trunks,
    /// See the section.
    pub abuse: Abuse,
    /// See the section.
    pub limits: Limits,
}

/// The REST interface, `GET /health`, and SIP over WebSocket at `/sip`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Address to listen on. Port 0 takes a free one; the one in use is in the ready line and in `GET /health`.
    pub listen: SocketAddr,
    /// How customers reach this server from outside, for links in answers, such as `https://voice.example.com`. Empty:
    /// `http://` and the address in use.
    pub public_url: String,
}

/// Signalling.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Sip {
    /// Addresses for SIP over UDP. Port 0 takes a free one, and the same number is taken for an entry of `sip.tcp` with
    /// the same IP and port 0.
    pub udp: Vec<SocketAddr>,
    /// Addresses for SIP over TCP.
    pub tcp: Vec<SocketAddr>,
    /// Addresses for SIP over TLS, versions 1.2 and 1.3; usually port 5061.
    pub tls: Vec<SocketAddr>,
    /// Further addresses that serve SIP over WebSocket (RFC 7118) and nothing else, at any path. The HTTP listener serves
    /// it at `/sip` in any case.
    pub ws: Vec<SocketAddr>,
    /// Addresses that serve SIP over WebSocket under TLS, at any path: what a page that came by HTTPS may connect to.
    pub wss: Vec<SocketAddr>,
    /// Origins of the web pages that may open WebSockets, such as `https://phone.example.com`; a page of another origin is
    /// answered 403. Empty: all. Clients that are no browsers name none, and may connect in any case.
    pub origins: Vec<String>,
    /// The first entry is the installation's own SIP domain, which the first account gets; it is stored with that account
    /// and names the digest realm. Further entries are aliases, in addition to `sip.aliases`.
    pub domains: Vec<String>,
    /// Domains under which phones of the vendors' customers look for their registrar. In them only a user name that
    /// exactly one domain has is found. Replace the list to drop the built-in ones.
    pub aliases: Vec<String>,
    /// The domain of application addresses (`sip:{application}@…`). Empty: `app.` and the own domain.
    pub app_domain: String,
    /// Threads for signalling, 64 at most. 0: one for each processor.
    pub shards: u8,
    /// The shortest registration that is granted, in seconds; a shorter wish is answered 423 (RFC 3261 §10.3).
    pub min_expires: u32,
    /// Seconds granted to a phone that names no expiry.
    pub default_expires: u32,
    /// The longest registration that is granted, in seconds; a longer wish is cut to it.
    pub max_expires: u32,
    /// Phones (bindings) that one endpoint may have at a time.
    pub max_bindings: usize,
    /// Seconds after which a phone that registers by RFC 5626 (outbound) over TCP, TLS or WebSocket is to ping its connection;
    /// it is told in `Flow-Timer`. 0 leaves the interval to the phone.
    pub flow_timer: u32,
    /// Seconds between two signs of life of a call that phones which know session timers (RFC 4028) are asked for; a call
    /// whose phone misses one is ended. At least 90; 0 asks for none and grants what phones ask for.
    pub session_expires: u32,
    /// How often each registered phone is asked whether it is there, in seconds: by OPTIONS over UDP, by a double CRLF over TCP
    /// and TLS; rounded up to tens of seconds. 0: never, unless a policy says so. (WebSockets are always pinged by their own means.)
    pub ping_seconds: u32,
    /// Pings in a row that a phone may leave unanswered. After one more it is shown as unreachable and not called while another
    /// phone of its endpoint answers; its next answer or REGISTER brings it back.
    pub ping_misses: u32,
    /// Networks, in CIDR notation, of SIP proxies and load balancers that phones register through. Only from them a `Path`
    /// (RFC 3327) may lead to another address than the one that the REGISTER came from, and only through them a phone
    /// need not know the extension.
    pub proxies: Vec<IpNet>,
    /// `Service-Route` (RFC 3608) in the answer to REGISTER: what phones route their requests through, nearest first, each
    /// like `<sip:edge.example.com;lr>`. Empty: none is sent.
    pub service_route: Vec<String>,
    /// Algorithm of digest challenges: `MD5`, `SHA-256` or `SHA-512-256` (RFC 8760). A challenge offers exactly one, and many
    /// phones know `MD5` only.
    pub digest: DigestAlgorithm,
    /// Whether a nonce is good for the address only that it was made for. Off where phones change their address between
    /// challenge and answer; accounts and domains may say otherwise.
    pub bind_nonces: bool,
    /// Seconds for which a digest nonce is taken; after that the phone is asked again with `stale=true`.
    pub nonce_seconds: u64,
    /// User agents that are answered 403: alternatives divided by `|`, found anywhere in the User-Agent value.
    pub refused_user_agents: String,
}

/// A hash that digests are made with.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
pub enum DigestAlgorithm {
    /// What every phone knows.
    #[serde(rename = "MD5")]
    Md5,
    /// RFC 7616.
    #[serde(rename = "SHA-256")]
    Sha256,
    /// RFC 7616.
    #[serde(rename = "SHA-512-256")]
    Sha512_256,
}

/// The certificate of `sip.tls` and `sip.wss`. Without one the server makes a self-signed certificate for its own domain and
/// keeps it in the folder `tls` beside the database; phones have to be told to trust it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// A PEM file with the certificate chain, the server's own first. It and the key are read again when they change: new
    /// connections get the new certificate, open ones stay. Files that cannot be used change nothing, and the log says why.
    pub certificate: String,
    /// A PEM file with the private key; ECDSA P-256 costs the least.
    pub key: String,
    /// A PEM file with authorities that may sign the certificates of peers which this server connects to (trunks), beside
    /// those that browsers trust.
    pub authorities: String,
}

/// A certificate for `sip.tls` and `sip.wss` from an authority that speaks ACME, such as Let's Encrypt: ordered at the first
/// start, renewed at two thirds of its life, kept in the folder `acme` beside the database. Until it is there a self-signed one
/// is shown.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Acme {
    /// Public DNS names of this server. Empty: no certificate is ordered.
    pub names: Vec<String>,
    /// URL of the authority's directory.
    pub directory: String,
    /// Whether you agree to the authority's terms of service; nothing is ordered without.
    pub terms_agreed: bool,
    /// How the authority reaches you, such as `mailto:admin@example.com`. Empty: not at all.
    pub contact: String,
    /// Where the authority's challenges (http-01) are answered; it comes to port 80 of each name. Nothing else is served here.
    pub listen: SocketAddr,
    /// A PEM file with the authority of the directory's own web certificate. Empty: those that this system trusts.
    pub authorities: String,
}

/// Load balancers in front of this server, and how they tell for whom they speak. The client's address that they name is
/// the one that limits, logs and bindings go by. Networks in CIDR notation; name only proxies of your own.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Proxies {
    /// TCP connections from here, to any listener, have to begin with a header of the PROXY protocol, version 2 (before TLS);
    /// without it they are closed. From anywhere else such a header is an error.
    pub announcing: Vec<IpNet>,
    /// HTTP requests from here (REST, and WebSockets as they are opened) are of the client that `X-Forwarded-For` names:
    /// the last address of it that is not in this list. From anywhere else that header is not looked at.
    pub forwarding: Vec<IpNet>,
}

/// Rules of calls.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Calls {
    /// Where a 3xx answer of a called phone may lead a call: `never` (it is a refusal), `own` (another phone of the same
    /// endpoint, or an endpoint of the same account), `all` (also numbers and foreign addresses that the caller may dial).
    pub redirects: RedirectRule,
    /// Networks of peers that are told who calls even when the caller wants to be anonymous (RFC 3325). Everybody else sees
    /// `anonymous`.
    pub trusted_peers: Vec<IpNet>,
}

/// Where redirects may lead.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RedirectRule {
    /// Nowhere.
    Never,
    /// To what the account has itself.
    Own,
    /// To whatever may be dialled.
    All,
}

/// The media relay.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Media {
    /// The IP address that phones are told to send RTP to. It has to be an address of this machine, or one that reaches it.
    pub ip: IpAddr,
    /// UDP ports for RTP and RTCP, two for each leg of a call, as `first-last`.
    pub ports: PortRange,
    /// A leg from which no RTP has come for so long, and that is not on hold, is gone: the call is ended.
    pub silence_seconds: u64,
}

/// Where accounts, endpoints, registrations and call records are kept.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// The database: `sqlite:` and the path of a file, which is made when it is absent.
    pub url: String,
    /// What an acknowledged write survives: `power` (the loss of power: each commit is synced) or `process` (the end of
    /// the program, `kill -9` included).
    pub durability: Durability,
    /// The key that seals passwords and tokens in the database: 64 hexadecimal digits. Empty: `store.key_file` is used.
    pub key: String,
    /// A file with such a key. Empty: `offhook.key` beside the database. The file is made with mode 0600 on first start; whoever
    /// loses it loses every password, so keep a copy.
    pub key_file: String,
}

/// What an acknowledged write survives.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// The loss of power.
    Power,
    /// The end of the program.
    Process,
}

/// Subscriptions (RFC 6665) to the events `dialog`, `presence`, `message-summary` and `reg`, and publications (RFC 3903).
/// None of them survives a restart: a phone that refreshes one hears 481 and subscribes again.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Events {
    /// Subscriptions at a time; one more is answered 503 with `Retry-After`.
    pub subscriptions: usize,
    /// Subscriptions that one endpoint may hold; one more is answered 503.
    pub subscriptions_per_endpoint: usize,
    /// Endpoints that have something published at a time, counted once for each event; one more is answered 503. A
    /// document has at most 4096 bytes.
    pub publications: usize,
    /// The shortest subscription or publication that is granted, in seconds; a shorter wish is answered 423.
    pub min_expires: u32,
    /// The longest, in seconds, which is also granted to whoever names no expiry; a longer wish is cut to it.
    pub max_expires: u32,
}

/// Messages between endpoints (SIP MESSAGE, RFC 3428).
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Messages {
    /// The largest text in bytes; a larger one is answered 413. To a phone over UDP the whole request is limited to 1300
    /// bytes besides (RFC 3428 §8); one that fits to no phone of its reader is answered 513.
    pub max_bytes: usize,
    /// Messages that one endpoint may write in a minute; one more is answered 503 with `Retry-After`. 0 sets no limit.
    pub per_minute: u32,
}

/// The server's requests to customers' URLs (`answer_url`, `hangup_url` and the like).
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Egress {
    /// Private networks that such requests may reach, in CIDR notation. All private, link-local, loopback and metadata
    /// addresses are refused otherwise, after DNS and at each redirect. `offhook dev` allows loopback.
    pub allow: Vec<IpNet>,
}

/// The Plivo face.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Plivo {
    /// Whether an endpoint shows the MD5 of its password as `password`, as the vendor documents.
    pub password_md5: bool,
}

/// Calls to telephone numbers. Trunks themselves are made over REST; see docs/compatibility.md.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Trunks {
    /// Where numbers go that no trunk of the account takes: a SIP URI, such as `sip:gateway.example.net;transport=tcp`. It may
    /// be in a private network. Empty: such calls are answered 404.
    pub default: String,
    /// Calling code of the country whose numbers need no international prefix, for accounts that have none of their own: `1`,
    /// `44`, … Empty: numbers are taken to be international.
    pub country_code: String,
    /// How long a host of a trunk may leave an INVITE without any answer, 100 included, before the next one is tried.
    pub patience_seconds: u64,
    /// The DNS server that hosts of trunks are looked up with (RFC 3263: NAPTR, SRV, A, AAAA), as `address:port`. Empty: those
    /// that the operating system names.
    pub dns_server: String,
}

/// Attackers: guessers of passwords, scanners, callers of nobody. What a source address (IPv6: its /64 network) does wrong
/// adds to its score, and time takes it off. A source whose score is too high gets no answer to any request outside of a
/// dialog for a while, in silence; phones that are registered from there are served all the same. Each user who proves a
/// password from an address adds to the patience with it, up to 64 of them. What is in force is kept over a restart.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Abuse {
    /// Points at which a source is silenced. A wrong password, an unknown user or a domain that is not served here is one
    /// point, a call from outside to nobody a half, a malformed message a fifth, a challenge that is never answered a
    /// tenth. 0 silences nobody.
    pub score: u32,
    /// Points that a source loses in a minute.
    pub per_minute: u32,
    /// Seconds that the first silence lasts; each one in a row lasts twice as long as the one before.
    pub silence_seconds: u64,
    /// Seconds that a silence lasts at most.
    pub max_silence_seconds: u64,
    /// Networks that are never scored, in CIDR notation. `offhook dev` exempts loopback.
    pub exempt: Vec<IpNet>,
    /// User agents that are silenced at once: alternatives divided by `|`, found anywhere in the User-Agent value, in
    /// upper or lower case.
    pub scanners: String,
}

/// Limits: each is answered with the right status when it is reached.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// SIP transactions at a time, in all shards together; beyond it requests are answered 503.
    pub transactions: usize,
    /// Calls at a time; beyond it an INVITE is answered 503.
    pub calls: usize,
    /// TCP connections (SIP, WebSocket and HTTP together) at a time; beyond it new ones are closed.
    pub connections: usize,
    /// TCP connections of one address (IPv6: of one /64 network) at a time; beyond it new ones are closed.
    pub connections_per_address: usize,
    /// REST requests of one account in a second, with bursts of five times as many; beyond it the answer is 429 with
    /// `Retry-After`. 0 sets no limit. Off by default. (Plivo itself grants 300 in five seconds.)
    pub requests_per_second: u32,
    /// Size of an HTTP request's body; beyond it the answer is 413.
    pub body_bytes: usize,
    /// Size of the document that a customer's URL may answer with.
    pub fetch_bytes: usize,
    /// Seconds that one request to a customer's URL may take with all its retries.
    pub fetch_seconds: u64,
}

impl Config {
    /// The own SIP domain: the first of `sip.domains`, in lower case.
    pub fn own_domain(&self) -> String {
        self.sip
            .domains
            .first()
            .map(|domain| domain.to_ascii_lowercase())
            .unwrap_or_default()
    }

    /// All alias domains in lower case, without the own one and without repetition.
    pub fn alias_domains(&self) -> Vec<String> {
        let own = self.own_domain();
        let mut aliases = Vec::new();
        for alias in self.sip.domains.iter().skip(1).chain(&self.sip.aliases) {
            let alias = alias.to_ascii_lowercase();
            if alias != own && !aliases.contains(&alias) {
                aliases.push(alias);
            }
        }
        aliases
    }

    /// The number of signalling threads.
    pub fn shards(&self) -> u8 {
        if self.sip.shards > 0 {
            return self.sip.shards.min(MOST_SHARDS);
        }
        let processors = std::thread::available_parallelism().map_or(1, |count| count.get());
        u8::try_from(processors)
            .unwrap_or(MOST_SHARDS)
            .min(MOST_SHARDS)
    }

    /// The configuration as TOML, without its secrets: what `check-config` prints.
    pub fn masked(&self) -> String {
        let mut shown = self.clone();
        if !shown.store.key.is_empty() {
            shown.store.key = "***".into();
        }
        toml::to_string_pretty(&shown).unwrap_or_else(|error| format!("# {error}"))
    }

    /// What the types cannot say.
    fn validate(self) -> Result<Self, ConfigError> {
        let wrong = |key: &str, why: &str| {
            Err(ConfigError::Value {
                key: key.into(),
                why: why.into(),
            })
        };
        if self
            .sip
            .domains
            .iter()
            .chain(&self.sip.aliases)
            .any(|domain| domain.trim().is_empty())
        {
            return wrong("sip.domains", "a domain is empty");
        }
        let app_domain = [&self.sip.app_domain];
        let app_domain = app_domain.into_iter().filter(|domain| !domain.is_empty());
        let domains = self.sip.domains.iter().chain(&self.sip.aliases);
        if let Some(domain) = domains.chain(app_domain).find(|domain| !is_host(domain)) {
            let why = format!("`{domain}` is no host name");
            return wrong("sip.domains", &why);
        }
        let limits = &self.limits;
        for (key, is_zero) in [
            ("limits.transactions", limits.transactions == 0),
            ("limits.calls", limits.calls == 0),
            ("limits.connections", limits.connections == 0),
            (
                "limits.connections_per_address",
                limits.connections_per_address == 0,
            ),
            ("limits.body_bytes", limits.body_bytes == 0),
            ("limits.fetch_bytes", limits.fetch_bytes == 0),
            ("limits.fetch_seconds", limits.fetch_seconds == 0),
            ("sip.max_bindings", self.sip.max_bindings == 0),
            ("sip.nonce_seconds", self.sip.nonce_seconds == 0),
            ("trunks.patience_seconds", self.trunks.patience_seconds == 0),
        ] {
            if is_zero {
                return wrong(key, "with 0 nothing would work: it is at least 1");
            }
        }
        let trunks = &self.trunks;
        if !trunks.dns_server.is_empty() && trunks.dns_server.parse::<SocketAddr>().is_err() {
            return wrong("trunks.dns_server", "it is an address with a port");
        }
        let is_sip = |uri: &String| {
            let uri = sip::Uri::parse(&uri.as_str().into());
            uri.is_ok_and(|uri| uri.scheme.is_sip() && uri.user.is_none())
        };
        if !trunks.default.is_empty() && !is_sip(&trunks.default) {
            return wrong("trunks.default", "it is a SIP URI without a user part");
        }
        let code = &trunks.country_code;
        let is_digits = code.bytes().all(|digit| digit.is_ascii_digit());
        if !is_digits || code.len() > 3 || code.starts_with('0') {
            return wrong(
                "trunks.country_code",
                "it is one to three digits, the first not 0",
            );
        }
        if self.sip.domains.is_empty() {
            return wrong(
                "sip.domains",
                "the installation needs a domain of its own: name at least one",
            );
        }
        if self.sip.udp.is_empty() && self.sip.tcp.is_empty() {
            return wrong(
                "sip.udp",
                "no SIP listener is left: give sip.udp or sip.tcp an address",
            );
        }
        if self.tls.certificate.is_empty() != self.tls.key.is_empty() {
            return wrong(
                "tls.key",
                "a certificate and its key belong together: name both files, or neither",
            );
        }
        if !self.acme.names.is_empty() {
            if !self.tls.certificate.is_empty() {
                return wrong("acme.names", "tls.certificate names a certificate already");
            }
            if !self.acme.terms_agreed {
                return wrong(
                    "acme.terms_agreed",
                    "the authority makes no certificate unless its terms are agreed to",
                );
            }
            if let Some(name) = self.acme.names.iter().find(|name| !is_host(name)) {
                let why = format!("`{name}` is no host name");
                return wrong("acme.names", &why);
            }
        }
        let expires = &self.sip;
        if !(expires.min_expires <= expires.default_expires
            && expires.default_expires <= expires.max_expires)
        {
            return wrong(
                "sip.default_expires",
                "it must lie between sip.min_expires and sip.max_expires",
            );
        }
        if self.events.min_expires > self.events.max_expires {
            return wrong(
                "events.min_expires",
                "it must not be above events.max_expires",
            );
        }
        let is_route = |hop: &String| {
            let hop = sip::NameAddr::parse(&hop.as_str().into());
            hop.is_ok_and(|hop| hop.uri.scheme.is_sip() && hop.uri.param("lr").is_some())
        };
        if !self.sip.service_route.iter().all(is_route) {
            return wrong(
                "sip.service_route",
                "each entry is a SIP URI in angle brackets with `;lr`, like `<sip:edge.example.com;lr>`",
            );
        }
        if self.media.ip.is_unspecified() {
            return wrong(
                "media.ip",
                "phones need an address to send to: name one of this machine, not 0.0.0.0",
            );
        }
        if !self.store.key.is_empty() && store::SealKey::from_text(&self.store.key).is_err() {
            return wrong(
                "store.key",
                "a key is 64 hexadecimal digits, such as `openssl rand -hex 32` prints",
            );
        }
        if !self.store.url.starts_with("sqlite:") {
            return wrong("store.url", "it is `sqlite:` and the path of a file");
        }
        let is_web = |url: &str| url.starts_with("http://") || url.starts_with("https://");
        if !self.http.public_url.is_empty() && !is_web(&self.http.public_url) {
            return wrong("http.public_url", "it begins with http:// or https://");
        }
        Ok(self)
    }
}

/// A host name as SIP writes it: RFC 3261 §25.1, with the underscore that is in use.
fn is_host(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'))
    };
    name.parse::<std::net::IpAddr>().is_ok() || name.split('.').all(is_label)
}
