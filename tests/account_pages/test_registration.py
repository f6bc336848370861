"""Registration: an account exists only once its address is proved."""

import re
from collections.abc import Callable

import pyotp
import pytest
from flask import Flask

from authsvc import accounts
from authsvc.core import db
from tests.conftest import Clock
from tests.people import PASSWORD, Outbox, Person, Visitor

FORM = {"username": "alice", "email": "alice@example.test", "password": PASSWORD}


def exists(app: Flask, username: str) -> bool:
    """True when there is such an account."""
    with app.app_context(), db.transaction():
        return accounts.find(username) is not None


def test_a_confirmed_registration_leads_to_the_security_page(app: Flask, client: Visitor, outbox: Outbox) -> None:
    assert client.post("/register", **FORM).location == "/register/confirm"
    assert not exists(app, "alice")
    answer = client.post("/register/confirm", code=outbox.code("alice@example.test"))
    assert answer.location == "/account"
    assert client.signed_in()
    assert exists(app, "alice")


@pytest.mark.attack("L08")
def test_a_taken_address_gives_the_same_page_and_its_owner_a_mail(
    app: Flask, client: Visitor, make_account: Callable[..., Person], outbox: Outbox
) -> None:
    make_account("first", email="alice@example.test")
    taken = client.post("/register", **FORM)
    free = client.post("/register", **{**FORM, "email": "b@example.test"})
    assert (taken.status_code, taken.location) == (free.status_code, free.location)
    page = client.get("/register/confirm")
    assert page.status_code == 200
    assert "ends" in page.text
    (mail,) = outbox.to("alice@example.test")
    assert mail["Subject"] == "This address belongs to first already"


def test_the_confirmation_pages_of_a_taken_and_a_free_address_are_alike(
    client: Visitor, make_account: Callable[..., Person], new_client: Callable[[], Visitor]
) -> None:
    make_account("first", email="taken@example.test")
    pages = []
    for address in ("taken@example.test", "fresh@example.test"):
        visitor = new_client()
        visitor.post("/register", **{**FORM, "email": address})
        page = visitor.get("/register/confirm").text.replace(address, "ADDRESS")
        pages.append(re.sub(r'(csrf_token" value|nonce)="[^"]+"', "", page))
    assert pages[0] == pages[1]


@pytest.mark.attack("E12")
@pytest.mark.parametrize("name", ["Alice", "ALICE", " alice "])
def test_another_spelling_of_a_name_is_taken(client: Visitor, make_account: Callable[..., Person], name: str) -> None:
    make_account("alice")
    answer = client.post("/register", **{**FORM, "username": name, "email": "b@example.test"})
    assert answer.status_code == 422
    assert "taken" in answer.text


@pytest.mark.parametrize("name", ["аlice", "ali\u200dce", "al ice", "-alice", "a" * 40, "admin", "alice\u0131"])
def test_names_that_could_be_mistaken_are_refused(client: Visitor, name: str) -> None:
    assert client.post("/register", **{**FORM, "username": name}).status_code == 422


@pytest.mark.parametrize(
    "password",
    ["short", "x" * 14, "x" * 1025, "aaaaaaaaaaaaaaaaaaaa", "alice likes long walks", "authsvc likes long walks",
     "passwordpassword", "qwertyuiopasdfgh"],
)  # fmt: skip
def test_passwords_that_are_tried_first_are_refused_and_the_rest_is_kept(client: Visitor, password: str) -> None:
    answer = client.post("/register", **{**FORM, "password": password})
    assert answer.status_code == 422
    assert 'value="alice@example.test"' in answer.text
    assert password not in answer.text.replace("aaaaaaaaaaaaaaaaaaaa", "")


def test_any_characters_make_a_password(client: Visitor, outbox: Outbox) -> None:
    password = "  Ünïcode 🔑 and trailing space  "
    client.post("/register", **{**FORM, "password": password})
    client.post("/register/confirm", code=outbox.code("alice@example.test"))
    client.post("/logout")
    assert client.post("/login", username="alice", password=password.strip()).status_code == 401
    assert client.post("/login", username="alice", password=password).status_code == 303


@pytest.mark.parametrize(("seconds", "status"), [(599, 303), (600, 401)])
def test_the_code_lives_ten_minutes(client: Visitor, outbox: Outbox, clock: Clock, seconds: int, status: int) -> None:
    client.post("/register", **FORM)
    code = outbox.code("alice@example.test")
    clock.advance(seconds=seconds)
    assert client.post("/register/confirm", code=code).status_code == status


def test_a_name_that_went_to_somebody_else_meanwhile_is_told_plainly(
    client: Visitor, outbox: Outbox, make_account: Callable[..., Person]
) -> None:
    client.post("/register", **FORM)
    code = outbox.code("alice@example.test")
    make_account("alice", email="other@example.test")
    assert client.post("/register/confirm", code=code).status_code == 409


@pytest.mark.attack("A05")
def test_extra_fields_set_nothing(app: Flask, client: Visitor, outbox: Outbox) -> None:
    client.post("/register", **FORM, is_staff="1", verified_at="2020-01-01")
    client.post("/register/confirm", code=outbox.code("alice@example.test"))
    with app.app_context(), db.transaction():
        found = accounts.find("alice")
        assert found
        assert not found.is_staff


def test_a_newcomers_first_authenticator_is_senior_at_once(
    app: Flask, client: Visitor, outbox: Outbox, clock: Clock
) -> None:
    client.post("/register", **FORM)
    client.post("/register/confirm", code=outbox.code("alice@example.test"))
    step_up = client.post("/account/enrol", way="totp").location
    proved = client.post(step_up, way="password", password=PASSWORD, code=outbox.code("alice@example.test"))
    page = client.get(proved.location).text
    found = re.search(r'id="secret">([A-Z2-7 ]+)<', page)
    assert found
    seed = found[1].replace(" ", "")
    client.post("/account/enrol/totp", code=pyotp.TOTP(seed).at(clock.now))
    codes = re.findall(r"<li><code>([\d ]+)</code>", client.get("/account/enrol/now").text)
    assert len(codes) == 10
    with app.app_context(), db.transaction():
        account = accounts.find("alice")
        assert account
        assert accounts.enrolled(account.id, now=clock.now) == []  # not before a code is typed back
    assert client.post("/account/enrol/codes", code=codes[3]).location == "/account"
    with app.app_context(), db.transaction():
        assert [a.senior for a in accounts.enrolled(account.id, now=clock.now)] == [True]
