//! Many datagrams with one system call: recvmmsg and sendmmsg. The only unsafe code of the program.
//!
//! On a socket that is bound to all addresses the address that a datagram came to is asked of the kernel (IP_PKTINFO) and
//! given back when the answer is sent, so that answers leave from where the question went.
#![expect(
    unsafe_code,
    reason = "recvmmsg, sendmmsg and their ancillary data have no safe wrapper that reuses its buffers"
)]

use std::io;
use std::mem::{self, MaybeUninit};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::ops::{AddAssign, Range};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use bytes::Bytes;

/// Datagrams of one call.
pub const BATCH: usize = 64;

/// The largest datagram.
const DATAGRAM: usize = 65_535;

/// Room for one IP_PKTINFO or IPV6_PKTINFO, aligned as a cmsghdr has to be.
#[repr(C, align(8))]
#[derive(Copy, Clone)]
struct Control([u8; 64]);

/// One received datagram.
#[derive(Debug)]
pub struct Datagram<'a> {
    /// Its content.
    pub bytes: &'a [u8],
    /// Where it came from.
    pub remote: SocketAddr,
    /// The address it was sent to, when the socket asks for that.
    pub local: Option<IpAddr>,
}

/// The reused buffers of a receiving socket. Pages of a buffer are taken from the system only when a datagram needs them.
pub struct Receiver {
    buffers: Box<[u8]>,
    names: Box<[libc::sockaddr_storage; BATCH]>,
    controls: Box<[Control; BATCH]>,
    vectors: Box<[libc::iovec; BATCH]>,
    headers: Box<[libc::mmsghdr; BATCH]>,
}

// SAFETY: the raw pointers lead only into the boxes of the same structure, which move with it and are not shared.
unsafe impl Send for Receiver {}

impl Receiver {
    /// Makes buffers for `BATCH` datagrams of any size.
    pub fn new() -> Self {
        // SAFETY: all three are plain C structures for which all zeroes is a valid value.
        let (names, vectors, headers) = unsafe { (zeroed_box(), zeroed_box(), zeroed_box()) };
        let mut receiver = Self {
            buffers: vec![0; BATCH * DATAGRAM].into_boxed_slice(),
            names,
            controls: Box::new([Control([0; 64]); BATCH]),
            vectors,
            headers,
        };
        for (index, buffer) in receiver.buffers.chunks_exact_mut(DATAGRAM).enumerate() {
            receiver.vectors[index] = libc::iovec {
                iov_base: buffer.as_mut_ptr().cast(),
                iov_len: DATAGRAM,
            };
            let header = &mut receiver.headers[index].msg_hdr;
            header.msg_name = (&raw mut receiver.names[index]).cast();
            header.msg_iov = &raw mut receiver.vectors[index];
            header.msg_iovlen = 1;
            header.msg_control = (&raw mut receiver.controls[index]).cast();
        }
        receiver
    }

    /// Receives what is there, up to `BATCH`, and gives it to `each` in order of arrival. The socket must not block.
    pub fn receive(
        &mut self,
        socket: BorrowedFd<'_>,
        mut each: impl FnMut(Datagram<'_>),
    ) -> io::Result<usize> {
        for message in self.headers.iter_mut() {
            message.msg_hdr.msg_namelen =
                mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            message.msg_hdr.msg_controllen = mem::size_of::<Control>();
            message.msg_hdr.msg_flags = 0;
        }
        // SAFETY: every header points to a name, a vector and a control buffer of the stated sizes, all owned by `self`
        // and borrowed mutably for the time of the call.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                BATCH as u32,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        let count = usize::try_from(count)
            .map_err(|_| io::Error::last_os_error())?
            .min(BATCH);
        for (index, message) in self.headers[..count].iter().enumerate() {
            let Some(remote) = address(&self.names[index]) else {
                continue;
            };
            let start = index * DATAGRAM;
            let length = (message.msg_len as usize).min(DATAGRAM);
            // SAFETY: the kernel has just filled this header and its control buffer.
            let local = unsafe { destination(&message.msg_hdr) };
            each(Datagram {
                bytes: &self.buffers[start..start + length],
                remote,
                local,
            });
        }
        Ok(count)
    }
}

impl Default for Receiver {
    fn default() -> Self {
        Self::new()
    }
}

/// What became of a batch.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Flushed {
    /// Datagrams that the kernel took.
    pub sent: usize,
    /// Datagrams that it refused: no room in the socket's buffer, no route, too long.
    pub dropped: usize,
}

impl AddAssign for Flushed {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.dropped += other.dropped;
    }
}

/// What a datagram holds that waits to be sent.
enum Content {
    Bytes(Bytes),
    /// A part of the sender's own buffer.
    Written(Range<usize>),
}

/// The reused headers of a sending socket, and the datagrams that wait for the next call.
pub struct Sender {
    waiting: Vec<(Content, Option<IpAddr>)>,
    /// Datagrams that were written in place, one behind the other.
    written: Vec<u8>,
    names: Box<[libc::sockaddr_storage; BATCH]>,
    controls: Box<[Control; BATCH]>,
    vectors: Box<[libc::iovec; BATCH]>,
    headers: Box<[libc::mmsghdr; BATCH]>,
}

// SAFETY: as for `Receiver`; the vectors point into `waiting` only during `flush`.
unsafe impl Send for Sender {}

impl Sender {
    /// Makes an empty batch.
    pub fn new() -> Self {
        // SAFETY: all three are plain C structures for which all zeroes is a valid value.
        let (names, vectors, headers) = unsafe { (zeroed_box(), zeroed_box(), zeroed_box()) };
        let controls = Box::new([Control([0; 64]); BATCH]);
        Self {
            waiting: Vec::with_capacity(BATCH),
            written: Vec::new(),
            names,
            controls,
            vectors,
            headers,
        }
    }

    /// Adds a datagram, from this local address where the socket has several. True when the batch is full: flush it.
    pub fn push(&mut self, bytes: Bytes, remote: SocketAddr, local: Option<IpAddr>) -> bool {
        self.add(Content::Bytes(bytes), remote, local)
    }

    /// Lets `write` write a datagram into the buffer; without a word of it there is none. True when the batch is full.
    pub fn write(
        &mut self,
        remote: SocketAddr,
        local: Option<IpAddr>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        let start = self.written.len();
        write(&mut self.written);
        let end = self.written.len();
        if end <= start {
            return false;
        }
        self.add(Content::Written(start..end), remote, local)
    }

    fn add(&mut self, content: Content, remote: SocketAddr, local: Option<IpAddr>) -> bool {
        let index = self.waiting.len();
        if index >= BATCH {
            return true;
        }
        let length = write_address(&mut self.names[index], remote);
        self.headers[index].msg_hdr.msg_namelen = length;
        self.waiting.push((content, local));
        self.waiting.len() == BATCH
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Sends all that waits. A datagram that the kernel refuses is dropped, as the wire may do; the others go on.
    pub fn flush(&mut self, socket: BorrowedFd<'_>) -> Flushed {
        for (index, (content, local)) in self.waiting.iter().enumerate() {
            let bytes: &[u8] = match content {
                Content::Bytes(bytes) => bytes,
                Content::Written(range) => &self.written[range.clone()],
            };
            // The kernel only reads through this pointer, although its type is a mutable one.
            self.vectors[index] = libc::iovec {
                iov_base: bytes.as_ptr().cast_mut().cast(),
                iov_len: bytes.len(),
            };
            let header = &mut self.headers[index].msg_hdr;
            header.msg_name = (&raw mut self.names[index]).cast();
            header.msg_iov = &raw mut self.vectors[index];
            header.msg_iovlen = 1;
            header.msg_control = (&raw mut self.controls[index]).cast();
            header.msg_controllen = mem::size_of::<Control>();
            // SAFETY: the control buffer is aligned and larger than either structure that is written to it.
            header.msg_controllen = unsafe { write_source(header, *local) };
            if header.msg_controllen == 0 {
                header.msg_control = ptr::null_mut();
            }
        }
        let count = self.waiting.len();
        let mut done = 0;
        let mut flushed = Flushed::default();
        while done < count {
            // SAFETY: headers `done..count` were filled above; what they point to lives until `waiting` is cleared below.
            let taken = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    self.headers[done..count].as_mut_ptr(),
                    (count - done) as u32,
                    libc::MSG_DONTWAIT,
                )
            };
            match usize::try_from(taken) {
                Ok(taken) if taken > 0 => {
                    flushed.sent += taken;
                    done += taken;
                }
                _ if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
                // The first one of the rest was refused.
                _ => {
                    flushed.dropped += 1;
                    done += 1;
                }
            }
        }
        self.waiting.clear();
        self.written.clear();
        flushed
    }
}

impl Default for Sender {
    fn default() -> Self {
        Self::new()
    }
}

/// How full a socket's receive buffer is, in thousandths; 0 where the kernel does not say. The kernel gives back what was
/// read in steps of up to a quarter of the buffer, so it may be less.
pub fn fullness(socket: BorrowedFd<'_>) -> u16 {
    // SK_MEMINFO_RMEM_ALLOC and SK_MEMINFO_RCVBUF are the first two of nine.
    let mut words = [0_u32; 9];
    let mut length = mem::size_of_val(&words) as libc::socklen_t;
    // SAFETY: the option writes at most `length` octets to `words`.
    let answer = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            words.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    let [held, most, ..] = words;
    if answer != 0 || most == 0 {
        return 0;
    }
    u16::try_from(u64::from(held) * 1000 / u64::from(most)).unwrap_or(u16::MAX)
}

/// Lets the kernel drop REGISTERs that are shorter than `long` octets before they take room in the receive buffer, all but
/// `keep` thousandths of them by chance (a filter of classic BPF, as in socket(7)); from 1000 on it drops none.
pub fn gate(socket: BorrowedFd<'_>, keep: u16, long: usize) -> io::Result<()> {
    if keep >= 1000 {
        let nothing: libc::c_int = 0;
        // SAFETY: the option reads an int, and its size is stated.
        return answer_of(unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_DETACH_FILTER,
                (&raw const nothing).cast(),
                mem::size_of::<libc::c_int>() as libc::socklen_t,
            )
        });
    }
    /// Octets of the UDP header, which a filter sees before the datagram.
    const HEADER: u32 = 8;
    let line = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let (len, word, greater, at_least, equal, ret) = (0x80, 0x20, 0x25, 0x35, 0x15, 0x06);
    let long = u32::try_from(long)
        .unwrap_or(u32::MAX)
        .saturating_add(HEADER);
    let mut program = [
        line(len, 0, 0, 0),
        // Without a first word it is no request.
        line(at_least, 0, 6, HEADER + 4),
        line(at_least, 5, 0, long),
        line(word, 0, 0, HEADER),
        line(equal, 0, 3, u32::from_be_bytes(*b"REGI")),
        line(
            word,
            0,
            0,
            (libc::SKF_AD_OFF + libc::SKF_AD_RANDOM).cast_unsigned(),
        ),
        line(greater, 0, 1, u32::MAX / 1000 * u32::from(keep)),
        line(ret, 0, 0, 0),
        line(ret, 0, 0, u32::MAX),
    ];
    let filter = libc::sock_fprog {
        len: program.len() as libc::c_ushort,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the kernel copies the program, whose length is stated, and checks it.
    answer_of(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const filter).cast(),
            mem::size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    })
}

fn answer_of(answer: libc::c_int) -> io::Result<()> {
    match answer {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Asks the kernel to name the local address of each datagram.
pub fn ask_for_destination(socket: BorrowedFd<'_>, v6: bool) -> io::Result<()> {
    let on: libc::c_int = 1;
    let (level, option) = if v6 {
        (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO)
    } else {
        (libc::IPPROTO_IP, libc::IP_PKTINFO)
    };
    // SAFETY: the option takes an int, and its size is stated.
    let answer = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const on).cast(),
            mem::size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    answer_of(answer)
}

/// A box of all zeroes.
///
/// # Safety
/// All zeroes must be a valid `T`.
unsafe fn zeroed_box<T>() -> Box<T> {
    let zeroed = Box::new(MaybeUninit::<T>::zeroed());
    // SAFETY: promised by the caller.
    unsafe { zeroed.assume_init() }
}

fn address(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says which structure the storage holds, and it is large and aligned enough for it.
            let name = unsafe { &*ptr::from_ref(name).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(name.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(name.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let name = unsafe { &*ptr::from_ref(name).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(name.sin6_addr.s6_addr);
            Some(SocketAddrV6::new(ip, u16::from_be(name.sin6_port), 0, name.sin6_scope_id).into())
        }
        _ => None,
    }
}

fn write_address(name: &mut libc::sockaddr_storage, address: SocketAddr) -> libc::socklen_t {
    match address {
        SocketAddr::V4(address) => {
            let value = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: address.port().to_be(),
                sin_addr: libc::in_addr {
                    s_addr: u32::from(*address.ip()).to_be(),
                },
                sin_zero: [0; 8],
            };
            // SAFETY: the storage is large and aligned enough for any socket address.
            unsafe { ptr::from_mut(name).cast::<libc::sockaddr_in>().write(value) };
            mem::size_of::<libc::sockaddr_in>() as libc::socklen_t
        }
        SocketAddr::V6(address) => {
            let value = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: address.port().to_be(),
                sin6_flowinfo: 0,
                sin6_addr: libc::in6_addr {
                    s6_addr: address.ip().octets(),
                },
                sin6_scope_id: address.scope_id(),
            };
            // SAFETY: as above.
            unsafe {
                ptr::from_mut(name)
                    .cast::<libc::sockaddr_in6>()
                    .write(value)
            };
            mem::size_of::<libc::sockaddr_in6>() as libc::socklen_t
        }
    }
}

/// Finds the local address among a received header's ancillary data.
///
/// # Safety
/// The header's control pointer and length must be as recvmmsg left them.
unsafe fn destination(header: &libc::msghdr) -> Option<IpAddr> {
    // SAFETY: the CMSG functions walk within the length that the kernel wrote; the kernel aligns the data for the types
    // that belong to its level and type, and `read_unaligned` asks for no alignment.
    unsafe {
        let mut part = libc::CMSG_FIRSTHDR(header);
        while !part.is_null() {
            match ((*part).cmsg_level, (*part).cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    let info = libc::CMSG_DATA(part)
                        .cast::<libc::in_pktinfo>()
                        .read_unaligned();
                    return Some(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)).into());
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    let info = libc::CMSG_DATA(part)
                        .cast::<libc::in6_pktinfo>()
                        .read_unaligned();
                    return Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into());
                }
                _ => part = libc::CMSG_NXTHDR(header, part),
            }
        }
    }
    None
}

/// Writes the local address to send from as ancillary data; answers its length, 0 without an address.
///
/// # Safety
/// The header's control pointer must lead to a writable `Control`, and its length must say so.
unsafe fn write_source(header: &libc::msghdr, local: Option<IpAddr>) -> usize {
    // SAFETY: `Control` is aligned for a cmsghdr and has room for the larger of the two structures with its header.
    unsafe {
        let part = libc::CMSG_FIRSTHDR(header);
        match local {
            Some(IpAddr::V4(address)) => {
                let info = libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: libc::in_addr {
                        s_addr: u32::from(address).to_be(),
                    },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                let size = mem::size_of::<libc::in_pktinfo>() as u32;
                (*part).cmsg_level = libc::IPPROTO_IP;
                (*part).cmsg_type = libc::IP_PKTINFO;
                (*part).cmsg_len = libc::CMSG_LEN(size) as usize;
                libc::CMSG_DATA(part)
                    .cast::<libc::in_pktinfo>()
                    .write_unaligned(info);
                libc::CMSG_SPACE(size) as usize
            }
            Some(IpAddr::V6(address)) => {
                let info = libc::in6_pktinfo {
                    ipi6_addr: libc::in6_addr {
                        s6_addr: address.octets(),
                    },
                    ipi6_ifindex: 0,
                };
                let size = mem::size_of::<libc::in6_pktinfo>() as u32;
                (*part).cmsg_level = libc::IPPROTO_IPV6;
                (*part).cmsg_type = libc::IPV6_PKTINFO;
                (*part).cmsg_len = libc::CMSG_LEN(size) as usize;
                libc::CMSG_DATA(part)
                    .cast::<libc::in6_pktinfo>()
                    .write_unaligned(info);
                libc::CMSG_SPACE(size) as usize
            }
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::{
        BATCH, Bytes, Flushed, Receiver, Sender, SocketAddr, ask_for_destination, fullness, gate,
    };

    fn bound(address: &str) -> (UdpSocket, SocketAddr) {
        let socket = UdpSocket::bind(address).unwrap();
        let local = socket.local_addr().unwrap();
        (socket, local)
    }

    #[test]
    fn a_batch_arrives_whole_and_in_order() {
        let (near, near_address) = bound("127.0.0.1:0");
        let (far, far_address) = bound("127.0.0.1:0");
        let mut sender = Sender::new();
        for number in 0..BATCH {
            let full = sender.push(Bytes::from(format!("message {number}")), far_address, None);
            assert_eq!(full, number == BATCH - 1);
        }
        assert_eq!(
            sender.flush(near.as_fd()),
            Flushed {
                sent: BATCH,
                dropped: 0
            }
        );
        assert!(sender.is_empty());
        let mut receiver = Receiver::new();
        let mut heard = Vec::new();
        let count = receiver
            .receive(far.as_fd(), |datagram| {
                heard.push((
                    String::from_utf8_lossy(datagram.bytes).into_owned(),
                    datagram.remote,
                ))
            })
            .unwrap();
        assert_eq!(count, BATCH);
        let expected: Vec<_> = (0..BATCH)
            .map(|number| (format!("message {number}"), near_address))
            .collect();
        assert_eq!(heard, expected);
        let nothing = receiver.receive(far.as_fd(), |_| ()).unwrap_err();
        assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    }

    #[test]
    fn an_answer_leaves_from_the_address_that_was_asked() {
        let (near, near_address) = bound("127.0.0.1:0");
        let (any, any_address) = bound("0.0.0.0:0");
        ask_for_destination(any.as_fd(), false).unwrap();
        near.send_to(b"question", ("127.0.0.2", any_address.port()))
            .unwrap();
        let mut seen = None;
        Receiver::new()
            .receive(any.as_fd(), |datagram| seen = datagram.local)
            .unwrap();
        assert_eq!(seen, Some("127.0.0.2".parse().unwrap()));
        let mut sender = Sender::new();
        sender.push(Bytes::from_static(b"answer"), near_address, seen);
        assert_eq!(
            sender.flush(any.as_fd()),
            Flushed {
                sent: 1,
                dropped: 0
            }
        );
        let mut buffer = [0; 16];
        let (_, from) = near.recv_from(&mut buffer).unwrap();
        assert_eq!(
            from.to_string(),
            format!("127.0.0.2:{}", any_address.port())
        );
    }

    #[test]
    fn a_gate_drops_short_registers_by_chance_and_nothing_else() {
        let (near, _) = bound("127.0.0.1:0");
        let (far, far_address) = bound("127.0.0.1:0");
        let long = format!("REGISTER {}", "x".repeat(500));
        let sent = ["REGISTER short", &long, "INVITE x", "\r\n", "", "REG"];
        let kept = |keep, long| {
            gate(far.as_fd(), keep, long).unwrap();
            for text in sent.iter().flat_map(|text| [text; 30]) {
                near.send_to(text.as_bytes(), far_address).unwrap();
            }
            let mut counts = [0; 6];
            let mut receiver = Receiver::new();
            let mut count = |bytes: &[u8]| {
                let index = sent.iter().position(|text| text.as_bytes() == bytes);
                counts[index.unwrap()] += 1;
            };
            while receiver
                .receive(far.as_fd(), |datagram| count(datagram.bytes))
                .is_ok()
            {}
            counts
        };
        assert_eq!(kept(0, 500), [0, 30, 30, 30, 30, 30]);
        assert_eq!(kept(0, usize::MAX), [0, 0, 30, 30, 30, 30]);
        let [some, ..] = kept(500, 500);
        assert!((4..27).contains(&some), "{some}");
        assert_eq!(kept(1000, 500), [30; 6]);
    }

    #[test]
    fn a_socket_says_how_full_it_is() {
        let (near, _) = bound("127.0.0.1:0");
        let (far, far_address) = bound("127.0.0.1:0");
        assert_eq!(fullness(far.as_fd()), 0);
        for _ in 0..10_000 {
            near.send_to(&[0; 1000], far_address).unwrap();
        }
        assert!(fullness(far.as_fd()) >= 900);
        let mut receiver = Receiver::new();
        while receiver.receive(far.as_fd(), |_| ()).is_ok() {}
        assert_eq!(fullness(far.as_fd()), 0);
    }

    #[test]
    fn a_datagram_that_cannot_be_sent_does_not_hold_up_the_others() {
        let (near, _) = bound("127.0.0.1:0");
        let (far, far_address) = bound("127.0.0.1:0");
        let mut sender = Sender::new();
        sender.push(Bytes::from(vec![0; 65_530]), far_address, None);
        sender.push(Bytes::from_static(b"second"), far_address, None);
        assert_eq!(
            sender.flush(near.as_fd()),
            Flushed {
                sent: 1,
                dropped: 1
            }
        );
        let mut buffer = [0; 16];
        let (length, _) = far.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"second");
    }
}
