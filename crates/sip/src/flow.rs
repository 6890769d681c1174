//! Where a message came from and where its answer must go: RFC 3261 §18, RFC 5626 §4.2.

use std::fmt;
use std::net::SocketAddr;

/// A transport that SIP runs over (RFC 3261 §18, RFC 7118 §3).
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A plain stream.
    Tcp,
    /// A stream under TLS.
    Tls,
    /// A WebSocket.
    Ws,
    /// A WebSocket under TLS.
    Wss,
}

impl Transport {
    /// Spells the transport as a Via does (RFC 3261 §20.42).
    pub const fn via_name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }

    /// Tells whether the transport retransmits by itself, so that transactions need not (RFC 3261 §17).
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Self::Udp)
    }

    /// Gives the value of a `transport` URI parameter, or nothing where the scheme's default says it
    /// (RFC 3261 §19.1.1, RFC 7118 §5.2).
    pub const fn uri_param(self) -> Option<&'static str> {
        match self {
            Self::Udp => None,
            Self::Tcp => Some("tcp"),
            Self::Tls => Some("tls"),
            Self::Ws | Self::Wss => Some("ws"),
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.via_name())
    }
}

/// The number of a stream connection of this process.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct FlowId(pub u64);

impl FlowId {
    /// What datagrams have: no connection.
    pub const NONE: Self = Self(0);
}

/// One transport association: what a reply, or a call to a phone behind NAT, must use (RFC 5626 §4.2).
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct Flow {
    /// The kind of transport.
    pub transport: Transport,
    /// The connection, or [`FlowId::NONE`].
    pub id: FlowId,
    /// Our address.
    pub local: SocketAddr,
    /// The other side's address as the operating system shows it.
    pub remote: SocketAddr,
}
