"""What public metadata gives away: addresses at lapsed domains, false alarms, and lines nobody can read."""

import gzip
import json
import stat
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask
from sqlalchemy import func, select, update

from authsvc import accounts, domains
from authsvc.accounts.models import Address
from authsvc.core import db
from authsvc.domains import exposure
from authsvc.domains.models import Domain
from authsvc.domains.published import MAX_LINE, BadLine, Nothing, Published, read
from authsvc.domains.registries import BURST, KEPT_FOR_RESETS, Registry
from tests import servers
from tests.conftest import Clock
from tests.recovery.corp import ALIVE, Outside, registered

(DOMAINS,) = domains.commands
FIELDS = {"package": "left-pad", "version": "1.0.0"}


@pytest.fixture
def outside(app: Flask, dns_server: servers.Dns, web_server: servers.Web) -> Outside:
    """A healthy corp.org; every other domain is not registered."""
    return Outside(app, dns_server, web_server)


@pytest.fixture
def published(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file of these lines: objects, or texts as they are."""

    def write(*lines: dict[str, Any] | str) -> Path:
        path = tmp_path / "metadata.ndjson"
        texts = [line if isinstance(line, str) else json.dumps(FIELDS | line) for line in lines]
        path.write_text("\n".join(texts) + "\n", encoding="utf-8")
        return path

    return write


def run(app: Flask, *arguments: object) -> Result:
    """`authsvc domains exposure …`."""
    return app.test_cli_runner().invoke(DOMAINS, ["exposure", *map(str, arguments)])


def answer(app: Flask, path: Path) -> dict[str, Any]:
    """What the command answers as JSON; it succeeds."""
    result = run(app, path, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def person(app: Flask, clock: Clock, username: str, *emails: str) -> None:
    """An account whose addresses were proved a year ago, the first of them the primary one."""
    made = clock.now - timedelta(days=365)
    with app.app_context(), db.transaction():
        account_id = accounts.create(username=username, now=made)
        for email in emails:
            primary = email == emails[0]
            number = accounts.add_address(account_id, email, is_primary=primary, verified_at=None, now=made)
            domains.record_verification(number, email.rpartition("@")[2], verified_at=made, now=made)


def looks_at(app: Flask, clock: Clock, *names: str) -> None:
    """Look at domains now, as the sweep would."""
    with app.app_context():
        for name in names:
            domains.check_now(name, now=clock.now)


# --- what is told


def test_a_lapsed_domain_is_told_of_with_its_package_and_a_healthy_one_is_not(
    app: Flask, outside: Outside, published: Callable[..., Path]
) -> None:
    path = published({"email": "ada@gone.org", "account": "ada"}, {"email": "bob@corp.org", "account": "bob"})
    found = answer(app, path)
    assert found["findings"] == [
        {
            "line": 1,
            "package": "left-pad",
            "version": "1.0.0",
            "email": "ada@gone.org",
            "account": "ada",
            "verdict": "lapsed",
            "reason": "NOT_REGISTERED",
            "standing": "no account",
        }
    ]
    assert found["addresses"] == 2
    assert [one["domains"] for one in found["domains"]] == [1, 1]


def test_who_moved_on_is_a_false_alarm_and_who_did_not_is_exposed(
    app: Flask, clock: Clock, outside: Outside, published: Callable[..., Path]
) -> None:
    # Given one who left, one with a second address there, one whose new one is lost too, and one who proved nothing
    person(app, clock, "ada", "ada@corp.org")
    person(app, clock, "bob", "bob@corp.org", "bob@gone.org")
    person(app, clock, "cy", "cy@lost.org")
    person(app, clock, "dee", "dee@corp.org")
    with app.app_context(), db.transaction() as session:
        session.execute(update(Address).where(Address.email == "dee@corp.org").values(verified_at=None))
    looks_at(app, clock, "corp.org", "gone.org", "lost.org")
    # When the registry still publishes what they had
    path = published(*({"email": f"{name}@gone.org", "account": name} for name in ("ada", "bob", "cy", "dee", "eve")))
    # Then each stands as our side says
    found = {one["account"]: one["standing"] for one in answer(app, path)["findings"]}
    assert found == {"ada": "moved on", "bob": "exposed", "cy": "exposed", "dee": "unclear", "eve": "no account"}


def test_an_address_in_use_here_is_exposed_whatever_name_the_registry_gives(
    app: Flask, clock: Clock, outside: Outside, published: Callable[..., Path]
) -> None:
    person(app, clock, "ada", "ada@corp.org")
    person(app, clock, "bob", "bob@gone.org")
    looks_at(app, clock, "corp.org", "gone.org")
    path = published({"email": "bob@gone.org", "account": "ada"}, {"email": "BOB@gone.org", "account": None})
    assert [one["standing"] for one in answer(app, path)["findings"]] == ["exposed", "exposed"]


def test_a_domain_registered_anew_is_told_of_for_those_who_proved_before(
    app: Flask, clock: Clock, outside: Outside, published: Callable[..., Path]
) -> None:
    person(app, clock, "ada", "ada@corp.org")
    outside.says(ALIVE, registered("2026-11-01T00:00:00Z"))
    looks_at(app, clock, "corp.org")
    path = published({"email": "ada@corp.org", "account": "ada"}, {"email": "new@corp.org", "account": "new"})
    assert [(one["email"], one["verdict"]) for one in answer(app, path)["findings"]] == [
        ("ada@corp.org", "reregistered")
    ]


# --- who is asked


@pytest.mark.parametrize(("seconds", "asked"), [(86399, False), (86400, True)])
def test_a_look_of_the_last_day_is_used_again(
    app: Flask, clock: Clock, outside: Outside, published: Callable[..., Path], seconds: int, asked: bool
) -> None:
    person(app, clock, "ada", "ada@corp.org")
    looks_at(app, clock, "corp.org")
    outside.dns.zone.asked.clear()
    clock.advance(seconds=seconds)
    answer(app, published({"email": "ada@corp.org"}))
    assert bool(outside.dns.zone.asked) is asked


def test_a_domain_is_asked_about_once_and_one_without_accounts_is_not_stored(
    app: Flask, outside: Outside, published: Callable[..., Path]
) -> None:
    path = published(*({"email": f"person{n}@corp.org"} for n in range(50)))
    answer(app, path)
    assert outside.dns.zone.asked.count(("corp.org", "MX")) == 2  # once by each resolver
    with app.app_context(), db.transaction() as session:
        assert session.scalar(select(func.count()).select_from(Domain)) == 0


@pytest.mark.parametrize(("seconds", "told"), [(2, True), (20, False)])
def test_where_the_registry_has_to_be_left_alone_it_is_waited_for_but_not_for_long(
    app: Flask, clock: Clock, outside: Outside, published: Callable[..., Path], seconds: int, told: bool
) -> None:
    # Given a free name whose registry the sweep may ask again after so many seconds
    full_at = clock.now + timedelta(seconds=int(BURST * (1 - KEPT_FOR_RESETS)) - 1 + seconds)
    with app.app_context(), db.transaction() as session:
        session.add(Registry(host="gone.org", full_at=round(full_at.timestamp() * 1000)))
    # When it is looked at
    path, waits, seen = published({"email": "ada@gone.org"}), list[float](), exposure.Seen()
    with app.app_context():
        found = list(exposure.expose(path, seen, now=clock.now, progress=lambda at: None, pause=waits.append))
    # Then it is told of as lapsed once the registry answered, and else as suspect
    assert waits == [1.0] * (seconds if told else exposure.TRIES)
    assert [one.verdict for one in found if isinstance(one, exposure.Finding)] == ["lapsed" if told else "suspect"]
    assert seen.domains.total() == 1


def test_a_look_that_breaks_off_hides_no_other_domain(
    app: Flask, outside: Outside, published: Callable[..., Path]
) -> None:
    parts = app.extensions["authsvc.adapters"]
    app.extensions["authsvc.adapters"] = replace(parts, rdap=None)
    path = published({"email": "a@gone.org"}, {"email": "a@here.test"})
    assert "about 1 of the domains" in run(app, path).stderr
    found = answer(app, path)
    assert {(one["verdict"], one["reason"]) for one in found["domains"]} == {
        ("unknown", "LOOK_BROKE_OFF"),
        ("healthy", "OK_RESERVED"),
    }


# --- what is read


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not JSON"),
        ('"text"', "not an object"),
        ("[" * 100_000, "nested too deeply"),
        ("\udcff", "not JSON in UTF-8"),
        ('{"package": "x"}', "no field for the address"),
        ('{"email": "ada@gone.org"}', "no field for the package"),
        ('{"package": {}, "email": "ada@gone.org"}', "package is not a text"),
        ('{"package": true, "email": "ada@gone.org"}', "package is not a text"),
        ('{"package": "\\u001b[2J", "email": "ada@gone.org"}', "cannot be shown"),
        ('{"package": "a\\u202eb", "email": "ada@gone.org"}', "cannot be shown"),
        ('{"package": "' + "x" * 215 + '", "email": "ada@gone.org"}', "longer than 214"),
        ('{"package": "x", "email": 5}', "neither a text nor a list"),
        ('{"package": "x", "email": "ada at gone.org"}', "'ada at gone.org' is not an e-mail address"),
        ('{"package": "x", "email": "\\u001b[2J@gone.org"}', "is not an e-mail address"),
        ('{"package": "x", "email": "' + "x" * MAX_LINE + '"}', "longer than 1,048,576 bytes"),
    ],
)
def test_a_bad_line_is_told_with_its_number_and_the_next_one_counts(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "metadata"
    good = json.dumps(FIELDS | {"email": "ada@gone.org"})
    path.write_bytes(f"{good}\n{line}\n{good}".encode(errors="surrogateescape"))
    first, bad, last = read(path, progress=lambda at: None)
    assert isinstance(first, Published)
    assert isinstance(bad, BadLine)
    assert isinstance(last, Published)
    assert (bad.line, last.line) == (2, 3)
    assert reason in bad.reason
    assert bad.reason.isprintable()


@pytest.mark.parametrize(
    ("line", "emails"),
    [
        ({"name": "x", "author_email": "Ada L. <Ada@Gone.org>, bob@gone.org"}, ["ada@gone.org", "bob@gone.org"]),
        ({"project": "x", "release": 1.5, "mail": ["ada@gone.org", "ada@gone.org"]}, ["ada@gone.org"]),
        ({"crate": "x", "num": "1", "e-mail": "ada@straße.de", "login": "ada"}, ["ada@xn--strae-oqa.de"]),
        ({"gem": "x", "email": None}, []),
        ({"gem": "x", "email": " "}, []),
        ({"gem": "x", "email": []}, []),
    ],
)
def test_the_usual_names_of_fields_and_ways_to_write_addresses_are_understood(
    tmp_path: Path, line: dict[str, Any], emails: list[str]
) -> None:
    path = tmp_path / "metadata.gz"
    with gzip.open(path, "wt", encoding="utf-8-sig") as file:
        file.write(json.dumps(line) + "\n\n")
    found = list(read(path, progress=lambda at: None))
    assert [one.email for one in found if isinstance(one, Published)] == emails
    assert [one for one in found if isinstance(one, Nothing)] == ([] if emails else [Nothing(line=1)])
    assert not [one for one in found if isinstance(one, BadLine)]


@pytest.mark.parametrize("cut", [slice(None, -20), slice(None, 400)])
def test_an_archive_that_is_cut_off_tells_so_after_what_it_holds(tmp_path: Path, cut: slice) -> None:
    path = tmp_path / "metadata.gz"
    lines = "".join(json.dumps(FIELDS | {"email": f"a@free{n}.org"}) + "\n" for n in range(500))
    path.write_bytes(gzip.compress(lines.encode())[cut])
    *_, last = read(path, progress=lambda at: None)
    assert isinstance(last, BadLine)
    assert "cut off" in last.reason


@pytest.mark.slow
def test_memory_does_not_grow_with_the_lines(app: Flask, clock: Clock, tmp_path: Path) -> None:
    def lines(count: int) -> Iterator[str]:
        return (json.dumps(FIELDS | {"email": f"person{n}@here{n % 10}.test"}) + "\n" for n in range(count))

    def most_used(count: int) -> int:
        path = tmp_path / "metadata"
        with path.open("w") as file:
            file.writelines(lines(count))
        tracemalloc.start()
        with app.app_context():
            for _ in exposure.expose(path, exposure.Seen(), now=clock.now, progress=lambda at: None):
                pass
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    most_used(100)  # what is imported and cached at first use
    assert most_used(3_000) < most_used(300) + 100_000


# --- where it goes


def test_the_output_is_a_new_file_for_its_owner_alone(
    app: Flask, outside: Outside, published: Callable[..., Path], tmp_path: Path
) -> None:
    path, output = published({"email": "ada@gone.org"}), tmp_path / "exposure"
    result = run(app, path, "--output", output)
    assert result.exit_code == 0, result.output
    assert "ada@gone.org" not in result.output
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    written = output.read_text()
    assert "ada@gone.org" in written
    again = run(app, path, "--output", output)
    assert again.exit_code == 2
    assert output.read_text() == written


def test_the_output_is_gone_when_the_work_breaks_off(
    app: Flask, published: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: object, **_more: object) -> Iterator[Any]:
        raise RuntimeError("the database went away")

    monkeypatch.setattr(sys.modules["authsvc.domains.commands"], "expose", broken)
    output = tmp_path / "exposure"
    assert run(app, published({"email": "ada@gone.org"}), "--output", output).exit_code == 1
    assert not output.exists()


def test_the_table_names_findings_and_sums_and_bad_lines_go_to_standard_error(
    app: Flask, outside: Outside, published: Callable[..., Path]
) -> None:
    result = run(app, published({"email": "ada@gone.org"}, "{", {"email": "bob@corp.org"}))
    assert result.exit_code == 0
    assert "ada@gone.org" in result.stdout
    assert "bob@corp.org" not in result.stdout
    assert "2 published addresses, at 2 domains" in result.stdout
    assert "1  lapsed: NOT_REGISTERED" in result.stdout
    assert "metadata.ndjson:2: not JSON" in result.stderr


def test_the_help_says_that_the_answer_is_a_shopping_list(app: Flask) -> None:
    assert "OPERATORS ONLY" in run(app, "--help").stdout
