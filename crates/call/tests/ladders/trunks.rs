//! A number over several trunks: the next one when the way fails, none when the callee refuses (RFC 3263 §4.3).

use call::Shown;

use crate::ladder::Ladder;

fn shown(user: Option<&str>) -> Shown {
    Shown {
        user: user.map(str::to_owned),
        domain: "gw.example".to_owned(),
    }
}

#[test]
fn a_trunk_that_fails_gives_way_to_the_next_and_the_callee_may_ring_as_long_as_it_wants() {
    let mut call = Ladder::direct();
    call.located_over_trunks(1, "15550123", 3, shown(Some("+15550100")))
        .cut()
        .at(1.0)
        .fails(1, 503)
        .at(2.0)
        .rings(2)
        .at(29.0)
        .answers(2);
    call.reads(
        r#"
           1.000 < Failed(1, 503)
           1.000 > Close(1)
           1.000 > Offer(2 like A)
           1.000 < Closed(1)
           1.000 < Offered(2)
           1.000 > Invite(2, sip:15550123@192.0.2.21, "Alice" <sip:+15550100@gw.example>, "to 2 like A", X-PH-Tag: 7, P-Asserted-Identity: "Alice" <sip:+15550100@gw.example>)
           2.000 < Ringing(2, 180)
           2.000 > Ring(A, 180)
          29.000 < Answered(2, "answer of 2")
          29.000 > Record(1, sip:alice@d.example to sip:15550123@d.example, answered)
          29.000 > Remote(2, Answer, "answer of 2")
          29.000 < Accepted(2)
          29.000 > MediaAnswer(A like 2)
          29.000 < MediaAnswered(A)
          29.000 > Bridge(A, 2)
          29.000 > Record(A, sip:alice@d.example to bob, answered)
          29.000 > Answer(A, "to A like 2")"#,
    );
}

#[test]
fn a_callee_that_is_busy_is_busy_over_every_trunk() {
    let mut call = Ladder::direct();
    call.located_over_trunks(1, "15550123", 2, shown(None))
        .cut()
        .at(1.0)
        .fails(1, 486);
    let text = call.text();
    assert!(
        !text.contains("Offer(2") && text.contains("> Refuse(A, 486)"),
        "{text}"
    );
}

#[test]
fn who_may_not_be_shown_is_nobody_and_nothing_is_asserted() {
    let mut call = Ladder::direct();
    call.cut();
    call.located_over_trunks(1, "15550123", 1, shown(None));
    let text = call.text();
    assert!(
        text.contains(r#""Anonymous" <sip:anonymous@anonymous.invalid>"#),
        "{text}"
    );
    assert!(
        !text.contains("P-Asserted-Identity") && !text.contains("alice@d.example>"),
        "{text}"
    );
}
