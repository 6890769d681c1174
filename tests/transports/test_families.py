"""IPv6 and both families at once: registration and a call over every transport."""

import pytest

from harness.agent import Agent, SecureWebSocket, Tcp, Tls, Udp, WebSocket, sdp
from harness.server import Server

BOTH = {"OFFHOOK_SIP__UDP": "127.0.0.1:0,[::1]:0", "OFFHOOK_SIP__TCP": "127.0.0.1:0,[::1]:0",
        "OFFHOOK_SIP__TLS": "[::1]:0", "OFFHOOK_SIP__WS": "[::1]:0", "OFFHOOK_SIP__WSS": "[::1]:0"}


class OnV6:
    """The server as it is seen from a host that has IPv6 only."""

    def __init__(self, server):
        self.server = server

    def __getattr__(self, name):
        return getattr(self.server, name)

    def sip_address(self, transport="udp"):
        return self.server.sip_address(transport, v6=True)

    @property
    def websocket(self):
        return next(url for url in self.ready["sip"]["ws"] if url.startswith("ws://["))


@pytest.fixture(scope="module")
def both():
    with Server(sip=None, environment=BOTH) as server:
        yield server


@pytest.mark.parametrize("transport", [Udp, Tcp, Tls, WebSocket, SecureWebSocket], ids=lambda t: t.name.lower())
def test_a_phone_on_ipv6_and_one_on_ipv4_call_each_other(both, transport):
    far, password, endpoint = both.endpoint(f"far{transport.name}".lower())
    near, _, _ = both.endpoint(f"near{transport.name}".lower())
    with Agent(OnV6(both), far, transport=transport) as six, Agent(both, near) as four:
        assert six.wire.socket.getsockname()[0] == "::1"
        assert six.register().status == four.register().status == 200
        contact = both.plivo("GET", f"/Endpoint/{endpoint}/").json()["sip_contact"]
        assert "[::1]" in contact or "x.invalid" in contact
        for caller, callee in ((six, four), (four, six)):
            call = caller.invite(callee.user)
            rung = callee.incoming()
            rung.ring()
            call.hears(180)
            rung.answer()
            call.answered()
            assert call.bye() == 200
            rung.hears_bye()


def test_an_installation_with_ipv6_alone_talks_it_in_sdp_too():
    with Server(sip="[::1]:0") as server:
        alice, bob = server.ready["endpoints"][:2]
        with Agent(server, alice["username"], alice["password"]) as one, \
                Agent(server, bob["username"], bob["password"]) as two:
            assert one.register().status == two.register().status == 200
            body = sdp(40000).replace("IN IP4 127.0.0.1", "IN IP6 ::1")
            call = one.invite(bob["username"], body)
            rung = two.incoming()
            assert "c=IN IP6 ::1" in rung.invite.body
            rung.answer(sdp(40002).replace("IN IP4 127.0.0.1", "IN IP6 ::1"))
            assert "c=IN IP6 ::1" in call.answered().body
            assert rung.bye() == 200
            call.hears_bye()
