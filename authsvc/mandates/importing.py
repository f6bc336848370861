"""Storing what a registry knows as our dated copy. An import adds and updates, and never removes.

A file is read twice: once to find every bad line before anything is stored, once to store it in short transactions.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, case, func, or_, select

from authsvc.core import db
from authsvc.mandates.models import Ownership, Package
from authsvc.mandates.reading import BadLine, Line, OwnershipLine, PackageLine, Progress, read

BATCH = 1000  # lines stored in one transaction; a sign-in waits no longer than one of these takes
SHOWN = 100  # bad lines kept to be shown; the rest is counted
_UNIQUE = {Package: ("ecosystem", "name"), Ownership: ("ecosystem", "package", "account")}
_KEYS = {"id", "account_id", *_UNIQUE[Package], *_UNIQUE[Ownership]}  # an import never rewrites these


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What a file holds."""

    good: int
    bad: int
    examples: tuple[BadLine, ...]  # the first SHOWN bad lines


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What storing one file did."""

    kind: str  # packages | ownerships
    added: int
    changed: int
    unchanged: int


def check(path: Path, *, now: datetime, progress: Progress) -> Checked:
    """Count good and bad lines. Stores nothing. Raises UnreadableFile."""
    good, bad, examples = 0, 0, []
    for line in read(path, now=now, progress=progress):
        if not isinstance(line, BadLine):
            good += 1
            continue
        bad += 1
        if bad <= SHOWN:
            examples.append(line)
    return Checked(good=good, bad=bad, examples=tuple(examples))


def store(path: Path, *, now: datetime, progress: Progress) -> Stored:
    """Store the good lines of a file, in transactions of their own. Raises UnreadableFile.

    The same file again changes nothing: only what differs is written.
    """
    good = (line for line in read(path, now=now, progress=progress) if not isinstance(line, BadLine))
    table: type[Package | Ownership] = Package
    before = written = total = 0
    while some := list(islice(good, BATCH)):
        with db.transaction() as session:
            if not total:
                table = Package if isinstance(some[0], PackageLine) else Ownership
                before = session.scalars(select(func.count()).select_from(table)).one()
            written += _write(table, some)
        total += len(some)
    with db.transaction() as session:
        added = session.scalars(select(func.count()).select_from(table)).one() - before if total else 0
    return Stored(kind=table.__tablename__, added=added, changed=written - added, unchanged=total - written)


def _write(table: type[Package | Ownership], lines: Iterable[Line]) -> int:
    """Insert what is new and update what differs; returns how many rows that were."""
    new = db.upsert(table)
    kept: dict[str, ColumnElement[Any]] = {c.name: c for c in new.excluded if c.name not in _KEYS}
    if table is Ownership:
        # The earliest acceptance ever heard of counts, so a snapshot without dates moves none.
        had, told = Ownership.accepted_at, new.excluded.accepted_at
        kept["accepted_at"] = case((had.is_(None), told), (told < had, told), else_=had)
    differs = or_(*(getattr(table, name).is_distinct_from(value) for name, value in kept.items()))
    statement = new.on_conflict_do_update(index_elements=_UNIQUE[table], set_=kept, where=differs)
    return db.session().connection().execute(statement, [_row(line) for line in lines]).rowcount


def _row(line: Line) -> dict[str, Any]:
    if isinstance(line, OwnershipLine):
        return asdict(line)
    figures = {"high_impact": line.impact.is_high, **asdict(line.impact)}
    return {"ecosystem": line.ecosystem, "name": line.name, **figures}
