"""Cohorts: whom does a phase of the roll-out cover, and when does it let somebody go?

Facts in, decision out. Packages are compared with a `Line`: those at the entry line bring their maintainers in, those
at the exit line, which is lower, keep them. `mandates.membership` compares a registry's millions in the database with
the same lines; a test holds it to what stands here.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from authsvc.policy.mandate import (
    HIGH_DEPENDENTS,
    HIGH_WEEKLY_DOWNLOADS,
    Impact,
    Mandate,
    Owned,
    Strength,
    reason,
)

# Hysteresis, so that nobody goes in and out with every new count. Source: POLICY 12; the figures are ours.
KEPT_PER_CENT = 80  # of a threshold
KEPT_RANKS_PER_CENT = 125
LEAVES_AFTER = timedelta(days=90)  # below the exit line, without a break

REMINDERS = (30, 7, 1)  # days before
GRACE = timedelta(days=30)  # for whoever comes into a phase after its day, unless its rule says otherwise


class RankBy(StrEnum):
    """Which of a package's two ranks counts."""

    DOWNLOADS = "downloads"
    DEPENDENTS = "dependents"
    EITHER = "either"  # the better one


@dataclass(frozen=True, kw_only=True)
class Line:
    """What a package has to reach. A figure of None is not asked for; of the two thresholds one is enough."""

    weekly_downloads: int | None
    dependents: int | None
    weekly_flag: bool  # the flag stands for a number that is missing
    dependents_flag: bool
    top: int | None
    by: RankBy

    def reached_by(self, impact: Impact) -> bool:
        """True for a package at this line or above it."""
        return self._threshold(impact) and self._rank(impact)

    def _threshold(self, impact: Impact) -> bool:
        if self.weekly_downloads is None and self.dependents is None:
            return True
        return _reaches(
            impact.weekly_downloads, self.weekly_downloads, self.weekly_flag and bool(impact.weekly_ge_1m)
        ) or _reaches(impact.dependents, self.dependents, self.dependents_flag and bool(impact.dependents_ge_500))

    def _rank(self, impact: Impact) -> bool:
        if self.top is None:
            return True
        ranks = {
            RankBy.DOWNLOADS: impact.rank,
            RankBy.DEPENDENTS: impact.dependents_rank,
            RankBy.EITHER: impact.best_rank,
        }
        rank = ranks[self.by]
        return rank is not None and rank <= self.top


def _reaches(number: int | None, asked: int | None, flag: bool) -> bool:
    if asked is None:
        return False
    return flag if number is None else number >= asked


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """A rule that says whom a phase covers: maintainers of such packages, these packages, these accounts, everybody.

    `weekly_downloads` and `dependents` are thresholds, one is enough; `top` narrows them to the best ranks of an
    ecosystem, and alone it asks for the rank alone. Packages are written "npm:left-pad".
    """

    weekly_downloads: int | None = None
    dependents: int | None = None
    top: int | None = None
    by: RankBy = RankBy.EITHER
    packages: frozenset[str] = frozenset()
    accounts: frozenset[str] = frozenset()
    everybody: bool = False

    @property
    def by_reach(self) -> bool:
        """True when packages are covered by their figures."""
        return not (self.weekly_downloads is None and self.dependents is None and self.top is None)

    @property
    def entry(self) -> Line:
        """A package that reaches it brings its maintainers in."""
        return self._line(100, 100)

    @property
    def exit(self) -> Line:
        """A package that reaches it keeps them in."""
        return self._line(KEPT_PER_CENT, KEPT_RANKS_PER_CENT)

    def _line(self, per_cent: int, ranks_per_cent: int) -> Line:
        return Line(
            weekly_downloads=_share(self.weekly_downloads, per_cent),
            dependents=_share(self.dependents, per_cent),
            # Without a number the flag is all there is: it holds at both lines, and no threshold above its own.
            weekly_flag=self.weekly_downloads is not None and self.weekly_downloads <= HIGH_WEEKLY_DOWNLOADS,
            dependents_flag=self.dependents is not None and self.dependents <= HIGH_DEPENDENTS,
            top=None if self.top is None else self.top * ranks_per_cent // 100,
            by=self.by,
        )

    def takes_in(self, package: Owned) -> bool:
        """True for a package that brings its maintainers in."""
        return self._names(package) or (self.by_reach and self.entry.reached_by(package.impact))

    def keeps(self, package: Owned) -> bool:
        """True for a package that keeps its maintainers in."""
        return self._names(package) or (self.by_reach and self.exit.reached_by(package.impact))

    def _names(self, package: Owned) -> bool:
        return f"{package.ecosystem}:{package.name}" in self.packages


def _share(number: int | None, per_cent: int) -> int | None:
    return None if number is None else -(-number * per_cent // 100)


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One step of the roll-out: whom it covers, what it asks for, and its days. Nothing happens before `announced`.

    `grace`: whoever it is given to has that long at least, so that nobody is stopped without notice.
    """

    name: str
    cohort: Cohort
    announced: datetime
    enforced_from: datetime
    strength: Strength = Strength.ANY_SECOND_FACTOR
    reminders: tuple[int, ...] = REMINDERS  # days before `enforced_from`
    brown_outs: tuple[tuple[datetime, datetime], ...] = field(default=())  # from, and until
    grace: timedelta = timedelta(0)

    def day_for(self, given_at: datetime) -> datetime:
        """The day for whoever is given it then: the phase's, or later where that leaves less than the grace."""
        return max(self.enforced_from, given_at + self.grace) if self.grace else self.enforced_from

    def mandate(self, why: str, *, given_at: datetime) -> Mandate:
        """What it asks of an account it covers."""
        return Mandate(phase=self.name, reason=why, enforced_from=self.day_for(given_at), strength=self.strength)


_HIGH = Cohort(weekly_downloads=HIGH_WEEKLY_DOWNLOADS, dependents=HIGH_DEPENDENTS)
_ANNOUNCED = datetime(2021, 12, 7, tzinfo=UTC)
# npm's history, in force unless the operator sets other rules. Its days are long past, so it has no grace.
PHASES = (
    Phase(
        name="top-100",
        cohort=Cohort(weekly_downloads=HIGH_WEEKLY_DOWNLOADS, dependents=HIGH_DEPENDENTS, top=100),
        announced=_ANNOUNCED,
        enforced_from=datetime(2022, 2, 1, tzinfo=UTC),
    ),
    Phase(
        name="top-500",
        cohort=Cohort(weekly_downloads=HIGH_WEEKLY_DOWNLOADS, dependents=HIGH_DEPENDENTS, top=500),
        announced=_ANNOUNCED,
        enforced_from=datetime(2022, 5, 31, tzinfo=UTC),
    ),
    Phase(
        name="high-impact",
        cohort=_HIGH,
        announced=_ANNOUNCED,
        enforced_from=datetime(2022, 11, 1, tzinfo=UTC),
    ),
)

FOR_EVERYBODY = "Every account here must have a second step."
BY_NAME = "Your account is one of those that have to be protected especially well."


def entered(phases: Iterable[Phase], owned: Iterable[Owned], *, username: str, now: datetime) -> list[Mandate]:
    """The mandates that follow for one account: one of each announced phase that takes it in.

    Of the packages that take it in, the one of the best rank is the reason, whatever their order. Source: POLICY 12.
    """
    packages = sorted(owned, key=_use)
    found = []
    for phase in phases:
        if phase.announced > now:
            continue
        package = next((p for p in packages if phase.cohort.takes_in(p)), None)
        if package is not None:
            found.append(phase.mandate(reason(package), given_at=now))
        elif username in phase.cohort.accounts:
            found.append(phase.mandate(BY_NAME, given_at=now))
        elif phase.cohort.everybody:
            found.append(phase.mandate(FOR_EVERYBODY, given_at=now))
    return found


def _use(package: Owned) -> tuple[float, int, str, str]:
    impact = package.impact  # ranks first: many packages have one and no number
    return impact.best_rank, -(impact.weekly_downloads or 0), package.ecosystem, package.name
