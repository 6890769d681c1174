//! How a call begins: the row, the answer URL, the fallback URL (voice-xml.md §1.1, §1.3), and what ends it early.

use call::{Cause, Command, FetchFailure, HangupSource, Script};

use crate::ladder::{Ladder, application, dial, link};

#[test]
fn an_answered_and_ended_call_from_first_to_last() {
    let mut call = Ladder::asking();
    call.recorded().at(0.1).document(1, vec![call::Verb::Dial(dial(&["bob"]))]);
    call.at(0.2).located(2, "bob", 1).at(1.0).rings(1).at(4.0).answers(1).at(4.1).ack(None).at(65.5).bye(0);
    call.reads("");
    call.is_over();
}
