"""Sessions and grants that began with less than a mandate asks for: signed in, and without rights until begun again."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import update

from authsvc import holds, mandates, recovery_codes, tokens, totp, webauthn
from authsvc.core import db
from authsvc.core.assurance import Acr
from authsvc.policy.hold import HoldCause
from authsvc.policy.mandate import Strength
from tests.authenticator import Authenticator
from tests.conftest import Clock
from tests.oidc.site import register, sign_in
from tests.people import BASE_URL, Person, Visitor
from tests.slices import request_to

MakeAccount = Callable[..., Person]
SECOND = timedelta(seconds=1)
LONG_KNOWN = timedelta(days=30)  # what is enrolled first from such a browser is senior at once
PROOF, TOO_NEW = "Sign in with your second step", "Your second step is still new"
RISKY = "/account/password"  # a page that leads to a change


def require(app: Flask, person: Person, clock: Clock, strength: Strength, after: timedelta = timedelta(0)) -> None:
    """Cover somebody, from now or after a while."""
    with request_to(app):
        mandates.require(
            person.id, from_=clock.now + after, reason="So", set_by="test", strength=strength, now=clock.now
        )


def add_app(app: Flask, person: Person, clock: Clock, known_for: timedelta = LONG_KNOWN) -> None:
    """Enrol an app in some other browser, known for so long."""
    person.seed = totp.new_seed()
    with request_to(app):
        totp.enrol(person.id, person.seed, 0, label="App", browser_known_for=known_for, now=clock.now)


def add_key(app: Flask, person: Person, clock: Clock) -> None:
    """Enrol a key in some other browser, senior at once where it is the first."""
    person.key = Authenticator(origin=BASE_URL)
    with request_to(app):
        options, challenge = webauthn.begin_registration(person.id)
        webauthn.finish_registration(
            person.id,
            person.key.register(options),
            challenge,
            label="Key",
            browser_known_for=LONG_KNOWN,
            now=clock.now,
        )


@pytest.mark.attack("T21")
@pytest.mark.parametrize("strength", Strength)
def test_a_session_from_before_gains_nothing_by_what_is_enrolled_elsewhere(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock, strength: Strength
) -> None:
    alice = make_account()
    client.sign_in(alice)
    require(app, alice, clock, strength, after=SECOND)
    if strength.number == 2:
        add_key(app, alice, clock)
    add_key(app, alice, clock)
    assert client.get(RISKY).status_code == 200
    clock.advance(seconds=1)
    refused = client.get(RISKY)
    assert refused.status_code == 403
    assert PROOF in refused.text
    assert "/login?next=/account/password" in refused.text
    assert client.get("/account").status_code == 200  # it reads and enrols
    assert client.post("/account/enrol", way="totp").status_code == 303


@pytest.mark.parametrize(
    ("strength", "enough"), [(Strength.ANY_SECOND_FACTOR, True), (Strength.PHISHING_RESISTANT, False)]
)
def test_a_session_by_app_has_its_rights_where_an_app_is_enough(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock, strength: Strength, enough: bool
) -> None:
    alice = make_account(totp_app=True, key=True)
    client.sign_in(alice, now=clock.now)
    require(app, alice, clock, strength)
    assert (client.get(RISKY).status_code == 200) is enough
    alice.seed = ""
    client.sign_in(alice)  # now with the key
    assert client.get(RISKY).status_code == 200


def test_a_session_keeps_its_rights_when_its_strength_has_faded(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock
) -> None:
    alice = make_account(key=True)
    client.sign_in(alice)
    require(app, alice, clock, Strength.PHISHING_RESISTANT)
    for _ in range(3):
        clock.advance(hours=11)
        assert client.get(RISKY).status_code == 200


@pytest.mark.attack("T21")
def test_a_junior_second_step_signs_in_and_waits_for_rights_until_its_very_second(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock
) -> None:
    alice = make_account()
    add_app(app, alice, clock, known_for=timedelta(0))
    require(app, alice, clock, Strength.ANY_SECOND_FACTOR)
    clock.advance(hours=71)
    client.sign_in(alice, now=clock.now)
    refused = client.get(RISKY)
    assert refused.status_code == 403
    assert TOO_NEW in refused.text
    assert "counts from 27 November 2026, 12:00 UTC on" in refused.text
    clock.advance(minutes=59, seconds=59)
    assert "counts from" in client.get(RISKY).text
    clock.advance(seconds=1)
    again = client.get(RISKY)  # it is senior now, and was not when this session began
    assert again.status_code == 403
    assert "sign in again with one that is older" in again.text
    client.sign_in(alice, now=clock.now)
    assert client.get(RISKY).status_code == 200


@pytest.mark.parametrize("strength", [Strength.ANY_SECOND_FACTOR, Strength.PHISHING_RESISTANT])
def test_a_session_by_recovery_code_never_meets_a_mandate_however_the_hold_ends(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock, strength: Strength
) -> None:
    alice = make_account(key=True)
    require(app, alice, clock, strength)
    client.post("/login", username=alice.username, password=alice.password)
    client.post("/login/recovery-code", code=alice.codes[0])
    assert client.signed_in()
    with request_to(app):
        assert holds.current(alice.id, now=clock.now) is not None
        assert recovery_codes.left(alice.id) == len(alice.codes) - 1
    for _ in range(7):  # the hold of 72 hours runs out while the session is in use
        clock.advance(hours=11)
        client.get("/account")
    with request_to(app):
        assert holds.current(alice.id, now=clock.now) is None
    assert client.get(RISKY).status_code == 403


def test_a_site_is_signed_in_to_by_a_session_that_meets_the_mandate_alone(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock
) -> None:
    alice, site = make_account(), register(app, now=clock.now)
    client.sign_in(alice)
    require(app, alice, clock, Strength.ANY_SECOND_FACTOR)
    for enrolled in (False, True):  # a sign-in leads through enrolment where nothing is
        if enrolled:
            add_app(app, alice, clock)
        asked = client.get(site.url())
        assert asked.location.startswith("/login?next=")
        assert "error=login_required" in client.get(site.url(prompt="none")).location
    client.sign_in(alice, now=clock.now, leads_to="/account")
    assert "/oauth2/consent" in client.get(client.get(site.url()).location).text


@pytest.mark.attack("T21")
@pytest.mark.parametrize("strength", Strength)
def test_a_token_loses_publishing_from_the_day_on_until_it_is_approved_again(
    app: Flask, make_account: MakeAccount, clock: Clock, strength: Strength
) -> None:
    alice = make_account(totp_app=True, key=True)
    with app.test_request_context(), db.transaction():
        if strength.number == 2:
            options, challenge = webauthn.begin_registration(alice.id)
            second = Authenticator(origin=BASE_URL).register(options)
            long_ago = clock.now - timedelta(days=9)
            webauthn.finish_registration(
                alice.id, second, challenge, label="2", browser_known_for=LONG_KNOWN, now=long_ago
            )
        mandates.require(
            alice.id, from_=clock.now + SECOND, reason="So", set_by="test", strength=strength, now=clock.now
        )

    def publishes(acr: Acr, amr: str, *, at: timedelta) -> bool:
        with app.app_context(), db.transaction():
            grant = tokens.open_grant(
                alice.id,
                client_id=None,
                label="Laptop",
                scopes=frozenset({"packages:publish"}),
                writes_from=None,
                epoch=0,
                acr=acr,
                amr=frozenset(amr.split()),
                auth_time=clock.now - timedelta(days=2),  # what it was proved with counts, faded or not
                session_id=None,
                now=clock.now,
            )
            assert grant is not None
            issued = tokens.issue(grant, with_refresh=False, now=clock.now)
            assert isinstance(issued, tokens.Issued)
            who = tokens.principal(issued.access_token, now=clock.now + at)
            assert who is not None
            return who.scopes == {"packages:publish"}

    begun_with = {"pwd": Acr.AAL1, "pwd otp mfa": Acr.AAL2, "swk user mfa": Acr.PHR}
    for amr, acr in begun_with.items():
        assert publishes(acr, amr, at=timedelta(0))
        assert publishes(acr, amr, at=SECOND) is acr.satisfies(strength.acr)
    assert not publishes(Acr.AAL1, "swk user mfa", at=SECOND)  # by a junior key


def test_a_grant_is_worth_what_its_session_was_proved_with_not_what_has_faded(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock
) -> None:
    alice, site = make_account(key=True), register(app, now=clock.now)
    begun = clock.now - timedelta(hours=30)
    sign_in(client, alice, now=clock.now, acr=Acr.PHR, amr="pwd swk mfa", auth_time=begun)
    require(app, alice, clock, Strength.PHISHING_RESISTANT)
    token = site.tokens(client, scope="openid packages:read")["access_token"]
    with request_to(app):
        found = tokens.find(token, now=clock.now)
        assert found is not None
        assert (found.acr, found.proved_acr) == (Acr.AAL1, Acr.PHR)
        assert mandates.lack(alice.id, acr=found.proved_acr, amr=found.amr, now=clock.now) is None


def test_its_owner_sees_which_token_waits_to_be_approved_again(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock
) -> None:
    alice, site = make_account(totp_app=True), register(app, now=clock.now)
    sign_in(client, alice, now=clock.now)
    site.tokens(client, scope="openid packages:read")
    with app.app_context(), db.transaction() as session:
        session.execute(update(tokens.Grant).values(scopes="openid packages:publish"))
    require(app, alice, clock, Strength.ANY_SECOND_FACTOR, after=SECOND)
    assert "Publishes nothing for now" not in client.get("/account").text
    clock.advance(seconds=1)
    assert "Publishes nothing for now" in client.get("/account").text


def test_a_hold_and_a_mandate_are_both_told_by_what_they_wait_for(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock
) -> None:
    alice = make_account()
    client.sign_in(alice)
    require(app, alice, clock, Strength.ANY_SECOND_FACTOR)
    refused = client.get(RISKY).text
    assert "A second step comes first" in refused
    assert "So. Needed first: any second step." in refused
    assert "/account/enrol" in refused
    with request_to(app):
        holds.begin(alice.id, HoldCause.OPERATOR, client=None, now=clock.now)
    assert "This has to wait" in client.get(RISKY).text
