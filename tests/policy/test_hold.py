"""How long holds last."""

from datetime import timedelta

import pytest

from authsvc.policy.hold import HoldCause, duration, may_end_early
from tests.conftest import NOON


@pytest.mark.parametrize(("owns", "mandated", "hours"), [(0, 0, 24), (1, 0, 72), (0, 1, 72), (1, 1, 72)])
def test_accounts_that_others_depend_on_wait_longer(owns: int, mandated: int, hours: int) -> None:
    assert duration(HoldCause.RESET, owns_packages=bool(owns), mandated=bool(mandated)) == timedelta(hours=hours)


def test_a_hold_after_a_freeze_lasts_72_hours_for_everybody() -> None:
    assert duration(HoldCause.FREEZE, owns_packages=False, mandated=False) == timedelta(hours=72)


@pytest.mark.parametrize(("enrolled_before", "senior", "ends"), [(1, True, True), (0, True, False), (1, False, False)])
def test_only_what_is_senior_and_older_than_the_cause_ends_a_hold(
    enrolled_before: int, senior: bool, ends: bool
) -> None:
    enrolled_at = NOON - timedelta(seconds=enrolled_before)
    assert may_end_early(began_at=NOON, enrolled_at=enrolled_at, senior=senior) is ends
