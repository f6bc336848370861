"""How long holds last."""

from datetime import timedelta

import pytest

from authsvc.policy.hold import duration


@pytest.mark.parametrize(("owns", "mandated", "hours"), [(0, 0, 24), (1, 0, 72), (0, 1, 72), (1, 1, 72)])
def test_accounts_that_others_depend_on_wait_longer(owns: int, mandated: int, hours: int) -> None:
    assert duration(owns_packages=bool(owns), mandated=bool(mandated)) == timedelta(hours=hours)
