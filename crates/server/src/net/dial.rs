//! Connections that we open, over TCP and TLS, to peers that a URI names: trunks, other proxies. The wish is answered at
//! once with a flow (see `offhook_core::Dialer`); the connection comes up in a task, and from then on is like any other.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use offhook_core::{Dial, Dialer};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};
use sip::{Flow, Transport};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use super::certificate::CertificateError;
use super::connections::{Admission, Connections, Dialled, Opened};
use super::streams::Streams;
use super::tcp;

/// For a peer to take the connection; two lost SYNs are sent again within it.
const CONNECT: Duration = Duration::from_secs(4);

/// For the TLS handshake after it.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Connections that wait to be opened; beyond it a wish is refused.
const WISHES: usize = 1024;

/// A connection that is to be opened.
#[derive(Debug)]
pub struct Wish {
    dial: Dial,
    flow: Flow,
    opened: Opened,
    admission: Admission,
}

/// Makes the core's way to new connections, and the queue of what is to be opened. `own` are our listeners: a Via and a
/// Contact name the one of the same transport and family, where the peer can reach us when the connection is gone
/// (RFC 3261 §18.1.1).
pub fn channel(
    connections: Arc<Connections>,
    own: Vec<(Transport, SocketAddr)>,
    stop: CancellationToken,
) -> (Dialer, mpsc::Receiver<Wish>) {
    let (wishes, queue) = mpsc::channel(WISHES);
    let dialer = Dialer::new(move |dial: Dial| {
        if !matches!(dial.transport, Transport::Tcp | Transport::Tls) {
            return None;
        }
        let fits = |(transport, address): &&(Transport, SocketAddr)| {
            *transport == dial.transport && address.is_ipv4() == dial.remote.is_ipv4()
        };
        let same_family =
            |(_, address): &&(Transport, SocketAddr)| address.is_ipv4() == dial.remote.is_ipv4();
        let own = own.iter().find(fits).or(own.iter().find(same_family));
        let flow = Flow {
            transport: dial.transport,
            id: sip::FlowId::NONE,
            local: own.map(|(_, address)| *address)?,
            remote: dial.remote,
        };
        match connections.find_or_open(dial.clone(), &stop) {
            Dialled::Before(id) => Some(Flow { id, ..flow }),
            Dialled::Anew(opened) => {
                let flow = Flow {
                    id: opened.id,
                    ..flow
                };
                let wish = Wish {
                    dial,
                    flow,
                    opened,
                    admission: connections.admit_shared()?,
                };
                wishes.try_send(wish).ok().map(|()| flow)
            }
        }
    });
    (dialer, queue)
}

/// Opens what is wished for, until the end.
pub async fn serve(mut wishes: mpsc::Receiver<Wish>, streams: Streams, tls: TlsConnector) {
    loop {
        let wish = tokio::select! {
            wish = wishes.recv() => wish,
            () = streams.stop.cancelled() => return,
        };
        let Some(wish) = wish else { return };
        let (streams, tls) = (streams.clone(), tls.clone());
        let tasks = streams.tasks.clone();
        tasks.spawn(connection(wish, streams, tls));
    }
}

async fn connection(wish: Wish, streams: Streams, tls: TlsConnector) {
    let Wish {
        dial,
        flow,
        opened,
        admission: _admission,
    } = wish;
    let shaken = match Box::pin(reach(&dial)).await {
        Ok(stream) if dial.transport == Transport::Tcp => {
            return tcp::talk(streams, stream, flow, opened).await;
        }
        Ok(stream) => Box::pin(shake(&dial, stream, &tls)).await,
        Err(error) => Err(error),
    };
    match shaken {
        Ok(stream) => tcp::talk(streams, stream, flow, opened).await,
        Err(error) => {
            // The peer is one that the operator named: what is wrong with it is for the log.
            tracing::warn!(%error, host = %dial.host, transport = %dial.transport, "a SIP peer cannot be reached");
            drop(opened);
            streams.closed(flow.id).await;
        }
    }
}

async fn reach(dial: &Dial) -> io::Result<TcpStream> {
    let stream = tokio::time::timeout(CONNECT, TcpStream::connect(dial.remote)).await??;
    stream.set_nodelay(true)?;
    tcp::keep_alive(&stream);
    Ok(stream)
}

async fn shake(
    dial: &Dial,
    stream: TcpStream,
    tls: &TlsConnector,
) -> io::Result<Box<tokio_rustls::client::TlsStream<TcpStream>>> {
    let host = dial.host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let stream = tokio::time::timeout(HANDSHAKE, tls.connect(name, stream)).await??;
    Ok(Box::new(stream))
}

/// What checks the certificates of our peers: Mozilla's authorities, and those of a PEM file when one is named.
pub fn tls(authorities: &str) -> Result<TlsConnector, CertificateError> {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    if !authorities.is_empty() {
        let failed = |why: String| CertificateError::Content {
            path: authorities.into(),
            why,
        };
        let certificates = CertificateDer::pem_file_iter(authorities)
            .map_err(|error| failed(error.to_string()))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|error| failed(error.to_string()))?;
            roots
                .add(certificate)
                .map_err(|error| failed(error.to_string()))?;
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| CertificateError::Content {
            path: authorities.into(),
            why: error.to_string(),
        })?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
