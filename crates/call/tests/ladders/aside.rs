//! Digits in INFO (RFC 6086) and MESSAGE (RFC 3428 §7) inside a call.

use call::{Aside, Digit, Word};
use sip::{InDialog, Method, Name, Request, RequestId, SessionEvent, Status};

use crate::ladder::{Ladder, other, own};

fn said(id: u64, method: Method, kind: Option<&str>, body: &str) -> SessionEvent {
    let wants = match method {
        Method::Info => InDialog::Info,
        _ => InDialog::Message,
    };
    let mut request = Request::new(method, "sip:offhook@192.0.2.1");
    if let Some(kind) = kind {
        request.headers.push(Name::ContentType, kind);
    }
    request.body = body.to_owned().into();
    let id = RequestId(id);
    SessionEvent::Requested { id, wants, request }
}

fn digit(id: u64, body: &str) -> SessionEvent {
    said(id, Method::Info, Some("application/dtmf-relay"), body)
}

fn text(id: u64, body: &str) -> SessionEvent {
    said(id, Method::Message, Some("text/plain"), body)
}

fn answers(id: u64, status: u16) -> SessionEvent {
    SessionEvent::Responded {
        id: RequestId(id),
        status: Status(status),
        response: None,
    }
}

#[test]
fn a_digit_and_a_text_go_to_the_other_side_and_its_answer_comes_back() {
    let mut call = Ladder::talking();
    call.at(5.0).leg(0, digit(70, "Signal=5\nDuration=200"));
    call.leg(1, answers(1, 200));
    call.at(6.0)
        .leg(1, said(71, Method::Info, Some("application/dtmf"), "9"));
    call.leg(0, answers(2, 415));
    call.at(7.0)
        .leg(1, text(72, "hello"))
        .leg(0, answers(3, 202));
    call.leg(0, text(73, "well")).leg(1, answers(4, 401));
    call.reads(
        r#"
   5.000 < Requested(A, 70, Info)
   5.000 > Request(1, 1, INFO, "Signal=5\r\nDuration=200\r\n", Content-Type: application/dtmf-relay)
   5.000 < Responded(1, 1, 200)
   5.000 > Respond(A, 70, 200)
   6.000 < Requested(1, 71, Info)
   6.000 > Request(A, 2, INFO, "9", Content-Type: application/dtmf)
   6.000 < Responded(A, 2, 415)
   6.000 > Respond(1, 71, 415)
   7.000 < Requested(1, 72, Message)
   7.000 > Request(A, 3, MESSAGE, "hello", Content-Type: text/plain)
   7.000 < Responded(A, 3, 202)
   7.000 > Respond(1, 72, 202)
   7.000 < Requested(A, 73, Message)
   7.000 > Request(1, 4, MESSAGE, "well", Content-Type: text/plain)
   7.000 < Responded(1, 4, 401)
   7.000 > Respond(A, 73, 403)"#,
    );
}

#[test]
fn what_is_no_digit_is_refused_and_what_is_empty_is_taken() {
    let mut call = Ladder::talking();
    call.leg(0, said(70, Method::Info, Some("text/plain"), "5"));
    call.leg(0, said(71, Method::Info, None, ""));
    call.leg(0, digit(72, "Signal=yes"));
    call.reads(
        r#"
   4.000 < Requested(A, 70, Info)
   4.000 > Respond(A, 70, 415, Accept: application/dtmf-relay, application/dtmf)
   4.000 < Requested(A, 71, Info)
   4.000 > Respond(A, 71, 200)
   4.000 < Requested(A, 72, Info)
   4.000 > Respond(A, 72, 400)"#,
    );
}

#[test]
fn who_talks_with_nobody_presses_digits_and_writes_to_nobody() {
    let mut call = Ladder::ringing();
    call.leg(0, digit(70, "Signal=1")).leg(0, text(71, "hello"));
    call.reads(
        r#"
   1.000 < Requested(A, 70, Info)
   1.000 > Respond(A, 70, 200)
   1.000 < Requested(A, 71, Message)
   1.000 > Respond(A, 71, 480)"#,
    );
}

#[test]
fn a_side_that_leaves_answers_nothing_more() {
    let mut call = Ladder::talking();
    call.at(5.0).leg(0, text(70, "hello")).bye(1);
    call.reads(
        r#"
   5.000 < Requested(A, 70, Message)
   5.000 > Request(1, 1, MESSAGE, "hello", Content-Type: text/plain)
   5.000 < Bye(1)
   5.000 > Close(1)
   5.000 > Respond(A, 70, 480)
   5.000 > Hangup(A)
   5.000 > Close(A)
   5.000 < Closed(1)
   5.000 > Cdr(1, 4000 Callee, Completed, 1 s, 60 billed, 200)
   5.000 < Closed(A)
   5.000 > Cdr(A, 4010 AnswerXml, Completed, 1 s, 60 billed, 200)
   5.000 > Notify(Hangup 4010, http://c/hangup, Completed)
   5.000 > Over"#,
    );
}

#[test]
fn both_go_across_to_another_call() {
    let mut call = Ladder::talking();
    let replaced = own(1);
    call.hears(1, other(0), Word::Join { replaced }).cut();
    call.leg(0, digit(70, "Signal=1"));
    let (id, status) = (RequestId(1), Status::OK);
    call.hears(0, other(0), Word::Heard { id, status });
    let aside = Aside::Digit(Digit {
        key: '2',
        duration: None,
    });
    let id = RequestId(9);
    call.hears(0, other(0), Word::Aside { id, aside });
    call.leg(0, answers(2, 200)).leg(0, text(71, "hello"));
    call.hears(0, other(0), Word::Gone);
    call.reads(
        r#"
   4.000 < Requested(A, 70, Info)
   4.000 > Across(A to 9.A, Aside { id: RequestId(1), aside: Digit(Digit { key: '1', duration: Some(160) }) })
   4.000 < Across(A, Heard { id: RequestId(1), status: Status(200) })
   4.000 > Respond(A, 70, 200)
   4.000 < Across(A, Aside { id: RequestId(9), aside: Digit(Digit { key: '2', duration: None }) })
   4.000 > Request(A, 2, INFO, "2", Content-Type: application/dtmf)
   4.000 < Responded(A, 2, 200)
   4.000 > Across(A to 9.A, Heard { id: RequestId(9), status: Status(200) })
   4.000 < Requested(A, 71, Message)
   4.000 > Across(A to 9.A, Aside { id: RequestId(3), aside: Message { content_type: Some("text/plain"), body: b"hello" } })
   4.000 < Across(A, Gone)
   4.000 > Respond(A, 71, 480)
   4.000 > Unbridge(A)
   4.000 > Hangup(A)
   4.000 > Close(A)
   4.000 < Closed(A)
   4.000 > Cdr(A, 4010 AnswerXml, Completed, 0 s, 0 billed, 200)
   4.000 > Notify(Hangup 4010, http://c/hangup, Completed)
   4.000 > Over"#,
    );
}
