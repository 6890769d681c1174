//! Our offers: what another leg's remote description names, with our address. RFC 3264 §5, §8.

use super::{Audio, Codec, Description, Direction, Line, Ours};

/// Makes an offer with the codecs, order, direction and packet time of `like`, else with what every phone knows.
///
/// `numbers` are the payload types that this session has ever used: a codec keeps its number and a number its codec for as long
/// as the session lives (RFC 3264 §8.3.2). `before` is the media that was last agreed: none of its lines may go away (§8).
pub(crate) fn offer(
    like: Option<&Audio>,
    numbers: &mut Numbers,
    before: Option<(&[Line], usize)>,
) -> Ours {
    let wanted = like.map_or_else(everyones, |audio| audio.codecs.clone());
    let mut codecs: Vec<Codec> = Vec::with_capacity(wanted.len());
    for mut codec in wanted {
        let taken: Vec<u8> = codecs.iter().map(|codec| codec.number).collect();
        if let Some(number) = numbers.number(&codec, &taken) {
            codec.number = number;
            codecs.push(codec);
        }
    }
    let mut lines = before.map_or_else(Vec::new, |(lines, _)| lines.to_vec());
    let place = before.map_or(0, |(_, place)| place);
    let audio = Line {
        media: "audio".to_owned(),
        proto: "RTP/AVP".to_owned(),
        fmt: String::new(),
    };
    match lines.get_mut(place) {
        Some(line) => *line = audio,
        None => lines.push(audio),
    }
    Ours {
        place: place.min(lines.len().saturating_sub(1)),
        lines,
        off: false,
        codecs,
        direction: like.map_or(Direction::BOTH, |audio| audio.direction),
        ptime: like.and_then(|audio| audio.ptime),
        maxptime: like.and_then(|audio| audio.maxptime),
        rtcp_mux: false,
    }
}

/// What an offer names when there is nobody to take it from (RFC 3261 §14.1, an INVITE without an offer).
fn everyones() -> Vec<Codec> {
    let mut events = Codec::new(101, "telephone-event", 8_000);
    events.fmtp = Some("0-16".to_owned());
    vec![
        Codec::new(0, "PCMU", 8_000),
        Codec::new(8, "PCMA", 8_000),
        events,
    ]
}

/// The payload types of a session and what each has stood for.
#[derive(Clone, Default, Debug)]
pub(crate) struct Numbers(Vec<Codec>);

impl Numbers {
    /// Remembers the numbers of a description.
    pub(crate) fn learn(&mut self, description: &Description) {
        for codec in &description.audio.codecs {
            if !self.0.iter().any(|known| known.number == codec.number) {
                self.0.push(codec.clone());
            }
        }
    }

    /// Lets the codecs of an answer hold these numbers, whatever they stood for.
    pub(crate) fn agree(&mut self, codecs: &[Codec]) {
        self.0
            .retain(|known| !codecs.iter().any(|codec| codec.number == known.number));
        self.0.extend_from_slice(codecs);
    }

    /// Every number that has a meaning, with it.
    pub(crate) fn all(&self) -> &[Codec] {
        &self.0
    }

    /// The number of a codec in an offer: the one it has had, else its own, else a free dynamic one; never one of `taken`.
    fn number(&mut self, codec: &Codec, taken: &[u8]) -> Option<u8> {
        let free = |number: u8| !taken.contains(&number);
        let held: Vec<Codec> = self
            .0
            .iter()
            .filter(|known| free(known.number))
            .cloned()
            .collect();
        if let Some(known) = codec.find_in(&held) {
            return Some(known.number);
        }
        let number = Some(codec.number)
            .into_iter()
            // RFC 3551 §3: dynamic numbers are 96 to 127.
            .chain(96..=127)
            .find(|number| free(*number) && !self.0.iter().any(|known| known.number == *number))?;
        self.0.push(Codec {
            number,
            ..codec.clone()
        });
        Some(number)
    }
}
