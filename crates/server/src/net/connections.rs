//! The open stream connections: who may open one, and the bounded queue of what is to be written to each.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use dashmap::DashMap;
use sip::FlowId;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::counters::{Counters, add};

/// Bytes that may wait for a peer that does not read; beyond it the connection is closed.
const QUEUE_BYTES: usize = 1 << 20;

/// Messages that may wait for a peer that does not read.
const QUEUE_MESSAGES: usize = 4096;

/// All stream connections of the process: SIP over TCP and WebSocket, and HTTP.
#[derive(Debug)]
pub struct Connections {
    flows: DashMap<u64, Outgoing>,
    next: AtomicU64,
    open: AtomicUsize,
    by_address: DashMap<IpAddr, usize>,
    most: usize,
    most_by_address: usize,
    counters: Arc<Counters>,
}

/// Room for one connection, given back when it is dropped.
#[derive(Debug)]
pub struct Admission {
    connections: Arc<Connections>,
    address: IpAddr,
}

/// The connection's own end of its queue; dropping it takes the flow out of the table.
#[derive(Debug)]
pub struct Opened {
    /// The flow's number; numbers are never used twice, not even by the next process.
    pub id: FlowId,
    /// Is cancelled when the connection has to close.
    pub closed: CancellationToken,
    queue: mpsc::Receiver<Bytes>,
    waiting: Arc<AtomicUsize>,
    connections: Arc<Connections>,
}

#[derive(Debug)]
struct Outgoing {
    queue: mpsc::Sender<Bytes>,
    waiting: Arc<AtomicUsize>,
    closed: CancellationToken,
}

impl Connections {
    /// Makes the empty table. Numbers begin at the second of start, so that a flow in the database of an earlier process
    /// never names a connection of this one.
    pub fn new(
        most: usize,
        most_by_address: usize,
        started: jiff::Timestamp,
        counters: Arc<Counters>,
    ) -> Arc<Self> {
        let first = u64::try_from(started.as_second()).unwrap_or(1) << 24;
        Arc::new(Self {
            flows: DashMap::new(),
            next: AtomicU64::new(first),
            open: AtomicUsize::new(0),
            by_address: DashMap::new(),
            most,
            most_by_address,
            counters,
        })
    }

    /// Gives room for a connection from this address, or nothing when a limit is reached.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Admission> {
        let address = network(address);
        let mut here = self.by_address.entry(address).or_insert(0);
        if *here >= self.most_by_address || self.open.load(Ordering::Relaxed) >= self.most {
            add(&self.counters.refused_connections, 1);
            return None;
        }
        *here += 1;
        self.open.fetch_add(1, Ordering::Relaxed);
        Some(Admission {
            connections: self.clone(),
            address,
        })
    }

    /// Enters a new SIP connection.
    pub fn open(self: &Arc<Self>, stop: &CancellationToken) -> Opened {
        let (sender, queue) = mpsc::channel(QUEUE_MESSAGES);
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let waiting = Arc::new(AtomicUsize::new(0));
        let closed = stop.child_token();
        self.flows.insert(
            id,
            Outgoing {
                queue: sender,
                waiting: waiting.clone(),
                closed: closed.clone(),
            },
        );
        Opened {
            id: FlowId(id),
            closed,
            queue,
            waiting,
            connections: self.clone(),
        }
    }

    /// Queues a message for a flow. False when the flow is gone; a flow whose peer does not read is closed here.
    pub fn send(&self, id: FlowId, bytes: Bytes) -> bool {
        let Some(flow) = self.flows.get(&id.0) else {
            return false;
        };
        let length = bytes.len();
        let waiting = flow.waiting.fetch_add(length, Ordering::Relaxed) + length;
        if waiting <= QUEUE_BYTES && flow.queue.try_send(bytes).is_ok() {
            return true;
        }
        if !flow.closed.is_cancelled() {
            add(&self.counters.slow_connections, 1);
            flow.closed.cancel();
        }
        false
    }

    /// Connections that are open, HTTP included.
    pub fn count(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

impl Opened {
    /// Waits for the next message to write.
    pub async fn next(&mut self) -> Option<Bytes> {
        let bytes = self.queue.recv().await?;
        self.waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
        Some(bytes)
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.connections.flows.remove(&self.id.0);
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.connections.open.fetch_sub(1, Ordering::Relaxed);
        if let dashmap::Entry::Occupied(mut entry) = self.connections.by_address.entry(self.address)
        {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

/// What counts as one address: an IPv6 customer has a /64 network of them.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) if address.to_ipv4_mapped().is_none() => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        other => other.to_canonical(),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio_util::sync::CancellationToken;

    use super::{Arc, Connections, Counters, Ordering, QUEUE_BYTES};

    fn connections(most: usize, most_by_address: usize) -> Arc<Connections> {
        Connections::new(
            most,
            most_by_address,
            jiff::Timestamp::UNIX_EPOCH,
            Arc::new(Counters::default()),
        )
    }

    #[test]
    fn one_address_cannot_take_the_room_of_all() {
        let connections = connections(3, 2);
        let (near, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let first = connections.admit(near).unwrap();
        let _second = connections.admit(near).unwrap();
        assert!(connections.admit(near).is_none());
        let _third = connections.admit(other).unwrap();
        assert!(connections.admit(other).is_none());
        drop(first);
        assert!(connections.admit(near).is_some());
        assert_eq!(
            connections
                .counters
                .refused_connections
                .load(Ordering::Relaxed),
            2
        );
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_as_one() {
        let connections = connections(9, 1);
        let _first = connections.admit("2001:db8::1".parse().unwrap()).unwrap();
        assert!(connections.admit("2001:db8::2".parse().unwrap()).is_none());
        assert!(
            connections
                .admit("2001:db8:0:1::2".parse().unwrap())
                .is_some()
        );
    }

    #[test]
    fn a_peer_that_does_not_read_is_closed_and_the_flow_goes_with_its_connection() {
        let connections = connections(9, 9);
        let opened = connections.open(&CancellationToken::new());
        let half = Bytes::from(vec![0; QUEUE_BYTES / 2]);
        assert!(connections.send(opened.id, half.clone()));
        assert!(connections.send(opened.id, half));
        assert!(!opened.closed.is_cancelled());
        assert!(!connections.send(opened.id, Bytes::from_static(b"one more")));
        assert!(opened.closed.is_cancelled());
        let id = opened.id;
        drop(opened);
        assert!(!connections.send(id, Bytes::new()));
        assert!(connections.flows.is_empty());
    }
}
