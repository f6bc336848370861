"""Attacks on mailed links (R)."""

import base64
import re
from collections.abc import Callable

import pytest
from flask import Flask

from authsvc import accounts, recovery
from authsvc.core import crypto, db
from tests.conftest import NOON, Clock
from tests.people import BASE_URL, FIREFOX, PASSWORD, Outbox, Person, Visitor

MakeAccount = Callable[..., Person]
AskLink = Callable[[Person], str]
NEW = "seven quiet otters paint the harbour"


def process(app: Flask, clock: Clock) -> None:
    """What the worker does about resets."""
    with app.app_context():
        recovery.process_resets(now=clock.now)


@pytest.mark.attack("R01")
def test_r01_a_list_of_addresses_is_refused_and_nobody_gets_mail(
    app: Flask, client: Visitor, clock: Clock, make_account: MakeAccount, outbox: Outbox
) -> None:
    alice = make_account()
    assert client.post("/recovery", username=[alice.email, "evil@evil.test"]).status_code == 400
    for typed in (f"{alice.email},evil@evil.test", f"{alice.email} evil@evil.test", f'["{alice.email}","e@evil.test"]'):
        client.post("/recovery", username=typed)
    for body in ({"username": [alice.email, "evil@evil.test"]}, {"username[]": alice.email}):
        client.http.post("/recovery", json=body, base_url=BASE_URL, headers={"X-CSRF-Token": client.csrf()})
    process(app, clock)
    assert outbox.messages == []


@pytest.mark.attack("R04")
@pytest.mark.parametrize(
    "header",
    [
        "Forwarded",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Forwarded-Prefix",
        "X-Original-Host",
        "X-Host",
        "Referer",
    ],
)
def test_r04_no_header_changes_where_a_link_leads(
    app: Flask, client: Visitor, clock: Clock, make_account: MakeAccount, outbox: Outbox, header: str
) -> None:
    alice = make_account()
    value = "host=evil.test;proto=https" if header == "Forwarded" else "https://evil.test"
    client.post("/recovery", username="alice", headers={header: value})
    process(app, clock)
    text = outbox.to(alice.email)[-1].get_content()
    assert "evil.test" not in text
    assert re.search(r"^http://localhost:8000/recovery/reset/\S+$", text, re.MULTILINE)


@pytest.mark.attack("R04")
def test_r04_a_form_of_another_origin_is_refused(client: Visitor, make_account: MakeAccount, outbox: Outbox) -> None:
    make_account()
    answer = client.post("/recovery", username="alice", headers={"Origin": "https://evil.test"})
    assert answer.status_code == 403


@pytest.mark.attack("R05")
@pytest.mark.parametrize(
    "typed", ["mıke@example.test", "mike@eхample.test", "mike@example.teſt", "ｍike@example.test", "MIKE@EXAMPLE.TEST"]
)
def test_r05_mail_goes_to_the_stored_address_or_to_nobody(
    app: Flask, client: Visitor, clock: Clock, make_account: MakeAccount, outbox: Outbox, typed: str
) -> None:
    make_account("mike")
    client.post("/recovery", username=typed)
    process(app, clock)
    assert {message["To"] for message in outbox.messages} <= {"mike@example.test"}


@pytest.mark.attack("R12")
def test_r12_the_link_alone_says_whose_password_is_set(
    client: Visitor, make_account: MakeAccount, new_client: Callable[[], Visitor], link: AskLink
) -> None:
    alice, bob = make_account(), make_account("bob")
    client.get(link(alice))
    others = {"username": "bob", "email": bob.email, "account_id": str(bob.id), "sub": "x"}
    assert client.post(f"/recovery/reset?username=bob&account_id={bob.id}", new_password=NEW, **others).status_code in {
        303,
        400,
    }
    assert new_client().post("/login", username="bob", password=PASSWORD).status_code == 303
    assert new_client().post("/login", username="bob", password=NEW).status_code == 401


@pytest.mark.attack("R15")
def test_r15_a_link_leaks_through_neither_page_nor_header_nor_log(
    client: Visitor, make_account: MakeAccount, link: AskLink, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="authsvc")
    path = link(make_account())
    token = path.rpartition("/")[2]
    opened = client.get(path)
    assert opened.location == "/recovery/reset"
    page = client.get("/recovery/reset")
    for answer in (opened, page):
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"
    assert token not in page.text
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page.text)
    client.post("/recovery/reset", new_password="short")
    assert token not in caplog.text


@pytest.mark.attack("R16")
def test_r16_links_are_too_long_to_guess_and_guesses_are_limited(
    client: Visitor, make_account: MakeAccount, link: AskLink
) -> None:
    token = link(make_account()).rpartition("/")[2]
    assert len(base64.urlsafe_b64decode(token + "==")) >= 16
    statuses = [client.get(f"/recovery/reset/{'x' * 43}").status_code for _ in range(31)]
    assert statuses[-1] == 429


@pytest.mark.attack("R22")
def test_r22_secrets_made_at_the_same_instant_have_nothing_in_common(
    client: Visitor, make_account: MakeAccount, link: AskLink
) -> None:
    # Given two people who ask for a link in the same microsecond
    tokens = [link(make_account(name)).rpartition("/")[2] for name in ("alice", "bob")]
    tokens += [crypto.random_token() for _ in range(200)]
    raw = [base64.urlsafe_b64decode(token + "==") for token in tokens]
    assert all(len(one) >= 16 for one in raw)
    assert len({one[:6] for one in raw}) == len({one[-6:] for one in raw}) == len(raw)
    for place in range(16):  # no place says the same everywhere, as a version or a time would
        assert len({one[place] for one in raw}) > 50


@pytest.mark.attack("R24")
def test_r24_a_reset_does_not_open_a_disabled_account(
    app: Flask,
    client: Visitor,
    clock: Clock,
    make_account: MakeAccount,
    new_client: Callable[[], Visitor],
    outbox: Outbox,
    link: AskLink,
) -> None:
    alice = make_account()
    path = link(alice)
    client.get(path)
    with app.app_context(), db.transaction():
        accounts.set_disabled(alice.id, now=NOON)
        accounts.raise_epoch(alice.id)
    mails = len(outbox.messages)
    # The link of before is over, the answer to asking for another is everybody's, and none is sent
    assert client.post("/recovery/reset", new_password=NEW).status_code == 410
    asked = new_client().post("/recovery", username="alice")
    assert (asked.status_code, asked.location) == (303, "/recovery/sent")
    process(app, clock)
    assert len(outbox.messages) == mails
    for password in (NEW, PASSWORD):
        assert new_client().post("/login", username="alice", password=password).status_code == 401
    with app.app_context(), db.transaction():
        assert accounts.get(alice.id).disabled


@pytest.mark.attack("R19")
def test_r19_a_scanner_that_opens_every_link_changes_nothing(
    app: Flask, client: Visitor, clock: Clock, make_account: MakeAccount, outbox: Outbox, link: AskLink
) -> None:
    alice = make_account()
    path = link(alice)
    client.sign_in(alice)  # which mails about the new browser, with a link that could freeze
    scanner = app.test_client()
    for message in outbox.messages:
        for word in re.findall(r"http://localhost:8000(/\S+)", message.get_content()):
            for method in ("HEAD", "GET"):
                scanner.open(word, method=method, base_url=BASE_URL, headers={"User-Agent": FIREFOX})
    assert client.signed_in()
    with app.app_context(), db.transaction():
        assert not accounts.get(alice.id).frozen
    client.get(path)
    assert client.get("/recovery/reset").status_code == 200
