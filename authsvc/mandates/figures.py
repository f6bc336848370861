"""What operators look at before and after: whom the phases cover, who has a second factor, who would be stopped."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import distinct, func, select

from authsvc import accounts
from authsvc.core import db
from authsvc.mandates import phases, service
from authsvc.mandates.models import Ownership, Package, is_current
from authsvc.policy import mandate as policy
from authsvc.policy.mandate import Mandate


@dataclass(frozen=True, kw_only=True)
class PhaseFigures:
    """One phase. Each account and each package counts once, in the phase that asks first."""

    phase: str
    enforced_from: datetime | None  # None: by hand, or a phase that mandates.toml no longer names
    packages: int
    accounts: int
    met: int
    stopped: int  # in force and unmet: these cannot finish a sign-in without enrolling


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """Somebody whose next sign-in would lead through enrolment."""

    username: str
    phase: str
    reason: str
    enforced_from: datetime


@dataclass(frozen=True, kw_only=True)
class Figures:
    """The whole picture as of a day."""

    as_of: datetime
    phases: tuple[PhaseFigures, ...]
    stopped: tuple[Stopped, ...]
    names_without_account: int  # maintainers of packages of high impact who have not registered here


def plan(*, as_of: datetime) -> Figures:
    """What `apply` would have given by that day, beside what stands already. Changes nothing. Raises BadPhases."""
    covered = service.standing()
    for account_id, mandate in service.computed(phases.current(), as_of).items():
        both = [mandate, covered.get(account_id, mandate)]
        covered[account_id] = policy.strictest(both) or mandate
    return _figures(covered, as_of)


def report(*, as_of: datetime) -> Figures:
    """What was given so far, and how much of it is met. Changes nothing. Raises BadPhases."""
    return _figures(service.standing(), as_of)


def _figures(covered: dict[int, Mandate], as_of: datetime) -> Figures:
    account = accounts.AccountRow
    names = dict(db.session().execute(select(account.id, account.username)).all()) if covered else {}
    asked, met, stopped = Counter[str](), Counter[str](), []
    for account_id, mandate in covered.items():
        asked[mandate.phase] += 1
        kinds = frozenset(a.kind for a in accounts.enrolled(account_id, now=as_of))
        if mandate.satisfied_by(kinds):
            met[mandate.phase] += 1
        elif mandate.in_force(as_of):
            stopped.append(
                Stopped(
                    username=names[account_id],
                    phase=mandate.phase,
                    reason=mandate.reason,
                    enforced_from=mandate.enforced_from,
                )
            )
    packages, dates = _packages_by_phase(), {phase.name: phase.enforced_from for phase in phases.current()}
    kept_out = Counter(person.phase for person in stopped)
    rows = (
        PhaseFigures(
            phase=name,
            enforced_from=dates.get(name),
            packages=packages[name],
            accounts=asked[name],
            met=met[name],
            stopped=kept_out[name],
        )
        for name in [*dates, *sorted(asked.keys() - dates.keys())]
    )
    return Figures(
        as_of=as_of,
        phases=tuple(rows),
        stopped=tuple(sorted(stopped, key=lambda person: (person.enforced_from, person.username))),
        names_without_account=_names_without_account(),
    )


def _packages_by_phase() -> Counter[str]:
    """Packages of high impact by the phase they belong to, announced or not."""
    all_phases = phases.current()
    last_word = max((phase.announced for phase in all_phases), default=None)
    found: Counter[str] = Counter()
    if last_word is not None:
        for row in db.session().execute(select(*service.FIGURES).where(Package.high_impact, is_current(Package))):
            phase = policy.phase_of(service.impact(row), all_phases, last_word)
            if phase is not None:
                found[phase.name] += 1
    return found


def _names_without_account() -> int:
    count = (
        select(func.count(distinct(Ownership.account)))
        .join(Package, (Package.ecosystem == Ownership.ecosystem) & (Package.name == Ownership.package))
        .where(Ownership.account_id.is_(None), Package.high_impact, is_current(Ownership), is_current(Package))
    )
    return db.session().scalars(count).one()
