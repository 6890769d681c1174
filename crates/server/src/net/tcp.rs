//! SIP over TCP and TLS: RFC 3261 §18.3, RFC 5626 §4.4.1. An idle connection holds no buffer of ours.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use sip::framing::{Frame, Framer};
use sip::{Flow, Transport};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::connections::{Admission, Opened};
use super::counters::add;
use super::streams::Streams;
use super::tls::Tls;

/// Until the first byte has come.
const FIRST_BYTE: Duration = Duration::from_secs(5);

/// Until a message that has begun is whole, counted from its first byte.
const WHOLE_MESSAGE: Duration = Duration::from_secs(10);

/// A connection that said something may be silent for longer than the longest registration.
const IDLE: Duration = Duration::from_secs(3 * 3600);

/// Until a peer takes what is written to it.
const WRITE: Duration = Duration::from_secs(10);

/// For the answer to a stream that cannot be read any further.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Accepts connections until the end.
pub async fn serve(listener: TcpListener, streams: Streams) {
    streams
        .accept(listener, Transport::Tcp, |stream, flow, admission| {
            keep_alive(&stream);
            connection(streams.clone(), stream, flow, admission)
        })
        .await;
}

/// Accepts connections under TLS until the end.
pub async fn serve_tls(listener: TcpListener, streams: Streams, tls: Tls) {
    let connect = |stream, flow, admission| {
        keep_alive(&stream);
        let (streams, tls) = (streams.clone(), tls.clone());
        async move {
            // In a box of its own: an open connection pays nothing for the handshake that made it.
            let shaken = Box::pin(tls.accept(stream)).await;
            if let Some(stream) = shaken {
                connection(streams, stream, flow, admission).await;
            }
        }
    };
    streams.accept(listener, Transport::Tls, connect).await;
}

/// Why a connection is to be closed.
#[derive(PartialEq, Eq, Debug)]
enum Closing {
    /// The peer closed it, or it broke.
    Gone,
    /// Nothing, or not enough, came in time.
    Late,
    /// What came is not SIP; the bytes are the last thing to write.
    Foreign(&'static [u8]),
    /// The boundary of messages is lost. An answer may be on its way.
    Desynchronised,
}

async fn connection<S>(streams: Streams, stream: S, flow: Flow, _admission: Admission)
where
    S: AsyncRead + AsyncWrite,
{
    let mut opened = streams.connections.open(&streams.stop);
    let flow = Flow {
        id: opened.id,
        ..flow
    };
    let (mut reader, mut writer) = tokio::io::split(stream);
    let closed = opened.closed.clone();
    let closing = tokio::select! {
        closing = read(&streams, flow, &mut reader) => closing,
        _ = write(&streams, &mut opened, &mut writer) => Closing::Gone,
        () = closed.cancelled() => Closing::Gone,
    };
    match closing {
        Closing::Gone => {}
        Closing::Late => add(&streams.counters.broken_connections, 1),
        Closing::Foreign(answer) => {
            add(&streams.counters.broken_connections, 1);
            let _ = tokio::time::timeout(LAST_WORDS, writer.write_all(answer)).await;
        }
        Closing::Desynchronised => {
            add(&streams.counters.broken_connections, 1);
            let _ =
                tokio::time::timeout(LAST_WORDS, write(&streams, &mut opened, &mut writer)).await;
        }
    }
    let _ = tokio::time::timeout(LAST_WORDS, writer.shutdown()).await;
    drop(opened);
    streams.closed(flow.id).await;
}

/// Finds peers that went away without a word.
fn keep_alive(stream: &TcpStream) {
    let alive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(20));
    let _ = socket2::SockRef::from(stream).set_tcp_keepalive(&alive);
}

async fn read<S: AsyncRead>(streams: &Streams, flow: Flow, reader: &mut ReadHalf<S>) -> Closing {
    let mut framer = Framer::new();
    let mut spoke = false;
    let mut begun: Option<Instant> = None;
    loop {
        let deadline = match begun {
            Some(begun) => begun + WHOLE_MESSAGE,
            None => clock() + if spoke { IDLE } else { FIRST_BYTE },
        };
        let taken = poll_fn(|context| take(reader, context, &mut framer, spoke));
        match tokio::time::timeout_at(deadline, taken).await {
            Err(_) => return Closing::Late,
            Ok(Ok(Taken::Some)) => {}
            Ok(Ok(Taken::Foreign(answer))) => return Closing::Foreign(answer),
            Ok(Ok(Taken::End) | Err(_)) => return Closing::Gone,
        }
        spoke = true;
        let mut whole = false;
        while let Some(frame) = framer.next() {
            whole = true;
            match frame {
                Ok(Frame::Message(bytes)) => streams.received(flow, bytes).await,
                // RFC 5626 §3.5.1: the pong.
                Ok(Frame::Ping) => {
                    _ = streams
                        .connections
                        .send(flow.id, Bytes::from_static(b"\r\n"))
                }
                Err(error) => {
                    let Some(head) = error.head() else {
                        return Closing::Desynchronised;
                    };
                    // The stack answers what can be answered (RFC 3261 §18.3: 400).
                    streams.received(flow, head).await;
                    return Closing::Desynchronised;
                }
            }
        }
        begun = match begun {
            _ if framer.is_empty() => None,
            Some(begun) if !whole => Some(begun),
            _ => Some(clock()),
        };
    }
}

enum Taken {
    Some,
    End,
    Foreign(&'static [u8]),
}

/// Moves what has come into the framer. Its buffer is on the thread's stack and not in every task.
fn take<S: AsyncRead>(
    reader: &mut ReadHalf<S>,
    context: &mut Context<'_>,
    framer: &mut Framer,
    spoke: bool,
) -> Poll<io::Result<Taken>> {
    let mut room = [MaybeUninit::uninit(); 16 * 1024];
    let mut buffer = ReadBuf::uninit(&mut room);
    ready!(Pin::new(reader).poll_read(context, &mut buffer))?;
    let read = buffer.filled();
    if read.is_empty() {
        return Poll::Ready(Ok(Taken::End));
    }
    if !spoke && let Some(answer) = foreign(read) {
        return Poll::Ready(Ok(Taken::Foreign(answer)));
    }
    framer.push(read);
    Poll::Ready(Ok(Taken::Some))
}

/// What to say to a peer that begins with another protocol; nothing when it may be SIP.
fn foreign(first: &[u8]) -> Option<&'static [u8]> {
    const TLS_HANDSHAKE: u8 = 22;
    if first.first() == Some(&TLS_HANDSHAKE) {
        return Some(b"");
    }
    let line = first
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let version = line
        .strip_suffix(b"\r")
        .unwrap_or(line)
        .rsplit(|byte| *byte == b' ')
        .next()
        .unwrap_or_default();
    version
        .starts_with(b"HTTP/")
        .then_some(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
}

/// Writes what waits, until the connection breaks or the peer does not read.
async fn write<S: AsyncWrite>(
    streams: &Streams,
    opened: &mut Opened,
    writer: &mut WriteHalf<S>,
) -> io::Result<()> {
    while let Some(bytes) = opened.next().await {
        // TLS keeps what it made of the bytes until it is told to flush.
        let written = async {
            writer.write_all(&bytes).await?;
            writer.flush().await
        };
        tokio::time::timeout(WRITE, written)
            .await
            .map_err(io::Error::other)??;
        add(&streams.counters.sent, 1);
    }
    Ok(())
}

fn clock() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::foreign;

    #[test]
    fn other_protocols_are_known_by_their_first_bytes() {
        assert!(
            foreign(b"GET / HTTP/1.1\r\nHost: a\r\n")
                .unwrap()
                .starts_with(b"HTTP/1.1 400")
        );
        assert_eq!(foreign(&[22, 3, 1, 2, 0]), Some(&b""[..]));
        assert_eq!(foreign(b"REGISTER sip:a SIP/2.0\r\nVia: x\r\n"), None);
        assert_eq!(foreign(b"\r\n\r\n"), None);
        assert_eq!(foreign(b"R"), None);
    }
}
