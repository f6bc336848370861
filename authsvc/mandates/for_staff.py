"""What the staff console takes of mandates: exemptions by two people (POLICY 13), previews, the trend as a picture."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import select

from authsvc import accounts, audit
from authsvc.audit import EventType
from authsvc.core import db
from authsvc.core.errors import BadInput, NotFound
from authsvc.mandates import chart, exemptions, phase_changes, phases, proposals
from authsvc.mandates.co_owners import co_owners
from authsvc.mandates.exemptions import WAITS, exempt
from authsvc.mandates.figures import DayFigures, WhatIf, what_if
from authsvc.mandates.proposals import ProposalRow
from authsvc.policy.recovery import NoVote, Vote, may_vote

LONGEST = timedelta(days=365)

_OF_EXEMPTIONS = ProposalRow.phase == ""


@dataclass(frozen=True, kw_only=True)
class ProposalView:
    """A proposal that somebody has to decide, or time at `begins_at`. `no_vote`: why whoever looks may not."""

    id: int
    username: str
    reason: str
    until: datetime
    proposed_by: str
    proposed_at: datetime
    begins_at: datetime | None
    no_vote: NoVote | None


def may_exempt(account_id: int, *, staff_id: int, now: datetime) -> NoVote | None:
    """Why this person may neither propose nor approve an exemption of the account: they are it, or a co-owner."""
    return _no_vote(account_id, staff_id, (), now)


def propose_exemption(account_id: int, *, reason: str, until: datetime, staff_id: int, now: datetime) -> NoVote | None:
    """Put an exemption down for a second person; why this one may not, or None.

    The caller sees to it that the person is staff and has just proved it. Where nobody else could approve it, it
    begins a day later, as at the command line, and its owner is told now. Raises BadInput for a day that is too early
    or too far.
    """
    accounts.lock(account_id)
    check_end(until, now=now)
    problem = may_exempt(account_id, staff_id=staff_id, now=now)
    if problem is not None:
        return problem
    begins_at = proposals.begins_at(staff_id, now=now)
    row = ProposalRow(
        account_id=account_id, reason=reason, until=until, proposed_by=staff_id, proposed_at=now, begins_at=begins_at
    )
    db.session().add(row)
    _note(EventType.MANDATE_EXEMPTION_PROPOSED, row, accounts.get(staff_id).username, now)
    if begins_at is not None:
        exemptions.tell_ahead(account_id, reason=reason, starts_at=begins_at, until=until, now=now)
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
    row = proposals.find(proposal_id, _OF_EXEMPTIONS, now=now)
    problem = _no_vote(row.account_id, staff_id, (row,) if approve else (), now)
    if problem is not None:
        return problem
    if approve and not _is_fit(row, now):
        raise proposals.gone(proposal_id)
    staff = accounts.get(staff_id).username
    proposals.take(proposal_id, now=now)
    if approve:
        _exempt(row, f"{accounts.get(row.proposed_by).username}, {staff}", now=now)
        return None
    _note(EventType.MANDATE_EXEMPTION_REFUSED, row, staff, now)
    if row.begins_at is not None:
        exemptions.tell_ended(row.account_id, now=now)
    return None


def carry_out_proposals(*, now: datetime) -> int:
    """Begin what people proposed who are alone, once their day is over; returns how many. The worker's task.

    In transactions of its own. Whoever is alone is asked for now: what a colleague could approve by now waits for them.
    """
    with db.transaction():
        due = proposals.begun(now=now)
    for proposal_id in due:
        with db.transaction():
            db.writing()
            row = proposals.find(proposal_id, ProposalRow.begins_at <= now, now=now)
            if row.phase:
                phase_changes.begin(row, now=now)
                continue
            proposals.take(proposal_id, now=now)
            if _is_fit(row, now):
                _exempt(row, accounts.get(row.proposed_by).username, told=True, now=now)
    return len(due)


def _is_fit(row: ProposalRow, now: datetime) -> bool:
    return proposals.still_counts(row) and may_exempt(row.account_id, staff_id=row.proposed_by, now=now) is None


def _exempt(row: ProposalRow, staff: str, *, told: bool = False, now: datetime) -> None:
    exempt(
        row.account_id,
        reason=row.reason,
        until=row.until,
        set_by="staff",
        staff=staff,
        starts_at=now,
        told=told,
        now=now,
    )


def exemption_proposals(*, staff_id: int, now: datetime) -> list[ProposalView]:
    """What waits for a second person, as this one sees it, the oldest first."""
    which = (_OF_EXEMPTIONS, proposals.is_open(now))
    return [
        _view(row, staff_id, now)
        for row in db.session().scalars(select(ProposalRow).where(*which).order_by(ProposalRow.id))
    ]


def exemption_proposal(proposal_id: int, *, staff_id: int, now: datetime) -> ProposalView:
    """One of them. Raises NotFound."""
    return _view(proposals.find(proposal_id, _OF_EXEMPTIONS, now=now), staff_id, now)


def _view(row: ProposalRow, staff_id: int, now: datetime) -> ProposalView:
    return ProposalView(
        id=row.id,
        username=accounts.get(row.account_id).username,
        reason=row.reason,
        until=row.until,
        proposed_by=accounts.get(row.proposed_by).username,
        proposed_at=row.proposed_at,
        begins_at=row.begins_at if proposals.is_alone(row.proposed_by, now=now) else None,
        no_vote=_no_vote(row.account_id, staff_id, (row,), now),
    )


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
