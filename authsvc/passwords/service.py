"""Verify and set passwords. A guess is charged and committed before it is compared (POLICY 7)."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, delete, select, update

from authsvc import accounts, audit, budgets, stuffing
from authsvc.audit import EventType
from authsvc.core import db, rate_limits
from authsvc.core.errors import TooMany
from authsvc.core.web import client
from authsvc.passwords import hashing
from authsvc.passwords.choice import known_breached
from authsvc.passwords.models import OldPassword, Password
from authsvc.policy import stuffing as policy

SLOWED_SECONDS = 60  # what a stranger is told to wait in a network that tripped a detector


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


def verify(account_id: int | None, password: str, *, name: str, browser_id: budgets.Share, now: datetime) -> Verified:
    """Check a password; None for an unknown account, whose `name` is charged instead and which costs the same work.

    Right passwords are rehashed when the settings changed, looked up among breached ones when that is still due, and
    have to be replaced when they are sprayed. Raises TooMany for strangers in a network that tripped a detector, and
    Busy when the hashing queue is full; neither costs the owner anything.
    """
    subject, network, detector = budgets.subject_of(account_id, name), client().network, stuffing.current()
    stranger, look = browser_id is None, detector.look(network, now=now)
    wide = rate_limits.wide_network_of(network) or network  # else each /64 of a /48 that tripped had a limit of its own
    if stranger and look.tripped and not rate_limits.take("slowed", wide):
        raise TooMany(f"{network} tripped a detector", retry_after=SLOWED_SECONDS)
    turn = policy.turn(known=not stranger, network_tripped=look.tripped)
    with hashing.turn(turn, subject, pressed=look.pressed):
        db.writing()
        row = db.execute(_FIND, {"account_id": account_id}).first() if account_id is not None else None
        charge = budgets.charge("password", subject, browser_id, now=now)
        right = hashing.matches(row.hash if row and charge.allowed else None, password)
    if stranger and not right:
        detector.note_failure(subject, password, network, now=now)
    if not right or row is None or account_id is None:
        return Verified(False, charged=charge.allowed)
    changes: dict[str, object] = {}
    if hashing.outdated(row.hash):
        changes["hash"] = hashing.hash_new(password, known=not stranger)
    if row.breach_checked_at is None:
        breached = known_breached(password)
        if breached is not None:
            changes["breach_checked_at"] = now
        if breached:
            accounts.require_new_password(account_id, "breached")
            audit.record(EventType.PASSWORD_FOUND_BREACHED, account_id=account_id, at=now)
    if detector.is_sprayed(password, now=now):
        accounts.require_new_password(account_id, "sprayed")
        audit.record(EventType.PASSWORD_FOUND_SPRAYED, account_id=account_id, at=now)
    if changes:
        unchanged = update(Password).where(Password.account_id == account_id, Password.hash == row.hash)
        db.session().execute(unchanged.values(changes))
    budgets.clear("password", subject, browser_id)
    return Verified(True)


def was_valid(account_id: int, password: str, *, at: datetime, browser_id: budgets.Share, now: datetime) -> Verified:
    """Check a password against the one that was the account's at a past time. Charged and hashed like any other guess.

    Raises Busy when the hashing queue is full.
    """
    subject = budgets.subject_of(account_id, "")
    with hashing.turn(policy.turn(known=browser_id is not None, network_tripped=False), subject):
        row = db.execute(_FIND, {"account_id": account_id}).first()
        hashed = _replaced_since(account_id, at) or (row.hash if row else None)
        charge = budgets.charge("password", subject, browser_id, now=now)  # last, as it ends the transaction
        right = hashing.matches(hashed if charge.allowed else None, password)
    if right:
        budgets.clear("password", subject, browser_id)
    return Verified(right, charged=charge.allowed)


def _replaced_since(account_id: int, at: datetime) -> str | None:
    """The hash in force at a past time, if it was replaced since."""
    query = select(OldPassword.hash).where(OldPassword.account_id == account_id, OldPassword.replaced_at >= at)
    return db.session().scalar(query.order_by(OldPassword.replaced_at, OldPassword.id).limit(1))


def purge(*, before: datetime) -> None:
    """Delete passwords that were replaced before the time, but for frozen accounts."""
    frozen = select(accounts.AccountRow.id).where(accounts.AccountRow.frozen_at.is_not(None))
    old = delete(OldPassword).where(OldPassword.replaced_at < before, OldPassword.account_id.not_in(frozen))
    db.session().execute(old)


def erase(account_id: int) -> None:
    """Delete the account's password and all it had before."""
    for row in (Password, OldPassword):
        db.session().execute(delete(row).where(row.account_id == account_id))


def is_present(account_id: int, password: str, *, or_at: datetime | None = None) -> bool:
    """True when this is the account's password now, or was at a past time where given. Raises Busy.

    Not a guess: whoever asks has just proved who they are.
    """
    row = db.execute(_FIND, {"account_id": account_id}).first()
    before = _replaced_since(account_id, or_at) if or_at is not None else None
    with hashing.turn(policy.Turn.KNOWN, budgets.subject_of(account_id, "")):
        return hashing.matches(row.hash if row else None, password) or (
            before is not None and hashing.matches(before, password)
        )


def set_hash(account_id: int, hashed: str, *, now: datetime) -> None:
    """Store a password hashed by `hash_new`. The caller raises the epoch where the rules ask for it.

    Whether it was leaked is asked once more at the next sign-in, when the service may answer that did not now.
    """
    row = db.session().get(Password, account_id) or Password(account_id=account_id)
    if row.hash:
        db.session().add(OldPassword(account_id=account_id, hash=row.hash, replaced_at=now))
    row.hash, row.changed_at = hashed, now
    row.breach_checked_at = None
    db.session().add(row)
    accounts.require_new_password(account_id, None)
