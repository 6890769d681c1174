//! How a call begins: the row, the answer URL, the fallback URL (voice-xml.md §1.1, §1.3), and what ends it early.

use call::{Cause, Command, FetchFailure, Hangup, HangupReason, HangupSource, Script, Verb};

use crate::ladder::{Ladder, dial, link};

#[test]
fn an_answered_call_from_first_to_last() {
    let mut call = Ladder::asking();
    call.recorded()
        .at(0.1)
        .document(1, vec![Verb::Dial(dial(&["bob"]))]);
    call.at(0.2)
        .located(2, "bob", 1)
        .at(1.0)
        .rings(1)
        .at(4.0)
        .answers(1)
        .at(4.1)
        .ack(None)
        .at(65.5)
        .bye(0);
    call.reads(
        r#"
           0.000 > Record(A, sip:alice@d.example to bob)
           0.000 > Fetch(1, StartApp, http://c/answer, Ringing)
           0.000 < Recorded(A)
           0.100 < Fetched(1, 1 verbs)
           0.100 > Locate(2, sip:bob@d.example)
           0.200 < Located(2, bob at 1)
           0.200 > Record(1, sip:alice@d.example to sip:bob@d.example)
           0.200 > Remote(A, Offer, "offer of A")
           0.200 < Accepted(A)
           0.200 > Offer(1 like A)
           0.200 < Offered(1)
           0.200 > Invite(1, sip:bob@192.0.2.20, "Alice" <sip:alice@d.example>, "to 1 like A", X-PH-Tag: 7)
           1.000 < Ringing(1, 180)
           1.000 > Ring(A, 180)
           4.000 < Answered(1, "answer of 1")
           4.000 > Record(1, sip:alice@d.example to sip:bob@d.example, answered)
           4.000 > Remote(1, Answer, "answer of 1")
           4.000 < Accepted(1)
           4.000 > MediaAnswer(A like 1)
           4.000 < MediaAnswered(A)
           4.000 > Bridge(A, 1)
           4.000 > Record(A, sip:alice@d.example to bob, answered)
           4.000 > Answer(A, "to A like 1")
           4.100 < Confirmed(A)
          65.500 < Bye(A)
          65.500 > Hangup(1)
          65.500 > Close(1)
          65.500 > Close(A)
          65.500 < Closed(1)
          65.500 > Cdr(1, 4000 Caller, Completed, 61.5 s, 120 billed, 200)
          65.500 < Closed(A)
          65.500 > Cdr(A, 4000 Caller, Completed, 61.5 s, 120 billed, 200)
          65.500 > Notify(Hangup 4000, http://c/hangup, Completed)
          65.500 > Over"#,
    );
    call.is_over();
}

#[test]
fn a_caller_who_cancels_while_the_answer_url_is_asked_leaves_a_record() {
    let mut call = Ladder::asking();
    call.recorded()
        .at(0.5)
        .cancel()
        .at(0.6)
        .document(1, vec![Verb::Dial(dial(&["bob"]))]);
    call.reads(
        r#"
           0.000 > Record(A, sip:alice@d.example to bob)
           0.000 > Fetch(1, StartApp, http://c/answer, Ringing)
           0.000 < Recorded(A)
           0.500 < Cancelled(A)
           0.500 > Cdr(A, 1000 Caller, Cancel, 0 s, 0 billed, 487)
           0.500 > Notify(Hangup 1000, http://c/hangup, Cancel)
           0.500 > Over
           0.600 < Fetched(1, 1 verbs)"#,
    );
    call.is_over();
}

#[test]
fn the_fallback_url_is_asked_once_and_then_the_caller_gets_500() {
    let mut call = Ladder::asking();
    call.recorded()
        .at(2.0)
        .no_document(1, FetchFailure::Unreachable)
        .at(4.0)
        .no_document(2, FetchFailure::BadXml);
    call.reads(
        r#"
           0.000 > Record(A, sip:alice@d.example to bob)
           0.000 > Fetch(1, StartApp, http://c/answer, Ringing)
           0.000 < Recorded(A)
           2.000 < Fetched(1, Unreachable)
           2.000 > Fetch(2, StartApp, http://c/fallback, Ringing)
           4.000 < Fetched(2, BadXml)
           4.000 > Refuse(A, 500)
           4.000 > Cdr(A, 8011 Error, Failed, 0 s, 0 billed, 500)
           4.000 > Notify(Hangup 8011, http://c/hangup, Failed)
           4.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn an_application_without_any_url_answers_500() {
    let script = Script::Application {
        answer: None,
        fallback: None,
        hangup: link("hangup"),
    };
    let mut call = Ladder::begin(script, None);
    call.recorded();
    call.reads(
        r#"
           0.000 > Record(A, sip:alice@d.example to bob)
           0.000 > Cdr(A, 7011 Error, Failed, 0 s, 0 billed, 500)
           0.000 > Notify(Hangup 7011, http://c/hangup, Failed)
           0.000 < Recorded(A)
           0.000 > Refuse(A, 500)
           0.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn a_document_with_nothing_to_do_ends_the_call() {
    let mut call = Ladder::with(Vec::new());
    call.reads(
        r#"
           0.000 > Record(A, sip:alice@d.example to bob)
           0.000 > Fetch(1, StartApp, http://c/answer, Ringing)
           0.000 < Recorded(A)
           0.100 < Fetched(1, 0 verbs)
           0.100 > Refuse(A, 480)
           0.100 > Cdr(A, 4010 AnswerXml, Failed, 0 s, 0 billed, 480)
           0.100 > Notify(Hangup 4010, http://c/hangup, Failed)
           0.100 > Over"#,
    );
    call.is_over();
}

#[test]
fn nothing_answers_the_caller_before_its_row_is_on_disk() {
    let mut call = Ladder::asking();
    let busy = Hangup {
        reason: Some(HangupReason::Busy),
        schedule: None,
    };
    call.at(0.1)
        .document(1, vec![Verb::Hangup(busy)])
        .at(0.3)
        .recorded();
    call.reads(
        r#"
           0.000 > Record(A, sip:alice@d.example to bob)
           0.000 > Fetch(1, StartApp, http://c/answer, Ringing)
           0.100 < Fetched(1, 1 verbs)
           0.100 > Cdr(A, 3010 AnswerXml, Busy, 0 s, 0 billed, 486)
           0.100 > Notify(Hangup 3010, http://c/hangup, Busy)
           0.300 < Recorded(A)
           0.300 > Refuse(A, 486)
           0.300 > Over"#,
    );
    call.is_over();
}

#[test]
fn a_caller_who_cancels_before_its_row_is_on_disk_was_never_answered() {
    let mut call = Ladder::asking();
    call.at(0.1)
        .document(1, vec![Verb::Dial(dial(&["bob"]))])
        .located(2, "bob", 1)
        .rings(1)
        .answers(1)
        .cut();
    call.at(0.2).cancel().recorded();
    call.reads(
        r#"
           0.200 < Cancelled(A)
           0.200 > Hangup(1)
           0.200 > Close(1)
           0.200 > Close(A)
           0.200 < Closed(1)
           0.200 > Cdr(1, 4000 Caller, Completed, 0.1 s, 60 billed, 200)
           0.200 < Closed(A)
           0.200 > Cdr(A, 1000 Caller, Cancel, 0 s, 0 billed, 487)
           0.200 > Notify(Hangup 1000, http://c/hangup, Cancel)
           0.200 > Over
           0.200 < Recorded(A)"#,
    );
    call.is_over();
}

#[test]
fn a_row_that_does_not_come_ends_the_call_with_500() {
    let mut call = Ladder::asking();
    call.at(0.1)
        .document(1, vec![Verb::Dial(dial(&["bob"]))])
        .located(2, "bob", 1)
        .rings(1)
        .answers(1)
        .cut();
    call.at(11.0);
    call.reads(
        r#"
          10.000 < Due
          10.000 > Hangup(1)
          10.000 > Close(1)
          10.000 > Close(A)
          10.000 > Refuse(A, 500)
          10.000 < Closed(1)
          10.000 > Cdr(1, 5010 Error, Completed, 9.9 s, 60 billed, 200)
          10.000 < Closed(A)
          10.000 > Cdr(A, 5010 Error, Failed, 0 s, 0 billed, 500)
          10.000 > Notify(Hangup 5010, http://c/hangup, Failed)
          10.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn the_api_hangs_up_before_the_answer() {
    let mut call = Ladder::ringing();
    call.at(2.0).command(Command::HangUp {
        cause: Cause::NormalHangup,
        source: HangupSource::ApiRequest,
    });
    call.reads(
        r#"
           2.000 < HangUp { cause: NormalHangup, source: ApiRequest }
           2.000 > Hangup(1)
           2.000 > Close(1)
           2.000 > Refuse(A, 480)
           2.000 > Close(A)
           2.000 < Closed(1)
           2.000 > Cdr(1, 1000 ApiRequest, Cancel, 0 s, 0 billed, 487)
           2.000 < Closed(A)
           2.000 > Cdr(A, 1000 ApiRequest, Cancel, 0 s, 0 billed, 480)
           2.000 > Notify(Hangup 1000, http://c/hangup, Cancel)
           2.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn the_api_hangs_up_after_the_answer() {
    let mut call = Ladder::talking();
    call.at(9.0).command(Command::HangUp {
        cause: Cause::NormalHangup,
        source: HangupSource::ApiRequest,
    });
    call.reads(
        r#"
           9.000 < HangUp { cause: NormalHangup, source: ApiRequest }
           9.000 > Hangup(1)
           9.000 > Close(1)
           9.000 > Hangup(A)
           9.000 > Close(A)
           9.000 < Closed(1)
           9.000 > Cdr(1, 4000 ApiRequest, Completed, 5 s, 60 billed, 200)
           9.000 < Closed(A)
           9.000 > Cdr(A, 4000 ApiRequest, Completed, 5 s, 60 billed, 200)
           9.000 > Notify(Hangup 4000, http://c/hangup, Completed)
           9.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn d12_a_drain_refuses_who_waits_and_says_bye_to_who_talks() {
    let drain = Command::HangUp {
        cause: Cause::NormalHangup,
        source: HangupSource::Platform,
    };
    let mut call = Ladder::asking();
    call.recorded().cut().at(1.0).command(drain.clone());
    call.reads(
        r#"
           1.000 < HangUp { cause: NormalHangup, source: Platform }
           1.000 > Refuse(A, 503, Retry-After: 5)
           1.000 > Cdr(A, 1000 Platform, Cancel, 0 s, 0 billed, 503)
           1.000 > Notify(Hangup 1000, http://c/hangup, Cancel)
           1.000 > Over"#,
    );
    call.is_over();
    let mut call = Ladder::talking();
    call.at(9.0).command(drain);
    call.reads(
        r#"
           9.000 < HangUp { cause: NormalHangup, source: Platform }
           9.000 > Hangup(1)
           9.000 > Close(1)
           9.000 > Hangup(A)
           9.000 > Close(A)
           9.000 < Closed(1)
           9.000 > Cdr(1, 4000 Platform, Completed, 5 s, 60 billed, 200)
           9.000 < Closed(A)
           9.000 > Cdr(A, 4000 Platform, Completed, 5 s, 60 billed, 200)
           9.000 > Notify(Hangup 4000, http://c/hangup, Completed)
           9.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn a_stack_without_room_for_the_caller_leaves_a_record() {
    let mut call = Ladder::asking();
    call.no_room(0);
    call.reads(
        r#"
           0.000 > Record(A, sip:alice@d.example to bob)
           0.000 > Fetch(1, StartApp, http://c/answer, Ringing)
           0.000 < LegRefused(A)
           0.000 > Cdr(A, 5030 Platform, Failed, 0 s, 0 billed, 503)
           0.000 > Notify(Hangup 5030, http://c/hangup, Failed)
           0.000 > Over"#,
    );
    call.is_over();
}
