//! Re-INVITEs travel through the other leg: RFC 3261 §14, RFC 3264 §8.

use call::Verb;
use sip::{SessionEvent, Status};

use crate::ladder::{Ladder, Plane, dial};

#[test]
fn hold_and_resume_travel_through_the_other_leg() {
    let mut call = Ladder::talking();
    call.at(9.0)
        .reoffers(0, Some("hold of A"))
        .at(9.1)
        .reanswers(1, "held by 1")
        .at(9.2)
        .ack(None);
    call.at(20.0)
        .reoffers(0, Some("resume of A"))
        .at(20.1)
        .reanswers(1, "resumed by 1")
        .at(20.2)
        .ack(None);
    call.reads(
        r#"
           9.000 < Reoffered(A, "hold of A")
           9.000 > Remote(A, Offer, "hold of A")
           9.000 < Accepted(A)
           9.000 > Offer(1 like A)
           9.000 < Offered(1)
           9.000 > Reinvite(1, "to 1 like A")
           9.100 < Reanswered(1, "held by 1")
           9.100 > Remote(1, Answer, "held by 1")
           9.100 < Accepted(1)
           9.100 > MediaAnswer(A like 1)
           9.100 < MediaAnswered(A)
           9.100 > Answer(A, "to A like 1")
           9.200 < Confirmed(A)
          20.000 < Reoffered(A, "resume of A")
          20.000 > Remote(A, Offer, "resume of A")
          20.000 < Accepted(A)
          20.000 > Offer(1 like A)
          20.000 < Offered(1)
          20.000 > Reinvite(1, "to 1 like A")
          20.100 < Reanswered(1, "resumed by 1")
          20.100 > Remote(1, Answer, "resumed by 1")
          20.100 < Accepted(1)
          20.100 > MediaAnswer(A like 1)
          20.100 < MediaAnswered(A)
          20.100 > Answer(A, "to A like 1")
          20.200 < Confirmed(A)"#,
    );
}

#[test]
fn the_callee_holds_and_the_caller_hangs_up() {
    let mut call = Ladder::talking();
    call.at(9.0)
        .reoffers(1, Some("hold of 1"))
        .at(9.1)
        .reanswers(0, "held by A")
        .at(12.0)
        .bye(0);
    call.reads(
        r#"
           9.000 < Reoffered(1, "hold of 1")
           9.000 > Remote(1, Offer, "hold of 1")
           9.000 < Accepted(1)
           9.000 > Offer(A like 1)
           9.000 < Offered(A)
           9.000 > Reinvite(A, "to A like 1")
           9.100 < Reanswered(A, "held by A")
           9.100 > Remote(A, Answer, "held by A")
           9.100 < Accepted(A)
           9.100 > MediaAnswer(1 like A)
           9.100 < MediaAnswered(1)
           9.100 > Answer(1, "to 1 like A")
          12.000 < Bye(A)
          12.000 > Hangup(1)
          12.000 > Close(1)
          12.000 > Close(A)
          12.000 < Closed(1)
          12.000 > Cdr(1, 4000 Caller, Completed, 8 s, 60 billed, 200)
          12.000 < Closed(A)
          12.000 > Cdr(A, 4000 Caller, Completed, 8 s, 60 billed, 200)
          12.000 > Notify(Hangup 4000, http://c/hangup, Completed)
          12.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn what_the_other_side_refuses_is_refused() {
    for (status, told) in [(488, 488), (603, 488), (491, 491)] {
        let mut call = Ladder::talking();
        call.at(9.0).reoffers(0, Some("video of A")).cut();
        call.leg(
            1,
            SessionEvent::ReofferFailed {
                status: Status(status),
            },
        );
        call.reads(&format!(
            "9.000 < ReofferFailed(1, {status})\n9.000 > Refuse(A, {told})"
        ));
    }
}

#[test]
fn what_the_plane_refuses_is_refused() {
    let mut call = Ladder::talking().plane(0, Plane::Refuses);
    call.at(9.0).reoffers(0, Some("nonsense"));
    call.reads(
        r#"
           9.000 < Reoffered(A, "nonsense")
           9.000 > Remote(A, Offer, "nonsense")
           9.000 < MediaRefused(A, 488)
           9.000 > Refuse(A, 488)"#,
    );
    let mut call = Ladder::talking().plane(1, Plane::Refuses);
    call.at(9.0)
        .reoffers(0, Some("hold of A"))
        .reanswers(1, "nonsense");
    call.reads(
        r#"
           9.000 < Reoffered(A, "hold of A")
           9.000 > Remote(A, Offer, "hold of A")
           9.000 < Accepted(A)
           9.000 > Offer(1 like A)
           9.000 < Offered(1)
           9.000 > Reinvite(1, "to 1 like A")
           9.000 < Reanswered(1, "nonsense")
           9.000 > Remote(1, Answer, "nonsense")
           9.000 < MediaRefused(1, 488)
           9.000 > Refuse(A, 488)"#,
    );
}

#[test]
fn a_re_invite_without_offer_gets_ours_and_the_other_side_hears_of_the_answer() {
    let mut call = Ladder::talking();
    call.at(9.0)
        .reoffers(0, None)
        .at(9.1)
        .ack(Some("answer of A"))
        .at(9.2)
        .reanswers(1, "answer of 1");
    call.reads(
        r#"
           9.000 < Reoffered(A)
           9.000 > Offer(A like 1)
           9.000 < Offered(A)
           9.000 > Answer(A, "to A like 1")
           9.100 < Confirmed(A, "answer of A")
           9.100 > Remote(A, Answer, "answer of A")
           9.100 < Accepted(A)
           9.100 > Offer(1 like A)
           9.100 < Offered(1)
           9.100 > Reinvite(1, "to 1 like A")
           9.200 < Reanswered(1, "answer of 1")
           9.200 > Remote(1, Answer, "answer of 1")
           9.200 < Accepted(1)"#,
    );
}

#[test]
fn a_caller_who_talks_with_nobody_is_answered_by_ourselves() {
    let mut call = Ladder::with(vec![
        Verb::Dial(dial(&["bob"])),
        Verb::Dial(dial(&["carol"])),
    ]);
    call.located(2, "bob", 1)
        .answers(1)
        .ack(None)
        .bye(1)
        .located(3, "carol", 1)
        .rings(2)
        .cut();
    call.at(9.0).reoffers(0, Some("hold of A"));
    call.reads(
        r#"
           9.000 < Reoffered(A, "hold of A")
           9.000 > Remote(A, Offer, "hold of A")
           9.000 < Accepted(A)
           9.000 > MediaAnswer(A)
           9.000 < MediaAnswered(A)
           9.000 > Answer(A, "to A")"#,
    );
}

#[test]
fn t17_a_phone_that_moves_is_heard_where_it_is_and_asked_from_there() {
    let mut call = Ladder::talking();
    let remote = "198.51.100.99:40000".parse().expect("an address");
    call.at(9.0).leg(1, SessionEvent::Moved { remote });
    call.reads(
        r#"
           9.000 < Moved(1, 198.51.100.99:40000)
           9.000 > Near(1, 198.51.100.99)"#,
    );
}
