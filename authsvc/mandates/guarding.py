"""What one import, or many within 30 days, must not strip: a broken export, or a forged one, takes protection away.

Guarded are packages of high impact and those that a phase keeps its people in by, whoever maintains them, and everybody
who accepted to maintain anything. Each by itself and in each ecosystem: a few much-used packages are lost among many.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, or_, select, type_coerce
from sqlalchemy.dialects import sqlite
from sqlalchemy.types import NullType

from authsvc.core import db
from authsvc.mandates import membership, phases
from authsvc.mandates.models import Package, Snapshot, is_current
from authsvc.mandates.scratch import KINDS, MAINTAINERS, PACKAGES, Kind, Scratch

MAY_GO = 0.2  # share of what is guarded
LOOKS_BACK = timedelta(days=30)  # so that many small losses are no way around it


@dataclass(frozen=True, kw_only=True)
class ManyWouldGo:
    """Nothing was stored, because one ecosystem would lose the protection of too many."""

    words: str  # of what
    ecosystem: str
    lost: int  # with what was lost within 30 days
    of: int


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Rows of one kind that are guarded: those of packages that a condition holds for, or (None) all that count."""

    kind: Kind
    words: str
    which: ColumnElement[bool] | None


class Guard:
    """Compares what was told with what there is. Raises BadPhases, as the phases say what is guarded."""

    def __init__(self, scratch: Scratch) -> None:
        self.scratch = scratch
        self.counted: dict[str, int] = {}  # by rule and ecosystem, how much there is now
        self.rules = [
            Rule(kind=PACKAGES, words="packages of high impact", which=Package.high_impact.is_(True)),
            Rule(kind=MAINTAINERS, words="accepted maintainers", which=None),
            Rule(kind=MAINTAINERS, words="maintainers of packages of high impact", which=Package.high_impact.is_(True)),
        ]
        with db.snapshot():
            found = phases.current()
        for phase in found:
            by_reach = replace(phase.cohort, packages=frozenset())  # who is named stays so, whatever the figures
            words = f"packages of the phase {phase.name}"
            if by_reach.by_reach:
                self.rules.append(Rule(kind=PACKAGES, words=words, which=membership.kept_packages(by_reach)))
            if phase.cohort.by_reach or phase.cohort.packages:
                which = membership.kept_packages(phase.cohort)
                self.rules.append(Rule(kind=MAINTAINERS, words=f"maintainers of {words}", which=which))
        self.names = sorted({tuple(name.split(":", 1)) for phase in found for name in phase.cohort.packages})

    def packages(self) -> Any:
        """A query for all packages that some rule holds for, as the driver gives them."""
        columns = [type_coerce(getattr(Package, name), NullType()) for name in (*PACKAGES.key, *PACKAGES.told)]
        told_of = {ecosystem for kind in KINDS for ecosystem in self.scratch.ecosystems(kind)}
        some = or_(*(rule.which for rule in self.rules if rule.which is not None))
        return select(*columns).where(Package.ecosystem.in_(told_of), is_current(Package), some)

    def check(self, whole: Mapping[Kind, bool], *, now: datetime) -> ManyWouldGo | None:
        """The first that would lose too much, once those packages were put down; None: the import may go on."""
        self.scratch.guard_names(self.names)
        refused = None
        before = _highest(since=now - LOOKS_BACK)
        for rule in self.rules:
            if rule.kind is MAINTAINERS and not whole[rule.kind]:
                continue  # without a whole snapshot nobody goes
            which = None if rule.which is None else _text(rule.which)
            for ecosystem, known, lost in self.scratch.lost(rule.kind, which, whole=whole[rule.kind]):
                name = f"{rule.kind.word} {ecosystem} {hashlib.sha256((which or '').encode()).hexdigest()[:16]}"
                self.counted[name] = known
                of = max(known, before.get(name, 0))
                left = known - lost
                if lost and of - left > of * MAY_GO and refused is None:
                    refused = ManyWouldGo(words=rule.words, ecosystem=ecosystem, lost=of - left, of=of)
        return refused


def _text(which: ColumnElement[bool]) -> str:
    """A condition as the scratch file understands it."""
    return str(which.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}))


def _highest(*, since: datetime) -> dict[str, int]:
    """The most there was of everything guarded, since then."""
    found: dict[str, int] = {}
    with db.snapshot() as session:
        for counted in session.scalars(select(Snapshot.counted).where(Snapshot.finished_at >= since)):
            for name, number in (counted or {}).items():
                found[name] = max(number, found.get(name, 0))
    return found
