//! What the outside needs to know of a running server: the addresses in use, and the ready line of `offhook dev --json`.

use serde::Serialize;

/// The addresses of the SIP listeners.
#[derive(Clone, Debug, Serialize)]
pub struct SipAddresses {
    /// The installation's domain.
    pub domain: String,
    /// UDP, as address and port.
    pub udp: Vec<String>,
    /// TCP, as address and port.
    pub tcp: Vec<String>,
    /// TLS, as address and port.
    pub tls: Vec<String>,
    /// WebSocket, as URLs.
    pub ws: Vec<String>,
    /// WebSocket under TLS, as URLs.
    pub wss: Vec<String>,
}

/// The address of the REST interface.
#[derive(Clone, Debug, Serialize)]
pub struct ApiAddress {
    /// Without a slash at its end.
    pub base_url: String,
}

/// The addresses of the media relay.
#[derive(Clone, Debug, Serialize)]
pub struct MediaAddresses {
    /// The address that phones are told.
    pub ip: String,
    /// First and last port.
    pub ports: String,
}

/// All addresses in use.
#[derive(Clone, Debug, Serialize)]
pub struct Addresses {
    /// The REST interface.
    pub api: ApiAddress,
    /// Signalling.
    pub sip: SipAddresses,
    /// Media.
    pub media: MediaAddresses,
}

/// The one line on standard output of `offhook dev --json`.
#[derive(Clone, Serialize)]
pub struct ReadyLine {
    /// Always true.
    pub ready: bool,
    /// The process.
    pub pid: u32,
    /// Where everything is kept.
    pub data_dir: String,
    /// The REST interface and its credentials.
    pub api: Api,
    /// The SIP listeners.
    pub sip: SipAddresses,
    /// The built-in direct dial application.
    pub application_id: String,
    /// The endpoints that the first start made.
    pub endpoints: Vec<ReadyEndpoint>,
}

/// The REST interface with its credentials.
#[derive(Clone, Serialize)]
pub struct Api {
    /// Without a slash at its end.
    pub base_url: String,
    /// The account.
    pub auth_id: String,
    /// Its token.
    pub auth_token: String,
    /// The same account in Bandwidth's terms.
    pub bandwidth: Bandwidth,
}

/// Credentials of the Bandwidth face.
#[derive(Clone, Serialize)]
pub struct Bandwidth {
    /// `u-…`
    pub user_id: String,
    /// `t-…`
    pub token: String,
    /// The token's secret.
    pub secret: String,
}

/// One endpoint as a phone needs it.
#[derive(Clone, Serialize)]
pub struct ReadyEndpoint {
    /// Its id.
    pub endpoint_id: String,
    /// Its SIP user.
    pub username: String,
    /// Its password.
    pub password: String,
    /// Its address.
    pub sip_uri: String,
}
