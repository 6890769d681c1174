//! One leg's media: what was offered and agreed, whose packets it takes, and what went through.

pub(crate) mod latch;
pub(crate) mod rtcp;
pub(crate) mod rtp;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::plane::SessionId;
use crate::room::bridge::PayloadMap;
use crate::sdp::offer::{Numbers, offer};
use crate::sdp::parse::Refusal;
use crate::sdp::{Audio, Description, Direction, Here, Ours, answer};
use latch::{Latch, OwnPorts};
use rtp::{Header, Inbound, Pace};

/// RTCP is a few packets a second at most (RFC 3550 §6.2).
const CONTROL_INTERVAL: Duration = Duration::from_millis(100);
const CONTROL_BURST: Duration = Duration::from_secs(2);
/// RFC 3551 §4.2: packets have 20 ms of audio unless something else is said.
const PACKET_TIME: u16 = 20;

/// What went through a session: received from its phone, sent to its phone.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub struct Stats {
    /// RTP packets accepted from the phone.
    pub received: u64,
    /// Bytes of those packets, without UDP and IP headers.
    pub received_bytes: u64,
    /// RTP packets sent to the phone.
    pub sent: u64,
    /// Bytes of those packets, without UDP and IP headers.
    pub sent_bytes: u64,
    /// RTP packets of the phone that did not arrive, estimated from sequence numbers (RFC 3550 §A.3).
    pub lost: u64,
    /// Packets that came from somebody else.
    pub strangers: u64,
    /// Packets that are no valid RTP or RTCP, exceed the rate of the codec, or have a payload type that nobody agreed to.
    pub dropped: u64,
}

/// The media of one leg.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) ports: Ports,
    /// The slot of the leg that it is bridged with.
    pub(crate) peer: Option<usize>,
    /// How the payload types of this leg are written for its peer.
    pub(crate) payloads: PayloadMap,
    pub(crate) near: Option<IpAddr>,
    /// No RTP since then, or not watched until then.
    pub(crate) quiet_since: Instant,
    /// How often the present silence was reported.
    pub(crate) reported: u32,
    pub(crate) numbers: Numbers,
    exchange: Exchange,
    agreed: Option<Description>,
    origin: u64,
    version: u64,
    ours: Option<Ours>,
    rtp: Latch,
    rtcp: Latch,
    inbound: Inbound,
    control: Pace,
    stats: Stats,
}

/// The sockets of a session.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Ports {
    /// Asked for; what is to be described when they are there.
    Opening(Option<Making>),
    /// Bound to these numbers.
    Open { rtp: u16, rtcp: u16 },
}

/// A description that is to be made.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Making {
    Offer {
        like: Option<SessionId>,
        both_ways: bool,
    },
    Answer {
        like: Option<SessionId>,
    },
}

/// The last offer of either side; answers to it may repeat (183, then 200).
#[derive(Clone, PartialEq, Eq, Debug)]
enum Exchange {
    Nothing,
    Sent(Ours),
    Received(Description),
}

/// What a packet turned out to be.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Taken {
    Media,
    Control,
}

impl Session {
    pub(crate) fn new(id: SessionId, now: Instant, origin: u64) -> Self {
        Self {
            id,
            ports: Ports::Opening(None),
            peer: None,
            payloads: PayloadMap::default(),
            near: None,
            quiet_since: now,
            reported: 0,
            numbers: Numbers::default(),
            exchange: Exchange::Nothing,
            agreed: None,
            origin,
            version: 0,
            ours: None,
            rtp: Latch::default(),
            rtcp: Latch::default(),
            inbound: Inbound::new(),
            control: Pace::new(CONTROL_INTERVAL, CONTROL_BURST),
            stats: Stats::default(),
        }
    }

    /// Takes the other side's offer and says whether it is one to hold. Until a first agreement it also says where media goes.
    pub(crate) fn offered(&mut self, description: Description) -> bool {
        let held = description.audio.is_held();
        self.numbers.learn(&description);
        if self.agreed.is_none() {
            self.follow(&description.audio);
        }
        self.exchange = Exchange::Received(description);
        held
    }

    /// Takes the other side's answer to our offer and says whether it is one to hold.
    pub(crate) fn answered(&mut self, description: Description) -> Result<bool, Refusal> {
        let Exchange::Sent(offer) = &self.exchange else {
            return Err(Refusal::not_acceptable("an answer without an offer"));
        };
        let description = answer::accept(description, offer)?;
        let held = description.audio.is_held();
        self.numbers.learn(&description);
        self.follow(&description.audio);
        self.agreed = Some(description);
        Ok(held)
    }

    /// Makes our offer.
    pub(crate) fn offer(
        &mut self,
        address: IpAddr,
        like: Option<&Audio>,
        both_ways: bool,
    ) -> Bytes {
        let before = self
            .agreed
            .as_ref()
            .map(|agreed| (agreed.lines.as_slice(), agreed.place));
        let mut ours = offer(like, &mut self.numbers, before);
        if both_ways {
            ours.direction = Direction::BOTH;
        }
        self.exchange = Exchange::Sent(ours.clone());
        self.write(address, ours)
    }

    /// Makes our answer to their last offer, which is in force from then on.
    pub(crate) fn answer(
        &mut self,
        address: IpAddr,
        like: Option<&Audio>,
    ) -> Result<Bytes, Refusal> {
        let Exchange::Received(offer) = &self.exchange else {
            return Err(Refusal::not_acceptable("no offer to answer"));
        };
        let ours = answer::answer(offer, like)?;
        let offer = offer.clone();
        self.numbers.agree(&ours.codecs);
        self.follow(&offer.audio);
        self.agreed = Some(offer);
        Ok(self.write(address, ours))
    }

    fn write(&mut self, address: IpAddr, ours: Ours) -> Bytes {
        if self.ours.as_ref() != Some(&ours) {
            self.version += 1;
        }
        let (rtp, rtcp) = match self.ports {
            Ports::Open { rtp, rtcp } => (rtp, rtcp),
            Ports::Opening(_) => (0, 0),
        };
        let written = ours.write(
            &Here {
                address,
                rtp,
                rtcp,
                id: self.origin,
            },
            self.version,
        );
        self.ours = Some(ours);
        self.set_packet_time(self.in_force().and_then(|audio| audio.ptime));
        written
    }

    /// Limits what comes in by the shorter packets of what the phone says and of what it was told.
    fn set_packet_time(&mut self, theirs: Option<u16>) {
        let ours = self.ours.as_ref().and_then(|ours| ours.ptime);
        let shortest = [theirs, ours]
            .into_iter()
            .flatten()
            .fold(PACKET_TIME, u16::min);
        self.inbound.set_packet_time(shortest);
    }

    /// Lets packets go where a description says. One that only holds leaves the source in place, for the music and the resume.
    fn follow(&mut self, audio: &Audio) {
        self.set_packet_time(audio.ptime);
        if audio.rtp.is_none() && !audio.direction.receive {
            return;
        }
        self.rtp.aim(audio.rtp, self.near);
        self.rtcp.aim(audio.rtcp, self.near);
    }

    /// The phone is seen somewhere else.
    pub(crate) fn moved(&mut self, near: IpAddr) {
        self.near = Some(near);
        self.rtp.let_go();
        self.rtcp.let_go();
        if let Some(audio) = self.in_force().cloned() {
            self.follow(&audio);
        }
    }

    /// The description that the other leg's offer or answer is made from: the newest of this side.
    pub(crate) fn newest(&self) -> Option<&Audio> {
        match &self.exchange {
            Exchange::Received(offer) => Some(&offer.audio),
            Exchange::Nothing | Exchange::Sent(_) => {
                self.agreed.as_ref().map(|agreed| &agreed.audio)
            }
        }
    }

    /// The description that packets go by: the agreed one, and before that the first offer (RFC 3264 §5.1).
    pub(crate) fn in_force(&self) -> Option<&Audio> {
        self.agreed
            .as_ref()
            .map(|agreed| &agreed.audio)
            .or_else(|| self.newest())
    }

    pub(crate) fn ours(&self) -> Option<&Ours> {
        self.ours.as_ref()
    }

    /// Whether packets are due from this side: both have agreed, and not to hold.
    pub(crate) fn flows_both_ways(&self) -> bool {
        self.agreed
            .as_ref()
            .is_some_and(|agreed| !agreed.audio.is_held())
    }

    /// What went through so far.
    pub(crate) fn stats(&self) -> Stats {
        Stats {
            lost: self.inbound.lost(),
            ..self.stats
        }
    }

    /// Judges a packet that came in on a port of this session, and writes its payload type as the peer knows it.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        control: bool,
        from: SocketAddr,
        packet: &mut [u8],
        own: &OwnPorts,
    ) -> Option<Taken> {
        if own.contains(from) {
            self.stats.strangers += 1;
            return None;
        }
        if control || rtcp::is_control(packet) {
            return self.take_control(now, control, from, packet);
        }
        let Some(header) = Header::parse(packet) else {
            self.stats.dropped += 1;
            return None;
        };
        if !self.rtp.admit(from) {
            self.stats.strangers += 1;
            return None;
        }
        if !self.inbound.admit(now, &header) {
            self.stats.dropped += 1;
            return None;
        }
        self.quiet_since = now;
        self.reported = 0;
        self.stats.received += 1;
        self.stats.received_bytes += packet.len() as u64;
        self.peer?;
        let Some(number) = self.payloads.get(header.number) else {
            self.stats.dropped += 1;
            return None;
        };
        if number != header.number {
            rtp::renumber(packet, number);
        }
        Some(Taken::Media)
    }

    /// RTCP on its own port has its own source; on the RTP port it comes from whoever sends the RTP (RFC 5761 §4).
    fn take_control(
        &mut self,
        now: Instant,
        own_port: bool,
        from: SocketAddr,
        packet: &[u8],
    ) -> Option<Taken> {
        if !rtcp::is_valid(packet) {
            self.stats.dropped += 1;
            return None;
        }
        let expected = if own_port {
            self.rtcp.admit(from)
        } else {
            self.rtp.is_locked_to(from)
        };
        if !expected {
            self.stats.strangers += 1;
            return None;
        }
        if !self.control.admit(now, 1) {
            self.stats.dropped += 1;
            return None;
        }
        Some(Taken::Control)
    }

    /// Says where a packet for this session's phone goes and from which of its ports; counts it as sent.
    pub(crate) fn send(
        &mut self,
        taken: Taken,
        bytes: usize,
        own: &OwnPorts,
    ) -> Option<(bool, SocketAddr)> {
        let audio = self.in_force()?;
        let (receives, muxed) = (audio.direction.receive, audio.rtcp_mux);
        let (control, to) = match taken {
            Taken::Media if !receives => return None,
            Taken::Media => (false, self.rtp.destination()?),
            Taken::Control if muxed => (false, self.rtp.destination()?),
            Taken::Control => (true, self.rtcp.destination()?),
        };
        if own.contains(to) {
            return None;
        }
        if taken == Taken::Media {
            self.stats.sent += 1;
            self.stats.sent_bytes += bytes as u64;
        }
        Some((control, to))
    }
}
