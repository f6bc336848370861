"""Every attack of tests/data/attacks.csv that concerns something built is played by a test that carries its name."""

import csv
import re
from pathlib import Path

TESTS = Path(__file__).parent
ROOT = TESTS.parent
MARK = re.compile(r'mark\.attack\("([A-Z]\d+)"\)')


def index() -> dict[str, str]:
    """What is to be said of each attack: built, or why not."""
    with (TESTS / "data" / "attacks.csv").open(encoding="utf-8", newline="") as file:
        return {row["id"]: row["status"] for row in csv.DictReader(file)}


def played() -> set[str]:
    """The attacks that tests carry in a mark."""
    return {name for path in TESTS.rglob("test_*.py") for name in MARK.findall(path.read_text(encoding="utf-8"))}


def test_every_attack_on_what_is_built_is_played() -> None:
    assert {name for name, status in index().items() if status == "built"} - played() == set()


def test_every_attack_that_is_played_is_in_the_index() -> None:
    assert played() - index().keys() == set()


def test_what_is_not_built_says_why_and_is_not_played() -> None:
    others = {name: status for name, status in index().items() if status != "built"}
    assert all(status.startswith("not built: ") for status in others.values())
    assert others.keys() & played() == set()


def test_the_page_of_threats_has_a_row_for_each_with_a_test_that_plays_it() -> None:
    page = (ROOT / "docs" / "threats.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| ([A-Z]\d+) \|(.*)\|$", page, re.MULTILINE))
    assert index().keys() - rows.keys() == set()
    without = []
    for name, status in index().items():
        paths = [ROOT / path for path in re.findall(r"`(tests/[^`]+)`", rows[name])]
        carry = any(f'mark.attack("{name}")' in path.read_text(encoding="utf-8") for path in paths)
        if carry != (status == "built"):
            without.append(name)
    assert without == []
