"""The console's page on mandates: figures, who is stopped, exemptions by two people (POLICY 12, 13)."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import insert

from authsvc import mandates
from authsvc.core import db
from authsvc.mandates.models import FiguresRow
from authsvc.policy.cohort import Cohort, Phase
from authsvc.staff.mandates import PEOPLE_ON_PAGE
from tests.conftest import Clock
from tests.people import Person
from tests.slices import new_account, request_to
from tests.staff.conftest import Colleague

MakeAccount = Callable[..., Person]
PAGE = "/staff/mandates"
DAY = timedelta(days=1)


@pytest.fixture
def team(app: Flask, clock: Clock) -> Callable[..., None]:
    """Make one phase of named accounts, from a day on, and give its mandates."""

    def made(*names: str, enforced_from: datetime, name: str = "team") -> None:
        phase = Phase(
            name=name,
            cohort=Cohort(accounts=frozenset(names)),
            announced=datetime(2020, 1, 1, tzinfo=UTC),
            enforced_from=enforced_from,
        )
        with request_to(app):
            mandates.change_phases([phase], reason="A test", set_by="test", now=clock.now)
        with app.app_context():
            mandates.apply(now=clock.now)

    return made


def listed(page: str) -> list[str]:
    """The names in the list of people."""
    return re.findall(r'<strong class="address">([\w-]+)</strong> <span class="muted">', page)


def test_without_anything_each_part_says_what_would_be_there(app: Flask, sam: Colleague) -> None:
    page = sam.visitor.get(PAGE).text
    for words in ("Nobody is covered", "Nothing was kept yet", "nobody will be stopped", "Nobody is exempt"):
        assert words in page
    assert "has what is asked for" in sam.visitor.get(f"{PAGE}?show=now").text
    assert 'href="/staff/mandates"' in sam.visitor.get("/staff").text


def test_a_bar_says_who_complies_with_what_and_who_is_stopped(
    sam: Colleague, make_account: MakeAccount, team: Callable[..., None], clock: Clock
) -> None:
    for name, wishes in (("ann", {"totp_app": True}), ("bea", {"key": True}), ("cid", {}), ("dan", {})):
        make_account(name, **wishes)
    team("ann", "bea", "cid", "dan", enforced_from=clock.now)
    page = sam.visitor.get(PAGE).text
    assert "<strong>2 of 4 comply</strong> (50 %): 1 one key, 1 an app, 2 nothing yet." in page
    assert '<title id="bar1-title">team: 50 % comply</title>' in page
    assert "Of 4: 0 with two keys or more, 1 with one key, 1 with an app, 2 with nothing yet, 2 stopped." in page
    assert '<rect class="none" x="50.0" width="50.0" height="6"/>' in page
    assert listed(sam.visitor.get(f"{PAGE}?show=now").text) == ["cid", "dan"]
    assert listed(page) == []


def test_people_are_about_to_be_stopped_from_thirty_days_before_the_day_to_the_day(
    sam: Colleague, make_account: MakeAccount, team: Callable[..., None], clock: Clock
) -> None:
    make_account("cid")
    team("cid", enforced_from=clock.now + 30 * DAY + timedelta(seconds=1))
    assert listed(sam.visitor.get(PAGE).text) == []
    clock.advance(seconds=1)
    assert listed(sam.visitor.get(PAGE).text) == ["cid"]
    clock.advance(days=30, seconds=-1)
    sam.visitor.sign_in(sam.person)
    assert listed(sam.visitor.get(PAGE).text) == ["cid"]
    assert listed(sam.visitor.get(f"{PAGE}?show=now").text) == []
    clock.advance(seconds=1)
    assert listed(sam.visitor.get(PAGE).text) == []
    assert listed(sam.visitor.get(f"{PAGE}?show=now").text) == ["cid"]


def test_whoever_is_exempt_is_stopped_when_that_ends(
    app: Flask, sam: Colleague, make_account: MakeAccount, team: Callable[..., None], clock: Clock
) -> None:
    cid = make_account("cid")
    team("cid", enforced_from=clock.now - DAY)
    until = clock.now + 10 * DAY
    with request_to(app):
        mandates.exempt(cid.id, reason="Travels.", until=until, set_by="operator", starts_at=clock.now, now=clock.now)
    page = sam.visitor.get(PAGE).text
    assert listed(page) == ["cid"]
    assert page.count(until.strftime("%Y-%m-%dT%H:%M:%SZ")) == 2  # among the people, and among the exemptions
    assert "Travels." in page
    assert listed(sam.visitor.get(f"{PAGE}?show=now").text) == []


def test_many_people_come_in_pages(app: Flask, sam: Colleague, team: Callable[..., None], clock: Clock) -> None:
    names = [f"person-{n:02}" for n in range(PEOPLE_ON_PAGE + 1)]
    for name in names:
        new_account(app, name)
    team(*names, enforced_from=clock.now)
    first = sam.visitor.get(f"{PAGE}?show=now").text
    assert listed(first) == names[:-1]
    assert "Page 1 of 2." in first
    assert f'href="{PAGE}?show=now&amp;page=2#people"' in first
    for page in ("2", "9", "999999"):
        assert listed(sam.visitor.get(f"{PAGE}?show=now&page={page}").text) == names[-1:]
    for page in ("0", "x", "-1", "²"):
        assert listed(sam.visitor.get(f"{PAGE}?show=now&page={page}").text) == names[:-1]


def test_the_trend_is_drawn_without_a_style_of_its_own_and_stands_in_a_table(
    app: Flask, sam: Colleague, clock: Clock
) -> None:
    today = clock.now.date()
    rows = [
        {"day": today - n * DAY, "phase": "team", "accounts": 40, "met": 40 - n, "stopped": 0}
        | dict.fromkeys(("with_two_keys", "with_key", "with_app"), 0)
        for n in range(30)
    ]
    with request_to(app):
        db.session().execute(insert(FiguresRow), rows)
    page = sam.visitor.get(PAGE).text
    assert '<desc id="trend-description">team: 27 % to 100 %.</desc>' in page
    assert "<style" not in page
    assert page.count("<polyline") == 1
    assert "40 (100 %)" in page
    assert page.count('<p class="hint">team</p>') == 10  # every third day


def test_phases_that_cannot_be_read_are_told_of(app: Flask, sam: Colleague) -> None:
    (app.extensions["authsvc.settings"].instance / "mandates.toml").write_text("[team]\nenforced_from = 'soon'")
    answer = sam.visitor.get(PAGE)
    assert answer.status_code == 503
    assert "The phases cannot be read" in answer.text
    assert "is not a date" in answer.text
