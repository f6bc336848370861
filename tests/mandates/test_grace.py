"""Grace: whoever comes into a phase after its day gets time, and nobody's time is cut short by the worker coming by."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from flask import Flask

from authsvc import accounts, mandates
from authsvc.core import db
from authsvc.mandates import figures
from tests.conftest import NOON
from tests.mandates.test_membership import DAY, PHASE, becomes, own, subjects, use
from tests.people import Person

MakeAccount = Callable[..., Person]
SECOND = timedelta(seconds=1)
GRACE = timedelta(days=30)
PAST = replace(PHASE, announced=NOON - 100 * DAY, enforced_from=NOON - 50 * DAY, grace=GRACE)


@pytest.fixture
def alice(app: Flask, make_account: MakeAccount) -> Person:
    """Somebody with a password alone, whose package is one download below the line."""
    alice = make_account("alice")
    with app.app_context(), db.transaction():
        own(alice, weekly_downloads=999_999)
    return alice


def day_of(person: Person, *, now: datetime = NOON) -> datetime:
    """The day of their mandate."""
    with db.transaction():
        mandate = mandates.upcoming(person.id, now=now)
    assert mandate is not None
    return mandate.enforced_from


def test_coming_in_after_the_day_gives_thirty_days_to_the_second(app: Flask, alice: Person) -> None:
    with app.app_context():
        use(PAST)
        becomes(weekly_downloads=1_000_000)
        mandates.apply(now=NOON)
        with db.transaction():
            assert mandates.in_force(alice.id, now=NOON + GRACE - SECOND) is None
            assert mandates.in_force(alice.id, now=NOON + GRACE) is not None
        for day in range(1, 32):
            mandates.apply(now=NOON + day * DAY)
    told = ["is required for alice", "in 7 days", "tomorrow", "is now required for alice"]
    assert [words in subject for words, subject in zip(told, subjects(app, alice), strict=True)] == [True] * 4


@pytest.mark.parametrize(
    ("before", "day"), [(GRACE + SECOND, -SECOND), (GRACE, timedelta(0)), (GRACE - SECOND, SECOND)]
)
def test_coming_in_shortly_before_the_day_gives_thirty_days_too(
    app: Flask, alice: Person, before: timedelta, day: timedelta
) -> None:
    phase = replace(PAST, enforced_from=NOON + before)
    with app.app_context():
        use(phase)
        becomes(weekly_downloads=1_000_000)
        mandates.apply(now=NOON)
        assert day_of(alice) == phase.enforced_from + max(day, timedelta(0))


def test_the_worker_never_pulls_forward_what_was_given_with_grace(app: Flask, alice: Person) -> None:
    with app.app_context():
        use(PAST)
        becomes(weekly_downloads=1_000_000)
        assert mandates.apply(now=NOON) == 1
        for later in (SECOND, DAY, GRACE - SECOND, GRACE, GRACE + SECOND):
            assert mandates.apply(now=NOON + later) == 0
        assert day_of(alice) == NOON + GRACE


@pytest.mark.parametrize(
    ("day", "then"),
    [(NOON + GRACE + SECOND, GRACE + SECOND), (NOON + GRACE - SECOND, GRACE), (NOON - DAY, GRACE)],
)
def test_a_day_brought_forward_leaves_as_much_notice(app: Flask, alice: Person, day: datetime, then: timedelta) -> None:
    far = replace(PAST, enforced_from=NOON + 200 * DAY)
    with app.app_context():
        use(far)
        becomes(weekly_downloads=1_000_000)
        mandates.apply(now=NOON - 10 * DAY)
        use(replace(far, enforced_from=day))
        assert mandates.apply(now=NOON) == 1
        assert day_of(alice) == NOON + then
        assert mandates.apply(now=NOON + SECOND) == 0


def test_a_shorter_grace_holds_for_those_who_still_have_more(app: Flask, alice: Person) -> None:
    with app.app_context():
        use(PAST)
        becomes(weekly_downloads=1_000_000)
        mandates.apply(now=NOON)
        use(replace(PAST, grace=7 * DAY))
        assert mandates.apply(now=NOON + 23 * DAY) == 0
        assert mandates.apply(now=NOON + 23 * DAY - SECOND) == 1
        assert day_of(alice) == NOON + GRACE - SECOND


def test_who_registers_under_a_maintainer_s_name_gets_the_grace(app: Flask, alice: Person) -> None:
    with app.app_context():
        use(replace(PAST, cohort=replace(PAST.cohort, accounts=frozenset({"newcomer"}))))
        with db.transaction():
            account_id = accounts.create(username="newcomer", now=NOON)
            mandates.link_account(account_id, "newcomer", now=NOON)
            assert mandates.in_force(account_id, now=NOON + GRACE - SECOND) is None
            assert mandates.in_force(account_id, now=NOON + GRACE) is not None


@pytest.mark.parametrize(("later", "stopped"), [(GRACE - SECOND, 0), (GRACE, 1)])
def test_a_plan_stops_newcomers_when_their_grace_is_over(
    app: Flask, alice: Person, later: timedelta, stopped: int
) -> None:
    with app.app_context():
        use(PAST)
        becomes(weekly_downloads=1_000_000)
        with db.snapshot():
            (row,) = figures.plan(as_of=NOON + later, now=NOON).phases
    assert (row.accounts, row.stopped) == (1, stopped)


def test_a_plan_counts_the_grace_of_a_phase_told_later_from_then_on(app: Flask, alice: Person) -> None:
    told = NOON + 100 * DAY
    with app.app_context():
        use(replace(PAST, announced=told, enforced_from=told))
        becomes(weekly_downloads=1_000_000)
        with db.snapshot():
            plans = [figures.plan(as_of=told + later, now=NOON).phases[0] for later in (-SECOND, GRACE - SECOND, GRACE)]
    assert [(row.accounts, row.stopped) for row in plans] == [(0, 0), (1, 0), (1, 1)]


def test_whoever_returns_with_grace_keeps_the_last_authenticator_all_the_same(
    app: Flask, make_account: MakeAccount
) -> None:
    bob = make_account("bob", totp_app=True)
    with app.app_context():
        use(replace(PAST, enforced_from=NOON + 10 * DAY))
        with db.transaction():
            own(bob, weekly_downloads=1_000_000)
        mandates.apply(now=NOON)
        becomes(weekly_downloads=1)
        mandates.apply(now=NOON + 40 * DAY)  # in force since ten days
        mandates.apply(now=NOON + 130 * DAY)
        becomes(weekly_downloads=1_000_000)
        mandates.apply(now=NOON + 131 * DAY)
        returned = NOON + 132 * DAY
        assert day_of(bob, now=returned) == NOON + 161 * DAY
        with db.transaction():
            assert not mandates.may_keep_only(bob.id, [], now=returned)


def test_whoever_left_before_the_day_and_returns_may_remove_everything_until_it_comes(
    app: Flask, make_account: MakeAccount
) -> None:
    bob = make_account("bob", totp_app=True)
    with app.app_context():
        use(replace(PAST, enforced_from=NOON + 200 * DAY))
        with db.transaction():
            own(bob, weekly_downloads=1_000_000)
        mandates.apply(now=NOON)
        becomes(weekly_downloads=1)
        for day in (1, 91):
            mandates.apply(now=NOON + day * DAY)
        becomes(weekly_downloads=1_000_000)
        mandates.apply(now=NOON + 92 * DAY)
        with db.transaction():
            assert mandates.may_keep_only(bob.id, [], now=NOON + 200 * DAY - SECOND)
            assert not mandates.may_keep_only(bob.id, [], now=NOON + 200 * DAY)
