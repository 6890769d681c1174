"""SIP over TLS and WSS: calls, certificates that change under open connections, peers that cannot shake hands (T09)."""

import os
import shutil
import socket
import ssl
import subprocess
import time

import pytest

from harness import certificate, wait
from harness.agent import Agent, SecureWebSocket, Tls, tls_context
from harness.server import Server


def failed(server):
    return server.health()["counters"]["failed_handshakes"]


@pytest.mark.parametrize("caller,callee", [(Tls, SecureWebSocket), (SecureWebSocket, Tls), (Tls, Tls)])
def test_a_call_between_secure_transports(shared_server, caller, callee):
    one, password, _ = shared_server.endpoint(f"one{caller.name}{callee.name}".lower())
    two, _, _ = shared_server.endpoint(f"two{caller.name}{callee.name}".lower())
    application = shared_server.ready["application_id"]
    assert application
    with Agent(shared_server, one, transport=caller) as a, Agent(shared_server, two, transport=callee) as b:
        assert a.register().status == b.register().status == 200
        call = a.invite(two)
        rung = b.incoming()
        rung.ring()
        call.hears(180)
        rung.answer()
        call.answered()
        # RFC 3261 §12.2.1: each side's requests reach the other over the connection that it opened.
        assert rung.bye() == 200
        call.hears_bye()


def test_the_certificate_of_dev_names_hosts_and_is_kept(shared_server):
    host, port = shared_server.sip_address("tls")
    shown = ssl.get_server_certificate((host, port))
    kept = (shared_server.data_dir / "tls" / "certificate.pem").read_text()
    assert shown.strip() == kept.strip()
    text = subprocess.run(["openssl", "x509", "-noout", "-ext", "subjectAltName"], input=shown, text=True,
                          capture_output=True, check=True).stdout
    assert "DNS:localhost" in text and f"DNS:{shared_server.domain}" in text
    # A client that trusts it and asks for that name is satisfied.
    trusting = ssl.create_default_context(cadata=shown)
    with Agent(shared_server, transport=lambda server: Tls(server, trusting, "localhost")) as agent:
        assert agent.challenge().status == 401


def test_t09_another_name_or_none_gets_the_same_certificate(shared_server):
    for name in ("nobody.example", None):
        with Agent(shared_server, transport=lambda server: Tls(server, name=name)) as agent:
            assert agent.challenge().status == 401


@pytest.mark.parametrize("options", [["-tls1", "-cipher", "ALL:@SECLEVEL=0"], ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
                                     ["-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0"]], ids=["tls10", "tls11", "cipher"])
def test_t09_an_old_version_or_cipher_gets_an_alert(shared_server, options):
    host, port = shared_server.sip_address("tls")
    before = failed(shared_server)
    done = subprocess.run(["openssl", "s_client", "-connect", f"{host}:{port}", *options], input="", text=True,
                          capture_output=True, timeout=5)
    assert done.returncode != 0 and "alert" in done.stderr, done.stderr
    wait.until(lambda: failed(shared_server) == before + 1, "the failure to be counted")


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_session_is_resumed(shared_server, version, tmp_path):
    """RFC 8446 §2.2, RFC 5077 §3."""
    host, port = shared_server.sip_address("tls")
    ticket = str(tmp_path / "ticket")
    common = ["openssl", "s_client", "-connect", f"{host}:{port}", version, "-ign_eof"]
    # Something that is no SIP: the server answers and closes, after the ticket of TLS 1.3 has come.
    said = "GET / HTTP/1.1\r\n\r\n"
    subprocess.run([*common, "-sess_out", ticket], input=said, text=True, capture_output=True, timeout=5)
    again = subprocess.run([*common, "-sess_in", ticket], input=said, text=True, capture_output=True, timeout=5)
    assert "Reused" in again.stdout, again.stdout


@pytest.mark.parametrize("said", [b"REGISTER sip:x SIP/2.0\r\nVia: SIP/2.0/TCP x\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"])
@pytest.mark.parametrize("kind", ["tls", "wss"])
def test_t07_a_plain_peer_on_a_tls_port_is_closed_within_a_second(shared_server, kind, said):
    at = shared_server.sip_address("tls") if kind == "tls" else shared_server.ready["sip"]["wss"][0][6:-1].split(":")
    before = failed(shared_server)
    with socket.create_connection((at[0], int(at[1])), timeout=1) as stream:
        stream.sendall(said)
        answer = b""
        while data := stream.recv(1000):
            answer += data
    assert answer == b"" or answer[0] == 21
    assert failed(shared_server) == before + 1


def test_two_certificates_change_under_200_connections_and_none_is_lost(tmp_path):
    """D15."""
    first, second = (certificate.make(tmp_path, name) for name in ("first.example", "second.example"))
    live = (tmp_path / "live.pem", tmp_path / "live.key")

    def put(pair):
        for source, target in zip(pair, live):
            draft = target.with_suffix(".draft")
            shutil.copyfile(source, draft)
            os.replace(draft, target)

    put(first)
    names = {"OFFHOOK_TLS__CERTIFICATE": str(live[0]), "OFFHOOK_TLS__KEY": str(live[1])}
    with Server(environment=names) as server:
        host, port = server.sip_address("tls")

        def shows(pair):
            return ssl.get_server_certificate((host, port)).strip() == pair[0].read_text().strip()

        assert shows(first)
        made = server.endpoint("many")
        agents = [Agent(server, made[0], transport=Tls) for _ in range(200)]
        for agent in agents[:5]:
            assert agent.register().status == 200
        for agent in agents[5:]:
            assert agent.challenge().status == 401
        # A pair of which the halves do not fit changes nothing, and is told.
        shutil.copyfile(second[1], live[1])
        wait.until(lambda: "cannot be used" in server.logged(), "the log to say why")
        assert shows(first)
        put(second)
        wait.until(lambda: shows(second), "the second certificate", 8)
        put(first)
        wait.until(lambda: shows(first), "the first certificate again", 8)
        for agent in agents:
            assert agent.challenge().status == 401
        bindings = server.plivo("GET", f"/Endpoint/{made[2]}/").json()
        assert bindings["sip_registered"] == "true"
        for agent in agents:
            agent.close()


def test_t10_connections_dropped_in_masses_leave_the_next_handshake_quick(server):
    """`cargo xtask bench connections` does it with 100,000."""
    address, context = server.sip_address("tls"), tls_context()
    for _ in range(4):
        batch = [socket.create_connection(address, timeout=5) for _ in range(250)]
        shaken = [context.wrap_socket(plain) for plain in batch[:125]]
        for stream in [*shaken, *batch]:
            stream.close()
    begun = time.monotonic()
    with Agent(server, transport=Tls) as agent:
        assert agent.challenge().status == 401
    assert time.monotonic() - begun < 1
    wait.until(lambda: server.health()["connections"] <= 1, "the connections to be gone")
