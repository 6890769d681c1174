//! TLS under the stream listeners: versions 1.2 and 1.3, tickets for resumption, nothing kept for a peer that is not there.

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::NoServerSessionStorage;
use rustls::version::{TLS12, TLS13};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificate::Shown;
use super::counters::{Counters, add};

/// Until a handshake is through.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// What a TLS listener does with a new connection; cheap to clone.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    counters: Arc<Counters>,
}

impl Tls {
    /// Shows this certificate, whatever it is at the time of a handshake.
    pub fn new(shown: Arc<Shown>, counters: Arc<Counters>) -> Result<Self, rustls::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(shown);
        // The client keeps the session (RFC 8446 §2.2, RFC 5077 §3), sealed under a key that changes every few hours.
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 1;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            counters,
        })
    }

    /// Shakes hands. Nothing when that fails: the peer got an alert, and it is counted.
    pub async fn accept(&self, stream: TcpStream) -> Option<Box<TlsStream<TcpStream>>> {
        let failed = match tokio::time::timeout(HANDSHAKE, self.acceptor.accept(stream)).await {
            Ok(Ok(stream)) => {
                add(&self.counters.handshakes, 1);
                return Some(Box::new(stream));
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "too slow".to_owned(),
        };
        tracing::debug!(error = failed, "a TLS handshake failed");
        add(&self.counters.failed_handshakes, 1);
        None
    }
}
