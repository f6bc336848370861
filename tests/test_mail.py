"""The outbox: what is retried, what is dropped, how long it is remembered; and alerts, which nobody can stop."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select

import authsvc
from authsvc import accounts, domains, mail
from authsvc.adapters import MailNotSent
from authsvc.adapters.smtp import MailTransport
from authsvc.core import db
from authsvc.mail import Delivered, Message
from tests import servers
from tests.conftest import Clock
from tests.people import PASSWORD, Outbox, Person, Visitor

TEMPLATES = Path(authsvc.__file__).parent / "templates" / "mail"
NEW = "quite another battery staple"
# These say something else to somebody who did not expect them.
NO_DISPUTE = {
    "address_doubted",  # nobody of the account did anything
    "operator_acted",
    "invited",
    "mandate_announced",
    "mandate_reminder",
    "mandate_enforced",
    "mandate_ended",
    "reset_refused",
    "account_frozen",
    "account_deleted",
    "recovery_of_co_owner",  # these say what somebody else can do
    "co_owner_recovered",
}
NO_PLACE = {
    "invited",
    "mandate_announced",
    "mandate_reminder",
    "mandate_enforced",
    "mandate_ended",
    "account_deleted",
    "address_doubted",
}  # nobody did these from anywhere


def write(app: Flask, clock: Clock, to: str = "alice@example.test") -> None:
    """One mail, still in the outbox."""
    with app.test_request_context(), db.transaction():
        mail.send("operator_acted", to=to, subject="A thing happened", now=clock.now, username="alice", reason="so")


def deliver(app: Flask, clock: Clock) -> Delivered:
    """One round of the worker."""
    with app.app_context():
        return mail.deliver(now=clock.now)


@pytest.mark.parametrize(
    ("reply", "outcome"), [("550 no such user", Delivered(dropped=1)), ("451 later", Delivered(retried=1))]
)
def test_a_mail_refused_for_good_is_dropped_and_others_wait(
    app: Flask, clock: Clock, smtp_server: servers.Smtp, tmp_path: Path, reply: str, outcome: Delivered
) -> None:
    transport = MailTransport(smtp_server.url, tmp_path)
    app.extensions["authsvc.adapters"] = replace(app.extensions["authsvc.adapters"], mail=transport)
    smtp_server.refuse["alice@example.test"] = reply
    write(app, clock)
    assert deliver(app, clock) == outcome
    smtp_server.refuse.clear()
    clock.advance(minutes=1)
    assert deliver(app, clock) == Delivered(sent=outcome.retried)
    with app.app_context(), db.transaction() as session:
        assert session.scalars(select(Message.body)).all() == [None]


def test_a_copy_that_leaves_because_a_worker_died_has_the_same_message_id(
    app: Flask, clock: Clock, smtp_server: servers.Smtp, tmp_path: Path
) -> None:
    transport = MailTransport(smtp_server.url, tmp_path)
    app.extensions["authsvc.adapters"] = replace(app.extensions["authsvc.adapters"], mail=transport)
    write(app, clock)
    write(app, clock)
    with app.app_context(), db.transaction() as session:
        bodies = {row.id: row.body for row in session.scalars(select(Message))}
    assert deliver(app, clock) == Delivered(sent=2)
    with app.app_context(), db.transaction() as session:  # the mail server has them, and the commit is gone
        for row in session.scalars(select(Message)):
            row.body, row.sent_at, row.claimed_until = bodies[row.id], None, None
    assert deliver(app, clock) == Delivered(sent=2)
    names = [message["Message-ID"] for message in smtp_server.messages]
    assert sorted(names[:2]) == sorted(names[2:])
    assert len(set(names)) == 2


@pytest.mark.parametrize(("days", "known"), [(89, True), (91, False)])
def test_what_was_sent_is_remembered_for_ninety_days(
    app: Flask, clock: Clock, outbox: Outbox, days: int, known: bool
) -> None:
    write(app, clock)
    text = outbox.to("alice@example.test")[0].get_content()
    code = text.rpartition("Mark of this mail: ")[2]
    later = clock.now + timedelta(days=days)
    with app.app_context(), db.transaction():
        mail.purge(before=later - mail.KEPT_FOR)
    with app.app_context(), db.transaction():
        assert (mail.check(code, "alice@example.test") is not None) == known


def test_what_still_waits_is_never_purged(app: Flask, clock: Clock) -> None:
    write(app, clock)
    with app.app_context(), db.transaction():
        mail.purge(before=clock.now + timedelta(days=400))
        assert mail.waiting() == 1


@pytest.mark.parametrize("state", ["waiting", "dropped"])
def test_a_mail_that_never_left_is_not_vouched_for(
    app: Flask, clock: Clock, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    monkeypatch.setattr("authsvc.core.crypto.random_letters", lambda count: "B" * count)
    write(app, clock)
    if state == "dropped":

        def refuse(*_: object) -> None:
            raise MailNotSent("no", permanent=True)

        monkeypatch.setattr(MailTransport, "send", refuse)
        assert deliver(app, clock).dropped == 1
    with app.app_context(), db.transaction():
        assert mail.check("B" * 16, "alice@example.test") is None


@pytest.mark.parametrize("template", sorted(path.stem for path in TEMPLATES.glob("[!_]*.txt")))
def test_every_mail_says_when_where_and_what_to_do_if_it_was_not_you(template: str) -> None:
    text = (TEMPLATES / f"{template}.txt").read_text(encoding="utf-8")
    assert "mail/_where.txt" in text or template in NO_PLACE
    assert "_not_you.txt" in text or "If this was not you" in text or template in NO_DISPUTE


# Alerts


@pytest.fixture
def alice(app: Flask, clock: Clock, make_account: Callable[..., Person]) -> Person:
    """A person with a second address, long verified."""
    person, made = make_account(totp_app=True), clock.now - timedelta(days=90)
    with app.app_context(), db.transaction():
        accounts.add_address(person.id, "second@example.test", is_primary=False, verified_at=None, now=made)
        domains.first_proof(person.id, "second@example.test", now=made)
    return person


def alerts(outbox: Outbox, subject: str) -> set[str]:
    """Who got a mail with this subject."""
    return {m["To"] for m in outbox.messages if m["Subject"] == subject}


@pytest.mark.attack("X01")
def test_x01_alerts_go_to_every_trusted_address_however_many_mails_were_asked_for(
    app: Flask, clock: Clock, client: Visitor, new_client: Callable[[], Visitor], outbox: Outbox, alice: Person
) -> None:
    # Given an intruder in a session, who used up every budget for mails there is
    client.sign_in(alice, now=clock.now)
    stranger = new_client()
    for _ in range(12):
        stranger.post("/recovery", username="alice")
        stranger.post("/login", username="alice", password=PASSWORD)
    # When they change the password
    clock.advance(seconds=30)
    page = client.post("/account/password", password=PASSWORD, new_password=NEW).location
    assert client.post(page, way="totp", code=alice.totp(clock.now)).status_code == 303
    # Then both addresses hear of it, with time and place
    assert alerts(outbox, "Password changed for alice") == {alice.email, "second@example.test"}
    text = outbox.to("second@example.test")[-1].get_content()
    assert "When:  24 November 2026" in text
    assert "Where: Firefox on Linux, 127.0.0.1" in text


@pytest.mark.attack("X01")
def test_x01_an_address_that_was_just_removed_still_hears_of_what_follows(
    app: Flask, clock: Clock, client: Visitor, outbox: Outbox, alice: Person
) -> None:
    client.sign_in(alice, now=clock.now)
    with app.app_context(), db.transaction():
        second = next(a for a in accounts.addresses(alice.id) if not a.is_primary)
    clock.advance(seconds=30)
    page = client.post(f"/account/addresses/{second.id}/remove").location
    assert client.post(page, way="totp", code=alice.totp(clock.now)).status_code == 303
    assert "second@example.test" in alerts(outbox, "Addresses changed for alice")
    clock.advance(days=4)
    client.sign_in(alice, now=clock.now)
    page = client.post("/account/password", password=PASSWORD, new_password=NEW).location
    clock.advance(seconds=30)
    assert client.post(page, way="totp", code=alice.totp(clock.now)).status_code == 303
    assert "second@example.test" in alerts(outbox, "Password changed for alice")
