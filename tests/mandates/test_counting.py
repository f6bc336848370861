"""What is counted in the database is what the policies say of each account."""

import random
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product
from typing import Any

import pytest
from flask import Flask

from authsvc import accounts
from authsvc.core import db
from authsvc.core.assurance import AUTHENTICATORS, PHISHING_RESISTANT, Factor
from authsvc.mandates import counting, exemptions, given, membership
from authsvc.mandates.counting import Look
from authsvc.mandates.models import MandateRow
from authsvc.policy.cohort import Cohort, Phase
from authsvc.policy.mandate import Mandate, Strength, strictest, tells_anew
from authsvc.policy.mandate_days import Exemption, effective
from tests.conftest import NOON
from tests.slices import request_to

DAY = timedelta(days=1)
NAMES = [f"person-{n:02}" for n in range(40)]
PHASES = tuple(
    Phase(
        name=name,
        cohort=Cohort(accounts=frozenset(NAMES[n::3])),
        announced=NOON + announced * DAY,
        enforced_from=NOON + (announced + later) * DAY,
        strength=strength,
        grace=grace * DAY,
    )
    for n, (name, announced, later, strength, grace) in enumerate(
        [
            ("a-keys", 0, 10, Strength.PHISHING_RESISTANT, 0),
            ("a", -90, 40, Strength.ANY_SECOND_FACTOR, 7),
            ("ab", 3, 30, Strength.TWO_PHISHING_RESISTANT, 30),
        ]
    )
)
DAYS = [NOON, NOON + 6 * DAY, NOON + 12 * DAY, NOON + 60 * DAY]


def crowd(dice: random.Random) -> dict[int, list[Factor]]:
    """Accounts with whatever they have, and mandates given for whatever day and strength; some are exempt."""
    enrolled: dict[int, list[Factor]] = {}
    for name in NAMES:
        account_id = accounts.create(username=name, now=NOON)
        enrolled[account_id] = dice.choices(sorted(AUTHENTICATORS), k=dice.randrange(4))
        for kind in enrolled[account_id]:
            accounts.add_authenticator(account_id, kind, "One", browser_known_for=DAY, now=NOON)
        for source, phase in (("by_hand", "by-hand"), ("a", "a"), ("a-keys", "a-keys"), ("gone", "gone")):
            if dice.random() < 0.5:
                mandate = Mandate(
                    phase=phase,
                    reason=f"{phase} for {name}.",
                    enforced_from=NOON + dice.choice([-20, 0, 5, 10, 50]) * DAY,
                    strength=dice.choice(list(Strength)),
                )
                given.give(account_id, mandate, source=source, set_by="test", now=NOON)
        if dice.random() < 0.2:
            until, starts_at = NOON + dice.choice([2, 11, 70]) * DAY, NOON + dice.choice([-1, 3]) * DAY
            exemptions.exempt(account_id, reason="x", until=until, set_by="test", starts_at=starts_at, now=NOON)
    db.session().flush()
    return enrolled


def expected(look: Look, rules: tuple[Phase, ...]) -> dict[int, list[Mandate]]:
    """By account what is asked, worked out one by one."""
    exempt: dict[int, Exemption] = exemptions.of_accounts(as_of=look.as_of)
    rows = db.session().query(MandateRow).all()
    asked: dict[int, dict[str, Mandate]] = {}
    for row in rows:
        mandate = Mandate(
            phase=row.phase, reason=row.reason, enforced_from=row.enforced_from, strength=Strength(row.strength)
        )
        asked.setdefault(row.account_id, {})[row.source] = mandate
    for phase in rules:
        if phase.announced <= look.as_of:
            changed = membership.changes(phase, as_of=look.as_of, given_at=look.given_at(phase))
            for account_id, mandate in changed.entered.items():
                asked.setdefault(account_id, {})[phase.name] = mandate
            for account_id, mandate in changed.tightened.items():
                old = asked[account_id][phase.name]
                asked[account_id][phase.name] = replace(
                    old,
                    enforced_from=min(old.enforced_from, mandate.enforced_from),
                    strength=max(old.strength, mandate.strength, key=lambda strength: strength.rank),
                )
    return {
        account_id: [effective(mandate, exempt.get(account_id), look.as_of) for mandate in mandates.values()]
        for account_id, mandates in asked.items()
    }


def first_days(asked: dict[int, list[Mandate]], enrolled: dict[int, list[Factor]], day: datetime) -> dict[int, Mandate]:
    """Whom this stops, by which mandate."""
    unmet = {
        account_id: strictest(m for m in mandates if m.in_force(day) and not m.satisfied_by(enrolled[account_id]))
        for account_id, mandates in asked.items()
    }
    return {account_id: mandate for account_id, mandate in unmet.items() if mandate is not None}


@pytest.mark.parametrize("rules", [(), PHASES], ids=["given", "planned"])
def test_the_database_counts_whom_the_policy_does(app: Flask, rules: tuple[Phase, ...]) -> None:
    with request_to(app):
        enrolled = crowd(random.Random(len(rules)))
        for day in DAYS:
            look = Look(as_of=day, now=NOON, rules=rules)
            asked, counts = expected(look, rules), Counter[tuple[str, str]]()
            for account_id, mandates in asked.items():
                kinds = enrolled[account_id]
                keys = sum(kind in PHISHING_RESISTANT for kind in kinds)
                for mandate in mandates:
                    if not tells_anew(mandate, [other for other in mandates if other is not mandate]):
                        continue
                    met = mandate.satisfied_by(kinds)
                    for what, holds in {
                        "accounts": True,
                        "with_two_keys": keys > 1,
                        "with_key": keys == 1,
                        "with_app": not keys and bool(kinds),
                        "met": met,
                        "stopped": not met and mandate.in_force(day),
                    }.items():
                        counts[mandate.phase, what] += holds
            found, people_stopped = counting.by_phase(look)
            numbers = ("accounts", "with_two_keys", "with_key", "with_app", "met", "stopped")
            assert {(c.phase, n): getattr(c, n) for c in found for n in numbers} == {
                key: counts[key] for phase, _ in counts for key in [(phase, n) for n in numbers]
            }

            stops = first_days(asked, enrolled, day)
            people = counting.people(look, most=100)
            assert len(people) == counting.stopped(look) == len(stops)
            names = {accounts.get(account_id).username: mandate for account_id, mandate in stops.items()}
            assert {p.username: (p.phase, p.enforced_from) for p in people} == {
                name: (mandate.phase, mandate.enforced_from) for name, mandate in names.items()
            }
            assert people == sorted(people, key=lambda person: (person.enforced_from, person.username))
            assert people_stopped == len(people)
            assert counting.people(look, begin=3, most=5) == people[3:8]


def test_those_stopped_in_addition_are_those_not_stopped_before(app: Flask) -> None:
    with request_to(app):
        crowd(random.Random(1))
        first, then = (Look(as_of=day, now=NOON) for day in (NOON, NOON + 30 * DAY))
        before = {person.username for person in counting.people(first, most=100)}
        after = {person.username for person in counting.people(then, most=100)}
        added = counting.people(then, but_not_at=NOON, most=100)
        assert {person.username for person in added} == after - before
        assert counting.stopped(then, but_not_at=NOON) == len(after - before)


CHANGES: tuple[dict[str, Any] | None, ...] = (
    {"enforced_from": NOON + 2 * DAY},
    {"enforced_from": NOON + 100 * DAY},
    {"strength": Strength.TWO_PHISHING_RESISTANT},
    {"cohort": Cohort(everybody=True)},
    {"cohort": Cohort(accounts=frozenset({"person-01"}))},
    None,
)


def test_a_difference_is_that_of_two_plans(app: Flask) -> None:
    with request_to(app):
        crowd(random.Random(7))
        for phase, change, day in product(PHASES, CHANGES, DAYS):
            new = replace(phase, **change) if change is not None else None
            others = tuple(one for one in PHASES if one is not phase)
            before, after = (
                {person.username for person in counting.people(Look(as_of=day, now=NOON, rules=rules), most=100)}
                for rules in (PHASES, others + ((new,) if new else ()))
            )
            look = Look(as_of=day, now=NOON, rules=others, old=phase, new=new)
            found = counting.difference(look)
            assert (found.stopped_before, found.stopped_after) == (len(before), len(after))
            assert (found.more, found.fewer) == (len(after - before), len(before - after))
            assert counting.differing(look, more=True, most=100) == sorted(after - before)
            assert counting.differing(look, more=False, most=100) == sorted(before - after)
