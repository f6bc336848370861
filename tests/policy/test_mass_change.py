"""How many domains may change at once before the change is held back."""

import pytest

from authsvc.policy.mass_change import AT_LEAST, Changes, causes, too_many


@pytest.mark.parametrize(
    ("changed", "established", "under_tld", "established_under_tld", "held"),
    [
        (AT_LEAST, 60, AT_LEAST, 60, False),
        (AT_LEAST + 1, 60, 1, 60, True),
        (1, 60, AT_LEAST + 1, 60, True),
        (1_000, 100_000, 1, 10, False),
        (1_001, 100_000, 1, 10, True),
        (100, 100_000, 100, 2_000, False),
        (101, 100_000, 101, 2_000, True),
    ],
)
def test_a_share_of_all_and_of_one_top_level_domain_may_change_and_a_few_always(
    changed: int, established: int, under_tld: int, established_under_tld: int, held: bool
) -> None:
    seen = Changes(
        changed=changed,
        established=established,
        changed_under_tld=under_tld,
        established_under_tld=established_under_tld,
    )
    assert too_many(seen) is held


def test_a_cause_counts_once_and_so_does_a_domain_with_many_causes() -> None:
    assert causes([("a.org", "a.org"), ("b.org", "b.org")]) == {"a.org", "b.org"}
    assert causes([("a.org", "host.net"), ("b.org", "host.net")]) == {"host.net"}
    assert causes([("a.org", "one.net"), ("a.org", "two.net")]) == {"one.net"}
