"""Whole snapshots: what goes with them, what they may not take, and that a killed one never counts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from authsvc import mandates
from authsvc.core import db
from authsvc.mandates import by_account, importing, pace, snapshots
from authsvc.mandates.models import Ownership, OwnershipOfAccount, Package, Snapshot, is_current
from authsvc.mandates.snapshots import LEASE, Lost, Running
from tests.conftest import NOON, Clock
from tests.mandates.test_import import HEAD, high_impact, import_, imported
from tests.people import Person
from tests.slices import request_to

OWNERS = "ecosystem,package,account,role,accepted_at\n"
FIVE = "".join(f"npm,{name},alice,owner,2026-01-01\n" for name in "abcde")
MakeAccount = Callable[..., Person]


@pytest.fixture(autouse=True)
def batches_of_one_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """However fast the machine is, and on both databases."""
    for name in ("LEAST", "MOST", "OF_MANY_WRITERS"):
        monkeypatch.setattr(pace, name, pace.FIRST)


def write(tmp_path: Path, name: str, text: str) -> Path:
    """A file of that text."""
    path = tmp_path / name
    path.write_text(text)
    return path


def owners(app: Flask) -> dict[tuple[str, str], datetime | None]:
    """By package and account, since when a maintainer counts."""
    with app.app_context(), db.transaction() as session:
        rows = session.query(Ownership).filter(is_current(Ownership))
        return {(row.package, row.account): row.accepted_at for row in rows}


def rows(app: Flask) -> tuple[int, int, int]:
    """Rows that there are at all, whether they count or not: packages, maintainers, snapshots."""
    with app.app_context(), db.transaction() as session:
        return session.query(Package).count(), session.query(Ownership).count(), session.query(Snapshot).count()


def test_what_a_snapshot_does_not_name_is_gone_in_its_ecosystems_alone(app: Flask, tmp_path: Path) -> None:
    packages = write(tmp_path, "p.csv", HEAD + "npm,a,9,,,,,\nnpm,b,5,,,,,\npypi,c,5,,,,,\n")
    imported(app, packages, write(tmp_path, "o.csv", OWNERS + FIVE + "npm,f,bob,owner,\npypi,c,alice,owner,\n"))
    result = import_(app, write(tmp_path, "p.csv", HEAD + "npm,a,7,,,,,\n"), write(tmp_path, "o.csv", OWNERS + FIVE))
    assert "1 packages are gone.\n1 maintainers are gone.\n" in result.stdout
    assert high_impact(app) == {"a": False, "c": False}
    assert set(owners(app)) == {*((name, "alice") for name in "abcde"), ("c", "alice")}
    assert rows(app)[:2] == (2, 6)  # nothing of before is left behind


def test_several_files_of_one_kind_are_one_snapshot(app: Flask, tmp_path: Path) -> None:
    one, two = write(tmp_path, "1.csv", HEAD + "npm,a,1,,,,,\n"), write(tmp_path, "2.csv", HEAD + "npm,b,1,,,,,\n")
    for expected in (1, 0):
        assert [done["added"] for done in imported(app, one, two)] == [expected, expected]
    assert set(high_impact(app)) == {"a", "b"}


def test_packages_take_no_maintainers_along(app: Flask, tmp_path: Path) -> None:
    imported(app, write(tmp_path, "o.csv", OWNERS + FIVE))
    imported(app, write(tmp_path, "p.csv", HEAD + "npm,a,1,,,,,\n"))
    assert len(owners(app)) == 5


@pytest.mark.parametrize("line", ["npm,e,nobody !,owner,", "npm,a,alice,owner,"])
def test_nothing_goes_where_bad_lines_were_left_out(app: Flask, tmp_path: Path, line: str) -> None:
    imported(app, write(tmp_path, "o.csv", OWNERS + FIVE))
    few = FIVE.replace("npm,e,alice,owner,2026-01-01\n", f"{line}\n")
    imported(app, write(tmp_path, "o.csv", OWNERS + few), "--keep-going")
    assert len(owners(app)) == 5


@pytest.mark.parametrize(("left", "refused"), [(4, False), (3, True)])
def test_a_snapshot_may_take_a_fifth_of_the_maintainers_and_no_more(
    app: Flask, tmp_path: Path, left: int, refused: bool
) -> None:
    imported(app, write(tmp_path, "o.csv", OWNERS + FIVE))
    fewer = write(tmp_path, "o.csv", OWNERS + "".join(FIVE.splitlines(keepends=True)[:left]))
    result = import_(app, fewer)
    assert (result.exit_code == 1) is refused
    assert ("2 of the 5 accepted maintainers in npm would lose their protection" in result.stderr) is refused
    assert len(owners(app)) == (5 if refused else left)
    imported(app, fewer, "--even-if-many-go")
    assert len(owners(app)) == left


@pytest.mark.parametrize("changes", [[], ["--changes"]])
def test_figures_that_unmake_more_than_a_fifth_of_high_impact_are_refused(
    app: Flask, tmp_path: Path, changes: list[str]
) -> None:
    names = "abcde"
    imported(app, write(tmp_path, "p.csv", HEAD + "".join(f"npm,{name},2000000,,,,,\n" for name in names)))
    low = write(
        tmp_path, "p.csv", HEAD + "".join(f"npm,{name},{0 if name < 'c' else 2000000},,,,,\n" for name in names)
    )
    result = import_(app, low, *changes)
    assert "2 of the 5 packages of high impact in npm would lose their protection" in result.stderr
    assert all(high_impact(app).values())
    imported(app, low, *changes, "--even-if-many-go")
    assert sum(high_impact(app).values()) == 3


def test_what_is_said_twice_is_bad_the_second_time_within_and_across_files(app: Flask, tmp_path: Path) -> None:
    one = write(tmp_path, "1.csv", HEAD + "pypi,a.b,1,,,,,\npypi,A_B,2,,,,,\n")
    two = write(tmp_path, "2.csv", HEAD + "pypi,a-b,3,,,,,\n")
    result = import_(app, one, two)
    assert f"{one}:3: says again what line 2 says: pypi a-b" in result.stderr
    assert f"{two}:2: says again what line 2 of {one} says: pypi a-b" in result.stderr
    assert "2 bad lines; nothing was imported" in result.stderr
    first, second = imported(app, one, two, "--keep-going")
    assert (first["added"], first["bad"], second["added"], second["bad"]) == (1, 1, 0, 1)


def test_a_registry_that_is_not_of_record_covers_nobody_until_they_accept(app: Flask, tmp_path: Path) -> None:
    object.__setattr__(app.extensions["authsvc.settings"], "registries_of_record", "pypi, crates")
    lines = "ecosystem,package,account\nnpm,a,alice\npypi,a,alice\n"
    imported(app, write(tmp_path, "o.csv", lines))
    with app.app_context(), db.transaction() as session:
        found = {row.ecosystem: row.accepted_at for row in session.query(Ownership)}
    assert found == {"npm": None, "pypi": NOON}


# Killed, slow and rival imports


class Killed(BaseException):
    """What a process that is gone does not handle."""


@contextmanager
def gathered(tmp_path: Path, text: str) -> Iterator[importing.Gathered]:
    """A file that was read."""
    found = importing.gather(
        [write(tmp_path, "file.csv", text)], now=NOON, of_record=lambda _: True, progress=lambda _: lambda _: None
    )
    yield found
    found.close()


def load(
    app: Flask, tmp_path: Path, text: str, clock: Clock, at: Callable[[], None] = lambda: None, batch: int = 2
) -> Any:
    """Load a snapshot of two batches; `at` is called after one of them, when nothing counts yet."""
    calls = iter([batch == 1, batch == 2])

    def written(_: int) -> None:
        if next(calls, False):
            at()

    with app.app_context(), gathered(tmp_path, text) as found:
        return importing.load(found, changes=False, even_if_many_go=True, clock=clock, progress=lambda _: written)


def be_killed(app: Flask, tmp_path: Path, text: str, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Import, and die when everything was put down; nothing is cleaned up."""

    def die(_: object, *, counted: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(snapshots.Lease, "make_current", die)
        patch.setattr(snapshots.Lease, "give_up", lambda _: None)
        with pytest.raises(Killed):
            load(app, tmp_path, text, clock)


def test_a_killed_import_leaves_nothing_current_and_the_worker_sweeps_it_up(
    app: Flask, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, make_account: MakeAccount
) -> None:
    alice = make_account("alice")
    load(app, tmp_path, OWNERS + FIVE, clock)
    before = owners(app)
    be_killed(app, tmp_path, OWNERS + "npm,a,alice,maintainer,\nnpm,z,alice,owner,\n", clock, monkeypatch)
    # Then everything is as before, although rows of it lie there
    assert owners(app) == before
    assert rows(app) == (0, 7, 2)
    with request_to(app):
        assert [owned.name for owned in mandates.packages(alice.id, now=NOON)] == list("abcde")
    # And only once its lease is over they are deleted
    for seconds, expected in ((-1, (0, 7, 2)), (1, (0, 5, 1))):
        clock.advance(seconds=seconds + (LEASE.total_seconds() if seconds < 0 else 0))
        with app.app_context():
            mandates.tidy_imports(now=clock())
        assert rows(app) == expected
    assert owners(app) == before
    with app.app_context(), db.transaction() as session:
        assert session.query(Ownership).filter(Ownership.until_snapshot.is_not(None)).count() == 0


def test_the_worker_sweeps_no_longer_than_mail_can_wait(
    app: Flask, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = OWNERS + "".join(f"npm,p{n},alice,owner,\n" for n in range(3 * pace.FIRST))
    be_killed(app, tmp_path, many, clock, monkeypatch)
    clock.advance(seconds=LEASE.total_seconds())
    turns = iter(range(100))
    monkeypatch.setattr("authsvc.mandates.snapshots.time.monotonic", lambda: next(turns))
    left = []
    with app.app_context():
        while rows(app)[2]:
            mandates.tidy_imports(now=clock(), at_most=timedelta(seconds=2))
            left.append(rows(app)[1])
    assert left == [2 * pace.FIRST, pace.FIRST, 0]


def test_the_next_import_sweeps_up_what_a_killed_one_left(
    app: Flask, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    be_killed(app, tmp_path, OWNERS + FIVE, clock, monkeypatch)
    assert import_(app, tmp_path / "file.csv").exit_code == 1  # it may still be alive
    clock.advance(seconds=LEASE.total_seconds())
    imported(app, write(tmp_path, "file.csv", OWNERS + "npm,z,bob,owner,2026-01-01\n"))
    assert owners(app) == {("z", "bob"): datetime(2026, 1, 1, tzinfo=UTC)}
    assert rows(app) == (0, 1, 1)


@pytest.mark.parametrize("batch", [1, 2])
def test_an_import_taken_for_dead_writes_no_more_and_never_counts(
    app: Flask, tmp_path: Path, clock: Clock, batch: int
) -> None:
    def stand_still() -> None:
        clock.advance(seconds=LEASE.total_seconds())
        mandates.tidy_imports(now=clock())

    many = OWNERS + "".join(f"npm,p{n},alice,owner,\n" for n in range(2 * pace.FIRST))
    with pytest.raises(Lost):
        load(app, tmp_path, many, clock, at=stand_still, batch=batch)
    assert rows(app) == (0, 0, 0)


def test_only_one_import_runs_at_a_time(app: Flask, tmp_path: Path, clock: Clock) -> None:
    def rival() -> None:
        with pytest.raises(Running):
            importing.store(write(tmp_path, "other.csv", OWNERS + "npm,z,bob,owner,\n"), now=clock(), progress=print)
        raise Killed

    many = OWNERS + "".join(f"npm,p{n},alice,owner,\n" for n in range(2 * pace.FIRST))
    with pytest.raises(Killed):
        load(app, tmp_path, many, clock, at=rival)
    assert rows(app) == (0, 0, 0)  # one that fails cleans up itself, and the next may begin at once
    imported(app, tmp_path / "other.csv")


def test_nothing_counts_before_everything_is_put_down(app: Flask, tmp_path: Path, clock: Clock) -> None:
    seen: list[int] = []
    many = OWNERS + "".join(f"npm,p{n},alice,owner,\n" for n in range(2 * pace.FIRST))
    load(app, tmp_path, many, clock, at=lambda: seen.append(len(owners(app))))
    assert seen == [0]
    assert len(owners(app)) == 2 * pace.FIRST


def test_an_account_made_before_or_after_the_import_is_matched(
    app: Flask, tmp_path: Path, clock: Clock, make_account: MakeAccount
) -> None:
    alice = make_account("alice")
    imported(app, write(tmp_path, "o.csv", OWNERS + "npm,a,alice,owner,\nnpm,a,bob,owner,\n"))
    bob = make_account("bob")
    with app.app_context():
        assert importing.match_accounts() == 1
        assert importing.match_accounts() == 0
        with db.transaction() as session:
            assert {row.account_id for row in session.query(Ownership)} == {alice.id, bob.id}
    # And stays so when its role changes
    imported(app, write(tmp_path, "o.csv", OWNERS + "npm,a,alice,maintainer,\nnpm,a,bob,maintainer,\n"))
    with app.app_context(), db.transaction() as session:
        assert {row.account_id for row in session.query(Ownership)} == {alice.id, bob.id}


def pairs(app: Flask) -> set[tuple[int, int]]:
    """Where the rows of accounts are said to lie."""
    with app.app_context(), db.transaction() as session:
        return {(pair.account_id, pair.ownership_id) for pair in session.query(OwnershipOfAccount)}


def with_account(app: Flask) -> set[tuple[int, int]]:
    """Where they do."""
    with app.app_context(), db.transaction() as session:
        rows = session.query(Ownership).filter(Ownership.account_id.is_not(None))
        return {(row.account_id or 0, row.id) for row in rows}


def test_every_row_with_an_account_is_found_by_it(app: Flask, tmp_path: Path, make_account: MakeAccount) -> None:
    make_account("alice")
    make_account("bob")
    imported(app, write(tmp_path, "o.csv", OWNERS + FIVE + "npm,a,bob,owner,\nnpm,a,carol,owner,\n"))
    assert len(pairs(app)) == 6
    make_account("carol")
    import_(app, write(tmp_path, "o.csv", OWNERS + FIVE + "npm,a,carol,owner,\nnpm,f,bob,owner,\n"))
    assert pairs(app) == with_account(app)
    assert len(pairs(app)) == 7  # and what went is not named any more


def test_a_pair_whose_row_belongs_to_somebody_else_gives_no_package(
    app: Flask, tmp_path: Path, make_account: MakeAccount
) -> None:
    make_account("alice")
    mallory = make_account("mallory")
    imported(app, write(tmp_path, "o.csv", OWNERS + FIVE))
    ((alice_id, row_id), *_) = sorted(pairs(app))
    with app.app_context(), db.transaction():
        mallory_id = mallory.id
        by_account.note([(mallory_id, row_id)])
        assert mandates.owns_packages(alice_id, now=NOON)
        assert not mandates.owns_packages(mallory_id, now=NOON)
