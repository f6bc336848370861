"""What others say to a case: an address, a session or a co-owner objects; a co-owner vouches (POLICY 10).

An objection stops the automatic way and ends nothing: two people of the service decide. Each counts once.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from authsvc import accounts, audit, devices, dispute_links, mandates, sessions
from authsvc.accounts import AccountView
from authsvc.audit import EventType
from authsvc.cases import reading, service, telling
from authsvc.cases.models import Case, CaseObjection
from authsvc.cases.reading import Open
from authsvc.core import db
from authsvc.core.assurance import Principal
from authsvc.core.errors import Forbidden, Gone, NotFound
from authsvc.core.web import Client
from authsvc.policy import recovery as policy
from authsvc.policy.recovery import Proof


class ObjectionGone(Gone):
    """The case is over, or the address that got the link has no say any more."""

    title = "There is nothing to object to"
    message = "This request is over, or the link is too old. Nothing was changed by opening it."


class TooYoung(Forbidden):
    """What is junior does not object (POLICY 3)."""

    title = "This browser is too new"
    message = (
        "A browser objects once your account has known it for three days. Use a browser that you have used before. If "
        "it is about your own account, use the link in the mail we sent you, or freeze the account: that stops "
        "everything at once."
    )


def by_link(token: str, *, now: datetime) -> tuple[Open, dispute_links.DisputeLinkView]:
    """The live case that a mailed link is about. Raises ObjectionGone."""
    link = dispute_links.find(token, now=now)
    row = db.session().scalar(select(Case.id).where(Case.objection_event == link.event)) if link else None
    case = reading.get(row, now=now) if row is not None else None
    if link is None or case is None or case.account is None:
        raise ObjectionGone("no live case for the link")
    if all(a.id != link.address_id for a in accounts.with_a_say(case.account.id, now=now)):
        raise ObjectionGone(f"address {link.address_id} has no say")
    return case, link


def object_by_link(token: str, *, client: Client, now: datetime) -> None:
    """Somebody who reads a trusted, senior address objects. Raises ObjectionGone."""
    case, link = by_link(token, now=now)
    _object(case, "address", link.address_id, client=client, now=now)


def object_by_owner(who: Principal, *, client: Client, now: datetime) -> None:
    """Somebody signed in to the account objects to every case about it. Raises TooYoung, and ObjectionGone."""
    cases = reading.of_account(who.account_id, now=now)
    if not cases:
        raise ObjectionGone("no live case")
    if not _is_senior(who, now=now):
        raise TooYoung(f"session {who.session_id}")
    for case in cases:
        _object(case, "session", who.account_id, client=client, now=now)


def _is_senior(who: Principal, *, now: datetime) -> bool:
    browser = next((b for b in devices.of_account(who.account_id) if b.id == who.browser_id), None)
    session = next((s for s in sessions.of_account(who.account_id, now=now) if s.id == who.session_id), None)
    known = browser is not None and browser.senior(now)
    return known or (session is not None and now - session.created_at >= accounts.SENIOR_AFTER)


def object_by_co_owner(case_id: int, who: Principal, *, client: Client, now: datetime) -> None:
    """Somebody who shares a package objects. Raises NotFound, and TooYoung."""
    asked = of_co_owner(case_id, who.account_id, now=now)
    if not _is_senior(who, now=now):
        raise TooYoung(f"session {who.session_id}")
    _object(asked.case, "co_owner", who.account_id, client=client, now=now)


def _object(case: Open, by: str, ref: int, *, client: Client, now: datetime) -> None:
    if case.account is None:
        return
    accounts.lock(case.account.id)  # so that completion sees the objection, or comes first
    if reading.get(case.id, now=now) is None:
        raise ObjectionGone(f"case {case.id} ended meanwhile")
    new = db.upsert(CaseObjection).values(case_id=case.id, by=by, ref=ref, at=now).on_conflict_do_nothing()
    if db.session().scalar(new.returning(CaseObjection.id)) is None:
        return
    telling.change(case.id, told_until=None, told_staff=False)
    audit.record(EventType.RECOVERY_OBJECTED, account_id=case.account.id, at=now, client=client, who=by)
    telling.settle(case.id, client=client, now=now)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A case as a co-owner sees it."""

    case: Open
    account: AccountView
    package: str
    may_vouch: bool
    vouched: bool
    objected: bool
    vouches: int
    needed: int


def of_co_owner(case_id: int, co_owner_id: int, *, now: datetime) -> Asked:
    """The live case, for somebody who shares a package with its owner. Raises NotFound for all others."""
    case = reading.get(case_id, now=now)
    if case is None or case.account is None:
        raise NotFound(f"case {case_id}")
    together = mandates.co_owners(case.account.id, now=now)
    if co_owner_id not in together.fellows:
        raise NotFound(f"account {co_owner_id} shares no package with that of case {case_id}")
    vouches = {one.ref for one in case.facts.shown if one.proof is Proof.VOUCH}
    objected = select(CaseObjection.id).where(
        CaseObjection.case_id == case.id, CaseObjection.by == "co_owner", CaseObjection.ref == co_owner_id
    )
    return Asked(
        case=case,
        account=case.account,
        package=together.package,
        may_vouch=co_owner_id in together.vouchers,
        vouched=co_owner_id in vouches,
        objected=db.session().scalar(objected) is not None,
        vouches=len(vouches),
        needed=policy.vouches_needed(together.count),
    )


def vouch(case_id: int, co_owner_id: int, *, client: Client, now: datetime) -> None:
    """A co-owner says that the applicant is who they claim. The caller has had a senior authenticator proved.

    Raises NotFound, and Forbidden for who may not vouch.
    """
    asked = of_co_owner(case_id, co_owner_id, now=now)
    if not asked.may_vouch:
        raise Forbidden(f"account {co_owner_id}", message="You have not shared this package for 90 days.")
    audit.record(EventType.RECOVERY_VOUCHED, account_id=co_owner_id, at=now, client=client, whom=asked.account.username)
    service.note_proof(case_id, asked.account, Proof.VOUCH, ref=co_owner_id, client=client, now=now)
