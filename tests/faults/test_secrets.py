"""D27: no password, token or digest in the log at its most talkative, nor in clear in the data directory."""

import hashlib
import pathlib

import requests

from harness.agent import Agent, Tcp, Udp, WebSocket
from harness.server import Server

PASSWORD = "a-very-secret-horse"


def test_no_secret_is_logged_or_kept_in_clear():
    with Server(environment={"OFFHOOK_LOG": "trace"}) as server:
        user, _, _ = server.endpoint("alice", PASSWORD)
        for transport in (Udp, Tcp, WebSocket):
            with Agent(server, user, PASSWORD, transport) as phone:
                assert phone.register().status == 200
                assert phone.invite("nobody").refused().status == 404
        assert requests.get(f"{server.base_url}/v1/Account/{server.api['auth_id']}/Endpoint/",
                            auth=(server.api["auth_id"], "a-wrong-token"), timeout=5).status_code == 401
        md5 = lambda text: hashlib.md5(text.encode()).hexdigest()  # noqa: E731
        secrets = [PASSWORD, server.api["auth_token"], server.api["bandwidth"]["secret"], server.ready["endpoints"][0]["password"],
                   md5(PASSWORD), md5(f"{user}:{server.domain}:{PASSWORD}")]
        assert server.stop() == 0
        log = "".join(server.log)
        assert "offhook" in log
        assert [word for word in secrets + ["a-wrong-token", "response=", "Authorization:"] if word in log] == []
        for file in pathlib.Path(server.data_dir).rglob("*"):
            data = file.read_bytes() if file.is_file() else b""
            assert [word for word in secrets if word.encode() in data] == [], file.name
        assert (pathlib.Path(server.data_dir) / "offhook.key").stat().st_mode & 0o777 == 0o600
