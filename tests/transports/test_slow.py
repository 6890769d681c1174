"""Peers that say nothing, half of something, or do not read; more of them than there is room for (T08, T15)."""

import socket
import threading
import time
import uuid

import pytest

from harness import wait
from harness.agent import Agent, SecureWebSocket, Tcp, Tls, Udp, WebSocket, tls_context
from harness.server import Server

HELLO = b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + b"a" * 32
HALF = b"OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/TCP x"


def at(server, kind):
    if kind == "http":
        host, port = server.base_url[7:].split(":")
    elif kind in ("ws", "wss"):
        host, port = server.ready["sip"][kind][0].split("//")[1].split("/")[0].split(":")
    else:
        host, port = server.sip_address(kind)
    return host, int(port)


def open_until_closed(server, kind, said, secure=False):
    """Seconds until the server closed the connection, and what it said before."""
    stream = socket.create_connection(at(server, kind), timeout=20)
    if secure:
        stream = tls_context().wrap_socket(stream)
    begun = time.monotonic()
    stream.sendall(said)
    answer = b""
    try:
        while data := stream.recv(1000):
            answer += data
    except ConnectionError:
        pass
    stream.close()
    return time.monotonic() - begun, answer


SLOW = {
    "t08_nothing_on_tcp": ("tcp", b"", False, 5),
    "t08_nothing_on_tls": ("tls", b"", False, 5),
    "t08_nothing_on_http": ("http", b"", False, 5),
    "t08_nothing_on_wss": ("wss", b"", False, 5),
    "t08_half_a_hello": ("tls", HELLO, False, 5),
    "t08_nothing_after_the_handshake": ("tls", b"", True, 5),
    "t08_half_a_header_on_tcp": ("tcp", HALF, False, 10),
    "t08_half_a_header_on_tls": ("tls", HALF, True, 10),
    "t08_half_a_header_on_http": ("http", b"GET / HTTP/1.1\r\nHo", False, 10),
}


def test_t08_slow_peers_are_closed_in_time_and_delay_nobody(server):
    """5/5/10 s; meanwhile a thousand of them do not hold up a REGISTER."""
    took = {}

    def one(name):
        kind, said, secure, _ = SLOW[name]
        took[name] = open_until_closed(server, kind, said, secure)[0]

    threads = [threading.Thread(target=one, args=(name,)) for name in SLOW]
    for thread in threads:
        thread.start()
    idle = []
    for number in range(900):
        stream = socket.create_connection(at(server, ["tcp", "tls"][number % 2]), timeout=5)
        if number % 3:
            stream.sendall(HELLO[:20] if number % 2 else HALF)
        idle.append(stream)
    user, _, _ = server.endpoint("quick")
    with Agent(server, user) as agent:
        times = []
        for _ in range(20):
            begun = time.monotonic()
            assert agent.register().status == 200
            times.append(time.monotonic() - begun)
        assert sorted(times)[10] < 0.25, times
    for thread in threads:
        thread.join(20)
    for name, (_, _, _, limit) in SLOW.items():
        assert limit - 0.5 <= took[name] <= limit + 2, (name, took[name])
    wait.until(lambda: server.health()["connections"] <= 1, "all of them to be closed", 15)
    for stream in idle:
        stream.close()


def test_a_flow_without_a_binding_is_closed_after_30_seconds_and_one_with_a_binding_or_a_call_stays(server):
    transports = {t.name: t for t in (Tcp, Tls, WebSocket, SecureWebSocket)}
    idle = {name: Agent(server, transport=t) for name, t in transports.items()}
    used = {name: Agent(server, server.endpoint(f"bound{name}".lower())[0], transport=t) for name, t in transports.items()}
    callee, _, _ = server.endpoint("callee")
    caller, _, _ = server.endpoint("caller")
    for agent in idle.values():
        assert agent.challenge().status == 401
    for agent in used.values():
        assert agent.register().status == 200
    # A caller that never registers, in a call that nobody says anything in.
    with Agent(server, caller, transport=Tcp) as talker, Agent(server, callee, transport=Udp) as phone:
        assert phone.register().status == 200
        call = talker.invite(callee)
        rung = phone.incoming()
        rung.answer()
        call.answered()
        begun = time.monotonic()
        for name, agent in idle.items():
            while not agent.wire.closed and time.monotonic() - begun < 40:
                agent.wire.read(1)
            assert agent.wire.closed and 25 < time.monotonic() - begun < 35, name
        for agent in used.values():
            agent.wire.read(0.1)
            assert not agent.wire.closed
            assert agent.challenge().status == 401
        assert call.bye() == 200
        rung.hears_bye()
    for agent in (*idle.values(), *used.values()):
        agent.close()


@pytest.mark.parametrize("transport", [Tcp, Tls, WebSocket], ids=lambda t: t.name.lower())
def test_t15_a_peer_that_does_not_read_is_closed_and_the_others_go_on(shared_server, transport):
    server = shared_server
    before = server.health()["counters"]["slow_connections"]
    with Agent(server, transport=transport) as deaf, Agent(server, transport=transport) as other:
        # Each answer repeats the Via, of 3,000 octets here; the server reads on while its answers pile up.
        message = deaf.text("OPTIONS", f"sip:{server.domain}", uuid.uuid4().hex, 1, "<sip:x@y>").replace("\n", "\r\n")
        message = message.replace(";rport", ";rport;x=" + "y" * 3000, 1).encode()
        with pytest.raises(OSError):
            for _ in range(20_000):
                deaf.wire.send(message)
        wait.until(lambda: server.health()["counters"]["slow_connections"] == before + 1, "the deaf peer to be counted")
        assert is_closed(deaf.wire.socket)
        assert other.challenge().status == 401
    assert server.health()["counters"]["panics"] == 0


def is_closed(stream):
    stream.settimeout(5)
    try:
        while stream.recv(1 << 20):
            pass
    except (ConnectionError, OSError) as error:
        return not isinstance(error, TimeoutError)
    return True


def test_the_server_survives_running_out_of_descriptors():
    """D14: EMFILE: new connections wait in the kernel, those that are open and UDP go on."""
    with Server(descriptors=256) as server:
        user, _, _ = server.endpoint("inside")
        with Agent(server, user, transport=Tcp) as inside, Agent(server, user) as datagrams:
            assert inside.register().status == 200
            many = [socket.create_connection(server.sip_address("tcp"), timeout=5) for _ in range(400)]
            for stream in many:
                stream.sendall(b"\r\n\r\n")
            wait.until(lambda: "cannot accept" in server.logged(), "the limit to be felt", 15)
            assert inside.challenge().status == 401
            assert datagrams.register().status == 200
            for stream in many:
                stream.close()
            with Agent(server, user, transport=Tcp) as next_one:
                assert next_one.challenge().status == 401
