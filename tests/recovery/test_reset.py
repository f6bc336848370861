"""Forgotten passwords: who gets a link, what a link is worth, and that nobody else learns anything."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from authsvc import accounts, audit, domains, recovery
from authsvc.accounts.models import Address
from authsvc.audit import EventType
from authsvc.core import db
from authsvc.core.web import Client
from authsvc.recovery import resetting
from authsvc.recovery.models import ResetLink, ResetRequest
from authsvc.recovery.resetting import LinkGone
from tests.conftest import Clock
from tests.people import Outbox, Person, Visitor
from tests.recovery.corp import ALIVE, NEW, NO_DATES, Outside, in_hold, links, registered, reset, signs_in
from tests.slices import at_once, request_to

MakeAccount = Callable[..., Person]


def log(app: Flask, person: Person) -> list[tuple[EventType, str]]:
    """The account's reset events with their reason, oldest first."""
    with app.app_context(), db.transaction():
        events = reversed(audit.events(person.id))
        return [(e.type, str(e.detail.get("code", e.detail.get("reason", "")))) for e in events if "reset" in e.type]


# --- asking


@pytest.mark.attack("R18")
def test_everybody_gets_the_same_answer(
    app: Flask, client: Visitor, make_account: MakeAccount, outside: Outside
) -> None:
    make_account("alice", email="alice@corp.org")
    make_account("bob", email="bob@corp.org")
    with app.app_context(), db.transaction() as session:
        session.execute(update(Address).where(Address.email == "bob@corp.org").values(block_reason="X"))
    for typed in ("alice", "alice@corp.org", "bob", "nobody", "nobody@corp.org", "nobody@else.org", "@", "é\u202e"):
        answer = client.post("/recovery", username=typed)
        assert (answer.status_code, answer.location) == (303, "/recovery/sent")
    assert outside.dns.zone.asked == []  # asking decides nothing, so it tells nothing


@pytest.mark.attack("R18")
@pytest.mark.parametrize("backup", [False, True])
@pytest.mark.parametrize(("records", "rdap"), [(ALIVE, registered()), ([], None)])
def test_the_outside_sees_the_same_questions_for_an_unknown_local_part(
    app: Flask,
    clock: Clock,
    make_account: MakeAccount,
    ask: Callable[[str], None],
    outside: Outside,
    records: list[list[str]],
    rdap: dict[str, Any] | None,
    backup: bool,
) -> None:
    # Given an account whose main or backup address is at a domain, healthy or gone
    alice = make_account("alice", email="alice@here.test" if backup else "alice@corp.org")
    if backup:
        with app.app_context(), db.transaction():
            second = accounts.add_address(alice.id, "alice@corp.org", is_primary=False, verified_at=None, now=clock.now)
            domains.record_verification(second, "corp.org", verified_at=clock.now, now=clock.now)
            assert accounts.mark_backup(alice.id, second, is_backup=True)
    outside.says(records, rdap)
    ask("alice@corp.org")  # the first look
    # When a link is asked for, once for the account and once for nobody there, as long after the last look
    asked = []
    for typed in ("alice@corp.org", "nobody@corp.org", "alice@corp.org"):
        clock.advance(minutes=11)
        outside.dns.zone.asked.clear()
        outside.web.asked.clear()
        ask(typed)
        asked.append((sorted(outside.dns.zone.asked), sorted(outside.web.asked)))
    # Then neither the DNS server nor the registry can tell the two apart
    assert asked[0] == asked[1] == asked[2]
    assert asked[0][0]


def test_no_question_leaves_the_house_for_a_domain_without_accounts(
    ask: Callable[[str], None], outside: Outside
) -> None:
    ask("nobody@corp.org")
    assert outside.dns.zone.asked == []


# --- who gets a link


def test_a_healthy_domain_gets_the_link(
    app: Flask, make_account: MakeAccount, ask: Callable[[str], None], outbox: Outbox, outside: Outside
) -> None:
    alice = make_account("alice", email="alice@corp.org")
    ask("alice@corp.org")
    assert len(links(outbox, alice)) == 1
    assert [kind for kind, _ in log(app, alice)] == [EventType.RESET_REQUESTED, EventType.RESET_SENT]


@pytest.mark.parametrize(
    ("records", "rdap", "reason"),
    [
        ([], None, "NOT_REGISTERED"),
        (ALIVE, registered("2026-11-01T00:00:00Z"), "REGISTERED_AFTER_VERIFICATION"),
    ],
)
@pytest.mark.attack("D01")
def test_a_lapsed_or_resold_domain_gets_nothing_and_stays_blocked(
    app: Flask,
    clock: Clock,
    make_account: MakeAccount,
    ask: Callable[[str], None],
    outbox: Outbox,
    outside: Outside,
    records: list[list[str]],
    rdap: dict[str, Any] | None,
    reason: str,
) -> None:
    # Given a domain that somebody else may hold, and a second address elsewhere
    alice = make_account("alice", email="alice@corp.org")
    with app.app_context(), db.transaction():
        second = accounts.add_address(alice.id, "alice@backup.test", is_primary=False, verified_at=None, now=clock.now)
        domains.record_verification(second, "backup.test", verified_at=clock.now, now=clock.now)
    outside.says(records, rdap)
    # When a link is asked for
    ask("alice")
    # Then nothing goes there, and the other address hears why
    assert outbox.to("alice@corp.org") == []
    (warning,) = outbox.to("alice@backup.test")
    assert "alice@corp.org" in warning.get_content()
    assert log(app, alice)[-1] == (EventType.RESET_REFUSED, reason)
    # And a domain that works again lifts nothing; asking again fills no mailbox
    outside.says(ALIVE, registered())
    clock.advance(hours=2)
    ask("alice")
    assert outbox.to("alice@corp.org") == []
    assert len(outbox.to("alice@backup.test")) == 1
    assert log(app, alice)[-1] == (EventType.RESET_REFUSED, "STICKY_BLOCK")
    clock.advance(days=1)
    ask("alice")
    assert len(outbox.to("alice@backup.test")) == 2


@pytest.mark.attack("R23")
def test_what_fails_in_between_brings_no_second_warning_the_same_day(
    app: Flask, clock: Clock, make_account: MakeAccount, ask: Callable[[str], None], outbox: Outbox, outside: Outside
) -> None:
    alice = make_account("alice", email="alice@corp.org")
    with app.app_context(), db.transaction():
        second = accounts.add_address(alice.id, "alice@backup.test", is_primary=False, verified_at=None, now=clock.now)
        domains.record_verification(second, "backup.test", verified_at=clock.now, now=clock.now)
    outside.says([], None)
    ask("alice")
    with app.app_context(), db.transaction():
        for _ in range(60):
            audit.record(EventType.LOGIN_FAILED, account_id=alice.id, at=clock.now)
    ask("alice")
    assert len(outbox.to("alice@backup.test")) == 1


def test_mail_that_cannot_arrive_now_is_put_off_and_leaves_no_block(
    app: Flask,
    clock: Clock,
    make_account: MakeAccount,
    ask: Callable[[str], None],
    outbox: Outbox,
    outside: Outside,
) -> None:
    alice = make_account("alice", email="alice@corp.org")
    outside.says([["corp.org", "MX", "0 ."]], registered())
    ask("alice")
    assert outbox.to(alice.email) == []
    assert log(app, alice)[-1] == (EventType.RESET_DEFERRED, "NULL_MX")
    outside.says(ALIVE, registered())
    clock.advance(minutes=11)
    ask("alice")
    assert len(links(outbox, alice)) == 1


def test_a_domain_with_nothing_to_compare_it_with_gets_no_link(
    app: Flask, make_account: MakeAccount, ask: Callable[[str], None], outbox: Outbox, outside: Outside
) -> None:
    # Given a registry without dates, and an address that was proved long before the first look
    outside.says(ALIVE, NO_DATES)
    alice = make_account("alice", email="alice@corp.org")
    bob = make_account("bob", email="bob@corp.org", age=timedelta(days=1))
    ask("alice")
    assert outbox.to(alice.email) == []
    assert log(app, alice)[-1] == (EventType.RESET_DEFERRED, "NO_BASELINE")
    # But one that was proved lately got its baseline with this look
    ask("bob")
    assert len(links(outbox, bob)) == 1


def test_dead_mail_blocks_once_it_is_confirmed(
    app: Flask, clock: Clock, make_account: MakeAccount, ask: Callable[[str], None], outside: Outside
) -> None:
    alice = make_account("alice", email="alice@corp.org")
    outside.says([["corp.org", "MX", "0 ."]], registered())
    for _ in range(2):
        ask("alice")
        clock.advance(days=1)
    assert log(app, alice)[-1] == (EventType.RESET_DEFERRED, "NULL_MX")
    ask("alice")
    assert log(app, alice)[-1] == (EventType.RESET_REFUSED, "NULL_MX")


def test_an_unproved_address_gets_no_link(
    app: Flask, clock: Clock, ask: Callable[[str], None], outbox: Outbox, make_account: MakeAccount
) -> None:
    alice = make_account("alice")
    with app.app_context(), db.transaction() as session:
        session.execute(update(Address).values(verified_at=None))
    ask("alice")
    assert outbox.to(alice.email) == []
    assert log(app, alice)[-1] == (EventType.RESET_DEFERRED, "ADDRESS_UNVERIFIED")


@pytest.mark.parametrize("state", ["disabled", "frozen"])
def test_a_disabled_or_frozen_account_gets_no_link_and_an_older_one_dies(
    app: Flask,
    clock: Clock,
    client: Visitor,
    make_account: MakeAccount,
    ask: Callable[[str], None],
    outbox: Outbox,
    state: str,
) -> None:
    alice = make_account("alice")
    ask("alice")
    with app.app_context(), db.transaction():
        (accounts.set_disabled if state == "disabled" else accounts.set_frozen)(alice.id, now=clock.now)
    ask("alice")
    (path,) = links(outbox, alice)
    client.get(path)
    assert client.get("/recovery/reset").status_code == 410


def test_a_link_that_waited_too_long_in_the_outbox_is_not_sent(
    clock: Clock, make_account: MakeAccount, ask: Callable[[str], None], outbox: Outbox
) -> None:
    alice = make_account("alice")
    ask("alice")
    clock.advance(minutes=10)
    assert links(outbox, alice) == []


def test_a_request_that_cannot_be_decided_comes_back_and_holds_nobody_up(
    app: Flask, clock: Clock, make_account: MakeAccount, ask: Callable[[str], None], outbox: Outbox, outside: Outside
) -> None:
    alice, bob = make_account("alice", email="alice@corp.org"), make_account("bob")
    parts = app.extensions["authsvc.adapters"]
    app.extensions["authsvc.adapters"] = replace(parts, dns=None)  # the look-up breaks in a way nobody foresaw
    ask("alice")
    ask("bob")
    assert (len(links(outbox, alice)), len(links(outbox, bob))) == (0, 1)
    app.extensions["authsvc.adapters"] = parts
    clock.advance(minutes=2)
    with app.app_context():
        recovery.process_resets(now=clock.now)
        recovery.process_resets(now=clock.now)
    assert len(links(outbox, alice)) == 1


def test_links_are_few_at_once_and_five_a_day_then_one_a_quarter_of_an_hour(
    clock: Clock, make_account: MakeAccount, ask: Callable[[str], None], outbox: Outbox
) -> None:
    alice = make_account("alice")
    for _ in range(5):
        ask("alice")
    assert len(links(outbox, alice)) == 3
    for hour in range(4):
        clock.advance(hours=1)
        ask("alice")
        assert len(links(outbox, alice)) == 4 + hour
    clock.advance(hours=1)  # five were charged: the owner is still not kept out for good
    ask("alice")
    assert len(links(outbox, alice)) == 8


def test_a_known_browser_has_five_links_a_day_that_strangers_cannot_use_up(
    make_account: MakeAccount, ask: Callable[..., None], outbox: Outbox, new_client: Callable[[], Visitor]
) -> None:
    alice, owner = make_account("alice"), new_client()
    owner.sign_in(alice)
    for _ in range(5):
        ask("alice")
    assert len(links(outbox, alice)) == 3
    for number in range(7):
        ask("alice", by=owner)
        assert len(links(outbox, alice)) == min(4 + number, 8)
    ask("alice")
    assert len(links(outbox, alice)) == 8


def test_after_a_reset_the_browser_has_tries_that_strangers_cannot_use_up(
    make_account: MakeAccount,
    ask: Callable[..., None],
    outbox: Outbox,
    client: Visitor,
    new_client: Callable[[], Visitor],
) -> None:
    alice, bot = make_account("alice"), new_client()
    ask("alice")
    assert reset(client, links(outbox, alice)[0]) == 303
    for _ in range(11):
        bot.post("/login", username="alice", password="wrong wrong wrong")
    assert signs_in(client, alice, NEW)
    assert not signs_in(new_client(), alice, NEW)


# --- using it


@pytest.mark.attack("R19")
def test_a_link_sets_the_password_once_ends_every_session_and_begins_a_hold(
    app: Flask,
    clock: Clock,
    client: Visitor,
    new_client: Callable[[], Visitor],
    make_account: MakeAccount,
    ask: Callable[[str], None],
    outbox: Outbox,
) -> None:
    # Given somebody who is signed in elsewhere and forgot the password
    alice, elsewhere = make_account("alice"), new_client()
    elsewhere.sign_in(alice, now=clock.now)
    assert elsewhere.signed_in()
    ask("alice")
    (path,) = links(outbox, alice)
    # When the link is opened, also by a scanner of links, and the form is sent
    new_client().get(path)
    client.get(path)
    assert path.rpartition("/")[2] not in client.get("/recovery/reset").text
    assert reset(client, path) == 303
    # Then the password is the new one, nobody is signed in, and the owner hears of it
    assert not client.signed_in()
    assert not elsewhere.signed_in()
    assert not signs_in(new_client(), alice, alice.password)
    assert signs_in(new_client(), alice, NEW)
    assert in_hold(app, alice, clock.now)
    assert "Password reset for alice" in [m["Subject"] for m in outbox.to(alice.email)]
    # And the link is spent
    again = new_client()
    again.get(path)
    assert again.get("/recovery/reset").status_code == 410
    assert again.post("/recovery/reset", new_password=NEW).status_code == 410


@pytest.mark.parametrize(("seconds", "status"), [(3599, 200), (3600, 410)])
@pytest.mark.attack("R07")
def test_a_link_lives_for_an_hour(
    clock: Clock,
    client: Visitor,
    make_account: MakeAccount,
    ask: Callable[[str], None],
    outbox: Outbox,
    seconds: int,
    status: int,
) -> None:
    alice = make_account("alice")
    ask("alice")
    (path,) = links(outbox, alice)
    clock.advance(seconds=seconds)
    client.get(path)
    assert client.get("/recovery/reset").status_code == status


@pytest.mark.attack("R06")
def test_links_void_each_other_on_use(
    client: Visitor, make_account: MakeAccount, ask: Callable[[str], None], outbox: Outbox
) -> None:
    alice = make_account("alice")
    ask("alice")
    ask("alice")
    older, newer = links(outbox, alice)
    assert reset(client, newer) == 303
    assert reset(client, older) == 410


@pytest.mark.attack("R06")
def test_of_two_at_once_one_wins(
    app: Flask, clock: Clock, make_account: MakeAccount, ask: Callable[[str], None], outbox: Outbox
) -> None:
    alice = make_account("alice")
    ask("alice")
    token = links(outbox, alice)[0].rpartition("/")[2]
    with request_to(app):
        link = resetting.find(token, now=clock.now)
        client = Client(ip="127.0.0.1", network="127.0.0.1", browser="Firefox")

    def use() -> bool:
        try:
            return resetting.reset(link, NEW, code="", credential="", client=client, now=clock.now) is None
        except LinkGone:
            db.rollback()
            return False

    assert sorted(at_once(app, use, use)) == [False, True]


def test_a_refused_password_spends_nothing(
    client: Visitor, make_account: MakeAccount, ask: Callable[[str], None], outbox: Outbox
) -> None:
    alice = make_account("alice")
    ask("alice")
    (path,) = links(outbox, alice)
    client.get(path)
    assert client.post("/recovery/reset", new_password="short").status_code == 422
    assert reset(client, path) == 303


@pytest.mark.attack("R09")
def test_a_domain_that_lapses_between_mail_and_use_kills_the_link(
    app: Flask,
    clock: Clock,
    client: Visitor,
    make_account: MakeAccount,
    ask: Callable[[str], None],
    outbox: Outbox,
    outside: Outside,
) -> None:
    alice = make_account("alice", email="alice@corp.org")
    ask("alice")
    (path,) = links(outbox, alice)
    outside.says([], None)
    with app.app_context():
        domains.check_now("corp.org", now=clock.now)
    assert reset(client, path) == 410
    outside.says(ALIVE, registered())  # restored, by whomever: the generation stays risen
    with app.app_context():
        domains.check_now("corp.org", now=clock.now)
    assert reset(client, path) == 410


@pytest.mark.attack("R08")
def test_a_changed_password_kills_the_link(
    app: Flask, client: Visitor, make_account: MakeAccount, ask: Callable[[str], None], outbox: Outbox
) -> None:
    alice = make_account("alice")
    ask("alice")
    with app.app_context(), db.transaction():
        accounts.raise_epoch(alice.id)
    (path,) = links(outbox, alice)
    assert reset(client, path) == 410


@pytest.mark.parametrize("token", ["", "x", "x" * 5000, "../login", "%00"])
def test_made_up_links_lead_to_the_page_for_old_ones(client: Visitor, token: str) -> None:
    client.get(f"/recovery/reset/{token}")
    assert client.get("/recovery/reset").status_code == 410
    assert client.post("/recovery/reset", new_password=NEW).status_code == 410


# --- a reset replaces no factor


@pytest.mark.asvs("6.4.3")
@pytest.mark.attack("R10")
@pytest.mark.parametrize("junior", [False, True])
def test_an_app_s_code_is_asked_for_and_only_an_older_app_spares_the_hold(
    app: Flask,
    clock: Clock,
    client: Visitor,
    make_account: MakeAccount,
    ask: Callable[[str], None],
    outbox: Outbox,
    junior: bool,
) -> None:
    alice = make_account("alice", totp_app=True, junior=junior)
    ask("alice")
    (path,) = links(outbox, alice)
    assert reset(client, path) == 422
    assert reset(client, path, code="000000") == 422
    assert reset(client, path, credential="{}") == 422
    assert reset(client, path, code=alice.totp(clock.now)) == 303
    assert in_hold(app, alice, clock.now) == junior
    with app.app_context(), db.transaction():
        assert len(accounts.enrolled(alice.id, now=clock.now)) == 1


@pytest.mark.asvs("6.4.3")
@pytest.mark.attack("R10")
def test_a_key_is_asked_for_and_another_persons_does_not_do(
    app: Flask,
    clock: Clock,
    client: Visitor,
    make_account: MakeAccount,
    ask: Callable[[str], None],
    outbox: Outbox,
) -> None:
    alice, mallory = make_account("alice", key=True), make_account("mallory", key=True)
    assert alice.key is not None
    assert mallory.key is not None
    ask("alice")
    (path,) = links(outbox, alice)
    assert reset(client, path) == 422
    theirs = client.use_key(mallory.key, "/recovery/reset/key", "/recovery/reset", new_password=NEW)
    assert theirs.status_code == 422
    own = client.use_key(alice.key, "/recovery/reset/key", "/recovery/reset", user_verified=True, new_password=NEW)
    assert own.status_code == 303
    assert not in_hold(app, alice, clock.now)


def test_guesses_of_codes_are_charged(
    client: Visitor, make_account: MakeAccount, ask: Callable[[str], None], outbox: Outbox, clock: Clock
) -> None:
    alice = make_account("alice", totp_app=True)
    ask("alice")
    (path,) = links(outbox, alice)
    for _ in range(5):
        assert reset(client, path, code="000000") == 422
    assert reset(client, path, code=alice.totp(clock.now)) == 429


def test_ended_links_are_deleted_in_time(
    app: Flask, clock: Clock, make_account: MakeAccount, ask: Callable[[str], None]
) -> None:
    make_account("alice")
    ask("alice")
    with app.app_context(), db.transaction() as session:
        recovery.purge(before=clock.now + timedelta(hours=2))
        assert session.scalar(select(func.count()).select_from(ResetLink)) == 0
        assert session.scalar(select(func.count()).select_from(ResetRequest)) == 0
