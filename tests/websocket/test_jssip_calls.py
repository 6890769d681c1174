"""Calls between JsSIP over WS and WSS (RFC 7118) and baresip over UDP and TLS: answered, ended by either side, cancelled."""

import contextlib
import os
import pathlib
import re
import subprocess
import threading

import pytest

from harness import wait
from harness.agent import Rtp
from harness.phone import Phone
from phones.test_first_call import talk

FOLDER = pathlib.Path(__file__).parent


class Echo(Rtp):
    """RTP that says what it hears."""

    def __init__(self):
        super().__init__()
        self.heard = 0
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        with contextlib.suppress(OSError):
            while True:
                packet, source = self.socket.recvfrom(2048)
                self.heard += 1
                # Its own stream, with another synchronization source.
                self.socket.sendto(packet[:8] + b"echo" + packet[12:], source)


class JsPhone:
    """JsSIP in node; `said` are the lines that it printed."""

    def __init__(self, server, username, password, kind):
        self.server, self.rtp, self.said, self.at = server, Echo(), [], 0
        url = server.websocket if kind == "ws" else server.ready["sip"]["wss"][0]
        # The certificate is the server's own.
        self.process = subprocess.Popen(
            ["node", "phone.js", url, f"sip:{username}@{server.domain}", password, str(self.rtp.port)], cwd=FOLDER,
            env={**os.environ, "NODE_TLS_REJECT_UNAUTHORIZED": "0"}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.said.append(line.strip())

    def hears(self, pattern, timeout=15):
        """Waits for a line, after those that were waited for before."""
        def found():
            for number in range(self.at, len(self.said)):
                if re.fullmatch(pattern, self.said[number]):
                    self.at = number + 1
                    return self.said[number]
        try:
            return wait.until(found, pattern, timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}; came: {self.said}\n{self.server.logged()[-3000:]}") from None

    def does(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def __enter__(self):
        self.hears("registered")
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate(timeout=10)
        self.rtp.socket.close()


@pytest.mark.parametrize("kind,transport", [("wss", "udp"), ("ws", "tls")])
def test_a_browsers_stack_and_a_phone_call_each_other(shared_server, kind, transport):
    server = shared_server
    web, password, _ = server.endpoint("web")
    desk, _, _ = server.endpoint("desk")
    with JsPhone(server, web, password, kind) as browser, Phone(server, desk, password, 1013, transport) as phone:
        phone.register()

        # The browser calls, the phone hangs up.
        browser.does(f"call sip:{desk}@{server.domain}")
        phone.wait_for("CALL_INCOMING")
        browser.hears("progress 180")
        phone.accept()
        phone.wait_for("CALL_ESTABLISHED")
        browser.hears("confirmed")
        talk(2.5)
        phone.hang_up()
        browser.hears("ended remote Terminated")
        phone.wait_for("CALL_CLOSED")
        # What the phone says goes over the browser's media and comes back.
        phone.hears(1013, 2)

        # The phone calls, the browser hangs up.
        phone.dial(f"sip:{web}@{server.domain}")
        browser.hears(f"incoming {desk}")
        phone.wait_for("CALL_RINGING")
        browser.does("answer")
        phone.wait_for("CALL_ESTABLISHED", 2)
        browser.hears("confirmed")
        heard = browser.rtp.heard
        wait.until(lambda: browser.rtp.heard > heard + 20, "the phone's voice in the browser")
        browser.does("bye")
        browser.hears("ended local Terminated")
        phone.wait_for("CALL_CLOSED", 2)

        # Either gives up while the other rings.
        browser.does(f"call sip:{desk}@{server.domain}")
        phone.wait_for("CALL_INCOMING", 2)
        browser.hears("progress 180")
        browser.does("cancel")
        browser.hears("ended local Canceled")
        phone.wait_for("CALL_CLOSED", 3)
        phone.dial(f"sip:{web}@{server.domain}")
        browser.hears(f"incoming {desk}")
        phone.hang_up()
        browser.hears("ended remote Canceled")
        phone.wait_for("CALL_CLOSED", 4)

        def mine():
            rows = [r for r in server.finished_calls() if web in r["from_number"] + r["to_number"]]
            return len(rows) >= 8 and rows
        rows = wait.until(mine, "eight legs in REST")
        assert sorted(row["hangup_cause_code"] for row in rows) == [1000] * 4 + [4000] * 4
