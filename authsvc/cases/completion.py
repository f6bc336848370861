"""Getting the account back: a new address at a healthy domain, a new password, everything older is void (POLICY 10).

Whoever applied comes back for it, with the token that only they have.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import update

from authsvc import accounts, audit, domains, email_codes, freezes, holds, mail, mandates, passwords, recovery_codes
from authsvc.accounts import AccountView
from authsvc.audit import EventType
from authsvc.cases import reading, telling
from authsvc.cases.models import Case
from authsvc.cases.reading import CaseGone, Open
from authsvc.core import db
from authsvc.core.errors import Forbidden, TooMany
from authsvc.core.web import Client
from authsvc.policy import recovery as policy
from authsvc.policy.domain_verdict import Verdict
from authsvc.policy.hold import HoldCause
from authsvc.policy.recovery import Strength

EVIDENCE_MAX_AGE = timedelta(minutes=10)  # of the look at the new address's domain

DOMAIN_NOT_NOW = (
    "The domain of this address is not in order, or cannot be checked at the moment. Please use an address at another "
    "domain, or try again later."
)
WRONG_CODE = "That code is not right, or not valid any more."
TAKEN = "This address cannot be used here. Please use another."


class NotYet(Forbidden):
    """Something is still missing: evidence, time, or a new address."""

    title = "This has to wait"
    message = "Something is still missing, or somebody objected meanwhile. Nothing was changed."


def code_bound_to(case_id: int) -> str:
    """What the code to the new address is bound to."""
    return f"case-address:{case_id}"


def propose_address(case: Open, typed: str, *, client: Client, now: datetime) -> str | None:
    """Mail a code to the new address; returns why it cannot be used, or None. Raises NotYet, and TooMany.

    Only once a kind of evidence was verified: nobody else makes us write to strangers. An address of somebody else gets
    no code, and the page is the same (attack L08).
    """
    account = _account(case)
    try:
        email = accounts.normalise_address(typed)
    except accounts.InvalidAddress as error:
        return str(error)
    if not domains.may_register(email):
        return "Addresses at this domain cannot receive mail. Please use another."
    owner, bound_to = accounts.owner_of_address(email), code_bound_to(case.id)
    telling.change(case.id, new_email=email, new_email_proved_at=None)
    if owner is not None and owner != account.id:
        sent = email_codes.hand_over_to_nobody(
            bound_to, email, owner=owner, account_id=None, browser_id=None, client=client, now=now
        )
    else:
        sent = email_codes.hand_over(
            bound_to,
            email,
            kind="recovery_address_code",
            subject="Your code for a new address",
            account_id=None,
            browser_id=None,
            now=now,
            client=client,
        )
    if not sent:
        raise TooMany("mailed code budget empty", retry_after=3600)
    return None


def prove_address(case: Open, code: str, *, client: Client, now: datetime) -> str | None:
    """Check the code from the new address and look at its domain; returns why it does not count, or None."""
    account = _account(case)
    email = email_codes.spend(code_bound_to(case.id), code, now=now)
    if email is None or email != case.new_email:
        return WRONG_CODE
    if not _is_healthy(email, now=now):
        return DOMAIN_NOT_NOW
    proved = update(Case).where(Case.id == case.id, Case.new_email == email)  # not one that was named meanwhile
    if db.session().scalar(proved.values(new_email_proved_at=now).returning(Case.id)) is None:
        return WRONG_CODE
    audit.record(EventType.RECOVERY_ADDRESS_PROVED, account_id=account.id, at=now, client=client, email=email)
    return None


def _account(case: Open) -> AccountView:
    if case.account is None or case.strength is Strength.NONE:
        raise NotYet(f"case {case.id} has shown nothing")
    return case.account


def _is_healthy(email: str, *, now: datetime) -> bool:
    """Look at the domain. Ends the present transaction."""
    look = domains.check_fresh(email.rpartition("@")[2], max_age=EVIDENCE_MAX_AGE, now=now)
    return look.judgement.verdict is Verdict.HEALTHY


def problem_with(case: Open, new_password: str) -> str | None:
    """Why the new password cannot be used. Raises NotYet, and Busy."""
    account = _account(case)
    problem = passwords.problem_with(new_password, username=account.username)
    if problem is None and passwords.is_present(account.id, new_password):
        return "Choose a password that this account did not have before."
    return problem


def complete(case: Open, new_password: str, *, client: Client, now: datetime) -> None:
    """Put the new address and password in force, and end everything older. Raises NotYet and CaseGone.

    Judged again under the lock on the account: an objection comes before it or after it, and of two at once one wins.
    """
    account = _account(case)
    if case.new_email is None or case.new_email_proved_at is None:
        raise NotYet("no new address was proved")
    if not isinstance(case.decision(now), policy.Complete):
        raise NotYet("more is needed")
    if not _is_healthy(case.new_email, now=now):
        raise NotYet(f"domain of {case.new_email}", message=DOMAIN_NOT_NOW)
    hashed = passwords.hash_new(new_password, known=True)
    account = accounts.lock(account.id)
    fresh = reading.get(case.id, now=now)
    if fresh is None or fresh.new_email != case.new_email or fresh.new_email_proved_at is None:
        raise CaseGone("the case ended or changed meanwhile")
    if not isinstance(fresh.decision(now), policy.Complete):
        raise NotYet("something changed meanwhile")
    if accounts.owner_of_address(case.new_email) not in {None, account.id}:
        raise NotYet("the address was taken meanwhile", message=TAKEN)
    if not telling.end(fresh, "completed", client=client, now=now):
        raise CaseGone("a rival request was first")
    _put_in_force(fresh, account, case.new_email, hashed, client=client, now=now)


def _put_in_force(case: Open, account: AccountView, email: str, hashed: str, *, client: Client, now: datetime) -> None:
    for rival in reading.of_account(account.id, now=now):
        telling.end(rival, "superseded", client=client, now=now)
    passwords.set_hash(account.id, hashed, now=now)
    freeze = freezes.current(account.id)
    if freeze is not None:
        changed = accounts.changed_since(account.id, since=freeze.disputed_at)
        removed = {(item.what, item.id) for item in changed if not item.added}
        freezes.end(freeze, keep=removed, by_authenticator=False, client=client, now=now)
    for authenticator in accounts.enrolled(account.id, now=now):
        accounts.revoke_authenticator(account.id, authenticator.id, now=now)
        audit.record(
            EventType.AUTHENTICATOR_REVOKED,
            account_id=account.id,
            at=now,
            client=client,
            kind=authenticator.kind.value,
            label=authenticator.label,
        )
    recovery_codes.void(account.id, now=now)
    accounts.set_keys_only(account.id, now=None)
    recipients = accounts.trusted_recipients(account.id, now=now)
    _install(account, email, client=client, now=now)
    accounts.note_recovery(account.id, now=now)
    accounts.raise_epoch(account.id, confirm_after=now)
    audit.record(EventType.RECOVERY_COMPLETED, account_id=account.id, at=now, client=client, email=email)
    _tell(account, email, recipients, client=client, now=now)
    holds.begin(account.id, HoldCause.RECOVERY, client=client, now=now)


def _install(account: AccountView, email: str, *, client: Client, now: datetime) -> None:
    """Make the new address the main one; those that are not trusted go, which lifts their blocks.

    No other is a backup any more: whoever was in the account may have marked one, and would reset what was recovered.
    """
    own = accounts.addresses(account.id)
    found = next((a.id for a in own if a.email == email), None)
    address_id = found or accounts.add_address(account.id, email, is_primary=False, verified_at=None, now=now)
    domains.record_verification(address_id, email.rpartition("@")[2], verified_at=now, now=now)
    accounts.lift_block(address_id)
    accounts.make_primary(account.id, address_id)
    audit.record(EventType.ADDRESS_MADE_PRIMARY, account_id=account.id, at=now, client=client, email=email)
    for address in own:
        if accounts.mark_backup(account.id, address.id, is_backup=False):
            what = EventType.ADDRESS_UNMARKED_BACKUP
            audit.record(what, account_id=account.id, at=now, client=client, email=address.email)
        if address.id != address_id and not address.trusted:
            accounts.lift_block(address.id)
            accounts.remove_address(account.id, address.id, now=now)
            audit.record(EventType.ADDRESS_REMOVED, account_id=account.id, at=now, client=client, email=address.email)


def _tell(account: AccountView, email: str, recipients: list[str], *, client: Client, now: datetime) -> None:
    """Every address that had a say hears, the new one, and everybody who shares a package."""
    subject = f"Account {account.username} was recovered"
    values: dict[str, Any] = {"username": account.username, "email": email, "client": client}
    mail.notify(account.id, "account_recovered", subject=subject, now=now, **values)
    told = accounts.trusted_recipients(account.id, now=now)
    for recipient in recipients:
        if recipient not in told:
            mail.send("account_recovered", to=recipient, subject=subject, account_id=account.id, now=now, **values)
    for fellow in sorted(mandates.co_owners(account.id, now=now).fellows):
        for recipient in accounts.trusted_recipients(fellow, now=now):
            mail.send(
                "co_owner_recovered",
                to=recipient,
                subject=subject,
                account_id=fellow,
                now=now,
                username=account.username,
                client=client,
            )
