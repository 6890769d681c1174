"""Trunks seen from the telephone network: who is called over which carrier, what it learns, and what may come from it."""

import os
import re
import shutil
import subprocess
import tempfile
import textwrap

import pytest

from harness import wait
from harness.agent import Agent
from harness.carrier import Carrier
from harness.dns import Dns
from harness.phone import free_port
from harness.server import Server
from harness.sipp import Sipp
from registrar.test_registration_events import stream

NUMBER = "15550123"


def trunk(server, name, hosts, **fields):
    """Makes a trunk over REST and returns its id."""
    body = {"name": name, "hosts": hosts, "options_interval": 0, **fields}
    answer = server.plivo("POST", "/Trunk/", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()["trunk_id"]


def shown(server, trunk_id):
    return server.plivo("GET", f"/Trunk/{trunk_id}/").json()


def phone(server, name="caller"):
    user, password, _ = server.endpoint(name)
    agent = Agent(server, user, password)
    assert agent.register().status == 200
    return agent


def talk(agent, number=NUMBER):
    call = agent.invite(number)
    call.answered()
    assert call.bye() == 200


def user_of(value):
    return re.search(r"sips?:([^@>;]+)@", value).group(1)


# --- out ---


def test_a_number_leaves_in_international_form_with_an_allowed_caller_id_and_the_trunks_own_digest(server):
    with Carrier(login=("acme", "s3cret-of-trunk")) as carrier:
        trunk(server, "carrier", [carrier.host], username="acme", password="s3cret-of-trunk", caller_id="15550100",
              trusted=True, from_domain="acme.example")
        talk(phone(server))
        first, second = carrier.came("INVITE")
        assert first.get("proxy-authorization") is None and second.get("proxy-authorization")
        assert (first.cseq, second.cseq) == ((1, "INVITE"), (2, "INVITE"))
        assert first.get("call-id") == second.get("call-id")
        assert user_of(second.uri) == f"+{NUMBER}"
        # The endpoint's name is no number of the account, so the trunk's own is shown.
        assert "sip:+15550100@acme.example" in second.get("from")
        assert "sip:+15550100@acme.example" in second.get("p-asserted-identity")
        assert len(carrier.wait_for("BYE")) == 1


def test_only_a_number_of_the_account_or_an_allowed_one_is_shown(server, customer):
    document = '<Response><Dial callerId="{}"><Number>{}</Number></Dial></Response>'
    app = server.application("Dialler", answer_url=customer.url("/answer"))
    user, password, _ = server.endpoint("shower", application=app)
    agent = Agent(server, user, password)
    assert agent.register().status == 200
    added = server.plivo("POST", "/Number/", json={"numbers": "15550111", "carrier": "c", "region": "US"})
    assert added.status_code == 202, added.text
    with Carrier() as carrier:
        trunk(server, "carrier", [carrier.host], caller_id_prefixes=["4420"], number_format="plain")
        for wanted, seen in [("15550111", "15550111"), ("+44 20 7946 0000", "442079460000"), ("15559999", "anonymous")]:
            customer.documents["/answer"] = document.format(wanted, NUMBER)
            before = len(carrier.came("INVITE"))
            talk(agent)
            assert user_of(carrier.came("INVITE")[before].get("from")) == seen
        assert all(m.get("p-asserted-identity") is None for m in carrier.came("INVITE"))


def test_the_longest_prefix_wins_and_a_route_rewrites_the_number(server):
    with Carrier() as world, Carrier() as london:
        trunk(server, "world", [world.host])
        trunk(server, "london", [london.host], prefixes=[{"prefix": "44", "strip": 2, "prepend": "0"}])
        caller = phone(server)
        talk(caller, "+442079460000")
        talk(caller, NUMBER)
        assert [user_of(m.uri) for m in london.came("INVITE")] == ["02079460000"]
        assert [user_of(m.uri) for m in world.came("INVITE")] == [f"+{NUMBER}"]


@pytest.mark.parametrize("first", [503, None], ids=["answers 503", "is silent"])
def test_a_call_goes_on_to_the_next_carrier(first):
    with Server(environment={"OFFHOOK_TRUNKS__PATIENCE_SECONDS": "1"}) as server, \
            Carrier(answer=first) as bad, Carrier() as good:
        trunk(server, "bad", [bad.host], prefixes=[{"prefix": "", "priority": 1}])
        trunk(server, "good", [good.host], prefixes=[{"prefix": "", "priority": 2}])
        caller = phone(server)
        talk(caller)
        assert len(bad.came("INVITE")) >= 1 and len(good.came("INVITE")) == 1
        rows = wait.until(lambda: [row for row in server.finished_calls() if row["parent_call_uuid"]], "the record")
        assert len(rows) == 1, "one leg was called, over two carriers"


def test_a_host_that_failed_is_tried_last_for_a_while(server):
    with Carrier(answer=503) as bad, Carrier() as good:
        bad_id = trunk(server, "both", [bad.host, good.host])
        caller = phone(server)
        talk(caller)
        talk(caller)
        assert (len(bad.came("INVITE")), len(good.came("INVITE"))) == (1, 2)
        assert "503" in shown(server, bad_id)["last_error"]


def test_a_busy_callee_is_no_reason_to_try_another_carrier(server):
    with Carrier(answer=486) as first, Carrier() as second:
        trunk(server, "first", [first.host], prefixes=[{"prefix": "", "priority": 1}])
        trunk(server, "second", [second.host], prefixes=[{"prefix": "", "priority": 2}])
        assert phone(server).invite(NUMBER).refused().status == 486
        assert not second.came("INVITE")


def test_a_trunk_that_is_full_takes_no_more_and_another_does(server):
    with Carrier() as small, Carrier() as large:
        small_id = trunk(server, "small", [small.host], max_calls=1, prefixes=[{"prefix": "", "priority": 1}])
        large_id = trunk(server, "large", [large.host], prefixes=[{"prefix": "", "priority": 2}])
        caller = phone(server)
        first, second = caller.invite(NUMBER), caller.invite("15550124")
        first.answered(), second.answered()
        assert (shown(server, small_id)["calls"], shown(server, large_id)["calls"]) == (1, 1)
        assert (first.bye(), second.bye()) == (200, 200)
        wait.until(lambda: shown(server, small_id)["calls"] == 0, "the trunk to be free")
        server.plivo("DELETE", f"/Trunk/{large_id}/")
        first = caller.invite(NUMBER)
        first.answered()
        assert caller.invite("15550124").refused().status == 503
        assert first.bye() == 200


def test_srv_records_say_where_a_trunk_is_and_what_is_tried_next():
    with Carrier(answer=503) as first, Carrier() as second:
        records = {
            ("NAPTR", "carrier.test"): [(1, 1, "SIP+D2U", "_sip._udp.carrier.test")],
            ("SRV", "_sip._udp.carrier.test"): [(1, 0, first.port, "a.carrier.test"), (2, 0, second.port, "b.carrier.test")],
            ("A", "a.carrier.test"): ["127.0.0.1"], ("A", "b.carrier.test"): ["127.0.0.1"],
        }
        with Dns(records) as dns, Server(environment={"OFFHOOK_TRUNKS__DNS_SERVER": dns.address}) as server:
            trunk(server, "by name", ["carrier.test"])
            talk(phone(server))
            assert len(first.came("INVITE")) == 1 and len(second.came("INVITE")) == 1
            assert second.came("INVITE")[0].uri == f"sip:+{NUMBER}@carrier.test"
            assert ("NAPTR", "carrier.test") in dns.asked


def test_an_installations_default_trunk_takes_what_no_trunk_of_the_account_does():
    with Carrier() as carrier, Server(environment={"OFFHOOK_TRUNKS__DEFAULT": f"sip:{carrier.host}",
                                                   "OFFHOOK_TRUNKS__COUNTRY_CODE": "44"}) as server:
        talk(phone(server), "02079460000")
        assert [user_of(m.uri) for m in carrier.came("INVITE")] == ["442079460000"]


def test_sipp_is_a_carrier_too(server):
    gateway = free_port()
    trunk(server, "sipp", [f"127.0.0.1:{gateway}"])
    alice = server.ready["endpoints"][0]
    with Sipp(server, "answer", gateway, "gateway", "-") as pstn, \
            Sipp(server, "call", free_port(), alice["username"], alice["password"], called=NUMBER) as one:
        one.finish()
        pstn.finish()


# --- digest leak ---


def test_an_endpoint_that_challenges_our_invite_gets_no_digest(server):
    """A rogue phone answers our INVITE with 401 or 407: neither a trunk's nor an account's password is spent on it."""
    trunk(server, "carrier", ["127.0.0.1:9"], username="acme", password="s3cret-of-trunk")
    rogue, caller = phone(server, "rogue"), phone(server)
    for status, name in [(401, "WWW-Authenticate"), (407, "Proxy-Authenticate")]:
        call = caller.invite(rogue.user)
        incoming = rogue.incoming()
        incoming.refuse(status, extra=f'{name}: Digest realm="{server.domain}", nonce="n{status}", qop="auth"\n')
        assert call.refused().status >= 400
        rogue.silent(0.7, lambda m: m.method == "INVITE")
        assert incoming.invite.get("authorization") is None and incoming.invite.get("proxy-authorization") is None


# --- in ---


def did(server, customer, number="15550100", **numbers):
    customer.documents["/did"] = '<Response><Hangup reason="busy"/></Response>'
    app = server.application("Did", answer_url=customer.url("/did"))
    added = server.plivo("POST", "/Number/", json={"numbers": number, "carrier": "c", "region": "US", "app_id": app, **numbers})
    assert added.status_code == 202, added.text
    return app


def from_carrier(server, number, user="+1 555 7777".replace(" ", ""), **how):
    agent = Agent(server, user, domain="carrier.example")
    call = agent.invite(number, prove=False, **how)
    return agent, call


def test_a_did_call_from_a_trunks_network_reaches_the_application(server, customer):
    did(server, customer)
    trunk(server, "carrier", [], prefixes=[], inbound_networks=["127.0.0.1"])
    _, call = from_carrier(server, "+15550100")
    assert call.refused().status == 486
    asked = customer.wait_for("/did")[0]
    assert (asked["From"], asked["To"], asked["Direction"]) == ("15557777", "15550100", "inbound")
    row = wait.until(lambda: server.finished_calls(), "the record")[0]
    assert (row["from_number"], row["to_number"]) == ("15557777", "15550100")


def test_what_a_trunk_may_not_reach_is_refused(server, customer):
    did(server, customer)
    user, _, _ = server.endpoint("bystander")
    trunk_id = trunk(server, "carrier", [], prefixes=[], inbound_networks=["127.0.0.1"])
    _, call = from_carrier(server, "15559999")
    assert call.refused().status == 404
    # An endpoint on the same address still has to prove its password.
    agent = Agent(server, user)
    assert agent.invite("15550100", prove=False).refused().status == 407
    server.plivo("POST", f"/Trunk/{trunk_id}/", json={"enabled": False})
    _, call = from_carrier(server, "15550100")
    assert call.refused().status in (403, 404)
    assert not customer.received("/did")


def test_a_trunk_in_another_network_is_nobody(server, customer):
    did(server, customer)
    trunk(server, "carrier", [], prefixes=[], inbound_networks=["192.0.2.0/24"])
    for domain in (server.domain, "carrier.example"):
        _, call = from_carrier(server, "15550100", domain=domain)
        assert call.refused().status in (403, 404)
    assert not customer.received("/did")


def test_a_trunk_with_credentials_proves_them_in_its_own_realm(server, customer):
    did(server, customer)
    trunk_id = trunk(server, "pbx", [], prefixes=[], inbound_username="pbx", inbound_password="s3cret-of-pbx")
    realm = shown(server, trunk_id)["realm"]
    for password, status in [("wrong", 407), ("s3cret-of-pbx", 486)]:
        agent = Agent(server, "pbx", password, domain=realm)
        call = agent.invite("15550100", domain=realm, from_=f"<sip:15557777@{realm}>")
        assert call.refused().status == status
    asked = customer.wait_for("/did")
    assert [a["From"] for a in asked if a["Event"] == "StartApp"] == ["15557777"]


def test_a_trunk_has_so_many_calls_at_a_time_in_both_directions(server, customer):
    did(server, customer)
    customer.documents["/did"] = ""
    trunk(server, "carrier", [], prefixes=[], inbound_networks=["127.0.0.1"], max_calls=1)
    gate = customer.hold("/did")
    _, first = from_carrier(server, "15550100")
    customer.wait_for("/did")
    _, second = from_carrier(server, "15550100")
    refused = second.refused()
    assert refused.status == 503 and refused.get("retry-after")
    gate.set()
    assert first.refused(15).status >= 400


# --- health ---


def test_health_is_asked_and_shown_and_a_dead_trunk_is_passed_over(server):
    with Carrier() as dying, Carrier() as spare:
        one = trunk(server, "dying", [dying.host], options_interval=5, prefixes=[{"prefix": "", "priority": 1}])
        two = trunk(server, "spare", [spare.host], options_interval=5, prefixes=[{"prefix": "", "priority": 2}])
        for trunk_id in (one, two):
            wait.until(lambda: shown(server, trunk_id)["status"] == "up", "the trunk to be up")
        dying.options = 503
        wait.until(lambda: shown(server, one)["status"] == "down", "the trunk to be down", 30)
        assert "503" in shown(server, one)["last_error"]
        assert re.search(r"a trunk is down.*" + one, server.logged()) or one in server.logged()
        talk(phone(server))
        assert not dying.came("INVITE") and len(spare.came("INVITE")) == 1
        dying.options = 200
        wait.until(lambda: shown(server, one)["status"] == "up", "the trunk to be up again", 30)


def test_the_accounts_url_and_its_stream_hear_of_a_trunk_that_goes_and_comes(server, customer):
    policy = {"registration_url": customer.url("/events")}
    assert server.plivo("POST", "/Policy/", json=policy).status_code == 202
    auth = (server.api["auth_id"], server.api["auth_token"])
    url = f"{server.base_url}/v1/Account/{auth[0]}/Registration/Event/"
    with Carrier() as carrier, stream(url, auth=auth) as heard:
        made = trunk(server, "carrier", [carrier.host], options_interval=5)
        wait.until(lambda: shown(server, made)["status"] == "up", "the trunk to be up")
        assert heard.empty()
        carrier.options = 503
        name, event = heard.get(timeout=30)
        assert (name, event["event"], event["trunk_id"], event["name"]) == ("trunk_down", "trunk_down", made, "carrier")
        assert "503" in event["reason"]
        carrier.options = 200
        name, event = heard.get(timeout=30)
        assert (name, event["trunk_id"], "reason" in event) == ("trunk_up", made, False)
        told = wait.until(lambda: len(came := customer.received("/events")) == 2 and came, "both callbacks")
    assert [(e["Event"], e["TrunkEvent"], e["TrunkID"]) for e in told] == [("Trunk", "trunk_down", made), ("Trunk", "trunk_up", made)]
    assert list(told[0]) == sorted(told[0]) and "503" in told[0]["Reason"] and "Reason" not in told[1]


# --- registration ---


def test_a_registering_trunk_registers_refreshes_is_called_and_takes_leave(server, customer):
    did(server, customer)
    with Carrier(login=("acme", "s3cret-of-trunk"), expires=8) as carrier:
        trunk_id = trunk(server, "provider", [carrier.host], type="registration", username="acme",
                         password="s3cret-of-trunk", from_domain="carrier.example", prefixes=[])
        state = wait.until(lambda: (s := shown(server, trunk_id))["registration"]["state"] == "registered" and s,
                           "the registration")
        assert state["registration"]["expires_at"]
        first, second = carrier.came("REGISTER")[:2]
        assert first.get("authorization") is None and second.get("authorization")
        assert second.get("to") == "<sip:acme@carrier.example>"
        contact = re.search(r"<([^>]+)>", carrier.bindings[second.get("to")]).group(1)
        assert trunk_id in contact
        # 8 s are refreshed after 4 to 7.2 s.
        carrier.wait_for("REGISTER", 3, timeout=10)
        # The provider calls the contact; the number is in To.
        agent = Agent(server, "15557777", domain="carrier.example")
        assert agent.invite(contact, to="<sip:15550100@carrier.example>", prove=False).refused().status == 486
        assert customer.wait_for("/did")[0]["To"] == "15550100"
        server.plivo("DELETE", f"/Trunk/{trunk_id}/")
        wait.until(lambda: not carrier.bindings, "the farewell")


def test_a_refused_registration_is_shown_and_not_repeated_at_once(server):
    with Carrier(login=("acme", "another")) as carrier:
        trunk_id = trunk(server, "provider", [carrier.host], type="registration", username="acme", password="wrong-one",
                         prefixes=[])
        wait.until(lambda: (shown(server, trunk_id)["registration"] or {}).get("state") == "failed", "the refusal")
        state = shown(server, trunk_id)
        assert state["registration"]["sip_status"] == 401 and "401" in state["last_error"]
        assert len(carrier.came("REGISTER")) == 2


KAMAILIO = """
    #!KAMAILIO
    debug=1
    log_stderror=yes
    fork=no
    children=1
    disable_tcp=yes
    listen=udp:127.0.0.1:{port}
    mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/"
    loadmodule "sl.so"
    loadmodule "tm.so"
    loadmodule "pv.so"
    loadmodule "textops.so"
    loadmodule "maxfwd.so"
    loadmodule "rr.so"
    loadmodule "siputils.so"
    loadmodule "usrloc.so"
    loadmodule "registrar.so"
    loadmodule "auth.so"
    modparam("usrloc", "db_mode", 0)
    modparam("registrar", "min_expires", 60)
    modparam("registrar", "append_branches", 0)
    request_route {{
        if (is_method("OPTIONS")) {{ sl_send_reply("200", "OK"); exit; }}
        if (is_method("REGISTER")) {{
            if (!pv_www_authenticate("carrier.example", "s3cret-of-trunk", "0")) {{
                www_challenge("carrier.example", "1");
                exit;
            }}
            save("location");
            exit;
        }}
        if (loose_route()) {{ t_relay(); exit; }}
        if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
        if (is_method("INVITE")) {{
            record_route();
            $ru = "sip:acme@carrier.example";
            if (!lookup("location")) {{ sl_send_reply("404", "Not registered"); exit; }}
        }}
        t_relay();
    }}
"""


@pytest.mark.skipif(not shutil.which("kamailio"), reason="kamailio is not installed")
def test_kamailio_takes_our_registration_and_calls_us_through_it(server, customer):
    did(server, customer)
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "kamailio.cfg")
        with open(path, "w") as file:
            file.write(textwrap.dedent(KAMAILIO).lstrip().format(port=port))
        process = subprocess.Popen(["kamailio", "-f", path, "-w", folder, "-Y", folder, "-P", f"{folder}/pid", "-DD", "-E"],
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            trunk_id = trunk(server, "provider", [f"127.0.0.1:{port}"], type="registration", username="acme",
                             password="s3cret-of-trunk", from_domain="carrier.example", prefixes=[], options_interval=5)
            wait.until(lambda: (shown(server, trunk_id)["registration"] or {}).get("state") == "registered",
                       "the registration", 20)
            wait.until(lambda: shown(server, trunk_id)["status"] == "up", "OPTIONS", 20)
            agent = Agent(server, "15557777", domain="carrier.example")
            agent.wire.to = ("127.0.0.1", port)
            call = agent.invite("sip:15550100@carrier.example", prove=False)
            assert call.refused(10).status == 486
            assert customer.wait_for("/did")[0]["To"] == "15550100"
        finally:
            process.terminate()
            process.wait(10)
