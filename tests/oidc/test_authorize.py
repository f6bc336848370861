"""The authorization endpoint: what is refused and where it is said, who has to sign in, who has to consent."""

import json
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from flask import Flask

from authsvc import accounts, holds
from authsvc.core import db
from authsvc.core.assurance import Acr
from authsvc.oidc import clients
from authsvc.policy.hold import HoldCause
from tests.conftest import Clock
from tests.oidc.site import REDIRECT, Site, consent, handle_of, query_of, register, set_verified, sign_in
from tests.people import BASE_URL, Outbox, Person, Visitor

MakeAccount = Callable[..., Person]
NewClient = Callable[[], Visitor]
SHA256_CHARACTERS = "E9Melhoa2OwvFrEMTJguCHaoeGt1tzu65XmMEUoUrZM"  # RFC 7636, appendix B


def shown_here(visitor: Visitor, url: str) -> str:
    """The page of ours that refuses a request; fails when it redirects."""
    answer = visitor.get(url)
    assert answer.status_code == 400
    assert answer.mimetype == "text/html"
    assert "Location" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.text


def sent_back(visitor: Visitor, url: str) -> dict[str, str]:
    """The parameters that a refused request takes back to the client."""
    answer = visitor.get(url)
    assert answer.status_code == 303
    assert answer.location.startswith(REDIRECT + "?"), answer.location
    return query_of(answer.location)


# What is refused, and where


@pytest.mark.attack("O01")
@pytest.mark.attack("O21")
@pytest.mark.parametrize(
    "uri",
    [
        None,
        "",
        REDIRECT + "/",
        REDIRECT + "?x=1",
        REDIRECT + "#x",
        REDIRECT + "%00",
        REDIRECT + "\x00",
        REDIRECT + "/../evil",
        "https://RP.example/callback",
        "HTTPS://rp.example/callback",
        "https://rp.example/Callback",
        "https://rp.example",
        "https://rp.example.evil.example/callback",
        "https://rp.example@evil.example/callback",
        "https://rp.example:443/callback",
        "http://rp.example/callback",
        "//rp.example/callback",
        "/callback",
        "javascript:alert(1)",
        "https://evil.example/[",
    ],
)
def test_an_address_that_is_not_registered_to_the_letter_is_never_redirected_to(
    client: Visitor, alice: Person, site: Site, uri: str | None
) -> None:
    for prompt in (None, "none"):
        assert "invalid_redirect_uri" in shown_here(client, site.url(redirect_uri=uri, prompt=prompt))


@pytest.mark.parametrize("client_id", [None, "", "nobody", "x" * 5000, "\x00"])
def test_an_unknown_client_sees_a_page_of_ours(client: Visitor, site: Site, client_id: str | None) -> None:
    assert "invalid_client" in shown_here(client, site.url(client_id=client_id))


@pytest.mark.parametrize("name", ["client_id", "redirect_uri"])
def test_a_doubled_client_or_address_is_refused_on_a_page_of_ours(client: Visitor, site: Site, name: str) -> None:
    shown_here(client, f"{site.url()}&{urlencode({name: site.asked()[name]})}")
    shown_here(client, f"{site.url()}&{name}=other")


REFUSED = [
    ({"response_type": None}, "invalid_request"),
    ({"response_type": "token"}, "unsupported_response_type"),
    ({"response_type": "code id_token"}, "unsupported_response_type"),
    ({"response_type": "none"}, "unsupported_response_type"),
    ({"response_mode": "fragment"}, "invalid_request"),
    ({"response_mode": "form_post"}, "invalid_request"),
    ({"scope": None}, "invalid_scope"),
    ({"scope": "unheard-of"}, "invalid_scope"),
    ({"request": "eyJhbGciOiJub25lIn0.e30."}, "request_not_supported"),
    ({"request_uri": "https://rp.example/request"}, "request_uri_not_supported"),
    ({"registration": "{}"}, "registration_not_supported"),
    ({"prompt": "none login"}, "invalid_request"),
    ({"prompt": "sometimes"}, "invalid_request"),
    ({"max_age": "-1"}, "invalid_request"),
    ({"max_age": "soon"}, "invalid_request"),
    ({"max_age": "9" * 30}, "invalid_request"),
    ({"claims": "{"}, "invalid_request"),
    ({"claims": "[]"}, "invalid_request"),
    ({"claims": '{"id_token": {"acr": 1}}'}, "invalid_request"),
    ({"claims": "[" * 20_000}, "invalid_request"),
    ({"nonce": "a\x00b"}, "invalid_request"),
    ({"id_token_hint": "not.a.token"}, "invalid_request"),
]
PKCE_REFUSED = [
    {"code_challenge": None},
    {"code_challenge": None, "code_challenge_method": None},
    {"code_challenge_method": None},
    {"code_challenge_method": "plain"},
    {"code_challenge_method": "s256"},
    {"code_challenge": ""},
    {"code_challenge": SHA256_CHARACTERS[:-1]},
    {"code_challenge": SHA256_CHARACTERS + "A"},
    {"code_challenge": SHA256_CHARACTERS[:-1] + "="},
    {"code_challenge": SHA256_CHARACTERS[:-1] + "+"},
]


@pytest.mark.parametrize(("changes", "error"), REFUSED)
def test_a_wrong_request_goes_back_with_error_state_and_issuer(
    client: Visitor, alice: Person, site: Site, changes: dict[str, str | None], error: str
) -> None:
    back = sent_back(client, site.url(**changes))
    assert back["error"] == error
    assert back["state"] == "state-1"
    assert back["iss"] == BASE_URL
    assert "code" not in back


@pytest.mark.attack("O08")
@pytest.mark.attack("O10")
@pytest.mark.parametrize("changes", PKCE_REFUSED)
def test_without_an_s256_challenge_nothing_is_given(
    app: Flask, clock: Clock, client: Visitor, alice: Person, changes: dict[str, str | None]
) -> None:
    for secret in (True, False):
        back = sent_back(client, register(app, now=clock.now, secret=secret).url(**changes))
        assert back["error"] == "invalid_request"
        assert "code" not in back


@pytest.mark.parametrize("name", ["state", "scope", "nonce", "code_challenge", "prompt", "max_age"])
def test_a_doubled_parameter_is_refused(client: Visitor, alice: Person, site: Site, name: str) -> None:
    back = sent_back(client, f"{site.url()}&{name}=a&{name}=b")
    assert back["error"] == "invalid_request"
    assert ("state" in back) is (name != "state")


def test_a_client_without_the_code_grant_is_not_authorized(app: Flask, clock: Clock, client: Visitor) -> None:
    site = register(app, now=clock.now, grant_types=["urn:ietf:params:oauth:grant-type:device_code"])
    assert sent_back(client, site.url())["error"] == "unauthorized_client"


def test_unknown_parameters_are_ignored_also_when_doubled(client: Visitor, alice: Person, site: Site) -> None:
    location = client.get(site.url() + "&colour=red&colour=blue&resource=a&ui_locales=fr&display=popup").location
    assert "code" in query_of(consent(client, location).location)


def test_scopes_that_are_not_the_clients_are_ignored(app: Flask, clock: Clock, client: Visitor, alice: Person) -> None:
    site = register(app, now=clock.now, scope="openid profile")
    assert site.tokens(client, scope="openid profile email packages:read")["scope"] == "openid profile"


@pytest.mark.parametrize("state", ["", "a b&c=d", "ü✓", "s" * 3000])
def test_state_comes_back_unchanged(client: Visitor, alice: Person, site: Site, state: str) -> None:
    assert site.answer(client, state=state)["state"] == state
    assert sent_back(client, site.url(state=state, prompt="none", acr_values="x", max_age="0"))["state"] == state


def test_without_state_none_comes_back(client: Visitor, alice: Person, site: Site) -> None:
    assert "state" not in site.answer(client, state=None)


@pytest.mark.attack("O41")
def test_the_issuer_is_in_every_answer(client: Visitor, alice: Person, site: Site) -> None:
    assert site.answer(client)["iss"] == BASE_URL
    assert sent_back(client, site.url(response_type="token"))["iss"] == BASE_URL
    location = client.get(site.url(prompt="consent")).location
    assert query_of(consent(client, location, "deny").location) == {
        "error": "access_denied",
        "error_description": "the person declined",
        "state": "state-1",
        "iss": BASE_URL,
    }


def test_a_registered_query_is_kept(app: Flask, clock: Clock, client: Visitor, alice: Person) -> None:
    uri = "https://rp.example/callback?from=authsvc"
    site = register(app, now=clock.now, redirect_uris=[uri])
    back = consent(client, client.get(site.url(redirect_uri=uri)).location).location
    assert back.startswith(uri + "&code=")


@pytest.mark.attack("O03")
@pytest.mark.parametrize(
    ("uri", "good"),
    [
        ("http://127.0.0.1/callback", True),
        ("http://127.0.0.1:1/callback", True),
        ("http://127.0.0.1:65535/callback", True),
        ("http://[::1]:8080/callback", True),
        ("http://127.0.0.1:8080/other", False),
        ("http://127.0.0.2:8080/callback", False),
        ("http://localhost:8080/callback", False),
        ("https://127.0.0.1:8080/callback", False),
        ("http://127.0.0.1:8080@evil.example/callback", False),
        ("http://127.0.0.1:99999/callback", False),
        ("http://127.0.0.1:/callback", False),
        ("http://127.0.0.1:8080/callback#x", False),
    ],
)
def test_only_the_port_of_a_loopback_address_may_vary(
    app: Flask, clock: Clock, client: Visitor, alice: Person, uri: str, good: bool
) -> None:
    registered = ["http://127.0.0.1/callback", "http://[::1]/callback"]
    native = register(app, now=clock.now, secret=False, redirect_uris=registered)
    answer = client.get(native.url(redirect_uri=uri))
    assert answer.status_code == (303 if good else 400)
    fixed = register(app, now=clock.now, redirect_uris=registered)
    assert client.get(fixed.url(redirect_uri=uri)).status_code == (303 if uri in registered else 400)


def test_a_request_by_post_is_the_same_request(client: Visitor, alice: Person, site: Site) -> None:
    # Given the form of another site, which brings neither our cookies nor a CSRF token
    stranger = client.app.test_client()
    headers = {"Origin": "https://rp.example", "Sec-Fetch-Site": "cross-site"}
    posted = stranger.post("/oauth2/authorize", data=site.asked(), headers=headers, base_url=BASE_URL)
    # When the browser follows to where the cookies come along
    assert posted.status_code == 303
    back = query_of(consent(client, posted.location).location)
    assert back["state"] == "state-1"
    assert "code" in back
    # Then refusals are the same too
    wrong = stranger.post("/oauth2/authorize", data=site.asked(redirect_uri="https://evil.example"), base_url=BASE_URL)
    assert wrong.status_code == 400
    assert wrong.mimetype == "text/html"
    refused = stranger.post("/oauth2/authorize", data=site.asked(response_type="token"), base_url=BASE_URL)
    assert query_of(refused.location)["error"] == "unsupported_response_type"


# Who has to sign in


def asked_to_sign_in(visitor: Visitor, url: str) -> str:
    """Where the sign-in page would lead to afterwards."""
    location: str = visitor.get(url).location
    assert location.startswith("/login?next="), location
    return query_of(location)["next"]


def test_somebody_unknown_signs_in_first_and_goes_on(
    client: Visitor, make_account: MakeAccount, site: Site, clock: Clock
) -> None:
    person = make_account("alice")
    after = asked_to_sign_in(client, site.url(state="s" * 4000))
    client.post(f"/login?{urlencode({'next': after})}", username="alice", password=person.password)
    done = client.post("/login/code", code=client.outbox.code(person.email))
    assert done.location == after
    assert len(query_of(consent(client, done.location).location)["state"]) == 4000


def test_the_sign_in_page_may_lead_to_the_client(client: Visitor, site: Site) -> None:
    page = client.get(f"/login?{urlencode({'next': asked_to_sign_in(client, site.url())})}")
    assert "form-action 'self' https://rp.example;" in page.headers["Content-Security-Policy"]


@pytest.mark.attack("O21")
def test_prompt_none_never_shows_a_page(client: Visitor, make_account: MakeAccount, site: Site, clock: Clock) -> None:
    assert sent_back(client, site.url(prompt="none"))["error"] == "login_required"
    sign_in(client, make_account("alice"), now=clock.now)
    assert sent_back(client, site.url(prompt="none"))["error"] == "consent_required"
    site.answer(client)
    assert "code" in sent_back(client, site.url(prompt="none"))
    clock.advance(seconds=61)
    assert sent_back(client, site.url(prompt="none", max_age="60"))["error"] == "login_required"


@pytest.mark.parametrize("again", [{"prompt": "login"}, {"max_age": "0"}, {"prompt": "select_account"}])
def test_a_new_sign_in_is_asked_for_once_and_moves_auth_time(
    client: Visitor, alice: Person, site: Site, clock: Clock, again: dict[str, str]
) -> None:
    site.answer(client)
    after = asked_to_sign_in(client, site.url(**again))
    assert asked_to_sign_in(client, after) == after  # not by going there without signing in
    clock.advance(minutes=2)
    sign_in(client, alice, now=clock.now)
    assert "code" in query_of(client.get(after).location)


@pytest.mark.parametrize(("age", "good"), [(3600, True), (3601, False)])
def test_a_sign_in_older_than_max_age_is_too_old(
    client: Visitor, alice: Person, site: Site, clock: Clock, age: int, good: bool
) -> None:
    site.answer(client)
    sign_in(client, alice, now=clock.now, auth_time=clock.now - timedelta(seconds=age))
    assert client.get(site.url(max_age="3600")).location.startswith(REDIRECT if good else "/login")


@pytest.mark.parametrize("hint_is_for_alice", [True, False])
def test_a_hint_at_another_account_asks_that_one_to_sign_in(
    client: Visitor, alice: Person, site: Site, clock: Clock, make_account: MakeAccount, hint_is_for_alice: bool
) -> None:
    hint = site.tokens(client)["id_token"]
    clock.advance(days=1)  # expired long ago, which is forgiven
    sign_in(client, alice if hint_is_for_alice else make_account("bob"), now=clock.now)
    answer = client.get(site.url(id_token_hint=hint, prompt="none"))
    expected = None if hint_is_for_alice else "login_required"
    assert query_of(answer.location).get("error") == expected


def test_when_another_account_signs_in_than_was_hinted_at_the_client_is_told(
    client: Visitor, alice: Person, site: Site, clock: Clock, make_account: MakeAccount
) -> None:
    hint = site.tokens(client)["id_token"]
    sign_in(client, make_account("bob"), now=clock.now - timedelta(minutes=1))
    after = asked_to_sign_in(client, site.url(id_token_hint=hint))
    clock.advance(minutes=1)
    sign_in(client, make_account("carol"), now=clock.now)
    assert sent_back(client, after)["error"] == "login_required"


def test_a_claim_for_another_subject_is_not_answered(client: Visitor, alice: Person, site: Site) -> None:
    site.answer(client)
    claims = json.dumps({"id_token": {"sub": {"value": "somebody"}}})
    assert sent_back(client, site.url(claims=claims, prompt="none"))["error"] == "login_required"


# How strongly


def essential(*values: str) -> str:
    return json.dumps({"id_token": {"acr": {"essential": True, "values": list(values)}}})


def test_a_stronger_sign_in_is_asked_for_where_the_account_could(
    client: Visitor, make_account: MakeAccount, site: Site, clock: Clock
) -> None:
    person = make_account("alice", totp_app=True)
    sign_in(client, person, now=clock.now)
    after = asked_to_sign_in(client, site.url(acr_values="phr aal2"))
    clock.advance(minutes=1)
    sign_in(client, person, now=clock.now, acr=Acr.AAL2, amr="pwd otp mfa")
    assert "code" in query_of(consent(client, after).location)


def test_a_wish_that_the_account_cannot_meet_is_no_error(client: Visitor, alice: Person, site: Site) -> None:
    assert "code" in site.answer(client, acr_values="phr")
    assert "code" in site.answer(client, acr_values="urn:example:gold", prompt="none")
    assert "code" in site.answer(client, acr_values="aal2", prompt="none")


@pytest.mark.parametrize("values", [("phr",), ("urn:example:gold",), ("aal2", "phr")])
def test_a_strength_that_is_essential_and_cannot_be_met_fails_the_request(
    client: Visitor, alice: Person, site: Site, values: tuple[str, ...]
) -> None:
    back = sent_back(client, site.url(claims=essential(*values)))
    assert back["error"] == "unmet_authentication_requirements"


def test_a_strength_that_is_essential_and_was_not_reached_fails_the_request_after_one_sign_in(
    client: Visitor, make_account: MakeAccount, site: Site, clock: Clock
) -> None:
    person = make_account("alice", key=True)
    sign_in(client, person, now=clock.now)
    assert sent_back(client, site.url(claims=essential("phr"), prompt="none"))["error"] == "login_required"
    after = asked_to_sign_in(client, site.url(claims=essential("phr")))
    clock.advance(minutes=1)
    sign_in(client, person, now=clock.now)  # with a recovery code, say
    assert sent_back(client, after)["error"] == "unmet_authentication_requirements"


def test_a_higher_strength_than_asked_for_will_do(
    client: Visitor, make_account: MakeAccount, site: Site, clock: Clock
) -> None:
    sign_in(client, make_account("alice", key=True), now=clock.now, acr=Acr.PHR, amr="hwk user mfa")
    assert "code" in site.answer(client, claims=essential("aal2"))


def test_a_strong_sign_in_of_yesterday_is_not_strong_any_more(
    client: Visitor, make_account: MakeAccount, site: Site, clock: Clock
) -> None:
    person = make_account("alice", key=True)
    sign_in(client, person, now=clock.now, acr=Acr.PHR, auth_time=clock.now - timedelta(hours=24))
    asked_to_sign_in(client, site.url(acr_values="aal2"))


# Consent


def test_consent_names_the_client_the_scopes_and_where_the_browser_goes(
    client: Visitor, alice: Person, site: Site
) -> None:
    page = client.get(client.get(site.url()).location)
    assert "Continue to Example site?" in page.text
    assert "<strong>alice</strong>" in page.text
    assert "rp.example" in page.text
    assert "See your e-mail address" in page.text
    assert "Verified" in page.text
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    assert "form-action 'self' https://rp.example;" in page.headers["Content-Security-Policy"]


@pytest.mark.attack("C07")
def test_a_clients_name_cannot_run_script_on_the_consent_page(
    app: Flask, clock: Clock, client: Visitor, alice: Person
) -> None:
    site = register(app, now=clock.now, client_name="<script>alert(1)</script>\"'><img src=x>")
    page = client.get(client.get(site.url()).location)
    assert "<script>alert(1)" not in page.text
    assert "<img src=x" not in page.text
    assert "&lt;script&gt;" in page.text
    assert "'unsafe-inline'" not in page.headers["Content-Security-Policy"]


def test_consent_is_remembered_for_the_same_or_fewer_scopes(
    client: Visitor, alice: Person, site: Site, app: Flask, clock: Clock
) -> None:
    site.answer(client, scope="openid profile")
    for scope, remembered in (("openid profile", True), ("openid", True), ("openid email", False)):
        assert client.get(site.url(scope=scope)).location.startswith(REDIRECT) is remembered
    assert client.get(site.url(scope="openid", prompt="consent")).location.startswith("/oauth2/authorize")
    other = register(app, now=clock.now)
    assert client.get(other.url(scope="openid")).location.startswith("/oauth2/authorize")
    site.answer(client, scope="openid email")
    assert client.get(site.url(scope="openid profile email")).location.startswith(REDIRECT)


def test_consents_from_before_a_recovery_are_forgotten(
    client: Visitor, alice: Person, site: Site, app: Flask, clock: Clock
) -> None:
    site.answer(client, scope="openid profile email")
    clock.advance(minutes=1)
    with app.app_context(), db.transaction():
        accounts.raise_epoch(alice.id, confirm_after=clock.now)
    sign_in(client, alice, now=clock.now)
    assert client.get(site.url()).location.startswith("/oauth2/authorize")
    clock.advance(minutes=1)
    site.answer(client, scope="openid")
    assert client.get(site.url(scope="openid")).location.startswith(REDIRECT)
    assert client.get(site.url(scope="openid profile")).location.startswith("/oauth2/authorize")


@pytest.mark.attack("O22")
def test_a_public_client_is_never_remembered_and_never_called_verified(
    app: Flask, clock: Clock, client: Visitor, alice: Person
) -> None:
    native = register(app, now=clock.now, secret=False)
    for _ in range(2):
        location = client.get(native.url()).location
        page = client.get(location).text
        assert "Not verified" in page
        consent(client, location)
    assert sent_back(client, native.url(prompt="none"))["error"] == "consent_required"


def test_consent_needs_the_form_of_its_own_page(client: Visitor, alice: Person, site: Site) -> None:
    location = client.get(site.url()).location
    handle = handle_of(client.get(location).text)
    data = {"request": handle, "decision": "approve"}
    forged = client.http.post("/oauth2/consent", data=data, base_url=BASE_URL)
    assert forged.status_code == 403
    assert client.get(location).status_code == 200


def test_consent_counts_once(client: Visitor, alice: Person, site: Site) -> None:
    location = client.get(site.url()).location
    handle = handle_of(client.get(location).text)
    for decision, status in (("approve", 303), ("approve", 410), ("deny", 410)):
        assert client.post("/oauth2/consent", request=handle, decision=decision).status_code == status
    assert client.get(location).status_code == 400  # the back button


def test_a_waiting_request_ends_after_an_hour_and_stays_with_its_client(
    app: Flask, client: Visitor, alice: Person, site: Site, clock: Clock
) -> None:
    location = client.get(site.url()).location
    assert client.get(location.replace(site.id, register(app, now=clock.now).id)).status_code == 400
    clock.advance(minutes=59)
    assert client.get(location).status_code == 200
    clock.advance(minutes=1)
    assert client.get(location).status_code == 400


def test_consent_given_by_somebody_who_signed_out_meanwhile_gives_nothing(
    client: Visitor, alice: Person, site: Site
) -> None:
    location = client.get(site.url()).location
    handle = handle_of(client.get(location).text)
    client.post("/logout")
    answer = client.post("/oauth2/consent", request=handle, decision="approve")
    assert answer.location == "/login?next=/account"


def test_a_waiting_request_dies_when_its_address_is_no_longer_registered(
    app: Flask, client: Visitor, alice: Person, site: Site, clock: Clock
) -> None:
    location = client.get(site.url()).location
    handle = handle_of(client.get(location).text)
    moved = {**site.metadata, "redirect_uris": ["https://rp.example/moved"]}
    with app.app_context(), db.transaction():
        clients.put(site.id, clients.read_metadata(moved), secret=None, now=clock.now)
    assert client.get(location).status_code == 400
    assert client.post("/oauth2/consent", request=handle, decision="approve").status_code == 410


# Writing takes a step-up


def test_scopes_that_write_take_a_proof_each_time(
    client: Visitor, alice: Person, site: Site, outbox: Outbox, clock: Clock
) -> None:
    sign_in(client, alice, now=clock.now, first_seen=clock.now - timedelta(days=1))
    for _ in range(2):
        location = client.get(site.url(scope="openid packages:publish")).location
        step_up = consent(client, location).location
        assert step_up.startswith("/step-up/")
        page = client.get(step_up)
        assert "Give Example site access to your account" in page.text
        assert "Publish new versions of your packages" in page.text
        assert "form-action 'self' https://rp.example;" in page.headers["Content-Security-Policy"]
        wrong = client.post(step_up, way="password", password="wrong " * 4, code="00000000")
        assert wrong.status_code == 401
        done = client.post(step_up, way="password", password=alice.password, code=outbox.code(alice.email))
        got = site.exchange(query_of(done.location)["code"]).json or {}
        assert got["scope"] == "openid packages:publish"
        clock.advance(minutes=1)


@pytest.mark.parametrize("known_for", [timedelta(0), timedelta(hours=23), timedelta(hours=24)])
def test_from_a_browser_known_for_less_than_a_day_what_writes_counts_when_the_day_is_over(
    client: Visitor, alice: Person, site: Site, outbox: Outbox, clock: Clock, known_for: timedelta
) -> None:
    sign_in(client, alice, now=clock.now, first_seen=clock.now - known_for)
    waits = timedelta(hours=24) - known_for
    location = client.get(site.url(scope="openid offline_access packages:publish")).location
    assert ("Publish new versions of your packages (from" in client.get(location).text) is bool(waits)
    step_up = consent(client, location).location
    assert ("Publish new versions of your packages (from" in client.get(step_up).text) is bool(waits)
    done = client.post(step_up, way="password", password=alice.password, code=outbox.code(alice.email))
    got = site.exchange(query_of(done.location)["code"]).json or {}
    assert ("packages:publish" in got["scope"]) is not bool(waits)
    if waits:
        clock.advance(seconds=waits.total_seconds() - 1)
        got = site.refresh(got["refresh_token"]).json or {}
        assert "packages:publish" not in site.introspect(got["access_token"])["scope"]
        clock.advance(seconds=1)
        assert "packages:publish" in site.introspect(got["access_token"])["scope"]


def test_in_a_hold_nothing_that_writes_is_granted(
    app: Flask, client: Visitor, alice: Person, site: Site, clock: Clock
) -> None:
    with app.app_context(), db.transaction():
        holds.begin(alice.id, HoldCause.OPERATOR, client=None, now=clock.now)
    location = client.get(site.url(scope="openid packages:publish")).location
    answer = consent(client, location)
    assert answer.status_code == 403
    assert "waits until" in answer.text
    assert "code" in site.answer(client)


# Accounts that get nothing


@pytest.mark.attack("E18")
def test_an_account_without_a_proved_address_gets_no_code(
    app: Flask, client: Visitor, alice: Person, site: Site, clock: Clock
) -> None:
    location = client.get(site.url()).location
    handle = handle_of(client.get(location).text)
    set_verified(app, alice, None)
    answer = client.post("/oauth2/consent", request=handle, decision="approve")
    assert query_of(answer.location)["error"] == "access_denied"
    set_verified(app, alice, clock.now)
    site.answer(client)
    set_verified(app, alice, None)
    assert sent_back(client, site.url())["error"] == "access_denied"


def test_beside_the_name_of_a_waiting_request_nothing_counts(client: Visitor, alice: Person, site: Site) -> None:
    location = client.get(site.url(prompt="login")).location
    after = query_of(location)["next"].replace("rp.example", "evil.example") + "&state=other&scope=packages%3Apublish"
    assert "evil.example" not in asked_to_sign_in(client, after)
    assert "other" not in asked_to_sign_in(client, after)
