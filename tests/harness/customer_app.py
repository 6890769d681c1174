"""`CustomerApp`: the customer's HTTP server, which answers with XML and remembers every request."""

import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from . import wait


class CustomerApp:
    """Answers `documents[path]` (a string, or (status, body)) and keeps what came in `requests`."""

    def __init__(self):
        self.documents = {}
        self.requests = []
        self._held = {}
        app = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                self._serve(self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode())

            def do_GET(self):
                self._serve("")

            def _serve(self, body):
                url = urllib.parse.urlsplit(self.path)
                fields = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
                fields.update(urllib.parse.parse_qsl(body, keep_blank_values=True))
                app.requests.append({"method": self.command, "path": url.path, "fields": fields,
                                     "raw": body, "headers": dict(self.headers)})
                if gate := app._held.get(url.path):
                    gate.wait(60)
                answer = app.documents.get(url.path, "")
                status, text = answer if isinstance(answer, tuple) else (200, answer)
                self.send_response(status)
                self.send_header("Content-Type", "application/xml")
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                try:
                    self.wfile.write(text.encode())
                except BrokenPipeError:  # The server gave up waiting, or was killed.
                    pass

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def hold(self, path):
        """Leaves requests to `path` without an answer until the event that is returned is set."""
        return self._held.setdefault(path, threading.Event())

    def url(self, path):
        return f"http://127.0.0.1:{self._server.server_address[1]}{path}"

    def received(self, path):
        return [r["fields"] for r in list(self.requests) if r["path"] == path]

    def wait_for(self, path, count=1, timeout=15):
        wait.until(lambda: len(self.received(path)) >= count, f"{count} request(s) to {path}", timeout)
        return self.received(path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for gate in self._held.values():
            gate.set()
        self._server.shutdown()
        self._server.server_close()
