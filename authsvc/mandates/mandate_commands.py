"""`authsvc mandates`, for operators. Results go to standard output, messages to standard error."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from flask.cli import with_appcontext

from authsvc import accounts
from authsvc.core import db
from authsvc.core.templating import date_words
from authsvc.core.web import request_time
from authsvc.mandates import chart, exemptions, figures, phases, service
from authsvc.mandates.exemptions import WAITS
from authsvc.mandates.figures import STRENGTH_WORDS, DayFigures, Figures
from authsvc.mandates.for_staff import LONGEST
from authsvc.mandates.models import MAX_REASON
from authsvc.mandates.phases import YEARS, BadPhases
from authsvc.policy.mandate import Strength

DAYS_SHOWN = 12  # of the adoption over time; JSON and the chart have all

Command = Callable[..., None]
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
as_of_option = click.option(
    "--as-of", metavar="DATE", default="now", show_default=True, help="The day to look at (ISO 8601)."
)


people_option = click.option(
    "--people",
    type=click.IntRange(0),
    default=figures.MOST_NAMED,
    show_default=True,
    metavar="NUMBER",
    help="How many of those stopped to name.",
)


def chart_option(what: str) -> Callable[[Command], Command]:
    """`--chart FILE`."""
    path = click.Path(dir_okay=False, writable=True, path_type=Path)
    return click.option("--chart", "chart_file", type=path, metavar="FILE", help=f"Also draw {what} as SVG.")


@click.group("mandates")
def mandates() -> None:
    """Who must have a second factor, why and from when."""


@mandates.command("plan")
@as_of_option
@json_option
@people_option
@chart_option("the cohorts")
@with_appcontext
def mandates_plan(as_of: str, as_json: bool, people: int, chart_file: Path | None) -> None:
    """Show what `apply` would have done by a day, and whom that would stop. Changes nothing."""
    day = _moment(as_of)
    with _phases_in_words(), db.snapshot():
        found = figures.plan(as_of=day, now=request_time(), most=people)
    if chart_file is not None:
        chart_file.write_text(chart.cohorts(found), encoding="utf-8")
        click.echo(f"Drawn: {chart_file}", err=True)
    if as_json:
        _json(asdict(found))
    else:
        _show(found)


@mandates.command("report")
@as_of_option
@json_option
@people_option
@chart_option("the adoption over time")
@with_appcontext
def mandates_report(as_of: str, as_json: bool, people: int, chart_file: Path | None) -> None:
    """Show what was given so far, how much of it is met, since when, and whom it stops on a day. Changes nothing."""
    day = _moment(as_of)
    with _phases_in_words(), db.snapshot():
        found, days = figures.report(as_of=day, most=people), figures.adoption()
    if chart_file is not None:
        chart_file.write_text(chart.adoption(days), encoding="utf-8")
        click.echo(f"Drawn: {chart_file}", err=True)
    if as_json:
        _json(asdict(found) | {"adoption": [asdict(row) for row in days]})
        return
    _show(found)
    _show_adoption(days)


@mandates.command("apply")
@as_of_option
@json_option
@with_appcontext
def mandates_apply(as_of: str, as_json: bool) -> None:
    """Give every account the mandates its packages call for, let go who left, and mail what is due.

    The worker does this every hour. With --as-of, phases announced by that day count as announced.
    """
    day = _moment(as_of)
    with _phases_in_words(), db.snapshot():
        phases.current()  # whoever types this reads what is wrong, and nothing is done
    given = service.apply(now=request_time(), as_of=day)
    if as_json:
        _json({"given": given})
        return
    click.echo(f"{given:,} {'mandate' if given == 1 else 'mandates'} given or brought forward.")


@mandates.command("require")
@click.argument("username")
@click.option("--from", "from_", metavar="DATE", required=True, help="The day it begins (ISO 8601), or `now`.")
@click.option("--reason", required=True, help="A sentence its owner reads.")
@click.option("--keys-alone", is_flag=True, help="Only keys and passkeys will do.")
@click.option("--two-keys", is_flag=True, help="It takes two keys or passkeys.")
@json_option
@with_appcontext
def mandates_require(username: str, from_: str, reason: str, keys_alone: bool, two_keys: bool, as_json: bool) -> None:
    """Require a second factor of one account. A date given by hand can be brought forward, never put off."""
    now, day, reason = request_time(), _moment(from_), _sentence(reason)
    strength = Strength.PHISHING_RESISTANT if keys_alone else Strength.ANY_SECOND_FACTOR
    strength = Strength.TWO_PHISHING_RESISTANT if two_keys else strength
    with db.transaction():
        account = _account(username)
        given = service.require(account.id, from_=day, reason=reason, set_by="operator", strength=strength, now=now)
        mandate = service.upcoming(account.id, now=now)
    begins = mandate.enforced_from if mandate else day
    if not given:
        raise click.ClickException(
            f"A second factor is required of {account.username} from {date_words(begins)} already; a later day would "
            "weaken that."
        )
    if as_json:
        _json({"username": account.username, "enforced_from": begins})
        return
    click.echo(f"{account.username} must have a second factor from {date_words(begins)}.")


@mandates.command("exempt")
@click.argument("username")
@click.option("--until", metavar="DATE", help="The day it ends (ISO 8601).")
@click.option("--reason", help="Why, for the account's owner and the log.")
@click.option("--end", is_flag=True, help="Take exemptions of the account back, at once.")
@json_option
@with_appcontext
def mandates_exempt(username: str, until: str | None, reason: str | None, end: bool, as_json: bool) -> None:
    """Ask nothing of one account until a day. The owner is told now, and it begins in 24 hours.

    The command line counts as one person, and weakening takes two; so it waits instead.
    """
    now = request_time()
    if end:
        with db.transaction():
            account = _account(username)
            if not exemptions.end(account.id, set_by="operator", now=now):
                raise click.ClickException(f"{account.username} is not exempt.")
        click.echo(f"{account.username} is no longer exempt.")
        return
    if until is None or reason is None:
        raise click.UsageError("Give --until and --reason, or --end.")
    day, reason, starts_at = _moment(until), _sentence(reason), now + WAITS
    if not starts_at < day <= now + LONGEST:
        words = "it begins in 24 hours, so give a later day, within a year"
        raise click.BadParameter(words, param_hint="--until")
    with db.transaction():
        account = _account(username)
        view = exemptions.exempt(account.id, reason=reason, until=day, set_by="operator", starts_at=starts_at, now=now)
    if as_json:
        _json(asdict(view))
        return
    click.echo(f"Nothing is asked of {account.username} from {date_words(starts_at)} until {date_words(day)}.")


@mandates.command("phases")
@click.option("--history", is_flag=True, help="Every change, with the rule before and after.")
@json_option
@with_appcontext
def mandates_phases(history: bool, as_json: bool) -> None:
    """Show the phases of this installation, or how they came to be."""
    with _phases_in_words(), db.snapshot():
        rules = [{"name": phase.name} | phases.to_rule(phase) for phase in phases.current()]
        changes = phases.history() if history else []
    if history:
        rules = [
            {
                "name": change.name,
                "old": phases.to_rule(change.old) if change.old else None,
                "new": phases.to_rule(change.new) if change.new else None,
                "reason": change.reason,
                "set_by": change.set_by,
                "at": change.at,
            }
            for change in changes
        ]
    if as_json:
        _json(rules)
        return
    for rule in rules:
        click.echo(f"[{rule.pop('name')}]")
        for key, value in rule.items():
            click.echo(f"  {key}: {value if isinstance(value, str) else json.dumps(value, default=_text)}")


def _moment(value: str) -> datetime:
    """A date or time in ISO 8601, or `now`. Without a zone it is UTC; a date is its first second."""
    if value == "now":
        return request_time()
    try:
        found = datetime.fromisoformat(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not a date such as 2026-11-24, nor `now`") from error
    if found.year not in YEARS:
        raise click.BadParameter(f"{value!r} is not between {YEARS[0]} and {YEARS[-1]}")
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _sentence(reason: str) -> str:
    reason = " ".join(reason.split())
    if not 0 < len(reason) < MAX_REASON:
        raise click.BadParameter(f"give a sentence of under {MAX_REASON} characters", param_hint="--reason")
    return reason


def _account(username: str) -> accounts.AccountView:
    account = accounts.find(username)
    if account is None:
        raise click.ClickException(f"There is no account {username!r}.")
    return account


@contextmanager
def _phases_in_words() -> Iterator[None]:
    try:
        yield
    except BadPhases as error:
        raise click.ClickException(str(error)) from error


def _text(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _json(found: object) -> None:
    click.echo(json.dumps(found, indent=2, default=_text))


HEADINGS = ("enforced from", "asks for", "packages", "accounts", "two keys", "one key", "app", "nothing", "stopped")


def _show(found: Figures) -> None:
    click.echo(f"As of {date_words(found.as_of)}")
    rows = [
        (
            p.phase,
            f"{p.enforced_from:%Y-%m-%d}" if p.enforced_from else "–",
            STRENGTH_WORDS[p.strength],
            *(f"{number:,}" for number in (p.packages, p.accounts, p.with_two_keys, p.with_key, p.with_app)),
            f"{p.accounts - p.with_two_keys - p.with_key - p.with_app:,}",
            f"{p.stopped:,}",
        )
        for p in found.phases
    ]
    _table([("phase", *HEADINGS), *rows], left=3)
    click.echo(f"Maintainers of such packages without an account here: {found.names_without_account:,}")
    for person in found.stopped:
        click.echo(
            f"Stopped: {person.username} ({person.phase}, since {person.enforced_from:%Y-%m-%d}). {person.reason}"
        )
    if len(found.stopped) < found.stopped_in_all:
        click.echo(f"And {found.stopped_in_all - len(found.stopped):,} more people; see --people.")


def _show_adoption(days: list[DayFigures]) -> None:
    dates = sorted({row.day for row in days})
    shown = set(dates[:: -(-len(dates) // DAYS_SHOWN)] + dates[-1:]) if dates else set()
    rows = [
        (
            f"{row.day:%Y-%m-%d}",
            row.phase,
            f"{row.accounts:,}",
            f"{row.met:,}",
            f"{100 * row.met // row.accounts} %" if row.accounts else "–",
        )
        for row in days
        if row.day in shown
    ]
    if rows:
        click.echo("Adoption over time")
        _table([("day", "phase", "accounts", "met", "share"), *rows], left=2)


def _table(rows: Iterable[tuple[str, ...]], *, left: int) -> None:
    """Columns as wide as their widest word; the first `left` are text, the others numbers."""
    lines = list(rows)
    widths = [max(len(line[n]) for line in lines) for n in range(len(lines[0]))]
    for line in lines:
        cells = [
            word.ljust(width) if n < left else word.rjust(width)
            for n, (word, width) in enumerate(zip(line, widths, strict=True))
        ]
        click.echo("  ".join(cells).rstrip())
