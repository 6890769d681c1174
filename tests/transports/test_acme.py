"""A certificate from an ACME authority (RFC 8555): Pebble, the test server of Let's Encrypt's makers."""

import json
import os
import shutil
import socket
import ssl
import stat
import subprocess
import threading

import pytest

from harness import certificate, wait
from harness.agent import Agent, Tls
from harness.phone import free_port
from harness.server import Server

pytestmark = pytest.mark.skipif(not shutil.which("pebble"), reason="needs Pebble: apt-get install pebble")

NAMES = ["sip.example.com", "phone.example.com"]


class Names:
    """A DNS server to which every name is 127.0.0.1."""

    def __enter__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", free_port()))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def _serve(self):
        while True:
            try:
                query, source = self.socket.recvfrom(1500)
            except OSError:
                return
            end = query.index(b"\0", 12) + 5
            found = query[end - 4:end - 2] == b"\0\x01"
            answer = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x7f\0\0\x01" if found else b""
            self.socket.sendto(query[:2] + b"\x85\x80\0\x01" + (b"\0\x01" if found else b"\0\0") + b"\0\0\0\0"
                               + query[12:end] + answer, source)

    def __exit__(self, *_):
        self.socket.close()


class Authority:
    """Pebble. It refuses one nonce in twenty on purpose, as a client has to bear."""

    def __init__(self, folder, names, seconds):
        self.port, self.http, management = free_port(), free_port(), free_port()
        self.certificate, key = certificate.make(folder, "localhost")
        config = {"pebble": {"listenAddress": f"127.0.0.1:{self.port}", "managementListenAddress": f"127.0.0.1:{management}",
                             "certificate": str(self.certificate), "privateKey": str(key), "httpPort": self.http, "tlsPort": 1,
                             "ocspResponderURL": "", "externalAccountBindingRequired": False,
                             "certificateValidityPeriod": seconds}}
        (folder / "pebble.json").write_text(json.dumps(config))
        self.output = open(folder / "pebble.log", "w+")
        self.process = subprocess.Popen(["pebble", "-config", folder / "pebble.json", "-dnsserver", f"127.0.0.1:{names.port}"],
                                        stdout=self.output, stderr=subprocess.STDOUT,
                                        env={**os.environ, "PEBBLE_VA_NOSLEEP": "1"})
        self.folder = folder
        wait.until(self._answers, "Pebble to listen")

    def _answers(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def orders(self):
        # Not the requests: one whose nonce was refused is sent again.
        return (self.folder / "pebble.log").read_text().count("orders in the db")

    def settings(self, names=NAMES):
        return {"OFFHOOK_ACME__NAMES": ",".join(names), "OFFHOOK_ACME__DIRECTORY": f"https://localhost:{self.port}/dir",
                "OFFHOOK_ACME__AUTHORITIES": str(self.certificate), "OFFHOOK_ACME__LISTEN": f"127.0.0.1:{self.http}",
                "OFFHOOK_ACME__TERMS_AGREED": "true"}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(5)
        self.output.close()


@pytest.fixture
def names():
    with Names() as running:
        yield running


def shown(server):
    return ssl.get_server_certificate(server.sip_address("tls"))


def text(pem):
    return subprocess.run(["openssl", "x509", "-noout", "-issuer", "-ext", "subjectAltName"], input=pem, text=True,
                          capture_output=True, check=True).stdout


def comes_from_pebble(server):
    return "Pebble" in text(shown(server)) and shown(server)


def test_a_certificate_is_ordered_kept_found_again_and_ordered_anew_for_other_names(names, tmp_path):
    data = tmp_path / "data"
    with Authority(tmp_path, names, 5 * 365 * 86400) as authority:
        with Server(data, environment=authority.settings(NAMES[:1])) as server:
            first = wait.until(lambda: comes_from_pebble(server), "a certificate from Pebble", 30)
            assert f"DNS:{NAMES[0]}" in text(first) and NAMES[1] not in text(first)
            with Agent(server, transport=Tls) as agent:
                assert agent.challenge().status == 401
            # Nothing but challenges is served to the authority's world, and none when nothing is ordered.
            with socket.create_connection(("127.0.0.1", authority.http), timeout=5) as s:
                s.sendall(b"GET /.well-known/acme-challenge/x HTTP/1.0\r\n\r\n")
                assert s.recv(100).startswith(b"HTTP/1.0 404")
        for name in ("account.json", "certificate.pem"):
            assert stat.S_IMODE((data / "acme" / name).stat().st_mode) == 0o600
        assert authority.orders() == 1
        with Server(data, environment=authority.settings(NAMES[:1])) as server:
            assert shown(server) == first
            assert authority.orders() == 1
        with Server(data, environment=authority.settings()) as server:
            wait.until(lambda: all(f"DNS:{name}" in text(shown(server)) for name in NAMES), "a certificate for both", 30)
            assert authority.orders() == 2


def test_a_certificate_is_renewed_at_two_thirds_of_its_life_and_no_connection_is_lost(names, tmp_path):
    with Authority(tmp_path, names, 30) as authority, Server(environment=authority.settings()) as server:
        first = wait.until(lambda: comes_from_pebble(server), "a certificate from Pebble", 30)
        with Agent(server, transport=Tls) as agent:
            assert agent.challenge().status == 401
            wait.until(lambda: shown(server) != first, "the next certificate", 40, 0.5)
            assert authority.orders() >= 2
            assert agent.challenge().status == 401


def test_an_authority_that_is_not_there_is_told_and_tried_again_later(tmp_path):
    settings = {"OFFHOOK_ACME__NAMES": "sip.example.com", "OFFHOOK_ACME__DIRECTORY": f"https://127.0.0.1:{free_port()}/dir",
                "OFFHOOK_ACME__LISTEN": f"127.0.0.1:{free_port()}", "OFFHOOK_ACME__TERMS_AGREED": "true"}
    with Server(environment=settings) as server:
        wait.until(lambda: "no new certificate" in server.logged(), "the log to say so")
        # Until there is a better one, the server's own.
        assert "sip.example.com" in text(shown(server))
