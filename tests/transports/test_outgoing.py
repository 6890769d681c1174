"""Connections that the server opens: trunks over TCP and TLS, reused while they are open (RFC 5923 §8.1, RFC 5922 §7.2)."""

import socket
import ssl
import tempfile
import time

import pytest

from cli.test_binary import run
from harness import certificate
from harness.agent import Accepted, Agent
from harness.phone import free_port
from harness.server import Server

NUMBER = "15550123"


class Gateway:
    """A carrier's end: waits for the server's connections."""

    def __init__(self, certificate=None):
        self.listener = socket.create_server(("127.0.0.1", free_port()))
        self.listener.settimeout(6)
        self.port = self.listener.getsockname()[1]
        self.context = None
        if certificate:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*certificate)

    def accept(self, server):
        stream, _ = self.listener.accept()
        if self.context:
            stream = self.context.wrap_socket(stream, server_side=True)
        return Agent(server, "carrier", transport=lambda _: Accepted(stream))

    def is_left_alone(self):
        self.listener.settimeout(0.3)
        try:
            self.listener.accept()[0].close()
            return False
        except TimeoutError:
            return True
        finally:
            self.listener.settimeout(6)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


def with_trunk(trunk, folder, **environment):
    made = run("account", "create", "--name", "Trunked", "--trunk", trunk, "--data-dir", folder)
    assert made.returncode == 0, made.stderr
    return Server(folder, environment=environment)


def caller(server):
    alice = server.ready["endpoints"][0]
    agent = Agent(server, alice["username"], alice["password"])
    assert agent.register().status == 200
    return agent


def talk(agent, carrier, server):
    call = agent.invite(NUMBER)
    rung = carrier.incoming()
    rung.ring()
    call.hears(180)
    rung.answer()
    call.answered()
    return call, rung


@pytest.mark.parametrize("kind", ["tcp", "tls"])
def test_calls_to_a_trunk_share_the_connection_that_the_first_one_opened(kind, tmp_path):
    shown = certificate.make(tmp_path, "localhost") if kind == "tls" else None
    names = {"OFFHOOK_TLS__AUTHORITIES": str(shown[0])} if shown else {}
    with tempfile.TemporaryDirectory() as folder, Gateway(shown) as gateway, \
            with_trunk(f"sip:localhost:{gateway.port};transport={kind}", folder, **names) as server, caller(server) as alice:
        call = alice.invite(NUMBER)
        with gateway.accept(server) as carrier:
            rung = carrier.incoming()
            # RFC 3261 §18.1.1: the Via names where we listen, for when the connection is gone.
            host, port = server.sip_address(kind)
            assert rung.invite.get("via").startswith(f"SIP/2.0/{kind.upper()} {host}:{port};branch=")
            assert rung.invite.contact_uri.endswith(f"@{host}:{port};transport={kind}")
            rung.answer()
            call.answered()
            assert rung.bye() == 200
            call.hears_bye()
            second, rung = talk(alice, carrier, server)
            assert gateway.is_left_alone()
            assert second.bye() == 200
            rung.hears_bye()
        # The carrier has closed, and the server has had time to see it: the next call opens another one.
        time.sleep(0.3)
        call = alice.invite(NUMBER)
        with gateway.accept(server) as carrier:
            rung = carrier.incoming()
            rung.answer()
            call.answered()
            assert call.bye() == 200
            rung.hears_bye()


def test_a_certificate_for_another_name_or_of_nobody_s_gets_no_call(tmp_path):
    right, wrong = certificate.make(tmp_path, "localhost"), certificate.make(tmp_path, "elsewhere.example")
    for shown, trusted in ((wrong, wrong), (right, wrong)):
        with tempfile.TemporaryDirectory() as folder, Gateway(shown) as gateway, \
                with_trunk(f"sips:localhost:{gateway.port}", folder, OFFHOOK_TLS__AUTHORITIES=str(trusted[0])) as server, \
                caller(server) as alice:
            call = alice.invite(NUMBER)
            with pytest.raises(ssl.SSLError):
                gateway.accept(server)
            assert call.refused(10).status >= 400
            assert "cannot be reached" in server.logged()


def test_a_peer_that_is_not_there_fails_the_call_at_once():
    with tempfile.TemporaryDirectory() as folder, \
            with_trunk(f"sip:127.0.0.1:{free_port()};transport=tcp", folder) as server, caller(server) as alice:
        assert alice.invite(NUMBER).refused(3).status >= 400
