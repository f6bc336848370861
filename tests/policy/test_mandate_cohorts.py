"""Cohorts: who comes into a phase, who stays, and why."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.policy.cohort import BY_NAME, FOR_EVERYBODY, GRACE, PHASES, Cohort, Phase, RankBy, entered
from authsvc.policy.mandate import Impact, Mandate, Owned, Strength, reason

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
HIGH = Cohort(weekly_downloads=1_000_000, dependents=500)
TOP = replace(HIGH, top=100)
POPULAR = Impact(weekly_downloads=2_400_000, rank=50)
PHASE = Phase(name="top-100", cohort=TOP, announced=NOON, enforced_from=NOON + timedelta(days=30))
FIGURES = st.builds(
    Impact,
    weekly_downloads=st.none() | st.integers(0, 2_000_000),
    dependents=st.none() | st.integers(0, 1000),
    weekly_ge_1m=st.none() | st.booleans(),
    dependents_ge_500=st.none() | st.booleans(),
    rank=st.none() | st.integers(1, 200),
    dependents_rank=st.none() | st.integers(1, 200),
)


def owned(impact: Impact = POPULAR, name: str = "left-pad") -> Owned:
    """A package."""
    return Owned(ecosystem="npm", name=name, impact=impact)


def phases_of(impact: Impact) -> list[str]:
    """The shipped phases that such a package brings its maintainer into."""
    return [mandate.phase for mandate in entered(PHASES, [owned(impact)], username="alice", now=NOON)]


@pytest.mark.parametrize(
    ("rank", "dependents_rank", "top"),
    [
        (100, None, 100),
        (101, None, 500),
        (500, None, 500),
        (501, None, 0),
        (None, None, 0),
        (None, 100, 100),
        (7, 900, 100),
    ],
)
def test_the_better_rank_decides_which_phases_a_package_of_high_impact_is_in(
    rank: int | None, dependents_rank: int | None, top: int
) -> None:
    found = phases_of(replace(POPULAR, rank=rank, dependents_rank=dependents_rank))
    assert found == [n for n in ("top-100", "top-500", "high-impact") if n == "high-impact" or 0 < top <= int(n[4:])]


def test_a_rank_alone_is_not_high_impact() -> None:
    assert phases_of(Impact(weekly_downloads=999_999, rank=1, dependents_rank=1)) == []


def test_a_cohort_of_ranks_alone_asks_for_no_threshold() -> None:
    assert Cohort(top=10).takes_in(owned(Impact(rank=10)))
    assert not Cohort(top=10).takes_in(owned(Impact(rank=11)))


@pytest.mark.parametrize(
    ("by", "inside"),
    [(RankBy.DOWNLOADS, (True, False)), (RankBy.DEPENDENTS, (False, True)), (RankBy.EITHER, (True, True))],
)
def test_a_cohort_says_which_rank_counts(by: RankBy, inside: tuple[bool, bool]) -> None:
    cohort = Cohort(top=10, by=by)
    assert (cohort.takes_in(owned(Impact(rank=10))), cohort.takes_in(owned(Impact(dependents_rank=10)))) == inside


@pytest.mark.parametrize(
    ("impact", "takes_in", "keeps"),
    [
        (Impact(weekly_downloads=1_000_000), True, True),
        (Impact(weekly_downloads=999_999), False, True),
        (Impact(weekly_downloads=800_000), False, True),
        (Impact(weekly_downloads=799_999), False, False),
        (Impact(dependents=400), False, True),
        (Impact(dependents=399), False, False),
        (Impact(weekly_ge_1m=True), True, True),
        (Impact(weekly_ge_1m=False), False, False),
        (Impact(dependents_ge_500=True), True, True),
        (Impact(), False, False),
    ],
)
def test_a_package_keeps_people_in_down_to_80_per_cent_and_a_flag_while_it_is_there(
    impact: Impact, takes_in: bool, keeps: bool
) -> None:
    assert (HIGH.takes_in(owned(impact)), HIGH.keeps(owned(impact))) == (takes_in, keeps)


@pytest.mark.parametrize(
    ("rank", "takes_in", "keeps"), [(100, True, True), (101, False, True), (125, False, True), (126, False, False)]
)
def test_a_package_keeps_people_in_up_to_five_quarters_of_the_rank(rank: int, takes_in: bool, keeps: bool) -> None:
    package = owned(replace(POPULAR, rank=rank))
    assert (TOP.takes_in(package), TOP.keeps(package)) == (takes_in, keeps)


def test_a_flag_says_nothing_about_a_higher_threshold() -> None:
    assert not Cohort(weekly_downloads=5_000_000).takes_in(owned(Impact(weekly_ge_1m=True)))
    assert Cohort(weekly_downloads=500_000).takes_in(owned(Impact(weekly_ge_1m=True)))


@given(
    FIGURES,
    st.builds(
        Cohort,
        weekly_downloads=st.none() | st.integers(1, 2_000_000),
        dependents=st.none() | st.integers(1, 1000),
        top=st.none() | st.integers(1, 150),
        by=st.sampled_from(RankBy),
    ),
)
def test_whatever_takes_somebody_in_also_keeps_them(impact: Impact, cohort: Cohort) -> None:
    assert cohort.keeps(owned(impact)) or not cohort.takes_in(owned(impact))


@pytest.mark.parametrize(("early", "covered"), [(SECOND, False), (timedelta(0), True), (-SECOND, True)])
def test_a_phase_covers_nobody_before_it_is_announced(early: timedelta, covered: bool) -> None:
    assert bool(entered([PHASE], [owned()], username="alice", now=NOON - early)) is covered


def test_who_owns_nothing_has_no_mandate() -> None:
    assert entered(PHASES, [], username="alice", now=NOON) == []


def test_a_package_gives_the_mandate_of_its_phase() -> None:
    phase = replace(PHASE, strength=Strength.PHISHING_RESISTANT)
    assert entered([phase], [owned()], username="alice", now=NOON) == [
        Mandate(
            phase="top-100",
            reason="The npm package left-pad, which you maintain, is downloaded 2,400,000 times a week.",
            enforced_from=PHASE.enforced_from,
            strength=Strength.PHISHING_RESISTANT,
        )
    ]


def test_the_best_ranked_package_is_the_reason_then_the_most_downloaded() -> None:
    by_flag = owned(Impact(weekly_ge_1m=True, rank=2), "flagged")
    known, busiest = owned(POPULAR, "known"), owned(replace(POPULAR, weekly_downloads=9_000_000), "busiest")
    for packages, named in (([by_flag, known, busiest], by_flag), ([known, busiest], busiest)):
        for order in permutations(packages):
            (mandate,) = entered([PHASE], order, username="alice", now=NOON)
            assert mandate.reason == reason(named)


def test_a_package_is_covered_by_name_whatever_its_figures() -> None:
    phase = replace(PHASE, cohort=Cohort(packages=frozenset({"npm:left-pad"})))
    (mandate,) = entered([phase], [owned(Impact())], username="alice", now=NOON)
    assert "left-pad" in mandate.reason
    assert not entered([phase], [owned(name="right-pad")], username="alice", now=NOON)


def test_accounts_are_covered_by_name_or_all_of_them() -> None:
    named = replace(PHASE, cohort=Cohort(accounts=frozenset({"alice"})))
    everybody = replace(PHASE, cohort=Cohort(everybody=True))
    assert [m.reason for m in entered([named], [], username="alice", now=NOON)] == [BY_NAME]
    assert entered([named], [], username="bob", now=NOON) == []
    assert [m.reason for m in entered([everybody], [], username="bob", now=NOON)] == [FOR_EVERYBODY]


def test_the_phases_as_shipped_follow_one_another_and_are_announced_first() -> None:
    assert [phase.name for phase in PHASES] == ["top-100", "top-500", "high-impact"]
    assert all(phase.announced < phase.enforced_from for phase in PHASES)
    assert [p.enforced_from for p in PHASES] == sorted(p.enforced_from for p in PHASES)


@pytest.mark.parametrize(
    ("after", "late"),
    [
        (-timedelta(days=30, seconds=1), timedelta(0)),
        (-timedelta(days=30), timedelta(0)),
        (-timedelta(days=30) + timedelta(seconds=1), timedelta(seconds=1)),
        (timedelta(days=100), timedelta(days=130)),
    ],
)
def test_whoever_comes_in_late_has_the_grace_at_least(after: timedelta, late: timedelta) -> None:
    phase = replace(PHASES[0], grace=GRACE)
    given_at = phase.enforced_from + after
    assert phase.mandate("", given_at=given_at).enforced_from == phase.enforced_from + late


def test_without_a_grace_the_day_is_the_phase_s_whenever_somebody_comes_in() -> None:
    assert all(phase.day_for(NOON) == phase.enforced_from < NOON for phase in PHASES)
