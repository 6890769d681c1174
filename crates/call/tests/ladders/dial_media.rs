//! Descriptions and media of a Dial: early media, late offers, refusals, silence (RFC 3261 §13, RFC 3264).

use std::time::Duration;

use call::Verb;
use sip::{EndReason, SessionEvent};

use crate::ladder::{Ladder, Plane, answered, application, dial, media_id, ringing};

#[test]
fn early_media_reaches_the_caller_and_the_answer_is_the_same() {
    let mut call = Ladder::direct();
    call.located(1, "bob", 1)
        .cut()
        .at(1.0)
        .leg(1, ringing(183, Some("early of 1")))
        .at(2.0)
        .rings(1);
    call.at(4.0)
        .leg(1, answered(Some("early of 1")))
        .at(9.0)
        .bye(0);
    call.reads(
        r#"
           1.000 < Ringing(1, 183, "early of 1")
           1.000 > Remote(1, Answer, "early of 1")
           1.000 < Accepted(1)
           1.000 > MediaAnswer(A like 1)
           1.000 < MediaAnswered(A)
           1.000 > Bridge(A, 1)
           1.000 > Ring(A, 183, "to A like 1")
           2.000 < Ringing(1, 180)
           4.000 < Answered(1, "early of 1")
           4.000 > Record(1, sip:alice@d.example to sip:bob@d.example, answered)
           4.000 > Record(A, sip:alice@d.example to bob, answered)
           4.000 > Answer(A, "to A like 1")
           9.000 < Bye(A)
           9.000 > Hangup(1)
           9.000 > Close(1)
           9.000 > Close(A)
           9.000 < Closed(1)
           9.000 > Cdr(1, 4000 Caller, Completed, 5 s, 60 billed, 200)
           9.000 < Closed(A)
           9.000 > Cdr(A, 4000 Caller, Completed, 5 s, 60 billed, 200)
           9.000 > Notify(Hangup 4000, http://c/hangup, Completed)
           9.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn an_answer_without_description_keeps_the_early_one() {
    let mut call = Ladder::direct();
    call.located(1, "bob", 1)
        .leg(1, ringing(183, Some("early of 1")))
        .cut()
        .at(4.0)
        .leg(1, answered(None));
    call.reads(
        r#"
           4.000 < Answered(1)
           4.000 > Record(1, sip:alice@d.example to sip:bob@d.example, answered)
           4.000 > Record(A, sip:alice@d.example to bob, answered)
           4.000 > Answer(A, "to A like 1")"#,
    );
}

#[test]
fn somebody_else_answers_than_the_one_whose_early_media_is_heard() {
    let mut call = Ladder::direct();
    call.located(1, "bob", 2)
        .cut()
        .at(1.0)
        .leg(1, ringing(183, Some("early of 1")))
        .at(2.0)
        .rings(2)
        .at(4.0)
        .answers(2);
    call.reads(
        r#"
           1.000 < Ringing(1, 183, "early of 1")
           1.000 > Remote(1, Answer, "early of 1")
           1.000 < Accepted(1)
           1.000 > MediaAnswer(A like 1)
           1.000 < MediaAnswered(A)
           1.000 > Bridge(A, 1)
           1.000 > Ring(A, 183, "to A like 1")
           2.000 < Ringing(2, 180)
           4.000 < Answered(2, "answer of 2")
           4.000 > Record(1, sip:alice@d.example to sip:bob@d.example, answered)
           4.000 > Hangup(1, Reason: SIP;cause=200;text="Call completed elsewhere")
           4.000 > Close(1)
           4.000 > Remote(2, Answer, "answer of 2")
           4.000 < Closed(1)
           4.000 < Accepted(2)
           4.000 > MediaAnswer(A like 2)
           4.000 < MediaAnswered(A)
           4.000 > Bridge(A, 2)
           4.000 > Record(A, sip:alice@d.example to bob, answered)
           4.000 > Answer(A, "to A like 2")"#,
    );
}

#[test]
fn the_one_whose_early_media_is_heard_fails_while_others_ring() {
    let mut call = Ladder::direct();
    call.located(1, "bob", 2)
        .rings(2)
        .at(1.0)
        .leg(1, ringing(183, Some("early of 1")))
        .cut()
        .at(2.0)
        .fails(1, 480);
    call.reads(
        r#"
           2.000 < Failed(1, 480)
           2.000 > Close(1)
           2.000 > Ring(A, 180)
           2.000 < Closed(1)"#,
    );
}

#[test]
fn early_media_that_nobody_asked_for_is_a_ring_tone() {
    let mut call = Ladder::with(vec![Verb::Dial(dial(&["bob"]))]);
    call.located(2, "bob", 1)
        .cut()
        .at(1.0)
        .leg(1, ringing(183, Some("early of 1")));
    call.reads(
        r#"
           1.000 < Ringing(1, 183, "early of 1")
           1.000 > Ring(A, 180)"#,
    );
}

#[test]
fn r11_a_caller_without_offer_gets_ours_in_the_200() {
    let mut call = Ladder::begin(application(), None);
    call.recorded()
        .document(1, vec![Verb::Dial(dial(&["bob"]))])
        .cut();
    call.located(2, "bob", 1)
        .at(1.0)
        .rings(1)
        .at(4.0)
        .answers(1)
        .at(4.1)
        .ack(Some("answer of A"))
        .at(9.0)
        .bye(0);
    call.reads(
        r#"
           0.000 < Located(2, bob at 1)
           0.000 > Record(1, sip:alice@d.example to sip:bob@d.example)
           0.000 > Offer(1)
           0.000 < Offered(1)
           0.000 > Invite(1, sip:bob@192.0.2.20, "Alice" <sip:alice@d.example>, "to 1", X-PH-Tag: 7)
           1.000 < Ringing(1, 180)
           1.000 > Ring(A, 180)
           4.000 < Answered(1, "answer of 1")
           4.000 > Record(1, sip:alice@d.example to sip:bob@d.example, answered)
           4.000 > Remote(1, Answer, "answer of 1")
           4.000 < Accepted(1)
           4.000 > Offer(A like 1)
           4.000 < Offered(A)
           4.000 > Record(A, sip:alice@d.example to bob, answered)
           4.000 > Answer(A, "to A like 1")
           4.100 < Confirmed(A, "answer of A")
           4.100 > Remote(A, Answer, "answer of A")
           4.100 < Accepted(A)
           4.100 > Bridge(A, 1)
           9.000 < Bye(A)
           9.000 > Hangup(1)
           9.000 > Close(1)
           9.000 > Close(A)
           9.000 < Closed(1)
           9.000 > Cdr(1, 4000 Caller, Completed, 5 s, 60 billed, 200)
           9.000 < Closed(A)
           9.000 > Cdr(A, 4000 Caller, Completed, 5 s, 60 billed, 200)
           9.000 > Notify(Hangup 4000, http://c/hangup, Completed)
           9.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn a_caller_that_does_not_answer_our_offer_is_hung_up() {
    let mut call = Ladder::begin(application(), None);
    call.recorded()
        .document(1, vec![Verb::Dial(dial(&["bob"]))])
        .located(2, "bob", 1)
        .answers(1)
        .cut();
    call.at(1.0).ack(None);
    call.reads(
        r#"
           1.000 < Confirmed(A)
           1.000 > Hangup(1)
           1.000 > Close(1)
           1.000 > Hangup(A)
           1.000 > Close(A)
           1.000 < Closed(1)
           1.000 > Cdr(1, 5000 Error, Completed, 1 s, 60 billed, 200)
           1.000 < Closed(A)
           1.000 > Cdr(A, 5000 Error, Completed, 1 s, 60 billed, 200)
           1.000 > Notify(Hangup 5000, http://c/hangup, Completed)
           1.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn a_callee_that_answers_without_description_is_hung_up() {
    let mut call = Ladder::ringing();
    call.at(4.0).leg(1, answered(None));
    call.reads(
        r#"
           4.000 < Answered(1)
           4.000 > Record(1, sip:alice@d.example to sip:bob@d.example, answered)
           4.000 > Hangup(1)
           4.000 > Close(1)
           4.000 > Refuse(A, 488)
           4.000 > Close(A)
           4.000 < Closed(1)
           4.000 > Cdr(1, 5000 Error, Completed, 0 s, 0 billed, 200)
           4.000 < Closed(A)
           4.000 > Cdr(A, 4010 AnswerXml, Failed, 0 s, 0 billed, 488)
           4.000 > Notify(Hangup 4010, http://c/hangup, Failed)
           4.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn r12_a_caller_whose_description_cannot_be_used_gets_488() {
    let mut call = Ladder::with(vec![Verb::Dial(dial(&["bob"]))]).plane(0, Plane::Refuses);
    call.cut().located(2, "bob", 1);
    call.reads(
        r#"
           0.100 < Located(2, bob at 1)
           0.100 > Record(1, sip:alice@d.example to sip:bob@d.example)
           0.100 > Remote(A, Offer, "offer of A")
           0.100 < MediaRefused(A, 488)
           0.100 > Refuse(A, 488)
           0.100 > Close(A)
           0.100 > Cdr(1, 5000 Error, Failed, 0 s, 0 billed, no)
           0.100 < Closed(A)
           0.100 > Cdr(A, 5000 Error, Failed, 0 s, 0 billed, 488)
           0.100 > Notify(Hangup 5000, http://c/hangup, Failed)
           0.100 > Over"#,
    );
    call.is_over();
}

#[test]
fn r12_a_callee_whose_answer_cannot_be_used_is_hung_up() {
    let mut call = Ladder::ringing().plane(1, Plane::Refuses);
    call.at(4.0).answers(1);
    call.reads(
        r#"
           4.000 < Answered(1, "answer of 1")
           4.000 > Record(1, sip:alice@d.example to sip:bob@d.example, answered)
           4.000 > Remote(1, Answer, "answer of 1")
           4.000 < MediaRefused(1, 488)
           4.000 > Hangup(1)
           4.000 > Close(1)
           4.000 > Refuse(A, 488)
           4.000 > Close(A)
           4.000 < Closed(1)
           4.000 > Cdr(1, 5000 Error, Completed, 0 s, 0 billed, 200)
           4.000 < Closed(A)
           4.000 > Cdr(A, 4010 AnswerXml, Failed, 0 s, 0 billed, 488)
           4.000 > Notify(Hangup 4010, http://c/hangup, Failed)
           4.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn r15_without_ports_the_caller_gets_503() {
    let mut call = Ladder::direct().plane(0, Plane::HasNoPorts);
    call.cut().located(1, "bob", 1);
    call.reads(
        r#"
           0.000 < Located(1, bob at 1)
           0.000 > Record(1, sip:alice@d.example to sip:bob@d.example)
           0.000 > Remote(A, Offer, "offer of A")
           0.000 < Unavailable(A)
           0.000 > Refuse(A, 503, Retry-After: 5)
           0.000 > Close(A)
           0.000 > Cdr(1, 5030 Platform, Failed, 0 s, 0 billed, no)
           0.000 < Closed(A)
           0.000 > Cdr(A, 5030 Platform, Failed, 0 s, 0 billed, 503)
           0.000 > Notify(Hangup 5030, http://c/hangup, Failed)
           0.000 > Over"#,
    );
    call.is_over();
    let mut call = Ladder::direct().plane(1, Plane::HasNoPorts);
    call.cut().located(1, "bob", 1);
    call.reads(
        r#"
           0.000 < Located(1, bob at 1)
           0.000 > Record(1, sip:alice@d.example to sip:bob@d.example)
           0.000 > Remote(A, Offer, "offer of A")
           0.000 < Accepted(A)
           0.000 > Offer(1 like A)
           0.000 < Unavailable(1)
           0.000 > Close(1)
           0.000 > Refuse(A, 503, Retry-After: 5)
           0.000 > Close(A)
           0.000 < Closed(1)
           0.000 > Cdr(1, 5030 Platform, Failed, 0 s, 0 billed, no)
           0.000 < Closed(A)
           0.000 > Cdr(A, 5030 Platform, Failed, 0 s, 0 billed, 503)
           0.000 > Notify(Hangup 5030, http://c/hangup, Failed)
           0.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn r13_a_side_that_the_plane_reports_as_silent_ends_the_call() {
    let mut call = Ladder::talking();
    call.at(70.0).media(media::Event::Silent {
        session: media_id(1),
        for_: Duration::from_secs(60),
    });
    call.reads(
        r#"
          70.000 < Silent(1, 60 s)
          70.000 > Hangup(1)
          70.000 > Close(1)
          70.000 > Hangup(A)
          70.000 > Close(A)
          70.000 < Closed(1)
          70.000 > Cdr(1, 6020 Platform, Completed, 66 s, 120 billed, 200)
          70.000 < Closed(A)
          70.000 > Cdr(A, 6020 Platform, Completed, 66 s, 120 billed, 200)
          70.000 > Notify(Hangup 6020, http://c/hangup, Completed)
          70.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn s80_a_session_that_expires_ends_and_leaves_a_record() {
    let mut call = Ladder::talking();
    call.at(1800.0).leg(
        1,
        SessionEvent::Ended {
            why: EndReason::SessionExpired,
        },
    );
    call.reads(
        r#"
        1800.000 < Ended(1, SessionExpired)
        1800.000 > Close(1)
        1800.000 > Hangup(A)
        1800.000 > Close(A)
        1800.000 < Closed(1)
        1800.000 > Cdr(1, 5120 Error, Completed, 1796 s, 1800 billed, 200)
        1800.000 < Closed(A)
        1800.000 > Cdr(A, 4010 AnswerXml, Completed, 1796 s, 1800 billed, 200)
        1800.000 > Notify(Hangup 4010, http://c/hangup, Completed)
        1800.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn s78_a_caller_that_never_acknowledges_leaves_a_record() {
    let mut call = Ladder::ringing();
    call.at(4.0).answers(1).cut().at(36.0).leg(
        0,
        SessionEvent::Ended {
            why: EndReason::NoAck,
        },
    );
    call.reads(
        r#"
          36.000 < Ended(A, NoAck)
          36.000 > Hangup(1)
          36.000 > Close(1)
          36.000 > Close(A)
          36.000 < Closed(1)
          36.000 > Cdr(1, 5110 Error, Completed, 32 s, 60 billed, 200)
          36.000 < Closed(A)
          36.000 > Cdr(A, 5110 Error, Completed, 32 s, 60 billed, 200)
          36.000 > Notify(Hangup 5110, http://c/hangup, Completed)
          36.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn a_plane_that_never_closes_does_not_keep_the_records() {
    let mut call = Ladder::talking().plane(1, Plane::NeverCloses);
    call.at(9.0).bye(0).at(20.0);
    call.reads(
        r#"
           9.000 < Bye(A)
           9.000 > Hangup(1)
           9.000 > Close(1)
           9.000 > Close(A)
           9.000 < Closed(A)
          14.000 < Due
          14.000 > Cdr(1, 4000 Caller, Completed, 5 s, 60 billed, 200)
          14.000 > Cdr(A, 4000 Caller, Completed, 5 s, 60 billed, 200)
          14.000 > Notify(Hangup 4000, http://c/hangup, Completed)
          14.000 > Over"#,
    );
    call.is_over();
}
