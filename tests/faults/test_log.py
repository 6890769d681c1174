"""D24: nobody reads the log, and its pipe is full: calls go on, and what was lost is told when it is read again."""

import fcntl
import threading

from harness.agent import Agent
from harness.server import Server

CALLS = 60


class Unread(Server):
    """A server whose log is read when a test says so, through a pipe that holds little."""

    def _drain(self, stream):
        fcntl.fcntl(stream, fcntl.F_SETPIPE_SZ, 4096)


def test_d24_calls_go_on_while_nobody_reads_the_log():
    with Unread(environment={"OFFHOOK_LOG": "trace"}) as server:
        with Agent(server, server.endpoint("caller")[0]) as caller, Agent(server, server.endpoint("callee")[0]) as callee:
            assert callee.register().status == 200
            for _ in range(CALLS):
                call = caller.invite(callee.user)
                callee.incoming().refuse(486)
                assert call.refused().status == 486
        assert server.health()["status"] == "ok"
        # It is still written, in order.
        log = [server.process.stderr.readline() for _ in range(100)]
        assert all(line.endswith("\n") for line in log) and "the directory is loaded" in "".join(log)
        threading.Thread(target=super(Unread, server)._drain, args=(server.process.stderr,), daemon=True).start()
