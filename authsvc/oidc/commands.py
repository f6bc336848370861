"""The `authsvc clients` and `authsvc keys` commands."""

import json
from pathlib import Path
from typing import Any

import click
from flask.cli import with_appcontext

from authsvc.core import db
from authsvc.core.web import request_time
from authsvc.oidc import clients, keys
from authsvc.oidc.clients import DEVICE, ITSELF, ClientView, InvalidMetadata


@click.group("clients")
def clients_group() -> None:
    """Programs that sign people in through this service."""


@clients_group.command("create")
@click.argument("name")
@click.option("--redirect-uri", "redirect_uris", multiple=True, help="Where people are sent back to. May be repeated.")
@click.option("--post-logout-redirect-uri", "post_logout", multiple=True, help="The same after signing out.")
@click.option("--public", is_flag=True, help="It cannot keep a secret: a command-line or browser program.")
@click.option("--device", is_flag=True, help="It may use the device grant.")
@click.option("--for-itself", is_flag=True, help="It asks for itself, without an account; give --scope.")
@click.option("--resource-server", is_flag=True, help="It may introspect the tokens that it is shown.")
@click.option("--scope", help="What it may ask for, separated by spaces.")
@click.option("--client-id", help="Default: a random one.")
@click.option("--json", "as_json", is_flag=True)
@with_appcontext
def clients_create(
    name: str,
    redirect_uris: tuple[str, ...],
    post_logout: tuple[str, ...],
    public: bool,
    device: bool,
    for_itself: bool,
    resource_server: bool,
    scope: str | None,
    client_id: str | None,
    as_json: bool,
) -> None:
    """Register a program. Prints its secret, for the only time."""
    grant_types = (["authorization_code"] if redirect_uris else []) + ([DEVICE] if device else [])
    if grant_types:
        grant_types.append("refresh_token")
    if for_itself:
        grant_types.append(ITSELF)
    metadata: dict[str, Any] = {
        "client_name": name,
        "redirect_uris": list(redirect_uris),
        "post_logout_redirect_uris": list(post_logout),
        "grant_types": grant_types,
        "token_endpoint_auth_method": "none" if public else "client_secret_basic",
        "resource_server": resource_server,
    }
    if scope is not None:
        metadata["scope"] = scope
    if not grant_types and not resource_server:
        raise click.UsageError("It could do nothing: give --redirect-uri, --device, --for-itself or --resource-server.")
    with db.transaction():
        if client_id is not None and clients.find(client_id) is not None:
            raise click.ClickException(f"There is a client {client_id!r} already.")
        made, secret = _put(client_id, metadata, None)
    _say(made, secret, as_json)


@clients_group.command("list")
@click.option("--json", "as_json", is_flag=True)
@with_appcontext
def clients_list(as_json: bool) -> None:
    """All programs, without their secrets."""
    with db.transaction():
        found = [_facts(c) for c in clients.all_clients()]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for facts in found:
        click.echo(f"{facts['client_id']}  {facts['client_name']}")
        click.echo(f"  {facts['token_endpoint_auth_method']}; {' '.join(facts['grant_types']) or 'introspection only'}")
        for uri in facts["redirect_uris"]:
            click.echo(f"  {uri}")


def _facts(client: ClientView) -> dict[str, Any]:
    """A client in RFC 7591's words."""
    return {
        "client_id": client.id,
        "client_name": client.name,
        "redirect_uris": client.redirect_uris,
        "post_logout_redirect_uris": client.post_logout_redirect_uris,
        "grant_types": client.grant_types,
        "token_endpoint_auth_method": client.auth_method,
        "scope": client.scopes,
        "id_token_signed_response_alg": client.id_token_alg,
        "resource_server": client.resource_server,
    }


@clients_group.command("rotate-secret")
@click.argument("client_id")
@click.option("--json", "as_json", is_flag=True)
@with_appcontext
def clients_rotate_secret(client_id: str, as_json: bool) -> None:
    """Make a new secret and print it; the old one stops working at once."""
    with db.transaction():
        secret = clients.rotate_secret(client_id)
    if secret is None:
        raise click.ClickException(f"There is no client {client_id!r} that has a secret.")
    _say(client_id, secret, as_json)


@clients_group.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True)
@with_appcontext
def clients_import(file: Path, as_json: bool) -> None:
    """Register programs from a list of RFC 7591 metadata objects, all or none.

    An entry may bring its client_id and client_secret; one whose client_id exists replaces what is registered. Secrets
    that had to be made are printed.
    """
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise click.ClickException(f"{file} is not JSON: {error}") from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise click.ClickException(f"{file} must hold a list of objects.")
    made: list[tuple[str, str | None]] = []
    with db.transaction():
        for number, entry in enumerate(entries, start=1):
            named = {name: entry.get(name) for name in ("client_id", "client_secret")}
            if not all(value is None or isinstance(value, str) for value in named.values()):
                raise click.ClickException(f"Entry {number}: client_id and client_secret must be text.")
            try:
                made.append(_put(named["client_id"], entry, named["client_secret"]))
            except click.ClickException as error:
                raise click.ClickException(f"Entry {number}: {error.message}") from error
    if as_json:
        click.echo(json.dumps([_answer(*pair) for pair in made], indent=2))
        return
    for client_id, secret in made:
        _say(client_id, secret, as_json=False)


def _put(client_id: str | None, metadata: dict[str, Any], secret: str | None) -> tuple[str, str | None]:
    try:
        return clients.put(client_id, clients.read_metadata(metadata), secret=secret, now=request_time())
    except InvalidMetadata as error:
        raise click.ClickException(f"{error} ({error.error})") from error


def _answer(client_id: str, secret: str | None) -> dict[str, str]:
    return {"client_id": client_id, **({"client_secret": secret} if secret else {})}


def _say(client_id: str, secret: str | None, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(_answer(client_id, secret)))
        return
    for name, value in _answer(client_id, secret).items():
        click.echo(f"{name}: {value}")
    if secret is not None:
        click.echo("Keep the secret now; it cannot be shown again.", err=True)


@click.group("keys")
def keys_group() -> None:
    """Keys that sign ID tokens."""


@keys_group.command("rotate")
@click.option("--compromised", is_flag=True, help="Drop every older key at once; what it signed is void.")
@with_appcontext
def keys_rotate(compromised: bool) -> None:
    """Make new signing keys. They are published now and sign in an hour; with --compromised at once."""
    with db.transaction():
        made = keys.rotate(compromised=compromised, now=request_time())
    for kid in made:
        click.echo(f"New key {kid}")
    if compromised:
        click.echo(f"Older keys are dropped. Caches may still hold them for {keys.JWKS_MAX_AGE}.", err=True)


commands = (clients_group, keys_group)
