//! What every stream listener shares: the way to the signalling threads, the table of connections, the end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use offhook_core::Core;
use sip::{Flow, FlowId, Input, Transport};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connections::{Admission, Connections};
use super::counters::{Counters, add};

/// The bounded queues of the signalling threads, by number of the shard.
pub type Inboxes = Vec<mpsc::Sender<Input>>;

/// Shared by all stream listeners and their connections; cheap to clone.
#[derive(Clone)]
pub struct Streams {
    /// The open connections.
    pub connections: Arc<Connections>,
    /// The signalling threads.
    pub inboxes: Arc<Inboxes>,
    /// What is counted.
    pub counters: Arc<Counters>,
    /// All tasks of listeners and connections.
    pub tasks: TaskTracker,
    /// The end of all of them.
    pub stop: CancellationToken,
    /// Told of a flow that is gone: the registrar drops its bindings.
    pub core: Arc<Core>,
}

impl Streams {
    /// Hands a message to the flow's signalling thread. Waits while that one's inbox is full, and so the peer waits.
    pub async fn received(&self, flow: Flow, bytes: Bytes) {
        let Some(inbox) = self
            .inboxes
            .get((flow.id.0 % self.inboxes.len().max(1) as u64) as usize)
        else {
            return;
        };
        add(&self.counters.received, 1);
        // An error means that the thread has ended, and so will this connection.
        let _ = inbox.send(Input::Received { flow, bytes }).await;
    }

    /// Tells all signalling threads, since a call on any of them may use the flow, and then the registrar.
    pub async fn closed(&self, id: FlowId) {
        for inbox in self.inboxes.iter() {
            let _ = inbox.send(Input::FlowClosed(id)).await;
        }
        self.core.flow_closed(id);
    }

    /// Accepts connections until the end, of a listener for this transport; `serve` is run as a task for each one that the limits admit.
    pub async fn accept<F>(
        &self,
        listener: TcpListener,
        transport: Transport,
        serve: impl Fn(TcpStream, Flow, Admission) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.stop.cancelled() => return,
            };
            let (stream, remote) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, most likely: the others need time to close some.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Some(admission) = self.connections.admit(remote.ip()) else {
                continue;
            };
            let _ = stream.set_nodelay(true);
            let Ok(local) = stream.local_addr() else {
                continue;
            };
            let flow = Flow {
                transport,
                id: FlowId::NONE,
                local: canonical(local),
                remote: canonical(remote),
            };
            self.tasks.spawn(serve(stream, flow, admission));
        }
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
