"""The three REST faces against bad input and other tenants, over real sockets (hard cases H01, H03-H06, H09, H11, H15, H20)."""

import concurrent.futures
import re
import socket
import subprocess

import pytest
import requests

from harness.server import BINARY, Server


class Account:
    """An account's credentials at the three faces; every request is fresh, none shares a connection."""

    def __init__(self, base, auth_id, token, user, bandwidth_token, secret):
        self.base, self.auth_id, self.token = base, auth_id, token
        self.user, self.bandwidth_token, self.secret = user, bandwidth_token, secret

    @staticmethod
    def of(server):
        keys = server.api["bandwidth"]
        return Account(server.base_url, server.api["auth_id"], server.api["auth_token"], keys["user_id"],
                       keys["token"], keys["secret"])

    def plivo(self, method, path, **more):
        return requests.request(method, f"{self.base}/v1/Account/{self.auth_id}{path}", timeout=10,
                                auth=(self.auth_id, self.token), **more)

    def vobiz(self, method, path, **more):
        return requests.request(method, f"{self.base}/api/v1/Account/{self.auth_id}{path}", timeout=10,
                                headers={"X-Auth-ID": self.auth_id, "X-Auth-Token": self.token}, **more)

    def bandwidth(self, method, path, **more):
        return requests.request(method, f"{self.base}/v1/users/{self.user}{path}", timeout=10,
                                auth=(self.bandwidth_token, self.secret), **more)

    def made(self, path, **body):
        """The id of a new Bandwidth resource."""
        answer = self.bandwidth("POST", path, json=body)
        assert answer.status_code == 201, answer.text
        return answer.headers["Location"].rsplit("/", 1)[1]


@pytest.fixture
def account(shared_server):
    return Account.of(shared_server)


@pytest.fixture
def stranger(shared_server):
    """A second account, made by the command line beside the running server."""
    done = subprocess.run([BINARY, "account", "create", "--name", "second", "--data-dir", shared_server.data_dir],
                          capture_output=True, text=True, timeout=10)
    assert done.returncode == 0, done.stderr
    value = lambda name: re.search(rf"^{name} +(\S+)$", done.stdout, re.M).group(1)  # noqa: E731
    return Account(shared_server.base_url, value("auth id"), value("auth token"), value("Bandwidth user"),
                   value("Bandwidth token"), value("Bandwidth secret"))


def test_h03_nobody_sees_or_touches_what_is_another_accounts(account, stranger):
    app = account.plivo("POST", "/Application/", json={"app_name": "A", "answer_url": "https://h.example.com/"})
    app = app.json()["app_id"]
    endpoint = account.vobiz("POST", "/Endpoint/", json={"username": "theirs", "password": "s3cret-pw9"})
    endpoint = endpoint.json()["endpoint_id"]
    domain = account.made("/domains", name="theirs")
    phone = account.made(f"/domains/{domain}/endpoints", name="desk", credentials={"password": "s3cret"})
    own_domain = stranger.made("/domains", name="mine")
    numbered = [f"/Endpoint/{endpoint}/", f"/Application/{app}/"]
    named = [f"/domains/{domain}", f"/domains/{domain}/endpoints/{phone}", f"/domains/{own_domain}/endpoints/{phone}"]
    for method in ("GET", "POST", "DELETE"):
        for ask, paths in ((stranger.plivo, numbered), (stranger.vobiz, numbered), (stranger.bandwidth, named)):
            for path in paths:
                answer = ask(method, path, json={"alias": "x", "description": "x", "enabled": False})
                assert answer.status_code == 404, (method, path, answer.text)
    for path in ("/Endpoint/", "/Application/", "/Call/"):
        assert stranger.plivo("GET", path).json()["objects"] == stranger.vobiz("GET", path).json()["objects"] == []
    attach = stranger.plivo("POST", "/Endpoint/", json={"username": "a", "password": "s3cret", "alias": "a", "app_id": app})
    assert (attach.status_code, attach.json()["error"]) == (400, "app_id parameter is not valid")
    # The same name is free in another account, and neither account's credentials open the other's path.
    mine = stranger.vobiz("POST", "/Endpoint/", json={"username": "theirs", "password": "s3cret-pw9"})
    assert mine.status_code == 201
    wrong = Account(account.base, account.auth_id, stranger.token, account.user, stranger.bandwidth_token, stranger.secret)
    assert [wrong.plivo("GET", "/Endpoint/").status_code, wrong.vobiz("GET", "/Endpoint/").status_code,
            wrong.bandwidth("GET", "/domains").status_code] == [401, 401, 401]
    assert account.vobiz("GET", f"/Endpoint/{endpoint}/").json()["alias"] == ""


def test_h05_bodies_that_two_readers_read_differently_are_refused(account):
    twice = '{"username":"one","username":"two","password":"s3cret-pw9","alias":"x"}'
    for body in (twice, "\ufeff{}", '{"a":1e999}', '{"alias":"\\ud800"}', "[" * 10_000, '{"a":'):
        for answer in (account.plivo("POST", "/Endpoint/", data=body.encode()),
                       account.vobiz("POST", "/Endpoint/", data=body.encode()),
                       account.bandwidth("POST", "/domains", data=body.encode())):
            assert answer.status_code == 400, (body[:40], answer.text)


def test_h05_every_face_says_in_its_own_words_that_a_body_is_too_large(account):
    body = b'{"a":"' + b"x" * 1_100_000 + b'"}'
    plivo, vobiz = account.plivo("POST", "/Endpoint/", data=body), account.vobiz("POST", "/Endpoint/", data=body)
    bandwidth = account.bandwidth("POST", "/domains", data=body)
    assert [plivo.status_code, vobiz.status_code, bandwidth.status_code] == [413, 413, 413]
    assert set(plivo.json()) == set(vobiz.json()) == {"api_id", "error"}
    assert set(bandwidth.json()) == {"category", "code", "message", "details"}
    assert bandwidth.headers["Content-Type"] == "application/json"


def test_h06_wrong_framing_is_refused_and_the_connection_is_closed(shared_server):
    host, port = shared_server.base_url.split("//")[1].split(":")
    head = f"POST /v1/Account/{shared_server.api['auth_id']}/Endpoint/ HTTP/1.1\r\nHost: x\r\n"
    for framing in ("Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}abc", "Content-Length: -5\r\n\r\n",
                    "Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n", "Transfer-Encoding: gzip\r\n\r\n"):
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall((head + framing).encode())
            answer = b""
            while data := connection.recv(65536):
                answer += data
            assert answer.startswith(b"HTTP/1.1 400 "), (framing, answer)


def test_h09_of_fifty_creates_of_one_name_exactly_one_succeeds(account):
    def create(_):
        return account.vobiz("POST", "/Endpoint/", json={"username": "race", "password": "s3cret-pw9"}).status_code

    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        assert sorted(pool.map(create, range(50))) == [201] + [409] * 49


def test_h20_a_refused_update_changes_nothing(account):
    endpoint = account.vobiz("POST", "/Endpoint/", json={"username": "whole", "password": "s3cret-pw9", "alias": "before"})
    path = f"/Endpoint/{endpoint.json()['endpoint_id']}/"
    for wrong in ({"allow_phones": False}, {"username": "other"}, {"password": "short"}, {"application": "999"},
                  {"allow_voice": "maybe"}, {"password": "with\r\nbreak"}):
        assert account.vobiz("POST", path, json={"alias": "after", **wrong}).status_code == 400, wrong
    assert account.vobiz("GET", path).json()["alias"] == "before"


INSIDE = ["127.0.0.1", "[::1]", "0.0.0.0", "0", "169.254.169.254", "[::ffff:169.254.169.254]", "2130706433", "0x7f.1",
          "0251.0376.0251.0376", "h.example.com@127.0.0.1", "h.example.com\\@127.0.0.1", "localhost", "a.localhost.",
          "10.1.2.3", "192.168.0.1", "[fd00::1]", "[fe80::1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "100.100.100.200",
          "\uff11\uff12\uff17.0.0.1", "%31%32%37.0.0.1", "h.example.com/a\r\nX: y"]


def test_h11_no_spelling_of_an_inside_address_is_taken_by_any_face_and_h15_one_account_has_its_pace():
    with Server(environment={"OFFHOOK_EGRESS__ALLOW": "", "OFFHOOK_LIMITS__REQUESTS_PER_SECOND": "40"}) as server:
        account = Account.of(server)
        for url in [f"http://{host}/" for host in INSIDE] + ["file:///etc/passwd", "gopher://h/", "//h.example.com/"]:
            body = {"app_name": "x", "answer_url": url}
            assert account.plivo("POST", "/Application/", json=body).status_code == 400, url
            assert account.vobiz("POST", "/Application/", json=body).status_code == 400, url
            body = {"name": "x", "incomingCallUrl": url}
            assert account.bandwidth("POST", "/applications", json=body).status_code == 400, url
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda _: account.plivo("GET", "/Endpoint/"), range(400)))
        refused = [answer for answer in answers if answer.status_code != 200]
        assert refused and {answer.status_code for answer in refused} == {429}
        assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
        # Who does not prove an account uses up nothing of it, and is told nothing else.
        wrong = Account(account.base, account.auth_id, "x" * 40, account.user, account.bandwidth_token, "x")
        assert wrong.plivo("GET", "/Endpoint/").status_code == wrong.bandwidth("GET", "/domains").status_code == 401
