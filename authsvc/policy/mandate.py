"""Mandates: must this account have a second factor, of which strength, and from when?

Facts in, decision out. `mandates` gathers what accounts own and writes down what is decided here.
Once given, a mandate never weakens by itself: losing impact changes nothing (POLICY 12; a hysteresis is to come).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import assert_never

from authsvc.core.assurance import AUTHENTICATORS, PHISHING_RESISTANT, Factor

# npm's definition of high impact, which made a second factor mandatory there in 2022.
HIGH_WEEKLY_DOWNLOADS = 1_000_000
HIGH_DEPENDENTS = 500


class Strength(StrEnum):
    """What a mandate asks for."""

    ANY_SECOND_FACTOR = "any_second_factor"
    PHISHING_RESISTANT = "phishing_resistant"  # a key or passkey: the top tier


@dataclass(frozen=True, kw_only=True)
class Mandate:
    """The rule that an account must have a factor by a date. `reason` is a sentence its owner can read."""

    phase: str
    reason: str
    enforced_from: datetime
    strength: Strength = Strength.ANY_SECOND_FACTOR

    def in_force(self, now: datetime) -> bool:
        """True from the very second of the date on."""
        return self.enforced_from <= now

    def satisfied_by(self, kinds: frozenset[Factor]) -> bool:
        """True when one of these kinds will do. A recovery code never does (POLICY 1)."""
        match self.strength:
            case Strength.ANY_SECOND_FACTOR:
                return bool(kinds & AUTHENTICATORS)
            case Strength.PHISHING_RESISTANT:
                return bool(kinds & PHISHING_RESISTANT)
        assert_never(self.strength)


@dataclass(frozen=True, kw_only=True)
class Impact:
    """What is known of a package's reach. A flag stands for its number where that is missing; ranks count from 1."""

    weekly_downloads: int | None = None
    dependents: int | None = None
    weekly_ge_1m: bool | None = None
    dependents_ge_500: bool | None = None
    rank: int | None = None
    dependents_rank: int | None = None

    @property
    def many_downloads(self) -> bool:
        """A million downloads a week, or more."""
        if self.weekly_downloads is None:
            return bool(self.weekly_ge_1m)
        return self.weekly_downloads >= HIGH_WEEKLY_DOWNLOADS

    @property
    def many_dependents(self) -> bool:
        """500 packages that depend on it, or more."""
        if self.dependents is None:
            return bool(self.dependents_ge_500)
        return self.dependents >= HIGH_DEPENDENTS

    @property
    def is_high(self) -> bool:
        """High impact: much downloaded or much depended upon."""
        return self.many_downloads or self.many_dependents

    @property
    def best_rank(self) -> float:
        """The better of the two ranks; infinite where there is none."""
        return min((r for r in (self.rank, self.dependents_rank) if r is not None), default=float("inf"))


@dataclass(frozen=True, kw_only=True)
class Owned:
    """A package somebody answers for."""

    ecosystem: str
    name: str
    impact: Impact


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One step of the roll-out: whom it covers and from when. Nothing is written or mailed before `announced`."""

    name: str
    top: int | None  # packages of this rank or better in their ecosystem; None: every package of high impact
    announced: datetime
    enforced_from: datetime

    def covers(self, impact: Impact) -> bool:
        """True for a package of high impact that ranks high enough."""
        return impact.is_high and (self.top is None or impact.best_rank <= self.top)


_ANNOUNCED = datetime(2021, 12, 7, tzinfo=UTC)
# npm's history, in force unless the operator sets other dates.
PHASES = (
    Phase(name="top-100", top=100, announced=_ANNOUNCED, enforced_from=datetime(2022, 2, 1, tzinfo=UTC)),
    Phase(name="top-500", top=500, announced=_ANNOUNCED, enforced_from=datetime(2022, 5, 31, tzinfo=UTC)),
    Phase(name="high-impact", top=None, announced=_ANNOUNCED, enforced_from=datetime(2022, 11, 1, tzinfo=UTC)),
)


def phase_of(impact: Impact, phases: Iterable[Phase], now: datetime) -> Phase | None:
    """The announced phase that covers such a package: the earliest, of several on one day the narrowest."""
    covering = (phase for phase in phases if phase.announced <= now and phase.covers(impact))
    return min(covering, key=_phase_order, default=None)


def required(owned: Iterable[Owned], phases: Iterable[Phase], now: datetime) -> Mandate | None:
    """The mandate that follows from the packages an account owns, or None.

    The earliest phase counts. Of the packages in it the one of the best rank is the reason, whatever their order.
    Source: POLICY 12; npm's phases.
    """
    phases = tuple(phases)
    covered = [(phase, package) for package in owned if (phase := phase_of(package.impact, phases, now))]
    if not covered:
        return None
    phase, package = min(covered, key=lambda pair: (_phase_order(pair[0]), _use(pair[1])))
    return Mandate(phase=phase.name, reason=reason(package), enforced_from=phase.enforced_from)


def strictest(mandates: Iterable[Mandate]) -> Mandate | None:
    """Of several mandates the one that asks first; None of none. The order given never matters."""
    return min(mandates, key=lambda m: (m.enforced_from, m.phase, m.reason), default=None)


def strongest(mandates: Iterable[Mandate]) -> Mandate | None:
    """Of several mandates in force the one that asks for most, then first; None of none."""
    return min(
        mandates,
        key=lambda m: (m.strength is not Strength.PHISHING_RESISTANT, m.enforced_from, m.phase, m.reason),
        default=None,
    )


def may_keep_only(kinds_left: frozenset[Factor], mandate: Mandate | None, now: datetime) -> bool:
    """May an account be left with these kinds? Not when a mandate in force is met by none of them."""
    return mandate is None or not mandate.in_force(now) or mandate.satisfied_by(kinds_left)


_ECOSYSTEM_NAMES = {"pypi": "PyPI"}


def reason(package: Owned) -> str:
    """Why this package calls for a second factor, as a sentence to whoever maintains it."""
    impact, ecosystem = package.impact, _ECOSYSTEM_NAMES.get(package.ecosystem, package.ecosystem)
    if impact.many_downloads:
        what = "is downloaded 1,000,000 times a week or more"
        if impact.weekly_downloads is not None:
            what = f"is downloaded {impact.weekly_downloads:,} times a week"
    else:
        what = "is needed by 500 other packages or more"
        if impact.dependents is not None:
            what = f"is needed by {impact.dependents:,} other packages"
    return f"The {ecosystem} package {package.name}, which you maintain, {what}."


def _phase_order(phase: Phase) -> tuple[datetime, float]:
    return phase.enforced_from, float("inf") if phase.top is None else phase.top


def _use(package: Owned) -> tuple[float, int, str, str]:
    impact = package.impact  # ranks first: many packages have one and no number
    return impact.best_rank, -(impact.weekly_downloads or 0), package.ecosystem, package.name
