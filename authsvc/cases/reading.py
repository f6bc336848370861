"""A case as it stands: its row, the account it is about, and the facts that `policy/recovery.py` judges."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never

from sqlalchemy import func, select

from authsvc import accounts, devices, freezes, mandates, proof_places, sessions
from authsvc.accounts import AccountView
from authsvc.cases.models import Case, CaseObjection, CaseProof, CaseVote
from authsvc.core import crypto, db
from authsvc.core.domain_names import registrable_domain
from authsvc.core.errors import Gone
from authsvc.policy import recovery as policy
from authsvc.policy.recovery import OWN, Decision, Proof, RecoveryFacts, Shown, Strength, Vote

NOBODY = 0  # no account has this number
LIFE = timedelta(days=30)
MATURE_FOR = timedelta(days=7)  # after the wait

ENDED_WORDS = {
    "completed": "The account was recovered by it, and it cannot be used again.",
    "withdrawn": "It was withdrawn.",
    "refused": "The people who run this service refused it. If you can show more, open another.",
    "superseded": "The account was recovered by another request.",
}


class CaseGone(Gone):
    """The case was completed, withdrawn, refused or superseded, is too old, or was never there."""

    title = "This request is over"


@dataclass(frozen=True, kw_only=True)
class Open:
    """A live case. `account` is None where there is none of that name, or none that may be recovered."""

    id: int
    typed: str
    account: AccountView | None
    created_at: datetime
    expires_at: datetime
    begun_at: datetime | None
    told_until: datetime | None
    told_at: datetime | None
    asked_staff_at: datetime | None
    statement: str
    ip: str
    browser: str
    browser_digest: bytes | None
    proof_token: str
    objection_event: str
    asked_for: str | None
    answer: str | None
    new_email: str | None
    new_email_proved_at: datetime | None
    facts: RecoveryFacts

    @property
    def strength(self) -> Strength:
        """The best kind of evidence it has shown."""
        return policy.strength(self.facts)

    def decision(self, now: datetime) -> Decision:
        """What it leads to now; never complete before the time that everybody was told."""
        decision = policy.decide(self.facts, now)
        if isinstance(decision, policy.Complete) and (self.told_until is None or now < self.told_until):
            return policy.Wait(self.told_until or now)
        return decision


def find(token: str, *, now: datetime) -> Open:
    """The live case of an applicant's token. Raises CaseGone, which says how it ended."""
    query = select(Case).where(Case.digest == crypto.digest(token)).execution_options(populate_existing=True)
    row = db.session().scalar(query) if token else None
    if row is not None and row.ended_at is not None:
        raise CaseGone(f"case {row.id} ended", message=ENDED_WORDS.get(row.outcome or "", CaseGone.message))
    if row is None or row.expires_at <= now:
        raise CaseGone("no live case")
    return view(row, now=now)


def get(case_id: int, *, now: datetime) -> Open | None:
    """The live case of that id, if it is about an account."""
    row = db.session().get(Case, case_id)
    if row is None or row.ended_at is not None or row.expires_at <= now:
        return None
    db.session().refresh(row)
    found = view(row, now=now)
    return found if found.account is not None else None


def of_account(account_id: int, *, now: datetime) -> list[Open]:
    """Live cases about the account that showed a kind of evidence once, oldest first."""
    return [view(row, now=now) for row in _live_rows(account_id, now=now)]


def _live_rows(account_id: int, *, now: datetime) -> list[Case]:
    query = select(Case).where(
        Case.account_id == account_id, Case.ended_at.is_(None), Case.expires_at > now, Case.begun_at.is_not(None)
    )
    return list(db.session().scalars(query.order_by(Case.id).execution_options(populate_existing=True)))


_COPIED = tuple(name for name in Open.__dataclass_fields__ if name not in {"account", "facts"})


def view(row: Case, *, now: datetime) -> Open:
    """A row as of now."""
    account = accounts.get(row.account_id) if row.account_id is not None else None
    if account is not None and account.disabled:  # outwardly like none (POLICY 5)
        account = None
    facts = _facts(row, account, now=now) if account is not None else _facts_of_nobody(row, now=now)
    return Open(account=account, facts=facts, **{name: getattr(row, name) for name in _COPIED})


def _facts(row: Case, account: AccountView, *, now: datetime) -> RecoveryFacts:
    """What is so of the account is read once, for the case and for its rivals."""
    together = mandates.co_owners(account.id, now=now)
    factor = bool(accounts.enrolled_ids(account.id)) or bool(
        accounts.seniors_at(account.id, now - accounts.NOTICES_AFTER_REMOVAL)  # whoever broke in may have removed it
    )
    base = RecoveryFacts(
        factor=factor,
        owns_packages=mandates.owns_packages(account.id, now=now),
        frozen=account.frozen,
        co_owners=together.count,
    )

    def of(one: Case) -> RecoveryFacts:
        votes = tuple(_votes(one.id))
        return replace(
            base,
            shown=tuple(shown(one.id, account, vouchers=together.vouchers, now=now)),
            begun_at=one.begun_at,
            votes=votes,
            lone_staff=lone_staff(now=now) if votes else None,
            objected_at=_disputed_at(one.id, account) if votes else _objected_at(one.id),
        )

    rivals = (policy.strength(of(other)) for other in _live_rows(account.id, now=now) if other.id != row.id)
    return replace(of(row), rival=max(rivals, default=Strength.NONE))


def lone_staff(*, now: datetime) -> int | None:
    """Who decides here, where it is one person alone (POLICY 13)."""
    able = accounts.staff_with_keys(now=now)
    return min(able) if len(able) == 1 else None


def _facts_of_nobody(row: Case, *, now: datetime) -> RecoveryFacts:
    """The same questions about an account that does not exist, so that the time tells little."""
    together = mandates.co_owners(NOBODY, now=now)
    factor = bool(accounts.enrolled_ids(NOBODY) or accounts.seniors_at(NOBODY, now))
    held = bool(accounts.trusted_recipients(NOBODY, now=now) or _live_rows(NOBODY, now=now))
    said = bool(_votes(row.id) or _objected_at(row.id))
    owns = mandates.owns_packages(NOBODY, now=now)
    return RecoveryFacts(factor=factor or held or said, owns_packages=owns, co_owners=together.count)


def shown(case_id: int, account: AccountView, *, vouchers: frozenset[int], now: datetime) -> list[Shown]:
    """The proofs of a case that count now.

    What the owner knows or holds counts in the epoch in which it was shown (POLICY 6), a mailbox while its address is
    trusted, a browser until it is forgotten, a session until it is ended, a place until it is unlinked, a vouch while
    whose it is may still vouch.
    """
    rows = db.session().scalars(select(CaseProof).where(CaseProof.case_id == case_id).order_by(CaseProof.id)).all()
    trusted = {a.id: a for a in accounts.with_a_say(account.id, now=now) if a.removed_at is None}
    asked = any(row.proof == Proof.PUBLISHED for row in rows)
    places = {place.id: place for place in proof_places.places(account.id, now=now)} if asked else {}
    published = {places[row.ref].domain for row in rows if row.proof == Proof.PUBLISHED and row.ref in places}

    def stale(row: CaseProof) -> bool:
        proof = Proof(row.proof)
        if proof in OWN and row.epoch != account.epoch:
            return True
        match proof:
            case Proof.PASSWORD:
                return False
            case Proof.MAILBOX:
                return row.ref not in trusted
            case Proof.BROWSER:
                return all(browser.id != row.ref for browser in devices.of_account(account.id))
            case Proof.SESSION:
                return sessions.was_ended(account.id, row.ref)
            case Proof.PUBLISHED:
                return row.ref not in places
            case Proof.VOUCH:
                return row.ref not in vouchers
            case _:
                assert_never(proof)

    def confirms(row: CaseProof) -> bool:
        """Whoever holds the domain of a place speaks for the mailboxes there as well: that is one voice."""
        if row.proof != Proof.MAILBOX:
            return True
        return row.confirms and registrable_domain(trusted[row.ref].domain) not in published

    return [
        Shown(
            proof=Proof(row.proof),
            at=row.shown_at,
            ref=row.ref,
            confirms=confirms(row),
            suspended=row.proof == Proof.PUBLISHED and places[row.ref].standing is proof_places.Standing.SUSPENDED,
        )
        for row in rows
        if not stale(row)
    ]


def _votes(case_id: int) -> list[Vote]:
    """The votes, without approvals of somebody whose account was frozen or lost since: a thief may have given them."""
    rows = db.session().scalars(select(CaseVote).where(CaseVote.case_id == case_id).order_by(CaseVote.id))
    return [
        Vote(by=row.staff_id, approve=row.approve, at=row.at)
        for row in rows
        if not row.approve or accounts.get(row.staff_id).stands_by(row.at)
    ]


def _disputed_at(case_id: int, account: AccountView) -> datetime | None:
    """The newest objection, or the freeze where that came later: both void what was approved before."""
    freeze, objected_at = freezes.current(account.id), _objected_at(case_id)
    return max((at for at in (objected_at, freeze.began_at if freeze else None) if at is not None), default=None)


def _objected_at(case_id: int) -> datetime | None:
    return db.session().scalar(select(func.max(CaseObjection.at)).where(CaseObjection.case_id == case_id))
