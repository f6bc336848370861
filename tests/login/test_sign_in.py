"""Signing in over HTTP: every way, and what must not get past it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask

from authsvc import accounts, audit
from authsvc.audit import EventType
from authsvc.core import db
from authsvc.email_codes import MAX_TRIES
from tests.conftest import NOON, Clock
from tests.people import PASSWORD, Outbox, Person, Visitor

MakeAccount = Callable[..., Person]
NewClient = Callable[[], Visitor]


def events(app: Flask, person: Person) -> list[EventType]:
    """What the account's log says, newest first."""
    with app.app_context(), db.transaction():
        return [e.type for e in audit.events(person.id)]


# --- password and mailed code


def test_password_and_mailed_code_sign_in(client: Visitor, make_account: MakeAccount, outbox: Outbox) -> None:
    alice = make_account()
    answer = client.post("/login", username="alice", password=PASSWORD)
    assert (answer.status_code, answer.location) == (303, "/login/next")
    assert not client.signed_in()
    answer = client.post("/login/code", code=outbox.code(alice.email))
    assert (answer.status_code, answer.location) == (303, "/account")
    assert client.signed_in()


def test_the_code_mail_says_when_where_and_what_to_do(
    client: Visitor, make_account: MakeAccount, outbox: Outbox
) -> None:
    alice = make_account()
    client.post("/login", username="alice", password=PASSWORD)
    text = outbox.to(alice.email)[-1].get_content()
    assert "24 November 2026, 12:00 UTC" in text
    assert "Firefox on Linux, 127.0.0.1" in text
    assert "If this was not you" in text


def test_name_case_and_address_both_find_the_account(client: Visitor, make_account: MakeAccount) -> None:
    alice = make_account()
    for name in ("ALICE", " alice ", alice.email, alice.email.upper()):
        assert client.post("/login", username=name, password=PASSWORD).status_code == 303, name


@pytest.mark.attack("L08")
def test_every_cause_of_failure_looks_the_same(
    app: Flask, client: Visitor, make_account: MakeAccount, new_client: NewClient
) -> None:
    make_account()
    disabled = make_account("mallory")
    with app.app_context(), db.transaction():
        accounts.set_disabled(disabled.id, now=NOON)
    pages = set()
    for name, password in (
        ("alice", "wrong wrong wrong"),
        ("nobody", PASSWORD),
        ("mallory", PASSWORD),
        ("ålice", PASSWORD),
    ):
        answer = new_client().post("/login", username=name, password=password)
        assert answer.status_code == 401
        pages.add(answer.text.partition('role="alert"')[2].partition("</div>")[0])
    assert len(pages) == 1


@pytest.mark.attack("T05")
def test_a_code_dies_after_its_tries_even_for_the_right_one(
    client: Visitor, make_account: MakeAccount, outbox: Outbox
) -> None:
    alice = make_account()
    client.post("/login", username="alice", password=PASSWORD)
    right = outbox.code(alice.email)
    wrong = f"{(int(right) + 1) % 10**8:08d}"
    for _ in range(MAX_TRIES):
        assert client.post("/login/code", code=wrong).status_code == 401
    assert client.post("/login/code", code=right).status_code == 401
    assert not client.signed_in()


def test_a_code_with_spaces_is_accepted(client: Visitor, make_account: MakeAccount, outbox: Outbox) -> None:
    alice = make_account()
    client.post("/login", username="alice", password=PASSWORD)
    code = outbox.code(alice.email)
    assert client.post("/login/code", code=f" {code[:4]} {code[4:]}\n").status_code == 303


@pytest.mark.parametrize(("seconds", "status"), [(599, 303), (600, 401)])
def test_a_code_lives_ten_minutes_to_the_second(
    client: Visitor, make_account: MakeAccount, outbox: Outbox, clock: Clock, seconds: int, status: int
) -> None:
    alice = make_account()
    client.post("/login", username="alice", password=PASSWORD)
    code = outbox.code(alice.email)
    clock.advance(seconds=seconds)
    assert client.post("/login/code", code=code).status_code == status


@pytest.mark.parametrize(("seconds", "status"), [(899, 303), (900, 401)])
def test_a_pending_sign_in_lives_a_quarter_of_an_hour(
    client: Visitor, make_account: MakeAccount, clock: Clock, seconds: int, status: int
) -> None:
    bob = make_account("bob", totp_app=True)
    client.post("/login", username="bob", password=PASSWORD)
    clock.advance(seconds=seconds)
    assert client.post("/login/totp", code=bob.totp(clock.now)).status_code == status


def test_a_code_counts_in_the_browser_it_was_asked_from_only(
    client: Visitor, make_account: MakeAccount, outbox: Outbox, new_client: NewClient
) -> None:
    alice = make_account()
    client.post("/login", username="alice", password=PASSWORD)
    code = outbox.code(alice.email)
    other = new_client()
    other.post("/login", username="alice", password=PASSWORD)
    assert other.post("/login/code", code=code).status_code == 401
    assert client.post("/login/code", code=code).status_code == 303


@pytest.mark.attack("T03")
def test_new_sign_ins_bring_no_new_codes_without_end(
    make_account: MakeAccount, outbox: Outbox, new_client: NewClient
) -> None:
    alice = make_account()
    for _ in range(8):
        new_client().post("/login", username="alice", password=PASSWORD)
    assert len([m for m in outbox.to(alice.email) if m["Subject"].startswith("Your sign-in code")]) == 5


@pytest.mark.attack("T06")
def test_of_two_at_once_with_one_code_one_wins(
    app: Flask, client: Visitor, make_account: MakeAccount, outbox: Outbox
) -> None:
    alice = make_account()
    client.post("/login", username="alice", password=PASSWORD)
    code, token = outbox.code(alice.email), client.csrf()
    cookies = client.cookies()

    def send(_: int) -> int:
        answer = app.test_client(use_cookies=False).post(
            "/login/code",
            data={"csrf_token": token, "code": code},
            base_url="http://localhost:8000",
            headers={"Cookie": cookies},
        )
        return answer.status_code

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(send, range(4)))[0] == 303
    assert events(app, alice).count(EventType.LOGIN_SUCCEEDED) == 1


def test_a_used_code_and_the_back_button_lead_to_a_fresh_start(
    client: Visitor, make_account: MakeAccount, outbox: Outbox
) -> None:
    alice = make_account()
    client.sign_in(alice)
    assert client.get("/login/next").status_code == 401
    assert client.post("/login/code", code=outbox.code(alice.email)).status_code == 401
    assert client.signed_in()


# --- second factors


def test_password_and_app_sign_in(client: Visitor, make_account: MakeAccount, clock: Clock) -> None:
    bob = make_account("bob", totp_app=True)
    assert client.sign_in(bob, now=clock.now).location == "/account"
    assert client.signed_in()


@pytest.mark.attack("T01")
def test_a_code_of_the_app_counts_once(
    client: Visitor, make_account: MakeAccount, clock: Clock, new_client: NewClient
) -> None:
    bob = make_account("bob", totp_app=True)
    assert client.sign_in(bob, now=clock.now).status_code == 303
    assert new_client().sign_in(bob, now=clock.now).status_code == 401


@pytest.mark.attack("T03")
def test_wrong_app_codes_are_counted_over_all_sign_ins(
    make_account: MakeAccount, clock: Clock, new_client: NewClient
) -> None:
    bob = make_account("bob", totp_app=True)
    for _ in range(5):
        visitor = new_client()
        visitor.post("/login", username="bob", password=PASSWORD)
        assert visitor.post("/login/totp", code="000000").status_code == 401
    visitor = new_client()
    visitor.post("/login", username="bob", password=PASSWORD)
    answer = visitor.post("/login/totp", code=bob.totp(clock.now))
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) == 301


@pytest.mark.attack("L06")
def test_guesses_at_the_same_instant_cannot_outrun_the_budget(
    app: Flask, client: Visitor, make_account: MakeAccount
) -> None:
    bob = make_account("bob", totp_app=True)
    client.post("/login", username="bob", password=PASSWORD)
    token = client.csrf()
    cookies = client.cookies()

    def send(number: int) -> int:
        answer = app.test_client(use_cookies=False).post(
            "/login/totp",
            data={"csrf_token": token, "code": f"{number:06d}"},
            base_url="http://localhost:8000",
            headers={"Cookie": cookies},
        )
        return answer.status_code

    with ThreadPoolExecutor(6) as pool:
        statuses = list(pool.map(send, range(12)))
    assert set(statuses) == {401, 429}  # whoever comes too late finds the sign-in ended, or the budget empty
    assert events(app, bob).count(EventType.SECOND_FACTOR_FAILED) == 5


def test_password_and_key_sign_in(client: Visitor, make_account: MakeAccount) -> None:
    carol = make_account("carol", key=True)
    assert client.sign_in(carol).location == "/account"


def test_a_passkey_alone_signs_in(client: Visitor, make_account: MakeAccount) -> None:
    carol = make_account("carol", key=True)
    assert carol.key
    answer = client.use_key(carol.key, "/login/passkey/options", "/login/passkey", user_verified=True)
    assert answer.location == "/account"
    assert "Signed in with a passkey" in client.get("/account").text


@pytest.mark.attack("W03")
def test_a_key_without_user_verification_is_no_first_factor(client: Visitor, make_account: MakeAccount) -> None:
    carol = make_account("carol", key=True)
    assert carol.key
    answer = client.use_key(carol.key, "/login/passkey/options", "/login/passkey", user_verified=False)
    assert answer.status_code == 401
    assert not client.signed_in()


@pytest.mark.attack("W05")
def test_another_accounts_key_does_not_complete_a_sign_in(client: Visitor, make_account: MakeAccount) -> None:
    carol, mallory = make_account("carol", key=True), make_account("mallory", key=True)
    client.post("/login", username="carol", password=carol.password)
    assert mallory.key
    answer = client.use_key(mallory.key, "/login/key/options", "/login/key", user_verified=True)
    assert answer.status_code == 401
    assert not client.signed_in()


@pytest.mark.attack("W04")
def test_a_challenge_counts_once_and_for_its_purpose_only(client: Visitor, make_account: MakeAccount) -> None:
    carol = make_account("carol", key=True)
    assert carol.key
    client.post("/login", username="carol", password=PASSWORD)
    options = client.post("/login/key/options").text
    credential = carol.key.answer(options)
    assert client.post("/login/passkey", credential=credential).status_code == 401
    assert client.post("/login/key", credential=credential).status_code == 303
    client.post("/logout")
    client.post("/login", username="carol", password=PASSWORD)
    client.post("/login/key/options")
    assert client.post("/login/key", credential=credential).status_code == 401
    assert not client.signed_in()


def test_opening_the_sign_in_page_again_does_not_end_a_sign_in_under_way(
    client: Visitor, make_account: MakeAccount, clock: Clock
) -> None:
    bob = make_account("bob", totp_app=True)
    client.post("/login", username="bob", password=PASSWORD)
    client.post("/login/passkey/options")
    assert client.post("/login/totp", code=bob.totp(clock.now)).location == "/account"


@pytest.mark.attack("T07")
def test_nothing_opens_between_password_and_second_factor(client: Visitor, make_account: MakeAccount) -> None:
    make_account("bob", totp_app=True)
    client.post("/login", username="bob", password=PASSWORD)
    for path in ("/account", "/account/enrol", "/account/password", "/device"):
        assert client.get(path).status_code == 303, path


@pytest.mark.attack("T12")
def test_no_factor_can_be_enrolled_while_one_is_asked_for(client: Visitor, make_account: MakeAccount) -> None:
    make_account("bob", totp_app=True)
    client.post("/login", username="bob", password=PASSWORD)
    assert client.post("/login/enrol", way="key").location == "/login/next"
    assert client.post("/login/enrol/key/options").status_code == 401


def test_a_recovery_code_signs_in_once_weakly_and_into_a_hold(
    app: Flask, client: Visitor, make_account: MakeAccount, new_client: NewClient, outbox: Outbox
) -> None:
    bob = make_account("bob", totp_app=True)
    client.post("/login", username="bob", password=PASSWORD)
    assert client.post("/login/recovery-code", code=bob.codes[0]).location == "/account"
    assert "Some actions wait until" in client.get("/account").text
    assert client.get("/account/password").status_code == 403
    assert "Recovery code used for bob" in [m["Subject"] for m in outbox.to(bob.email)]
    again = new_client()
    again.post("/login", username="bob", password=PASSWORD)
    assert again.post("/login/recovery-code", code=bob.codes[0]).status_code == 401


@pytest.mark.attack("T10")
def test_another_accounts_recovery_code_is_refused_and_not_spent(
    client: Visitor, make_account: MakeAccount, new_client: NewClient
) -> None:
    make_account("bob", totp_app=True)
    mallory = make_account("mallory", totp_app=True)
    client.post("/login", username="bob", password=PASSWORD)
    assert client.post("/login/recovery-code", code=mallory.codes[0]).status_code == 401
    own = new_client()
    own.post("/login", username="mallory", password=PASSWORD)
    assert own.post("/login/recovery-code", code=mallory.codes[0]).status_code == 303


# --- sessions


@pytest.mark.attack("S01")
def test_signing_in_always_gives_a_new_session_name(client: Visitor, make_account: MakeAccount) -> None:
    alice = make_account()
    client.http.set_cookie("authsvc-session", "planted-by-somebody-else", domain="localhost")
    client.sign_in(alice)
    first = client.http.get_cookie("authsvc-session", domain="localhost")
    client.sign_in(alice)
    second = client.http.get_cookie("authsvc-session", domain="localhost")
    assert first
    assert second
    assert len({first.value, second.value, "planted-by-somebody-else"}) == 3
    client.http.set_cookie("authsvc-session", first.value, domain="localhost")
    assert not client.signed_in()


@pytest.mark.attack("S05")
def test_signing_out_ends_the_session_on_the_server(client: Visitor, make_account: MakeAccount) -> None:
    client.sign_in(make_account())
    cookie = client.http.get_cookie("authsvc-session", domain="localhost")
    assert cookie
    assert client.post("/logout").status_code == 303
    client.http.set_cookie("authsvc-session", cookie.value, domain="localhost")
    assert not client.signed_in()


def test_signing_out_everywhere_else_ends_the_others(
    client: Visitor, make_account: MakeAccount, new_client: NewClient
) -> None:
    alice, other = make_account(), new_client()
    client.sign_in(alice)
    other.sign_in(alice)
    assert client.post("/account/sessions/end-others").status_code == 303
    assert client.signed_in()
    assert not other.signed_in()


@pytest.mark.parametrize(("hours", "signed_in"), [(11.99, True), (12, False)])
def test_a_session_ends_after_twelve_idle_hours(
    client: Visitor, make_account: MakeAccount, clock: Clock, hours: float, signed_in: bool
) -> None:
    client.sign_in(make_account())
    clock.advance(hours=hours)
    assert client.signed_in() is signed_in


def test_a_session_in_use_ends_after_thirty_days(client: Visitor, make_account: MakeAccount, clock: Clock) -> None:
    client.sign_in(make_account())
    for _ in range(60):
        clock.advance(hours=12, seconds=-1)
        assert client.signed_in()
    clock.advance(seconds=60)
    assert not client.signed_in()


def test_a_new_browser_is_told_by_mail_and_a_known_one_is_not(
    client: Visitor, make_account: MakeAccount, outbox: Outbox
) -> None:
    alice = make_account()
    client.sign_in(alice)
    client.sign_in(alice)
    told = [m for m in outbox.to(alice.email) if m["Subject"].startswith("New browser")]
    assert len(told) == 1
    assert "Where: Firefox on Linux, 127.0.0.1\nHow:   a password\n" in told[0].get_content()


def test_strangers_cannot_lock_the_owner_out_of_a_known_browser(
    client: Visitor, make_account: MakeAccount, new_client: NewClient
) -> None:
    alice = make_account()
    client.sign_in(alice)
    for _ in range(11):
        assert new_client().post("/login", username="alice", password="wrong wrong wrong").status_code == 401
    assert new_client().post("/login", username="alice", password=PASSWORD).status_code == 401
    assert client.post("/login", username="alice", password=PASSWORD).status_code == 303


# --- the frame around it


@pytest.mark.attack("C02")
def test_no_form_works_without_its_token(client: Visitor, make_account: MakeAccount) -> None:
    make_account()
    client.csrf()
    answer = client.http.post(
        "/login", data={"username": "alice", "password": PASSWORD}, base_url="http://localhost:8000"
    )
    assert answer.status_code == 403


def test_a_token_of_another_browser_is_refused(client: Visitor, new_client: NewClient) -> None:
    answer = client.post("/login", username="alice", password=PASSWORD, csrf_token=new_client().csrf())
    assert answer.status_code == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_form_of_another_site_is_refused(client: Visitor, site: str) -> None:
    answer = client.post("/login", username="a", password="b", headers={"Sec-Fetch-Site": site})
    assert answer.status_code == 403


@pytest.mark.attack("C04")
@pytest.mark.parametrize("path", ["//evil.test", "https://evil.test/", "/\\evil.test", "evil", "/%09/evil\t"])
def test_after_sign_in_nobody_is_sent_elsewhere(client: Visitor, make_account: MakeAccount, path: str) -> None:
    assert client.sign_in(make_account(), leads_to=path).location in {"/account", "/%09/evil"}


def test_sign_in_leads_back_to_where_one_was_going(client: Visitor, make_account: MakeAccount) -> None:
    assert client.get("/device").location == "/login?next=/device"
    assert client.sign_in(make_account(), leads_to="/device").location == "/device"


@pytest.mark.attack("R03")
def test_an_unknown_host_name_is_refused(client: Visitor) -> None:
    assert client.http.get("/login", base_url="http://evil.test").status_code == 421


def test_every_page_carries_the_security_headers(client: Visitor) -> None:
    headers = client.get("/login").headers
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "unsafe-inline" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.attack("K11")
def test_no_secret_reaches_the_log(
    client: Visitor, make_account: MakeAccount, caplog: pytest.LogCaptureFixture, app: Flask
) -> None:
    caplog.set_level("DEBUG")
    alice = make_account()
    client.post("/login", username="alice", password="a marked wrong password")
    client.sign_in(alice)
    with app.app_context(), db.transaction():
        log = " ".join(f"{e.detail}" for e in audit.events(alice.id))
    assert "marked" not in caplog.text + log
    assert PASSWORD not in caplog.text + log
