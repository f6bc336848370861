"""What a covered person meets, over HTTP: asked to enrol from the very second, and kept from removing the last one."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pyotp
import pytest
from flask import Flask

from authsvc import accounts, mandates, totp
from authsvc.core import db
from authsvc.core.assurance import Factor
from authsvc.login import banner
from authsvc.policy.cohort import Cohort, Phase
from authsvc.policy.mandate import Strength
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


def cover(app: Flask, person: Person, phase: Phase, clock: Clock) -> None:
    """Give the account the mandate of a phase that names it."""
    with app.app_context():
        with db.transaction():
            mandates.change_phases([phase], reason="A test", set_by="test", now=clock.now)
        mandates.apply(now=clock.now)


def phase_for(person: Person, clock: Clock, **values: Any) -> Phase:
    """A phase for one account, in force in ten days, with a brown-out of three hours that begins in one hour."""
    begin = clock.now + timedelta(hours=1)
    return Phase(
        name="team",
        cohort=Cohort(accounts=frozenset({person.username})),
        announced=clock.now,
        enforced_from=clock.now + timedelta(days=10),
        brown_outs=((begin, begin + timedelta(hours=3)),),
        **values,
    )


def test_in_a_brown_out_a_sign_in_asks_for_enrolment_and_takes_not_today_once(
    app: Flask, client: Visitor, make_account: MakeAccount, outbox: Outbox, clock: Clock
) -> None:
    alice = make_account()
    cover(app, alice, phase_for(alice, clock), clock)
    clock.advance(hours=1)
    for _ in range(2):  # each sign-in is asked anew
        with_password_and_code(client, alice, outbox)
        asked = client.get("/login/next").text
        assert "Not today" in asked
        assert "will be required from 4 December 2026, 12:00 UTC" in asked
        assert not client.signed_in()
        assert client.post("/login/enrol/postpone").status_code == 303
        assert client.signed_in()
        client.post("/logout")
        clock.advance(minutes=30)


@pytest.mark.parametrize("hours", [0.99, 4])
def test_outside_of_a_brown_out_nothing_is_asked_before_the_day(
    app: Flask, client: Visitor, make_account: MakeAccount, outbox: Outbox, clock: Clock, hours: float
) -> None:
    alice = make_account()
    cover(app, alice, phase_for(alice, clock), clock)
    clock.advance(hours=hours)
    with_password_and_code(client, alice, outbox)
    assert client.signed_in()


def test_who_complies_is_not_asked_in_a_brown_out(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock
) -> None:
    alice = make_account(totp_app=True)
    cover(app, alice, phase_for(alice, clock), clock)
    clock.advance(hours=1)
    client.post("/login", username=alice.username, password=PASSWORD)
    client.post("/login/totp", code=alice.totp(clock.now))
    assert client.signed_in()


def test_an_exempt_account_is_not_asked_in_a_brown_out(
    app: Flask, client: Visitor, make_account: MakeAccount, outbox: Outbox, clock: Clock
) -> None:
    alice = make_account()
    cover(app, alice, phase_for(alice, clock), clock)
    with request_to(app):
        until = clock.now + timedelta(days=20)
        mandates.exempt(alice.id, reason="So", until=until, set_by="test", starts_at=clock.now, now=clock.now)
    clock.advance(hours=1)
    with_password_and_code(client, alice, outbox)
    assert client.signed_in()


@pytest.mark.attack("T21")
def test_not_today_puts_off_nothing_that_is_in_force(
    client: Visitor, make_account: MakeAccount, outbox: Outbox, require: Callable[..., None]
) -> None:
    alice = make_account()
    require(alice)
    with_password_and_code(client, alice, outbox)
    assert "Not today" not in client.get("/login/next").text
    client.post("/login/enrol/postpone")
    assert not client.signed_in()


def test_every_page_counts_down_until_the_mandate_is_met(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock
) -> None:
    alice = make_account()
    cover(app, alice, phase_for(alice, clock), clock)
    client.sign_in(alice)
    for path in ("/account", "/account/log"):
        assert "10 days left." in client.get(path).text
    clock.advance(days=9, hours=1)
    client.sign_in(alice)
    page = client.get("/account").text
    assert "23 hours left." in page
    assert "A second step is required from" in page
    with request_to(app):
        totp.enrol(alice.id, totp.new_seed(), 0, label="App", browser_known_for=timedelta(0), now=clock.now)
    assert "hours left." not in client.get("/account").text


def test_the_banner_says_what_kind_is_asked_for_and_what_waits_from_the_day_on(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock
) -> None:
    alice = make_account(totp_app=True)
    cover(app, alice, phase_for(alice, clock, strength=Strength.TWO_PHISHING_RESISTANT), clock)
    client.sign_in(alice, now=clock.now)
    assert "Two keys or passkeys are required from" in client.get("/account").text
    clock.advance(days=9, hours=23)
    client.sign_in(alice, now=clock.now)
    clock.advance(hours=1)
    page = client.get("/account").text
    assert "Two keys or passkeys are required since" in page
    assert "Add a key or passkey" in page


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (timedelta(days=30), "30 days"),
        (timedelta(hours=48), "2 days"),
        (timedelta(hours=47, minutes=59), "47 hours"),
        (timedelta(hours=1), "1 hour"),
        (timedelta(minutes=59), "less than an hour"),
    ],
)
def test_the_time_that_is_left_in_words(clock: Clock, left: timedelta, words: str) -> None:
    assert banner.time_left(clock.now + left, clock.now) == words


@pytest.mark.parametrize(
    ("strength", "offered"), [(Strength.ANY_SECOND_FACTOR, True), (Strength.PHISHING_RESISTANT, False)]
)
def test_in_place_of_a_lost_key_an_app_is_offered_where_it_would_be_taken(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock, strength: Strength, offered: bool
) -> None:
    alice = make_account(key=True)
    client.sign_in(alice)
    with request_to(app):
        mandates.require(alice.id, from_=clock.now, reason=REASON, set_by="test", strength=strength, now=clock.now)
        (key,) = accounts.enrolled(alice.id, now=clock.now)
    page = client.get(f"/account/authenticators/{key.id}/lost").text
    assert "Security key or passkey" in page
    assert ("Authenticator app" in page) is offered
