"""Verbs: which mandate holds for an account now, and who is given one, by hand or by what they maintain."""

from collections import defaultdict
from collections.abc import Collection, Iterator
from datetime import datetime
from itertools import islice
from operator import itemgetter
from typing import TypeVar

from sqlalchemy import BigInteger, ColumnElement, and_, bindparam, exists, or_, select, update
from sqlalchemy.sql.expression import SQLColumnExpression

from authsvc import accounts, audit
from authsvc.audit import EventType
from authsvc.core import db
from authsvc.core.assurance import Acr, Factor, Lack
from authsvc.mandates import by_account, figures, given, membership, phases, telling
from authsvc.mandates.given import BY_HAND
from authsvc.mandates.importing import match_accounts
from authsvc.mandates.models import FIGURES, MandateRow, Ownership, Package, impact, is_current, of_account
from authsvc.mandates.pace import Pace
from authsvc.policy import cohort
from authsvc.policy import mandate as policy
from authsvc.policy.cohort import LEAVES_AFTER
from authsvc.policy.mandate import Mandate, Owned, Strength
from authsvc.policy.mandate_days import rehearsed

BATCH = 100  # accounts written to in one transaction, so that sign-ins never wait long
IDS = 500  # ids in one statement

Item = TypeVar("Item")

_HAS = select(exists().where(MandateRow.account_id == bindparam("account_id"), MandateRow.ended_at.is_(None)))
_OWNS = select(
    or_(
        exists().where(
            of_account(bindparam("account_id", type_=BigInteger)),
            Ownership.accepted_at <= bindparam("now", type_=Ownership.accepted_at.type),
            is_current(Ownership),
        ),
        exists().where(  # given for a package, which may be gone
            MandateRow.account_id == bindparam("account_id"),
            MandateRow.ended_at.is_(None),
            MandateRow.set_by == "import",
            MandateRow.reason.not_in((cohort.BY_NAME, cohort.FOR_EVERYBODY)),
        ),
    )
)


def upcoming(account_id: int, *, now: datetime) -> Mandate | None:
    """The mandate in force, or else the one that asks first; None where the account has none."""
    return policy.governing(_mandates(account_id, now), now)


def in_force(account_id: int, *, now: datetime) -> Mandate | None:
    """The mandate a sign-in must meet now, of several the one that asks for most; or None. Asked at every sign-in."""
    return policy.strongest(mandate for mandate in _mandates(account_id, now) if mandate.in_force(now))


def lack(account_id: int, *, acr: Acr, amr: frozenset[str], now: datetime) -> Lack | None:
    """What a session or grant lacks that began with such proofs; None while it has its rights.

    Asked at every request; most accounts have no mandate.
    """
    mandate = in_force(account_id, now=now)
    if mandate is None:
        return None
    found = accounts.enrolled(account_id, now=now)
    enrolled, senior = [one.kind for one in found], [one.kind for one in found if one.senior]
    return policy.lack(mandate, enrolled=enrolled, senior=senior, acr=acr, amr=amr)


def counts_from(account_id: int, *, now: datetime) -> datetime | None:
    """When enough of what is enrolled will be senior for the mandate in force; None where it is by now, or never."""
    mandate = in_force(account_id, now=now)
    if mandate is None:
        return None
    kinds, number = mandate.strength.kinds, mandate.strength.number
    days = sorted(one.senior_at for one in accounts.enrolled(account_id, now=now) if one.kind in kinds)[:number]
    return days[-1] if len(days) == number and days[-1] > now else None


def ahead(account_id: int, *, now: datetime) -> Mandate | None:
    """The next mandate that nothing enrolled meets, in force or to come; None when all is done."""
    mandates = _mandates(account_id, now)
    return policy.first_unmet(mandates, _enrolled(account_id, now)) if mandates else None


def state(account_id: int, *, now: datetime) -> tuple[Mandate, bool] | None:
    """The mandate that matters to others, and whether it is met: the next unmet one, else the one that holds.

    Senior authenticators alone meet it, as for rights here (POLICY 2.6). Asked for every request of every registry, so
    one statement where there is none.
    """
    mandates = _mandates(account_id, now)
    holds = policy.governing(mandates, now)
    if holds is None:
        return None
    senior = [one.kind for one in accounts.enrolled(account_id, now=now) if one.senior]
    missing = policy.first_unmet(mandates, senior)
    return (holds, True) if missing is None else (missing, False)


def rehearsal(account_id: int, *, now: datetime) -> Mandate | None:
    """The mandate that a brown-out asks a sign-in for now, before its day; None outside of one and when exempt."""
    before = [one for one in given.of_account(account_id, now=now) if not one.mandate.in_force(now)]
    exemption = before[0].exemption if before else None
    if exemption is not None and now < exemption.until:
        return None
    windows = {phase.name: phase.brown_outs for phase in phases.stored()}
    return policy.strongest(one.mandate for one in before if rehearsed(one.mandate, windows.get(one.source, ()), now))


def has_mandate(account_id: int) -> bool:
    """True when a mandate was given, in force or not, and has not ended."""
    return bool(db.session().scalar(_HAS, {"account_id": account_id}))


def owns_packages(account_id: int, *, now: datetime) -> bool:
    """True when the account accepted to maintain a package, whatever its reach, or is under a mandate for one.

    Such a mandate stays for 90 days when a registry says that the package is somebody else's: its word alone must not
    make an account easier to take at once (POLICY 12).
    """
    return bool(db.session().scalar(_OWNS, {"account_id": account_id, "now": now}))


def is_owner(account_id: SQLColumnExpression[int]) -> ColumnElement[bool]:
    """A condition for queries of others: the account accepted to maintain a package."""
    return exists().where(of_account(account_id), Ownership.accepted_at.is_not(None), is_current(Ownership))


def is_covered(account_id: SQLColumnExpression[int]) -> ColumnElement[bool]:
    """A condition for queries of others: the account was given a mandate, in force or not."""
    return exists().where(MandateRow.account_id == account_id, MandateRow.ended_at.is_(None))


def may_keep_only(account_id: int, left: Collection[Factor], *, now: datetime) -> bool:
    """May the account remove an authenticator and be left with these? List one of a kind for each there is."""
    once = given.once_in_force(account_id, now=now)
    return policy.may_keep_only(left, _mandates(account_id, now), once=once, now=now)


def require(
    account_id: int,
    *,
    from_: datetime,
    reason: str,
    set_by: str,
    strength: Strength = Strength.ANY_SECOND_FACTOR,
    now: datetime,
) -> bool:
    """Give a mandate by hand. False when one of that strength by hand asks as early: a date never moves back."""
    words = reason if reason.endswith((".", "!", "?")) else f"{reason}."
    mandate = Mandate(phase="by-hand", reason=words, enforced_from=from_, strength=strength)
    if not given.give(account_id, mandate, source=BY_HAND[strength], set_by=set_by, now=now):
        return False
    telling.tell(account_id, now=now)
    return True


def link_account(account_id: int, username: str, *, now: datetime) -> None:
    """Give a new account what the registry says it maintains, and the mandates that follow at once.

    The name alone gives duties and no right over any package.
    """
    mine = update(Ownership).where(Ownership.account == username, Ownership.account_id.is_(None))
    ids = db.session().scalars(mine.values(account_id=account_id).returning(Ownership.id)).all()
    by_account.note((account_id, id_) for id_ in ids)
    take_in(account_id, username, now=now)


def take_in(account_id: int, username: str, *, now: datetime) -> None:
    """Give an account the mandates that follow from what it accepted to maintain, and tell at once."""
    same = and_(Package.ecosystem == Ownership.ecosystem, Package.name == Ownership.package)
    query = (
        select(Ownership.ecosystem, Ownership.package, *FIGURES)
        .join(Package, and_(same, is_current(Package)), isouter=True)  # one that a phase names may have no figures
        .where(of_account(account_id), Ownership.accepted_at <= now, is_current(Ownership))
    )
    owned = [Owned(ecosystem=r.ecosystem, name=r.package, impact=impact(r)) for r in db.session().execute(query)]
    found = cohort.entered(phases.in_use(), owned, username=username, now=now)
    given.give_all({account_id: [(mandate.phase, mandate) for mandate in found]}, set_by="import", now=now)
    telling.tell(account_id, now=now)


def apply(*, now: datetime, as_of: datetime | None = None) -> int:
    """Give every account the mandates its packages call for, let go whom nothing keeps in, and mail what is due.

    The worker's task, in transactions of its own; returns how many accounts are asked for something anew. `as_of`
    treats phases announced by then as announced. A file that cannot be used stops nothing (`phases.in_use`).
    """
    with db.transaction():
        rules = phases.write_down(now=now)
    match_accounts()
    day = as_of or now
    with db.snapshot():
        found = [
            (phase, membership.changes(phase, as_of=day, given_at=now)) for phase in rules if phase.announced <= day
        ]
    wanted: dict[int, list[tuple[str, Mandate]]] = defaultdict(list)
    for phase, changed in found:
        for account_id, mandate in (changed.tightened | changed.entered).items():
            wanted[account_id].append((phase.name, mandate))
    news = 0
    pace = Pace(at_most=BATCH)
    for some in pace.batches(
        sorted(wanted.items(), key=itemgetter(0))
    ):  # in order, so that two workers do not wait for each other
        with pace.transaction():
            news += given.give_all(dict(some), set_by="import", now=now)
    for _, changed in found:
        for ids in _in_parts(iter(changed.below), IDS):
            with db.transaction():
                given.mark_below(ids, now=now)
        for ids in _in_parts(iter(changed.kept), IDS):
            with db.transaction():
                given.mark_kept(ids)
    with db.transaction():  # what a phase gave that is no more, or is not announced any more, stays
        stays = iter(given.below_without([phase.name for phase, _ in found]))
    for ids in _in_parts(stays, IDS):
        with db.transaction():
            given.mark_kept(ids)
    _let_go(now=now)
    telling.tell_due(now=now)
    figures.keep(rules, now=now)
    return news


def _let_go(*, now: datetime) -> None:
    """End the mandates of those who left. The log says so; a mail when nothing is asked any more at all."""
    below_before = now - LEAVES_AFTER
    with db.transaction():
        gone = iter(given.left(below_before=below_before))
    for some in _in_parts(gone, BATCH):
        with db.transaction():
            for mandate_id in some:
                account_id = given.end(mandate_id, below_before=below_before, now=now)
                if account_id is not None and not has_mandate(account_id):
                    audit.record(EventType.MANDATE_ENDED, account_id=account_id, at=now)
                    telling.tell_ended(account_id, now=now)


def _mandates(account_id: int, now: datetime) -> list[Mandate]:
    return [one.mandate for one in given.of_account(account_id, now=now)]


def _enrolled(account_id: int, now: datetime) -> list[Factor]:
    return [authenticator.kind for authenticator in accounts.enrolled(account_id, now=now)]


def _in_parts(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    while some := list(islice(items, size)):
        yield some
