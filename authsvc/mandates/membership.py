"""Who comes into a phase and who falls out of its reach: `policy.cohort`'s lines, compared in the database.

A registry has millions of packages and maintainers, so only what changes comes to Python. Reads; writes nothing.
"""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    CTE,
    ColumnElement,
    CompoundSelect,
    Select,
    and_,
    case,
    cast,
    exists,
    false,
    func,
    null,
    or_,
    select,
    true,
    union,
)
from sqlalchemy.sql.expression import SQLColumnExpression

from authsvc.accounts import AccountRow
from authsvc.core import db
from authsvc.mandates.models import FIGURES, MandateRow, Ownership, Package, impact, is_current
from authsvc.policy.cohort import BY_NAME, FOR_EVERYBODY, Cohort, Line, Phase, RankBy
from authsvc.policy.mandate import Mandate, Owned, Strength, reason

NO_RANK = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What differs in one phase between the mandates given and the packages as they are."""

    entered: dict[int, Mandate]  # by account
    tightened: dict[int, Mandate]  # by account: theirs asks for less than the phase does now, or later
    below: list[int]  # ids of mandates whose account nothing keeps in any more
    kept: list[int]  # and of those that something keeps in again


def changes(phase: Phase, *, as_of: datetime, given_at: datetime) -> Changes:
    """What differs in an announced phase on a day; `given_at` is when mandates are given, for the grace."""
    live = and_(MandateRow.source == phase.name, MandateRow.ended_at.is_(None))
    kept = _kept(phase.cohort, as_of)
    known = select(MandateRow.id, MandateRow.below_since.is_(None).label("inside"), kept.c.account_id.label("kept"))
    rows = (
        db.session()
        .execute(
            known.join(kept, kept.c.account_id == MandateRow.account_id, isouter=True).where(
                live,
                or_(
                    and_(MandateRow.below_since.is_(None), kept.c.account_id.is_(None)),
                    and_(MandateRow.below_since.is_not(None), kept.c.account_id.is_not(None)),
                ),
            )
        )
        .all()
    )
    return Changes(
        entered=entered(phase, as_of=as_of, given_at=given_at),
        tightened=_tightened(phase, live, given_at),
        below=[row.id for row in rows if row.inside],
        kept=[row.id for row in rows if not row.inside],
    )


def unreached(phase: Phase, *, as_of: datetime) -> Select[int]:
    """The accounts with a mandate of the phase that its rule does not keep in: they leave once that lasts 90 days."""
    kept = _kept(phase.cohort, as_of)
    live = and_(MandateRow.source == phase.name, MandateRow.ended_at.is_(None))
    return select(MandateRow.account_id).where(live, MandateRow.account_id.not_in(select(kept.c.account_id)))


def entering(
    phase: Phase, *, as_of: datetime, only: Collection[int] | None = None
) -> CompoundSelect[int] | Select[int]:
    """The accounts of `entered` as a query, to be counted where they are; it does not look at the announcement."""
    accounts = select(AccountRow.id.label("account_id")).where(_new(phase, AccountRow.id))
    some = [accounts.where(AccountRow.disabled_at.is_(None))] if phase.cohort.everybody else []
    if phase.cohort.accounts or not some:
        some.append(accounts.where(AccountRow.username.in_(phase.cohort.accounts)))
    some = [part if only is None else part.where(AccountRow.id.in_(only)) for part in some]
    if phase.cohort.by_reach or phase.cohort.packages:
        owners = _owners(phase, _found(_takes_in(phase.cohort), [phase.cohort]), as_of)
        some.append(owners if only is None else owners.where(Ownership.account_id.in_(only)))
    return union(*some) if len(some) > 1 else some[0]


def entered(
    phase: Phase, *, as_of: datetime, given_at: datetime, only: Collection[int] | None = None
) -> dict[int, Mandate]:
    """By account, the mandate for everybody a phase takes in who was not given it. Nothing before it is announced.

    `only`: of these accounts.
    """
    if phase.announced > as_of:
        return {}
    found: dict[int, Mandate] = {}
    if phase.cohort.everybody:
        everybody = select(AccountRow.id).where(AccountRow.disabled_at.is_(None), _new(phase, AccountRow.id))
        everybody = everybody if only is None else everybody.where(AccountRow.id.in_(only))
        found |= dict.fromkeys(db.session().scalars(everybody), phase.mandate(FOR_EVERYBODY, given_at=given_at))
    if phase.cohort.accounts:
        named = select(AccountRow.id).where(AccountRow.username.in_(phase.cohort.accounts), _new(phase, AccountRow.id))
        named = named if only is None else named.where(AccountRow.id.in_(only))
        found |= dict.fromkeys(db.session().scalars(named), phase.mandate(BY_NAME, given_at=given_at))
    by_packages = phase.cohort.by_reach or phase.cohort.packages
    for row in db.session().execute(_maintainers(phase, as_of, only)) if by_packages else ():
        package = Owned(ecosystem=row.ecosystem, name=row.name, impact=impact(row))
        found[row.account_id] = phase.mandate(reason(package), given_at=given_at)
    return found


def _owners(phase: Phase, found: CTE, as_of: datetime) -> Select[int]:
    """Accounts that maintain one of these packages and were not given the phase's mandate."""
    return (
        select(func.coalesce(Ownership.account_id, 0).label("account_id"))
        .where(Ownership.ecosystem == found.c.ecosystem, Ownership.package == found.c.name, is_current(Ownership))
        .where(_has_account() > 0, Ownership.accepted_at <= as_of, _new(phase, Ownership.account_id))
    )


def _maintainers(phase: Phase, as_of: datetime, only: Collection[int] | None = None) -> Select[tuple[int, str, str]]:
    """Accounts that a package of theirs takes in, each with the package that speaks for it."""
    found = _found(_takes_in(phase.cohort), [phase.cohort]).c
    best = case(
        (found.rank.is_(None), found.dependents_rank),
        (found.dependents_rank < found.rank, found.dependents_rank),
        else_=found.rank,
    )
    order = (func.coalesce(best, NO_RANK), -func.coalesce(found.weekly_downloads, 0), found.ecosystem, found.name)
    place = func.row_number().over(partition_by=Ownership.account_id, order_by=order).label("place")
    all_ = (
        select(Ownership.account_id, *found, place)
        .where(Ownership.ecosystem == found.ecosystem, Ownership.package == found.name, is_current(Ownership))
        .where(_has_account() > 0, Ownership.accepted_at <= as_of, _new(phase, Ownership.account_id))
    )
    ranked = (all_ if only is None else all_.where(Ownership.account_id.in_(only))).subquery()
    return select(ranked).where(ranked.c.place == 1)


def _found(which: ColumnElement[bool], cohorts: Collection[Cohort]) -> CTE:
    """The packages that a condition holds for, found before anything else: they are few, and maintainers millions.

    Those that the cohorts name are there also when nothing is known of them but who maintains them.
    """
    packages = select(Package.ecosystem, Package.name, *FIGURES).where(which, is_current(Package))
    if any(cohort.packages for cohort in cohorts):
        known = and_(Package.ecosystem == Ownership.ecosystem, Package.name == Ownership.package, is_current(Package))
        named = or_(*(_names(cohort, Ownership.ecosystem, Ownership.package) for cohort in cohorts))
        bare = select(Ownership.ecosystem, Ownership.package, *(cast(null(), one.type) for one in FIGURES)).distinct()
        bare = bare.where(named, is_current(Ownership), ~exists().where(known))
        return packages.union_all(bare).cte().prefix_with("MATERIALIZED")
    return packages.cte().prefix_with("MATERIALIZED")


def _has_account() -> ColumnElement[int]:
    """The account's id, or 0. Written so that no index is used for it: nearly every row has an account."""
    return func.coalesce(Ownership.account_id, 0)


def _new(phase: Phase, account_id: SQLColumnExpression[int] | SQLColumnExpression[int | None]) -> ColumnElement[bool]:
    given = exists().where(
        MandateRow.account_id == account_id, MandateRow.source == phase.name, MandateRow.ended_at.is_(None)
    )
    return ~given


def _kept(cohort: Cohort, as_of: datetime) -> CTE:
    """The accounts that something keeps in, found as a whole: one by one takes minutes for a registry's maintainers."""
    if cohort.everybody:
        return select(AccountRow.id.label("account_id")).cte().prefix_with("MATERIALIZED")
    named = select(AccountRow.id.label("account_id")).where(AccountRow.username.in_(cohort.accounts))
    if not cohort.by_reach and not cohort.packages:
        return named.cte().prefix_with("MATERIALIZED")
    found = _found(kept_packages(cohort), [cohort]).c
    owners = (
        select(Ownership.account_id)
        .where(Ownership.ecosystem == found.ecosystem, Ownership.package == found.name, is_current(Ownership))
        .where(_has_account() > 0, Ownership.accepted_at <= as_of)
    )
    return owners.union(named).cte().prefix_with("MATERIALIZED")


def _tightened(phase: Phase, live: ColumnElement[bool], given_at: datetime) -> dict[int, Mandate]:
    """Those of whom the phase asks more, or something earlier than its day and its grace from now on leave them."""
    weaker = [strength.value for strength in Strength if strength.rank < phase.strength.rank]
    less = or_(MandateRow.enforced_from > phase.day_for(given_at), MandateRow.strength.in_(weaker))
    rows = db.session().execute(select(MandateRow.account_id, MandateRow.reason).where(live, less))
    return {row.account_id: phase.mandate(row.reason, given_at=given_at) for row in rows}


def kept_packages(cohort: Cohort) -> ColumnElement[bool]:
    """A condition on packages: `Cohort.keeps`."""
    return or_(_names(cohort), _reached(cohort.exit)) if cohort.by_reach else _names(cohort)


def _takes_in(cohort: Cohort) -> ColumnElement[bool]:
    """A condition on packages: `Cohort.takes_in`."""
    return or_(_names(cohort), _reached(cohort.entry)) if cohort.by_reach else _names(cohort)


def _reached(line: Line) -> ColumnElement[bool]:
    """A condition on packages: `Line.reached_by`."""
    asked: list[ColumnElement[bool]] = []
    if line.weekly_downloads is not None:
        asked.append(Package.weekly_downloads >= line.weekly_downloads)
        if line.weekly_flag:
            asked.append(and_(Package.weekly_downloads.is_(None), Package.weekly_ge_1m.is_(True)))
    if line.dependents is not None:
        asked.append(Package.dependents >= line.dependents)
        if line.dependents_flag:
            asked.append(and_(Package.dependents.is_(None), Package.dependents_ge_500.is_(True)))
    ranks: ColumnElement[bool] = true()
    if line.top is not None:
        by_downloads, by_dependents = Package.rank <= line.top, Package.dependents_rank <= line.top
        either = or_(by_downloads, by_dependents)
        ranks = {RankBy.DOWNLOADS: by_downloads, RankBy.DEPENDENTS: by_dependents, RankBy.EITHER: either}[line.by]
    return and_(or_(*asked) if asked else true(), ranks)


def _names(
    cohort: Cohort,
    in_ecosystem: SQLColumnExpression[str] = Package.ecosystem,
    name: SQLColumnExpression[str] = Package.name,
) -> ColumnElement[bool]:
    by_ecosystem: dict[str, list[str]] = defaultdict(list)
    for package in sorted(cohort.packages):
        ecosystem, _, own = package.partition(":")
        by_ecosystem[ecosystem].append(own)
    each = [and_(in_ecosystem == ecosystem, name.in_(names)) for ecosystem, names in by_ecosystem.items()]
    return or_(*each) if each else false()


def packages_in(phases: tuple[Phase, ...]) -> dict[str, int]:
    """By phase, how many packages it takes in, announced or not. Each counts once, in the phase that asks first."""
    order = sorted(phases, key=lambda phase: (phase.enforced_from, phase.cohort.top or NO_RANK))
    if not order:
        return {}
    which = case(*((_takes_in(phase.cohort), phase.name) for phase in order), else_=None)
    counted = select(which.label("phase"), func.count()).where(is_current(Package)).group_by("phase")
    return {name: number for name, number in db.session().execute(counted).all() if name is not None}


def names_without_account(phases: tuple[Phase, ...]) -> int:
    """How many names maintain a package that some phase takes in, and have not registered here."""
    if not phases:
        return 0
    found = _found(or_(*(_takes_in(phase.cohort) for phase in phases)), [phase.cohort for phase in phases]).c
    count = (
        select(func.count(Ownership.account.distinct()))
        .where(Ownership.ecosystem == found.ecosystem, Ownership.package == found.name, is_current(Ownership))
        .where(_has_account() == 0)
    )
    return db.session().scalars(count).one()
