//! Our answers, and whether an answer to our offer is one. RFC 3264 §6, §7.

use super::parse::Refusal;
use super::{Audio, Codec, Description, Direction, Ours};

/// Answers `offer` with what `like` chose, in its order and with the offer's numbers; none: with the first codec offered.
pub(crate) fn answer(offer: &Description, like: Option<&Audio>) -> Result<Ours, Refusal> {
    let audio = &offer.audio;
    let codecs = match like {
        _ if audio.off => Vec::new(),
        Some(like) => chosen(audio, like)?,
        None => first(audio)?,
    };
    let wish = like.map_or(Direction::BOTH, |like| like.direction);
    Ok(Ours {
        lines: offer.lines.clone(),
        place: offer.place,
        off: audio.off,
        codecs,
        direction: audio.direction.answered(wish),
        ptime: like.map_or(audio.ptime, |like| like.ptime),
        maxptime: like.map_or(audio.maxptime, |like| like.maxptime),
        rtcp_mux: audio.rtcp_mux,
    })
}

/// What the other leg chose, as far as it was offered here; telephone-event keeps the number that was offered.
fn chosen(audio: &Audio, like: &Audio) -> Result<Vec<Codec>, Refusal> {
    let mut codecs: Vec<Codec> = Vec::with_capacity(like.codecs.len());
    for choice in &like.codecs {
        let Some(offered) = choice.find_in(&audio.codecs) else {
            continue;
        };
        if !codecs.iter().any(|codec| codec.number == offered.number) {
            codecs.push(Codec {
                fmtp: choice.fmtp.clone(),
                ..offered.clone()
            });
        }
    }
    if !codecs.iter().any(Codec::is_speech) {
        return Err(Refusal::not_acceptable("no codec in common"));
    }
    Ok(codecs)
}

fn first(audio: &Audio) -> Result<Vec<Codec>, Refusal> {
    let speech = audio
        .codecs
        .iter()
        .find(|codec| codec.is_speech())
        .ok_or(Refusal::not_acceptable("no codec for speech"))?;
    let events = audio
        .codecs
        .iter()
        .find(|codec| !codec.is_speech() && codec.name.eq_ignore_ascii_case("telephone-event"));
    Ok([Some(speech), events]
        .into_iter()
        .flatten()
        .cloned()
        .collect())
}

/// Holds an answer against the offer of ours that it belongs to and keeps of it what was offered (RFC 3264 §6.1).
pub(crate) fn accept(mut answer: Description, offer: &Ours) -> Result<Description, Refusal> {
    if answer.audio.off {
        return Err(Refusal::not_acceptable("the audio was rejected"));
    }
    answer
        .audio
        .codecs
        .retain(|codec| codec.find_in(&offer.codecs).is_some());
    if !answer.audio.codecs.iter().any(Codec::is_speech) {
        return Err(Refusal::not_acceptable(
            "the answer has no codec that was offered",
        ));
    }
    answer.audio.direction = offer.direction.answered(answer.audio.direction);
    // RFC 5761 §5.1.1: we never offer it, so it cannot be agreed to.
    answer.audio.rtcp_mux = false;
    Ok(answer)
}
