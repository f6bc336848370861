"""Keys and passkeys alone: what is refused at every way in while the switch is on, and who may turn it."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import update

from authsvc import accounts, holds, mandates, sessions
from authsvc.accounts.models import Authenticator as AuthenticatorRow
from authsvc.core import crypto, db
from authsvc.core.assurance import Acr, Factor
from authsvc.policy.mandate import Strength
from authsvc.recovery.models import ResetLink
from tests.authenticator import Authenticator
from tests.conftest import Clock
from tests.people import PASSWORD, Outbox, Person, Visitor, kinds

MakeAccount = Callable[..., Person]
NewClient = Callable[[], Visitor]


def passkey(client: Visitor, person: Person) -> None:
    """Sign in with it."""
    assert person.key
    client.use_key(person.key, "/login/passkey/options", "/login/passkey", user_verified=True)


def confirm(client: Visitor, person: Person, page: str) -> int:
    """Prove a step-up with the key."""
    assert person.key
    return client.use_key(person.key, f"{page}/key", page, user_verified=True, way="key").status_code


def only_keys(app: Flask, person: Person, now: datetime | None) -> None:
    """Turn the switch behind the pages."""
    with app.app_context(), db.transaction():
        accounts.set_keys_only(person.id, now=now)


def ids(app: Flask, person: Person, now: datetime) -> dict[Factor, int]:
    with app.app_context(), db.transaction():
        return {a.kind: a.id for a in accounts.enrolled(person.id, now=now)}


@pytest.fixture
def carol(app: Flask, make_account: MakeAccount, clock: Clock) -> Person:
    """She has an app and a key, both senior, and accepts keys alone."""
    person = make_account("carol", key=True, totp_app=True)
    only_keys(app, person, clock.now)
    return person


def test_the_switch_is_turned_on_and_off_by_the_key_and_mailed(
    app: Flask, client: Visitor, make_account: MakeAccount, outbox: Outbox, new_client: NewClient, clock: Clock
) -> None:
    # Given two sessions, one of them by an app
    dave, elsewhere = make_account("dave", key=True, totp_app=True), new_client()
    elsewhere.sign_in(dave, now=clock.now)
    passkey(client, dave)
    # When the switch is turned on in one
    page = client.post("/account/keys-only?to=keys").location
    assert "Accept only keys and passkeys" in client.get(page).text
    assert confirm(client, dave, page) == 303
    # Then the other ends, the page says so, and a mail goes out
    assert client.signed_in()
    assert not elsewhere.signed_in()
    text = client.get("/account").text
    assert "Not accepted" in text
    assert "Only keys and passkeys accepted from now on" in text
    assert [m["Subject"] for m in outbox.to(dave.email)][-1] == "Ways to sign in changed for dave"
    # And off it goes the same way
    assert confirm(client, dave, client.post("/account/keys-only?to=all").location) == 303
    assert "Not accepted" not in client.get("/account").text
    clock.advance(seconds=30)
    assert elsewhere.sign_in(dave, now=clock.now).location == "/account"


@pytest.mark.parametrize("wishes", [{}, {"totp_app": True}, {"key": True, "junior": True}])
def test_without_a_senior_key_there_is_no_switch(
    client: Visitor, make_account: MakeAccount, clock: Clock, wishes: dict[str, bool]
) -> None:
    dave = make_account("dave", **wishes)
    client.sign_in(dave, now=clock.now)
    assert client.post("/account/keys-only?to=keys").status_code == 403
    assert "keys-only" not in client.get("/account").text


def test_a_code_from_the_app_is_no_second_step(client: Visitor, carol: Person, clock: Clock) -> None:
    client.post("/login", username="carol", password=PASSWORD)
    assert "Code from your app" not in client.get("/login/next").text
    assert client.post("/login/totp", code=carol.totp(clock.now)).location == "/login/next"
    assert not client.signed_in()
    assert carol.key
    assert client.use_key(carol.key, "/login/key/options", "/login/key").location == "/account"


def test_a_recovery_code_leads_in_weakly_whatever_else_was_shown(
    app: Flask, client: Visitor, carol: Person, clock: Clock
) -> None:
    client.post("/login", username="carol", password=PASSWORD)
    client.post("/login/totp", code=carol.totp(clock.now))
    assert client.post("/login/recovery-code", code=carol.codes[0]).location == "/account"
    with app.app_context(), db.transaction():
        (session,) = sessions.of_account(carol.id, now=clock.now)
        assert session.acr is Acr.AAL1
        assert accounts.get(carol.id).last_strong_sign_in_at is None
        assert holds.current(carol.id, now=clock.now) is not None
    assert client.post("/account/keys-only?to=all").status_code == 403


def test_a_code_from_the_app_confirms_no_change_and_no_mailed_code_does(
    app: Flask, client: Visitor, carol: Person, clock: Clock, outbox: Outbox
) -> None:
    # Given that the only key was enrolled a moment ago
    with app.app_context(), db.transaction() as session:
        change = update(AuthenticatorRow).where(AuthenticatorRow.kind == Factor.PASSKEY.value)
        session.execute(change.values(senior_at=clock.now + timedelta(hours=1)))
    passkey(client, carol)
    # When a change is asked for
    refused = client.post("/account/enrol", way="key")
    # Then nothing can confirm it, and no code is mailed for it, until the key is senior
    assert refused.status_code == 403
    assert "less than three days ago" in refused.text
    assert "code to confirm" not in str([m["Subject"] for m in outbox.to(carol.email)])
    clock.advance(hours=1)
    page = client.post("/account/enrol", way="key").location
    assert client.post(page, way="totp", code=carol.totp(clock.now)).status_code == 401
    assert confirm(client, carol, page) == 303


def test_a_code_from_the_app_does_not_set_a_new_password(
    app: Flask, client: Visitor, carol: Person, clock: Clock
) -> None:
    token = "t" * 43
    with app.app_context(), db.transaction() as session:
        account, address = accounts.get(carol.id), accounts.mail_address(carol.id)
        assert address
        link = ResetLink(digest=crypto.digest(token), account_id=account.id, address_id=address.id, epoch=account.epoch)
        link.created_at, link.expires_at = clock.now, clock.now + timedelta(hours=1)
        session.add(link)
    client.get(f"/recovery/reset/{token}")
    new = "seven quiet otters paint the harbour"
    refused = client.post("/recovery/reset", new_password=new, code=carol.totp(clock.now))
    assert refused.status_code == 422
    assert carol.key
    done = client.use_key(carol.key, "/recovery/reset/key", "/recovery/reset", user_verified=True, new_password=new)
    assert done.location == "/login"


def test_no_app_is_added(client: Visitor, carol: Person) -> None:
    passkey(client, carol)
    assert client.post("/account/enrol", way="totp").status_code == 403
    assert client.post("/account/enrol", way="key").status_code == 303


def test_the_last_key_stays_and_the_app_may_go(app: Flask, client: Visitor, carol: Person, clock: Clock) -> None:
    own = ids(app, carol, clock.now)
    passkey(client, carol)
    refused = client.post(f"/account/authenticators/{own[Factor.PASSKEY]}/remove")
    assert refused.status_code == 403
    assert "accepts only keys and passkeys" in refused.text
    page = client.post(f"/account/authenticators/{own[Factor.TOTP]}/remove").location
    assert confirm(client, carol, page) == 303
    assert kinds(app, carol.id, clock.now) == {Factor.PASSKEY}


def test_turned_on_while_the_removal_of_the_last_key_is_confirmed_it_stays(
    app: Flask, client: Visitor, carol: Person, clock: Clock
) -> None:
    only_keys(app, carol, None)
    own = ids(app, carol, clock.now)
    passkey(client, carol)
    page = client.post(f"/account/authenticators/{own[Factor.PASSKEY]}/remove").location
    only_keys(app, carol, clock.now)
    assert confirm(client, carol, page) == 403
    assert Factor.PASSKEY in kinds(app, carol.id, clock.now)


@pytest.mark.attack("T21")
def test_a_mandate_for_keys_is_met_by_no_app_and_from_then_on_takes_no_code(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock, outbox: Outbox
) -> None:
    # Given an account with an app, which a mandate for any second step covers already
    bob, key = make_account("bob", totp_app=True), Authenticator()
    for strength in (Strength.ANY_SECOND_FACTOR, Strength.PHISHING_RESISTANT):
        with app.test_request_context(), db.transaction():
            assert mandates.require(
                bob.id, from_=clock.now, reason="Signs", set_by="operator", strength=strength, now=clock.now
            )
    assert "a key or passkey" in outbox.to(bob.email)[-1].get_content()
    # When its owner signs in with the app, then the sign-in goes on once a key is enrolled, and an app is not offered
    client.post("/login", username="bob", password=PASSWORD)
    client.post("/login/totp", code=bob.totp(clock.now))
    assert "Authenticator app" not in client.get("/login/next").text
    assert client.post("/login/enrol", way="totp").location == "/login/enrol/key"
    asked = client.post("/login/enrol/key/options").text
    assert client.post("/login/enrol/key", credential=key.register(asked), label="Key").location == "/account"
    assert "Required by the packages you maintain" in client.get("/account").text
    # And from then on codes do nothing: not at sign-in, nor for a change, though the key is junior
    clock.advance(minutes=5)
    assert client.post("/account/enrol", way="key").status_code == 403
    client.post("/logout")
    client.post("/login", username="bob", password=PASSWORD)
    assert client.post("/login/totp", code=bob.totp(clock.now)).location == "/login/next"
    assert not client.signed_in()
    assert client.use_key(key, "/login/key/options", "/login/key").location == "/account"
    # And the key stays
    clock.advance(hours=73)
    bob.key = key
    passkey(client, bob)
    own = ids(app, bob, clock.now)
    assert client.post(f"/account/authenticators/{own[Factor.PASSKEY]}/remove").status_code == 403
