"""`Sipp`: one run of sipp with a scenario of this project, as caller or callee."""

import pathlib
import subprocess
import tempfile

SCENARIOS = pathlib.Path(__file__).resolve().parents[1] / "sipp"


class Sipp:
    def __init__(self, server, scenario, port, username, password, called="nobody", transport="u1", timeout=20, options=()):
        self.folder = tempfile.TemporaryDirectory(prefix="offhook-sipp-")
        host, sip_port = server.sip_address("udp" if transport.startswith("u") else "tcp")
        self.server = server
        self.scenario = scenario
        self.timeout = timeout
        self.process = subprocess.Popen(
            ["sipp", f"{host}:{sip_port}", "-sf", str(SCENARIOS / f"{scenario}.xml"), "-i", "127.0.0.1",
             "-mi", "127.0.0.1", "-p", str(port), "-t", transport, "-m", "1", "-au", username, "-ap", password,
             "-s", called, "-key", "user", username, "-key", "domain", server.domain,
             "-timeout", str(timeout), "-timeout_error", "-nostdin", "-trace_err", "-trace_msg",
             "-error_file", f"{self.folder.name}/errors.log", "-message_file", f"{self.folder.name}/messages.log", *options],
            cwd=self.folder.name, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def finish(self):
        """Waits for the end of the scenario, which must have gone as it says."""
        status = self.process.wait(self.timeout + 10)
        assert status == 0, (f"sipp {self.scenario} ended with {status}\n{self.text('errors.log')}\n"
                             f"{self.text('messages.log')[-6000:]}\nserver:\n{self.server.logged()[-4000:]}")

    def text(self, name):
        path = pathlib.Path(self.folder.name) / name
        return path.read_text(errors="replace") if path.exists() else ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(5)
        self.folder.cleanup()
