"""Changes of hands held back because too many came at once, until staff let them count (decision 0025)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from authsvc import accounts, mandates
from authsvc.core import db
from authsvc.core.db import Row
from authsvc.core.domain_names import registrable_domain, registry_domain
from authsvc.domains.models import Domain
from authsvc.policy import mass_change as policy

RAISED_AFTER = timedelta(hours=24)  # POLICY 13: the operator at the command line is one person
RAISED_FOR = timedelta(hours=24)
ONLY = 1  # there is one row


class MassChange(Row):
    """How many established registrable domains there are, and from when to when staff let every change count."""

    __tablename__ = "mass_changes"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    established: Mapped[dict[str, Any]]  # how many, by top-level domain
    counted_at: Mapped[datetime]
    raised_from: Mapped[datetime | None]


@dataclass(frozen=True, kw_only=True)
class Breaker:
    """What is held back, since when, and from when to when everything counts."""

    held: dict[str, datetime]
    raised_from: datetime | None
    raised_until: datetime | None


def holds_back(row: Domain, *, host: str | None, now: datetime) -> bool:
    """Whether the change of this domain, just found, is to wait for staff. Notes it as a change where it is not.

    `host`: the mail host's domain that lapsed or changed hands, where it is not the mail domain itself. Names that no
    registry knows are given away by companies to anybody: they neither count nor wait.
    """
    if _is_raised(_state()[1], now=now):
        return False
    registrable = registry_domain(row.name)
    cause = host or registrable
    if not policy.PINNED.isdisjoint({registrable, cause}):
        return True
    if registrable is None or cause is None:
        return False
    if row.held_at is not None:
        return True
    if not _is_established(row.name, now=now):
        return False
    if policy.too_many(_changes(registrable, cause, now=now)):
        return True
    row.changed_at, row.registrable = now, cause
    return False


def _changes(registrable: str, cause: str, *, now: datetime) -> policy.Changes:
    query = select(Domain.name, Domain.registrable).where(Domain.changed_at > now - policy.PERIOD)
    before = [
        (registrable_domain(row[0]) or row[0], row[1] or row[0])
        for row in db.session().execute(query.order_by(Domain.id))
    ]
    changed = policy.causes([(registrable, cause), *before])
    tld, established = cause.rpartition(".")[2], _state()[0]
    return policy.Changes(
        changed=len(changed),
        established=sum(established.values()),
        changed_under_tld=sum(name.rpartition(".")[2] == tld for name in changed),
        established_under_tld=established.get(tld, 0),
    )


def _is_established(name: str, *, now: datetime) -> bool:
    return db.session().scalar(_established_names(now, only=name).limit(1)) is not None


def _established_names(now: datetime, *, only: str | None = None) -> Select[str]:
    """Mail domains of accounts that are 30 days old or own packages: other domains are an attacker's to multiply."""
    before = now - policy.ESTABLISHED_AFTER
    return accounts.domains_of_accounts(made_before=before, or_with_id=mandates.is_owner, only=only)


def count_established(*, now: datetime) -> None:
    """Count established domains anew. The worker's task: it reads every domain."""
    counted: dict[str, set[str]] = {}
    for name in db.session().scalars(_established_names(now).distinct()):
        registrable = registry_domain(name)
        if registrable is not None:
            counted.setdefault(registrable.rpartition(".")[2], set()).add(registrable)
    db.commit()
    values = {"established": {tld: len(names) for tld, names in counted.items()}, "counted_at": now}
    change = update(MassChange).where(MassChange.id == ONLY).values(values)
    if db.session().scalar(change.returning(MassChange.id)) is None:
        try:
            with db.session().begin_nested():
                db.session().execute(insert(MassChange).values(id=ONLY, **values))
        except IntegrityError:  # a rival counted first
            pass
    db.commit()


def _state() -> tuple[dict[str, int], datetime | None]:
    """How many domains are established, by top-level domain, and from when on every change counts."""
    row = db.session().execute(select(MassChange.established, MassChange.raised_from)).first()
    return (row.established, row.raised_from) if row else ({}, None)


def _is_raised(raised_from: datetime | None, *, now: datetime) -> bool:
    return raised_from is not None and raised_from <= now < raised_from + RAISED_FOR


def breaker(*, now: datetime) -> Breaker:
    """What staff want to know before they decide."""
    held = select(Domain.name, Domain.held_at).where(Domain.held_at.is_not(None)).order_by(Domain.held_at, Domain.name)
    raised_from = _state()[1]
    over = raised_from is None or now >= raised_from + RAISED_FOR
    return Breaker(
        held={name: at for name, at in db.session().execute(held) if at is not None},
        raised_from=None if over else raised_from,
        raised_until=None if over or raised_from is None else raised_from + RAISED_FOR,
    )


def raise_breaker(*, now: datetime) -> datetime:
    """Let every change count for a day, from a day on; what is held back is looked at again then. Returns when."""
    if db.session().get(MassChange, ONLY) is None:
        count_established(now=now)
    starts = now + RAISED_AFTER
    db.session().execute(update(MassChange).where(MassChange.id == ONLY).values(raised_from=starts))
    held = update(Domain).where(Domain.held_at.is_not(None), Domain.next_check_at > starts)
    db.session().execute(held.values(next_check_at=starts))
    return starts


def lower_breaker() -> None:
    """Take the raising back."""
    db.session().execute(update(MassChange).where(MassChange.id == ONLY).values(raised_from=None))
