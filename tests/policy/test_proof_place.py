"""Published proof: which places count, and which domains let them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from authsvc.policy.domain_verdict import Verdict
from authsvc.policy.proof_place import NEW_FOR, DomainFacts, Reason, Standing, domain_problem, standing

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
FINE = DomainFacts(
    verdict=Verdict.HEALTHY,
    registered_at=NOON - timedelta(days=900),
    linked_at=NOON - timedelta(days=40),
    asked=True,
    continuous=True,
    address_in_doubt=False,
)


@pytest.mark.parametrize(
    ("age", "expected"),
    [(NEW_FOR - SECOND, Standing.NEW), (NEW_FOR, Standing.READY), (NEW_FOR + SECOND, Standing.READY)],
)
def test_a_place_counts_from_the_thirtieth_day(age: timedelta, expected: Standing) -> None:
    linked_at = NOON - age
    assert standing(linked_at=linked_at, confirmed_at=linked_at, confirm_after=None, now=NOON) is expected


@pytest.mark.parametrize(
    ("confirmed", "expected"),
    [(-SECOND, Standing.SUSPENDED), (timedelta(0), Standing.SUSPENDED), (SECOND, Standing.READY)],
)
def test_a_place_confirmed_no_later_than_a_reset_is_suspended(confirmed: timedelta, expected: Standing) -> None:
    reset = NOON - timedelta(days=1)
    found = standing(linked_at=NOON - timedelta(days=90), confirmed_at=reset + confirmed, confirm_after=reset, now=NOON)
    assert found is expected


def test_confirming_a_place_again_makes_it_neither_older_nor_younger() -> None:
    for age, expected in ((NEW_FOR - SECOND, Standing.NEW), (NEW_FOR, Standing.READY)):
        found = standing(
            linked_at=NOON - age, confirmed_at=NOON - SECOND, confirm_after=NOON - timedelta(days=1), now=NOON
        )
        assert found is expected


def test_a_domain_in_order_lets_its_places_count() -> None:
    assert domain_problem(FINE) is None


@pytest.mark.parametrize("later", [timedelta(0), SECOND])
def test_a_domain_registered_after_linking_does_not(later: timedelta) -> None:
    facts = replace(FINE, registered_at=FINE.linked_at + later)
    assert domain_problem(facts) is (Reason.DOMAIN_REREGISTERED if later else None)


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [
        (Verdict.REREGISTERED, Reason.DOMAIN_REREGISTERED),
        (Verdict.LAPSED, Reason.DOMAIN_UNHEALTHY),
        (Verdict.SUSPECT, Reason.DOMAIN_UNHEALTHY),
        (Verdict.UNKNOWN, Reason.DOMAIN_UNCLEAR),
    ],
)
def test_no_verdict_but_healthy_will_do(verdict: Verdict, reason: Reason) -> None:
    assert domain_problem(replace(FINE, verdict=verdict)) is reason


def test_an_address_in_doubt_takes_the_places_at_its_domain_along() -> None:
    assert domain_problem(replace(FINE, address_in_doubt=True)) is Reason.UNHEALTHY_ADDRESS


def test_without_a_date_of_registration_nothing_shows_that_the_hands_are_the_same() -> None:
    assert domain_problem(replace(FINE, registered_at=None)) is Reason.DOMAIN_UNCLEAR


def test_a_domain_that_may_have_been_sold_does_not_count() -> None:
    assert domain_problem(replace(FINE, continuous=False)) is Reason.DOMAIN_MOVED


def test_a_reserved_name_on_ones_own_machine_has_no_date_and_needs_none() -> None:
    assert domain_problem(replace(FINE, registered_at=None, asked=False)) is None
