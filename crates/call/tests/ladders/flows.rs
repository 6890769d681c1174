//! A device with several flows: RFC 5626 §7.

use call::Verb;
use sip::{Response, SessionEvent, Status};

use crate::ladder::{Ladder, dial};

fn lost(status: Status) -> SessionEvent {
    SessionEvent::Failed {
        status,
        response: None,
    }
}

fn refused(status: Status) -> SessionEvent {
    SessionEvent::Failed {
        status,
        response: Some(Response::new(status)),
    }
}

#[test]
fn a_device_is_called_by_one_flow_at_a_time_and_by_the_next_when_that_failed() {
    let mut call = Ladder::with(vec![Verb::Dial(dial(&["bob"]))]);
    call.cut()
        .located_device(2, "bob", 3)
        .at(1.0)
        .leg(1, lost(Status::SERVICE_UNAVAILABLE))
        .at(2.0)
        .leg(2, refused(Status::FLOW_FAILED))
        .at(3.0)
        .answers(3)
        .at(4.0)
        .bye(0);
    call.reads(
        r#"
           0.100 < Located(2, bob by 3 flows)
           0.100 > Record(1, sip:alice@d.example to sip:bob@d.example)
           0.100 > Remote(A, Offer, "offer of A")
           0.100 < Accepted(A)
           0.100 > Offer(1 like A)
           0.100 < Offered(1)
           0.100 > Invite(1, sip:bob@192.0.2.20, "Alice" <sip:alice@d.example>, "to 1 like A", X-PH-Tag: 7)
           1.000 < Failed(1, 503)
           1.000 > Close(1)
           1.000 > Offer(2 like A)
           1.000 < Closed(1)
           1.000 < Offered(2)
           1.000 > Invite(2, sip:bob@192.0.2.21, "Alice" <sip:alice@d.example>, "to 2 like A", X-PH-Tag: 7)
           2.000 < Failed(2, 430)
           2.000 > Close(2)
           2.000 > Offer(3 like A)
           2.000 < Closed(2)
           2.000 < Offered(3)
           2.000 > Invite(3, sip:bob@192.0.2.22, "Alice" <sip:alice@d.example>, "to 3 like A", X-PH-Tag: 7)
           3.000 < Answered(3, "answer of 3")
           3.000 > Record(1, sip:alice@d.example to sip:bob@d.example, answered)
           3.000 > Remote(3, Answer, "answer of 3")
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
fn what_a_device_answers_itself_is_not_asked_of_it_again() {
    let mut call = Ladder::direct();
    call.located_device(1, "bob", 2)
        .cut()
        .at(1.0)
        .leg(1, refused(Status::SERVICE_UNAVAILABLE));
    call.reads(
        r#"
           1.000 < Failed(1, 503)
           1.000 > Close(1)
           1.000 > Refuse(A, 503, Retry-After: 5)
           1.000 > Close(A)
           1.000 < Closed(1)
           1.000 > Cdr(1, 3090 Callee, Failed, 0 s, 0 billed, 503)
           1.000 < Closed(A)
           1.000 > Cdr(A, 3090 Callee, Failed, 0 s, 0 billed, 503)
           1.000 > Notify(Hangup 3090, http://c/hangup, Failed)
           1.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn when_all_flows_of_a_device_failed_it_is_not_reached() {
    let mut call = Ladder::direct();
    call.located_device(1, "bob", 2)
        .at(1.0)
        .leg(1, lost(Status::SERVICE_UNAVAILABLE))
        .cut()
        .at(2.0)
        .leg(2, lost(Status::REQUEST_TIMEOUT));
    assert!(
        call.text()
            .contains("> Cdr(1, 3070 Error, Timeout, 0 s, 0 billed, 408)"),
        "{}",
        call.text()
    );
    call.is_over();
}
