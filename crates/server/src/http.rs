//! The HTTP listener: picks the dialect, answers `GET /health`, upgrades `/sip` to a WebSocket. Slow and oversized requests
//! end here, so that no handler waits for a peer.

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{Method, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{any, get};
use dialects::Trouble;
use futures_util::FutureExt;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use offhook_core::Core;
use serde::Serialize;
use sip::{Flow, Transport};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

use crate::net::connections::Admission;
use crate::net::counters::{Counted, add};
use crate::net::streams::Streams;
use crate::net::tls::Tls;
use crate::net::ws;
use crate::ready::Addresses;

/// Until the first byte has come.
const FIRST_BYTE: Duration = Duration::from_secs(5);

/// Until a request's head is whole, an idle connection included.
const HEAD: Duration = Duration::from_secs(10);

/// Until a request's body is whole.
const BODY: Duration = Duration::from_secs(10);

/// The largest head.
const HEAD_BYTES: usize = 64 * 1024;

/// For requests in progress when the listener ends.
const GRACE: Duration = Duration::from_secs(5);

/// What `GET /health` reports.
pub struct Health {
    /// The addresses in use.
    pub addresses: Addresses,
    /// Where calls and bindings are counted.
    pub core: Arc<Core>,
    /// Where the wire is counted.
    pub streams: Streams,
    /// Set when the server takes no new calls.
    pub draining: AtomicBool,
}

#[derive(Serialize)]
struct Report<'a> {
    status: &'static str,
    version: &'static str,
    #[serde(flatten)]
    addresses: &'a Addresses,
    calls: usize,
    bindings: usize,
    connections: usize,
    counters: Counted,
}

/// The routes of the main listener.
pub fn routes(health: Arc<Health>, body_bytes: usize) -> Router {
    let streams = health.streams.clone();
    let core = health.core.clone();
    Router::new()
        .route("/health", get(report).with_state(health))
        .route("/sip", any(ws::upgrade).with_state(streams.clone()))
        .fallback_service(dialects::router(core))
        .layer(middleware::from_fn_with_state(body_bytes, whole_body))
        .layer(middleware::from_fn_with_state(streams, survive))
}

/// The routes of a listener for SIP over WebSocket alone: all paths.
pub fn sip_routes(streams: Streams) -> Router {
    Router::new().fallback(any(ws::upgrade).with_state(streams))
}

/// Accepts connections until the end.
pub async fn serve(listener: TcpListener, streams: Streams, routes: Router) {
    let accepting = streams.clone();
    let connect = move |stream: TcpStream, flow, admission| {
        let (streams, routes) = (streams.clone(), routes.clone());
        async move {
            let begun = tokio::time::timeout(FIRST_BYTE, stream.peek(&mut [0])).await;
            if begun.is_ok() {
                connection(streams, routes, stream, flow, admission).await;
            }
        }
    };
    accepting.accept(listener, Transport::Ws, connect).await;
}

/// Accepts connections under TLS until the end.
pub async fn serve_tls(listener: TcpListener, streams: Streams, routes: Router, tls: Tls) {
    let accepting = streams.clone();
    let connect = move |stream, flow, admission| {
        let (streams, routes, tls) = (streams.clone(), routes.clone(), tls.clone());
        async move {
            let shaken = Box::pin(tls.accept(stream)).await;
            if let Some(stream) = shaken {
                connection(streams, routes, stream, flow, admission).await;
            }
        }
    };
    accepting.accept(listener, Transport::Wss, connect).await;
}

/// Serves one connection. Its flow says WebSocket, which is the only SIP that it may carry.
async fn connection<S>(
    streams: Streams,
    routes: Router,
    stream: S,
    flow: Flow,
    _admission: Admission,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let proxies = streams.proxies.clone();
    let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
        let remote = proxies.client(flow.remote, request.headers());
        request.extensions_mut().insert(Flow { remote, ..flow });
        request.extensions_mut().insert(ConnectInfo(remote));
        routes.clone().oneshot(request.map(Body::new))
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = streams.stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(GRACE, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, remote = %flow.remote, "an HTTP connection broke");
        add(&streams.counters.broken_connections, 1);
    }
}

async fn report(State(health): State<Arc<Health>>) -> Response {
    let report = Report {
        status: if health.draining.load(Ordering::Relaxed) {
            "draining"
        } else {
            "ok"
        },
        version: env!("CARGO_PKG_VERSION"),
        addresses: &health.addresses,
        calls: health.core.calls.live(),
        bindings: health.core.bindings(),
        connections: health.streams.connections.count(),
        counters: health.streams.counters.read(),
    };
    Json(report).into_response()
}

/// Reads the whole body before any handler runs: within its size and its time.
async fn whole_body(State(limit): State<usize>, request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let asked = Asked::of(&request);
    if request.body().size_hint().lower() > limit as u64 {
        return asked.turned_away(Trouble::TooLarge(limit));
    }
    let (head, body) = request.into_parts();
    match tokio::time::timeout(BODY, Limited::new(body, limit).collect()).await {
        Ok(Ok(body)) => {
            next.run(Request::from_parts(head, Body::from(body.to_bytes())))
                .await
        }
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            asked.turned_away(Trouble::TooLarge(limit))
        }
        Ok(Err(_)) => asked.turned_away(Trouble::Broken),
        Err(_) => asked.turned_away(Trouble::Slow),
    }
}

/// Answers 500 where a handler panicked; the hook has logged it.
async fn survive(State(streams): State<Streams>, request: Request, next: Next) -> Response {
    let asked = Asked::of(&request);
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            add(&streams.counters.panics, 1);
            asked.turned_away(Trouble::Failed)
        }
    }
}

/// What is left of a request for an answer that no handler gives.
struct Asked {
    method: Method,
    uri: Uri,
    remote: Option<IpAddr>,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let remote = request.extensions().get::<ConnectInfo<SocketAddr>>();
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            remote: remote.map(|info| info.0.ip()),
        }
    }

    fn turned_away(&self, trouble: Trouble) -> Response {
        dialects::turned_away(&self.method, self.uri.path(), self.remote, trouble)
    }
}
