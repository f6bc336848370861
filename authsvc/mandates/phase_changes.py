"""Phases changed by staff: at once where that only strengthens, else by two people (POLICY 13).

What was given stays when a day, a strength or the whole phase goes (decision 0031), so those a phase covers may decide
on that. Only who would leave it, because a smaller cohort does not reach them, has no say.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, text

from authsvc import accounts, audit
from authsvc.audit import EventType
from authsvc.core import db
from authsvc.core.errors import BadInput
from authsvc.mandates import figures, membership, phases, proposals
from authsvc.mandates.models import MandateRow
from authsvc.mandates.proposals import ProposalRow
from authsvc.policy import phase_change
from authsvc.policy.cohort import Phase
from authsvc.policy.phase_change import NOTICE, SecondPerson
from authsvc.policy.recovery import NoVote

_OF_PHASES = ProposalRow.phase != ""


@dataclass(frozen=True, kw_only=True)
class PhaseProposal:
    """A change that waits. `old`, `new`: None where there is no phase. `begins_at`: without a second person then."""

    id: int
    phase: str
    old: Phase | None
    new: Phase | None
    reason: str
    proposed_by: str
    proposed_at: datetime
    begins_at: datetime | None
    no_vote: NoVote | None


def propose_phase(
    name: str, *, old: Phase | None, new: Phase | None, reason: str, staff_id: int, now: datetime
) -> bool:
    """Change a phase, at once where one person may; false when it waits, for a second person or for a day.

    `old` is the phase as it was shown. The caller sees to it that the person is staff and has just proved it. Raises
    BadInput when it is another by now or the person would leave it, FileDecides and BadPhases.
    """
    _keep_apart()
    check_phase(name, old)
    if _lets_go(new, now, staff_id):
        raise BadInput("phase", message="You would leave this phase, so two others decide.")
    staff = accounts.get(staff_id).username
    if second_person(name, old, new, now=now) is None:
        phases.change_one(name, new, reason=reason, set_by=staff, now=now)
        return True
    before, after = (phases.to_rule(phase) if phase else None for phase in (old, new))
    begins_at = proposals.begins_at(staff_id, now=now)
    db.session().add(
        ProposalRow(
            phase=name,
            old=before,
            new=after,
            reason=reason,
            proposed_by=staff_id,
            proposed_at=now,
            begins_at=begins_at,
        )
    )
    audit.record(
        EventType.MANDATE_PHASE_PROPOSED,
        account_id=None,
        at=now,
        by="staff",
        staff=staff,
        phase=name,
        reason=reason,
        old=before,
        new=after,
    )
    return False


def second_person(name: str, old: Phase | None, new: Phase | None, *, now: datetime) -> SecondPerson | None:
    """Why this change of a phase takes a second person; None where one is enough. Raises BadPhases."""
    return phase_change.second_person(
        old,
        new,
        lets_go=old is None and _lets_go(new, now),
        stops_soon=figures.stops_more(name, new, by=now + NOTICE, now=now),
    )


def decide_phase(proposal_id: int, *, staff_id: int, approve: bool, now: datetime) -> NoVote | None:
    """Approve what another person proposed, which changes the phase at once, or refuse it; why this person may not.

    Raises NotFound when it was decided or does not count any more, BadInput when the phase is another by now,
    FileDecides and BadPhases.
    """
    _keep_apart()
    row = proposals.find(proposal_id, _OF_PHASES, now=now)
    problem = _no_vote(row, staff_id, now) if approve else None
    if problem is not None:
        return problem
    if approve and not proposals.still_counts(row):
        raise proposals.gone(proposal_id)
    staff = accounts.get(staff_id).username
    if approve:
        _carry_out(row, set_by=f"{accounts.get(row.proposed_by).username}, {staff}", now=now)
        return None
    proposals.take(proposal_id, now=now)
    audit.record(
        EventType.MANDATE_PHASE_REFUSED,
        account_id=None,
        at=now,
        by="staff",
        staff=staff,
        phase=row.phase,
        reason=row.reason,
        old=row.old,
        new=row.new,
    )
    return None


def phase_proposals(*, staff_id: int, now: datetime) -> list[PhaseProposal]:
    """What waits, the oldest first, as this person sees it."""
    rows = db.session().scalars(select(ProposalRow).where(_OF_PHASES, proposals.is_open(now)).order_by(ProposalRow.id))
    return [_view(row, staff_id, now) for row in rows]


def phase_proposal(proposal_id: int, *, staff_id: int, now: datetime) -> PhaseProposal:
    """One of them. Raises NotFound."""
    return _view(proposals.find(proposal_id, _OF_PHASES, now=now), staff_id, now)


def begin(row: ProposalRow, *, now: datetime) -> None:
    """Carry out what somebody proposed who is alone; a change of what is another phase by now is dropped."""
    _keep_apart()
    try:
        _carry_out(row, set_by=accounts.get(row.proposed_by).username, now=now)
    except (BadInput, phases.FileDecides):
        proposals.take(row.id, now=now)


def _carry_out(row: ProposalRow, *, set_by: str, now: datetime) -> None:
    old, new = (phases.of_stored(row.phase, rule) for rule in (row.old, row.new))
    check_phase(row.phase, old)
    proposals.take(row.id, now=now)
    phases.change_one(row.phase, new, reason=row.reason, set_by=set_by, now=now)


def _keep_apart() -> None:
    """Until the transaction ends nobody else changes a phase: of two at once the later sees what the earlier did."""
    db.writing()
    if db.engine().dialect.name == "postgresql":  # SQLite has one writer anyway
        db.session().execute(text("LOCK TABLE mandate_phases IN SHARE ROW EXCLUSIVE MODE"))


def check_phase(name: str, old: Phase | None) -> None:
    """Raise BadInput unless the phase of that name is still this one."""
    if phases.one(name) != old:
        raise BadInput("phase", message="Somebody changed this phase after you opened the page. Please look again.")


def _view(row: ProposalRow, staff_id: int, now: datetime) -> PhaseProposal:
    alone = proposals.is_alone(row.proposed_by, now=now)
    return PhaseProposal(
        id=row.id,
        phase=row.phase,
        old=phases.of_stored(row.phase, row.old),
        new=phases.of_stored(row.phase, row.new),
        reason=row.reason,
        proposed_by=accounts.get(row.proposed_by).username,
        proposed_at=row.proposed_at,
        begins_at=row.begins_at if alone else None,
        no_vote=_no_vote(row, staff_id, now),
    )


def _no_vote(row: ProposalRow, staff_id: int, now: datetime) -> NoVote | None:
    if row.proposed_by == staff_id:
        return NoVote.VOTED
    return NoVote.TARGET if _lets_go(phases.of_stored(row.phase, row.new), now, staff_id) else None


def _lets_go(new: Phase | None, now: datetime, account_id: int | None = None) -> bool:
    """Does somebody hold a mandate of this name, or this account, whom the rule does not reach?"""
    if new is None:
        return False
    gone = membership.unreached(new, as_of=now)
    if account_id is not None:
        gone = gone.where(MandateRow.account_id == account_id)
    return db.session().scalar(gone.limit(1)) is not None
