"""The sign-in policy, through every combination of its facts."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain, combinations, product
from typing import Any

import pytest

from authsvc.core.assurance import AUTHENTICATORS, FIRST_FACTORS, PHISHING_RESISTANT, Acr, Factor
from authsvc.policy.hold import HoldCause
from authsvc.policy.login import (
    AskEmailCode,
    AskFirstFactor,
    AskSecondFactor,
    Complete,
    EnrolFactor,
    ExplainFreeze,
    GoToRecovery,
    LoginFacts,
    Mailbox,
    ReplacePassword,
    keys_alone,
    next_step,
    second_factors,
)
from authsvc.policy.mandate import Mandate, Strength

PASSWORD, TOTP, KEY, PASSKEY, RECOVERY = (
    Factor.PASSWORD,
    Factor.TOTP,
    Factor.SECURITY_KEY,
    Factor.PASSKEY,
    Factor.RECOVERY_CODE,
)
MANDATE = Mandate(
    phase="top-100",
    reason="left-pad",
    enforced_from=datetime(2026, 1, 1, tzinfo=UTC),
    strength=Strength.ANY_SECOND_FACTOR,
)
AT_START = LoginFacts()
WITH_PASSWORD = LoginFacts(proved=frozenset({PASSWORD}))
BOOLEANS = (False, True)


def subsets(of: frozenset[Factor]) -> list[frozenset[Factor]]:
    """Every subset."""
    items = sorted(of)
    return [frozenset(c) for c in chain.from_iterable(combinations(items, n) for n in range(len(items) + 1))]


def every_fact() -> Iterator[LoginFacts]:
    """Every combination that can occur: what is proved with an authenticator belongs to one that is enrolled."""
    for proved, enrolled in product(subsets(frozenset(Factor)), subsets(AUTHENTICATORS)):
        used = proved & AUTHENTICATORS
        if (used & PHISHING_RESISTANT and not enrolled & PHISHING_RESISTANT) or (TOTP in used and TOTP not in enrolled):
            continue
        for senior, mailbox, mandate in product((frozenset[Factor](), used), Mailbox, (None, MANDATE)):
            for frozen, code_also, checked, waived, browser, change, replaced, absent in product(BOOLEANS, repeat=8):
                yield LoginFacts(
                    proved=proved,
                    senior=senior,
                    frozen=frozen,
                    enrolled=enrolled,
                    code_also_needed=code_also,
                    mailbox=mailbox,
                    mailbox_checked=checked,
                    code_waived=waived,
                    senior_browser=browser,
                    password_must_change=change,
                    password_replaced=replaced,
                    mandate=mandate,
                    long_absent=absent,
                )


def test_what_holds_for_every_combination_of_facts() -> None:
    seen = 0
    for facts in every_fact():
        seen += 1
        step = next_step(facts)
        if not isinstance(step, Complete):
            continue
        # Nothing completes without a first factor, nor for a frozen account.
        assert facts.proved & FIRST_FACTORS
        assert not facts.frozen
        # An enrolled factor is never passed by; a recovery code stands in for it once, and holds the account.
        if facts.enrolled:
            assert facts.proved & (facts.sufficient() | {RECOVERY})
        # Without one, the mailbox, or a senior browser where the mailbox is lost, was shown.
        else:
            by_mailbox = facts.mailbox is not Mailbox.LOST and (facts.mailbox_checked or facts.code_waived)
            by_browser = facts.mailbox is Mailbox.LOST and facts.senior_browser and facts.mandate is None
            assert by_mailbox or by_browser
        # A mandate in force is met.
        assert facts.mandate is None or facts.enrolled
        # aal2 means a password with an enrolled, senior second factor; phr a phishing-resistant one.
        if step.acr is Acr.AAL2:
            assert {PASSWORD, TOTP} <= facts.proved
            assert TOTP in facts.senior
        if step.acr is Acr.PHR:
            assert facts.senior & PHISHING_RESISTANT
        assert step.acr is not Acr.PHRH
        # What rests on a doubtful mailbox or a recovery code begins a hold.
        if RECOVERY in facts.proved:
            assert step.hold is HoldCause.RECOVERY_CODE
        elif facts.mailbox is not Mailbox.GOOD and not facts.proved & AUTHENTICATORS:
            assert step.hold is not None
        # A password that must be replaced was not used and left.
        assert not (facts.password_must_change and PASSWORD in facts.proved)
    assert seen > 100_000


def test_a_second_factor_alone_opens_nothing() -> None:
    for proved in subsets(frozenset({TOTP, KEY, RECOVERY})):
        assert next_step(replace(AT_START, proved=proved, enrolled=AUTHENTICATORS)) == AskFirstFactor()


def test_a_mailed_code_alone_opens_nothing() -> None:
    assert next_step(replace(AT_START, mailbox_checked=True)) == AskFirstFactor()


def test_a_right_password_without_second_factor_asks_for_a_mailed_code() -> None:
    assert next_step(WITH_PASSWORD) == AskEmailCode()


def test_the_mailed_code_completes_at_the_lowest_strength() -> None:
    assert next_step(replace(WITH_PASSWORD, mailbox_checked=True)) == Complete(acr=Acr.AAL1, hold=None)


def test_the_mailed_code_is_waived_only_where_the_operator_says_so() -> None:
    assert next_step(replace(WITH_PASSWORD, code_waived=True)) == Complete(acr=Acr.AAL1, hold=None)


@pytest.mark.parametrize("facts", [replace(WITH_PASSWORD, mandate=MANDATE), replace(WITH_PASSWORD, rehearsal=MANDATE)])
def test_a_fresh_code_comes_before_enrolment_also_where_known_browsers_are_spared_it(facts: LoginFacts) -> None:
    facts = replace(facts, code_waived=True)
    assert next_step(facts) == AskEmailCode()
    assert isinstance(next_step(replace(facts, mailbox_checked=True)), EnrolFactor)


@pytest.mark.parametrize("senior", BOOLEANS)
@pytest.mark.parametrize(
    ("doubt", "hold"),
    [
        ({"mailbox": Mailbox.DOUBTFUL}, HoldCause.DOUBTFUL_MAILBOX),
        ({"mailbox": Mailbox.LOST}, HoldCause.DOUBTFUL_MAILBOX),
        ({"password_replaced": True}, HoldCause.FORCED_PASSWORD),
    ],
)
def test_what_a_sign_in_enrols_itself_takes_no_hold_away(doubt: dict[str, Any], hold: HoldCause, senior: bool) -> None:
    shown = frozenset({PASSWORD, TOTP})
    facts = LoginFacts(
        proved=shown, senior=shown if senior else frozenset(), enrolled=(TOTP,), mandate=MANDATE, **doubt
    )
    for here in BOOLEANS:
        step = next_step(replace(facts, all_enrolled_here=here, mailbox_checked=True))
        assert isinstance(step, Complete)
        assert step.hold is (hold if here else None)


@pytest.mark.parametrize("mandate", [None, MANDATE])
def test_a_brown_out_enrols_nothing_where_the_mailbox_is_lost(mandate: Mandate | None) -> None:
    facts = replace(WITH_PASSWORD, mailbox=Mailbox.LOST, senior_browser=True, rehearsal=MANDATE, mandate=mandate)
    hold = Complete(acr=Acr.AAL1, hold=HoldCause.DOUBTFUL_MAILBOX)
    assert next_step(facts) == (GoToRecovery() if mandate else hold)


def test_a_mailed_code_never_stands_in_for_an_enrolled_factor() -> None:
    facts = replace(WITH_PASSWORD, enrolled=frozenset({TOTP}), mailbox_checked=True)
    assert next_step(facts) == AskSecondFactor(frozenset({TOTP}))


def test_only_somebody_with_a_first_factor_learns_of_a_freeze() -> None:
    assert next_step(replace(AT_START, frozen=True)) == AskFirstFactor()
    assert next_step(replace(WITH_PASSWORD, frozen=True)) == ExplainFreeze()


def test_a_passkey_is_first_and_second_factor() -> None:
    facts = LoginFacts(proved=frozenset({PASSKEY}), senior=frozenset({PASSKEY}), enrolled=frozenset({PASSKEY}))
    assert next_step(facts) == Complete(acr=Acr.PHR, hold=None)


def test_a_security_key_stands_beside_the_password() -> None:
    facts = LoginFacts(proved=frozenset({KEY, PASSWORD}), senior=frozenset({KEY}), enrolled=frozenset({PASSKEY}))
    assert next_step(facts) == Complete(acr=Acr.PHR, hold=None)


def test_a_junior_factor_signs_in_and_raises_nothing() -> None:
    facts = LoginFacts(proved=frozenset({TOTP, PASSWORD}), enrolled=frozenset({TOTP}))
    assert next_step(facts) == Complete(acr=Acr.AAL1, hold=None)


def test_a_recovery_code_completes_weakly_and_into_a_hold() -> None:
    facts = replace(WITH_PASSWORD, proved=frozenset({PASSWORD, RECOVERY}), enrolled=frozenset({TOTP}))
    assert next_step(facts) == Complete(acr=Acr.AAL1, hold=HoldCause.RECOVERY_CODE)


def test_after_many_wrong_codes_the_right_one_needs_a_mailed_code_as_well() -> None:
    facts = LoginFacts(proved=frozenset({TOTP, PASSWORD}), enrolled=frozenset({TOTP}), code_also_needed=True)
    assert next_step(facts) == AskEmailCode()
    assert isinstance(next_step(replace(facts, mailbox_checked=True)), Complete)
    assert isinstance(next_step(replace(facts, mailbox=Mailbox.LOST)), Complete)


@pytest.mark.parametrize("mandate", [None, MANDATE])
def test_a_lost_mailbox_leads_to_recovery(mandate: Mandate | None) -> None:
    facts = replace(WITH_PASSWORD, mailbox=Mailbox.LOST, mailbox_checked=True, mandate=mandate)
    assert next_step(facts) == GoToRecovery()


def test_a_lost_mailbox_and_a_senior_browser_complete_into_a_hold_without_mandate_alone() -> None:
    facts = replace(WITH_PASSWORD, mailbox=Mailbox.LOST, senior_browser=True)
    assert next_step(facts) == Complete(acr=Acr.AAL1, hold=HoldCause.DOUBTFUL_MAILBOX)
    assert next_step(replace(facts, mandate=MANDATE)) == GoToRecovery()


def test_a_doubtful_mailbox_completes_into_a_hold() -> None:
    facts = replace(WITH_PASSWORD, mailbox=Mailbox.DOUBTFUL, mailbox_checked=True)
    assert next_step(facts) == Complete(acr=Acr.AAL1, hold=HoldCause.DOUBTFUL_MAILBOX)


def test_a_password_in_other_hands_is_replaced_before_completing() -> None:
    facts = replace(WITH_PASSWORD, mailbox_checked=True, password_must_change=True)
    assert next_step(facts) == ReplacePassword()
    replaced = replace(facts, password_must_change=False, password_replaced=True)
    assert next_step(replaced) == Complete(acr=Acr.AAL1, hold=HoldCause.FORCED_PASSWORD)


def test_a_passkey_sign_in_is_not_stopped_by_a_password_it_did_not_use() -> None:
    facts = LoginFacts(proved=frozenset({PASSKEY}), enrolled=frozenset({PASSKEY}), password_must_change=True)
    assert isinstance(next_step(facts), Complete)


def test_a_mandate_in_force_asks_for_enrolment_after_the_mailed_code() -> None:
    facts = replace(WITH_PASSWORD, mandate=MANDATE)
    assert next_step(facts) == AskEmailCode()
    assert next_step(replace(facts, mailbox_checked=True)) == EnrolFactor(MANDATE)
    enrolled = replace(facts, mailbox_checked=True, enrolled=frozenset({TOTP}), proved=frozenset({PASSWORD, TOTP}))
    assert isinstance(next_step(enrolled), Complete)


def test_the_first_sign_in_after_a_year_completes_into_a_hold() -> None:
    facts = replace(WITH_PASSWORD, mailbox_checked=True, long_absent=True)
    assert next_step(facts) == Complete(acr=Acr.AAL1, hold=HoldCause.LONG_ABSENCE)


KEYS_MANDATE = replace(MANDATE, strength=Strength.PHISHING_RESISTANT)


@pytest.mark.parametrize("facts", [{"keys_only": True}, {"mandate": KEYS_MANDATE}], ids=["switch", "mandate"])
def test_where_keys_are_asked_for_a_code_from_the_app_completes_nothing(facts: dict[str, bool | Mandate]) -> None:
    proved = LoginFacts(proved=frozenset({PASSWORD, TOTP}), senior=frozenset({TOTP}), enrolled=frozenset({TOTP, KEY}))
    with_app = replace(proved, **facts)  # type: ignore[arg-type]
    assert next_step(with_app) == AskSecondFactor(PHISHING_RESISTANT)
    with_key = replace(with_app, proved=frozenset({PASSWORD, KEY}), senior=frozenset({KEY}))
    assert next_step(with_key) == Complete(acr=Acr.PHR, hold=None)


def test_a_mandate_for_keys_takes_the_app_until_a_key_is_enrolled_and_then_no_more() -> None:
    enrolled = frozenset({TOTP})
    proved = LoginFacts(proved=frozenset({PASSWORD, TOTP}), enrolled=enrolled, mandate=KEYS_MANDATE)
    assert next_step(proved) == EnrolFactor(KEYS_MANDATE)
    assert not keys_alone(enrolled, mandate=KEYS_MANDATE, keys_only=False)
    assert keys_alone(enrolled | {KEY}, mandate=KEYS_MANDATE, keys_only=False)


def test_a_mandate_for_two_keys_asks_for_the_second_with_the_first_and_then_completes() -> None:
    two = replace(MANDATE, strength=Strength.TWO_PHISHING_RESISTANT)
    with_key = LoginFacts(proved=frozenset({PASSWORD, KEY}), enrolled=(KEY, TOTP), mandate=two)
    assert next_step(with_key) == EnrolFactor(two)
    assert next_step(replace(with_key, proved=frozenset({PASSWORD, TOTP}))) == AskSecondFactor(PHISHING_RESISTANT)
    assert keys_alone(frozenset({KEY, TOTP}), mandate=two, keys_only=False)
    assert isinstance(next_step(replace(with_key, enrolled=(KEY, KEY))), Complete)


def test_a_brown_out_asks_last_and_takes_not_today_for_an_answer() -> None:
    facts = replace(WITH_PASSWORD, rehearsal=MANDATE)
    assert next_step(facts) == AskEmailCode()
    asked = replace(facts, mailbox_checked=True)
    assert next_step(asked) == EnrolFactor(MANDATE, may_postpone=True)
    assert isinstance(next_step(replace(asked, postponed=True)), Complete)
    met = replace(asked, enrolled=(TOTP,), proved=frozenset({PASSWORD, TOTP}))
    assert isinstance(next_step(met), Complete)


def test_nothing_in_force_is_put_off_by_not_today() -> None:
    facts = replace(WITH_PASSWORD, mailbox_checked=True, mandate=MANDATE, rehearsal=MANDATE, postponed=True)
    assert next_step(facts) == EnrolFactor(MANDATE)


def test_keys_alone_are_asked_for_also_when_the_last_one_is_gone() -> None:
    assert second_factors(frozenset({TOTP}), mandate=None, keys_only=True) == PHISHING_RESISTANT
    assert second_factors(frozenset(), mandate=None, keys_only=True) == frozenset()


def test_a_recovery_code_is_weak_whatever_was_shown_beside_it() -> None:
    proved = frozenset({PASSWORD, RECOVERY, TOTP})
    facts = LoginFacts(proved=proved, senior=frozenset({TOTP}), enrolled=frozenset({TOTP, KEY}), keys_only=True)
    assert next_step(facts) == Complete(acr=Acr.AAL1, hold=HoldCause.RECOVERY_CODE)


def test_attested_hardware_is_worth_more_and_only_as_a_key() -> None:
    key = LoginFacts(proved=frozenset({PASSKEY}), senior=frozenset({PASSKEY}), enrolled=AUTHENTICATORS, attested=True)
    assert key.acr() is Acr.PHRH
    assert replace(key, proved=frozenset({PASSWORD, TOTP}), senior=frozenset({TOTP})).acr() is Acr.AAL2
