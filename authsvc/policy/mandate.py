"""Mandates: must this account have a second factor, of which strength, and from when?

Facts in, decision out. `mandates` gathers what accounts own and writes down what is decided here; whom a phase of the
roll-out covers stands in `policy.cohort`, what its day brings in `policy.mandate_days`. Source: POLICY 12.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from authsvc.core.assurance import AUTHENTICATORS, PHISHING_RESISTANT, Acr, Factor, Lack

# npm's definition of high impact, which made a second factor mandatory there in 2022. The data's flags mean the same.
HIGH_WEEKLY_DOWNLOADS = 1_000_000
HIGH_DEPENDENTS = 500


_KEYS_SHOWN = frozenset({"hwk", "swk"})


class Strength(StrEnum):
    """What a mandate asks for. Order of definition is order of strength: who meets one meets all before it."""

    ANY_SECOND_FACTOR = "any_second_factor"
    PHISHING_RESISTANT = "phishing_resistant"  # a key or passkey: the top tier
    TWO_PHISHING_RESISTANT = "two_phishing_resistant"  # two of those, so that losing one locks nobody out

    @property
    def kinds(self) -> frozenset[Factor]:
        """The authenticators that count. A recovery code never does (POLICY 1)."""
        return AUTHENTICATORS if self is Strength.ANY_SECOND_FACTOR else PHISHING_RESISTANT

    @property
    def number(self) -> int:
        """How many of them it takes."""
        return 2 if self is Strength.TWO_PHISHING_RESISTANT else 1

    @property
    def for_keys(self) -> bool:
        """True when an app does not do."""
        return self is not Strength.ANY_SECOND_FACTOR

    @property
    def acr(self) -> Acr:
        """What a sign-in with a senior one of them counts for."""
        return Acr.PHR if self.for_keys else Acr.AAL2

    @property
    def amr(self) -> frozenset[str]:
        """Each of these says that one of them was shown, or a recovery code, which says the same as an app."""
        return _KEYS_SHOWN if self.for_keys else _KEYS_SHOWN | {"otp"}

    @property
    def rank(self) -> int:
        """Larger is stronger."""
        return list(Strength).index(self)

    def satisfied_by(self, enrolled: Collection[Factor]) -> bool:
        """True when these authenticators will do. Two of one kind count twice in a list, once in a set."""
        return sum(kind in self.kinds for kind in enrolled) >= self.number


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

    def satisfied_by(self, enrolled: Collection[Factor]) -> bool:
        """True when these authenticators will do; see `Strength.satisfied_by`."""
        return self.strength.satisfied_by(enrolled)

    def covers(self, other: "Mandate") -> bool:
        """True when whoever meets this one meets the other as well, and no later."""
        return self.strength.rank >= other.strength.rank and self.enforced_from <= other.enforced_from


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


def strictest(mandates: Iterable[Mandate]) -> Mandate | None:
    """Of several mandates the one that asks first, then for most; None of none. The order given never matters."""
    return min(mandates, key=lambda m: (m.enforced_from, -m.strength.rank, m.phase, m.reason), default=None)


def strongest(mandates: Iterable[Mandate]) -> Mandate | None:
    """Of several mandates in force the one that asks for most, then first; None of none."""
    return min(mandates, key=lambda m: (-m.strength.rank, m.enforced_from, m.phase, m.reason), default=None)


def governing(mandates: Iterable[Mandate], now: datetime) -> Mandate | None:
    """What holds for an account: the strongest in force, else the one that asks first; None of none."""
    given = list(mandates)
    return strongest(m for m in given if m.in_force(now)) or strictest(given)


def first_unmet(mandates: Iterable[Mandate], enrolled: Collection[Factor]) -> Mandate | None:
    """The mandate whose day is the next that these authenticators do not meet, in force or to come; None of none."""
    return strictest(m for m in mandates if not m.satisfied_by(enrolled))


def tells_anew(mandate: Mandate, others: Iterable[Mandate]) -> bool:
    """Does this mandate ask its owner for anything that the others do not ask already, as early?

    Of two that ask for the same by the same day, the first by name speaks.
    """
    return not any(
        other.covers(mandate) and (not mandate.covers(other) or other.phase < mandate.phase) for other in others
    )


def lack(
    mandate: Mandate, *, enrolled: Collection[Factor], senior: Collection[Factor], acr: Acr, amr: Collection[str]
) -> Lack | None:
    """What keeps a session or grant from rights under a mandate in force; None where it has them.

    `acr` and `amr`: what it was proved with when it began, however long ago. A junior authenticator meets the mandate
    for signing in alone, senior ones for rights; what was begun with less has to be begun again. Source: POLICY 2.6.
    """
    if not mandate.satisfied_by(enrolled):
        return Lack.AUTHENTICATOR
    if mandate.strength.amr.isdisjoint(amr):
        return Lack.PROOF
    if not (mandate.satisfied_by(senior) and acr.satisfies(mandate.strength.acr)):
        return Lack.SENIORITY
    return None


def may_keep_only(left: Collection[Factor], mandates: Iterable[Mandate], *, once: bool, now: datetime) -> bool:
    """May an account be left with these authenticators?

    Not when a mandate in force is met by none of them, nor without any where one was in force `once`: what it asked for
    weakens with the account's reach, the last authenticator stays. Source: POLICY 12.
    """
    if once and not Strength.ANY_SECOND_FACTOR.satisfied_by(left):
        return False
    return all(mandate.satisfied_by(left) for mandate in mandates if mandate.in_force(now))


ECOSYSTEM_NAMES = {"pypi": "PyPI"}
PLAIN = re.compile(r"[\w@/-]{1,60}", re.ASCII)  # no dot and no colon: no mail program takes it for a link


def reason(package: Owned) -> str:
    """Why this package calls for a second factor, as a sentence to whoever maintains it.

    It is mailed, and a package's name is written by anybody: only a plain one is named (decision 0033).
    """
    impact, ecosystem = package.impact, ECOSYSTEM_NAMES.get(package.ecosystem, package.ecosystem)
    named = f"The {ecosystem} package {package.name}, which you maintain,"
    subject = named if PLAIN.fullmatch(package.name) else f"A package of {ecosystem} that you maintain"
    if impact.weekly_downloads is None and impact.many_downloads:
        return f"{subject} is downloaded 1,000,000 times a week or more."
    if impact.dependents is None and impact.many_dependents and not impact.many_downloads:
        return f"{subject} is needed by 500 other packages or more."
    if impact.many_downloads or (impact.weekly_downloads and not impact.many_dependents):
        return f"{subject} is downloaded {impact.weekly_downloads:,} times a week."
    if impact.dependents:
        return f"{subject} is needed by {impact.dependents:,} other packages."
    return f"{subject} is one that others rely on."
