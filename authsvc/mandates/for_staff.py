"""What the staff console takes of mandates: exemptions by two people (POLICY 13), previews, the trend as a picture."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, ForeignKey, String, select, update
from sqlalchemy.orm import Mapped, mapped_column

from authsvc import accounts, audit
from authsvc.audit import EventType
from authsvc.core import db
from authsvc.core.db import BigId, Row
from authsvc.core.errors import BadInput, NotFound
from authsvc.mandates import chart, phases
from authsvc.mandates.co_owners import co_owners
from authsvc.mandates.exemptions import WAITS, exempt
from authsvc.mandates.figures import DayFigures, WhatIf, what_if
from authsvc.mandates.models import MAX_REASON
from authsvc.policy.recovery import NoVote, Vote, may_vote

PROPOSAL_LASTS = timedelta(days=14)
LONGEST = timedelta(days=365)


class ProposalRow(Row):
    """An exemption that one person of the service proposed."""

    __tablename__ = "mandate_exemption_proposals"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    reason: Mapped[str] = mapped_column(String(MAX_REASON))
    until: Mapped[datetime]
    proposed_by: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    proposed_at: Mapped[datetime]
    decided_at: Mapped[datetime | None]  # approved or refused; the log says which, and by whom


@dataclass(frozen=True, kw_only=True)
class ProposalView:
    """A proposal that somebody has to decide. `no_vote`: why whoever looks may not."""

    id: int
    username: str
    reason: str
    until: datetime
    proposed_by: str
    proposed_at: datetime
    no_vote: NoVote | None


def may_exempt(account_id: int, *, staff_id: int, now: datetime) -> NoVote | None:
    """Why this person may neither propose nor approve an exemption of the account: they are it, or a co-owner."""
    return _no_vote(account_id, staff_id, (), now)


def is_alone(staff_id: int, *, now: datetime) -> bool:
    """True when nobody else here could approve what this person proposes."""
    return accounts.staff_with_keys(now=now) <= {staff_id}


def propose_exemption(account_id: int, *, reason: str, until: datetime, staff_id: int, now: datetime) -> NoVote | None:
    """Put an exemption down for a second person; why this one may not, or None.

    The caller sees to it that the person is staff and has just proved it. Where nobody else could approve it stands at
    once and begins a day later, as at the command line. Raises BadInput for a day that is too early or too far.
    """
    accounts.lock(account_id)
    check_end(until, now=now)
    problem = may_exempt(account_id, staff_id=staff_id, now=now)
    if problem is not None:
        return problem
    staff = accounts.get(staff_id).username
    if is_alone(staff_id, now=now):
        exempt(account_id, reason=reason, until=until, set_by="staff", staff=staff, starts_at=now + WAITS, now=now)
        return None
    row = ProposalRow(account_id=account_id, reason=reason, until=until, proposed_by=staff_id, proposed_at=now)
    db.session().add(row)
    _note(EventType.MANDATE_EXEMPTION_PROPOSED, row, staff, now)
    return None


def check_end(until: datetime, *, now: datetime) -> None:
    """Raise BadInput unless an exemption may end then: more than a day from now, and a year at most."""
    if not now + WAITS < until <= now + LONGEST:
        raise BadInput("until", message="Choose a day from the day after tomorrow on, within a year.")


def decide_exemption(proposal_id: int, *, staff_id: int, approve: bool, now: datetime) -> NoVote | None:
    """Approve what another person proposed, which begins at once, or refuse it; why this person may not, or None.

    Of two who decide at once the first counts. Raises NotFound when it was decided, or whoever proposed it may have no
    say any more.
    """
    db.writing()
    row = db.session().scalar(select(ProposalRow).where(ProposalRow.id == proposal_id, _open(now)))
    if row is None:
        raise _gone(proposal_id)
    problem = _no_vote(row.account_id, staff_id, (row,) if approve else (), now)
    if problem is not None:
        return problem
    proposer, staff = accounts.get(row.proposed_by), accounts.get(staff_id).username
    unfit = not proposer.is_staff or may_exempt(row.account_id, staff_id=proposer.id, now=now) is not None
    if approve and (proposer.disabled or unfit):
        raise _gone(proposal_id)
    mine = update(ProposalRow).where(ProposalRow.id == proposal_id, ProposalRow.decided_at.is_(None))
    if db.session().scalar(mine.values(decided_at=now).returning(ProposalRow.id)) is None:
        raise _gone(proposal_id)
    if approve:
        both = f"{proposer.username}, {staff}"
        exempt(row.account_id, reason=row.reason, until=row.until, set_by="staff", staff=both, starts_at=now, now=now)
    else:
        _note(EventType.MANDATE_EXEMPTION_REFUSED, row, staff, now)
    return None


def exemption_proposals(*, staff_id: int, now: datetime) -> list[ProposalView]:
    """What waits for a second person, as this one sees it, the oldest first."""
    rows = db.session().scalars(select(ProposalRow).where(_open(now)).order_by(ProposalRow.id))
    return [_view(row, staff_id, now) for row in rows]


def exemption_proposal(proposal_id: int, *, staff_id: int, now: datetime) -> ProposalView:
    """One of them. Raises NotFound."""
    row = db.session().scalar(select(ProposalRow).where(ProposalRow.id == proposal_id, _open(now)))
    if row is None:
        raise _gone(proposal_id)
    return _view(row, staff_id, now)


def _view(row: ProposalRow, staff_id: int, now: datetime) -> ProposalView:
    return ProposalView(
        id=row.id,
        username=accounts.get(row.account_id).username,
        reason=row.reason,
        until=row.until,
        proposed_by=accounts.get(row.proposed_by).username,
        proposed_at=row.proposed_at,
        no_vote=_no_vote(row.account_id, staff_id, (row,), now),
    )


def _open(now: datetime) -> ColumnElement[bool]:
    lately = ProposalRow.proposed_at > now - PROPOSAL_LASTS
    return ProposalRow.decided_at.is_(None) & (ProposalRow.until > now) & lately


def _no_vote(account_id: int, staff_id: int, proposals: Sequence[ProposalRow], now: datetime) -> NoVote | None:
    return may_vote(
        staff_id,
        target=account_id,
        co_owners=co_owners(account_id, now=now).with_juniors,
        votes=[Vote(by=row.proposed_by, approve=True, at=row.proposed_at) for row in proposals],
        objected_at=None,
    )


def _note(type_: EventType, row: ProposalRow, staff: str, now: datetime) -> None:
    until = row.until.isoformat()
    audit.record(type_, account_id=row.account_id, at=now, by="staff", staff=staff, reason=row.reason, until=until)


def _gone(proposal_id: int) -> NotFound:
    return NotFound(
        f"proposal {proposal_id}", message="This proposal was decided, ran out, or does not count any more."
    )


def preview(name: str, *, day: datetime, now: datetime, most: int) -> WhatIf:
    """What changes if a phase had another day. Saves nothing.

    Raises BadPhases, NotFound for a phase that there is not, and BadInput for a day before its announcement.
    """
    phase = next((one for one in phases.current() if one.name == name), None)
    if phase is None:
        raise NotFound(f"phase {name}", message="There is no phase of this name any more.")
    if day < phase.announced:
        raise BadInput("day", message="Choose a day that is not before the phase is announced.")
    return what_if(name, replace(phase, enforced_from=day), now=now, most=most)


def trend(days: Sequence[DayFigures]) -> str:
    """The adoption over time as SVG for a page: with the page's own style, as a page refuses one that is inside."""
    drawn = chart.adoption(days).replace(f"  <style>{chart.STYLE}  </style>\n", "")
    return drawn.replace("chart-title", "trend-title").replace("chart-description", "trend-description")
