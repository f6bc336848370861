"""The owner's security log: every event as a sentence, nothing pushed out of sight, filtered, paged, exported."""

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from flask import Flask

from authsvc import audit
from authsvc.account_pages.log import LINES
from authsvc.account_pages.words import SENTENCES, sentence
from authsvc.audit import EventType, EventView, Line
from authsvc.core import db
from authsvc.core.web import Client
from tests.conftest import NOON, Clock
from tests.people import Outbox, Person, Visitor

OSLO = Client(ip="203.0.113.9", network="203.0.113.9", browser="Chrome on Linux", place="Oslo, Norway")


def write(app: Flask, person: Person, *types: EventType, at: datetime = NOON, **detail: object) -> None:
    """Events from somewhere, each from another address."""
    with app.app_context(), db.transaction():
        for number, type_ in enumerate(types):
            client = Client(ip=f"198.51.100.{number % 250}", network="", browser="Chrome on Windows")
            audit.record(type_, account_id=person.id, at=at, client=client, **detail)


def shown(page: str) -> list[str]:
    """The lines on a page, newest first."""
    return [" ".join(re.sub("<[^>]+>", " ", line).split()) for line in re.findall(r"</time><div>(.*?)</div>", page)]


def line(type_: EventType, client: Client | None = OSLO, **detail: object) -> Line:
    """One event, not stored."""
    ip, browser, place = (client.ip, client.browser, client.place) if client else ("", "", "")
    return Line(event=EventView(id=1, type=type_, at=NOON, ip=ip, browser=browser, place=place, detail=detail))


@pytest.mark.attack("A08")
def test_a08_every_kind_of_event_has_a_sentence() -> None:
    assert [type_ for type_ in EventType if type_ not in SENTENCES] == []
    assert all(sentence(line(type_)) for type_ in EventType)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (
            line(EventType.LOGIN_SUCCEEDED, proved=["passkey"]),
            "Signed in with a passkey from Chrome on Linux, Oslo, Norway",
        ),
        (
            line(EventType.LOGIN_SUCCEEDED, proved=["password", "totp"]),
            "Signed in with a password and a code from your app from Chrome on Linux, Oslo, Norway",
        ),
        (
            line(EventType.ACCOUNT_DISABLED, None, by="operator", reason="Stolen laptop."),
            "Account disabled, by the people who run this service: Stolen laptop.",
        ),
        (
            line(EventType.HOLD_BEGUN, cause="reset"),
            "Some actions wait: Your password was reset by mail from Chrome on Linux, Oslo, Norway",
        ),
        (
            line(EventType.STEP_UP_FAILED, action="password:change"),
            "A change could not be confirmed: a new password from Chrome on Linux, Oslo, Norway",
        ),
    ],
)
def test_events_read_as_sentences(told: Line, words: str) -> None:
    assert sentence(told) == words


@pytest.mark.attack("A08")
def test_a08_failures_push_nothing_out_of_the_log(
    app: Flask, client: Visitor, make_account: Callable[..., Person]
) -> None:
    # Given something that matters, and strangers who fail in every way, many times
    alice = make_account()
    client.sign_in(alice)
    write(app, alice, EventType.AUTHENTICATOR_ENROLLED, label="Strange key")
    write(app, alice, *(EventType.LOGIN_FAILED, EventType.RESET_REQUESTED) * 300)
    # Then each kind of failure is one line, with its count, and the rest stands below
    for page in ("/account", "/account/log"):
        newest = shown(client.get(page).text)
        assert "A wrong password was tried, 300 times since" in newest[1]
        assert "from 125 addresses" in newest[1]
        assert "300 times" in newest[0]
        assert newest[2].startswith("Added “Strange key”")
        assert any(text.startswith("Signed in with a password") for text in newest)


def test_failures_can_be_read_one_by_one_from_page_to_page(
    app: Flask, client: Visitor, make_account: Callable[..., Person]
) -> None:
    alice = make_account()
    client.sign_in(alice)
    write(app, alice, *[EventType.LOGIN_FAILED] * (LINES + 1))
    first = client.get("/account/log?show=failures")
    assert len(shown(first.text)) == LINES
    older = re.search(r'href="(/account/log\?[^"]*before=\d+)"', first.text)
    assert older
    rest = client.get(older[1].replace("&amp;", "&"))
    assert [text.split(" from ")[0] for text in shown(rest.text)] == [
        "A wrong password was tried",
        "A sign-in code was mailed after the right password",
    ]


def test_pages_leave_nothing_out(app: Flask, client: Visitor, make_account: Callable[..., Person]) -> None:
    alice = make_account()
    client.sign_in(alice)
    write(app, alice, *(EventType.TOKEN_REVOKED, EventType.LOGIN_FAILED) * (LINES + 5))
    seen, path = 0, "/account/log"
    while path:
        page = client.get(path).text
        seen += sum("Token" in text or "token" in text or "wrong" in text for text in shown(page))
        older = re.search(r'href="(/account/log\?[^"]*before=\d+)"', page)
        path = older[1].replace("&amp;", "&") if older else ""
    assert seen == 2 * (LINES + 5)


def test_the_log_can_be_filtered(
    app: Flask, client: Visitor, clock: Clock, make_account: Callable[..., Person]
) -> None:
    alice = make_account()
    client.sign_in(alice)
    write(app, alice, EventType.ADDRESS_ADDED, at=clock.now - timedelta(days=8), email="a@example.test")
    write(app, alice, EventType.ACCOUNT_DISABLED, by="operator", reason="asked to")
    firsts = {
        query: shown(client.get(f"/account/log?{query}").text)
        for query in ("show=sign-ins", "show=changes", "show=staff", "days=7", "browser=Firefox+on+Linux")
    }
    assert all(text.startswith("Signed in") for text in firsts["show=sign-ins"])
    assert any(text.startswith("Address a@example.test added") for text in firsts["show=changes"])
    assert [text.split(",")[0] for text in firsts["show=staff"]] == ["Account disabled"]
    assert not any("a@example.test" in text for text in firsts["days=7"])
    assert all("Firefox on Linux" in text for text in firsts["browser=Firefox+on+Linux"])
    assert client.get("/account/log?show=nonsense&days=x&before=y&browser=nobody").status_code == 200


@pytest.mark.attack("A08")
def test_a08_the_export_holds_every_event_of_its_owner_alone(
    app: Flask, client: Visitor, make_account: Callable[..., Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("authsvc.audit.log.EXPORT_BATCH", 7)
    alice, bob = make_account(), make_account("bob")
    client.sign_in(alice)
    write(app, bob, EventType.PASSWORD_CHANGED)
    write(app, alice, *[EventType.LOGIN_FAILED] * 20)
    answer = client.get("/account/log.json")
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="authsvc-security-log-alice-')
    assert answer.headers["Cache-Control"] == "no-store"
    found = json.loads(answer.text)["events"]
    with app.app_context(), db.transaction():
        own = audit.events(alice.id, limit=1000)
    assert [event["id"] for event in found] == [event.id for event in reversed(own)]
    assert {"at", "type", "sentence", "ip", "browser", "place", "detail"} <= found[0].keys()


def test_the_log_is_for_its_owner_alone(client: Visitor) -> None:
    for path in ("/account/log", "/account/log.json"):
        assert client.get(path).status_code == 303


# Whether a mail came from us


def mark(outbox: Outbox, address: str) -> str:
    """The mark of the newest mail to the address."""
    found = re.search(r"^Mark of this mail: ([A-Z ]{19})\r?$", outbox.to(address)[-1].get_content(), re.MULTILINE)
    assert found
    return found[1]


@pytest.fixture
def mailed(client: Visitor, make_account: Callable[..., Person], outbox: Outbox) -> tuple[Person, str]:
    """A person who was mailed a code, and the mark of that mail."""
    alice = make_account()
    client.post("/login", username="alice", password=alice.password)
    return alice, mark(outbox, alice.email)


def test_a_mail_of_ours_is_known_by_mark_and_address_together(
    client: Visitor, mailed: tuple[Person, str], new_client: Callable[[], Visitor]
) -> None:
    alice, code = mailed
    for typed in (code, code.replace(" ", "").lower(), code.replace(" ", "-")):
        page = new_client().post("/mail/check", code=typed, email=alice.email.upper()).text
        assert "Yes, we sent" in page
        assert "Your sign-in code for alice" in page
        assert "24 November 2026, 12:00 UTC" in page


def test_all_else_gets_one_answer(
    client: Visitor, mailed: tuple[Person, str], make_account: Callable[..., Person]
) -> None:
    alice, code = mailed
    bob = make_account("bob")
    other = code[:-1] + ("B" if code[-1] != "B" else "C")
    answers = set()
    for typed, address in (
        (other, alice.email),
        (code, bob.email),
        (code, "nobody@example.test"),
        (code, "no address"),
        ("x", alice.email),
    ):
        answer = client.post("/mail/check", code=typed, email=address)
        assert answer.status_code == 200
        answers.add(re.sub(r'value="[^"]*"', "", answer.text.partition("<h1>")[2]))
    assert len(answers) == 1
    assert "We know of no mail" in answers.pop()


def test_a_mark_is_stored_as_a_keyed_digest_alone(app: Flask, mailed: tuple[Person, str]) -> None:
    _, code = mailed
    with app.app_context(), db.transaction() as session:
        from sqlalchemy import text

        rows = str(session.execute(text("SELECT * FROM outbox")).all())
    assert code not in rows
    assert code.replace(" ", "") not in rows


def test_checking_is_limited_by_network(client: Visitor) -> None:
    token = client.csrf()
    statuses = [client.post("/mail/check", csrf_token=token, code="X", email="a@b.test").status_code for _ in range(61)]
    assert statuses[59:] == [200, 429]
