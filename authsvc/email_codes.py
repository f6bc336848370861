"""One-time codes by mail, each bound to what it is for: one pending sign-in, registration, address or action.

Every mail with a code goes through here, and none to an address whose domain somebody else may hold (POLICY 8).
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Index, String, bindparam, delete, func, insert, select, update
from sqlalchemy.orm import Mapped, mapped_column

from authsvc import accounts, budgets, domains, mail
from authsvc.core import crypto, db
from authsvc.core.db import BigId, Row
from authsvc.core.web import Client
from authsvc.policy.login import Mailbox

DIGITS = 8  # 25 guesses an hour (5 mails of 5 tries) against 10^8
LIFE = timedelta(minutes=10)
MAX_TRIES = 5


class EmailCode(Row):
    """One code. `bound_to` names the one thing it counts for, such as "login:17"."""

    __tablename__ = "email_codes"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    bound_to: Mapped[str] = mapped_column(String(80))
    address: Mapped[str] = mapped_column(String(320))
    digest: Mapped[bytes]
    tries: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    spent_at: Mapped[datetime | None]

    __table_args__ = (Index("ix_email_codes_bound_to", "bound_to"),)


_LIVE = (EmailCode.bound_to == bindparam("b")) & EmailCode.spent_at.is_(None)
_VOID = update(EmailCode).where(_LIVE).values(spent_at=bindparam("now"))
_INSERT = insert(EmailCode)
# Two codes issued at once are both live, neither having seen the other: only the newest counts (attack T05).
_NEWEST = select(func.max(EmailCode.id)).where(EmailCode.bound_to == bindparam("b")).scalar_subquery()
_SENT = select(EmailCode.created_at, EmailCode.expires_at).where(_LIVE, EmailCode.id == _NEWEST)


def issue(bound_to: str, address: str, *, now: datetime) -> str:
    """Make a code, void older ones of the same purpose, and return it for the mail (never stored in clear)."""
    db.execute(_VOID, {"b": bound_to, "now": now})
    code = crypto.random_digits(DIGITS)
    values = {
        "bound_to": bound_to,
        "address": address,
        "digest": crypto.keyed_digest("email-code", bound_to, address, code),
        "tries": 0,
        "created_at": now,
        "expires_at": now + LIFE,
    }
    db.execute(_INSERT, values)
    return code


def hand_over(
    bound_to: str,
    address: str,
    *,
    kind: str,
    subject: str,
    account_id: int | None,
    browser_id: budgets.Share,
    now: datetime,
    heals: bool = False,
    **values: Any,
) -> bool:
    """Charge, make and mail a code. False, and nothing sent, when the budget for mailed codes is empty (attack R23).

    Nor is anything sent to an account's address that is lost, unless `heals`: the caller saw that a proof would count.
    """
    if account_id is not None and not heals and _is_lost(account_id, address):
        return False
    whom = budgets.subject_of(account_id, address)
    if not budgets.charge("mailed_code", whom, browser_id, now=now).allowed:
        return False
    code = issue(bound_to, address, now=now)
    mail.send(
        kind,
        to=address,
        subject=subject,
        now=now,
        account_id=account_id,
        not_after=now + LIFE,
        code=code,
        **values,
    )
    return True


def hand_over_to_nobody(
    bound_to: str,
    address: str,
    *,
    owner: int,
    account_id: int | None,
    browser_id: budgets.Share,
    client: Client,
    now: datetime,
) -> bool:
    """`hand_over` for an address that belongs to another account: the same to whoever asks, and its owner is told.

    The same budget is charged and a code is made, but mailed to nobody (attack L08).
    """
    whom = budgets.subject_of(account_id, address)
    if not budgets.charge("mailed_code", whom, browser_id, now=now).allowed:
        return False
    issue(bound_to, address, now=now)
    if not _is_lost(owner, address):
        username = accounts.get(owner).username
        mail.send(
            "address_taken",
            to=address,
            subject=f"This address belongs to {username} already",
            account_id=owner,
            now=now,
            username=username,
            client=client,
        )
    return True


def _is_lost(account_id: int, address: str) -> bool:
    """True when the account has no such address any more, or somebody else may read what is mailed there."""
    found = next((a for a in accounts.addresses(account_id) if a.email == address), None)
    return domains.mailbox_worth(found) is Mailbox.LOST


def try_once(bound_to: str, *, now: datetime) -> int | None:
    """Charge one try to the newest code and commit; returns its id, or None when it is over or no try is left."""
    change = update(EmailCode).where(
        EmailCode.id == select(func.max(EmailCode.id)).where(EmailCode.bound_to == bound_to).scalar_subquery(),
        EmailCode.spent_at.is_(None),
        EmailCode.expires_at > now,
        EmailCode.tries < MAX_TRIES,
    )
    found = db.session().scalar(change.values(tries=EmailCode.tries + 1).returning(EmailCode.id))
    db.commit()
    return found


def spend(bound_to: str, code: str, *, now: datetime) -> str | None:
    """Check a code and spend it; returns the address it proved, or None. Of two at once one wins (attack T06)."""
    code_id = try_once(bound_to, now=now)
    if code_id is None:
        return None
    row = db.session().execute(select(EmailCode.address, EmailCode.digest).where(EmailCode.id == code_id)).one()
    if not any(crypto.same(row.digest, d) for d in crypto.keyed_digests("email-code", bound_to, row.address, code)):
        return None
    change = update(EmailCode).where(EmailCode.id == code_id, EmailCode.spent_at.is_(None), EmailCode.expires_at > now)
    spent = db.session().scalar(change.values(spent_at=now).returning(EmailCode.id))
    return row.address if spent is not None else None


def sent(bound_to: str) -> tuple[datetime, datetime] | None:
    """When the newest live code was sent and when it ends."""
    row = db.execute(_SENT, {"b": bound_to}).first()
    return (row.created_at, row.expires_at) if row else None


def purge(*, before: datetime) -> int:
    """Delete codes made before the time; returns how many."""
    return len(
        db.session().scalars(delete(EmailCode).where(EmailCode.created_at < before).returning(EmailCode.id)).all()
    )
