"""Storing what a registry knows as our dated copy. An import adds and updates, and never removes.

A file is read twice: once to find every bad line before anything is stored, once to store it in short transactions.
"""

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


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What a file holds."""

    good: int
    bad: int
    examples: tuple[BadLine, ...]  # the first SHOWN bad lines


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What storing one file did."""

    kind: str  # packages | maintainers
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
        with db.transaction():
            if not total:
                table = Package if isinstance(some[0], PackageLine) else Ownership
                before = _rows(table)
            written += _write(table, [_row(line) for line in some])
        total += len(some)
    with db.transaction():
        added = _rows(table) - before if total else 0
    return Stored(
        kind="packages" if table is Package else "maintainers",
        added=added,
        changed=written - added,
        unchanged=total - written,
    )


def _write(table: type[Package | Ownership], rows: list[dict[str, Any]]) -> int:
    """Insert what is new and update what differs; returns how many rows that were."""
    new, unique = db.upsert(table), _UNIQUE[table]
    told: dict[str, ColumnElement[Any]] = {name: new.excluded[name] for name in rows[0] if name not in unique}
    if table is Ownership:
        # The earliest acceptance ever heard of counts, so a snapshot without dates moves none.
        known, heard = Ownership.accepted_at, told["accepted_at"]
        told["accepted_at"] = case((known.is_(None), heard), (heard < known, heard), else_=known)
    differs = or_(*(getattr(table, name).is_distinct_from(value) for name, value in told.items()))
    statement = new.on_conflict_do_update(index_elements=unique, set_=told, where=differs)
    # On the connection, which sends all rows at once; the session would want them one by one.
    connection = db.session().connection()
    return connection.execute(statement, rows, execution_options={"preserve_rowcount": True}).rowcount


def _rows(table: type[Package | Ownership]) -> int:
    return db.session().scalars(select(func.count()).select_from(table)).one()


def _row(line: Line) -> dict[str, Any]:
    if isinstance(line, OwnershipLine):
        return asdict(line)
    return {"ecosystem": line.ecosystem, "name": line.name, "high_impact": line.impact.is_high, **asdict(line.impact)}
