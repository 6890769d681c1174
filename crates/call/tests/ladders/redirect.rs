//! Redirect: voice-xml.md §4.10, §1.5.

use call::{Dial, FetchFailure, Redirect, Verb};

use crate::ladder::{Ladder, dial, link};

fn redirect() -> Vec<Verb> {
    link("more")
        .map(|link| Verb::Redirect(Redirect { link }))
        .into_iter()
        .collect()
}

#[test]
fn a_redirect_before_the_answer_does_not_answer() {
    let mut call = Ladder::with([redirect(), vec![Verb::Dial(dial(&["never"]))]].concat());
    call.at(0.3).document(2, Vec::new());
    call.reads(
        r#"
           0.000 > Record(A, sip:alice@d.example to bob)
           0.000 > Fetch(1, StartApp, http://c/answer, Ringing)
           0.000 < Recorded(A)
           0.100 < Fetched(1, 2 verbs)
           0.100 > Fetch(2, Redirect, http://c/more, Ringing)
           0.300 < Fetched(2, 0 verbs)
           0.300 > Refuse(A, 480)
           0.300 > Cdr(A, 4010 AnswerXml, Failed, 0 s, 0 billed, 480)
           0.300 > Notify(Hangup 4010, http://c/hangup, Failed)
           0.300 > Over"#,
    );
    call.is_over();
}

#[test]
fn a_redirect_after_the_answer_keeps_the_caller() {
    let mut call = Ladder::with([vec![Verb::Dial(dial(&["bob"]))], redirect()].concat());
    call.located(2, "bob", 1)
        .at(1.0)
        .rings(1)
        .at(4.0)
        .answers(1)
        .ack(None)
        .cut()
        .at(9.0)
        .bye(1);
    call.at(9.2)
        .document(3, vec![Verb::Dial(dial(&["carol"]))])
        .at(10.0)
        .bye(0)
        .at(11.0)
        .located(4, "carol", 1);
    call.reads(
        r#"
           9.000 < Bye(1)
           9.000 > Close(1)
           9.000 < Closed(1)
           9.000 > Cdr(1, 4000 Callee, Completed, 5 s, 60 billed, 200)
           9.000 > Fetch(3, Redirect, http://c/more, InProgress)
           9.200 < Fetched(3, 1 verbs)
           9.200 > Locate(4, sip:carol@d.example)
          10.000 < Bye(A)
          10.000 > Close(A)
          10.000 < Closed(A)
          10.000 > Cdr(A, 4000 Caller, Completed, 6 s, 60 billed, 200)
          10.000 > Notify(Hangup 4000, http://c/hangup, Completed)
          10.000 > Over
          11.000 < Located(4, carol at 1)"#,
    );
    call.is_over();
}

#[test]
fn a_caller_who_leaves_while_the_redirect_is_asked_leaves_a_record() {
    let mut call = Ladder::with(redirect());
    call.cut().at(0.3).cancel().document(2, Vec::new());
    call.reads(
        r#"
           0.300 < Cancelled(A)
           0.300 > Cdr(A, 1000 Caller, Cancel, 0 s, 0 billed, 487)
           0.300 > Notify(Hangup 1000, http://c/hangup, Cancel)
           0.300 > Over
           0.300 < Fetched(2, 0 verbs)"#,
    );
    call.is_over();
}

#[test]
fn a_redirect_that_fails_ends_the_call() {
    let table = [
        (FetchFailure::Unreachable, 7014),
        (FetchFailure::BadXml, 8014),
        (FetchFailure::BadUrl, 7024),
        (FetchFailure::BadMethod, 7034),
    ];
    for (failure, code) in table {
        let mut call = Ladder::with(redirect());
        call.cut().no_document(2, failure);
        call.reads(&format!(
            "   0.100 < Fetched(2, {failure:?})
                0.100 > Refuse(A, 500)
                0.100 > Cdr(A, {code} Error, Failed, 0 s, 0 billed, 500)
                0.100 > Notify(Hangup {code}, http://c/hangup, Failed)
                0.100 > Over"
        ));
        call.is_over();
    }
}

#[test]
fn x05_a_redirect_to_itself_ends_after_seventy_documents() {
    let mut call = Ladder::with(redirect());
    for fetch in 2..=70 {
        call.cut().document(fetch, redirect());
    }
    call.reads(
        r#"
           0.100 < Fetched(70, 1 verbs)
           0.100 > Refuse(A, 482)
           0.100 > Cdr(A, 2060 Platform, Failed, 0 s, 0 billed, 482)
           0.100 > Notify(Hangup 2060, http://c/hangup, Failed)
           0.100 > Over"#,
    );
    call.is_over();
}

#[test]
fn documents_are_counted_anew_after_somebody_talked() {
    let mut call = Ladder::with(redirect());
    for fetch in 2..=69 {
        call.document(fetch, redirect());
    }
    call.document(
        70,
        vec![
            Verb::Dial(Dial {
                redirect: false,
                ..dial(&["bob"])
            }),
            redirect().remove(0),
        ],
    );
    call.located(71, "bob", 1).answers(1).bye(1);
    for fetch in 72..=140 {
        call.cut().document(fetch, redirect());
    }
    assert!(!call.text().contains("Over"));
    call.document(141, redirect());
    assert!(
        call.text().contains("Cdr(A, 2060 Platform, Completed"),
        "{}",
        call.text()
    );
    call.is_over();
}
