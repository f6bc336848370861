"""Step-up: proved for one displayed action, carried out at once, spent once."""

from collections.abc import Callable

import pytest
from flask import Flask

from authsvc import accounts
from authsvc.access.stepup import EXECUTORS
from authsvc.core import db
from authsvc.core.assurance import Action, Factor
from authsvc.policy.permission import TABLE
from tests.conftest import Clock
from tests.people import PASSWORD, Outbox, Person, Visitor, kinds

MakeAccount = Callable[..., Person]
NewClient = Callable[[], Visitor]
NEW = "something wholly different now"


def test_every_action_that_takes_a_step_up_has_a_function_that_carries_it_out() -> None:
    assert {a for a in Action if TABLE[a].step_up} == set(EXECUTORS)


@pytest.mark.attack("T11")
def test_a_password_session_alone_cannot_remove_a_factor(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock, outbox: Outbox
) -> None:
    bob = make_account("bob", totp_app=True)
    client.sign_in(bob, now=clock.now)
    with app.app_context(), db.transaction():
        (authenticator,) = accounts.enrolled(bob.id, now=clock.now)
    page = client.post(f"/account/authenticators/{authenticator.id}/remove").location
    assert "Remove the authenticator app “App”" in client.get(page).text
    assert client.post(page, way="password", password=PASSWORD, code="12345678").status_code == 401
    assert client.post(page, way="totp", code=bob.totp(clock.now)).status_code == 401  # its step was spent signing in
    clock.advance(seconds=30)
    assert client.post(page, way="totp", code=bob.totp(clock.now)).location == "/account#ways"
    assert kinds(app, bob.id, clock.now) == set()
    assert "Second step removed for bob" in [m["Subject"] for m in outbox.to(bob.email)]


def test_a_proof_is_spent_once(client: Visitor, make_account: MakeAccount, outbox: Outbox) -> None:
    alice = make_account()
    client.sign_in(alice)
    page = client.post("/account/enrol", way="totp").location
    code = outbox.code(alice.email)
    assert client.post(page, way="password", password=PASSWORD, code=code).status_code == 303
    assert client.post(page, way="password", password=PASSWORD, code=code).status_code == 410
    assert client.get(page).status_code == 410


def test_a_proof_belongs_to_the_session_that_asked(
    client: Visitor, make_account: MakeAccount, outbox: Outbox, new_client: NewClient
) -> None:
    alice, other = make_account(), new_client()
    client.sign_in(alice)
    other.sign_in(alice)
    page = client.post("/account/enrol", way="totp").location
    assert other.get(page).status_code == 410
    assert other.post(page, way="password", password=PASSWORD, code=outbox.code(alice.email)).status_code == 410


def test_a_code_for_one_action_proves_no_other(client: Visitor, make_account: MakeAccount, outbox: Outbox) -> None:
    alice = make_account()
    client.sign_in(alice)
    client.post("/account/enrol", way="totp")
    code = outbox.code(alice.email)
    other = client.post("/account/enrol", way="key").location
    assert client.post(other, way="password", password=PASSWORD, code=code).status_code == 401


@pytest.mark.parametrize(("seconds", "status"), [(599, 303), (600, 410)])
def test_a_pending_action_lives_ten_minutes(
    client: Visitor, make_account: MakeAccount, clock: Clock, seconds: int, status: int
) -> None:
    bob = make_account("bob", totp_app=True)
    client.sign_in(bob, now=clock.now)
    page = client.post("/account/enrol", way="key").location
    clock.advance(seconds=seconds)
    assert client.post(page, way="totp", code=bob.totp(clock.now)).status_code == status


@pytest.mark.attack("L01")
def test_codes_at_step_up_and_sign_in_share_one_budget(
    client: Visitor, make_account: MakeAccount, clock: Clock
) -> None:
    bob = make_account("bob", totp_app=True)
    client.sign_in(bob, now=clock.now)
    page = client.post("/account/enrol", way="key").location
    for _ in range(3):
        assert client.post(page, way="totp", code="000000").status_code == 401
    client.post("/login", username="bob", password=PASSWORD)
    for _ in range(2):
        assert client.post("/login/totp", code="000000").status_code == 401
    assert client.post("/login/totp", code="000000").status_code == 429
    assert client.post(page, way="totp", code="000000").status_code == 429


def test_a_junior_authenticator_proves_no_action(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock, outbox: Outbox
) -> None:
    bob = make_account("bob", totp_app=True, junior=True)
    client.sign_in(bob, now=clock.now)
    page = client.post("/account/enrol", way="key").location
    clock.advance(seconds=30)
    assert client.post(page, way="totp", code=bob.totp(clock.now)).status_code == 401
    assert client.post(page, way="password", password=PASSWORD, code=outbox.code(bob.email)).status_code == 303
    assert kinds(app, bob.id, clock.now) == {Factor.TOTP}


@pytest.mark.attack("W03")
def test_a_key_proves_an_action_with_user_verification_or_with_the_password(
    client: Visitor, make_account: MakeAccount
) -> None:
    carol = make_account("carol", key=True)
    assert carol.key
    client.sign_in(carol)
    page = client.post("/account/enrol", way="totp").location
    assert client.use_key(carol.key, f"{page}/key", page, way="key").status_code == 401
    with_password = client.use_key(carol.key, f"{page}/key", page, way="key", password=PASSWORD)
    assert with_password.status_code == 303
    page = client.post("/account/enrol", way="totp").location
    assert client.use_key(carol.key, f"{page}/key", page, user_verified=True, way="key").status_code == 303


@pytest.mark.attack("S02")
def test_a_changed_password_ends_every_other_session_at_once(
    client: Visitor, make_account: MakeAccount, new_client: NewClient, outbox: Outbox
) -> None:
    alice, other = make_account(), new_client()
    client.sign_in(alice)
    other.sign_in(alice)
    page = client.post("/account/password", password=PASSWORD, new_password=NEW).location
    assert client.post(page, way="password", password=PASSWORD, code=outbox.code(alice.email)).location == "/account"
    assert client.signed_in()
    assert not other.signed_in()
    assert new_client().post("/login", username="alice", password=PASSWORD).status_code == 401
    assert new_client().post("/login", username="alice", password=NEW).status_code == 303


@pytest.mark.attack("E08")
def test_a_borrowed_session_cannot_change_the_password(client: Visitor, make_account: MakeAccount) -> None:
    client.sign_in(make_account())
    assert client.post("/account/password", password="a guess of fifteen", new_password=NEW).status_code == 422
    page = client.post("/account/password", password=PASSWORD, new_password=NEW).location
    assert client.post(page, way="password", password=PASSWORD, code="00000000").status_code == 401
    assert client.post("/login", username="alice", password=PASSWORD).status_code == 303


def test_in_a_hold_security_is_not_changed(client: Visitor, make_account: MakeAccount) -> None:
    bob = make_account("bob", totp_app=True)
    client.post("/login", username="bob", password=PASSWORD)
    client.post("/login/recovery-code", code=bob.codes[0])
    for path in ("/account/password", "/account/recovery-codes", "/account/authenticators/1/remove"):
        assert client.post(path).status_code == 403, path
    assert client.post("/account/enrol", way="key").status_code == 303


def test_new_recovery_codes_replace_the_old(
    client: Visitor, make_account: MakeAccount, clock: Clock, new_client: NewClient
) -> None:
    bob = make_account("bob", totp_app=True)
    client.sign_in(bob, now=clock.now)
    page = client.post("/account/recovery-codes").location
    clock.advance(seconds=30)
    shown = client.get(client.post(page, way="totp", code=bob.totp(clock.now)).location).text
    import re

    codes = re.findall(r"<li><code>([\d ]+)</code>", shown)
    assert client.post("/account/enrol/codes", code=codes[0]).location == "/account"
    other = new_client()
    other.post("/login", username="bob", password=PASSWORD)
    assert other.post("/login/recovery-code", code=bob.codes[0]).status_code == 401
    assert other.post("/login/recovery-code", code=codes[1]).status_code == 303


@pytest.mark.attack("K02")
def test_nobody_acts_on_what_belongs_to_somebody_else(
    app: Flask, client: Visitor, make_account: MakeAccount, new_client: NewClient, clock: Clock
) -> None:
    alice, bob, other = make_account(), make_account("bob", totp_app=True), new_client()
    client.sign_in(alice)
    other.sign_in(bob, now=clock.now)
    with app.app_context(), db.transaction():
        (authenticator,) = accounts.enrolled(bob.id, now=clock.now)
    paths = [f"/account/authenticators/{authenticator.id}/remove", f"/account/authenticators/{authenticator.id}/name"]
    paths += [f"/account/sessions/{n}/end" for n in (2, 99)] + [f"/account/browsers/{n}/forget" for n in (2, 99)]
    for path in paths:
        assert client.post(path, label="x").status_code == 404, path
    assert other.signed_in()


@pytest.mark.attack("D01")
@pytest.mark.parametrize("app_enrolled", [True, False])
def test_a_code_is_mailed_again_only_where_a_mailed_code_would_do(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock, outbox: Outbox, app_enrolled: bool
) -> None:
    alice = make_account("alice", totp_app=app_enrolled)
    client.sign_in(alice, now=clock.now)
    page = client.post("/account/enrol", way="totp").location
    before = len(outbox.to(alice.email))
    with app.app_context(), db.transaction():
        accounts.set_trust("example.test", verdict="lapsed", generation=1, now=clock.now)
    assert client.post(f"{page}/code").status_code == 403
    assert len(outbox.to(alice.email)) == before
