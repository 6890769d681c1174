"""`Watcher`: a subscription that a test holds (RFC 6665): what it hears, it answers."""

import re
import uuid

from .agent import respond


class Watcher:
    """Subscribes `agent` to `target`; `first` is the answer to the SUBSCRIBE with its proof."""

    def __init__(self, agent, target, event, expires=600, extra=""):
        self.agent, self.event = agent, event
        self.call_id, self.cseq = uuid.uuid4().hex, 1
        self.uri = f"sip:{target}@{agent.domain}"
        self.remote = f"<{self.uri}>"
        self.first = self.subscribe(expires, extra)
        if self.first.status == 407:
            proof = agent.answer_to(self.first, "SUBSCRIBE", self.uri)
            self.cseq += 1
            self.first = self.subscribe(expires, extra + proof)
        if self.first.status == 200:
            self.remote = self.first.get("to")
            self.uri = self.first.contact_uri

    def subscribe(self, expires, extra=""):
        extra = f"Event: {self.event}\nExpires: {expires}\n{extra}"
        self.agent.send(self.agent.text("SUBSCRIBE", self.uri, self.call_id, self.cseq, self.remote, extra=extra))
        return self.agent.final(self.call_id, (self.cseq, "SUBSCRIBE"))

    def again(self, expires):
        """A SUBSCRIBE within the dialog."""
        self.cseq += 1
        return self.subscribe(expires)

    def hears(self, timeout=5.0, status=200):
        """The next NOTIFY, which is answered."""
        request = self.agent.expect(
            lambda m: m.method == "NOTIFY" and m.get("call-id") == self.call_id, f"a NOTIFY of {self.event}", timeout)
        self.agent.send(respond(request, status, "", self.agent.contact, "", "x"))
        return request

    def hears_until(self, pattern, most=10):
        """The bodies of the NOTIFYs up to the one that has `pattern`."""
        bodies = []
        for _ in range(most):
            bodies.append(self.hears().body)
            if re.search(pattern, bodies[-1]):
                return bodies
        raise AssertionError(f"no {pattern} in {bodies}")
