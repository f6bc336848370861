"""A year, day by day: packages rise and fall, people comply or not. Nobody flaps, no mail is missed or sent twice."""

import contextlib
import re
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from flask import Flask

from authsvc import mail, mandates, totp
from authsvc.core import db
from authsvc.mandates import exemptions, telling
from authsvc.policy.cohort import Cohort, Phase
from authsvc.policy.mandate import Strength
from tests.conftest import NOON
from tests.mandates.test_membership import becomes, live, own, use
from tests.people import Person

MakeAccount = Callable[..., Person]
DAY = timedelta(days=1)
ENFORCED, KEYS_FROM, GRACE = 100, 200, 30  # days from the start, and days
KINDS = ("announced", "reminder", "enforced", "ended", "exempted")
ANY = Phase(
    name="any",
    cohort=Cohort(weekly_downloads=1_000_000),
    announced=NOON + 10 * DAY,
    enforced_from=NOON + ENFORCED * DAY,
    grace=GRACE * DAY,
)
KEYS = Phase(
    name="keys",
    cohort=Cohort(weekly_downloads=5_000_000),
    announced=NOON + 10 * DAY,
    enforced_from=NOON + KEYS_FROM * DAY,
    strength=Strength.PHISHING_RESISTANT,
    grace=GRACE * DAY,
)
# Downloads by day, in thousands; a figure holds until the next one.
FIGURES = {
    "steady": {0: 2_000},
    "complies": {0: 2_000},
    "giant": {0: 9_000},
    "wobbles": {day: 1_000 if day % 2 else 801 for day in range(365)},
    "dips": {0: 1_200, 120: 500, 200: 900, 210: 500, 290: 1_200},  # never below for 90 days
    "falls": {0: 1_200, 150: 100},
    "returns": {0: 1_200, 20: 100, 130: 1_200},
    "late": {0: 10, 95: 1_500},
    "after": {0: 10, 250: 1_500},
    "near": {0: 999},
    "exempt": {0: 2_000},
}
COMPLIES_ON, EXEMPT_ON, EXEMPT_UNTIL = 80, 90, 160


def told(person: Person) -> list[tuple[int, str]]:
    """By day, what mails about mandates said; the subject without the name."""
    with db.transaction():
        kinds = [f"mandate_{kind}" for kind in KINDS]
        notices = mail.notices([person.id], kinds=kinds, since=NOON)
        return [
            (
                (n.written_at - NOON).days,
                re.sub("^A (second step|key or passkey) is ", "", n.subject).replace(f" for {person.username}", ""),
            )
            for n in notices
        ]


@pytest.mark.slow
def test_a_year_day_by_day_brings_every_mail_once_and_nobody_flaps(
    app: Flask, make_account: MakeAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = {name: make_account(name) for name in FIGURES}
    seen: dict[str, list[tuple[int, list[str]]]] = {name: [] for name in FIGURES}
    with app.app_context():
        use(ANY, KEYS)
        with db.transaction():
            for name, person in people.items():
                own(person, name, weekly_downloads=0)
        for day in range(365):
            now = NOON + day * DAY
            for name, figures in FIGURES.items():
                if day in figures:
                    becomes(name, weekly_downloads=figures[day] * 1000)
            if day == COMPLIES_ON:
                with db.transaction():
                    seed = totp.new_seed()
                    totp.enrol(people["complies"].id, seed, 0, label="App", browser_known_for=DAY, now=now)
            if day == EXEMPT_ON:
                exempt(people["exempt"], now)
            if day % 50 == 49:
                die_while_telling(monkeypatch, now)
            for _ in range(1 + day % 3):  # the worker comes by once or several times a day
                mandates.apply(now=now)
            for name, person in people.items():
                phases = live(person)
                if not seen[name] or seen[name][-1][1] != phases:
                    seen[name].append((day, phases))
        mails = {name: told(person) for name, person in people.items()}
    in_any = [(0, []), (10, ["any"])]
    assert seen == {
        "steady": in_any,
        "complies": in_any,
        "giant": [(0, []), (10, ["any", "keys"])],
        "wobbles": [(0, []), (11, ["any"])],
        "dips": in_any,
        "falls": [*in_any, (240, [])],
        "returns": [*in_any, (110, []), (130, ["any"])],
        "late": [(0, []), (95, ["any"])],
        "after": [(0, []), (250, ["any"])],
        "near": [(0, [])],
        "exempt": in_any,
    }
    announced, now_required = (10, "required"), (ENFORCED, "now required")
    reminded = [(ENFORCED - days, f"required in {days} days") for days in (30, 7)]
    reminded.append((ENFORCED - 1, "required tomorrow"))
    keys = [(KEYS_FROM - days, f"required in {days} days") for days in (30, 7)]
    keys += [(KEYS_FROM - 1, "required tomorrow"), (KEYS_FROM, "now required")]
    everything = [announced, *reminded, now_required]
    assert mails == {
        "steady": everything,
        "complies": [announced, reminded[0]],
        "giant": [announced, announced, *reminded, now_required, *keys],
        "wobbles": [(11, "required"), *reminded, now_required],
        "dips": everything,
        "falls": [*everything, (240, "no longer required")],
        "returns": [announced, *reminded, now_required, (110, "no longer required"), *with_grace(130)],
        "late": with_grace(95),
        "after": with_grace(250),
        "near": [],
        "exempt": [
            announced,
            reminded[0],
            (EXEMPT_ON, "Your account exempt is exempt for a while"),
            (EXEMPT_UNTIL - 30, "required in 30 days"),
            (EXEMPT_UNTIL - 7, "required in 7 days"),
            (EXEMPT_UNTIL - 1, "required tomorrow"),
            (EXEMPT_UNTIL, "now required"),
        ],
    }


def with_grace(day: int) -> list[tuple[int, str]]:
    """What somebody hears who comes in too late to have more time than the grace."""
    left = [(day + GRACE - days, f"required in {days} days") for days in (7,)]
    return [(day, "required"), *left, (day + GRACE - 1, "required tomorrow"), (day + GRACE, "now required")]


def exempt(person: Person, now: datetime) -> None:
    """Two days' notice, then nothing is asked for a while."""
    with db.transaction():
        exemptions.exempt(
            person.id,
            reason="Travels.",
            until=NOON + EXEMPT_UNTIL * DAY,
            set_by="operator",
            starts_at=now + DAY,
            now=now,
        )


def die_while_telling(monkeypatch: pytest.MonkeyPatch, now: datetime) -> None:
    """The worker is killed after the first mail of a batch was written and before anything was committed."""

    def dies(*arguments: object, **values: object) -> int:
        written(*arguments, **values)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    written = mail.notify
    with monkeypatch.context() as patched:
        patched.setattr(mail, "notify", dies)
        with contextlib.suppress(KeyboardInterrupt):
            telling.tell_due(now=now)
