"""Phases as people read them, and as a form sends them."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, time
from typing import Any

from authsvc import mandates
from authsvc.core.templating import date_words
from authsvc.mandates import BadPhases
from authsvc.policy.cohort import GRACE, REMINDERS, Cohort, Phase, RankBy
from authsvc.policy.mandate import Strength

FIELDS = (
    "name",
    "weekly_downloads",
    "dependents",
    "top",
    "by",
    "packages",
    "accounts",
    "everybody",
    "strength",
    "announced",
    "enforced_from",
    "grace_days",
    "reminders",
    "brown_outs",
)
BY = {
    RankBy.EITHER.value: "downloads or dependents, the better one",
    RankBy.DOWNLOADS.value: "downloads",
    RankBy.DEPENDENTS.value: "dependents",
}
MOST_SHOWN = 10  # names of packages or accounts
_BROWN_OUT = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d) to (\d{4}-\d\d-\d\d \d\d:\d\d)")


class BadField(ValueError):
    """A field of the form cannot be read as it was typed."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field, self.message = field, message


def rule_words(phase: Phase) -> list[tuple[str, str]]:
    """What a phase says, line by line."""
    reminders = ", ".join(str(days) for days in phase.reminders)
    lines = [
        ("Covers", cohort_words(phase.cohort)),
        ("Asks for", mandates.STRENGTH_WORDS[phase.strength.value]),
        ("Announced", date_words(phase.announced)),
        ("In force from", date_words(phase.enforced_from)),
        ("Grace", f"{phase.grace.days} days at least for whoever comes in" if phase.grace else "none"),
        ("Reminders", f"{reminders} days before" if reminders else "none"),
    ]
    if phase.brown_outs:
        hours = "; ".join(f"{date_words(begin)} to {date_words(end)}" for begin, end in phase.brown_outs)
        lines.append(("Brown-outs", hours))
    return lines


def difference_words(old: Phase | None, new: Phase | None) -> list[tuple[str, str, str]]:
    """What a change changes: label, before, after. All lines of a phase that is added or taken away."""
    before, after = (dict(rule_words(phase)) if phase else {} for phase in (old, new))
    labels = [*after, *(label for label in before if label not in after)]
    pairs = ((label, before.get(label, "–"), after.get(label, "–")) for label in labels)
    return [(label, was, becomes) for label, was, becomes in pairs if was != becomes]


def cohort_words(cohort: Cohort) -> str:
    """Whom a phase covers."""
    if cohort.everybody:
        return "every account"
    figures = []
    if cohort.weekly_downloads is not None:
        figures.append(f"{cohort.weekly_downloads:,} downloads a week or more")
    if cohort.dependents is not None:
        figures.append(f"{cohort.dependents:,} dependents or more")
    parts = []
    if cohort.by_reach:
        ranks = f"rank {cohort.top:,} or better by {BY[cohort.by.value]}" if cohort.top is not None else ""
        words = ", of those ".join(part for part in (" or ".join(figures), ranks) if part)
        parts.append(f"maintainers of packages with {words}")
    if cohort.packages:
        parts.append(f"maintainers of {_some(cohort.packages)}")
    if cohort.accounts:
        parts.append(_some(cohort.accounts))
    return "; ".join(parts) or "nobody"


def _some(names: frozenset[str]) -> str:
    shown = sorted(names)[:MOST_SHOWN]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "")


def typed_of(phase: Phase | None) -> dict[str, str]:
    """What stands in the fields before somebody types."""
    if phase is None:
        reminders = ", ".join(str(days) for days in REMINDERS)
        return {"grace_days": str(GRACE.days), "reminders": reminders, "strength": Strength.ANY_SECOND_FACTOR.value}
    cohort = phase.cohort
    numbers = {"weekly_downloads": cohort.weekly_downloads, "dependents": cohort.dependents, "top": cohort.top}
    return {
        **{name: "" if number is None else str(number) for name, number in numbers.items()},
        "name": phase.name,
        "by": cohort.by.value,
        "packages": "\n".join(sorted(cohort.packages)),
        "accounts": "\n".join(sorted(cohort.accounts)),
        "everybody": "1" if cohort.everybody else "",
        "strength": phase.strength.value,
        "announced": f"{phase.announced:%Y-%m-%d}",
        "enforced_from": f"{phase.enforced_from:%Y-%m-%d}",
        "grace_days": str(phase.grace.days),
        "reminders": ", ".join(str(days) for days in phase.reminders),
        "brown_outs": "\n".join(f"{begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}" for begin, end in phase.brown_outs),
    }


def phase_of(typed: Mapping[str, str], old: Phase | None) -> Phase:
    """The phase that a form describes. A day that was left as it was keeps its hour. Raises BadField."""
    rule: dict[str, Any] = {"strength": typed["strength"], "everybody": bool(typed["everybody"])}
    if typed["top"].strip():
        rule["by"] = typed["by"]
    for field in ("weekly_downloads", "dependents", "top", "grace_days"):
        if typed[field].strip():
            rule[field] = _number(field, typed[field])
    for field in ("packages", "accounts"):
        names = typed[field].replace(",", " ").split()
        if names:
            rule[field] = names
    rule["reminders"] = [_number("reminders", days) for days in typed["reminders"].replace(",", " ").split()]
    days = {"announced": old.announced, "enforced_from": old.enforced_from} if old else {}
    for field in ("announced", "enforced_from"):
        if typed[field] or field == "enforced_from":
            rule[field] = _day(field, typed[field], days.get(field))
    rule["brown_outs"] = [_brown_out(line) for line in typed["brown_outs"].splitlines() if line.strip()]
    if not rule["everybody"]:
        del rule["everybody"]
    try:
        return mandates.of_rule(typed["name"].strip(), rule, where="x")
    except BadPhases as error:
        words = str(error).removeprefix("x: ")
        field = words.split()[0] if words.split()[0] in FIELDS else "name"
        raise BadField(field, f"{words[0].upper()}{words[1:]}.") from error


def _number(field: str, typed: str) -> int:
    digits = re.sub(r"[ ,_]", "", typed)
    if not re.fullmatch(r"[0-9]{1,10}", digits):
        raise BadField(field, "Write a number in digits.")
    return int(digits)


def _day(field: str, typed: str, kept: datetime | None) -> datetime:
    if kept is not None and typed == f"{kept:%Y-%m-%d}":
        return kept
    try:
        return datetime.combine(datetime.strptime(typed, "%Y-%m-%d"), time(), UTC)  # noqa: DTZ007 - a day in UTC
    except ValueError as error:
        raise BadField(field, "Choose a day.") from error


def _brown_out(line: str) -> list[datetime]:
    found = _BROWN_OUT.fullmatch(" ".join(line.split()))
    try:
        return [datetime.fromisoformat(moment).replace(tzinfo=UTC) for moment in found.groups()] if found else _bad()
    except ValueError as error:
        raise BadField("brown_outs", "Write each as 2027-03-02 14:00 to 2027-03-02 17:00, one on a line.") from error


def _bad() -> list[datetime]:
    raise ValueError("no brown-out")
