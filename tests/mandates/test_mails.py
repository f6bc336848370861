"""Mails about mandates, read as whoever gets them."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from flask import Flask

from authsvc import mandates
from authsvc.core import db
from authsvc.mandates import telling
from authsvc.policy.mandate import Strength
from tests.conftest import NOON, Clock
from tests.mandates.test_membership import BEGINS, PHASE, becomes, own, use
from tests.people import Outbox, Person
from tests.slices import request_to

MakeAccount = Callable[..., Person]
DAY = timedelta(days=1)
HOURS = (NOON + 50 * DAY, NOON + 50 * DAY + timedelta(hours=3))
BROWN_OUT = "- 13 January 2027, 12:00 UTC until 13 January 2027, 15:00 UTC"


def covered(app: Flask, person: Person, strength: Strength = Strength.ANY_SECOND_FACTOR) -> None:
    """Announce the phase, with one brown-out, to somebody who maintains left-pad."""
    with app.app_context():
        use(replace(PHASE, strength=strength, brown_outs=(HOURS,)))
        with db.transaction():
            own(person, weekly_downloads=1_000_000)
        mandates.apply(now=NOON)


@pytest.mark.parametrize("name", ["https://evil.example/login", "evil.example"])
def test_no_mail_holds_a_link_made_of_a_packages_name(
    app: Flask, make_account: MakeAccount, outbox: Outbox, name: str
) -> None:
    alice = make_account()
    with app.app_context():
        use(PHASE)
        with db.transaction():
            own(alice, name, weekly_downloads=1_000_000)
        mandates.apply(now=NOON)
    text = outbox.to(alice.email)[-1].get_content()
    assert "Why:   A package of npm that you maintain is downloaded 1,000,000 times a week." in text
    assert "evil" not in text


def tell(app: Flask, clock: Clock, **distance: float) -> None:
    """Let time pass, and write what is due."""
    clock.advance(**distance)
    with app.app_context():
        telling.tell_due(now=clock.now)


def test_the_hours_of_brown_outs_are_told_until_they_are_over(
    app: Flask, make_account: MakeAccount, outbox: Outbox, clock: Clock
) -> None:
    alice = make_account()
    covered(app, alice)
    assert BROWN_OUT in outbox.to(alice.email)[-1].get_content()
    tell(app, clock, days=30)
    assert BROWN_OUT in outbox.to(alice.email)[-1].get_content()
    tell(app, clock, days=23)
    text = outbox.to(alice.email)[-1].get_content()
    assert "In 7 days, from 23 January 2027" in text
    assert "Before that day" not in text


def test_each_mail_says_what_happens_on_the_day_or_happens_by_now(
    app: Flask, make_account: MakeAccount, outbox: Outbox, clock: Clock
) -> None:
    alice = make_account()
    covered(app, alice)
    tell(app, clock, days=59)
    assert "What happens on that day" in outbox.to(alice.email)[-1].get_content()
    tell(app, clock, days=1)
    mail = outbox.to(alice.email)[-1]
    assert (mail["Subject"], clock.now) == ("A second step is now required for alice", BEGINS)
    assert "Until it is done" in mail.get_content()
    assert "What happens on that day" not in mail.get_content()


@pytest.mark.parametrize(
    ("enrolled", "strength", "said"),
    [
        ({}, Strength.ANY_SECOND_FACTOR, "In a browser that you have used here for 30 days it counts for everything"),
        ({"totp_app": True}, Strength.PHISHING_RESISTANT, "minutes. It signs you in at once and counts for publishing"),
        ({"totp_app": True}, Strength.PHISHING_RESISTANT, "3. Keep your recovery codes in a safe place."),
        ({"key": True}, Strength.TWO_PHISHING_RESISTANT, "2. On your security page, add a second security key"),
        ({}, Strength.TWO_PHISHING_RESISTANT, "2. On your security page, add two security keys or passkeys."),
    ],
)
def test_the_steps_are_those_that_are_left_to_do(
    app: Flask, make_account: MakeAccount, outbox: Outbox, enrolled: dict[str, bool], strength: Strength, said: str
) -> None:
    alice = make_account(**enrolled)
    covered(app, alice, strength)
    assert said in outbox.to(alice.email)[-1].get_content()


@pytest.mark.parametrize(
    ("strength", "subject"),
    [
        (Strength.ANY_SECOND_FACTOR, "A second step is required for alice"),
        (Strength.PHISHING_RESISTANT, "A key or passkey is required for alice"),
        (Strength.TWO_PHISHING_RESISTANT, "Two keys or passkeys are required for alice"),
    ],
)
def test_the_subject_names_what_is_asked(
    app: Flask, make_account: MakeAccount, outbox: Outbox, strength: Strength, subject: str
) -> None:
    alice = make_account()
    covered(app, alice, strength)
    assert outbox.to(alice.email)[-1]["Subject"] == subject


@pytest.mark.parametrize(
    ("totp_app", "enforced", "said", "unsaid"),
    [
        (False, False, "You have none so far.", "What you have set up stays"),
        (True, False, "What you have set up stays", "The last one cannot be removed."),
        (True, True, "The last one cannot be removed.", "You have none so far."),
    ],
)
def test_who_leaves_hears_what_stays(
    app: Flask,
    make_account: MakeAccount,
    outbox: Outbox,
    clock: Clock,
    totp_app: bool,
    enforced: bool,
    said: str,
    unsaid: str,
) -> None:
    alice = make_account(totp_app=totp_app)
    with request_to(app):
        own(alice, weekly_downloads=1_000_000)
    with app.app_context():
        use(replace(PHASE, enforced_from=NOON if enforced else NOON + 365 * DAY))
        mandates.apply(now=NOON)
        becomes(weekly_downloads=0)
        mandates.apply(now=NOON)
        clock.advance(days=90)
        mandates.apply(now=clock.now)
    mail = outbox.to(alice.email)[-1]
    assert mail["Subject"] == "A second step is no longer required for alice"
    assert said in mail.get_content()
    assert unsaid not in mail.get_content()
