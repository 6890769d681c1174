//! RTP as a relay sees it: is this a packet (RFC 3550 §5.1), how many are missing (§A.1, §A.3), are there too many.

use std::time::{Duration, Instant};

/// A source that has been heard this recently is not displaced by another.
const CURRENT: Duration = Duration::from_millis(200);
/// RFC 3550 §A.1: a step this large, or this far back, is another stream.
const MAX_DROPOUT: u16 = 3_000;
const MAX_MISORDER: u16 = 100;

/// The fields of a valid packet that matter here.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) number: u8,
    pub(crate) sequence: u16,
    pub(crate) ssrc: u32,
}

impl Header {
    /// Reads a packet whose version is 2 and whose CSRC list, extension and padding lie inside it.
    pub(crate) fn parse(packet: &[u8]) -> Option<Self> {
        let (fixed, rest) = packet.split_first_chunk::<12>()?;
        let [flags, marked, s0, s1, _, _, _, _, c0, c1, c2, c3] = *fixed;
        if flags >> 6 != 2 {
            return None;
        }
        let mut rest = rest.get(4 * usize::from(flags & 0x0f)..)?;
        if flags & 0x10 != 0 {
            let ([_, _, w0, w1], after) = rest.split_first_chunk::<4>()?;
            rest = after.get(4 * usize::from(u16::from_be_bytes([*w0, *w1]))..)?;
        }
        if flags & 0x20 != 0 {
            let padding = usize::from(*rest.last()?);
            if padding == 0 || padding > rest.len() {
                return None;
            }
        }
        Some(Self {
            number: marked & 0x7f,
            sequence: u16::from_be_bytes([s0, s1]),
            ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
        })
    }
}

/// Puts another payload type into a packet and leaves its marker.
pub(crate) fn renumber(packet: &mut [u8], number: u8) {
    if let Some(byte) = packet.get_mut(1) {
        *byte = (*byte & 0x80) | (number & 0x7f);
    }
}

/// Lets packets pass at a steady rate with some room for bursts; one instant is all its state.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Pace {
    interval: Duration,
    burst: Duration,
    /// When the bucket will be full again.
    full_at: Option<Instant>,
}

impl Pace {
    pub(crate) const fn new(interval: Duration, burst: Duration) -> Self {
        Self {
            interval,
            burst,
            full_at: None,
        }
    }

    pub(crate) fn set_interval(&mut self, interval: Duration) {
        self.interval = interval;
    }

    /// Takes one packet out unless more than `burst / share` is in use.
    pub(crate) fn admit(&mut self, now: Instant, share: u32) -> bool {
        let full_at = self.full_at.map_or(now, |at| at.max(now));
        if full_at.duration_since(now) > self.burst / share.max(1) {
            return false;
        }
        self.full_at = Some(full_at + self.interval);
        true
    }
}

/// What comes in from the phone: its current stream, what that has lost, and the limit of twice the codec's rate.
#[derive(Debug)]
pub(crate) struct Inbound {
    stream: Option<Stream>,
    lost_before: u64,
    pace: Pace,
}

#[derive(Copy, Clone, Debug)]
struct Stream {
    ssrc: u32,
    highest: u16,
    /// Packets that the sender has sent, by its numbers.
    expected: u64,
    received: u64,
    heard: Instant,
}

impl Inbound {
    pub(crate) fn new() -> Self {
        Self {
            stream: None,
            lost_before: 0,
            pace: Pace::new(Duration::from_millis(10), Duration::from_secs(1)),
        }
    }

    /// Sets the limit from the milliseconds of audio in a packet.
    pub(crate) fn set_packet_time(&mut self, milliseconds: u16) {
        self.pace
            .set_interval(Duration::from_millis(u64::from(milliseconds.max(1))) / 2);
    }

    /// Counts a packet in and says whether it may go on. Packets that do not continue the current stream (another SSRC, a jump
    /// of the sequence) get half of the room at most, so that they cannot push it out.
    pub(crate) fn admit(&mut self, now: Instant, header: &Header) -> bool {
        let Some(stream) = &mut self.stream else {
            return self.pace.admit(now, 1) && self.start(now, header);
        };
        let step = header.sequence.wrapping_sub(stream.highest);
        let back = stream.highest.wrapping_sub(header.sequence);
        let forward = step < MAX_DROPOUT;
        if stream.ssrc == header.ssrc && (forward || back <= MAX_MISORDER) {
            if !self.pace.admit(now, 1) {
                return false;
            }
            if forward {
                stream.highest = header.sequence;
                stream.expected += u64::from(step);
            }
            stream.received += 1;
            stream.heard = now;
            return true;
        }
        if now.saturating_duration_since(stream.heard) < CURRENT {
            return self.pace.admit(now, 2);
        }
        self.pace.admit(now, 2) && self.start(now, header)
    }

    /// Packets that did not arrive, over all streams.
    pub(crate) fn lost(&self) -> u64 {
        self.lost_before
            + self
                .stream
                .map_or(0, |stream| stream.expected.saturating_sub(stream.received))
    }

    fn start(&mut self, now: Instant, header: &Header) -> bool {
        self.lost_before = self.lost();
        self.stream = Some(Stream {
            ssrc: header.ssrc,
            highest: header.sequence,
            expected: 1,
            received: 1,
            heard: now,
        });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(sequence: u16, ssrc: u32) -> Vec<u8> {
        let mut packet = vec![0x80, 0];
        packet.extend(sequence.to_be_bytes());
        packet.extend([0; 4]);
        packet.extend(ssrc.to_be_bytes());
        packet.extend([0xff; 160]);
        packet
    }

    fn header(sequence: u16, ssrc: u32) -> Header {
        Header {
            number: 0,
            sequence,
            ssrc,
        }
    }

    #[test]
    fn r04_packets_that_are_no_rtp_are_dropped() {
        let good = packet(1, 2);
        assert_eq!(Header::parse(&good), Some(header(1, 2)));
        for length in 0..12 {
            assert_eq!(Header::parse(&good[..length]), None, "{length} bytes");
        }
        for flags in [0x00, 0x40, 0xc0] {
            let mut bad = good.clone();
            bad[0] = flags;
            assert_eq!(Header::parse(&bad), None, "version {}", flags >> 6);
        }
        let bad: [(&str, Vec<u8>); 6] = [
            ("CSRC beyond the end", [&[0x8f][..], &good[1..40]].concat()),
            (
                "extension header beyond the end",
                [&[0x90][..], &good[1..14]].concat(),
            ),
            (
                "extension beyond the end",
                [&[0x90][..], &good[1..12], &[0, 0, 0xff, 0xff, 1, 2, 3, 4]].concat(),
            ),
            ("no padding count", [&[0xa0][..], &good[1..12]].concat()),
            (
                "padding of nothing",
                [&[0xa0][..], &good[1..12], &[1, 1, 0]].concat(),
            ),
            (
                "padding beyond the payload",
                [&[0xa0][..], &good[1..12], &[1, 1, 4]].concat(),
            ),
        ];
        for (what, bytes) in bad {
            assert_eq!(Header::parse(&bytes), None, "{what}");
        }
    }

    #[test]
    fn csrc_extension_and_padding_inside_the_packet_are_valid() {
        let plain = packet(7, 9);
        let bytes = [
            &[0xb1][..],
            &plain[1..12],
            &[0; 4],
            &[0xbe, 0xde, 0, 1, 1, 2, 3, 4],
            &[5, 5, 0, 3],
        ]
        .concat();
        assert_eq!(Header::parse(&bytes), Some(header(7, 9)));
    }

    #[test]
    fn loss_is_counted_over_the_wrap_and_late_packets_are_not_lost() {
        let mut inbound = Inbound::new();
        let start = Instant::now();
        // 65534 is lost, 0 comes late, 3 and 4 are lost.
        for (tick, sequence) in [65_533, 65_535, 1, 0, 2, 5].into_iter().enumerate() {
            assert!(inbound.admit(
                start + Duration::from_millis(20 * tick as u64),
                &header(sequence, 1)
            ));
        }
        assert_eq!(inbound.lost(), 3);
    }

    #[test]
    fn a_new_source_takes_over_when_the_old_one_is_silent_and_its_loss_is_kept() {
        let mut inbound = Inbound::new();
        let start = Instant::now();
        assert!(inbound.admit(start, &header(1, 1)));
        assert!(inbound.admit(start, &header(3, 1)));
        assert!(inbound.admit(start + CURRENT, &header(30_000, 2)));
        assert!(inbound.admit(start + CURRENT, &header(30_001, 2)));
        assert_eq!(inbound.lost(), 1);
    }

    #[test]
    fn r03_a_flood_of_another_source_is_limited_and_the_stream_continues() {
        let mut inbound = Inbound::new();
        inbound.set_packet_time(20);
        let start = Instant::now();
        let (mut stream, mut flood) = (0, 0);
        for tenth_of_a_millisecond in 0..100_000_u64 {
            let now = start + Duration::from_micros(100 * tenth_of_a_millisecond);
            if tenth_of_a_millisecond % 200 == 0 {
                stream += u32::from(
                    inbound.admit(now, &header((tenth_of_a_millisecond / 200) as u16, 1)),
                );
            }
            flood += u32::from(inbound.admit(
                now,
                &header((tenth_of_a_millisecond.wrapping_mul(7_919)) as u16, 2),
            ));
        }
        assert_eq!(stream, 500, "every packet of the stream passes");
        assert!(
            stream + flood <= 10 * 100 + 100,
            "{} in 10 s",
            stream + flood
        );
    }
}
