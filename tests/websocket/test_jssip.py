"""A foreign SIP-over-WebSocket client (JsSIP) registers; REST shows it; its end shows too (RFC 7118)."""

import os
import pathlib
import subprocess

import pytest

from harness import wait

FOLDER = pathlib.Path(__file__).parent


class Browser:
    def __init__(self, server, username, password, kind="ws"):
        # The certificate is the server's own.
        self.process = subprocess.Popen(
            ["node", "register.js", server.ready["sip"][kind][0], f"sip:{username}@{server.domain}", password], cwd=FOLDER,
            env={**os.environ, "NODE_TLS_REJECT_UNAUTHORIZED": "0"}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def line(self):
        return self.process.stdout.readline().strip()

    def say(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate(timeout=10)


def shown(server, endpoint):
    return server.plivo("GET", f"/Endpoint/{endpoint}/").json()


@pytest.mark.parametrize("kind", ["ws", "wss"])
@pytest.mark.parametrize("end", ["unregister", "drop"])
def test_a_registration_over_websocket_shows_in_rest_and_ends(shared_server, end, kind):
    server = shared_server
    username, password, endpoint = server.endpoint(f"web{end}{kind}")
    with Browser(server, username, password, kind) as browser:
        assert browser.line() == "registered", server.logged()
        seen = shown(server, endpoint)
        assert seen["sip_registered"] == "true"
        assert seen["sip_user_agent"] == "JsSIP under test"
        assert "transport=ws" in seen["sip_contact"]
        browser.say(end)
        wait.until(lambda: shown(server, endpoint)["sip_registered"] == "false", "the binding to go")


def test_a_wrong_password_is_told(shared_server):
    username, _, _ = shared_server.endpoint("webwrong")
    with Browser(shared_server, username, "not-the-password") as browser:
        assert browser.line().startswith("failed")
