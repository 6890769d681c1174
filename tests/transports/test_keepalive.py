"""Keep-alives: CRLF and STUN on datagrams (RFC 5626 §4.4), and what is ignored without a word."""

import os
import socket
import struct
import uuid

import pytest

from harness import wait
from harness.agent import Agent
from harness.server import Server

COOKIE = 0x2112A442


def counters(server):
    return server.health()["counters"]


@pytest.fixture(params=["127.0.0.1", "::1"])
def udp(request):
    with Server(sip=f"[{request.param}]:0" if ":" in request.param else f"{request.param}:0") as server:
        v6 = ":" in request.param
        with socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind((request.param, 0))
            s.connect(server.sip_address())
            s.settimeout(3)
            yield server, s


def test_a_stun_binding_request_is_answered_with_the_address_that_it_came_from(udp):
    """RFC 5626 §4.4.2, RFC 8489 §14.2."""
    _, s = udp
    transaction = os.urandom(12)
    s.send(struct.pack("!HHI", 1, 0, COOKIE) + transaction)
    kind, length, cookie = struct.unpack("!HHI", (answer := s.recv(1000))[:8])
    assert (kind, cookie, answer[8:20]) == (0x101, COOKIE, transaction) and length == len(answer) - 20
    attribute, size, family, port = struct.unpack("!HHHH", answer[20:28])
    assert (attribute, port ^ COOKIE >> 16) == (0x20, s.getsockname()[1])
    mask = struct.pack("!I", COOKIE) + transaction
    address = bytes(a ^ b for a, b in zip(answer[28:20 + 4 + size], mask + answer[:8]))
    assert socket.inet_ntop(socket.AF_INET if family == 1 else socket.AF_INET6, address) == s.getsockname()[0]


def test_what_is_no_request_is_ignored_and_the_next_request_is_served(udp):
    """S01, S02, S03, R08: line ends, nothing, noise, broken STUN."""
    server, s = udp
    noise = [b"", b"\r\n\r\n", b"\r\n", b"\0", os.urandom(200), struct.pack("!HHI", 1, 8, COOKIE) + b"x" * 12,
             struct.pack("!HHI", 0x11, 0, COOKIE) + b"x" * 12, struct.pack("!HHIIHH", 1, 4, COOKIE, 0, 6, 9) + b"x" * 8]
    for datagram in noise:
        s.send(datagram)
    s.settimeout(0.3)
    with pytest.raises(TimeoutError):
        s.recv(1000)
    call_id = uuid.uuid4().hex
    port, host = s.getsockname()[1], s.getsockname()[0]
    host = f"[{host}]" if ":" in host else host
    s.send((f"OPTIONS sip:{server.domain} SIP/2.0\r\nVia: SIP/2.0/UDP {host}:{port};branch=z9hG4bK1\r\nFrom: <sip:a@x>;tag=1"
            f"\r\nTo: <sip:{server.domain}>\r\nCall-ID: {call_id}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n").encode())
    s.settimeout(3)
    assert s.recv(2000).startswith(b"SIP/2.0 200")
    assert wait.until(lambda: counters(server)["panics"] == 0, "no panic")


def test_a_datagram_of_line_ends_costs_a_binding_nothing(shared_server):
    user, _, endpoint = shared_server.endpoint("pinger")
    with Agent(shared_server, user) as agent:
        assert agent.register().status == 200
        for _ in range(3):
            agent.wire.send(b"\r\n\r\n")
        agent.silent(0.3)
        assert shared_server.plivo("GET", f"/Endpoint/{endpoint}/").json()["sip_registered"] == "true"
