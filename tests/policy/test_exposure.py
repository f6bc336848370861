"""Exposure: who is still within reach of a lapsed domain, through every combination of two addresses."""

from itertools import product

import pytest

from authsvc.policy.domain_verdict import Verdict
from authsvc.policy.exposure import OwnAddress, Standing, is_gone, standing

HERE, ELSEWHERE = "lapsed.org", "else.org"
GOOD = OwnAddress(domain=ELSEWHERE, healthy=True, lost=False)
DOUBTFUL = OwnAddress(domain=ELSEWHERE, healthy=False, lost=False)
LOST = OwnAddress(domain=ELSEWHERE, healthy=False, lost=True)
SAME = OwnAddress(domain=HERE, healthy=True, lost=False)  # not looked at again since


@pytest.mark.parametrize(("first", "second"), list(product([GOOD, DOUBTFUL, LOST, SAME], repeat=2)))
def test_one_address_that_is_lost_or_there_exposes_and_one_in_doubt_leaves_it_unclear(
    first: OwnAddress, second: OwnAddress
) -> None:
    both = {first, second}
    expected = Standing.EXPOSED if both & {LOST, SAME} else Standing.UNCLEAR if DOUBTFUL in both else Standing.MOVED_ON
    assert standing(HERE, [first, second]) is expected


def test_nobody_here_and_nothing_verified_are_no_false_alarm() -> None:
    assert standing(HERE, None) is Standing.NO_ACCOUNT
    assert standing(HERE, []) is Standing.UNCLEAR


@pytest.mark.parametrize(
    ("verdict", "reason", "gone"),
    [
        (Verdict.LAPSED, "NULL_MX", True),
        (Verdict.SUSPECT, "NXDOMAIN", True),  # a top-level domain without RDAP
        (Verdict.SUSPECT, "NOT_REGISTERED", True),  # held back as one of too many
        (Verdict.SUSPECT, "NXDOMAIN_BUT_REGISTERED", False),
        (Verdict.SUSPECT, "PARKED", False),
        (Verdict.UNKNOWN, "RDAP_STALE", False),
        (Verdict.HEALTHY, "OK", False),
    ],
)
def test_a_lapse_that_nobody_confirmed_is_told_of_and_other_doubts_are_not(
    verdict: Verdict, reason: str, gone: bool
) -> None:
    assert is_gone(verdict, reason) is gone
