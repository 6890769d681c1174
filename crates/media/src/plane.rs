//! `media::Plane`: the sessions of all legs by number, their ports, and the packet path between them.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand_chacha::ChaCha12Rng;
use rand_core::RngCore;

use crate::room::bridge::PayloadMap;
use crate::sdp::parse::{Refusal, Surroundings, parse};
use crate::session::latch::OwnPorts;
use crate::session::{Making, Ports, Session, Stats};

/// How often silence is looked for while any two legs are bridged.
const TICK: Duration = Duration::from_secs(1);

/// Names the media of one leg; it is the number of the leg's SIP session.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SessionId(pub u64);

/// Names one socket; the plane chooses it, RTP and RTCP of a session are two.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PortId(pub u32);

/// Says which half of an exchange a remote description is (RFC 3264 §5, §6).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum OfferOrAnswer {
    /// The other side proposes.
    Offer,
    /// The other side has chosen from what we proposed.
    Answer,
}

/// What a plane needs to know of its surroundings.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address that our descriptions advertise.
    pub address: IpAddr,
    /// The time without RTP after which a bridged leg is reported silent, and again after each further such time.
    pub silence_after: Duration,
    /// The number of sessions above which new ones are unavailable.
    pub max_sessions: usize,
}

/// What happens to a plane.
#[derive(Clone, Debug)]
pub enum Input {
    /// The owner of a call wants something.
    Command(Command),
    /// The sockets that [`Output::OpenPorts`] asked for are bound to these port numbers.
    Ports {
        /// The session they are for.
        session: SessionId,
        /// The number of the RTP port.
        rtp: u16,
        /// The number of the RTCP port.
        rtcp: u16,
    },
    /// No pair of ports is free for this session.
    NoPorts {
        /// The session that asked.
        session: SessionId,
    },
    /// The time of [`Plane::poll_timeout`] has come.
    Tick,
}

/// What a plane wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Something for the owner of the call.
    Event(Event),
    /// Asks for an even and odd pair of bound sockets; answered by [`Input::Ports`] or [`Input::NoPorts`].
    OpenPorts {
        /// The session they are for.
        session: SessionId,
        /// The name of the RTP socket.
        rtp: PortId,
        /// The name of the RTCP socket.
        rtcp: PortId,
    },
    /// Closes both sockets; their names may be given out again.
    ClosePorts {
        /// The name of the RTP socket.
        rtp: PortId,
        /// The name of the RTCP socket.
        rtcp: PortId,
    },
}

/// What the owner of a call may ask of a plane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Makes our offer for a leg; answered by [`Event::Offered`].
    Offer {
        /// The leg that the offer is for.
        session: SessionId,
        /// The leg whose remote description gives codecs, order and direction; none: PCMU, PCMA and telephone-event.
        like: Option<SessionId>,
        /// Whether media is to flow both ways, although the pattern holds.
        both_ways: bool,
        /// The address that the leg's signalling comes from.
        near: Option<IpAddr>,
    },
    /// Takes a remote description; answered by [`Event::Accepted`] or [`Event::Refused`].
    Remote {
        /// The leg that it came from.
        session: SessionId,
        /// Which half of the exchange it is.
        kind: OfferOrAnswer,
        /// The body as received.
        sdp: Bytes,
        /// The address that the leg's signalling comes from.
        near: Option<IpAddr>,
    },
    /// Makes our answer to the leg's last offer; answered by [`Event::Answered`] or [`Event::Refused`].
    Answer {
        /// The leg whose offer is answered.
        session: SessionId,
        /// The leg whose remote description says what was chosen; none: the first codec that was offered.
        like: Option<SessionId>,
    },
    /// Relays between two legs, each of which leaves the bridge it was in.
    Bridge {
        /// One leg.
        a: SessionId,
        /// The other leg.
        b: SessionId,
    },
    /// The leg's signalling comes from another address or port than before: its packets may do so too, and whose come first
    /// is decided anew.
    Near {
        /// The leg.
        session: SessionId,
        /// The address.
        near: IpAddr,
    },
    /// Ends the relay that this leg is in.
    Unbridge {
        /// The leg.
        session: SessionId,
    },
    /// Ends the leg's media; answered by [`Event::Closed`], also for a leg that is not known.
    Close {
        /// The leg.
        session: SessionId,
    },
}

/// What a plane tells the owner of a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// Our offer is ready.
    Offered {
        /// The leg it is for.
        session: SessionId,
        /// The body to send.
        sdp: Bytes,
    },
    /// Our answer is ready.
    Answered {
        /// The leg it is for.
        session: SessionId,
        /// The body to send.
        sdp: Bytes,
    },
    /// The remote description can be used.
    Accepted {
        /// The leg that it came from.
        session: SessionId,
        /// Whether it says that media does not flow both ways (RFC 3264 §8.4).
        held: bool,
    },
    /// The remote description cannot be used, or no answer to it is possible.
    Refused {
        /// The leg that it came from.
        session: SessionId,
        /// The SIP status that says so.
        status: u16,
        /// The reason in words.
        why: &'static str,
    },
    /// No RTP has come from this leg although it is bridged and not on hold.
    Silent {
        /// The leg.
        session: SessionId,
        /// For how long nothing came.
        for_: Duration,
    },
    /// The leg's media is over and its ports are being closed.
    Closed {
        /// The leg.
        session: SessionId,
        /// What went through it.
        stats: Stats,
    },
    /// No ports or no room for this leg: 503. The session does not exist.
    Unavailable {
        /// The leg.
        session: SessionId,
    },
}

/// Where a packet goes on to.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Forward {
    /// The socket to send from.
    pub port: PortId,
    /// The address to send to.
    pub to: SocketAddr,
}

/// The media of all legs.
pub struct Plane {
    config: Config,
    rng: ChaCha12Rng,
    /// Where each session is in `slots`.
    places: BTreeMap<SessionId, usize>,
    /// The sessions; slot n has the ports 2n (RTP) and 2n + 1 (RTCP).
    slots: Vec<Option<Box<Session>>>,
    free: Vec<usize>,
    own: OwnPorts,
    outputs: VecDeque<Output>,
    tick_at: Option<Instant>,
}

impl Plane {
    /// Makes a plane without sessions; `rng` numbers the descriptions.
    pub fn new(config: Config, rng: ChaCha12Rng) -> Self {
        let own = OwnPorts::new(config.address);
        let (places, outputs) = (BTreeMap::new(), VecDeque::new());
        Self {
            config,
            rng,
            places,
            slots: Vec::new(),
            free: Vec::new(),
            own,
            outputs,
            tick_at: None,
        }
    }

    /// Takes one input; what follows from it is in [`Plane::poll_output`].
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Command(command) => self.command(now, command),
            Input::Ports { session, rtp, rtcp } => self.ports(session, rtp, rtcp),
            Input::NoPorts { session } => self.no_ports(session),
            Input::Tick => self.tick(now),
        }
    }

    /// Hands out the next output.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Says when [`Input::Tick`] is due: at most once a second, and only while legs are bridged.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.tick_at
    }

    /// Says how many sessions there are.
    pub fn sessions(&self) -> usize {
        self.places.len()
    }

    /// Takes a packet that arrived on `port` and says where it goes on to. Nothing is allocated or queued here.
    pub fn forward(
        &mut self,
        now: Instant,
        port: PortId,
        from: SocketAddr,
        packet: &mut [u8],
    ) -> Option<Forward> {
        let slot = usize::try_from(port.0 / 2).ok()?;
        let session = self.slots.get_mut(slot)?.as_deref_mut()?;
        let taken = session.take(now, port.0 % 2 == 1, from, packet, &self.own)?;
        let peer = session.peer?;
        let (control, to) =
            self.slots
                .get_mut(peer)?
                .as_deref_mut()?
                .send(taken, packet.len(), &self.own)?;
        let (rtp, rtcp) = port_ids(peer);
        Some(Forward {
            port: if control { rtcp } else { rtp },
            to,
        })
    }

    fn command(&mut self, now: Instant, command: Command) {
        match command {
            Command::Offer {
                session,
                like,
                both_ways,
                near,
            } => {
                if let Some(slot) = self.enter(now, session, near) {
                    self.make(slot, Making::Offer { like, both_ways });
                }
            }
            Command::Remote {
                session,
                kind,
                sdp,
                near,
            } => self.remote(now, session, kind, &sdp, near),
            Command::Answer { session, like } => match self.places.get(&session) {
                Some(slot) => self.make(*slot, Making::Answer { like }),
                None => self.refuse(session, Refusal::not_acceptable("no offer to answer")),
            },
            Command::Bridge { a, b } => self.bridge(now, a, b),
            Command::Unbridge { session } => {
                if let Some(slot) = self.places.get(&session) {
                    self.unbridge(*slot);
                }
            }
            Command::Near { session, near } => {
                let slot = self.places.get(&session).copied();
                if let Some(session) = slot.and_then(|slot| self.slot(slot)) {
                    session.moved(near);
                }
            }
            Command::Close { session } => self.close(session),
        }
    }

    fn remote(
        &mut self,
        now: Instant,
        id: SessionId,
        kind: OfferOrAnswer,
        sdp: &[u8],
        near: Option<IpAddr>,
    ) {
        let known = self.session(id).and_then(|session| session.near);
        let around = Surroundings {
            here: self.config.address,
            near: near.or(known),
        };
        let description = match parse(sdp, around) {
            Ok(description) => description,
            Err(refusal) => return self.refuse(id, refusal),
        };
        if description
            .audio
            .rtp
            .is_some_and(|rtp| self.own.contains(rtp))
        {
            return self.refuse(id, Refusal::not_acceptable("the media address is ours"));
        }
        if kind == OfferOrAnswer::Answer && !self.places.contains_key(&id) {
            return self.refuse(id, Refusal::not_acceptable("an answer without an offer"));
        }
        let Some(slot) = self.enter(now, id, near) else {
            return;
        };
        let Some(session) = self.slot(slot) else {
            return;
        };
        let outcome = match kind {
            OfferOrAnswer::Offer => Ok(session.offered(description)),
            OfferOrAnswer::Answer => session.answered(description),
        };
        self.map_payloads(slot);
        match outcome {
            Ok(held) => self.tell(Event::Accepted { session: id, held }),
            Err(refusal) => self.refuse(id, refusal),
        }
    }

    /// Finds the session or makes it and asks for its ports.
    fn enter(&mut self, now: Instant, id: SessionId, near: Option<IpAddr>) -> Option<usize> {
        let slot = match self.places.get(&id) {
            Some(slot) => *slot,
            None => self.open(now, id)?,
        };
        if let Some(session) = self.slot(slot) {
            session.near = near.or(session.near);
        }
        Some(slot)
    }

    fn open(&mut self, now: Instant, id: SessionId) -> Option<usize> {
        if self.places.len() >= self.config.max_sessions {
            self.tell(Event::Unavailable { session: id });
            return None;
        }
        // 32 bits: some phones keep the number of an o= line in an integer.
        let session = Some(Box::new(Session::new(
            id,
            now,
            u64::from(self.rng.next_u32()),
        )));
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(None);
                self.slots.len() - 1
            }
        };
        if let Some(place) = self.slots.get_mut(slot) {
            *place = session;
        }
        self.places.insert(id, slot);
        let (rtp, rtcp) = port_ids(slot);
        self.outputs.push_back(Output::OpenPorts {
            session: id,
            rtp,
            rtcp,
        });
        Some(slot)
    }

    fn ports(&mut self, id: SessionId, rtp: u16, rtcp: u16) {
        let Some(slot) = self.places.get(&id).copied() else {
            return;
        };
        let Some(session) = self.slot(slot) else {
            return;
        };
        let Ports::Opening(waiting) = session.ports else {
            return;
        };
        session.ports = Ports::Open { rtp, rtcp };
        self.own.add(rtp);
        self.own.add(rtcp);
        if let Some(making) = waiting {
            self.make(slot, making);
        }
    }

    fn no_ports(&mut self, id: SessionId) {
        let Some(slot) = self.places.get(&id).copied() else {
            return;
        };
        if self
            .slot(slot)
            .is_some_and(|session| matches!(session.ports, Ports::Opening(_)))
        {
            self.remove(slot);
            self.tell(Event::Unavailable { session: id });
        }
    }

    /// Makes a description of ours, or leaves that until the ports are there.
    fn make(&mut self, slot: usize, making: Making) {
        let address = self.config.address;
        let (Making::Offer { like, .. } | Making::Answer { like }) = making;
        let like = like
            .and_then(|like| self.session(like))
            .and_then(Session::newest)
            .cloned();
        let Some(session) = self.slot(slot) else {
            return;
        };
        let id = session.id;
        if let Ports::Opening(waiting) = &mut session.ports {
            *waiting = Some(making);
            return;
        }
        let made = match making {
            Making::Offer { both_ways, .. } => Ok(Event::Offered {
                session: id,
                sdp: session.offer(address, like.as_ref(), both_ways),
            }),
            Making::Answer { .. } => session
                .answer(address, like.as_ref())
                .map(|sdp| Event::Answered { session: id, sdp }),
        };
        self.map_payloads(slot);
        match made {
            Ok(event) => self.tell(event),
            Err(refusal) => self.refuse(id, refusal),
        }
    }

    fn bridge(&mut self, now: Instant, a: SessionId, b: SessionId) {
        let (Some(a), Some(b)) = (self.places.get(&a).copied(), self.places.get(&b).copied())
        else {
            return;
        };
        if a == b {
            return;
        }
        self.unbridge(a);
        self.unbridge(b);
        for (slot, peer) in [(a, b), (b, a)] {
            if let Some(session) = self.slot(slot) {
                session.peer = Some(peer);
                session.quiet_since = now;
                session.reported = 0;
            }
        }
        self.map_payloads(a);
        self.tick_at.get_or_insert(now + TICK);
    }

    fn unbridge(&mut self, slot: usize) {
        let peer = self.slot(slot).and_then(|session| session.peer.take());
        if let Some(session) = peer.and_then(|peer| self.slot(peer)) {
            session.peer = None;
        }
    }

    fn close(&mut self, id: SessionId) {
        let closed = self
            .places
            .get(&id)
            .copied()
            .and_then(|slot| self.remove(slot).map(|session| (slot, session)));
        let mut stats = Stats::default();
        if let Some((slot, session)) = closed {
            stats = session.stats();
            let (rtp, rtcp) = port_ids(slot);
            self.outputs.push_back(Output::ClosePorts { rtp, rtcp });
        }
        self.tell(Event::Closed { session: id, stats });
    }

    fn remove(&mut self, slot: usize) -> Option<Box<Session>> {
        self.unbridge(slot);
        let session = self.slots.get_mut(slot)?.take()?;
        self.places.remove(&session.id);
        self.free.push(slot);
        if let Ports::Open { rtp, rtcp } = session.ports {
            self.own.remove(rtp);
            self.own.remove(rtcp);
        }
        Some(session)
    }

    /// Writes down anew how a session and its peer number their codecs for each other.
    fn map_payloads(&mut self, slot: usize) {
        let Some(a) = self.slots.get(slot).and_then(Option::as_deref) else {
            return;
        };
        let Some(peer) = a.peer else {
            return;
        };
        let Some(b) = self.slots.get(peer).and_then(Option::as_deref) else {
            return;
        };
        let (to_b, to_a) = (PayloadMap::between(a, b), PayloadMap::between(b, a));
        for (slot, map) in [(slot, to_b), (peer, to_a)] {
            if let Some(session) = self.slot(slot) {
                session.payloads = map;
            }
        }
    }

    fn tick(&mut self, now: Instant) {
        if self.tick_at.is_none_or(|at| now < at) {
            return;
        }
        let mut bridged = false;
        for slot in 0..self.slots.len() {
            let Some(peer) = self.slot(slot).and_then(|session| session.peer) else {
                continue;
            };
            bridged = true;
            let watched = [slot, peer].into_iter().all(|slot| {
                self.slot(slot)
                    .is_some_and(|session| session.flows_both_ways())
            });
            self.watch(now, slot, watched);
        }
        self.tick_at = bridged.then_some(now + TICK);
    }

    fn watch(&mut self, now: Instant, slot: usize, watched: bool) {
        let silence_after = self.config.silence_after;
        let Some(session) = self.slot(slot) else {
            return;
        };
        if !watched {
            session.quiet_since = now;
            session.reported = 0;
            return;
        }
        let for_ = now.saturating_duration_since(session.quiet_since);
        if for_ >= silence_after.saturating_mul(session.reported.saturating_add(1)) {
            session.reported = session.reported.saturating_add(1);
            let session = session.id;
            self.tell(Event::Silent { session, for_ });
        }
    }

    fn slot(&mut self, slot: usize) -> Option<&mut Session> {
        self.slots.get_mut(slot)?.as_deref_mut()
    }

    fn session(&self, id: SessionId) -> Option<&Session> {
        self.slots.get(*self.places.get(&id)?)?.as_deref()
    }

    fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn refuse(&mut self, session: SessionId, Refusal { status, why }: Refusal) {
        self.tell(Event::Refused {
            session,
            status,
            why,
        });
    }
}

fn port_ids(slot: usize) -> (PortId, PortId) {
    // max_sessions keeps slots far below what 32 bits can name.
    let rtp = u32::try_from(slot)
        .unwrap_or(u32::MAX / 2)
        .saturating_mul(2);
    (PortId(rtp), PortId(rtp.saturating_add(1)))
}
