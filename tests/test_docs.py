"""The documents say what is there: settings, limits, commands, files and decisions they name exist."""

import re
from collections.abc import Iterator
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import click

from authsvc.core.config import PREFIX, Settings
from authsvc.core.rate_limits import LIMITS
from authsvc.policy.budget import BUDGETS
from authsvc.threats import THREATS

ROOT = Path(__file__).parents[1]
SETTINGS = ROOT / "docs" / "settings.md"
DECISIONS = ROOT / "docs" / "decisions"
LIMITS_DECISION = DECISIONS / "0011-limits-are-coarse-for-networks-and-exact-for-accounts.md"
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md"), *ROOT.glob("instance/*.md")]
)
LINK = re.compile(r"\]\(([^)\s#]+)(?:#[^)\s]*)?\)")
TEST_PATH = re.compile(r"tests/[\w/.-]*\w/?")
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:^|`|bin/)authsvc ((?:[a-z][a-z-]* ?)+)", re.MULTILINE)


def setting_row(field: Field[Any]) -> str:
    """One line of the table of settings."""
    default = f"`{int(field.default) if field.default is True or field.default is False else field.default}`"
    meaning = field.metadata["doc"].replace("|", "\\|")
    return f"| `{PREFIX}{field.name.upper()}` | {default if field.default != '' else 'empty'} | {meaning} |"


def named(pattern: re.Pattern[str], paths: list[Path]) -> Iterator[tuple[str, str]]:
    """What the pattern finds, with the page it stands on."""
    for path in paths:
        for match in pattern.finditer(path.read_text(encoding="utf-8")):
            yield match[match.lastindex or 0], str(path.relative_to(ROOT))


def test_the_settings_page_lists_every_setting() -> None:
    lines = SETTINGS.read_text(encoding="utf-8").splitlines()
    table = [line for line in lines if line.startswith(f"| `{PREFIX}")]
    assert table == [setting_row(field) for field in fields(Settings)], "`python -m tests.test_docs` prints the table"


def test_every_setting_a_page_names_exists() -> None:
    known = {PREFIX + field.name.upper() for field in fields(Settings)}
    pattern = re.compile(rf"{PREFIX}[A-Z0-9_]*[A-Z0-9]")
    assert [(name, page) for name, page in named(pattern, PAGES) if name not in known] == []


def test_the_decision_on_limits_shows_those_in_force() -> None:
    text = LIMITS_DECISION.read_text(encoding="utf-8")
    rows = [f"| {name} | {count:,} | {seconds:,} s |" for name, (count, seconds) in LIMITS.items()]
    units = {300: "5 min", 900: "15 min", 3600: "1 h", 86400: "1 d"}
    for name, limits in BUDGETS.items():
        windows = ", ".join(f"{count} in {units[int(window.total_seconds())]}" for count, window in limits.windows)
        rows.append(f"| {name} | {windows} | {limits.delay_from or '–'} |")
    assert [line for line in text.splitlines() if re.match(r"\| [a-z_]+ \| \d", line)] == rows


def test_every_link_leads_somewhere() -> None:
    broken = [
        f"{page}: {link}"
        for link, page in named(LINK, PAGES)
        if ":" not in link and not (ROOT / page).parent.joinpath(link).exists()
    ]
    assert broken == []


def test_every_test_that_is_named_exists() -> None:
    on_pages = list(named(TEST_PATH, [page for page in PAGES if page.name != "CHANGELOG.md"]))
    on_threats = [(threat.tested_in, "/threats") for threat in THREATS if threat.tested_in]
    assert [(path, page) for path, page in [*on_pages, *on_threats] if not (ROOT / path).exists()] == []


def test_every_decision_that_is_named_exists() -> None:
    sources = [*ROOT.glob("authsvc/**/*.py"), *ROOT.glob("tests/**/*.py"), *PAGES]
    numbers = {path.name[:4] for path in DECISIONS.glob("*.md")}
    found = named(re.compile(r"[Dd]ecision (\d{4})\b"), sources)
    assert [(number, source) for number, source in found if number not in numbers] == []


def test_no_decision_has_the_number_of_another() -> None:
    numbers = [path.name[:4] for path in DECISIONS.glob("*.md")]
    assert sorted(numbers) == sorted(set(numbers))


def test_every_command_a_page_names_exists() -> None:
    from authsvc.cli import main

    wrong = []
    for page in PAGES:
        code = "\n".join(CODE.findall(page.read_text(encoding="utf-8")))
        for words in COMMAND.findall(code):
            command: click.Command | None = main
            for word in words.split():
                if not isinstance(command, click.Group):
                    break  # the rest are arguments
                command = command.commands.get(word)
            if command is None:
                wrong.append(f"{page.relative_to(ROOT)}: authsvc {words}")
    assert wrong == []


if __name__ == "__main__":
    print("\n".join(setting_row(field) for field in fields(Settings)))  # noqa: T201
