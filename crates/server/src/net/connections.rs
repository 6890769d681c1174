//! The open stream connections: who may open one, and the bounded queue of what is to be written to each.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use bytes::Bytes;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use futures_util::task::AtomicWaker;
use offhook_core::Dial;
use sip::FlowId;
use tokio_util::sync::CancellationToken;

use super::counters::{Counters, add};

/// Bytes that may wait for a peer that does not read; beyond it the connection is closed.
const QUEUE_BYTES: usize = 1 << 20;

/// Messages that may wait for a peer that does not read.
const QUEUE_MESSAGES: usize = 4096;

/// All stream connections of the process: SIP over TCP and WebSocket, and HTTP.
#[derive(Debug)]
pub struct Connections {
    flows: DashMap<u64, Arc<Shared>>,
    /// The connections that we opened, or are about to. At most as many as there are flows.
    dialled: DashMap<Dial, FlowId>,
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
    /// Whose share it takes; nobody's while the peer is a proxy.
    address: Option<IpAddr>,
}

/// The connection's own end of its queue; dropping it takes the flow out of the table.
#[derive(Debug)]
pub struct Opened {
    /// The flow's number; numbers are never used twice, not even by the next process.
    pub id: FlowId,
    shared: Arc<Shared>,
    connections: Arc<Connections>,
    /// What it was opened for, when we opened it.
    dialled: Option<Dial>,
}

/// What others have of a connection: small, because there are many of them, and most of their queues are empty.
#[derive(Default, Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// The connection's task, which waits for the queue or for the end.
    task: AtomicWaker,
    /// The connection has to close.
    closed: AtomicBool,
    /// Shards that have sessions on the connection.
    kept: AtomicUsize,
}

#[derive(Default, Debug)]
struct Queue {
    messages: VecDeque<Bytes>,
    /// Their length in all.
    bytes: usize,
}

impl Shared {
    /// False when there is no room.
    fn push(&self, bytes: Bytes) -> bool {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let length = queue.bytes + bytes.len();
        if length > QUEUE_BYTES || queue.messages.len() >= QUEUE_MESSAGES {
            return false;
        }
        queue.bytes = length;
        queue.messages.push_back(bytes);
        drop(queue);
        self.task.wake();
        true
    }

    fn pop(&self) -> Option<Bytes> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = queue.messages.pop_front()?;
        queue.bytes -= bytes.len();
        if queue.messages.is_empty() {
            queue.messages = VecDeque::new();
        }
        Some(bytes)
    }

    fn close(&self) -> bool {
        let first = !self.closed.swap(true, Ordering::AcqRel);
        self.task.wake();
        first
    }
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
            dialled: DashMap::new(),
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
        let mut admission = self.admit_shared()?;
        admission.belongs_to(address).then_some(admission)
    }

    /// Gives room for a connection that stands for clients which are not known yet, or that we open ourselves.
    pub fn admit_shared(self: &Arc<Self>) -> Option<Admission> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.most {
            self.open.fetch_sub(1, Ordering::Relaxed);
            add(&self.counters.refused_connections, 1);
            return None;
        }
        Some(Admission {
            connections: self.clone(),
            address: None,
        })
    }

    /// Enters a new SIP connection.
    pub fn open(self: &Arc<Self>, stop: &CancellationToken) -> Opened {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::<Shared>::default();
        self.flows.insert(id, shared.clone());
        // Either this sees the end, or `close_all` sees the entry.
        if stop.is_cancelled() {
            shared.close();
        }
        Opened {
            id: FlowId(id),
            shared,
            connections: self.clone(),
            dialled: None,
        }
    }

    /// The connection that was opened for this wish (RFC 5923 §8.1), or a new entry for one that is to be opened.
    pub fn find_or_open(self: &Arc<Self>, dial: Dial, stop: &CancellationToken) -> Dialled {
        match self.dialled.entry(dial) {
            Entry::Occupied(entry) => Dialled::Before(*entry.get()),
            Entry::Vacant(entry) => {
                let mut opened = self.open(stop);
                opened.dialled = Some(entry.key().clone());
                entry.insert(opened.id);
                Dialled::Anew(opened)
            }
        }
    }

    /// A shard has its first session on this connection, or no session any more.
    pub fn keep(&self, id: FlowId, more: bool) {
        if let Some(flow) = self.flows.get(&id.0) {
            let kept = &flow.kept;
            // Each shard takes back only what it gave, and a connection does not come back under its number.
            match more {
                true => kept.fetch_add(1, Ordering::Relaxed),
                false => kept.fetch_sub(1, Ordering::Relaxed),
            };
        }
    }

    /// Queues a message for a flow. False when the flow is gone; a flow whose peer does not read is closed here.
    pub fn send(&self, id: FlowId, bytes: Bytes) -> bool {
        let Some(flow) = self.flows.get(&id.0) else {
            return false;
        };
        if flow.closed.load(Ordering::Acquire) {
            return false;
        }
        if flow.push(bytes) {
            return true;
        }
        if flow.close() {
            add(&self.counters.slow_connections, 1);
        }
        false
    }

    /// Closes all of them: call it after the token that `open` was given is cancelled.
    pub fn close_all(&self) {
        for flow in &self.flows {
            flow.close();
        }
    }

    /// What is counted here and by the connections.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Connections that are open, HTTP included.
    pub fn count(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

/// What a wish for a connection found.
#[derive(Debug)]
pub enum Dialled {
    /// One that is open, or about to be.
    Before(FlowId),
    /// Nothing: this one is to be opened.
    Anew(Opened),
}

impl Opened {
    /// Waits for the next message to write. Only the connection's own task may wait.
    pub async fn next(&mut self) -> Bytes {
        poll_fn(|context| {
            self.shared.task.register(context.waker());
            self.shared.pop().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// What tells whether the connection is needed.
    pub fn usage(&self) -> Usage {
        Usage {
            shared: self.shared.clone(),
            ours: self.dialled.is_some(),
        }
    }
}

/// Whether a connection is needed.
#[derive(Debug)]
pub struct Usage {
    shared: Arc<Shared>,
    ours: bool,
}

impl Usage {
    /// Waits until the connection has to close. Only its own task may wait.
    pub async fn closed(&self) {
        poll_fn(|context| {
            self.shared.task.register(context.waker());
            match self.shared.closed.load(Ordering::Acquire) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }

    /// Whether a session goes over it.
    pub fn is_kept(&self) -> bool {
        self.shared.kept.load(Ordering::Relaxed) > 0
    }

    /// Whether we opened it.
    pub fn is_ours(&self) -> bool {
        self.ours
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if let Some(dial) = &self.dialled {
            self.connections.dialled.remove(dial);
        }
        self.connections.flows.remove(&self.id.0);
    }
}

impl Admission {
    /// Takes the connection from the share of this address. False when that one is used up.
    pub fn belongs_to(&mut self, address: IpAddr) -> bool {
        let address = network(address);
        let connections = &self.connections;
        let mut here = connections.by_address.entry(address).or_insert(0);
        if *here >= connections.most_by_address {
            add(&connections.counters.refused_connections, 1);
            return false;
        }
        *here += 1;
        self.address = Some(address);
        true
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.connections.open.fetch_sub(1, Ordering::Relaxed);
        let Some(address) = self.address else {
            return;
        };
        if let Entry::Occupied(mut entry) = self.connections.by_address.entry(address) {
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
    use futures_util::FutureExt;
    use tokio_util::sync::CancellationToken;

    use super::{Arc, Connections, Counters, Dial, Dialled, Ordering, QUEUE_BYTES};

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
    fn a_connection_is_opened_once_for_each_wish_until_it_is_gone() {
        let connections = connections(9, 9);
        let stop = CancellationToken::new();
        let wish = |host: &'static str| Dial {
            transport: sip::Transport::Tls,
            remote: "192.0.2.1:5061".parse().unwrap(),
            host: host.into(),
        };
        let anew = |dialled| match dialled {
            Dialled::Anew(opened) => opened,
            Dialled::Before(id) => panic!("{id:?} is there"),
        };
        let first = anew(connections.find_or_open(wish("a.example"), &stop));
        assert!(first.usage().is_ours());
        let again = connections.find_or_open(wish("a.example"), &stop);
        assert!(matches!(again, Dialled::Before(id) if id == first.id));
        // A certificate for one name proves nothing about another one.
        let other = anew(connections.find_or_open(wish("b.example"), &stop));
        assert_ne!(other.id, first.id);
        let id = first.id;
        drop(first);
        assert_ne!(
            anew(connections.find_or_open(wish("a.example"), &stop)).id,
            id
        );
    }

    #[tokio::test]
    async fn messages_come_out_in_order_and_an_empty_queue_holds_no_memory() {
        let connections = connections(9, 9);
        let stop = CancellationToken::new();
        let mut opened = connections.open(&stop);
        let id = opened.id;
        assert!(opened.next().now_or_never().is_none());
        for text in ["one", "two"] {
            assert!(connections.send(id, Bytes::from_static(text.as_bytes())));
        }
        assert_eq!(opened.next().await, "one");
        assert_eq!(opened.next().await, "two");
        {
            let queue = opened.shared.queue.lock().unwrap();
            assert_eq!((queue.bytes, queue.messages.capacity()), (0, 0));
        }
        // The end reaches those that are open, and those that open behind it.
        let usage = opened.usage();
        let ended = async {
            stop.cancel();
            connections.close_all();
        };
        tokio::join!(usage.closed(), ended);
        assert!(!connections.send(id, Bytes::new()));
        connections.open(&stop).usage().closed().await;
    }

    #[test]
    fn sessions_of_several_shards_keep_a_connection() {
        let connections = connections(9, 9);
        let opened = connections.open(&CancellationToken::new());
        assert!(!opened.usage().is_kept());
        connections.keep(opened.id, true);
        connections.keep(opened.id, true);
        connections.keep(opened.id, false);
        assert!(opened.usage().is_kept());
        connections.keep(opened.id, false);
        assert!(!opened.usage().is_kept());
    }

    #[test]
    fn room_behind_a_proxy_is_the_client_s_once_it_is_known() {
        let connections = connections(3, 1);
        let client = "192.0.2.1".parse().unwrap();
        let mut first = connections.admit_shared().unwrap();
        assert!(first.belongs_to(client));
        let mut second = connections.admit_shared().unwrap();
        assert!(!second.belongs_to(client));
        drop(second);
        assert_eq!(connections.count(), 1);
        drop(first);
        assert!(connections.admit(client).is_some());
        assert!(connections.by_address.is_empty());
    }

    #[test]
    fn a_peer_that_does_not_read_is_closed_and_the_flow_goes_with_its_connection() {
        let connections = connections(9, 9);
        let opened = connections.open(&CancellationToken::new());
        let half = Bytes::from(vec![0; QUEUE_BYTES / 2]);
        assert!(connections.send(opened.id, half.clone()));
        assert!(connections.send(opened.id, half));
        assert!(opened.usage().closed().now_or_never().is_none());
        assert!(!connections.send(opened.id, Bytes::from_static(b"one more")));
        assert!(opened.usage().closed().now_or_never().is_some());
        let id = opened.id;
        drop(opened);
        assert!(!connections.send(id, Bytes::new()));
        assert!(connections.flows.is_empty());
    }
}
