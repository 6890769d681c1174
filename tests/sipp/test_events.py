"""Subscriptions and publications with sipp and raw SIP as watchers, made true by real calls and registrations: RFC 6665,
4235, 3856, 3842, 3680, 3903."""

import re
import uuid

import pytest

from harness import wait
from harness.agent import Agent, Tcp, WebSocket
from harness.phone import free_port
from harness.server import Server
from harness.sipp import Sipp
from harness.watcher import Watcher

PASSWORD = "correct-horse"


def endpoints(server, *names):
    return [server.endpoint(name)[0] for name in names]


def test_a_caller_is_the_initiator_and_a_busy_person_is_on_the_phone(shared_server):
    server = shared_server
    watcher, caller, callee = endpoints(server, "lamp", "caller", "callee")
    with Agent(server, watcher) as eyes, Agent(server, caller) as one, Agent(server, callee) as two:
        one.register(), two.register()
        lamp, seen = Watcher(eyes, caller, "dialog"), Watcher(eyes, caller, "presence")
        assert re.search("<dialog ", lamp.hears().body) is None
        assert "<basic>open</basic>" in seen.hears().body
        call = one.invite(callee)
        ringing = two.incoming()
        ringing.ring()
        early = lamp.hears_until("<state>early")[-1]
        assert 'direction="initiator"' in early and f"<identity>sip:{callee}@{server.domain}</identity>" in early
        call.cancel()
        ringing.cancelled()
        ended = lamp.hears_until("<state>terminated")
        versions = [int(re.search(r'version="(\d+)"', body).group(1)) for body in ended]
        assert versions == list(range(versions[0], versions[0] + len(versions)))


def test_the_answers_to_subscribe(shared_server):
    server = shared_server
    watcher, target = endpoints(server, "watcher", "target")
    with Agent(server, watcher) as agent:
        unknown = Watcher(agent, target, "conference")
        assert unknown.first.status == 489
        assert unknown.first.get("allow-events") == "dialog, presence, message-summary, reg"
        brief = Watcher(agent, target, "dialog", expires=10)
        assert (brief.first.status, brief.first.get("min-expires")) == (423, "60")
        assert Watcher(agent, "nobody-at-all", "dialog").first.status == 404
        long = Watcher(agent, target, "dialog", expires=999999)
        assert (long.first.status, long.first.get("expires")) == (200, "3600")
        # What is left is told in whole seconds, and some of the first has passed.
        assert long.hears().get("subscription-state") in ("active;expires=3600", "active;expires=3599")
        fetch = Watcher(agent, target, "presence", expires=0)
        assert fetch.hears().get("subscription-state") == "terminated;reason=timeout"
        assert fetch.again(600).status == 481
    with Agent(server, watcher, password="wrong") as agent:
        assert Watcher(agent, target, "dialog").first.status == 407


def test_reg_follows_a_phone_that_comes_and_goes(shared_server):
    server = shared_server
    watcher, target = endpoints(server, "watcher", "target")
    with Agent(server, watcher) as agent:
        reg = Watcher(agent, target, "reg")
        assert 'state="terminated"' in reg.hears().body
        with Agent(server, target, transport=WebSocket) as phone:
            assert phone.register().status == 200
            body = reg.hears_until("<contact ")[-1]
            assert 'version="1" state="partial"' in body
            assert f'aor="sip:{target}@{server.domain}"' in body and 'state="active" event="registered"' in body
        # The connection is closed: the binding goes with it.
        gone = reg.hears_until('state="terminated"')[-1]
        assert 'version="2" state="partial"' in gone and gone.count("<contact ") == 1 and 'event="unregistered"' in gone
        # A refresh of the subscription tells all there is: nothing.
        assert reg.again(600).status == 200
        full = reg.hears().body
        assert 'version="3" state="full"' in full and "<contact " not in full
        assert reg.again(0).status == 200
        assert reg.hears().get("subscription-state") == "terminated;reason=timeout"


def test_message_summary_without_and_with_a_mailbox(shared_server):
    server = shared_server
    watcher, target = endpoints(server, "watcher", "target")
    with Agent(server, watcher) as agent, Agent(server, target) as mailbox:
        lamp = Watcher(agent, target, "message-summary")
        first = lamp.hears()
        assert first.get("content-type") == "application/simple-message-summary"
        assert first.body.startswith("Messages-Waiting: no\r\n")
        kind = "Content-Type: application/simple-message-summary\n"
        assert publish(mailbox, "message-summary", "Messages-Waiting: yes\n", extra=kind).status == 200
        assert lamp.hears().body.startswith("Messages-Waiting: yes")


def publish(agent, event, body="", extra="", expires=600):
    uri, call_id = f"sip:{agent.user}@{agent.domain}", uuid.uuid4().hex
    extra = f"Event: {event}\nExpires: {expires}\n{extra}"
    agent.send(agent.text("PUBLISH", uri, call_id, 1, f"<{uri}>", extra=extra, body=body))
    first = agent.final(call_id, (1, "PUBLISH"))
    proof = agent.answer_to(first, "PUBLISH", uri)
    agent.send(agent.text("PUBLISH", uri, call_id, 2, f"<{uri}>", extra=extra + proof, body=body))
    return agent.final(call_id, (2, "PUBLISH"))


def test_a_publication_of_sipp_is_told_until_it_is_removed(shared_server):
    server = shared_server
    watcher, target = endpoints(server, "watcher", "target")
    with Agent(server, watcher) as agent:
        seen = Watcher(agent, target, "presence")
        assert "<basic>closed</basic>" in seen.hears().body
        with Sipp(server, "publish", free_port(), target, PASSWORD) as publisher:
            assert "<note>At lunch</note>" in seen.hears().body
            assert "<basic>closed</basic>" in seen.hears().body
            publisher.finish()
        assert publish(Agent(server, target), "presence", extra="SIP-If-Match: pffff\n").status == 412


@pytest.mark.parametrize("transport", [Tcp, WebSocket])
def test_a_closed_connection_makes_room_for_the_next_subscriber(transport):
    with Server(environment={"OFFHOOK_EVENTS__SUBSCRIPTIONS": "1"}) as server:
        watcher, target = endpoints(server, "watcher", "target")
        with Agent(server, watcher, transport=transport) as agent:
            lamp = Watcher(agent, target, "dialog")
            assert lamp.first.status == 200
            lamp.hears()
            with Agent(server, watcher) as other:
                full = Watcher(other, target, "dialog").first
                assert (full.status, full.get("retry-after") is not None) == (503, True)
        with Agent(server, watcher) as other:
            wait.until(lambda: Watcher(other, target, "dialog").first.status == 200, "room")


def test_after_a_restart_a_refresh_hears_481_and_subscribes_again():
    with Server(sip=f"127.0.0.1:{free_port()}") as server:
        watcher, target = endpoints(server, "watcher", "target")
        with Agent(server, watcher) as agent:
            lamp = Watcher(agent, target, "dialog")
            lamp.hears()
            server.kill()
            server.start()
            assert lamp.again(600).status == 481
            again = Watcher(agent, target, "dialog")
            assert again.first.status == 200
            assert 'version="0" state="full"' in again.hears().body


def resident(server):
    with open(f"/proc/{server.process.pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+) kB", status.read()).group(1)) * 1024


def test_hundreds_of_subscriptions_cost_little_memory_each():
    many = 600
    environment = {"OFFHOOK_EVENTS__SUBSCRIPTIONS_PER_ENDPOINT": "100000"}
    with Server(environment=environment) as server:
        watcher, target = endpoints(server, "watcher", "target")
        with Agent(server, watcher, transport=Tcp) as agent:
            for _ in range(100):
                Watcher(agent, target, "dialog").hears()
            before = resident(server)
            for _ in range(many):
                Watcher(agent, target, "dialog").hears()
            each = (resident(server) - before) / many
        # The dialog, its timer, and the rows of it; transactions of 32 s are in it too.
        assert each < 16 * 1024, f"{each:.0f} bytes for each subscription"
