"""`authsvc domains`, for operators. Results go to standard output, messages to standard error."""

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import click
from flask.cli import with_appcontext

from authsvc import accounts
from authsvc.core import db
from authsvc.core.domain_names import InvalidDomain, mail_domain
from authsvc.core.web import request_time
from authsvc.domains.exposure import Finding, Seen, expose
from authsvc.domains.judging import health_words, judge_address
from authsvc.domains.looks import Look, check_now, last_look
from authsvc.domains.mass_change import breaker, lower_breaker, raise_breaker
from authsvc.domains.published import BadLine
from authsvc.domains.sweep import Sweep, bring_forward, due, sweep
from authsvc.policy.domain_verdict import Verdict
from authsvc.policy.exposure import Standing

BAD_LINES_SHOWN = 100  # the rest is counted
STANDINGS = {
    Standing.EXPOSED: "exposed: the account rests on a lost domain here too",
    Standing.NO_ACCOUNT: "without an account here: what is published is all that is known",
    Standing.UNCLEAR: "unclear: the account went elsewhere, and that is not in order either",
    Standing.MOVED_ON: "false alarms: the account moved on to addresses in order",
}

json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@click.group("domains")
def domains() -> None:
    """Mail domains: what is known, and looking again."""


def _look_facts(look: Look) -> dict[str, Any]:
    evidence = look.evidence
    return {
        "domain": look.domain,
        "verdict": look.judgement.verdict.value,
        "reason": look.judgement.reason,
        "generation": look.generation,
        "checked_at": look.checked_at.isoformat(),
        "next_check": look.judgement.recheck_at.isoformat(),
        "dns": evidence.dns.as_json() if evidence else None,
        "rdap": evidence.rdap.as_json() if evidence else None,
        "hosts_rdap": {name: found.as_json() for name, found in evidence.hosts_rdap.items()} if evidence else None,
    }


@domains.command("check")
@click.argument("domain")
@json_option
@with_appcontext
def domains_check(domain: str, as_json: bool) -> None:
    """Ask DNS and the registry about a domain now, and store what it means."""
    try:
        name = mail_domain(domain)
    except InvalidDomain as error:
        raise click.BadParameter(str(error)) from error
    facts = _look_facts(check_now(name, now=request_time()))
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    click.echo(f"{facts['domain']} is {facts['verdict']}: {facts['reason']}")
    for part in ("generation", "checked_at", "next_check", "dns", "rdap", "hosts_rdap"):
        click.echo(f"  {part}: {facts[part]}")


@domains.command("sweep")
@click.option("--limit", type=click.IntRange(1), help="Look at no more than so many.  [default: all that are due]")
@json_option
@with_appcontext
def domains_sweep(limit: int | None, as_json: bool) -> None:
    """Look at the domains that are due, longest due first.

    Any number of sweeps and workers may run at once; they share the work. One that is stopped loses nothing.
    """
    now = request_time()
    bring_forward(now=now)
    with db.transaction():
        waiting = due(now=now)
    length, position = waiting if limit is None else min(limit, waiting), 0
    with click.progressbar(
        length=length, label="Looking at domains", file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:

        def tell(now_at: int) -> None:
            nonlocal position
            bar.update(now_at - position)
            position = now_at

        found = sweep(limit=limit, now=now, at_most=None, progress=tell)
    if as_json:
        click.echo(json.dumps(_figures(found), indent=2))
        return
    _tell(found)


def _figures(found: Sweep) -> dict[str, Any]:
    return {
        "checked": found.checked,
        "as_before": found.as_before,
        "changed": found.changed,
        "blocked": found.blocked,
        "deferred": found.deferred,
        "failed": found.failed,
        "resolvers_fail": found.resolvers_fail,
        "verdicts": dict(sorted(found.verdicts.items())),
        "reasons": dict(found.reasons.most_common()),
    }


def _tell(found: Sweep) -> None:
    click.echo(f"{found.checked:,} domains checked, {found.as_before:,} of them as before")
    click.echo(f"{found.changed:,} verdicts changed")
    click.echo(f"{found.blocked:,} have resets blocked, {found.deferred:,} have them deferred")
    for reason, count in found.reasons.most_common():
        click.echo(f"  {count:>9,}  {reason}")
    if found.resolvers_fail:
        raise click.ClickException(
            "Our resolvers answer known names wrongly; the rest stays as it is until that is over."
        )
    if found.failed:
        click.echo(f"{found.failed:,} looks broke off and are tried again later; the log says why.", err=True)


@domains.command("explain")
@click.argument("address")
@json_option
@with_appcontext
def domains_explain(address: str, as_json: bool) -> None:
    """Say how an address stands, and why."""
    with db.transaction():
        found = accounts.find(address)
        if found is None:
            raise click.ClickException(f"There is no account {address!r}.")
        email = accounts.normalise_address(address)
        view = next(a for a in accounts.addresses(found.id) if a.email == email)
        health, words = health_words(view)
        facts: dict[str, Any] = {
            "address": view.email,
            "account": found.username,
            "health": health,
            "words": words,
            "verdict": view.verdict,
            "generation_at_proof": view.generation,
            "generation_now": view.domain_generation,
            "verified_at": view.verified_at.isoformat() if view.verified_at else None,
            "blocked_at": view.blocked_at.isoformat() if view.blocked_at else None,
            "block_reason": view.block_reason,
        }
        look = last_look(view.domain)
        if look is not None:
            facts |= {"reason": judge_address(look, view).reason, "last_look": _look_facts(look)}
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    for name, value in facts.items():
        if isinstance(value, dict):
            click.echo(f"{name}:")
            for part, seen in value.items():
                click.echo(f"  {part}: {seen}")
        else:
            click.echo(f"{name}: {value if value is not None else '–'}")


@domains.command("breaker")
@click.option("--raise", "change", flag_value="raise", help="Let every change count, for a day, from a day on.")
@click.option("--lower", "change", flag_value="lower", help="Take that back.")
@json_option
@with_appcontext
def domains_breaker(change: str | None, as_json: bool) -> None:
    """Show domains whose lapse or change of hands is held back, because too many came at once.

    Until somebody raises the breaker they are suspect: no reset link goes there. Raising it takes effect after a day,
    because whoever runs this command is one person.
    """
    now = request_time()
    with db.transaction():
        if change == "raise":
            raise_breaker(now=now)
        elif change == "lower":
            lower_breaker()
        found = breaker(now=now)
    if as_json:
        times = (("raised_from", found.raised_from), ("raised_until", found.raised_until))
        facts = {name: at.isoformat() if at else None for name, at in times}
        click.echo(json.dumps({"held": {name: at.isoformat() for name, at in found.held.items()}, **facts}, indent=2))
        return
    for name, at in found.held.items():
        click.echo(f"{name}  since {at:%Y-%m-%d %H:%M} UTC")
    click.echo(f"Held back: {len(found.held):,}")
    if found.raised_from and found.raised_until:
        click.echo(
            f"Every change counts from {found.raised_from:%Y-%m-%d %H:%M} to {found.raised_until:%Y-%m-%d %H:%M} UTC"
        )


@domains.command("exposure")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the result there, readable by you alone. Never writes over a file.",
)
@json_option
@with_appcontext
def domains_exposure(file: Path, output: Path | None, as_json: bool) -> None:
    """Say which published addresses sit at lapsed domains, and which of those are false alarms.

    FILE is a registry's public metadata: one JSON object a line, plain or gzipped, with package, version, email and
    account. Other usual names are understood; docs/exposure.md lists them.

    FOR OPERATORS ONLY. The answer is an attacker's shopping list: keep it off shared screens, tickets and logs, and
    delete it when the owners were told.
    """
    seen, bad = Seen(), list[BadLine]()
    with _written(output) as target, tempfile.TemporaryFile("w+", encoding="utf-8") as found:
        for one in _expose(file, seen):
            if isinstance(one, Finding):
                values = asdict(one.published) | {"verdict": one.verdict, "reason": one.reason}
                found.write(json.dumps(values | {"standing": one.standing.value}) + "\n")
            elif len(bad) < BAD_LINES_SHOWN:
                bad.append(one)
        found.seek(0)
        (_write_json if as_json else _write_table)(found, seen, target)
    for line in bad:
        click.echo(f"{file}:{line.line}: {line.reason}", err=True)
    if seen.bad > len(bad):
        click.echo(f"{file}: and {seen.bad - len(bad):,} more that could not be read", err=True)
    undecided = sum(count for (verdict, _), count in seen.domains.items() if verdict == Verdict.UNKNOWN.value)
    if undecided:
        click.echo(
            f"No answer that tells was given about {undecided:,} of the domains; run this again later.", err=True
        )
    if output is not None:
        click.echo(f"Written to {output}. Delete it when the owners were told.", err=True)


@contextmanager
def _written(output: Path | None) -> Iterator[IO[str]]:
    """Standard output, or a new file with mode 0600, which is gone again when the work breaks off."""
    if output is None:
        yield sys.stdout
        return
    try:
        number = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise click.BadParameter(f"{output}: {error.strerror}", param_hint="--output") from error
    try:
        with open(number, "w", encoding="utf-8") as target:
            yield target
    except BaseException:
        output.unlink()
        raise


def _expose(file: Path, seen: Seen) -> Iterator[Finding | BadLine]:
    position = 0
    with click.progressbar(
        length=file.stat().st_size, label=f"Reading {file.name}", file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:

        def tell(now_at: int) -> None:
            nonlocal position
            bar.update(now_at - position)
            position = now_at

        yield from expose(file, seen, now=request_time(), progress=tell)


def _write_json(found: IO[str], seen: Seen, target: IO[str]) -> None:
    """One object, written piece by piece, so that no number of findings fills the memory."""
    target.write('{"findings": [')
    for number, line in enumerate(found):
        target.write((",\n  " if number else "\n  ") + line.rstrip("\n"))
    by_verdict = [
        {"verdict": verdict, "reason": reason, "domains": count}
        for (verdict, reason), count in seen.domains.most_common()
    ]
    rest = {
        "standings": {one.value: seen.standings[one] for one in Standing},
        "addresses": seen.addresses,
        "lines_without_address": seen.without_address,
        "bad_lines": seen.bad,
        "domains": by_verdict,
    }
    target.write("],\n" + json.dumps(rest, indent=1).removeprefix("{\n") + "\n")


def _write_table(found: IO[str], seen: Seen, target: IO[str]) -> None:
    columns = (("standing", 10), ("email", 34), ("account", 20), ("package", 30), ("version", 12), ("verdict", 12))
    for number, line in enumerate(found):
        if number == 0:
            click.echo("  ".join(f"{name:<{width}}" for name, width in columns) + "  reason", target)
        values = json.loads(line)
        cells = "  ".join(f"{values[name] or '–':<{width}}" for name, width in columns)
        click.echo(f"{cells}  {values['reason']}", target)
    click.echo(f"{seen.addresses:,} published addresses, at {seen.domains.total():,} domains", target)
    for one, words in STANDINGS.items():
        click.echo(f"  {seen.standings[one]:>9,}  {words}", target)
    click.echo("The domains, by what is thought of them:", target)
    for (verdict, reason), count in seen.domains.most_common():
        click.echo(f"  {count:>9,}  {verdict}: {reason}", target)


GROUPS = (domains,)
