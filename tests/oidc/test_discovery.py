"""Discovery and keys: what is published, and that it is true."""

from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from joserfc import jwt
from joserfc.jwk import KeySet
from sqlalchemy import select, update

from authsvc.core import db
from authsvc.oidc import keys
from authsvc.oidc.models import SigningKey
from tests.conftest import Clock
from tests.oidc.site import Site
from tests.people import BASE_URL, Person, Visitor


def get(app: Flask, path: str, **headers: str) -> Any:
    return app.test_client().get(path, base_url=BASE_URL, headers=headers)


def kids(app: Flask) -> list[str]:
    return [key["kid"] for key in get(app, "/oauth2/jwks").json["keys"]]


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"])
def test_discovery_is_found_below_the_issuer_and_open_to_scripts(app: Flask, path: str) -> None:
    answer = get(app, path, Origin="https://elsewhere.example")
    assert answer.status_code == 200
    assert answer.mimetype == "application/json"
    assert answer.json["issuer"] == BASE_URL
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert "max-age" in answer.headers["Cache-Control"]


def test_every_endpoint_that_discovery_names_is_there(app: Flask) -> None:
    found = get(app, "/.well-known/openid-configuration").json
    adapter = app.url_map.bind("localhost:8000")
    named = {name: value.removeprefix(BASE_URL) for name, value in found.items() if name.endswith(("_endpoint", "uri"))}
    assert len(named) == 8
    for path in named.values():
        assert adapter.allowed_methods(path), path


def test_discovery_holds_what_must_be_there_and_nothing_that_is_not_served(app: Flask) -> None:
    found = get(app, "/.well-known/openid-configuration").json
    assert found["response_types_supported"] == ["code"]
    assert "RS256" in found["id_token_signing_alg_values_supported"]
    assert "none" not in found["id_token_signing_alg_values_supported"]
    assert found["subject_types_supported"] == ["public"]
    assert "openid" in found["scopes_supported"]
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert found["authorization_response_iss_parameter_supported"] is True
    assert found["request_uri_parameter_supported"] is False
    assert found["request_parameter_supported"] is False
    not_served = ("pushed_authorization_request_endpoint", "registration_endpoint", "dpop_signing_alg_values_supported")
    assert not {*not_served, "backchannel_logout_supported"} & found.keys()
    assert [name for name, value in found.items() if value in ([], "", None)] == []


def test_keys_are_public_each_with_its_own_name_use_and_algorithm(app: Flask) -> None:
    answer = get(app, "/oauth2/jwks")
    assert "max-age" in answer.headers["Cache-Control"]
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    found = answer.json["keys"]
    assert {key["alg"] for key in found} == {"RS256", "ES256"}
    assert len({key["kid"] for key in found}) == len(found)
    for key in found:
        assert key["use"] == "sig"
        assert not {"d", "p", "q", "dp", "dq", "qi", "k"} & key.keys()


def test_keys_are_made_where_there_are_none(app: Flask, clock: Clock) -> None:
    with app.app_context(), db.transaction() as session:
        session.execute(update(SigningKey).values(dropped_at=clock.now))
    assert len(kids(app)) == 2
    assert kids(app) == kids(app)


def test_the_next_key_is_published_before_it_signs_and_the_last_one_stays_for_a_while(app: Flask, clock: Clock) -> None:
    before = kids(app)
    with app.app_context(), db.transaction():
        made = keys.rotate(compromised=False, now=clock.now)
    assert set(kids(app)) == {*before, *made}
    assert signer(app, clock) in before
    clock.advance(seconds=keys.PUBLISHED_BEFORE.total_seconds() - 1)
    assert signer(app, clock) in before
    clock.advance(seconds=1)
    assert signer(app, clock) in made
    clock.advance(seconds=keys.PUBLISHED_AFTER.total_seconds() - 1)
    assert set(kids(app)) == {*before, *made}
    clock.advance(seconds=1)
    assert set(kids(app)) == set(made)


def test_a_compromised_key_is_dropped_at_once_with_what_it_signed(app: Flask, clock: Clock) -> None:
    before = kids(app)
    with app.app_context(), db.transaction():
        signed = keys.sign({"sub": "x"}, alg="ES256", typ="JWT", now=clock.now)
        assert keys.check(signed, typ="JWT") == {"sub": "x"}
        made = keys.rotate(compromised=True, now=clock.now)
        assert keys.check(signed, typ="JWT") is None
    assert set(kids(app)) == set(made)
    assert not set(before) & set(made)
    assert signer(app, clock) in made


def signer(app: Flask, clock: Clock) -> str:
    """Which key signs now."""
    with app.app_context(), db.transaction():
        token = keys.sign({}, alg="RS256", typ="JWT", now=clock.now)
    return str(jwt.decode(token, _any_key(app)).header["kid"])


def _any_key(app: Flask) -> Any:
    return KeySet.import_key_set(get(app, "/oauth2/jwks").json)


def test_a_private_key_is_sealed_at_rest(app: Flask, key_pairs: dict[str, keys.Key]) -> None:
    with app.app_context(), db.transaction() as session:
        stored = session.scalars(select(SigningKey.sealed_private_jwk)).all()
    secrets = [str(pair.as_dict(private=True)["d"]).encode() for pair in key_pairs.values()]
    assert stored
    assert not any(secret in blob for secret in secrets for blob in stored)


def test_a_script_elsewhere_may_ask_for_tokens_but_for_no_page(app: Flask) -> None:
    http = app.test_client()
    for path in ("/oauth2/token", "/oauth2/userinfo", "/oauth2/revoke"):
        asked = http.options(path, base_url=BASE_URL, headers={"Origin": "https://spa.example"})
        assert asked.headers["Access-Control-Allow-Origin"] == "*", path
        assert "POST" in asked.headers["Access-Control-Allow-Methods"]
        assert "Authorization" in asked.headers["Access-Control-Allow-Headers"]
        refused = http.post(path, base_url=BASE_URL, headers={"Origin": "https://spa.example"})
        assert refused.headers["Access-Control-Allow-Origin"] == "*", path
    for path in ("/oauth2/authorize", "/oauth2/introspect", "/device"):
        assert "Access-Control-Allow-Origin" not in http.options(path, base_url=BASE_URL).headers, path


def test_an_id_token_stays_good_while_its_key_is_published(
    app: Flask, clock: Clock, client: Visitor, alice: Person, site: Site
) -> None:
    token = site.tokens(client)["id_token"]
    with app.app_context(), db.transaction():
        keys.rotate(compromised=False, now=clock.now)
    clock.advance(seconds=(keys.PUBLISHED_BEFORE + timedelta(minutes=1)).total_seconds())
    assert jwt.decode(token, _any_key(app)).claims["sub"]
