"""Calls whose messages cross, are lost or refused: RFC 3261 §9, §12 to §15; hard cases S76 to S80, R11, R13, R15, D12."""

import re
import signal

import pytest

from harness import wait
from harness.agent import Agent, Incoming, Rtp, sdp
from harness.server import Server


def phones(server):
    caller, callee = (Agent(server, server.endpoint(name)[0]) for name in ("caller", "callee"))
    assert callee.register().status == 200
    return caller, callee


@pytest.fixture
def pair(shared_server):
    caller, callee = phones(shared_server)
    with caller, callee:
        yield caller, callee


def up(caller, callee, one=40000, two=40002, **how):
    """(caller's side, callee's side, the 200) of a call that is answered."""
    call = caller.invite(callee.user, body=sdp(one), **how)
    rings = callee.incoming()
    rings.answer(sdp(two))
    return call, rings, call.answered()


def causes(call):
    """(A, B) of the caller's last call; each leg has exactly one record."""
    server, user = call.agent.server, call.agent.user

    def found():
        rows = [r for r in server.finished_calls() if user in r["from_number"]]
        a = [r for r in rows if not r["parent_call_uuid"]][:1]
        b = [r for r in rows if a and r["parent_call_uuid"] == a[0]["call_uuid"]]
        return a and b and (a[0]["hangup_cause_code"], *[r["hangup_cause_code"] for r in b])
    return wait.until(found, "the records")


def direction(message):
    return re.search(r"^a=(sendrecv|sendonly|recvonly|inactive)", message.body, re.M).group(1)


def test_the_callee_holds_and_resumes(pair):
    with Rtp() as one, Rtp() as two:
        call, rings, ok = up(*pair, one.port, two.port)
        for version, (mine, theirs) in enumerate((("sendonly", "recvonly"), ("sendrecv", "sendrecv")), 2):
            number = rings.request("INVITE", sdp(two.port, direction=mine, version=version))
            asked = call.asks("INVITE")
            assert direction(asked) == mine and asked.audio_port == ok.audio_port
            call.reply(asked, 200, sdp(one.port, direction=theirs, version=version))
            answer = rings.agent.final(rings.call_id, number)
            assert (answer.status, direction(answer)) == (200, theirs)
            rings.request("ACK", cseq=number[0])
            call.asks("ACK")
        one.send(ok.audio_port, b"a")
        assert two.receive()[:1] == b"a"
        two.send(rings.invite.audio_port, b"b")
        assert one.receive()[:1] == b"b"
        assert rings.bye() == 200
        call.hears_bye()
        assert causes(call) == (4000, 4000)


def test_early_media_is_heard_before_the_answer(pair):
    caller, callee = pair
    with Rtp() as one, Rtp() as two:
        call = caller.invite(callee.user, body=sdp(one.port))
        rings = callee.incoming()
        rings.ring(183, sdp(two.port))
        early = call.hears(183)
        two.send(rings.invite.audio_port, b"e")
        assert one.receive()[:1] == b"e"
        rings.answer(sdp(two.port))
        assert call.answered().body == early.body
        assert call.bye() == 200
        rings.hears_bye()


def test_the_first_word_after_the_answer_is_heard(pair):
    """The way is open before the caller has the 200."""
    for _ in range(10):
        with Rtp() as one, Rtp() as two:
            call, rings, ok = up(*pair, one.port, two.port)
            one.send(ok.audio_port, b"1")
            assert two.receive()[:1] == b"1"
            assert call.bye() == 200
            rings.hears_bye()


def test_an_invite_without_an_offer_gets_ours_in_the_200(pair):
    """R11."""
    caller, callee = pair
    with Rtp() as one, Rtp() as two:
        call = caller.invite(callee.user, body="")
        rings = callee.incoming()
        rings.answer(sdp(two.port))
        ok = call.answered(ack=False)
        call.request("ACK", sdp(one.port), cseq=call.cseq)

        def heard():
            two.send(rings.invite.audio_port, b"b")
            return one.receive(0.1)
        assert wait.until(heard, "RTP after the ACK", step=0)[:1] == b"b"
        assert ok.audio_port
        assert call.bye() == 200
        rings.hears_bye()


@pytest.mark.parametrize("first", ["cancel", "answer"])
def test_a_cancel_that_races_the_answer_leaves_no_half_call(pair, first):
    """S77: either 487 and ACK+BYE to the callee, or a call that the caller ends."""
    caller, callee = pair
    call = caller.invite(callee.user)
    rings = callee.incoming()
    rings.ring()
    call.hears(180)
    steps = [call.cancel, lambda: rings.answer(ack=False)]
    for step in steps if first == "cancel" else reversed(steps):
        step()
    final = call.await_status(lambda status: status >= 200)
    assert caller.final(call.call_id, (call.cseq, "CANCEL")).status == 200
    if final.status == 200:
        call.remote, call.target = final.get("to"), final.contact_uri
        call.request("ACK", cseq=call.cseq)
        rings.asks("ACK")
        assert call.bye() == 200
    else:
        assert final.status == 487
        call.acknowledge_refusal(final)
        rings.asks("ACK")
    rings.hears_bye()
    # The callee's leg was answered for a moment when its 200 came before the CANCEL.
    assert causes(call) in ([(4000, 4000)] if final.status == 200 else [(1000, 1000), (1000, 4000)])


def test_both_hang_up_at_once(pair):
    call, rings, _ = up(*pair)
    one, two = call.request("BYE"), rings.request("BYE")
    assert pair[0].final(call.call_id, one).status == pair[1].final(rings.call_id, two).status == 200
    assert causes(call) == (4000, 4000)
    assert call.bye() == 481


def test_crossing_re_invites_get_491_and_the_call_lives(pair):
    """S76."""
    call, rings, _ = up(*pair)
    hold = sdp(40000, direction="sendonly", version=2)
    one, two = call.request("INVITE", hold), rings.request("INVITE", hold)
    crossed = pair[1].final(rings.call_id, two)
    assert crossed.status == 491
    rings.request("ACK", cseq=two[0])
    asked = rings.asks("INVITE")
    rings.reply(asked, 200, sdp(40002, direction="recvonly", version=2))
    assert pair[0].final(call.call_id, one).status == 200
    call.request("ACK", cseq=one[0])
    assert call.bye() == 200
    rings.hears_bye()
    assert causes(call) == (4000, 4000)


def test_a_re_invite_that_the_other_side_refuses_changes_nothing(pair):
    call, rings, _ = up(*pair)
    number = call.request("INVITE", sdp(40000, "8", version=2))
    asked = rings.asks("INVITE")
    rings.reply(asked, 488)
    rings.asks("ACK")
    assert pair[0].final(call.call_id, number).status == 488
    call.request("ACK", cseq=number[0])
    assert call.reinvite("v=0 hello").status == 488
    assert call.bye() == 200
    rings.hears_bye()


def test_a_second_fork_behind_the_callee_gets_ack_and_bye(pair):
    """S79: two 200s with different tags for one INVITE."""
    call, rings, _ = up(*pair)
    fork = Incoming(pair[1], rings.invite)
    other = fork.local.partition("tag=")[2]
    pair[1].send(_ok(fork))
    for method in ("ACK", "BYE"):
        pair[1].expect(lambda m: m.method == method and other in m.get("to"), f"{method} for the fork")
    assert call.bye() == 200
    rings.hears_bye()
    assert causes(call) == (4000, 4000)


def _ok(fork):
    from harness.agent import respond
    return respond(fork.invite, 200, fork.local.partition("tag=")[2], fork.agent.contact, sdp(40004))


def test_in_dialog_requests_are_answered_and_old_ones_refused(pair):
    call, rings, _ = up(*pair)
    for method, status in (("INFO", 200), ("OPTIONS", 200), ("UPDATE", 200), ("REFER", 400), ("PUBLISH", 405)):
        assert pair[0].final(call.call_id, call.request(method)).status == status, method
    assert pair[0].final(call.call_id, call.request("INFO", cseq=1)).status == 500
    assert call.bye() == 200
    rings.hears_bye()


def test_ports_that_are_used_up_refuse_new_calls_and_come_back(customer):
    """R15."""
    with Server(environment={"OFFHOOK_MEDIA__PORTS": "30996-30999"}) as server:
        caller, callee = phones(server)
        with caller, callee:
            call, rings, _ = up(caller, callee)
            refused = caller.invite(callee.user).refused()
            assert refused.status == 503 and refused.get("retry-after")
            assert call.bye() == 200
            rings.hears_bye()

            def again():
                attempt = caller.invite(callee.user)
                final = attempt.await_status(lambda status: status >= 180)
                if final.status != 180:
                    attempt.acknowledge_refusal(final)
                    return None
                return attempt
            with _ringing(callee):
                attempt = wait.until(again, "ports to be free again", step=0.2)
            attempt.cancel()
            assert attempt.hears(487)


class _ringing:
    """A phone that rings by itself, beside what the test does."""

    def __init__(self, agent):
        import threading
        self.agent, self.ended = agent, threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self.ended.is_set():
            message = self.agent.receive(0.05)
            if message is not None and message.method == "INVITE":
                Incoming(self.agent, message).ring()

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


def test_a_phone_that_falls_silent_is_gone_and_one_on_hold_is_not():
    """R13, with a short limit."""
    with Server(environment={"OFFHOOK_MEDIA__SILENCE_SECONDS": "2"}) as server:
        caller, callee = phones(server)
        with caller, callee, Rtp() as one, Rtp() as two:
            call, rings, ok = up(caller, callee, one.port, two.port)
            one.send(ok.audio_port)
            two.send(rings.invite.audio_port)
            rings.hears_bye(8)
            call.hears_bye(8)
            assert causes(call) == (6020, 6020)

            call, rings, ok = up(caller, callee, one.port, two.port)
            number = call.request("INVITE", sdp(one.port, direction="inactive", version=2))
            asked = rings.asks("INVITE")
            rings.reply(asked, 200, sdp(two.port, direction="inactive", version=2))
            assert caller.final(call.call_id, number).status == 200
            call.request("ACK", cseq=number[0])
            callee.silent(4, lambda message: message.method == "BYE")
            assert call.bye() == 200
            rings.hears_bye()


def test_sigterm_refuses_new_calls_and_ends_the_others_after_the_drain():
    """D12."""
    with Server(environment={"OFFHOOK_DRAIN_SECONDS": "2"}) as server:
        caller, callee = phones(server)
        with caller, callee:
            call, rings, _ = up(caller, callee)
            server.process.send_signal(signal.SIGTERM)

            def refused():
                attempt = caller.invite(callee.user, prove=False)
                final = attempt.refused()
                return final.status == 503 and final
            assert wait.until(refused, "new calls to be refused").get("retry-after")
            rings.hears_bye()
            call.hears_bye()
            assert server.process.wait(10) == 0
