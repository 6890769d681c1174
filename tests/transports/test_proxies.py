"""Behind a load balancer: the PROXY protocol (version 2) and X-Forwarded-For, from configured networks only."""

import socket
import struct
import uuid

import pytest

from harness.agent import Agent, SecureWebSocket, Tcp, Tls, WebSocket, tls_context
from harness.server import Server

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
CLIENT = ("203.0.113.7", 4711)


def header(client=CLIENT, version=0x21):
    addresses = socket.inet_aton(client[0]) + socket.inet_aton("198.51.100.1") + struct.pack("!HH", client[1], 5060)
    return SIGNATURE + bytes([version, 0x11]) + struct.pack("!H", len(addresses)) + addresses


class ProxiedTcp(Tcp):
    first = header()

    def __init__(self, server):
        super().__init__(server)
        self.socket.sendall(self.first)


class ProxiedTls(Tls):
    def __init__(self, server):
        plain = socket.create_connection(server.sip_address("tls"), timeout=5)
        plain.sendall(header())
        self.socket = tls_context().wrap_socket(plain, server_hostname="localhost")
        self.buffer, self.closed = b"", False


class ProxiedWebSocket(WebSocket):
    def connect(self, server):
        plain, *rest = super().connect(server)
        plain.sendall(header())
        return plain, *rest


@pytest.fixture(scope="module")
def behind():
    names = {"OFFHOOK_PROXIES__ANNOUNCING": "127.0.0.0/8"}
    # REST stays within reach of the tests: they speak through the same listener, so they announce nobody there.
    with Server(environment=names, sip="127.0.0.1:0") as server:
        yield server


def options(agent):
    call_id = uuid.uuid4().hex
    agent.send(agent.text("OPTIONS", f"sip:{agent.domain}", call_id, 1, "<sip:x@y>"))
    return agent.final(call_id, (1, "OPTIONS"))


@pytest.mark.parametrize("transport", [ProxiedTcp, ProxiedTls, ProxiedWebSocket], ids=lambda t: t.__name__.lower())
def test_the_client_that_the_proxy_names_is_the_one_that_is_seen(behind, transport):
    with Agent(behind, transport=transport) as agent:
        # RFC 3581 §4: received is the address that the server saw.
        via = options(agent).get("via")
        assert f"received={CLIENT[0]}" in via, via


@pytest.mark.parametrize("first", [b"", b"PROXY TCP4 203.0.113.7 198.51.100.1 4711 5060\r\n", header(version=0x22), header()[:20]],
                         ids=["none", "version_1", "unknown_command", "half"])
def test_a_proxy_that_does_not_say_for_whom_it_speaks_is_closed(behind, first):
    with socket.create_connection(behind.sip_address("tcp"), timeout=7) as stream:
        stream.sendall(first + b"OPTIONS sip:x SIP/2.0\r\n" if len(first) != 20 else first)
        if len(first) == 20:
            stream.shutdown(socket.SHUT_WR)
        assert closed(stream)


def closed(stream):
    try:
        return stream.recv(100) == b""
    except ConnectionResetError:
        return True


def test_a_proxy_that_speaks_for_itself_is_itself(behind):
    class Health(ProxiedTcp):
        first = SIGNATURE + b"\x20\0\0\0"

    with Agent(behind, transport=Health) as agent:
        assert "203.0.113.7" not in options(agent).get("via")


@pytest.mark.parametrize("kind", ["tcp", "tls"])
@pytest.mark.parametrize("first", [header(), b"PROXY TCP4 203.0.113.7 198.51.100.1 4711 5060\r\n"], ids=["v2", "v1"])
def test_from_anybody_else_such_a_header_is_an_error(shared_server, kind, first):
    with socket.create_connection(shared_server.sip_address(kind), timeout=3) as stream:
        stream.sendall(first + b"OPTIONS sip:x SIP/2.0\r\nContent-Length: 0\r\n\r\n")
        said = b""
        try:
            while data := stream.recv(1000):
                said += data
        except ConnectionResetError:
            pass
        # At most a pong or an alert; no answer to what came behind the header.
        assert b"SIP/2.0" not in said


@pytest.mark.parametrize("transport", [WebSocket, SecureWebSocket], ids=["ws", "wss"])
def test_x_forwarded_for_is_believed_from_a_configured_proxy_alone(shared_server, transport):
    extra = "X-Forwarded-For: 1.1.1.1, 203.0.113.7\r\n"

    def wire(server):
        return transport(server, extra=extra)

    with Agent(shared_server, transport=wire) as agent:
        assert "203.0.113.7" not in options(agent).get("via")
    with Server(environment={"OFFHOOK_PROXIES__FORWARDING": "127.0.0.0/8"}) as server:
        with Agent(server, transport=wire) as agent:
            via = options(agent).get("via")
            assert "received=203.0.113.7" in via and "1.1.1.1" not in via


def test_the_share_of_an_address_is_the_client_s_and_not_the_proxy_s():
    names = {"OFFHOOK_PROXIES__FORWARDING": "127.0.0.0/8", "OFFHOOK_LIMITS__CONNECTIONS_PER_ADDRESS": "2"}
    with Server(environment=names) as server:
        def wire(client):
            return lambda server: WebSocket(server, extra=f"X-Forwarded-For: {client}\r\n")

        agents = [Agent(server, transport=wire(client)) for client in ("192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.3")]
        for agent in agents:
            assert options(agent).status == 200
        with Agent(server, transport=wire("192.0.2.1")) as third:
            assert third.receive(2) is None and third.wire.closed
        for agent in agents:
            assert options(agent).status == 200
            agent.close()


def test_pages_of_other_origins_are_403():
    """T11."""
    with Server(environment={"OFFHOOK_SIP__ORIGINS": "https://phone.example"}) as server:
        for transport in (WebSocket, SecureWebSocket):
            for origin, status in (("https://phone.example", 101), ("https://evil.example", 403), ("null", 403), (None, 101)):
                wire = transport(server, origin=origin)
                assert wire.upgrade == status
                wire.socket.close()
            # The subprotocol is asked for first.
            wire = transport(server, None, origin="https://evil.example")
            assert wire.upgrade == 400
            wire.socket.close()
