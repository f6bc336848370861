"""`authsvc audit`, for operators. Results go to standard output, messages to standard error."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click
from flask.cli import with_appcontext

from authsvc.audit import chain
from authsvc.audit.chain import Head, Report
from authsvc.core import db
from authsvc.core.templating import date_words

json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


class Heads(click.ParamType[list[Head]]):
    """`POSITION:MAC`, or a file with one of them a line."""

    name = "head|file"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> list[Head]:
        """The heads; fails with exit code 2."""
        path = Path(value)
        try:
            lines = path.read_text(encoding="ascii").split() if path.is_file() else [value]
            return [Head.parse(line) for line in lines]
        except (ValueError, OSError) as error:
            self.fail(f"{value!r} is neither POSITION:MAC nor a file of such lines: {error}", param, ctx)


@click.group("audit")
def audit_group() -> None:
    """The security log."""


@audit_group.command("head")
@json_option
@with_appcontext
def audit_head(as_json: bool) -> None:
    """Print POSITION:MAC of the newest chained event. Keep it on another machine, one line after the other."""
    with db.snapshot():
        found = chain.head()
    click.echo(json.dumps(asdict(found)) if as_json else str(found))


@audit_group.command("verify")
@click.option("--head", "heads", type=Heads(), multiple=True, help="A head kept elsewhere, or a file of them.")
@json_option
@with_appcontext
def audit_verify(heads: tuple[list[Head], ...], as_json: bool) -> None:
    """Walk the chain of the security log; exits 1 and names the first place that does not hold.

    With --head it also shows that a head kept elsewhere is still part of the chain, so that its end was not cut off.
    """
    kept = [head for some in heads for head in some]
    with db.snapshot(), click.progressbar(length=chain.length(), label="Events", file=sys.stderr) as bar:
        report = chain.verify_chain(kept, progress=bar.update)
    if as_json:
        click.echo(json.dumps(_facts(report), indent=2))
    else:
        _say(report, kept)
    if report.broken:
        sys.exit(1)


def _facts(report: Report) -> dict[str, object]:
    since = report.unchained_since
    return {
        "events": report.events,
        "pruned_up_to": report.pruned,
        "broken_at": report.broken.position if report.broken else None,
        "broken": asdict(report.broken) if report.broken else None,
        "head": asdict(report.head),
        "unchained": report.unchained,
        "unchained_since": since.isoformat() if since else None,
    }


def _say(report: Report, kept: list[Head]) -> None:
    if report.pruned:
        click.echo(f"Pruned in time: events up to position {report.pruned}.")
    if report.broken is None:
        click.echo(f"{report.events} events in order. Head: {report.head}")
        old = sum(one.position < report.pruned for one in kept)
        if len(kept) > old:
            click.echo(f"Heads found in the chain: {len(kept) - old}.")
        if old:
            click.echo(f"Heads that can no longer be compared, because they were pruned: {old}.", err=True)
    else:
        shown = f" (event {report.broken.event_id})" if report.broken.event_id is not None else ""
        click.echo(f"Broken at position {report.broken.position}{shown}: {report.broken.why}.")
        click.echo(f"The {report.events} events before it are in order.")
    if report.unchained and report.unchained_since:
        click.echo(
            f"{report.unchained} events are not chained yet, the oldest of {date_words(report.unchained_since)}. "
            "The worker does that within a second; is it running?",
            err=True,
        )


GROUPS = (audit_group,)
