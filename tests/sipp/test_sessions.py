"""What a session may ask of us: RFC 3262 (PRACK), RFC 3311 (UPDATE), RFC 4028 (session timers), RFC 5621 (multipart), sips."""

import pytest

from harness.agent import Rtp, sdp
from sipp.test_dialogs import direction, phones


@pytest.fixture
def pair(shared_server):
    caller, callee = phones(shared_server)
    with caller, callee:
        yield caller, callee


def test_a_caller_that_requires_it_hears_reliably_that_it_rings(pair):
    caller, callee = pair
    call = caller.invite(callee.user, extra="Require: 100rel\n")
    rings = callee.incoming()
    rings.ring()
    first = call.hears(180)
    # No PRACK, so it comes again.
    again = call.hears(180)
    assert first.get("rseq") == again.get("rseq") and first.get("require") == "100rel"
    call.remote, call.target = first.get("to"), first.contact_uri
    invite, number = call.cseq, (call.cseq + 1, "PRACK")
    call.request("PRACK", extra=f"RAck: {first.get('rseq')} {invite} INVITE\n", cseq=number[0])
    assert caller.final(call.call_id, number).status == 200
    rings.answer(sdp(40002))
    call.answered()
    call.cseq += 1
    assert call.bye() == 200
    rings.hears_bye()


def test_a_callee_that_rings_reliably_gets_prack_and_need_not_repeat_its_description(pair):
    caller, callee = pair
    with Rtp() as one, Rtp() as two:
        call = caller.invite(callee.user, body=sdp(one.port))
        rings = callee.incoming()
        assert "100rel" in rings.invite.get("supported")
        rings.reply(rings.invite, 183, sdp(two.port), extra="Require: 100rel\nRSeq: 7\n")
        prack = rings.asks("PRACK")
        assert prack.get("rack").split() == ["7", str(rings.invite.cseq[0]), "INVITE"]
        rings.reply(prack, 200)
        rings.answer("")
        ok = call.answered()
        one.send(ok.audio_port, b"a")
        assert two.receive()[:1] == b"a"
        assert call.bye() == 200
        rings.hears_bye()


def test_update_puts_a_call_on_hold(pair):
    caller, callee = pair
    call = caller.invite(callee.user, body=sdp(40000))
    rings = callee.incoming()
    rings.answer(sdp(40002))
    call.answered()
    number = rings.request("UPDATE", sdp(40002, direction="sendonly", version=2))
    asked = call.asks("INVITE")
    assert direction(asked) == "sendonly"
    call.reply(asked, 200, sdp(40000, direction="recvonly", version=2))
    answer = callee.final(rings.call_id, number)
    assert (answer.status, direction(answer)) == (200, "recvonly")
    assert call.bye() == 200
    rings.hears_bye()


def test_session_timers_are_asked_for_and_granted(pair):
    caller, callee = pair
    call = caller.invite(callee.user, extra="Supported: timer\nSession-Expires: 600\n")
    rings = callee.incoming()
    assert rings.invite.get("session-expires") == "1800"
    rings.answer(sdp(40002))
    ok = call.answered()
    assert (ok.get("session-expires"), ok.get("require")) == ("600;refresher=uac", "timer")
    number = call.request("UPDATE", extra="Supported: timer\nSession-Expires: 30;refresher=uac\n")
    refused = caller.final(call.call_id, number)
    assert (refused.status, refused.get("min-se")) == (422, "90")
    assert call.bye() == 200
    rings.hears_bye()
    too_short = caller.invite(callee.user, extra="Supported: timer\nSession-Expires: 89\n", prove=False).refused()
    assert (too_short.status, too_short.get("min-se")) == (422, "90")


def test_a_description_beside_other_parts_is_an_offer(pair):
    caller, callee = pair
    part = "--b\nContent-Type: {}\n\n{}\n"
    body = part.format("application/pidf+xml", "<presence/>") + part.format("application/sdp", sdp(40000)) + "--b--\n"
    call = caller.invite(callee.user, body=body.replace("\r\n", "\n").replace("\n", "\r\n"),
                         extra="Content-Type: multipart/mixed;boundary=b\n")
    rings = callee.incoming()
    rings.answer(sdp(40002))
    assert call.answered().audio_port
    assert call.bye() == 200
    rings.hears_bye()


def test_sips_is_not_served_over_datagrams(pair):
    caller, callee = pair
    assert caller.invite(f"sips:{callee.user}@{callee.domain}", prove=False).refused().status == 416
