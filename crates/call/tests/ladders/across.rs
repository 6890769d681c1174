//! Two calls whose legs talk with each other, transferred once more: RFC 3515, RFC 3891.

use call::{EndpointId, Word};
use sip::Status;

use crate::ladder::{Ladder, other, own, refer, third};
use crate::link::TARGET;

/// Two calls that talk with each other; the leg of the other call is 2 here.
fn across() -> Ladder {
    let mut call = Ladder::talking();
    call.at(5.0).refers(1, 90, TARGET).found(1, Some(other(1)));
    let replaced = other(1);
    call.hears(0, other(0), Word::Joined { replaced });
    call.reanswers(0, "A to carol");
    call.hears(0, other(0), Word::Answered).cut();
    call
}

fn word_of_refer(target: &str) -> Word {
    let sip::SessionEvent::Requested {
        id,
        wants: sip::InDialog::Refer(refer),
        ..
    } = refer(7, target)
    else {
        panic!("a REFER");
    };
    Word::Refer {
        id,
        refer,
        endpoint: Some(EndpointId(3)),
        name: sip::Text::from_static("<sip:carol@d.example>"),
    }
}

#[test]
fn who_talks_across_two_calls_is_transferred_once_more_by_the_call_of_who_is_left() {
    let mut call = across();
    call.at(6.0)
        .hears(0, other(0), word_of_refer("sip:dave@d.example"));
    call.at(6.1).located(3, "dave", 1).rings(3);
    call.at(7.0).answers(3);
    call.reanswers(0, "A to dave").at(9.0).bye(3);
    call.reads(
        r#"
   6.000 < Across(A, Refer 7 to sip:dave@d.example by <sip:carol@d.example>, endpoint 3)
   6.000 > Across(A to 9.A, Responded 7 202)
   6.000 > Locate(3, sip:dave@d.example for B)
   6.100 < Located(3, dave at 1)
   6.100 > Record(3, sip:alice@d.example to sip:dave@d.example)
   6.100 > Offer(3 like A, to talk)
   6.100 < Offered(3)
   6.100 > Invite(3, sip:dave@192.0.2.20, "Alice" <sip:alice@d.example>, "to 3 like A", X-PH-Tag: 7, Referred-By: <sip:carol@d.example>)
   6.100 < Ringing(3, 180)
   6.100 > Across(A to 9.A, Progress 7 180)
   7.000 < Answered(3, "answer of 3")
   7.000 > Record(3, sip:alice@d.example to sip:dave@d.example, answered)
   7.000 > Remote(3, Answer, "answer of 3")
   7.000 < Accepted(3)
   7.000 > Bridge(A, 3)
   7.000 > Offer(A like 3)
   7.000 > Across(A to 9.A, Progress 7 200)
   7.000 > Across(A to 9.A, Gone)
   7.000 < Offered(A)
   7.000 > Reinvite(A, "to A like 3")
   7.000 < Reanswered(A, "A to dave")
   7.000 > Remote(A, Answer, "A to dave")
   7.000 < Accepted(A)
   9.000 < Bye(3)
   9.000 > Close(3)
   9.000 > Hangup(A)
   9.000 > Close(A)
   9.000 < Closed(3)
   9.000 > Cdr(3, 4000 Callee, Completed, 2 s, 60 billed, 200)
   9.000 < Closed(A)
   9.000 > Cdr(A, 4010 AnswerXml, Completed, 5 s, 60 billed, 200)
   9.000 > Notify(Hangup 4010, http://c/hangup, Completed)
   9.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn a_transfer_across_two_calls_that_fails_leaves_the_two_talking() {
    let mut call = across();
    call.at(6.0)
        .hears(0, other(0), word_of_refer("sip:dave@d.example"));
    call.hears(0, other(0), word_of_refer("sip:erin@d.example"));
    call.at(6.1).located(3, "dave", 1).fails(3, 486);
    // Who transfers leaves at once.
    call.at(7.0)
        .hears(0, other(0), word_of_refer("sip:dave@d.example"));
    call.hears(0, other(0), Word::Gone);
    call.located(4, "dave", 1).answers(4);
    call.at(9.0).bye(0);
    call.reads(
        r#"
   6.000 < Across(A, Refer 7 to sip:dave@d.example by <sip:carol@d.example>, endpoint 3)
   6.000 > Across(A to 9.A, Responded 7 202)
   6.000 > Locate(3, sip:dave@d.example for B)
   6.000 < Across(A, Refer 7 to sip:erin@d.example by <sip:carol@d.example>, endpoint 3)
   6.000 > Across(A to 9.A, Responded 7 491)
   6.100 < Located(3, dave at 1)
   6.100 > Record(3, sip:alice@d.example to sip:dave@d.example)
   6.100 > Offer(3 like A, to talk)
   6.100 < Offered(3)
   6.100 > Invite(3, sip:dave@192.0.2.20, "Alice" <sip:alice@d.example>, "to 3 like A", X-PH-Tag: 7, Referred-By: <sip:carol@d.example>)
   6.100 < Failed(3, 486)
   6.100 > Close(3)
   6.100 > Across(A to 9.A, Progress 7 486)
   6.100 < Closed(3)
   6.100 > Cdr(3, 3010 Callee, Busy, 0 s, 0 billed, 486)
   7.000 < Across(A, Refer 7 to sip:dave@d.example by <sip:carol@d.example>, endpoint 3)
   7.000 > Across(A to 9.A, Responded 7 202)
   7.000 > Locate(4, sip:dave@d.example for B)
   7.000 < Across(A, Gone)
   7.000 < Located(4, dave at 1)
   7.000 > Record(4, sip:alice@d.example to sip:dave@d.example)
   7.000 > Offer(4 like A, to talk)
   7.000 < Offered(4)
   7.000 > Invite(4, sip:dave@192.0.2.20, "Alice" <sip:alice@d.example>, "to 4 like A", X-PH-Tag: 7, Referred-By: <sip:carol@d.example>)
   7.000 < Answered(4, "answer of 4")
   7.000 > Record(4, sip:alice@d.example to sip:dave@d.example, answered)
   7.000 > Remote(4, Answer, "answer of 4")
   7.000 < Accepted(4)
   7.000 > Bridge(A, 4)
   7.000 > Offer(A like 4)
   7.000 < Offered(A)
   7.000 > Reinvite(A, "to A like 4")
   9.000 < Bye(A)
   9.000 > Hangup(4)
   9.000 > Close(4)
   9.000 > Close(A)
   9.000 < Closed(4)
   9.000 > Cdr(4, 4000 Caller, Completed, 2 s, 60 billed, 200)
   9.000 < Closed(A)
   9.000 > Cdr(A, 4000 Caller, Completed, 5 s, 60 billed, 200)
   9.000 > Notify(Hangup 4000, http://c/hangup, Completed)
   9.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn an_attended_transfer_across_two_calls_joins_a_third_one() {
    let mut call = across();
    call.at(6.0).hears(0, other(0), word_of_refer(TARGET));
    call.found(2, Some(third(1)));
    let replaced = third(1);
    call.hears(0, third(0), Word::Joined { replaced });
    call.reanswers(0, "A to dave");
    call.hears(0, third(0), Word::Answered);
    call.at(9.0).hears(0, third(0), Word::Gone);
    call.reads(
        r#"
   6.000 < Across(A, Refer 7 to sip:carol@d.example by <sip:carol@d.example>, endpoint 3)
   6.000 > Find(2, call-2;to-tag=x;from-tag=y)
   6.000 < Found(2, 11.1)
   6.000 > Across(A to 11.1, Join for 11.1)
   6.000 < Across(A, Joined for 11.1)
   6.000 > Across(A to 9.A, Responded 7 202)
   6.000 > Bridge(A, 11.A)
   6.000 > Offer(A like 11.A, to talk)
   6.000 > Across(A to 9.A, Progress 7 200)
   6.000 > Across(A to 9.A, Gone)
   6.000 < Offered(A)
   6.000 > Reinvite(A, "to A like 11.A")
   6.000 < Reanswered(A, "A to dave")
   6.000 > Remote(A, Answer, "A to dave")
   6.000 < Accepted(A)
   6.000 > Across(A to 11.A, Offer)
   6.000 < Across(A, Answered)
   9.000 < Across(A, Gone)
   9.000 > Unbridge(A)
   9.000 > Hangup(A)
   9.000 > Close(A)
   9.000 < Closed(A)
   9.000 > Cdr(A, 4010 AnswerXml, Completed, 5 s, 60 billed, 200)
   9.000 > Notify(Hangup 4010, http://c/hangup, Completed)
   9.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn a_refer_of_who_talks_across_two_calls_goes_to_the_other_one() {
    let mut call = across();
    call.at(6.0).refers(0, 91, "sip:dave@d.example");
    let (id, reason) = (sip::RequestId(91), None);
    let status = Status::ACCEPTED;
    call.hears(0, other(0), Word::Responded { id, status });
    let status = Status::OK;
    call.hears(0, other(0), Word::Progress { id, status, reason });
    call.hears(0, other(0), Word::Gone);
    call.reads(
        r#"
   6.000 < Refer(A, 91, sip:dave@d.example)
   6.000 > Across(A to 9.A, Refer 91 to sip:dave@d.example by <sip:alice@d.example>)
   6.000 < Across(A, Responded 91 202)
   6.000 > Respond(A, 91, 202)
   6.000 < Across(A, Progress 91 200)
   6.000 > Notify(A, 91, 200)
   6.000 < Across(A, Gone)
   6.000 > Unbridge(A)
   6.000 > Hangup(A)
   6.000 > Close(A)
   6.000 < Closed(A)
   6.000 > Cdr(A, 4010 AnswerXml, Completed, 2 s, 60 billed, 200)
   6.000 > Notify(Hangup 4010, http://c/hangup, Completed)
   6.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn a_third_call_takes_the_place_of_who_talks_across_two() {
    let mut call = across();
    // Ours is replaced: the call of who is left does it.
    let replaced = own(0);
    call.at(6.0).hears(0, third(0), Word::Join { replaced });
    // The distant one is replaced.
    let replaced = other(0);
    call.at(7.0).hears(0, third(0), Word::Join { replaced });
    call.hears(0, third(0), Word::Offer);
    call.reanswers(0, "A to third");
    call.at(9.0).bye(0);
    call.reads(
        r#"
   6.000 < Across(A, Join for A)
   6.000 > Across(11.A to 9.A, Join for A)
   7.000 < Across(A, Join for 9.A)
   7.000 > Across(A to 11.A, Joined for 9.A)
   7.000 > Bridge(A, 11.A)
   7.000 > Across(A to 9.A, Gone)
   7.000 < Across(A, Offer)
   7.000 > Offer(A like 11.A)
   7.000 < Offered(A)
   7.000 > Reinvite(A, "to A like 11.A")
   7.000 < Reanswered(A, "A to third")
   7.000 > Remote(A, Answer, "A to third")
   7.000 < Accepted(A)
   7.000 > Across(A to 11.A, Answered)
   9.000 < Bye(A)
   9.000 > Across(A to 11.A, Gone)
   9.000 > Close(A)
   9.000 < Closed(A)
   9.000 > Cdr(A, 4000 Caller, Completed, 5 s, 60 billed, 200)
   9.000 > Notify(Hangup 4000, http://c/hangup, Completed)
   9.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn a_refer_that_was_passed_on_is_answered_once() {
    let status = Status::ACCEPTED;
    let id = sip::RequestId(91);
    // Who sent it leaves right behind it: what its answer is comes too late.
    let mut call = across();
    call.at(6.0).refers(0, 91, TARGET).cut();
    call.bye(0);
    call.hears(0, other(0), Word::Responded { id, status });
    call.reads(
        r#"
   6.000 < Bye(A)
   6.000 > Respond(A, 91, 202)
   6.000 > Across(A to 9.A, Gone)
   6.000 > Close(A)
   6.000 < Closed(A)
   6.000 > Cdr(A, 4000 Caller, Completed, 2 s, 60 billed, 200)
   6.000 > Notify(Hangup 4000, http://c/hangup, Completed)
   6.000 > Over
   6.000 < Across(A, Responded 91 202)"#,
    );
    // Who is left leaves before the answer.
    let mut call = across();
    call.at(6.0).refers(0, 91, TARGET).cut();
    call.hears(0, other(0), Word::Gone);
    call.reads(
        r#"
   6.000 < Across(A, Gone)
   6.000 > Respond(A, 91, 487)
   6.000 > Unbridge(A)
   6.000 > Hangup(A)
   6.000 > Close(A)
   6.000 < Closed(A)
   6.000 > Cdr(A, 4010 AnswerXml, Completed, 2 s, 60 billed, 200)
   6.000 > Notify(Hangup 4010, http://c/hangup, Completed)
   6.000 > Over"#,
    );
}

#[test]
fn a_transferor_in_another_call_that_has_left_is_answered_there() {
    let mut call = across();
    call.at(6.0).hears(0, other(0), word_of_refer(TARGET));
    call.hears(0, other(0), Word::Gone);
    call.found(2, Some(third(1)));
    let replaced = third(1);
    call.hears(0, third(0), Word::Joined { replaced });
    assert!(!call.text().contains("Responded"), "{}", call.text());
}
