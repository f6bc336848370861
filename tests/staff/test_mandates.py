"""The console's page on mandates: figures, who is stopped, what another day would do (POLICY 12)."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import event, insert

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
PEOPLE = "/staff/mandates/people"
PLAN = "/staff/mandates/plan"
WHY = "Travels for a month without a key."
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
    for words in ("Not counted yet", "Nothing was kept yet", "Nobody is exempt"):
        assert words in page
    assert "nobody will be stopped" in sam.visitor.get(PEOPLE).text
    assert "has what is asked for" in sam.visitor.get(f"{PEOPLE}?show=now").text
    assert "Nobody is covered" in sam.visitor.get(PLAN).text
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
    assert listed(sam.visitor.get(f"{PEOPLE}?show=now").text) == ["cid", "dan"]
    assert listed(sam.visitor.get(PEOPLE).text) == []


def test_the_page_shows_what_was_counted_last_and_says_when_and_the_plan_what_is_so_now(
    app: Flask, sam: Colleague, make_account: MakeAccount, team: Callable[..., None], clock: Clock
) -> None:
    make_account("ann")
    team("ann", "bea", enforced_from=clock.now + 60 * DAY)
    clock.advance(hours=20)
    make_account("bea", totp_app=True)
    with app.app_context():
        mandates.apply(now=clock.now)
    clock.advance(hours=12)
    sam.visitor.sign_in(sam.person)
    page = sam.visitor.get(PAGE).text
    assert "As the worker counted them on 25 November 2026." in page
    assert "<strong>1 of 2 comply</strong>" in page
    make_account("cid")
    team("cid", enforced_from=clock.now + 60 * DAY, name="other")
    page = sam.visitor.get(PAGE).text
    assert "<strong>1 of 2 comply</strong>" in page
    assert "<h3>other</h3>\n<p>Not counted yet" in page
    assert "By hand, or by a phase that there is no more." in page
    assert "<strong>0 of 1 comply</strong>" in sam.visitor.get(PLAN).text


def test_a_phase_that_is_announced_later_stands_there_and_the_plan_of_a_day_says_what_it_does(
    app: Flask, sam: Colleague, make_account: MakeAccount, clock: Clock
) -> None:
    make_account("ann", totp_app=True)
    for name in ("bea", "cid"):
        make_account(name)
    members = Cohort(accounts=frozenset({"ann", "bea", "cid"}))
    day = datetime(2026, 12, 24, tzinfo=UTC)
    phase = Phase(name="team", cohort=members, announced=clock.now + timedelta(seconds=1), enforced_from=day)
    with request_to(app):
        mandates.change_phases([phase], reason="A test", set_by="test", now=clock.now)
    page = sam.visitor.get(PAGE).text
    assert "Announced later" in page
    assert f'href="{PLAN}?as-of=2026-12-24"' in page
    assert listed(sam.visitor.get(f"{PLAN}?as-of=2026-12-23").text) == []
    plan = sam.visitor.get(f"{PLAN}?as-of=2026-12-24").text
    assert "<strong>1 of 3 comply</strong> (33 %): 1 an app, 2 nothing yet." in plan
    assert "<dt>people are stopped then</dt><dd>2</dd>" in plan
    assert listed(plan) == ["bea", "cid"]
    assert "Nobody is covered" in sam.visitor.get(PLAN).text
    clock.advance(seconds=1)
    assert "Announced later" not in sam.visitor.get(PAGE).text


@pytest.mark.parametrize(
    ("day", "status"),
    [
        ("2026-11-23", 422),
        ("2026-11-24", 200),
        ("2036-11-21", 200),
        ("2036-11-22", 422),
        ("0001-01-01", 422),
        ("9999-12-31", 422),
        ("soon", 422),
    ],
)
def test_a_plan_is_of_a_day_from_today_on_within_ten_years(day: str, status: int, sam: Colleague) -> None:
    answer = sam.visitor.get(f"{PLAN}?as-of={day}")
    assert answer.status_code == status
    assert ("Choose a day from today on" in answer.text) is (status == 422)


def test_the_overview_counts_no_accounts(app: Flask, sam: Colleague, team: Callable[..., None], clock: Clock) -> None:
    """With half a million accounts each count takes seconds, and people look at it all day."""
    team("sam", enforced_from=clock.now + DAY)
    seen: list[str] = []
    engine = app.extensions["authsvc.engine"]
    event.listen(engine, "before_cursor_execute", lambda *call: seen.append(call[2]))
    sam.visitor.get(PAGE)
    assert seen
    assert not [statement for statement in seen if "sum(" in statement or "count(" in statement]


def test_people_are_about_to_be_stopped_from_thirty_days_before_the_day_to_the_day(
    sam: Colleague, make_account: MakeAccount, team: Callable[..., None], clock: Clock
) -> None:
    make_account("cid")
    team("cid", enforced_from=clock.now + 30 * DAY + timedelta(seconds=1))
    assert listed(sam.visitor.get(PEOPLE).text) == []
    clock.advance(seconds=1)
    assert listed(sam.visitor.get(PEOPLE).text) == ["cid"]
    clock.advance(days=30, seconds=-1)
    sam.visitor.sign_in(sam.person)
    assert listed(sam.visitor.get(PEOPLE).text) == ["cid"]
    assert listed(sam.visitor.get(f"{PEOPLE}?show=now").text) == []
    clock.advance(seconds=1)
    assert listed(sam.visitor.get(PEOPLE).text) == []
    assert listed(sam.visitor.get(f"{PEOPLE}?show=now").text) == ["cid"]


def test_whoever_is_exempt_is_stopped_when_that_ends(
    app: Flask, sam: Colleague, make_account: MakeAccount, team: Callable[..., None], clock: Clock
) -> None:
    cid = make_account("cid")
    team("cid", enforced_from=clock.now - DAY)
    until = clock.now + 10 * DAY
    with request_to(app):
        mandates.exempt(cid.id, reason="Travels.", until=until, set_by="operator", starts_at=clock.now, now=clock.now)
    moment = until.strftime("%Y-%m-%dT%H:%M:%SZ")
    page = sam.visitor.get(PEOPLE).text
    assert listed(page) == ["cid"]
    assert page.count(moment) == 1
    overview = sam.visitor.get(PAGE).text
    assert "Travels." in overview
    assert overview.count(moment) == 1
    assert listed(sam.visitor.get(f"{PEOPLE}?show=now").text) == []


def test_somebody_whom_two_phases_stop_stands_there_once_with_the_first_day(
    app: Flask, sam: Colleague, make_account: MakeAccount, team: Callable[..., None], clock: Clock
) -> None:
    for name in ("ann", "bea"):
        make_account(name)
    team("ann", "bea", enforced_from=clock.now - DAY, name="early")
    team("ann", enforced_from=clock.now - 2 * DAY, name="earlier")
    page = sam.visitor.get(f"{PEOPLE}?show=now").text
    assert listed(page) == ["ann", "bea"]
    assert ">2 people now<" in page
    assert ">earlier</span>" in page


def test_many_people_come_in_pages(app: Flask, sam: Colleague, team: Callable[..., None], clock: Clock) -> None:
    names = [f"person-{n:02}" for n in range(PEOPLE_ON_PAGE + 1)]
    for name in names:
        new_account(app, name)
    team(*names, enforced_from=clock.now)
    first = sam.visitor.get(f"{PEOPLE}?show=now").text
    assert listed(first) == names[:-1]
    assert "Page 1 of 2." in first
    assert f'href="{PEOPLE}?show=now&amp;page=2"' in first
    for page in ("2", "9", "999999"):
        assert listed(sam.visitor.get(f"{PEOPLE}?show=now&page={page}").text) == names[-1:]
    for page in ("0", "x", "-1", "²"):
        assert listed(sam.visitor.get(f"{PEOPLE}?show=now&page={page}").text) == names[:-1]


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


# Another day


def preview(colleague: Colleague, phase: str, day: str) -> str:
    """What the page says of it, in words."""
    page = colleague.visitor.get(f"{PAGE}/preview?phase={phase}&day={day}").text
    return " ".join(re.sub(r"<[^>]+>", " ", page.partition("Nothing is saved.")[2]).split())


def test_a_day_brought_forward_stops_those_who_were_given_it_and_have_nothing(
    app: Flask, sam: Colleague, make_account: MakeAccount, team: Callable[..., None], clock: Clock
) -> None:
    make_account("ann", totp_app=True)
    cid, dan = make_account("cid"), make_account("dan")
    team("ann", "cid", "dan", enforced_from=datetime(2027, 3, 1, tzinfo=UTC))
    until = datetime(2027, 2, 2, tzinfo=UTC)
    with request_to(app):
        mandates.exempt(dan.id, reason=WHY, until=until, set_by="operator", starts_at=clock.now, now=clock.now)
    found = preview(sam, "team", "2027-02-01")
    assert "On 1 February 2027, 00:00 UTC, 0 people would be stopped as it is, and 1 with the change ." in found
    assert "Stopped as well cid A day" in found
    assert "Stopped as well cid dan A day" in preview(sam, "team", "2027-02-02")
    with request_to(app):
        upcoming = mandates.upcoming(cid.id, now=clock.now)
        assert upcoming is not None
        assert upcoming.enforced_from == datetime(2027, 3, 1, tzinfo=UTC)  # nothing was saved


def test_a_day_put_off_lets_only_newcomers_go(
    app: Flask, sam: Colleague, make_account: MakeAccount, team: Callable[..., None], clock: Clock
) -> None:
    make_account("cid")
    team("cid", "dan", enforced_from=datetime(2027, 3, 1, tzinfo=UTC))
    make_account("dan")
    found = preview(sam, "team", "2027-04-01")
    assert "On 1 March 2027, 00:00 UTC, 2 people would be stopped as it is, and 1 with the change ." in found
    assert "No longer stopped that day dan A day" in found
    assert "Nobody is stopped or let go by it that day." in preview(sam, "team", "2027-03-01")


def test_a_preview_takes_a_phase_and_a_day_from_its_announcement_on(
    app: Flask, sam: Colleague, team: Callable[..., None], clock: Clock
) -> None:
    team("cid", enforced_from=clock.now)
    at = f"{PAGE}/preview"
    assert sam.visitor.get(at).status_code == 200
    assert sam.visitor.get(f"{at}?phase=team&day=2020-01-01").status_code == 200
    assert sam.visitor.get(f"{at}?phase=team&day=2019-12-31").status_code == 422
    assert sam.visitor.get(f"{at}?phase=team&day=soon").status_code == 422
    assert sam.visitor.get(f"{at}?phase=none&day=2027-01-01").status_code == 404
    (app.extensions["authsvc.settings"].instance / "mandates.toml").write_text("[team]\nenforced_from = 'soon'")
    assert sam.visitor.get(at).status_code == 503
