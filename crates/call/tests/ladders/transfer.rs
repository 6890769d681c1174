//! Blind transfers: RFC 3515 §2.4.

use call::{Cause, Dial, FetchFailure, LocateFailure, Verb};

use crate::ladder::{Ladder, dial, link};

#[test]
fn the_callee_transfers_the_caller() {
    let mut call = Ladder::talking();
    call.at(5.0).refers(1, 90, "sip:carol@d.example");
    call.at(5.1).located(3, "carol", 1);
    call.at(6.0).rings(2).at(8.0).answers(2);
    call.at(8.1).reanswers(0, "A to carol").at(9.0).bye(2);
    call.reads(
        r#"
   5.000 < Refer(1, 90, sip:carol@d.example)
   5.000 > Respond(1, 90, 202)
   5.000 > Locate(3, sip:carol@d.example for B)
   5.100 < Located(3, carol at 1)
   5.100 > Record(2, sip:alice@d.example to sip:carol@d.example)
   5.100 > Offer(2 like A, to talk)
   5.100 < Offered(2)
   5.100 > Invite(2, sip:carol@192.0.2.20, "Alice" <sip:alice@d.example>, "to 2 like A", X-PH-Tag: 7, Referred-By: <sip:bob@d.example>)
   6.000 < Ringing(2, 180)
   6.000 > Notify(1, 90, 180)
   8.000 < Answered(2, "answer of 2")
   8.000 > Record(2, sip:alice@d.example to sip:carol@d.example, answered)
   8.000 > Remote(2, Answer, "answer of 2")
   8.000 < Accepted(2)
   8.000 > Bridge(A, 2)
   8.000 > Offer(A like 2)
   8.000 > Notify(1, 90, 200)
   8.000 > Hangup(1)
   8.000 > Close(1)
   8.000 < Offered(A)
   8.000 > Reinvite(A, "to A like 2")
   8.000 < Closed(1)
   8.000 > Cdr(1, 4000 Callee, Completed, 4 s, 60 billed, 200)
   8.100 < Reanswered(A, "A to carol")
   8.100 > Remote(A, Answer, "A to carol")
   8.100 < Accepted(A)
   9.000 < Bye(2)
   9.000 > Close(2)
   9.000 > Hangup(A)
   9.000 > Close(A)
   9.000 < Closed(2)
   9.000 > Cdr(2, 4000 Callee, Completed, 1 s, 60 billed, 200)
   9.000 < Closed(A)
   9.000 > Cdr(A, 4010 AnswerXml, Completed, 5 s, 60 billed, 200)
   9.000 > Notify(Hangup 4010, http://c/hangup, Completed)
   9.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn the_caller_transfers_the_callee() {
    let mut call = Ladder::talking();
    call.at(5.0).refers(0, 90, "sip:carol@d.example");
    call.at(5.1).located(3, "carol", 1);
    call.at(6.0).rings(2).at(8.0).answers(2);
    call.at(8.1).reanswers(1, "bob to carol").at(9.0).bye(2);
    call.reads(
        r#"
   5.000 < Refer(A, 90, sip:carol@d.example)
   5.000 > Respond(A, 90, 202)
   5.000 > Locate(3, sip:carol@d.example for A)
   5.100 < Located(3, carol at 1)
   5.100 > Record(2, sip:bob@d.example to sip:carol@d.example)
   5.100 > Offer(2 like 1, to talk)
   5.100 < Offered(2)
   5.100 > Invite(2, sip:carol@192.0.2.20, <sip:bob@d.example>, "to 2 like 1", X-PH-Tag: 7, Referred-By: <sip:alice@d.example>)
   6.000 < Ringing(2, 180)
   6.000 > Notify(A, 90, 180)
   8.000 < Answered(2, "answer of 2")
   8.000 > Record(2, sip:bob@d.example to sip:carol@d.example, answered)
   8.000 > Remote(2, Answer, "answer of 2")
   8.000 < Accepted(2)
   8.000 > Bridge(1, 2)
   8.000 > Offer(1 like 2)
   8.000 > Notify(A, 90, 200)
   8.000 > Hangup(A)
   8.000 > Close(A)
   8.000 < Offered(1)
   8.000 > Reinvite(1, "to 1 like 2")
   8.000 < Closed(A)
   8.000 > Cdr(A, 4000 Caller, Completed, 4 s, 60 billed, 200)
   8.000 > Notify(Hangup 4000, http://c/hangup, Completed)
   8.100 < Reanswered(1, "bob to carol")
   8.100 > Remote(1, Answer, "bob to carol")
   8.100 < Accepted(1)
   9.000 < Bye(2)
   9.000 > Close(2)
   9.000 > Hangup(1)
   9.000 > Close(1)
   9.000 < Closed(2)
   9.000 > Cdr(2, 4000 Callee, Completed, 1 s, 60 billed, 200)
   9.000 < Closed(1)
   9.000 > Cdr(1, 4000 Callee, Completed, 5 s, 60 billed, 200)
   9.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn a_caller_that_leaves_early_leaves_the_callee_to_the_target() {
    let mut call = Ladder::talking();
    call.at(5.0).refers(0, 90, "sip:carol@d.example");
    call.at(5.1).bye(0).at(5.2).located(3, "carol", 1);
    call.at(8.0).answers(2);
    call.at(8.1).reanswers(1, "bob to carol").at(9.0).bye(1);
    call.reads(
        r#"
   5.000 < Refer(A, 90, sip:carol@d.example)
   5.000 > Respond(A, 90, 202)
   5.000 > Locate(3, sip:carol@d.example for A)
   5.100 < Bye(A)
   5.100 > Close(A)
   5.100 < Closed(A)
   5.100 > Cdr(A, 4000 Caller, Completed, 1.1 s, 60 billed, 200)
   5.100 > Notify(Hangup 4000, http://c/hangup, Completed)
   5.200 < Located(3, carol at 1)
   5.200 > Record(2, sip:bob@d.example to sip:carol@d.example)
   5.200 > Offer(2 like 1, to talk)
   5.200 < Offered(2)
   5.200 > Invite(2, sip:carol@192.0.2.20, <sip:bob@d.example>, "to 2 like 1", X-PH-Tag: 7, Referred-By: <sip:alice@d.example>)
   8.000 < Answered(2, "answer of 2")
   8.000 > Record(2, sip:bob@d.example to sip:carol@d.example, answered)
   8.000 > Remote(2, Answer, "answer of 2")
   8.000 < Accepted(2)
   8.000 > Bridge(1, 2)
   8.000 > Offer(1 like 2)
   8.000 < Offered(1)
   8.000 > Reinvite(1, "to 1 like 2")
   8.100 < Reanswered(1, "bob to carol")
   8.100 > Remote(1, Answer, "bob to carol")
   8.100 < Accepted(1)
   9.000 < Bye(1)
   9.000 > Hangup(2)
   9.000 > Close(2)
   9.000 > Close(1)
   9.000 < Closed(2)
   9.000 > Cdr(2, 4000 Callee, Completed, 1 s, 60 billed, 200)
   9.000 < Closed(1)
   9.000 > Cdr(1, 4000 Callee, Completed, 5 s, 60 billed, 200)
   9.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn a_callee_that_leaves_early_leaves_the_caller_to_its_document() {
    let mut call = Ladder::with(vec![
        Verb::Dial(Dial {
            action: link("action"),
            redirect: false,
            ..dial(&["bob"])
        }),
        Verb::Dial(dial(&["dave"])),
    ]);
    call.at(0.2)
        .located(2, "bob", 1)
        .at(4.0)
        .answers(1)
        .ack(None);
    call.cut().at(5.0).refers(1, 90, "sip:carol@d.example");
    call.at(5.1).located(3, "carol", 1).at(5.2).bye(1);
    call.at(6.0).fails(2, 486).at(7.0).bye(0);
    call.reads(
        r#"
   5.000 < Refer(1, 90, sip:carol@d.example)
   5.000 > Respond(1, 90, 202)
   5.000 > Locate(3, sip:carol@d.example for B)
   5.100 < Located(3, carol at 1)
   5.100 > Record(2, sip:alice@d.example to sip:carol@d.example)
   5.100 > Offer(2 like A, to talk)
   5.100 < Offered(2)
   5.100 > Invite(2, sip:carol@192.0.2.20, "Alice" <sip:alice@d.example>, "to 2 like A", X-PH-Tag: 7, Referred-By: <sip:bob@d.example>)
   5.200 < Bye(1)
   5.200 > Close(1)
   5.200 < Closed(1)
   5.200 > Cdr(1, 4000 Callee, Completed, 1.2 s, 60 billed, 200)
   6.000 < Failed(2, 486)
   6.000 > Close(2)
   6.000 > Locate(5, sip:dave@d.example)
   6.000 < Closed(2)
   6.000 > Cdr(2, 3010 Callee, Busy, 0 s, 0 billed, 486)
   6.000 > Fetch(4, DialEnded Completed USER_BUSY, b 1, http://c/action, InProgress, only tells)
   7.000 < Bye(A)
   7.000 > Close(A)
   7.000 < Closed(A)
   7.000 > Cdr(A, 4000 Caller, Completed, 3 s, 60 billed, 200)
   7.000 > Notify(Hangup 4000, http://c/hangup, Completed)
   7.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn a_transfer_that_fails_leaves_the_two_talking() {
    let mut call = Ladder::talking();
    call.at(5.0).refers(1, 90, "sip:carol@d.example");
    call.at(5.1).located(3, "carol", 1);
    call.at(6.0).rings(2).at(8.0).fails(2, 486);
    call.at(9.0).refers(0, 91, "sip:nobody@d.example");
    call.not_located(4, LocateFailure::Rule(Cause::PhonesNotAllowed));
    call.at(10.0).bye(1);
    call.reads(
        r#"
   5.000 < Refer(1, 90, sip:carol@d.example)
   5.000 > Respond(1, 90, 202)
   5.000 > Locate(3, sip:carol@d.example for B)
   5.100 < Located(3, carol at 1)
   5.100 > Record(2, sip:alice@d.example to sip:carol@d.example)
   5.100 > Offer(2 like A, to talk)
   5.100 < Offered(2)
   5.100 > Invite(2, sip:carol@192.0.2.20, "Alice" <sip:alice@d.example>, "to 2 like A", X-PH-Tag: 7, Referred-By: <sip:bob@d.example>)
   6.000 < Ringing(2, 180)
   6.000 > Notify(1, 90, 180)
   8.000 < Failed(2, 486)
   8.000 > Close(2)
   8.000 > Notify(1, 90, 486)
   8.000 < Closed(2)
   8.000 > Cdr(2, 3010 Callee, Busy, 0 s, 0 billed, 486)
   9.000 < Refer(A, 91, sip:nobody@d.example)
   9.000 > Respond(A, 91, 202)
   9.000 > Locate(4, sip:nobody@d.example for A)
   9.000 < Located(4, Rule(PhonesNotAllowed))
   9.000 > Record(3, sip:bob@d.example to sip:nobody@d.example)
   9.000 > Notify(A, 91, 403 Phone Numbers Not Allowed (allow_phones))
   9.000 > Cdr(3, 2140 Platform, Failed, 0 s, 0 billed, no)
  10.000 < Bye(1)
  10.000 > Close(1)
  10.000 > Hangup(A)
  10.000 > Close(A)
  10.000 < Closed(1)
  10.000 > Cdr(1, 4000 Callee, Completed, 6 s, 60 billed, 200)
  10.000 < Closed(A)
  10.000 > Cdr(A, 4010 AnswerXml, Completed, 6 s, 60 billed, 200)
  10.000 > Notify(Hangup 4010, http://c/hangup, Completed)
  10.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn a_target_that_does_not_answer_is_given_up_after_the_time_of_the_dial() {
    let mut call = Ladder::talking();
    call.at(5.0).refers(1, 90, "sip:carol@d.example");
    call.at(5.1).located(3, "carol", 1).rings(2);
    call.at(36.0).bye(0);
    call.reads(
        r#"
   5.000 < Refer(1, 90, sip:carol@d.example)
   5.000 > Respond(1, 90, 202)
   5.000 > Locate(3, sip:carol@d.example for B)
   5.100 < Located(3, carol at 1)
   5.100 > Record(2, sip:alice@d.example to sip:carol@d.example)
   5.100 > Offer(2 like A, to talk)
   5.100 < Offered(2)
   5.100 > Invite(2, sip:carol@192.0.2.20, "Alice" <sip:alice@d.example>, "to 2 like A", X-PH-Tag: 7, Referred-By: <sip:bob@d.example>)
   5.100 < Ringing(2, 180)
   5.100 > Notify(1, 90, 180)
  35.000 < Due
  35.000 > Hangup(2)
  35.000 > Close(2)
  35.000 > Notify(1, 90, 480)
  35.000 < Closed(2)
  35.000 > Cdr(2, 6010 Platform, NoAnswer, 0 s, 0 billed, 487)
  36.000 < Bye(A)
  36.000 > Hangup(1)
  36.000 > Close(1)
  36.000 > Close(A)
  36.000 < Closed(1)
  36.000 > Cdr(1, 4000 Caller, Completed, 32 s, 60 billed, 200)
  36.000 < Closed(A)
  36.000 > Cdr(A, 4000 Caller, Completed, 32 s, 60 billed, 200)
  36.000 > Notify(Hangup 4000, http://c/hangup, Completed)
  36.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn a_transfer_ends_with_whom_it_was_for() {
    let mut call = Ladder::talking();
    call.at(5.0).refers(0, 90, "sip:carol@d.example");
    call.at(5.1).located(3, "carol", 1).at(6.0).bye(1);
    call.reads(
        r#"
   5.000 < Refer(A, 90, sip:carol@d.example)
   5.000 > Respond(A, 90, 202)
   5.000 > Locate(3, sip:carol@d.example for A)
   5.100 < Located(3, carol at 1)
   5.100 > Record(2, sip:bob@d.example to sip:carol@d.example)
   5.100 > Offer(2 like 1, to talk)
   5.100 < Offered(2)
   5.100 > Invite(2, sip:carol@192.0.2.20, <sip:bob@d.example>, "to 2 like 1", X-PH-Tag: 7, Referred-By: <sip:alice@d.example>)
   6.000 < Bye(1)
   6.000 > Hangup(2)
   6.000 > Close(2)
   6.000 > Notify(A, 90, 487)
   6.000 > Close(1)
   6.000 > Hangup(A)
   6.000 > Close(A)
   6.000 < Closed(2)
   6.000 > Cdr(2, 1000 Platform, Cancel, 0 s, 0 billed, 487)
   6.000 < Closed(1)
   6.000 > Cdr(1, 4000 Callee, Completed, 2 s, 60 billed, 200)
   6.000 < Closed(A)
   6.000 > Cdr(A, 4010 AnswerXml, Completed, 2 s, 60 billed, 200)
   6.000 > Notify(Hangup 4010, http://c/hangup, Completed)
   6.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn who_talks_with_nobody_transfers_nobody_and_one_transfer_runs_at_a_time() {
    let mut call = Ladder::ringing();
    call.at(2.0).refers(1, 90, "sip:carol@d.example");
    call.at(4.0).answers(1).ack(None).cut();
    call.refers(1, 91, "sip:carol@d.example");
    call.refers(0, 92, "sip:dave@d.example");
    call.reads(
        r#"
   4.000 < Refer(1, 91, sip:carol@d.example)
   4.000 > Respond(1, 91, 202)
   4.000 > Locate(3, sip:carol@d.example for B)
   4.000 < Refer(A, 92, sip:dave@d.example)
   4.000 > Respond(A, 92, 491)"#,
    );
}

#[test]
fn the_application_is_asked_what_becomes_of_the_caller() {
    let mut call = Ladder::transferring();
    call.at(5.0).refers(1, 90, "sip:carol@d.example");
    call.at(5.5).document(3, vec![Verb::Dial(dial(&["dave"]))]);
    call.at(6.0).bye(0);
    call.reads(
        r#"
   5.000 < Refer(1, 90, sip:carol@d.example)
   5.000 > Respond(1, 90, 202)
   5.000 > Fetch(3, Transfer sip:carol@d.example, http://c/transfer, InProgress)
   5.500 < Fetched(3, 1 verbs)
   5.500 > Notify(1, 90, 200)
   5.500 > Hangup(1)
   5.500 > Close(1)
   5.500 > Locate(4, sip:dave@d.example)
   5.500 < Closed(1)
   5.500 > Cdr(1, 4000 Callee, Completed, 1.5 s, 60 billed, 200)
   6.000 < Bye(A)
   6.000 > Close(A)
   6.000 < Closed(A)
   6.000 > Cdr(A, 4000 Caller, Completed, 2 s, 60 billed, 200)
   6.000 > Notify(Hangup 4000, http://c/hangup, Completed)
   6.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn the_application_is_asked_what_becomes_of_the_callee() {
    let mut call = Ladder::transferring();
    call.at(5.0)
        .refers(0, 90, "sip:carol@d.example")
        .at(5.2)
        .bye(0);
    call.at(5.5).document(3, vec![Verb::Dial(dial(&["dave"]))]);
    call.located(4, "dave", 1)
        .answers(2)
        .reanswers(1, "bob to dave");
    call.at(6.0).bye(2);
    call.reads(
        r#"
   5.000 < Refer(A, 90, sip:carol@d.example)
   5.000 > Respond(A, 90, 202)
   5.000 > Fetch(3, Transfer sip:carol@d.example, http://c/transfer, InProgress)
   5.200 < Bye(A)
   5.200 > Unbridge(A)
   5.200 > Close(A)
   5.200 < Closed(A)
   5.200 > Cdr(A, 4000 Caller, Completed, 1.2 s, 60 billed, 200)
   5.200 > Notify(Hangup 4000, http://c/hangup, Completed)
   5.500 < Fetched(3, 1 verbs)
   5.500 > Locate(4, sip:dave@d.example)
   5.500 < Located(4, dave at 1)
   5.500 > Record(2, sip:bob@d.example to sip:dave@d.example)
   5.500 > Offer(2 like 1, to talk)
   5.500 < Offered(2)
   5.500 > Invite(2, sip:dave@192.0.2.20, <sip:bob@d.example>, "to 2 like 1", X-PH-Tag: 7)
   5.500 < Answered(2, "answer of 2")
   5.500 > Record(2, sip:bob@d.example to sip:dave@d.example, answered)
   5.500 > Remote(2, Answer, "answer of 2")
   5.500 < Accepted(2)
   5.500 > Bridge(1, 2)
   5.500 > Offer(1 like 2)
   5.500 < Offered(1)
   5.500 > Reinvite(1, "to 1 like 2")
   5.500 < Reanswered(1, "bob to dave")
   5.500 > Remote(1, Answer, "bob to dave")
   5.500 < Accepted(1)
   6.000 < Bye(2)
   6.000 > Close(2)
   6.000 > Hangup(1)
   6.000 > Close(1)
   6.000 < Closed(2)
   6.000 > Cdr(2, 4000 Callee, Completed, 0.5 s, 60 billed, 200)
   6.000 < Closed(1)
   6.000 > Cdr(1, 4010 AnswerXml, Completed, 2 s, 60 billed, 200)
   6.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn an_application_that_does_not_say_what_becomes_of_them_leaves_them_talking() {
    let mut call = Ladder::transferring();
    call.at(5.0).refers(1, 90, "sip:carol@d.example");
    call.at(5.5).no_document(3, FetchFailure::BadXml);
    call.at(6.0).refers(1, 91, "sip:carol@d.example").bye(1);
    call.at(7.0).no_document(4, FetchFailure::Unreachable);
    call.reads(
        r#"
   5.000 < Refer(1, 90, sip:carol@d.example)
   5.000 > Respond(1, 90, 202)
   5.000 > Fetch(3, Transfer sip:carol@d.example, http://c/transfer, InProgress)
   5.500 < Fetched(3, BadXml)
   5.500 > Notify(1, 90, 500)
   6.000 < Refer(1, 91, sip:carol@d.example)
   6.000 > Respond(1, 91, 202)
   6.000 > Fetch(4, Transfer sip:carol@d.example, http://c/transfer, InProgress)
   6.000 < Bye(1)
   6.000 > Close(1)
   6.000 < Closed(1)
   6.000 > Cdr(1, 4000 Callee, Completed, 2 s, 60 billed, 200)
   7.000 < Fetched(4, Unreachable)
   7.000 > Hangup(A)
   7.000 > Close(A)
   7.000 < Closed(A)
   7.000 > Cdr(A, 7013 Error, Completed, 3 s, 60 billed, 200)
   7.000 > Notify(Hangup 7013, http://c/hangup, Completed)
   7.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn an_application_is_a_target_too() {
    let mut call = Ladder::talking();
    call.at(5.0).refers(1, 90, "sip:17@app.example");
    call.is_application(3).no_document(4, FetchFailure::BadXml);
    call.at(6.0).refers(0, 91, "sip:17@app.example");
    call.is_application(5).at(6.5);
    call.document(6, vec![Verb::Dial(dial(&["dave"]))]);
    call.at(7.0).bye(1);
    call.reads(
        r#"
   5.000 < Refer(1, 90, sip:17@app.example)
   5.000 > Respond(1, 90, 202)
   5.000 > Locate(3, sip:17@app.example for B)
   5.000 < Application(3)
   5.000 > Fetch(4, StartApp, http://c/other, InProgress)
   5.000 < Fetched(4, BadXml)
   5.000 > Notify(1, 90, 500)
   6.000 < Refer(A, 91, sip:17@app.example)
   6.000 > Respond(A, 91, 202)
   6.000 > Locate(5, sip:17@app.example for A)
   6.000 < Application(5)
   6.000 > Fetch(6, StartApp, http://c/other, InProgress)
   6.500 < Fetched(6, 1 verbs)
   6.500 > Notify(A, 91, 200)
   6.500 > Unbridge(A)
   6.500 > Hangup(A)
   6.500 > Close(A)
   6.500 > Locate(7, sip:dave@d.example)
   6.500 < Closed(A)
   6.500 > Cdr(A, 4000 Caller, Completed, 2.5 s, 60 billed, 200)
   6.500 > Notify(Hangup 4000, http://c/hangup, Completed)
   7.000 < Bye(1)
   7.000 > Close(1)
   7.000 < Closed(1)
   7.000 > Cdr(1, 4000 Callee, Completed, 3 s, 60 billed, 200)
   7.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn an_application_takes_whom_a_transferor_left_early() {
    let mut call = Ladder::talking();
    call.at(5.0).refers(1, 90, "sip:17@app.example").bye(1);
    call.is_application(3).no_document(4, FetchFailure::BadXml);
    call.reads(
        r#"
   5.000 < Refer(1, 90, sip:17@app.example)
   5.000 > Respond(1, 90, 202)
   5.000 > Locate(3, sip:17@app.example for B)
   5.000 < Bye(1)
   5.000 > Close(1)
   5.000 < Closed(1)
   5.000 > Cdr(1, 4000 Callee, Completed, 1 s, 60 billed, 200)
   5.000 < Application(3)
   5.000 > Fetch(4, Redirect, http://c/other, InProgress)
   5.000 < Fetched(4, BadXml)
   5.000 > Hangup(A)
   5.000 > Close(A)
   5.000 < Closed(A)
   5.000 > Cdr(A, 8014 Error, Completed, 1 s, 60 billed, 200)
   5.000 > Notify(Hangup 8014, http://c/hangup, Completed)
   5.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn the_minutes_of_who_transferred_end_the_call_that_came_of_it() {
    let mut call = Ladder::talking();
    call.at(5.0).refers(1, 90, "sip:carol@d.example");
    call.located(3, "carol", 1).answers(2).allows(2, 60);
    call.reanswers(0, "A to carol").cut();
    call.at(100.0);
    call.reads(
        r#"
  65.000 < Due
  65.000 > Hangup(2)
  65.000 > Close(2)
  65.000 > Hangup(A)
  65.000 > Close(A)
  65.000 < Closed(2)
  65.000 > Cdr(2, 2230 Platform, Completed, 60 s, 60 billed, 200)
  65.000 < Closed(A)
  65.000 > Cdr(A, 2230 Platform, Completed, 61 s, 120 billed, 200)
  65.000 > Notify(Hangup 2230, http://c/hangup, Completed)
  65.000 > Over"#,
    );
    call.is_over();
    // The leg ends before; who is left may talk on.
    let mut call = Ladder::talking();
    call.at(5.0).refers(1, 90, "sip:carol@d.example");
    call.located(3, "carol", 1).answers(2).allows(2, 60);
    call.reanswers(0, "A to carol");
    call.at(6.0).refers(2, 91, "sip:dave@d.example");
    call.located(4, "dave", 1).answers(3);
    call.reanswers(0, "A to dave").cut();
    call.at(100.0);
    call.reads("");
}
