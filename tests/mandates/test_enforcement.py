"""What a covered person meets, over HTTP: asked to enrol from the very second, and kept from removing the last one."""

import re
from collections.abc import Callable
from datetime import timedelta

import pyotp
import pytest
from flask import Flask

from authsvc import accounts, mandates
from authsvc.core.assurance import Factor
from tests.conftest import Clock
from tests.people import PASSWORD, Outbox, Person, Visitor, kinds
from tests.slices import request_to

MakeAccount = Callable[..., Person]
REASON = "The npm package left-pad, which you maintain, is downloaded 2,400,000 times a week."


@pytest.fixture
def require(app: Flask, clock: Clock) -> Callable[..., None]:
    """Cover somebody, from now or after a while."""

    def cover(person: Person, *, after: timedelta = timedelta(0)) -> None:
        with request_to(app):
            mandates.require(person.id, from_=clock.now + after, reason=REASON, set_by="operator", now=clock.now)

    return cover


def with_password_and_code(client: Visitor, person: Person, outbox: Outbox) -> None:
    """As far as these two lead."""
    client.post("/login", username=person.username, password=PASSWORD)
    client.post("/login/code", code=outbox.code(person.email))


def test_one_second_before_the_day_a_sign_in_completes_and_the_page_announces_it(
    client: Visitor, make_account: MakeAccount, outbox: Outbox, require: Callable[..., None]
) -> None:
    alice = make_account()
    require(alice, after=timedelta(seconds=1))
    with_password_and_code(client, alice, outbox)
    page = client.get("/account")
    assert page.status_code == 200
    assert REASON in page.text
    assert "required from" in page.text


def test_on_the_day_a_sign_in_leads_through_enrolment_and_then_goes_on(
    app: Flask,
    client: Visitor,
    make_account: MakeAccount,
    outbox: Outbox,
    clock: Clock,
    require: Callable[..., None],
) -> None:
    alice = make_account()
    require(alice)
    # A password and a mailed code are not enough.
    with_password_and_code(client, alice, outbox)
    asked = client.get("/login/next")
    assert REASON in asked.text
    assert not client.signed_in()
    # The app's first code and one recovery code typed back are.
    assert client.post("/login/enrol", way="totp").status_code == 303
    shown = re.search(r'<code id="secret">([A-Z2-7 ]+)</code>', client.get("/login/enrol/totp").text)
    assert shown is not None
    client.post("/login/enrol/totp", code=pyotp.TOTP(shown[1].replace(" ", "")).at(clock.now))
    assert not client.signed_in()
    codes = re.findall(r"\b\d{4} \d{4} \d{4} \d{4}\b", client.get("/login/enrol/totp").text)
    client.post("/login/enrol/codes", code=codes[0])
    client.get("/login/next")
    assert client.signed_in()
    assert kinds(app, alice.id, clock.now) == {Factor.TOTP}


def test_the_last_factor_cannot_be_removed_while_another_can(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock, require: Callable[..., None]
) -> None:
    alice = make_account(totp_app=True, key=True)
    client.sign_in(alice, now=clock.now)
    with request_to(app):
        first, second = (a.id for a in accounts.enrolled(alice.id, now=clock.now))
    require(alice)
    assert client.post(f"/account/authenticators/{first}/remove").status_code == 303
    with request_to(app):
        accounts.revoke_authenticator(alice.id, first, now=clock.now)
    refused = client.post(f"/account/authenticators/{second}/remove")
    assert refused.status_code == 403
    assert "This one has to stay" in refused.text


@pytest.mark.attack("T21")
def test_a_session_from_before_the_day_does_nothing_but_enrol(
    client: Visitor, make_account: MakeAccount, clock: Clock, require: Callable[..., None]
) -> None:
    alice = make_account()
    client.sign_in(alice)
    require(alice, after=timedelta(seconds=1))
    assert client.get("/account/password").status_code == 200
    clock.advance(seconds=1)
    refused = client.get("/account/password")
    assert refused.status_code == 403
    assert "A second step comes first" in refused.text
    assert client.get("/device").status_code == 403
    assert client.get("/account").status_code == 200
    assert client.get("/account/enrol").status_code == 200


@pytest.mark.attack("T21")
def test_a_mandate_is_unmet_from_its_day_until_something_that_meets_it_is_enrolled(
    app: Flask, make_account: MakeAccount, clock: Clock, require: Callable[..., None]
) -> None:
    alice, bob = make_account(), make_account("bob", totp_app=True, junior=True)
    for person in (alice, bob):
        require(person, after=timedelta(seconds=1))
    with request_to(app):
        assert not mandates.unmet(alice.id, now=clock.now)
        assert mandates.unmet(alice.id, now=clock.now + timedelta(seconds=1))
        assert not mandates.unmet(bob.id, now=clock.now + timedelta(seconds=1))
