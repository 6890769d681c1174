"""A full disk: what cannot be kept is not promised, reads and live calls go on, and all is well when there is room again."""

import resource
import signal

from harness import wait
from harness.agent import Agent, sdp
from harness.server import Server


class Filling(Server):
    """A server whose files can be kept from growing: to it that is a disk without room."""

    def limit(self):
        super().limit()
        # A write that is refused shall be no more than that.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def room(self, octets):
        """No file may be longer than this."""
        _, most = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (octets, most))


def answer(agent, cseq):
    """The status of a REGISTER, or none."""
    try:
        return agent.register(cseq=cseq).status
    except AssertionError:
        return None


def test_a_registration_that_cannot_be_kept_is_not_promised_and_calls_go_on():
    with Filling() as server:
        caller, callee, late = (Agent(server, server.endpoint(name)[0]) for name in ("caller", "callee", "late"))
        with caller, callee, late:
            assert callee.register().status == 200
            call = caller.invite(callee.user, body=sdp(40000))
            rings = callee.incoming()
            rings.answer(sdp(40002))
            call.answered()
            server.room(0)
            for cseq in (1, 11, 21):
                assert answer(late, cseq) in (500, 503), server.logged()
            assert server.plivo("GET", "/Endpoint/").status_code == 200
            # The call goes on, and its end is heard.
            number = call.request("INVITE", sdp(40000, direction="sendonly", version=2))
            asked = rings.asks("INVITE")
            rings.reply(asked, 200, sdp(40002, direction="recvonly", version=2))
            assert caller.final(call.call_id, number).status == 200
            call.request("ACK", cseq=number[0])
            rings.asks("ACK")
            assert call.bye() == 200
            rings.hears_bye()
            assert any("File too large" in line or "full" in line for line in server.log), server.logged()
            server.room(resource.RLIM_INFINITY)
            wait.until(lambda: answer(late, 101) == 200, "room for a registration", 30)
            rows = wait.until(lambda: len(rows := server.finished_calls()) == 2 and rows, "the records", 30)
            assert {row["hangup_cause_code"] for row in rows} == {4000}
