"""Whom a case tells what, and what follows when its facts change (POLICY 10).

Everybody with a say hears once a kind of evidence is verified, and again whenever the end of the wait changes or people
of the service have to decide.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any, assert_never

from sqlalchemy import func, select, update

from authsvc import accounts, audit, dispute_links, mail, mandates
from authsvc.accounts import AccountView
from authsvc.audit import EventType
from authsvc.cases import reading
from authsvc.cases.models import Case
from authsvc.cases.reading import MATURE_FOR, Open
from authsvc.core import db
from authsvc.core.web import Client, settings
from authsvc.policy import recovery as policy
from authsvc.policy.recovery import Proof, Strength

PROOF_WORDS = {
    Proof.PASSWORD: "the password",
    Proof.MAILBOX: "a code mailed to an address of the account",
    Proof.BROWSER: "a browser that the account has known for three days or longer",
    Proof.SESSION: "a session that began three days ago or earlier",
    Proof.PUBLISHED: "a line published at a place that the owner linked before",
    Proof.VOUCH: "the word of people who maintain a package together with the owner",
}


def change(case_id: int, **values: object) -> None:
    """Write to the row of a case."""
    db.session().execute(update(Case).where(Case.id == case_id).values(values))


def end(case: Open, outcome: str, *, client: Client | None, now: datetime) -> bool:
    """End a live case. Of two at once one wins; False for the other."""
    ended = update(Case).where(Case.id == case.id, Case.ended_at.is_(None)).values(ended_at=now, outcome=outcome)
    if db.session().scalar(ended.returning(Case.id)) is None:
        return False
    if case.account is not None:
        audit.record(EventType.RECOVERY_ENDED, account_id=case.account.id, at=now, client=client, outcome=outcome)
    return True


def settle(case_id: int, *, client: Client | None, now: datetime) -> None:
    """Let follow what the facts call for: a slot, mails, an end. The caller holds the lock on the account.

    Without a slot nothing goes on: nobody is told, so nobody waits.
    """
    case = reading.get(case_id, now=now)
    account = case.account if case else None
    if case is None or account is None:
        return
    if case.strength is Strength.NONE and case.begun_at is None and not case.facts.votes:
        return
    if case.told_at is None and case.begun_at is not None and _may_tell(case, account, staff=False, now=now):
        change(case.id, begun_at=now)  # a wait that nobody heard of was none
        case = replace(case, facts=replace(case.facts, begun_at=now))
    decision = policy.decide(case.facts, now)
    refused, begins = isinstance(decision, policy.Refused), case.begun_at is None and case.strength is not Strength.NONE
    if begins and not refused:
        if not _begin(case, account, client=client, now=now):
            return
        decision = policy.decide(replace(case.facts, begun_at=now), now)
    match decision:
        case policy.Refused():
            if end(case, "refused", client=client, now=now):
                tell_owner(case, account, "recovery_refused", "was refused", client=client, now=now)
        case policy.AskStaff():
            _staff_decide(case, account, client=client, now=now)
        case policy.Wait() | policy.Complete():
            _waits(case, account, decision, client=client, now=now)
        case policy.Prove():
            if (
                case.told_at is None
                and case.strength is not Strength.NONE
                and _may_tell(case, account, staff=False, now=now)
            ):
                tell(case, account, until=None, staff=False, client=client, now=now)
        case _:
            assert_never(decision)


def _begin(case: Open, account: AccountView, *, client: Client | None, now: datetime) -> bool:
    """Give the case a slot, if need be that of a weaker one; False where all are taken."""
    begun = [
        policy.Begun(id=other.id, strength=other.strength, begun_at=other.begun_at)
        for other in reading.of_account(account.id, now=now)
        if other.begun_at is not None
    ]
    slot = policy.slot(case.strength, begun)
    if slot is None:
        return False
    if slot.instead_of is not None:
        change(slot.instead_of, begun_at=None, told_until=None, told_staff=False)
    change(case.id, begun_at=now)
    shown = sorted({one.proof for one in case.facts.shown})
    audit.record(EventType.RECOVERY_BEGUN, account_id=account.id, at=now, client=client, shown=[p.value for p in shown])
    return True


def _may_tell(case: Open, account: AccountView, *, staff: bool, now: datetime) -> bool:
    """Whether everybody is mailed now; what is held back follows when a day has gone by, and its wait with it."""
    since = now - policy.TELL_AGAIN_AFTER
    told = select(func.max(Case.told_rank)).where(Case.account_id == account.id, Case.told_at > since)
    rank = policy.rank(case.facts, staff=staff)
    return policy.may_tell(case.facts, rank=rank, told=db.session().scalar(told))


def _staff_decide(case: Open, account: AccountView, *, client: Client | None, now: datetime) -> None:
    if not _may_tell(case, account, staff=True, now=now):
        change(case.id, told_until=None)  # nobody waits for a date any more
        return
    told = update(Case).where(Case.id == case.id, Case.told_staff.is_(False)).values(told_staff=True, told_until=None)
    if db.session().scalar(told.returning(Case.id)) is not None:
        tell(case, account, until=None, staff=True, client=client, now=now)


def _waits(
    case: Open, account: AccountView, decision: policy.Wait | policy.Complete, *, client: Client | None, now: datetime
) -> None:
    until = decision.until if isinstance(decision, policy.Wait) else None
    if until is None:  # over, as everybody was told; or it never was told, as where a factor went meanwhile
        if case.told_until is not None:
            return
        until = now + policy.WAIT
    if until != case.told_until:
        if not _may_tell(case, account, staff=False, now=now):
            return
        change(case.id, told_until=until, told_staff=False, expires_at=max(case.expires_at, until + MATURE_FOR))
        tell(case, account, until=until, staff=False, client=client, now=now)


def tell(
    case: Open, account: AccountView, *, until: datetime | None, staff: bool, client: Client | None, now: datetime
) -> None:
    """Mail every trusted address, with a link to object for those with a say, and everybody who shares a package."""
    change(case.id, told_at=now, told_rank=policy.rank(case.facts, staff=staff))
    subject = f"Somebody wants to recover the account {account.username}"
    values: dict[str, Any] = {
        "username": account.username,
        "until": until,
        "staff": staff,
        "proofs": [PROOF_WORDS[p] for p in sorted({one.proof for one in case.facts.shown})],
        "opened_at": case.created_at,
        "client": Client(ip=case.ip, network=case.ip, browser=case.browser),
    }
    with_a_say = {a.email: a.id for a in accounts.with_a_say(account.id, now=now)}
    for recipient in accounts.trusted_recipients(account.id, now=now):
        link = ""
        if recipient in with_a_say:
            token = dispute_links.issue(
                account.id, with_a_say[recipient], event=case.objection_event, about=subject, now=now
            )
            link = f"{settings().base_url}/recovery/object/{token}"
        mail.send(
            "recovery_begun", to=recipient, subject=subject, account_id=account.id, now=now, object=link, **values
        )
    together = mandates.co_owners(account.id, now=now)
    for fellow in sorted(together.fellows):
        for recipient in accounts.trusted_recipients(fellow, now=now):
            mail.send(
                "recovery_of_co_owner",
                to=recipient,
                subject=f"{subject}, your co-owner",
                account_id=fellow,
                now=now,
                link=f"{settings().base_url}/account/vouch/{case.id}",
                may_vouch=fellow in together.vouchers,
                package=together.package,
                **values,
            )


def tell_owner(case: Open, account: AccountView, kind: str, what: str, *, client: Client | None, now: datetime) -> None:
    mail.notify(
        account.id,
        kind,
        subject=f"Recovery of the account {account.username} {what}",
        now=now,
        username=account.username,
        opened_at=case.created_at,
        client=client,
    )
