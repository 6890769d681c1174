//! The ways down to the machines that the server owns: the stacks and the media plane.

use std::fmt;
use std::sync::Arc;

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
}

impl Signalling {
    /// Gives a shard's stack a command, without waiting.
    pub fn send(&self, shard: u8, command: sip::Command) -> Result<(), Closed> {
        let inbox = self.shards.get(usize::from(shard)).ok_or(Closed)?;
        inbox
            .try_send(sip::Input::Command(command))
            .map_err(|_| Closed)
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

/// What a [`MediaHandle`] does with a command: it takes it, or gives it back when the queue is full.
type SendMedia = dyn Fn(media::Command) -> Result<(), media::Command> + Send + Sync;

/// The way to the media plane. What is behind it (a channel and a wake-up) is the server's business.
#[derive(Clone)]
pub struct MediaHandle(Arc<SendMedia>);

impl MediaHandle {
    /// Wraps what takes a command, or gives it back when its queue is full.
    pub fn new(
        send: impl Fn(media::Command) -> Result<(), media::Command> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(send))
    }

    /// Gives the plane a command, without waiting.
    pub fn send(&self, command: media::Command) -> Result<(), media::Command> {
        (self.0)(command)
    }
}

impl fmt::Debug for MediaHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MediaHandle")
    }
}
