"""`authsvc impact` and `authsvc mandates`, for operators. Results go to standard output, messages to standard error."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click
from flask import current_app
from flask.cli import with_appcontext

from authsvc import accounts
from authsvc.core import db
from authsvc.core.templating import date_words
from authsvc.core.web import request_time, settings
from authsvc.mandates import figures, importing, service
from authsvc.mandates.figures import Figures
from authsvc.mandates.impact import of_account as impact_of_account
from authsvc.mandates.models import MAX_REASON
from authsvc.mandates.phases import BadPhases
from authsvc.mandates.reading import UnreadableFile
from authsvc.mandates.snapshots import Lost, Running

json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
as_of_option = click.option(
    "--as-of", metavar="DATE", default="now", show_default=True, help="The day to look at (ISO 8601)."
)


def _moment(value: str) -> datetime:
    """A date or time in ISO 8601, or `now`. Without a zone it is UTC; a date is its first second."""
    if value == "now":
        return request_time()
    try:
        found = datetime.fromisoformat(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not a date such as 2026-11-24, nor `now`") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


# impact


@click.group("impact")
def impact() -> None:
    """What packages are used by how many, and who maintains them."""


@impact.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--changes", is_flag=True, help="Add and update what the files name; what they do not name stays.")
@click.option("--keep-going", is_flag=True, help="Leave bad lines out and import the good ones.")
@click.option("--even-if-many-go", is_flag=True, help="Also where an ecosystem would lose more than a fifth at once.")
@json_option
@with_appcontext
def impact_import(
    files: tuple[Path, ...], changes: bool, keep_going: bool, even_if_many_go: bool, as_json: bool
) -> None:
    """Read packages and maintainers from files of CSV or NDJSON, plain or gzipped.

    The first line says what a file holds. Packages: ecosystem, name, and weekly_downloads, dependents or the flags
    weekly_ge_1m, dependents_ge_500; rank and dependents_rank if known. Maintainers: ecosystem, package, account,
    and role and accepted_at if known.

    All files together are a whole snapshot of the ecosystems they name: what is missing is gone. With --changes nothing
    goes. Nothing is imported when a line is bad, unless --keep-going is given; then nothing goes either. All of it
    counts from one moment on, or none of it. The same files twice change nothing.
    """
    now = request_time()
    with _files_in_words(), closing(_gather(files, now)) as gathered:
        _tell_bad_lines(gathered.files)
        if gathered.bad and not keep_going:
            raise click.ClickException(
                f"{_count(gathered.bad, 'bad line')}; nothing was imported. Correct them, or leave them out with "
                "--keep-going."
            )
        with _bar("Storing") as bar:
            done = importing.load(
                gathered,
                changes=changes,
                even_if_many_go=even_if_many_go,
                clock=current_app.extensions["authsvc.clock"],
                progress=bar,
            )
    if isinstance(done, importing.ManyWouldGo):
        raise click.ClickException(
            f"{done.lost:,} of the {done.of:,} {done.words} in {done.ecosystem} would lose their protection; nothing "
            "was imported. If the files are right, import them with --even-if-many-go."
        )
    matched = importing.match_accounts()
    if as_json:
        told = [asdict(file) for file in done.files]
        click.echo(json.dumps({"files": told, "removed": done.removed, "matched_with_accounts": matched}, indent=2))
        return
    for file in done.files:
        numbers = f"{file.added:,} {file.kind} added, {file.changed:,} changed, {file.unchanged:,} as before"
        left_out = f", {_count(file.bad, 'bad line')} left out" if file.bad else ""
        click.echo(f"{file.file}: {numbers}{left_out}.")
    for kind, number in done.removed.items():
        if number:
            click.echo(f"{number:,} {kind} are gone.")
    click.echo("Next: `authsvc mandates plan` shows whom this covers, `authsvc mandates apply` tells them.", err=True)


def _gather(files: tuple[Path, ...], now: datetime) -> importing.Gathered:
    """Read the files, with a bar for each on a terminal."""
    with ExitStack() as bars:

        def bar(path: Path) -> Callable[[int], None]:
            bars.pop_all().close()
            position, add = 0, bars.enter_context(_bar(f"Reading {path.name}"))(path.stat().st_size)

            def tell(now_at: int) -> None:
                nonlocal position
                add(now_at - position)
                position = now_at

            return tell

        return importing.gather(files, now=now, of_record=settings().is_of_record, progress=bar)


@contextmanager
def _bar(words: str) -> Iterator[Callable[[int], Callable[[int], None]]]:
    """A bar on a terminal: tell it the length, get what is told of each step."""
    with ExitStack() as bars:

        def begin(length: int) -> Callable[[int], None]:
            hidden = not sys.stderr.isatty()
            shown = click.progressbar(length=length, label=words, file=sys.stderr, hidden=hidden)
            return bars.enter_context(shown).update

        yield begin


def _tell_bad_lines(files: list[importing.Told]) -> None:
    for told in files:
        for line in told.examples:
            click.echo(f"{told.path}:{line.line}: {line.reason}", err=True)
        if told.bad > len(told.examples):
            click.echo(f"{told.path}: and {told.bad - len(told.examples):,} more bad lines", err=True)


@contextmanager
def _files_in_words() -> Iterator[None]:
    try:
        yield
    except UnreadableFile as error:
        raise click.ClickException(f"{error}. Nothing was imported.") from error
    except Running as error:
        raise click.ClickException("Another import is under way; nothing was imported. Try again later.") from error
    except Lost as error:
        raise click.ClickException("The import stood still for too long and was given up; import it again.") from error


@impact.command("show")
@click.argument("account")
@json_option
@with_appcontext
def impact_show(account: str, as_json: bool) -> None:
    """Show how much depends on an account: its packages, its rank among accounts, and why it matters."""
    now = request_time()
    with db.snapshot():
        found = accounts.find(account)
        if found is None:
            raise click.ClickException(f"There is no account {account!r}.")
        known = impact_of_account(found.id, now=now)
    if as_json:
        click.echo(json.dumps({"username": found.username, **asdict(known)}, indent=2, default=datetime.isoformat))
        return
    click.echo(found.username)
    for words, reach in (("weekly downloads", known.downloads), ("dependents", known.dependents)):
        rank = f"; rank {reach.rank:,} among accounts" if reach.rank else ""
        click.echo(f"  {reach.total:,} {words}{rank}")
    for package in known.packages:
        invited = "" if package.accepted_at else " (invited, does not count)"
        click.echo(f"  {package.ecosystem}: {package.reason}{invited}")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


# mandates


@click.group("mandates")
def mandates() -> None:
    """Who must have a second factor, why and from when."""


@mandates.command("plan")
@as_of_option
@json_option
@with_appcontext
def mandates_plan(as_of: str, as_json: bool) -> None:
    """Show what `apply` would have done by a day, and whom that would stop. Changes nothing."""
    with _phases_in_words(), db.transaction():
        found = figures.plan(as_of=_moment(as_of))
    _show(found, as_json)


@mandates.command("report")
@as_of_option
@json_option
@with_appcontext
def mandates_report(as_of: str, as_json: bool) -> None:
    """Show what was given so far, how much of it is met, and whom it stops on a day. Changes nothing."""
    with _phases_in_words(), db.transaction():
        found = figures.report(as_of=_moment(as_of))
    _show(found, as_json)


@mandates.command("apply")
@as_of_option
@json_option
@with_appcontext
def mandates_apply(as_of: str, as_json: bool) -> None:
    """Give every account the mandate its packages call for, and mail those it is new for. Takes none away.

    The worker does this every hour. With --as-of, phases announced by that day count as announced.
    """
    with _phases_in_words():
        given = service.apply(now=request_time(), as_of=_moment(as_of))
    if as_json:
        click.echo(json.dumps({"given": given}))
        return
    click.echo(f"{_count(given, 'mandate')} given or brought forward.")


@mandates.command("require")
@click.argument("username")
@click.option("--from", "from_", metavar="DATE", required=True, help="The day it begins (ISO 8601), or `now`.")
@click.option("--reason", required=True, help="A sentence its owner reads.")
@click.option("--keys-alone", is_flag=True, help="Only keys and passkeys will do.")
@json_option
@with_appcontext
def mandates_require(username: str, from_: str, reason: str, keys_alone: bool, as_json: bool) -> None:
    """Require a second factor of one account. A date given by hand can be brought forward, never put off."""
    now, day = request_time(), _moment(from_)
    reason = " ".join(reason.split())
    if not 0 < len(reason) < MAX_REASON:
        raise click.BadParameter(f"give a sentence of under {MAX_REASON} characters", param_hint="--reason")
    with db.transaction():
        account = accounts.find(username)
        if account is None:
            raise click.ClickException(f"There is no account {username!r}.")
        given = service.require(account.id, from_=day, reason=reason, set_by="operator", keys_alone=keys_alone, now=now)
        mandate = service.upcoming(account.id, now=now)
    begins = mandate.enforced_from if mandate else day
    if not given:
        raise click.ClickException(
            f"A second factor is required of {account.username} from {date_words(begins)} already; a later day would "
            "weaken that."
        )
    if as_json:
        click.echo(json.dumps({"username": account.username, "enforced_from": begins.isoformat()}))
        return
    click.echo(f"{account.username} must have a second factor from {date_words(begins)}.")


@contextmanager
def _phases_in_words() -> Iterator[None]:
    try:
        yield
    except BadPhases as error:
        raise click.ClickException(str(error)) from error


def _show(found: Figures, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(asdict(found), indent=2, default=datetime.isoformat))
        return
    click.echo(f"As of {date_words(found.as_of)}")
    _row("phase", "enforced from", "packages", "accounts", "second factor", "stopped")
    for p in found.phases:
        day = f"{p.enforced_from:%Y-%m-%d}" if p.enforced_from else "–"
        _row(p.phase, day, *(f"{number:,}" for number in (p.packages, p.accounts, p.met, p.stopped)))
    click.echo(f"Maintainers of such packages without an account here: {found.names_without_account:,}")
    for person in found.stopped:
        click.echo(
            f"Stopped: {person.username} ({person.phase}, since {person.enforced_from:%Y-%m-%d}). {person.reason}"
        )


def _row(phase: str, day: str, *numbers: str) -> None:
    click.echo(f"{phase:<12}  {day:<13}" + "".join(f"  {number:>13}" for number in numbers))


GROUPS = (impact, mandates)
