"""Which changes of a phase take two people."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.policy.cohort import Cohort, Phase, RankBy
from authsvc.policy.mandate import Impact, Owned, Strength
from authsvc.policy.phase_change import SecondPerson, contains, second_person, weakens

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
PHASE = Phase(
    name="big",
    cohort=Cohort(weekly_downloads=1_000_000, dependents=500, top=100),
    announced=NOON,
    enforced_from=NOON + 90 * DAY,
    strength=Strength.PHISHING_RESISTANT,
    grace=30 * DAY,
)
COHORTS = st.builds(
    Cohort,
    weekly_downloads=st.sampled_from([None, 500_000, 1_000_000, 2_000_000]),
    dependents=st.sampled_from([None, 400, 500, 600]),
    top=st.sampled_from([None, 50, 100]),
    by=st.sampled_from(RankBy),
    packages=st.frozensets(st.sampled_from(["npm:left-pad", "npm:other"])),
    accounts=st.frozensets(st.sampled_from(["alice", "bob"])),
    everybody=st.booleans(),
)
PACKAGES = st.builds(
    Owned,
    ecosystem=st.just("npm"),
    name=st.sampled_from(["left-pad", "other"]),
    impact=st.builds(
        Impact,
        weekly_downloads=st.sampled_from([None, 400_000, 500_000, 800_000, 1_000_000, 1_600_000, 2_000_000]),
        dependents=st.sampled_from([None, 320, 400, 480, 500, 600]),
        weekly_ge_1m=st.sampled_from([None, False, True]),
        dependents_ge_500=st.sampled_from([None, False, True]),
        rank=st.sampled_from([None, 50, 62, 100, 125]),
        dependents_rank=st.sampled_from([None, 50, 62, 100, 125]),
    ),
)


@pytest.mark.parametrize(
    ("change", "weaker"),
    [
        ({}, False),
        ({"enforced_from": PHASE.enforced_from + SECOND}, True),
        ({"enforced_from": PHASE.enforced_from - SECOND}, False),
        ({"announced": NOON + SECOND}, True),
        ({"announced": NOON - SECOND}, False),
        ({"grace": 31 * DAY}, True),
        ({"grace": 29 * DAY}, False),
        ({"strength": Strength.ANY_SECOND_FACTOR}, True),
        ({"strength": Strength.TWO_PHISHING_RESISTANT}, False),
        ({"reminders": (1,)}, False),
        ({"brown_outs": ((NOON, NOON + DAY),)}, False),
        ({"cohort": replace(PHASE.cohort, top=99)}, True),
        ({"cohort": replace(PHASE.cohort, top=101)}, False),
        # Of a change that does both, the weaker part decides.
        ({"grace": 31 * DAY, "strength": Strength.TWO_PHISHING_RESISTANT}, True),
    ],
    ids=str,
)
def test_two_people_are_for_what_protects_less(change: dict[str, Any], weaker: bool) -> None:
    assert weakens(PHASE, replace(PHASE, **change)) is weaker


@pytest.mark.parametrize(
    ("old", "new", "lets_go", "stops_soon", "second"),
    [
        (PHASE, replace(PHASE, enforced_from=NOON), False, False, None),
        (PHASE, None, False, False, SecondPerson.WEAKENS),
        (PHASE, replace(PHASE, grace=31 * DAY), False, True, SecondPerson.WEAKENS),
        (None, PHASE, False, False, None),
        (None, PHASE, True, False, SecondPerson.LETS_GO),
        (PHASE, PHASE, True, False, None),  # those were out of its reach before
        (None, PHASE, False, True, SecondPerson.STOPS_SOON),
        (PHASE, replace(PHASE, enforced_from=NOON), True, True, SecondPerson.STOPS_SOON),
    ],
)
def test_one_person_alone_lets_nobody_go_and_stops_nobody_soon(
    old: Phase | None, new: Phase | None, lets_go: bool, stops_soon: bool, second: SecondPerson | None
) -> None:
    assert second_person(old, new, lets_go=lets_go, stops_soon=stops_soon) is second


def test_a_new_phase_strengthens_and_one_taken_away_weakens() -> None:
    assert not weakens(None, PHASE)
    assert weakens(PHASE, None)
    assert not weakens(None, None)


@pytest.mark.parametrize(
    ("wide", "narrow", "inside"),
    [
        (Cohort(everybody=True), Cohort(accounts=frozenset({"alice"}), top=9), True),
        (Cohort(top=9), Cohort(everybody=True), False),
        (Cohort(accounts=frozenset({"alice", "bob"})), Cohort(accounts=frozenset({"alice"})), True),
        (Cohort(accounts=frozenset({"alice"})), Cohort(accounts=frozenset({"alice", "bob"})), False),
        (Cohort(packages=frozenset({"npm:a"})), Cohort(packages=frozenset({"npm:b"})), False),
        (Cohort(packages=frozenset({"npm:a"})), Cohort(top=1), False),
        (Cohort(top=9), Cohort(top=9, weekly_downloads=5), True),
        (Cohort(top=9, weekly_downloads=5), Cohort(top=9), False),
        (Cohort(weekly_downloads=5, dependents=5), Cohort(weekly_downloads=5), True),
        (Cohort(weekly_downloads=5), Cohort(weekly_downloads=5, dependents=5), False),
        (Cohort(weekly_downloads=4), Cohort(weekly_downloads=5), True),
        (Cohort(weekly_downloads=6), Cohort(weekly_downloads=5), False),
        (Cohort(weekly_downloads=5), Cohort(weekly_downloads=5, top=9), True),
        (Cohort(weekly_downloads=5, top=9), Cohort(weekly_downloads=5), False),
        (Cohort(top=9), Cohort(top=9, by=RankBy.DOWNLOADS), True),
        (Cohort(top=9, by=RankBy.DOWNLOADS), Cohort(top=9), False),
        (Cohort(top=9, by=RankBy.DOWNLOADS), Cohort(top=9, by=RankBy.DEPENDENTS), False),
        (Cohort(), Cohort(), True),
    ],
)
def test_a_cohort_contains_another(wide: Cohort, narrow: Cohort, inside: bool) -> None:
    assert contains(wide, narrow) is inside


@given(wide=COHORTS, narrow=COHORTS, package=PACKAGES)
def test_what_is_contained_loses_no_package_and_no_account(wide: Cohort, narrow: Cohort, package: Owned) -> None:
    if contains(wide, narrow) and not wide.everybody:
        assert not narrow.takes_in(package) or wide.takes_in(package)
        assert not narrow.keeps(package) or wide.keeps(package)
        assert narrow.accounts <= wide.accounts
        assert not narrow.everybody
