"""Budgets: windows, growing delays, no lock-out."""

import pytest

from authsvc.policy.budget import BUDGETS, Charged, Limits, Refused, Spent, charge

NOON = 1_800_000_000.0


def spend(purpose: str, count: int, *, every: float = 0.0) -> tuple[Spent, float]:
    """Charge so often, all allowed; the state and the time of the last charge."""
    spent, now = Spent(), NOON
    for number in range(count):
        now = NOON + number * every
        outcome = charge(spent, BUDGETS[purpose], now)
        assert isinstance(outcome, Charged)
        spent = outcome.spent
    return spent, now


@pytest.mark.parametrize(
    ("purpose", "count", "window"),
    [("password", 10, 300), ("second_factor", 5, 300), ("mailed_code", 5, 3600), ("reset_link", 5, 86400)],
)
def test_a_window_refuses_one_more_and_opens_to_the_second(purpose: str, count: int, window: int) -> None:
    spent, _ = spend(purpose, count)
    assert charge(spent, BUDGETS[purpose], NOON + 1) == Refused(NOON + window)
    assert isinstance(charge(spent, BUDGETS[purpose], NOON + window - 1), Refused)
    assert isinstance(charge(spent, BUDGETS[purpose], NOON + window), Charged)


def test_the_longest_window_of_several_decides() -> None:
    spent, now = spend("second_factor", 20, every=61)
    refused = charge(spent, BUDGETS["second_factor"], now + 60)
    assert isinstance(refused, Refused)
    assert refused.until == NOON + 3600


def test_failures_in_a_row_wait_longer_each_time_and_never_more_than_a_quarter_of_an_hour() -> None:
    limits, spent, now, waits = BUDGETS["password"], spend("password", 10, every=60)[0], NOON + 540, []
    for _ in range(8):
        outcome = charge(spent, limits, now)
        assert isinstance(outcome, Refused)
        waits.append(outcome.until - now)
        now = outcome.until
        allowed = charge(spent, limits, now)
        assert isinstance(allowed, Charged)
        spent = allowed.spent
    assert waits == [30, 60, 120, 240, 480, 900, 900, 900]


def test_time_alone_always_opens_the_door_again() -> None:
    worst = Spent(times=tuple(NOON - n for n in range(50, 0, -1)), streak=10_000)
    for limits in BUDGETS.values():
        assert isinstance(charge(worst, limits, NOON + 86_400), Charged)


def test_old_charges_are_forgotten() -> None:
    spent, _ = spend("mailed_code", 5)
    outcome = charge(spent, BUDGETS["mailed_code"], NOON + 3601)
    assert outcome == Charged(Spent(times=(NOON + 3601,), streak=6))


def test_a_streak_without_times_does_not_wait() -> None:
    assert isinstance(charge(Spent(streak=30), Limits(((5, BUDGETS["password"].windows[0][1]),), 10), NOON), Charged)
