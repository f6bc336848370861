"""The mandate policy: who is covered, why, from when, and what meets it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import chain, combinations, permutations

import pytest

from authsvc.core.assurance import AUTHENTICATORS, Factor
from authsvc.policy.mandate import (
    PHASES,
    Impact,
    Mandate,
    Owned,
    Phase,
    Strength,
    may_keep_only,
    phase_of,
    reason,
    required,
    strictest,
)

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
TOP_100, TOP_500, HIGH = (
    Phase(name="top-100", top=100, announced=NOON, enforced_from=NOON + timedelta(days=30)),
    Phase(name="top-500", top=500, announced=NOON, enforced_from=NOON + timedelta(days=60)),
    Phase(name="high-impact", top=None, announced=NOON, enforced_from=NOON + timedelta(days=90)),
)
OURS = (TOP_100, TOP_500, HIGH)
POPULAR = Impact(weekly_downloads=2_400_000, rank=50)
MANDATE = Mandate(phase="top-100", reason="left-pad", enforced_from=NOON)


def owned(name: str = "left-pad", impact: Impact = POPULAR, ecosystem: str = "npm") -> Owned:
    """A package."""
    return Owned(ecosystem=ecosystem, name=name, impact=impact)


def every_set_of_kinds() -> list[frozenset[Factor]]:
    """Every subset of the factors there are."""
    kinds = sorted(Factor)
    return [frozenset(c) for c in chain.from_iterable(combinations(kinds, n) for n in range(len(kinds) + 1))]


@pytest.mark.parametrize(
    ("impact", "high"),
    [
        (Impact(), False),
        (Impact(weekly_downloads=999_999), False),
        (Impact(weekly_downloads=1_000_000), True),
        (Impact(dependents=499), False),
        (Impact(dependents=500), True),
        (Impact(weekly_downloads=0, dependents=500), True),
        (Impact(weekly_downloads=1_000_000, dependents=0), True),
    ],
)
def test_a_million_downloads_or_500_dependents_are_high_impact(impact: Impact, high: bool) -> None:
    assert impact.is_high is high


@pytest.mark.parametrize(
    ("impact", "high"),
    [
        (Impact(weekly_ge_1m=True), True),
        (Impact(weekly_ge_1m=False), False),
        (Impact(dependents_ge_500=True), True),
        (Impact(dependents_ge_500=False), False),
        (Impact(weekly_ge_1m=False, dependents_ge_500=True), True),
    ],
)
def test_a_flag_stands_where_the_number_is_missing(impact: Impact, high: bool) -> None:
    assert impact.is_high is high


@pytest.mark.parametrize(
    ("impact", "high"),
    [
        (Impact(weekly_downloads=999_999, weekly_ge_1m=True), False),
        (Impact(weekly_downloads=1_000_000, weekly_ge_1m=False), True),
        (Impact(dependents=499, dependents_ge_500=True), False),
        (Impact(dependents=500, dependents_ge_500=False), True),
    ],
)
def test_a_number_outweighs_its_flag(impact: Impact, high: bool) -> None:
    assert impact.is_high is high


@pytest.mark.parametrize(
    ("rank", "dependents_rank", "phase"),
    [
        (100, None, "top-100"),
        (101, None, "top-500"),
        (500, None, "top-500"),
        (501, None, "high-impact"),
        (None, None, "high-impact"),
        (None, 100, "top-100"),
        (501, 500, "top-500"),
        (7, 900, "top-100"),
    ],
)
def test_the_better_rank_decides_the_phase(rank: int | None, dependents_rank: int | None, phase: str) -> None:
    found = phase_of(replace(POPULAR, rank=rank, dependents_rank=dependents_rank), OURS, NOON)
    assert found is not None
    assert found.name == phase


def test_a_rank_alone_is_not_high_impact() -> None:
    impact = Impact(weekly_downloads=999_999, rank=1, dependents_rank=1)
    assert phase_of(impact, OURS, NOON) is None
    assert required([owned(impact=impact)], OURS, NOON) is None


@pytest.mark.parametrize(("early", "covered"), [(SECOND, False), (timedelta(0), True), (-SECOND, True)])
def test_a_phase_covers_nobody_before_it_is_announced(early: timedelta, covered: bool) -> None:
    assert (required([owned()], [TOP_100], NOON - early) is not None) is covered


def test_who_owns_nothing_has_no_mandate() -> None:
    assert required([], OURS, NOON) is None


def test_a_package_gives_the_mandate_of_its_phase() -> None:
    assert required([owned()], OURS, NOON) == Mandate(
        phase="top-100",
        reason="The npm package left-pad, which you maintain, is downloaded 2,400,000 times a week.",
        enforced_from=TOP_100.enforced_from,
        strength=Strength.ANY_SECOND_FACTOR,
    )


def test_the_earliest_phase_wins_in_any_order() -> None:
    packages = [owned("low", Impact(rank=1)), owned("first", replace(POPULAR, rank=1, weekly_downloads=1_000_000))]
    packages += [owned("busier", replace(POPULAR, rank=400)), owned("third", replace(POPULAR, rank=4000))]
    found = {required(p, q, NOON) for p in permutations(packages) for q in permutations(OURS)}
    assert {(m.phase, m.enforced_from) for m in found if m} == {("top-100", TOP_100.enforced_from)}
    assert len(found) == 1
    # A later phase that is enforced first is the stricter one.
    sooner = replace(HIGH, enforced_from=NOON)
    mandate = required(packages, [TOP_100, TOP_500, sooner], NOON)
    assert mandate is not None
    assert (mandate.phase, mandate.enforced_from) == ("high-impact", NOON)


def test_of_phases_on_one_day_the_narrowest_is_named() -> None:
    same_day = [replace(phase, enforced_from=NOON) for phase in OURS]
    for order in permutations(same_day):
        mandate = required([owned()], order, NOON)
        assert mandate is not None
        assert mandate.phase == "top-100"


def test_the_best_ranked_package_is_the_reason_then_the_most_downloaded() -> None:
    by_flag = owned("flagged", Impact(weekly_ge_1m=True, rank=2))
    known, busiest = owned("known", POPULAR), owned("busiest", replace(POPULAR, weekly_downloads=9_000_000))
    for packages, named in (([by_flag, known, busiest], by_flag), ([known, busiest], busiest)):
        for order in permutations(packages):
            mandate = required(order, OURS, NOON)
            assert mandate is not None
            assert mandate.reason == reason(named)


@pytest.mark.parametrize(
    ("package", "words"),
    [
        (owned(), "The npm package left-pad, which you maintain, is downloaded 2,400,000 times a week."),
        (
            owned(impact=Impact(weekly_ge_1m=True), ecosystem="pypi"),
            "The PyPI package left-pad, which you maintain, is downloaded 1,000,000 times a week or more.",
        ),
        (
            owned(impact=Impact(weekly_downloads=3, dependents=1812)),
            "The npm package left-pad, which you maintain, is needed by 1,812 other packages.",
        ),
        (
            owned(impact=Impact(dependents_ge_500=True)),
            "The npm package left-pad, which you maintain, is needed by 500 other packages or more.",
        ),
    ],
)
def test_the_reason_names_the_package_and_its_reach(package: Owned, words: str) -> None:
    assert reason(package) == words


@pytest.mark.parametrize(("late", "in_force"), [(-SECOND, False), (timedelta(0), True), (SECOND, True)])
def test_a_mandate_is_in_force_from_its_date_on(late: timedelta, in_force: bool) -> None:
    assert MANDATE.in_force(NOON + late) is in_force


def test_any_authenticator_meets_a_mandate_and_nothing_else_does() -> None:
    for kinds in every_set_of_kinds():
        assert MANDATE.satisfied_by(kinds) is bool(kinds & AUTHENTICATORS)


def test_the_last_sufficient_factor_stays_once_a_mandate_is_in_force() -> None:
    for kinds in every_set_of_kinds():
        assert may_keep_only(kinds, None, NOON)
        assert may_keep_only(kinds, MANDATE, NOON - SECOND)
        assert may_keep_only(kinds, MANDATE, NOON) is bool(kinds & AUTHENTICATORS)


def test_the_strictest_mandate_wins_in_any_order() -> None:
    later = replace(MANDATE, enforced_from=NOON + SECOND, phase="a", reason="a")
    same = replace(MANDATE, phase="top-500")
    assert {strictest(order) for order in permutations([MANDATE, later, same])} == {MANDATE}
    assert strictest([]) is None


def test_the_phases_as_shipped_follow_one_another_and_are_announced_first() -> None:
    assert [phase.name for phase in PHASES] == ["top-100", "top-500", "high-impact"]
    assert all(phase.announced < phase.enforced_from for phase in PHASES)
    assert [p.enforced_from for p in PHASES] == sorted(p.enforced_from for p in PHASES)
