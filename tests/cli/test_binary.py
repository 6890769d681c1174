"""The binary as an operator meets it: the ready line, restarts, taken ports, configuration, SIGTERM."""

import json
import os
import re
import socket
import stat
import subprocess
import tempfile

import pytest
import requests

from harness.server import BINARY, Server
from harness.wire import Wire


def run(*arguments, environment=None, timeout=20):
    return subprocess.run([str(BINARY), *arguments], capture_output=True, text=True, timeout=timeout,
                          env={**os.environ, **(environment or {})})


def test_the_ready_line_says_what_a_program_needs(server):
    ready = server.ready
    assert set(ready) == {"ready", "pid", "data_dir", "api", "sip", "application_id", "endpoints"}
    assert ready["ready"] is True and ready["pid"] == server.process.pid
    assert set(ready["api"]) == {"base_url", "auth_id", "auth_token", "bandwidth"}
    assert re.fullmatch(r"MA[A-Z0-9]{18}", ready["api"]["auth_id"]) and len(ready["api"]["auth_token"]) == 40
    assert set(ready["api"]["bandwidth"]) == {"user_id", "token", "secret"}
    assert set(ready["sip"]) == {"domain", "udp", "tcp", "tls", "ws", "wss"}
    assert ready["sip"]["udp"] == ready["sip"]["tcp"] and len(ready["sip"]["tls"]) == 1
    assert re.fullmatch(r"wss://127\.0\.0\.1:\d+/", ready["sip"]["wss"][0])
    assert re.fullmatch(r"ws://127\.0\.0\.1:\d+/sip", ready["sip"]["ws"][0])
    names = [e["username"] for e in ready["endpoints"]]
    assert re.fullmatch(r"alice\d{12}", names[0]) and re.fullmatch(r"bob\d{12}", names[1])
    for endpoint in ready["endpoints"]:
        assert set(endpoint) == {"endpoint_id", "username", "password", "sip_uri"}
        assert endpoint["sip_uri"] == f"sip:{endpoint['username']}@{ready['sip']['domain']}"
    assert server.health()["status"] == "ok"


def test_an_endpoint_made_later_gets_the_direct_dial_application(server):
    _, _, endpoint = server.endpoint("later")
    shown = server.plivo("GET", f"/Endpoint/{endpoint}/").json()
    assert shown["application"].endswith(f"/Application/{server.ready['application_id']}/")


def test_stopping_and_starting_keeps_everything():
    with tempfile.TemporaryDirectory() as folder:
        with Server(folder) as first:
            made = first.endpoint("kept")
        assert first.process.returncode == 0
        with Server(folder) as second:
            same = lambda r: (r["api"]["auth_id"], r["api"]["auth_token"], r["api"]["bandwidth"],  # noqa: E731
                              r["application_id"], r["endpoints"])
            assert same(first.ready) == same(second.ready)
            assert second.plivo("GET", f"/Endpoint/{made[2]}/").json()["username"] == made[0]
            keys = [p for p in second.data_dir.iterdir() if p.suffix == ".key"]
            assert keys and all(stat.S_IMODE(p.stat().st_mode) == 0o600 for p in keys)


def test_no_secret_is_in_clear_in_the_data_directory():
    with tempfile.TemporaryDirectory() as folder:
        with Server(folder) as server:
            server.endpoint("secretive", "a-very-plain-password")
            secrets = ["a-very-plain-password", server.api["auth_token"], server.api["bandwidth"]["secret"],
                       *(e["password"] for e in server.ready["endpoints"])]
        for path in server.data_dir.rglob("*"):
            if path.is_file():
                data = path.read_bytes()
                assert [s for s in secrets if s.encode() in data] == [], path
        assert [s for s in secrets if s in server.logged()] == []


def test_a_taken_port_names_the_remedy():
    with socket.socket() as taken, tempfile.TemporaryDirectory() as folder:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for option, other in (("--http", "--sip"), ("--sip", "--http")):
            done = run("dev", "--json", "--data-dir", folder, option, address, other, "127.0.0.1:0")
            assert done.returncode != 0 and done.stdout == ""
            assert address in done.stderr and option in done.stderr


def test_an_unknown_key_is_refused_with_the_nearest_right_name():
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write("[http]\nlissten = \"127.0.0.1:0\"\n")
        file.flush()
        done = run("check-config", "--config", file.name)
    assert done.returncode != 0 and "lissten" in done.stderr and "http.listen" in done.stderr
    done = run("check-config", environment={"OFFHOOK_HTTP__LISTTEN": "127.0.0.1:0"})
    assert done.returncode != 0 and "OFFHOOK_HTTP__LISTEN`" in done.stderr


def test_check_config_shows_the_environment_over_the_file():
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write("drain_seconds = 7\n[http]\nlisten = \"127.0.0.1:1234\"\n")
        file.flush()
        done = run("check-config", "--config", file.name, environment={"OFFHOOK_HTTP__LISTEN": "127.0.0.1:4321"})
    assert done.returncode == 0, done.stderr
    assert "127.0.0.1:4321" in done.stdout and "drain_seconds = 7" in done.stdout


def test_version_and_help_teach():
    assert re.match(r"offhook \d+\.\d+\.\d+", run("--version").stdout)
    text = run("--help").stdout
    assert all(word in text for word in ("dev", "serve", "account", "check-config"))


def test_accounts_are_made_and_listed_from_the_command_line():
    with tempfile.TemporaryDirectory() as folder:
        settings = {"OFFHOOK_STORE__URL": f"sqlite:{folder}/offhook.db", "OFFHOOK_STORE__KEY_FILE": f"{folder}/offhook.key"}
        made = run("account", "create", "--name", "Second Ltd", environment=settings)
        assert made.returncode == 0, made.stderr
        auth_id = re.search(r"MA[A-Z0-9]{18}", made.stdout).group()
        listed = run("account", "list", environment=settings)
        assert auth_id in listed.stdout and "Second Ltd" in listed.stdout


def test_sigterm_without_calls_exits_at_once_with_0(server):
    assert server.stop(timeout=5) == 0


def test_a_tenant_cannot_see_or_touch_anothers_endpoint():
    with tempfile.TemporaryDirectory() as folder:
        settings = {"OFFHOOK_STORE__URL": f"sqlite:{folder}/offhook.db"}
        with Server(folder) as server:
            _, _, endpoint = server.endpoint("mine")
            made = run("account", "create", "--name", "Stranger", environment={
                **settings, "OFFHOOK_STORE__KEY_FILE": str(next(p for p in server.data_dir.iterdir() if p.suffix == ".key"))})
            assert made.returncode == 0, made.stderr
            auth_id = re.search(r"MA[A-Z0-9]{18}", made.stdout).group()
            token = re.search(r"auth token\s+(\S+)", made.stdout).group(1)
            stranger = lambda method, account, path, **k: requests.request(  # noqa: E731
                method, f"{server.base_url}/v1/Account/{account}{path}", auth=(auth_id, token), timeout=5, **k)
            assert stranger("GET", auth_id, "/Endpoint/").json()["objects"] == []
            assert stranger("GET", auth_id, f"/Endpoint/{endpoint}/").status_code == 404
            assert stranger("POST", auth_id, f"/Endpoint/{endpoint}/", json={"alias": "x"}).status_code == 404
            assert stranger("DELETE", auth_id, f"/Endpoint/{endpoint}/").status_code == 404
            assert stranger("GET", server.api["auth_id"], f"/Endpoint/{endpoint}/").status_code == 401
            assert server.plivo("GET", f"/Endpoint/{endpoint}/").status_code == 200


@pytest.mark.parametrize("change", ["password", "delete"])
def test_a_changed_password_or_a_deletion_drops_the_bindings_at_once(server, change):
    username, password, endpoint = server.endpoint("drop")
    with Wire(server) as wire:
        assert wire.register(username, password) == 200
        assert server.plivo("GET", f"/Endpoint/{endpoint}/").json()["sip_registered"] == "true"
        if change == "password":
            server.plivo("POST", f"/Endpoint/{endpoint}/", json={"password": "another-secret"})
            assert server.plivo("GET", f"/Endpoint/{endpoint}/").json()["sip_registered"] == "false"
        else:
            server.plivo("DELETE", f"/Endpoint/{endpoint}/")
        assert wire.register(username, password) == 401
        assert server.health()["bindings"] == 0


def test_a_refused_user_agent_gets_403(server):
    username, password, _ = server.endpoint("agent")
    with Wire(server) as wire:
        uri = f"sip:{server.domain}"
        wire.send(wire.request("REGISTER", uri, username, server.domain, extra="User-Agent: VaxSIPUserAgent 1.2\n"))
        assert wire.status() == 403


def test_json_goes_out_as_one_line_only(server):
    assert json.dumps(server.ready)
    server.stop()
    assert server.process.stdout.read() == ""
