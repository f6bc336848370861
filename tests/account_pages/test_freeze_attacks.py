"""What an intruder makes of freezes: nothing that the owner did not have before, and nothing that stays."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import update

from authsvc import account_pages, accounts, freezes, passwords, recovery_codes, totp
from authsvc.accounts.models import Authenticator as AuthenticatorRow
from authsvc.core import db
from authsvc.core.assurance import Factor
from authsvc.passwords import hashing
from authsvc.policy.freeze import FreezeCause
from authsvc.recovery import unfreezing
from tests.account_pages.test_freeze import NEW, NOT_ME, ask_to_open, freeze, frozen, newest, open_link
from tests.conftest import Clock
from tests.people import PASSWORD, Outbox, Person, Visitor, kinds
from tests.slices import request_to

MakeAccount = Callable[..., Person]
NewClient = Callable[[], Visitor]
EVIL = "evil@example.test"


def add_app(app: Flask, person: Person, clock: Clock) -> None:
    """Give the account an app, for whose codes `person.seed` stands from now on."""
    with app.app_context(), db.transaction():
        person.seed = totp.new_seed()
        totp.enrol(person.id, person.seed, 0, label="Newer", browser_known_for=timedelta(0), now=clock.now)


def add_address(app: Flask, person: Person, email: str, clock: Clock) -> int:
    """Give the account an address that is proved now."""
    with app.app_context(), db.transaction():
        added = accounts.add_address(person.id, email, is_primary=False, verified_at=None, now=clock.now)
        accounts.verify_address(added, generation=0, verdict="healthy", now=clock.now)
        return added


def set_password(app: Flask, person: Person, password: str, clock: Clock) -> None:
    """Change the account's password."""
    with app.app_context():
        hashed = passwords.hash_new(password)
        with db.transaction():
            passwords.set_hash(person.id, hashed, now=clock.now)


def disputed_at(app: Flask, person: Person) -> datetime:
    """The moment of the freeze in force."""
    with app.app_context(), db.transaction():
        found = freezes.current(person.id)
        assert found is not None
        return found.disputed_at


# --- a mail from before the second step does not lead past it (R10)


def frozen_by_an_old_mail(app: Flask, owner: Visitor, alice: Person, clock: Clock, *, days: int) -> datetime:
    """The owner enrolled an app so many days ago; whoever reads the mail freezes by a link from before that."""
    before = clock.now
    clock.advance(minutes=1)
    add_app(app, alice, clock)
    clock.advance(days=days)
    freeze(app, alice, clock, ago=clock.now - before)
    return before


@pytest.mark.attack("R10")
def test_the_mailbox_alone_never_passes_a_senior_app_by(
    app: Flask, client: Visitor, make_account: MakeAccount, outbox: Outbox, clock: Clock
) -> None:
    alice = make_account()
    frozen_by_an_old_mail(app, client, alice, clock, days=10)
    ask_to_open(app, client, "alice", clock)
    open_link(client, outbox, alice.email)
    assert "Wait three days" not in client.get("/recovery/unfreeze").text
    client.post("/recovery/unfreeze/wait")
    clock.advance(hours=72)
    client.post("/recovery/unfreeze", new_password=NEW)
    assert frozen(app, alice)


@pytest.mark.attack("R10")
@pytest.mark.parametrize(("late", "opens"), [(-1, False), (0, True)])
def test_mailbox_and_password_pass_a_senior_app_by_only_after_72_hours(
    app: Flask, client: Visitor, make_account: MakeAccount, outbox: Outbox, clock: Clock, late: int, opens: bool
) -> None:
    alice = make_account()
    frozen_by_an_old_mail(app, client, alice, clock, days=10)
    ask_to_open(app, client, "alice", clock)
    open_link(client, outbox, alice.email)
    client.post("/recovery/unfreeze/password", password=PASSWORD)
    client.post("/recovery/unfreeze", new_password=NEW)
    assert frozen(app, alice)
    assert "Begin the three days" in client.get("/recovery/unfreeze").text
    client.post("/recovery/unfreeze/wait")
    clock.advance(hours=72, seconds=late)
    client.post("/recovery/unfreeze", new_password=NEW)
    assert frozen(app, alice) is not opens


@pytest.mark.parametrize(("late", "at_once"), [(-1, True), (0, False)])
def test_an_owner_who_acts_within_three_days_does_not_wait_for_the_intruder(
    app: Flask,
    client: Visitor,
    make_account: MakeAccount,
    outbox: Outbox,
    clock: Clock,
    late: int,
    at_once: bool,
) -> None:
    # Given an app that was senior at once, as one enrolled in the owner's stolen session would be
    alice, event = make_account(), clock.now
    clock.advance(minutes=1)
    add_app(app, alice, clock)
    with app.app_context(), db.transaction() as session:
        session.execute(update(AuthenticatorRow).values(senior_at=clock.now))
    clock.advance(hours=72, seconds=late)
    freeze(app, alice, clock, ago=clock.now - event)
    ask_to_open(app, client, "alice", clock)
    open_link(client, outbox, alice.email)
    client.post("/recovery/unfreeze/password", password=PASSWORD)
    client.post("/recovery/unfreeze", new_password=NEW)
    assert frozen(app, alice) is not at_once


@pytest.mark.attack("R10")
@pytest.mark.parametrize("days", [1, 10])
def test_whoever_holds_what_is_disputed_objects_once_and_for_all(
    app: Flask,
    client: Visitor,
    new_client: NewClient,
    make_account: MakeAccount,
    outbox: Outbox,
    clock: Clock,
    days: int,
) -> None:
    alice, intruder = make_account(), client
    frozen_by_an_old_mail(app, intruder, alice, clock, days=days)
    ask_to_open(app, intruder, "alice", clock)
    open_link(intruder, outbox, alice.email)
    intruder.post("/recovery/unfreeze/wait")
    # When the owner signs in, meets the freeze, and objects with the app
    owner = new_client()
    owner.post("/login", username="alice", password=PASSWORD)
    owner.post("/recovery/unfreeze/begin")
    assert "It was not you who froze it?" in owner.get("/recovery/unfreeze").text
    assert owner.post("/recovery/unfreeze/object", code="000000").status_code == 401
    assert owner.post("/recovery/unfreeze/object", code=alice.totp(clock.now)).status_code == 303
    # Then neither this attempt nor a later one leads anywhere by mailbox and time
    assert "Somebody objected" in intruder.get("/recovery/unfreeze").text
    clock.advance(days=60)
    with app.app_context(), db.transaction():
        unfreezing.purge(before=clock.now)
    ask_to_open(app, intruder, "alice", clock)
    open_link(intruder, outbox, alice.email)
    assert "Somebody objected" in intruder.get("/recovery/unfreeze").text
    intruder.post("/recovery/unfreeze", new_password=NEW)
    assert frozen(app, alice)


def test_an_objection_by_mail_holds_for_every_later_attempt(
    app: Flask, client: Visitor, new_client: NewClient, make_account: MakeAccount, outbox: Outbox, clock: Clock
) -> None:
    alice = make_account()
    freeze(app, alice, clock)
    for attempt in range(2):
        ask_to_open(app, client, "alice", clock)
        open_link(client, outbox, alice.email)
        client.post("/recovery/unfreeze/wait")
        if attempt == 0:
            new_client().post(newest(outbox, alice.email, NOT_ME))
    clock.advance(hours=73)
    client.post("/recovery/unfreeze", new_password=NEW)
    assert frozen(app, alice)


# --- what an intruder leaves behind


def test_an_address_that_was_not_kept_can_neither_freeze_nor_open_again(
    app: Flask, client: Visitor, new_client: NewClient, make_account: MakeAccount, outbox: Outbox, clock: Clock
) -> None:
    # Given an intruder with an address that became senior, and a password of theirs
    alice, owner, intruder = make_account(), new_client(), new_client()
    event = clock.now
    clock.advance(minutes=1)
    add_address(app, alice, EVIL, clock)
    set_password(app, alice, "the intruder's own words of choice", clock)
    clock.advance(hours=73)
    alice.password = "the intruder's own words of choice"
    client.sign_in(alice)  # a mail with a link, to both addresses
    link = newest(outbox, EVIL, NOT_ME)
    # When the owner freezes and opens the account
    clock.advance(minutes=1)
    freeze(app, alice, clock, ago=clock.now - event)
    ask_to_open(app, owner, "alice", clock)
    open_link(owner, outbox, alice.email)
    owner.post("/recovery/unfreeze/password", password=PASSWORD)
    assert owner.post("/recovery/unfreeze", new_password=NEW).location == "/login"
    # Then the intruder's mails are worth nothing
    clock.advance(minutes=1)
    assert intruder.post(link).status_code == 410
    assert not frozen(app, alice)
    freeze(app, alice, clock, ago=timedelta(minutes=2))  # nor does the address count in another freeze
    ask_to_open(app, intruder, EVIL, clock)
    assert not any("/recovery/unfreeze/" in m.get_content() for m in outbox.to(EVIL))


def test_recovery_codes_made_since_the_dispute_are_void(
    app: Flask, client: Visitor, make_account: MakeAccount, outbox: Outbox, clock: Clock
) -> None:
    bob = make_account("bob", totp_app=True)
    event = clock.now
    clock.advance(minutes=1)
    with app.app_context(), db.transaction():
        recovery_codes.store(bob.id, ["1234567812345678"], now=clock.now)
    freeze(app, bob, clock, ago=clock.now - event)
    ask_to_open(app, client, "bob", clock)
    open_link(client, outbox, bob.email)
    client.post("/recovery/unfreeze/prove", code=bob.totp(clock.now))
    client.post("/recovery/unfreeze", new_password=NEW)
    assert not frozen(app, bob)
    with app.app_context(), db.transaction():
        assert recovery_codes.left(bob.id) == 0


@pytest.mark.parametrize(("before", "stays"), [(timedelta(minutes=1), True), (-timedelta(minutes=1), False)])
def test_the_switch_to_keys_alone_is_disputed_like_everything_else(
    app: Flask,
    client: Visitor,
    make_account: MakeAccount,
    outbox: Outbox,
    clock: Clock,
    before: timedelta,
    stays: bool,
) -> None:
    bob = make_account("bob", totp_app=True)
    with app.app_context(), db.transaction():
        accounts.set_keys_only(bob.id, now=clock.now)
    clock.advance(minutes=2)
    freeze(app, bob, clock, ago=timedelta(minutes=2) - before)
    ask_to_open(app, client, "bob", clock)
    open_link(client, outbox, bob.email)
    client.post("/recovery/unfreeze/prove", code=bob.totp(clock.now))
    client.post("/recovery/unfreeze", new_password=NEW)
    with app.app_context(), db.transaction():
        assert accounts.get(bob.id).keys_only is stays


def test_what_was_shown_counts_no_more_when_the_moment_moves_back(
    app: Flask, client: Visitor, make_account: MakeAccount, outbox: Outbox, clock: Clock
) -> None:
    # Given an intruder's app, older than what was disputed first, and shown already
    bob = make_account("bob", totp_app=True)
    event = clock.now
    add_app(app, bob, clock)
    clock.advance(days=5)
    freeze(app, bob, clock)
    ask_to_open(app, client, "bob", clock)
    open_link(client, outbox, bob.email)
    client.post("/recovery/unfreeze/prove", code=bob.totp(clock.now))
    # When the owner disputes that app, too
    freeze(app, bob, clock, ago=clock.now - event)
    assert client.post("/recovery/unfreeze", new_password=NEW).status_code == 410
    assert frozen(app, bob)


# --- how far back


def test_an_address_removed_long_ago_hears_nothing_and_moves_nothing(
    app: Flask, client: Visitor, new_client: NewClient, make_account: MakeAccount, outbox: Outbox, clock: Clock
) -> None:
    alice = make_account()
    old = add_address(app, alice, "old@example.test", clock)
    clock.advance(days=10)
    with app.app_context(), db.transaction():
        accounts.remove_address(alice.id, old, now=clock.now)
    clock.advance(days=31)
    freeze(app, alice, clock)
    ask_to_open(app, client, "alice", clock)
    open_link(client, outbox, alice.email)
    client.post("/recovery/unfreeze/wait")
    assert not outbox.to("old@example.test")


def test_no_dispute_reaches_back_further_than_thirty_days(app: Flask, make_account: MakeAccount, clock: Clock) -> None:
    alice = make_account()
    freeze(app, alice, clock, ago=timedelta(days=90))
    assert disputed_at(app, alice) == clock.now - timedelta(days=30)
    freeze(app, alice, clock, ago=timedelta(days=90))
    assert disputed_at(app, alice) == clock.now - timedelta(days=30)


# --- guesses


@pytest.mark.attack("T03")
def test_strangers_cannot_use_up_the_tries_of_whoever_proved_the_mailbox(
    app: Flask, client: Visitor, new_client: NewClient, make_account: MakeAccount, outbox: Outbox, clock: Clock
) -> None:
    bob, intruder = make_account("bob", totp_app=True), new_client()
    freeze(app, bob, clock)
    intruder.post("/login", username="bob", password=PASSWORD)  # which they know
    intruder.post("/recovery/unfreeze/begin")
    # a password that was set before the dispute counts beside the app
    statuses = [intruder.post("/recovery/unfreeze/prove", code="000000").status_code for _ in range(6)]
    assert statuses == [401] * 5 + [429]
    assert "Wrong codes for bob" in [m["Subject"] for m in outbox.to(bob.email)]
    ask_to_open(app, client, "bob", clock)
    open_link(client, outbox, bob.email)
    assert client.post("/recovery/unfreeze/prove", code=bob.totp(clock.now)).status_code == 303
    assert client.post("/recovery/unfreeze", new_password=NEW).location == "/login"


@pytest.mark.attack("T03")
def test_after_twenty_wrong_codes_one_counts_only_beside_the_mailbox(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock
) -> None:
    bob = make_account("bob", totp_app=True)
    freeze(app, bob, clock)
    for n in range(20):
        clock.advance(minutes=15)
        if n % 2 == 0:
            client.post("/login", username="bob", password=PASSWORD)
            client.post("/recovery/unfreeze/begin")
        assert client.post("/recovery/unfreeze/prove", code="000000").status_code == 401
    clock.advance(minutes=15)
    client.post("/login", username="bob", password=PASSWORD)
    client.post("/recovery/unfreeze/begin")
    assert client.post("/recovery/unfreeze/prove", code=bob.totp(clock.now)).status_code == 429


# --- an older app beside a younger key


@pytest.mark.parametrize("path", ["/account/freeze", "keep"])
def test_an_older_app_freezes_and_keeps_itself_though_a_key_is_stronger(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock, path: str
) -> None:
    bob = make_account("bob", totp_app=True, key=True)
    client.post("/login", username="bob", password=PASSWORD)
    client.post("/login/totp", code=bob.totp(clock.now))
    clock.advance(seconds=30)
    if path == "keep":
        with app.app_context(), db.transaction():
            (own,) = (a.id for a in accounts.enrolled(bob.id, now=clock.now) if a.kind is Factor.TOTP)
        path = f"/account/authenticators/{own}/keep"
    page = client.post(path).location
    assert client.post(page, way="totp", code=bob.totp(clock.now)).status_code == 303
    assert kinds(app, bob.id, clock.now) == {Factor.TOTP, Factor.PASSKEY} or frozen(app, bob)


# --- what is left


def test_the_password_from_then_is_no_new_one(
    app: Flask, client: Visitor, make_account: MakeAccount, outbox: Outbox, clock: Clock
) -> None:
    alice = make_account()
    event = clock.now
    clock.advance(minutes=1)
    set_password(app, alice, "the intruder's own words of choice", clock)
    freeze(app, alice, clock, ago=clock.now - event)
    ask_to_open(app, client, "alice", clock)
    open_link(client, outbox, alice.email)
    client.post("/recovery/unfreeze/password", password=PASSWORD)
    for known in (PASSWORD, "the intruder's own words of choice"):
        assert client.post("/recovery/unfreeze", new_password=known).status_code == 422
    assert client.post("/recovery/unfreeze", new_password=NEW).location == "/login"


def test_what_staff_disabled_is_not_deleted_meanwhile(app: Flask, make_account: MakeAccount, clock: Clock) -> None:
    alice = make_account()
    with app.app_context(), db.transaction():
        freezes.begin(alice.id, FreezeCause.DELETION, disputed_at=clock.now, client=None, now=clock.now)
        accounts.set_disabled(alice.id, now=clock.now)
    clock.advance(days=30)
    with app.app_context():
        assert account_pages.delete_due(now=clock.now) == 0


@pytest.mark.attack("X01")
def test_the_mail_about_a_deletion_stops_it(
    app: Flask, client: Visitor, make_account: MakeAccount, outbox: Outbox, clock: Clock
) -> None:
    alice = make_account()
    with app.test_request_context(), db.transaction():
        freezes.begin(alice.id, FreezeCause.DELETION, disputed_at=clock.now, client=None, now=clock.now)
    assert client.post(newest(outbox, alice.email, NOT_ME)).location == "/frozen"
    clock.advance(days=31)
    with app.app_context():
        assert account_pages.delete_due(now=clock.now) == 0
    assert frozen(app, alice)


def test_numbers_of_other_scripts_are_refused_and_break_nothing(
    app: Flask, client: Visitor, make_account: MakeAccount, outbox: Outbox, clock: Clock
) -> None:
    alice = make_account()
    client.sign_in(alice)
    assert client.get("/account/freeze?event=²").status_code == 400
    freeze(app, alice, clock)
    ask_to_open(app, client, "alice", clock)
    open_link(client, outbox, alice.email)
    client.post("/recovery/unfreeze/password", password=PASSWORD)
    assert client.post("/recovery/unfreeze", new_password=NEW, keep="address:²").status_code == 400


def test_no_transaction_is_open_while_a_password_from_then_is_compared(
    app: Flask, make_account: MakeAccount, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = make_account()
    open_then: list[bool] = []
    with request_to(app):
        opened = db.session()
        real = hashing.matches

        def matches(hashed: str | None, password: str) -> bool:
            open_then.append(opened.in_transaction())
            return real(hashed, password)

        monkeypatch.setattr(hashing, "matches", matches)
        assert passwords.was_valid(alice.id, PASSWORD, at=clock.now, browser_id=None, now=clock.now).ok
    assert open_then == [False]
