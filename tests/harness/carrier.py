"""`Carrier`: the far side of a trunk. It takes calls, REGISTER and OPTIONS as it is told, and remembers every request."""

import hashlib
import re
import socket
import threading
import uuid

from . import wait
from .agent import Message, respond, sdp


class Carrier:
    """`answer` is what INVITEs get: a status, or None for silence; `options` the same for OPTIONS. With `login`
    (user, password) INVITE (407) and REGISTER (401) have to be proved."""

    def __init__(self, answer=200, options=200, login=None, realm="carrier.example", expires=None, port=0):
        self.answer, self.options, self.login, self.realm, self.expires = answer, options, login, realm, expires
        self.requests = []
        self.bindings = {}
        self.headers = ""
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", port))
        self.port = self.socket.getsockname()[1]
        self._open = True
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def host(self):
        return f"127.0.0.1:{self.port}"

    def came(self, method):
        return [m for m in list(self.requests) if m.method == method]

    def wait_for(self, method, count=1, timeout=15):
        wait.until(lambda: len(self.came(method)) >= count, f"{count} {method} at the carrier", timeout)
        return self.came(method)

    def _serve(self):
        while self._open:
            try:
                data, source = self.socket.recvfrom(65536)
                message = Message(data, source) if data.strip() else None
                if message and message.status is None:
                    self.requests.append(message)
                    self._handle(message)
            except OSError:  # The test is over.
                return

    def _send(self, request, status, body="", extra="", tag="carrier"):
        contact = f"<sip:carrier@{self.host}>"
        text = respond(request, status, tag, contact, body, extra=extra)
        self.socket.sendto(re.sub(r"\r?\n", "\r\n", text).encode(), request.source)

    def _handle(self, request):
        if request.method in ("ACK", "PRACK"):
            return
        if request.method == "OPTIONS":
            if self.options is not None:
                self._send(request, self.options, extra=self.headers)
            return
        if request.method in ("BYE", "CANCEL"):
            self._send(request, 200)
            return
        if request.method not in ("INVITE", "REGISTER"):
            self._send(request, 501)
            return
        if request.method == "INVITE" and self.answer is None:
            return
        if self.login and not self._proved(request):
            status, name = (401, "WWW-Authenticate") if request.method == "REGISTER" else (407, "Proxy-Authenticate")
            nonce = uuid.uuid4().hex
            self._send(request, status, extra=f'{name}: Digest realm="{self.realm}", nonce="{nonce}", algorithm=MD5, qop="auth"\n')
            return
        if request.method == "REGISTER":
            self._register(request)
        elif self.answer == 200:
            self._send(request, 180)
            self._send(request, 200, sdp(40010))
        else:
            self._send(request, self.answer, extra=self.headers)

    def _register(self, request):
        asked = int(request.get("expires") or 3600)
        granted = min(asked, self.expires or asked)
        contact = request.get("contact")
        key = request.get("to")
        if granted == 0:
            self.bindings.pop(key, None)
            self._send(request, 200)
            return
        self.bindings[key] = contact
        text = respond(request, 200, "registrar", f"{contact};expires={granted}")
        self.socket.sendto(re.sub(r"\r?\n", "\r\n", text).encode(), request.source)

    def _proved(self, request):
        value = request.get("authorization") or request.get("proxy-authorization")
        if not value:
            return False
        values = dict(re.findall(r'(\w+)="?([^",]+)"?', value))
        md5 = lambda text: hashlib.md5(text.encode()).hexdigest()  # noqa: E731
        user, password = self.login
        ha1 = md5(f"{user}:{self.realm}:{password}")
        ha2 = md5(f"{request.method}:{values['uri']}")
        wanted = md5(f"{ha1}:{values['nonce']}:{values['nc']}:{values['cnonce']}:auth:{ha2}")
        return values["username"] == user and values["response"] == wanted

    def close(self):
        self._open = False
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
