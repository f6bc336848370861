"""The security log: every event chained in order, and what a hand in the database changes is found and named."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from flask import Flask
from flask.cli import ScriptInfo
from sqlalchemy import delete, insert, update

from authsvc import audit, worker
from authsvc.audit import EventType, Head
from authsvc.audit.chain import BATCH, Report
from authsvc.audit.models import Anchor, Event
from authsvc.core import db
from tests.conftest import NOON
from tests.slices import at_once, new_account

DAY = timedelta(days=1)


@pytest.fixture
def chained(app: Flask) -> Flask:
    """Ten events, one a day from noon on, chained in two rounds."""
    account_id = new_account(app, "alice")
    with app.app_context():
        for day, count in ((0, 6), (6, 4)):
            with db.transaction():
                for number in range(day, day + count):
                    audit.record(EventType.LOGIN_FAILED, account_id=account_id, at=NOON + number * DAY, number=number)
            assert audit.chain_new_events() == count
        assert audit.chain_new_events() == 0
    return app


def walk(app: Flask, *heads: Head, batch: int = 3) -> Report:
    """Verify the chain, in batches smaller than it."""
    with app.app_context(), db.snapshot():
        return audit.verify_chain(heads, batch=batch)


def test_an_untouched_chain_holds(chained: Flask) -> None:
    report = walk(chained)
    assert (report.events, report.broken, report.unchained, report.pruned) == (10, None, 0, 0)
    assert (report.head.position, len(report.head.mac)) == (10, 64)


@pytest.mark.parametrize(
    "values",
    [{"ip": "203.0.113.9"}, {"detail": {"number": 99}}, {"place": "Oslo"}, {"account_id": None}, {"mac": None}],
)
def test_a_changed_event_is_named(chained: Flask, values: dict[str, object]) -> None:
    with chained.app_context(), db.transaction() as session:
        changed = session.scalars(update(Event).where(Event.position == 4).values(values).returning(Event.id)).one()
    broken = walk(chained).broken
    assert broken is not None
    assert (broken.position, broken.event_id) == (4, changed)


def test_a_removed_event_is_named(chained: Flask) -> None:
    with chained.app_context(), db.transaction() as session:
        session.execute(delete(Event).where(Event.position.in_([4, 5])))
    broken = walk(chained).broken
    assert broken is not None
    assert (broken.position, broken.why) == (4, "2 missing before the event shown")


def test_a_removed_beginning_is_named(chained: Flask) -> None:
    with chained.app_context(), db.transaction() as session:
        session.execute(delete(Event).where(Event.position <= 2))
    broken = walk(chained).broken
    assert broken is not None
    assert broken.position == 1


def test_exchanged_events_are_named(chained: Flask) -> None:
    with chained.app_context(), db.transaction() as session:
        for was, now in ((3, 99), (4, 3), (99, 4)):
            session.execute(update(Event).where(Event.position == was).values(position=now))
    broken = walk(chained).broken
    assert broken is not None
    assert broken.position == 3


def test_an_event_put_in_is_named(chained: Flask) -> None:
    # Given room made in the middle, and an event of one's own there
    with chained.app_context(), db.transaction() as session:
        for position in range(10, 4, -1):
            session.execute(update(Event).where(Event.position == position).values(position=position + 1))
        own = {"type": "account:login:failed", "at": NOON, "detail": {}, "position": 5, "mac": bytes(32)}
        made = session.scalars(insert(Event).values(own).returning(Event.id)).one()
    broken = walk(chained).broken
    assert broken is not None
    assert (broken.position, broken.event_id) == (5, made)


def test_a_cut_off_end_is_seen_with_a_head_that_was_kept(chained: Flask) -> None:
    kept = walk(chained).head
    with chained.app_context(), db.transaction() as session:
        session.execute(delete(Event).where(Event.position >= 9))
    assert walk(chained).broken is None
    broken = walk(chained, kept).broken
    assert broken is not None
    assert broken.position == 9
    # and also when something else was written there since
    with chained.app_context():
        with db.transaction():
            for _ in range(3):
                audit.record(EventType.LOGIN_FAILED, account_id=None, at=NOON)
        audit.chain_new_events()
    assert walk(chained).broken is None
    broken = walk(chained, kept).broken
    assert broken is not None
    assert broken.position == 10


def test_heads_of_before_are_found_in_a_chain_that_went_on(chained: Flask) -> None:
    heads = [walk(chained).head]
    with chained.app_context():
        with db.transaction():
            audit.record(EventType.LOGIN_FAILED, account_id=None, at=NOON)
        audit.chain_new_events()
    assert walk(chained, *heads, walk(chained).head).broken is None


def test_events_not_chained_yet_are_told(chained: Flask) -> None:
    with chained.app_context(), db.transaction():
        audit.record(EventType.LOGIN_FAILED, account_id=None, at=NOON)
    report = walk(chained)
    assert (report.broken, report.unchained, report.unchained_since) == (None, 1, NOON)


def test_many_events_are_chained_in_one_round(app: Flask) -> None:
    with app.app_context():
        with db.transaction():
            for _ in range(BATCH + 1):
                audit.record(EventType.LOGIN_FAILED, account_id=None, at=NOON)
        assert audit.chain_new_events() == BATCH + 1
    assert walk(app, batch=BATCH).events == BATCH + 1


def test_two_workers_make_one_chain(app: Flask) -> None:
    with app.app_context(), db.transaction():
        for _ in range(20):
            audit.record(EventType.LOGIN_FAILED, account_id=None, at=NOON)
    at_once(app, *[lambda: audit.chain_new_events(limit=5)] * 2)
    with app.app_context():
        audit.chain_new_events()
    report = walk(app)
    assert (report.events, report.broken, report.unchained) == (20, None, 0)


# Pruning


def prune(app: Flask, *, days: float) -> int:
    """Prune what is older than this many days after the first event."""
    with app.app_context():
        return audit.prune(before=NOON + days * DAY, now=NOON + 400 * DAY)


def test_a_pruned_chain_holds_and_goes_on(chained: Flask) -> None:
    kept = walk(chained).head
    # An event exactly as old as the limit stays
    assert prune(chained, days=4) == 4
    assert prune(chained, days=4) == 0
    report = walk(chained, kept)
    assert (report.events, report.pruned, report.broken, report.head) == (6, 4, None, kept)
    # and when nothing is left, what comes next is chained to what was pruned
    assert prune(chained, days=99) == 6
    assert walk(chained, kept).head == kept
    with chained.app_context():
        with db.transaction():
            audit.record(EventType.LOGIN_FAILED, account_id=None, at=NOON)
        audit.chain_new_events()
    report = walk(chained, kept)
    assert (report.events, report.pruned, report.broken, report.head.position) == (1, 10, None, 11)


def test_pruning_stops_before_a_broken_event_and_leaves_the_evidence(chained: Flask) -> None:
    # Given a hand that backdates what it wants to be rid of
    with chained.app_context(), db.transaction() as session:
        session.execute(update(Event).where(Event.position == 3).values(ip="203.0.113.9"))
    assert prune(chained, days=99) == 2
    broken = walk(chained).broken
    assert broken is not None
    assert broken.position == 3


def test_nobody_without_the_key_can_move_the_anchor(chained: Flask) -> None:
    prune(chained, days=2)
    with chained.app_context(), db.transaction() as session:
        session.execute(delete(Event).where(Event.position <= 5))
        mac = bytes(32)
        session.execute(update(Anchor).values(position=5, mac=mac))
    broken = walk(chained).broken
    assert broken is not None
    assert broken.why == "the record of what was pruned was changed"
    assert prune(chained, days=99) == 0


def test_an_event_put_in_where_others_were_pruned_is_named(chained: Flask) -> None:
    prune(chained, days=4)
    with chained.app_context(), db.transaction() as session:
        own = {"type": "account:login:failed", "at": NOON, "detail": {}, "position": 2, "mac": bytes(32)}
        session.execute(insert(Event).values(own))
    broken = walk(chained).broken
    assert broken is not None
    assert broken.position == 2


def test_the_anchor_taken_away_shows(chained: Flask) -> None:
    prune(chained, days=4)
    with chained.app_context(), db.transaction() as session:
        session.execute(delete(Anchor))
    broken = walk(chained).broken
    assert broken is not None
    assert broken.position == 1


@pytest.mark.parametrize(("days", "left"), [(365, 10), (366, 9)])
def test_the_worker_keeps_events_for_a_year(chained: Flask, days: int, left: int) -> None:
    later = NOON + days * DAY
    others = {task.name: later + DAY for task in worker.TASKS if task.name != "audit pruning"}
    worker.run_due(chained, others, now=later)
    report = walk(chained)
    assert (report.events, report.broken) == (left, None)


# The command


def run(app: Flask, *words: str) -> Result:
    """`authsvc audit …` against this app."""
    return CliRunner().invoke(audit.commands[0], words, obj=ScriptInfo(create_app=lambda: app))


def test_the_command_proves_heads_that_were_kept(chained: Flask, tmp_path: Path) -> None:
    # Given heads that a timer appended to a file elsewhere
    kept = tmp_path / "heads"
    kept.write_text(run(chained, "head").output)
    with chained.app_context():
        with db.transaction():
            audit.record(EventType.LOGIN_FAILED, account_id=None, at=NOON)
        audit.chain_new_events()
    with kept.open("a") as file:
        file.write(run(chained, "head").output)
    # When the chain is verified
    done = run(chained, "verify", "--head", str(kept))
    # Then both are in it; and no longer once the end is gone
    assert done.exit_code == 0, done.output
    assert "11 events in order" in done.output
    assert "Heads found in the chain: 2" in done.output
    with chained.app_context(), db.transaction() as session:
        session.execute(delete(Event).where(Event.position == 11))
    assert run(chained, "verify").exit_code == 0
    done = run(chained, "verify", "--head", str(kept))
    assert done.exit_code == 1
    assert "Broken at position 11" in done.output


def test_the_command_names_the_first_broken_entry(chained: Flask) -> None:
    with chained.app_context(), db.transaction() as session:
        session.execute(update(Event).where(Event.position.in_([4, 7])).values(ip="203.0.113.9"))
    done = run(chained, "verify", "--json")
    found = json.loads(done.stdout)
    assert done.exit_code == 1
    assert (found["events"], found["broken_at"], found["broken"]["position"]) == (3, 4, 4)


@pytest.mark.parametrize("text", ["5", "five:00", "5:zz", "5:00ff", "/no/such/file"])
def test_a_head_that_is_none_is_wrong_usage(app: Flask, text: str) -> None:
    assert run(app, "verify", "--head", text).exit_code == 2
