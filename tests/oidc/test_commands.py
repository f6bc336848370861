"""Clients and keys from the command line, and which registrations are refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask

from authsvc import oidc
from authsvc.core import db
from authsvc.oidc import clients
from authsvc.oidc.clients import InvalidMetadata
from tests.conftest import Clock
from tests.oidc.site import DEVICE_GRANT, REDIRECT, Site
from tests.people import BASE_URL, Person, Visitor

HEALTHY: dict[str, Any] = {"client_name": "Example site", "redirect_uris": [REDIRECT]}


def run(app: Flask, *words: str) -> Result:
    """One of the slice's commands."""
    groups = {group.name: group for group in oidc.commands}
    return app.test_cli_runner().invoke(groups[words[0]], words[1:])


def test_a_client_is_made_and_its_secret_shown_once(app: Flask, client: Visitor, alice: Person) -> None:
    made = run(app, "clients", "create", "Example site", "--redirect-uri", REDIRECT, "--json")
    assert made.exit_code == 0, made.output
    found = json.loads(made.stdout)
    assert len(found["client_secret"]) >= 43
    site = Site(app, found["client_id"], found["client_secret"])
    assert site.tokens(client)["id_token"]
    listed = run(app, "clients", "list")
    assert "Example site" in listed.stdout
    assert REDIRECT in listed.stdout
    assert found["client_secret"] not in listed.output


def test_a_command_line_program_has_no_secret(app: Flask) -> None:
    made = run(app, "clients", "create", "pkg", "--public", "--device", "--scope", "openid packages:read")
    assert made.exit_code == 0, made.output
    assert "client_secret" not in made.output
    (found,) = json.loads(run(app, "clients", "list", "--json").stdout)
    assert found["grant_types"] == [DEVICE_GRANT, "refresh_token"]
    assert found["token_endpoint_auth_method"] == "none"


def test_a_new_secret_ends_the_old_one(app: Flask, site: Site) -> None:
    rotated = run(app, "clients", "rotate-secret", site.id, "--json")
    assert rotated.exit_code == 0
    assert site.post("/oauth2/introspect", token="x").status_code == 401
    site.secret = json.loads(rotated.stdout)["client_secret"]
    assert site.post("/oauth2/introspect", token="x").status_code == 200
    assert run(app, "clients", "rotate-secret", "nobody").exit_code == 1


def test_clients_are_imported_all_or_none(app: Flask, tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "clients.json"
    brought = {**HEALTHY, "client_id": "shop", "client_secret": "brought along, 128 random bits"}
    file.write_text(json.dumps([brought, {**HEALTHY, "client_name": "Second"}]))
    done = run(app, "clients", "import", str(file), "--json")
    assert done.exit_code == 0, done.output
    first, second = json.loads(done.stdout)
    assert first == {"client_id": "shop"}
    assert second["client_secret"]
    with app.app_context(), db.transaction():
        shop = clients.find("shop")
        assert shop is not None
        assert shop.created_at == clock.now
    # A second import replaces, and keeps a secret that is not brought along
    file.write_text(json.dumps([{**HEALTHY, "client_id": "shop", "client_name": "Renamed"}]))
    assert run(app, "clients", "import", str(file), "--json").stdout == '[\n  {\n    "client_id": "shop"\n  }\n]\n'
    assert Site(app, "shop", brought["client_secret"]).post("/oauth2/introspect", token="x").status_code == 200
    assert "Renamed" in run(app, "clients", "list").stdout
    # One bad entry, and nothing happens
    file.write_text(json.dumps([{**HEALTHY, "client_name": "Third"}, {"client_name": "Bad"}]))
    failed = run(app, "clients", "import", str(file))
    assert failed.exit_code == 1
    assert "Entry 2" in failed.stderr
    assert "Third" not in run(app, "clients", "list").stdout


@pytest.mark.parametrize("text", ["", "{", "{}", "[1]", '[{"client_id": 7}]', "[" * 5000])
def test_a_file_that_holds_no_clients_is_refused(app: Flask, tmp_path: Path, text: str) -> None:
    file = tmp_path / "clients.json"
    file.write_text(text)
    assert run(app, "clients", "import", str(file)).exit_code == 1


def test_wrong_usage_is_told_apart_from_refusals(app: Flask, site: Site) -> None:
    assert run(app, "clients", "create", "Nothing").exit_code == 2
    assert run(app, "clients", "import", "/nowhere").exit_code == 2
    taken = run(app, "clients", "create", "Again", "--device", "--client-id", site.id)
    assert taken.exit_code == 1
    assert run(app, "clients", "create", "Bad", "--redirect-uri", "http://rp.example/").exit_code == 1


def test_keys_are_rotated(app: Flask) -> None:
    def published() -> int:
        return len((app.test_client().get("/oauth2/jwks", base_url=BASE_URL).json or {})["keys"])

    assert run(app, "keys", "rotate").stdout.count("New key ") == 2
    assert published() == 4
    dropped = run(app, "keys", "rotate", "--compromised")
    assert dropped.stdout.count("New key ") == 2
    assert published() == 2


@pytest.mark.attack("O32")
@pytest.mark.parametrize(
    ("changes", "error"),
    [
        *(
            ({"redirect_uris": uris}, "invalid_redirect_uri")
            for uris in (
                [],
                ["http://rp.example/callback"],
                ["https://rp.example/callback#fragment"],
                ["https://*.rp.example/callback"],
                ["https://user@rp.example/callback"],
                ["https://"],
                ["https://[/"],
                ["https://rp.example:99999/"],
                ["https://rp.example/a b"],
                ["https://rp.example/\n"],
                ["https://rp.example/\\evil"],
                ["https://rp.exämple/"],
                ["//rp.example/callback"],
                ["javascript:alert(1)"],
                ["data:text/html,x"],
                ["com.example.app:/callback"],
                ["https://rp.example/" + "a" * 1000],
                [f"https://rp.example/{i}" for i in range(21)],
            )
        ),
        ({"redirect_uris": REDIRECT}, "invalid_client_metadata"),
        ({"redirect_uris": [7]}, "invalid_client_metadata"),
        ({"post_logout_redirect_uris": ["http://rp.example/"]}, "invalid_redirect_uri"),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": ["none"]}, "invalid_client_metadata"),
        ({"grant_types": ["implicit"]}, "invalid_client_metadata"),
        ({"grant_types": ["password"]}, "invalid_client_metadata"),
        ({"response_types": ["token"]}, "invalid_client_metadata"),
        ({"grant_types": [DEVICE_GRANT], "response_types": ["code"]}, "invalid_client_metadata"),
        ({"client_name": ""}, "invalid_client_metadata"),
        ({"client_name": "x" * 101}, "invalid_client_metadata"),
        ({"client_name": "two\nlines"}, "invalid_client_metadata"),
        ({"client_name": "\u202eevil"}, "invalid_client_metadata"),
        ({"client_name": 7}, "invalid_client_metadata"),
        ({"scope": "openid root"}, "invalid_client_metadata"),
        ({"id_token_signed_response_alg": "none"}, "invalid_client_metadata"),
        ({"id_token_signed_response_alg": "HS256"}, "invalid_client_metadata"),
        ({"resource_server": "yes"}, "invalid_client_metadata"),
        ({"resource_server": True, "token_endpoint_auth_method": "none"}, "invalid_client_metadata"),
    ],
)
def test_a_dangerous_registration_is_refused(changes: dict[str, Any], error: str) -> None:
    with pytest.raises(InvalidMetadata) as refused:
        clients.read_metadata({**HEALTHY, **changes})
    assert refused.value.error == error


def test_what_a_registration_leaves_out_is_the_safe_thing() -> None:
    found = clients.read_metadata(HEALTHY)
    assert found.auth_method == "client_secret_basic"
    assert found.grant_types == ["authorization_code"]
    assert found.id_token_alg == "RS256"
    assert not found.resource_server


@pytest.mark.parametrize(
    ("client_id", "secret"), [("", None), ("x" * 65, None), ("ü", None), ("a\nb", None), ("shop", "short")]
)
def test_ids_and_secrets_that_cannot_be_used_are_refused(
    app: Flask, clock: Clock, client_id: str, secret: str | None
) -> None:
    with app.app_context(), db.transaction(), pytest.raises(InvalidMetadata):
        clients.put(client_id, clients.read_metadata(HEALTHY), secret=secret, now=clock.now)
