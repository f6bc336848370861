"""The console's page on mandates: figures, who is stopped, exemptions by two people (POLICY 12, 13)."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
from flask import Flask
from sqlalchemy import event, insert

from authsvc import accounts, audit, freezes, mandates
from authsvc.audit import EventType
from authsvc.core import db
from authsvc.core.errors import BadInput, NotFound
from authsvc.mandates.exemptions import ExemptionView
from authsvc.mandates.models import FiguresRow
from authsvc.policy.cohort import Cohort, Phase
from authsvc.policy.freeze import FreezeCause
from authsvc.staff.mandates import PEOPLE_ON_PAGE
from tests.conftest import Clock
from tests.people import BASE_URL, FIREFOX, Outbox, Person, Visitor
from tests.slices import new_account, request_to
from tests.staff.conftest import Colleague

MakeAccount = Callable[..., Person]
PAGE = "/staff/mandates"
PEOPLE = "/staff/mandates/people"
PLAN = "/staff/mandates/plan"
EXEMPTIONS = "/staff/mandates/exemptions"
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


# Exemptions


def proposes(colleague: Colleague, name: str = "alice", until: str = "2026-12-24", reason: str = WHY) -> str:
    """Fill in the form and answer the step-up; gives what came back, or where it led."""
    asked = colleague.visitor.post(EXEMPTIONS, account=name, reason=reason, until=until)
    if asked.status_code != 303:
        return asked.text
    done = colleague.proves(asked.location)
    return done.location or done.text


def decides(colleague: Colleague, number: int, decision: str = "approve") -> str:
    """The same for a proposal."""
    asked = colleague.visitor.post(f"{EXEMPTIONS}/{number}", decision=decision)
    if asked.status_code != 303:
        return asked.text
    done = colleague.proves(asked.location)
    return done.location or done.text


def exempt(app: Flask, clock: Clock) -> list[ExemptionView]:
    """Exemptions that stand."""
    with request_to(app):
        return mandates.standing_exemptions(now=clock.now)


def logged(app: Flask, person: Person) -> list[tuple[EventType, object, object]]:
    """What the log of the account says of exemptions, newest first: what, by which people, why."""
    types = {
        EventType.MANDATE_EXEMPTED,
        EventType.MANDATE_EXEMPTION_PROPOSED,
        EventType.MANDATE_EXEMPTION_REFUSED,
    }
    with request_to(app):
        found = [event for event in audit.events(person.id) if event.type in types]
    return [(event.type, event.detail["staff"], event.detail["reason"]) for event in found]


@pytest.mark.attack("A13")
def test_an_exemption_takes_two_people_and_is_mailed_and_logged_with_both_names(
    app: Flask, alice: Person, sam: Colleague, sue: Colleague, outbox: Outbox, clock: Clock
) -> None:
    assert proposes(sam) == f"{EXEMPTIONS}?done=proposed"
    assert exempt(app, clock) == []
    assert outbox.to(alice.email) == []
    assert "1 to approve" in sue.visitor.get(PAGE).text
    seen = sue.visitor.get(EXEMPTIONS).text
    assert WHY in seen
    assert "Proposed by sam" in seen
    assert decides(sue, 1) == f"{EXEMPTIONS}?done=approved"
    (one,) = exempt(app, clock)
    assert (one.username, one.reason, one.set_by) == ("alice", WHY, "sam, sue")
    assert (one.starts_at, one.until) == (clock.now, datetime(2026, 12, 24, tzinfo=UTC))
    mail = outbox.to(alice.email)[-1]
    assert mail["Subject"] == "Your account alice is exempt for a while"
    assert WHY in mail.get_content()
    assert logged(app, alice) == [
        (EventType.MANDATE_EXEMPTED, "sam, sue", WHY),
        (EventType.MANDATE_EXEMPTION_PROPOSED, "sam", WHY),
    ]
    assert "Nothing to approve" in sue.visitor.get(EXEMPTIONS).text
    assert "sam, sue" in sue.visitor.get(PAGE).text


@pytest.mark.attack("A03")
def test_whoever_proposed_it_does_not_approve_it_but_takes_it_back(
    app: Flask, alice: Person, sam: Colleague, sue: Colleague, clock: Clock
) -> None:
    proposes(sam)
    page = sam.visitor.get(EXEMPTIONS).text
    assert "It takes another person now" in page
    assert 'value="approve"' not in page
    assert "It takes another person now" in decides(sam, 1)
    with request_to(app):
        assert mandates.decide_exemption(1, staff_id=sam.person.id, approve=True, now=clock.now) is not None
    assert exempt(app, clock) == []
    assert decides(sam, 1, "refuse") == f"{EXEMPTIONS}?done=refused"
    assert "was decided" in decides(sue, 1)
    assert exempt(app, clock) == []
    assert logged(app, alice)[0] == (EventType.MANDATE_EXEMPTION_REFUSED, "sam", WHY)


@pytest.mark.attack("A03")
@pytest.mark.parametrize(("name", "why"), [("sue", "about your own account"), ("alice", "maintain a package together")])
def test_neither_the_target_nor_its_co_owners_propose_or_approve(
    name: str,
    why: str,
    app: Flask,
    alice: Person,
    sam: Colleague,
    sue: Colleague,
    share: Callable[..., None],
    clock: Clock,
) -> None:
    share("left-pad", alice, sue.person, for_days=1 / 24)
    assert why in proposes(sue, name)
    assert proposes(sam, name) == f"{EXEMPTIONS}?done=proposed"
    assert why in sue.visitor.get(EXEMPTIONS).text
    assert why in decides(sue, 1)
    assert exempt(app, clock) == []


def test_joining_a_package_between_the_form_and_the_key_counts(
    app: Flask, alice: Person, sam: Colleague, sue: Colleague, share: Callable[..., None], clock: Clock
) -> None:
    asked = sam.visitor.post(EXEMPTIONS, account="alice", reason=WHY, until="2026-12-24").location
    share("left-pad", alice, sam.person, for_days=0)
    assert "maintain a package together" in sam.proves(asked).text
    assert "Nothing to approve" in sue.visitor.get(EXEMPTIONS).text


@pytest.mark.parametrize("way", ["mark", "disabled", "frozen", "package"])
def test_a_proposal_of_somebody_who_has_no_say_any_more_is_not_approved(
    way: str, app: Flask, alice: Person, sam: Colleague, sue: Colleague, share: Callable[..., None], clock: Clock
) -> None:
    proposes(sam)
    with request_to(app):
        if way == "mark":
            accounts.set_staff(sam.person.id, is_staff=False)
        if way == "disabled":
            accounts.set_disabled(sam.person.id, now=clock.now)
        if way == "frozen":
            past = clock.now - DAY
            freezes.begin(sam.person.id, FreezeCause.OWNER, disputed_at=past, client=None, now=clock.now)
    if way == "package":
        share("left-pad", alice, sam.person, for_days=0)
    assert "does not count any more" in decides(sue, 1)
    assert exempt(app, clock) == []


def test_where_one_person_alone_has_a_key_it_begins_a_day_later(
    app: Flask, alice: Person, sam: Colleague, outbox: Outbox, clock: Clock
) -> None:
    assert "24 hours after you confirm it" in sam.visitor.get(EXEMPTIONS).text
    begin = clock.now
    assert proposes(sam) == f"{EXEMPTIONS}?done=alone"
    (mail,) = outbox.to(alice.email)
    assert mail["Subject"] == "Your account alice is exempt for a while"
    assert "another may stop it until then" in mail.get_content()
    assert "Begins in 1 day" in sam.visitor.get(EXEMPTIONS).text
    clock.now = begin + DAY - timedelta(seconds=1)
    carry_out(app, clock)
    assert exempt(app, clock) == []
    clock.now = begin + DAY
    carry_out(app, clock)
    carry_out(app, clock)
    (one,) = exempt(app, clock)
    assert (one.starts_at, one.set_by, one.reason) == (begin + DAY, "sam", WHY)
    assert len(outbox.to(alice.email)) == 1
    assert logged(app, alice)[0] == (EventType.MANDATE_EXEMPTED, "sam", WHY)


def carry_out(app: Flask, clock: Clock) -> None:
    """What the worker does every minute."""
    with app.app_context():
        mandates.carry_out_proposals(now=clock.now)


@pytest.mark.attack("A13")
def test_a_colleague_who_has_a_key_by_then_has_to_approve_it(
    app: Flask,
    alice: Person,
    sam: Colleague,
    make_colleague: Callable[[str], Colleague],
    outbox: Outbox,
    clock: Clock,
) -> None:
    proposes(sam)
    sue = make_colleague("sue")
    clock.advance(days=1)
    carry_out(app, clock)
    assert exempt(app, clock) == []
    sue.visitor.sign_in(sue.person)
    assert decides(sue, 1, "refuse") == f"{EXEMPTIONS}?done=refused"
    carry_out(app, clock)
    assert exempt(app, clock) == []
    assert outbox.to(alice.email)[-1]["Subject"] == "Your account alice is no longer exempt"


def test_somebody_alone_who_maintains_a_package_with_it_by_then_exempts_nobody(
    app: Flask, alice: Person, sam: Colleague, share: Callable[..., None], clock: Clock
) -> None:
    proposes(sam)
    share("left-pad", alice, sam.person, for_days=0)
    clock.advance(days=1)
    carry_out(app, clock)
    assert exempt(app, clock) == []


def test_one_person_takes_an_exemption_back_and_the_owner_is_told(
    app: Flask, alice: Person, sam: Colleague, sue: Colleague, outbox: Outbox, clock: Clock
) -> None:
    proposes(sam)
    decides(sue, 1)
    assert "Take back" in sue.visitor.get(EXEMPTIONS).text
    asked = sue.visitor.post(f"{EXEMPTIONS}/end", account="alice").location
    assert "Take the exemption of alice back" in sue.visitor.get(asked).text
    assert len(exempt(app, clock)) == 1
    again = sam.visitor.post(f"{EXEMPTIONS}/end", account="alice").location
    assert sue.proves(asked).location == f"{EXEMPTIONS}?done=ended"
    assert exempt(app, clock) == []
    assert outbox.to(alice.email)[-1]["Subject"] == "Your account alice is no longer exempt"
    with request_to(app):
        event = audit.events(alice.id)[0]
    assert (event.type, event.detail["staff"]) == (EventType.MANDATE_EXEMPTION_ENDED, "sue")
    assert "is not exempt any more" in sam.proves(again).text
    assert sam.visitor.post(f"{EXEMPTIONS}/end", account="nobody").status_code == 400


def test_of_two_people_who_approve_at_one_instant_one_counts(
    app: Flask,
    alice: Person,
    sam: Colleague,
    sue: Colleague,
    make_colleague: Callable[[str], Colleague],
    outbox: Outbox,
    clock: Clock,
) -> None:
    proposes(sam)
    sent = []
    for one in (sue, make_colleague("sid")):
        step_up = one.visitor.post(f"{EXEMPTIONS}/1", decision="approve").location
        assert one.person.key is not None
        one.person.key.user_verified = True
        form = {"way": "key", "credential": one.person.key.answer(one.visitor.post(f"{step_up}/key").text)}
        sent.append((step_up, {"csrf_token": one.visitor.csrf(), **form}, one.visitor.cookies()))
    together = Barrier(2)

    def approve(step_up: str, form: dict[str, str], cookies: str) -> int:
        together.wait(timeout=10)
        headers = {"Cookie": cookies, "User-Agent": FIREFOX}
        browser = app.test_client(use_cookies=False)
        return browser.post(step_up, data=form, base_url=BASE_URL, headers=headers).status_code

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(lambda one: approve(*one), sent)) == [303, 404]
    assert len(exempt(app, clock)) == 1
    assert len(outbox.to(alice.email)) == 1


def test_a_proposal_lasts_two_weeks(app: Flask, alice: Person, sam: Colleague, sue: Colleague, clock: Clock) -> None:
    proposes(sam, until="2027-06-01")
    clock.advance(days=14, seconds=-1)
    with request_to(app):
        assert mandates.exemption_proposal(1, staff_id=sue.person.id, now=clock.now).no_vote is None
    clock.advance(seconds=1)
    with request_to(app), pytest.raises(NotFound):
        mandates.exemption_proposal(1, staff_id=sue.person.id, now=clock.now)
    with request_to(app), pytest.raises(NotFound):
        mandates.decide_exemption(1, staff_id=sue.person.id, approve=True, now=clock.now)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"account": "nobody"}, "There is no account of this name."),
        ({"reason": "x" * 9}, "Give a reason of 10 to 400 characters."),
        ({"reason": "x" * 401}, "Give a reason of 10 to 400 characters."),
        ({"reason": "x" * 10}, None),
        ({"until": ""}, "Choose a day from the day after tomorrow on"),
        ({"until": "tomorrow"}, "Choose a day from the day after tomorrow on"),
        ({"until": "2026-11-25"}, "Choose a day from the day after tomorrow on"),
        ({"until": "2026-11-26"}, None),
        ({"until": "2027-11-24"}, None),
        ({"until": "2027-11-25"}, "Choose a day from the day after tomorrow on"),
    ],
)
def test_a_proposal_takes_account_reason_and_end_and_what_was_typed_stays(
    fields: dict[str, str], problem: str | None, alice: Person, sam: Colleague, sue: Colleague
) -> None:
    sent = {"account": "alice", "reason": WHY, "until": "2026-12-24", **fields}
    answer = sam.visitor.post(EXEMPTIONS, **sent)
    assert answer.status_code == (303 if problem is None else 422)
    if problem is not None:
        assert problem in answer.text
        assert f">{sent['reason']}</textarea>" in answer.text


def test_an_exemption_ends_between_a_day_and_a_year_from_now(app: Flask, clock: Clock) -> None:
    second = timedelta(seconds=1)
    for until in (clock.now + DAY + second, clock.now + 365 * DAY):
        mandates.check_end(until, now=clock.now)
    for until in (clock.now + DAY, clock.now + 365 * DAY + second):
        with pytest.raises(BadInput):
            mandates.check_end(until, now=clock.now)


def test_the_key_confirms_this_account_this_reason_and_this_end(
    app: Flask, alice: Person, sam: Colleague, sue: Colleague, clock: Clock
) -> None:
    asked = sam.visitor.post(EXEMPTIONS, account="alice", reason=WHY, until="2026-12-24").location
    page = sam.visitor.get(asked).text
    for words in ("Propose to ask alice for no second step", "24 December 2026", WHY):
        assert words in page
    assert sam.visitor.post(asked, way="password", password=sam.person.password).status_code == 401
    assert "Nothing to approve" in sue.visitor.get(EXEMPTIONS).text
    sam.proves(asked)
    step_up = sue.visitor.post(f"{EXEMPTIONS}/1", decision="approve").location
    page = sue.visitor.get(step_up).text
    for words in ("Ask alice for no second step", "24 December 2026", WHY, "sam"):
        assert words in page
    assert sue.visitor.post(f"{EXEMPTIONS}/1", decision="perhaps").status_code == 400


def test_two_names_of_the_greatest_length_are_kept(
    app: Flask, alice: Person, make_colleague: Callable[[str], Colleague], clock: Clock
) -> None:
    names = ["a" * 39, "b" * 39]
    one, two = (make_colleague(name) for name in names)
    proposes(one)
    decides(two, 1)
    assert [view.set_by for view in exempt(app, clock)] == [", ".join(names)]


def test_the_owner_reads_of_it_in_words(
    alice: Person, sam: Colleague, sue: Colleague, new_client: Callable[[], Visitor]
) -> None:
    proposes(sam)
    decides(sue, 1)
    owner = new_client()
    owner.sign_in(alice)
    page = owner.get("/account/log?show=staff").text
    assert f"A second step is not asked for, for a while: {WHY.rstrip('.')}, by the people who run this service" in page
    assert f"Not to ask for a second step for a while was proposed: {WHY.rstrip('.')}" in page


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
