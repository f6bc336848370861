"""The reset gate: every combination of facts, and when a block ends."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from authsvc.core.assurance import Factor
from authsvc.policy.domain_verdict import Verdict
from authsvc.policy.reset_gate import (
    EVIDENCE_MAX_AGE,
    Allow,
    Block,
    Defer,
    ResetFacts,
    block_stands,
    completes_at_once,
    decide,
)

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
HEALTHY = ResetFacts(
    address_verified=True,
    blocked=False,
    generation_is_current=True,
    verdict=Verdict.HEALTHY,
    reason="OK",
    continuity=True,
    comparable=True,
    looked_up_at=NOON,
    enrolled=frozenset(),
)


def test_a_healthy_domain_lets_the_link_out() -> None:
    assert decide(HEALTHY, NOON) == Allow(also_prove=frozenset(), at_once=True)


def test_an_enrolled_factor_is_still_asked_for() -> None:
    enrolled = frozenset({Factor.PASSWORD, Factor.TOTP})
    assert decide(replace(HEALTHY, enrolled=enrolled), NOON) == Allow(also_prove=frozenset({Factor.TOTP}), at_once=True)


def test_where_continuity_is_not_shown_the_link_goes_out_and_does_not_complete_at_once() -> None:
    assert decide(replace(HEALTHY, continuity=False), NOON) == Allow(also_prove=frozenset(), at_once=False)


def test_one_of_continuity_a_factor_and_a_senior_browser_spares_the_wait() -> None:
    for shown in product((True, False), repeat=3):
        continuity, factor, browser = shown
        assert completes_at_once(continuity=continuity, factor_proved=factor, senior_browser=browser) == any(shown)


def test_reset_is_blocked_when_the_mail_domain_has_lapsed() -> None:
    facts = replace(HEALTHY, verdict=Verdict.LAPSED, reason="NOT_REGISTERED")
    assert decide(facts, NOON) == Block("NOT_REGISTERED")


def test_where_nothing_is_known_to_compare_with_the_link_waits() -> None:
    assert decide(replace(HEALTHY, comparable=False), NOON) == Defer("NO_BASELINE")
    lapsed = replace(HEALTHY, comparable=False, verdict=Verdict.LAPSED, reason="NOT_REGISTERED")
    assert decide(lapsed, NOON) == Block("NOT_REGISTERED")


def test_evidence_of_ten_minutes_ago_is_the_oldest_that_counts() -> None:
    assert isinstance(decide(HEALTHY, NOON + EVIDENCE_MAX_AGE), Allow)
    assert decide(HEALTHY, NOON + EVIDENCE_MAX_AGE + SECOND) == Defer("EVIDENCE_TOO_OLD")


def test_over_all_facts_only_a_proved_address_at_a_healthy_domain_gets_a_link() -> None:
    for verified, blocked, current, verdict, comparable, age in product(
        (True, False), (True, False), (True, False), Verdict, (True, False), (timedelta(0), HOUR)
    ):
        facts = replace(
            HEALTHY,
            address_verified=verified,
            blocked=blocked,
            generation_is_current=current,
            verdict=verdict,
            comparable=comparable,
            looked_up_at=NOON - age,
        )
        decision = decide(facts, NOON)
        gone = verdict in {Verdict.LAPSED, Verdict.REREGISTERED}
        fine = verified and not blocked and current and verdict is Verdict.HEALTHY and comparable and not age
        assert isinstance(decision, Allow) == fine
        assert isinstance(decision, Block) == (verified and (blocked or gone or not current))


@pytest.mark.parametrize(
    ("verified_at", "strong_at", "recovered_at", "stands"),
    [
        (None, None, None, True),
        (NOON + HOUR, None, None, True),  # a password or mailed code lifts nothing
        (NOON - HOUR, NOON + HOUR, None, True),  # strong, but the address not proved since
        (NOON + HOUR, NOON + 2 * HOUR, None, True),  # proved before the strong sign-in
        (NOON + HOUR, NOON, None, True),  # strong sign-in not after the block
        (NOON + HOUR, NOON + SECOND, None, False),
        (NOON + SECOND, NOON + SECOND, None, False),
        (None, NOON + HOUR, None, True),
        (None, None, NOON, True),
        (None, None, NOON + SECOND, False),
    ],
)
def test_a_block_stands_until_recovery_or_a_strong_sign_in_and_then_a_proof(
    verified_at: datetime | None, strong_at: datetime | None, recovered_at: datetime | None, stands: bool
) -> None:
    found = block_stands(NOON, verified_at=verified_at, last_strong_sign_in_at=strong_at, last_recovery_at=recovered_at)
    assert found == stands


def test_where_there_is_no_block_none_stands() -> None:
    assert not block_stands(None, verified_at=NOON, last_strong_sign_in_at=None, last_recovery_at=None)
