"""Exemptions: a day later at the command line, with a reason and an end, told to the owner, and taken back at once."""

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from click.testing import Result
from flask import Flask

from authsvc import mandates
from authsvc.core.assurance import Factor
from authsvc.mandates import commands, telling
from tests.conftest import NOON, Clock
from tests.mandates.test_membership import subjects
from tests.people import Outbox, Person
from tests.slices import request_to

MakeAccount = Callable[..., Person]
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
UNTIL = ["--until", "2026-12-24", "--reason", "Travels without a key"]
ENDS_IN = timedelta(days=29, hours=12)


@pytest.fixture
def alice(app: Flask, make_account: MakeAccount, clock: Clock) -> Person:
    """Somebody under a mandate in force."""
    person = make_account("alice")
    with request_to(app):
        mandates.require(person.id, from_=clock.now, reason="Many use it", set_by="operator", now=clock.now)
    return person


def exempt(app: Flask, *arguments: str) -> Result:
    """`authsvc mandates exempt …`."""
    return app.test_cli_runner().invoke(commands[1], ["exempt", *arguments])


def asked(app: Flask, person: Person, clock: Clock, after: timedelta) -> bool:
    """Is something asked of the account then?"""
    with request_to(app):
        return mandates.in_force(person.id, now=clock.now + after) is not None


def test_an_exemption_from_the_command_line_begins_a_day_later_and_ends_at_its_second(
    app: Flask, alice: Person, clock: Clock
) -> None:
    result = exempt(app, "alice", *UNTIL)
    assert result.stdout == (
        "Nothing is asked of alice from 25 November 2026, 12:00 UTC until 24 December 2026, 00:00 UTC.\n"
    )
    found = [asked(app, alice, clock, after) for after in (DAY - SECOND, DAY, ENDS_IN - SECOND, ENDS_IN)]
    assert found == [True, False, False, True]


def test_the_owner_hears_at_once_why_and_until_when(app: Flask, alice: Person, outbox: Outbox) -> None:
    exempt(app, "alice", *UNTIL)
    mail = outbox.to(alice.email)[-1]
    assert mail["Subject"] == "Your account alice is exempt for a while"
    assert "Why:   Travels without a key" in mail.get_content()
    assert "until 24 December 2026, 00:00 UTC no second step is asked" in mail.get_content()
    assert "/not-me/" in mail.get_content()


def test_it_is_taken_back_at_once_also_before_it_begins(
    app: Flask, alice: Person, clock: Clock, outbox: Outbox
) -> None:
    exempt(app, "alice", *UNTIL)
    assert exempt(app, "alice", "--end").stdout == "alice is no longer exempt.\n"
    assert asked(app, alice, clock, 2 * DAY)
    assert "is asked again" in outbox.to(alice.email)[-1].get_content()
    again = exempt(app, "alice", "--end")
    assert (again.exit_code, again.stderr) == (1, "Error: alice is not exempt.\n")


def test_of_two_the_longer_counts(app: Flask, alice: Person, clock: Clock) -> None:
    exempt(app, "alice", *UNTIL)
    exempt(app, "alice", "--until", "2027-01-24", "--reason", "Longer")
    with request_to(app):
        mandate = mandates.upcoming(alice.id, now=clock.now + 2 * DAY)
        standing = mandates.standing_exemptions(now=clock.now)
    assert mandate is not None
    assert f"{mandate.enforced_from:%Y-%m-%d}" == "2027-01-24"
    assert [view.reason for view in standing] == ["Travels without a key", "Longer"]


@pytest.mark.parametrize(
    ("taken_back", "told"),
    [
        (1, ["in 30 days", "in 7 days", "tomorrow", "is now required"]),  # before it begins
        (10, ["in 30 days", "in 7 days", "tomorrow", "is now required"]),
        (80, ["in 7 days", "tomorrow", "is now required"]),
        (100, ["is now required"]),
        (120, ["is now required"]),  # 20 days too late
    ],
)
def test_whoever_is_exempt_no_more_hears_of_each_day_to_come_once(
    app: Flask, make_account: MakeAccount, taken_back: int, told: list[str]
) -> None:
    bob = make_account("bob")
    with request_to(app):
        mandates.require(bob.id, from_=NOON + 100 * DAY, reason="So", set_by="operator", now=NOON)
        begins, until = NOON + 2 * DAY, NOON + 300 * DAY
        mandates.exempt(bob.id, reason="So", until=until, set_by="operator", starts_at=begins, now=NOON)
    for day in range(1, 305):
        if day == taken_back:
            with request_to(app):
                mandates.end_exemption(bob.id, set_by="operator", now=NOON + day * DAY)
        with app.app_context():
            telling.tell_due(now=NOON + day * DAY)
    found = [subject for subject in subjects(app, bob) if "exempt" not in subject][1:]  # the announcement
    assert [words in subject for words, subject in zip(told, found, strict=True)] == [True] * len(told)


def test_a_day_that_was_told_before_an_exemption_is_not_told_again_after_it(
    app: Flask, make_account: MakeAccount
) -> None:
    bob = make_account("bob")
    with request_to(app):
        mandates.require(bob.id, from_=NOON + DAY, reason="So", set_by="operator", now=NOON)
    for days in (1, 5):
        with app.app_context():
            telling.tell_due(now=NOON + days * DAY)
        if days == 1:
            with request_to(app):
                until, now = NOON + 9 * DAY, NOON + 2 * DAY
                mandates.exempt(bob.id, reason="So", until=until, set_by="operator", starts_at=now, now=now)
                mandates.end_exemption(bob.id, set_by="operator", now=NOON + 4 * DAY)
    assert sum("is now required" in subject for subject in subjects(app, bob)) == 1


def test_an_exempt_account_keeps_the_last_authenticator_all_the_same(app: Flask, alice: Person, clock: Clock) -> None:
    exempt(app, "alice", *UNTIL)
    with request_to(app):
        assert not mandates.may_keep_only(alice.id, [], now=clock.now + 2 * DAY)
        assert mandates.may_keep_only(alice.id, [Factor.TOTP], now=clock.now + 2 * DAY)


def test_json_says_when_it_begins(app: Flask, alice: Person) -> None:
    told = json.loads(exempt(app, "alice", *UNTIL, "--json").stdout)
    assert (told["username"], told["starts_at"]) == ("alice", "2026-11-25T12:00:00+00:00")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["alice", "--until", "2027-01-01"], 2),
        (["alice", "--reason", "So"], 2),
        (["alice", "--until", "2026-11-25T12:00:00", "--reason", "So"], 2),
        (["alice", "--until", "2027-01-01", "--reason", " "], 2),
        (["alice", "--until", "2027-11-24T12:00:01", "--reason", "So"], 2),  # a year is the most
        (["nobody", *UNTIL], 1),
    ],
)
def test_without_a_reason_an_end_or_an_account_there_is_none(
    app: Flask, alice: Person, clock: Clock, arguments: list[str], code: int
) -> None:
    assert exempt(app, *arguments).exit_code == code
    assert asked(app, alice, clock, 2 * DAY)
