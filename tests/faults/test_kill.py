"""SIGKILL in the middle of registrations and REST creates: every acknowledged one is there after the restart."""

import concurrent.futures
import json
import subprocess
import tempfile
import threading

import requests

from harness import wait
from harness.server import ROOT, Server

SIPLOAD = ROOT / "tools" / "sipload" / "target" / "release" / "sipload"
REGISTRATIONS = 1000
CREATES = 200


def test_nothing_that_was_acknowledged_is_lost_by_a_crash():
    """D01, D03."""
    with tempfile.TemporaryDirectory(prefix="offhook-kill-") as folder:
        server = Server(folder).start()
        host, port = server.sip_address()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            users = list(pool.map(lambda n: server.endpoint(f"reg{n % 20 * 'x'}", "correct-horse"),
                                  range(REGISTRATIONS)))
        creds = f"{folder}/creds.csv"
        with open(creds, "w") as out:
            out.writelines(f"{user},{password}\n" for user, password, _ in users)

        created, stop = [], threading.Event()

        def create(n):
            if stop.is_set():
                return
            try:
                answer = server.plivo("POST", "/Endpoint/", json={"username": "made", "password": "correct-horse",
                                                                  "alias": f"n{n}"})
                if answer.status_code == 201:
                    created.append(answer.json()["endpoint_id"])
            except requests.RequestException:
                stop.set()

        load = subprocess.Popen(
            [str(SIPLOAD), "register", "--server", f"{host}:{port}", "--domain", server.domain, "--creds", creds,
             "--users", str(REGISTRATIONS), "--rate", "1500", "--conc", "200", "--timeout", "2", "--ack-log",
             f"{folder}/acked", "--run-id", "kill", "--allow-errors", "--quiet", "--bind", "127.0.0.1:17910"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for n in range(CREATES):
                pool.submit(create, n)
            wait.until(lambda: len(created) >= CREATES // 4 and bindings(server) >= REGISTRATIONS // 4,
                       "a part of both to be acknowledged", step=0.01)
            server.kill()
            stop.set()
        load.communicate(timeout=60)
        acked = lines(f"{folder}/acked.0")
        assert REGISTRATIONS // 4 <= len(acked) and CREATES // 4 <= len(created)

        with Server(folder, sip=f"{host}:{port}") as again:
            assert again.ready["api"] == server.ready["api"] | {"base_url": again.ready["api"]["base_url"]}
            missing = [e for e in created if again.plivo("GET", f"/Endpoint/{e}/").status_code != 200]
            assert missing == []
            query = subprocess.run(
                [str(SIPLOAD), "query", "--server", f"{host}:{port}", "--domain", again.domain, "--creds", creds,
                 "--users", str(REGISTRATIONS), "--ack-log", f"{folder}/found", "--run-id", "kill", "--quiet",
                 "--allow-errors", "--bind", "127.0.0.1:17910"], capture_output=True, text=True, timeout=120)
            found = lines(f"{folder}/found.0")
            assert acked - found == set(), query.stdout + query.stderr


def lines(path):
    return set(open(path).read().split())


def bindings(server):
    try:
        return server.health()["bindings"]
    except (requests.RequestException, json.JSONDecodeError):
        return 0


def test_a_call_that_a_crash_cut_is_closed_and_told_at_the_restart(customer):
    from harness.phone import Phone

    with tempfile.TemporaryDirectory(prefix="offhook-kill-") as folder:
        server = Server(folder).start()
        alice, bob = server.ready["endpoints"][:2]
        customer.documents["/answer"] = \
            f"<Response><Dial><User>{bob['sip_uri']}</User></Dial></Response>"
        app = server.application("Crash", answer_url=customer.url("/answer"), hangup_url=customer.url("/hangup"))
        server.plivo("POST", f"/Endpoint/{alice['endpoint_id']}/", json={"app_id": app})
        with Phone(server, alice["username"], alice["password"], 1013) as one, \
                Phone(server, bob["username"], bob["password"], 613) as two:
            one.register()
            two.register()
            one.dial(bob["sip_uri"])
            two.wait_for("CALL_INCOMING")
            two.accept()
            one.wait_for("CALL_ESTABLISHED")
            server.kill()
            with Server(folder) as again:
                told = customer.wait_for("/hangup")[0]
                assert told["Event"] == "Hangup" and told["HangupSource"] == "Error"
                rows = wait.until(lambda: len(r := again.finished_calls()) == 2 and r, "both legs to be closed")
                assert {r["hangup_source"] for r in rows} == {"Error"}
                assert all(r["end_time"] for r in rows)
