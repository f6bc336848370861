"""Who is in a phase: the database says what the policy says, and nobody goes in and out."""

import random
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import delete, update

from authsvc import accounts, mail, mandates
from authsvc.core import db
from authsvc.mandates import membership, phases
from authsvc.mandates.models import MandateRow, Ownership, Package
from authsvc.policy.cohort import PHASES, Cohort, Phase, RankBy, entered
from authsvc.policy.mandate import Impact, Owned, Strength
from tests.conftest import NOON
from tests.people import Outbox, Person
from tests.slices import request_to

MakeAccount = Callable[..., Person]
DAY = timedelta(days=1)
HIGH = Cohort(weekly_downloads=1_000_000, dependents=500)
BEGINS = NOON + 60 * DAY
PHASE = Phase(name="big", cohort=HIGH, announced=NOON, enforced_from=BEGINS)
COHORTS = (
    *(phase.cohort for phase in PHASES),
    Cohort(weekly_downloads=500_000),
    Cohort(weekly_downloads=3_000_000, dependents=700),
    Cohort(top=40, by=RankBy.DOWNLOADS),
    Cohort(top=40, by=RankBy.DEPENDENTS, dependents=100),
    Cohort(packages=frozenset({"npm:package-3", "pypi:package-4"})),
    Cohort(accounts=frozenset({"person-1", "nobody"}), top=3),
    Cohort(everybody=True),
    Cohort(),
)


def use(*rules: Phase) -> None:
    """Make these the phases of the installation."""
    with db.transaction():
        mandates.change_phases(rules, reason="A test", set_by="test", now=NOON)


def own(account: Person | int, name: str = "left-pad", **figures: Any) -> None:
    """A package of an account, in a transaction under way."""
    impact = Impact(**figures)
    package = Package(ecosystem="npm", name=name, high_impact=impact.is_high, **asdict(impact))
    account_id = account if isinstance(account, int) else account.id
    name_at = str(account_id) if isinstance(account, int) else account.username
    line = Ownership(
        ecosystem="npm", package=name, account=name_at, account_id=account_id, role="owner", accepted_at=NOON
    )
    db.session().add_all([package, line])
    db.session().flush()


def becomes(name: str = "left-pad", **figures: Any) -> None:
    """The package's figures from now on."""
    with db.transaction() as session:
        session.execute(update(Package).where(Package.name == name).values(**asdict(Impact(**figures))))


def subjects(app: Flask, account: Person) -> list[str]:
    """What mails about mandates an account got, oldest first."""
    kinds = [f"mandate_{kind}" for kind in ("announced", "reminder", "enforced", "ended", "exempted")]
    with app.app_context(), db.transaction():
        return [notice.subject for notice in mail.notices([account.id], kinds=kinds, since=NOON)]


def live(account: Person) -> list[str]:
    """The phases whose mandates an account has."""
    with db.transaction() as session:
        rows = session.query(MandateRow).filter_by(account_id=account.id, ended_at=None)
        return sorted(row.source for row in rows)


@pytest.mark.parametrize("cohort", COHORTS, ids=range(len(COHORTS)))
def test_the_database_takes_in_and_keeps_whom_the_policy_does(app: Flask, cohort: Cohort) -> None:
    dice, packages, owns = random.Random(5), [], {}
    with request_to(app):
        people = {f"person-{n}": accounts.create(username=f"person-{n}", now=NOON) for n in range(12)}
        for n in range(60):
            impact = Impact(
                weekly_downloads=dice.choice([None, 399_999, 400_000, 500_000, 799_999, 800_000, 1_000_000, 4_000_000]),
                dependents=dice.choice([None, 80, 399, 400, 499, 500, 900]),
                weekly_ge_1m=dice.choice([None, False, True]),
                dependents_ge_500=dice.choice([None, False, True]),
                rank=dice.choice([None, 1, 40, 41, 50, 51, 100, 101, 125, 126, 625, 626]),
                dependents_rank=dice.choice([None, 1, 40, 41, 50, 51, 100, 101, 125, 126, 625, 626]),
            )
            packages.append(Owned(ecosystem=dice.choice(["npm", "pypi"]), name=f"package-{n}", impact=impact))
        db.session().add_all(
            Package(ecosystem=p.ecosystem, name=p.name, high_impact=p.impact.is_high, **asdict(p.impact))
            for p in packages
        )
        for name, account_id in people.items():
            owns[name] = dice.sample(packages, 3)
            db.session().add_all(
                Ownership(
                    ecosystem=p.ecosystem,
                    package=p.name,
                    account=name,
                    account_id=account_id,
                    role="owner",
                    accepted_at=NOON,
                )
                for p in owns[name]
            )
        db.session().flush()
        phase = replace(PHASE, cohort=cohort)
        found = membership.entered(phase, as_of=NOON, given_at=NOON)
        for name, account_id in people.items():
            expected = entered([phase], owns[name], username=name, now=NOON)
            assert ([found[account_id]] if account_id in found else []) == expected
        db.session().add_all(
            MandateRow(
                account_id=account_id,
                source=phase.name,
                phase=phase.name,
                strength=phase.strength.value,
                reason="",
                enforced_from=BEGINS,
                set_by="test",
                created_at=NOON,
            )
            for account_id in people.values()
        )
        db.session().flush()
        below = set(membership.changes(phase, as_of=NOON, given_at=NOON).below)
        rows = {row.account_id: row.id for row in db.session().query(MandateRow)}
        for name, account_id in people.items():
            kept = cohort.everybody or name in cohort.accounts or any(cohort.keeps(p) for p in owns[name])
            assert (rows[account_id] in below) is not kept


def test_nobody_leaves_before_90_days_below_and_everybody_after(app: Flask, make_account: MakeAccount) -> None:
    alice = make_account()
    with app.app_context():
        use(PHASE)
        with db.transaction():
            own(alice, weekly_downloads=1_000_000)
        mandates.apply(now=NOON)
        becomes(weekly_downloads=799_999)
        fell = NOON + DAY
        mandates.apply(now=fell)
        mandates.apply(now=fell + 90 * DAY - timedelta(seconds=1))
        assert live(alice) == ["big"]
        mandates.apply(now=fell + 90 * DAY)
        assert live(alice) == []
    assert subjects(app, alice)[-1] == "A second step is no longer required for alice"


def test_one_day_at_the_exit_line_begins_the_90_days_anew(app: Flask, make_account: MakeAccount) -> None:
    alice = make_account()
    with app.app_context():
        use(PHASE)
        with db.transaction():
            own(alice, weekly_downloads=1_000_000)
        mandates.apply(now=NOON)
        for day, figure in ((1, 10), (80, 800_000), (81, 10)):
            becomes(weekly_downloads=figure)
            mandates.apply(now=NOON + day * DAY)
        mandates.apply(now=NOON + (81 + 89) * DAY)
        assert live(alice) == ["big"]
        mandates.apply(now=NOON + (81 + 90) * DAY)
        assert live(alice) == []


def test_giving_a_package_up_counts_as_falling_below(app: Flask, make_account: MakeAccount) -> None:
    alice = make_account()
    with app.app_context():
        use(PHASE)
        with db.transaction():
            own(alice, weekly_downloads=1_000_000)
        mandates.apply(now=NOON)
        with db.transaction() as session:
            session.execute(delete(Ownership))
        mandates.apply(now=NOON + DAY)
        mandates.apply(now=NOON + 91 * DAY)
        assert live(alice) == []


def test_between_the_lines_nobody_comes_in(app: Flask, make_account: MakeAccount) -> None:
    alice = make_account()
    with app.app_context():
        use(PHASE)
        with db.transaction():
            own(alice, weekly_downloads=999_999)
        assert mandates.apply(now=NOON) == 0


def test_who_left_and_reaches_it_again_is_told_again(app: Flask, make_account: MakeAccount) -> None:
    alice = make_account()
    with app.app_context():
        use(PHASE)
        with db.transaction():
            own(alice, weekly_downloads=1_000_000)
        mandates.apply(now=NOON)
        becomes(weekly_downloads=1)
        mandates.apply(now=NOON)
        mandates.apply(now=NOON + 90 * DAY)
        becomes(weekly_downloads=1_000_000)
        assert mandates.apply(now=NOON + 100 * DAY) == 1
        with db.transaction():
            assert mandates.in_force(alice.id, now=NOON + 100 * DAY) is not None
    assert subjects(app, alice) == [
        "A second step is required for alice",
        "A second step is no longer required for alice",
        "A second step is required for alice",
    ]


def test_whoever_left_keeps_the_last_authenticator(app: Flask, make_account: MakeAccount) -> None:
    alice = make_account(totp_app=True)
    with app.app_context():
        use(replace(PHASE, enforced_from=NOON))
        with db.transaction():
            own(alice, weekly_downloads=1_000_000)
        mandates.apply(now=NOON)
        becomes(weekly_downloads=1)
        mandates.apply(now=NOON)
        mandates.apply(now=NOON + 90 * DAY)
        with db.transaction():
            assert not mandates.has_mandate(alice.id)
            assert not mandates.may_keep_only(alice.id, [], now=NOON + 91 * DAY)


def test_whoever_left_before_the_day_is_as_free_as_before(app: Flask, make_account: MakeAccount) -> None:
    alice = make_account(totp_app=True)
    with app.app_context():
        use(replace(PHASE, enforced_from=NOON + 300 * DAY))
        with db.transaction():
            own(alice, weekly_downloads=1_000_000)
        mandates.apply(now=NOON)
        becomes(weekly_downloads=1)
        mandates.apply(now=NOON)
        mandates.apply(now=NOON + 90 * DAY)
        with db.transaction():
            assert mandates.may_keep_only(alice.id, [], now=NOON + 400 * DAY)


def test_leaving_one_phase_leaves_what_another_asks_for(app: Flask, make_account: MakeAccount) -> None:
    alice = make_account()
    keys = replace(PHASE, name="top", cohort=replace(HIGH, top=10), strength=Strength.PHISHING_RESISTANT)
    with app.app_context():
        use(PHASE, keys)
        with db.transaction():
            own(alice, weekly_downloads=1_000_000, rank=10)
        mandates.apply(now=NOON)
        assert live(alice) == ["big", "top"]
        becomes(weekly_downloads=1_000_000, rank=13)
        mandates.apply(now=NOON)
        mandates.apply(now=NOON + 90 * DAY)
        assert live(alice) == ["big"]
        with db.transaction():
            mandate = mandates.in_force(alice.id, now=NOON + 90 * DAY)
    assert mandate is not None
    assert mandate.strength is Strength.ANY_SECOND_FACTOR
    assert "no longer" not in " ".join(subjects(app, alice))


def test_a_phase_made_stricter_is_told_and_made_weaker_changes_nothing_given(
    app: Flask, make_account: MakeAccount, outbox: Outbox
) -> None:
    alice = make_account()
    with app.app_context():
        use(PHASE)
        with db.transaction():
            own(alice, weekly_downloads=1_000_000)
        mandates.apply(now=NOON)
        stricter = replace(PHASE, strength=Strength.PHISHING_RESISTANT)
        use(stricter)
        assert mandates.apply(now=NOON) == 1
        use(replace(PHASE, enforced_from=BEGINS + DAY))
        assert mandates.apply(now=NOON) == 0
        with db.transaction():
            mandate = mandates.upcoming(alice.id, now=NOON)
        assert phases.current() != (stricter,)
    assert mandate is not None
    assert (mandate.strength, mandate.enforced_from) == (Strength.PHISHING_RESISTANT, BEGINS)
    assert len(outbox.to(alice.email)) == 2


def test_a_package_named_by_a_phase_is_found_in_any_spelling_and_without_figures(
    app: Flask, make_account: MakeAccount
) -> None:
    alice, bob = make_account("alice"), make_account("bob")
    rule = {"packages": ["pypi:Foo_Bar", "npm:release-tool"], "enforced_from": NOON, "announced": NOON}
    with app.app_context():
        use(phases.of_rule("named", rule))
        with db.transaction() as session:
            for person, ecosystem, package in ((alice, "pypi", "foo-bar"), (bob, "npm", "release-tool")):
                line = {"account": person.username, "account_id": person.id, "role": "owner", "accepted_at": NOON}
                session.add(Ownership(ecosystem=ecosystem, package=package, **line))
        with db.transaction():
            assert mandates.plan(as_of=NOON, now=NOON).phases[0].accounts == 2
        for day in (0, 1, 92):
            mandates.apply(now=NOON + day * DAY)
            assert [live(person) for person in (alice, bob)] == [["named"], ["named"]]


def test_whoever_registers_is_covered_by_a_named_package_without_figures(app: Flask) -> None:
    with app.app_context():
        use(phases.of_rule("named", {"packages": ["npm:release-tool"], "enforced_from": NOON, "announced": NOON}))
        with db.transaction() as session:
            line = {"account": "cid", "role": "owner", "accepted_at": NOON}
            session.add(Ownership(ecosystem="npm", package="release-tool", **line))
    with request_to(app):
        account_id = accounts.create(username="cid", now=NOON)
        mandates.link_account(account_id, "cid", now=NOON)
        assert mandates.has_mandate(account_id)


def test_a_phase_taken_away_leaves_what_it_gave_also_to_whom_nothing_kept_in(
    app: Flask, make_account: MakeAccount
) -> None:
    alice = make_account("alice")
    with app.app_context():
        use(PHASE)
        with db.transaction():
            own(alice, weekly_downloads=1_000_000)
        mandates.apply(now=NOON)
        becomes(weekly_downloads=1)
        mandates.apply(now=NOON + DAY)
        use()
        for day in (2, 92):
            mandates.apply(now=NOON + day * DAY)
        assert live(alice) == ["big"]
        use(PHASE)  # put back, it counts the 90 days anew
        for day in (93, 182):
            mandates.apply(now=NOON + day * DAY)
        assert live(alice) == ["big"]
        mandates.apply(now=NOON + 183 * DAY)
        assert live(alice) == []
