"""Leaked passwords: refused when new, replaced at sign-in, and never a reason to stop when nobody answers."""

import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest
from flask import Flask

from authsvc.adapters import HttpClient
from authsvc.adapters.hibp import BreachedPasswords
from tests import servers
from tests.people import PASSWORD, Outbox, Person, Visitor

NEW = "seven quiet otters paint the harbour"
DIGEST = hashlib.sha1(PASSWORD.encode(), usedforsecurity=False).hexdigest().upper()


@pytest.fixture
def range_service(app: Flask, web_server: servers.Web) -> servers.Web:
    """A breached-password range service on loopback; it knows nothing yet."""
    parts = app.extensions["authsvc.adapters"]
    app.extensions["authsvc.adapters"] = replace(parts, breaches=BreachedPasswords(HttpClient(), web_server.url))
    return web_server


def leak(service: servers.Web) -> None:
    """From now on the service knows PASSWORD."""
    service.answers[f"/range/{DIGEST[:5]}"] = {"http": 200, "raw": f"{DIGEST[5:]}:42\r\n"}


def test_a_leaked_password_is_refused_at_registration(client: Visitor, range_service: servers.Web) -> None:
    leak(range_service)
    answer = client.post("/register", username="alice", email="alice@example.test", password=PASSWORD)
    assert answer.status_code == 422
    assert "leaked passwords" in answer.text


def test_a_silent_service_stops_nobody(client: Visitor, range_service: servers.Web, outbox: Outbox) -> None:
    answer = client.post("/register", username="alice", email="alice@example.test", password=PASSWORD)
    assert answer.status_code == 303
    assert client.post("/register/confirm", code=outbox.code("alice@example.test")).location == "/account"


def test_a_password_that_leaked_is_replaced_before_the_sign_in_completes_and_begins_a_hold(
    client: Visitor, range_service: servers.Web, make_account: Callable[..., Person], outbox: Outbox
) -> None:
    alice = make_account()
    leak(range_service)
    client.post("/login", username="alice", password=PASSWORD)
    client.post("/login/code", code=outbox.code(alice.email))
    page = client.get("/login/next")
    assert "Choose a new password" in page.text
    assert not client.signed_in()
    assert client.post("/login/new-password", new_password=PASSWORD).status_code == 422
    assert client.post("/login/new-password", new_password=NEW).location == "/account"
    assert "Some actions wait" in client.get("/account").text
    assert client.post("/login", username="alice", password=PASSWORD).status_code == 401


def test_a_password_once_found_clean_is_not_asked_about_again(
    client: Visitor, range_service: servers.Web, make_account: Callable[..., Person]
) -> None:
    make_account()
    range_service.answers[f"/range/{DIGEST[:5]}"] = {"http": 200, "raw": "0" * 35 + ":1\r\n"}
    client.post("/login", username="alice", password=PASSWORD)
    leak(range_service)
    client.post("/login", username="alice", password=PASSWORD)
    assert "Check your mail" in client.get("/login/next").text
