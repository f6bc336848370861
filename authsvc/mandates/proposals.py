"""What one person of the service proposed and another has to approve: exemptions, and phases that ask for less.

Where nobody else could approve it, 24 hours take the place of the second person (POLICY 13). Whether that is so is
asked anew when they are over: a colleague who has a key by then has to approve.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import JSON, ColumnElement, ForeignKey, String, select, update
from sqlalchemy.orm import Mapped, mapped_column

from authsvc import accounts
from authsvc.core import db
from authsvc.core.db import BigId, Row
from authsvc.core.errors import NotFound
from authsvc.mandates.models import MAX_REASON

LASTS = timedelta(days=14)
WAITS = timedelta(hours=24)


class ProposalRow(Row):
    """An exemption (`account_id`, `until`), or another rule for a `phase`: `old` and `new`, null for none."""

    __tablename__ = "mandate_exemption_proposals"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), nullable=True)
    until: Mapped[datetime] = mapped_column(nullable=True)
    phase: Mapped[str] = mapped_column(String(40), default="", server_default="")  # empty for exemptions
    old: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    new: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    reason: Mapped[str] = mapped_column(String(MAX_REASON))
    proposed_by: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    proposed_at: Mapped[datetime]
    begins_at: Mapped[datetime | None]  # then, if whoever proposed it is alone still; null: they never were
    decided_at: Mapped[datetime | None]  # carried out or refused; the log says which, and by whom


def is_alone(staff_id: int, *, now: datetime) -> bool:
    """True when nobody else here could approve what this person proposes."""
    return accounts.staff_with_keys(now=now) <= {staff_id}


def begins_at(staff_id: int, *, now: datetime) -> datetime | None:
    """When a proposal made now begins without a second person; None where there is one."""
    return now + WAITS if is_alone(staff_id, now=now) else None


def is_open(now: datetime) -> ColumnElement[bool]:
    """A condition on proposals: somebody has to decide, or time."""
    in_time = ProposalRow.until.is_(None) | (ProposalRow.until > now)
    return ProposalRow.decided_at.is_(None) & in_time & (ProposalRow.proposed_at > now - LASTS)


def find(proposal_id: int, which: ColumnElement[bool], *, now: datetime) -> ProposalRow:
    """An open proposal. Raises NotFound."""
    row = db.session().scalar(select(ProposalRow).where(ProposalRow.id == proposal_id, which, is_open(now)))
    if row is None:
        raise gone(proposal_id)
    return row


def take(proposal_id: int, *, now: datetime) -> None:
    """Mark it decided; of several who decide at once the first does. Raises NotFound for the others."""
    mine = update(ProposalRow).where(ProposalRow.id == proposal_id, ProposalRow.decided_at.is_(None))
    if db.session().scalar(mine.values(decided_at=now).returning(ProposalRow.id)) is None:
        raise gone(proposal_id)


def begun(*, now: datetime) -> list[int]:
    """Those whose day is over and whose proposer, who still has a say, is alone still."""
    due = select(ProposalRow).where(is_open(now), ProposalRow.begins_at <= now).order_by(ProposalRow.id)
    return [row.id for row in db.session().scalars(due) if still_counts(row) and is_alone(row.proposed_by, now=now)]


def still_counts(row: ProposalRow) -> bool:
    """True while whoever made it is of the service, and did not lose or freeze the account since (POLICY 5, 6)."""
    account = accounts.get(row.proposed_by)
    return account.is_staff and account.stands_by(row.proposed_at)


def gone(proposal_id: int) -> NotFound:
    """The error for a proposal that nobody can decide any more."""
    return NotFound(
        f"proposal {proposal_id}", message="This proposal was decided, ran out, or does not count any more."
    )
