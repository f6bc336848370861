"""Mandates in the console: how far each phase has come, who is about to be stopped, who is exempt (POLICY 12, 13)."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import render_template
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from authsvc import mandates
from authsvc.core.assurance import Action
from authsvc.core.rate_limits import limited
from authsvc.core.web import query_field, request_time, requires
from authsvc.mandates import AdoptionDay, ExemptionView, PhaseFigures, Stopped
from authsvc.staff.blueprint import bp

SOON = timedelta(days=30)
PEOPLE_ON_PAGE = 25
DAYS_IN_TABLE = 12
TABS = {"soon": "In the next 30 days", "now": "Now"}


@dataclass(frozen=True)
class Part:
    """A part of a bar. `begin` and `width` are of a hundred."""

    css: str
    words: str
    number: int
    begin: float
    width: float


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """One phase with its bar."""

    figures: PhaseFigures
    strength: str
    nothing: int
    percent: int  # that comply, rounded down
    parts: tuple[Part, ...]
    stopped_width: float


def cohort(found: PhaseFigures) -> Cohort:
    """What the accounts of a phase have, as parts of one bar."""
    nothing = found.accounts - found.with_two_keys - found.with_key - found.with_app
    whole, begin, parts = found.accounts or 1, 0.0, []
    for css, words, number in (
        ("two", "two keys or more", found.with_two_keys),
        ("key", "one key", found.with_key),
        ("app", "an app", found.with_app),
        ("none", "nothing yet", nothing),
    ):
        width = 100 * number / whole
        parts.append(Part(css, words, number, round(begin, 2), round(width, 2)))
        begin += width
    return Cohort(
        figures=found,
        strength=mandates.STRENGTH_WORDS[found.strength],
        nothing=nothing,
        percent=100 * found.met // whole,
        parts=tuple(parts),
        stopped_width=round(100 * found.stopped / whole, 2),
    )


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody whose next sign-in leads, or will lead, through enrolment."""

    username: str
    phase: str
    reason: str
    at: datetime


def people(
    now_stopped: Sequence[Stopped],
    then_stopped: Sequence[Stopped],
    exempt: Collection[ExemptionView],
    now: datetime,
) -> tuple[list[Person], list[Person]]:
    """Whom mandates stop now, and whom in addition by a later day; each once, the first day first.

    Where the day of a mandate is long past, what ends in between is an exemption.
    """
    first = {one.username: one for one in reversed(now_stopped)}  # given in the order of their days
    later = {one.username: one for one in reversed(then_stopped) if one.username not in first}
    ends: dict[str, datetime] = {}
    for view in exempt:
        if view.starts_at <= now:
            ends[view.username] = max(view.until, ends.get(view.username, view.until))
    stopped, soon = (
        sorted(
            (
                Person(
                    username=one.username,
                    phase=one.phase,
                    reason=one.reason,
                    at=one.enforced_from if one.enforced_from > now else ends.get(one.username, one.enforced_from),
                )
                for one in found.values()
            ),
            key=lambda person: (person.at, person.username),
        )
        for found in (first, later)
    )
    return stopped, soon


def some_days(days: list[AdoptionDay]) -> list[AdoptionDay]:
    """For the table: the rows of a dozen days, the newest first."""
    dates = sorted({row.day for row in days}, reverse=True)
    shown = set(dates[:: -(-len(dates) // DAYS_IN_TABLE)]) if dates else set()
    return sorted((row for row in days if row.day in shown), key=lambda row: (-row.day.toordinal(), row.phase))


@bp.get("/mandates")
@requires(Action.READ_STAFF)
@limited("account")
def mandate_figures() -> ResponseReturnValue:
    """Phases with what their accounts have, the trend, people who are stopped or will be, and exemptions."""
    now, show, page = request_time(), query_field("show", max_length=10), query_field("page", max_length=6)
    chosen = show if show in TABS else "soon"
    days, exempt = mandates.adoption(), mandates.standing_exemptions(now=now)
    try:
        today, then = mandates.report(as_of=now), mandates.report(as_of=now + SOON)
    except mandates.BadPhases as error:
        return render_template("staff/mandates_unread.html", problem=str(error)), 503
    stopped, soon = people(today.stopped, then.stopped, exempt, now)
    listed = soon if chosen == "soon" else stopped
    pages = max(1, -(-len(listed) // PEOPLE_ON_PAGE))
    number = min(pages, max(1, int(page))) if page.isdecimal() else 1
    begin = (number - 1) * PEOPLE_ON_PAGE
    return render_template(
        "staff/mandates.html",
        cohorts=[cohort(phase) for phase in today.phases],
        nameless=today.names_without_account,
        trend=Markup(mandates.trend(days)) if days else None,  # noqa: S704 - `chart` escapes what it writes
        days=some_days(days),
        tabs=TABS,
        chosen=chosen,
        stopped=len(stopped),
        soon=len(soon),
        people=listed[begin : begin + PEOPLE_ON_PAGE],
        page=number,
        pages=pages,
        exemptions=exempt,
    )
