"""Opening a case, showing proofs in it, withdrawing it (POLICY 10).

A case can be opened for any text, and nothing that the applicant sees depends on whether an account stands behind it
until a kind of evidence was verified: a wrong proof, a right one that stands alone, and any proof for a name that
nobody has are answered alike.
"""

import logging
import time
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, update

from authsvc import (
    access,
    accounts,
    audit,
    budgets,
    devices,
    dispute_links,
    domains,
    email_codes,
    login,
    passwords,
    proof_places,
    sessions,
)
from authsvc.accounts import AccountView
from authsvc.audit import EventType
from authsvc.cases import telling
from authsvc.cases.models import Case, CaseObjection, CaseProof, CaseVote
from authsvc.cases.reading import LIFE, Open
from authsvc.core import crypto, db
from authsvc.core.errors import TooMany
from authsvc.core.web import Client
from authsvc.policy.recovery import OWN, Proof

log = logging.getLogger(__name__)

MAX_STATEMENT = 1000
TEND_EVERY = timedelta(seconds=30)  # the worker's rounds are a minute apart
AT_ONCE = 500  # in one statement


def open_case(typed: str, *, browser_token: str, client: Client, now: datetime) -> str:
    """Write a case down, whatever was typed; returns the applicant's token, which is kept as a digest alone."""
    found = accounts.find(typed) or accounts.find_frozen(typed)
    account = None if found is None or found.disabled else found
    token = crypto.random_token()
    row = Case(
        digest=crypto.digest(token),
        typed=typed,
        account_id=account.id if account else None,
        ip=client.ip,
        browser=client.browser,
        browser_digest=crypto.digest(browser_token) if browser_token else None,
        created_at=now,
        expires_at=now + LIFE,
        proof_token=proof_places.new_token(),
        objection_event=dispute_links.new_event(),
    )
    db.session().add(row)
    db.session().flush()
    if account is not None:
        audit.record(EventType.RECOVERY_OPENED, account_id=account.id, at=now, client=client)
    return token


def _share(case: Open, browser_token: str) -> budgets.Share:
    """Whose budget guesses are charged to: a known browser's own, or that of all strangers."""
    browser = devices.find(browser_token, case.account.id) if case.account else None
    return browser.id if browser else None


def note_proof(
    case_id: int,
    account: AccountView,
    proof: Proof,
    *,
    ref: int = 0,
    confirms: bool = True,
    client: Client | None,
    now: datetime,
) -> None:
    """Store what was verified, once, and let follow what it calls for. Locks the account.

    What the owner knows or holds counts in the epoch in which it was shown: where that rose meanwhile, nothing is
    stored. `confirms`: False for a mailbox whose domain may have changed hands, which does not shorten the wait.
    """
    epoch = accounts.lock(account.id).epoch
    if proof in OWN and epoch != account.epoch:
        return
    values = {"case_id": case_id, "proof": proof.value, "ref": ref, "epoch": epoch if proof in OWN else 0}
    new = db.upsert(CaseProof).values(shown_at=now, confirms=confirms, **values).on_conflict_do_nothing()
    if db.session().scalar(new.returning(CaseProof.id)) is None:
        return
    audit.record(EventType.RECOVERY_PROOF_SHOWN, account_id=account.id, at=now, client=client, proof=proof.value)
    telling.settle(case_id, client=client, now=now)


def note_browser(case: Open, *, browser_token: str, client: Client, now: datetime) -> None:
    """Count the browser that asks, where the account has known it, or its session, for three days."""
    account, who = case.account, access.principal()
    if account is None:
        return
    browser = devices.find(browser_token, account.id)
    if browser is not None and browser.senior(now):
        note_proof(case.id, account, Proof.BROWSER, ref=browser.id, client=client, now=now)
    if who is not None and who.account_id == account.id:
        session = next((s for s in sessions.of_account(account.id, now=now) if s.id == who.session_id), None)
        if session is not None and now - session.created_at >= accounts.SENIOR_AFTER:
            note_proof(case.id, account, Proof.SESSION, ref=session.id, client=client, now=now)


def show_password(case: Open, password: str, *, browser_token: str, client: Client, now: datetime) -> None:
    """Check the password, charged and hashed like any other guess. Raises TooMany and Busy."""
    account = case.account
    share = _share(case, browser_token)
    verified = passwords.verify(account.id if account else None, password, name=case.typed, browser_id=share, now=now)
    if not verified.charged:
        raise TooMany("password budget empty", retry_after=300)
    if account is not None and verified.ok:
        if case.begun_at is None and share is None:
            login.note_elsewhere(account.id, client=client, now=now)
        note_proof(case.id, account, Proof.PASSWORD, client=client, now=now)
    else:
        _failed(case, Proof.PASSWORD, client=client, now=now)


def _failed(case: Open, proof: Proof, *, client: Client, now: datetime) -> None:
    """Note it in the account's log; where there is none, as much is written elsewhere."""
    account = case.account
    if account is None:
        telling.change(case.id, answer=None)
        return
    audit.record(EventType.RECOVERY_PROOF_FAILED, account_id=account.id, at=now, client=client, proof=proof.value)


def ask(case: Open, what: str, about: str, *, network: str, now: datetime) -> None:
    """Let the worker mail a code to an address (`mailbox`), or look at a linked place (`place`), as typed.

    Whoever asks in many cases waits behind those who ask in one.
    """
    waiting = select(func.count()).where(Case.asked_at.is_not(None), Case.asked_network == network, Case.id != case.id)
    telling.change(
        case.id,
        asked_for=what,
        asked_about=about,
        asked_at=now,
        asked_network=network,
        asked_after=0,
        turn=db.session().scalar(waiting),
        claimed_until=None,
        answer=None,
    )


def code_bound_to(case_id: int) -> str:
    """What the code to an address of the account is bound to."""
    return f"case:{case_id}"


def show_code(case: Open, code: str, *, client: Client, now: datetime) -> None:
    """Check the code that was mailed to an address of the account."""
    email = email_codes.spend(code_bound_to(case.id), code, now=now)
    own = accounts.addresses(case.account.id) if case.account else []
    address = next((a for a in own if a.email == email), None)
    if address is None or case.account is None:
        _failed(case, Proof.MAILBOX, client=client, now=now)
        return
    look = domains.last_look(address.domain)  # the code left after a fresh one
    confirms = look is not None and domains.continuous(look, address)
    note_proof(case.id, case.account, Proof.MAILBOX, ref=address.id, confirms=confirms, client=client, now=now)


def ask_staff(case: Open, statement: str, *, client: Client, now: datetime) -> None:
    """Put it before the people who run the service, with what the applicant has to say."""
    telling.change(case.id, asked_staff_at=case.asked_staff_at or now, statement=statement[:MAX_STATEMENT])
    if case.account is not None and case.asked_staff_at is None:
        audit.record(EventType.RECOVERY_ASKED_STAFF, account_id=case.account.id, at=now, client=client)


def withdraw(case: Open, *, client: Client, now: datetime) -> None:
    """The applicant does not need it any more."""
    telling.end(case, "withdrawn", client=client, now=now)


def begin(case: Open, *, client: Client, now: datetime) -> None:
    """Take a slot that became free meanwhile, where a kind was shown."""
    if case.account is not None:
        accounts.lock(case.account.id)
        telling.settle(case.id, client=client, now=now)


# The worker's


def tend(*, now: datetime) -> None:
    """End cases whose time is over, and let follow in those that have begun what changed outside of them.

    Each is looked at once in a round, those that waited longest first, until the time is used up; an account has few
    that have begun, and nobody else is made to wait for one that breaks off.
    """
    _end_expired(now=now)
    began = time.monotonic()
    while time.monotonic() - began < domains.WORKER_SHARE.total_seconds():
        ids = db.claim(
            Case.id,
            Case.tended_until,
            Case.ended_at.is_(None) & Case.begun_at.is_not(None),
            limit=1,
            lease=TEND_EVERY,
            now=now,
            order_by=func.coalesce(Case.tended_until, Case.begun_at),
        )
        if not ids:
            break
        try:
            with db.transaction() as session:
                account_id = session.get_one(Case, ids[0]).account_id
                if account_id is not None:
                    accounts.lock(account_id)
                    telling.settle(ids[0], client=None, now=now)
        except Exception:
            log.exception("recovery case %s", ids[0])
            db.rollback()


def _end_expired(*, now: datetime) -> None:
    """In one statement for many: anybody can open them."""
    ids: Sequence[int] = [0]
    while ids:
        with db.transaction() as session:
            over = select(Case.id).where(Case.ended_at.is_(None), Case.expires_at <= now).limit(AT_ONCE)
            ended = update(Case).where(Case.id.in_(over.scalar_subquery()), Case.ended_at.is_(None))
            ended = ended.values(ended_at=now, outcome="expired")
            rows = session.execute(ended.returning(Case.id, Case.account_id)).all()
            for _, account_id in rows:
                if account_id is not None:
                    audit.record(EventType.RECOVERY_ENDED, account_id=account_id, at=now, outcome="expired")
            ids = [row.id for row in rows]


def erase(account_id: int, *, now: datetime) -> None:
    """End the account's cases and forget what was typed in them: it is deleted."""
    ended_at = func.coalesce(Case.ended_at, now, type_=Case.ended_at.type)
    nothing = {"typed": "", "statement": "", "asked_about": "", "asked_at": None, "new_email": None}
    db.session().execute(update(Case).where(Case.account_id == account_id).values(**nothing, ended_at=ended_at))


def purge(*, before: datetime) -> None:
    """Delete cases that ended before the time; what happened in them stays in the account's log."""
    old = select(Case.id).where(Case.expires_at < before)
    for row in (CaseProof, CaseObjection, CaseVote):
        db.session().execute(delete(row).where(row.case_id.in_(old)))
    db.session().execute(delete(Case).where(Case.expires_at < before))
