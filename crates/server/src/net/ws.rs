//! SIP over WebSocket: RFC 7118. One message a frame, text or binary; the subprotocol `sip` is demanded (RFC 7118 §4).

use std::time::Duration;

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use sip::Flow;

use tokio::time::Instant;

use super::connections::{Opened, Usage};
use super::counters::add;
use super::streams::Streams;

/// The largest frame, and the largest message.
const MESSAGE: usize = 64 * 1024;

/// Between our pings.
const PING: Duration = Duration::from_secs(30);

/// Without any frame, a pong included.
const SILENCE: Duration = Duration::from_secs(90);

/// Without a SIP message, when no phone is reached by the connection and no session goes over it.
const UNUSED: Duration = Duration::from_secs(30);

/// Until a peer takes what is written to it.
const WRITE: Duration = Duration::from_secs(10);

/// For the closing handshake.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Answers the upgrade. The listener has put the connection's addresses into the request.
pub async fn upgrade(
    State(streams): State<Streams>,
    Extension(flow): Extension<Flow>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade.protocols(["sip"]),
        Err(rejection) => return rejection.into_response(),
    };
    if upgrade.selected_protocol().is_none() {
        let why = "the WebSocket subprotocol has to be `sip` (RFC 7118, section 4)\n";
        return (StatusCode::BAD_REQUEST, why).into_response();
    }
    if !is_welcome(&streams.origins, &headers) {
        let why = "pages of this origin may not connect: sip.origins lists those that may\n";
        return (StatusCode::FORBIDDEN, why).into_response();
    }
    upgrade
        .read_buffer_size(4 * 1024)
        .write_buffer_size(0)
        .max_write_buffer_size(1 << 20)
        .max_message_size(MESSAGE)
        .max_frame_size(MESSAGE)
        .on_upgrade(move |socket| async move {
            // The socket outlives the HTTP connection's task; the token makes the end of the program wait for it.
            let _token = streams.tasks.token();
            connection(streams, socket, flow).await;
        })
}

/// RFC 6455 §10.2: browsers name the page that connects, and other clients name what they like or nothing; so the list keeps
/// foreign pages out, and nobody else.
fn is_welcome(origins: &[String], headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return true;
    };
    let is_this = |known: &String| known.as_bytes().eq_ignore_ascii_case(origin.as_bytes());
    origins.is_empty() || origins.iter().any(is_this)
}

async fn connection(streams: Streams, socket: WebSocket, flow: Flow) {
    let Some(_admission) = streams.connections.admit(flow.remote.ip()) else {
        return;
    };
    let mut opened = streams.connections.open(&streams.stop);
    let flow = Flow {
        id: opened.id,
        ..flow
    };
    let (mut sink, mut stream) = socket.split();
    let usage = opened.usage();
    let close = tokio::select! {
        close = read(&streams, flow, &usage, &mut stream) => close,
        () = write(&streams, &mut opened, &mut sink) => None,
        () = usage.closed() => Some((1001, "going away")),
    };
    if let Some((code, reason)) = close {
        let frame = CloseFrame {
            code,
            reason: Utf8Bytes::from_static(reason),
        };
        let _ = tokio::time::timeout(LAST_WORDS, sink.send(Message::Close(Some(frame)))).await;
    }
    // Also sends the answer to the peer's own Close.
    let _ = tokio::time::timeout(LAST_WORDS, sink.close()).await;
    drop(opened);
    streams.closed(flow.id).await;
}

/// Reads until the end; answers the close code to send, nothing when the peer closed.
async fn read(
    streams: &Streams,
    flow: Flow,
    usage: &Usage,
    stream: &mut SplitStream<WebSocket>,
) -> Option<(u16, &'static str)> {
    let mut heard = Instant::now();
    let mut needed = heard;
    loop {
        let deadline = (heard + SILENCE).min(needed + UNUSED);
        let next = tokio::time::timeout_at(deadline, stream.next()).await;
        let now = Instant::now();
        if next.is_ok() {
            heard = now;
        }
        let bytes = match next {
            Err(_) if now >= heard + SILENCE => return Some((1001, "silent")),
            Err(_) if usage.is_kept() || streams.core.flow_in_use(flow.id) => {
                needed = now;
                continue;
            }
            Err(_) => return Some((1001, "unused")),
            Ok(None | Some(Ok(Message::Close(_)))) => return None,
            Ok(Some(Ok(Message::Text(text)))) => Bytes::from(text),
            Ok(Some(Ok(Message::Binary(bytes)))) => bytes,
            // Pings are answered below us.
            Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => continue,
            Ok(Some(Err(error))) => {
                add(&streams.counters.broken_connections, 1);
                return close_code(&error.to_string());
            }
        };
        needed = now;
        match bytes.as_ref() {
            b"" | b"\r\n" => {}
            // RFC 5626 §4.4.1, as clients do it on WebSockets too.
            b"\r\n\r\n" => {
                _ = streams
                    .connections
                    .send(flow.id, Bytes::from_static(b"\r\n"))
            }
            _ => streams.received(flow, bytes).await,
        }
    }
}

/// RFC 6455 §7.4.1. The library tells its errors apart by text only; a broken connection needs no code.
fn close_code(error: &str) -> Option<(u16, &'static str)> {
    let error = error.to_ascii_lowercase();
    let says = |part: &str| error.contains(part);
    if says("too long") || says("too large") || says("space limit") {
        Some((1009, "message too big"))
    } else if says("utf-8") || says("utf8") {
        Some((1007, "text is not UTF-8"))
    } else if says("protocol") && !says("without closing") {
        Some((1002, "protocol error"))
    } else {
        None
    }
}

/// Writes what waits, and pings, until the connection breaks or the peer does not read.
async fn write(streams: &Streams, opened: &mut Opened, sink: &mut SplitSink<WebSocket, Message>) {
    loop {
        let message = match tokio::time::timeout(PING, opened.next()).await {
            Err(_) => Message::Ping(Bytes::new()),
            Ok(bytes) => {
                add(&streams.counters.sent, 1);
                match Utf8Bytes::try_from(bytes.clone()) {
                    Ok(text) => Message::Text(text),
                    Err(_) => Message::Binary(bytes),
                }
            }
        };
        match tokio::time::timeout(WRITE, sink.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::{close_code, header, is_welcome};

    #[test]
    fn pages_of_other_origins_are_kept_out_when_a_list_is_set() {
        let from = |origin: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ORIGIN, origin.parse().unwrap());
            headers
        };
        let list = ["https://phone.example".to_owned()];
        assert!(is_welcome(&[], &from("https://evil.example")));
        assert!(is_welcome(&list, &from("https://Phone.example")));
        assert!(is_welcome(&list, &HeaderMap::new()));
        for other in [
            "https://evil.example",
            "null",
            "https://phone.example:8443",
            "http://phone.example",
        ] {
            assert!(!is_welcome(&list, &from(other)), "{other}");
        }
    }

    #[test]
    fn errors_have_the_close_codes_of_the_rfc() {
        assert_eq!(
            close_code("Space limit exceeded: Message too long: 70000 > 65536")
                .unwrap()
                .0,
            1009
        );
        assert_eq!(
            close_code("UTF-8 encoding error: invalid utf-8 sequence")
                .unwrap()
                .0,
            1007
        );
        assert_eq!(
            close_code("WebSocket protocol error: Control frame too big")
                .unwrap()
                .0,
            1002
        );
        assert_eq!(
            close_code("WebSocket protocol error: Connection reset without closing handshake"),
            None
        );
        assert_eq!(close_code("IO error: broken pipe"), None);
    }
}
