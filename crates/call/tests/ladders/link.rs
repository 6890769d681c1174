//! Two calls that become one conversation: RFC 3891 §3, translated across the legs of both.

use std::time::Duration;

use call::{Script, Word};
use sip::Status;

use crate::ladder::{Ladder, link, other, own};

pub const TARGET: &str = "sip:carol@d.example?Replaces=call-2%3Bto-tag%3Dx%3Bfrom-tag%3Dy";

fn replacing(offer: Option<&str>) -> Ladder {
    let script = Script::Replace {
        replaced: other(1),
        time_limit: Duration::from_secs(3600),
        hangup: link("hangup"),
    };
    let mut call = Ladder::begin(script, offer);
    call.recorded();
    call
}

#[test]
fn an_attended_transfer_joins_the_caller_with_a_leg_of_another_call() {
    let mut call = Ladder::talking();
    call.at(5.0).refers(1, 90, TARGET).found(1, Some(other(1)));
    let replaced = other(1);
    call.at(5.1).hears(0, other(0), Word::Joined { replaced });
    call.at(5.2).reanswers(0, "A to carol");
    call.hears(0, other(0), Word::Answered);
    // Either side holds.
    call.at(6.0).reoffers(0, Some("A holds"));
    call.hears(0, other(0), Word::Answered);
    call.at(7.0).hears(0, other(0), Word::Offer);
    call.reanswers(0, "A is held");
    call.at(8.0).hears(0, other(0), Word::Gone);
    call.reads(
        r#"
   5.000 < Refer(1, 90, sip:carol@d.example)
   5.000 > Find(1, call-2;to-tag=x;from-tag=y)
   5.000 < Found(1, 9.1)
   5.000 > Across(A to 9.1, Join for 9.1)
   5.100 < Across(A, Joined for 9.1)
   5.100 > Respond(1, 90, 202)
   5.100 > Bridge(A, 9.A)
   5.100 > Offer(A like 9.A, to talk)
   5.100 > Notify(1, 90, 200)
   5.100 > Hangup(1)
   5.100 > Close(1)
   5.100 < Offered(A)
   5.100 > Reinvite(A, "to A like 9.A")
   5.100 < Closed(1)
   5.100 > Cdr(1, 4000 Callee, Completed, 1.1 s, 60 billed, 200)
   5.200 < Reanswered(A, "A to carol")
   5.200 > Remote(A, Answer, "A to carol")
   5.200 < Accepted(A)
   5.200 > Across(A to 9.A, Offer)
   5.200 < Across(A, Answered)
   6.000 < Reoffered(A, "A holds")
   6.000 > Remote(A, Offer, "A holds")
   6.000 < Accepted(A)
   6.000 > Across(A to 9.A, Offer)
   6.000 < Across(A, Answered)
   6.000 > MediaAnswer(A like 9.A)
   6.000 < MediaAnswered(A)
   6.000 > Answer(A, "to A like 9.A")
   7.000 < Across(A, Offer)
   7.000 > Offer(A like 9.A)
   7.000 < Offered(A)
   7.000 > Reinvite(A, "to A like 9.A")
   7.000 < Reanswered(A, "A is held")
   7.000 > Remote(A, Answer, "A is held")
   7.000 < Accepted(A)
   7.000 > Across(A to 9.A, Answered)
   8.000 < Across(A, Gone)
   8.000 > Unbridge(A)
   8.000 > Hangup(A)
   8.000 > Close(A)
   8.000 < Closed(A)
   8.000 > Cdr(A, 4010 AnswerXml, Completed, 4 s, 60 billed, 200)
   8.000 > Notify(Hangup 4010, http://c/hangup, Completed)
   8.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn an_attended_transfer_by_the_caller_joins_the_callee_with_it() {
    let mut call = Ladder::talking();
    call.at(5.0).refers(0, 90, TARGET).found(0, Some(other(1)));
    let replaced = other(1);
    call.at(5.1).hears(1, other(0), Word::Joined { replaced });
    call.at(5.2).reanswers(1, "bob to carol");
    call.hears(1, other(0), Word::Failed(Status(491)));
    call.at(8.0).bye(1);
    call.reads(
        r#"
   5.000 < Refer(A, 90, sip:carol@d.example)
   5.000 > Find(A, call-2;to-tag=x;from-tag=y)
   5.000 < Found(A, 9.1)
   5.000 > Across(1 to 9.1, Join for 9.1)
   5.100 < Across(1, Joined for 9.1)
   5.100 > Respond(A, 90, 202)
   5.100 > Bridge(1, 9.A)
   5.100 > Offer(1 like 9.A, to talk)
   5.100 > Notify(A, 90, 200)
   5.100 > Hangup(A)
   5.100 > Close(A)
   5.100 < Offered(1)
   5.100 > Reinvite(1, "to 1 like 9.A")
   5.100 < Closed(A)
   5.100 > Cdr(A, 4000 Caller, Completed, 1.1 s, 60 billed, 200)
   5.100 > Notify(Hangup 4000, http://c/hangup, Completed)
   5.200 < Reanswered(1, "bob to carol")
   5.200 > Remote(1, Answer, "bob to carol")
   5.200 < Accepted(1)
   5.200 > Across(1 to 9.A, Offer)
   5.200 < Across(1, Failed(Status(491)))
   8.000 < Bye(1)
   8.000 > Across(1 to 9.A, Gone)
   8.000 > Close(1)
   8.000 < Closed(1)
   8.000 > Cdr(1, 4000 Callee, Completed, 4 s, 60 billed, 200)
   8.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn a_transferor_that_leaves_at_once_is_not_waited_for() {
    let mut call = Ladder::talking();
    call.at(5.0).refers(0, 90, TARGET).bye(0);
    call.found(0, Some(other(1)));
    let replaced = other(1);
    call.hears(1, other(0), Word::Joined { replaced });
    call.at(6.0).bye(1);
    call.reads(
        r#"
   5.000 < Refer(A, 90, sip:carol@d.example)
   5.000 > Find(A, call-2;to-tag=x;from-tag=y)
   5.000 < Bye(A)
   5.000 > Close(A)
   5.000 < Closed(A)
   5.000 > Cdr(A, 4000 Caller, Completed, 1 s, 60 billed, 200)
   5.000 > Notify(Hangup 4000, http://c/hangup, Completed)
   5.000 < Found(A, 9.1)
   5.000 > Across(1 to 9.1, Join for 9.1)
   5.000 < Across(1, Joined for 9.1)
   5.000 > Respond(A, 90, 202)
   5.000 > Bridge(1, 9.A)
   5.000 > Offer(1 like 9.A, to talk)
   5.000 < Offered(1)
   5.000 > Reinvite(1, "to 1 like 9.A")
   6.000 < Bye(1)
   6.000 > Across(1 to 9.A, Gone)
   6.000 > Close(1)
   6.000 < Closed(1)
   6.000 > Cdr(1, 4000 Callee, Completed, 2 s, 60 billed, 200)
   6.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn a_dialog_that_is_not_there_leaves_the_two_talking() {
    let mut call = Ladder::talking();
    call.at(5.0).refers(1, 90, TARGET).found(1, None);
    call.at(6.0).refers(1, 91, TARGET).found(1, Some(own(0)));
    call.at(7.0).refers(1, 92, TARGET).found(1, Some(other(1)));
    let (replaced, status) = (other(1), Status(403));
    call.hears(0, other(1), Word::Declined { replaced, status });
    // An answer that comes too late undoes itself.
    call.at(8.0).refers(1, 93, TARGET).found(1, Some(other(1)));
    call.at(19.0).hears(0, other(0), Word::Joined { replaced });
    call.reads(
        r#"
   5.000 < Refer(1, 90, sip:carol@d.example)
   5.000 > Find(1, call-2;to-tag=x;from-tag=y)
   5.000 < Found(1, none)
   5.000 > Respond(1, 90, 202)
   5.000 > Notify(1, 90, 481)
   6.000 < Refer(1, 91, sip:carol@d.example)
   6.000 > Find(1, call-2;to-tag=x;from-tag=y)
   6.000 < Found(1, A)
   6.000 > Respond(1, 91, 202)
   6.000 > Notify(1, 91, 481)
   7.000 < Refer(1, 92, sip:carol@d.example)
   7.000 > Find(1, call-2;to-tag=x;from-tag=y)
   7.000 < Found(1, 9.1)
   7.000 > Across(A to 9.1, Join for 9.1)
   7.000 < Across(A, Declined for 9.1, 403)
   7.000 > Respond(1, 92, 202)
   7.000 > Notify(1, 92, 403)
   8.000 < Refer(1, 93, sip:carol@d.example)
   8.000 > Find(1, call-2;to-tag=x;from-tag=y)
   8.000 < Found(1, 9.1)
   8.000 > Across(A to 9.1, Join for 9.1)
  18.000 < Due
   18.000 > Respond(1, 93, 202)
  18.000 > Notify(1, 93, 408)
  19.000 < Across(A, Joined for 9.1)
  19.000 > Across(A to 9.A, Gone)"#,
    );
}

#[test]
fn a_leg_of_another_call_takes_the_place_of_the_callee() {
    let mut call = Ladder::talking();
    let replaced = own(1);
    call.at(5.0).hears(1, other(0), Word::Join { replaced });
    call.hears(0, other(0), Word::Offer);
    call.reanswers(0, "A to other").at(6.0).bye(0);
    call.reads(
        r#"
   5.000 < Across(1, Join for 1)
   5.000 > Across(A to 9.A, Joined for 1)
   5.000 > Bridge(A, 9.A)
   5.000 > Hangup(1)
   5.000 > Close(1)
   5.000 < Closed(1)
   5.000 > Cdr(1, 4000 Callee, Completed, 1 s, 60 billed, 200)
   5.000 < Across(A, Offer)
   5.000 > Offer(A like 9.A)
   5.000 < Offered(A)
   5.000 > Reinvite(A, "to A like 9.A")
   5.000 < Reanswered(A, "A to other")
   5.000 > Remote(A, Answer, "A to other")
   5.000 < Accepted(A)
   5.000 > Across(A to 9.A, Answered)
   6.000 < Bye(A)
   6.000 > Across(A to 9.A, Gone)
   6.000 > Close(A)
   6.000 < Closed(A)
   6.000 > Cdr(A, 4000 Caller, Completed, 2 s, 60 billed, 200)
   6.000 > Notify(Hangup 4000, http://c/hangup, Completed)
   6.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn a_leg_of_another_call_takes_the_place_of_the_caller() {
    let mut call = Ladder::talking();
    let replaced = own(0);
    call.at(5.0).hears(0, other(0), Word::Join { replaced });
    call.hears(1, other(0), Word::Offer);
    call.reanswers(1, "bob to other");
    call.at(6.0).hears(1, other(0), Word::Gone);
    call.reads(
        r#"
   5.000 < Across(A, Join for A)
   5.000 > Across(1 to 9.A, Joined for A)
   5.000 > Bridge(1, 9.A)
   5.000 > Hangup(A)
   5.000 > Close(A)
   5.000 < Closed(A)
   5.000 > Cdr(A, 4000 Caller, Completed, 1 s, 60 billed, 200)
   5.000 > Notify(Hangup 4000, http://c/hangup, Completed)
   5.000 < Across(1, Offer)
   5.000 > Offer(1 like 9.A)
   5.000 < Offered(1)
   5.000 > Reinvite(1, "to 1 like 9.A")
   5.000 < Reanswered(1, "bob to other")
   5.000 > Remote(1, Answer, "bob to other")
   5.000 < Accepted(1)
   5.000 > Across(1 to 9.A, Answered)
   6.000 < Across(1, Gone)
   6.000 > Unbridge(1)
   6.000 > Hangup(1)
   6.000 > Close(1)
   6.000 < Closed(1)
   6.000 > Cdr(1, 4000 Callee, Completed, 2 s, 60 billed, 200)
   6.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn who_talks_with_nobody_is_not_replaced() {
    let mut call = Ladder::asking();
    let replaced = own(0);
    call.recorded().cut();
    call.at(2.0).hears(0, other(0), Word::Join { replaced });
    call.hears(0, other(3), Word::Offer);
    call.reads(
        r#"
   2.000 < Across(A, Join for A)
   2.000 > Across(A to 9.A, Declined for A, 481)
   2.000 < Across(A, Offer)
   2.000 > Across(A to 9.3, Gone)"#,
    );
}

#[test]
fn a_ringing_callee_is_picked_up_by_another_phone() {
    let mut call = Ladder::ringing();
    let replaced = own(1);
    call.at(2.0).hears(1, other(0), Word::Join { replaced });
    call.ack(None).at(6.0).hears(0, other(0), Word::Gone);
    call.reads(
        r#"
   2.000 < Across(1, Join for 1)
   2.000 > Across(A to 9.A, Joined for 1)
   2.000 > Hangup(1, Reason: SIP;cause=200;text="Call completed elsewhere")
   2.000 > Close(1)
   2.000 > MediaAnswer(A like 9.A)
   2.000 < Closed(1)
   2.000 > Cdr(1, 9000 Platform, Failed, 0 s, 0 billed, 487)
   2.000 < MediaAnswered(A)
   2.000 > Bridge(A, 9.A)
   2.000 > Record(A, sip:alice@d.example to bob, answered)
   2.000 > Answer(A, "to A like 9.A")
   2.000 < Confirmed(A)
   6.000 < Across(A, Gone)
   6.000 > Unbridge(A)
   6.000 > Hangup(A)
   6.000 > Close(A)
   6.000 < Closed(A)
   6.000 > Cdr(A, 4010 AnswerXml, Completed, 4 s, 60 billed, 200)
   6.000 > Notify(Hangup 4010, http://c/hangup, Completed)
   6.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn a_caller_takes_the_place_of_a_session_of_another_call() {
    let mut call = replacing(Some("offer of A"));
    let replaced = other(1);
    call.at(0.1).hears(0, other(0), Word::Joined { replaced });
    call.ack(None).hears(0, other(0), Word::Answered);
    call.at(3.0).bye(0);
    call.reads(
        r#"
   0.000 > Record(A, sip:alice@d.example to bob)
   0.000 > Remote(A, Offer, "offer of A")
   0.000 < Accepted(A)
   0.000 > Across(A to 9.1, Join for 9.1)
   0.000 < Recorded(A)
   0.100 < Across(A, Joined for 9.1)
   0.100 > MediaAnswer(A like 9.A)
   0.100 < MediaAnswered(A)
   0.100 > Bridge(A, 9.A)
   0.100 > Record(A, sip:alice@d.example to bob, answered)
   0.100 > Answer(A, "to A like 9.A")
   0.100 > Across(A to 9.A, Offer)
   0.100 < Confirmed(A)
   0.100 < Across(A, Answered)
   3.000 < Bye(A)
   3.000 > Across(A to 9.A, Gone)
   3.000 > Close(A)
   3.000 < Closed(A)
   3.000 > Cdr(A, 4000 Caller, Completed, 2.9 s, 60 billed, 200)
   3.000 > Notify(Hangup 4000, http://c/hangup, Completed)
   3.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn a_caller_without_an_offer_takes_it_too() {
    let mut call = replacing(None);
    let replaced = other(1);
    call.at(0.1).hears(0, other(0), Word::Joined { replaced });
    call.ack(Some("answer of A"));
    call.hears(0, other(0), Word::Answered);
    call.at(3.0).hears(0, other(0), Word::Gone);
    call.reads(
        r#"
   0.000 > Record(A, sip:alice@d.example to bob)
   0.000 > Across(A to 9.1, Join for 9.1)
   0.000 < Recorded(A)
   0.100 < Across(A, Joined for 9.1)
   0.100 > Offer(A like 9.A)
   0.100 < Offered(A)
   0.100 > Record(A, sip:alice@d.example to bob, answered)
   0.100 > Answer(A, "to A like 9.A")
   0.100 < Confirmed(A, "answer of A")
   0.100 > Remote(A, Answer, "answer of A")
   0.100 < Accepted(A)
   0.100 > Bridge(A, 9.A)
   0.100 > Across(A to 9.A, Offer)
   0.100 < Across(A, Answered)
   3.000 < Across(A, Gone)
   3.000 > Unbridge(A)
   3.000 > Hangup(A)
   3.000 > Close(A)
   3.000 < Closed(A)
   3.000 > Cdr(A, 4000 Callee, Completed, 2.9 s, 60 billed, 200)
   3.000 > Notify(Hangup 4000, http://c/hangup, Completed)
   3.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn a_caller_that_may_not_take_it_is_refused() {
    let mut call = replacing(Some("offer of A"));
    let (replaced, status) = (other(1), Status(481));
    call.hears(0, other(1), Word::Declined { replaced, status });
    call.reads(
        r#"
   0.000 > Record(A, sip:alice@d.example to bob)
   0.000 > Remote(A, Offer, "offer of A")
   0.000 < Accepted(A)
   0.000 > Across(A to 9.1, Join for 9.1)
   0.000 < Recorded(A)
   0.000 < Across(A, Declined for 9.1, 481)
   0.000 > Refuse(A, 481)
   0.000 > Close(A)
   0.000 < Closed(A)
   0.000 > Cdr(A, 5020 Platform, Failed, 0 s, 0 billed, 481)
   0.000 > Notify(Hangup 5020, http://c/hangup, Failed)
   0.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn who_is_transferred_to_a_phone_that_still_rings_waits_for_it() {
    let mut call = Ladder::talking();
    call.at(5.0).refers(1, 90, TARGET).found(1, Some(other(0)));
    let (replaced, left) = (other(0), Duration::from_secs(25));
    call.hears(0, other(0), Word::Rings { replaced, left });
    call.at(9.0).hears(0, other(1), Word::Joined { replaced });
    call.reanswers(0, "A to carol");
    call.hears(0, other(1), Word::Answered);
    call.at(10.0).bye(0);
    call.reads(
        r#"
   5.000 < Refer(1, 90, sip:carol@d.example)
   5.000 > Find(1, call-2;to-tag=x;from-tag=y)
   5.000 < Found(1, 9.A)
   5.000 > Across(A to 9.A, Join for 9.A)
   5.000 < Across(A, Rings for 9.A, 25 s)
   5.000 > Respond(1, 90, 202)
   5.000 > Notify(1, 90, 180)
   9.000 < Across(A, Joined for 9.A)
   9.000 > Bridge(A, 9.1)
   9.000 > Offer(A like 9.1, to talk)
   9.000 > Notify(1, 90, 200)
   9.000 > Hangup(1)
   9.000 > Close(1)
   9.000 < Offered(A)
   9.000 > Reinvite(A, "to A like 9.1")
   9.000 < Closed(1)
   9.000 > Cdr(1, 4000 Callee, Completed, 5 s, 60 billed, 200)
   9.000 < Reanswered(A, "A to carol")
   9.000 > Remote(A, Answer, "A to carol")
   9.000 < Accepted(A)
   9.000 > Across(A to 9.1, Offer)
   9.000 < Across(A, Answered)
  10.000 < Bye(A)
  10.000 > Across(A to 9.1, Gone)
  10.000 > Close(A)
  10.000 < Closed(A)
  10.000 > Cdr(A, 4000 Caller, Completed, 6 s, 60 billed, 200)
  10.000 > Notify(Hangup 4000, http://c/hangup, Completed)
  10.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn a_phone_that_still_rings_and_refuses_leaves_the_two_talking() {
    let mut call = Ladder::talking();
    let (replaced, left) = (other(0), Duration::from_secs(5));
    call.at(5.0).refers(1, 90, TARGET).found(1, Some(other(0)));
    call.hears(0, other(0), Word::Rings { replaced, left });
    let status = Status(486);
    call.at(6.0);
    call.hears(0, other(0), Word::Declined { replaced, status });
    // Nothing is heard of the next one.
    call.at(7.0).refers(1, 91, TARGET).found(1, Some(other(0)));
    call.hears(0, other(0), Word::Rings { replaced, left });
    call.at(23.0);
    // Whom all this is about hangs up.
    call.refers(1, 92, TARGET).found(1, Some(other(0)));
    call.hears(0, other(0), Word::Rings { replaced, left });
    call.at(24.0).bye(0);
    call.reads(
        r#"
   5.000 < Refer(1, 90, sip:carol@d.example)
   5.000 > Find(1, call-2;to-tag=x;from-tag=y)
   5.000 < Found(1, 9.A)
   5.000 > Across(A to 9.A, Join for 9.A)
   5.000 < Across(A, Rings for 9.A, 5 s)
   5.000 > Respond(1, 90, 202)
   5.000 > Notify(1, 90, 180)
   6.000 < Across(A, Declined for 9.A, 486)
   6.000 > Notify(1, 90, 486)
   7.000 < Refer(1, 91, sip:carol@d.example)
   7.000 > Find(1, call-2;to-tag=x;from-tag=y)
   7.000 < Found(1, 9.A)
   7.000 > Across(A to 9.A, Join for 9.A)
   7.000 < Across(A, Rings for 9.A, 5 s)
   7.000 > Respond(1, 91, 202)
   7.000 > Notify(1, 91, 180)
  22.000 < Due
  22.000 > Across(A to 9.A, Gone)
  22.000 > Notify(1, 91, 408)
  23.000 < Refer(1, 92, sip:carol@d.example)
  23.000 > Find(1, call-2;to-tag=x;from-tag=y)
  23.000 < Found(1, 9.A)
  23.000 > Across(A to 9.A, Join for 9.A)
  23.000 < Across(A, Rings for 9.A, 5 s)
   23.000 > Respond(1, 92, 202)
  23.000 > Notify(1, 92, 180)
  24.000 < Bye(A)
  24.000 > Across(A to 9.A, Gone)
  24.000 > Hangup(1)
  24.000 > Close(1)
  24.000 > Close(A)
  24.000 < Closed(1)
  24.000 > Cdr(1, 4000 Caller, Completed, 20 s, 60 billed, 200)
  24.000 < Closed(A)
  24.000 > Cdr(A, 4000 Caller, Completed, 20 s, 60 billed, 200)
  24.000 > Notify(Hangup 4000, http://c/hangup, Completed)
  24.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn a_leg_of_another_call_waits_for_the_callee_in_the_place_of_the_caller() {
    let mut call = Ladder::ringing();
    let replaced = own(0);
    call.at(2.0).hears(0, other(0), Word::Join { replaced });
    call.at(3.0).answers(1);
    call.hears(1, other(0), Word::Offer);
    call.reanswers(1, "bob to other");
    call.at(6.0).bye(1);
    call.reads(
        r#"
   2.000 < Across(A, Join for A)
   2.000 > Across(A to 9.A, Rings for A, 28.1 s)
   2.000 > Refuse(A, 487)
   2.000 > Close(A)
   2.000 < Closed(A)
   2.000 > Cdr(A, 1000 Caller, Cancel, 0 s, 0 billed, 487)
   2.000 > Notify(Hangup 1000, http://c/hangup, Cancel)
   3.000 < Answered(1, "answer of 1")
   3.000 > Record(1, sip:alice@d.example to sip:bob@d.example, answered)
   3.000 > Remote(1, Answer, "answer of 1")
   3.000 < Accepted(1)
   3.000 > Across(1 to 9.A, Joined for A)
   3.000 > Bridge(9.A, 1)
   3.000 < Across(1, Offer)
   3.000 > Offer(1 like 9.A)
   3.000 < Offered(1)
   3.000 > Reinvite(1, "to 1 like 9.A")
   3.000 < Reanswered(1, "bob to other")
   3.000 > Remote(1, Answer, "bob to other")
   3.000 < Accepted(1)
   3.000 > Across(1 to 9.A, Answered)
   6.000 < Bye(1)
   6.000 > Close(1)
   6.000 > Across(1 to 9.A, Gone)
   6.000 < Closed(1)
   6.000 > Cdr(1, 4000 Callee, Completed, 3 s, 60 billed, 200)
   6.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn a_callee_that_refuses_is_told_to_who_waits_for_it() {
    let mut call = Ladder::ringing();
    let replaced = own(0);
    call.at(2.0).hears(0, other(0), Word::Join { replaced });
    call.at(3.0).fails(1, 486);
    call.reads(
        r#"
   2.000 < Across(A, Join for A)
   2.000 > Across(A to 9.A, Rings for A, 28.1 s)
   2.000 > Refuse(A, 487)
   2.000 > Close(A)
   2.000 < Closed(A)
   2.000 > Cdr(A, 1000 Caller, Cancel, 0 s, 0 billed, 487)
   2.000 > Notify(Hangup 1000, http://c/hangup, Cancel)
   3.000 < Failed(1, 486)
   3.000 > Close(1)
   3.000 > Across(A to 9.A, Declined for A, 486)
   3.000 < Closed(1)
   3.000 > Cdr(1, 3010 Callee, Busy, 0 s, 0 billed, 486)
   3.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn who_waits_for_the_callee_may_leave() {
    let mut call = Ladder::ringing();
    let replaced = own(0);
    call.at(2.0).hears(0, other(0), Word::Join { replaced });
    call.at(3.0).hears(0, other(0), Word::Gone);
    call.reads(
        r#"
   2.000 < Across(A, Join for A)
   2.000 > Across(A to 9.A, Rings for A, 28.1 s)
   2.000 > Refuse(A, 487)
   2.000 > Close(A)
   2.000 < Closed(A)
   2.000 > Cdr(A, 1000 Caller, Cancel, 0 s, 0 billed, 487)
   2.000 > Notify(Hangup 1000, http://c/hangup, Cancel)
   3.000 < Across(A, Gone)
   3.000 > Hangup(1)
   3.000 > Close(1)
   3.000 < Closed(1)
   3.000 > Cdr(1, 1000 Caller, Cancel, 0 s, 0 billed, 487)
   3.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn a_refer_whose_dialog_nobody_looks_up_is_answered_in_time() {
    let mut call = Ladder::talking();
    call.at(5.0).refers(1, 90, TARGET).at(16.0);
    call.reads(
        r#"
   5.000 < Refer(1, 90, sip:carol@d.example)
   5.000 > Find(1, call-2;to-tag=x;from-tag=y)
  15.000 < Due
  15.000 > Respond(1, 90, 202)
  15.000 > Notify(1, 90, 408)"#,
    );
}

#[test]
fn a_refer_is_refused_when_the_call_ends_before_the_other_one_has_heard_of_it() {
    let mut call = Ladder::talking();
    call.at(5.0).refers(1, 90, TARGET).found(1, Some(other(0)));
    call.cut().at(6.0).bye(0);
    call.reads(
        r#"
   6.000 < Bye(A)
   6.000 > Respond(1, 90, 487)
   6.000 > Hangup(1)
   6.000 > Close(1)
   6.000 > Close(A)
   6.000 < Closed(1)
   6.000 > Cdr(1, 4000 Caller, Completed, 2 s, 60 billed, 200)
   6.000 < Closed(A)
   6.000 > Cdr(A, 4000 Caller, Completed, 2 s, 60 billed, 200)
   6.000 > Notify(Hangup 4000, http://c/hangup, Completed)
   6.000 > Over"#,
    );
    call.is_over();
    // The same when the transferor has left before.
    let mut call = Ladder::talking();
    call.at(5.0).refers(1, 90, TARGET).bye(1).cut();
    call.at(6.0).bye(0);
    call.reads(
        r#"
   6.000 < Bye(A)
   6.000 > Respond(1, 90, 487)
   6.000 > Close(A)
   6.000 < Closed(A)
   6.000 > Cdr(A, 4000 Caller, Completed, 2 s, 60 billed, 200)
   6.000 > Notify(Hangup 4000, http://c/hangup, Completed)
   6.000 > Over"#,
    );
    call.is_over();
}
