"""`Server`: the real binary, on free ports, with a data directory of its own."""

import atexit
import json
import os
import pathlib
import re
import resource
import signal
import subprocess
import tempfile
import threading

import requests

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("OFFHOOK_BIN", ROOT / "target" / "release" / "offhook"))


class Server:
    """One `offhook dev --json` process; `ready` is its ready line."""

    def __init__(self, data_dir=None, environment=None, sip="127.0.0.1:0", descriptors=None):
        self._own = tempfile.TemporaryDirectory(prefix="offhook-test-") if data_dir is None else None
        self.data_dir = pathlib.Path(data_dir or self._own.name)
        self.environment = dict(environment or {})
        self.sip = sip
        self.descriptors = descriptors
        self.process = None
        self.ready = None
        self.log = []

    def start(self):
        command = [str(BINARY), "dev", "--json", "--data-dir", str(self.data_dir),
                   "--http", "127.0.0.1:0", *(["--sip", self.sip] if self.sip else [])]
        self.process = subprocess.Popen(
            command, preexec_fn=self.limit, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "OFFHOOK_MEDIA__PORTS": "31000-31999", **self.environment})
        # A test that fails before it stops its server leaves no process behind.
        atexit.register(self.process.kill)
        threading.Thread(target=self._drain, args=(self.process.stderr,), daemon=True).start()
        line = self.process.stdout.readline()
        if not line:
            self.process.wait(10)
            raise AssertionError(f"the server did not start (exit {self.process.returncode}):\n{self.logged()}")
        self.ready = json.loads(line)
        return self

    def limit(self):
        """Runs in the new process before it becomes the server."""
        if self.descriptors:
            resource.setrlimit(resource.RLIMIT_NOFILE, (self.descriptors,) * 2)

    def _drain(self, stream):
        for line in stream:
            self.log.append(line)

    def logged(self):
        return "".join(self.log[-200:])

    @property
    def api(self):
        return self.ready["api"]

    @property
    def base_url(self):
        return self.api["base_url"].rstrip("/")

    @property
    def domain(self):
        return self.ready["sip"]["domain"]

    def sip_address(self, transport="udp", v6=False):
        """(host, port) of the first listener of `transport`, or of its first one with an IPv6 address."""
        host, port = next(a for a in self.ready["sip"][transport] if not v6 or a.startswith("[")).rsplit(":", 1)
        return host.strip("[]"), int(port)

    @property
    def sip_ports(self):
        """The numbers of all its SIP listeners."""
        addresses = (a for listed in self.ready["sip"].values() if isinstance(listed, list) for a in listed)
        return {int(re.search(r":(\d+)(?:/|$)", a).group(1)) for a in addresses}

    @property
    def websocket(self):
        return self.ready["sip"]["ws"][0]

    @property
    def media_ports(self):
        return "31000-31999"

    # The Plivo face without an SDK, for facts that a test wants to compare whole.

    def plivo(self, method, path, **kwargs):
        auth = (self.api["auth_id"], self.api["auth_token"])
        return requests.request(method, f"{self.base_url}/v1/Account/{self.api['auth_id']}{path}",
                                auth=auth, timeout=5, **kwargs)

    def endpoint(self, name, password="correct-horse", application=None):
        """Creates an endpoint over the Plivo face: (username, password, endpoint_id)."""
        body = {"username": name, "password": password, "alias": name}
        if application:
            body["app_id"] = application
        answer = self.plivo("POST", "/Endpoint/", json=body)
        assert answer.status_code == 201, answer.text
        created = answer.json()
        return created["username"], password, created["endpoint_id"]

    def application(self, name, **fields):
        """Creates an application over the Plivo face and returns its id."""
        answer = self.plivo("POST", "/Application/", json={"app_name": name, **fields})
        assert answer.status_code == 201, answer.text
        return answer.json()["app_id"]

    def finished_calls(self):
        return self.plivo("GET", "/Call/").json()["objects"]

    def health(self):
        return requests.get(f"{self.base_url}/health", timeout=5).json()

    def kill(self):
        """SIGKILL: what a crash leaves behind."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        self.process.stdout.close()

    def stop(self, timeout=40):
        """SIGTERM; returns the exit status."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
                raise AssertionError(f"the server did not end after SIGTERM:\n{self.logged()}")
        return self.process.returncode if self.process else None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        try:
            self.stop()
        finally:
            if self._own:
                self._own.cleanup()
