//! Dial: voice-xml.md §4.6.

use std::time::Duration;

use call::{Dial, DialStatus, FetchFailure, LocateFailure, Script, TargetKind, Verb};
use sip::{SessionEvent, Status};

use crate::ladder::{Ladder, dial, link};

#[test]
fn first_to_answer_wins_and_the_others_lose_the_race() {
    let dial = Dial {
        callback: link("callback"),
        ..dial(&["bob", "carol"])
    };
    let mut call = Ladder::with(vec![Verb::Dial(dial)]);
    call.located(2, "bob", 1).located(3, "carol", 1).cut();
    call.at(1.0)
        .rings(1)
        .rings(2)
        .at(4.0)
        .answers(2)
        .at(9.0)
        .bye(2);
    call.reads(
        r#"
           1.000 < Ringing(1, 180)
           1.000 > Ring(A, 180)
           1.000 < Ringing(2, 180)
           4.000 < Answered(2, "answer of 2")
           4.000 > Record(2, sip:alice@d.example to sip:carol@d.example, answered)
           4.000 > Notify(DialLeg Answer 2, http://c/callback, Ringing)
           4.000 > Hangup(1, Reason: SIP;cause=200;text="Call completed elsewhere")
           4.000 > Close(1)
           4.000 > Remote(2, Answer, "answer of 2")
           4.000 < Closed(1)
           4.000 > Cdr(1, 9000 Platform, Failed, 0 s, 0 billed, 487)
           4.000 > Notify(DialLeg Hangup 1 9000, http://c/callback, Ringing)
           4.000 < Accepted(2)
           4.000 > MediaAnswer(A like 2)
           4.000 < MediaAnswered(A)
           4.000 > Bridge(A, 2)
           4.000 > Record(A, sip:alice@d.example to bob, answered)
           4.000 > Answer(A, "to A like 2")
           4.000 > Notify(DialLeg Connected 2, http://c/callback, InProgress)
           9.000 < Bye(2)
           9.000 > Close(2)
           9.000 > Hangup(A)
           9.000 > Close(A)
           9.000 < Closed(2)
           9.000 > Cdr(2, 4000 Callee, Completed, 5 s, 60 billed, 200)
           9.000 > Notify(DialLeg Hangup 2 4000, http://c/callback, Completed)
           9.000 < Closed(A)
           9.000 > Cdr(A, 4010 AnswerXml, Completed, 5 s, 60 billed, 200)
           9.000 > Notify(Hangup 4010, http://c/hangup, Completed)
           9.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn a_target_at_several_places_is_one_leg() {
    let mut call = Ladder::with(vec![Verb::Dial(dial(&["bob"]))]);
    call.cut()
        .located(2, "bob", 3)
        .at(1.0)
        .rings(1)
        .rings(2)
        .at(2.0)
        .fails(1, 486)
        .at(3.0)
        .answers(3)
        .at(4.0)
        .bye(0);
    call.reads(
        r#"
           0.100 < Located(2, bob at 3)
           0.100 > Record(1, sip:alice@d.example to sip:bob@d.example)
           0.100 > Remote(A, Offer, "offer of A")
           0.100 < Accepted(A)
           0.100 > Offer(1 like A)
           0.100 > Offer(2 like A)
           0.100 > Offer(3 like A)
           0.100 < Offered(1)
           0.100 > Invite(1, sip:bob@192.0.2.20, "Alice" <sip:alice@d.example>, "to 1 like A", X-PH-Tag: 7)
           0.100 < Offered(2)
           0.100 > Invite(2, sip:bob@192.0.2.21, "Alice" <sip:alice@d.example>, "to 2 like A", X-PH-Tag: 7)
           0.100 < Offered(3)
           0.100 > Invite(3, sip:bob@192.0.2.22, "Alice" <sip:alice@d.example>, "to 3 like A", X-PH-Tag: 7)
           1.000 < Ringing(1, 180)
           1.000 > Ring(A, 180)
           1.000 < Ringing(2, 180)
           2.000 < Failed(1, 486)
           2.000 > Close(1)
           2.000 < Closed(1)
           3.000 < Answered(3, "answer of 3")
           3.000 > Record(1, sip:alice@d.example to sip:bob@d.example, answered)
           3.000 > Hangup(2, Reason: SIP;cause=200;text="Call completed elsewhere")
           3.000 > Close(2)
           3.000 > Remote(3, Answer, "answer of 3")
           3.000 < Closed(2)
           3.000 < Accepted(3)
           3.000 > MediaAnswer(A like 3)
           3.000 < MediaAnswered(A)
           3.000 > Bridge(A, 3)
           3.000 > Record(A, sip:alice@d.example to bob, answered)
           3.000 > Answer(A, "to A like 3")
           4.000 < Bye(A)
           4.000 > Hangup(3)
           4.000 > Close(3)
           4.000 > Close(A)
           4.000 < Closed(3)
           4.000 > Cdr(1, 4000 Caller, Completed, 1 s, 60 billed, 200)
           4.000 < Closed(A)
           4.000 > Cdr(A, 4000 Caller, Completed, 1 s, 60 billed, 200)
           4.000 > Notify(Hangup 4000, http://c/hangup, Completed)
           4.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn the_best_refusal_of_several_places_reaches_the_caller() {
    let mut call = Ladder::direct();
    call.located(1, "bob", 3)
        .cut()
        .at(1.0)
        .fails(1, 480)
        .at(2.0)
        .fails(2, 486)
        .at(3.0)
        .fails(3, 503);
    call.reads(
        r#"
           1.000 < Failed(1, 480)
           1.000 > Close(1)
           1.000 < Closed(1)
           2.000 < Failed(2, 486)
           2.000 > Close(2)
           2.000 < Closed(2)
           3.000 < Failed(3, 503)
           3.000 > Close(3)
           3.000 > Refuse(A, 486)
           3.000 > Close(A)
           3.000 < Closed(3)
           3.000 > Cdr(1, 3010 Callee, Busy, 0 s, 0 billed, 486)
           3.000 < Closed(A)
           3.000 > Cdr(A, 3010 Callee, Busy, 0 s, 0 billed, 486)
           3.000 > Notify(Hangup 3010, http://c/hangup, Busy)
           3.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn nobody_answers_within_the_timeout() {
    let mut call = Ladder::with(vec![Verb::Dial(Dial {
        action: link("action"),
        redirect: false,
        ..dial(&["bob"])
    })]);
    call.located(2, "bob", 1).at(1.0).rings(1).cut().at(31.0);
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
          30.100 > Fetch(3, DialEnded NoAnswer NO_ANSWER, rang, http://c/action, Completed, only tells)
          30.100 > Over"#,
    );
    call.is_over();
}

#[test]
fn direct_dial_gives_the_caller_what_the_target_said() {
    for (status, refused) in [
        (486, "486"),
        (603, "603"),
        (404, "404"),
        (302, "480"),
        (407, "403"),
        (408, "480"),
        (500, "500"),
    ] {
        let mut call = Ladder::direct();
        call.located(1, "bob", 1).cut().at(1.0).fails(1, status);
        assert!(
            call.text().contains(&format!("Refuse(A, {refused})")),
            "{}",
            call.text()
        );
        call.is_over();
    }
    let mut call = Ladder::direct();
    call.located(1, "bob", 1)
        .rings(1)
        .at(5.0)
        .answers(1)
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
           9.000 > Cdr(1, 4000 Callee, Completed, 4 s, 60 billed, 200)
           9.000 < Closed(A)
           9.000 > Cdr(A, 4000 Callee, Completed, 4 s, 60 billed, 200)
           9.000 > Notify(Hangup 4000, http://c/hangup, Completed)
           9.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn direct_dial_of_somebody_who_cannot_be_reached() {
    let table = [
        (LocateFailure::NotRegistered, "480", 2020),
        (LocateFailure::UnknownUser, "404", 3120),
        (LocateFailure::NoTrunk, "404", 3050),
        (LocateFailure::Barred, "403", 2040),
        (LocateFailure::Loop, "482", 2060),
        (LocateFailure::BadAddress, "484", 2000),
        (LocateFailure::Disabled, "480", 2010),
        (
            LocateFailure::VoiceNotAllowed,
            "403 Calls Not Allowed (allow_voice)",
            2110,
        ),
        (
            LocateFailure::PrefixLimit,
            "403 Number Outside Of The Allowed Prefixes",
            2240,
        ),
    ];
    for (failure, status, code) in table {
        let mut call = Ladder::direct();
        call.cut().not_located(1, failure);
        call.reads(&format!(
            "   0.000 < Located(1, {failure:?})
                0.000 > Record(1, sip:alice@d.example to sip:bob@d.example)
                0.000 > Refuse(A, {status})
                0.000 > Cdr(1, {code} Platform, Failed, 0 s, 0 billed, no)
                0.000 > Cdr(A, {code} Platform, Failed, 0 s, 0 billed, {})
                0.000 > Notify(Hangup {code}, http://c/hangup, Failed)
                0.000 > Over",
            &status[..3]
        ));
    }
}

#[test]
fn the_document_of_the_action_replaces_the_rest() {
    let first = Dial {
        action: link("action"),
        ..dial(&["bob"])
    };
    let mut call = Ladder::with(vec![Verb::Dial(first), Verb::Dial(dial(&["never"]))]);
    call.located(2, "bob", 1)
        .at(1.0)
        .rings(1)
        .cut()
        .at(2.0)
        .fails(1, 486);
    call.at(2.1)
        .document(3, vec![Verb::Dial(dial(&["carol"]))])
        .located(4, "carol", 1)
        .at(3.0)
        .cancel();
    call.reads(
        r#"
           2.000 < Failed(1, 486)
           2.000 > Close(1)
           2.000 < Closed(1)
           2.000 > Cdr(1, 3010 Callee, Busy, 0 s, 0 billed, 486)
           2.000 > Fetch(3, DialEnded Busy USER_BUSY, rang, http://c/action, Ringing)
           2.100 < Fetched(3, 1 verbs)
           2.100 > Locate(4, sip:carol@d.example)
           2.100 < Located(4, carol at 1)
           2.100 > Record(2, sip:alice@d.example to sip:carol@d.example)
           2.100 > Offer(2 like A)
           2.100 < Offered(2)
           2.100 > Invite(2, sip:carol@192.0.2.20, "Alice" <sip:alice@d.example>, "to 2 like A", X-PH-Tag: 7)
           3.000 < Cancelled(A)
           3.000 > Hangup(2)
           3.000 > Close(2)
           3.000 > Close(A)
           3.000 < Closed(2)
           3.000 > Cdr(2, 1000 Caller, Cancel, 0 s, 0 billed, 487)
           3.000 < Closed(A)
           3.000 > Cdr(A, 1000 Caller, Cancel, 0 s, 0 billed, 487)
           3.000 > Notify(Hangup 1000, http://c/hangup, Cancel)
           3.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn an_action_that_fails_ends_the_call() {
    for (failure, code) in [
        (FetchFailure::Unreachable, 7012),
        (FetchFailure::BadXml, 8012),
        (FetchFailure::BadUrl, 7022),
        (FetchFailure::BadMethod, 7032),
    ] {
        let mut call = Ladder::with(vec![Verb::Dial(Dial {
            action: link("action"),
            ..dial(&["bob"])
        })]);
        call.located(2, "bob", 1)
            .fails(1, 486)
            .cut()
            .no_document(3, failure);
        call.reads(&format!(
            "   0.100 < Fetched(3, {failure:?})
                0.100 > Refuse(A, 500)
                0.100 > Close(A)
                0.100 < Closed(A)
                0.100 > Cdr(A, {code} Error, Failed, 0 s, 0 billed, 500)
                0.100 > Notify(Hangup {code}, http://c/hangup, Failed)
                0.100 > Over"
        ));
    }
}

#[test]
fn without_redirect_the_action_is_told_and_the_next_element_runs() {
    let first = Dial {
        action: link("action"),
        redirect: false,
        ..dial(&["bob"])
    };
    let mut call = Ladder::with(vec![Verb::Dial(first), Verb::Dial(dial(&["carol"]))]);
    call.located(2, "bob", 1).cut().at(2.0).fails(1, 404);
    call.reads(
        r#"
           2.000 < Failed(1, 404)
           2.000 > Close(1)
           2.000 > Locate(4, sip:carol@d.example)
           2.000 < Closed(1)
           2.000 > Cdr(1, 3050 Callee, Failed, 0 s, 0 billed, 404)
           2.000 > Fetch(3, DialEnded Failed UNALLOCATED_NUMBER, http://c/action, Ringing, only tells)"#,
    );
}

#[test]
fn the_action_is_told_once_after_the_caller_has_left() {
    let verbs = || {
        vec![Verb::Dial(Dial {
            action: link("action"),
            ..dial(&["bob"])
        })]
    };
    let mut call = Ladder::with(verbs());
    call.located(2, "bob", 1)
        .at(1.0)
        .rings(1)
        .cut()
        .at(2.0)
        .cancel();
    call.reads(
        r#"
           2.000 < Cancelled(A)
           2.000 > Hangup(1)
           2.000 > Close(1)
           2.000 > Close(A)
           2.000 < Closed(1)
           2.000 > Cdr(1, 1000 Caller, Cancel, 0 s, 0 billed, 487)
           2.000 < Closed(A)
           2.000 > Cdr(A, 1000 Caller, Cancel, 0 s, 0 billed, 487)
           2.000 > Notify(Hangup 1000, http://c/hangup, Cancel)
           2.000 > Fetch(3, DialEnded Cancel ORIGINATOR_CANCEL, rang, http://c/action, Completed, only tells)
           2.000 > Over"#,
    );
    call.is_over();
    let mut call = Ladder::with(verbs());
    call.located(2, "bob", 1)
        .at(1.0)
        .rings(1)
        .at(2.0)
        .answers(1)
        .cut()
        .at(3.0)
        .bye(0);
    call.reads(
        r#"
           3.000 < Bye(A)
           3.000 > Hangup(1)
           3.000 > Close(1)
           3.000 > Close(A)
           3.000 < Closed(1)
           3.000 > Cdr(1, 4000 Caller, Completed, 1 s, 60 billed, 200)
           3.000 < Closed(A)
           3.000 > Cdr(A, 4000 Caller, Completed, 1 s, 60 billed, 200)
           3.000 > Notify(Hangup 4000, http://c/hangup, Completed)
           3.000 > Fetch(3, DialEnded Completed NORMAL_CLEARING, rang, b 1, http://c/action, Completed, only tells)
           3.000 > Over"#,
    );
    call.is_over();
    // The action is already asked: not twice.
    let mut call = Ladder::with(verbs());
    call.located(2, "bob", 1)
        .at(1.0)
        .fails(1, 486)
        .cut()
        .at(2.0)
        .cancel();
    call.reads(
        r#"
           2.000 < Cancelled(A)
           2.000 > Close(A)
           2.000 < Closed(A)
           2.000 > Cdr(A, 1000 Caller, Cancel, 0 s, 0 billed, 487)
           2.000 > Notify(Hangup 1000, http://c/hangup, Cancel)
           2.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn the_time_limit_ends_the_callee_and_the_caller_goes_on() {
    let first = Dial {
        time_limit: Duration::from_secs(60),
        ..dial(&["bob"])
    };
    let mut call = Ladder::with(vec![Verb::Dial(first), Verb::Dial(dial(&["carol"]))]);
    call.located(2, "bob", 1)
        .at(1.0)
        .rings(1)
        .at(4.0)
        .answers(1)
        .ack(None)
        .cut()
        .at(64.5);
    // The caller was told what bob chose: it is offered anew what carol chose.
    call.located(3, "carol", 1)
        .at(66.0)
        .rings(2)
        .at(67.0)
        .answers(2)
        .reanswers(0, "answer of A")
        .at(70.0)
        .bye(0);
    call.reads(
        r#"
          64.000 < Due
          64.000 > Hangup(1)
          64.000 > Close(1)
          64.000 > Locate(3, sip:carol@d.example)
          64.000 < Closed(1)
          64.000 > Cdr(1, 6000 Platform, Completed, 60 s, 60 billed, 200)
          64.500 < Located(3, carol at 1)
          64.500 > Record(2, sip:alice@d.example to sip:carol@d.example)
          64.500 > Offer(2 like A, to talk)
          64.500 < Offered(2)
          64.500 > Invite(2, sip:carol@192.0.2.20, "Alice" <sip:alice@d.example>, "to 2 like A", X-PH-Tag: 7)
          66.000 < Ringing(2, 180)
          67.000 < Answered(2, "answer of 2")
          67.000 > Record(2, sip:alice@d.example to sip:carol@d.example, answered)
          67.000 > Remote(2, Answer, "answer of 2")
          67.000 < Accepted(2)
          67.000 > Bridge(A, 2)
          67.000 > Offer(A like 2)
          67.000 < Offered(A)
          67.000 > Reinvite(A, "to A like 2")
          67.000 < Reanswered(A, "answer of A")
          67.000 > Remote(A, Answer, "answer of A")
          67.000 < Accepted(A)
          70.000 < Bye(A)
          70.000 > Hangup(2)
          70.000 > Close(2)
          70.000 > Close(A)
          70.000 < Closed(2)
          70.000 > Cdr(2, 4000 Caller, Completed, 3 s, 60 billed, 200)
          70.000 < Closed(A)
          70.000 > Cdr(A, 4000 Caller, Completed, 66 s, 120 billed, 200)
          70.000 > Notify(Hangup 4000, http://c/hangup, Completed)
          70.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn the_callee_hangs_up_and_the_document_runs_out() {
    let mut call = Ladder::talking();
    call.at(9.0).bye(1);
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
           9.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn a_stack_without_room_for_the_callee_is_503() {
    let mut call = Ladder::direct();
    call.located(1, "bob", 1).cut().no_room(1);
    call.reads(
        r#"
           0.000 < LegRefused(1)
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
fn x08_at_most_twenty_targets_and_thirty_two_attempts() {
    let names: Vec<String> = (0..25).map(|n| format!("u{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut call = Ladder::with(vec![Verb::Dial(dial(&names))]);
    assert_eq!(call.text().matches("> Locate(").count(), 20);
    for query in 0..20 {
        call.located(2 + query, "u", 3);
    }
    assert_eq!(call.text().matches("> Invite(").count(), 32);
    assert_eq!(
        call.text().matches("Cdr(").count(),
        9,
        "the last nine have no attempt left"
    );
    call.at(3.0).cancel();
    assert_eq!(call.text().matches("Cdr(").count(), 21);
    call.is_over();
}

#[test]
fn caller_id_name_and_headers_of_the_nearest_element_are_shown() {
    let mut dial = Dial {
        caller_id: Some("+14155550100".to_owned()),
        caller_name: Some("Shop".to_owned()),
        sip_headers: vec![
            ("X-PH-Tag".to_owned(), "8".to_owned()),
            ("Via".to_owned(), "no".to_owned()),
        ],
        ..dial(&["bob", "carol"])
    };
    dial.targets[1].kind = TargetKind::Number("+1999".to_owned());
    dial.targets[1].caller_id = Some("none".to_owned());
    dial.targets[1].sip_headers = vec![("X-PH-More".to_owned(), "9".to_owned())];
    let mut call = Ladder::with(vec![Verb::Dial(dial)]);
    call.located(2, "bob", 1).cut().located(3, "carol", 1);
    call.reads(
        r#"
           0.100 < Located(3, carol at 1)
           0.100 > Record(2, none to sip:carol@d.example)
           0.100 > Offer(2 like A)
           0.100 < Offered(2)
           0.100 > Invite(2, sip:carol@192.0.2.20, "Anonymous" <sip:anonymous@anonymous.invalid>, "to 2 like A", X-PH-Tag: 8, X-PH-More: 9)"#,
    );
}

#[test]
fn a_dial_without_targets_falls_through() {
    let empty = Dial {
        action: link("action"),
        ..dial(&[])
    };
    let mut call = Ladder::with(vec![Verb::Dial(empty), Verb::Dial(dial(&["bob"]))]);
    call.reads(
        r#"
           0.000 > Record(A, sip:alice@d.example to bob)
           0.000 > Fetch(1, StartApp, http://c/answer, Ringing)
           0.000 < Recorded(A)
           0.100 < Fetched(1, 2 verbs)
           0.100 > Locate(2, sip:bob@d.example)"#,
    );
}

#[test]
fn every_failure_has_its_word() {
    let table = [
        (486, DialStatus::Busy),
        (600, DialStatus::Busy),
        (408, DialStatus::Timeout),
        (480, DialStatus::Failed),
        (404, DialStatus::Failed),
        (403, DialStatus::Failed),
        (500, DialStatus::Failed),
        (603, DialStatus::Failed),
    ];
    for (status, word) in table {
        let mut call = Ladder::with(vec![Verb::Dial(Dial {
            action: link("action"),
            ..dial(&["bob"])
        })]);
        call.located(2, "bob", 1).cut().fails(1, status);
        assert!(
            call.text().contains(&format!("DialEnded {word:?} ")),
            "{status}: {}",
            call.text()
        );
    }
}

#[test]
fn a_trunk_that_fails_without_an_answer_is_an_error() {
    let script = Script::Document {
        document: call::Document {
            verbs: vec![Verb::Dial(Dial {
                direct: true,
                ..dial(&["bob"])
            })],
        },
        hangup: None,
    };
    let mut call = Ladder::begin(script, Some("offer of A"));
    call.recorded().located(1, "bob", 1).cut();
    call.at(20.0).leg(
        1,
        SessionEvent::Failed {
            status: Status(408),
            response: None,
        },
    );
    call.reads(
        r#"
          20.000 < Failed(1, 408)
          20.000 > Close(1)
          20.000 > Refuse(A, 480)
          20.000 > Close(A)
          20.000 < Closed(1)
          20.000 > Cdr(1, 3070 Error, Timeout, 0 s, 0 billed, 408)
          20.000 < Closed(A)
          20.000 > Cdr(A, 3070 Error, Timeout, 0 s, 0 billed, 480)
          20.000 > Over"#,
    );
    call.is_over();
}
