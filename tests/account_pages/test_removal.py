"""Older things outlive younger ones for three days; holds end early by what is older; lost things are replaced."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask

from authsvc import account_pages, accounts, holds, recovery_codes, totp, webauthn
from authsvc.core import db
from authsvc.core.assurance import Factor
from authsvc.policy.hold import HoldCause
from tests.authenticator import Authenticator
from tests.conftest import Clock
from tests.people import PASSWORD, Outbox, Person, Visitor, kinds

MakeAccount = Callable[..., Person]
WAIT = timedelta(hours=72)


def younger_app(app: Flask, person: Person, clock: Clock, *, age: timedelta) -> int:
    """An app that the account was given so long ago, for whose codes `person.seed` stands from now on."""
    with app.app_context(), db.transaction():
        person.seed = totp.new_seed()
        return totp.enrol(person.id, person.seed, 0, label="Newer", browser_known_for=timedelta(0), now=clock.now - age)


def enrolled(app: Flask, person: Person, clock: Clock) -> dict[str, int]:
    """Ids of what is enrolled, by label."""
    with app.app_context(), db.transaction():
        return {a.label: a.id for a in accounts.enrolled(person.id, now=clock.now)}


def work(app: Flask, clock: Clock) -> int:
    """What the worker does about removals."""
    with app.app_context():
        return account_pages.carry_out_removals(now=clock.now)


def begun_by_the_younger(app: Flask, client: Visitor, bob: Person, clock: Clock) -> int:
    """Bob's first app, whose removal the newer one asked for."""
    first = enrolled(app, bob, clock)["App"]
    younger_app(app, bob, clock, age=timedelta(days=10))
    client.sign_in(bob, now=clock.now)
    clock.advance(seconds=30)
    page = client.post(f"/account/authenticators/{first}/remove").location
    assert "after three days" in client.get(page).text
    assert client.post(page, way="totp", code=bob.totp(clock.now)).status_code == 303
    return first


@pytest.mark.parametrize(("late", "gone"), [(-1, 0), (0, 1)])
def test_what_is_older_goes_72_hours_later(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock, outbox: Outbox, late: int, gone: int
) -> None:
    bob = make_account("bob", totp_app=True)
    first = begun_by_the_younger(app, client, bob, clock)
    assert outbox.to(bob.email)[-1]["Subject"] == "Second step to be removed for bob"
    assert "Goes on" in client.get("/account").text
    clock.advance(hours=72, seconds=late)
    assert work(app, clock) == gone
    assert (first not in enrolled(app, bob, clock).values()) is bool(gone)
    assert work(app, clock) == 0


def test_a_removal_that_is_objected_to_never_comes(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock
) -> None:
    bob = make_account("bob", totp_app=True)
    first = begun_by_the_younger(app, client, bob, clock)
    clock.advance(seconds=30)
    page = client.post(f"/account/authenticators/{first}/keep").location
    assert client.post(page, way="totp", code=bob.totp(clock.now)).status_code == 303
    clock.advance(hours=73)
    assert work(app, clock) == 0
    assert first in enrolled(app, bob, clock).values()


def test_a_freeze_ends_a_removal(app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock) -> None:
    bob = make_account("bob", totp_app=True)
    first = begun_by_the_younger(app, client, bob, clock)
    with app.app_context(), db.transaction():
        accounts.raise_epoch(bob.id)
    clock.advance(hours=73)
    assert work(app, clock) == 0
    assert first in enrolled(app, bob, clock).values()


def test_a_removal_waits_for_the_end_of_a_hold(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock
) -> None:
    bob = make_account("bob", totp_app=True)
    begun_by_the_younger(app, client, bob, clock)
    clock.advance(hours=71)
    begin_hold(app, bob, clock)
    clock.advance(hours=24, seconds=-1)
    assert work(app, clock) == 0
    clock.advance(seconds=1)
    assert work(app, clock) == 1


def test_what_proves_itself_goes_at_once(app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock) -> None:
    bob = make_account("bob", totp_app=True)
    first, seed = enrolled(app, bob, clock)["App"], bob.seed
    younger_app(app, bob, clock, age=timedelta(days=10))
    bob.seed = seed
    client.sign_in(bob, now=clock.now)
    clock.advance(seconds=30)
    page = client.post(f"/account/authenticators/{first}/remove").location
    client.post(page, way="totp", code=bob.totp(clock.now))
    assert set(enrolled(app, bob, clock)) == {"Newer"}


# --- holds


def in_hold(app: Flask, person: Person, clock: Clock) -> bool:
    """True while risky actions wait."""
    with app.app_context(), db.transaction():
        return holds.current(person.id, now=clock.now) is not None


def begin_hold(app: Flask, person: Person, clock: Clock) -> None:
    """Begin one now."""
    with app.app_context(), db.transaction():
        holds.begin(person.id, HoldCause.ADDRESS_CHANGE, client=None, now=clock.now)


def test_what_is_older_than_its_cause_ends_a_hold(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock, outbox: Outbox
) -> None:
    bob = make_account("bob", totp_app=True)
    begin_hold(app, bob, clock)
    client.sign_in(bob, now=clock.now)
    clock.advance(seconds=30)
    assert "End the wait" in client.get("/account").text
    page = client.post("/account/hold/end").location
    assert client.post(page, way="totp", code=bob.totp(clock.now)).location == "/account"
    assert not in_hold(app, bob, clock)
    assert outbox.to(bob.email)[-1]["Subject"] == "Nothing waits any more for bob"


def test_password_and_mailed_code_never_end_a_hold(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock
) -> None:
    alice = make_account()
    begin_hold(app, alice, clock)
    client.sign_in(alice)
    assert "End the wait" not in client.get("/account").text
    assert client.post("/account/hold/end").status_code == 403
    assert in_hold(app, alice, clock)


def test_what_came_after_its_cause_ends_no_hold_however_senior(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock
) -> None:
    bob = make_account("bob")
    begin_hold(app, bob, clock)
    younger_app(app, bob, clock, age=timedelta(0))
    client.sign_in(bob, now=clock.now)
    assert client.post("/account/hold/end").status_code == 403


# --- what is lost


def lost_key(app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock) -> tuple[Person, str]:
    """Bob with a lost key and an app, signed in by the app, at the page that asks for a proof."""
    bob = make_account("bob", totp_app=True, key=True)
    key = enrolled(app, bob, clock)["Blue key"]
    client.post("/login", username="bob", password=PASSWORD)
    client.post("/login/totp", code=bob.totp(clock.now))
    clock.advance(seconds=30)
    return bob, client.post(f"/account/authenticators/{key}/lost", way="key").location


def enrol_new_key(client: Visitor) -> None:
    """Finish the enrolment of a new key."""
    options = client.post("/account/enrol/key/options").text
    client.post("/account/enrol/key", credential=Authenticator().register(options), label="New key")


def test_a_lost_key_is_replaced_by_the_app_and_a_recovery_code(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock, outbox: Outbox
) -> None:
    bob, page = lost_key(app, client, make_account, clock)
    assert client.post(page, way="totp", code=bob.totp(clock.now)).status_code == 401, "a recovery code as well"
    clock.advance(seconds=30)
    sent = client.post(page, way="totp", code=bob.totp(clock.now), recovery_code=bob.codes[0])
    assert sent.location == "/account/enrol/now"
    assert "Blue key" in enrolled(app, bob, clock), "the lost one ends when the new one counts"
    enrol_new_key(client)
    assert set(enrolled(app, bob, clock)) == {"App", "New key"}
    assert in_hold(app, bob, clock)
    with app.app_context(), db.transaction():
        (new,) = (a for a in accounts.enrolled(bob.id, now=clock.now) if a.label == "New key")
        assert not new.senior
        assert recovery_codes.left(bob.id) == len(bob.codes) - 1
    assert "Recovery code used for bob" in [m["Subject"] for m in outbox.to(bob.email)]
    assert client.signed_in()


@pytest.mark.attack("T09")
def test_a_recovery_code_replaces_once(app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock) -> None:
    bob, page = lost_key(app, client, make_account, clock)
    client.post(page, way="totp", code=bob.totp(clock.now), recovery_code=bob.codes[0])
    clock.advance(seconds=30)
    key = enrolled(app, bob, clock)["Blue key"]
    again = client.post(f"/account/authenticators/{key}/lost", way="key").location
    assert client.post(again, way="password", password=PASSWORD, recovery_code=bob.codes[0]).status_code == 401
    assert client.post(again, way="password", password=PASSWORD, recovery_code=bob.codes[1]).status_code == 303


def test_a_recovery_code_alone_replaces_nothing(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock
) -> None:
    bob, page = lost_key(app, client, make_account, clock)
    for fields in ({"way": "password"}, {"way": "password", "password": "wrong"}):
        assert client.post(page, recovery_code=bob.codes[0], **fields).status_code == 401
    with app.app_context(), db.transaction():
        assert recovery_codes.left(bob.id) == len(bob.codes)


def test_the_lost_key_itself_does_not_stand_beside_the_code(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock
) -> None:
    bob, page = lost_key(app, client, make_account, clock)
    assert bob.key is not None
    sent = client.use_key(bob.key, f"{page}/key", page, user_verified=True, way="key", recovery_code=bob.codes[0])
    assert sent.status_code == 401


def test_the_secret_of_what_was_removed_is_kept_for_thirty_days_of_dispute(
    app: Flask, make_account: MakeAccount, clock: Clock
) -> None:
    bob = make_account("bob", totp_app=True, key=True)
    with app.app_context(), db.transaction():
        for one in accounts.enrolled(bob.id, now=clock.now):
            accounts.revoke_authenticator(bob.id, one.id, now=clock.now)
    for days, kept in ((30, True), (31, False)):
        with app.app_context(), db.transaction():
            account_pages.forget_removed(now=clock.now + timedelta(days=days))
            among = accounts.seniors_at(bob.id, clock.now)
            options, _ = webauthn.begin_assertion(bob.id, user_verification="preferred", among=set(among))
            assert ('"id": ' in options.split("allowCredentials")[1]) is kept
    assert kinds(app, bob.id, clock.now) == set()
    assert Factor.TOTP in among.values()
