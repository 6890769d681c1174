"""Bad frames and streams: RFC 6455 §5, RFC 7118 §4, RFC 3261 §18.3; hard cases T01 to T07 and T11 to T14."""

import socket
import uuid

import pytest

from harness.agent import Agent, Tcp, WebSocket


def options(agent):
    return agent.text("OPTIONS", f"sip:{agent.domain}", uuid.uuid4().hex, 1, "<sip:x@y>").replace("\n", "\r\n").encode()


@pytest.mark.parametrize("protocol,path,status", [
    (None, None, 400), ("foo", None, 400), ("sip", None, 101), ("foo, sip", None, 101), ("sip", "/other", 404)])
def test_the_subprotocol_has_to_be_sip(shared_server, protocol, path, status):
    """T11."""
    wire = WebSocket(shared_server, protocol, path)
    assert wire.upgrade == status
    assert ("sec-websocket-protocol: sip" in wire.head.lower()) == (status == 101)
    wire.socket.close()


FRAMES = {
    "t12_unmasked": (lambda w, m: w.frame(1, m, mask=False), 1002),
    "t12_reserved_bits": (lambda w, m: w.frame(1, m, reserved=4), 1002),
    "t12_unknown_opcode": (lambda w, m: w.frame(3, m), 1002),
    "t12_fragment_without_start": (lambda w, m: w.frame(0, m), 1002),
    "t12_long_control_frame": (lambda w, m: w.frame(9, b"x" * 126), 1002),
    "t12_fragmented_control_frame": (lambda w, m: w.frame(9, b"x", final=False), 1002),
    "t13_two_to_the_63_bytes": (lambda w, m: w.frame(1, b"x", announced=2 ** 63), 1009),
    "t13_one_megabyte": (lambda w, m: w.frame(1, b"x", announced=2 ** 20), 1009),
    "t14_text_that_is_not_utf_8": (lambda w, m: w.frame(1, b"\xff\xfe\xfa"), 1007),
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_bad_frame_closes_with_the_code_of_the_rfc(shared_server, name):
    send, code = FRAMES[name]
    with Agent(shared_server, transport=WebSocket) as agent:
        send(agent.wire, options(agent))
        opcode, payload = agent.wire.read_frame(3)
        assert (opcode, int.from_bytes(payload[:2], "big")) == (8, code)
        assert agent.wire.read_frame(3) is None and agent.wire.closed
    with Agent(shared_server, transport=WebSocket) as agent:
        agent.wire.send(options(agent))
        assert agent.receive().status == 200


def test_good_frames_of_every_kind_are_served(shared_server):
    with Agent(shared_server, transport=WebSocket) as agent:
        wire, message = agent.wire, options(agent)
        wire.frame(2, message)
        assert agent.receive().status == 200
        wire.frame(1, message[:40], final=False)
        wire.frame(9, b"still there?")
        wire.frame(0, message[40:])
        assert wire.read_frame(3) == (10, b"still there?")
        assert agent.receive().status == 200
        wire.frame(1, b"\r\n\r\n")
        assert wire.read_frame(3) == (1, b"\r\n")
        wire.frame(8, b"\x03\xe8")
        assert wire.read_frame(3)[0] == 8


def test_a_stream_is_cut_into_messages_wherever_its_segments_end(shared_server):
    """T01, T02, T03."""
    with Agent(shared_server, transport=Tcp) as agent:
        agent.wire.send(options(agent) + options(agent) + options(agent))
        assert [agent.receive().status for _ in range(3)] == [200] * 3
        for byte in options(agent):
            agent.wire.send(bytes([byte]))
        assert agent.receive().status == 200
        agent.wire.send(b"\r\n\r\n")
        agent.wire.socket.settimeout(3)
        assert agent.wire.socket.recv(10) == b"\r\n"


@pytest.mark.parametrize("length,status", [
    ("", 400), ("Content-Length: -1\r\n", 400), ("Content-Length: abc\r\n", 400), ("Content-Length: 4294967296\r\n", 413)])
def test_a_stream_whose_boundaries_are_lost_is_answered_and_closed(shared_server, length, status):
    """T04, T06."""
    with Agent(shared_server, transport=Tcp) as agent:
        agent.wire.send(options(agent).replace(b"Content-Length: 0\r\n", length.encode()))
        assert agent.receive().status == status
        assert agent.receive() is None and agent.wire.closed


def test_ten_megabytes_without_a_line_end_are_not_kept(shared_server):
    """T05."""
    with Agent(shared_server, transport=Tcp) as agent:
        agent.wire.socket.settimeout(5)
        with pytest.raises(ConnectionError):
            for _ in range(160):
                agent.wire.socket.sendall(b"x" * 65536)


@pytest.mark.parametrize("where,said", [
    ("sip", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("sip", b"\x16\x03\x01\0\xc8\x01\0\0\xc4\x03\x03" + b"a" * 190),
    ("http", b"OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/TCP x\r\n\r\n"),
    ("http", b"\x16\x03\x01\0\xc8\x01\0\0\xc4\x03\x03" + b"a" * 190),
], ids=["http_on_sip", "tls_on_sip", "sip_on_http", "tls_on_http"])
def test_another_protocol_is_refused_within_a_second(shared_server, where, said):
    """T07."""
    host, port = shared_server.sip_address("tcp") if where == "sip" else shared_server.base_url[7:].split(":")
    with socket.create_connection((host, int(port)), timeout=1) as stream:
        stream.sendall(said)
        answer = b""
        while data := stream.recv(1000):
            answer += data
        assert answer == b"" or answer.startswith(b"HTTP/1.1 400")
