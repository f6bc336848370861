"""The token endpoint: who may trade what, once."""

import base64
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote_plus

import pytest
from flask import Flask
from joserfc import jwt
from joserfc.jwk import KeySet
from sqlalchemy import func, select

from authsvc import accounts, audit, worker
from authsvc.audit import EventType
from authsvc.browser_actions.models import DeviceRequest
from authsvc.core import db
from authsvc.core.assurance import Acr
from authsvc.oidc import claims, clients
from authsvc.oidc.authorize import PARAMETERS
from authsvc.oidc.models import AuthorizationCode, AuthorizationRequest
from tests.conftest import Clock
from tests.oidc.site import REDIRECT, VERIFIER, Site, register, set_verified, sign_in
from tests.people import BASE_URL, Person, Visitor
from tests.slices import at_once

MakeAccount = Callable[..., Person]
OFFLINE = "openid profile offline_access"


def error(answer: Any) -> tuple[int, str]:
    """Status and error of an answer, which nobody may keep."""
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Pragma"] == "no-cache"
    return answer.status_code, answer.json["error"]


def verified(app: Flask, token: str, alg: str = "RS256") -> dict[str, Any]:
    """The claims of an ID token, checked against the published keys."""
    found = app.test_client().get("/oauth2/jwks", base_url=BASE_URL).json
    read = jwt.decode(token, KeySet.import_key_set(found), algorithms=[alg])  # type: ignore[arg-type]
    assert read.header["alg"] == alg
    return dict(read.claims)


# What is given


def test_a_code_is_traded_for_tokens(client: Visitor, alice: Person, site: Site) -> None:
    answer = site.exchange(site.answer(client)["code"])
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Pragma"] == "no-cache"
    assert answer.json is not None
    assert answer.json["token_type"] == "Bearer"
    assert answer.json["expires_in"] == 3600
    assert answer.json["scope"] == "openid profile email"
    assert answer.json["access_token"].startswith("authsvc_at_")
    assert "refresh_token" not in answer.json


@pytest.mark.attack("O30")
@pytest.mark.parametrize("alg", ["RS256", "ES256"])
def test_an_id_token_says_who_for_whom_when_and_how(
    app: Flask, clock: Clock, client: Visitor, make_account: MakeAccount, alg: str
) -> None:
    person = make_account("alice", key=True)
    sign_in(client, person, now=clock.now, acr=Acr.PHR, amr="hwk user mfa")
    clock.advance(minutes=5)
    site = register(app, now=clock.now, id_token_signed_response_alg=alg)
    got = site.tokens(client, nonce="n" * 500)
    found = verified(app, got["id_token"], alg)
    now = int(clock.now.timestamp())
    assert found["iss"] == BASE_URL
    assert found["aud"] == site.id
    assert found["sub"] == site.introspect(got["access_token"])["sub"]
    assert len(found["sub"]) >= 22
    assert (found["iat"], found["exp"], found["auth_time"]) == (now, now + 600, now - 300)
    assert found["nonce"] == "n" * 500
    assert found["acr"] == "phr"
    assert found["amr"] == ["hwk", "mfa", "user"]
    assert found["at_hash"] == claims._half_hash(got["access_token"])
    assert found["sid"]
    assert "email" not in found


def test_at_hash_is_the_left_half_of_sha_256() -> None:
    # OpenID Connect Core, appendix A.3: its access token and at_hash
    token = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"
    assert claims._half_hash(token) == "77QmUPtjPfzWtF2AnpK9RQ"


def test_without_openid_there_is_no_id_token(client: Visitor, alice: Person, site: Site) -> None:
    assert "id_token" not in site.tokens(client, scope="packages:read")


def test_without_nonce_there_is_none_in_the_id_token(app: Flask, client: Visitor, alice: Person, site: Site) -> None:
    assert "nonce" not in verified(app, site.tokens(client, nonce=None)["id_token"])


def test_claims_named_in_the_request_are_in_the_id_token_as_far_as_scopes_cover_them(
    app: Flask, client: Visitor, alice: Person, site: Site
) -> None:
    wish = '{"id_token": {"email": null, "preferred_username": {"essential": true}, "phone_number": null}}'
    found = verified(app, site.tokens(client, scope="openid email", claims=wish)["id_token"])
    assert found["email"] == alice.email
    assert not {"preferred_username", "phone_number"} & found.keys()


def test_tokens_and_codes_are_stored_as_digests(app: Flask, client: Visitor, alice: Person, site: Site) -> None:
    code = site.answer(client, scope=OFFLINE)["code"]
    got = site.exchange(code).json
    assert got is not None
    secrets = [code, got["access_token"], got["refresh_token"], site.secret]
    with app.app_context(), db.transaction() as session:
        for table in db.Row.metadata.sorted_tables:
            for row in session.execute(table.select()):
                assert not any(str(secret) in str(row) for secret in secrets), table.name


# Client authentication


def basic(client_id: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


@pytest.mark.attack("O31")
@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "none"])
@pytest.mark.parametrize("used", ["client_secret_basic", "client_secret_post", "none"])
def test_a_client_is_authenticated_by_its_one_registered_method(
    app: Flask, clock: Clock, client: Visitor, alice: Person, method: str, used: str
) -> None:
    site = register(app, now=clock.now, token_endpoint_auth_method=method)
    code, secret = site.answer(client)["code"], site.secret or "x" * 43
    headers = {"Authorization": basic(site.id, secret)} if used == "client_secret_basic" else {}
    body = {"client_id": site.id, **({"client_secret": secret} if used == "client_secret_post" else {})}
    form = body if used != "client_secret_basic" else {}
    answer = site.exchange(code, auth=False, headers=headers, **form)
    if method == used:
        assert answer.status_code == 200
    else:
        assert error(answer) == (401, "invalid_client")
        assert site.exchange(code).status_code == (200 if method != "client_secret_post" else 401)


def wrong_credentials(site: Site) -> list[tuple[dict[str, str], dict[str, Any], int, str]]:
    """Headers and fields that prove no client, with the answer each gets."""
    good = {"Authorization": basic(site.id, str(site.secret))}
    return [
        ({}, {}, 401, "invalid_client"),
        ({}, {"client_id": site.id}, 401, "invalid_client"),
        ({}, {"client_id": "nobody"}, 401, "invalid_client"),
        ({}, {"client_id": site.id, "client_secret": ""}, 401, "invalid_client"),
        ({"Authorization": basic(site.id, "wrong")}, {}, 401, "invalid_client"),
        ({"Authorization": basic(site.id, "")}, {}, 401, "invalid_client"),
        ({"Authorization": basic("nobody", str(site.secret))}, {}, 401, "invalid_client"),
        ({"Authorization": basic("a\x00b", "x")}, {}, 401, "invalid_client"),
        ({"Authorization": "Basic !!!"}, {}, 401, "invalid_client"),
        ({"Authorization": "Basic ÿþ"}, {}, 401, "invalid_client"),
        ({"Authorization": "Basic " + base64.b64encode(b"\xff\xfe:x").decode()}, {}, 401, "invalid_client"),
        ({"Authorization": "Basic " + base64.b64encode(b"no colon").decode()}, {}, 401, "invalid_client"),
        ({"Authorization": "Bearer x"}, {}, 401, "invalid_client"),
        ({"Authorization": "Basic"}, {}, 401, "invalid_client"),
        (good, {"client_secret": str(site.secret)}, 400, "invalid_request"),
        (good, {"client_id": "another"}, 400, "invalid_request"),
        (good, {"client_id": [site.id, site.id]}, 400, "invalid_request"),
        (good, {"client_assertion": "e.y.J"}, 401, "invalid_client"),
    ]


def test_nothing_less_than_the_clients_secret_will_do(client: Visitor, alice: Person, site: Site) -> None:
    code = site.answer(client)["code"]
    for headers, form, status, name in wrong_credentials(site):
        for path in ("/oauth2/token", "/oauth2/introspect", "/oauth2/revoke", "/oauth2/device_authorization"):
            fields = {"grant_type": "authorization_code", "code": code, "token": "x", "scope": "openid", **form}
            answer = site.post(path, auth=False, headers=headers, **fields)
            assert error(answer) == (status, name), (headers, form, path)
            challenged = answer.headers.get("WWW-Authenticate", "").startswith("Basic")
            assert challenged is (status == 401 and "Authorization" in headers)
    assert site.exchange(code).status_code == 200


def test_id_and_secret_are_form_decoded_inside_basic(app: Flask, clock: Clock, client: Visitor, alice: Person) -> None:
    with app.app_context(), db.transaction():
        metadata = clients.read_metadata({"client_name": "Odd", "redirect_uris": [REDIRECT]})
        clients.put("an id:+%", metadata, secret="a secret:+% of 128 bits", now=clock.now)
    site = Site(app, "an id:+%", None)
    header = basic(quote_plus(site.id), quote_plus("a secret:+% of 128 bits"))
    answer = site.exchange(site.answer(client)["code"], auth=False, headers={"Authorization": header})
    assert answer.status_code == 200


# Requests that are wrong


@pytest.mark.attack("O28")
@pytest.mark.parametrize(
    ("form", "name"),
    [
        ({}, "invalid_request"),
        ({"grant_type": "password", "username": "alice", "password": "x"}, "unsupported_grant_type"),
        ({"grant_type": "client_credentials"}, "unauthorized_client"),
        ({"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange"}, "unsupported_grant_type"),
        ({"grant_type": "implicit"}, "unsupported_grant_type"),
        ({"grant_type": ["refresh_token", "refresh_token"], "refresh_token": "x"}, "invalid_request"),
        ({"grant_type": "authorization_code"}, "invalid_request"),
        ({"grant_type": "authorization_code", "code": "x"}, "invalid_request"),
        ({"grant_type": "authorization_code", "code": "x", "redirect_uri": REDIRECT}, "invalid_grant"),
        ({"grant_type": "authorization_code", "code": ["x", "y"], "redirect_uri": REDIRECT}, "invalid_request"),
        ({"grant_type": "authorization_code", "code": "\x00", "redirect_uri": "\x00"}, "invalid_grant"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "authsvc_rt_\x00"}, "invalid_grant"),
        ({"grant_type": "urn:ietf:params:oauth:grant-type:device_code"}, "invalid_request"),
        ({"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": "x"}, "invalid_grant"),
    ],
)
def test_a_wrong_request_gets_the_standards_error(site: Site, form: dict[str, Any], name: str) -> None:
    assert error(site.post("/oauth2/token", **form)) == (400, name)


def test_a_grant_that_is_not_the_clients_is_refused(app: Flask, clock: Clock) -> None:
    site = register(app, now=clock.now, grant_types=["authorization_code"])
    assert error(site.refresh("x")) == (400, "unauthorized_client")


def test_parameters_count_in_the_form_alone(client: Visitor, alice: Person, site: Site) -> None:
    code = site.answer(client)["code"]
    query = f"?grant_type=authorization_code&code={code}&redirect_uri={REDIRECT}&code_verifier={VERIFIER}"
    assert error(site.post("/oauth2/token" + query)) == (400, "invalid_request")
    assert site.app.test_client().get("/oauth2/token" + query, base_url=BASE_URL).status_code == 405
    as_json = site.app.test_client().post(
        "/oauth2/token",
        json={"grant_type": "authorization_code", "code": code},
        headers={"Authorization": basic(site.id, str(site.secret))},
        base_url=BASE_URL,
    )
    assert error(as_json) == (400, "invalid_request")


# Codes


@pytest.mark.attack("O04")
def test_a_code_of_one_client_is_no_good_to_another_and_is_spent_by_trying(
    app: Flask, clock: Clock, client: Visitor, alice: Person, site: Site
) -> None:
    for secret in (True, False):
        code = site.answer(client)["code"]
        assert error(register(app, now=clock.now, secret=secret).exchange(code)) == (400, "invalid_grant")
        assert error(site.exchange(code)) == (400, "invalid_grant")


@pytest.mark.attack("O05")
def test_a_code_shown_twice_gives_nothing_and_takes_back_what_it_gave(
    app: Flask, client: Visitor, alice: Person, site: Site
) -> None:
    code = site.answer(client, scope=OFFLINE)["code"]
    got = site.exchange(code).json
    assert got is not None
    assert site.introspect(got["access_token"])["active"]
    assert error(site.exchange(code)) == (400, "invalid_grant")
    assert site.introspect(got["access_token"]) == {"active": False}
    assert error(site.refresh(got["refresh_token"])) == (400, "invalid_grant")
    with app.app_context(), db.transaction():
        assert EventType.TOKEN_REUSED in [e.type for e in audit.events(alice.id)]


@pytest.mark.parametrize(("seconds", "good"), [(59, True), (60, False), (61, False)])
def test_a_code_lives_for_a_minute(
    client: Visitor, alice: Person, site: Site, clock: Clock, seconds: int, good: bool
) -> None:
    code = site.answer(client)["code"]
    clock.advance(seconds=seconds)
    assert site.exchange(code).status_code == (200 if good else 400)


@pytest.mark.attack("O05")
def test_of_parallel_exchanges_one_wins(app: Flask, client: Visitor, alice: Person, site: Site) -> None:
    code = site.answer(client)["code"]
    statuses = [r.status_code for r in at_once(app, *[lambda: site.exchange(code)] * 4)]
    assert sorted(statuses) == [200, 400, 400, 400]


@pytest.mark.attack("O07")
@pytest.mark.parametrize("verifier", [None, "", "w" * 43, VERIFIER + "v", VERIFIER[:-1], "v" * 129, "ü" * 43])
def test_a_code_without_its_verifier_is_spent_for_nothing(
    client: Visitor, alice: Person, site: Site, verifier: str | None
) -> None:
    code = site.answer(client)["code"]
    assert error(site.exchange(code, code_verifier=verifier)) == (400, "invalid_grant")
    assert error(site.exchange(code)) == (400, "invalid_grant")


@pytest.mark.attack("O08")
def test_no_code_exists_without_a_challenge() -> None:
    assert "code_challenge" in PARAMETERS
    assert AuthorizationCode.__table__.c.code_challenge.nullable is False


def test_a_code_is_bound_to_its_address(client: Visitor, alice: Person, site: Site) -> None:
    code = site.answer(client)["code"]
    assert error(site.exchange(code, redirect_uri=REDIRECT + "/")) == (400, "invalid_grant")


# Refresh


def test_a_refresh_token_is_given_for_offline_access_alone(
    app: Flask, clock: Clock, client: Visitor, alice: Person, site: Site
) -> None:
    assert "refresh_token" not in site.tokens(client, scope="openid")
    assert site.tokens(client, scope=OFFLINE)["refresh_token"].startswith("authsvc_rt_")
    without = register(app, now=clock.now, grant_types=["authorization_code"])
    assert "refresh_token" not in without.tokens(client, scope=OFFLINE)


def test_refreshing_keeps_who_and_when_and_drops_the_nonce(
    app: Flask, clock: Clock, client: Visitor, alice: Person, site: Site
) -> None:
    first = site.tokens(client, scope=OFFLINE)
    before = verified(app, first["id_token"])
    clock.advance(minutes=30)
    second = site.refresh(first["refresh_token"]).json
    assert second is not None
    after = verified(app, second["id_token"])
    assert [after[c] for c in ("iss", "sub", "aud", "auth_time")] == [
        before[c] for c in ("iss", "sub", "aud", "auth_time")
    ]
    assert after["iat"] == before["iat"] + 1800
    assert "nonce" not in after
    assert second["refresh_token"] != first["refresh_token"]
    assert site.introspect(second["access_token"])["active"]
    assert site.introspect(first["access_token"])["active"]


def test_refreshing_never_gains_strength_and_loses_it_after_a_day(
    app: Flask, clock: Clock, client: Visitor, make_account: MakeAccount, site: Site
) -> None:
    sign_in(client, make_account("alice", key=True), now=clock.now, acr=Acr.PHR, amr="hwk user mfa")
    got = site.tokens(client, scope=OFFLINE)
    clock.advance(hours=23)
    got = site.refresh(got["refresh_token"]).json or {}
    assert site.introspect(got["access_token"])["acr"] == "phr"
    clock.advance(hours=1)
    got = site.refresh(got["refresh_token"]).json or {}
    assert site.introspect(got["access_token"])["acr"] == "aal1"


@pytest.mark.attack("O11")
def test_a_refresh_token_shown_again_ends_its_whole_family(
    app: Flask, client: Visitor, alice: Person, site: Site
) -> None:
    first = site.tokens(client, scope=OFFLINE)
    second = site.refresh(first["refresh_token"]).json or {}
    other = site.tokens(client, scope=OFFLINE)
    assert error(site.refresh(first["refresh_token"])) == (400, "invalid_grant")
    assert error(site.refresh(second["refresh_token"])) == (400, "invalid_grant")
    for token in (first["access_token"], second["access_token"], second["refresh_token"]):
        assert site.introspect(token) == {"active": False}
    assert site.introspect(other["access_token"])["active"]
    with app.app_context(), db.transaction():
        assert [e.type for e in audit.events(alice.id)].count(EventType.TOKEN_REUSED) == 1


@pytest.mark.attack("O11")
def test_of_parallel_refreshes_at_most_one_wins_and_the_family_ends(
    app: Flask, client: Visitor, alice: Person, site: Site
) -> None:
    first = site.tokens(client, scope=OFFLINE)
    answers = at_once(app, *[lambda: site.refresh(first["refresh_token"])] * 4)
    won = [a.json or {} for a in answers if a.status_code == 200]
    assert len(won) <= 1
    assert all(site.introspect(a["access_token"]) == {"active": False} for a in won)
    assert site.introspect(first["access_token"]) == {"active": False}


@pytest.mark.attack("O14")
def test_a_refresh_token_in_another_clients_hands_ends_its_family(
    app: Flask, clock: Clock, client: Visitor, alice: Person, site: Site
) -> None:
    got = site.tokens(client, scope=OFFLINE)
    assert error(site.post("/oauth2/token", auth=False, grant_type="refresh_token", refresh_token="x"))[0] == 401
    assert error(register(app, now=clock.now).refresh(got["refresh_token"])) == (400, "invalid_grant")
    assert error(site.refresh(got["refresh_token"])) == (400, "invalid_grant")
    assert site.introspect(got["access_token"]) == {"active": False}


@pytest.mark.attack("O15")
def test_no_token_stands_in_for_another(client: Visitor, alice: Person, site: Site) -> None:
    got = site.tokens(client, scope=OFFLINE)
    for wrong in (got["access_token"], got["id_token"]):
        assert error(site.refresh(wrong)) == (400, "invalid_grant")
        assert error(site.exchange(wrong)) == (400, "invalid_grant")
    http = site.app.test_client()
    for wrong in (got["refresh_token"], got["id_token"]):
        headers = {"Authorization": f"Bearer {wrong}"}
        assert http.get("/oauth2/userinfo", headers=headers, base_url=BASE_URL).status_code == 401
    for wrong in (got["access_token"], got["refresh_token"], got["id_token"]):
        http.set_cookie("authsvc-session", wrong, domain="localhost")
        assert http.get("/account", base_url=BASE_URL).status_code == 303
        as_bearer = {"Authorization": f"Bearer {wrong}"}
        assert site.app.test_client().get("/account", headers=as_bearer, base_url=BASE_URL).status_code == 303


@pytest.mark.attack("O16")
@pytest.mark.attack("E18")
@pytest.mark.parametrize("cause", ["disabled", "frozen", "epoch", "withdrawn", "unverified"])
def test_refreshing_ends_with_the_right_to_it(
    app: Flask, client: Visitor, alice: Person, site: Site, clock: Clock, cause: str
) -> None:
    got = site.tokens(client, scope=OFFLINE)
    code = site.answer(client, scope=OFFLINE)["code"]
    if cause == "withdrawn":
        page = client.get("/account").text
        token_id = page.split("/account/tokens/")[1].split("/")[0]
        client.post(f"/account/tokens/{token_id}/revoke")
    elif cause == "unverified":
        set_verified(app, alice, None)
    else:
        with app.app_context(), db.transaction():
            if cause == "disabled":
                accounts.set_disabled(alice.id, now=clock.now)
            elif cause == "frozen":
                accounts.set_frozen(alice.id, now=clock.now)
            else:
                accounts.raise_epoch(alice.id)
    assert error(site.refresh(got["refresh_token"])) == (400, "invalid_grant")
    if cause != "unverified":
        assert site.introspect(got["access_token"]) == {"active": False}
    if cause != "withdrawn":
        assert error(site.exchange(code)) == (400, "invalid_grant")


@pytest.mark.attack("O17")
def test_scope_shrinks_and_never_grows(client: Visitor, alice: Person, site: Site) -> None:
    got = site.tokens(client, scope=OFFLINE)
    assert error(site.refresh(got["refresh_token"], scope="openid email")) == (400, "invalid_scope")
    narrow = site.refresh(got["refresh_token"], scope="openid").json or {}
    assert narrow["scope"] == "openid"
    assert site.introspect(narrow["access_token"])["scope"] == "openid"
    whole = site.refresh(narrow["refresh_token"]).json or {}
    assert whole["scope"] == OFFLINE


def test_a_refresh_token_ends_when_it_is_not_used_and_at_the_latest_after_thirty_days(
    client: Visitor, alice: Person, site: Site, clock: Clock
) -> None:
    idle = site.tokens(client, scope=OFFLINE)["refresh_token"]
    used = site.tokens(client, scope=OFFLINE)["refresh_token"]
    for _ in range(2):
        clock.advance(days=13)
        used = (site.refresh(used).json or {})["refresh_token"]
    clock.advance(days=-12)
    assert error(site.refresh(idle)) == (400, "invalid_grant")
    clock.advance(days=16, seconds=-1)
    used = (site.refresh(used).json or {})["refresh_token"]
    clock.advance(seconds=1)
    assert error(site.refresh(used)) == (400, "invalid_grant")


def test_an_access_token_lives_for_an_hour(client: Visitor, alice: Person, site: Site, clock: Clock) -> None:
    token = site.tokens(client)["access_token"]
    clock.advance(seconds=3599)
    assert site.introspect(token)["active"]
    clock.advance(seconds=1)
    assert site.introspect(token) == {"active": False}


def test_the_owner_sees_what_was_granted(client: Visitor, alice: Person, site: Site, clock: Clock) -> None:
    site.tokens(client, scope=OFFLINE)
    page = client.get("/account").text
    assert "Example site" in page
    assert "Signed in to Example site" in page
    assert "A token was issued to Example site" in page


def test_the_worker_forgets_what_ended_a_week_ago_and_nothing_sooner(
    app: Flask, client: Visitor, alice: Person, site: Site, clock: Clock
) -> None:
    got = site.tokens(client, scope=OFFLINE)
    site.post("/oauth2/device_authorization", scope="openid")
    client.get(site.url(prompt="consent"))
    purge = next(task for task in worker.TASKS if task.name == "purge")
    for days, left in ((6, True), (8, False)):
        with app.app_context():
            purge.run(clock.now + timedelta(days=days))
        with app.app_context(), db.transaction() as session:
            tables = (AuthorizationCode, AuthorizationRequest, DeviceRequest)
            assert [session.scalar(select(func.count()).select_from(t)) != 0 for t in tables] == [left] * 3
    assert site.refresh(got["refresh_token"]).status_code == 200
