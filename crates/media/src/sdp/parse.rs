//! Reads a description that a phone, a browser or a carrier sent, and says why when it cannot be used. RFC 8866, RFC 3605,
//! RFC 3551 §6 for the static payload types.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use sdp_types as grammar;

use super::{Audio, Codec, Description, Direction, Line};

/// The bounds of what is read; phones stay far below.
const MAX_BYTES: usize = 64 * 1024;
const MAX_LINES: usize = 1_000;
const MAX_MEDIA: usize = 8;
const MAX_CODECS: usize = 32;

/// Why a description is not used, with the SIP status that says so.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) why: &'static str,
}

impl Refusal {
    /// 488 Not Acceptable Here (RFC 3261 §21.4.26).
    pub(crate) const fn not_acceptable(why: &'static str) -> Self {
        Self { status: 488, why }
    }
}

/// What an address in a description is judged by.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Surroundings {
    /// Our advertised address.
    pub(crate) here: IpAddr,
    /// Where the sender's signalling comes from.
    pub(crate) near: Option<IpAddr>,
}

/// Reads a description.
pub(crate) fn parse(body: &[u8], around: Surroundings) -> Result<Description, Refusal> {
    if body.len() > MAX_BYTES {
        return Err(Refusal {
            status: 413,
            why: "the session description is too long",
        });
    }
    let repaired = repair(body)?;
    let session = grammar::Session::parse(repaired.as_bytes())
        .map_err(|_| Refusal::not_acceptable("the session description cannot be read"))?;
    if session.medias.len() > MAX_MEDIA {
        return Err(Refusal::not_acceptable("more than 8 media lines"));
    }
    let place = audio_place(&session.medias)?;
    let media = session.medias.get(place).ok_or(NO_AUDIO)?;
    let audio = audio(&session, media, around)?;
    let lines = session
        .medias
        .iter()
        .map(|media| Line {
            media: media.media.clone(),
            proto: media.proto.clone(),
            fmt: media.fmt.clone(),
        })
        .collect();
    Ok(Description {
        lines,
        place,
        audio,
    })
}

const NO_AUDIO: Refusal = Refusal::not_acceptable("no audio line");

/// Makes a description readable for the grammar without changing what is used of it. A body that is not UTF-8 is taken as
/// Latin-1. The `o=` line is left out: nothing of it is used, and spaces in its user name or a version beyond 64 bits occur.
fn repair(body: &[u8]) -> Result<String, Refusal> {
    let text = match std::str::from_utf8(body) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(body.iter().map(|byte| char::from(*byte)).collect()),
    };
    let mut repaired = String::with_capacity(text.len());
    let kept = text
        .split('\n')
        .map(|line| line.trim_end_matches(['\r', '\0', ' ']))
        .filter(|line| !line.is_empty() && !line.starts_with("o="));
    for (count, line) in kept.enumerate() {
        if count >= MAX_LINES {
            return Err(Refusal::not_acceptable(
                "too many lines in the session description",
            ));
        }
        repaired.push_str(line);
        repaired.push_str("\r\n");
    }
    if repaired.is_empty() {
        return Err(Refusal::not_acceptable("the session description is empty"));
    }
    Ok(repaired)
}

/// The first plain audio line that is on, else the first plain one.
fn audio_place(medias: &[grammar::Media]) -> Result<usize, Refusal> {
    let plain =
        |media: &grammar::Media| is_audio(media) && media.proto.eq_ignore_ascii_case("RTP/AVP");
    if let Some(place) = medias
        .iter()
        .position(|media| plain(media) && media.port != 0)
    {
        return Ok(place);
    }
    if let Some(place) = medias.iter().position(plain) {
        return Ok(place);
    }
    let Some(other) = medias.iter().find(|media| is_audio(media)) else {
        return Err(NO_AUDIO);
    };
    let proto = other.proto.to_ascii_uppercase();
    Err(Refusal::not_acceptable(if proto.contains("TLS") {
        "DTLS-SRTP is not offered here: RTP/AVP audio only"
    } else if proto.contains("SAVP") {
        "SRTP is not offered here: RTP/AVP audio only"
    } else {
        "RTP/AVP audio only"
    }))
}

fn is_audio(media: &grammar::Media) -> bool {
    media.media.eq_ignore_ascii_case("audio")
}

fn audio(
    session: &grammar::Session,
    media: &grammar::Media,
    around: Surroundings,
) -> Result<Audio, Refusal> {
    let off = media.port == 0;
    let mut direction = direction(&media.attributes)
        .or_else(|| direction(&session.attributes))
        .unwrap_or(Direction::BOTH);
    let connection = media.connections.first().or(session.connection.as_ref());
    let address = match connection {
        _ if off => Address::Nobody,
        Some(connection) => address(&connection.connection_address, around)?,
        None => return Err(Refusal::not_acceptable("no c= line for the audio")),
    };
    if off || address == Address::Nobody {
        // RFC 3264 §8.4: nothing may be sent to 0.0.0.0, which is the older way to put on hold.
        direction.receive = false;
    }
    if off {
        direction.send = false;
    }
    if direction.receive && media.port < 1024 {
        return Err(Refusal::not_acceptable("a media port below 1024"));
    }
    let rtp = match address {
        Address::At(ip) if media.port >= 1024 => Some(SocketAddr::new(ip, media.port)),
        _ => None,
    };
    let codecs = codecs(media);
    if codecs.is_empty() && !off {
        return Err(Refusal::not_acceptable("no codec that can be named"));
    }
    let rtcp_mux = media
        .attributes
        .iter()
        .any(|attribute| attribute.attribute == "rtcp-mux");
    Ok(Audio {
        off,
        rtp,
        rtcp: if rtcp_mux {
            rtp
        } else {
            rtcp(media, rtp, around)
        },
        rtcp_mux,
        direction,
        codecs,
        ptime: milliseconds(media, "ptime"),
        maxptime: milliseconds(media, "maxptime"),
    })
}

fn direction(attributes: &[grammar::Attribute]) -> Option<Direction> {
    attributes
        .iter()
        .find_map(|attribute| Direction::from_name(&attribute.attribute))
}

/// What a `c=` line names.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Address {
    At(IpAddr),
    /// `0.0.0.0` or `::`.
    Nobody,
    /// A host name; media is awaited from where the signalling comes from.
    Named,
}

fn address(text: &str, around: Surroundings) -> Result<Address, Refusal> {
    let Ok(ip) = text.split('/').next().unwrap_or_default().parse::<IpAddr>() else {
        let named = around.near.is_some() && !text.is_empty();
        return named
            .then_some(Address::Named)
            .ok_or(Refusal::not_acceptable("the media address is a host name"));
    };
    let ip = ip.to_canonical();
    if ip.is_unspecified() {
        return Ok(Address::Nobody);
    }
    if ip.is_multicast() || ip == IpAddr::V4(std::net::Ipv4Addr::BROADCAST) {
        return Err(Refusal::not_acceptable(
            "the media address is not one host's",
        ));
    }
    let loopback_is_near = around.here.is_loopback()
        || around
            .near
            .is_some_and(|near| near.to_canonical().is_loopback());
    if ip.is_loopback() && !loopback_is_near {
        return Err(Refusal::not_acceptable(
            "the media address is a loopback address",
        ));
    }
    let near_is_here =
        |near: IpAddr| near.to_canonical() == around.here || near.to_canonical().is_loopback();
    if ip == around.here && !around.near.is_none_or(near_is_here) {
        return Err(Refusal::not_acceptable("the media address is ours"));
    }
    if ip.is_ipv4() != around.here.is_ipv4() {
        return Err(Refusal::not_acceptable(
            "the media address is of the other IP version",
        ));
    }
    Ok(Address::At(ip))
}

/// RFC 3605 §2.1; without the attribute the next higher port (RFC 3550 §11). What cannot be used is as if it were not there.
fn rtcp(
    media: &grammar::Media,
    rtp: Option<SocketAddr>,
    around: Surroundings,
) -> Option<SocketAddr> {
    let rtp = rtp?;
    let next = || {
        rtp.port()
            .checked_add(1)
            .map(|port| SocketAddr::new(rtp.ip(), port))
    };
    let Some(value) = value(media, "rtcp") else {
        return next();
    };
    let mut words = value.split_ascii_whitespace();
    let Some(port) = words
        .next()
        .and_then(|port| port.parse::<u16>().ok())
        .filter(|port| *port >= 1024)
    else {
        return next();
    };
    let ip = match words.nth(2) {
        Some(text) => match address(text, around) {
            Ok(Address::At(ip)) => ip,
            _ => return None,
        },
        None => rtp.ip(),
    };
    Some(SocketAddr::new(ip, port))
}

fn value<'a>(media: &'a grammar::Media, name: &str) -> Option<&'a str> {
    media
        .attributes
        .iter()
        .find(|attribute| attribute.attribute == name)?
        .value
        .as_deref()
}

/// Whole milliseconds; some phones write `20.0`.
fn milliseconds(media: &grammar::Media, name: &str) -> Option<u16> {
    let whole = value(media, name)?.trim().split('.').next()?;
    whole
        .parse()
        .ok()
        .filter(|milliseconds| (1..=1_000).contains(milliseconds))
}

fn codecs(media: &grammar::Media) -> Vec<Codec> {
    let mut codecs: Vec<Codec> = Vec::new();
    let numbers = media
        .fmt
        .split_ascii_whitespace()
        .filter_map(|number| number.parse::<u8>().ok());
    for number in numbers.filter(|number| *number < 128).take(MAX_CODECS) {
        if codecs.iter().any(|codec| codec.number == number) {
            continue;
        }
        if let Some(mut codec) = mapped(media, number).or_else(|| well_known(number)) {
            codec.fmtp = of_number(media, "fmtp", number).map(str::to_owned);
            codecs.push(codec);
        }
    }
    codecs
}

fn of_number<'a>(media: &'a grammar::Media, name: &str, number: u8) -> Option<&'a str> {
    media
        .attributes
        .iter()
        .filter(|attribute| attribute.attribute == name)
        .find_map(|attribute| {
            let (word, rest) = attribute
                .value
                .as_deref()?
                .trim_start()
                .split_once([' ', '\t'])?;
            (word.parse::<u8>().ok()? == number).then_some(rest.trim())
        })
}

/// RFC 8866 §6.6.
fn mapped(media: &grammar::Media, number: u8) -> Option<Codec> {
    let mut parts = of_number(media, "rtpmap", number)?.split('/');
    let name = parts
        .next()
        .map(str::trim)
        .filter(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()))?;
    let clock = parts
        .next()?
        .trim()
        .parse()
        .ok()
        .filter(|clock| *clock > 0)?;
    let channels = parts
        .next()
        .and_then(|channels| channels.trim().parse().ok())
        .unwrap_or(1)
        .max(1);
    Some(Codec {
        number,
        name: name.to_owned(),
        clock,
        channels,
        fmtp: None,
    })
}

/// The static audio types of RFC 3551 §6, which need no `rtpmap`.
fn well_known(number: u8) -> Option<Codec> {
    let (name, clock) = match number {
        0 => ("PCMU", 8_000),
        3 => ("GSM", 8_000),
        4 => ("G723", 8_000),
        5 => ("DVI4", 8_000),
        6 => ("DVI4", 16_000),
        7 => ("LPC", 8_000),
        8 => ("PCMA", 8_000),
        // RFC 3551 §4.5.2: the clock of G.722 is 8,000 although it samples at 16,000.
        9 => ("G722", 8_000),
        10 | 11 => ("L16", 44_100),
        12 => ("QCELP", 8_000),
        13 => ("CN", 8_000),
        14 => ("MPA", 90_000),
        15 => ("G728", 8_000),
        16 => ("DVI4", 11_025),
        17 => ("DVI4", 22_050),
        18 => ("G729", 8_000),
        _ => return None,
    };
    let mut codec = Codec::new(number, name, clock);
    if number == 10 {
        codec.channels = 2;
    }
    Some(codec)
}
