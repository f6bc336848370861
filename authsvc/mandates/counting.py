"""Counts whom mandates cover and whom they would stop, in the database: a registry has millions of accounts.

`Look` says which demands are looked at: those given, those that phases would give or tighten by a day, and for a
preview one phase before and after a change. Only numbers and the names that are shown come to Python. Writes nothing.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import CTE, ColumnElement, Select, and_, case, false, func, literal, or_, select, union_all

from authsvc import accounts
from authsvc.core import db
from authsvc.mandates import membership
from authsvc.mandates.models import ExemptionRow, MandateRow
from authsvc.policy.cohort import LEAVES_AFTER, Phase
from authsvc.policy.mandate import Strength

AT_ONCE = 500  # accounts in one statement
ALWAYS, BEFORE, AFTER = range(3)  # which side of a preview a demand stands on
_RANKS = {strength.value: strength.rank for strength in Strength}


@dataclass(frozen=True, kw_only=True)
class Look:
    """What is looked at: a day, and the phases that give and tighten until then; without any, what was given.

    `old` and `new`: a phase that is changed, before and after; it is not among `rules` then.
    """

    as_of: datetime
    now: datetime
    rules: tuple[Phase, ...] = ()
    old: Phase | None = None
    new: Phase | None = None

    @property
    def changed(self) -> str | None:
        """The name of the phase that is changed."""
        one = self.new or self.old
        return one.name if one else None

    def given_at(self, phase: Phase) -> datetime:
        """When the phase is given: now, or once it is announced."""
        return max(phase.announced, min(self.now, self.as_of))


@dataclass(frozen=True, kw_only=True)
class Count:
    """The accounts that one phase asks for something that no other phase asks as early."""

    phase: str
    strength: Strength
    accounts: int
    with_two_keys: int
    with_key: int
    with_app: int
    met: int
    stopped: int


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody who would be stopped, by the mandate whose day is first."""

    username: str
    phase: str
    reason: str
    enforced_from: datetime


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What a change of one phase does by a day."""

    covered_before: int
    covered_after: int
    met_before: int
    met_after: int
    stopped_before: int  # by whatever phase
    stopped_after: int
    more: int  # stopped by the change
    fewer: int  # no longer stopped


def by_phase(look: Look) -> tuple[list[Count], int]:
    """By phase, what its accounts have, and how many people are stopped, each once. Phases without any are left out.

    An account counts where nothing else asks for as much as early; of two that ask for the same, the first by name.
    One pass: by account the first day of each kind of demand, and over accounts the sums.
    """
    names, kinds = _names(look), _kinds(look)
    if not kinds:
        return [], 0
    demand = _with_enrolled(_demands(look, names)).subquery().c
    firsts = [
        func.min(case((and_(demand.phase == names.index(name), demand.rank == rank), demand.day))).label(f"day_{n}")
        for n, (name, rank) in enumerate(kinds)
    ]
    has = [func.max(demand[name]).label(name) for name in ("key_count", "app_count")]
    account = select(*firsts, *has).group_by(demand.account_id).subquery().c
    days = [account[f"day_{n}"] for n in range(len(kinds))]
    sums, stops = [], []
    for n, (_, rank) in enumerate(kinds):
        earlier = [
            and_(other.is_not(None), other <= days[n] if (-kinds[m][1], m) < (-rank, n) else other < days[n])
            for m, other in enumerate(days)
            if m != n and kinds[m][1] >= rank
        ]
        told, met = and_(days[n].is_not(None), ~or_(false(), *earlier)), _meets(rank, account)
        stops.append(and_(days[n] <= look.as_of, ~met))
        which = {
            "accounts": told,
            "with_two_keys": and_(told, account.key_count > 1),
            "with_key": and_(told, account.key_count == 1),
            "with_app": and_(told, account.key_count == 0, account.app_count > 0),
            "met": and_(told, met),
            "stopped": and_(told, stops[n]),
        }
        sums += [_number(condition).label(f"{what}_{n}") for what, condition in which.items()]
    found = db.session().execute(select(*sums, _number(or_(*stops)).label("people"))).one()._mapping
    counts: dict[str, Count] = {}
    for n, (name, rank) in enumerate(kinds):
        before = counts.get(name)
        numbers = {what: found[f"{what}_{n}"] + (getattr(before, what) if before else 0) for what in which}
        if numbers["accounts"]:
            counts[name] = Count(phase=name, strength=list(Strength)[rank], **numbers)
    return list(counts.values()), found["people"]


def _kinds(look: Look) -> list[tuple[str, int]]:
    """Every phase and rank that a demand may have, in order; few, however many demands there are."""
    live = select(MandateRow.phase, MandateRow.strength).where(MandateRow.ended_at.is_(None)).distinct()
    found = {(row.phase, _RANKS[row.strength]) for row in db.session().execute(live)}
    return sorted(found | {(phase.name, phase.strength.rank) for phase in look.rules})


def stopped(look: Look, *, but_not_at: datetime | None = None) -> int:
    """How many people would be stopped, each once; of those only who are not at an earlier moment already."""
    people = _stopped(look, _names(look), but_not_at).subquery()
    return db.session().scalars(select(func.count()).select_from(people)).one()


def people(look: Look, *, but_not_at: datetime | None = None, begin: int = 0, most: int) -> list[Person]:
    """Some of them with their first day, in its order; of one day the oldest account first."""
    names = _names(look)
    found = _stopped(look, names, but_not_at).subquery().c
    query = select(found.account_id, found.day).order_by(found.day, found.account_id)
    page = query.offset(begin).limit(most).subquery().c
    account = accounts.AccountRow
    shown_ = select(page.account_id, page.day, account.username).join(account, account.id == page.account_id)
    rows = db.session().execute(shown_.order_by(page.day, page.account_id)).all()
    shown = []
    for n in range(0, len(rows), AT_ONCE):
        some = rows[n : n + AT_ONCE]
        why = _why(look, names, [row.account_id for row in some])
        shown += [
            Person(username=row.username, phase=phase, reason=reason, enforced_from=row.day)
            for row in some
            for phase, reason in [why[row.account_id]]
        ]
    return shown


def difference(look: Look) -> Difference:
    """What the change of a phase does to everybody, in one pass."""
    each = _sides(look, _names(look)).subquery().c
    numbers = {
        "covered_before": _number(each.covered_before > 0),
        "covered_after": _number(each.covered_after > 0),
        "met_before": _number(each.met_before > 0),
        "met_after": _number(each.met_after > 0),
        "stopped_before": _number(each.stopped_before > 0),
        "stopped_after": _number(each.stopped_after > 0),
        "more": _number(and_(each.stopped_after > 0, each.stopped_before == 0)),
        "fewer": _number(and_(each.stopped_before > 0, each.stopped_after == 0)),
    }
    row = db.session().execute(select(*(number.label(name) for name, number in numbers.items()))).one()
    return Difference(**row._mapping)


def differing(look: Look, *, more: bool, most: int) -> list[str]:
    """Some names of those whom the change would stop, or (`more` is false) let go, in order."""
    each = _sides(look, _names(look)).subquery().c
    stopped, free = (each.stopped_after, each.stopped_before) if more else (each.stopped_before, each.stopped_after)
    account = accounts.AccountRow
    query = select(account.username).join(each.stopped_after.table, each.account_id == account.id)
    return list(db.session().scalars(query.where(stopped > 0, free == 0).order_by(account.username).limit(most)))


def _names(look: Look) -> list[str]:
    """Every phase that may be met with, in order: numbers stand for names, as databases sort text differently."""
    live = select(MandateRow.phase).where(MandateRow.ended_at.is_(None)).distinct()
    names = {*db.session().scalars(live), *(phase.name for phase in look.rules)}
    return sorted(names | ({look.changed} if look.changed else set()))


def _demands(look: Look, names: Sequence[str], only: Collection[int] | None = None) -> CTE:
    """Every demand of an account: account_id, the number of its phase, rank, day, side."""
    parts = [_given(look, names, look.rules, ALWAYS, only)]
    parts += [part for phase in look.rules for part in _coming(look, names, phase, ALWAYS, only)]
    for phase, side in ((look.old, BEFORE), (look.new, AFTER)):
        if look.changed is not None:
            parts.append(_given(look, names, (phase,) if phase else (), side, only))
        if phase is not None:
            parts += _coming(look, names, phase, side, only)
    asked = (union_all(*parts) if len(parts) > 1 else parts[0]).subquery().c
    exempt = (
        select(ExemptionRow.account_id, func.max(ExemptionRow.until).label("until"))
        .where(ExemptionRow.ended_at.is_(None), ExemptionRow.starts_at <= look.as_of)
        .group_by(ExemptionRow.account_id)
        .subquery()
    )
    day = case((exempt.c.until > asked.day, exempt.c.until), else_=asked.day)
    return (
        select(asked.account_id, asked.phase, asked.rank, day.label("day"), asked.side)
        .join(exempt, exempt.c.account_id == asked.account_id, isouter=True)
        .cte()
    )


def _given(
    look: Look, names: Sequence[str], rules: Collection[Phase], side: int, only: Collection[int] | None
) -> Select[Any]:
    """What was given, as it will be once these phases tightened it, without those who will have left by the day."""
    rank: ColumnElement[int] = case(_RANKS, value=MandateRow.strength)
    day: ColumnElement[datetime] = MandateRow.enforced_from.expression
    for phase in rules:
        if phase.announced <= look.as_of:
            own, nearer = MandateRow.source == phase.name, phase.day_for(look.given_at(phase))
            day = case((and_(own, MandateRow.enforced_from > nearer), _moment(nearer)), else_=day)
            weaker = [strength.value for strength in Strength if strength.rank < phase.strength.rank]
            rank = case((and_(own, MandateRow.strength.in_(weaker)), phase.strength.rank), else_=rank)
    number = case({name: n for n, name in enumerate(names)}, value=MandateRow.phase) if names else literal(0)
    stay = or_(MandateRow.below_since.is_(None), MandateRow.below_since > look.as_of - LEAVES_AFTER)
    query = select(
        MandateRow.account_id,
        number.label("phase"),
        rank.label("rank"),
        day.label("day"),
        literal(side).label("side"),
    ).where(MandateRow.ended_at.is_(None), stay)
    if look.changed is not None:
        mine = MandateRow.source == look.changed
        query = query.where(~mine if side == ALWAYS else mine)
    return query if only is None else query.where(MandateRow.account_id.in_(only))


def _coming(
    look: Look, names: Sequence[str], phase: Phase, side: int, only: Collection[int] | None
) -> list[Select[Any]]:
    """Whom a phase would give a mandate by the day."""
    if phase.announced > look.as_of:
        return []
    found = membership.entering(phase, as_of=look.as_of, only=only).subquery().c
    query = select(
        found.account_id,
        literal(names.index(phase.name)).label("phase"),
        literal(phase.strength.rank).label("rank"),
        _moment(phase.day_for(look.given_at(phase))).label("day"),
        literal(side).label("side"),
    )
    return [query]


def _moment(moment: datetime) -> ColumnElement[datetime]:
    return literal(moment, MandateRow.enforced_from.type)


def _with_enrolled(demands: CTE) -> Select[Any]:
    enrolled = accounts.enrolled_counts()
    has = [func.coalesce(enrolled.c[name], 0).label(name) for name in ("key_count", "app_count")]
    return select(*demands.c, *has).join(enrolled, enrolled.c.account_id == demands.c.account_id, isouter=True)


def _met(demand: Any) -> ColumnElement[bool]:
    """`Strength.satisfied_by`; a test holds it to that."""
    return or_(*(and_(demand.rank == strength.rank, _meets(strength.rank, demand)) for strength in Strength))


def _meets(rank: int, has: Any) -> ColumnElement[bool]:
    strength = list(Strength)[rank]
    number: ColumnElement[int] = has.key_count if strength.for_keys else has.key_count + has.app_count
    return number >= strength.number


def _number(which: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((which, 1), else_=0)), 0)


def _unmet(look: Look, names: Sequence[str], only: Collection[int] | None = None) -> Select[Any]:
    """Demands in force on the day that nothing enrolled meets."""
    demand = _with_enrolled(_demands(look, names, only)).subquery().c
    return select(*demand).where(~_met(demand), demand.day <= look.as_of)


def _stopped(look: Look, names: Sequence[str], but_not_at: datetime | None) -> Select[Any]:
    """People, each once: account_id, and the first of their days."""
    unmet = _unmet(look, names).subquery().c
    people = select(unmet.account_id, func.min(unmet.day).label("day")).group_by(unmet.account_id)
    if but_not_at is not None:
        already = _unmet(replace(look, as_of=but_not_at), names).subquery()
        people = people.where(unmet.account_id.not_in(select(already.c.account_id)))
    return people


def _why(look: Look, names: Sequence[str], ids: Collection[int]) -> dict[int, tuple[str, str]]:
    """By account, the phase whose day is first, and its reason."""
    unmet = _unmet(look, names, ids).subquery().c
    order = (unmet.day.desc(), unmet.rank, unmet.phase.desc())  # the first of each account comes last, and stays
    first = {row.account_id: names[row.phase] for row in db.session().execute(select(*unmet).order_by(*order))}
    given = select(MandateRow.account_id, MandateRow.phase, MandateRow.reason).where(
        MandateRow.account_id.in_(ids), MandateRow.ended_at.is_(None)
    )
    reasons = {(row.account_id, row.phase): row.reason for row in db.session().execute(given)}
    for phase in look.rules:
        new = [one for one, name in first.items() if name == phase.name and (one, name) not in reasons]
        if new:
            found = membership.entered(phase, as_of=look.as_of, given_at=look.given_at(phase), only=new)
            reasons |= {(account_id, phase.name): mandate.reason for account_id, mandate in found.items()}
    return {account_id: (name, reasons[account_id, name]) for account_id, name in first.items()}


def _sides(look: Look, names: Sequence[str]) -> Select[Any]:
    """By account, how it stands before a change and after it; each column is above 0 for yes."""
    demand = _with_enrolled(_demands(look, names)).subquery().c
    stops = and_(~_met(demand), demand.day <= look.as_of)
    columns = []
    for side, words in ((BEFORE, "before"), (AFTER, "after")):
        own = demand.side == side
        columns += [
            _number(own).label(f"covered_{words}"),
            _number(and_(own, _met(demand))).label(f"met_{words}"),
            _number(and_(or_(own, demand.side == ALWAYS), stops)).label(f"stopped_{words}"),
        ]
    return select(demand.account_id, *columns).group_by(demand.account_id)
