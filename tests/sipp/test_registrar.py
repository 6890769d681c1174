"""What the registrar keeps and refuses, message by message: RFC 3261 §10.3, RFC 7616 §3.4, hard cases S50 to S69."""

import uuid

import pytest

from harness import wait
from harness.agent import Agent, Tcp, Udp, WebSocket
from harness.server import Server
from harness.wire import Wire

ALIASES = ["phone.plivo.com", "sip.vobiz.ai", "registrar.vobiz.ai", "PHONE.Plivo.Com", "127.0.0.1"]


@pytest.fixture
def phone(shared_server):
    user, _, endpoint_id = shared_server.endpoint("phone")
    with Agent(shared_server, user) as agent:
        agent.endpoint_id = endpoint_id
        yield agent


def contacts(response):
    """The bound addresses, without what is left of their time."""
    return sorted(value.split(">")[0].strip("<") for value in response.all("contact"))


def at(phone, port):
    return f"sip:{phone.user}@127.0.0.1:{port}"


def header(*values):
    return "".join(f"Contact: {value}\n" for value in values)


def bound(phone):
    return contacts(phone.register(contact="", expires=None))


def test_bindings_come_and_go_one_by_one_and_all_at_once(phone):
    one, two, three = at(phone, 7001), at(phone, 7002), at(phone, 7003)
    assert contacts(phone.register(header(f"<{one}>"))) == [one]
    assert contacts(phone.register(header(f"<{two}>;q=0.5", f"<{three}>"))) == [one, two, three]
    assert contacts(phone.register(header(f"<{two}>;expires=0"))) == [one, three]
    assert bound(phone) == [one, three]
    assert contacts(phone.register(header("*"), expires=0)) == []
    assert contacts(phone.register(header("*"), expires=0)) == []
    assert bound(phone) == []


@pytest.mark.parametrize("lines,expires", [
    (header("*"), 60),
    (header("*", "<sip:x@127.0.0.1:7001>"), 0),
    (header("<sip:x@127.0.0.1:7001>", "not a contact <"), 300),
    (header("<tel:+15551234>"), 300),
])
def test_bad_contacts_are_400_and_change_nothing(phone, lines, expires):
    """S50, S51."""
    phone.register(header(f"<{at(phone, 7009)}>"))
    assert phone.register(lines, expires=expires).status == 400
    assert bound(phone) == [at(phone, 7009)]


def test_an_expiry_is_granted_cut_defaulted_or_too_brief(phone):
    """S52, S53."""
    def seconds(expires):
        answer = phone.register(header(f"<{at(phone, 7001)}>"), expires=expires)
        return int(answer.get("contact").split("expires=")[1]) if answer.status == 200 else answer
    assert seconds(120) == 120
    assert seconds(2 ** 40) == seconds(2 ** 32) == seconds(99999) == 7200
    assert seconds("Thu, 01 Dec 1994 16:00:00 GMT") == seconds(None) == 3600
    brief = seconds(59)
    assert (brief.status, brief.get("min-expires")) == (423, "60")


def test_fifty_contacts_are_refused_and_none_is_kept(phone):
    """S54."""
    many = header(*(f"<{at(phone, 7000 + n)}>" for n in range(50)))
    assert phone.register(many).status == 403
    assert bound(phone) == []


def test_an_old_cseq_of_the_same_call_id_changes_nothing(phone):
    call_id = uuid.uuid4().hex
    assert phone.register(call_id=call_id, cseq=10, expires=600).status == 200
    assert phone.register(call_id=call_id, cseq=5, expires=0).status == 500
    assert len(bound(phone)) == 1


def test_the_same_datagram_again_gets_the_same_answer_and_is_no_replay(phone):
    first = phone.register()
    phone.send(phone.last)
    again = phone.receive()
    assert (again.status, again.get("to"), contacts(again)) == (200, first.get("to"), contacts(first))
    challenge = phone.challenge()
    call_id, uri = uuid.uuid4().hex, f"sip:{phone.domain}"
    burst = phone.text("REGISTER", uri, call_id, 2, f"<sip:{phone.user}@{phone.domain}>",
                       extra=phone.answer_to(challenge, "REGISTER", uri))
    for _ in range(6):
        phone.send(burst)
    # While the commit is pending there is silence; after it, the same 200.
    assert phone.final(call_id, (2, "REGISTER")).status == 200
    phone.silent(0.2, lambda message: message.status != 200)


def try_digest(phone, sender=None, **change):
    sender = sender or phone
    call_id, uri = uuid.uuid4().hex, f"sip:{phone.domain}"
    signed = change.pop("signed", uri)
    line = change.pop("line", None) or phone.answer_to(phone.first, "REGISTER", signed, **change)
    sender.send(sender.text("REGISTER", uri, call_id, 1, f"<sip:{phone.user}@{phone.domain}>", extra=line))
    answer = sender.final(call_id, (1, "REGISTER"))
    return answer.status, "stale=true" in (answer.get("www-authenticate") or "")


def test_a_nonce_count_is_good_once_and_a_digest_for_its_own_request_only(phone):
    """S56 to S63."""
    phone.first = phone.challenge()
    line = phone.answer_to(phone.first, "REGISTER", f"sip:{phone.domain}")
    assert try_digest(phone, line=line) == (200, False)
    assert try_digest(phone, line=line) == (401, True)
    with Agent(phone.server, phone.user) as other:
        assert try_digest(phone, sender=other, line=line) == (401, True)
    assert try_digest(phone) == (200, False)
    assert try_digest(phone, count=1) == (401, True)
    assert try_digest(phone, realm="elsewhere") == (401, False)
    assert try_digest(phone, nonce="deadbeef") == (401, False)
    assert try_digest(phone, response="") == try_digest(phone, response="ab") == (401, False)
    assert try_digest(phone, signed="sip:elsewhere.example") == (400, False)
    assert try_digest(phone, line="Authorization: Basic YTpi\n") == (401, False)
    assert try_digest(phone, line="Authorization: Digest ,,,===\n") == (401, False)


def test_nobody_registers_for_another_and_names_keep_their_case(phone):
    """S55."""
    other, _, _ = phone.server.endpoint("other")
    theirs = f"<sip:{other}@{phone.domain}>"
    assert phone.register(to=theirs).status == 403
    assert phone.register(from_=theirs).status == 403
    assert phone.register(to=f"<sip:{phone.user.upper()}@{phone.domain}>").status == 403
    with Agent(phone.server, phone.user.upper()) as shouting:
        assert shouting.register().status == 401
    assert bound(phone) == []


@pytest.mark.parametrize("domain", ALIASES)
def test_alias_domains_and_the_ip_literal_are_our_own(phone, domain):
    assert phone.register(domain=domain).status == 200
    assert len(bound(phone)) == 1


def test_other_domains_are_not_served(phone):
    assert phone.register(domain="elsewhere.example").status == 404
    assert phone.register(domain="10.1.2.3").status == 404


def test_a_contact_that_is_the_server_itself_is_refused(phone):
    """S72: a call to it would come back."""
    host, port = phone.server.sip_address()
    for address in (f"{host}:{port}", phone.domain, f"{phone.domain}:{port}", f"{host}:{port};transport=tcp",
                    "phone.plivo.com", f"[::ffff:{host}]:{port}"):
        assert phone.register(header(f"<sip:{phone.user}@{address}>")).status == 403, address
    assert bound(phone) == []


def test_refused_user_agents_get_403(phone):
    assert phone.register(extra="User-Agent: VaxSIPUserAgent/4.5\n").status == 403
    assert phone.register(extra="User-Agent: My Ozeki phone\n").status == 403


def test_a_new_password_drops_the_bindings_at_once(phone):
    phone.register()
    path = f"/Endpoint/{phone.endpoint_id}/"
    assert phone.server.plivo("POST", path, json={"password": "other-horse"}).status_code == 202
    assert phone.server.plivo("GET", path).json()["sip_registered"] == "false"
    assert phone.register().status == 401
    phone.password = "other-horse"
    assert phone.register().status == 200


@pytest.mark.parametrize("transport", [Tcp, WebSocket])
def test_a_connection_that_ends_takes_its_binding_along(phone, transport):
    path = f"/Endpoint/{phone.endpoint_id}/"
    with Agent(phone.server, phone.user, transport=transport) as other:
        assert other.register().status == 200
        assert phone.server.plivo("GET", path).json()["sip_registered"] == "true"
    wait.until(lambda: phone.server.plivo("GET", path).json()["sip_registered"] == "false", "the binding to go")


def test_the_browsers_keepalive_is_answered_as_it_wants(shared_server):
    """browser-sdk.md §3: 404 for the administrator of an alias domain, 200 for everybody else."""
    def ask(method, uri, body="", extra=""):
        with Agent(shared_server, transport=Udp) as agent:
            call_id = uuid.uuid4().hex
            agent.send(agent.text(method, uri, call_id, 1, f"<{uri}>", body=body, extra=extra))
            answer = agent.final(call_id, (1, method))
            return answer.status, answer.body
    assert ask("OPTIONS", "sip:admin@phone.plivo.com", "pong") == (404, "")
    assert ask("OPTIONS", f"sip:{shared_server.domain}") == (200, "")
    text = "Content-Type: text/plain\n"
    assert ask("MESSAGE", "sip:admin@phone.plivo.com", "ipAddress", text) == (200, "127.0.0.1")
    assert ask("MESSAGE", "sip:admin@phone.plivo.com", "hello", text) == (407, "")
    assert ask("SUBSCRIBE", f"sip:x@{shared_server.domain}") == (489, "")


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256", "SHA-512-256"])
def test_the_installation_chooses_the_digest_algorithm(algorithm):
    """RFC 8760: one challenge, with the algorithm of `sip.digest`; a digest of another one is challenged again."""
    with Server(environment={"OFFHOOK_SIP__DIGEST": algorithm}) as server, Wire(server) as wire:
        username, password, _ = server.endpoint("hash")
        wire.send(wire.request("REGISTER", f"sip:{server.domain}", username, server.domain))
        challenge = wire.receive()
        assert challenge.count("WWW-Authenticate") == 1 and f"algorithm={algorithm}," in challenge
        assert wire.register(username, password) == 200
        assert wire.register(username, "not-the-password") == 401
