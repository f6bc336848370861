"""Invitations to maintain a package: told once, accepted or declined by whom the registry names (POLICY 12).

The registry's word and the date that counts stay in `Ownership`, where the earliest date ever told wins and who is not
named any more is gone. What was told and answered here stands in `Invitation`, so that no import brings it back.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, exists, literal, or_, select, update

from authsvc import accounts, audit, mail
from authsvc.accounts import AccountRow
from authsvc.audit import EventType
from authsvc.core import db
from authsvc.core.db import UtcDateTime
from authsvc.core.web import Client
from authsvc.mandates import service
from authsvc.mandates.impact import Maintained, packages_of
from authsvc.mandates.models import Invitation, Ownership, is_current, of_account
from authsvc.mandates.pace import gently
from authsvc.mandates.snapshots import Running, is_running, keep_apart
from authsvc.policy.mandate import ECOSYSTEM_NAMES, PLAIN

TOLD_EVERY = timedelta(days=1)  # one mail an account, however many invitations a registry makes
WORKER_SHARE = timedelta(seconds=10)  # of ten minutes: whatever waits in the same worker waits no longer
MOST = 1000  # invitations a page is made from: whoever is flooded can still open it
BATCH = 500

_SAME = and_(
    Invitation.account_id == Ownership.account_id,
    Invitation.ecosystem == Ownership.ecosystem,
    Invitation.package == Ownership.package,
)


_OPEN = Ownership.accepted_at.is_(None)
_DECLINED = exists().where(_SAME, Invitation.declined_at.is_not(None))


@dataclass(frozen=True, kw_only=True)
class Packages:
    """What the registry names an account for, each the highest impact first; of what is not accepted at most MOST."""

    maintained: tuple[Maintained, ...]
    invited: tuple[Maintained, ...]
    declined: tuple[Maintained, ...]


def packages_and_invitations(account_id: int) -> Packages:
    """What an account accepted to maintain, what it may accept, and what it declined, which it may accept as well."""
    return Packages(
        maintained=packages_of(account_id, ~_OPEN),
        invited=packages_of(account_id, _OPEN, ~_DECLINED, at_most=MOST),
        declined=packages_of(account_id, _OPEN, _DECLINED, at_most=MOST),
    )


def invitation(account_id: int, ownership_id: int) -> Maintained | None:
    """One of them, declined or not; None where there is none of that number, or it is somebody else's (attack K02)."""
    return next(iter(packages_of(account_id, Ownership.id == ownership_id, _OPEN)), None)


def may_answer() -> bool:
    """False while an import is under way: it compares with what was known before, so an acceptance would be lost."""
    return not is_running()


def accept(account_id: int, ownership_id: int, *, role: str, client: Client | None, now: datetime) -> bool:
    """Accept an invitation, in the role that was shown; the mandates that follow are given and told at once.

    False when it is not this account's, was accepted, is over, or names another role by now. One statement decides.
    Raises Running while an import is under way, as a push does.
    """
    keep_apart("ROW SHARE")
    if not may_answer():
        raise Running
    taken = update(Ownership).where(
        Ownership.id == ownership_id,
        Ownership.account_id == account_id,
        Ownership.role == role,
        Ownership.accepted_at.is_(None),
        is_current(Ownership),
    )
    row = (
        db.session()
        .execute(
            taken.values(accepted_at=now).returning(Ownership.ecosystem, Ownership.package),
            execution_options={"synchronize_session": False},
        )
        .first()
    )
    if row is None:
        return False
    _answer(account_id, row.ecosystem, row.package, accepted_at=now, declined_at=None)
    _record(EventType.PACKAGE_ACCEPTED, account_id, row, role=role, client=client, now=now)
    username = accounts.get(account_id).username
    mail.notify(
        account_id,
        "package_accepted",
        subject=f"A package was accepted for {username}",
        now=now,
        username=username,
        what=in_mails(row.ecosystem, row.package),
        client=client,
    )
    service.take_in(account_id, username, now=now)
    return True


def decline(account_id: int, ownership_id: int, *, client: Client | None, now: datetime) -> bool:
    """Decline an invitation for good, whatever later imports repeat; it may still be accepted. False as in `accept`."""
    mine = select(Ownership.ecosystem, Ownership.package, Ownership.role).where(
        Ownership.id == ownership_id,
        Ownership.account_id == account_id,
        Ownership.accepted_at.is_(None),
        is_current(Ownership),
    )
    row = db.session().execute(mine).first()
    if row is None:
        return False
    _answer(account_id, row.ecosystem, row.package, declined_at=now)
    _record(EventType.PACKAGE_DECLINED, account_id, row, role=row.role, client=client, now=now)
    return True


def _answer(account_id: int, ecosystem: str, package: str, **dates: datetime | None) -> None:
    new = db.upsert(Invitation).values(account_id=account_id, ecosystem=ecosystem, package=package, **dates)
    key = [Invitation.account_id, Invitation.ecosystem, Invitation.package]
    db.session().execute(new.on_conflict_do_update(index_elements=key, set_=dates))


def _record(event: EventType, account_id: int, row: Any, *, role: str, client: Client | None, now: datetime) -> None:
    facts = {"ecosystem": row.ecosystem, "package": row.package, "role": role}
    audit.record(event, account_id=account_id, at=now, client=client, **facts)


def take_back(account_id: int, *, since: datetime) -> list[str]:
    """What was accepted here since a disputed moment is an invitation again; returns the packages (POLICY 5).

    Duties stay until a freeze ends: else whoever may begin one could make an account easier to recover.
    """
    here = select(Invitation.ecosystem, Invitation.package, Invitation.accepted_at).where(
        Invitation.account_id == account_id, Invitation.accepted_at >= since
    )
    found = db.session().execute(here.order_by(Invitation.ecosystem, Invitation.package)).all()
    username = accounts.get(account_id).username
    for row in found:  # by the name, which finds rows of an import under way as well
        mine = update(Ownership).where(
            Ownership.account == username,
            Ownership.ecosystem == row.ecosystem,
            Ownership.package == row.package,
            Ownership.accepted_at == row.accepted_at,
        )
        db.session().execute(mine.values(accepted_at=None), execution_options={"synchronize_session": False})
        _answer(account_id, row.ecosystem, row.package, accepted_at=None)
    return [row.package for row in found]


def in_mails(ecosystem: str, package: str) -> str:
    """A package as mails name it: whoever names packages must not get a link of theirs into a mail of ours."""
    registry = ECOSYSTEM_NAMES.get(ecosystem, ecosystem)
    return f"the {registry} package {package}" if PLAIN.fullmatch(package) else f"a package of {registry}"


# Telling


def tell_invited(*, now: datetime, at_most: timedelta = WORKER_SHARE) -> int:
    """Mail accounts what they were invited to since they last heard, at most once a day; returns to how many.

    The worker's task, in transactions of its own; takes no longer than `at_most` and goes on the next time. The mail
    counts, and names nothing that a registry wrote.
    """
    ends = time.monotonic() + at_most.total_seconds()
    _forget(now=now)
    due = (
        select(AccountRow.id)
        .join(Ownership, Ownership.account_id == AccountRow.id)
        .where(AccountRow.frozen_at.is_(None), AccountRow.disabled_at.is_(None))
        .where(*_untold(), ~_told(AccountRow.id, now))
        .distinct()
    )
    with db.snapshot() as session:  # one look through all rows: an index would cost imports more
        ids = session.scalars(due).all()
    told = 0
    for account_id in ids:
        if time.monotonic() >= ends:
            break
        with db.transaction():
            told += _tell(account_id, now=now)
    return told


def _untold() -> Iterator[ColumnElement[bool]]:
    """Conditions on ownerships: invitations that were neither told nor answered."""
    yield Ownership.accepted_at.is_(None)
    yield Ownership.account_id.is_not(None)
    yield is_current(Ownership)
    yield ~exists().where(_SAME)


def _told(account_id: Any, now: datetime) -> ColumnElement[bool]:
    return exists().where(Invitation.account_id == account_id, Invitation.told_at > now - TOLD_EVERY)


def _tell(account_id: int, *, now: datetime) -> bool:
    username = accounts.lock(account_id).username  # of two workers one tells
    if db.session().scalar(select(_told(account_id, now))):
        return False
    new = select(Ownership.account_id, Ownership.ecosystem, Ownership.package, literal(now, UtcDateTime))
    new = new.where(of_account(account_id), *_untold())
    rows = db.upsert(Invitation).from_select(["account_id", "ecosystem", "package", "told_at"], new)
    number = len(db.session().scalars(rows.on_conflict_do_nothing().returning(Invitation.id)).all())
    if not number:
        return False
    mail.notify(
        account_id,
        "invited",
        subject=f"Invited to maintain {'a package' if number == 1 else 'packages'}: {username}",
        now=now,
        username=username,
        number=number,
    )
    return True


def _forget(*, now: datetime) -> None:
    """Forget invitations that the registry took back, so that a new one is told; what was declined stays so."""
    named = exists().where(
        Ownership.ecosystem == Invitation.ecosystem,
        Ownership.package == Invitation.package,
        Ownership.account == AccountRow.username,
        is_current(Ownership),
    )
    gone = (
        select(Invitation.id)
        .join(AccountRow, AccountRow.id == Invitation.account_id)
        .where(Invitation.declined_at.is_(None), ~named)
        .where(or_(Invitation.told_at.is_(None), Invitation.told_at <= now - TOLD_EVERY))
        .order_by(Invitation.id)
        .limit(BATCH)
    )
    while True:
        with db.snapshot() as session:
            ids = session.scalars(gone).all()
        if ids:
            gently(delete(Invitation).where(Invitation.id.in_(ids)))
        if len(ids) < BATCH:
            return
