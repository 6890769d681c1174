//! What happens in between: messages that cross, and answers that come too late.

use call::Verb;
use sip::{EndReason, SessionEvent};

use crate::ladder::{Ladder, Plane, answered, dial, media_id, ringing};

#[test]
fn the_caller_cancels_while_the_callee_rings() {
    let mut call = Ladder::ringing();
    call.at(3.0).cancel();
    call.reads(
        r#"
           3.000 < Cancelled(A)
           3.000 > Hangup(1)
           3.000 > Close(1)
           3.000 > Close(A)
           3.000 < Closed(1)
           3.000 > Cdr(1, 1000 Caller, Cancel, 0 s, 0 billed, 487)
           3.000 < Closed(A)
           3.000 > Cdr(A, 1000 Caller, Cancel, 0 s, 0 billed, 487)
           3.000 > Notify(Hangup 1000, http://c/hangup, Cancel)
           3.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn s77_the_caller_cancels_in_the_instant_the_callee_answers() {
    let mut call = Ladder::ringing().plane(1, Plane::Waits);
    call.at(4.0)
        .answers(1)
        .cancel()
        .media(media::Event::Accepted {
            session: media_id(1),
            held: false,
        });
    call.media(media::Event::Closed {
        session: media_id(1),
        stats: media::Stats::default(),
    });
    call.reads(
        r#"
           4.000 < Answered(1, "answer of 1")
           4.000 > Record(1, sip:alice@d.example to sip:bob@d.example, answered)
           4.000 > Remote(1, Answer, "answer of 1")
           4.000 < Cancelled(A)
           4.000 > Hangup(1)
           4.000 > Close(1)
           4.000 > Close(A)
           4.000 < Closed(1)
           4.000 > Cdr(1, 4000 Caller, Completed, 0 s, 0 billed, 200)
           4.000 < Closed(A)
           4.000 > Cdr(A, 1000 Caller, Cancel, 0 s, 0 billed, 487)
           4.000 > Notify(Hangup 1000, http://c/hangup, Cancel)
           4.000 > Over
           4.000 < Accepted(1)
           4.000 < Closed(1)"#,
    );
    call.is_over();
}

#[test]
fn the_callee_answers_in_the_instant_the_caller_leaves() {
    // The 200 crossed our CANCEL: the stack says ACK and BYE by itself (RFC 3261 §9.1), the call is over.
    let mut call = Ladder::ringing();
    call.at(4.0).cancel().answers(1);
    call.reads(
        r#"
           4.000 < Cancelled(A)
           4.000 > Hangup(1)
           4.000 > Close(1)
           4.000 > Close(A)
           4.000 < Closed(1)
           4.000 > Cdr(1, 1000 Caller, Cancel, 0 s, 0 billed, 487)
           4.000 < Closed(A)
           4.000 > Cdr(A, 1000 Caller, Cancel, 0 s, 0 billed, 487)
           4.000 > Notify(Hangup 1000, http://c/hangup, Cancel)
           4.000 > Over
           4.000 < Answered(1, "answer of 1")"#,
    );
    call.is_over();
}

#[test]
fn s79_two_callees_answer_at_once() {
    let mut call = Ladder::with(vec![Verb::Dial(dial(&["bob", "carol"]))]);
    call.located(2, "bob", 1)
        .located(3, "carol", 2)
        .at(1.0)
        .rings(1)
        .rings(2)
        .rings(3)
        .cut();
    call.at(4.0)
        .answers(1)
        .answers(2)
        .answers(3)
        .bye(2)
        .at(9.0)
        .bye(0);
    call.reads(
        r#"
           4.000 < Answered(1, "answer of 1")
           4.000 > Record(1, sip:alice@d.example to sip:bob@d.example, answered)
           4.000 > Hangup(2, Reason: SIP;cause=200;text="Call completed elsewhere")
           4.000 > Close(2)
           4.000 > Hangup(3, Reason: SIP;cause=200;text="Call completed elsewhere")
           4.000 > Close(3)
           4.000 > Remote(1, Answer, "answer of 1")
           4.000 < Closed(2)
           4.000 < Closed(3)
           4.000 > Cdr(2, 9000 Platform, Failed, 0 s, 0 billed, 487)
           4.000 < Accepted(1)
           4.000 > MediaAnswer(A like 1)
           4.000 < MediaAnswered(A)
           4.000 > Bridge(A, 1)
           4.000 > Record(A, sip:alice@d.example to bob, answered)
           4.000 > Answer(A, "to A like 1")
           4.000 < Answered(2, "answer of 2")
           4.000 < Answered(3, "answer of 3")
           4.000 < Bye(2)
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
fn the_answer_and_the_timeout_come_together() {
    let mut call = Ladder::ringing();
    // 30.1 s: the answer is taken first.
    call.at(30.1).answers(1).due().at(31.0).bye(0);
    call.reads(
        r#"
          30.100 < Answered(1, "answer of 1")
          30.100 > Record(1, sip:alice@d.example to sip:bob@d.example, answered)
          30.100 > Remote(1, Answer, "answer of 1")
          30.100 < Accepted(1)
          30.100 > MediaAnswer(A like 1)
          30.100 < MediaAnswered(A)
          30.100 > Bridge(A, 1)
          30.100 > Record(A, sip:alice@d.example to bob, answered)
          30.100 > Answer(A, "to A like 1")
          30.100 < Due
          31.000 < Bye(A)
          31.000 > Hangup(1)
          31.000 > Close(1)
          31.000 > Close(A)
          31.000 < Closed(1)
          31.000 > Cdr(1, 4000 Caller, Completed, 0.9 s, 60 billed, 200)
          31.000 < Closed(A)
          31.000 > Cdr(A, 4000 Caller, Completed, 0.9 s, 60 billed, 200)
          31.000 > Notify(Hangup 4000, http://c/hangup, Completed)
          31.000 > Over"#,
    );
    call.is_over();
    // The other way round the 200 crosses our CANCEL.
    let mut call = Ladder::ringing();
    call.at(30.1).due().answers(1);
    call.reads(
        r#"
          30.100 < Due
          30.100 > Hangup(1)
          30.100 > Close(1)
          30.100 > Refuse(A, 480)
          30.100 > Close(A)
          30.100 < Closed(1)
          30.100 > Cdr(1, 6010 Platform, NoAnswer, 0 s, 0 billed, 487)
          30.100 < Closed(A)
          30.100 > Cdr(A, 4010 AnswerXml, Failed, 0 s, 0 billed, 480)
          30.100 > Notify(Hangup 4010, http://c/hangup, Failed)
          30.100 > Over
          30.100 < Answered(1, "answer of 1")"#,
    );
    call.is_over();
}

#[test]
fn both_sides_hang_up_at_once() {
    let mut call = Ladder::talking();
    call.at(9.0).bye(0).bye(1);
    call.reads(
        r#"
           9.000 < Bye(A)
           9.000 > Hangup(1)
           9.000 > Close(1)
           9.000 > Close(A)
           9.000 < Closed(1)
           9.000 > Cdr(1, 4000 Caller, Completed, 5 s, 60 billed, 200)
           9.000 < Closed(A)
           9.000 > Cdr(A, 4000 Caller, Completed, 5 s, 60 billed, 200)
           9.000 > Notify(Hangup 4000, http://c/hangup, Completed)
           9.000 > Over
           9.000 < Bye(1)"#,
    );
    call.is_over();
    let mut call = Ladder::talking();
    call.at(9.0).bye(1).bye(0);
    call.reads(
        r#"
           9.000 < Bye(1)
           9.000 > Close(1)
           9.000 > Hangup(A)
           9.000 > Close(A)
           9.000 < Closed(1)
           9.000 > Cdr(1, 4000 Callee, Completed, 5 s, 60 billed, 200)
           9.000 < Closed(A)
           9.000 > Cdr(A, 4010 AnswerXml, Completed, 5 s, 60 billed, 200)
           9.000 > Notify(Hangup 4010, http://c/hangup, Completed)
           9.000 > Over
           9.000 < Bye(A)"#,
    );
    call.is_over();
}

#[test]
fn s76_a_re_invite_and_a_bye_in_the_same_instant() {
    let mut call = Ladder::talking();
    call.at(9.0).reoffers(0, Some("hold of A")).bye(1);
    call.reads(
        r#"
           9.000 < Reoffered(A, "hold of A")
           9.000 > Remote(A, Offer, "hold of A")
           9.000 < Accepted(A)
           9.000 > Offer(1 like A)
           9.000 < Offered(1)
           9.000 > Reinvite(1, "to 1 like A")
           9.000 < Bye(1)
           9.000 > Close(1)
           9.000 > MediaAnswer(A)
           9.000 > Hangup(A)
           9.000 > Close(A)
           9.000 < Closed(1)
           9.000 > Cdr(1, 4000 Callee, Completed, 5 s, 60 billed, 200)
           9.000 < MediaAnswered(A)
           9.000 < Closed(A)
           9.000 > Cdr(A, 4010 AnswerXml, Completed, 5 s, 60 billed, 200)
           9.000 > Notify(Hangup 4010, http://c/hangup, Completed)
           9.000 > Over"#,
    );
    call.is_over();
    let mut call = Ladder::talking();
    call.at(9.0)
        .reoffers(0, Some("hold of A"))
        .bye(0)
        .reanswers(1, "held by 1");
    call.reads(
        r#"
           9.000 < Reoffered(A, "hold of A")
           9.000 > Remote(A, Offer, "hold of A")
           9.000 < Accepted(A)
           9.000 > Offer(1 like A)
           9.000 < Offered(1)
           9.000 > Reinvite(1, "to 1 like A")
           9.000 < Bye(A)
           9.000 > Hangup(1)
           9.000 > Close(1)
           9.000 > Close(A)
           9.000 < Closed(1)
           9.000 > Cdr(1, 4000 Caller, Completed, 5 s, 60 billed, 200)
           9.000 < Closed(A)
           9.000 > Cdr(A, 4000 Caller, Completed, 5 s, 60 billed, 200)
           9.000 > Notify(Hangup 4000, http://c/hangup, Completed)
           9.000 > Over
           9.000 < Reanswered(1, "held by 1")"#,
    );
    call.is_over();
}

#[test]
fn s76_two_re_invites_cross() {
    let mut call = Ladder::talking();
    call.at(9.0)
        .reoffers(0, Some("hold of A"))
        .reoffers(1, Some("hold of 1"))
        .reanswers(1, "held by 1");
    call.reads(
        r#"
           9.000 < Reoffered(A, "hold of A")
           9.000 > Remote(A, Offer, "hold of A")
           9.000 < Accepted(A)
           9.000 > Offer(1 like A)
           9.000 < Offered(1)
           9.000 > Reinvite(1, "to 1 like A")
           9.000 < Reoffered(1, "hold of 1")
           9.000 > Refuse(1, 491)
           9.000 < Reanswered(1, "held by 1")
           9.000 > Remote(1, Answer, "held by 1")
           9.000 < Accepted(1)
           9.000 > MediaAnswer(A like 1)
           9.000 < MediaAnswered(A)
           9.000 > Answer(A, "to A like 1")"#,
    );
}

#[test]
fn a_callee_that_re_invites_before_it_is_bridged_is_told_to_wait() {
    let mut call = Ladder::ringing().plane(0, Plane::Waits);
    call.at(4.0).answers(1).reoffers(1, Some("hold of 1"));
    call.reads(
        r#"
           4.000 < Answered(1, "answer of 1")
           4.000 > Record(1, sip:alice@d.example to sip:bob@d.example, answered)
           4.000 > Remote(1, Answer, "answer of 1")
           4.000 < Accepted(1)
           4.000 > MediaAnswer(A like 1)
           4.000 < Reoffered(1, "hold of 1")
           4.000 > Refuse(1, 491)"#,
    );
    // The caller's answer waits for its row.
    let mut call = Ladder::asking();
    call.document(1, vec![Verb::Dial(dial(&["bob"]))])
        .located(2, "bob", 1)
        .rings(1)
        .answers(1)
        .cut();
    call.at(4.0).reoffers(1, Some("hold of 1")).recorded();
    call.reads(
        r#"
           4.000 < Reoffered(1, "hold of 1")
           4.000 > Refuse(1, 491)
           4.000 < Recorded(A)
           4.000 > Ring(A, 180)
           4.000 > Answer(A, "to A like 1")"#,
    );
}

#[test]
fn the_answer_comes_while_early_media_is_still_being_read() {
    let accepted = || media::Event::Accepted {
        session: media_id(1),
        held: false,
    };
    let mut call = Ladder::direct();
    call.located(1, "bob", 1);
    let mut call = call.plane(1, Plane::Waits);
    call.cut()
        .at(4.0)
        .leg(1, ringing(183, Some("early of 1")))
        .answers(1);
    // The first answer of the plane is about the description that is overtaken.
    call.media(accepted()).media(accepted());
    call.reads(
        r#"
           4.000 < Ringing(1, 183, "early of 1")
           4.000 > Remote(1, Answer, "early of 1")
           4.000 < Answered(1, "answer of 1")
           4.000 > Record(1, sip:alice@d.example to sip:bob@d.example, answered)
           4.000 > Remote(1, Answer, "answer of 1")
           4.000 < Accepted(1)
           4.000 < Accepted(1)
           4.000 > MediaAnswer(A like 1)
           4.000 < MediaAnswered(A)
           4.000 > Bridge(A, 1)
           4.000 > Record(A, sip:alice@d.example to bob, answered)
           4.000 > Answer(A, "to A like 1")"#,
    );
    let mut call = Ladder::direct();
    call.located(1, "bob", 1);
    let mut call = call.plane(1, Plane::Waits);
    call.cut()
        .at(4.0)
        .leg(1, ringing(183, Some("early of 1")))
        .leg(1, answered(Some("early of 1")))
        .media(accepted());
    call.reads(
        r#"
           4.000 < Ringing(1, 183, "early of 1")
           4.000 > Remote(1, Answer, "early of 1")
           4.000 < Answered(1, "early of 1")
           4.000 > Record(1, sip:alice@d.example to sip:bob@d.example, answered)
           4.000 < Accepted(1)
           4.000 > MediaAnswer(A like 1)
           4.000 < MediaAnswered(A)
           4.000 > Bridge(A, 1)
           4.000 > Record(A, sip:alice@d.example to bob, answered)
           4.000 > Answer(A, "to A like 1")"#,
    );
}

#[test]
fn the_callee_hangs_up_before_it_is_bridged() {
    let mut call = Ladder::ringing().plane(1, Plane::Waits);
    call.at(4.0).answers(1).bye(1).media(media::Event::Closed {
        session: media_id(1),
        stats: media::Stats::default(),
    });
    call.reads(
        r#"
           4.000 < Answered(1, "answer of 1")
           4.000 > Record(1, sip:alice@d.example to sip:bob@d.example, answered)
           4.000 > Remote(1, Answer, "answer of 1")
           4.000 < Bye(1)
           4.000 > Close(1)
           4.000 > Refuse(A, 480)
           4.000 > Close(A)
           4.000 < Closed(1)
           4.000 > Cdr(1, 4000 Callee, Completed, 0 s, 0 billed, 200)
           4.000 < Closed(A)
           4.000 > Cdr(A, 4010 AnswerXml, Failed, 0 s, 0 billed, 480)
           4.000 > Notify(Hangup 4010, http://c/hangup, Failed)
           4.000 > Over
           4.000 < Closed(1)"#,
    );
    call.is_over();
}

#[test]
fn a_target_that_is_found_too_late_is_not_called() {
    let mut call = Ladder::with(vec![Verb::Dial(dial(&["bob", "carol"]))]);
    call.located(2, "bob", 1)
        .rings(1)
        .at(2.0)
        .answers(1)
        .cut()
        .located(3, "carol", 1);
    call.reads(
        r#"
           2.000 < Located(3, carol at 1)"#,
    );
}

#[test]
fn the_flow_of_the_callee_breaks_while_they_talk() {
    let mut call = Ladder::talking();
    call.at(9.0).leg(
        1,
        SessionEvent::Ended {
            why: EndReason::TransportLost,
        },
    );
    call.reads(
        r#"
           9.000 < Ended(1, TransportLost)
           9.000 > Close(1)
           9.000 > Hangup(A)
           9.000 > Close(A)
           9.000 < Closed(1)
           9.000 > Cdr(1, 5140 Error, Completed, 5 s, 60 billed, 200)
           9.000 < Closed(A)
           9.000 > Cdr(A, 4010 AnswerXml, Completed, 5 s, 60 billed, 200)
           9.000 > Notify(Hangup 4010, http://c/hangup, Completed)
           9.000 > Over"#,
    );
    call.is_over();
}
