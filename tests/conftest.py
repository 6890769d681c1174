"""Fixtures: the server under test and the customer's application."""

import pytest

from harness.customer_app import CustomerApp
from harness.server import Server


@pytest.fixture
def server():
    with Server() as running:
        yield running


@pytest.fixture(scope="module")
def shared_server():
    with Server() as running:
        yield running


@pytest.fixture
def customer():
    with CustomerApp() as app:
        yield app
