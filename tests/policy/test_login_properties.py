"""Sign-in under mandates, for whatever facts: nobody covered completes below the strength that is asked for."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authsvc.core.assurance import AUTHENTICATORS, PHISHING_RESISTANT, Acr, Action, Factor, amr_values
from authsvc.policy.hold import HoldCause
from authsvc.policy.login import (
    AskEmailCode,
    AskSecondFactor,
    Complete,
    EnrolFactor,
    LoginFacts,
    Mailbox,
    keys_alone,
    next_step,
    second_factors,
)
from authsvc.policy.mandate import Mandate, Strength, first_unmet, governing, lack, strictest, strongest
from authsvc.policy.permission import step_up_proofs

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ANY, KEY, TWO_KEYS = Strength
Choose = Callable[[list[Mandate]], Mandate | None]

mandates = st.builds(
    Mandate,
    phase=st.sampled_from(["by-hand", "top-100", "team"]),
    reason=st.sampled_from(["left-pad", "right-pad"]),
    enforced_from=st.integers(-2, 2).map(lambda seconds: NOON + timedelta(seconds=seconds)),
    strength=st.sampled_from(Strength),
)
several = st.lists(mandates, max_size=4)
enrolments = st.lists(st.sampled_from(sorted(AUTHENTICATORS)), max_size=4).map(tuple)
flag = st.booleans()
rarely = st.sampled_from([False] * 7 + [True])  # what ends most sign-ins early


@dataclass(frozen=True)
class Case:
    """A pending login at noon, and every mandate its account was given."""

    facts: LoginFacts
    given: tuple[Mandate, ...]

    @property
    def in_force(self) -> list[Mandate]:
        """Those whose day has come."""
        return [mandate for mandate in self.given if mandate.in_force(NOON)]


def shown_by(enrolled: tuple[Factor, ...]) -> list[Factor]:
    """What an account with these can prove: an assertion may verify its user or not, whatever the key was enrolled as.

    Recovery codes may be left over from an authenticator that is gone.
    """
    keys = sorted(PHISHING_RESISTANT) if PHISHING_RESISTANT & set(enrolled) else []
    app = [Factor.TOTP] if Factor.TOTP in enrolled else []
    return [Factor.PASSWORD, Factor.RECOVERY_CODE, *keys, *app]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Facts as `login.service.gather` puts them together, of an account with several mandates."""
    enrolled, given_ = draw(enrolments), draw(several)
    proved = draw(st.frozensets(st.sampled_from(shown_by(enrolled))))
    proved = proved if draw(rarely) else proved | {Factor.PASSWORD}
    used = sorted(proved & AUTHENTICATORS)
    facts = LoginFacts(
        proved=proved,
        senior=draw(st.frozensets(st.sampled_from(used))) if used else frozenset(),
        frozen=draw(rarely),
        enrolled=enrolled,
        code_also_needed=draw(flag),
        mailbox=draw(st.sampled_from(Mailbox)),
        mailbox_checked=not draw(rarely),
        code_waived=draw(flag),
        senior_browser=draw(flag),
        password_must_change=draw(rarely),
        password_replaced=draw(flag),
        mandate=strongest(m for m in given_ if m.in_force(NOON)),
        rehearsal=strongest(m for m in given_ if not m.in_force(NOON)) if draw(flag) else None,
        postponed=draw(flag),
        keys_only=draw(flag),
        attested=draw(flag),
        long_absent=draw(flag),
    )
    return Case(facts, tuple(given_))


@pytest.mark.attack("T21")
@settings(max_examples=400)
@given(cases())
def test_whoever_completes_has_what_every_mandate_in_force_asks_for_and_showed_it(case: Case) -> None:
    facts, step = case.facts, next_step(case.facts)
    if not isinstance(step, Complete):
        return
    amr = amr_values(facts.proved, hardware=False)
    for mandate in case.in_force:
        assert mandate.satisfied_by(facts.enrolled)
        if Factor.RECOVERY_CODE in facts.proved:
            assert (step.acr, step.hold) == (Acr.AAL1, HoldCause.RECOVERY_CODE)
        else:
            assert facts.proved & mandate.strength.kinds
            assert mandate.strength.amr & amr
        # It has rights only where that proof was a senior one, however old everything enrolled is.
        if lack(mandate, enrolled=facts.enrolled, senior=facts.enrolled, acr=step.acr, amr=amr) is None:
            assert facts.senior & mandate.strength.kinds
            assert Factor.RECOVERY_CODE not in facts.proved


@given(cases())
def test_no_mailbox_or_browser_stands_in_for_what_a_mandate_asks_for(case: Case) -> None:
    bare = replace(case.facts, mailbox=Mailbox.GOOD, mailbox_checked=False, code_waived=False, senior_browser=False)
    if not case.in_force or bare.proved & (bare.sufficient() | {Factor.RECOVERY_CODE}):
        return
    for mailbox, checked, waived, browser in product(Mailbox, (False, True), (False, True), (False, True)):
        kinder = replace(
            bare, mailbox=mailbox, mailbox_checked=checked, code_waived=waived, senior_browser=browser, postponed=True
        )
        step = next_step(kinder)
        assert not isinstance(step, Complete)
        assert not (isinstance(step, AskEmailCode) and kinder.enrolled)


@given(cases(), several)
def test_one_more_mandate_lets_nobody_in_who_was_not_in_before(case: Case, more: list[Mandate]) -> None:
    stricter = strongest([*case.in_force, *(m for m in more if m.in_force(NOON))])
    after = next_step(replace(case.facts, mandate=stricter))
    assert isinstance(next_step(case.facts), Complete) or not isinstance(after, Complete)


@given(cases())
def test_not_today_is_for_a_mandate_before_its_day_and_once_all_in_force_are_met(case: Case) -> None:
    facts = replace(case.facts, postponed=False)
    step, after = next_step(facts), next_step(replace(facts, postponed=True))
    if isinstance(step, EnrolFactor) and step.may_postpone:
        assert not step.mandate.in_force(NOON)
        assert all(mandate.satisfied_by(facts.enrolled) for mandate in case.in_force)
    else:
        assert after == step
    assert not (isinstance(after, EnrolFactor) and after.may_postpone)


@given(cases())
def test_what_is_asked_for_at_sign_in_counts_for_every_mandate_where_something_does(case: Case) -> None:
    facts, step = case.facts, next_step(case.facts)
    if not isinstance(step, AskSecondFactor):
        return
    assert step.any_of
    assert step.any_of <= AUTHENTICATORS
    for mandate in case.in_force:
        if mandate.strength.kinds & frozenset(facts.enrolled):
            assert step.any_of <= mandate.strength.kinds


@given(enrolments, st.none() | mandates, flag)
def test_second_factors_offer_nothing_else_where_something_counts(
    enrolled: tuple[Factor, ...], mandate: Mandate | None, keys_only: bool
) -> None:
    held = frozenset(enrolled)
    offered = second_factors(held, mandate=mandate, keys_only=keys_only)
    assert offered <= AUTHENTICATORS
    assert bool(offered) is bool(held)
    if mandate is not None and held & mandate.strength.kinds:
        assert offered <= mandate.strength.kinds
    assert keys_only or not held or offered & (held | PHISHING_RESISTANT)


@given(several, several, st.integers(-3, 3), enrolments)
def test_of_all_mandates_the_same_one_wins_however_they_come_together(
    some: list[Mandate], others: list[Mandate], seconds: int, enrolled: tuple[Factor, ...]
) -> None:
    now = NOON + timedelta(seconds=seconds)
    rules: list[Choose] = [
        strictest,
        strongest,
        lambda found: governing(found, now),
        lambda found: first_unmet(found, enrolled),
    ]
    for rule in rules:
        in_parts = rule([found for found in (rule(some), rule(others)) if found is not None])
        assert rule(some + others) == rule(others + some) == in_parts


@given(several, enrolments, st.integers(-3, 3))
def test_time_alone_makes_nothing_that_is_asked_for_less(
    given_: list[Mandate], enrolled: tuple[Factor, ...], seconds: int
) -> None:
    then = NOON + timedelta(seconds=seconds)
    before, after = (
        strongest(m for m in given_ if m.in_force(moment)) for moment in (then, then + timedelta(seconds=1))
    )
    if before is not None:
        assert after is not None
        assert after.strength.rank >= before.strength.rank
        assert before.satisfied_by(enrolled) or not after.satisfied_by(enrolled)


@given(st.sampled_from(Action), enrolments, st.none() | mandates, flag, flag, flag)
def test_no_step_up_falls_back_on_mail_or_on_what_the_mandate_does_not_count(
    action: Action,
    enrolled: tuple[Factor, ...],
    mandate: Mandate | None,
    mailbox_usable: bool,
    senior_browser: bool,
    owns_packages: bool,
) -> None:
    alone = keys_alone(frozenset(enrolled), mandate=mandate, keys_only=False)
    for senior in (enrolled, enrolled[:1], ()):
        proofs = step_up_proofs(
            action,
            senior,
            mailbox_usable=mailbox_usable,
            senior_browser=senior_browser,
            owns_packages=owns_packages,
            keys_alone=alone,
        )
        for way in proofs.any_of:
            if Factor.RECOVERY_CODE in way:  # replaces what is lost, and never stands alone
                assert action is Action.REPLACE_AUTHENTICATOR
                assert len(way) > 1
                assert not proofs.mailbox
            elif alone:
                assert way & PHISHING_RESISTANT
            elif senior:
                assert way & AUTHENTICATORS
            if alone or senior:
                assert not proofs.mailbox
