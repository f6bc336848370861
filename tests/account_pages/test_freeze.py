""" "This was not me": who freezes an account, what that ends, and what opens it again."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import update

from authsvc import account_pages, accounts, devices, freezes, holds, recovery
from authsvc.accounts.models import Authenticator as AuthenticatorRow
from authsvc.core import db
from authsvc.core.assurance import Factor
from authsvc.policy.freeze import FreezeCause
from tests.conftest import Clock
from tests.people import PASSWORD, Outbox, Person, Visitor, kinds

MakeAccount = Callable[..., Person]
NewClient = Callable[[], Visitor]
NEW = "seven quiet otters paint the harbour"
NOT_ME = re.compile(r"http://localhost:8000(/not-me/\S+)")
OPEN_AGAIN = re.compile(r"http://localhost:8000(/recovery/unfreeze/\S+)")


def newest(outbox: Outbox, address: str, pattern: re.Pattern[str]) -> str:
    """The link in the newest mail to the address that has such a one."""
    for message in reversed(outbox.to(address)):
        found = pattern.search(message.get_content())
        if found:
            return found[1]
    raise AssertionError(f"no such link was mailed to {address}")


def frozen(app: Flask, person: Person) -> bool:
    """True while the account is frozen."""
    with app.app_context(), db.transaction():
        return accounts.get(person.id).frozen and freezes.current(person.id) is not None


def freeze(app: Flask, person: Person, clock: Clock, *, ago: timedelta = timedelta(0)) -> None:
    """Freeze the account and dispute everything since."""
    with app.app_context(), db.transaction():
        freezes.begin(person.id, FreezeCause.OWNER, disputed_at=clock.now - ago, client=None, now=clock.now)


def ask_to_open(app: Flask, visitor: Visitor, typed: str, clock: Clock) -> None:
    """Start at /recovery, and let the worker decide."""
    visitor.post("/recovery", username=typed)
    with app.app_context():
        recovery.process_resets(now=clock.now)


def open_link(visitor: Visitor, outbox: Outbox, address: str) -> None:
    """Open the newest link that opens a frozen account."""
    assert visitor.get(newest(outbox, address, OPEN_AGAIN)).status_code == 303


def in_hold(app: Flask, person: Person, clock: Clock) -> bool:
    """True while risky actions wait."""
    with app.app_context(), db.transaction():
        return holds.current(person.id, now=clock.now) is not None


# --- freezing


@pytest.mark.attack("R19")
@pytest.mark.attack("X01")
def test_the_link_in_a_mail_freezes_by_post_and_once(
    app: Flask, client: Visitor, new_client: NewClient, make_account: MakeAccount, outbox: Outbox
) -> None:
    alice, owner = make_account(), new_client()
    client.sign_in(alice)  # somebody else, as far as the owner knows
    link = newest(outbox, alice.email, NOT_ME)
    page = owner.get(link)
    assert "New browser signed in to alice" in page.text
    assert client.signed_in(), "opening the page changes nothing"
    assert owner.post(link).location == "/frozen"
    assert frozen(app, alice)
    assert not client.signed_in()
    assert owner.post(link).status_code == 410
    assert owner.get(link).status_code == 410
    assert "Account alice is frozen" in [m["Subject"] for m in outbox.to(alice.email)]


@pytest.mark.parametrize(("late", "status"), [(-1, 303), (0, 410)])
def test_a_link_lives_thirty_days(
    client: Visitor, make_account: MakeAccount, outbox: Outbox, clock: Clock, late: int, status: int
) -> None:
    alice = make_account()
    client.sign_in(alice)
    link = newest(outbox, alice.email, NOT_ME)
    clock.advance(days=30, seconds=late)
    assert client.post(link).status_code == status


def test_a_made_up_link_freezes_nobody(client: Visitor) -> None:
    assert client.get("/not-me/" + "x" * 43).status_code == 410
    assert client.post("/not-me/" + "x" * 43).status_code == 410


def test_a_new_address_is_told_but_cannot_freeze(
    app: Flask, client: Visitor, make_account: MakeAccount, outbox: Outbox, clock: Clock
) -> None:
    alice = make_account()
    with app.app_context(), db.transaction():
        added = accounts.add_address(alice.id, "new@example.test", is_primary=False, verified_at=None, now=clock.now)
        accounts.verify_address(added, generation=0, verdict="healthy", now=clock.now)
    client.sign_in(alice)
    (told,) = outbox.to("new@example.test")
    assert not NOT_ME.search(told.get_content())
    assert NOT_ME.search(outbox.to(alice.email)[-1].get_content())


def test_a_frozen_account_takes_the_right_password_to_the_page_that_says_so(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock
) -> None:
    alice = make_account()
    freeze(app, alice, clock)
    client.post("/login", username="alice", password=PASSWORD)
    assert "This account is frozen" in client.get("/login/next").text
    assert "frozen" not in client.post("/login", username="alice", password="wrong").text


def test_a_signed_in_owner_disputes_a_line_of_the_log(
    app: Flask, client: Visitor, make_account: MakeAccount, outbox: Outbox, clock: Clock
) -> None:
    alice = make_account()
    client.sign_in(alice)
    clock.advance(minutes=5)
    page = client.post("/account/freeze").location
    done = client.post(page, way="password", password=PASSWORD, code=outbox.code(alice.email))
    assert done.location == "/frozen"
    assert not client.signed_in()


@pytest.mark.attack("T06")
def test_of_two_uses_of_one_link_one_freezes(
    app: Flask, client: Visitor, make_account: MakeAccount, outbox: Outbox
) -> None:
    alice = make_account()
    client.sign_in(alice)
    link = newest(outbox, alice.email, NOT_ME)
    assert client.post_at_once(link, {}, {}) == [303, 410]


def test_a_sign_in_that_overlaps_a_freeze_ends_dead(
    app: Flask, client: Visitor, make_account: MakeAccount, outbox: Outbox, clock: Clock
) -> None:
    alice = make_account()
    client.post("/login", username="alice", password=PASSWORD)
    code = outbox.code(alice.email)
    freeze(app, alice, clock)
    assert client.post("/login/code", code=code).status_code == 401
    assert not client.signed_in()


# --- opening it again


def test_the_older_app_opens_the_account_and_what_the_intruder_added_is_gone(
    app: Flask, client: Visitor, new_client: NewClient, make_account: MakeAccount, outbox: Outbox, clock: Clock
) -> None:
    # Given an intruder who relayed password and code, added a key and an address, and was found out
    bob, owner = make_account("bob", totp_app=True), new_client()
    client.sign_in(bob, now=clock.now)
    link = newest(outbox, bob.email, NOT_ME)
    clock.advance(minutes=10)
    with app.app_context(), db.transaction():
        accounts.add_authenticator(bob.id, Factor.PASSKEY, "Intruder's", browser_known_for=timedelta(0), now=clock.now)
        added = accounts.add_address(bob.id, "evil@example.test", is_primary=False, verified_at=None, now=clock.now)
        accounts.verify_address(added, generation=0, verdict="healthy", now=clock.now)
    owner.post(link)
    # When the owner opens it with the app they had
    clock.advance(minutes=1)
    ask_to_open(app, owner, "bob", clock)
    assert not any(OPEN_AGAIN.search(m.get_content()) for m in outbox.to("evil@example.test"))
    open_link(owner, outbox, bob.email)
    assert "Prove that it is yours" in owner.get("/recovery/unfreeze").text
    assert owner.post("/recovery/unfreeze", new_password=NEW).location == "/recovery/unfreeze", "not yet"
    assert owner.post("/recovery/unfreeze/prove", code=bob.totp(clock.now)).status_code == 303
    page = owner.get("/recovery/unfreeze").text
    assert "Intruder&#39;s" in page
    assert "evil@example.test" in page
    assert owner.post("/recovery/unfreeze", new_password=NEW).location == "/login"
    # Then it is theirs, without what was added, in a hold, and the old password is no use
    assert not frozen(app, bob)
    assert kinds(app, bob.id, clock.now) == {Factor.TOTP}
    with app.app_context(), db.transaction():
        assert [a.email for a in accounts.addresses(bob.id)] == [bob.email]
    assert in_hold(app, bob, clock)
    clock.advance(hours=72, seconds=-1)
    assert in_hold(app, bob, clock)
    clock.advance(seconds=1)
    assert not in_hold(app, bob, clock)
    assert owner.post("/login", username="bob", password=PASSWORD).status_code == 401
    bob.password = NEW
    owner.sign_in(bob, now=clock.now)
    assert owner.signed_in()


def test_what_the_owner_ticks_is_kept_or_comes_back(
    app: Flask, client: Visitor, make_account: MakeAccount, outbox: Outbox, clock: Clock
) -> None:
    bob = make_account("bob", totp_app=True)
    event = clock.now
    clock.advance(minutes=1)
    with app.app_context(), db.transaction():
        added = accounts.add_authenticator(
            bob.id, Factor.PASSKEY, "My key", browser_known_for=timedelta(0), now=clock.now
        )
        (app_of_bob,) = (a.id for a in accounts.enrolled(bob.id, now=clock.now) if a.kind is Factor.TOTP)
        accounts.revoke_authenticator(bob.id, app_of_bob, now=clock.now)
    freeze(app, bob, clock, ago=clock.now - event)
    ask_to_open(app, client, "bob", clock)
    open_link(client, outbox, bob.email)
    client.post("/recovery/unfreeze/prove", code=bob.totp(clock.now))  # removed since, so it counts
    keep = [f"authenticator:{added}", f"authenticator:{app_of_bob}"]
    refused = client.post("/recovery/unfreeze", new_password="short", keep=keep)
    assert refused.status_code == 422
    assert refused.text.count(" checked") == 2, "what was ticked stays ticked"
    client.post("/recovery/unfreeze", new_password=NEW, keep=keep)
    assert kinds(app, bob.id, clock.now) == {Factor.PASSKEY, Factor.TOTP}


@pytest.mark.parametrize("senior_after", [timedelta(0), timedelta(seconds=1)])
def test_what_was_junior_then_opens_nothing(
    app: Flask, client: Visitor, make_account: MakeAccount, outbox: Outbox, clock: Clock, senior_after: timedelta
) -> None:
    bob = make_account("bob", totp_app=True)
    with app.app_context(), db.transaction() as session:
        session.execute(update(AuthenticatorRow).values(senior_at=clock.now + senior_after))
    freeze(app, bob, clock)
    ask_to_open(app, client, "bob", clock)
    open_link(client, outbox, bob.email)
    asked = "Code from your app" in client.get("/recovery/unfreeze").text
    assert asked is (senior_after == timedelta(0))


def test_the_first_address_still_disputes_after_two_changes(
    app: Flask, client: Visitor, new_client: NewClient, make_account: MakeAccount, outbox: Outbox, clock: Clock
) -> None:
    alice, owner = make_account(), new_client()
    clock.advance(days=1)
    for name in ("second@example.test", "third@example.test"):
        clock.advance(minutes=1)
        with app.app_context(), db.transaction():
            added = accounts.add_address(alice.id, name, is_primary=False, verified_at=None, now=clock.now)
            accounts.verify_address(added, generation=0, verdict="healthy", now=clock.now)
            before = accounts.mail_address(alice.id)
            assert before is not None
            accounts.make_primary(alice.id, added)
            accounts.remove_address(alice.id, before.id, now=clock.now)
            accounts.raise_epoch(alice.id)
    client.post("/login", username="alice", password=PASSWORD)
    client.post("/login/code", code=outbox.code("third@example.test"))
    link = newest(outbox, alice.email, NOT_ME)
    owner.post(link)
    assert frozen(app, alice)
    # and it opens the account, because it is older than what it disputes
    ask_to_open(app, owner, alice.email, clock)
    open_link(owner, outbox, alice.email)
    owner.post("/recovery/unfreeze/password", password=PASSWORD)
    assert owner.post("/recovery/unfreeze", new_password=NEW).location == "/login"


def test_without_an_authenticator_the_mailbox_needs_the_password_from_then(
    app: Flask, client: Visitor, make_account: MakeAccount, outbox: Outbox, clock: Clock
) -> None:
    alice = make_account()
    event = clock.now
    clock.advance(minutes=1)
    with app.app_context():
        from authsvc import passwords

        hashed = passwords.hash_new("the intruder's own words of choice")
        with db.transaction():
            passwords.set_hash(alice.id, hashed, now=clock.now)
    freeze(app, alice, clock, ago=clock.now - event)
    ask_to_open(app, client, "alice", clock)
    open_link(client, outbox, alice.email)
    assert client.post("/recovery/unfreeze", new_password=NEW).location == "/recovery/unfreeze"
    assert client.post("/recovery/unfreeze/password", password="the intruder's own words of choice").status_code == 401
    assert client.post("/recovery/unfreeze/password", password=PASSWORD).status_code == 303
    assert client.post("/recovery/unfreeze", new_password=NEW).location == "/login"
    assert not frozen(app, alice)


@pytest.mark.parametrize(("late", "opens"), [(-1, False), (0, True)])
def test_with_the_mailbox_alone_it_opens_after_72_hours(
    app: Flask, client: Visitor, make_account: MakeAccount, outbox: Outbox, clock: Clock, late: int, opens: bool
) -> None:
    alice = make_account()
    freeze(app, alice, clock)
    ask_to_open(app, client, "alice", clock)
    open_link(client, outbox, alice.email)
    client.post("/recovery/unfreeze/wait")
    clock.advance(hours=72, seconds=late)
    client.post("/recovery/unfreeze", new_password=NEW)
    assert frozen(app, alice) is not opens


def test_an_objection_stops_the_wait_for_good(
    app: Flask, client: Visitor, new_client: NewClient, make_account: MakeAccount, outbox: Outbox, clock: Clock
) -> None:
    alice = make_account()
    freeze(app, alice, clock)
    ask_to_open(app, client, "alice", clock)
    open_link(client, outbox, alice.email)
    client.post("/recovery/unfreeze/wait")
    new_client().post(newest(outbox, alice.email, NOT_ME))
    clock.advance(hours=73)
    assert "Somebody objected" in client.get("/recovery/unfreeze").text
    client.post("/recovery/unfreeze", new_password=NEW)
    assert frozen(app, alice)


def test_a_browser_that_was_senior_then_stands_beside_the_mailbox(
    app: Flask, client: Visitor, make_account: MakeAccount, outbox: Outbox, clock: Clock
) -> None:
    alice = make_account()
    client.sign_in(alice)
    with app.app_context(), db.transaction():
        assert devices.of_account(alice.id)
    clock.advance(hours=72)
    freeze(app, alice, clock)
    ask_to_open(app, client, "alice", clock)
    open_link(client, outbox, alice.email)
    assert client.post("/recovery/unfreeze", new_password=NEW).location == "/login"


@pytest.mark.attack("T06")
def test_of_two_that_open_it_at_once_one_sets_the_password(
    app: Flask, client: Visitor, make_account: MakeAccount, outbox: Outbox, clock: Clock
) -> None:
    bob = make_account("bob", totp_app=True)
    freeze(app, bob, clock)
    ask_to_open(app, client, "bob", clock)
    open_link(client, outbox, bob.email)
    client.post("/recovery/unfreeze/prove", code=bob.totp(clock.now))
    forms = [{"new_password": f"{NEW} {n}"} for n in range(2)]
    assert client.post_at_once("/recovery/unfreeze", *forms) == [303, 410]


def test_a_disputing_address_that_is_not_kept_has_no_say_any_more(
    app: Flask, client: Visitor, new_client: NewClient, make_account: MakeAccount, outbox: Outbox, clock: Clock
) -> None:
    # Given an intruder's address, long enough on the account to be senior, and removed by its owner
    bob, intruder = make_account("bob", totp_app=True), new_client()
    with app.app_context(), db.transaction():
        added = accounts.add_address(bob.id, "evil@example.test", is_primary=False, verified_at=None, now=clock.now)
        accounts.verify_address(added, generation=0, verdict="healthy", now=clock.now)
    clock.advance(hours=73)
    with app.app_context(), db.transaction():
        accounts.remove_address(bob.id, added, now=clock.now)
    clock.advance(minutes=1)
    client.sign_in(bob, now=clock.now)
    # When it freezes the account, and the owner opens it with what is older
    intruder.post(newest(outbox, "evil@example.test", NOT_ME))
    assert frozen(app, bob)
    clock.advance(minutes=1)
    ask_to_open(app, client, "bob", clock)
    open_link(client, outbox, bob.email)
    client.post("/recovery/unfreeze/prove", code=bob.totp(clock.now))
    client.post("/recovery/unfreeze", new_password=NEW)
    # Then it hears of nothing more, and cannot do it again
    count = len(outbox.to("evil@example.test"))
    clock.advance(minutes=1)
    bob.password = NEW
    new_client().sign_in(bob, now=clock.now)
    assert len(outbox.to("evil@example.test")) == count
    assert intruder.post(newest(outbox, "evil@example.test", NOT_ME)).status_code == 410


def test_no_reset_link_is_mailed_for_a_frozen_account(
    app: Flask, client: Visitor, make_account: MakeAccount, outbox: Outbox, clock: Clock
) -> None:
    bob = make_account("bob", totp_app=True)
    freeze(app, bob, clock)
    ask_to_open(app, client, "bob", clock)
    assert not any("/recovery/reset/" in m.get_content() for m in outbox.to(bob.email))


# --- deletion


def test_deletion_is_a_freeze_of_thirty_days_first(
    app: Flask, client: Visitor, make_account: MakeAccount, outbox: Outbox, clock: Clock
) -> None:
    alice = make_account()
    client.sign_in(alice)
    assert client.post("/account/delete", username="bob").status_code == 422
    page = client.post("/account/delete", username="alice").location
    assert client.post(page, way="password", password=PASSWORD, code=outbox.code(alice.email)).location == "/frozen"
    assert not client.signed_in()
    clock.advance(days=30, seconds=-1)
    with app.app_context():
        assert account_pages.delete_due(now=clock.now) == 0
    clock.advance(seconds=1)
    with app.app_context():
        assert account_pages.delete_due(now=clock.now) == 1
        assert account_pages.delete_due(now=clock.now) == 0
    assert outbox.to(alice.email)[-1]["Subject"] == "Account alice is deleted"
    assert client.post("/login", username="alice", password=PASSWORD).status_code == 401
    with app.app_context(), db.transaction():
        assert accounts.username_taken("alice")
        assert accounts.owner_of_address(alice.email) is None


def test_an_account_that_was_to_be_deleted_opens_again(
    app: Flask, client: Visitor, make_account: MakeAccount, outbox: Outbox, clock: Clock
) -> None:
    alice = make_account()
    with app.app_context(), db.transaction():
        freezes.begin(alice.id, FreezeCause.DELETION, disputed_at=clock.now, client=None, now=clock.now)
    clock.advance(days=29)
    client.post("/login", username="alice", password=PASSWORD)
    ask_to_open(app, client, "alice", clock)
    open_link(client, outbox, alice.email)
    client.post("/recovery/unfreeze/password", password=PASSWORD)
    client.post("/recovery/unfreeze", new_password=NEW)
    clock.advance(days=2)
    with app.app_context():
        assert account_pages.delete_due(now=clock.now) == 0
    assert not frozen(app, alice)
