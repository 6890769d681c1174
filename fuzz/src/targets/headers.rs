//! Header values by themselves: what is read is written and read again as the same (RFC 3261 §20).

use sip::{CSeq, NameAddr, Reason, ReferTo, Replaces, Text, Via};

use crate::trace::Trace;

/// A value; every parser gets it.
pub fn run(bytes: &[u8]) -> u64 {
    let mut trace = Trace::default();
    let value = Text::from(String::from_utf8_lossy(bytes).into_owned());
    if let Ok(via) = Via::parse_top(&value) {
        trace.note((
            via.branch().is_some(),
            via.rport(),
            via.received().is_some(),
            via.has_magic_branch(),
        ));
        let again = Via::parse(&Text::from(via.to_string())).expect("what was written is a Via");
        assert_eq!(again.to_string(), via.to_string());
    }
    if let Ok(address) = NameAddr::parse(&value) {
        trace.note((address.tag().is_some(), address.expires(), address.q()));
        trace.note(address.display_unquoted().is_some());
        let written = address.to_string();
        let again =
            NameAddr::parse(&Text::from(written.clone())).expect("what was written is an address");
        assert_eq!(again.to_string(), written);
    }
    if let Ok(cseq) = CSeq::parse(&value) {
        assert_eq!(
            CSeq::parse(&Text::from(cseq.to_string()))
                .ok()
                .map(|again| again.number),
            Some(cseq.number)
        );
        trace.note(cseq.method.to_string());
    }
    trace.note_size(Reason::parse_all(&value).count());
    trace.note(ReferTo::parse(&value).is_ok());
    trace.note(
        Replaces::parse(&value)
            .map(|replaces| replaces.shard())
            .ok(),
    );
    trace.finish()
}
