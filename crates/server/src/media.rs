//! The thread that owns a `media::Plane` and its RTP sockets. Packets go from socket to socket here, one receive and one send
//! each, without a queue or an allocation; commands come through a bounded channel and a wake-up, events leave by a closure.

use std::io;
use std::net::{IpAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ::media::{Command, Config, Event, Input, Output, Plane, PortId};
use offhook_core::MediaHandle;
use rand::RngCore;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};

use crate::config::PortRange;
use crate::net::rtp::{Exhausted, Pair, RtpPorts};

/// What epoll says when the eventfd is ready; no port has this number.
const WAKE: u64 = u64::MAX;

/// Ready sockets taken from the kernel at once.
const READY: usize = 256;

/// Commands taken between two looks at the sockets, so that a burst of calls does not hold up the packets.
const COMMANDS: usize = 64;

/// The largest datagram.
const DATAGRAM: usize = 65_536;

/// What the thread is made with.
#[derive(Copy, Clone, Debug)]
pub struct Setup {
    /// The address that phones are told to send to.
    pub ip: IpAddr,
    /// The ports for RTP and RTCP.
    pub ports: PortRange,
    /// The silence after which a leg is reported.
    pub silence_after: Duration,
    /// The number of legs above which new ones are refused.
    pub max_sessions: usize,
}

/// The thread's end of the command channel, before the thread runs.
#[derive(Debug)]
pub struct Media {
    commands: Receiver<Command>,
    wake: Arc<Wake>,
}

/// The running thread.
#[derive(Debug)]
pub struct MediaThread {
    wake: Arc<Wake>,
    thread: JoinHandle<()>,
}

/// Wakes the thread. The flag saves the system call when the thread has not yet seen the last one.
#[derive(Debug)]
struct Wake {
    event: OwnedFd,
    pending: AtomicBool,
    stopping: AtomicBool,
}

impl Wake {
    fn wake(&self) {
        if !self.pending.swap(true, Ordering::AcqRel) {
            // It fails only when the counter is at its limit, and then the thread is awake anyway.
            let _ = rustix::io::write(&self.event, &1_u64.to_ne_bytes());
        }
    }

    fn seen(&self) {
        let _ = rustix::io::read(&self.event, &mut [0; 8]);
        // A swap, so that what was queued before the flag was set is seen after it is cleared.
        self.pending.swap(false, Ordering::AcqRel);
    }
}

/// Makes the way to the thread before the thread. When `capacity` commands wait, a further one is given back.
pub fn channel(capacity: usize) -> io::Result<(MediaHandle, Media)> {
    let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let wake = Arc::new(Wake {
        event,
        pending: AtomicBool::new(false),
        stopping: AtomicBool::new(false),
    });
    let (sender, commands) = sync_channel(capacity);
    let waker = Arc::clone(&wake);
    let send = move |command| {
        sender.try_send(command).map_err(|error| match error {
            TrySendError::Full(command) | TrySendError::Disconnected(command) => command,
        })
    };
    let handle = MediaHandle::new(send, move || waker.wake());
    Ok((handle, Media { commands, wake }))
}

impl Media {
    /// Starts the thread; `on_event` is called on it and must not block.
    pub fn spawn(
        self,
        setup: Setup,
        on_event: impl Fn(Event) + Send + 'static,
    ) -> io::Result<MediaThread> {
        let wake = Arc::clone(&self.wake);
        let relay = Relay::new(self, setup)?;
        let thread = thread::Builder::new()
            .name("media".into())
            .spawn(move || relay.run(&on_event))?;
        Ok(MediaThread { wake, thread })
    }
}

impl MediaThread {
    /// Ends the thread and waits for it; its sockets are closed then.
    pub fn stop(self) {
        self.wake.stopping.store(true, Ordering::Release);
        self.wake.wake();
        if self.thread.join().is_err() {
            tracing::error!("the media thread panicked");
        }
    }
}

/// Everything that the thread owns.
struct Relay {
    plane: Plane,
    ports: RtpPorts,
    /// The sockets by half of their name: a session's RTP port is even, its RTCP port the next.
    pairs: Vec<Option<Pair>>,
    /// The name of the RTP port of each pair that is in use, by half of its number. A pair that rests has none.
    names: Box<[Option<PortId>]>,
    epoll: OwnedFd,
    inbox: Media,
}

impl Relay {
    fn new(inbox: Media, setup: Setup) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(
            &epoll,
            &inbox.wake.event,
            epoll::EventData::new_u64(WAKE),
            epoll::EventFlags::IN,
        )?;
        let mut seed = [0; 32];
        rand::rng().fill_bytes(&mut seed);
        let config = Config {
            address: setup.ip,
            silence_after: setup.silence_after,
            max_sessions: setup.max_sessions,
        };
        let plane = Plane::new(config, ChaCha12Rng::from_seed(seed));
        Ok(Self {
            plane,
            ports: RtpPorts::new(setup.ip, setup.ports),
            pairs: Vec::new(),
            names: vec![None; usize::from(u16::MAX / 2) + 1].into_boxed_slice(),
            epoll,
            inbox,
        })
    }

    fn run(mut self, on_event: &dyn Fn(Event)) {
        let mut packet = vec![0; DATAGRAM].into_boxed_slice();
        let mut ready = Vec::with_capacity(READY);
        let mut more = false;
        while !self.inbox.wake.stopping.load(Ordering::Acquire) {
            let timeout = if more {
                Some(Duration::ZERO)
            } else {
                self.until_due()
            };
            let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
            ready.clear();
            match epoll::wait(
                &self.epoll,
                rustix::buffer::spare_capacity(&mut ready),
                timeout.as_ref(),
            ) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    tracing::error!(%error, "epoll failed: the media thread ends");
                    return;
                }
            }
            let now = now();
            if ready.iter().any(|event| event.data.u64() == WAKE) {
                self.inbox.wake.seen();
            }
            // Commands first: whoever was told that the way is open may use it at once.
            more = self.commands(now, on_event);
            for event in &ready {
                match event.data.u64() {
                    WAKE => {}
                    number => self.packet(now, number, &mut packet),
                }
            }
            if self.plane.poll_timeout().is_some_and(|due| due <= now) {
                self.plane.handle(now, Input::Tick);
                self.drain(now, on_event);
            }
        }
    }

    fn until_due(&self) -> Option<Duration> {
        self.plane
            .poll_timeout()
            .map(|due| due.saturating_duration_since(now()))
    }

    /// One receive, one send. Level-triggered readiness brings the next packet of the same socket.
    fn packet(&mut self, now: Instant, number: u64, buffer: &mut [u8]) {
        let Ok(number) = u16::try_from(number) else {
            return;
        };
        let Some(PortId(rtp)) = self.names[usize::from(number / 2)] else {
            self.ports.late(number);
            return;
        };
        let port = PortId(rtp + u32::from(number % 2));
        let Some(inlet) = socket(&self.pairs, port) else {
            return;
        };
        let Ok((length, from)) = inlet.recv_from(buffer) else {
            return;
        };
        let Some(packet) = buffer.get_mut(..length) else {
            return;
        };
        let Some(forward) = self.plane.forward(now, port, from, packet) else {
            return;
        };
        if let Some(outlet) = socket(&self.pairs, forward.port) {
            // A packet that the kernel has no room for is lost, as on any network.
            let _ = outlet.send_to(packet, forward.to);
        }
    }

    /// Gives the plane what has been asked of it; says whether more may be waiting.
    fn commands(&mut self, now: Instant, on_event: &dyn Fn(Event)) -> bool {
        for _ in 0..COMMANDS {
            match self.inbox.commands.try_recv() {
                Ok(command) => self.plane.handle(now, Input::Command(command)),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return false,
            }
            self.drain(now, on_event);
        }
        true
    }

    fn drain(&mut self, now: Instant, on_event: &dyn Fn(Event)) {
        while let Some(output) = self.plane.poll_output() {
            match output {
                Output::Event(event) => on_event(event),
                Output::OpenPorts { session, rtp, .. } => {
                    let input = match self.open(now, rtp) {
                        Ok(number) => Input::Ports {
                            session,
                            rtp: number,
                            rtcp: number + 1,
                        },
                        Err(error) => {
                            tracing::warn!(error = %error, "no ports for a leg");
                            Input::NoPorts { session }
                        }
                    };
                    self.plane.handle(now, input);
                }
                Output::ClosePorts { rtp, .. } => {
                    if let Some(pair) = self.pairs.get_mut(place(rtp)).and_then(Option::take) {
                        self.names[usize::from(pair.number / 2)] = None;
                        self.ports.close(now, pair);
                    }
                }
            }
        }
    }

    fn open(&mut self, now: Instant, rtp: PortId) -> Result<u16, Exhausted> {
        let epoll = &self.epoll;
        let pair = self.ports.open(now, |pair| {
            watch(epoll, &pair.rtp, pair.number)?;
            watch(epoll, &pair.rtcp, pair.number + 1)
        })?;
        let number = pair.number;
        self.names[usize::from(number / 2)] = Some(rtp);
        let place = place(rtp);
        if self.pairs.len() <= place {
            self.pairs.resize_with(place + 1, || None);
        }
        self.pairs[place] = Some(pair);
        Ok(number)
    }
}

/// Has a socket watched under the number of its port until it is closed.
fn watch(epoll: &OwnedFd, socket: &UdpSocket, number: u16) -> io::Result<()> {
    let data = epoll::EventData::new_u64(u64::from(number));
    Ok(epoll::add(epoll, socket, data, epoll::EventFlags::IN)?)
}

fn socket(pairs: &[Option<Pair>], port: PortId) -> Option<&UdpSocket> {
    let pair = pairs.get(place(port))?.as_ref()?;
    Some(if port.0.is_multiple_of(2) {
        &pair.rtp
    } else {
        &pair.rtcp
    })
}

fn place(port: PortId) -> usize {
    port.0 as usize / 2
}

#[expect(
    clippy::disallowed_methods,
    reason = "the rim reads the clock, once per turn"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::sync::mpsc;

    use ::media::{OfferOrAnswer, SessionId};
    use bytes::Bytes;

    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const A: SessionId = SessionId(1);
    const B: SessionId = SessionId(2);
    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn a_packet_crosses_a_bridge_and_the_ports_are_free_after_the_end() {
        let (handle, media) = channel(64).unwrap();
        let (tell, events) = mpsc::channel();
        let ports = PortRange {
            first: 34_000,
            last: 34_999,
        };
        let setup = Setup {
            ip: LOOPBACK,
            ports,
            silence_after: Duration::from_secs(60),
            max_sessions: 4,
        };
        let thread = media
            .spawn(setup, move |event| tell.send(event).unwrap())
            .unwrap();
        let ask = |command| {
            handle.send(command).unwrap();
            handle.wake();
            events.recv_timeout(PATIENCE).unwrap()
        };
        let (alice, bob) = (phone(), phone());

        let (kind, near) = (OfferOrAnswer::Offer, None);
        let accepted = |session| Event::Accepted {
            session,
            held: false,
        };
        assert_eq!(
            ask(Command::Remote {
                session: A,
                kind,
                sdp: body(&alice),
                near
            }),
            accepted(A)
        );
        let Event::Offered { sdp, .. } = ask(Command::Offer {
            session: B,
            like: Some(A),
            both_ways: false,
            near,
        }) else {
            panic!()
        };
        let port_of_b = port(&sdp);
        let kind = OfferOrAnswer::Answer;
        assert_eq!(
            ask(Command::Remote {
                session: B,
                kind,
                sdp: body(&bob),
                near
            }),
            accepted(B)
        );
        handle.send(Command::Bridge { a: A, b: B }).unwrap();
        let Event::Answered { sdp, .. } = ask(Command::Answer {
            session: A,
            like: Some(B),
        }) else {
            panic!()
        };

        let mut packet = [0xff; 172];
        packet[..12].copy_from_slice(&[0x80, 0, 0, 1, 0, 0, 0, 160, 0, 0, 0, 7]);
        let mut heard = [0; 1_500];
        alice.send_to(&packet, (LOOPBACK, port(&sdp))).unwrap();
        let (length, from) = bob.recv_from(&mut heard).unwrap();
        assert_eq!(
            (&heard[..length], from),
            (&packet[..], SocketAddr::new(LOOPBACK, port_of_b))
        );
        bob.send_to(&packet, from).unwrap();
        let (length, from) = alice.recv_from(&mut heard).unwrap();
        assert_eq!((&heard[..length], from.port()), (&packet[..], port(&sdp)));

        for session in [A, B] {
            let Event::Closed { stats, .. } = ask(Command::Close { session }) else {
                panic!()
            };
            assert_eq!((stats.received, stats.sent), (1, 1));
        }
        thread.stop();
        assert!(UdpSocket::bind((LOOPBACK, port_of_b)).is_ok());
        assert!(
            handle.send(Command::Close { session: A }).is_err(),
            "nobody is there to take it"
        );
    }

    fn phone() -> UdpSocket {
        let socket = UdpSocket::bind((LOOPBACK, 0)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    fn body(phone: &UdpSocket) -> Bytes {
        let port = phone.local_addr().unwrap().port();
        Bytes::from(format!(
            "v=0\r\nc=IN IP4 127.0.0.1\r\nm=audio {port} RTP/AVP 0\r\n"
        ))
    }

    fn port(sdp: &Bytes) -> u16 {
        let text = std::str::from_utf8(sdp).unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with("m=audio"))
            .unwrap();
        line.split(' ').nth(1).unwrap().parse().unwrap()
    }
}
