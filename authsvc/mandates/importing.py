"""Making what a registry knows our dated copy, without a sign-in noticing.

The files are read and compared outside the database (`scratch`). What differs is then put down in short transactions,
where it counts for nothing yet, and one transaction of one row makes it current. A killed import's rows never count;
the next import or the worker deletes them.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, func, null, select, type_coerce, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import NullType

from authsvc import accounts
from authsvc.core import db
from authsvc.core.db import UtcDateTime
from authsvc.mandates import by_account
from authsvc.mandates.guarding import Guard, ManyWouldGo
from authsvc.mandates.models import Ownership, OwnershipOfAccount, Package, is_current
from authsvc.mandates.pace import Pace
from authsvc.mandates.reading import BadLine, Line, OfRecord, OwnershipLine, Progress, UnreadableFile, read
from authsvc.mandates.scratch import FILE, KINDS, MAINTAINERS, PACKAGES, Kind, Rows, Scratch, Values, stored
from authsvc.mandates.snapshots import Clock, Lease, Lost, begin, tidy

SHOWN = 100  # bad lines kept to be shown; the rest is counted
ROWS: dict[Kind, type[Package] | type[Ownership]] = {PACKAGES: Package, MAINTAINERS: Ownership}

Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Told:
    """What one file holds."""

    path: Path
    kind: Kind
    good: int
    bad: int
    examples: tuple[BadLine, ...]  # the first SHOWN bad lines


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What storing one file did."""

    file: str
    kind: str  # packages | maintainers
    added: int
    changed: int
    unchanged: int
    bad: int


@dataclass(frozen=True, kw_only=True)
class Current:
    """The import counts now. `removed`: by kind, how many were missing in a whole snapshot."""

    files: tuple[Stored, ...]
    removed: dict[str, int]


@dataclass
class Gathered:
    """Files that were read, put in order in a scratch file. Close it."""

    scratch: Scratch = field(default_factory=Scratch)
    files: list[Told] = field(default_factory=list)

    @property
    def bad(self) -> int:
        """Bad lines in all files."""
        return sum(told.bad for told in self.files)

    def close(self) -> None:
        """Forget the scratch file."""
        self.scratch.close()


def gather(
    paths: Sequence[Path], *, now: datetime, of_record: OfRecord, progress: Callable[[Path], Progress]
) -> Gathered:
    """Read files and find every bad line. Touches no database. Raises UnreadableFile."""
    gathered = Gathered()
    try:
        found = [_Reading(path, number) for number, path in enumerate(paths)]
        for reading in found:
            try:
                reading.into(gathered.scratch, now=now, of_record=of_record, progress=progress(reading.path))
            except UnreadableFile as error:
                raise UnreadableFile(f"{reading.path}: {error}") from error
        for kind in KINDS:
            for key, place, first in gathered.scratch.sort(kind):
                file, line = divmod(place, FILE)
                where = "" if first // FILE == file else f" of {paths[first // FILE]}"
                found[file].say_again(line, f"says again what line {first % FILE}{where} says: {key}")
        gathered.files = [reading.told() for reading in found]
    except BaseException:
        gathered.close()
        raise
    return gathered


class _Reading:
    """One file while it is read."""

    def __init__(self, path: Path, number: int) -> None:
        self.path, self.number = path, number
        self.kind, self.good, self.bad = PACKAGES, 0, 0
        self.examples: list[BadLine] = []

    def into(self, scratch: Scratch, *, now: datetime, of_record: OfRecord, progress: Progress) -> None:
        rows = self._rows(read(self.path, now=now, progress=progress, of_record=of_record))
        first = next(rows, None)
        if first is not None:
            scratch.add(self.kind, [first])
            scratch.add(self.kind, rows)

    def _rows(self, lines: Iterable[tuple[int, Line] | BadLine]) -> Iterator[Values]:
        place = self.number * FILE
        for found in lines:
            if isinstance(found, BadLine):
                self._say(found)
                continue
            number, line = found
            self.good += 1
            if isinstance(line, OwnershipLine):
                self.kind = MAINTAINERS
                yield *line[:4], stored(line.accepted_at), place + number
            else:
                i = line.impact
                figures = (i.weekly_downloads, i.dependents, i.weekly_ge_1m, i.dependents_ge_500, i.rank)
                yield line.ecosystem, line.name, *figures, i.dependents_rank, i.is_high, place + number

    def _say(self, line: BadLine) -> None:
        self.bad += 1
        if len(self.examples) < SHOWN:
            self.examples.append(line)

    def say_again(self, line: int, reason: str) -> None:
        """A line that was taken for good is bad after all."""
        self.good -= 1
        self._say(BadLine(line, reason))

    def told(self) -> Told:
        examples = tuple(sorted(self.examples))
        return Told(path=self.path, kind=self.kind, good=self.good, bad=self.bad, examples=examples)


def load(
    gathered: Gathered,
    *,
    changes: bool,
    even_if_many_go: bool = False,
    clock: Clock,
    progress: Callable[[int], Callable[[int], None]],
) -> Current | ManyWouldGo:
    """Compare with what is known and make it current, or say why not. In transactions of its own.

    `changes` adds and updates; otherwise the files are a whole snapshot of the ecosystems they name, so what is missing
    is gone. Where bad lines were left out nothing is removed: it may be one of them. The same again changes nothing.
    `progress` is told how many rows are to be written and returns what is told how many were. Raises Running, Lost, and
    BadPhases.
    """
    scratch = gathered.scratch
    whole = {kind: not changes and not any(told.bad for told in gathered.files if told.kind is kind) for kind in KINDS}
    lease = begin(", ".join(told.path.name for told in gathered.files), clock)
    try:
        if db.engine().dialect.name == "sqlite" and not scratch.attached:
            scratch.attach(db.engine().url.database or "")
        for kind in KINDS:
            _know(scratch, kind, whole=whole[kind], lease=lease)
            scratch.compare(kind, whole=whole[kind])
            lease.renew_if_due()
        guard = Guard(scratch)
        scratch.guard(_source(guard.packages(), lease))
        refused = guard.check(whole, now=clock())
        if refused is not None and not even_if_many_go:
            lease.give_up()
            return refused
        written = progress(scratch.work())
        for kind in KINDS:
            _put_down(scratch, kind, lease, written)
        _place(scratch, lease)
        lease.make_current(counted=None if refused else guard.counted)
    except BaseException:
        lease.give_up()
        raise
    removed = {}
    results: dict[int, Stored] = {}
    for kind in KINDS:
        added, changed = scratch.counts(kind)
        removed[kind.word] = sum(1 for _ in scratch.over(kind)) - changed.total()
        for number, told in enumerate(gathered.files):
            if told.kind is kind:
                results[number] = Stored(
                    file=str(told.path),
                    kind=kind.word,
                    added=added[number],
                    changed=changed[number],
                    unchanged=told.good - added[number] - changed[number],
                    bad=told.bad,
                )
    tidy(now=clock())
    return Current(files=tuple(results[number] for number in sorted(results)), removed=removed)


def store(path: Path, *, now: datetime, progress: Progress) -> Stored:
    """Add and update what one file says, good lines alone. Raises UnreadableFile, Running."""
    gathered = gather([path], now=now, of_record=lambda _: True, progress=lambda _: progress)
    try:
        done = load(gathered, changes=True, even_if_many_go=True, clock=lambda: now, progress=lambda _: lambda _: None)
    finally:
        gathered.close()
    assert isinstance(done, Current)  # noqa: S101 -- nothing can go
    return done.files[0]


# What is known


def _know(scratch: Scratch, kind: Kind, *, whole: bool, lease: Lease) -> None:
    """Load what the database holds of the ecosystems, or only of the keys, that were told of."""
    row = ROWS[kind]
    columns = [_raw(getattr(row, name)) for name in (*kind.key, *kind.told)]
    account: Any = Ownership.account_id if kind is MAINTAINERS else null()
    query = select(*columns, row.id, account).where(is_current(row))
    for ecosystem in scratch.ecosystems(kind):
        here = query.where(row.ecosystem == ecosystem)
        if whole:
            scratch.know(kind, _source(here, lease))
            continue
        second = kind.key[1]
        for names in _batches(scratch.keys(kind, ecosystem, second), 500):
            scratch.know(kind, _source(here.where(getattr(row, second).in_(names)), lease))
    if kind is PACKAGES:
        return
    account_row = accounts.AccountRow
    ids = select(account_row.username, account_row.id)
    if whole:
        scratch.know_accounts(_source(ids, lease))
    else:
        for some in _batches(scratch.names(), 500):
            scratch.know_accounts(_source(ids.where(account_row.username.in_(some)), lease))


def _source(query: Any, lease: Lease) -> Rows:
    """What a query finds: on SQLite as text, for the scratch file to run, else rows as they come."""
    lease.renew_if_due()
    if db.engine().dialect.name == "sqlite":
        return str(query.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}))
    return _stream(query, lease)


def _stream(query: Any, lease: Lease) -> Iterator[Values]:
    """Rows as they come, in a transaction that only reads and never holds more than a few thousand of them."""
    options = {"writes": False, "stream_results": True, "yield_per": 5000}
    with db.engine().connect().execution_options(**options) as connection:
        for some in connection.execute(query).partitions():
            lease.renew_if_due()
            yield from map(tuple, some)


def _raw(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The column as the driver gives it, which costs a third of the time; times as `scratch.stored` writes them."""
    if isinstance(column.type, UtcDateTime) and db.engine().dialect.name == "postgresql":
        return func.to_char(column, "YYYY-MM-DD HH24:MI:SS.US")
    return type_coerce(column, NullType())


# Writing


def _put_down(scratch: Scratch, kind: Kind, lease: Lease, written: Callable[[int], None]) -> None:
    row = ROWS[kind]
    lease.wrote = True
    pace = Pace()
    if scratch.attached:
        for first, last in pace.ranges(scratch.count_new(kind)):
            with _turn(scratch, lease, pace):
                scratch.write_new(kind, lease.number, first, last)
            written(last - first)
    else:
        for rows in pace.batches(scratch.new(kind)):
            with pace.transaction() as session:
                lease.hold()
                _copy(session.connection(), kind, rows, lease.number)
            lease.renew_if_due()
            written(len(rows))
    pace = Pace()
    for ids in pace.batches(scratch.over(kind)):
        lease.ended = True
        with pace.transaction() as session:
            lease.hold()
            ended = update(row).where(row.id.in_(ids)).values(until_snapshot=lease.number)
            session.execute(ended, execution_options={"synchronize_session": False})
        lease.renew_if_due()
        written(len(ids))


def _place(scratch: Scratch, lease: Lease) -> None:
    """Say where the new rows of each account lie, in order of accounts."""
    new = (Ownership.from_snapshot == lease.number) & Ownership.account_id.is_not(None)
    pairs = select(Ownership.account_id, Ownership.id).where(new).order_by(Ownership.account_id, Ownership.id)
    if not scratch.attached:
        with db.transaction() as session:
            lease.hold()
            rows = postgresql.insert(OwnershipOfAccount).from_select(["account_id", "ownership_id"], pairs)
            session.execute(rows.on_conflict_do_nothing())
        return
    pace = Pace()
    for first, last in pace.ranges(scratch.place(_source(pairs, lease))):
        with _turn(scratch, lease, pace):
            scratch.write_placed(OwnershipOfAccount.__tablename__, first, last)


@contextmanager
def _turn(scratch: Scratch, lease: Lease, pace: Pace) -> Iterator[None]:
    """A short transaction on SQLite, and the pause after it. Raises Lost."""
    with scratch.turn(lease.number, lease.clock()) as stands:
        begun = time.perf_counter()  # it has waited for its turn
        if not stands:
            raise Lost
        yield
    pace.rest(time.perf_counter() - begun)
    lease.renew_if_due()


def _copy(connection: Connection, kind: Kind, rows: list[Values], number: int) -> None:
    """Insert rows, past everything that would cost time for each of them."""
    names = (*kind.key, *kind.told, *(("account_id",) if kind is MAINTAINERS else ()))
    columns, width = ", ".join((*names, "from_snapshot")), len(names)
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"COPY {kind.table} ({columns}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row((*row[:width], number))


def match_accounts() -> int:
    """Give maintainers' rows the account that was made since under their name; returns how many. In short transactions.

    The name alone gives duties and no right over any package.
    """
    row, account, matched, last = Ownership, accounts.AccountRow, 0, 0
    nameless = (
        select(row.id, account.id.label("account_id"))
        .join(account, account.username == row.account)
        .where(row.account_id.is_(None))
        .order_by(row.id)
    )
    pace = Pace()
    while True:
        with db.snapshot() as session:
            found = session.execute(nameless.where(row.id > last).limit(pace.rows)).all()
        if not found:
            return matched
        with pace.transaction() as session:
            for id_, account_id in found:
                mine = update(row).where(row.id == id_, row.account_id.is_(None)).values(account_id=account_id)
                session.execute(mine, execution_options={"synchronize_session": False})
            by_account.note((account_id, id_) for id_, account_id in found)
        matched, last = matched + len(found), found[-1].id


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    iterator = iter(items)
    while some := list(islice(iterator, size)):
        yield some
