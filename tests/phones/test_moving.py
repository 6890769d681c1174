"""Phones whose connection dies in a call (T17): the call is kept while they come back, and goes on over the new connection."""

import uuid

import pytest

from harness import wait
from harness.agent import Agent, Rtp, SecureWebSocket, Tcp, WebSocket, sdp

INSTANCE = "<urn:uuid:00000000-0000-1000-8000-000a95a0e129>"


def register(agent, boot, cseq=1):
    """As one device, over whatever connection it has (RFC 5626 §4.2)."""
    contact = f'Contact: {agent.contact};+sip.instance="{INSTANCE}";reg-id=1\n'
    assert agent.register(contact=contact, extra="Supported: outbound\n", call_id=boot, cseq=cseq).status == 200


def taken_over(call, agent):
    """The same call, over another connection."""
    call.agent = agent
    return call


@pytest.mark.parametrize("transport", [Tcp, WebSocket, SecureWebSocket])
@pytest.mark.parametrize("first", ["server", "phone"])
def test_t17_a_call_goes_on_over_the_connection_that_its_phone_comes_back_with(shared_server, transport, first):
    server = shared_server
    caller = Agent(server, server.endpoint("caller")[0])
    user, _, _ = server.endpoint("roaming")
    boot = uuid.uuid4().hex
    with caller, Agent(server, user, transport=transport) as old, Rtp() as one, Rtp() as two:
        register(old, boot)
        call = caller.invite(user, body=sdp(one.port))
        rings = old.incoming()
        rings.answer(sdp(two.port))
        ok = call.answered()
        host = old.host
        old.close()
        caller.silent(1, lambda message: message.method == "BYE")
        with Agent(server, user, transport=transport) as new:
            # The address in its Contact is that of the phone, not of one connection.
            new.host = host
            register(new, boot, 10)
            rings = taken_over(rings, new)
            if first == "phone":
                number = rings.request("INVITE", sdp(two.port, version=2))
                asked = call.asks("INVITE")
                call.reply(asked, 200, sdp(one.port, version=2))
                call.asks("ACK")
                assert new.final(rings.call_id, number).status == 200
                rings.request("ACK", cseq=number[0])
            one.send(ok.audio_port, b"a")
            assert two.receive()[:1] == b"a"
            two.send(rings.invite.audio_port, b"b")
            assert one.receive()[:1] == b"b"
            assert call.bye() == 200
            rings.hears_bye()

        def records():
            rows = [r for r in server.finished_calls() if caller.user in r["from_number"]]
            return len(rows) >= 2 and [r["hangup_cause_code"] for r in rows]
        assert wait.until(records, "the records") == [4000, 4000]
