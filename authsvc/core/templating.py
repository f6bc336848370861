"""Filters that turn values into the words a page shows: dates, distances in time, codes in groups.

Pure functions of their arguments; the templates pass `now` in. `register` hands them to Jinja.
"""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import Protocol, TypeVar

from flask import Flask

_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip

# Longest span first; a span is used from one of its own length upwards.
_SPANS = (
    (timedelta(days=365), "year"),
    (timedelta(days=30), "month"),
    (timedelta(days=1), "day"),
    (timedelta(hours=1), "hour"),
    (timedelta(minutes=1), "minute"),
)


class Dated(Protocol):
    """Anything that happened at a time."""

    @property
    def at(self) -> datetime: ...


D = TypeVar("D", bound=Dated)


def date_words(value: date) -> str:
    """A time as "23 November 2026, 14:05 UTC", a plain date as "23 November 2026".

    Month names are our own, so that a server's locale never changes a page.
    """
    day = f"{value.day} {_MONTHS[value.month - 1]} {value.year}"
    return f"{day}, {value:%H:%M} UTC" if isinstance(value, datetime) else day


def relative(value: datetime, now: datetime) -> str:
    """How far away a time is, in whole units rounded down: "3 minutes ago", "in 2 days", "just now"."""
    distance = abs(value - now)
    for span, unit in _SPANS:
        if distance >= span:
            count = distance // span
            words = f"{count} {unit}" if count == 1 else f"{count} {unit}s"
            return f"in {words}" if value > now else f"{words} ago"
    return "in less than a minute" if value > now else "just now"


def by_day(events: Iterable[D]) -> list[tuple[date, list[D]]]:
    """Group what happened by its day, keeping the order given."""
    return [(day, list(group)) for day, group in groupby(events, key=lambda event: event.at.date())]


def in_fours(code: str) -> str:
    """A code as people read it aloud: "1234567890" becomes "1234 5678 90"."""
    plain = code.replace(" ", "").replace("-", "")
    return " ".join(plain[i : i + 4] for i in range(0, len(plain), 4))


def register(app: Flask) -> None:
    """Make the filters known to the templates of `app`."""
    for filter_ in (date_words, relative, by_day, in_fours):
        app.add_template_filter(filter_)
