"""The dates of the phases: npm's, or those the operator wrote into `mandates.toml` in the instance folder."""

import tomllib
from dataclasses import replace
from datetime import UTC, date, datetime

from authsvc.core.web import settings
from authsvc.policy.mandate import PHASES, Phase

FILE_NAME = "mandates.toml"


class BadPhases(ValueError):
    """`mandates.toml` cannot be used; the text says why."""


def current() -> tuple[Phase, ...]:
    """The phases of this installation. With a file only those it names. Raises BadPhases."""
    path = settings().instance / FILE_NAME
    if not path.is_file():
        return PHASES
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadPhases(f"{path} is not valid TOML: {error}") from error
    known = {phase.name: phase for phase in PHASES}
    phases = []
    for name, dates in found.items():
        if name not in known:
            raise BadPhases(f"{path} names the unknown phase {name!r}; there are {', '.join(known)}")
        if not isinstance(dates, dict) or "enforced_from" not in dates or dates.keys() - {"announced", "enforced_from"}:
            raise BadPhases(f"{path}, [{name}]: give enforced_from, and announced if it is to be told later than now")
        where = f"{path}, [{name}]"
        enforced_from = _moment(dates["enforced_from"], where)
        announced = _moment(dates["announced"], where) if "announced" in dates else known[name].announced
        phase = replace(known[name], announced=announced, enforced_from=enforced_from)
        if phase.enforced_from < phase.announced:
            raise BadPhases(f"{where}: it is enforced before it is announced")
        phases.append(phase)
    return tuple(phases)


def _moment(value: object, where: str) -> datetime:
    """A TOML date or time as an aware time; a date is its first second, UTC."""
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    raise BadPhases(f"{where}: {value!r} is not a date; write it like 2027-02-01, without quotation marks")
