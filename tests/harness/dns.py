"""`Dns`: a name server for one test: A, SRV and NAPTR records, everything else does not exist."""

import socket
import struct
import threading

TYPES = {1: "A", 33: "SRV", 35: "NAPTR"}


def name(text):
    labels = [label for label in text.split(".") if label]
    return b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"


def text(value):
    return bytes([len(value)]) + value.encode()


def encoded(kind, record):
    if kind == "A":
        return socket.inet_aton(record)
    if kind == "SRV":
        priority, weight, port, host = record
        return struct.pack("!HHH", priority, weight, port) + name(host)
    order, preference, service, replacement = record
    return struct.pack("!HH", order, preference) + text("s") + text(service) + text("") + name(replacement)


class Dns:
    """`records[(kind, name)]` is a list: an address for A; (priority, weight, port, host) for SRV; (order, preference,
    service, replacement) for NAPTR."""

    def __init__(self, records):
        self.records, self.asked = records, []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                data, source = self.socket.recvfrom(4096)
            except OSError:
                return
            self.socket.sendto(self._answer(data), source)

    def _answer(self, data):
        at, labels = 12, []
        while data[at]:
            labels.append(data[at + 1:at + 1 + data[at]].decode().lower())
            at += 1 + data[at]
        question = data[12:at + 5]
        asked = ".".join(labels)
        kind = TYPES.get(struct.unpack("!H", data[at + 1:at + 3])[0])
        self.asked.append((kind, asked))
        found = self.records.get((kind, asked), [])
        exists = any(known == asked for _, known in self.records)
        flags = 0x8580 | (0 if found or exists else 3)
        head = data[:2] + struct.pack("!HHHHH", flags, 1, len(found), 0, 0)
        body = b""
        for record in found:
            value = encoded(kind, record)
            body += b"\xc0\x0c" + data[at + 1:at + 5] + struct.pack("!IH", 60, len(value)) + value
        return head + question + body

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
