"""`authsvc domains`, for operators. Results go to standard output, messages to standard error."""

import json
import sys
from typing import Any

import click
from flask.cli import with_appcontext

from authsvc import accounts
from authsvc.core import db
from authsvc.core.domain_names import InvalidDomain, mail_domain
from authsvc.core.web import request_time
from authsvc.domains.judging import health_words, judge_address
from authsvc.domains.looks import Look, check_now, last_look
from authsvc.domains.sweep import Sweep, bring_forward, due, sweep

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
        raise click.ClickException("Our resolvers answer known names wrongly; the rest waits until that is over.")
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


GROUPS = (domains,)
