"""The mandate policy: what meets a mandate, which of several holds, and what may be removed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import chain, combinations, combinations_with_replacement, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.core.assurance import AUTHENTICATORS, PHISHING_RESISTANT, Acr, Factor, Lack, amr_values
from authsvc.policy.mandate import (
    Impact,
    Mandate,
    Owned,
    Strength,
    first_unmet,
    governing,
    lack,
    may_keep_only,
    reason,
    strictest,
    strongest,
    tells_anew,
)

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
ANY, KEY, TWO_KEYS = Strength
TOTP, PASSKEY, SECURITY_KEY = Factor.TOTP, Factor.PASSKEY, Factor.SECURITY_KEY
MANDATE = Mandate(phase="top-100", reason="left-pad", enforced_from=NOON)
MANDATES = st.lists(
    st.builds(
        Mandate,
        phase=st.sampled_from(["top-100", "top-500", "all"]),
        reason=st.sampled_from(["left-pad", "right-pad"]),
        enforced_from=st.integers(-3, 3).map(lambda days: NOON + days * DAY),
        strength=st.sampled_from(Strength),
    ),
    max_size=5,
)


def every_set_of_kinds() -> list[frozenset[Factor]]:
    """Every subset of the factors there are."""
    kinds = sorted(Factor)
    return [frozenset(c) for c in chain.from_iterable(combinations(kinds, n) for n in range(len(kinds) + 1))]


def every_few_authenticators() -> list[tuple[Factor, ...]]:
    """Up to three authenticators, of one kind or several."""
    kinds = sorted(Factor)
    return [c for n in range(4) for c in combinations_with_replacement(kinds, n)]


def owned(impact: Impact, ecosystem: str = "npm") -> Owned:
    """A package called left-pad."""
    return Owned(ecosystem=ecosystem, name="left-pad", impact=impact)


@pytest.mark.parametrize(
    ("impact", "high"),
    [
        (Impact(), False),
        (Impact(weekly_downloads=999_999), False),
        (Impact(weekly_downloads=1_000_000), True),
        (Impact(dependents=499), False),
        (Impact(dependents=500), True),
        (Impact(weekly_downloads=0, dependents=500), True),
        (Impact(weekly_downloads=1_000_000, dependents=0), True),
        (Impact(weekly_ge_1m=True), True),
        (Impact(weekly_ge_1m=False), False),
        (Impact(dependents_ge_500=True), True),
        (Impact(weekly_ge_1m=False, dependents_ge_500=True), True),
        (Impact(weekly_downloads=999_999, weekly_ge_1m=True), False),
        (Impact(dependents=499, dependents_ge_500=True), False),
    ],
)
def test_a_million_downloads_or_500_dependents_are_high_impact_and_a_flag_stands_for_a_missing_number(
    impact: Impact, high: bool
) -> None:
    assert impact.is_high is high


@pytest.mark.parametrize(
    ("package", "words"),
    [
        (owned(Impact(weekly_downloads=2_400_000)), "is downloaded 2,400,000 times a week."),
        (owned(Impact(weekly_ge_1m=True)), "is downloaded 1,000,000 times a week or more."),
        (owned(Impact(weekly_downloads=3, dependents=1812)), "is needed by 1,812 other packages."),
        (owned(Impact(dependents_ge_500=True)), "is needed by 500 other packages or more."),
        (owned(Impact(weekly_downloads=70_000, dependents=12)), "is downloaded 70,000 times a week."),
        (owned(Impact(dependents=12)), "is needed by 12 other packages."),
        (owned(Impact(rank=7)), "is one that others rely on."),
    ],
)
def test_the_reason_names_the_package_and_its_reach(package: Owned, words: str) -> None:
    assert reason(package) == f"The npm package left-pad, which you maintain, {words}"


def test_the_reason_spells_the_ecosystem_as_people_do() -> None:
    assert reason(owned(Impact(), "pypi")).startswith("The PyPI package left-pad")


@pytest.mark.parametrize("name", ["https://evil.example/login", "evil.example", "evil:8080", "a" * 61, "évil"])
def test_the_reason_names_no_package_of_which_a_mail_program_could_make_a_link(name: str) -> None:
    package = Owned(ecosystem="npm", name=name, impact=Impact(dependents=12))
    assert reason(package) == "A package of npm that you maintain is needed by 12 other packages."


@pytest.mark.parametrize(("late", "in_force"), [(-SECOND, False), (timedelta(0), True), (SECOND, True)])
def test_a_mandate_is_in_force_from_its_date_on(late: timedelta, in_force: bool) -> None:
    assert MANDATE.in_force(NOON + late) is in_force


def test_what_meets_each_strength() -> None:
    for enrolled in every_few_authenticators():
        keys = sum(kind in PHISHING_RESISTANT for kind in enrolled)
        assert ANY.satisfied_by(enrolled) is any(kind in AUTHENTICATORS for kind in enrolled)
        assert KEY.satisfied_by(enrolled) is (keys >= 1)
        assert TWO_KEYS.satisfied_by(enrolled) is (keys >= 2)
        for weaker, stronger in combinations(Strength, 2):
            assert weaker.satisfied_by(enrolled) or not stronger.satisfied_by(enrolled)


def test_only_a_list_tells_two_passkeys_from_one() -> None:
    assert TWO_KEYS.satisfied_by([PASSKEY, PASSKEY])
    assert not TWO_KEYS.satisfied_by(frozenset({PASSKEY}))


@pytest.mark.parametrize(("strength", "for_keys"), [(ANY, False), (KEY, True), (TWO_KEYS, True)])
def test_a_strength_says_whether_an_app_will_do(strength: Strength, for_keys: bool) -> None:
    assert strength.for_keys is for_keys is not strength.satisfied_by([TOTP])


def test_the_last_sufficient_factor_stays_once_a_mandate_is_in_force() -> None:
    for kinds in every_set_of_kinds():
        assert may_keep_only(kinds, [], once=False, now=NOON)
        assert may_keep_only(kinds, [MANDATE], once=False, now=NOON - SECOND)
        assert may_keep_only(kinds, [MANDATE], once=True, now=NOON) is bool(kinds & AUTHENTICATORS)


def test_of_several_mandates_in_force_each_keeps_what_it_asks_for() -> None:
    both = [replace(MANDATE, strength=TWO_KEYS), MANDATE]
    assert not may_keep_only([PASSKEY, TOTP], both, once=True, now=NOON)
    assert may_keep_only([PASSKEY, SECURITY_KEY], both, once=True, now=NOON)


def test_whoever_once_had_a_mandate_keeps_an_authenticator_of_any_kind() -> None:
    for kinds in every_set_of_kinds():
        assert may_keep_only(kinds, [], once=True, now=NOON) is bool(kinds & AUTHENTICATORS)


@given(MANDATES, st.randoms(use_true_random=False), st.integers(-4, 4))
def test_the_strictest_mandate_wins_in_any_order(mandates: list[Mandate], order: object, days: int) -> None:
    shuffled = list(mandates)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    now = NOON + days * DAY
    assert strictest(mandates) == strictest(shuffled)
    assert strongest(mandates) == strongest(shuffled)
    assert governing(mandates, now) == governing(shuffled, now)
    found = governing(mandates, now)
    assert (found is None) is (not mandates)
    in_force = [m for m in mandates if m.in_force(now)]
    if found is not None and in_force:
        assert found.in_force(now)
        assert found.strength.rank == max(m.strength.rank for m in in_force)
    elif found is not None:
        assert found.enforced_from == min(m.enforced_from for m in mandates)


@given(MANDATES, st.lists(st.sampled_from(Factor), max_size=3), st.integers(-4, 4))
def test_meeting_what_governs_meets_all_that_is_in_force(
    mandates: list[Mandate], enrolled: list[Factor], days: int
) -> None:
    now = NOON + days * DAY
    in_force = [m for m in mandates if m.in_force(now)]
    if in_force:
        found = strongest(in_force)
        assert found is not None
        assert found.satisfied_by(enrolled) is all(m.satisfied_by(enrolled) for m in in_force)
    ahead = first_unmet(mandates, enrolled)
    assert (ahead is None) is all(m.satisfied_by(enrolled) for m in mandates)


@given(MANDATES)
def test_what_tells_something_anew_is_enough_to_know_all(mandates: list[Mandate]) -> None:
    different = {(m.phase, m.strength, m.enforced_from): m for m in mandates}.values()
    by_phase = list({m.phase: m for m in different}.values())
    telling = [m for m in by_phase if tells_anew(m, [other for other in by_phase if other is not m])]
    for mandate in by_phase:
        assert any(told.covers(mandate) for told in telling)
    for one, other in combinations(telling, 2):
        assert not one.covers(other)
        assert not other.covers(one)


BY_APP, BY_KEY = amr_values({Factor.PASSWORD, TOTP}, hardware=False), amr_values({PASSKEY}, hardware=True)
BY_RECOVERY_CODE = amr_values({Factor.PASSWORD, Factor.RECOVERY_CODE}, hardware=False)
BY_PASSWORD = amr_values({Factor.PASSWORD}, hardware=False)


@pytest.mark.parametrize(
    ("strength", "enrolled", "senior", "acr", "amr", "lacks"),
    [
        (ANY, [], [], Acr.AAL1, BY_PASSWORD, Lack.AUTHENTICATOR),
        (ANY, [], [], Acr.AAL1, BY_RECOVERY_CODE, Lack.AUTHENTICATOR),  # leftover codes are none
        (KEY, [TOTP], [TOTP], Acr.AAL2, BY_APP, Lack.AUTHENTICATOR),
        (TWO_KEYS, [PASSKEY], [PASSKEY], Acr.PHR, BY_KEY, Lack.AUTHENTICATOR),
        (ANY, [TOTP], [TOTP], Acr.AAL1, BY_PASSWORD, Lack.PROOF),
        (KEY, [PASSKEY], [PASSKEY], Acr.AAL2, BY_APP, Lack.PROOF),
        (KEY, [PASSKEY], [], Acr.AAL1, BY_PASSWORD, Lack.PROOF),
        (KEY, [PASSKEY], [PASSKEY], Acr.AAL1, BY_RECOVERY_CODE, Lack.PROOF),
        (ANY, [TOTP], [TOTP], Acr.AAL1, BY_RECOVERY_CODE, Lack.SENIORITY),
        (ANY, [TOTP], [], Acr.AAL1, BY_APP, Lack.SENIORITY),
        (KEY, [PASSKEY, PASSKEY], [PASSKEY], Acr.AAL1, BY_KEY, Lack.SENIORITY),  # shown was the junior one
        (TWO_KEYS, [PASSKEY, PASSKEY], [PASSKEY], Acr.PHR, BY_KEY, Lack.SENIORITY),
        (ANY, [TOTP], [TOTP], Acr.AAL2, BY_APP, None),
        (KEY, [PASSKEY], [PASSKEY], Acr.PHR, BY_KEY, None),
        (TWO_KEYS, [PASSKEY, SECURITY_KEY], [PASSKEY, SECURITY_KEY], Acr.PHRH, BY_KEY, None),
    ],
)
def test_what_a_session_lacks_for_its_rights(
    strength: Strength, enrolled: list[Factor], senior: list[Factor], acr: Acr, amr: frozenset[str], lacks: Lack | None
) -> None:
    mandate = replace(MANDATE, strength=strength)
    assert lack(mandate, enrolled=enrolled, senior=senior, acr=acr, amr=amr) is lacks


@pytest.mark.parametrize("weaker", Strength)
@pytest.mark.parametrize("stronger", Strength)
def test_whoever_has_rights_under_a_mandate_has_them_under_every_weaker_one(
    stronger: Strength, weaker: Strength
) -> None:
    if stronger.rank < weaker.rank:
        return
    for few, acr, amr in product(every_few_authenticators(), Acr, (BY_PASSWORD, BY_APP, BY_KEY)):
        held = {
            strength: lack(replace(MANDATE, strength=strength), enrolled=few, senior=few, acr=acr, amr=amr)
            for strength in (stronger, weaker)
        }
        assert held[stronger] is not None or held[weaker] is None
