//! Session descriptions: an offer is answered or refused, and what we make is read by our own peer (RFC 3264 §5, §6).

use bytes::Bytes;
use media::{Event, OfferOrAnswer};

use crate::targets::plane::Rig;
use crate::trace::Trace;

/// The bytes as an offer, then as the answer to an offer of ours.
pub fn run(bytes: &[u8]) -> u64 {
    let mut trace = Trace::default();
    let sdp = Bytes::copy_from_slice(bytes);
    let mut rig = Rig::new("192.0.2.1");
    let taken = rig.remote(1, OfferOrAnswer::Offer, sdp.clone());
    note(&mut trace, &taken);
    if matches!(taken, Some(Event::Accepted { .. }))
        && let Some(Event::Answered { sdp, .. }) = rig.answer(1)
    {
        trace.note_size(sdp.len());
        // Whoever made the offer reads the answer; a peer of ours reads it as an offer too, as a re-INVITE would bring it.
        let mut peer = Rig::new("198.51.100.1");
        let read = peer.remote(1, OfferOrAnswer::Offer, sdp);
        assert!(
            matches!(
                read,
                Some(Event::Accepted { .. } | Event::Refused { status: 488, .. })
            ),
            "{read:?}"
        );
    }
    rig.offer(2);
    note(&mut trace, &rig.remote(2, OfferOrAnswer::Answer, sdp));
    trace.finish()
}

fn note(trace: &mut Trace, event: &Option<Event>) {
    match event {
        Some(Event::Accepted { held, .. }) => trace.note(held),
        Some(Event::Refused { status, why, .. }) => trace.note((status, why)),
        other => trace.note(other.is_some()),
    }
}
