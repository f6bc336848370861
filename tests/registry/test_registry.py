"""What registries push and read over HTTP, and that nobody else does."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from authsvc import mandates
from authsvc.core import db
from authsvc.mandates import snapshots
from authsvc.mandates.models import Ownership, Package
from authsvc.tokens import ACCESS_LIFE, PROGRAM_SCOPES
from tests.conftest import NOON, Clock
from tests.oidc.site import Site, register, sign_in
from tests.people import BASE_URL, Person, Visitor
from tests.slices import request_to

MakeAccount = Callable[..., Person]
PACKAGES, MAINTAINERS = "/api/v1/impact/npm/packages/", "/api/v1/impact/npm/maintainers/"


@pytest.fixture
def registry(app: Flask, clock: Clock) -> Site:
    """A registry's client."""
    return register(
        app, now=clock.now, redirect_uris=[], grant_types=["client_credentials"], scope=" ".join(PROGRAM_SCOPES)
    )


def ask(site: Site, **changes: Any) -> TestResponse:
    """Ask for a token."""
    return site.post("/oauth2/token", grant_type="client_credentials", **changes)


def call(app: Flask, token: str, method: str, path: str, **sent: Any) -> TestResponse:
    """Call the interface."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return app.test_client().open(path, method=method, headers=headers, base_url=BASE_URL, **sent)


@pytest.fixture
def put(registry: Site) -> Callable[..., TestResponse]:
    """Push something with a fresh token."""
    token = (ask(registry).json or {})["access_token"]
    return lambda path, body: call(registry.app, token, "PUT", path, json=body)


def stored(app: Flask, row: type[Package] | type[Ownership]) -> list[dict[str, Any]]:
    """The rows there are."""
    with app.app_context(), db.transaction() as session:
        return [vars(found) for found in session.query(row)]


# Tokens


def test_a_client_gets_a_token_for_itself_without_a_refresh_token(registry: Site) -> None:
    answer = ask(registry)
    assert answer.headers["Cache-Control"] == "no-store"
    sent = answer.json or {}
    assert sent.pop("access_token").startswith("authsvc_ct_")
    assert sent == {"token_type": "Bearer", "expires_in": 3600, "scope": "impact:write mandates:read"}


def test_a_token_may_be_asked_for_less_and_never_for_more(registry: Site) -> None:
    token = (ask(registry, scope="mandates:read").json or {})["access_token"]
    answer = call(registry.app, token, "PUT", PACKAGES + "a", json={"dependents": 1})
    assert (answer.status_code, (answer.json or {})["error"]) == (403, "insufficient_scope")
    for scope in ("openid", "mandates:read openid", "packages:publish"):
        refused = ask(registry, scope=scope)
        assert (refused.status_code, (refused.json or {})["error"]) == (400, "invalid_scope")


def test_a_client_registered_for_people_gets_no_token_for_itself(app: Flask, clock: Clock) -> None:
    answer = ask(register(app, now=clock.now))
    assert (answer.json or {})["error"] == "unauthorized_client"


@pytest.mark.parametrize(
    "metadata",
    [
        {"grant_types": ["client_credentials"], "token_endpoint_auth_method": "none"},
        {"grant_types": ["client_credentials"], "scope": "openid"},
        {"grant_types": ["authorization_code"], "scope": "openid impact:write"},
    ],
)
def test_a_client_for_itself_has_a_secret_and_a_scope_for_programs(
    app: Flask, clock: Clock, metadata: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="client_credentials"):
        register(app, now=clock.now, **{"scope": "impact:write", **metadata})


def test_people_are_never_asked_for_a_scope_of_programs(
    app: Flask, clock: Clock, client: Visitor, make_account: MakeAccount
) -> None:
    site = register(
        app, now=clock.now, grant_types=["authorization_code", "client_credentials"], scope="openid impact:write"
    )
    sign_in(client, make_account("alice"), now=clock.now)
    assert site.tokens(client, scope="openid impact:write")["scope"] == "openid"


@pytest.mark.parametrize(("late", "status"), [(timedelta(seconds=-1), 200), (timedelta(0), 401)])
def test_a_token_ends_after_its_hour(registry: Site, clock: Clock, late: timedelta, status: int) -> None:
    token = (ask(registry).json or {})["access_token"]
    clock.now += ACCESS_LIFE + late
    assert call(registry.app, token, "GET", "/api/v1/mandates/alice").status_code == status


def test_a_token_given_back_is_over_and_only_its_own_client_gives_it_back(registry: Site, clock: Clock) -> None:
    token = (ask(registry).json or {})["access_token"]
    other = register(registry.app, now=clock.now)
    for site, status in ((other, 200), (registry, 401)):
        assert site.post("/oauth2/revoke", token=token).status_code == 200
        assert call(registry.app, token, "GET", "/api/v1/mandates/alice").status_code == status


@pytest.mark.parametrize("token", ["", "authsvc_ct_none", "x"])
@pytest.mark.parametrize(
    ("method", "path"), [("PUT", PACKAGES + "a"), ("PUT", MAINTAINERS + "a"), ("GET", "/api/v1/mandates/alice")]
)
def test_without_a_token_nothing_is_told_or_taken(app: Flask, token: str, method: str, path: str) -> None:
    answer = call(app, token, method, path, json={"dependents": 1, "maintainers": []})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert stored(app, Package) == []


def test_a_person_s_session_or_token_opens_nothing_here(
    app: Flask, clock: Clock, client: Visitor, make_account: MakeAccount
) -> None:
    sign_in(client, make_account("alice"), now=clock.now)
    assert client.get("/api/v1/mandates/alice").status_code == 401
    token = register(app, now=clock.now).tokens(client)["access_token"]
    assert call(app, token, "GET", "/api/v1/mandates/alice").status_code == 403


# Pushes


def test_a_package_is_pushed_and_the_same_again_changes_nothing(app: Flask, put: Callable[..., TestResponse]) -> None:
    figures = {"weekly_downloads": 2_100_000, "dependents_ge_500": False}
    about = {"ecosystem": "npm", "package": "@a/maintainers"}
    for added in (1, 0):
        answer = put(PACKAGES + "@a/maintainers", figures)
        assert answer.json == {**about, "added": added, "changed": 0, "removed": 0}
    assert put(PACKAGES + "@a/maintainers", {"dependents": 7}).json == {**about, "added": 0, "changed": 1, "removed": 0}
    (row,) = stored(app, Package)
    assert (row["weekly_downloads"], row["dependents"], row["high_impact"]) == (None, 7, False)


def test_pypi_names_are_one_in_every_spelling(app: Flask, put: Callable[..., TestResponse]) -> None:
    put("/api/v1/impact/pypi/packages/Zope.Interface", {"dependents": 1})
    answer = put("/api/v1/impact/pypi/packages/zope_interface", {"dependents": 1})
    assert answer.json == {"ecosystem": "pypi", "package": "zope-interface", "added": 0, "changed": 0, "removed": 0}


def test_maintainers_are_all_that_are_named_and_keep_their_first_acceptance(
    app: Flask, clock: Clock, put: Callable[..., TestResponse], make_account: MakeAccount
) -> None:
    alice = make_account("alice")
    body = {"maintainers": [{"account": "Alice", "role": "owner"}, {"account": "bob", "accepted_at": None}]}
    assert (put(MAINTAINERS + "left-pad", body).json or {})["added"] == 2
    clock.advance(minutes=30)
    assert put(MAINTAINERS + "left-pad", body).json == {
        "ecosystem": "npm",
        "package": "left-pad",
        "added": 0,
        "changed": 0,
        "removed": 0,
    }
    early = {"maintainers": [{"account": "alice", "role": "owner", "accepted_at": "2020-01-01"}]}
    answer = put(MAINTAINERS + "left-pad", early).json or {}
    assert (answer["changed"], answer["removed"]) == (1, 1)
    (row,) = stored(app, Ownership)
    assert (row["account_id"], row["role"], row["accepted_at"]) == (alice.id, "owner", datetime(2020, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        (PACKAGES + "a", [], "The body must be a JSON object."),
        (PACKAGES + "a", {}, "Holds none of weekly_downloads, "),
        (PACKAGES + "a", {"dependents": "many"}, "Dependents 'many' is not a whole number"),
        (PACKAGES + "a b", {"dependents": 1}, "The package name 'a b' is empty, holds a space"),
        ("/api/v1/impact/NPM/packages/a", {"dependents": 1}, "The ecosystem 'NPM' is not one word"),
        (MAINTAINERS + "a", {}, "maintainers must be a list of at most 500 objects."),
        (MAINTAINERS + "a", {"maintainers": ["alice"]}, "Maintainer 1: not a JSON object."),
        (MAINTAINERS + "a", {"maintainers": [{"account": "a"}, {"account": "A"}]}, "Maintainer 2: a is named twice."),
        (MAINTAINERS + "a", {"maintainers": [{"account": "!"}]}, "Maintainer 1: the account '!' can be nobody's"),
        (MAINTAINERS + "a", {"maintainers": [{"account": "a", "accepted_at": "soon"}]}, "Maintainer 1: accepted_at"),
    ],
)
def test_what_cannot_be_stored_is_refused_in_words(
    app: Flask, put: Callable[..., TestResponse], path: str, body: object, words: str
) -> None:
    answer = put(path, body)
    assert answer.status_code == 400
    assert (answer.json or {})["error_description"].startswith(words)
    assert stored(app, Package) == stored(app, Ownership) == []


def test_a_push_waits_while_an_import_runs(app: Flask, clock: Clock, put: Callable[..., TestResponse]) -> None:
    with app.app_context():
        lease = snapshots.begin("a file", clock)
    answer = put(PACKAGES + "a", {"dependents": 1})
    assert (answer.status_code, (answer.json or {})["error"]) == (503, "import_running")
    assert answer.headers["Retry-After"] == "30"
    with app.app_context():
        lease.give_up()
    assert put(PACKAGES + "a", {"dependents": 1}).status_code == 200


def test_a_package_pushed_after_an_import_is_its_own_and_an_import_replaces_it(
    app: Flask, clock: Clock, put: Callable[..., TestResponse]
) -> None:
    with app.app_context():
        snapshots.begin("a file", clock).make_current(counted=None)
    put(PACKAGES + "a", {"dependents": 1})
    assert [row["from_snapshot"] for row in stored(app, Package)] == [1]


# Mandates


def test_a_mandate_is_read_and_a_name_without_one_looks_like_a_name_nobody_has(
    registry: Site, clock: Clock, make_account: MakeAccount
) -> None:
    app, token = registry.app, (ask(registry).json or {})["access_token"]
    alice = make_account("alice")
    for name in ("Alice", "nobody", "alice@example.org"):
        assert call(app, token, "GET", f"/api/v1/mandates/{name}").json == {"account": name.lower(), "mandate": None}
    with request_to(app):
        begins = NOON + timedelta(days=1)
        mandates.require(alice.id, from_=begins, reason="Signs our releases", set_by="operator", now=NOON)
    asked = call(app, token, "GET", "/api/v1/mandates/Alice").json or {}
    assert asked["account"] == "alice"
    assert asked["mandate"] == {
        "phase": "by-hand",
        "strength": "any_second_factor",
        "reason": "Signs our releases.",
        "enforced_from": begins.isoformat(),
        "in_force": False,
        "met": False,
    }


def test_the_description_names_every_route_and_no_other(app: Flask) -> None:
    answer = app.test_client().get("/api/v1/openapi.json", base_url=BASE_URL)
    described = {
        (path, method.upper())
        for path, operations in (answer.json or {})["paths"].items()
        for method in operations
        if method != "parameters"
    }
    served = {
        (rule.rule.replace("<path:", "<").replace("<", "{").replace(">", "}"), method)
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("registry.")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert described == served
