"""Userinfo, introspection, revocation and sign-out: what programs learn and can end."""

import base64
import json
import re
from collections.abc import Callable
from datetime import timedelta
from hmac import digest
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask
from joserfc import jwt
from sqlalchemy import event

from authsvc import accounts, holds, mandates
from authsvc.core import db
from authsvc.core.assurance import Acr
from authsvc.oidc import keys
from authsvc.policy.hold import HoldCause
from tests.conftest import NOON, Clock
from tests.oidc.site import Site, query_of, register, sign_in
from tests.people import BASE_URL, Person, Visitor

MakeAccount = Callable[..., Person]
AFTER = "https://rp.example/goodbye"
OFFLINE = "openid profile offline_access"
NOTHING = {"active": False}


def userinfo(app: Flask, token: str | None, **form: str) -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    http = app.test_client()
    if form:
        return http.post("/oauth2/userinfo", headers=headers, data=form, base_url=BASE_URL)
    return http.get("/oauth2/userinfo", headers=headers, base_url=BASE_URL)


# Userinfo


@pytest.mark.parametrize(
    ("scope", "claims"),
    [
        ("openid", {"sub"}),
        ("openid profile", {"sub", "preferred_username"}),
        ("openid email", {"sub", "email", "email_verified"}),
    ],
)
def test_userinfo_tells_what_the_scopes_cover(
    app: Flask, client: Visitor, alice: Person, site: Site, scope: str, claims: set[str]
) -> None:
    got = site.tokens(client, scope=scope)
    answer = userinfo(app, got["access_token"])
    assert answer.headers["Cache-Control"] == "no-store"
    assert set(answer.json) == claims
    assert answer.json["sub"] == site.introspect(got["access_token"])["sub"]
    assert answer.json == userinfo(app, None, access_token=got["access_token"]).json


def test_userinfo_refuses_as_bearer_endpoints_do(app: Flask, client: Visitor, alice: Person, site: Site) -> None:
    token = site.tokens(client)["access_token"]
    without_openid = site.tokens(client, scope="packages:read")["access_token"]
    for answer, status, challenge in (
        (userinfo(app, None), 401, "Bearer"),
        (app.test_client().get(f"/oauth2/userinfo?access_token={token}", base_url=BASE_URL), 401, "Bearer"),
        (userinfo(app, "x"), 401, 'Bearer error="invalid_token"'),
        (userinfo(app, ""), 401, 'Bearer error="invalid_token"'),
        (userinfo(app, "authsvc_at_ÿ"), 401, 'Bearer error="invalid_token"'),
        (userinfo(app, without_openid), 403, 'Bearer error="insufficient_scope"'),
        (userinfo(app, token, access_token=token), 400, 'Bearer error="invalid_request"'),
    ):
        assert answer.status_code == status
        assert answer.headers["WWW-Authenticate"].startswith(challenge)
    assert userinfo(app, None).headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.attack("E14")
@pytest.mark.attack("D04")
@pytest.mark.parametrize("verdict", ["healthy", "unknown", "suspect", "lapsed", "reregistered"])
def test_an_address_is_told_only_while_its_domain_can_be_trusted(
    app: Flask, client: Visitor, alice: Person, site: Site, verdict: str
) -> None:
    wish = '{"id_token": {"email": null, "email_verified": null}}'
    with app.app_context(), db.transaction():
        generation = accounts.addresses(alice.id)[0].generation
        accounts.set_trust("example.test", verdict=verdict, generation=generation, now=NOON)
    got = site.tokens(client, claims=wish)
    told = [userinfo(app, got["access_token"]).json, _unchecked(got["id_token"])]
    for claims in told:
        if verdict in {"healthy", "unknown"}:
            assert (claims["email"], claims["email_verified"]) == (alice.email, True)
        else:
            assert not {"email", "email_verified"} & claims.keys()


@pytest.mark.attack("E14")
def test_an_address_of_another_owner_of_the_domain_is_not_told(
    app: Flask, client: Visitor, alice: Person, site: Site
) -> None:
    with app.app_context(), db.transaction():
        generation = accounts.addresses(alice.id)[0].generation
        accounts.set_trust("example.test", verdict="healthy", generation=generation + 1, now=NOON)
    assert "email" not in userinfo(app, site.tokens(client)["access_token"]).json


@pytest.mark.attack("E14")
def test_the_subject_is_opaque_and_stays_while_the_rest_changes(
    app: Flask, client: Visitor, alice: Person, site: Site
) -> None:
    before = userinfo(app, site.tokens(client)["access_token"]).json["sub"]
    with app.app_context(), db.transaction():
        accounts.set_trust("example.test", verdict="lapsed", generation=9, now=NOON)
    assert userinfo(app, site.tokens(client)["access_token"]).json["sub"] == before
    assert "alice" not in before


def _unchecked(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return found


# Introspection


def test_introspection_says_what_a_token_is_good_for(
    app: Flask, client: Visitor, make_account: MakeAccount, site: Site, clock: Clock
) -> None:
    person = make_account("alice", key=True)
    sign_in(client, person, now=clock.now, acr=Acr.PHR, amr="hwk user mfa")
    got = site.tokens(client, scope="openid packages:read")
    found = site.introspect(got["access_token"])
    now = int(clock.now.timestamp())
    assert found.pop("sub") == _unchecked(got["id_token"])["sub"]
    assert found == {
        "active": True,
        "iss": BASE_URL,
        "username": "alice",
        "client_id": site.id,
        "scope": "openid packages:read",
        "token_type": "Bearer",
        "iat": now,
        "exp": now + 3600,
        "auth_time": now,
        "acr": "phr",
        "amr": ["hwk", "mfa", "user"],
        "hold": False,
    }
    with app.app_context(), db.transaction():
        holds.begin(person.id, HoldCause.OPERATOR, client=None, now=clock.now)
    assert site.introspect(got["access_token"])["hold"] is True


@pytest.mark.attack("O18")
def test_only_resource_servers_see_the_tokens_of_others(
    app: Flask, clock: Clock, client: Visitor, alice: Person, site: Site
) -> None:
    got = site.tokens(client, scope=OFFLINE)
    other = register(app, now=clock.now)
    registry = register(app, now=clock.now, resource_server=True, redirect_uris=[], grant_types=[], scope="")
    assert other.introspect(got["access_token"]) == NOTHING
    assert other.introspect(got["refresh_token"]) == NOTHING
    assert registry.introspect(got["access_token"])["username"] == "alice"
    assert registry.introspect(got["refresh_token"]) == NOTHING
    assert site.introspect(got["refresh_token"])["token_type"] == "refresh_token"


def test_a_public_client_cannot_introspect(app: Flask, clock: Clock, client: Visitor, alice: Person) -> None:
    native = register(app, now=clock.now, secret=False)
    token = native.tokens(client)["access_token"]
    answer = native.post("/oauth2/introspect", token=token)
    assert (answer.status_code, (answer.json or {})["error"]) == (401, "invalid_client")


@pytest.mark.parametrize("token", ["", "x", "authsvc_at_", "authsvc_at_" + "A" * 43, "\x00", "ü", "x" * 5000])
def test_what_is_not_a_live_token_is_not_active_and_nothing_else(site: Site, token: str) -> None:
    assert site.introspect(token) == NOTHING


def test_introspection_takes_one_token(site: Site) -> None:
    for wrong in (None, ["a", "b"]):
        assert site.post("/oauth2/introspect", token=wrong).status_code == 400


def test_introspection_says_what_a_mandate_asks_for_from_when_and_whether_it_is_met(
    app: Flask, clock: Clock, client: Visitor, alice: Person, site: Site
) -> None:
    token = site.tokens(client)["access_token"]
    assert "mandate" not in site.introspect(token)
    begins = clock.now + timedelta(days=30)
    with app.app_context(), db.transaction():
        mandates.require(alice.id, from_=begins, reason="Many use it", set_by="operator", now=clock.now)
    assert site.introspect(token)["mandate"] == {
        "strength": "any_second_factor",
        "enforced_from": int(begins.timestamp()),
        "met": False,
    }


def test_introspection_reads_four_rows_and_writes_none(app: Flask, client: Visitor, alice: Person, site: Site) -> None:
    token = site.tokens(client)["access_token"]
    statements: list[str] = []
    with app.app_context():
        event.listen(db.engine(), "before_cursor_execute", lambda *call: statements.append(call[2]))
    assert site.introspect(token)["active"]
    read = [s for s in statements if s.startswith("SELECT")]
    assert len(read) == 4  # client, token, hold, mandate
    assert not [s for s in statements if s.startswith(("INSERT", "UPDATE", "DELETE", "BEGIN IMMEDIATE"))]


# Revocation


@pytest.mark.attack("O19")
@pytest.mark.parametrize("secret", [True, False])
def test_a_revoked_refresh_token_takes_its_access_tokens_along(
    app: Flask, clock: Clock, client: Visitor, alice: Person, secret: bool
) -> None:
    registry = register(app, now=clock.now, resource_server=True)
    site = register(app, now=clock.now, secret=secret)
    got = site.tokens(client, scope=OFFLINE)
    for _ in range(2):
        answer = site.post("/oauth2/revoke", token=got["refresh_token"], token_type_hint="access_token")
        assert (answer.status_code, answer.data) == (200, b"")
    assert registry.introspect(got["access_token"]) == NOTHING
    assert userinfo(app, got["access_token"]).status_code == 401
    assert site.refresh(got["refresh_token"]).status_code == 400


@pytest.mark.attack("O19")
def test_a_revoked_access_token_ends_alone(client: Visitor, alice: Person, site: Site) -> None:
    got = site.tokens(client, scope=OFFLINE)
    assert site.post("/oauth2/revoke", token=got["access_token"]).status_code == 200
    assert site.introspect(got["access_token"]) == NOTHING
    assert site.refresh(got["refresh_token"]).status_code == 200


def test_another_clients_token_is_left_alone(
    app: Flask, clock: Clock, client: Visitor, alice: Person, site: Site
) -> None:
    got = site.tokens(client, scope=OFFLINE)
    for other in (register(app, now=clock.now), register(app, now=clock.now, secret=False)):
        for token in (got["access_token"], got["refresh_token"], "unknown"):
            assert other.post("/oauth2/revoke", token=token).status_code == 200
    assert site.introspect(got["access_token"])["active"]
    assert site.post("/oauth2/revoke").status_code == 400


@pytest.mark.attack("K02")
def test_nobody_ends_a_grant_of_another_account(
    client: Visitor,
    alice: Person,
    site: Site,
    new_client: Callable[[], Visitor],
    make_account: MakeAccount,
    clock: Clock,
) -> None:
    token = site.tokens(client)["access_token"]
    grant_id = client.get("/account").text.split("/account/tokens/")[1].split("/")[0]
    mallory = new_client()
    sign_in(mallory, make_account("mallory"), now=clock.now)
    assert mallory.post(f"/account/tokens/{grant_id}/revoke").status_code == 404
    assert site.introspect(token)["active"]
    assert client.post(f"/account/tokens/{grant_id}/revoke").status_code == 303
    assert site.introspect(token) == NOTHING


# ID tokens that come back


def forged(app: Flask, key_pairs: dict[str, keys.Key], hint: str) -> dict[str, str]:
    """ID tokens that nobody of ours signed, by how they pretend."""
    claims = _unchecked(hint)
    rs, es = key_pairs["RS256"], key_pairs["ES256"]
    header = {"typ": "JWT", "kid": rs.thumbprint()}
    public_pem = rs.as_pem(private=False)
    public_jwk = json.dumps(rs.as_dict(private=False)).encode()

    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    def hmac(secret: bytes) -> str:
        signing_input = f"{part({**header, 'alg': 'HS256'})}.{part(claims)}"
        mac = digest(secret, signing_input.encode(), "sha256")
        return f"{signing_input}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"

    stranger = keys.generate("ES256")
    own_key = stranger.as_dict(private=False)
    signed_part = ".".join(hint.split(".")[:2])
    return {
        "none": f"{part({**header, 'alg': 'none'})}.{part(claims)}.",
        "None": f"{part({**header, 'alg': 'None'})}.{part(claims)}.",
        "none with the old signature": f"{part({**header, 'alg': 'none'})}.{part(claims)}.{hint.split('.')[2]}",
        "no signature": f"{signed_part}.",
        "changed": f"{hint.split('.')[0]}.{part({**claims, 'sub': 'x'})}.{hint.split('.')[2]}",
        "public key as secret, PEM": hmac(public_pem),
        "public key as secret, JWK": hmac(public_jwk),
        "another key of ours": jwt.encode({**header, "alg": "ES256"}, claims, es, algorithms=["ES256"]),
        "a stranger's key": jwt.encode({**header, "alg": "ES256"}, claims, stranger, algorithms=["ES256"]),
        "a key brought along": jwt.encode(
            {"alg": "ES256", "typ": "JWT", "jwk": own_key, "kid": es.thumbprint()},
            claims,
            stranger,
            algorithms=["ES256"],
        ),
        "another type": jwt.encode({**header, "alg": "RS256", "typ": "at+jwt"}, claims, rs, algorithms=["RS256"]),
        "another issuer": jwt.encode({**header, "alg": "RS256"}, {**claims, "iss": "https://evil.example"}, rs),
        "rubbish": "a.b.c",
        "nothing": "..",
        "not ASCII": "ü.ü.ü",
        "long": "A" * 20_000,
    }


@pytest.mark.attack("J01")
@pytest.mark.attack("J02")
def test_an_id_token_hint_counts_only_when_one_of_our_keys_signed_it(
    app: Flask, client: Visitor, alice: Person, site: Site, key_pairs: dict[str, keys.Key]
) -> None:
    hint = site.tokens(client)["id_token"]
    assert "code" in query_of(client.get(site.url(id_token_hint=hint, prompt="none")).location)
    for how, wrong in forged(app, key_pairs, hint).items():
        answer = client.get(site.url(id_token_hint=wrong, prompt="none"))
        assert query_of(answer.location).get("error") == "invalid_request", how


# Sign-out


def logout_url(**parameters: str) -> str:
    return "/oauth2/end_session?" + urlencode(parameters)


@pytest.fixture
def leaving(app: Flask, clock: Clock) -> Site:
    """A site that people may sign out from."""
    return register(app, now=clock.now, post_logout_redirect_uris=[AFTER])


def hidden(page: str) -> dict[str, str]:
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.split("/oauth2/end_session/confirm")[1]))


def test_a_person_signs_out_after_being_asked_and_goes_back(client: Visitor, alice: Person, leaving: Site) -> None:
    hint = leaving.tokens(client)["id_token"]
    page = client.get(logout_url(id_token_hint=hint, post_logout_redirect_uri=AFTER, state="s 1"))
    assert client.signed_in()
    assert "Example site asks to sign you out" in page.text
    assert "form-action 'self' https://rp.example;" in page.headers["Content-Security-Policy"]
    fields = hidden(page.text)
    fields.pop("csrf_token")
    done = client.post("/oauth2/end_session/confirm", **fields)
    assert done.location == AFTER + "?state=s+1"
    assert not client.signed_in()
    again = client.get(logout_url(id_token_hint=hint, post_logout_redirect_uri=AFTER, state="s 1"))
    assert again.location == AFTER + "?state=s+1"


def test_signing_out_without_a_hint_asks_and_stays_here(client: Visitor, alice: Person) -> None:
    assert "Sign out?" in client.get("/oauth2/end_session").text
    done = client.post("/oauth2/end_session/confirm")
    assert done.location == "/oauth2/end_session"
    assert "You are signed out" in client.get(done.location).text
    assert not client.signed_in()


@pytest.mark.attack("O45")
def test_sign_out_leads_to_no_address_without_a_good_hint(
    app: Flask,
    clock: Clock,
    client: Visitor,
    alice: Person,
    leaving: Site,
    make_account: MakeAccount,
    key_pairs: dict[str, keys.Key],
) -> None:
    hint = leaving.tokens(client)["id_token"]
    wrong = [{"id_token_hint": h, "post_logout_redirect_uri": AFTER} for h in forged(app, key_pairs, hint).values()]
    wrong += [
        {"post_logout_redirect_uri": AFTER},
        {"post_logout_redirect_uri": AFTER, "client_id": leaving.id},
        {"post_logout_redirect_uri": AFTER, "client_id": "another", "id_token_hint": hint},
        *(
            {"post_logout_redirect_uri": uri, "id_token_hint": hint}
            for uri in (AFTER + "/", AFTER + "?x", "https://evil.example/", "javascript:alert(1)")
        ),
    ]
    for parameters in wrong:
        assert client.get(logout_url(**parameters)).status_code == 400, parameters
    assert client.signed_in()
    for parameters in wrong:
        stranger = app.test_client().get(logout_url(**parameters), base_url=BASE_URL)
        assert stranger.status_code == 400
    sign_in(client, make_account("bob"), now=clock.now)
    assert client.get(logout_url(id_token_hint=hint, post_logout_redirect_uri=AFTER)).status_code == 400
    assert client.signed_in()


def test_sign_out_by_post_goes_on_by_get(app: Flask, client: Visitor, alice: Person, leaving: Site) -> None:
    hint = leaving.tokens(client)["id_token"]
    sent = {"id_token_hint": hint, "post_logout_redirect_uri": AFTER}
    posted = app.test_client().post("/oauth2/end_session", data=sent, base_url=BASE_URL)
    assert posted.status_code == 303
    assert "Example site asks" in client.get(posted.location).text
    assert client.http.post("/oauth2/end_session/confirm", data=sent, base_url=BASE_URL).status_code == 403
