"""What operators look at before and after: whom the phases cover, who complies and with what, who would be stopped."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import select

from authsvc import accounts
from authsvc.core import db
from authsvc.core.assurance import PHISHING_RESISTANT, Factor
from authsvc.mandates import given, membership, phases
from authsvc.mandates.models import FiguresRow
from authsvc.policy.cohort import Phase
from authsvc.policy.mandate import Mandate, Strength, tells_anew

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
    names_without_account: int  # maintainers of packages of these phases who have not registered here


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


def plan(*, as_of: datetime, now: datetime, rules: tuple[Phase, ...] | None = None) -> Figures:
    """What `apply` would have given by that day, beside what stands already. Changes nothing. Raises BadPhases.

    `rules`: as if these were the phases. A phase is given now, or once it is announced, and its grace runs from then.
    """
    rules = phases.current() if rules is None else rules
    covered = _standing(as_of)
    for phase in rules:
        given_at = max(phase.announced, min(now, as_of))
        for account_id, mandate in membership.entered(phase, as_of=as_of, given_at=given_at).items():
            covered.setdefault(account_id, []).append(mandate)
    return _figures(covered, rules, as_of)


def report(*, as_of: datetime) -> Figures:
    """What was given so far, and how much of it is met. Changes nothing. Raises BadPhases."""
    return _figures(_standing(as_of), phases.current(), as_of)


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


def keep(*, now: datetime) -> bool:
    """Keep today's figures, once a day. In transactions of its own. False when they are kept. Raises BadPhases."""
    day = now.date()
    with db.snapshot():
        if db.session().scalar(select(FiguresRow.id).where(FiguresRow.day == day).limit(1)) is not None:
            return False
        found = report(as_of=now)
    names = ("phase", "accounts", *HAVE, "met", "stopped")
    rows = [{"day": day} | {name: getattr(row, name) for name in names} for row in found.phases]
    if rows:
        with db.transaction():
            new = db.upsert(FiguresRow).on_conflict_do_nothing(index_elements=[FiguresRow.day, FiguresRow.phase])
            db.session().connection().execute(new, rows)
    return True


def _standing(as_of: datetime) -> dict[int, list[Mandate]]:
    return {account_id: [one.mandate for one in mandates] for account_id, mandates in given.of_all(as_of=as_of).items()}


def best(enrolled: Collection[Factor]) -> str | None:
    """The best of `HAVE` that these authenticators are; None of none."""
    keys = sum(kind in PHISHING_RESISTANT for kind in enrolled)
    if keys:
        return "with_two_keys" if keys > 1 else "with_key"
    return "with_app" if enrolled else None


def _figures(covered: dict[int, list[Mandate]], rules: tuple[Phase, ...], as_of: datetime) -> Figures:
    enrolled = accounts.enrolled_by_account() if covered else {}
    counts, stopped, strengths = Counter[tuple[str, str]](), [], dict[str, str]()
    for account_id, mandates in covered.items():
        kinds = enrolled.get(account_id, [])
        for mandate in mandates:
            if len(mandates) > 1 and not tells_anew(mandate, [m for m in mandates if m is not mandate]):
                continue
            strengths.setdefault(mandate.phase, mandate.strength.value)
            counts[mandate.phase, "accounts"] += 1
            counts[mandate.phase, best(kinds) or ""] += 1
            if mandate.satisfied_by(kinds):
                counts[mandate.phase, "met"] += 1
            elif mandate.in_force(as_of):
                counts[mandate.phase, "stopped"] += 1
                stopped.append((account_id, mandate))
    packages, known = membership.packages_in(rules), {phase.name: phase for phase in rules}
    rows = (
        PhaseFigures(
            phase=name,
            strength=known[name].strength.value if name in known else strengths[name],
            enforced_from=known[name].enforced_from if name in known else None,
            packages=packages.get(name, 0),
            **{what: counts[name, what] for what in ("accounts", *HAVE, "met", "stopped")},
        )
        for name in [*known, *sorted(strengths.keys() - known.keys())]
    )
    return Figures(
        as_of=as_of,
        phases=tuple(rows),
        stopped=_people(stopped),
        names_without_account=membership.names_without_account(rules),
    )


def _people(stopped: Iterable[tuple[int, Mandate]]) -> tuple[Stopped, ...]:
    account, pairs = accounts.AccountRow, list(stopped)
    rows = db.session().execute(select(account.id, account.username)) if pairs else ()
    names = {row.id: row.username for row in rows}
    people = (
        Stopped(
            username=names[account_id],
            phase=mandate.phase,
            reason=mandate.reason,
            enforced_from=mandate.enforced_from,
        )
        for account_id, mandate in pairs
    )
    return tuple(sorted(people, key=lambda person: (person.enforced_from, person.username, person.phase)))


STRENGTH_WORDS = {
    Strength.ANY_SECOND_FACTOR.value: "any second step",
    Strength.PHISHING_RESISTANT.value: "key or passkey",
    Strength.TWO_PHISHING_RESISTANT.value: "two keys or passkeys",
}
