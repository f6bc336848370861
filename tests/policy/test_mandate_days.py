"""The days of a mandate: announced, reminded, enforced, rehearsed, exempt."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from authsvc.policy.mandate import Mandate
from authsvc.policy.mandate_days import (
    Announce,
    Days,
    Enforced,
    Exemption,
    Notice,
    Remind,
    effective,
    next_moment,
    notice_due,
    rehearsed,
)

GIVEN = datetime(2026, 11, 1, tzinfo=UTC)
SECOND, DAY, HOUR = timedelta(seconds=1), timedelta(days=1), timedelta(hours=1)
BEGINS = GIVEN + 60 * DAY
DAYS = Days(given_at=GIVEN, enforced_from=BEGINS, reminders=(30, 7, 1))
MANDATE = Mandate(phase="top-100", reason="left-pad", enforced_from=BEGINS)


def told(days: Days, looks: list[datetime]) -> list[tuple[datetime, Notice]]:
    """What a worker tells that looks at these times."""
    at: datetime | None = days.given_at
    found = []
    for now in looks:
        if at is not None and at <= now:
            notice = notice_due(days, told_before=at, now=now)
            at = next_moment(days, now)
            if notice is not None:
                found.append((now, notice))
    return found


def test_who_looks_every_hour_tells_everything_once_and_on_time() -> None:
    looks = [GIVEN + n * HOUR for n in range(24 * 90)]
    assert told(DAYS, looks) == [
        (GIVEN, Announce()),
        (BEGINS - 30 * DAY, Remind(30)),
        (BEGINS - 7 * DAY, Remind(7)),
        (BEGINS - DAY, Remind(1)),
        (BEGINS, Enforced()),
    ]


@pytest.mark.parametrize(("late", "notice"), [(-SECOND, None), (0 * SECOND, Remind(7)), (SECOND, Remind(7))])
def test_a_reminder_is_due_from_its_second_on(late: timedelta, notice: Notice | None) -> None:
    assert notice_due(DAYS, told_before=BEGINS - 7 * DAY, now=BEGINS - 7 * DAY + late) == notice


def test_after_an_outage_one_mail_stands_for_those_that_were_missed() -> None:
    assert told(DAYS, [GIVEN, BEGINS - 12 * HOUR, BEGINS]) == [
        (GIVEN, Announce()),
        (BEGINS - 12 * HOUR, Remind(1)),
        (BEGINS, Enforced()),
    ]
    assert told(DAYS, [BEGINS + DAY]) == [(BEGINS + DAY, Announce())]


def test_what_lies_before_the_mandate_was_given_is_said_by_the_announcement() -> None:
    late = replace(DAYS, given_at=BEGINS - 5 * DAY)
    assert [notice for _, notice in late.moments()] == [Announce(), Remind(1), Enforced()]
    assert [notice for _, notice in replace(DAYS, given_at=BEGINS + DAY).moments()] == [Announce()]


def test_nothing_is_left_to_tell_after_the_day() -> None:
    assert next_moment(DAYS, BEGINS - SECOND) == BEGINS
    assert next_moment(DAYS, BEGINS) is None


def test_an_exemption_puts_the_day_off_to_its_end_and_the_reminders_with_it() -> None:
    exemption = Exemption(starts_at=BEGINS + DAY, until=BEGINS + 20 * DAY)
    assert effective(MANDATE, exemption, exemption.starts_at - SECOND) == MANDATE
    put_off = effective(MANDATE, exemption, exemption.starts_at)
    assert put_off.enforced_from == exemption.until
    assert effective(MANDATE, exemption, exemption.until) == put_off
    assert put_off.in_force(exemption.until)
    assert effective(MANDATE, None, BEGINS) == MANDATE
    days = replace(DAYS, enforced_from=put_off.enforced_from, known_since=exemption.starts_at)
    assert [notice for _, notice in days.moments()] == [Announce(), Remind(7), Remind(1), Enforced()]
    assert notice_due(days, told_before=exemption.starts_at, now=exemption.starts_at) is None


def test_an_exemption_that_ends_before_the_day_changes_nothing() -> None:
    assert effective(MANDATE, Exemption(starts_at=GIVEN, until=BEGINS - DAY), GIVEN) == MANDATE


@pytest.mark.parametrize(
    ("at", "asked"),
    [(-SECOND, False), (0 * SECOND, True), (3 * HOUR - SECOND, True), (3 * HOUR, False)],
)
def test_a_brown_out_asks_in_its_hours_alone(at: timedelta, asked: bool) -> None:
    begin = BEGINS - 10 * DAY
    assert rehearsed(MANDATE, [(begin, begin + 3 * HOUR)], begin + at) is asked


def test_there_is_no_rehearsal_from_the_day_on() -> None:
    window = (BEGINS - HOUR, BEGINS + HOUR)
    assert rehearsed(MANDATE, [window], BEGINS - SECOND)
    assert not rehearsed(MANDATE, [window], BEGINS)
