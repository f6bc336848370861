"""The door in front of everything: strangers are turned away while nothing could be hashed for them, others never."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask

from authsvc import budgets, passwords
from authsvc.core import db
from authsvc.passwords import hashing
from authsvc.policy.stuffing import Turn
from tests.people import PASSWORD, Person, Visitor

MakeAccount = Callable[..., Person]


@pytest.fixture
def full_queue(app: Flask) -> Iterator[threading.Event]:
    """All places of the hashing queue are taken by strangers, until the event."""
    release = threading.Event()

    def wait(number: int) -> None:
        with app.app_context(), hashing.turn(Turn.STRANGER, f"account:{-number}"):
            release.wait(10)

    count = hashing.SLOTS + hashing.QUEUE
    with ThreadPoolExecutor(count) as pool:
        waiting = [pool.submit(wait, number) for number in range(1, count + 1)]
        while not passwords.no_place_for_strangers():
            threading.Event().wait(0.001)
        yield release
        release.set()
        for done in waiting:
            done.exception()  # a known browser may have taken a place


def tries_left(app: Flask, person: Person) -> int:
    """How many tries strangers have spent on the account."""
    with app.app_context(), db.transaction():
        return budgets.streak("password", budgets.subject_of(person.id, ""), None)


@pytest.mark.usefixtures("full_queue")
def test_a_stranger_is_turned_away_and_nothing_is_charged(
    app: Flask, client: Visitor, make_account: MakeAccount
) -> None:
    alice = make_account(password=None)
    answer = client.http.post("/login", base_url="http://localhost:8000", data={"username": "alice"})
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "Nothing was tried" in answer.text
    assert tries_left(app, alice) == 0


def test_a_known_browser_gets_in_through_a_full_queue(
    client: Visitor, make_account: MakeAccount, request: pytest.FixtureRequest
) -> None:
    alice = make_account()
    client.sign_in(alice)
    client.post("/logout")
    release: threading.Event = request.getfixturevalue("full_queue")
    token, cookies = client.csrf(), client.cookies()

    def sign_in() -> int:
        sent = client.app.test_client(use_cookies=False).post(
            "/login",
            base_url="http://localhost:8000",
            data={"csrf_token": token, "username": "alice", "password": PASSWORD},
            headers={"Cookie": cookies},
        )
        return sent.status_code

    with ThreadPoolExecutor(1) as pool:
        status = pool.submit(sign_in)
        while not status.done() and not _known_waits():
            threading.Event().wait(0.001)
        release.set()
        assert status.result(timeout=10) == 303


def _known_waits() -> bool:
    with hashing._queue._lock:
        return any(w.turn is Turn.KNOWN for w in hashing._queue._waiting)


@pytest.mark.usefixtures("full_queue")
@pytest.mark.parametrize(
    ("path", "method"), [("/login", "GET"), ("/login/passkey/options", "POST"), ("/recovery", "GET")]
)
def test_everything_else_goes_on(client: Visitor, path: str, method: str) -> None:
    answer = client.get(path) if method == "GET" else client.post(path)
    assert answer.status_code == 200


def test_with_room_in_the_queue_strangers_come_in(client: Visitor, make_account: MakeAccount) -> None:
    make_account()
    assert client.post("/login", username="alice", password="wrong").status_code == 401
