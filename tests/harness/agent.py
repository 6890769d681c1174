"""`Agent`: a SIP user agent whose every message a test writes: for what well-behaved phones never do."""

import base64
import hashlib
import os
import re
import socket
import ssl
import struct
import time
import uuid

HASHES = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}
COMPACT = {"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length", "c": "content-type"}


def sdp(port, payloads="0 101", address="127.0.0.1", direction="sendrecv", version=1):
    """An audio description: PCMU, PCMA and telephone-event by the numbers in `payloads`."""
    maps = {"0": "PCMU/8000", "8": "PCMA/8000", "101": "telephone-event/8000", "96": "telephone-event/8000"}
    lines = ["v=0", f"o=t 1 {version} IN IP4 {address}", "s=-", f"c=IN IP4 {address}", "t=0 0",
             f"m=audio {port} RTP/AVP {payloads}"]
    lines += [f"a=rtpmap:{p} {maps[p]}" for p in payloads.split()]
    return "\r\n".join(lines + [f"a={direction}", ""])


class Message:
    """A message as it was read."""

    def __init__(self, data, source=None):
        self.raw, self.source = data, source
        head, _, self.body = data.decode(errors="replace").partition("\r\n\r\n")
        lines = re.sub(r"\r\n[ \t]+", " ", head).split("\r\n")
        self.start = lines[0]
        self.headers = []
        for line in lines[1:]:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            self.headers.append((COMPACT.get(name, name), value.strip()))
        parts = self.start.split(" ", 2)
        self.status = int(parts[1]) if self.start.startswith("SIP/2.0") else None
        self.method = None if self.status else parts[0]
        self.uri = None if self.status else parts[1]

    def get(self, name):
        return next((v for n, v in self.headers if n == name.lower()), None)

    def all(self, name):
        return [v for n, v in self.headers if n == name.lower()]

    @property
    def cseq(self):
        number, method = self.get("cseq").split()
        return int(number), method

    @property
    def contact_uri(self):
        return re.search(r"<([^>]+)>", self.get("contact")).group(1)

    @property
    def audio_port(self):
        return int(re.search(r"^m=audio (\d+)", self.body, re.M).group(1))

    def __repr__(self):
        return f"<{self.start}>"


class Udp:
    name = "UDP"

    def __init__(self, server, address=None):
        self.to = server.sip_address()
        v6 = ":" in self.to[0]
        refused = []
        while True:
            self.socket = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)
            self.socket.bind((address or ("::1" if v6 else "127.0.0.1"), 0))
            # A Contact with the number of one of the server's ports, of any transport, would seem to point at the server.
            if self.socket.getsockname()[1] not in server.sip_ports:
                break
            refused.append(self.socket)

    def send(self, data):
        self.socket.sendto(data, self.to)

    def read(self, timeout):
        self.socket.settimeout(max(timeout, 0.001))
        try:
            data, source = self.socket.recvfrom(65536)
        except (socket.timeout, BlockingIOError):
            return None
        return Message(data, source)


class Tcp:
    name = "TCP"

    def __init__(self, server):
        self.socket = socket.create_connection(server.sip_address("tcp"), timeout=5)
        self.buffer = b""
        self.closed = False

    def send(self, data):
        self.socket.sendall(data)

    def read(self, timeout):
        deadline = time.monotonic() + timeout
        while True:
            self.buffer = self.buffer.lstrip(b"\r\n")
            head, found, rest = self.buffer.partition(b"\r\n\r\n")
            if found:
                length = re.search(rb"(?im)^(?:content-length|l)[ \t]*:[ \t]*(\d+)", head)
                length = int(length.group(1)) if length else 0
                if len(rest) >= length:
                    self.buffer = rest[length:]
                    return Message(head + found + rest[:length])
            data = self._more(deadline)
            if not data:
                return None
            self.buffer += data

    def _more(self, deadline):
        self.socket.settimeout(max(deadline - time.monotonic(), 0.001))
        try:
            data = self.socket.recv(65536)
        except (socket.timeout, BlockingIOError):
            return None
        except OSError:
            data = b""
        self.closed = not data
        return data


def tls_context():
    """A client that takes any certificate: the server's is its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class Accepted(Tcp):
    """A connection that the server opened."""

    def __init__(self, stream):
        self.socket, self.buffer, self.closed = stream, b"", False
        self.name = "TLS" if isinstance(stream, ssl.SSLSocket) else "TCP"


class Tls(Tcp):
    name = "TLS"

    def __init__(self, server, context=None, name="localhost"):
        plain = socket.create_connection(server.sip_address("tls"), timeout=5)
        self.socket = (context or tls_context()).wrap_socket(plain, server_hostname=name)
        self.buffer = b""
        self.closed = False


class WebSocket(Tcp):
    name = "WS"

    def connect(self, server):
        """The connection, its host and port, and the path that the server names."""
        host, port, own = re.match(r"ws://(.+):(\d+)(.*)", server.websocket).groups()
        return socket.create_connection((host.strip("[]"), int(port)), timeout=5), f"{host}:{port}", own

    def __init__(self, server, protocol="sip", path=None, origin=None, extra=""):
        self.socket, host, own = self.connect(server)
        self.buffer, self.closed = b"", False
        asked = f"Sec-WebSocket-Protocol: {protocol}\r\n" if protocol else ""
        asked += f"Origin: {origin}\r\n" if origin else ""
        asked += extra
        self.socket.sendall((f"GET {path or own or '/'} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n"
                             f"Connection: Upgrade\r\nSec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n"
                             f"Sec-WebSocket-Version: 13\r\n{asked}\r\n").encode())
        while b"\r\n\r\n" not in self.buffer:
            if not (data := self._more(time.monotonic() + 5)):
                break
            self.buffer += data
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        self.head = head.decode()
        self.upgrade = int(self.head.split()[1]) if self.head else None

    def send(self, data):
        self.frame(1, data)

    def frame(self, opcode, data, mask=True, final=True, reserved=0, announced=None):
        length = len(data) if announced is None else announced
        head = bytes([(0x80 if final else 0) | reserved << 4 | opcode])
        bit = 0x80 if mask else 0
        if length < 126:
            head += bytes([bit | length])
        elif length < 65536:
            head += bytes([bit | 126]) + struct.pack("!H", length)
        else:
            head += bytes([bit | 127]) + struct.pack("!Q", length)
        if mask:
            key = os.urandom(4)
            data = bytes(b ^ key[i % 4] for i, b in enumerate(data))
            head += key
        self.socket.sendall(head + data)

    def read_frame(self, timeout):
        """(opcode, payload), or None when nothing came or the connection ended."""
        deadline = time.monotonic() + timeout
        while True:
            b = self.buffer
            if len(b) >= 2:
                length, at = b[1] & 0x7f, 2
                if length == 126 and len(b) >= 4:
                    length, at = struct.unpack("!H", b[2:4])[0], 4
                elif length == 127 and len(b) >= 10:
                    length, at = struct.unpack("!Q", b[2:10])[0], 10
                elif length >= 126:
                    length = None
                if length is not None and len(b) >= at + length:
                    self.buffer = b[at + length:]
                    return b[0] & 15, b[at:at + length]
            data = self._more(deadline)
            if not data:
                return None
            self.buffer += data

    def read(self, timeout):
        deadline = time.monotonic() + timeout
        while (found := self.read_frame(deadline - time.monotonic())) is not None:
            opcode, payload = found
            if opcode == 9:
                self.frame(10, payload)
            elif opcode in (1, 2):
                return Message(payload)
        return None


class SecureWebSocket(WebSocket):
    name = "WSS"

    def connect(self, server):
        host, port, own = re.match(r"wss://(.+):(\d+)(.*)", server.ready["sip"]["wss"][0]).groups()
        plain = socket.create_connection((host.strip("[]"), int(port)), timeout=5)
        return tls_context().wrap_socket(plain, server_hostname="localhost"), f"{host}:{port}", own


class Agent:
    """One user on one transport; `receive` hands out what came, in order."""

    def __init__(self, server, user="nobody", password="correct-horse", transport=Udp, domain=None):
        self.server, self.user, self.password = server, user, password
        self.domain = domain or server.domain
        self.wire = transport(server)
        host, self.port = self.wire.socket.getsockname()[:2]
        host = f"[{host}]" if ":" in host else host
        self.host = "x.invalid" if isinstance(self.wire, WebSocket) else f"{host}:{self.port}"
        self.kept = []
        self.counts = {}
        self.knows = ["MD5"]

    # Messages.

    def send(self, message):
        data = message if isinstance(message, bytes) else re.sub(r"\r?\n", "\r\n", message).encode()
        self.wire.send(data)

    def receive(self, timeout=2.0):
        if self.kept:
            return self.kept.pop(0)
        return self.wire.read(timeout)

    def expect(self, wanted, what, timeout=5.0):
        """The first message for which `wanted` holds; the others are kept for later."""
        for i, message in enumerate(self.kept):
            if wanted(message):
                return self.kept.pop(i)
        deadline, passed = time.monotonic() + timeout, []
        while (left := deadline - time.monotonic()) > 0:
            message = self.wire.read(left)
            if message is None:
                if getattr(self.wire, "closed", False):
                    break
                continue
            if wanted(message):
                return message
            self.kept.append(message)
            passed.append(message)
        self._fail(what, passed)

    def _fail(self, what, passed):
        raise AssertionError(f"{self.user} waited for {what}; came: {passed}\n{self.server.logged()[-3000:]}")

    def silent(self, seconds=0.5, wanted=lambda message: True):
        """Asserts that no message for which `wanted` holds comes for so long."""
        try:
            found = self.expect(wanted, "nothing", seconds)
        except AssertionError:
            return
        raise AssertionError(f"{self.user} should hear nothing, but: {found.raw.decode(errors='replace')}")

    def final(self, call_id, cseq, timeout=5.0):
        return self.expect(lambda m: m.status and m.status >= 200 and m.get("call-id") == call_id and m.cseq == cseq,
                           f"the final answer to {cseq}", timeout)

    def via(self, branch=None):
        return f"SIP/2.0/{self.wire.name} {self.host};branch={branch or 'z9hG4bK' + uuid.uuid4().hex};rport"

    @property
    def contact(self):
        kind = "" if self.wire.name == "UDP" else f";transport={self.wire.name.lower().replace('wss', 'ws')}"
        return f"<sip:{self.user}@{self.host}{kind}>"

    def text(self, method, uri, call_id, cseq, to, tag="", from_="", extra="", body="", branch=None, contact=None):
        """A well-formed request."""
        from_ = from_ or f"<sip:{self.user}@{self.domain}>;tag={tag or 'f' + call_id[:8]}"
        contact = f"Contact: {self.contact}\n" if contact is None else contact
        kind = "Content-Type: application/sdp\n" if body.startswith("v=0") else ""
        return (f"{method} {uri} SIP/2.0\nVia: {self.via(branch)}\nMax-Forwards: 70\nFrom: {from_}\nTo: {to}\n"
                f"Call-ID: {call_id}\nCSeq: {cseq} {method}\n{contact}{extra}{kind}"
                f"Content-Length: {len(body.encode())}\n\n{body}")

    def answer_to(self, challenge, method, uri, user=None, password=None, count=None, nonce=None, response=None,
                  realm=None, cnonce=None):
        """The header line that answers a challenge (qop=auth), with its algorithm if the agent knows that, else MD5."""
        name, value = next((n, v) for n, v in challenge.headers if n in ("www-authenticate", "proxy-authenticate"))
        values = dict(re.findall(r'(\w+)="?([^",]+)"?', value))
        user, password = user or self.user, password or self.password
        realm, nonce = realm or values["realm"], nonce or values["nonce"]
        count = count or self.counts.get(nonce, 0) + 1
        self.counts[nonce] = count
        nc, cnonce = f"{count:08x}", cnonce or uuid.uuid4().hex[:12]
        algorithm = values.get("algorithm", "MD5")
        algorithm = algorithm if algorithm in self.knows else "MD5"
        digest = lambda text: hashlib.new(HASHES[algorithm], text.encode()).hexdigest()  # noqa: E731
        ha1 = digest(f"{user}:{realm}:{password}")
        proof = digest(f"{ha1}:{nonce}:{nc}:{cnonce}:auth:{digest(f'{method}:{uri}')}") if response is None else response
        header = "Authorization" if name == "www-authenticate" else "Proxy-Authorization"
        return (f'{header}: Digest username="{user}", realm="{realm}", nonce="{nonce}", uri="{uri}", '
                f'response="{proof}", algorithm={algorithm}, qop=auth, nc={nc}, cnonce="{cnonce}"\n')

    # Registration.

    def challenge(self, domain=None):
        """A 401 for a REGISTER."""
        call_id = uuid.uuid4().hex
        uri = f"sip:{domain or self.domain}"
        self.send(self.text("REGISTER", uri, call_id, 1, f"<sip:{self.user}@{domain or self.domain}>"))
        return self.final(call_id, (1, "REGISTER"))

    def register(self, contact=None, expires=300, call_id=None, cseq=1, domain=None, to=None, from_=None, extra="",
                 uri=None):
        """Registers with digest; returns the final answer."""
        domain = domain or self.domain
        call_id, uri = call_id or uuid.uuid4().hex, uri or f"sip:{domain}"
        lines = f"Contact: {self.contact}\n" if contact is None else contact
        extra += f"Expires: {expires}\n" if expires is not None else ""
        aor = f"<sip:{self.user}@{domain}>"
        from_ = (from_ or aor) + ";tag=f1"
        self.send(self.text("REGISTER", uri, call_id, cseq, to or aor, from_=from_, contact=lines, extra=extra))
        first = self.final(call_id, (cseq, "REGISTER"))
        if first.status != 401:
            return first
        proof = self.answer_to(first, "REGISTER", uri)
        self.last = self.text("REGISTER", uri, call_id, cseq + 1, to or aor, from_=from_, contact=lines,
                              extra=extra + proof)
        self.send(self.last)
        return self.final(call_id, (cseq + 1, "REGISTER"))

    # Calls.

    def invite(self, target, body=None, from_="", extra="", prove=True, domain=None, to=None, call_id=None):
        """An INVITE, with its digest when that is asked for; see `Outgoing`."""
        uri = target if ":" in target else f"sip:{target}@{domain or self.domain}"
        call = Outgoing(self, uri, call_id or uuid.uuid4().hex, from_, to)
        call.send(sdp(40000) if body is None else body, extra)
        if prove:
            first = call.await_status(lambda status: status >= 180 or status == 100, wait_final=True)
            if first.status == 407:
                call.acknowledge_refusal(first)
                call.cseq += 1
                call.send(sdp(40000) if body is None else body,
                          extra + self.answer_to(first, "INVITE", uri))
            elif first.status > 100:
                self.kept.insert(0, first)
        return call

    def incoming(self, timeout=5.0):
        """The next INVITE that starts a dialog."""
        request = self.expect(lambda m: m.method == "INVITE" and "tag=" not in m.get("to"), "an INVITE", timeout)
        return Incoming(self, request)

    def close(self):
        self.wire.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class _Dialog:
    def request(self, method, body="", extra="", cseq=None):
        """A request in the dialog; returns its CSeq."""
        if cseq is None:
            self.cseq += 1
            cseq = self.cseq
        self.agent.send(self.agent.text(method, self.target, self.call_id, cseq, self.remote, from_=self.local,
                                        body=body, extra=extra))
        return cseq, method

    def asks(self, method, timeout=5.0):
        """The next request of this dialog that the server sends."""
        return self.agent.expect(lambda m: m.method == method and m.get("call-id") == self.call_id, f"a {method}", timeout)

    def reply(self, request, status, body="", reason="x", extra=""):
        """Answers a request of the server."""
        self.agent.send(respond(request, status, self.local.partition("tag=")[2], self.agent.contact, body, reason, extra))

    def bye(self, timeout=5.0):
        number = self.request("BYE")
        return self.agent.final(self.call_id, number, timeout).status

    def hears_bye(self, timeout=5.0):
        request = self.asks("BYE", timeout)
        self.reply(request, 200)
        return request

    def reinvite(self, body, timeout=5.0):
        number = self.request("INVITE", body)
        answer = self.agent.final(self.call_id, number, timeout)
        self.request("ACK", cseq=number[0])
        return answer


class Outgoing(_Dialog):
    """A call that a test makes."""

    def __init__(self, agent, uri, call_id, from_, to):
        self.agent, self.uri, self.call_id, self.cseq = agent, uri, call_id, 1
        self.local = from_ or f"<sip:{agent.user}@{agent.domain}>"
        self.local += f";tag=f{call_id[:8]}"
        self.remote = to or f"<{uri}>"
        self.target = uri

    def send(self, body, extra=""):
        self.branch = "z9hG4bK" + uuid.uuid4().hex
        self.sent = self.agent.text("INVITE", self.uri, self.call_id, self.cseq, self.remote, from_=self.local, body=body,
                                    extra=extra, branch=self.branch)
        self.agent.send(self.sent)

    def await_status(self, wanted, timeout=5.0, wait_final=False):
        fits = lambda m: m.status and m.get("call-id") == self.call_id and m.cseq == (self.cseq, "INVITE") \
            and (m.status > 100 or not wait_final) and wanted(m.status)  # noqa: E731
        return self.agent.expect(fits, "an answer to the INVITE", timeout)

    def hears(self, status, timeout=5.0):
        """Waits for exactly this status; any other final one fails."""
        found = self.await_status(lambda s: s == status or s >= 200, timeout)
        assert found.status == status, f"wanted {status}, came {found.raw.decode(errors='replace')}"
        if status >= 300:
            self.acknowledge_refusal(found)
        return found

    def refused(self, timeout=5.0):
        found = self.await_status(lambda s: s >= 200, timeout)
        assert found.status >= 300, found
        self.acknowledge_refusal(found)
        return found

    def acknowledge_refusal(self, response):
        self.agent.send(self.agent.text("ACK", self.uri, self.call_id, self.cseq, response.get("to"), from_=self.local,
                                        branch=self.branch))

    def cancel(self):
        self.agent.send(self.agent.text("CANCEL", self.uri, self.call_id, self.cseq, self.remote, from_=self.local,
                                        branch=self.branch))

    def answered(self, timeout=5.0, ack=True):
        """Waits for 200 and acknowledges it; returns the 200."""
        found = self.hears(200, timeout)
        self.remote, self.target = found.get("to"), found.contact_uri
        if ack:
            self.request("ACK", cseq=self.cseq)
        return found


class Incoming(_Dialog):
    """A call that the server makes to a test."""

    def __init__(self, agent, request):
        self.agent, self.invite, self.call_id, self.cseq = agent, request, request.get("call-id"), 100
        self.local = request.get("to") + ";tag=t" + uuid.uuid4().hex[:8]
        self.remote = request.get("from")
        self.target = request.contact_uri

    def ring(self, status=180, body=""):
        self.reply(self.invite, status, body)

    def answer(self, body=None, ack=True):
        self.reply(self.invite, 200, sdp(40002) if body is None else body)
        return self.asks("ACK") if ack else None

    def refuse(self, status, extra=""):
        self.reply(self.invite, status, extra=extra)
        return self.asks("ACK")

    def cancelled(self, timeout=5.0):
        """Waits for CANCEL and answers it and the INVITE."""
        request = self.asks("CANCEL", timeout)
        self.reply(request, 200)
        self.reply(self.invite, 487)
        self.asks("ACK")
        return request


def respond(request, status, tag, contact, body="", reason="x", extra=""):
    to = request.get("to")
    if "tag=" not in to and status != 100:
        to += f";tag={tag}"
    vias = "".join(f"Via: {v}\n" for v in request.all("via"))
    kind = "Content-Type: application/sdp\n" if body.startswith("v=0") else ""
    contact = "" if "Contact:" in extra else f"Contact: {contact}\n"
    return (f"SIP/2.0 {status} {reason}\n{vias}From: {request.get('from')}\nTo: {to}\n"
            f"Call-ID: {request.get('call-id')}\nCSeq: {request.get('cseq')}\n{contact}{extra}{kind}"
            f"Content-Length: {len(body.encode())}\n\n{body}")


class Rtp:
    """A phone's RTP socket: PCMU packets with a mark that the other side finds again."""

    def __init__(self, port=0):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", port))
        self.port = self.socket.getsockname()[1]
        self.sequence = 1

    def send(self, port, mark=b"m", ssrc=7, raw=None):
        packet = raw if raw is not None else struct.pack("!BBHII", 0x80, 0, self.sequence, self.sequence * 160, ssrc) + (
            mark * 160)[:160]
        self.sequence += 1
        self.socket.sendto(packet, ("127.0.0.1", port))

    def receive(self, timeout=1.0):
        """The payload of the next packet, or None."""
        self.socket.settimeout(timeout)
        try:
            return self.socket.recv(2048)[12:]
        except socket.timeout:
            return None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
