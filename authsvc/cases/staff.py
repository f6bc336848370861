"""What the people who run the service see of cases, and their votes (POLICY 10, 13).

They never see or choose a password, and complete nothing: the applicant comes back for it. Each look and each vote
stands in the account's log, without the place of whoever looked: somebody who took the account over reads it too.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import ColumnElement, Select, exists, func, select

from authsvc import accounts, audit, devices, domains, mail, mandates
from authsvc.accounts import AccountView
from authsvc.audit import EventType
from authsvc.cases import reading, telling
from authsvc.cases.models import Case, CaseObjection, CaseProof, CaseVote
from authsvc.cases.reading import Open
from authsvc.cases.telling import PROOF_WORDS
from authsvc.core import db
from authsvc.core.errors import BadInput, NotFound
from authsvc.core.rate_limits import network_of
from authsvc.core.templating import date_words
from authsvc.mail import Notice
from authsvc.policy import recovery as policy
from authsvc.policy.recovery import Decision, NoVote, Proof, Strength

MAX_REASON = 500
NOTED_AGAIN_AFTER = timedelta(hours=1)  # a look by the same person
OBJECTED = {
    "address": "Somebody who reads a trusted address",
    "session": "Somebody signed in",
    "co_owner": "A co-owner",
}


class Queue(StrEnum):
    """Which cases somebody wants to see."""

    NEEDS_STAFF = "needs_staff"
    WAITING = "waiting"
    ALL = "all"


@dataclass(frozen=True, kw_only=True)
class CaseLine:
    """One live case at a glance."""

    id: int
    account_id: int
    username: str
    created_at: datetime
    begun_at: datetime | None
    asked_staff_at: datetime | None
    decision: Decision
    strength: Strength
    objections: int
    approvals: int

    @property
    def needs_staff(self) -> bool:
        """Disputed, or the applicant asked for people and nothing else carries the case yet."""
        asked = self.asked_staff_at is not None and isinstance(self.decision, policy.Prove)
        return asked or isinstance(self.decision, policy.AskStaff)


@dataclass(frozen=True, kw_only=True)
class ProofView:
    """One proof. `counts` is False where it was shown and does not count any more."""

    proof: Proof
    at: datetime
    words: str
    counts: bool


@dataclass(frozen=True, kw_only=True)
class VoteView:
    """What one person of the service said."""

    staff_username: str
    approve: bool
    reason: str
    at: datetime


@dataclass(frozen=True)
class Moment:
    """One line of the time line."""

    at: datetime
    words: str


@dataclass(frozen=True, kw_only=True)
class CaseView:
    """One case as a person who has to decide sees it."""

    line: CaseLine
    statement: str
    ip: str
    browser: str
    proofs: tuple[ProofView, ...]
    votes: tuple[VoteView, ...]
    timeline: tuple[Moment, ...]
    risks: tuple[str, ...]
    notices: tuple[Notice, ...]  # mails about it, to the account and to those who maintain packages with it
    alone: bool  # nobody but one person can approve here, so that a day counts as the second
    no_vote: NoVote | None


def queue(which: Queue, *, now: datetime, begin: int = 0, most: int | None = None) -> list[CaseLine]:
    """Live cases about accounts, or `most` of them: the strongest evidence first, then the oldest.

    Those that only ask for people come last and are read as far as they are shown: anybody can open thousands.
    """
    evident = _evident(which, now=now)
    found = evident[begin : None if most is None else begin + most]
    if which is not Queue.WAITING and (most is None or len(found) < most):
        rows = select(Case).where(*_asking(now)).order_by(Case.id).offset(max(0, begin - len(evident)))
        if most is not None:
            rows = rows.limit(most - len(found))
        found += _lines(rows, now=now)
    return found


def queue_lengths(*, now: datetime) -> dict[Queue, int]:
    """How many cases each of the queues holds."""
    asking = db.session().scalars(select(func.count(Case.id)).where(*_asking(now))).one()
    return {which: len(_evident(which, now=now)) + (asking if which is not Queue.WAITING else 0) for which in Queue}


def _live(now: datetime) -> tuple[ColumnElement[bool], ...]:
    account = accounts.AccountRow
    enabled = exists().where(account.id == Case.account_id, account.disabled_at.is_(None))
    return Case.ended_at.is_(None), Case.expires_at > now, enabled


def _asking(now: datetime) -> tuple[ColumnElement[bool], ...]:
    """Cases that ask for people and have shown nothing: they need people, and can do nothing but wait for them."""
    return *_live(now), Case.begun_at.is_(None), Case.asked_staff_at.is_not(None)


def _evident(which: Queue, *, now: datetime) -> list[CaseLine]:
    """Cases that have shown a kind of evidence once."""
    found = _lines(select(Case).where(*_live(now), Case.begun_at.is_not(None)).order_by(Case.id), now=now)
    if which is Queue.NEEDS_STAFF:
        found = [line for line in found if line.needs_staff]
    elif which is Queue.WAITING:
        found = [line for line in found if isinstance(line.decision, policy.Wait)]
    return sorted(found, key=lambda line: (-line.strength, line.created_at))


def _lines(rows: Select[Case], *, now: datetime) -> list[CaseLine]:
    cases = [reading.view(row, now=now) for row in db.session().scalars(rows)]
    return [_line(case, case.account, now=now) for case in cases if case.account is not None]


def _line(case: Open, account: AccountView, *, now: datetime) -> CaseLine:
    return CaseLine(
        id=case.id,
        account_id=account.id,
        username=account.username,
        created_at=case.created_at,
        begun_at=case.begun_at,
        asked_staff_at=case.asked_staff_at,
        decision=case.decision(now),
        strength=case.strength,
        objections=len(_objections(case.id)),
        approvals=policy.approvals(case.facts),
    )


def _objections(case_id: int) -> list[CaseObjection]:
    return list(db.session().scalars(select(CaseObjection).where(CaseObjection.case_id == case_id)))


def _votes(case_id: int) -> list[VoteView]:
    query = select(CaseVote).where(CaseVote.case_id == case_id).order_by(CaseVote.id)
    return [
        VoteView(staff_username=accounts.get(v.staff_id).username, approve=v.approve, reason=v.reason, at=v.at)
        for v in db.session().scalars(query)
    ]


def _find(case_id: int, *, now: datetime) -> tuple[Open, AccountView]:
    case = reading.get(case_id, now=now)
    if case is None or case.account is None:
        raise NotFound(f"case {case_id}", message="This request is over, or there never was one of this number.")
    return case, case.account


def look_at(case_id: int, *, staff_id: int, now: datetime) -> CaseView:
    """One live case, with all that is known. Noted in the account's log, once an hour. Raises NotFound."""
    db.writing()
    case, account = _find(case_id, now=now)
    staff = accounts.get(staff_id).username
    lately = now - NOTED_AGAIN_AFTER
    if not audit.happened(EventType.RECOVERY_VIEWED, account_id=account.id, after=lately, staff=staff):
        audit.record(EventType.RECOVERY_VIEWED, account_id=account.id, at=now, by="staff", staff=staff)
    proofs, votes, objections = _proofs(case), tuple(_votes(case.id)), _objections(case.id)
    return CaseView(
        line=_line(case, account, now=now),
        statement=case.statement,
        ip=case.ip,
        browser=case.browser,
        proofs=proofs,
        votes=votes,
        timeline=_timeline(case, proofs, votes, objections),
        risks=tuple(_risks(case, account, objections, proofs, now=now)),
        notices=_notices(case, account, now=now),
        alone=reading.lone_staff(now=now) is not None,
        no_vote=_no_vote(case, account, staff_id, now=now),
    )


def _notices(case: Open, account: AccountView, *, now: datetime) -> tuple[Notice, ...]:
    fellows = mandates.co_owners(account.id, now=now).fellows
    told = mail.notices({account.id}, kinds=("recovery_begun", "recovery_approved"), since=case.created_at)
    return *told, *mail.notices(fellows, kinds=("recovery_of_co_owner",), since=case.created_at)


def _proofs(case: Open) -> tuple[ProofView, ...]:
    counting = {(one.proof, one.ref, one.at) for one in case.facts.shown}
    rows = db.session().scalars(select(CaseProof).where(CaseProof.case_id == case.id).order_by(CaseProof.id))
    return tuple(
        ProofView(
            proof=(proof := Proof(row.proof)),
            at=row.shown_at,
            words=f"{accounts.get(row.ref).username} vouched" if proof is Proof.VOUCH else PROOF_WORDS[proof],
            counts=(proof, row.ref, row.shown_at) in counting,
        )
        for row in rows
    )


def _timeline(
    case: Open, proofs: tuple[ProofView, ...], votes: tuple[VoteView, ...], objections: list[CaseObjection]
) -> tuple[Moment, ...]:
    moments = [Moment(case.created_at, "Opened")]
    moments += [Moment(proof.at, f"Shown: {proof.words}") for proof in proofs]
    if case.begun_at is not None:
        moments.append(Moment(case.begun_at, "Enough was shown to begin, and to tell everybody with a say"))
    if case.asked_staff_at is not None:
        moments.append(Moment(case.asked_staff_at, "The applicant asked for people"))
    moments += [Moment(o.at, f"{OBJECTED[o.by]} objected") for o in objections]
    moments += [Moment(v.at, f"{v.staff_username} {'approved' if v.approve else 'refused'}") for v in votes]
    return tuple(sorted(moments, key=lambda moment: moment.at))


def _risks(
    case: Open, account: AccountView, objections: list[CaseObjection], proofs: tuple[ProofView, ...], *, now: datetime
) -> list[str]:
    """What speaks for caution, in sentences."""
    risks = [f"{OBJECTED[o.by]} objected on {date_words(o.at)}." for o in objections]
    if account.frozen:
        risks.append("The account is frozen: its owner, or somebody else, said that something was not them.")
    if case.facts.rival is not Strength.NONE:
        risks.append("Another request to recover this account has shown evidence as well.")
    if network_of(case.ip) not in {network_of(b.ip) for b in devices.of_account(account.id)}:
        risks.append("No browser that the account knows was seen in the applicant's network.")
    for address in accounts.addresses(account.id):
        level, words = domains.health_words(address)
        if level != "good":
            risks.append(f"{address.email}: {words}")
    if any(
        a.created_at > case.created_at - accounts.NOTICES_AFTER_REMOVAL for a in accounts.enrolled(account.id, now=now)
    ):
        risks.append("A way to sign in was added in the thirty days before the request.")
    if any(not proof.counts for proof in proofs):
        risks.append("Something that was shown does not count any more.")
    if not any(one.proof in policy.CONFIRMING for one in case.facts.shown):
        risks.append("No older address or session confirms the request.")
    return risks


def _no_vote(
    case: Open, account: AccountView, staff_id: int, *, seen: int | None = None, now: datetime
) -> NoVote | None:
    return policy.may_vote(
        staff_id,
        target=account.id,
        co_owners=mandates.co_owners(account.id, now=now).with_juniors,
        votes=case.facts.votes,
        objected_at=case.facts.objected_at,
        unseen_objection=seen is not None and len(_objections(case.id)) != seen,
    )


def vote(
    case_id: int, *, staff_id: int, approve: bool, reason: str, objections_seen: int | None = None, now: datetime
) -> NoVote | None:
    """Count one person's vote, and let follow what it decides; why it does not count, or None.

    The caller sees to it that the person is staff and has just proved it. `objections_seen`: how many the case had when
    they read it; where there are more by now the vote does not count. Two approvals by different people are an
    independent kind, one refusal ends the case. Raises NotFound, and BadInput without a reason.
    """
    if not 0 < len(reason.strip()) <= MAX_REASON:
        raise BadInput("reason", message=f"Please give a reason, in at most {MAX_REASON} characters.")
    _, account = _find(case_id, now=now)
    accounts.lock(account.id)
    case, account = _find(case_id, now=now)
    problem = _no_vote(case, account, staff_id, seen=objections_seen, now=now)
    if problem is not None:
        return problem
    db.session().add(CaseVote(case_id=case.id, staff_id=staff_id, approve=approve, reason=reason.strip(), at=now))
    db.session().flush()
    audit.record(
        EventType.RECOVERY_APPROVED if approve else EventType.RECOVERY_REFUSED,
        account_id=account.id,
        at=now,
        by="staff",
        staff=accounts.get(staff_id).username,
        reason=reason.strip(),
    )
    if approve:
        telling.tell_owner(case, account, "recovery_approved", "was approved by one person", client=None, now=now)
    telling.settle(case.id, client=None, now=now)
    return None
