//! Where a target is called next: ranks of places (RFC 3261 §16.6) and redirects (RFC 3261 §8.1.3.4).

use std::time::Duration;

use call::{Cause, LocateFailure, Script};

use crate::ladder::{Ladder, link};

#[test]
fn ranks_ring_one_after_the_other_and_each_has_its_share_of_the_time() {
    let mut call = Ladder::direct();
    call.cut()
        .located_in_ranks(1, "bob", &[0, 1, 1])
        .at(1.0)
        .rings(1)
        .at(16.0)
        .fails(1, 487)
        .rings(3)
        .at(20.0)
        .answers(3);
    call.reads(
        r#"
           0.000 < Located(1, bob at 3)
           0.000 > Record(1, sip:alice@d.example to sip:bob@d.example)
           0.000 > Remote(A, Offer, "offer of A")
           0.000 < Accepted(A)
           0.000 > Offer(1 like A)
           0.000 < Offered(1)
           0.000 > Invite(1, sip:bob@192.0.2.20, "Alice" <sip:alice@d.example>, "to 1 like A", X-PH-Tag: 7)
           1.000 < Ringing(1, 180)
           1.000 > Ring(A, 180)
          15.000 < Due
          15.000 > Hangup(1)
          15.000 > Close(1)
          15.000 > Offer(2 like A)
          15.000 > Offer(3 like A)
          15.000 < Closed(1)
          15.000 < Offered(2)
          15.000 > Invite(2, sip:bob@192.0.2.21, "Alice" <sip:alice@d.example>, "to 2 like A", X-PH-Tag: 7)
          15.000 < Offered(3)
          15.000 > Invite(3, sip:bob@192.0.2.22, "Alice" <sip:alice@d.example>, "to 3 like A", X-PH-Tag: 7)
          16.000 < Failed(1, 487)
          16.000 < Ringing(3, 180)
          20.000 < Answered(3, "answer of 3")
          20.000 > Record(1, sip:alice@d.example to sip:bob@d.example, answered)
          20.000 > Hangup(2, Reason: SIP;cause=200;text="Call completed elsewhere")
          20.000 > Close(2)
          20.000 > Remote(3, Answer, "answer of 3")
          20.000 < Closed(2)
          20.000 < Accepted(3)
          20.000 > MediaAnswer(A like 3)
          20.000 < MediaAnswered(A)
          20.000 > Bridge(A, 3)
          20.000 > Record(A, sip:alice@d.example to bob, answered)
          20.000 > Answer(A, "to A like 3")"#,
    );
}

#[test]
fn a_rank_that_refuses_gives_way_at_once_and_a_6xx_ends_the_target() {
    let mut call = Ladder::direct();
    call.located_in_ranks(1, "bob", &[0, 1, 2])
        .cut()
        .at(2.0)
        .fails(1, 486)
        .at(3.0)
        .fails(2, 603);
    call.reads(
        r#"
           2.000 < Failed(1, 486)
           2.000 > Close(1)
           2.000 > Offer(2 like A)
           2.000 < Closed(1)
           2.000 < Offered(2)
           2.000 > Invite(2, sip:bob@192.0.2.21, "Alice" <sip:alice@d.example>, "to 2 like A", X-PH-Tag: 7)
           3.000 < Failed(2, 603)
           3.000 > Close(2)
           3.000 > Refuse(A, 603)
           3.000 > Close(A)
           3.000 < Closed(2)
           3.000 > Cdr(1, 3020 Callee, Failed, 0 s, 0 billed, 603)
           3.000 < Closed(A)
           3.000 > Cdr(A, 3020 Callee, Failed, 0 s, 0 billed, 603)
           3.000 > Notify(Hangup 3020, http://c/hangup, Failed)
           3.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn a_redirect_that_may_be_followed_is_called_in_the_same_leg() {
    let mut call = Ladder::direct();
    call.located(1, "bob", 1)
        .cut()
        .at(2.0)
        .moves(1, "<sip:low@d.example>;q=0.1, <sip:carol@d.example>;q=0.9")
        .at(2.1)
        .located(2, "carol", 1)
        .at(3.0)
        .rings(2);
    call.reads(
        r#"
           2.000 < Failed(1, 302)
           2.000 > Close(1)
           2.000 > Locate(2, sip:carol@d.example;q=900 sip:low@d.example;q=100)
           2.000 < Closed(1)
           2.100 < Located(2, carol at 1)
           2.100 > Offer(2 like A)
           2.100 < Offered(2)
           2.100 > Invite(2, sip:carol@192.0.2.20, "Alice" <sip:alice@d.example>, "to 2 like A", X-PH-Tag: 7)
           3.000 < Ringing(2, 180)
           3.000 > Ring(A, 180)"#,
    );
}

#[test]
fn s74_a_redirect_that_may_not_be_followed_is_named_in_the_record() {
    let mut call = Ladder::direct();
    call.located(1, "bob", 1)
        .cut()
        .at(2.0)
        .moves(1, "<sip:19005550123@d.example>")
        .at(2.1)
        .not_located(2, LocateFailure::NotFollowed);
    call.reads(
        r#"
           2.000 < Failed(1, 302)
           2.000 > Close(1)
           2.000 > Locate(2, sip:19005550123@d.example;q=1000)
           2.000 < Closed(1)
           2.100 < Located(2, NotFollowed)
           2.100 > Refuse(A, 480 Redirect Not Followed)
           2.100 > Close(A)
           2.100 > Cdr(1, 2310 Platform, Failed, 0 s, 0 billed, 302)
           2.100 < Closed(A)
           2.100 > Cdr(A, 2310 Platform, Failed, 0 s, 0 billed, 480)
           2.100 > Notify(Hangup 2310, http://c/hangup, Failed)
           2.100 > Over"#,
    );
    call.is_over();
}

#[test]
fn a_redirect_to_where_the_target_was_called_already_is_not_followed() {
    let mut call = Ladder::direct();
    call.located(1, "bob", 1)
        .cut()
        .at(2.0)
        .moves(1, "<sip:bob@192.0.2.20>")
        .at(2.1)
        .located(2, "bob", 1);
    call.reads(
        r#"
           2.000 < Failed(1, 302)
           2.000 > Close(1)
           2.000 > Locate(2, sip:bob@192.0.2.20;q=1000)
           2.000 < Closed(1)
           2.100 < Located(2, bob at 1)
           2.100 > Refuse(A, 480 Redirect Not Followed)
           2.100 > Close(A)
           2.100 > Cdr(1, 2310 Platform, Failed, 0 s, 0 billed, 302)
           2.100 < Closed(A)
           2.100 > Cdr(A, 2310 Platform, Failed, 0 s, 0 billed, 480)
           2.100 > Notify(Hangup 2310, http://c/hangup, Failed)
           2.100 > Over"#,
    );
    call.is_over();
}

#[test]
fn redirects_that_lead_to_redirects_end_after_four() {
    let mut call = Ladder::direct();
    call.located(1, "bob", 1);
    for hop in 1..=4_u16 {
        let next = format!("bob{hop}");
        call.moves(hop, &format!("<sip:{next}@192.0.2.9>"))
            .located(u64::from(hop) + 1, &next, 1);
    }
    call.cut().moves(5, "<sip:bob@192.0.2.9>");
    call.reads(
        r#"
           0.000 < Failed(5, 302)
           0.000 > Close(5)
           0.000 > Refuse(A, 480)
           0.000 > Close(A)
           0.000 < Closed(5)
           0.000 > Cdr(1, 5020 Callee, Failed, 0 s, 0 billed, 302)
           0.000 < Closed(A)
           0.000 > Cdr(A, 5020 Callee, Failed, 0 s, 0 billed, 480)
           0.000 > Notify(Hangup 5020, http://c/hangup, Failed)
           0.000 > Over"#,
    );
    call.is_over();
}

#[test]
fn a_caller_who_lacks_a_permission_is_refused_with_its_name_and_a_record() {
    let script = Script::Refused {
        cause: Cause::PhonesNotAllowed,
        status: 403,
        hangup: link("hangup"),
    };
    let mut call = Ladder::begin(script, Some("offer of A"));
    call.at(0.1).recorded();
    call.reads(
        r#"
           0.000 > Record(A, sip:alice@d.example to bob)
           0.000 > Cdr(A, 2140 Platform, Failed, 0 s, 0 billed, 403)
           0.000 > Notify(Hangup 2140, http://c/hangup, Failed)
           0.100 < Recorded(A)
           0.100 > Refuse(A, 403 Phone Numbers Not Allowed (allow_phones))
           0.100 > Over"#,
    );
    call.is_over();
}

#[test]
fn a_caller_whose_minutes_are_used_up_is_hung_up() {
    let mut call = Ladder::allowed(Duration::from_secs(90));
    call.located(1, "bob", 1)
        .at(10.0)
        .answers(1)
        .ack(None)
        .cut()
        .at(100.1);
    call.reads(
        r#"
         100.000 < Due
         100.000 > Hangup(1)
         100.000 > Close(1)
         100.000 > Hangup(A)
         100.000 > Close(A)
         100.000 < Closed(1)
         100.000 > Cdr(1, 2230 Platform, Completed, 90 s, 120 billed, 200)
         100.000 < Closed(A)
         100.000 > Cdr(A, 2230 Platform, Completed, 90 s, 120 billed, 200)
         100.000 > Notify(Hangup 2230, http://c/hangup, Completed)
         100.000 > Over"#,
    );
    call.is_over();
}
