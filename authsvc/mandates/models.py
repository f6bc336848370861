"""Rows of packages, of who maintains them, and of the mandates that follow."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from authsvc.core.db import BigId, Row

MAX_REASON = 500


class Package(Row):
    """A package's reach, as the newest import knew it. Columns are those of `policy.mandate.Impact`."""

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

    __table_args__ = (UniqueConstraint("ecosystem", "name"),)


class Ownership(Row):
    """Somebody maintains a package, says the registry. `account_id` follows once an account of that name exists."""

    __tablename__ = "ownerships"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    ecosystem: Mapped[str] = mapped_column(String(20))
    package: Mapped[str] = mapped_column(String(214))
    account: Mapped[str] = mapped_column(String(39), index=True)  # the name at the registry, in our canonical form
    account_id: Mapped[int | None] = mapped_column(ForeignKey("accounts.id"), index=True)
    role: Mapped[str] = mapped_column(String(20))
    accepted_at: Mapped[datetime | None]  # counts from then on (POLICY 12); null: invited only

    __table_args__ = (UniqueConstraint("ecosystem", "package", "account"),)


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
