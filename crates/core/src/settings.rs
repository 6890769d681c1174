//! What an operator may set of the platform's behaviour; the server fills it from its configuration.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use sip::digest::Algorithm;

use crate::guard::Abuse;

/// The platform's settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The installation's SIP domain; the first account's own, and the parent of the others'.
    pub domain: String,
    /// Names that mean this installation too: user names that exactly one domain has are found under them.
    pub aliases: Vec<String>,
    /// The host of applications' SIP URIs.
    pub app_domain: String,
    /// The base URL of the REST interface, without a slash at the end.
    pub public_url: String,
    /// The addresses that SIP is listened on: as IP literals they mean this installation.
    pub own_addresses: Vec<SocketAddr>,
    /// User agents that are refused: alternatives, separated by `|`, that must not occur in the header.
    pub refused_user_agents: String,
    /// The shortest registration in seconds; less is answered 423 (RFC 3261 §10.3).
    pub min_expires: u32,
    /// The registration of a phone that does not say for how long.
    pub default_expires: u32,
    /// The longest registration; more is cut to it.
    pub max_expires: u32,
    /// The most contacts of one endpoint.
    pub max_bindings: usize,
    /// Seconds between two pings of a phone, where no policy says otherwise; 0: none.
    pub ping: u32,
    /// What intervals of pings are counted in: each is rounded up to a multiple of it.
    pub ping_round: Duration,
    /// How many pings in a row a phone may leave without an answer before it is taken for unreachable.
    pub ping_misses: u32,
    /// How often a client of outbound is to ping its connection, in seconds (RFC 5626 §4.4); 0 leaves it to the client.
    pub flow_timer: u32,
    /// Proxies that a REGISTER may come through: what they say in Path is believed (RFC 3327).
    pub proxies: Vec<IpNet>,
    /// What clients are told to route their requests through: name-addr values with `lr` (RFC 3608).
    pub service_route: Vec<String>,
    /// How long a digest nonce is good for.
    pub nonce_lifetime: Duration,
    /// The digest algorithm of challenges; what is weaker is not taken.
    pub algorithm: Algorithm,
    /// Whether a nonce is good for the address only that it was made for.
    pub bind_nonces: bool,
    /// Where customers' URLs may lead.
    pub egress: Egress,
    /// The most bytes of a document.
    pub fetch_bytes: usize,
    /// How long a connection to a customer's server may take to come up.
    pub fetch_connect: Duration,
    /// How long a fetch may take with all its retries.
    pub fetch_total: Duration,
    /// How often a callback is tried before it is given up.
    pub callback_attempts: u32,
    /// The most REST requests of one account in a second, with bursts of five times as many; 0 sets no limit.
    pub requests_per_second: u32,
    /// The most calls at a time; one more is answered 503.
    pub max_calls: usize,
    /// The most calls a minute that one stranger's address may make to endpoints.
    pub strangers_per_minute: u32,
    /// The most subscriptions at a time; one more is answered 503.
    pub max_subscriptions: usize,
    /// The most of them that one endpoint may hold.
    pub max_subscriptions_of_endpoint: usize,
    /// The most endpoints, counted once for each package, that have something published at a time.
    pub max_publications: usize,
    /// The shortest subscription or publication in seconds; less is answered 423 (RFC 6665 §4.2.1.1, RFC 3903 §6).
    pub min_event_expires: u32,
    /// The longest in seconds, and that of whoever does not say for how long; more is cut to it.
    pub max_event_expires: u32,
    /// The largest body of a MESSAGE in bytes; a larger one is answered 413.
    pub max_message_bytes: usize,
    /// The most messages a minute that one endpoint may write; 0 sets no limit.
    pub messages_per_minute: u32,
    /// What silences a source.
    pub abuse: Abuse,
    /// The user that browsers send their keepalive to.
    pub admin_user: String,
    /// The longest call when nobody says otherwise.
    pub time_limit: Duration,
    /// How long a direct dial rings.
    pub ring_timeout: Duration,
    /// Where a 3xx of a called phone may lead a call.
    pub redirects: Redirects,
    /// Peers that may learn callers who want to be anonymous, and whose word about a caller is taken (RFC 3325 §2).
    pub trusted_peers: Vec<IpNet>,
    /// Whether objects show the MD5 of an endpoint's password where the contract documents it.
    pub plivo_password_md5: bool,
    /// Where numbers go that no trunk of the account takes, as a SIP URI.
    pub default_trunk: Option<String>,
    /// The calling code of accounts that have none of their own.
    pub country_code: Option<String>,
    /// How long a host of a trunk may leave an INVITE without any answer.
    pub trunk_patience: Duration,
    /// The DNS server; none means the operating system's.
    pub dns_server: Option<SocketAddr>,
}

/// Where a 3xx of a called phone may lead a call.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Redirects {
    /// Nowhere: it is a refusal.
    Never,
    /// To another binding of the same endpoint and to endpoints of the same account.
    #[default]
    Own,
    /// Also to whatever the caller may dial: numbers, foreign addresses.
    All,
}

/// Where customers' URLs may lead beyond public addresses.
#[derive(Clone, Default, Debug)]
pub struct Egress {
    /// Private ranges that are allowed all the same.
    pub allow: Vec<IpNet>,
}

impl Settings {
    /// The usual values for an installation with this SIP domain.
    pub fn new(domain: &str) -> Self {
        Settings {
            domain: domain.to_owned(),
            app_domain: format!("app.{domain}"),
            ..Settings::default()
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            domain: "localhost".to_owned(),
            aliases: ["phone.plivo.com", "sip.vobiz.ai", "registrar.vobiz.ai"]
                .map(str::to_owned)
                .to_vec(),
            app_domain: "app.localhost".to_owned(),
            public_url: String::new(),
            own_addresses: Vec::new(),
            refused_user_agents: "VaxSIPUserAgent|Ozeki".to_owned(),
            min_expires: 60,
            default_expires: 3600,
            max_expires: 7200,
            max_bindings: 10,
            ping: 0,
            ping_round: Duration::from_secs(10),
            ping_misses: 3,
            flow_timer: 120,
            proxies: Vec::new(),
            service_route: Vec::new(),
            nonce_lifetime: Duration::from_secs(120),
            algorithm: Algorithm::Md5,
            bind_nonces: true,
            egress: Egress::default(),
            fetch_bytes: 100_000,
            fetch_connect: Duration::from_secs(2),
            fetch_total: Duration::from_secs(60),
            callback_attempts: 8,
            requests_per_second: 0,
            max_calls: 10_000,
            strangers_per_minute: 30,
            max_subscriptions: 10_000,
            max_subscriptions_of_endpoint: 500,
            max_publications: 10_000,
            min_event_expires: 60,
            max_event_expires: 3600,
            max_message_bytes: 4096,
            messages_per_minute: 60,
            abuse: Abuse::default(),
            admin_user: "admin".to_owned(),
            time_limit: Duration::from_secs(4 * 3600),
            ring_timeout: Duration::from_secs(60),
            redirects: Redirects::Own,
            trusted_peers: Vec::new(),
            plivo_password_md5: true,
            default_trunk: None,
            country_code: None,
            trunk_patience: Duration::from_secs(5),
            dns_server: None,
        }
    }
}
