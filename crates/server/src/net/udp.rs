//! SIP over UDP: the sockets of one signalling thread. All threads have a socket for each listening address; the kernel
//! deals datagrams out by their source (SO_REUSEPORT), so that one phone stays with one thread.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::task::{Context, Poll};

use bytes::Bytes;
use offhook_core::Gate;
use sip::{Flow, FlowId, Transport};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::batch::{self, Flushed, Receiver, Sender};

/// One socket with its buffers.
pub struct Datagrams {
    socket: UdpSocket,
    local: SocketAddr,
    receiver: Receiver,
    sender: Sender,
}

impl Datagrams {
    /// Takes a bound socket. Has to be called on the runtime that will wait for it.
    pub fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let local = socket.local_addr()?;
        if local.ip().is_unspecified() {
            batch::ask_for_destination(socket.as_fd(), local.is_ipv6())?;
        }
        let socket = UdpSocket::from_std(socket)?;
        Ok(Self {
            socket,
            local,
            receiver: Receiver::new(),
            sender: Sender::new(),
        })
    }

    /// Whether a datagram waits.
    pub fn poll_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_recv_ready(context)
    }

    /// Receives one batch; answers how many came, 0 when nothing waits. What `short` answers at once it writes into the
    /// buffer that is sent next; what it does not take (false) is handed to `each`.
    pub fn receive(
        &mut self,
        flushed: &mut Flushed,
        mut short: impl FnMut(Flow, &[u8], &mut Vec<u8>) -> bool,
        mut each: impl FnMut(Flow, Bytes),
    ) -> io::Result<usize> {
        let Self {
            socket,
            local: bound,
            receiver,
            sender,
        } = self;
        let received = socket.try_io(Interest::READABLE, || {
            receiver.receive(socket.as_fd(), |datagram| {
                let local = SocketAddr::new(datagram.local.unwrap_or(bound.ip()), bound.port());
                let flow = Flow {
                    transport: Transport::Udp,
                    id: FlowId::NONE,
                    local,
                    remote: datagram.remote,
                };
                let mut taken = false;
                if sender.write(flow.remote, datagram.local, |out| {
                    taken = short(flow, datagram.bytes, out);
                }) {
                    *flushed += sender.flush(socket.as_fd());
                }
                if !taken {
                    // A copy of its exact size: what a call or binding keeps of it must not hold 64 KiB.
                    each(flow, Bytes::copy_from_slice(datagram.bytes));
                }
            })
        });
        match received {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            other => other,
        }
    }

    /// How full its receive buffer is, in thousandths, after a batch of this size: one that was not full left nothing behind.
    pub fn fullness(&self, received: usize) -> u16 {
        match received < batch::BATCH {
            true => 0,
            false => batch::fullness(self.socket.as_fd()),
        }
    }

    /// Tells the kernel what to drop before it is read.
    pub fn gate(&self, gate: Gate) -> io::Result<()> {
        batch::gate(self.socket.as_fd(), gate.keep, gate.long)
    }

    /// How well this socket fits a flow, lower being better; nothing when it cannot reach it.
    pub fn fit(&self, flow: &Flow) -> Option<u8> {
        if self.local.is_ipv4() != flow.remote.is_ipv4() {
            return None;
        }
        let same_port = self.local.port() == flow.local.port();
        let same_address = self.local.ip() == flow.local.ip();
        Some(match (same_port, same_address) {
            (true, true) => 0,
            (true, false) if self.local.ip().is_unspecified() => 1,
            // The flow is of an earlier process that listened elsewhere: any socket of the family is better than none.
            _ => 2,
        })
    }

    /// Adds a message to the batch, which is sent when it is full.
    pub fn send(&mut self, flow: &Flow, bytes: Bytes) -> Flushed {
        let local = (self.local.ip().is_unspecified() && !flow.local.ip().is_unspecified())
            .then_some(flow.local.ip());
        if self.sender.push(bytes, flow.remote, local) {
            self.flush()
        } else {
            Flushed::default()
        }
    }

    /// Sends the batch.
    pub fn flush(&mut self) -> Flushed {
        if self.sender.is_empty() {
            return Flushed::default();
        }
        self.sender.flush(self.socket.as_fd())
    }
}
