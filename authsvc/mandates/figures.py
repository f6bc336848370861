"""What operators look at before and after: whom the phases cover, who complies and with what, who would be stopped."""

from dataclasses import dataclass, replace
from datetime import date, datetime

from sqlalchemy import func, select

from authsvc.core import db
from authsvc.mandates import counting, membership, phases
from authsvc.mandates.counting import Difference, Look, Person
from authsvc.mandates.models import FiguresRow
from authsvc.policy.cohort import Phase
from authsvc.policy.mandate import Strength

MOST_NAMED = 100  # of those stopped, unless asked for more; a registry has half a million
HAVE = ("with_two_keys", "with_key", "with_app")  # the best an account has; what is left has nothing


@dataclass(frozen=True, kw_only=True)
class PhaseFigures:
    """One phase. An account counts where it is asked for something that no other phase asks as early."""

    phase: str
    strength: str
    enforced_from: datetime | None  # None: by hand, or a phase that there is no more
    packages: int
    accounts: int
    with_two_keys: int  # or more
    with_key: int  # one, and whatever else
    with_app: int  # and no key
    met: int
    stopped: int  # in force and unmet: these cannot finish a sign-in without enrolling


@dataclass(frozen=True, kw_only=True)
class Figures:
    """The whole picture as of a day."""

    as_of: datetime
    phases: tuple[PhaseFigures, ...]
    stopped: tuple[Person, ...]  # each once, the first days first, and not all of them
    stopped_in_all: int
    names_without_account: int  # maintainers of packages of these phases who have not registered here


@dataclass(frozen=True, kw_only=True)
class WhatIf:
    """What a change of one phase would bring by a day. Of the names some, in order."""

    phase: str
    old: Phase | None
    new: Phase | None
    as_of: datetime
    found: Difference
    leaving: int  # given it, and not reached any more: they leave after 90 days
    more: tuple[str, ...]  # who would be stopped as well
    fewer: tuple[str, ...]  # who would not be any more


@dataclass(frozen=True, kw_only=True)
class DayFigures:
    """One phase as it was on a day."""

    day: date
    phase: str
    accounts: int
    with_two_keys: int
    with_key: int
    with_app: int
    met: int
    stopped: int


def plan(*, as_of: datetime, now: datetime, most: int = MOST_NAMED) -> Figures:
    """What `apply` would have given, tightened and brought forward by that day, beside what stands already.

    A phase is given now, or once it is announced, and its grace runs from then. `most`: people named. Changes nothing.
    Raises BadPhases.
    """
    rules = phases.current()
    return _figures(Look(as_of=as_of, now=now, rules=rules), rules, most)


def report(*, as_of: datetime, most: int = MOST_NAMED) -> Figures:
    """What was given so far, and how much of it is met. Changes nothing. Raises BadPhases."""
    return _figures(Look(as_of=as_of, now=as_of), phases.current(), most)


def stopped(*, as_of: datetime, but_not_at: datetime | None = None) -> int:
    """How many people what was given would stop on a day; of those only who are not at an earlier moment already."""
    return counting.stopped(Look(as_of=as_of, now=as_of), but_not_at=but_not_at)


def people(*, as_of: datetime, but_not_at: datetime | None = None, begin: int, most: int) -> list[Person]:
    """Some of those, each with the first day, in its order."""
    return counting.people(Look(as_of=as_of, now=as_of), but_not_at=but_not_at, begin=begin, most=most)


def what_if(name: str, new: Phase | None, *, now: datetime, most: int) -> WhatIf:
    """What changes if a phase were this one, or were taken away, by the earlier of its days before and after.

    Its day is the one for those given it now: whoever has grace is stopped later. Saves nothing. Raises BadPhases, and
    ValueError where there is no such phase before and after.
    """
    look = _changed(name, new, now)
    old = look.old
    days = [phase.day_for(max(phase.announced, now)) for phase in (old, new) if phase is not None]
    look = replace(look, as_of=max(now, min(days)))
    found = counting.difference(look)
    return WhatIf(
        phase=name,
        old=old,
        new=new,
        as_of=look.as_of,
        found=found,
        leaving=_unreached(new, look.as_of) - _unreached(old, look.as_of) if old and new else 0,
        more=tuple(counting.differing(look, more=True, most=most)) if found.more else (),
        fewer=tuple(counting.differing(look, more=False, most=most)) if found.fewer else (),
    )


def stops_more(name: str, new: Phase | None, *, by: datetime, now: datetime) -> bool:
    """Would somebody be stopped by then if a phase were this one, who is not as it is? Raises BadPhases."""
    return counting.difference(replace(_changed(name, new, now), as_of=by)).more > 0


def _changed(name: str, new: Phase | None, now: datetime) -> Look:
    rules = phases.current()
    old = next((rule for rule in rules if rule.name == name), None)
    return Look(as_of=now, now=now, rules=tuple(rule for rule in rules if rule.name != name), old=old, new=new)


def _unreached(phase: Phase, as_of: datetime) -> int:
    gone = membership.unreached(phase, as_of=as_of).subquery()
    return db.session().scalars(select(func.count()).select_from(gone)).one()


def adoption() -> list[DayFigures]:
    """What was kept of each day, oldest first."""
    rows = db.session().scalars(select(FiguresRow).order_by(FiguresRow.day, FiguresRow.id))
    return [
        DayFigures(
            day=row.day,
            phase=row.phase,
            accounts=row.accounts,
            with_two_keys=row.with_two_keys,
            with_key=row.with_key,
            with_app=row.with_app,
            met=row.met,
            stopped=row.stopped,
        )
        for row in rows
    ]


def keep(rules: tuple[Phase, ...], *, now: datetime) -> bool:
    """Keep today's figures, once a day. In transactions of its own. False when they are kept."""
    day = now.date()
    with db.snapshot():
        if db.session().scalar(select(FiguresRow.id).where(FiguresRow.day == day).limit(1)) is not None:
            return False
        found = _figures(Look(as_of=now, now=now), rules, 0)
    names = ("phase", "accounts", *HAVE, "met", "stopped")
    rows = [{"day": day} | {name: getattr(row, name) for name in names} for row in found.phases]
    if rows:
        with db.transaction():
            new = db.upsert(FiguresRow).on_conflict_do_nothing(index_elements=[FiguresRow.day, FiguresRow.phase])
            db.session().connection().execute(new, rows)
    return True


def _figures(look: Look, rules: tuple[Phase, ...], most: int) -> Figures:
    found, people_stopped = counting.by_phase(look)
    counts, known = {count.phase: count for count in found}, {phase.name: phase for phase in rules}
    packages = membership.packages_in(rules)
    rows = []
    for name in [*known, *sorted(counts.keys() - known.keys())]:
        phase, count = known.get(name), counts.get(name)
        numbers = dict.fromkeys(("accounts", *HAVE, "met", "stopped"), 0)
        if count is not None:
            numbers = {number: getattr(count, number) for number in numbers}
        strength = phase.strength if phase else counts[name].strength
        rows.append(
            PhaseFigures(
                phase=name,
                strength=strength.value,
                enforced_from=phase.enforced_from if phase else None,
                packages=packages.get(name, 0),
                **numbers,
            )
        )
    return Figures(
        as_of=look.as_of,
        phases=tuple(rows),
        stopped=tuple(counting.people(look, most=most)) if most else (),
        stopped_in_all=people_stopped,
        names_without_account=membership.names_without_account(rules),
    )


STRENGTH_WORDS = {
    Strength.ANY_SECOND_FACTOR.value: "any second step",
    Strength.PHISHING_RESISTANT.value: "key or passkey",
    Strength.TWO_PHISHING_RESISTANT.value: "two keys or passkeys",
}
