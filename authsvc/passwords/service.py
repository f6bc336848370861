"""Verify and set passwords. A guess is charged and committed before it is compared (POLICY 7)."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, select, update

from authsvc import accounts, audit, budgets
from authsvc.audit import EventType
from authsvc.core import db
from authsvc.passwords import hashing
from authsvc.passwords.choice import known_breached
from authsvc.passwords.models import Password


@dataclass(frozen=True)
class Verified:
    """The outcome of one try. `charged` is False when the budget was empty and nothing was compared."""

    ok: bool
    charged: bool = True


_FIND = select(Password.hash, Password.breach_checked_at).where(Password.account_id == bindparam("account_id"))


def exists(account_id: int) -> bool:
    """True when the account has a password."""
    return db.execute(_FIND, {"account_id": account_id}).first() is not None


def changed_at(account_id: int) -> datetime | None:
    """When the password was last set."""
    return db.session().scalar(select(Password.changed_at).where(Password.account_id == account_id))


def verify(account_id: int | None, password: str, *, name: str, browser_id: int | None, now: datetime) -> Verified:
    """Check a password; None for an unknown account, whose `name` is charged instead and which costs the same work.

    Right passwords are rehashed when the settings changed, and looked up among breached ones when that is still due.
    Raises Busy when the hashing queue is full.
    """
    subject = budgets.subject_of(account_id, name)
    with hashing.place():  # before the charge: a full queue must cost the owner nothing
        row = db.execute(_FIND, {"account_id": account_id}).first() if account_id is not None else None
        charge = budgets.charge("password", subject, browser_id, now=now)
        right = hashing.matches(row.hash if row and charge.allowed else None, password)
    if not right or row is None or account_id is None:
        return Verified(False, charged=charge.allowed)
    changes: dict[str, object] = {}
    if hashing.outdated(row.hash):
        changes["hash"] = hashing.hash_new(password)
    if row.breach_checked_at is None:
        breached = known_breached(password)
        if breached is not None:
            changes["breach_checked_at"] = now
        if breached:
            accounts.require_new_password(account_id, "breached")
            audit.record(EventType.PASSWORD_FOUND_BREACHED, account_id=account_id, at=now)
    if changes:
        unchanged = update(Password).where(Password.account_id == account_id, Password.hash == row.hash)
        db.session().execute(unchanged.values(changes))
    budgets.clear("password", subject, browser_id)
    return Verified(True)


def is_present(account_id: int, password: str) -> bool:
    """True when this is the account's password now. Not a guess: whoever asks has just proved it. Raises Busy."""
    row = db.execute(_FIND, {"account_id": account_id}).first()
    with hashing.place():
        return hashing.matches(row.hash if row else None, password)


def set_hash(account_id: int, hashed: str, *, now: datetime) -> None:
    """Store a password hashed by `hash_new`. The caller raises the epoch where the rules ask for it.

    Whether it was leaked is asked once more at the next sign-in, when the service may answer that did not now.
    """
    row = db.session().get(Password, account_id) or Password(account_id=account_id)
    row.hash, row.changed_at = hashed, now
    row.breach_checked_at = None
    db.session().add(row)
    accounts.require_new_password(account_id, None)
