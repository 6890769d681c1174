"""Plivo's published Python SDK against the real binary: every Endpoint and Application operation."""

import plivo
import pytest
from plivo.exceptions import AuthenticationError, ResourceNotFoundError, ValidationError
import plivo.rest.client


@pytest.fixture
def client(shared_server, monkeypatch):
    # The SDK has no base-URL option for voice resources: it reads this constant at each request.
    for constant in ("PLIVO_API_BASE_URI", "API_VOICE_BASE_URI", "API_VOICE_BASE_URI_FALLBACK_1",
                     "API_VOICE_BASE_URI_FALLBACK_2"):
        monkeypatch.setattr(plivo.rest.client, constant, f"{shared_server.base_url}/v1/Account", raising=False)
    return plivo.RestClient(shared_server.api["auth_id"], shared_server.api["auth_token"])


@pytest.fixture
def application(client):
    created = client.applications.create("Sdk-App", answer_url="https://hooks.example.com/answer")
    yield created.app_id
    try:
        client.applications.delete(created.app_id, cascade=False)
    except ResourceNotFoundError:
        pass


def test_an_endpoint_lives_from_create_to_delete(client, shared_server, application):
    created = client.endpoints.create("carol", "s3cret-pw", "Carol-Desk", app_id=application)
    assert created.message == "created"
    assert created.username.startswith("carol") and created.username[5:].isdigit() and len(created.username) == 17
    found = client.endpoints.get(created.endpoint_id)
    assert (found.username, found.alias, found.sip_registered) == (created.username, "Carol-Desk", "false")
    assert found.sip_uri == f"sip:{created.username}@{shared_server.domain}"
    assert found.application == f"/v1/Account/{client.auth_id if hasattr(client, 'auth_id') else shared_server.api['auth_id']}/Application/{application}/"
    assert not hasattr(found, "sip_contact")
    assert client.endpoints.update(created.endpoint_id, alias="Carol-Home").message == "changed"
    assert client.endpoints.get(created.endpoint_id).alias == "Carol-Home"
    client.endpoints.delete(created.endpoint_id)
    with pytest.raises(ResourceNotFoundError) as gone:
        client.endpoints.get(created.endpoint_id)
    assert "not found" in str(gone.value)


def test_lists_are_paged_newest_first(client):
    made = [client.endpoints.create(f"page{c}", "s3cret-pw", "p") for c in "abc"]
    first = client.endpoints.list(limit=2, offset=0)
    assert first.meta.limit == 2 and first.meta.offset == 0
    assert [e.endpoint_id for e in first.objects] == [made[2].endpoint_id, made[1].endpoint_id]
    assert "offset=2" in first.meta.next
    walked = [e.endpoint_id for e in client.endpoints]
    assert len(walked) == len(set(walked)) == first.meta.total_count
    for endpoint in made:
        client.endpoints.delete(endpoint.endpoint_id)


@pytest.mark.parametrize("username,password,alias", [
    ("1alice", "s3cret-pw", "x"), ("al_ice", "s3cret-pw", "x"), ("a" * 26, "s3cret-pw", "x"),
    ("alice", "abcd", "x"), ("alice", "x" * 33, "x"), ("alice", "s3cret-pw", "x" * 51)])
def test_field_rules_are_the_contracts(client, username, password, alias):
    with pytest.raises(ValidationError):
        client.endpoints.create(username, password, alias)


def test_an_application_lives_from_create_to_delete(client):
    created = client.applications.create("Front-Desk", answer_url="https://hooks.example.com/answer")
    found = client.applications.get(created.app_id)
    assert (found.app_name, found.answer_method, found.hangup_url) == \
        ("Front-Desk", "POST", "https://hooks.example.com/answer")
    changed = client.applications.update(created.app_id, answer_url="https://hooks.example.com/two",
                                         hangup_url="https://hooks.example.com/bye", hangup_method="GET")
    assert changed.message == "changed"
    found = client.applications.get(created.app_id)
    assert (found.answer_url, found.hangup_url, found.hangup_method) == \
        ("https://hooks.example.com/two", "https://hooks.example.com/bye", "GET")
    listed = client.applications.list(app_name="Front")
    assert [a.app_id for a in listed.objects] == [created.app_id]
    client.applications.delete(created.app_id)
    with pytest.raises(ResourceNotFoundError):
        client.applications.get(created.app_id)


def test_deleting_an_application_takes_its_endpoints_unless_told_otherwise(client):
    first = client.applications.create("First", answer_url="https://hooks.example.com/1").app_id
    second = client.applications.create("Second", answer_url="https://hooks.example.com/2").app_id
    endpoint = client.endpoints.create("dave", "s3cret-pw", "d", app_id=first).endpoint_id
    client.applications.delete(first, cascade=False, new_endpoint_application=second)
    assert client.endpoints.get(endpoint).application.endswith(f"/Application/{second}/")
    client.applications.delete(second)
    with pytest.raises(ResourceNotFoundError):
        client.endpoints.get(endpoint)


def test_finished_calls_are_listed(client):
    listed = client.calls.list(limit=5)
    assert listed.meta.limit == 5 and listed.objects == []
    with pytest.raises(ResourceNotFoundError):
        client.calls.get("3f0c5f0e-6a5a-4a63-9c3e-2a0f6f3c1b11")


def test_a_wrong_token_is_refused(client, shared_server, monkeypatch):
    stranger = plivo.RestClient(shared_server.api["auth_id"], "0" * 40)
    with pytest.raises(AuthenticationError):
        stranger.endpoints.get("41827364509182")
