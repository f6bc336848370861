"""Recovery codes: printed, each good for one sign-in when the second factor is not at hand (POLICY 1).

A sign-in checks a code when it is typed and spends it when it completes; a code is never worth anything else.
"""

from datetime import datetime

from sqlalchemy import ForeignKey, bindparam, func, select, update
from sqlalchemy.orm import Mapped, mapped_column

from authsvc.accounts import AccountRow
from authsvc.core import crypto, db
from authsvc.core.db import BigId, Row

CODES = 10
DIGITS = 16  # 53 bits


class RecoveryCode(Row):
    """One code, as a digest. Never deleted: a sign-in may still hold the id, which SQLite would give out again."""

    __tablename__ = "recovery_codes"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    digest: Mapped[bytes]
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]  # used, or its set replaced


_CHECK = select(RecoveryCode.id).where(
    RecoveryCode.account_id == bindparam("account_id"),
    RecoveryCode.ended_at.is_(None),
    RecoveryCode.digest.in_(bindparam("digests", expanding=True)),
)
_LEFT = select(func.count()).where(RecoveryCode.account_id == bindparam("account_id"), RecoveryCode.ended_at.is_(None))


def generate() -> list[str]:
    """A new set of codes, to be shown once; not stored yet. Pages group the digits in fours."""
    return [crypto.random_digits(DIGITS) for _ in range(CODES)]


def store(account_id: int, codes: list[str], *, now: datetime) -> None:
    """Make these the account's codes. The old set is dead, used or not (attack T09).

    The lock on the account lets one of two new sets at once replace the other instead of standing beside it.
    """
    db.session().execute(select(AccountRow.id).where(AccountRow.id == account_id).with_for_update())
    void(account_id, now=now)
    db.session().add_all(
        RecoveryCode(account_id=account_id, digest=crypto.keyed_digest(*_parts(account_id, code)), created_at=now)
        for code in codes
    )
    db.session().flush()


def check(account_id: int, code: str) -> int | None:
    """The id of the account's unused code that this is, or None. Spends nothing.

    The account is part of the digest: another account's code is no code here, and is not touched
    (attack T10). The caller charges the guess first.
    """
    if not code.isascii():
        return None
    return db.session().scalar(
        _CHECK, {"account_id": account_id, "digests": crypto.keyed_digests(*_parts(account_id, code))}
    )


def spend(code_id: int, *, now: datetime) -> bool:
    """Use a checked code up. False when it was used, or its set replaced, meanwhile.

    Of two at once one wins (attacks T06, T09).
    """
    change = update(RecoveryCode).where(RecoveryCode.id == code_id, RecoveryCode.ended_at.is_(None))
    return db.session().scalar(change.values(ended_at=now).returning(RecoveryCode.id)) is not None


def left(account_id: int) -> int:
    """How many unused codes the account has."""
    return db.session().scalars(_LEFT, {"account_id": account_id}).one()


def made_at(account_id: int) -> datetime | None:
    """When the account's newest set was made; None when it never had one."""
    return db.session().scalar(select(func.max(RecoveryCode.created_at)).where(RecoveryCode.account_id == account_id))


def void(account_id: int, *, now: datetime, made_since: datetime | None = None) -> None:
    """End all codes of the account, or those made since then."""
    change = update(RecoveryCode).where(RecoveryCode.account_id == account_id, RecoveryCode.ended_at.is_(None))
    if made_since is not None:
        change = change.where(RecoveryCode.created_at >= made_since)
    db.session().execute(change.values(ended_at=now))


def _parts(account_id: int, code: str) -> tuple[str, str, str]:
    return "recovery-code", str(account_id), "".join(c for c in code if not c.isspace() and c != "-")
