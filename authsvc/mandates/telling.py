"""Mails about mandates: announced, 30, 7 and 1 days before, on the day, and when nothing is asked any more.

Each mandate carries the next moment at which its owner hears of it. Moving that moment on and writing the mail are one
transaction, so however often the worker runs or dies, everybody hears everything once.
"""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import assert_never

from sqlalchemy import select, update

from authsvc import accounts, mail
from authsvc.core import db
from authsvc.core.assurance import PHISHING_RESISTANT
from authsvc.mandates import given, phases
from authsvc.mandates.given import Given
from authsvc.mandates.models import MandateRow
from authsvc.policy.cohort import REMINDERS, Phase
from authsvc.policy.mandate import Mandate, Strength, tells_anew
from authsvc.policy.mandate_days import Announce, Days, Enforced, Notice, Remind, next_moment, notice_due

log = logging.getLogger(__name__)

SUBJECTS = {
    Strength.ANY_SECOND_FACTOR: "A second step is",
    Strength.PHISHING_RESISTANT: "A key or passkey is",
    Strength.TWO_PHISHING_RESISTANT: "Two keys or passkeys are",
}
BATCH = 100  # accounts told in one transaction, so that sign-ins never wait long


def tell_due(*, now: datetime) -> int:
    """Write the mails whose moment has come; returns to how many accounts. In transactions of its own."""
    with db.transaction():
        by_name = _phases()
    told = last = 0
    while True:
        with db.transaction():
            due = select(MandateRow.account_id).where(MandateRow.tell_at <= now, MandateRow.account_id > last)
            ids = db.session().scalars(due.distinct().order_by(MandateRow.account_id).limit(BATCH)).all()
        told += _tell_some(ids, by_name, now)
        if len(ids) < BATCH:
            return told
        last = ids[-1]


def _tell_some(ids: Sequence[int], by_name: dict[str, Phase], now: datetime) -> int:
    """Tell these in one transaction; where that fails one by one, so that one of them does not stop the others."""
    try:
        with db.transaction():
            return sum(tell(account_id, by_name=by_name, now=now) for account_id in ids)
    except Exception:
        if len(ids) == 1:
            log.exception("account %s could not be told of its mandates", ids[0])
            return 0
        log.warning("mails about mandates are written one by one, as one of %d fails", len(ids))
    return sum(_tell_some([account_id], by_name, now) for account_id in ids)


def tell(account_id: int, *, by_name: dict[str, Phase] | None = None, now: datetime) -> bool:
    """Write the mails that one account is due. True when there was one."""
    mandates = given.of_account(account_id, now=now)
    told = False
    for one in mandates:
        if one.tell_at is not None and one.tell_at <= now:
            phase = (by_name if by_name is not None else _phases()).get(one.source)
            notice = _take(one, phase, now)
            others = [other.mandate for other in mandates if other is not one]
            if notice is not None and tells_anew(one.mandate, others):
                told |= _mail(account_id, one.mandate, phase, notice, now)
    return told


def tell_ended(account_id: int, *, now: datetime) -> None:
    """Tell that nothing is asked any more."""
    username = accounts.get(account_id).username
    mail.notify(
        account_id,
        "mandate_ended",
        subject=f"A second step is no longer required for {username}",
        now=now,
        username=username,
        enrolled=bool(accounts.enrolled(account_id, now=now)),
        once_in_force=given.once_in_force(account_id, now=now),
    )


def _phases() -> dict[str, Phase]:
    return {phase.name: phase for phase in phases.stored()}


def _take(one: Given, phase: Phase | None, now: datetime) -> Notice | None:
    """Move the mandate's moment on; what has to be told, or None when nothing, or a rival tells it."""
    days = Days(
        given_at=one.created_at,
        enforced_from=one.mandate.enforced_from,
        reminders=phase.reminders if phase is not None else REMINDERS,
        known_since=one.exemption.starts_at if one.exemption else None,
    )
    taken = update(MandateRow).where(MandateRow.id == one.id, MandateRow.tell_at == one.tell_at)
    moved = taken.values(tell_at=next_moment(days, now)).returning(MandateRow.id)
    if one.tell_at is None or db.session().scalar(moved) is None:
        return None
    return notice_due(days, told_before=one.tell_at, now=now)


def _mail(account_id: int, mandate: Mandate, phase: Phase | None, notice: Notice, now: datetime) -> bool:
    kinds = [a.kind for a in accounts.enrolled(account_id, now=now)]
    met = mandate.satisfied_by(kinds)
    username = accounts.get(account_id).username
    asked, days = SUBJECTS[mandate.strength], 0
    match notice:
        case Announce():
            kind, subject = "mandate_announced", f"{asked} required for {username}"
        case Remind(days):
            when = "tomorrow" if days == 1 else f"in {days} days"
            kind, subject = "mandate_reminder", f"{asked} required for {username} {when}"
        case Enforced():
            kind, subject = "mandate_enforced", f"{asked} now required for {username}"
        case _:
            assert_never(notice)
    if met and kind != "mandate_announced":  # nothing is left to do, and the announcement said so
        return False
    mail.notify(
        account_id,
        kind,
        subject=subject,
        now=now,
        username=username,
        reason=mandate.reason,
        enforced_from=mandate.enforced_from,
        days=days,
        for_keys=mandate.strength.for_keys,
        two_keys=mandate.strength is Strength.TWO_PHISHING_RESISTANT,
        enrolled=bool(kinds),
        has_key=not PHISHING_RESISTANT.isdisjoint(kinds),
        senior_at_once=accounts.would_be_senior_at(account_id, browser_known_for=accounts.KNOWN_WELL_AFTER, now=now)
        == now,
        brown_outs=[hours for hours in phase.brown_outs if now < hours[1]] if phase is not None else [],
        met=met,
    )
    return True
