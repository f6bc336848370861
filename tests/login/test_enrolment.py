"""Enrolling: shown once, proved once, and in a hold without new recovery codes."""

import re
from collections.abc import Callable
from datetime import timedelta

import pyotp
import pytest
from flask import Flask
from sqlalchemy import select

from authsvc import accounts, holds, recovery_codes
from authsvc.core import db
from authsvc.core.assurance import Factor
from authsvc.login import enrolment
from authsvc.login.models import Enrolment
from authsvc.policy.hold import HoldCause
from tests.authenticator import Authenticator
from tests.conftest import Clock
from tests.people import PASSWORD, Outbox, Person, Visitor, kinds

MakeAccount = Callable[..., Person]
SEED = re.compile(r'<code id="secret">([A-Z2-7 ]+)</code>')
CODES = re.compile(r"\b\d{4} \d{4} \d{4} \d{4}\b")


def begin(client: Visitor, person: Person, outbox: Outbox, way: str) -> None:
    """Prove the step-up of an account without a second step."""
    page = client.post("/account/enrol", way=way).location
    done = client.post(page, way="password", password=PASSWORD, code=outbox.code(person.email))
    assert done.location == "/account/enrol/now"


def seed_on(client: Visitor) -> str:
    found = SEED.search(client.get("/account/enrol/now").text)
    assert found
    return found[1].replace(" ", "")


def hold(app: Flask, person: Person, clock: Clock) -> None:
    with app.test_request_context(), db.transaction():
        holds.begin(person.id, HoldCause.OPERATOR, client=None, now=clock.now)


def left(app: Flask, person: Person) -> int:
    with app.app_context(), db.transaction():
        return recovery_codes.left(person.id)


@pytest.mark.attack("T16")
def test_seed_and_codes_are_never_shown_or_kept_after_the_enrolment(
    app: Flask, client: Visitor, make_account: MakeAccount, outbox: Outbox, clock: Clock
) -> None:
    # Given an app that was enrolled
    alice = make_account()
    client.sign_in(alice)
    begin(client, alice, outbox, "totp")
    seed = seed_on(client)
    client.post("/account/enrol/totp", code=pyotp.TOTP(seed).at(clock.now))
    shown = client.get("/account/enrol/now").text
    assert not SEED.search(shown)
    (code, *_) = CODES.findall(shown)
    assert client.post("/account/enrol/codes", code=code).location == "/account"
    # When its pages are opened again, then they are gone, and so is what they held
    for path in ("/account/enrol/now", "/account/enrol/codes.txt"):
        assert client.get(path).status_code == 410
    with app.app_context(), db.transaction() as session:
        assert session.scalars(select(Enrolment.sealed)).all() == [b""]


@pytest.mark.attack("T01")
def test_the_first_code_of_an_app_signs_nobody_in(
    client: Visitor, make_account: MakeAccount, outbox: Outbox, clock: Clock, new_client: Callable[[], Visitor]
) -> None:
    alice, other = make_account(), new_client()
    client.sign_in(alice)
    begin(client, alice, outbox, "totp")
    app = pyotp.TOTP(seed_on(client))
    first = app.at(clock.now)
    client.post("/account/enrol/totp", code=f" {first[:3]} {first[3:]} ")
    client.post("/account/enrol/codes", code=CODES.findall(client.get("/account/enrol/now").text)[0])
    other.post("/login", username="alice", password=PASSWORD)
    assert other.post("/login/totp", code=first).status_code == 401
    clock.advance(seconds=30)
    assert other.post("/login/totp", code=first).status_code == 401
    assert other.post("/login/totp", code=app.at(clock.now)).location == "/account"


@pytest.mark.attack("T16")
def test_an_unfinished_enrolment_does_not_disturb_the_app_in_use(
    client: Visitor, make_account: MakeAccount, clock: Clock, new_client: Callable[[], Visitor]
) -> None:
    bob, other = make_account("bob", totp_app=True), new_client()
    client.sign_in(bob, now=clock.now)
    clock.advance(seconds=30)
    page = client.post("/account/enrol", way="totp").location
    client.post(page, way="totp", code=bob.totp(clock.now))
    new = pyotp.TOTP(seed_on(client))
    clock.advance(seconds=30)
    other.post("/login", username="bob", password=PASSWORD)
    assert other.post("/login/totp", code=new.at(clock.now)).status_code == 401
    assert other.post("/login/totp", code=bob.totp(clock.now)).location == "/account"


def test_a_proof_sent_twice_leaves_the_codes_that_are_shown(
    client: Visitor, make_account: MakeAccount, outbox: Outbox, clock: Clock
) -> None:
    alice = make_account()
    client.sign_in(alice)
    begin(client, alice, outbox, "totp")
    code = pyotp.TOTP(seed_on(client)).at(clock.now)
    client.post("/account/enrol/totp", code=code)
    shown = CODES.findall(client.get("/account/enrol/now").text)
    client.post("/account/enrol/totp", code=code)
    assert CODES.findall(client.get("/account/enrol/now").text) == shown
    assert client.post("/account/enrol/codes", code=shown[3]).location == "/account"


def test_in_a_hold_a_key_is_added_and_new_recovery_codes_wait(
    app: Flask, client: Visitor, make_account: MakeAccount, outbox: Outbox, clock: Clock
) -> None:
    # Given an account in a hold, without recovery codes
    alice, key = make_account(), Authenticator()
    client.sign_in(alice)
    hold(app, alice, clock)
    # When a key is added
    begin(client, alice, outbox, "key")
    done = client.use_key_to_enrol(key)
    # Then it counts at once, without codes, and they can be made when the hold is over
    assert done.location == "/account"
    assert kinds(app, alice.id, clock.now) == {Factor.PASSKEY}
    assert left(app, alice) == 0
    assert client.get("/account/recovery-codes").status_code == 403
    clock.advance(hours=25)
    alice.key = key
    client.sign_in(alice)
    assert "Make some" in client.get("/account").text
    assert client.get("/account/recovery-codes").status_code == 200


@pytest.mark.parametrize("way", ["codes", "totp"])
def test_codes_shown_before_a_hold_do_not_count_in_it(
    app: Flask, client: Visitor, make_account: MakeAccount, outbox: Outbox, clock: Clock, way: str
) -> None:
    # Given a set of codes on a page that is not confirmed yet
    alice = make_account("alice", totp_app=way == "codes")
    client.sign_in(alice, now=clock.now)
    clock.advance(seconds=30)
    if way == "codes":
        page = client.post("/account/recovery-codes").location
        client.post(page, way="totp", code=alice.totp(clock.now))
    else:
        begin(client, alice, outbox, "totp")
        client.post("/account/enrol/totp", code=pyotp.TOTP(seed_on(client)).at(clock.now))
    code = CODES.findall(client.get("/account/enrol/now").text)[0]
    before = left(app, alice)
    # When a hold begins first
    hold(app, alice, clock)
    # Then nothing changes
    assert client.post("/account/enrol/codes", code=code).status_code == 410
    assert left(app, alice) == before
    with app.app_context(), db.transaction():
        assert len(accounts.enrolled(alice.id, now=clock.now)) == (way == "codes")


def test_an_enrolment_that_overlaps_a_reset_adds_nothing(
    app: Flask, client: Visitor, make_account: MakeAccount, outbox: Outbox, clock: Clock
) -> None:
    alice = make_account()
    client.sign_in(alice)
    begin(client, alice, outbox, "totp")
    client.post("/account/enrol/totp", code=pyotp.TOTP(seed_on(client)).at(clock.now))
    with app.test_request_context():
        with db.transaction() as session:
            owner = session.scalars(select(Enrolment.owner)).one()
            under_way = enrolment.find(owner, now=clock.now)  # read before the epoch rises, finished after
            accounts.raise_epoch(alice.id)
        with pytest.raises(enrolment.EnrolmentGone), db.transaction():
            enrolment.finish(under_way, browser_known_for=timedelta(0), now=clock.now)
    assert kinds(app, alice.id, clock.now) == set()
