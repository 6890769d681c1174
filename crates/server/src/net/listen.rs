//! Binds the listening addresses: free ports for 0, the same number for UDP and TCP, and an error that names the remedy.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

/// Asked of the kernel for each UDP socket; it grants what net.core.rmem_max and wmem_max allow.
const SOCKET_BUFFER: usize = 8 << 20;

/// Tries for a number that is free for both UDP and TCP.
const TRIES: usize = 64;

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({what}): {source}. {remedy}")]
pub struct ListenError {
    address: SocketAddr,
    what: &'static str,
    source: io::Error,
    remedy: String,
}

/// A UDP address with one socket for each signalling thread.
#[derive(Debug)]
pub struct UdpListeners {
    /// The address in use.
    pub address: SocketAddr,
    /// As many sockets as there are shards.
    pub sockets: Vec<UdpSocket>,
}

/// The SIP listeners that are in use.
#[derive(Debug)]
pub struct SipListeners {
    /// By entry of `sip.udp`.
    pub udp: Vec<UdpListeners>,
    /// By entry of `sip.tcp`.
    pub tcp: Vec<TcpListener>,
}

/// Binds all UDP and TCP addresses. A UDP and a TCP address with the same IP and port 0 get the same number.
pub fn sip(
    udp: &[SocketAddr],
    tcp: &[SocketAddr],
    shards: u8,
) -> Result<SipListeners, ListenError> {
    let mut listeners = SipListeners {
        udp: Vec::new(),
        tcp: Vec::new(),
    };
    let mut alone: Vec<SocketAddr> = tcp.to_vec();
    for address in udp {
        let partner = alone
            .iter()
            .position(|other| address.port() == 0 && other == address);
        match partner {
            Some(index) => {
                alone.remove(index);
                let (datagrams, stream) = pair(*address, shards)?;
                listeners.udp.push(datagrams);
                listeners.tcp.push(stream);
            }
            None => listeners.udp.push(datagrams(*address, shards)?),
        }
    }
    for address in alone {
        listeners.tcp.push(stream(address, "SIP over TCP", "sip")?);
    }
    Ok(listeners)
}

/// Binds a TCP address. `option` is the command line's option that moves it.
pub fn stream(
    address: SocketAddr,
    what: &'static str,
    option: &str,
) -> Result<TcpListener, ListenError> {
    bind_stream(address).map_err(|source| refused(address, what, option, source))
}

fn datagrams(address: SocketAddr, shards: u8) -> Result<UdpListeners, ListenError> {
    bind_datagrams(address, shards)
        .map_err(|source| refused(address, "SIP over UDP", "sip", source))
}

fn pair(address: SocketAddr, shards: u8) -> Result<(UdpListeners, TcpListener), ListenError> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..TRIES {
        let datagrams = datagrams(address, shards)?;
        match bind_stream(datagrams.address) {
            Ok(stream) => return Ok((datagrams, stream)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
            Err(error) => return Err(refused(datagrams.address, "SIP over TCP", "sip", error)),
        }
    }
    Err(refused(address, "SIP over UDP and TCP", "sip", last))
}

fn bind_stream(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A restart must not wait for the last connections of the one before.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn bind_datagrams(address: SocketAddr, shards: u8) -> io::Result<UdpListeners> {
    // The first one is bound without SO_REUSEPORT, so that another program's socket is noticed instead of shared.
    let first = datagram_socket(address, false)?;
    let address = first.local_addr()?;
    let mut sockets = vec![first];
    if shards > 1 {
        socket2::SockRef::from(&sockets[0]).set_reuse_port(true)?;
        for _ in 1..shards {
            sockets.push(datagram_socket(address, true)?);
        }
    }
    Ok(UdpListeners { address, sockets })
}

fn datagram_socket(address: SocketAddr, shared: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if shared {
        socket.set_reuse_port(true)?;
    }
    // The kernel may grant less; it is not worth refusing to start.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn refused(
    address: SocketAddr,
    what: &'static str,
    option: &str,
    source: io::Error,
) -> ListenError {
    let ip = match address {
        SocketAddr::V4(address) => address.ip().to_string(),
        SocketAddr::V6(address) => format!("[{}]", address.ip()),
    };
    let key = match (option, what) {
        ("http", "HTTP") => "http.listen",
        ("http", "ACME challenges") => "acme.listen",
        ("http", _) => "sip.ws and sip.wss",
        _ => "sip.udp, sip.tcp and sip.tls",
    };
    let remedy = match source.kind() {
        io::ErrorKind::AddrInUse => format!(
            "Another program has this port: `ss -ltnup | grep :{}` shows which. Stop it, or take a free port with \
             `--{option} {ip}:0` (or the keys {key})",
            address.port()
        ),
        io::ErrorKind::PermissionDenied => {
            format!(
                "Ports below 1024 need CAP_NET_BIND_SERVICE; take a higher one with `--{option} {ip}:0` (or the keys {key})"
            )
        }
        io::ErrorKind::AddrNotAvailable => {
            format!(
                "This machine does not have that address: `ip address` lists those it has; change the keys {key}"
            )
        }
        _ => format!("Change the keys {key}"),
    };
    ListenError {
        address,
        what,
        source,
        remedy,
    }
}

#[cfg(test)]
mod tests {
    use super::{sip, stream};

    #[test]
    fn port_zero_is_the_same_number_for_udp_and_tcp() {
        let any = "127.0.0.1:0".parse().unwrap();
        let listeners = sip(&[any], &[any], 2).unwrap();
        let udp = listeners.udp[0].address;
        assert_ne!(udp.port(), 0);
        assert_eq!(listeners.tcp[0].local_addr().unwrap(), udp);
        assert_eq!(listeners.udp[0].sockets.len(), 2);
        assert!(
            listeners.udp[0]
                .sockets
                .iter()
                .all(|socket| socket.local_addr().unwrap() == udp)
        );
    }

    #[test]
    fn a_taken_port_is_an_error_that_names_the_remedy() {
        let any = "127.0.0.1:0".parse().unwrap();
        let taken = sip(&[any], &[any], 2).unwrap();
        let address = taken.udp[0].address;
        let error = sip(&[address], &[], 2).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!(
                "cannot listen on {address} (SIP over UDP): Address already in use"
            )),
            "{error}"
        );
        assert!(
            error.contains(&format!("ss -ltnup | grep :{}", address.port())),
            "{error}"
        );
        assert!(error.contains("--sip 127.0.0.1:0"), "{error}");
        let error = stream(address, "HTTP", "http").unwrap_err().to_string();
        assert!(error.contains("--http 127.0.0.1:0"), "{error}");
    }
}
