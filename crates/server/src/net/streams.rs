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
use super::proxies::{self, Proxies};

/// Until a proxy has said for whom it speaks.
const HEADER: Duration = Duration::from_secs(5);

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
    /// Whose word about a client's address is taken.
    pub proxies: Arc<Proxies>,
    /// Pages that may open WebSockets; all of them when it is empty.
    pub origins: Arc<[String]>,
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
        // Room first: a future that waits with the input in it would be kilobytes, in each connection's task. An error means
        // that the thread has ended, and so will this connection.
        if let Ok(room) = inbox.reserve().await {
            room.send(Input::Received { flow, bytes });
        }
    }

    /// Tells all signalling threads, since a call on any of them may use the flow, and then the registrar.
    pub async fn closed(&self, id: FlowId) {
        for inbox in self.inboxes.iter() {
            if let Ok(room) = inbox.reserve().await {
                room.send(Input::FlowClosed(id));
            }
        }
        self.core.flow_closed(id);
    }

    /// Accepts connections until the end, of a listener for this transport; `serve` is run as a task for each one that the limits admit.
    pub async fn accept<F>(
        &self,
        listener: TcpListener,
        transport: Transport,
        serve: impl Fn(TcpStream, Flow, Admission) -> F + Clone + Send + 'static,
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
            let admission = match self.proxies.is_shared(remote.ip()) {
                true => self.connections.admit_shared(),
                false => self.connections.admit(remote.ip()),
            };
            let Some(admission) = admission else {
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
            if !self.proxies.announces(remote.ip()) {
                self.tasks.spawn(serve(stream, flow, admission));
                continue;
            }
            let (streams, serve) = (self.clone(), serve.clone());
            self.tasks.spawn(async move {
                let announced = Box::pin(streams.announced(stream, flow, admission));
                if let Some((stream, flow, admission)) = announced.await {
                    serve(stream, flow, admission).await;
                }
            });
        }
    }

    /// Hears from a proxy for whom it speaks.
    async fn announced(
        &self,
        mut stream: TcpStream,
        flow: Flow,
        mut admission: Admission,
    ) -> Option<(TcpStream, Flow, Admission)> {
        let header = tokio::time::timeout(HEADER, proxies::read_header(&mut stream));
        let header = match header.await {
            Ok(header) => header,
            Err(late) => Err(late.into()),
        };
        match header {
            Ok(None) => Some((stream, flow, admission)),
            Ok(Some((remote, _))) => {
                let admitted = admission.belongs_to(remote.ip());
                admitted.then_some((stream, Flow { remote, ..flow }, admission))
            }
            Err(error) => {
                tracing::debug!(%error, proxy = %flow.remote, "a proxy did not say for whom it speaks");
                add(&self.counters.broken_connections, 1);
                None
            }
        }
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
