"""The phases of the roll-out: npm's, or those of `mandates.toml` in the instance folder, or those that staff wrote.

The file decides while it is there; what it says is also written down, so that the history is whole and taking the file
away changes nothing (decision 0031).
"""

import logging
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import func, select

from authsvc import accounts, audit
from authsvc.audit import EventType
from authsvc.core import db
from authsvc.core.web import settings
from authsvc.mandates.models import PhaseRow
from authsvc.mandates.reading import package_name
from authsvc.policy.cohort import GRACE, PHASES, REMINDERS, Cohort, Phase, RankBy
from authsvc.policy.mandate import Strength

log = logging.getLogger(__name__)

Word = TypeVar("Word", Strength, RankBy)
FILE_NAME = "mandates.toml"
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
PACKAGE = re.compile(r"[a-z0-9][a-z0-9-]{0,19}:[^\s\0]{1,214}")
COHORT_KEYS = frozenset({"weekly_downloads", "dependents", "top", "by", "packages", "accounts", "everybody"})
KEYS = COHORT_KEYS | {"strength", "announced", "enforced_from", "grace_days", "reminders", "brown_outs"}
YEARS = range(2000, 2101)  # whatever is outside is a slip, and days are counted from it
AT_ONCE = min(phase.announced for phase in PHASES)


class BadPhases(ValueError):
    """A phase cannot be used as it was written; the text says why."""


class FileDecides(Exception):
    """`mandates.toml` is there, so phases are changed in it and nowhere else."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """One change of one phase, with what was before. None: there was none, or there is none any more."""

    name: str
    old: Phase | None
    new: Phase | None
    reason: str
    set_by: str
    at: datetime


def current() -> tuple[Phase, ...]:
    """The phases of this installation: the file's where there is one, else those written down. Raises BadPhases."""
    found = _of_file()
    return stored() if found is None else found


def in_use() -> tuple[Phase, ...]:
    """The phases to go on with where nobody reads what is wrong: `current`, or while the file cannot be used those that
    were written down, which the log says. None then where nothing ever was: npm's days stop people at once.
    """
    try:
        return current()
    except BadPhases as error:
        return _without_file(error)


def stored() -> tuple[Phase, ...]:
    """The phases as last written down; npm's where nothing was. Reads no file, so a sign-in may ask.

    One that cannot be read any more is left out, which the log says: it must not stop what the others ask.
    """
    newest = select(func.max(PhaseRow.id)).group_by(PhaseRow.name)
    rows = (
        db.session()
        .execute(select(PhaseRow.name, PhaseRow.rule).where(PhaseRow.id.in_(newest)).order_by(PhaseRow.id))
        .all()
    )
    if not rows:
        return PHASES
    return tuple(phase for row in rows if (phase := _readable(row)) is not None)


def write_down(*, now: datetime) -> tuple[Phase, ...]:
    """Note what the file changed since it was last looked at; the phases `in_use`. The worker's task."""
    try:
        found = _of_file()
    except BadPhases as error:
        return _without_file(error)
    if found is None:
        return stored()
    _write(found, reason=f"{FILE_NAME} says so", set_by=FILE_NAME, now=now)
    return found


def _without_file(error: BadPhases) -> tuple[Phase, ...]:
    log.error("%s cannot be used, and the phases last written down go on. %s", FILE_NAME, error)
    return stored() if _any_written() else ()


def change(phases: Iterable[Phase], *, reason: str, set_by: str, now: datetime) -> list[Change]:
    """Replace the phases by these, for staff; returns what changed. Raises FileDecides."""
    if file_decides():
        raise FileDecides(f"{_path()} is there")
    return _write(tuple(phases), reason=reason, set_by=set_by, now=now)


def change_one(name: str, new: Phase | None, *, reason: str, set_by: str, now: datetime) -> None:
    """Put one phase in the place of that name, add it, or take it away (None). Raises FileDecides."""
    others = [phase for phase in stored() if phase.name != name]
    change([*others, new] if new else others, reason=reason, set_by=set_by, now=now)


def one(name: str) -> Phase | None:
    """The phase of that name; None where there is none. Raises BadPhases."""
    return next((phase for phase in current() if phase.name == name), None)


def file_decides() -> bool:
    """True while `mandates.toml` is there."""
    return _path().is_file()


def of_stored(name: str, rule: dict[str, Any] | None) -> Phase | None:
    """A phase from a rule as it was written down; None for none."""
    return None if rule is None else of_rule(name, {"grace_days": 0} | rule)  # older rules had no grace


def _readable(row: Any) -> Phase | None:
    try:
        return of_stored(row.name, row.rule)
    except BadPhases as error:
        log.error("the phase %s cannot be read as it was written down, and is left out. %s", row.name, error)
        return None


def history() -> list[Change]:
    """Every change that was written down, newest first."""
    before: dict[str, Phase | None] = {}
    changes = []
    for row in db.session().scalars(select(PhaseRow).order_by(PhaseRow.id)):
        new = _readable(row)
        changes.append(
            Change(
                name=row.name,
                old=before.get(row.name),
                new=new,
                reason=row.reason,
                set_by=row.set_by,
                at=row.created_at,
            )
        )
        before[row.name] = new
    return changes[::-1]


def _write(phases: tuple[Phase, ...], *, reason: str, set_by: str, now: datetime) -> list[Change]:
    if not _any_written():
        for phase in PHASES:
            _append(phase.name, phase, reason="npm's days, as shipped", set_by="authsvc", now=now)
    old = {phase.name: phase for phase in stored()}
    new = {phase.name: phase for phase in phases}
    changes = []
    for name in [*new, *(name for name in old if name not in new)]:
        before, after = old.get(name), new.get(name)
        if before != after:
            _append(name, after, reason=reason, set_by=set_by, now=now)
            changes.append(Change(name=name, old=before, new=after, reason=reason, set_by=set_by, at=now))
            audit.record(
                EventType.MANDATE_PHASE_CHANGED,
                account_id=None,
                at=now,
                by=set_by,
                phase=name,
                reason=reason,
                old=to_rule(before) if before else None,
                new=to_rule(after) if after else None,
            )
    return changes


def _any_written() -> bool:
    return db.session().scalar(select(PhaseRow.id).limit(1)) is not None


def _append(name: str, phase: Phase | None, *, reason: str, set_by: str, now: datetime) -> None:
    rule = to_rule(phase) if phase is not None else None
    db.session().add(PhaseRow(name=name, rule=rule, reason=reason, set_by=set_by, created_at=now))
    db.session().flush()  # one by one, so that their ids keep the order


def _path() -> Path:
    return settings().instance / FILE_NAME


def _of_file() -> tuple[Phase, ...] | None:
    path = _path()
    try:
        if not path.is_file():
            return None
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadPhases(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # also of its encoding, or of a number that has no end
        raise BadPhases(f"{path} is not valid TOML: {error}") from error
    return tuple(of_rule(name, rule, where=f"{path}, [{name}]") for name, rule in found.items())


def to_rule(phase: Phase) -> dict[str, Any]:
    """A phase as it is written in the file, its times in ISO 8601, so that it also goes into JSON."""
    cohort = phase.cohort
    rule: dict[str, Any] = {
        "weekly_downloads": cohort.weekly_downloads,
        "dependents": cohort.dependents,
        "top": cohort.top,
        "by": cohort.by.value if cohort.top is not None else None,
        "packages": sorted(cohort.packages) or None,
        "accounts": sorted(cohort.accounts) or None,
        "everybody": cohort.everybody or None,
    }
    rule = {key: value for key, value in rule.items() if value is not None}
    rule["strength"] = phase.strength.value
    rule["announced"] = phase.announced.isoformat()
    rule["enforced_from"] = phase.enforced_from.isoformat()
    rule["grace_days"] = phase.grace.days
    rule["reminders"] = list(phase.reminders)
    rule["brown_outs"] = [[begin.isoformat(), end.isoformat()] for begin, end in phase.brown_outs]
    return rule


def of_rule(name: str, rule: object, *, where: str = "") -> Phase:
    """A phase from what a file, the table or staff say. Raises BadPhases, which begins with `where`."""
    where = where or f"[{name}]"
    if not NAME.fullmatch(name) or name == "by-hand":
        raise BadPhases(f"{where}: a name is small letters, digits and hyphens")
    if not isinstance(rule, dict) or "enforced_from" not in rule:
        raise BadPhases(f"{where}: give enforced_from, and announced if it is to be told later than now")
    unknown = sorted(rule.keys() - KEYS)
    if unknown:
        raise BadPhases(f"{where}: {unknown[0]} is unknown; there are {', '.join(sorted(KEYS))}")
    enforced_from = _moment(rule["enforced_from"], where)
    announced = _moment(rule["announced"], where) if "announced" in rule else min(AT_ONCE, enforced_from)
    if enforced_from < announced:
        raise BadPhases(f"{where}: it is enforced before it is announced")
    return Phase(
        name=name,
        cohort=_cohort(name, rule, where),
        announced=announced,
        enforced_from=enforced_from,
        strength=_one_of(Strength, rule.get("strength", Strength.ANY_SECOND_FACTOR.value), where),
        reminders=_reminders(rule.get("reminders", list(REMINDERS)), where),
        brown_outs=_brown_outs(rule.get("brown_outs", []), where),
        grace=_grace(rule.get("grace_days", GRACE.days), where),
    )


def _cohort(name: str, rule: dict[str, Any], where: str) -> Cohort:
    if not rule.keys() & COHORT_KEYS:  # npm's, with days of one's own
        known = {phase.name: phase.cohort for phase in PHASES}
        if name not in known:
            raise BadPhases(f"{where}: an unknown phase; say whom it covers, or take one of {', '.join(known)}")
        return known[name]
    packages, names = set(), _words(rule, "accounts", where)
    for package in _words(rule, "packages", where):
        if not PACKAGE.fullmatch(package):
            raise BadPhases(f"{where}: {package!r} is no package; write it like npm:left-pad")
        ecosystem, _, own = package.partition(":")
        packages.add(":".join(package_name(ecosystem, own)))
    try:
        members = frozenset(accounts.canonical_username(account) for account in names)
    except ValueError as error:
        raise BadPhases(f"{where}: {error}") from error
    if rule.get("everybody", False) not in (True, False):
        raise BadPhases(f"{where}: everybody is true or false")
    cohort = Cohort(
        weekly_downloads=_number(rule, "weekly_downloads", where),
        dependents=_number(rule, "dependents", where),
        top=_number(rule, "top", where),
        by=_one_of(RankBy, rule.get("by", RankBy.EITHER.value), where),
        packages=frozenset(packages),
        accounts=members,
        everybody=bool(rule.get("everybody")),
    )
    if "by" in rule and cohort.top is None:
        raise BadPhases(f"{where}: by says which rank counts, so give top as well")
    if cohort == Cohort():
        raise BadPhases(
            f"{where}: it covers nobody; give weekly_downloads, dependents, top, packages, accounts or everybody"
        )
    return cohort


def _one_of(words: type[Word], value: Any, where: str) -> Word:
    try:
        return words(value)
    except ValueError as error:
        raise BadPhases(f"{where}: {value!r} is none of {', '.join(words)}") from error


def _number(rule: dict[str, Any], key: str, where: str) -> int | None:
    value = rule.get(key)
    if value is None or (type(value) is int and 0 < value < 2**31):
        return value
    raise BadPhases(f"{where}: {key} is a number from 1")


def _words(rule: dict[str, Any], key: str, where: str) -> list[str]:
    value = rule.get(key, [])
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return value
    raise BadPhases(f"{where}: {key} is a list of names")


def _reminders(value: object, where: str) -> tuple[int, ...]:
    if isinstance(value, list) and all(type(days) is int and 0 < days < 366 for days in value):
        return tuple(sorted(set(value), reverse=True))
    raise BadPhases(f"{where}: reminders are days before, such as [30, 7, 1]")


def _grace(value: object, where: str) -> timedelta:
    if type(value) is int and 0 <= value < 366:
        return timedelta(days=value)
    raise BadPhases(f"{where}: grace_days are days from 0 to 365")


def _brown_outs(value: object, where: str) -> tuple[tuple[datetime, datetime], ...]:
    if not isinstance(value, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in value):
        raise BadPhases(
            f"{where}: brown_outs are pairs of times, such as [[2027-01-12T09:00:00Z, 2027-01-12T12:00:00Z]]"
        )
    pairs = tuple((_moment(begin, where), _moment(end, where)) for begin, end in value)
    if any(end <= begin for begin, end in pairs):
        raise BadPhases(f"{where}: a brown-out ends before it begins")
    return tuple(sorted(pairs))


def _moment(value: object, where: str) -> datetime:
    """A date or time as an aware time; a date is its first second, UTC. Text only with a time, as we write it down."""
    if isinstance(value, str) and "T" in value:
        try:
            value = datetime.fromisoformat(value)
        except ValueError as error:
            raise BadPhases(f"{where}: {value!r} is not a date and time") from error
    if isinstance(value, date) and value.year not in YEARS:
        raise BadPhases(f"{where}: {value} is not between {YEARS[0]} and {YEARS[-1]}")
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    raise BadPhases(f"{where}: {value!r} is not a date; write it like 2027-02-01, without quotation marks")
