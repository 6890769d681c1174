//! Session descriptions: the grammar is `sdp-types` (RFC 8866), the view of one audio stream and the rules of offer and
//! answer (RFC 3264) are here. Of all media lines one plain `RTP/AVP` audio line is used; the others are answered with port 0.

pub(crate) mod answer;
pub(crate) mod offer;
pub(crate) mod parse;

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use sdp_types as grammar;

/// A remote description, reduced to what a relay needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Description {
    /// All media lines in their order, so that each can be answered (RFC 3264 §6).
    pub(crate) lines: Vec<Line>,
    /// The place of the audio line in `lines`.
    pub(crate) place: usize,
    pub(crate) audio: Audio,
}

/// A media line as written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Line {
    pub(crate) media: String,
    pub(crate) proto: String,
    pub(crate) fmt: String,
}

/// The audio line that is relayed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Audio {
    /// Port 0: the sender has switched the stream off (RFC 3264 §6, §8.2).
    pub(crate) off: bool,
    /// Where its RTP goes; none on hold by `0.0.0.0`, and when the address is a name.
    pub(crate) rtp: Option<SocketAddr>,
    /// Where its RTCP goes (RFC 3605).
    pub(crate) rtcp: Option<SocketAddr>,
    pub(crate) rtcp_mux: bool,
    pub(crate) direction: Direction,
    pub(crate) codecs: Vec<Codec>,
    /// Milliseconds of audio in a packet.
    pub(crate) ptime: Option<u16>,
    pub(crate) maxptime: Option<u16>,
}

impl Audio {
    /// Whether media does not flow both ways (RFC 3264 §8.4).
    pub(crate) fn is_held(&self) -> bool {
        self.direction != Direction::BOTH
    }
}

/// Which way media flows, seen from whoever wrote the description (RFC 8866 §6.7).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Direction {
    pub(crate) send: bool,
    pub(crate) receive: bool,
}

impl Direction {
    pub(crate) const BOTH: Self = Self {
        send: true,
        receive: true,
    };

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let (send, receive) = match name {
            "sendrecv" => (true, true),
            "sendonly" => (true, false),
            "recvonly" => (false, true),
            "inactive" => (false, false),
            _ => return None,
        };
        Some(Self { send, receive })
    }

    pub(crate) fn name(self) -> &'static str {
        match (self.send, self.receive) {
            (true, true) => "sendrecv",
            (true, false) => "sendonly",
            (false, true) => "recvonly",
            (false, false) => "inactive",
        }
    }

    /// What may be answered to an offer of this direction by someone who wants `wish` (RFC 3264 §6.1).
    pub(crate) fn answered(self, wish: Self) -> Self {
        Self {
            send: wish.send && self.receive,
            receive: wish.receive && self.send,
        }
    }
}

/// One payload format and the number that its description gives it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Codec {
    pub(crate) number: u8,
    pub(crate) name: String,
    pub(crate) clock: u32,
    pub(crate) channels: u16,
    pub(crate) fmtp: Option<String>,
}

impl Codec {
    pub(crate) fn new(number: u8, name: &str, clock: u32) -> Self {
        Self {
            number,
            name: name.to_owned(),
            clock,
            channels: 1,
            fmtp: None,
        }
    }

    /// Whether both name the same format; parameters and numbers may differ.
    pub(crate) fn same_format(&self, other: &Self) -> bool {
        self.name.eq_ignore_ascii_case(&other.name)
            && self.clock == other.clock
            && self.channels == other.channels
    }

    /// Whether it carries speech, and not only events or comfort noise beside it.
    pub(crate) fn is_speech(&self) -> bool {
        !self.name.eq_ignore_ascii_case("telephone-event") && !self.name.eq_ignore_ascii_case("CN")
    }

    /// Finds this codec in another description: with equal parameters, else with the same number, else by format alone.
    pub(crate) fn find_in<'a>(&self, codecs: &'a [Self]) -> Option<&'a Self> {
        let same = || codecs.iter().filter(|other| self.same_format(other));
        same()
            .find(|other| other.fmtp == self.fmtp)
            .or_else(|| same().find(|other| other.number == self.number))
            .or_else(|| same().next())
    }
}

/// A description of ours before it is written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Ours {
    pub(crate) lines: Vec<Line>,
    pub(crate) place: usize,
    pub(crate) off: bool,
    pub(crate) codecs: Vec<Codec>,
    pub(crate) direction: Direction,
    pub(crate) ptime: Option<u16>,
    pub(crate) maxptime: Option<u16>,
    pub(crate) rtcp_mux: bool,
}

/// What stays the same in every description of a session.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Here {
    pub(crate) address: IpAddr,
    pub(crate) rtp: u16,
    pub(crate) rtcp: u16,
    /// The `sess-id` of the `o=` line (RFC 8866 §5.2).
    pub(crate) id: u64,
}

impl Ours {
    /// Writes it out; `version` must rise whenever the rest differs from what was sent before (RFC 3264 §8).
    pub(crate) fn write(&self, here: &Here, version: u64) -> Bytes {
        let origin = grammar::Origin::with_ip_addr(here.id, version, here.address);
        let mut session = grammar::Session::new(origin, "-");
        session.connection = Some(grammar::Connection::from_ip_addr(here.address));
        session.medias = self
            .lines
            .iter()
            .enumerate()
            .map(|(place, line)| {
                if place == self.place {
                    self.audio(line, here)
                } else {
                    rejected(line)
                }
            })
            .collect();
        let mut written = Vec::with_capacity(512);
        // Writing into memory does not fail.
        let _ = session.write(&mut written);
        Bytes::from(written)
    }

    fn audio(&self, line: &Line, here: &Here) -> grammar::Media {
        if self.off {
            return rejected(line);
        }
        let mut media = blank(line);
        media.port = here.rtp;
        media.fmt = self
            .codecs
            .iter()
            .map(|codec| codec.number.to_string())
            .collect::<Vec<_>>()
            .join(" ");
        for codec in &self.codecs {
            let channels = if codec.channels > 1 {
                format!("/{}", codec.channels)
            } else {
                String::new()
            };
            media.attributes.push(valued(
                "rtpmap",
                format!("{} {}/{}{channels}", codec.number, codec.name, codec.clock),
            ));
            if let Some(fmtp) = &codec.fmtp {
                media
                    .attributes
                    .push(valued("fmtp", format!("{} {fmtp}", codec.number)));
            }
        }
        if let Some(ptime) = self.ptime {
            media.attributes.push(valued("ptime", ptime.to_string()));
        }
        if let Some(maxptime) = self.maxptime {
            media
                .attributes
                .push(valued("maxptime", maxptime.to_string()));
        }
        media.attributes.push(valued("rtcp", here.rtcp.to_string()));
        if self.rtcp_mux {
            media.attributes.push(grammar::Attribute::new("rtcp-mux"));
        }
        media
            .attributes
            .push(grammar::Attribute::new(self.direction.name()));
        media
    }
}

fn valued(name: &str, value: String) -> grammar::Attribute {
    grammar::Attribute::with_value(name, value)
}

fn rejected(line: &Line) -> grammar::Media {
    blank(line)
}

fn blank(line: &Line) -> grammar::Media {
    grammar::Media {
        media: line.media.clone(),
        port: 0,
        num_ports: None,
        proto: line.proto.clone(),
        fmt: line.fmt.clone(),
        media_title: None,
        connections: Vec::new(),
        bandwidths: Vec::new(),
        key: None,
        attributes: Vec::new(),
    }
}
