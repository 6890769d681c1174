"""`Phone`: a headless baresip, driven over its control connection (netstrings of JSON)."""

import contextlib
import itertools
import json
import pathlib
import shutil
import socket
import subprocess
import tempfile
import threading

from . import audio, wait

CONFIG = """\
poll_method epoll
sip_listen {address}:{sip}
sip_trans_def {transport}
call_local_timeout 120
call_max_calls 4
audio_player aufile,{dir}/unused.wav
audio_source aufile,{dir}/tone.wav
audio_alert aufile,{dir}/silence.wav
ausrc_srate 8000
auplay_srate 8000
audio_level no
rtp_tos 184
rtp_ports {rtp}-{rtp_end}
rtcp_mux no
jitter_buffer_delay 0-0
net_interface {address}
module_path {modules}
module g711.so
module aufile.so
module sndfile.so
snd_path {dir}
module_app account.so
module_app menu.so
module ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:{control}
"""


_ports = itertools.count(24000, 2)


def free_port():
    """A port that is free for UDP and TCP, like the one above it; below those that the kernel gives out by itself."""
    for port in _ports:
        if all(is_free(p, k) for p in (port, port + 1) for k in (socket.SOCK_STREAM, socket.SOCK_DGRAM)):
            return port


def is_free(port, kind):
    with socket.socket(socket.AF_INET, kind) as s:
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def modules_folder():
    for folder in ("/usr/lib/baresip/modules", "/usr/lib/x86_64-linux-gnu/baresip/modules",
                   "/usr/lib/aarch64-linux-gnu/baresip/modules"):
        if pathlib.Path(folder).is_dir():
            return folder
    raise AssertionError("baresip's modules are not installed")


class Phone:
    """One baresip with one account; sends the tone `hz` while in a call and records what it hears. It is in the network
    `home` (`network.Home`), or beside the server."""

    _rtp = 20000

    def __init__(self, server, username, password, hz, transport="udp", domain=None, home=None):
        self.server, self.username, self.password, self.home = server, username, password, home
        self.hz, self.transport = hz, transport
        self.domain = domain or server.domain
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="offhook-phone-"))
        self.events = []
        self._responses = {}
        self._token = 0

    def start(self):
        audio.write_tone(self.folder / "tone.wav", self.hz, seconds=120)
        audio.write_tone(self.folder / "silence.wav", 0, seconds=1)
        control, sip = free_port(), free_port()
        Phone._rtp += 40
        (self.folder / "config").write_text(CONFIG.format(
            address=self.home.address if self.home else "127.0.0.1", sip=sip, transport=self.transport, dir=self.folder, rtp=Phone._rtp, rtp_end=Phone._rtp + 38,
            control=control, modules=modules_folder()))
        (self.folder / "accounts").write_text("")
        (self.folder / "contacts").write_text("")
        self._output = open(self.folder / "output.log", "w")
        command = ["baresip", "-f", str(self.folder)]
        self.process = subprocess.Popen(self.home.network.command(*command) if self.home else command,
                                        stdin=subprocess.PIPE, stdout=self._output, stderr=subprocess.STDOUT)
        with self.home.network.inside() if self.home else contextlib.nullcontext():
            self._socket = wait.until(lambda: self._connect(control), "baresip's control port")
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def _connect(self, port):
        if self.process.poll() is not None:
            raise AssertionError(f"baresip ended:\n{self.output()}")
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=5)
        except OSError:
            return None

    def output(self):
        return (self.folder / "output.log").read_text(errors="replace")[-4000:]

    def _read(self):
        buffer = b""
        self._socket.settimeout(None)
        try:
            while True:
                data = self._socket.recv(65536)
                if not data:
                    return
                buffer += data
                while b":" in buffer:
                    length, rest = buffer.split(b":", 1)
                    if len(rest) < int(length) + 1:
                        break
                    message = json.loads(rest[:int(length)])
                    buffer = rest[int(length) + 1:]
                    if message.get("event"):
                        self.events.append(message)
                    else:
                        self._responses[message.get("token")] = message
        except OSError:
            return

    def command(self, name, parameters=""):
        self._token += 1
        token = f"t{self._token}"
        text = json.dumps({"command": name, "params": parameters, "token": token}).encode()
        self._socket.sendall(b"%d:%s," % (len(text), text))
        answer = wait.until(lambda: self._responses.pop(token, None), f"baresip's answer to {name}")
        return answer

    def seen(self, kind):
        return [e for e in self.events if e.get("type") == kind]

    def wait_for(self, kind, count=1, timeout=15):
        try:
            wait.until(lambda: len(self.seen(kind)) >= count, f"{count} x {kind} at {self.username}", timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}\nevents: {[e.get('type') for e in self.events]}\n{self.output()}\n"
                                 f"server:\n{self.server.logged()}") from None
        return self.seen(kind)[count - 1]

    def register(self, options="", every=120):
        """Registers, and again in time for `every` seconds; `options` are further parameters of baresip's account."""
        host, port = self.server.sip_address(self.transport)
        self.command("uanew", f"<sip:{self.username}@{self.domain};transport={self.transport}>"
                              f";auth_user={self.username};auth_pass={self.password}"
                              f";outbound=\"sip:{host}:{port};transport={self.transport}\""
                              f";regint={every};audio_codecs=pcmu/8000/1,pcma/8000/1{options}")
        self.wait_for("REGISTER_OK")
        return self

    def dial(self, target):
        self.command("dial", target)

    def accept(self):
        self.command("accept")

    def hang_up(self):
        self.command("hangup")

    def hears(self, hz, seconds, times=1):
        """Asserts that `hz` was heard for `seconds` without a gap over 60 ms in so many recordings (each call and each
        re-INVITE begins one)."""
        recordings = sorted(self.folder.glob("dump-*-dec.wav"))
        assert recordings, f"{self.username} recorded nothing:\n{self.output()}"
        runs = [audio.tone_run(*audio.read(r), hz) for r in recordings]
        long = [run for run in runs if run >= seconds]
        assert len(long) >= times, f"{self.username} heard {hz} Hz for {runs} s, wanted {times} x {seconds} s"

    def stop(self):
        if self.process.poll() is None:
            try:
                self.command("quit")
                self.process.wait(5)
            except (AssertionError, OSError, subprocess.TimeoutExpired):
                self.process.kill()
                self.process.wait(5)
        self._socket.close()
        self._output.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
