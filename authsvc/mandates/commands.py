"""`authsvc impact`, for operators; `mandate_commands` has the other group. Results go to standard output."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import click
from flask import current_app
from flask.cli import with_appcontext

from authsvc import accounts
from authsvc.core import db
from authsvc.core.web import request_time, settings
from authsvc.mandates import importing
from authsvc.mandates.guarding import ManyWouldGo
from authsvc.mandates.impact import of_account as impact_of_account
from authsvc.mandates.mandate_commands import mandates
from authsvc.mandates.phases import BadPhases
from authsvc.mandates.reading import UnreadableFile
from authsvc.mandates.snapshots import Lost, Running

json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


# impact


@click.group("impact")
def impact() -> None:
    """What packages are used by how many, and who maintains them."""


@impact.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--changes", is_flag=True, help="Add and update what the files name; what they do not name stays.")
@click.option("--keep-going", is_flag=True, help="Leave bad lines out and import the good ones.")
@click.option("--even-if-many-go", is_flag=True, help="Also where an ecosystem would lose more than a fifth.")
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
    if isinstance(done, ManyWouldGo):
        raise click.ClickException(
            f"{done.lost:,} of the {done.of:,} {done.words} in {done.ecosystem} would lose their protection, with "
            "those of the last 30 days; nothing was imported. If the files are right, say --even-if-many-go."
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
    except (UnreadableFile, BadPhases) as error:
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


GROUPS = (impact, mandates)
