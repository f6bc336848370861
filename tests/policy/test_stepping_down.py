"""Where a session may be seen, and where it steps down."""

from dataclasses import replace

import pytest

from authsvc.policy.stepping_down import Keep, Seen, StepDown, decide

SAME = Seen(family_then="Firefox", family_now="Firefox", countries=("NO", "SE"), country_now="NO")


@pytest.mark.parametrize("now", ["NO", "SE", ""])
def test_a_country_it_was_proved_from_or_none_known_changes_nothing(now: str) -> None:
    assert decide(replace(SAME, country_now=now)) == Keep()


def test_a_new_country_steps_it_down() -> None:
    assert decide(replace(SAME, country_now="KP")) == StepDown("new_country")


def test_without_a_known_country_no_country_is_new() -> None:
    assert decide(replace(SAME, countries=(), country_now="KP")) == Keep()


@pytest.mark.parametrize("family", ["Chrome", "", "An unknown program"])
def test_another_family_of_browser_steps_it_down(family: str) -> None:
    assert decide(replace(SAME, family_now=family)) == StepDown("other_browser")
