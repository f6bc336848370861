"""What an import must not strip, at once or little by little, is refused; what is right is said with a word more."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask

from authsvc import mandates
from authsvc.core import db
from authsvc.mandates.models import Snapshot
from tests.conftest import NOON, Clock
from tests.mandates.test_import import import_, imported
from tests.mandates.test_membership import live, own
from tests.people import Person
from tests.slices import request_to

DAY = timedelta(days=1)
OWNERS = "ecosystem,package,account\n"
LITTLE_USED = "".join(f"npm,p{n},a{n}\n" for n in range(100))
RANKED = "ecosystem,name,weekly_downloads,rank\n"


def written(tmp_path: Path, name: str, text: str) -> Path:
    """A file."""
    path = tmp_path / name
    path.write_text(text)
    return path


def some_owners(tmp_path: Path, number: int) -> Path:
    """A file of as many maintainers, each of a package."""
    return written(tmp_path, "o.csv", OWNERS + "".join(f"npm,p{n},a{n}\n" for n in range(number)))


def ranked(tmp_path: Path, number: int, *, ranks: bool = True, downloads: int = 2_000_000) -> Path:
    """A file of as many packages of high impact, the first ranks."""
    lines = (f"npm,p{n},{downloads},{n + 1 if ranks else ''}\n" for n in range(number))
    return written(tmp_path, "p.csv", RANKED + "".join(lines))


def test_all_maintainers_of_the_few_packages_that_count_do_not_go_among_many_others(app: Flask, tmp_path: Path) -> None:
    packages = written(tmp_path, "p.csv", "ecosystem,name,weekly_downloads\nnpm,big,9000000\n")
    imported(app, packages, written(tmp_path, "o.csv", OWNERS + "npm,big,alice\nnpm,big,bob\n" + LITTLE_USED))
    result = import_(app, packages, written(tmp_path, "o.csv", OWNERS + LITTLE_USED))
    assert "2 of the 2 maintainers of packages of high impact in npm would lose" in result.stderr


def test_maintainers_of_packages_that_a_phase_names_do_not_go_unseen(app: Flask, tmp_path: Path) -> None:
    rule = '[tools]\npackages = ["npm:tool"]\nenforced_from = 2027-01-01\n'
    written(app.extensions["authsvc.settings"].instance, "mandates.toml", rule)
    imported(app, written(tmp_path, "o.csv", OWNERS + "npm,tool,alice\n" + LITTLE_USED))
    result = import_(app, written(tmp_path, "o.csv", OWNERS + LITTLE_USED))
    assert "1 of the 1 maintainers of packages of the phase tools in npm would lose" in result.stderr


@pytest.mark.parametrize("changes", [[], ["--changes"]])
def test_left_out_ranks_are_seen_though_the_packages_stay_of_high_impact(
    app: Flask, tmp_path: Path, changes: list[str]
) -> None:
    imported(app, ranked(tmp_path, 20))
    result = import_(app, ranked(tmp_path, 20, ranks=False), *changes)
    assert "20 of the 20 packages of the phase top-100 in npm would lose" in result.stderr


def test_ranks_that_move_within_what_a_phase_keeps_are_no_loss(app: Flask, tmp_path: Path) -> None:
    lines = (f"npm,p{n},2000000,{n + 1}\n" for n in range(100))
    moved = (f"npm,p{n},2000000,{n + 26}\n" for n in range(100))  # to 125 at most, where a phase's people still stay
    imported(app, written(tmp_path, "p.csv", RANKED + "".join(lines)))
    imported(app, written(tmp_path, "p.csv", RANKED + "".join(moved)))


def test_many_small_losses_within_thirty_days_are_refused_like_one_great_loss(app: Flask, tmp_path: Path) -> None:
    imported(app, some_owners(tmp_path, 100))
    imported(app, some_owners(tmp_path, 90))
    imported(app, some_owners(tmp_path, 80))
    result = import_(app, some_owners(tmp_path, 79))
    assert "21 of the 100 accepted maintainers in npm would lose" in result.stderr
    imported(app, some_owners(tmp_path, 79), "--even-if-many-go")
    imported(app, some_owners(tmp_path, 78))  # what was meant begins anew


@pytest.mark.parametrize(("late", "refused"), [(timedelta(0), True), (timedelta(seconds=1), False)])
def test_what_counted_more_than_thirty_days_ago_is_not_looked_at(
    app: Flask, tmp_path: Path, clock: Clock, late: timedelta, refused: bool
) -> None:
    imported(app, some_owners(tmp_path, 100))
    imported(app, some_owners(tmp_path, 85))
    with app.app_context(), db.transaction() as session:
        (_, second) = session.query(Snapshot).order_by(Snapshot.id)
        assert second.finished_at
        clock.now = second.finished_at + 30 * DAY + late
    assert (import_(app, some_owners(tmp_path, 79)).exit_code != 0) is refused


def test_a_slip_in_the_phases_is_told_and_nothing_is_imported(app: Flask, tmp_path: Path) -> None:
    written(app.extensions["authsvc.settings"].instance, "mandates.toml", "[top-100]\nenforced = 2027-01-01\n")
    result = import_(app, some_owners(tmp_path, 1))
    assert result.exit_code == 1
    assert "Nothing was imported" in result.stderr


def test_who_is_named_no_more_stays_as_hard_to_take_for_ninety_days(
    app: Flask, make_account: Callable[..., Person]
) -> None:
    # Given somebody with a mandate for a package
    alice = make_account()
    with app.app_context():
        with db.transaction():
            own(alice, "big", weekly_downloads=9_000_000)
        mandates.apply(now=NOON)
    # When a registry's word empties the package
    with request_to(app):
        mandates.put_maintainers("npm", "big", [])
    # Then recovery and step-up ask for as much until the mandate ends
    for days, owns in ((0, True), (89, True), (90, False)):
        with app.app_context():
            mandates.apply(now=NOON + days * DAY)
        with request_to(app):
            assert mandates.owns_packages(alice.id, now=NOON + days * DAY) is owns
    with app.app_context():
        assert live(alice) == []
