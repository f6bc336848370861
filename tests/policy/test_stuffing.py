"""Stuffing and spraying: thresholds, to the one; turns; figures for several processes."""

from dataclasses import fields

import pytest

from authsvc.policy.stuffing import (
    REMEMBER_UP_TO,
    Seen,
    Thresholds,
    Turn,
    is_sprayed,
    thresholds,
    tripped,
    turn,
    under_pressure,
)

ALONE = Thresholds()


@pytest.mark.parametrize(
    ("below", "at"),
    [
        (Seen(pairs=29), Seen(pairs=30)),
        (Seen(wide_pairs=149), Seen(wide_pairs=150)),
        (Seen(sprayed=3), Seen(sprayed=4)),
    ],
)
def test_each_count_trips_a_network_at_its_threshold(below: Seen, at: Seen) -> None:
    assert (tripped(below, ALONE), tripped(at, ALONE)) == (False, True)


def test_failing_accounts_press_the_site_and_trip_no_network() -> None:
    assert (under_pressure(Seen(failing=59), ALONE), under_pressure(Seen(failing=60), ALONE)) == (False, True)
    assert not tripped(Seen(failing=10_000), ALONE)


def test_a_password_is_sprayed_from_its_tenth_account_on() -> None:
    assert (is_sprayed(9, ALONE), is_sprayed(10, ALONE)) == (False, True)


@pytest.mark.parametrize(
    ("known", "network_tripped", "expected"),
    [
        (True, True, Turn.KNOWN),  # at home behind the same address as an attacker, or on a VPN
        (True, False, Turn.KNOWN),
        (False, False, Turn.STRANGER),
        (False, True, Turn.SUSPECT),
    ],
)
def test_a_known_browser_goes_first_wherever_it_is(known: bool, network_tripped: bool, expected: Turn) -> None:
    assert turn(known=known, network_tripped=network_tripped) is expected


def test_processes_share_the_figures_and_none_falls_to_what_one_person_does() -> None:
    assert thresholds(1) == ALONE
    assert thresholds(2) == Thresholds(pairs=15, wide_pairs=75, sprayed=3, accounts=6, failing=30)
    assert thresholds(64) == Thresholds(pairs=10, wide_pairs=40, sprayed=3, accounts=6, failing=20)


def test_sets_remember_enough_for_every_threshold() -> None:
    assert all(getattr(ALONE, field.name) < REMEMBER_UP_TO for field in fields(Thresholds))
