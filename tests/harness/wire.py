"""Bytes on a UDP socket: for what no well-behaved client sends (malformed, repeated or lost messages)."""

import hashlib
import re
import socket
import uuid


HASHES = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}


class Wire:
    """A UDP socket towards the server's SIP port."""

    def __init__(self, server):
        self.server = server
        self.to = server.sip_address()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]

    def send(self, message):
        data = message if isinstance(message, bytes) else message.replace("\n", "\r\n").encode()
        self.socket.sendto(data, self.to)

    def receive(self, timeout=2.0):
        """The next message as text, or None after `timeout` seconds of silence."""
        self.socket.settimeout(timeout)
        try:
            return self.socket.recv(65536).decode(errors="replace")
        except socket.timeout:
            return None

    def status(self, timeout=2.0):
        """The status code of the next final response, or None."""
        while (message := self.receive(timeout)) is not None:
            found = re.match(r"SIP/2\.0 (\d{3}) ", message)
            if found and found.group(1) != "100":
                return int(found.group(1))
        return None

    def request(self, method, uri, user, domain, cseq=1, call_id=None, branch=None, extra="", body="", to=None):
        """A well-formed request, as text."""
        call_id = call_id or uuid.uuid4().hex
        branch = branch or "z9hG4bK" + uuid.uuid4().hex
        return (f"{method} {uri} SIP/2.0\n"
                f"Via: SIP/2.0/UDP 127.0.0.1:{self.port};branch={branch};rport\n"
                f"Max-Forwards: 70\n"
                f"From: <sip:{user}@{domain}>;tag=f{call_id[:8]}\n"
                f"To: {to or f'<sip:{user}@{domain}>'}\n"
                f"Call-ID: {call_id}\nCSeq: {cseq} {method}\n"
                f"Contact: <sip:{user}@127.0.0.1:{self.port}>\n{extra}"
                f"Content-Length: {len(body)}\n\n{body}")

    def authorization(self, challenge, method, uri, user, password, count=1):
        """The Authorization (401) or Proxy-Authorization (407) line that answers `challenge`."""
        kind, fields = re.search(r"^(WWW|Proxy)-Authenticate: Digest (.*?)\r?$", challenge, re.M | re.I).groups()
        values = dict(re.findall(r'(\w+)="?([^",]+)"?', fields))
        algorithm = values.get("algorithm", "MD5")
        digest = lambda text: hashlib.new(HASHES[algorithm], text.encode()).hexdigest()  # noqa: E731
        nc, cnonce = f"{count:08x}", uuid.uuid4().hex[:12]
        ha1 = digest(f"{user}:{values['realm']}:{password}")
        response = digest(f"{ha1}:{values['nonce']}:{nc}:{cnonce}:auth:{digest(f'{method}:{uri}')}")
        name = "Authorization" if kind.upper() == "WWW" else "Proxy-Authorization"
        return (f'{name}: Digest username="{user}", realm="{values["realm"]}", nonce="{values["nonce"]}", uri="{uri}", '
                f'response="{response}", algorithm={algorithm}, qop=auth, nc={nc}, cnonce="{cnonce}"\n')

    def register(self, user, password, domain=None, expires=300):
        """Registers this socket as a contact; returns the final status."""
        domain = domain or self.server.domain
        uri, call_id = f"sip:{domain}", uuid.uuid4().hex
        self.send(self.request("REGISTER", uri, user, domain, 1, call_id, extra=f"Expires: {expires}\n"))
        challenge = self.receive()
        if challenge is None or " 401 " not in challenge.split("\r\n")[0]:
            return int(challenge.split()[1]) if challenge else None
        answer = self.authorization(challenge, "REGISTER", uri, user, password)
        self.send(self.request("REGISTER", uri, user, domain, 2, call_id, extra=answer + f"Expires: {expires}\n"))
        return self.status()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
