"""The `authsvc` command, for operators. Results go to standard output, messages to standard error."""

import json
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import click
from flask import Flask
from flask.cli import ScriptInfo
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from authsvc import accounts, audit, domains, freezes, holds, mail, mandates, oidc, passwords, worker
from authsvc.app import create_app, utc_now
from authsvc.audit import EventType
from authsvc.core import config, db, migrate
from authsvc.core.config import LOOPBACK_HOSTS, SettingError, Settings
from authsvc.policy.freeze import FreezeCause
from authsvc.policy.hold import HoldCause

THREADS = 8  # per process; two of them stay free of password hashing (POLICY 7)


class Moment(click.ParamType[datetime]):
    """A date or time in ISO 8601, or `now`. Without a zone it is UTC."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The aware time; fails with exit code 2."""
        if isinstance(value, datetime):
            return value
        if value == "now":
            return utc_now()
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not a date such as 2026-11-24 or 2026-11-24T12:00:00+00:00", param, ctx)
        return found if found.tzinfo else found.replace(tzinfo=UTC)


class Commands(click.Group):
    """Says in words what a database without our schema, or none at all, does to every command."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; exits 1 with a message when the database cannot be used."""
        try:
            return super().invoke(ctx)
        except (OperationalError, ProgrammingError) as error:
            raise click.ClickException(
                f"The database cannot be used; try `authsvc db upgrade`. ({error.orig})"
            ) from error


@click.group(cls=Commands, help=__doc__)
@click.version_option(package_name="authsvc")
@click.pass_context
def main(ctx: click.Context) -> None:
    """The command group; subcommands say what they do."""
    ctx.obj = ScriptInfo(create_app=_app, set_debug_flag=False)  # for the slices' commands: Flask's @with_appcontext


def _settings() -> Settings:
    try:
        return config.load()
    except SettingError as error:
        raise click.ClickException(str(error)) from error


def _app() -> Flask:
    try:
        app = create_app(_settings())
    except (SettingError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    click.get_current_context().call_on_close(app.extensions["authsvc.engine"].dispose)
    return app


def _upgrade(settings: Settings) -> None:
    settings.instance.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        migrate.upgrade(settings.database)
    except OperationalError as error:
        raise click.ClickException(f"The database does not answer: {error.orig}") from error


# serve and worker


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8000, show_default=True)
@click.option("--workers", type=click.IntRange(1), help="Web processes; default: one for each core.")
@click.option("--no-worker", is_flag=True, help="Do not run a worker beside the web server.")
def serve(host: str, port: int, workers: int | None, no_worker: bool) -> None:
    """Serve the web pages, with one worker beside them."""
    from granian.constants import Interfaces
    from granian.server import Server

    settings = _settings()
    count = workers or settings.workers or os.cpu_count() or 1
    if host not in LOOPBACK_HOSTS and settings.smtp_url.startswith("file:"):
        raise click.ClickException(
            f"--host {host} is open to other machines, but mail goes to a local folder. Set AUTHSVC_SMTP_URL."
        )
    _upgrade(settings)
    with _app().app_context(), db.transaction():
        oidc.ensure_keys(now=utc_now())
    os.environ["AUTHSVC_WORKERS"] = str(count)
    beside = None if no_worker else subprocess.Popen([sys.executable, "-m", "authsvc.cli", "worker"])
    click.echo(f"authsvc is at {settings.base_url}")
    if settings.smtp_url.startswith("file:"):
        click.echo(f"Mail is readable at {settings.base_url}/dev/mailbox")
    click.echo("Make the first staff account with:")
    click.echo("  authsvc accounts create NAME ADDRESS --staff --verified-at now --password-stdin")
    try:
        Server(
            "authsvc.app:wsgi",
            address=host,
            port=port,
            interface=Interfaces.WSGI,
            factory=True,
            workers=count,
            blocking_threads=THREADS,
            log_access=False,
        ).serve()
    finally:
        if beside is not None:
            beside.terminate()
            beside.wait(timeout=30)


def _check_port(host: str, port: int) -> None:
    """Say so when somebody else listens there; the server itself would share the port without a word."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise click.ClickException(f"--port {port} on {host} cannot be used: {error.strerror}") from error


@main.command("worker")
def worker_command() -> None:
    """Deliver mail and run scheduled work, until stopped. Start as many as wanted."""
    import logging

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    worker.run(_app())


# db


@main.group("db")
def db_group() -> None:
    """The database's schema."""


@db_group.command("upgrade")
def db_upgrade() -> None:
    """Bring the database to the newest schema; makes the SQLite file where there is none."""
    settings = _settings()
    _upgrade(settings)
    click.echo(f"The database is at revision {migrate.current(settings.database)}")


@db_group.command("current")
def db_current() -> None:
    """Print the schema's revision, and whether it is the newest."""
    found, newest = migrate.current(_settings().database), migrate.newest()
    click.echo(
        f"{found or 'empty'}{' (newest)' if found == newest else f'; newest is {newest}, run authsvc db upgrade'}"
    )


# accounts


@main.group("accounts")
def accounts_group() -> None:
    """Accounts, by hand."""


@accounts_group.command("create")
@click.argument("username")
@click.argument("email")
@click.option(
    "--verified-at",
    type=Moment(),
    help="When the address was proved; `now` is allowed. Without: not verified.",
)
@click.option("--staff", is_flag=True, help="May use the staff console.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
def accounts_create(username: str, email: str, verified_at: datetime | None, staff: bool, password_stdin: bool) -> None:
    """Make an account. Prints no secret."""
    now = utc_now()
    with _app().app_context():
        try:
            name, address = accounts.canonical_username(username), accounts.normalise_address(email)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error
        hashed = None
        if password_stdin:
            password = sys.stdin.readline().rstrip("\n")
            problem = passwords.problem_with(password, username=name)
            if problem is not None:
                raise click.ClickException(problem)
            hashed = passwords.hash_new(password)
        try:
            with db.transaction():
                account_id = accounts.create(username=name, now=now, is_staff=staff)
                address_id = accounts.add_address(account_id, address, is_primary=True, verified_at=None, now=now)
                if verified_at is not None:
                    domains.record_verification(
                        address_id, address.rpartition("@")[2], verified_at=verified_at, now=now
                    )
                if hashed is not None:
                    passwords.set_hash(account_id, hashed, now=now)
                mandates.link_account(account_id, name, now=now)
                audit.record(EventType.ACCOUNT_CREATED, account_id=account_id, at=now, by="operator")
        except IntegrityError as error:
            raise click.ClickException("That user name, or that verified address, exists already.") from error
    click.echo(f"Created {name}.")
    if hashed is None:
        click.echo("It has no password yet; its owner sets one through “Forgot password”.", err=True)


@accounts_group.command("show")
@click.argument("username")
@click.option("--json", "as_json", is_flag=True)
def accounts_show(username: str, as_json: bool) -> None:
    """What is known about an account, without secrets."""
    now = utc_now()
    with _app().app_context(), db.transaction():
        found = _account(username)
        hold = holds.current(found.id, now=now)
        mandate = mandates.upcoming(found.id, now=now)
        facts: dict[str, Any] = {
            "username": found.username,
            "sub": found.sub,
            "created_at": found.created_at.isoformat(),
            "state": "disabled" if found.disabled else "frozen" if found.frozen else "hold" if hold else "open",
            "staff": found.is_staff,
            "password": passwords.exists(found.id),
            "authenticators": [
                {"kind": a.kind.value, "label": a.label, "senior": a.senior}
                for a in accounts.enrolled(found.id, now=now)
            ],
            "addresses": [
                {
                    "email": a.email,
                    "primary": a.is_primary,
                    "verified_at": a.verified_at.isoformat() if a.verified_at else None,
                    "verdict": a.verdict,
                    "blocked": a.block_reason,
                    "trusted": a.trusted,
                }
                for a in accounts.addresses(found.id)
            ],
            "hold": {"cause": hold.cause.value, "ends_at": hold.ends_at.isoformat()} if hold else None,
            "mandate": {"reason": mandate.reason, "enforced_from": mandate.enforced_from.isoformat()}
            if mandate
            else None,
        }
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    for name, value in facts.items():
        if isinstance(value, list):
            click.echo(f"{name}:")
            for item in value:
                click.echo("  " + ", ".join(f"{k} {v}" for k, v in item.items()))
        elif isinstance(value, dict):
            click.echo(f"{name}: " + ", ".join(f"{k} {v}" for k, v in value.items()))
        else:
            click.echo(f"{name}: {value if value is not None else '–'}")


def _account(username: str) -> accounts.AccountView:
    found = accounts.find(username)
    if found is None:
        raise click.ClickException(f"There is no account {username!r}.")
    return found


def _change(username: str, reason: str, event: EventType, words: str) -> None:
    """Change an account's state by hand; everything issued dies with the epoch."""
    now = utc_now()
    with _app().app_context(), db.transaction():
        found = _account(username)
        match event:
            case EventType.ACCOUNT_FROZEN:
                begun = freezes.begin(
                    found.id,
                    FreezeCause.OPERATOR,
                    disputed_at=now,
                    client=None,
                    now=now,
                    by="operator",
                    reason=reason,
                )
                if not begun:
                    raise click.ClickException(f"{found.username} is frozen already.")
            case EventType.ACCOUNT_DISABLED:
                accounts.set_disabled(found.id, now=now)
            case EventType.ACCOUNT_ENABLED:
                accounts.set_disabled(found.id, now=None)
                if found.frozen:  # a freeze ends with a new password and a hold (POLICY 5)
                    freezes.release(found.id, now=now)
                    accounts.require_new_password(found.id, "frozen")
                    holds.begin(found.id, HoldCause.OPERATOR, client=None, now=now)
            case EventType.HOLD_BEGUN:
                if not holds.begin(found.id, HoldCause.OPERATOR, client=None, now=now):
                    raise click.ClickException(f"{found.username} is in a hold by an operator already.")
        if event is not EventType.ACCOUNT_FROZEN:
            if event is not EventType.HOLD_BEGUN:
                accounts.raise_epoch(found.id)
            audit.record(event, account_id=found.id, at=now, by="operator", reason=reason)
            mail.notify(
                found.id,
                "operator_acted",
                subject=f"Your account {found.username} is {words}",
                now=now,
                username=found.username,
                words=words,
                reason=reason,
                client=None,
            )
    click.echo(f"{found.username} is {words}.")


@accounts_group.command("hold")
@click.argument("username")
@click.option("--reason", required=True)
def accounts_hold(username: str, reason: str) -> None:
    """Make risky actions of an account wait."""
    _change(username, reason, EventType.HOLD_BEGUN, "in a hold")


@accounts_group.command("freeze")
@click.argument("username")
@click.option("--reason", required=True)
def accounts_freeze(username: str, reason: str) -> None:
    """Freeze an account: no sign-in gives rights, all sessions and tokens end."""
    _change(username, reason, EventType.ACCOUNT_FROZEN, "frozen")


@accounts_group.command("disable")
@click.argument("username")
@click.option("--reason", required=True)
def accounts_disable(username: str, reason: str) -> None:
    """Disable an account: outwardly its password is wrong."""
    _change(username, reason, EventType.ACCOUNT_DISABLED, "disabled")


@accounts_group.command("enable")
@click.argument("username")
@click.option("--reason", required=True)
def accounts_enable(username: str, reason: str) -> None:
    """Enable a disabled or frozen account again."""
    _change(username, reason, EventType.ACCOUNT_ENABLED, "open again")


# doctor


@main.command()
def doctor() -> None:
    """Check the configuration; exits 1 on a dangerous setting."""
    settings = _settings()
    problems: list[str] = []
    if not settings.is_loopback and settings.smtp_url.startswith("file:"):
        problems.append("AUTHSVC_SMTP_URL: mail goes to a local folder although the service is public")
    if settings.argon2_memory_kib < 19456 or settings.argon2_time_cost < 2:
        problems.append("AUTHSVC_ARGON2_…: weaker than the OWASP minimum of 19456 KiB and 2 passes")
    if settings.password_min_length < 15:
        problems.append(
            "AUTHSVC_PASSWORD_MIN_LENGTH: below 15, which NIST SP 800-63B-4 asks of a password that stands alone"
        )
    if settings.allow_loopback_targets and not settings.is_loopback:
        problems.append("AUTHSVC_ALLOW_LOOPBACK_TARGETS: outgoing calls may reach private addresses")
    if settings.open_registration and not settings.is_loopback:
        problems.append("AUTHSVC_OPEN_REGISTRATION: anybody may register OAuth clients")
    keys = settings.sealing_keys
    if not keys.exists() and not settings.database.startswith("sqlite"):
        problems.append(f"AUTHSVC_SEALING_KEYS_FILE: {keys} is missing, so nothing will start")
    if keys.exists() and keys.stat().st_mode & 0o077:
        problems.append(f"{keys} can be read by others; run chmod 600 on it")
    found = migrate.current(settings.database)
    if found != migrate.newest():
        problems.append("the database is not at the newest schema; run authsvc db upgrade")
    for problem in problems:
        click.echo(f"Problem: {problem}")
    if problems:
        sys.exit(1)
    click.echo("Nothing dangerous found.")


for group in (*domains.commands, *oidc.commands, *mandates.commands, *audit.commands):
    main.add_command(group)


if __name__ == "__main__":
    main()
