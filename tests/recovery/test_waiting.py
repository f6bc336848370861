"""Resets at a domain that may have changed hands: the new password waits, and the owner can object (POLICY 8)."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from authsvc import accounts, domains, freezes
from authsvc.core import db
from authsvc.core.web import Client
from authsvc.policy.freeze import FreezeCause
from authsvc.recovery import resetting
from authsvc.recovery.models import ResetLink
from authsvc.recovery.resetting import LinkGone, Waiting
from tests.conftest import Clock
from tests.people import PASSWORD, Outbox, Person, Visitor
from tests.recovery.corp import ALIVE, NEW, Outside, in_hold, links, registered, reset, signs_in
from tests.slices import at_once, request_to

WAIT = 72 * 3600  # seconds
DAY = timedelta(days=1)
NOT_ME = re.compile(r"http://localhost:8000(/not-me/\S+)")
MOVED = [["corp.org", "NS", "ns1.elsewhere.com."], ["ns1.elsewhere.com", "A", "203.0.113.54"], *ALIVE[1:]]
CLIENT = Client(ip="127.0.0.1", network="127.0.0.1", browser="Firefox")


@pytest.fixture
def alice(app: Flask, clock: Clock, make_account: Callable[..., Person], outside: Outside) -> Person:
    """Somebody whose domain was looked at when the address was proved, and has other name servers since."""
    alice = make_account("alice", email="alice@corp.org", age=DAY)
    look(app, clock)
    outside.says(MOVED, registered())
    return alice


def look(app: Flask, clock: Clock) -> None:
    """What the sweep does."""
    with app.app_context():
        domains.check_now("corp.org", now=clock.now)


@pytest.fixture
def link(ask: Callable[..., None], outbox: Outbox, alice: Person, clock: Clock) -> Callable[[], str]:
    """Ask for a link; gives its path."""

    def asked() -> str:
        clock.advance(minutes=11)  # a new look
        ask("alice")
        return links(outbox, alice)[-1]

    return asked


def complete(visitor: Visitor, path: str) -> int:
    """Open the link again and press its button; gives the status of the answer."""
    visitor.get(path)
    return visitor.post("/recovery/reset/complete").status_code


def waits(visitor: Visitor, path: str) -> bool:
    """True when the link's page says that the new password waits."""
    visitor.get(path)
    return "waits" in visitor.get("/recovery/reset").text.partition("<h1>")[2].partition("</h1>")[0]


def test_where_continuity_is_shown_the_password_is_in_force_at_once(
    client: Visitor, new_client: Callable[[], Visitor], link: Callable[[], str], alice: Person, outside: Outside
) -> None:
    outside.says(ALIVE, registered())
    assert reset(client, link()) == 303
    assert signs_in(new_client(), alice, NEW)


@pytest.mark.attack("D01")
@pytest.mark.parametrize(("seconds", "status"), [(WAIT - 1, 410), (WAIT, 303)])
def test_elsewhere_it_waits_for_three_days_and_the_same_link_completes_once(
    app: Flask,
    clock: Clock,
    client: Visitor,
    new_client: Callable[[], Visitor],
    link: Callable[[], str],
    alice: Person,
    outbox: Outbox,
    seconds: int,
    status: int,
) -> None:
    # Given a new password that somebody who reads the mailbox typed
    path = link()
    assert "three days" in outbox.to(alice.email)[-1].get_content()
    assert reset(client, path) == 303
    assert waits(client, path)
    assert outbox.to(alice.email)[-1]["Subject"] == "A new password for alice waits"
    assert client.post("/recovery/reset", new_password="another one of them").status_code == 410
    with app.app_context(), db.transaction() as session:
        assert NEW not in str(session.scalars(select(ResetLink.waiting_hash)).one())
    # When it has waited, then it is in force; a second before, the old one still is
    clock.advance(seconds=seconds)
    assert complete(client, path) == status
    in_force = status == 303
    assert signs_in(new_client(), alice, NEW if in_force else alice.password)
    assert not signs_in(new_client(), alice, alice.password if in_force else NEW)
    assert in_hold(app, alice, clock.now) == in_force
    # And the link is spent
    if in_force:
        assert complete(new_client(), path) == 410
        with app.app_context(), db.transaction() as session:
            assert session.scalars(select(ResetLink.waiting_hash)).all() == [None]


@pytest.mark.parametrize(("days", "status"), [(10 - 1 / 86400, 303), (10, 410)])
def test_a_wait_that_is_over_is_of_use_for_a_week(
    clock: Clock, client: Visitor, link: Callable[[], str], days: float, status: int
) -> None:
    path = link()
    reset(client, path)
    clock.advance(days=days)
    assert complete(client, path) == status


def test_the_link_in_the_mail_to_every_address_ends_the_wait(
    app: Flask,
    clock: Clock,
    client: Visitor,
    new_client: Callable[[], Visitor],
    link: Callable[[], str],
    alice: Person,
    outbox: Outbox,
) -> None:
    # Given a second address, which hears of it
    with app.app_context(), db.transaction():
        second = accounts.add_address(alice.id, "a@backup.test", is_primary=False, verified_at=None, now=clock.now)
        domains.record_verification(second, "backup.test", verified_at=clock.now - DAY, now=clock.now)
    path = link()
    reset(client, path)
    found = NOT_ME.search(outbox.to("a@backup.test")[-1].get_content())
    assert found
    assert NOT_ME.search(outbox.to(alice.email)[-1].get_content())
    # When its reader objects
    assert new_client().post(found[1]).location == "/frozen"
    # Then time puts nothing in force
    clock.advance(days=3)
    assert complete(client, path) == 410


@pytest.mark.attack("R09")
def test_whatever_moves_the_epoch_ends_the_wait(
    app: Flask, clock: Clock, client: Visitor, link: Callable[[], str], alice: Person
) -> None:
    path = link()
    reset(client, path)
    with app.app_context(), db.transaction():
        accounts.raise_epoch(alice.id)
    clock.advance(days=3)
    assert complete(client, path) == 410


@pytest.mark.parametrize(("days", "waited"), [(3 - 12 / 1440, True), (3, False)])
def test_a_browser_known_for_three_days_does_not_wait_and_the_one_that_asked_gains_nothing(
    clock: Clock,
    new_client: Callable[[], Visitor],
    link: Callable[[], str],
    alice: Person,
    days: float,
    waited: bool,
) -> None:
    owner, asking = new_client(), new_client()
    owner.sign_in(alice)
    asking.sign_in(alice)
    clock.advance(days=days)
    asking.post("/recovery", username="alice")
    path = link()
    reset(owner, path)
    assert signs_in(new_client(), alice, alice.password) == waited
    if waited:  # it is known for long enough later, and goes on where it stopped
        clock.advance(days=1)
        assert not waits(owner, path)
        assert waits(new_client(), path)


def test_an_enrolled_factor_spares_the_wait(
    app: Flask,
    clock: Clock,
    client: Visitor,
    new_client: Callable[[], Visitor],
    make_account: Callable[..., Person],
    ask: Callable[..., None],
    outbox: Outbox,
    outside: Outside,
) -> None:
    bob = make_account("bob", email="bob@corp.org", age=DAY, totp_app=True)
    look(app, clock)
    outside.says(MOVED, registered())
    clock.advance(minutes=11)
    ask("bob")
    assert "three days" not in outbox.to(bob.email)[-1].get_content()
    (path,) = links(outbox, bob)
    assert reset(client, path) == 422
    assert reset(client, path, code=bob.totp(clock.now)) == 303
    assert signs_in(new_client(), bob, NEW)


def test_a_domain_that_lapses_while_it_waits_ends_it_for_good(
    app: Flask, clock: Clock, client: Visitor, link: Callable[[], str], outside: Outside
) -> None:
    path = link()
    reset(client, path)
    outside.says([], None)
    clock.advance(days=1)
    look(app, clock)
    outside.says(MOVED, registered())
    clock.advance(days=2)
    look(app, clock)
    assert complete(client, path) == 410


def test_a_domain_that_was_registered_anew_while_it_waits_ends_it(
    app: Flask, clock: Clock, client: Visitor, link: Callable[[], str], outside: Outside
) -> None:
    path = link()
    reset(client, path)
    clock.advance(days=3)
    outside.says(MOVED, registered("2026-11-25T00:00:00Z"))
    look(app, clock)
    assert complete(client, path) == 410


def test_a_domain_that_cannot_be_checked_at_the_end_only_delays(
    app: Flask, clock: Clock, client: Visitor, link: Callable[[], str], outside: Outside
) -> None:
    path = link()
    reset(client, path)
    clock.advance(days=3)
    outside.says(MOVED, {"http": 404})  # the registry contradicts DNS
    look(app, clock)
    assert complete(client, path) == 410
    outside.says(MOVED, registered())
    clock.advance(hours=1)
    look(app, clock)
    assert complete(client, path) == 303


def test_waiting_passwords_leave_room_for_further_links(
    client: Visitor, link: Callable[[], str], alice: Person, outbox: Outbox
) -> None:
    for number in range(4):
        reset(client, link())
        assert len(links(outbox, alice)) == number + 1


@pytest.mark.attack("R06")
@pytest.mark.parametrize("over", [False, True])
def test_of_two_at_once_one_begins_the_wait_and_one_completes_it(
    app: Flask, clock: Clock, client: Visitor, link: Callable[[], str], over: bool
) -> None:
    path = link()
    if over:
        reset(client, path)
        clock.advance(days=3)
    with request_to(app):
        found = resetting.find(path.rpartition("/")[2], now=clock.now)

    def use() -> bool:
        try:
            if over:
                resetting.complete(found, client=CLIENT, now=clock.now)
                return True
            begun = resetting.reset(found, NEW, code="", credential="", client=CLIENT, now=clock.now)
            return isinstance(begun, Waiting)
        except LinkGone:
            db.rollback()
            return False

    assert sorted(at_once(app, use, use)) == [False, True]


@pytest.mark.parametrize(("moved", "opens"), [(True, False), (False, True)])
def test_a_frozen_account_waits_too_where_the_domain_shows_no_continuity(
    app: Flask,
    client: Visitor,
    alice: Person,
    ask: Callable[..., None],
    outbox: Outbox,
    clock: Clock,
    outside: Outside,
    moved: bool,
    opens: bool,
) -> None:
    # Given an older address, and the password from before the dispute
    outside.says(MOVED if moved else ALIVE, registered())
    clock.advance(minutes=11)
    with app.app_context(), db.transaction():
        freezes.begin(alice.id, FreezeCause.OWNER, disputed_at=clock.now, client=None, now=clock.now)
    ask("alice")
    found = re.search(r"http://localhost:8000(/recovery/unfreeze/\S+)", outbox.to(alice.email)[-1].get_content())
    assert found
    client.get(found[1])
    client.post("/recovery/unfreeze/password", password=PASSWORD)
    # When the new password is sent
    client.post("/recovery/unfreeze", new_password=NEW)
    # Then it opens at once only where nothing speaks of another owner of the domain
    with app.app_context(), db.transaction():
        assert (freezes.current(alice.id) is None) is opens
