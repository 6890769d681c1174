//! The ways down to the machines that the server owns: the stacks and the media plane.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use sip::{Flow, Text, Transport};
use tokio::sync::mpsc;

/// The receiver is gone or its queue is full; the command is lost and its sender decides what that means.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the queue is full or closed")]
pub struct Closed;

/// The inboxes of the signalling shards, which are bounded: when one is full, [`Signalling::send`] fails at once.
#[derive(Clone, Debug)]
pub struct Signalling {
    /// One inbox per shard, in the order of their numbers.
    pub shards: Vec<mpsc::Sender<sip::Input>>,
    /// What opens connections to peers that did not open one.
    pub dialer: Dialer,
}

impl Signalling {
    /// Gives a shard's stack a command, without waiting.
    pub fn send(&self, shard: u8, command: sip::Command) -> Result<(), Closed> {
        let inbox = self.shards.get(usize::from(shard)).ok_or(Closed)?;
        inbox
            .try_send(sip::Input::Command(command))
            .map_err(|_| Closed)
    }

    /// Gives a shard a message as if it came once more, without waiting.
    pub(crate) fn again(
        &self,
        shard: u8,
        flow: sip::Flow,
        bytes: bytes::Bytes,
    ) -> Result<(), Closed> {
        let inbox = self.shards.get(usize::from(shard)).ok_or(Closed)?;
        inbox
            .try_send(sip::Input::Received { flow, bytes })
            .map_err(|_| Closed)
    }

    /// Tells all shards that a phone with a call has come over another flow. A shard that is too busy to hear of it goes on
    /// where the phone was, until its own next request.
    pub(crate) fn follow(&self, call_id: &str, contact: &str, flow: Flow) {
        for inbox in &self.shards {
            let (call_id, contact) = (call_id.into(), contact.into());
            let command = sip::Command::Follow {
                call_id,
                contact,
                flow,
            };
            if inbox.try_send(sip::Input::Command(command)).is_err() {
                tracing::warn!("a call does not follow its phone");
            }
        }
    }

    /// Gives a shard's stack a command and waits for room: for what must not be lost, such as the end of a leg.
    pub async fn deliver(&self, shard: u8, command: sip::Command) -> Result<(), Closed> {
        let inbox = self.shards.get(usize::from(shard)).ok_or(Closed)?;
        inbox
            .send(sip::Input::Command(command))
            .await
            .map_err(|_| Closed)
    }
}

/// A connection that is wanted, to a peer that did not open it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Dial {
    /// TCP or TLS; WebSockets are opened by clients only (RFC 7118 §5).
    pub transport: Transport,
    /// The peer.
    pub remote: SocketAddr,
    /// The host that the URI named before it was resolved: under TLS the peer's certificate must be for it (RFC 5922 §7.2). An
    /// IP address is as good as a name when the certificate has it.
    pub host: Text,
}

/// The way to new connections. It never waits: the flow can be used at once. What is sent on it waits, within the bounds
/// of every connection, until the connection is there; if it never is, the stacks are told that the flow is gone, and its
/// transactions end as on any lost connection (503). The same wish finds the connection that is open (RFC 5923 §8.1).
#[derive(Clone)]
pub struct Dialer(Arc<dyn Fn(Dial) -> Option<Flow> + Send + Sync>);

impl Dialer {
    /// Wraps what opens connections; it answers nothing when a limit is reached or the transport is none that it can open.
    pub fn new(dial: impl Fn(Dial) -> Option<Flow> + Send + Sync + 'static) -> Self {
        Self(Arc::new(dial))
    }

    /// Opens none.
    pub fn none() -> Self {
        Self::new(|_| None)
    }

    /// The flow to a peer, open or about to be.
    pub fn dial(&self, dial: Dial) -> Option<Flow> {
        (self.0)(dial)
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dialer")
    }
}

/// The way to the media plane. What is behind it (a channel and a wake-up) is the server's business.
#[derive(Clone)]
pub struct MediaHandle(Arc<MediaWay>);

struct MediaWay {
    send: Box<dyn Fn(media::Command) -> Result<(), media::Command> + Send + Sync>,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl MediaHandle {
    /// Wraps what takes a command, or gives it back when its queue is full, and what has the plane look at the queue.
    pub fn new(
        send: impl Fn(media::Command) -> Result<(), media::Command> + Send + Sync + 'static,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let (send, wake) = (Box::new(send), Box::new(wake));
        Self(Arc::new(MediaWay { send, wake }))
    }

    /// Gives the plane a command, without waiting. It need not look at it before [`MediaHandle::wake`].
    pub fn send(&self, command: media::Command) -> Result<(), media::Command> {
        (self.0.send)(command)
    }

    /// Has the plane look at what was sent.
    pub fn wake(&self) {
        (self.0.wake)();
    }
}

impl fmt::Debug for MediaHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MediaHandle")
    }
}
