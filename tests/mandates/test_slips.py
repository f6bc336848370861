"""A slip in `mandates.toml`, or one account's error, stops neither mails nor mandates nor anybody at the door."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import update

from authsvc import mandates
from authsvc.core import db
from authsvc.mandates import commands, phases
from authsvc.mandates.models import PhaseRow
from authsvc.policy.cohort import PHASES, Cohort
from tests.conftest import NOON, Clock
from tests.mandates.test_membership import PHASE, live, own, subjects, use
from tests.people import PASSWORD, Outbox, Person, Visitor
from tests.slices import request_to

MakeAccount = Callable[..., Person]
DAY = timedelta(days=1)
SLIP = "[top-100]\nenforced = 2027-01-01\n"


def slip(app: Flask) -> None:
    """A file of phases that cannot be used."""
    (app.extensions["authsvc.settings"].instance / "mandates.toml").write_text(SLIP)


def test_what_was_written_down_last_goes_on_with_a_slip_in_the_file(
    app: Flask, make_account: MakeAccount, caplog: pytest.LogCaptureFixture
) -> None:
    alice, bob = make_account("alice"), make_account("bob")
    with app.app_context():
        use(PHASE)
        with db.transaction():
            own(alice, weekly_downloads=1_000_000)
        mandates.apply(now=NOON)
        with db.transaction():
            own(bob, "is-odd", weekly_downloads=1_000_000)
        slip(app)
        for day in (31, 54, 60):
            mandates.apply(now=NOON + day * DAY)
        assert live(bob) == ["big"]
        assert phases.stored() == (PHASE,)
    told = ["is required for alice", "in 30 days", "in 7 days", "is now required"]
    assert [words in subject for words, subject in zip(told, subjects(app, alice), strict=True)] == [True] * 4
    said = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(said) == 3  # once a run
    assert "[top-100]: give enforced_from" in said[0]


def test_a_file_that_never_could_be_used_brings_no_mandate_of_npms(app: Flask, make_account: MakeAccount) -> None:
    alice = make_account("alice")
    slip(app)
    with app.app_context():
        with db.transaction():
            own(alice, weekly_downloads=9_000_000, rank=1)
        mandates.apply(now=NOON)
        assert live(alice) == []
        assert phases.stored() == PHASES


def test_somebody_registers_and_is_covered_with_a_slip_in_the_file(app: Flask, client: Visitor, outbox: Outbox) -> None:
    with app.app_context():
        use(replace(PHASE, cohort=Cohort(everybody=True)))
    slip(app)
    client.post("/register", username="alice", email="alice@example.test", password=PASSWORD)
    assert client.post("/register/confirm", code=outbox.code("alice@example.test")).location == "/account"
    assert "Why:   Every account here must have a second step." in outbox.to("alice@example.test")[-1].get_content()


def test_the_command_says_what_is_wrong_and_does_nothing(app: Flask, make_account: MakeAccount) -> None:
    alice = make_account("alice")
    with request_to(app):
        mandates.require(alice.id, from_=NOON + 31 * DAY, reason="So", set_by="test", now=NOON)
    slip(app)
    result = app.test_cli_runner().invoke(commands[1], ["apply"])
    assert result.exit_code == 1
    assert "[top-100]: give enforced_from" in result.stderr


def test_a_file_that_cannot_be_opened_is_named(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_path: Path, **_how: str) -> str:
        raise PermissionError(13, "Permission denied")

    slip(app)
    monkeypatch.setattr(Path, "read_text", refuse)
    with app.app_context(), pytest.raises(phases.BadPhases, match=r"mandates.toml cannot be read: Permission denied"):
        phases.current()


def test_a_phase_that_cannot_be_read_as_it_was_written_down_leaves_the_others(app: Flask) -> None:
    with app.app_context():
        use(PHASE, PHASES[0])
        rule = phases.to_rule(PHASE) | {"enforced_from": "0001-01-01T00:00:00+00:00"}
        with db.transaction() as session:
            session.execute(update(PhaseRow).where(PhaseRow.name == "big").values(rule=rule))
        assert phases.current() == (PHASES[0],)
        assert len(phases.history()) == 6


def test_of_two_accounts_one_whose_days_cannot_be_counted_does_not_stop_the_other(
    app: Flask, make_account: MakeAccount, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    people = [make_account(name) for name in ("alice", "bob", "cid")]
    with request_to(app):
        for person in people:
            mandates.require(person.id, from_=NOON + DAY, reason="So", set_by="test", now=NOON)
        spoil = "UPDATE mandates SET enforced_from = '0001-01-01 00:00:00.000000' WHERE account_id = :id"
        db.session().connection().exec_driver_sql(spoil.replace(":id", str(people[1].id)))
    with app.app_context():
        mandates.apply(now=NOON + DAY)
    told = [sum("is now required" in subject for subject in subjects(app, person)) for person in people]
    assert told == [1, 0, 1]
    assert f"account {people[1].id} could not be told" in caplog.text


@pytest.mark.parametrize(
    "arguments",
    [
        ["plan", "--as-of", "0001-01-01"],
        ["report", "--as-of", "1999-12-31"],
        ["apply", "--as-of", "9999-12-31"],
        ["require", "alice", "--from", "2101-01-01", "--reason", "So"],
        ["exempt", "alice", "--until", "9999-12-31", "--reason", "So"],
    ],
)
def test_absurd_years_are_refused_in_words(app: Flask, make_account: MakeAccount, arguments: list[str]) -> None:
    make_account("alice")
    result = app.test_cli_runner().invoke(commands[1], arguments)
    assert result.exit_code == 2
    assert "is not between 2000 and 2100" in result.stderr
