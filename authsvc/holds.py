"""Holds of an account: since when, why, until when (POLICY 5). The rules are in `policy/hold.py`."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ForeignKey, String, bindparam, select, update
from sqlalchemy.orm import Mapped, mapped_column

from authsvc import accounts, audit, mail, mandates
from authsvc.audit import EventType
from authsvc.core import db
from authsvc.core.db import BigId, Row
from authsvc.core.web import Client
from authsvc.policy.hold import HoldCause, duration, may_end_early

CAUSE_WORDS: dict[HoldCause, str] = {
    HoldCause.ADDRESS_CHANGE: "Your address was changed.",
    HoldCause.RESET: "Your password was reset by mail.",
    HoldCause.RECOVERY_CODE: "A recovery code was used to sign in.",
    HoldCause.FACTOR_REMOVED: "Your strongest second step was removed.",
    HoldCause.FORCED_PASSWORD: "Your password had to be replaced.",
    HoldCause.LONG_ABSENCE: "This was the first sign-in for a long time.",
    HoldCause.DOUBTFUL_MAILBOX: "Something is odd about the domain of your mail address.",
    HoldCause.OPERATOR: "The people who run this service asked for it.",
    HoldCause.FREEZE: "The account was frozen and opened again.",
    HoldCause.RECOVERY: "The account was recovered.",
    HoldCause.REPLACED: "A lost second step was replaced with a recovery code.",
}


class Hold(Row):
    """One hold. It is over when its time came or it was ended."""

    __tablename__ = "holds"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    cause: Mapped[str] = mapped_column(String(30))
    began_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


@dataclass(frozen=True, kw_only=True)
class HoldView:
    """The hold in force."""

    cause: HoldCause
    began_at: datetime
    ends_at: datetime


_h = Hold.__table__.c  # the table, not the row class: every request asks
_CURRENT = (
    select(_h.cause, _h.began_at, _h.ends_at)
    .where(_h.account_id == bindparam("account_id"), _h.ended_at.is_(None), _h.ends_at > bindparam("now"))
    .order_by(_h.ends_at.desc())
    .limit(1)
)


def current(account_id: int, *, now: datetime) -> HoldView | None:
    """The hold that lasts longest, or None."""
    row = db.session().connection().execute(_CURRENT, {"account_id": account_id, "now": now}).first()
    return HoldView(cause=HoldCause(row.cause), began_at=row.began_at, ends_at=row.ends_at) if row else None


def begin(account_id: int, cause: HoldCause, *, client: Client | None, now: datetime) -> bool:
    """Begin a hold, with its log line and mail. False when one of the same cause stands; it is not started again."""
    standing = select(Hold.id).where(
        Hold.account_id == account_id, Hold.cause == cause.value, Hold.ended_at.is_(None), Hold.ends_at > now
    )
    if db.session().scalar(standing) is not None:
        return False
    ends_at = now + duration(
        cause,
        owns_packages=mandates.owns_packages(account_id, now=now),
        mandated=mandates.has_mandate(account_id),
    )
    db.session().add(Hold(account_id=account_id, cause=cause.value, began_at=now, ends_at=ends_at))
    db.session().flush()
    username = accounts.get(account_id).username
    audit.record(EventType.HOLD_BEGUN, account_id=account_id, at=now, client=client, cause=cause.value)
    mail.notify(
        account_id,
        "hold_begun",
        subject=f"Some actions wait for {username}",
        now=now,
        username=username,
        cause_words=CAUSE_WORDS[cause],
        ends_at=ends_at,
        client=client,
    )
    return True


def may_be_ended_by(account_id: int, authenticator: accounts.AuthenticatorView, *, now: datetime) -> bool:
    """True when a hold stands and the authenticator is older than the cause of every one that does (POLICY 5)."""
    standing = select(Hold.began_at).where(Hold.account_id == account_id, Hold.ended_at.is_(None), Hold.ends_at > now)
    began = list(db.session().scalars(standing))
    return bool(began) and all(
        may_end_early(began_at=at, enrolled_at=authenticator.created_at, senior=authenticator.senior) for at in began
    )


def end_all(account_id: int, *, now: datetime) -> int:
    """End every hold of the account; returns how many stood."""
    change = update(Hold).where(Hold.account_id == account_id, Hold.ended_at.is_(None), Hold.ends_at > now)
    return len(db.session().scalars(change.values(ended_at=now).returning(Hold.id)).all())
