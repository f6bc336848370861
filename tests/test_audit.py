"""The security log: every event chained in order, and what a hand in the database changes is found."""

from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import delete, update

from authsvc import audit
from authsvc.audit import Event, EventType
from authsvc.core import db
from tests.conftest import NOON
from tests.people import Person


@pytest.fixture
def chained(app: Flask, make_account: Callable[..., Person]) -> Flask:
    """Five events, chained in two rounds."""
    person = make_account()
    with app.app_context():
        audit.chain_new_events()
        for count in (3, 2):
            with db.transaction():
                for number in range(count):
                    audit.record(EventType.LOGIN_FAILED, account_id=person.id, at=NOON, reason=f"{count}.{number}")
            assert audit.chain_new_events() == count
        assert audit.chain_new_events() == 0
    return app


def broken_at(app: Flask) -> int | None:
    """Where the chain breaks."""
    with app.app_context(), db.transaction():
        return audit.verify_chain()[1]


def test_an_untouched_chain_holds(chained: Flask) -> None:
    assert broken_at(chained) is None
    with chained.app_context(), db.transaction():
        position, mac = audit.head()
        assert (position, len(mac)) == (6, 64)


def test_a_changed_event_is_found(chained: Flask) -> None:
    with chained.app_context(), db.transaction() as session:
        session.execute(update(Event).where(Event.position == 4).values(ip="203.0.113.9"))
    assert broken_at(chained) == 4


def test_a_removed_event_is_found(chained: Flask) -> None:
    with chained.app_context(), db.transaction() as session:
        session.execute(delete(Event).where(Event.position == 4))
    assert broken_at(chained) == 5


def test_exchanged_events_are_found(chained: Flask) -> None:
    with chained.app_context(), db.transaction() as session:
        session.execute(update(Event).where(Event.position == 3).values(position=99))
        session.execute(update(Event).where(Event.position == 4).values(position=3))
        session.execute(update(Event).where(Event.position == 99).values(position=4))
    assert broken_at(chained) == 3


def test_a_cut_off_end_shows_in_the_head_that_was_kept(chained: Flask) -> None:
    with chained.app_context(), db.transaction() as session:
        kept = audit.head()
        session.execute(delete(Event).where(Event.position == 6))
    assert broken_at(chained) is None
    with chained.app_context(), db.transaction():
        assert audit.head() != kept
