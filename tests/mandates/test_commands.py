"""`authsvc mandates`: what operators see before, do, and see after."""

import gzip
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask

from authsvc.cli import main
from authsvc.mandates import commands
from tests.conftest import Clock
from tests.people import Outbox, Person

ROOT = Path(__file__).parents[2]
REAL = ROOT / "examples" / "impact" / "packages.csv.gz"
INVENTED = ROOT / "tests" / "data" / "maintainers.csv"
IMPACT, MANDATES = commands
MakeAccount = Callable[..., Person]


def run(app: Flask, *arguments: str) -> Result:
    """`authsvc mandates …`."""
    return app.test_cli_runner().invoke(MANDATES, arguments)


def answer(app: Flask, *arguments: str) -> dict[str, Any]:
    """What the command answers as JSON; it succeeds."""
    result = run(app, *arguments, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def figures(app: Flask, *arguments: str) -> dict[str, tuple[int, int, int]]:
    """By phase, accounts covered, those with a second factor, those stopped."""
    rows = answer(app, *arguments)["phases"]
    return {row["phase"]: (row["accounts"], row["met"], row["stopped"]) for row in rows}


def known(app: Flask, make_account: MakeAccount, packages: Path) -> Flask:
    """Packages, invented maintainers, and accounts for all but one of them."""
    for name in ("ada", "margaret", "grace", "edsger"):
        make_account(name)
    make_account("linus", totp_app=True)
    imported = app.test_cli_runner().invoke(IMPACT, ["import", str(packages), str(INVENTED)])
    assert imported.exit_code == 0, imported.output
    return app


@pytest.fixture
def few(app: Flask, make_account: MakeAccount, tmp_path: Path) -> Flask:
    """Of the real packages only those that somebody maintains."""
    maintained = {tuple(line.lower().split(",")[:2]) for line in INVENTED.read_text().splitlines()}
    with gzip.open(REAL, "rt", encoding="utf-8") as file:
        lines = [line for n, line in enumerate(file) if not n or tuple(line.split(",")[:2]) in maintained]
    (tmp_path / "packages.csv").write_text("".join(lines))
    return known(app, make_account, tmp_path / "packages.csv")


@pytest.mark.slow
def test_the_plan_counts_real_packages_and_invented_people_by_phase(app: Flask, make_account: MakeAccount) -> None:
    plan = answer(known(app, make_account, REAL), "plan")
    assert {row["phase"]: row["packages"] for row in plan["phases"]} == {
        "top-100": 289,
        "top-500": 1151,
        "high-impact": 10_979,
    }
    assert figures(app, "plan") == {"top-100": (1, 0, 1), "top-500": (2, 1, 1), "high-impact": (1, 0, 1)}
    assert [(p["username"], p["phase"]) for p in plan["stopped"]] == [
        ("ada", "top-100"),
        ("margaret", "top-500"),
        ("grace", "high-impact"),
    ]
    assert plan["names_without_account"] == 1


def test_a_plan_writes_and_mails_nothing(few: Flask, outbox: Outbox) -> None:
    answer(few, "plan")
    assert figures(few, "report") == {"top-100": (0, 0, 0), "top-500": (0, 0, 0), "high-impact": (0, 0, 0)}
    assert outbox.messages == []


def test_the_plan_for_a_day_stops_those_in_force_then(few: Flask) -> None:
    instance = few.extensions["authsvc.settings"].instance
    (instance / "mandates.toml").write_text(
        "[top-100]\nenforced_from = 2027-01-01\n[top-500]\nannounced = 2027-03-01\nenforced_from = 2027-06-01\n"
    )
    assert figures(few, "plan") == {"top-100": (1, 0, 0), "top-500": (0, 0, 0)}
    assert figures(few, "plan", "--as-of", "2026-12-31T23:59:59") == {"top-100": (1, 0, 0), "top-500": (0, 0, 0)}
    assert figures(few, "plan", "--as-of", "2027-01-01") == {"top-100": (1, 0, 1), "top-500": (0, 0, 0)}
    assert figures(few, "plan", "--as-of", "2027-06-01") == {"top-100": (1, 0, 1), "top-500": (2, 1, 1)}
    assert run(few, "apply").stdout == "1 mandate given or brought forward.\n"
    assert answer(few, "apply", "--as-of", "2027-03-01") == {"given": 2}


def test_the_report_counts_what_was_given(few: Flask) -> None:
    planned = figures(few, "plan")
    assert answer(few, "apply") == {"given": 4}
    assert answer(few, "apply") == {"given": 0}
    assert figures(few, "report") == planned
    assert run(few, "require", "edsger", "--from", "now", "--reason", "Asked").exit_code == 0
    assert figures(few, "report")["by-hand"] == (1, 0, 1)
    assert figures(few, "plan")["by-hand"] == (1, 0, 1)


def test_people_read_a_table(few: Flask) -> None:
    lines = run(few, "plan").stdout.splitlines()
    assert lines[0] == "As of 24 November 2026, 12:00 UTC"
    assert lines[1].split() == (
        [
            "phase",
            "enforced",
            "from",
            "asks",
            "for",
            "packages",
            "accounts",
            "two",
            "keys",
            "one",
            "key",
            "app",
            "nothing",
            "stopped",
        ]
    )
    assert lines[2].split() == ["top-100", "2022-02-01", "any", "second", "step", "2", "1", "0", "0", "0", "1", "1"]
    assert lines[3].split() == ["top-500", "2022-05-31", "any", "second", "step", "2", "2", "0", "0", "1", "1", "1"]
    assert lines[5] == "Maintainers of such packages without an account here: 1"
    assert lines[6].startswith("Stopped: ada (top-100, since 2022-02-01). The npm package semver, which you maintain,")


def test_an_account_is_required_by_hand(app: Flask, make_account: MakeAccount, clock: Clock) -> None:
    make_account("alice")
    result = run(app, "require", "ALICE", "--from", "2026-12-24", "--reason", "  Asked for\nby security ")
    assert result.stdout == "alice must have a second factor from 24 December 2026, 00:00 UTC.\n"
    clock.advance(days=31)
    assert answer(app, "report")["stopped"] == [
        {
            "username": "alice",
            "phase": "by-hand",
            "reason": "Asked for by security.",
            "enforced_from": "2026-12-24T00:00:00+00:00",
        }
    ]


def test_now_is_a_day(app: Flask, make_account: MakeAccount, clock: Clock) -> None:
    make_account("alice")
    told = answer(app, "require", "alice", "--from", "now", "--reason", "Asked")
    assert told == {"username": "alice", "enforced_from": clock.now.isoformat()}


def test_a_later_day_is_refused(app: Flask, make_account: MakeAccount, clock: Clock) -> None:
    make_account("alice")
    assert run(app, "require", "alice", "--from", "now", "--reason", "Asked").exit_code == 0
    later = (clock.now + timedelta(seconds=1)).isoformat()
    result = run(app, "require", "alice", "--from", later, "--reason", "Asked")
    assert result.exit_code == 1
    assert "required of alice from 24 November 2026, 12:00 UTC already" in result.stderr


def test_an_unknown_account_is_named(app: Flask) -> None:
    result = run(app, "require", "nobody", "--from", "now", "--reason", "Asked")
    assert result.exit_code == 1
    assert "There is no account 'nobody'." in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["require", "alice", "--reason", "Asked"],
        ["require", "alice", "--from", "now"],
        ["require", "alice", "--from", "soon", "--reason", "Asked"],
        ["require", "alice", "--from", "now", "--reason", "  "],
        ["require", "alice", "--from", "now", "--reason", "x" * 500],
        ["plan", "--as-of", "soon"],
        ["plan", "--loudly"],
        ["forget"],
    ],
)
def test_wrong_usage_exits_with_2(app: Flask, make_account: MakeAccount, arguments: list[str]) -> None:
    make_account("alice")
    assert run(app, *arguments).exit_code == 2


def test_with_every_phase_off_nobody_is_counted(few: Flask) -> None:
    (few.extensions["authsvc.settings"].instance / "mandates.toml").write_text("")
    assert answer(few, "plan")["phases"] == []


@pytest.mark.parametrize("command", ["plan", "apply", "report"])
def test_unusable_phases_are_named_and_exit_with_1(app: Flask, command: str) -> None:
    (app.extensions["authsvc.settings"].instance / "mandates.toml").write_text("[top-1]\n")
    result = run(app, command)
    assert result.exit_code == 1
    assert "mandates.toml, [top-1]: give enforced_from" in result.stderr


def test_the_authsvc_command_knows_them(app: Flask) -> None:
    assert {"impact", "mandates"} <= set(main.commands)
    for arguments in (["impact", "import", "--help"], ["mandates", "require", "--help"]):
        assert app.test_cli_runner().invoke(main, arguments).exit_code == 0
