"""What a case asks of the outside, done by the worker: a code to an address of the account, a look at a linked place.

So the applicant's page answers alike, and as fast, whether or not there is such an account, address or place.
"""

import logging
import time
from datetime import datetime, timedelta
from typing import assert_never

from sqlalchemy import update

from authsvc import accounts, audit, devices, domains, email_codes, proof_places
from authsvc.accounts import AccountView, AddressView
from authsvc.audit import EventType
from authsvc.cases import reading, service
from authsvc.cases.models import Case
from authsvc.core import db
from authsvc.core.web import Client
from authsvc.policy.recovery import Proof
from authsvc.policy.reset_gate import EVIDENCE_MAX_AGE, Allow
from authsvc.recovery import gate

log = logging.getLogger(__name__)

LEASE = timedelta(minutes=2)
LEAST_LETTERS = 4  # of what was typed for a place


def process(*, now: datetime) -> int:
    """Do what applicants asked for; returns how many were taken up. The worker's task."""
    done, began = 0, time.monotonic()
    while time.monotonic() - began < domains.WORKER_SHARE.total_seconds():
        ids = db.claim(
            Case.id,
            Case.claimed_until,
            Case.asked_at.is_not(None),
            limit=1,
            lease=LEASE,
            now=now,
            order_by=Case.turn,
        )
        if not ids:
            break
        try:
            _process(ids[0], now=now)
        except Exception:  # one that cannot be done must not keep the others waiting
            log.exception("recovery case %s", ids[0])
            db.rollback()
        done += 1
    return done


def _process(case_id: int, *, now: datetime) -> None:
    with db.transaction() as session:
        row = session.get_one(Case, case_id)
        what, about, asked_at, after = row.asked_for, row.asked_about, row.asked_at, row.asked_after
        client = Client(ip=row.ip, network=row.ip, browser=row.browser)
        case = reading.view(row, now=now) if row.ended_at is None else None
    account = case.account if case else None
    if what == "place":
        if case is not None and account is not None:
            _look_at_place(case, account, about, asked_at, after=after, client=client, now=now)
            return
        with db.transaction():
            _answered(case_id, asked_at)
        return
    _mail_code(case_id, case, account, about, asked_at, client=client, now=now)


def _answered(case_id: int, asked_at: datetime | None, **values: object) -> bool:
    """The ask is done; False where another worker was first, or another was asked for meanwhile."""
    done = update(Case).where(Case.id == case_id, Case.asked_at == asked_at)
    done = done.values(asked_for=None, asked_about="", asked_at=None, claimed_until=None, **values)
    return db.session().scalar(done.returning(Case.id)) is not None


def _own_address(account: AccountView, typed: str) -> AddressView | None:
    """The address of the account that was typed."""
    try:
        email = accounts.normalise_address(typed)
    except accounts.InvalidAddress:
        return None
    return next((a for a in accounts.addresses(account.id) if a.email == email), None)


def _why_not(account: AccountView, address: AddressView, look: domains.Look, *, now: datetime) -> str | None:
    """Why no code may leave for the address, or None: the reset gate's reasons (POLICY 8), or it is junior."""
    decision = gate(account, address, look, now=now)
    if not isinstance(decision, Allow):
        return decision.reason
    with_a_say = {a.id for a in accounts.with_a_say(account.id, now=now)}
    return None if address.id in with_a_say else "JUNIOR"


def _domain_of(typed: str) -> str | None:
    """The domain of any address, where it holds accounts: looked at alike, so that timing tells nothing."""
    try:
        domain = accounts.normalise_address(typed).rpartition("@")[2]
    except accounts.InvalidAddress:
        return None
    return domain if domains.known(domain) else None


def _mail_code(
    case_id: int,
    case: reading.Open | None,
    account: AccountView | None,
    typed: str,
    asked_at: datetime | None,
    *,
    client: Client,
    now: datetime,
) -> None:
    """Mail the code where the reset gate lets a link leave for the address (POLICY 8)."""
    with db.transaction():
        domain = _domain_of(typed)
    look = None
    if domain is not None:
        with db.transaction():
            look = domains.check_fresh(domain, max_age=EVIDENCE_MAX_AGE, now=now)
    with db.transaction():
        address = _own_address(account, typed) if account else None
        if case is None or account is None or address is None or look is None:
            _answered(case_id, asked_at)
            return
        problem = _why_not(account, address, look, now=now)
        if problem is not None:
            if _answered(case_id, asked_at):
                audit.record(
                    EventType.RECOVERY_PROOF_FAILED,
                    account_id=account.id,
                    at=now,
                    client=client,
                    proof=Proof.MAILBOX.value,
                    code=problem,
                )
            return
        browser = devices.find_digest(case.browser_digest, account.id) if case.browser_digest else None
        sent = email_codes.hand_over(  # charges, and commits that
            service.code_bound_to(case_id),
            address.email,
            kind="recovery_case_code",
            subject=f"Your code to recover {account.username}",
            account_id=account.id,
            browser_id=browser.id if browser else None,
            now=now,
            username=account.username,
            client=client,
        )
        if not _answered(case_id, asked_at):
            db.rollback()  # a rival mailed it
        elif sent:
            audit.record(
                EventType.RECOVERY_CODE_SENT, account_id=account.id, at=now, client=client, email=address.email
            )


def _look_at_place(
    case: reading.Open,
    account: AccountView,
    typed: str,
    asked_at: datetime | None,
    *,
    after: int,
    client: Client,
    now: datetime,
) -> None:
    """Look for the case's line at the next linked place that fits what was typed; others have their turn in between."""
    with db.transaction():
        wanted = typed.casefold() if len(typed) >= LEAST_LETTERS else None
        usable = proof_places.usable(account.id, now=now)
    fitting = sorted(p.id for p in usable if wanted and wanted in p.words.casefold() and p.id > after)
    found: proof_places.Verified | proof_places.Refused = proof_places.Refused(proof_places.Reason.NOT_USABLE)
    if fitting:
        with db.transaction():
            found = proof_places.verify(fitting[0], case.proof_token, account_id=account.id, now=now)
    with db.transaction():
        match found:
            case proof_places.Verified(place):
                if _answered(case.id, asked_at):
                    service.note_proof(case.id, account, Proof.PUBLISHED, ref=place.id, client=client, now=now)
            case proof_places.Refused() if len(fitting) > 1:
                again = update(Case).where(Case.id == case.id, Case.asked_at == asked_at)
                behind = {"asked_after": fitting[0], "turn": Case.turn + 1, "claimed_until": None}
                db.session().execute(again.values(behind))
            case proof_places.Refused(reason):
                if _answered(case.id, asked_at, answer=reason.value):
                    audit.record(
                        EventType.RECOVERY_PROOF_FAILED,
                        account_id=account.id,
                        at=now,
                        client=client,
                        proof=Proof.PUBLISHED.value,
                        code=reason.value,
                    )
            case _:
                assert_never(found)
