"""Rows of packages, of who maintains them, and of the mandates that follow."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    ForeignKey,
    Index,
    ScalarSelect,
    String,
    UniqueConstraint,
    false,
    func,
    or_,
    select,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.sql.expression import SQLColumnExpression

from authsvc.core.db import BigId, Row
from authsvc.policy.mandate import Impact

MAX_REASON = 500


class Snapshot(Row):
    """One import. Its rows count from the moment `finished_at` is set; of those of a killed one nothing ever does."""

    __tablename__ = "impact_snapshots"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    source: Mapped[str] = mapped_column(String(200))  # what was read, in words
    started_at: Mapped[datetime]
    lease_until: Mapped[datetime]  # moved on by its import while that is alive
    finished_at: Mapped[datetime | None]
    swept_at: Mapped[datetime | None]  # rows that count no more are deleted
    counted: Mapped[dict[str, Any] | None]  # by what is guarded, how much of it there was before (`guarding`)


class Package(Row):
    """A package's reach, as the newest import knew it. Columns are those of `policy.mandate.Impact`.

    Rows wait for their snapshot to count, and are deleted some time after they stopped: ask with `is_current`.
    """

    __tablename__ = "packages"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    ecosystem: Mapped[str] = mapped_column(String(20))
    name: Mapped[str] = mapped_column(String(214))
    weekly_downloads: Mapped[int | None] = mapped_column(BigInteger)
    dependents: Mapped[int | None] = mapped_column(BigInteger)
    weekly_ge_1m: Mapped[bool | None]
    dependents_ge_500: Mapped[bool | None]
    rank: Mapped[int | None]
    dependents_rank: Mapped[int | None]
    high_impact: Mapped[bool]  # what the policy said of the figures above
    from_snapshot: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    until_snapshot: Mapped[int | None] = mapped_column(BigInteger)  # counts no more from this one on

    __table_args__ = (UniqueConstraint("ecosystem", "name", "from_snapshot"),)


class Ownership(Row):
    """Somebody maintains a package, says the registry. `account_id` follows once an account of that name exists.

    Rows wait for their snapshot as those of `Package` do.
    """

    __tablename__ = "ownerships"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    ecosystem: Mapped[str] = mapped_column(String(20))
    package: Mapped[str] = mapped_column(String(214))
    account: Mapped[str] = mapped_column(String(39))  # the name at the registry, in our canonical form
    account_id: Mapped[int | None] = mapped_column(ForeignKey("accounts.id"))  # found by `of_account`
    role: Mapped[str] = mapped_column(String(20))
    accepted_at: Mapped[datetime | None]  # counts from then on (POLICY 12); null: invited only
    from_snapshot: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    until_snapshot: Mapped[int | None] = mapped_column(BigInteger)

    __table_args__ = (
        UniqueConstraint("ecosystem", "package", "account", "from_snapshot"),
        # Names are looked up when somebody registers; millions of rows with an account need no place in it.
        Index(
            "ix_ownerships_account",
            "account",
            sqlite_where=text("account_id IS NULL"),
            postgresql_where=text("account_id IS NULL"),
        ),
    )


class Invitation(Row):
    """What an account was told, or answered here, about maintaining a package. Imports never touch it.

    The answer that counts is `Ownership.accepted_at`; the date here says that it was given here.
    """

    __tablename__ = "invitations"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    ecosystem: Mapped[str] = mapped_column(String(20))
    package: Mapped[str] = mapped_column(String(214))
    told_at: Mapped[datetime | None]  # mailed; null: answered before
    accepted_at: Mapped[datetime | None]
    declined_at: Mapped[datetime | None]

    __table_args__ = (UniqueConstraint("account_id", "ecosystem", "package"),)


class OwnershipOfAccount(Row):
    """By account, the ids of its rows in `ownerships`: in place of an index, so that an import can fill it in order.

    Says where to look and decides nothing: a row of `ownerships` that is gone may be named here for some time.
    """

    __tablename__ = "ownerships_by_account"

    account_id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    ownership_id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)

    __table_args__ = ({"sqlite_with_rowid": False},)


def of_account(account_id: int | SQLColumnExpression[int]) -> ColumnElement[bool]:
    """A condition on `Ownership`: the row is of this account. Fast, other than comparing `account_id` alone."""
    ids = select(OwnershipOfAccount.ownership_id).where(OwnershipOfAccount.account_id == account_id)
    ids = ids.correlate_except(OwnershipOfAccount)
    return (Ownership.account_id == account_id) & Ownership.id.in_(ids)


_NEWEST = select(func.coalesce(func.max(Snapshot.id), 0)).where(Snapshot.finished_at.is_not(None)).scalar_subquery()


def newest_snapshot() -> ScalarSelect[int]:
    """The number of the snapshot that counts; 0 before the first."""
    return _NEWEST


def is_current(table: type[Package] | type[Ownership]) -> ColumnElement[bool]:
    """A condition for queries: the row counts now. Leaves out what a running import has put down already."""
    return (table.from_snapshot <= _NEWEST) & or_(table.until_snapshot.is_(None), table.until_snapshot > _NEWEST)


class MandateRow(Row):
    """A mandate given to an account: one for each phase that covers it, and by hand one for each strength.

    What it asks for may grow and its date come nearer, never the other way round. Whoever leaves a phase keeps the row,
    ended: it says that the account once had a mandate, and it is taken up again when they return.
    """

    __tablename__ = "mandates"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    source: Mapped[str] = mapped_column(String(40))  # the phase; by_hand, for_keys or two_keys
    phase: Mapped[str] = mapped_column(String(40))  # as people read it
    strength: Mapped[str] = mapped_column(String(24))
    reason: Mapped[str] = mapped_column(String(MAX_REASON))
    enforced_from: Mapped[datetime]
    set_by: Mapped[str] = mapped_column(String(40))
    created_at: Mapped[datetime]  # given, brought forward or strengthened
    below_since: Mapped[datetime | None]  # out of the phase's reach since then, without a break
    ended_at: Mapped[datetime | None]
    once_in_force: Mapped[bool] = mapped_column(default=False, server_default=false())  # before its account returned
    tell_at: Mapped[datetime | None] = mapped_column(index=True)  # the next moment that its owner hears of; null: none

    __table_args__ = (UniqueConstraint("account_id", "source"),)


class PhaseRow(Row):
    """What a phase was from a moment on. Rows are only ever added: the newest of a name counts (decision 0031)."""

    __tablename__ = "mandate_phases"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(40), index=True)
    rule: Mapped[dict[str, Any] | None]  # as in mandates.toml, times in ISO 8601; null: taken away
    reason: Mapped[str] = mapped_column(String(MAX_REASON))
    set_by: Mapped[str] = mapped_column(String(80))  # two people's names
    created_at: Mapped[datetime]


class ExemptionRow(Row):
    """Nothing is asked of an account between two moments. Who weakens protection so stands in POLICY 13."""

    __tablename__ = "mandate_exemptions"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    reason: Mapped[str] = mapped_column(String(MAX_REASON))
    set_by: Mapped[str] = mapped_column(String(80))
    created_at: Mapped[datetime]
    starts_at: Mapped[datetime]
    until: Mapped[datetime]
    ended_at: Mapped[datetime | None]  # taken back before its time


class FiguresRow(Row):
    """What a phase looked like on a day, kept so that adoption can be shown over time."""

    __tablename__ = "mandate_figures"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    day: Mapped[date]
    phase: Mapped[str] = mapped_column(String(40))
    accounts: Mapped[int]
    with_two_keys: Mapped[int]
    with_key: Mapped[int]  # one, and whatever else
    with_app: Mapped[int]  # and no key
    met: Mapped[int]
    stopped: Mapped[int]

    __table_args__ = (UniqueConstraint("day", "phase"),)


FIGURES = (
    Package.weekly_downloads,
    Package.dependents,
    Package.weekly_ge_1m,
    Package.dependents_ge_500,
    Package.rank,
    Package.dependents_rank,
)


def impact(row: Any) -> Impact:
    """The figures of a result that holds `FIGURES`."""
    return Impact(**{column.key: getattr(row, column.key) for column in FIGURES})
