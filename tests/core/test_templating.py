"""The words a page shows for dates, distances in time and codes."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import pytest
from flask import Flask, render_template_string

from authsvc.core import templating

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Event:
    at: datetime


def test_a_time_is_written_with_its_zone() -> None:
    assert templating.date_words(datetime(2026, 11, 3, 14, 5, tzinfo=UTC)) == "3 November 2026, 14:05 UTC"


def test_a_plain_date_is_written_without_a_time() -> None:
    assert templating.date_words(date(2026, 2, 28)) == "28 February 2026"


@pytest.mark.parametrize(
    ("distance", "words"),
    [
        (timedelta(0), "just now"),
        (timedelta(seconds=-59), "just now"),
        (timedelta(seconds=-60), "1 minute ago"),
        (timedelta(seconds=-119), "1 minute ago"),
        (timedelta(minutes=-3), "3 minutes ago"),
        (timedelta(minutes=-59, seconds=-59), "59 minutes ago"),
        (timedelta(hours=-1), "1 hour ago"),
        (timedelta(hours=-23, minutes=-59), "23 hours ago"),
        (timedelta(days=-1), "1 day ago"),
        (timedelta(days=-29), "29 days ago"),
        (timedelta(days=-30), "1 month ago"),
        (timedelta(days=-364), "12 months ago"),
        (timedelta(days=-365), "1 year ago"),
        (timedelta(days=-800), "2 years ago"),
        (timedelta(seconds=1), "in less than a minute"),
        (timedelta(seconds=60), "in 1 minute"),
        (timedelta(minutes=9, seconds=59), "in 9 minutes"),
        (timedelta(hours=72), "in 3 days"),
        (timedelta(days=2, hours=23), "in 2 days"),
    ],
)
def test_distances_are_whole_units_rounded_down(distance: timedelta, words: str) -> None:
    assert templating.relative(NOON + distance, NOON) == words


def test_events_are_grouped_by_day_and_keep_their_order() -> None:
    late, early, before = (Event(NOON + timedelta(hours=h)) for h in (3, 1, -14))
    assert templating.by_day([late, early, before]) == [
        (date(2026, 11, 23), [late, early]),
        (date(2026, 11, 22), [before]),
    ]


def test_no_events_make_no_day() -> None:
    assert templating.by_day([]) == []


@pytest.mark.parametrize(
    ("code", "words"),
    [("1234567890123456", "1234 5678 9012 3456"), ("1234-5678 90", "1234 5678 90"), ("", "")],
)
def test_codes_are_written_in_fours(code: str, words: str) -> None:
    assert templating.in_fours(code) == words


def test_templates_know_the_filters() -> None:
    app = Flask(__name__)
    templating.register(app)
    with app.app_context():
        page = render_template_string("{{ at|date_words }}, {{ at|relative(now) }}", at=NOON, now=NOON)
    assert page == "23 November 2026, 12:00 UTC, just now"
