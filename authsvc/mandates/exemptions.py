"""Exemptions: nothing is asked of an account for a while, with a reason and an end (POLICY 13).

An exemption puts the day of every mandate of the account off to its end. Staff are two people; the command line, which
counts as one, waits a day instead.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, case, or_, select, update

from authsvc import accounts, audit, mail
from authsvc.audit import EventType
from authsvc.core import db
from authsvc.mandates.models import ExemptionRow, MandateRow
from authsvc.policy.mandate_days import Exemption

WAITS = timedelta(hours=24)  # at the command line (POLICY 13)


@dataclass(frozen=True, kw_only=True)
class ExemptionView:
    """One exemption, begun or not."""

    id: int
    account_id: int
    username: str
    reason: str
    set_by: str
    created_at: datetime
    starts_at: datetime
    until: datetime


def exempt(
    account_id: int,
    *,
    reason: str,
    until: datetime,
    set_by: str,
    staff: str = "",
    starts_at: datetime,
    told: bool = False,
    now: datetime,
) -> ExemptionView:
    """Ask nothing of an account until a moment. Its owner is told unless they were, the log says why and by whom.

    `staff`: the names of those who decided it in the console.
    """
    row = ExemptionRow(
        account_id=account_id, reason=reason, set_by=staff or set_by, created_at=now, starts_at=starts_at, until=until
    )
    db.session().add(row)
    # From its start on the days are counted anew, towards the end of the exemption.
    _tell_anew(account_id, starts_at, after=starts_at)
    audit.record(
        EventType.MANDATE_EXEMPTED,
        account_id=account_id,
        at=now,
        reason=reason,
        starts_at=starts_at.isoformat(),
        until=until.isoformat(),
        client=None,
        **({"by": set_by, "staff": staff} if staff else {"by": set_by}),
    )
    if not told:
        _tell(account_id, reason=reason, starts_at=starts_at, until=until, now=now)
    db.session().flush()
    return next(view for view in standing(now=now) if view.id == row.id)


def end(account_id: int, *, set_by: str, staff: str = "", now: datetime) -> bool:
    """Take every exemption of an account back, begun or not. False when it has none.

    `staff`: who did it in the console. It strengthens, so one person does (POLICY 13).
    """
    live = update(ExemptionRow).where(
        ExemptionRow.account_id == account_id, ExemptionRow.ended_at.is_(None), ExemptionRow.until > now
    )
    starts = db.session().scalars(live.values(ended_at=now).returning(ExemptionRow.starts_at)).all()
    if not starts:
        return False
    # The days are counted anew from now on, and those that came meanwhile were not told.
    day = MandateRow.enforced_from
    passed = and_(day >= min(starts), day > MandateRow.created_at, day <= now)
    _tell_anew(account_id, case((passed, day), else_=now), after=now)
    by = {"by": set_by, "staff": staff} if staff else {"by": set_by}
    audit.record(EventType.MANDATE_EXEMPTION_ENDED, account_id=account_id, at=now, client=None, **by)
    tell_ended(account_id, now=now)
    return True


def _tell_anew(account_id: int, moment: datetime | ColumnElement[datetime], *, after: datetime) -> None:
    """Look at what the account has to be told at that moment, and not first after it."""
    later = or_(MandateRow.tell_at.is_(None), MandateRow.tell_at > after)
    change = update(MandateRow).where(MandateRow.account_id == account_id, MandateRow.ended_at.is_(None), later)
    db.session().execute(change.values(tell_at=moment))


def tell_ahead(account_id: int, *, reason: str, starts_at: datetime, until: datetime, now: datetime) -> None:
    """Tell the owner of an exemption that begins unless somebody takes it back before."""
    _tell(account_id, reason=reason, starts_at=starts_at, until=until, waits=True, now=now)


def tell_ended(account_id: int, *, now: datetime) -> None:
    """Tell the owner that there is none any more."""
    username = accounts.get(account_id).username
    subject = f"Your account {username} is no longer exempt"
    mail.notify(account_id, "mandate_exempted", subject=subject, now=now, username=username, ended=True)


def current(account_id: int, *, now: datetime) -> Exemption | None:
    """The exemption that began and was not taken back, in effect or over; of several the longest, None of none."""
    query = (
        select(ExemptionRow.starts_at, ExemptionRow.until)
        .where(
            ExemptionRow.account_id == account_id,
            ExemptionRow.ended_at.is_(None),
            ExemptionRow.starts_at <= now,
        )
        .order_by(ExemptionRow.until.desc())
        .limit(1)
    )
    row = db.session().execute(query).first()
    return Exemption(starts_at=row.starts_at, until=row.until) if row else None


def standing(*, now: datetime) -> list[ExemptionView]:
    """Every exemption that is in effect or will be, the one that ends first first."""
    query = (
        select(ExemptionRow, accounts.AccountRow.username)
        .join(accounts.AccountRow, accounts.AccountRow.id == ExemptionRow.account_id)
        .where(ExemptionRow.ended_at.is_(None), ExemptionRow.until > now)
        .order_by(ExemptionRow.until, ExemptionRow.id)
    )
    return [
        ExemptionView(
            id=row.id,
            account_id=row.account_id,
            username=username,
            reason=row.reason,
            set_by=row.set_by,
            created_at=row.created_at,
            starts_at=row.starts_at,
            until=row.until,
        )
        for row, username in db.session().execute(query)
    ]


def of_accounts(*, as_of: datetime) -> dict[int, Exemption]:
    """By account, what `current` says of a day."""
    found: dict[int, Exemption] = {}
    rows = select(ExemptionRow.account_id, ExemptionRow.starts_at, ExemptionRow.until).where(
        ExemptionRow.ended_at.is_(None), ExemptionRow.starts_at <= as_of
    )
    for account_id, starts_at, until in db.session().execute(rows.order_by(ExemptionRow.until)):
        found[account_id] = Exemption(starts_at=starts_at, until=until)
    return found


def _tell(
    account_id: int, *, reason: str, starts_at: datetime, until: datetime, waits: bool = False, now: datetime
) -> None:
    username = accounts.get(account_id).username
    mail.notify(
        account_id,
        "mandate_exempted",
        subject=f"Your account {username} is exempt for a while",
        now=now,
        username=username,
        ended=False,
        waits=waits,
        reason=reason,
        starts_at=starts_at,
        until=until,
    )
