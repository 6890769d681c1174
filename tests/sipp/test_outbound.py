"""Outbound, Path, GRUU, rport and pings from outside: RFC 5626, RFC 3327, RFC 5627, RFC 3581."""

import re
import uuid

import pytest

from harness.agent import Agent, Tcp, Udp, WebSocket, respond, sdp
from harness.server import Server

INSTANCE = "<urn:uuid:00000000-0000-1000-8000-000a95a0e128>"


@pytest.fixture(scope="module")
def phones(request):
    with Server() as server:
        server.alice = server.endpoint("alice")
        server.bob = server.endpoint("bob")
        yield server


def flow(agent, number, extra=""):
    return f'Contact: {agent.contact};+sip.instance="{INSTANCE}";reg-id={number}{extra}\n'


def as_user(server, who, transport=Udp):
    return Agent(server, who[0], who[1], transport)


def clear(server, who):
    with as_user(server, who) as agent:
        assert agent.register(contact="Contact: *\n", expires=0).status == 200


def test_two_flows_of_a_phone_are_one_device_and_the_second_stands_in_for_the_first(phones):
    """RFC 5626 §6, §7: over a WebSocket and over TCP; the WebSocket closes."""
    with as_user(phones, phones.bob, Tcp) as spare, as_user(phones, phones.bob, WebSocket) as first, \
            as_user(phones, phones.alice) as alice:
        for number, agent in ((2, spare), (1, first)):
            ok = agent.register(contact=flow(agent, number), extra="Supported: outbound, path\n")
            assert ok.status == 200 and ok.get("require") == "outbound" and ok.get("flow-timer") == "120"
        assert len(ok.all("contact")) == 2 and all("reg-id=" in contact for contact in ok.all("contact"))
        call = alice.invite(phones.bob[0])
        ringing = first.incoming()
        spare.silent(0.3, lambda message: message.method == "INVITE")
        ringing.refuse(486)
        assert call.refused().status == 486
        # 430: the flow failed, says somebody on the way. The other one is tried.
        call = alice.invite(phones.bob[0])
        first.incoming().refuse(430)
        second = spare.incoming()
        second.answer()
        call.answered()
        assert call.bye() == 200
        second.hears_bye()
        # A closed connection takes its binding along at once.
        first.close()
        call = alice.invite(phones.bob[0])
        spare.incoming().refuse(486)
        assert call.refused().status == 486
        assert len(spare.register(contact="").all("contact")) == 1
    clear(phones, phones.bob)


def test_a_pool_of_flows_is_refused_in_one_request_and_through_a_proxy_without_ob(phones):
    """RFC 5626 §6: 400 and 439."""
    with as_user(phones, phones.bob) as bob:
        two = flow(bob, 1) + "Contact: <sip:bob@127.0.0.1:9>\n"
        assert bob.register(contact=two, extra="Supported: outbound\n").status == 400
        behind = "Supported: outbound, path\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKbelow\n"
        assert bob.register(contact=flow(bob, 1), extra=behind).status == 439
        kept = behind + f"Path: <sip:127.0.0.1:{bob.port};lr;ob>\n"
        assert bob.register(contact=flow(bob, 1), extra=kept).status == 200
    clear(phones, phones.bob)


def test_a_call_goes_back_along_the_path(phones):
    """RFC 3327 §5.3, §5.4: the proxy of the path gets the INVITE with its Route; S47: no path leads to a third party."""
    with as_user(phones, phones.bob) as bob, as_user(phones, phones.alice) as alice, Agent(phones, "stranger") as third:
        hidden = "Contact: <sip:bob@10.11.12.13:5060>\n"
        path = f"<sip:127.0.0.1:{bob.port};lr>"
        ok = bob.register(contact=hidden, extra=f"Supported: path\nPath: {path}\n")
        assert ok.status == 200 and ok.get("path") == path
        refused = bob.register(contact=hidden, extra=f"Path: {path}\n")
        assert refused.status == 420 and refused.get("unsupported") == "path"
        elsewhere = f"Supported: path\nPath: <sip:127.0.0.2:{third.port};lr>\n"
        assert bob.register(contact=hidden, extra=elsewhere).status == 403
        call = alice.invite(phones.bob[0])
        ringing = bob.incoming()
        assert ringing.invite.uri == "sip:bob@10.11.12.13:5060" and ringing.invite.get("route") == path
        ringing.refuse(486)
        assert call.refused().status == 486
        third.silent(0.2)
    clear(phones, phones.bob)


def test_a_gruu_leads_to_one_device_and_may_be_a_contact_in_a_call(phones):
    """RFC 5627 §5.3, §6.1, §4.4: in-dialog requests name the GRUU and reach the phone."""
    with as_user(phones, phones.bob) as bob, as_user(phones, phones.bob) as other, as_user(phones, phones.alice) as alice:
        mine = f'Contact: {bob.contact};+sip.instance="{INSTANCE}"\n'
        ok = bob.register(contact=mine, extra="Supported: gruu\n")
        public = re.search(r'pub-gruu="([^"]+)"', ok.get("contact")).group(1)
        temporary = re.search(r'temp-gruu="([^"]+)"', ok.get("contact")).group(1)
        assert public == f"sip:{phones.bob[0]}@{phones.domain};gr={INSTANCE.strip('<>')}"
        assert phones.bob[0] not in temporary
        assert other.register().status == 200
        for gruu in (public, temporary):
            call = alice.invite(gruu)
            ringing = bob.incoming()
            other.silent(0.2, lambda message: message.method == "INVITE")
            # The phone answers with its GRUU as Contact: what the platform sends in the dialog names it.
            bob.send(respond(ringing.invite, 200, "t1", f"<{gruu}>", sdp(40002)))
            assert ringing.asks("ACK").uri == gruu
            call.answered()
            number = call.request("INVITE", sdp(40004, version=2))
            again = ringing.asks("INVITE")
            assert again.uri == gruu
            bob.send(respond(again, 200, "t1", f"<{gruu}>", sdp(40002, version=2)))
            assert ringing.asks("ACK").uri == gruu
            assert alice.final(call.call_id, number).status == 200
            call.request("ACK", cseq=number[0])
            assert call.bye() == 200
            bye = ringing.asks("BYE")
            assert bye.uri == gruu
            bob.send(respond(bye, 200, "t1", bob.contact))
        # The phone starts anew: temporary GRUUs of before lead nowhere.
        assert bob.register(contact=mine, extra="Supported: gruu\n").status == 200
        assert alice.invite(temporary).refused().status == 480
    clear(phones, phones.bob)


def test_answers_go_to_where_the_request_came_from(phones):
    """RFC 3581 §4, and without rport too: a Via that names another host and port never gets the answer."""
    with Agent(phones, "probe") as agent:
        for via in (f"SIP/2.0/UDP 10.9.8.7:5060;branch=z9hG4bK{uuid.uuid4().hex};rport",
                    f"SIP/2.0/UDP 10.9.8.7:5060;branch=z9hG4bK{uuid.uuid4().hex}"):
            text = agent.text("OPTIONS", f"sip:{phones.domain}", uuid.uuid4().hex, 1, f"<sip:{phones.domain}>")
            agent.send(re.sub(r"Via: .*", f"Via: {via}", text))
            answer = agent.receive()
            assert answer.status == 200 and "received=127.0.0.1" in answer.get("via")
            assert (f"rport={agent.port}" in answer.get("via")) == via.endswith("rport")


def test_a_phone_that_answers_no_pings_is_shown_and_passed_over():
    environment = {"OFFHOOK_SIP__PING_SECONDS": "1", "OFFHOOK_SIP__PING_MISSES": "1"}
    with Server(environment=environment) as server:
        who, caller = server.endpoint("bob"), server.endpoint("alice")
        with as_user(server, who) as quiet, as_user(server, who) as lively, as_user(server, caller) as alice:
            assert lively.register().status == 200
            assert quiet.register().status == 200
            pings = 0
            while pings < 2:
                ping = quiet.expect(lambda message: message.method == "OPTIONS", "a ping", 25)
                assert "-ping-" in ping.get("via")
                pings += 1
                lively.send(respond(lively.expect(lambda m: m.method == "OPTIONS", "a ping", 25), 200, "t", lively.contact))
            call = alice.invite(who[0])
            lively.incoming().refuse(486)
            assert call.refused().status == 486
            quiet.silent(0.2, lambda message: message.method == "INVITE")
