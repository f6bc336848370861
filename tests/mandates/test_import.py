"""`authsvc impact import`: what is stored, what is refused, and that the same again changes nothing."""

import csv
import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask

from authsvc.core import db
from authsvc.mandates import commands
from authsvc.mandates.models import Ownership, Package, is_current
from authsvc.mandates.reading import PackageLine, read
from tests.conftest import NOON, Clock

ROOT = Path(__file__).parents[2]
REAL = ROOT / "examples" / "impact" / "packages.csv.gz"
IMPACT, _ = commands
HEAD = "ecosystem,name,weekly_downloads,dependents,weekly_ge_1m,dependents_ge_500,rank,dependents_rank\n"


def import_(app: Flask, *arguments: str | Path) -> Result:
    """Run the command."""
    return app.test_cli_runner().invoke(IMPACT, ["import", *map(str, arguments)])


def imported(app: Flask, *arguments: str | Path) -> list[dict[str, Any]]:
    """Run the command, which succeeds, and return what it says of each file."""
    result = import_(app, *arguments, "--json")
    assert result.exit_code == 0, result.output
    files: list[dict[str, Any]] = json.loads(result.stdout)["files"]
    return files


def high_impact(app: Flask) -> dict[str, bool]:
    """By name, whether a package counts."""
    with app.app_context(), db.transaction() as session:
        return {row.name: row.high_impact for row in session.query(Package).filter(is_current(Package))}


@pytest.mark.slow
def test_the_real_packages_arrive_and_a_second_time_changes_nothing(app: Flask) -> None:
    (first,) = imported(app, REAL)
    assert first == {
        "file": str(REAL),
        "kind": "packages",
        "added": 30_113,
        "changed": 0,
        "unchanged": 0,
        "bad": 0,
    }
    (second,) = imported(app, REAL)
    assert (second["added"], second["changed"], second["unchanged"]) == (0, 0, 30_113)


def test_our_judgement_agrees_with_the_file_s_own_on_every_real_package() -> None:
    found = read(REAL, now=NOON, progress=lambda _: None, of_record=lambda _: True)
    ours = [line[1].impact.is_high for line in found if isinstance(line[1], PackageLine)]
    with gzip.open(REAL, "rt", encoding="utf-8", newline="") as file:
        theirs = [row["high_impact"] == "1" for row in csv.DictReader(file)]
    assert ours == theirs
    assert sum(ours) == 12_419


def test_boundaries_and_flags_decide_high_impact(app: Flask, tmp_path: Path) -> None:
    path = tmp_path / "packages.csv"
    rows = ["below,999999,499,,,1,1", "downloads,1000000,0,,,,", "dependents,0,500,,,,"]
    rows += ["flags,,,1,,,", "flagged,,,,1,,", "numbers-win,999999,499,1,1,,", "unknown,,,,,1,"]
    path.write_text(HEAD + "".join(f"npm,{row}\n" for row in rows))
    imported(app, path)
    assert {name for name, high in high_impact(app).items() if high} == {"downloads", "dependents", "flags", "flagged"}


def test_changes_replace_the_old_figures_and_what_they_do_not_name_stays(app: Flask, tmp_path: Path) -> None:
    path = tmp_path / "packages.csv"
    path.write_text(HEAD + "npm,a,2000000,,,,,\nnpm,b,5,,,,,\nnpm,c,5,,,,,\n")
    imported(app, path)
    path.write_text(HEAD + "npm,a,7,,,,,\nnpm,b,5,,,,,\nnpm,d,,900,,,,\n")
    (done,) = imported(app, path, "--changes", "--even-if-many-go")
    assert (done["added"], done["changed"], done["unchanged"]) == (1, 1, 1)
    assert high_impact(app) == {"a": False, "b": False, "c": False, "d": True}


def test_maintainers_twice_change_nothing_and_keep_their_first_acceptance(
    app: Flask, clock: Clock, tmp_path: Path
) -> None:
    path = tmp_path / "maintainers.csv"
    path.write_text("ecosystem,package,account,role\nnpm,a,alice,owner\nnpm,a,bob,owner\n")
    (first,) = imported(app, path)
    assert (first["kind"], first["added"]) == ("maintainers", 2)
    clock.advance(days=1)
    (second,) = imported(app, path)
    assert (second["added"], second["changed"], second["unchanged"]) == (0, 0, 2)
    # An earlier date is news, an empty or later one is not.
    path.write_text("ecosystem,package,account,role,accepted_at\nnpm,a,alice,owner,2020-01-01\nnpm,a,bob,maintainer,\n")
    (third,) = imported(app, path)
    assert third["changed"] == 2
    with app.app_context(), db.transaction() as session:
        found = {o.account: (o.role, o.accepted_at) for o in session.query(Ownership)}
    assert found == {"alice": ("owner", datetime(2020, 1, 1, tzinfo=UTC)), "bob": ("maintainer", NOON)}


def test_nothing_is_imported_when_a_line_is_bad(app: Flask, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_text(HEAD + "npm,a,1,,,,,\n")
    bad.write_text(HEAD + "npm,b,1,,,,,\nnpm,c,lots,,,,,\nnpm\n")
    result = import_(app, good, bad)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert f"{bad}:3: weekly_downloads 'lots' is not a whole number" in result.stderr
    assert f"{bad}:4: 1 columns where the first line has 8" in result.stderr
    assert "2 bad lines; nothing was imported" in result.stderr
    assert high_impact(app) == {}


def test_good_lines_load_when_told_to_keep_going(app: Flask, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(HEAD + "npm,b,1,,,,,\nnpm,c,lots,,,,,\n")
    result = import_(app, path, "--keep-going")
    assert result.exit_code == 0
    assert "1 packages added, 0 changed, 0 as before, 1 bad line left out." in result.stdout
    assert ":3: weekly_downloads" in result.stderr
    assert set(high_impact(app)) == {"b"}


def test_of_very_many_bad_lines_the_first_are_shown_and_the_rest_counted(app: Flask, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(HEAD + "npm\n" * 250)
    result = import_(app, path)
    assert result.stderr.count(": 1 columns where") == 100
    assert "and 150 more bad lines" in result.stderr
    assert "250 bad lines; nothing was imported" in result.stderr


@pytest.mark.parametrize("keep_going", [[], ["--keep-going"]])
def test_a_damaged_file_imports_nothing_and_says_so(app: Flask, tmp_path: Path, keep_going: list[str]) -> None:
    path = tmp_path / "packages.csv.gz"
    path.write_bytes(REAL.read_bytes()[:200_000])
    result = import_(app, path, *keep_going)
    assert result.exit_code == 1
    assert "damaged or cut off" in result.stderr
    assert "Nothing was imported." in result.stderr
    assert high_impact(app) == {}


def test_a_file_with_other_columns_is_refused(app: Flask, tmp_path: Path) -> None:
    path = tmp_path / "packages.csv"
    path.write_text("package,downloads\nleft-pad,5\n")
    result = import_(app, path)
    assert result.exit_code == 1
    assert "the first line must name the columns" in result.stderr


@pytest.mark.parametrize("arguments", [[], ["no-such-file.csv"], ["--loudly"]])
def test_wrong_usage_exits_with_2(app: Flask, arguments: list[str]) -> None:
    assert import_(app, *arguments).exit_code == 2


def test_the_result_says_what_to_do_next(app: Flask, tmp_path: Path) -> None:
    path = tmp_path / "packages.csv"
    path.write_text(HEAD + "npm,a,1,,,,,\n")
    result = import_(app, path)
    assert result.stdout == f"{path}: 1 packages added, 0 changed, 0 as before.\n"
    assert "authsvc mandates plan" in result.stderr
