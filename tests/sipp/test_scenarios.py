"""sipp as caller and callee for what RFC 3261 and its extensions ask of a call: each scenario says which sections."""

import contextlib
import pathlib

import pytest

from harness import wait
from harness.phone import free_port
from harness.server import Server
from harness.sipp import Sipp
from sipp.test_calls import PASSWORD, legs_between, pair, run


@pytest.mark.parametrize("calling,called", [
    ("call_early", "answer_forked"),
    ("call_100rel_early", "answer_100rel"),
    ("call_100rel", "answer"),
    ("call_update", "answer_reinvited"),
    ("call_timer_own", "answer_timer_own"),
    ("call_late_offer", "answer"),
    ("call_private", "answer_anonymous"),
    ("call_hold", "answer_glare"),
])
def test_a_call_goes_as_both_scenarios_say(shared_server, calling, called):
    caller, callee = run(shared_server, calling, called)
    a, b = legs_between(shared_server, caller, callee)
    assert (a["hangup_cause_code"], b["hangup_cause_code"]) == (4000, 4000)


def test_a_cancel_that_meets_the_answer_ends_the_call_once(shared_server):
    """S77."""
    caller, callee = run(shared_server, "call_cancel", "answer_when_cancelled")
    a, b = legs_between(shared_server, caller, callee)
    assert a["hangup_cause_code"] == 1000 and b["hangup_cause_code"] in (1000, 4000)


def test_the_server_refreshes_both_sides_of_a_call_in_time_and_ends_one_that_nobody_refreshes(shared_server):
    """RFC 4028 §10: after half of 90 s, by UPDATE and by re-INVITE. S80: a callee that was to refresh is gone."""
    server = shared_server
    with contextlib.ExitStack() as stack:
        def calls(calling, called):
            caller, callee, port = pair(server)
            two = stack.enter_context(Sipp(server, called, port, callee, PASSWORD, timeout=150))
            one = stack.enter_context(Sipp(server, calling, free_port(), caller, PASSWORD, called=callee, timeout=150))
            return caller, callee, (one, two)
        # Side by side: each takes its minute.
        dead = calls("call_until_bye", "answer_timer_dead")
        alive = calls("call_timer", "answer_timer")
        for caller, callee, phones in (alive, dead):
            for phone in phones:
                phone.finish()
        a, b = legs_between(server, *alive[:2])
        assert (a["hangup_cause_code"], b["hangup_cause_code"]) == (4000, 4000)
        a, b = legs_between(server, *dead[:2])
        assert (a["hangup_cause_code"], b["hangup_cause_code"]) == (5120, 5120)


def test_a_trusted_peer_is_told_who_wants_to_be_anonymous():
    """RFC 3325 §7: nobody is, unless the configuration says so."""
    with Server(environment={"OFFHOOK_CALLS__TRUSTED_PEERS": "127.0.0.0/8"}) as server:
        run(server, "call_private", "answer_asserted")


def test_those_who_rang_in_vain_are_told_that_somebody_else_answered(shared_server):
    """RFC 3326 §2."""
    server = shared_server
    caller, _, _ = server.endpoint("caller")
    callee, _, endpoint = server.endpoint("callee")
    assert server.plivo("POST", f"/Endpoint/{endpoint}/", json={"ring_policy": "all"}).status_code == 202
    ports = free_port(), free_port()
    for port in ports:
        with Sipp(server, "register", port, callee, PASSWORD) as registration:
            registration.finish()
    with Sipp(server, "lose", ports[0], callee, PASSWORD, timeout=60) as loser, \
            Sipp(server, "answer", ports[1], callee, PASSWORD, timeout=60) as winner, \
            Sipp(server, "call", free_port(), caller, PASSWORD, called=callee, timeout=60) as one:
        one.finish()
        winner.finish()
        loser.finish()


def test_a_redirect_leads_to_another_endpoint_of_the_account(shared_server):
    """RFC 3261 §8.1.3.4."""
    server = shared_server
    caller, callee, port = pair(server)
    _, other, other_port = pair(server)
    with Sipp(server, "moved", port, callee, PASSWORD, timeout=60, options=("-key", "elsewhere", other)) as one, \
            Sipp(server, "answer", other_port, other, PASSWORD, timeout=60) as two, \
            Sipp(server, "call", free_port(), caller, PASSWORD, called=callee, timeout=60) as calling:
        calling.finish()
        one.finish()
        two.finish()


def test_a_lamp_shows_each_step_of_a_call(shared_server):
    """RFC 4235, RFC 6665 §4.1."""
    server = shared_server
    caller, callee, port = pair(server)
    watcher, _, _ = server.endpoint("lamp")
    with Sipp(server, "subscribe", free_port(), watcher, PASSWORD, called=callee, timeout=60) as lamp:
        wait.until(lambda: pathlib.Path(lamp.folder.name, "told").exists(), "the first NOTIFY")
        with Sipp(server, "answer_slowly", port, callee, PASSWORD, timeout=60) as two, \
                Sipp(server, "call", free_port(), caller, PASSWORD, called=callee, timeout=60) as one:
            one.finish()
            two.finish()
        lamp.finish()


@pytest.mark.parametrize("at_home", [True, False], ids=["taken", "offline"])
def test_a_message_is_taken_or_480_and_the_application_hears_of_it(shared_server, customer, at_home):
    """RFC 3428 §7."""
    server = shared_server
    writer, _, _ = server.endpoint("writer")
    app = server.application("Messages", answer_url=customer.url("/answer"), message_url=customer.url("/message"))
    reader, _, _ = server.endpoint("reader", application=app)
    port = free_port()
    if at_home:
        with Sipp(server, "register", port, reader, PASSWORD) as registration:
            registration.finish()
        with Sipp(server, "message_taken", port, reader, PASSWORD) as two, \
                Sipp(server, "message", free_port(), writer, PASSWORD, called=reader) as one:
            one.finish()
            two.finish()
    else:
        with Sipp(server, "message_offline", free_port(), writer, PASSWORD, called=reader) as one:
            one.finish()
    told = customer.wait_for("/message")[0]
    assert told["From"] == f"sip:{writer}@{server.domain}" and told["To"] == f"sip:{reader}@{server.domain}"
    assert told["Text"].strip() == "Are you there?"
    assert told["MessageState"] == ("delivered" if at_home else "undelivered")
