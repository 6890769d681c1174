"""Vobiz's published Python SDK against the real binary: every Endpoint and Application operation."""

import pytest
import vobiz
import vobiz.resources.applications
from requests.adapters import HTTPAdapter


class Redirected(HTTPAdapter):
    """Sends what is meant for the vendor's host to the server under test."""

    def __init__(self, base_url):
        super().__init__()
        self.base_url = base_url

    def send(self, request, **kwargs):
        request.url = request.url.replace("https://api.vobiz.ai", self.base_url)
        return super().send(request, **kwargs)


@pytest.fixture
def client(shared_server):
    made = vobiz.RestClient(shared_server.api["auth_id"], shared_server.api["auth_token"])
    made.session.mount("https://api.vobiz.ai/", Redirected(shared_server.base_url))
    return made


def value(answer, key):
    return answer[key] if isinstance(answer, dict) else getattr(answer, key)


def test_an_endpoint_lives_from_create_to_delete(client, shared_server):
    app = value(client.applications.create("Reception desk", "https://hooks.example.com/answer"), "app_id")
    created = client.endpoints.create("lobby_1", "Correct#Horse9", alias="Lobby's Phone", application=app)
    endpoint = value(created, "endpoint_id")
    assert value(created, "username") == "lobby_1"
    assert value(created, "sip_uri") == f"sip:lobby_1@{shared_server.domain}"
    found = client.endpoints.get(endpoint)
    assert (value(found, "username"), value(found, "sip_registered"), value(found, "sip_contact")) == \
        ("lobby_1", "false", None)
    assert value(found, "allow_video") is False and value(found, "allow_voice") is True
    listed = client.endpoints.list(username__startswith="lobby")
    objects = value(listed, "objects")
    assert [value(o, "endpoint_id") for o in objects] == [endpoint]
    client.endpoints.update(endpoint, alias="Hall", allow_video=True)
    found = client.endpoints.get(endpoint)
    assert (value(found, "alias"), value(found, "allow_video")) == ("Hall", True)
    client.endpoints.delete(endpoint)
    with pytest.raises(Exception):
        client.endpoints.get(endpoint)
    client.applications.delete(app)


def test_a_name_that_is_taken_is_a_conflict(client):
    first = value(client.endpoints.create("twice", "Correct#Horse9"), "endpoint_id")
    with pytest.raises(Exception) as refused:
        client.endpoints.create("twice", "Correct#Horse9")
    assert "already exists" in str(refused.value)
    client.endpoints.delete(first)


@pytest.mark.parametrize("username,password", [("has-hyphen", "Correct#Horse9"), ("has blank", "Correct#Horse9"),
                                                ("short", "1234567")])
def test_field_rules_are_the_contracts(client, username, password):
    with pytest.raises(Exception):
        client.endpoints.create(username, password)


def test_an_application_lives_from_create_to_delete(client):
    app = value(client.applications.create("Night (bell)", "https://hooks.example.com/night"), "app_id")
    found = client.applications.get(app)
    assert (value(found, "app_name"), value(found, "answer_method")) == ("Night (bell)", "POST")
    client.applications.update(app, answer_url="https://hooks.example.com/other")
    assert value(client.applications.get(app), "answer_url") == "https://hooks.example.com/other"
    assert app in [value(o, "app_id") for o in value(client.applications.list(), "objects")]
    client.applications.delete(app)
    with pytest.raises(Exception):
        client.applications.get(app)
