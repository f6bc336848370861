"""Attacks on sessions, tokens and pages that cross several slices (S, K, C, J, X)."""

import logging
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from authsvc import accounts, passwords
from authsvc.app import create_app
from authsvc.core import db
from authsvc.core.config import SettingError, Settings
from tests import servers
from tests.conftest import NOON, Clock
from tests.oidc.site import Site, register
from tests.people import BASE_URL, PASSWORD, Outbox, Person, Visitor

MakeAccount = Callable[..., Person]
NewClient = Callable[[], Visitor]
NEW = "seven quiet otters paint the harbour"
OFFLINE = "openid profile offline_access"


def userinfo(app: Flask, token: str) -> int:
    """Whether the token still opens something."""
    answer = app.test_client().get("/oauth2/userinfo", headers={"Authorization": f"Bearer {token}"}, base_url=BASE_URL)
    return answer.status_code


def is_dead(app: Flask, site: Site, tokens: dict[str, str]) -> bool:
    """True when neither token is good for anything, and nothing can be refreshed."""
    return (
        userinfo(app, tokens["access_token"]) == 401
        and site.introspect(tokens["access_token"]) == {"active": False}
        and site.refresh(tokens["refresh_token"]).json == site.refresh("made up").json
    )


@pytest.mark.attack("S03")
def test_s03_a_reset_ends_everything_that_was_issued_before(
    app: Flask,
    client: Visitor,
    new_client: NewClient,
    make_account: MakeAccount,
    outbox: Outbox,
    site: Site,
    link: Callable[[Person], str],
) -> None:
    # Given an intruder's session and tokens, their sign-in under way, and an older link
    alice, intruder, under_way, owner = make_account(), client, new_client(), new_client()
    intruder.sign_in(alice)
    tokens = site.tokens(intruder, scope=OFFLINE)
    code = site.answer(intruder, scope=OFFLINE)["code"]
    under_way.post("/login", username="alice", password=PASSWORD)
    mailed = outbox.code(alice.email)
    older = link(alice)
    # When the owner sets a new password by mail
    owner.get(link(alice))
    assert owner.post("/recovery/reset", new_password=NEW).status_code == 303
    # Then all of it is dead
    assert not intruder.signed_in()
    assert is_dead(app, site, tokens)
    assert (site.exchange(code).json or {})["error"] == "invalid_grant"
    assert under_way.post("/login/code", code=mailed).status_code == 401
    intruder.get(older)
    assert intruder.get("/recovery/reset").status_code == 410
    # and the intruder's browser is a stranger's
    intruder.post("/login", username="alice", password=NEW)
    assert intruder.post("/login/code", code=outbox.code(alice.email)).status_code == 303
    assert "New browser signed in to alice" in [m["Subject"] for m in outbox.to(alice.email)]


@pytest.mark.attack("K06")
@pytest.mark.attack("S03")
@pytest.mark.parametrize("state", ["disabled", "frozen"])
def test_k06_the_tokens_of_a_disabled_or_frozen_account_are_dead(
    app: Flask, client: Visitor, make_account: MakeAccount, site: Site, state: str
) -> None:
    alice = make_account()
    client.sign_in(alice)
    tokens = site.tokens(client, scope=OFFLINE)
    assert userinfo(app, tokens["access_token"]) == 200
    with app.app_context(), db.transaction():
        (accounts.set_disabled if state == "disabled" else accounts.set_frozen)(alice.id, now=NOON)
    assert is_dead(app, site, tokens)
    assert not client.signed_in()


@pytest.mark.attack("S09")
@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/account/enrol", {"way": "totp"}),
        ("/account/enrol", {"way": "key"}),
        ("/account/recovery-codes", {}),
        ("/account/addresses/add", {"email": "evil@evil.test"}),
    ],
)
def test_s09_a_stolen_session_alone_mints_nothing_that_lasts(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock, path: str, fields: dict[str, str]
) -> None:
    bob = make_account("bob", totp_app=True)
    client.sign_in(bob, now=clock.now)
    with app.app_context(), db.transaction():
        before = (accounts.enrolled(bob.id, now=clock.now), accounts.addresses(bob.id))
    page = client.post(path, **fields).location
    assert page.startswith("/step-up/")
    for guess in ({"way": "totp", "code": "000000"}, {"way": "password", "password": PASSWORD}, {}):
        assert client.post(page, **guess).status_code in {400, 401}
    with app.app_context(), db.transaction():
        assert (accounts.enrolled(bob.id, now=clock.now), accounts.addresses(bob.id)) == before


@pytest.mark.attack("S09")
def test_s09_a_program_that_writes_takes_a_proof_of_its_own(
    client: Visitor, make_account: MakeAccount, clock: Clock, site: Site
) -> None:
    bob = make_account("bob", totp_app=True)
    client.sign_in(bob, now=clock.now)
    page = client.get(site.url(scope="openid packages:publish")).location
    request = re.search(r'name="request" value="([^"]+)"', client.get(page).text)
    assert request
    answer = client.post("/oauth2/consent", request=request[1], decision="approve")
    assert answer.location.startswith("/step-up/")


@pytest.mark.attack("S11")
def test_s11_cookies_stay_with_this_host_out_of_reach_of_script_and_other_sites(
    app: Flask, settings: Settings, clock: Clock, make_account: MakeAccount, outbox: Outbox
) -> None:
    # Given the same installation under https
    secure = create_app(replace(settings, base_url="https://id.example"), clock=clock)
    secure.extensions["authsvc.engine"].dispose()
    secure.extensions["authsvc.engine"] = app.extensions["authsvc.engine"]
    alice, http, origin = make_account(), secure.test_client(), "https://id.example"

    def post(path: str, **fields: str) -> list[str]:
        found = re.search(r'name="csrf_token" value="([^"]+)"', http.get("/login", base_url=origin).text)
        assert found
        return http.post(path, data={"csrf_token": found[1], **fields}, base_url=origin).headers.getlist("Set-Cookie")

    cookies = http.get("/login", base_url=origin).headers.getlist("Set-Cookie")
    cookies += post("/login", username="alice", password=PASSWORD)
    cookies += post("/login/code", code=outbox.code(alice.email))
    assert {"session", "browser", "login", "csrf"} <= {c.partition("=")[0].rpartition("-")[2] for c in cookies}
    for cookie in cookies:
        name, attributes = cookie.partition("=")[0], {part.strip() for part in cookie.split(";")[1:]}
        assert name.startswith("__Host-"), cookie
        assert {"Secure", "HttpOnly", "Path=/"} <= attributes, cookie
        assert attributes & {"SameSite=Lax", "SameSite=Strict"}, cookie
        assert not any(part.startswith("Domain") for part in attributes), cookie


@pytest.mark.attack("J13")
@pytest.mark.parametrize("line", ["k1 c2hvcnQ=", "k1 changeme", "k1 " + "A" * 43, ""])
def test_j13_without_keys_of_full_length_nothing_starts(settings: Settings, line: str) -> None:
    Path(settings.sealing_keys_file).write_text(line + "\n")
    with pytest.raises(SettingError, match="SEALING_KEYS_FILE"):
        create_app(settings)


@pytest.mark.attack("J13")
def test_j13_a_session_cookie_is_a_name_and_carries_nothing(
    client: Visitor, new_client: NewClient, make_account: MakeAccount
) -> None:
    alice = make_account()
    names = []
    for visitor in (client, new_client()):
        visitor.sign_in(alice)
        cookie = visitor.http.get_cookie("authsvc-session", domain="localhost")
        assert cookie
        names.append(cookie.value)
    assert all(re.fullmatch(r"[\w-]{43,}", name) for name in names)
    assert names[0][:8] != names[1][:8]
    client.http.set_cookie("authsvc-session", names[0][:-1] + ("A" if names[0][-1] != "A" else "B"), domain="localhost")
    assert not client.signed_in()


@pytest.mark.attack("C10")
def test_c10_no_page_with_anything_personal_may_be_kept(client: Visitor, make_account: MakeAccount, site: Site) -> None:
    client.sign_in(make_account())
    for path in ("/account", "/account/log", "/account/log.json", "/account/enrol", "/device", "/login"):
        assert client.get(path).headers["Cache-Control"] == "no-store", path
    answer = site.exchange(site.answer(client)["code"])
    assert (answer.headers["Cache-Control"], answer.headers["Pragma"]) == ("no-store", "no-cache")
    # and a made-up ending does not turn a page into a file that a cache would keep
    assert client.get("/account/style.css").status_code == 404


@pytest.mark.attack("C06")
@pytest.mark.parametrize("path", ["/login", "/account", "/device", "/account/freeze", "/mail/check"])
def test_c06_no_page_can_be_framed(client: Visitor, make_account: MakeAccount, path: str) -> None:
    client.sign_in(make_account())
    headers = client.get(path).headers
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Frame-Options"] == "DENY"


@pytest.mark.attack("C06")
def test_c06_consent_cannot_be_framed(client: Visitor, make_account: MakeAccount, site: Site) -> None:
    client.sign_in(make_account())
    headers = client.get(client.get(site.url()).location).headers
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


@pytest.mark.attack("C01")
@pytest.mark.parametrize("path", ["/login", "/login/code", "/login/passkey", "/register/confirm", "/recovery/reset"])
def test_c01_nobody_is_signed_in_to_an_account_by_another_site(
    client: Visitor, new_client: NewClient, make_account: MakeAccount, path: str
) -> None:
    mallory = make_account("mallory")
    form = {"username": "mallory", "password": mallory.password, "code": "12345678", "credential": "{}"}
    client.csrf()
    bare = client.http.post(path, data=form, base_url=BASE_URL)
    assert bare.status_code == 403
    assert client.post(path, **form, csrf_token=new_client().csrf()).status_code == 403
    assert client.post(path, **form, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403


@pytest.mark.attack("O33")
def test_o33_no_address_in_a_registration_or_request_is_ever_fetched(
    app: Flask, client: Visitor, clock: Clock, make_account: MakeAccount, web_server: servers.Web
) -> None:
    names = ("jwks_uri", "logo_uri", "sector_identifier_uri", "client_uri", "backchannel_logout_uri", "tos_uri")
    inside: dict[str, Any] = {name: f"{web_server.url}/{name}" for name in names}
    site = register(app, now=clock.now, **inside)
    client.sign_in(make_account())
    site.tokens(client)
    refused = client.get(site.url(request_uri=f"{web_server.url}/request"))
    assert "error=request_uri_not_supported" in refused.location
    assert web_server.asked == []


@pytest.mark.attack("X03")
def test_x03_an_error_shows_nothing_from_inside(
    app: Flask, client: Visitor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    token = client.csrf()

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("SELECT secret FROM /srv/authsvc/db.py")

    monkeypatch.setattr(passwords, "verify", fail)
    with caplog.at_level(logging.CRITICAL, logger="authsvc"):
        answer = client.post("/login", username="alice", password=PASSWORD, csrf_token=token)
    assert answer.status_code == 500
    assert re.search(r"quote [0-9a-f]{8}", answer.text)
    missing = client.get("/no/such/page")
    for page in (answer.text, missing.text):
        assert not re.search(
            r"SELECT|Traceback|RuntimeError|/srv|werkzeug|flask|python|sqlalchemy", page, re.IGNORECASE
        )
