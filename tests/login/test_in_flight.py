"""What happens between: a reset, a full queue or a failure while a sign-in or a step-up is under way."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from flask import Flask

from authsvc import accounts, audit, login, passwords, sessions
from authsvc.audit import EventType
from authsvc.core import db
from authsvc.core.assurance import Factor
from authsvc.passwords import hashing
from tests.conftest import Clock
from tests.people import BASE_URL, PASSWORD, Outbox, Person, Visitor

NEW = "something wholly different now"
OWNERS = "seven quiet otters paint the harbour"
MakeAccount = Callable[..., Person]


@pytest.fixture
def while_hashing(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Let something happen once while the next password is hashed, when no transaction is open."""

    def arrange(happens: Callable[[], object]) -> None:
        real, todo = hashing.matches, [happens]

        def matches(*given: Any) -> bool:
            if todo:
                todo.pop()()
            return real(*given)

        monkeypatch.setattr(hashing, "matches", matches)

    return arrange


def reset_by_owner(app: Flask, person: Person, clock: Clock) -> Callable[[], None]:
    """What a completed reset does, in a transaction of its own."""

    with app.app_context():
        hashed = passwords.hash_new(OWNERS)  # now: while another hash is in flight there is no turn for this one

    def act() -> None:
        with app.app_context(), db.transaction():
            passwords.set_hash(person.id, hashed, now=clock.now)
            accounts.raise_epoch(person.id, confirm_after=clock.now)

    return act


def test_a_step_up_in_flight_dies_with_a_reset(
    app: Flask,
    client: Visitor,
    new_client: Callable[[], Visitor],
    make_account: MakeAccount,
    clock: Clock,
    outbox: Outbox,
    while_hashing: Callable[..., None],
) -> None:
    alice = make_account()
    client.sign_in(alice)
    page = client.post("/account/password", password=PASSWORD, new_password=NEW).location
    code = outbox.code(alice.email)
    while_hashing(reset_by_owner(app, alice, clock))
    assert client.post(page, way="password", password=PASSWORD, code=code).status_code in {303, 410}
    assert not client.signed_in()
    assert new_client().post("/login", username="alice", password=NEW).status_code == 401
    assert new_client().post("/login", username="alice", password=OWNERS).status_code == 303


def test_a_sign_in_in_flight_dies_with_a_reset(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock, while_hashing: Callable[..., None]
) -> None:
    alice = make_account()
    while_hashing(reset_by_owner(app, alice, clock))
    client.post("/login", username="alice", password=PASSWORD)
    assert not client.signed_in()
    with app.app_context(), db.transaction():
        assert sessions.of_account(alice.id, now=clock.now) == []


def test_a_full_hashing_queue_answers_503_and_charges_nothing(client: Visitor, make_account: MakeAccount) -> None:
    make_account()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashing, "_queue", hashing.Queue(slots=0, places=0, strangers_under_pressure=0))
        for _ in range(11):
            answer = client.post("/login", username="alice", password=PASSWORD)
            assert answer.status_code == 503
            assert int(answer.headers["Retry-After"]) >= 1
    assert client.post("/login", username="alice", password=PASSWORD).status_code == 303


@pytest.mark.parametrize("value", ["a|b", "1|0000", "x", ""])
def test_a_planted_remember_cookie_changes_nothing(client: Visitor, make_account: MakeAccount, value: str) -> None:
    client.sign_in(make_account())
    client.http.set_cookie("remember_token", value, domain="localhost")
    assert client.signed_in()
    assert client.get("/nowhere").status_code == 404


def test_whoever_burned_a_passkey_owners_guesses_does_not_stop_the_passkey(
    client: Visitor, new_client: Callable[[], Visitor], make_account: MakeAccount, clock: Clock
) -> None:
    carol = make_account("carol", key=True, totp_app=True)
    assert carol.key
    stranger = new_client()
    for _ in range(25):
        stranger.post("/login", username="carol", password=PASSWORD)
        stranger.post("/login/totp", code="000000")
        clock.advance(minutes=16)
    answer = client.use_key(carol.key, "/login/passkey/options", "/login/passkey", user_verified=True)
    assert answer.location == "/account"


def test_after_the_mailed_code_the_streak_of_wrong_codes_is_over(
    client: Visitor, make_account: MakeAccount, clock: Clock, outbox: Outbox, new_client: Callable[[], Visitor]
) -> None:
    bob = make_account("bob", totp_app=True)
    for _ in range(20):
        client.post("/login", username="bob", password=PASSWORD)
        client.post("/login/totp", code="000000")
        clock.advance(minutes=16)
    client.post("/login", username="bob", password=PASSWORD)
    assert client.post("/login/totp", code=bob.totp(clock.now)).location == "/login/next"
    assert client.post("/login/code", code=outbox.code(bob.email)).location == "/account"
    clock.advance(seconds=60)
    assert new_client().sign_in(bob, now=clock.now).location == "/account"


def test_tries_beyond_the_budget_leave_no_line_in_the_log(
    app: Flask, client: Visitor, make_account: MakeAccount
) -> None:
    alice = make_account()
    for _ in range(30):
        client.post("/login", username="alice", password="wrong wrong wrong")
    with app.app_context(), db.transaction():
        assert [e.type for e in audit.events(alice.id)].count(EventType.LOGIN_FAILED) == 10


@pytest.mark.parametrize("path", ["sessions/{}/end", "browsers/{}/forget", "tokens/{}/revoke"])
def test_a_number_no_row_could_have_is_not_found(client: Visitor, make_account: MakeAccount, path: str) -> None:
    client.sign_in(make_account())
    assert client.post("/account/" + path.format(2**64)).status_code == 404


@pytest.mark.attack("T06")
def test_a_sign_in_that_lacks_nothing_completes_once_however_many_ask_at_once(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock
) -> None:
    alice = make_account()
    with app.app_context(), db.transaction():
        account = accounts.get(alice.id)
        proved = frozenset({Factor.PASSWORD})
        token = login.begin_for(account, proved=proved, mailbox_checked=True, next_path="", now=clock.now)
    client.http.set_cookie("authsvc-login", token, domain="localhost")
    csrf = client.csrf()
    cookies, together = client.cookies(), Barrier(4)

    def go_on(_: int) -> int:
        together.wait()
        sent = app.test_client(use_cookies=False).post(
            "/login/continue", data={"csrf_token": csrf}, base_url=BASE_URL, headers={"Cookie": cookies}
        )
        return sent.status_code

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(go_on, range(4))) == [303, 401, 401, 401]
    with app.app_context(), db.transaction():
        assert [e.type for e in audit.events(alice.id)].count(EventType.LOGIN_SUCCEEDED) == 1
