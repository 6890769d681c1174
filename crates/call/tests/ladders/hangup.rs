//! Hangup: voice-xml.md §4.11.

use std::time::Duration;

use call::{Hangup, HangupReason, Verb};

use crate::ladder::{Ladder, dial};

fn hangup(reason: Option<HangupReason>, schedule: Option<u64>) -> Verb {
    Verb::Hangup(Hangup {
        reason,
        schedule: schedule.map(Duration::from_secs),
    })
}

#[test]
fn an_unanswered_caller_is_refused_with_the_reason() {
    let table = [
        (Some(HangupReason::Rejected), 603, 3020, "Failed"),
        (None, 603, 3020, "Failed"),
        (Some(HangupReason::Busy), 486, 3010, "Busy"),
    ];
    for (reason, status, code, word) in table {
        let mut call = Ladder::asking();
        call.recorded()
            .cut()
            .document(1, vec![hangup(reason, None)]);
        call.reads(&format!(
            "   0.000 < Fetched(1, 1 verbs)
                0.000 > Refuse(A, {status})
                0.000 > Cdr(A, {code} AnswerXml, {word}, 0 s, 0 billed, {status})
                0.000 > Notify(Hangup {code}, http://c/hangup, {word})
                0.000 > Over"
        ));
        call.is_over();
    }
}

#[test]
fn an_answered_caller_gets_bye() {
    let mut call = Ladder::with(vec![
        Verb::Dial(dial(&["bob"])),
        hangup(Some(HangupReason::Busy), None),
    ]);
    call.located(2, "bob", 1)
        .at(1.0)
        .rings(1)
        .at(4.0)
        .answers(1)
        .ack(None)
        .cut()
        .at(9.0)
        .bye(1);
    call.reads(
        r#"
           9.000 < Bye(1)
           9.000 > Close(1)
           9.000 > Hangup(A)
           9.000 > Close(A)
           9.000 < Closed(1)
           9.000 > Cdr(1, 4000 Callee, Completed, 5 s, 60 billed, 200)
           9.000 < Closed(A)
           9.000 > Cdr(A, 4000 AnswerXml, Completed, 5 s, 60 billed, 200)
           9.000 > Notify(Hangup 4000, http://c/hangup, Completed)
           9.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn a_scheduled_hangup_cuts_what_runs_at_its_time() {
    let mut call = Ladder::with(vec![hangup(None, Some(60)), Verb::Dial(dial(&["bob"]))]);
    call.located(2, "bob", 1)
        .at(1.0)
        .rings(1)
        .at(4.0)
        .answers(1)
        .ack(None)
        .cut()
        .at(61.0);
    call.reads(
        r#"
          60.100 < Due
          60.100 > Hangup(1)
          60.100 > Close(1)
          60.100 > Hangup(A)
          60.100 > Close(A)
          60.100 < Closed(1)
          60.100 > Cdr(1, 6000 AnswerXml, Completed, 56.1 s, 60 billed, 200)
          60.100 < Closed(A)
          60.100 > Cdr(A, 6000 AnswerXml, Completed, 56.1 s, 60 billed, 200)
          60.100 > Notify(Hangup 6000, http://c/hangup, Completed)
          60.100 > Over"#,
    );
    call.is_over();
}

#[test]
fn a_scheduled_hangup_with_nothing_after_it_ends_the_call_at_once() {
    let mut call = Ladder::asking();
    call.recorded()
        .cut()
        .document(1, vec![hangup(None, Some(60))]);
    call.reads(
        r#"
           0.000 < Fetched(1, 1 verbs)
           0.000 > Refuse(A, 480)
           0.000 > Cdr(A, 4010 AnswerXml, Failed, 0 s, 0 billed, 480)
           0.000 > Notify(Hangup 4010, http://c/hangup, Failed)
           0.000 > Over"#,
    );
    call.is_over();
}
