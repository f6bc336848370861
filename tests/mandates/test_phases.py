"""Phases as data: read from the file, written down, changed by staff, with their history."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask

from authsvc import mandates
from authsvc.core import db
from authsvc.mandates import phases
from authsvc.policy.cohort import GRACE, PHASES, Cohort, Phase, RankBy
from authsvc.policy.mandate import Strength
from tests.conftest import NOON

EVERYTHING = """
[big]
weekly_downloads = 100_000
dependents = 50
top = 1000
by = "dependents"
packages = ["npm:left-pad", "npm:@types/node"]
accounts = ["Alice"]
strength = "two_phishing_resistant"
announced = 2027-01-01
reminders = [1, 14]
brown_outs = [[2027-02-02T09:00:00Z, 2027-02-02T12:00:00+01:00]]
enforced_from = 2027-03-01
grace_days = 10
"""
BIG = Phase(
    name="big",
    cohort=Cohort(
        weekly_downloads=100_000,
        dependents=50,
        top=1000,
        by=RankBy.DEPENDENTS,
        packages=frozenset({"npm:left-pad", "npm:@types/node"}),
        accounts=frozenset({"alice"}),
    ),
    strength=Strength.TWO_PHISHING_RESISTANT,
    announced=datetime(2027, 1, 1, tzinfo=UTC),
    enforced_from=datetime(2027, 3, 1, tzinfo=UTC),
    reminders=(14, 1),
    grace=timedelta(days=10),
    brown_outs=((datetime(2027, 2, 2, 9, tzinfo=UTC), datetime(2027, 2, 2, 11, tzinfo=UTC)),),
)


def write(app: Flask, text: str) -> None:
    """Write mandates.toml."""
    (app.extensions["authsvc.settings"].instance / "mandates.toml").write_text(text)


def remove(app: Flask) -> None:
    """Take it away."""
    (app.extensions["authsvc.settings"].instance / "mandates.toml").unlink()


def test_without_a_file_and_without_changes_the_phases_are_npm_s(app: Flask) -> None:
    with app.app_context():
        assert phases.current() == phases.stored() == PHASES
        assert phases.history() == []


def test_a_file_says_everything_that_a_phase_can_be(app: Flask) -> None:
    write(app, EVERYTHING)
    with app.app_context():
        assert phases.current() == (BIG,)


def test_a_file_from_before_gives_npm_s_phases_days_of_their_own(app: Flask) -> None:
    write(app, "[top-500]\nenforced_from = 2027-06-01\n")
    with app.app_context():
        assert phases.current() == (replace(PHASES[1], enforced_from=datetime(2027, 6, 1, tzinfo=UTC), grace=GRACE),)


def test_a_phase_in_force_long_ago_is_announced_at_once(app: Flask) -> None:
    write(app, "[old]\neverybody = true\nenforced_from = 2001-01-01\n")
    with app.app_context():
        (old,) = phases.current()
    assert old.announced == old.enforced_from


@pytest.mark.parametrize("phase", [*PHASES, BIG, replace(BIG, cohort=Cohort(everybody=True))], ids=lambda p: p.name)
def test_what_is_written_down_is_read_back_as_it_was(phase: Phase) -> None:
    assert phases.of_rule(phase.name, phases.to_rule(phase)) == phase


def test_the_file_decides_and_what_it_said_stays_when_it_is_taken_away(app: Flask) -> None:
    write(app, EVERYTHING)
    with app.app_context():
        assert phases.stored() == PHASES
        with db.transaction():
            phases.write_down(now=NOON)
        assert phases.stored() == (BIG,)
        with db.transaction(), pytest.raises(phases.FileDecides):
            mandates.change_phases([], reason="Enough", set_by="staff", now=NOON)
        remove(app)
        assert phases.current() == (BIG,)


def test_writing_down_what_is_known_adds_nothing(app: Flask) -> None:
    write(app, EVERYTHING)
    with app.app_context():
        for _ in range(2):
            with db.transaction():
                phases.write_down(now=NOON)
        told = [(change.name, change.new is not None) for change in phases.history()]
    gone = [("high-impact", False), ("top-500", False), ("top-100", False)]
    assert told == [*gone, ("big", True), ("high-impact", True), ("top-500", True), ("top-100", True)]


def test_every_change_is_kept_with_the_rule_before_and_after(app: Flask) -> None:
    later = replace(PHASES[0], enforced_from=PHASES[0].enforced_from + timedelta(days=1))
    with app.app_context():
        with db.transaction():
            told = mandates.change_phases([later, *PHASES[1:]], reason="A day more", set_by="ada", now=NOON)
        assert [(change.old, change.new) for change in told] == [(PHASES[0], later)]
        with db.transaction():
            mandates.change_phases([later], reason="Two less", set_by="ada", now=NOON)
        newest = phases.history()[:3]
        assert phases.current() == (later,)
    assert {change.name: (change.old, change.new) for change in newest[:2]} == {
        "top-500": (PHASES[1], None),
        "high-impact": (PHASES[2], None),
    }
    assert (newest[2].old, newest[2].new, newest[2].reason) == (PHASES[0], later, "A day more")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[top-100", "is not valid TOML"),
        ("\x80", "is not valid TOML"),
        ("[top-50]\nenforced_from = 2027-01-01\n", r"\[top-50\]: an unknown phase; say whom it covers, or take one of"),
        ("[top-100]\nannounced = 2027-01-01\n", r"\[top-100\]: give enforced_from"),
        ("[top-100]\nenforced_from = 2027-01-01\ntops = 7\n", r"\[top-100\]: tops is unknown; there are accounts,"),
        ("top-100 = 2027-01-01\n", r"\[top-100\]: give enforced_from"),
        ('[top-100]\nenforced_from = "2027-01-01"\n', "'2027-01-01' is not a date; write it like 2027-02-01"),
        ('[top-100]\nenforced_from = "T"\n', "'T' is not a date and time"),
        ("[top-100]\nenforced_from = 2027-01-01\nannounced = 2027-01-02\n", "enforced before it is announced"),
        ("[By_Hand]\nenforced_from = 2027-01-01\n", "a name is small letters, digits and hyphens"),
        ('[top-100]\nby = "downloads"\nenforced_from = 2027-01-01\n', "so give top as well"),
        ("[top-100]\npackages = []\nenforced_from = 2027-01-01\n", "it covers nobody; give weekly_downloads,"),
        ("[top-100]\naccounts = []\nenforced_from = 2027-01-01\n", "it covers nobody"),
        ("[top-100]\neverybody = false\nenforced_from = 2027-01-01\n", "it covers nobody"),
        ("[a]\ntop = 9\nenforced_from = 1999-12-31\n", "1999-12-31 is not between 2000 and 2100"),
        ("[a]\ntop = 9\nenforced_from = 2101-01-01\n", "2101-01-01 is not between 2000 and 2100"),
        ("[a]\ntop = 9\nenforced_from = 0001-01-01T00:00:00+05:00\n", "is not between 2000 and 2100"),
        (
            "[a]\ntop = 9\nenforced_from = 2027-01-01\nbrown_outs = [[2026-12-02, 9999-12-31T23:00:00-05:00]]\n",
            "is not between 2000 and 2100",
        ),
        (f"[a]\ntop = {'9' * 5000}\nenforced_from = 2027-01-01\n", "is not valid TOML"),
        (f"a = {'[' * 5000}\n", "is not valid TOML"),
        ("[by-hand]\nenforced_from = 2027-01-01\n", "a name is small letters, digits and hyphens"),
        ("[a]\nenforced_from = 2027-01-01\ntop = 0\n", "top is a number from 1"),
        ("[a]\nenforced_from = 2027-01-01\ntop = true\n", "top is a number from 1"),
        (
            '[a]\nenforced_from = 2027-01-01\ntop = 9\nby = "stars"\n',
            "'stars' is none of downloads, dependents, either",
        ),
        ('[a]\nenforced_from = 2027-01-01\ntop = 9\nstrength = "mail"\n', "'mail' is none of any_second_factor,"),
        ('[a]\nenforced_from = 2027-01-01\npackages = "npm:a"\n', "packages is a list of names"),
        ('[a]\nenforced_from = 2027-01-01\npackages = ["left-pad"]\n', "'left-pad' is no package; write it like npm:"),
        ('[a]\nenforced_from = 2027-01-01\naccounts = ["a b"]\n', "Use 1 to 39 letters"),
        ('[a]\nenforced_from = 2027-01-01\neverybody = "yes"\n', "everybody is true or false"),
        ("[a]\nenforced_from = 2027-01-01\ntop = 9\nreminders = [0]\n", "reminders are days before"),
        ("[a]\nenforced_from = 2027-01-01\ntop = 9\ngrace_days = -1\n", "grace_days are days from 0 to 365"),
        ("[a]\nenforced_from = 2027-01-01\ntop = 9\nbrown_outs = [2026-12-01]\n", "brown_outs are pairs of times"),
        (
            "[a]\nenforced_from = 2027-01-01\ntop = 9\nbrown_outs = [[2026-12-02, 2026-12-01]]\n",
            "a brown-out ends before it begins",
        ),
    ],
)
def test_a_file_of_phases_that_cannot_be_used_is_named(app: Flask, text: str, words: str) -> None:
    path = app.extensions["authsvc.settings"].instance / "mandates.toml"
    path.write_bytes(text.encode("latin-1"))
    with app.app_context(), pytest.raises(phases.BadPhases, match=words):
        phases.current()
