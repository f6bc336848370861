"""Rows of packages, of who maintains them, and of the mandates that follow."""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    ForeignKey,
    Index,
    ScalarSelect,
    String,
    UniqueConstraint,
    func,
    or_,
    select,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from authsvc.core.db import BigId, Row

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
    account_id: Mapped[int | None] = mapped_column(ForeignKey("accounts.id"), index=True)
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


_NEWEST = select(func.coalesce(func.max(Snapshot.id), 0)).where(Snapshot.finished_at.is_not(None)).scalar_subquery()


def newest_snapshot() -> ScalarSelect[int]:
    """The number of the snapshot that counts; 0 before the first."""
    return _NEWEST


def is_current(table: type[Package] | type[Ownership]) -> ColumnElement[bool]:
    """A condition for queries: the row counts now. Leaves out what a running import has put down already."""
    return (table.from_snapshot <= _NEWEST) & or_(table.until_snapshot.is_(None), table.until_snapshot > _NEWEST)


class MandateRow(Row):
    """A mandate given to an account: at most one computed and one by hand. The date may come nearer, never later."""

    __tablename__ = "mandates"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    source: Mapped[str] = mapped_column(String(10))  # computed | by_hand
    phase: Mapped[str] = mapped_column(String(40))
    reason: Mapped[str] = mapped_column(String(MAX_REASON))
    enforced_from: Mapped[datetime]
    set_by: Mapped[str] = mapped_column(String(40))
    created_at: Mapped[datetime]

    __table_args__ = (UniqueConstraint("account_id", "source"),)
