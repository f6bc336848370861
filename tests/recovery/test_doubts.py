"""A domain that lapses takes its people's sessions along, and tells them."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from authsvc import accounts, audit, domains, recovery
from authsvc.audit import EventType
from authsvc.audit.models import Event
from authsvc.core import db
from tests.conftest import Clock
from tests.people import Outbox, Person, Visitor
from tests.recovery.corp import ALIVE, Outside, links, registered

MakeAccount = Callable[..., Person]
DAY = timedelta(days=1)


def look(app: Flask, clock: Clock) -> None:
    """The sweep comes along, and the worker tells whom it concerns."""
    with app.app_context():
        domains.check_now("corp.org", now=clock.now)
        domains.tell_of_doubts(now=clock.now)


def second_address(app: Flask, person: Person, clock: Clock, email: str = "alice@backup.test") -> int:
    """Another address of the account, proved nine days ago."""
    proved_at = clock.now - 9 * DAY
    with app.app_context(), db.transaction():
        added = accounts.add_address(person.id, email, is_primary=False, verified_at=None, now=proved_at)
        domains.record_verification(added, email.rpartition("@")[2], verified_at=proved_at, now=proved_at)
    return added


def signed_in(visitor: Visitor) -> bool:
    """Whether the account page is still shown."""
    return visitor.get("/account").status_code == 200


@pytest.mark.attack("D01")
def test_a_session_that_rests_on_the_mailbox_ends_when_its_domain_lapses(
    app: Flask, clock: Clock, make_account: MakeAccount, client: Visitor, outside: Outside
) -> None:
    alice = make_account("alice", email="alice@corp.org")
    look(app, clock)
    clock.advance(hours=1)
    client.sign_in(alice)
    assert signed_in(client)
    outside.says([], None)
    look(app, clock)
    assert not signed_in(client)


def test_a_session_from_before_the_last_healthy_look_goes_on(
    app: Flask, clock: Clock, make_account: MakeAccount, client: Visitor, outside: Outside
) -> None:
    client.sign_in(make_account("alice", email="alice@corp.org"))
    clock.advance(hours=1)
    look(app, clock)
    outside.says([], None)
    clock.advance(hours=1)
    look(app, clock)
    assert signed_in(client)


def test_a_session_with_a_second_factor_goes_on(
    app: Flask, clock: Clock, make_account: MakeAccount, client: Visitor, outside: Outside
) -> None:
    alice = make_account("alice", email="alice@corp.org", totp_app=True)
    client.sign_in(alice, now=clock.now)
    outside.says([], None)
    look(app, clock)
    assert signed_in(client)


@pytest.mark.attack("D01")
def test_the_owner_hears_once_at_the_other_address_and_never_at_the_lost_one(
    app: Flask, clock: Clock, make_account: MakeAccount, outbox: Outbox, outside: Outside
) -> None:
    alice = make_account("alice", email="alice@corp.org")
    second_address(app, alice, clock)
    outside.says([], None)
    look(app, clock)
    look(app, clock)
    (mail,) = outbox.to("alice@backup.test")
    assert "alice@corp.org" in mail.get_content()
    assert "its domain is not registered any more" in mail.get_content()
    assert outbox.to("alice@corp.org") == []
    with app.app_context(), db.transaction():
        assert audit.happened(EventType.ADDRESS_DOUBTED, account_id=alice.id, after=clock.now - DAY)


def test_a_domain_registered_anew_is_told_of_in_its_own_words(
    app: Flask, clock: Clock, make_account: MakeAccount, outbox: Outbox, outside: Outside
) -> None:
    alice = make_account("alice", email="alice@corp.org")
    second_address(app, alice, clock)
    outside.says(ALIVE, registered("2026-11-01T00:00:00Z"))
    look(app, clock)
    (mail,) = outbox.to("alice@backup.test")
    assert "registered anew" in mail.get_content()


# --- backup addresses


def marks_backup(client: Visitor, person: Person, clock: Clock, number: int, path: str = "backup") -> int:
    """The owner asks for it and proves the app."""
    page = client.post(f"/account/addresses/{number}/{path}")
    if page.status_code != 303:
        return page.status_code
    clock.advance(seconds=31)
    return client.post(str(page.location), way="totp", code=person.totp(clock.now)).status_code


def test_links_go_to_a_marked_backup_address_when_it_is_typed_and_to_no_other(
    app: Flask,
    clock: Clock,
    make_account: MakeAccount,
    client: Visitor,
    ask: Callable[..., None],
    outbox: Outbox,
    outside: Outside,
) -> None:
    alice = make_account("alice", email="alice@elsewhere.test", totp_app=True)
    number = second_address(app, alice, clock, "alice@corp.org")
    ask("alice@corp.org", Visitor(app, outbox))
    backup = Person(alice.id, alice.username, "alice@corp.org")
    assert links(outbox, backup) == []
    client.sign_in(alice, now=clock.now)
    assert marks_backup(client, alice, clock, number) == 303
    ask("alice@corp.org", Visitor(app, outbox))
    assert len(links(outbox, backup)) == 1
    clock.advance(days=4)  # the hold of an address change is over
    client.sign_in(alice, now=clock.now)
    assert marks_backup(client, alice, clock, number, "no-backup") == 303
    clock.advance(hours=2)
    ask("alice@corp.org", Visitor(app, outbox))
    assert len(links(outbox, backup)) == 1


def test_a_new_address_cannot_be_marked_as_a_backup(
    app: Flask, clock: Clock, make_account: MakeAccount, client: Visitor
) -> None:
    alice = make_account("alice", totp_app=True)
    number = second_address(app, alice, clock)
    with app.app_context(), db.transaction():
        accounts.remove_address(alice.id, number, now=clock.now)
        young = accounts.add_address(alice.id, "a@young.test", is_primary=False, verified_at=None, now=clock.now)
        domains.record_verification(young, "young.test", verified_at=clock.now, now=clock.now)
    client.sign_in(alice, now=clock.now)
    assert marks_backup(client, alice, clock, young) == 403


def test_a_lapsed_main_address_leaves_the_backup_its_links(
    app: Flask,
    clock: Clock,
    make_account: MakeAccount,
    client: Visitor,
    ask: Callable[..., None],
    outbox: Outbox,
    outside: Outside,
) -> None:
    alice = make_account("alice", email="alice@corp.org", totp_app=True)
    number = second_address(app, alice, clock, "alice@spare.test")
    client.sign_in(alice, now=clock.now)
    marks_backup(client, alice, clock, number)
    outside.says([], None)
    for typed in ("alice", "alice@corp.org", "alice@spare.test"):
        ask(typed, Visitor(app, outbox))
    assert links(outbox, alice) == []
    assert len(links(outbox, Person(alice.id, alice.username, "alice@spare.test"))) == 1


# --- fairness


def test_who_asks_a_lot_waits_behind_whoever_asks_once(
    app: Flask, clock: Clock, make_account: MakeAccount, new_client: Callable[[], Visitor]
) -> None:
    flooded, carol = make_account("alice"), make_account("carol")
    for typed, ip in (("alice", "203.0.113.9"), ("alice", "203.0.113.9"), ("carol", "198.51.100.1")):
        visitor = new_client()
        visitor.http.environ_base["REMOTE_ADDR"] = ip
        visitor.post("/recovery", username=typed)
    with app.app_context():
        recovery.process_resets(now=clock.now)
        asked = select(Event.account_id).where(Event.type == EventType.RESET_REQUESTED.value)
        assert list(db.session().scalars(asked.order_by(Event.id))) == [flooded.id, carol.id, flooded.id]


def test_a_look_dated_after_the_beginning_of_the_round_is_told_of_once(
    app: Flask, clock: Clock, make_account: MakeAccount, outbox: Outbox, outside: Outside
) -> None:
    alice = make_account("alice", email="alice@corp.org")
    second_address(app, alice, clock)
    outside.says([], None)
    with app.app_context():
        domains.check_now("corp.org", now=clock.now + timedelta(seconds=4))  # a sweep's clock goes on
        for seconds in (0, 1, 10):  # this round and later ones
            domains.tell_of_doubts(now=clock.now + timedelta(seconds=seconds))
    clock.advance(minutes=1)
    assert len(outbox.to("alice@backup.test")) == 1
