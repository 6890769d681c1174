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

use super::connections::{Admission, Opened, Usage};
use super::counters::add;
use super::streams::Streams;
use super::tls::Tls;

/// Until the first byte has come.
const FIRST_BYTE: Duration = Duration::from_secs(5);

/// Until a message that has begun is whole, counted from its first byte.
const WHOLE_MESSAGE: Duration = Duration::from_secs(10);

/// Without a word, when no phone is reached by the connection and no session goes over it.
const UNUSED: Duration = Duration::from_secs(30);

/// The same for a connection that we opened: the next request to that peer would have to open it again.
const UNUSED_OURS: Duration = Duration::from_secs(300);

/// Until a peer takes what is written to it.
const WRITE: Duration = Duration::from_secs(10);

/// For the answer to a stream that cannot be read any further.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Accepts connections until the end.
pub async fn serve(listener: TcpListener, streams: Streams) {
    let accepting = streams.clone();
    let connect = move |stream, flow, admission| {
        keep_alive(&stream);
        connection(streams.clone(), stream, flow, admission)
    };
    accepting.accept(listener, Transport::Tcp, connect).await;
}

/// Accepts connections under TLS until the end.
pub async fn serve_tls(listener: TcpListener, streams: Streams, tls: Tls) {
    let accepting = streams.clone();
    let connect = move |stream, flow, admission| {
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
    accepting.accept(listener, Transport::Tls, connect).await;
}

/// Why a connection is to be closed.
#[derive(PartialEq, Eq, Debug)]
enum Closing {
    /// The peer closed it, or it broke.
    Gone,
    /// Nothing, or not enough, came in time.
    Late,
    /// Nothing came for long, and nobody needs the connection.
    Unused,
    /// What came is not SIP; the bytes are the last thing to write.
    Foreign(&'static [u8]),
    /// The boundary of messages is lost. An answer may be on its way.
    Desynchronised,
}

async fn connection<S>(streams: Streams, stream: S, flow: Flow, _admission: Admission)
where
    S: AsyncRead + AsyncWrite,
{
    let opened = streams.connections.open(&streams.stop);
    let flow = Flow {
        id: opened.id,
        ..flow
    };
    talk(streams, stream, flow, opened).await;
}

/// Reads and writes until the end of a connection, whoever opened it.
pub async fn talk<S>(streams: Streams, stream: S, flow: Flow, mut opened: Opened)
where
    S: AsyncRead + AsyncWrite,
{
    let (mut reader, mut writer) = tokio::io::split(stream);
    let usage = opened.usage();
    let closing = tokio::select! {
        closing = read(&streams, flow, &usage, &mut reader) => closing,
        _ = write(&streams, &mut opened, &mut writer) => Closing::Gone,
        () = usage.closed() => Closing::Gone,
    };
    match closing {
        Closing::Gone | Closing::Unused => {}
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
pub fn keep_alive(stream: &TcpStream) {
    let alive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(20));
    let _ = socket2::SockRef::from(stream).set_tcp_keepalive(&alive);
}

async fn read<S: AsyncRead>(
    streams: &Streams,
    flow: Flow,
    usage: &Usage,
    reader: &mut ReadHalf<S>,
) -> Closing {
    let mut framer = Framer::new();
    let mut spoke = false;
    let mut begun: Option<Instant> = None;
    loop {
        let deadline = match begun {
            Some(begun) => begun + WHOLE_MESSAGE,
            None if usage.is_ours() => clock() + UNUSED_OURS,
            None => clock() + if spoke { UNUSED } else { FIRST_BYTE },
        };
        let taken = poll_fn(|context| take(reader, context, &mut framer, spoke));
        match tokio::time::timeout_at(deadline, taken).await {
            Err(_) if begun.is_some() || !(spoke || usage.is_ours()) => return Closing::Late,
            Err(_) if usage.is_kept() || streams.core.flow_in_use(flow.id) => continue,
            Err(_) => return Closing::Unused,
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
                        streams.core.noise(flow);
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
    // The first version of the PROXY protocol begins like a method of SIP.
    if first.starts_with(b"PROXY ") {
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
    loop {
        let bytes = opened.next().await;
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
}

fn clock() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::{Flow, Opened, Streams, TcpStream, foreign, talk};

    /// The size of what a function of that many arguments answers, without calling it.
    fn size<F>(_: impl FnOnce(Streams, TcpStream, Flow, Opened) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_idle_connection_has_a_small_task() {
        let size = size(talk::<TcpStream>);
        assert!(size <= 2048, "{size}");
    }

    #[test]
    fn other_protocols_are_known_by_their_first_bytes() {
        assert!(
            foreign(b"GET / HTTP/1.1\r\nHost: a\r\n")
                .unwrap()
                .starts_with(b"HTTP/1.1 400")
        );
        assert_eq!(foreign(&[22, 3, 1, 2, 0]), Some(&b""[..]));
        assert_eq!(
            foreign(b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nX"),
            Some(&b""[..])
        );
        assert_eq!(foreign(b"REGISTER sip:a SIP/2.0\r\nVia: x\r\n"), None);
        assert_eq!(foreign(b"\r\n\r\n"), None);
        assert_eq!(foreign(b"R"), None);
    }
}
