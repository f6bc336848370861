"""Guesses charged per account and browser, committed before the secret is compared (POLICY 7).

The rules are in `policy/budget.py`. Each known browser has a budget of its own, unknown ones share one, so that
strangers cannot use up the owner's. Browsers that opened a mailed link share a third (decision 0015).
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import String, Text, bindparam, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, mapped_column

from authsvc import accounts
from authsvc.core import crypto, db
from authsvc.core.db import BigId, Row
from authsvc.policy import budget
from authsvc.policy.budget import BUDGETS, Spent

# Whose budget: a known browser's by its number, that of browsers which proved the mailbox, or None: all strangers'.
Share = int | str | None
BY_MAIL: Share = "by-mail"


class Budget(Row):
    """What one subject spent for one purpose. `key` names account (or canonical unknown name), purpose and browser."""

    __tablename__ = "budgets"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    key: Mapped[str] = mapped_column(String(160), unique=True)
    times: Mapped[str] = mapped_column(Text)  # JSON list of seconds since 1970
    streak: Mapped[int]
    updated_at: Mapped[datetime]


@dataclass(frozen=True)
class Charge:
    """Whether the guess may be tried; if not, how long to wait. `streak`: failures in a row, this guess included."""

    allowed: bool
    retry_after: timedelta
    streak: int


_FIND = select(Budget.times, Budget.streak).where(Budget.key == bindparam("k")).with_for_update()
_INSERT = {
    "sqlite": sqlite.insert(Budget).on_conflict_do_nothing().returning(Budget.id),
    "postgresql": postgresql.insert(Budget).on_conflict_do_nothing().returning(Budget.id),
}
_UPDATE = (
    update(Budget)
    .where(Budget.key == bindparam("k"))
    .values(times=bindparam("times"), streak=bindparam("streak"), updated_at=bindparam("updated_at"))
)
_CLEAR = delete(Budget).where(Budget.key == bindparam("k"))


def subject_of(account_id: int | None, name: str) -> str:
    """Whom a guess is charged to: the account after look-up, or the canonical form of an unknown name (attack L02).

    What can be no name and no address, such as look-alike letters, opens no account and shares one budget.
    """
    if account_id is not None:
        return f"account:{account_id}"
    try:
        known_as = accounts.normalise_address(name) if "@" in name else accounts.canonical_username(name)
    except (accounts.InvalidAddress, accounts.InvalidUsername):
        return "name:impossible"
    return "name:" + crypto.keyed_digest("unknown-name", known_as).hex()[:32]


def _key(purpose: str, subject: str, share: Share) -> str:
    return f"{purpose}|{subject}|{share if share is not None else 'unknown-browsers'}"


def charge(purpose: str, subject: str, share: Share, *, now: datetime) -> Charge:
    """Charge one guess and commit, so that no rollback gives it back and rivals see it (attack L06)."""
    key, at = _key(purpose, subject, share), now.timestamp()
    found = db.execute(_FIND, {"k": key}).first()
    spent = Spent(tuple(json.loads(found.times)), found.streak) if found else Spent()
    outcome = budget.charge(spent, BUDGETS[purpose], at)
    if isinstance(outcome, budget.Refused):
        db.commit()
        return Charge(False, timedelta(seconds=outcome.until - at), spent.streak)
    values = {"times": json.dumps(outcome.spent.times), "streak": outcome.spent.streak, "updated_at": now}
    if found:
        db.execute(_UPDATE, {"k": key, **values})
    elif db.execute(_INSERT[db.engine().dialect.name], {"key": key, **values}).first() is None:
        return charge(purpose, subject, share, now=now)  # a rival made the row first: charge that one
    db.commit()
    return Charge(True, timedelta(0), outcome.spent.streak)


def clear(purpose: str, subject: str, share: Share) -> None:
    """A success: forget the failures of this budget."""
    db.execute(_CLEAR, {"k": _key(purpose, subject, share)})


def streak(purpose: str, subject: str, share: Share) -> int:
    """Failures in a row so far."""
    query = select(Budget.streak).where(Budget.key == _key(purpose, subject, share))
    return db.session().scalar(query) or 0


def purge(*, before: datetime) -> int:
    """Delete budgets untouched since `before`; returns how many."""
    return len(db.session().scalars(delete(Budget).where(Budget.updated_at < before).returning(Budget.id)).all())
