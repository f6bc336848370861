"""What depends on an account, in figures, ranks and words."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from authsvc.mandates import commands
from authsvc.mandates.impact import figures_in_words
from authsvc.policy.mandate import Impact
from tests.mandates.test_import import HEAD, import_, imported
from tests.people import Person

IMPACT, _ = commands
PACKAGES = """npm,left-pad,2100000,640,,,,
npm,right-pad,5,,,1,,
npm,flagged,,,1,,,
npm,small,3,2,,,,
npm,invited,9999999,9,,,,
"""
OWNERS = """ecosystem,package,account,role,accepted_at
npm,left-pad,alice,owner,2026-01-01
npm,small,alice,maintainer,2026-01-01
npm,nowhere,alice,maintainer,2026-01-01
npm,right-pad,bob,owner,2026-01-01
npm,flagged,bob,owner,2026-01-01
npm,invited,bob,owner,
npm,small,carol,owner,2026-01-01
npm,invited,stranger,owner,2026-01-01
"""


@pytest.fixture
def show(app: Flask, tmp_path: Path, make_account: Callable[..., Person]) -> Callable[..., Any]:
    """Some accounts, what they maintain, and the command."""
    for name in ("alice", "bob", "carol", "dave"):
        make_account(name)
    for name, text in (("p.csv", HEAD + PACKAGES), ("o.csv", OWNERS)):
        (tmp_path / name).write_text(text)
    imported(app, tmp_path / "p.csv", tmp_path / "o.csv")
    return lambda *arguments: app.test_cli_runner().invoke(IMPACT, ["show", *arguments])


def test_an_account_s_packages_are_told_with_figures_ranks_and_reasons(show: Callable[..., Any]) -> None:
    assert show("Alice").stdout == (
        "alice\n"
        "  2,100,003 weekly downloads; rank 1 among accounts\n"
        "  642 dependents; rank 1 among accounts\n"
        "  npm: owner of left-pad: 2.1 M weekly downloads, 640 dependents\n"
        "  npm: maintainer of small: 3 weekly downloads, 2 dependents\n"
        "  npm: maintainer of nowhere: no figures known\n"
    )


def test_a_flag_counts_as_its_threshold_and_an_invitation_not_at_all(show: Callable[..., Any]) -> None:
    found = json.loads(show("bob", "--json").stdout)
    assert found["downloads"] == {"total": 1_000_005, "rank": 2}
    assert found["dependents"] == {"total": 500, "rank": 2}
    assert {package["reason"] for package in found["packages"]} == {
        "owner of right-pad: 5 weekly downloads, 500 dependents or more",
        "owner of flagged: 1.0 M weekly downloads or more",
        "owner of invited: 10.0 M weekly downloads, 9 dependents",
    }
    assert "owner of invited: 10.0 M weekly downloads, 9 dependents (invited, does not count)" in show("bob").stdout


def test_names_without_an_account_take_no_rank(show: Callable[..., Any]) -> None:
    assert json.loads(show("carol", "--json").stdout)["downloads"] == {"total": 3, "rank": 3}


def test_who_maintains_nothing_has_no_rank(show: Callable[..., Any]) -> None:
    assert show("dave").stdout == "dave\n  0 weekly downloads\n  0 dependents\n"


def test_nobody_is_shown_by_a_name_that_nobody_has(show: Callable[..., Any]) -> None:
    result = show("stranger")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "There is no account 'stranger'." in result.stderr


def test_what_is_gone_counts_no_more(app: Flask, show: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "o.csv").write_text(OWNERS.replace("npm,small,alice,maintainer,2026-01-01\n", ""))
    assert import_(app, tmp_path / "o.csv").exit_code == 0
    assert "2,100,000 weekly downloads" in show("alice").stdout


@pytest.mark.parametrize(
    ("impact", "words"),
    [
        (Impact(weekly_downloads=999_999), "999,999 weekly downloads"),
        (Impact(weekly_downloads=1_000_000), "1.0 M weekly downloads"),
        (Impact(weekly_downloads=1_234_567_890), "1,234.6 M weekly downloads"),
        (Impact(weekly_ge_1m=False, dependents_ge_500=False), "no figures known"),
    ],
)
def test_figures_are_short(impact: Impact, words: str) -> None:
    assert figures_in_words(impact) == words
