"""One import at a time: the right to put rows down, the moment they count, and what is swept up afterwards."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, insert, select, text, update
from sqlalchemy.orm import Session

from authsvc.core import db
from authsvc.mandates import by_account
from authsvc.mandates.models import Ownership, Package, Snapshot
from authsvc.mandates.pace import Pace

LEASE = timedelta(minutes=5)  # an import that was not heard of for so long is dead
RENEW_EVERY = timedelta(seconds=20)

Clock = Callable[[], datetime]


class Running(Exception):
    """Another import is under way."""


class Lost(Exception):
    """This import was not heard of for too long and counts as dead; nothing of it became current."""


class Lease:
    """The right to put down rows for one snapshot."""

    def __init__(self, number: int, clock: Clock) -> None:
        self.number, self.clock, self.renewed_at = number, clock, clock()
        self.wrote = False  # something was put down
        self.ended = False  # something will count no more

    def renew_if_due(self) -> None:
        """Say now and then that this import is alive. Raises Lost."""
        now = self.clock()
        if now - self.renewed_at >= RENEW_EVERY:
            self._change(now, lease_until=now + LEASE)
            self.renewed_at = now

    def hold(self) -> None:
        """Within a transaction that puts rows down: nobody takes this import for dead before it ends. Raises Lost."""
        mine = select(Snapshot.id).where(Snapshot.id == self.number, Snapshot.lease_until > self.clock())
        if db.session().scalar(mine.with_for_update(read=True)) is None:
            raise Lost

    def make_current(self, *, counted: dict[str, int] | None) -> None:
        """From now on the snapshot counts. `counted`: see `Snapshot`; None begins anew. Raises Lost."""
        now = self.clock()
        with db.transaction() as session:
            if counted is None:
                session.execute(update(Snapshot).values(counted={}))
            values = {"finished_at": now, "swept_at": None if self.ended else now, "counted": counted or {}}
            self._change_in(session, now, **values)

    def _change(self, now: datetime, **values: datetime) -> None:
        with db.transaction() as session:
            self._change_in(session, now, **values)

    def _change_in(self, session: Session, now: datetime, **values: Any) -> None:
        mine = update(Snapshot).where(
            Snapshot.id == self.number, Snapshot.finished_at.is_(None), Snapshot.lease_until > now
        )
        if session.scalar(mine.values(**values).returning(Snapshot.id)) is None:
            raise Lost

    def give_up(self) -> None:
        """Let the next import begin at once, and delete what was put down. Does nothing once the snapshot counts."""
        mine = (Snapshot.id == self.number) & Snapshot.finished_at.is_(None)
        if self.wrote:
            execute(update(Snapshot).where(mine).values(lease_until=Snapshot.started_at))
            tidy(now=self.clock())
        else:
            execute(delete(Snapshot).where(mine))


def begin(source: str, clock: Clock) -> Lease:
    """Start an import, after sweeping up what earlier ones left. Raises Running."""
    tidy(now=clock())
    now = clock()
    with db.transaction() as session:
        keep_apart("EXCLUSIVE")
        if is_running():
            raise Running
        values = {"source": source[:200], "started_at": now, "lease_until": now + LEASE}
        number = session.scalars(insert(Snapshot).returning(Snapshot.id), values).one()
    return Lease(number, clock)


def is_running() -> bool:
    """True while an import is under way, or dead and not swept up yet."""
    unfinished = select(Snapshot.id).where(Snapshot.finished_at.is_(None)).limit(1)
    return db.session().scalar(unfinished) is not None


def keep_apart(mode: str) -> None:
    """Keep imports (EXCLUSIVE) and pushes (ROW SHARE) apart until the transaction ends; SQLite has one writer."""
    if db.engine().dialect.name == "postgresql":
        db.session().execute(text(f"LOCK TABLE impact_snapshots IN {mode} MODE"))


def execute(statement: Any) -> None:
    """Run one statement in a transaction of its own."""
    with db.transaction() as session:
        session.execute(statement, execution_options={"synchronize_session": False})


def tidy(*, now: datetime, at_most: timedelta | None = None) -> None:
    """Delete, in short transactions, what killed imports left and what counts no more.

    The worker's task as well, which does not take longer `at_most` than mail can wait and goes on the next time.
    """
    ends = time.monotonic() + (at_most.total_seconds() if at_most else float("inf"))
    with db.transaction() as session:
        dead = list(
            session.scalars(select(Snapshot.id).where(Snapshot.finished_at.is_(None), Snapshot.lease_until <= now))
        )
        if dead:  # from here on it cannot become current, whatever its process does
            session.execute(update(Snapshot).where(Snapshot.id.in_(dead)).values(lease_until=Snapshot.started_at))
        unswept = select(Snapshot.id).where(Snapshot.finished_at.is_not(None), Snapshot.swept_at.is_(None))
        over = list(session.scalars(unswept))
    if not dead and not over:
        return
    for row in (Package, Ownership):
        useless, marked = row.from_snapshot.in_(dead) | row.until_snapshot.in_(over), row.until_snapshot.in_(dead)
        pace = Pace()
        for ids in _in_parts(row, useless | marked, pace):
            if time.monotonic() >= ends:
                return
            with pace.transaction() as session:
                options = {"synchronize_session": False}
                if dead:
                    again = update(row).where(ids, marked).values(until_snapshot=None)
                    session.execute(again, execution_options=options)
                if row is Ownership:
                    by_account.forget(ids & useless)
                session.execute(delete(row).where(ids, useless), execution_options=options)
    with db.transaction() as session:
        session.execute(update(Snapshot).where(Snapshot.id.in_(over)).values(swept_at=now))
        session.execute(delete(Snapshot).where(Snapshot.id.in_(dead)))


def _in_parts(
    row: type[Package] | type[Ownership], wanted: ColumnElement[bool], pace: Pace
) -> Iterator[ColumnElement[bool]]:
    """Conditions that go through the rows wanted by id, so that no index is needed and reading makes nobody wait."""
    last = 0
    while True:
        query = select(row.id).where(row.id > last, wanted).order_by(row.id).limit(pace.rows)
        with db.snapshot() as session:
            ids = session.scalars(query).all()
        if not ids:
            return
        yield row.id.in_(ids)
        last = ids[-1]
