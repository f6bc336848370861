"""Phases in the console: a look before a change, one person who strengthens, two who weaken (POLICY 13)."""

import html
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask

from authsvc import accounts, freezes, mandates
from authsvc.audit import EventType
from authsvc.audit.models import Event
from authsvc.core import db
from authsvc.core.errors import BadInput, NotFound
from authsvc.mandates import PhaseProposal
from authsvc.policy.cohort import GRACE, PHASES, Cohort, Phase
from authsvc.policy.freeze import FreezeCause
from authsvc.policy.mandate import Strength
from tests.conftest import Clock
from tests.people import Person, Visitor
from tests.slices import at_once, request_to
from tests.staff.conftest import Colleague

MakeAccount = Callable[..., Person]
PAGE = "/staff/mandates/phases"
WHY = "People asked for more time."
DAY = timedelta(days=1)
TEAM = Phase(
    name="team",
    cohort=Cohort(accounts=frozenset({"ann", "bea"})),
    announced=datetime(2026, 1, 1, tzinfo=UTC),
    enforced_from=datetime(2027, 3, 1, 9, 30, tzinfo=UTC),
    grace=GRACE,
)
FORM = {
    "weekly_downloads": "",
    "dependents": "",
    "top": "",
    "by": "either",
    "packages": "",
    "accounts": "ann\nbea",
    "strength": "any_second_factor",
    "announced": "2026-01-01",
    "enforced_from": "2027-03-01",
    "grace_days": "30",
    "reminders": "30, 7, 1",
    "brown_outs": "",
}


@pytest.fixture
def team(app: Flask, clock: Clock) -> Phase:
    """One phase, of two named accounts."""
    with request_to(app):
        mandates.change_phases([TEAM], reason="A test", set_by="test", now=clock.now)
    return TEAM


def words(page: str) -> str:
    """What a page says, without its marks."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def looks(colleague: Colleague, phase: str = "team", **fields: str) -> str:
    """Send the form; the page that comes back."""
    return colleague.visitor.post(f"{PAGE}/change", phase=phase, **FORM | fields).text


def confirms(colleague: Colleague, page: str, reason: str = WHY) -> str:
    """Send on what was looked at and answer the step-up; gives what came back, or where it led."""
    hidden = {name: html.unescape(found[1]) for name in ("name", "old", "new") if (found := _hidden(page, name))}
    asked = colleague.visitor.post(PAGE, reason=reason, **hidden)
    if asked.status_code != 303:
        return asked.text
    done = colleague.proves(asked.location)
    return done.location or done.text


def _hidden(page: str, name: str) -> re.Match[str] | None:
    return re.search(rf'name="{name}" value="([^"]*)"', page.partition('id="found"')[2])


def decides(colleague: Colleague, number: int = 1, decision: str = "approve") -> str:
    """Decide on a proposal by the key."""
    asked = colleague.visitor.post(f"{PAGE}/{number}", decision=decision)
    if asked.status_code != 303:
        return asked.text
    done = colleague.proves(asked.location)
    return done.location or done.text


def current(app: Flask) -> dict[str, Phase]:
    """The phases that hold."""
    with request_to(app):
        return {phase.name: phase for phase in mandates.current_phases()}


def waiting(app: Flask, colleague: Colleague, clock: Clock) -> list[PhaseProposal]:
    """What waits."""
    with request_to(app):
        return mandates.phase_proposals(staff_id=colleague.person.id, now=clock.now)


def test_the_page_shows_every_phase_with_its_rule(sam: Colleague) -> None:
    page = words(sam.visitor.get(PAGE).text)
    for phase in PHASES:
        assert phase.name in page
    assert "1,000,000 downloads a week or more or 500 dependents or more, of those rank 100 or better" in page
    assert "Nothing was changed yet" in page


def test_a_change_is_looked_at_before_it_is_saved(
    app: Flask, sam: Colleague, team: Phase, make_account: MakeAccount, clock: Clock
) -> None:
    make_account("ann", key=True)
    for name in ("bea", "cid"):
        make_account(name)
    page = words(looks(sam, accounts="ann, bea cid", enforced_from="2027-02-01"))
    assert "On 1 February 2027, 00:00 UTC, 0 people would be stopped as it is, and 2 with the change" in page
    for line in ("Covered by team 2 3", "Of those comply 1 1", "Stopped, by any phase 0 2", "Stopped as well bea cid"):
        assert line in page
    assert "(was: 1 March 2027, 09:30 UTC)" in page
    assert current(app) == {"team": team}


def test_what_only_strengthens_takes_one_person_and_is_kept_with_the_old_rule(
    app: Flask, sam: Colleague, sue: Colleague, team: Phase, clock: Clock
) -> None:
    page = looks(sam, accounts="ann bea cid", strength="phishing_resistant")
    assert "your key alone confirms it" in page
    assert confirms(sam, page) == f"{PAGE}?done=changed"
    new = current(app)["team"]
    assert new.cohort.accounts == {"ann", "bea", "cid"}
    assert new.enforced_from == team.enforced_from  # the day was left, and with it the hour
    with request_to(app):
        change = mandates.phase_history()[0]
        kind = EventType.MANDATE_PHASE_CHANGED.value
        event = db.session().query(Event).filter_by(type=kind).order_by(Event.id.desc()).first()
    assert (change.old, change.new, change.reason, change.set_by) == (team, new, WHY, "sam")
    assert event is not None
    assert event.detail["old"] == mandates.to_rule(team)
    assert event.detail["new"] == mandates.to_rule(new)
    page = words(sue.visitor.get(PAGE).text)
    assert "changed by sam" in page
    assert "key or passkey (was: any second step)" in page


def test_a_new_phase_takes_one_person(app: Flask, sam: Colleague, sue: Colleague, team: Phase) -> None:
    page = looks(sam, "", name="everyone", accounts="", everybody="1", grace_days="90")
    assert confirms(sam, page) == f"{PAGE}?done=changed"
    assert current(app)["everyone"].cohort == Cohort(everybody=True)
    assert current(app)["everyone"].grace == 90 * DAY


@pytest.mark.attack("A13")
@pytest.mark.parametrize(
    "fields",
    [{"enforced_from": "2027-04-01"}, {"accounts": "ann"}, {"grace_days": "31"}, {"announced": "2027-01-01"}],
    ids=str,
)
def test_what_weakens_takes_two_people(
    fields: dict[str, str], app: Flask, sam: Colleague, sue: Colleague, team: Phase, clock: Clock
) -> None:
    page = looks(sam, **fields)
    assert "once a second person approves" in page
    assert confirms(sam, page) == f"{PAGE}?done=proposed"
    assert current(app) == {"team": team}
    assert "It takes another person now" in decides(sam)
    with request_to(app):
        assert mandates.decide_phase(1, staff_id=sam.person.id, approve=True, now=clock.now) is not None
    assert current(app) == {"team": team}
    assert WHY in sue.visitor.get(f"{PAGE}/1").text
    assert decides(sue) == f"{PAGE}?done=changed"
    assert current(app)["team"] != team
    with request_to(app):
        assert mandates.phase_history()[0].set_by == "sam, sue"
    assert "was decided" in decides(sue)


def test_a_phase_is_taken_away_by_two_people_and_what_it_gave_goes_on(
    app: Flask, sam: Colleague, sue: Colleague, team: Phase, make_account: MakeAccount, clock: Clock
) -> None:
    ann = make_account("ann")
    with app.app_context():
        mandates.apply(now=clock.now)
    page = sam.visitor.get(f"{PAGE}/take-away?phase=team").text
    assert "Take team away" in page
    assert confirms(sam, page) == f"{PAGE}?done=proposed"
    assert decides(sue) == f"{PAGE}?done=changed"
    assert current(app) == {}
    with request_to(app):
        assert mandates.has_mandate(ann.id)
        assert mandates.phase_history()[0].new is None
    assert "No phases" in sam.visitor.get(PAGE).text


@pytest.mark.attack("A03")
def test_whoever_would_leave_a_phase_has_no_say_in_it(
    app: Flask, sam: Colleague, sue: Colleague, make_account: MakeAccount, clock: Clock
) -> None:
    make_account("ann")
    members = Cohort(accounts=frozenset({"ann", "sam", "sue"}))
    with request_to(app):
        mandates.change_phases([replace(TEAM, cohort=members)], reason="A test", set_by="test", now=clock.now)
    with app.app_context():
        mandates.apply(now=clock.now)
    page = looks(sam, accounts="ann sue")
    assert "1 person who was given it is not reached any more" in words(page)
    assert "You would leave this phase" in confirms(sam, page)
    assert confirms(sam, looks(sam, accounts="ann sam")) == f"{PAGE}?done=proposed"
    assert "about your own account" in decides(sue)
    assert current(app)["team"].cohort == members


@pytest.mark.attack("A13")
@pytest.mark.parametrize("gone", ["console", "file"])
def test_a_phase_that_is_gone_comes_back_smaller_by_two_people_alone(
    gone: str, app: Flask, sam: Colleague, sue: Colleague, team: Phase, make_account: MakeAccount, clock: Clock
) -> None:
    ann = make_account("ann")
    with app.app_context():
        mandates.apply(now=clock.now)
    if gone == "console":
        confirms(sam, sam.visitor.get(f"{PAGE}/take-away?phase=team").text)
        decides(sue)
    else:
        path = app.extensions["authsvc.settings"].instance / "mandates.toml"
        path.write_text("[other]\naccounts = ['bea']\nenforced_from = 2027-03-01\n")
        with app.app_context():
            mandates.apply(now=clock.now)
        path.unlink()
    page = looks(sam, "", name="team", accounts="bea")
    assert "does not reach all of them. So it changes once a second person approves" in words(page)
    assert confirms(sam, page) == f"{PAGE}?done=proposed"
    assert "team" not in current(app)
    with request_to(app):
        assert mandates.has_mandate(ann.id)
    assert confirms(sam, looks(sam, "", name="team", accounts="ann bea cid")) == f"{PAGE}?done=changed"


@pytest.mark.attack("A13")
@pytest.mark.parametrize(("notice", "done"), [(DAY, "proposed"), (DAY + timedelta(seconds=1), "changed")])
def test_one_person_alone_stops_nobody_within_a_day(
    notice: timedelta, done: str, app: Flask, sam: Colleague, sue: Colleague, make_account: MakeAccount, clock: Clock
) -> None:
    make_account("ann")
    new = Phase(name="all", cohort=Cohort(everybody=True), announced=clock.now, enforced_from=clock.now + notice)
    with request_to(app):
        at_once = mandates.propose_phase("all", old=None, new=new, reason=WHY, staff_id=sam.person.id, now=clock.now)
    assert at_once is (done == "changed")
    assert ("all" in current(app)) is at_once


def test_a_past_day_for_everybody_takes_a_second_person_who_reads_why(
    app: Flask, sam: Colleague, sue: Colleague, team: Phase, make_account: MakeAccount
) -> None:
    make_account("ann")
    fields = {"enforced_from": "2026-01-01", "grace_days": "0", "strength": "two_phishing_resistant"}
    page = looks(sam, "", name="all", accounts="", everybody="1", **fields)
    assert "It would stop people within 24 hours. So it changes once a second person approves" in words(page)
    assert confirms(sam, page) == f"{PAGE}?done=proposed"
    assert decides(sue) == f"{PAGE}?done=changed"


def test_where_nobody_is_stopped_a_past_day_takes_one_person(
    app: Flask, sam: Colleague, sue: Colleague, team: Phase, make_account: MakeAccount
) -> None:
    make_account("ann", key=True)
    make_account("bea", key=True)
    assert confirms(sam, looks(sam, enforced_from="2026-01-01", grace_days="0")) == f"{PAGE}?done=changed"


@pytest.mark.parametrize("change", ["strengthen", "approve"])
def test_of_two_changes_at_once_neither_is_undone_by_the_other(
    change: str, app: Flask, sam: Colleague, sue: Colleague, team: Phase, clock: Clock
) -> None:
    keys = replace(team, strength=Strength.PHISHING_RESISTANT)
    wider = replace(team, cohort=Cohort(accounts=team.cohort.accounts | {"cid"}))
    if change == "approve":
        confirms(sam, looks(sam, enforced_from="2027-04-01"))

    def proposes(new: Phase, who: Colleague) -> bool:
        try:
            mandates.propose_phase("team", old=team, new=new, reason=WHY, staff_id=who.person.id, now=clock.now)
        except BadInput:
            return False
        return True

    def approves() -> bool:
        try:
            mandates.decide_phase(1, staff_id=sue.person.id, approve=True, now=clock.now)
        except BadInput:
            return False
        return True

    rival = approves if change == "approve" else lambda: proposes(wider, sue)
    assert sorted(at_once(app, lambda: proposes(keys, sam), rival)) == [False, True]
    with request_to(app):
        done = [one for one in mandates.phase_history() if one.set_by != "test" and one.name == "team"]
    assert [one.old for one in done] == [team]


def test_a_proposal_about_a_phase_that_is_gone_can_be_read_and_refused(
    app: Flask, sam: Colleague, sue: Colleague, team: Phase, clock: Clock
) -> None:
    confirms(sam, sam.visitor.get(f"{PAGE}/take-away?phase=team").text)
    with request_to(app):
        mandates.change_phases([], reason="A test", set_by="test", now=clock.now)
    page = sue.visitor.get(f"{PAGE}/1")
    assert page.status_code == 200
    assert "cannot be approved any more" in page.text
    assert 'value="approve"' not in page.text
    assert decides(sue, 1, "refuse") == f"{PAGE}?done=refused"


def test_a_change_that_was_refused_or_taken_back_changes_nothing(
    app: Flask, sam: Colleague, sue: Colleague, team: Phase, clock: Clock
) -> None:
    for number, who in ((1, sue), (2, sam)):
        confirms(sam, looks(sam, accounts="ann"))
        assert decides(who, number, "refuse") == f"{PAGE}?done=refused"
    assert waiting(app, sue, clock) == []
    assert current(app) == {"team": team}


def test_a_proposal_does_not_count_once_the_phase_is_another(
    app: Flask, sam: Colleague, sue: Colleague, team: Phase, clock: Clock
) -> None:
    confirms(sam, looks(sam, accounts="ann"))
    confirms(sue, looks(sue, accounts="ann bea cid"))
    assert "Somebody changed this phase" in decides(sue)
    assert current(app)["team"].cohort.accounts == {"ann", "bea", "cid"}


def test_what_was_looked_at_is_not_confirmed_once_the_phase_is_another(
    app: Flask, sam: Colleague, sue: Colleague, team: Phase
) -> None:
    page = looks(sam, accounts="ann bea dan")
    confirms(sue, looks(sue, accounts="ann bea cid"))
    assert "Somebody changed this phase" in confirms(sam, page)
    assert current(app)["team"].cohort.accounts == {"ann", "bea", "cid"}


def loses(app: Flask, person: Person, way: str, clock: Clock) -> None:
    """Something happens to an account after which it has no say in what it said before."""
    with request_to(app):
        match way:
            case "mark":
                accounts.set_staff(person.id, is_staff=False)
            case "disabled":
                accounts.set_disabled(person.id, now=clock.now)
            case "frozen" | "opened":
                past = clock.now - DAY
                freezes.begin(person.id, FreezeCause.OWNER, disputed_at=past, client=None, now=clock.now)
                if way == "opened":
                    freezes.release(person.id, now=clock.now)
            case "recovered":
                accounts.raise_epoch(person.id, confirm_after=clock.now)


WAYS = ["mark", "disabled", "frozen", "opened", "recovered"]


@pytest.mark.parametrize("way", WAYS)
def test_a_proposal_of_somebody_who_has_no_say_any_more_is_not_approved(
    way: str, app: Flask, sam: Colleague, sue: Colleague, team: Phase, clock: Clock
) -> None:
    confirms(sam, looks(sam, accounts="ann"))
    loses(app, sam.person, way, clock)
    assert "does not count any more" in decides(sue)
    assert current(app) == {"team": team}


@pytest.mark.parametrize("way", WAYS)
def test_what_a_thief_proposed_alone_does_not_begin(
    way: str, app: Flask, sam: Colleague, team: Phase, clock: Clock
) -> None:
    confirms(sam, looks(sam, accounts="ann"))
    loses(app, sam.person, way, clock)
    clock.advance(days=1)
    with app.app_context():
        assert mandates.carry_out_proposals(now=clock.now) == 0
    assert current(app) == {"team": team}


def test_what_is_proposed_after_a_recovery_counts(
    app: Flask, sam: Colleague, sue: Colleague, team: Phase, clock: Clock
) -> None:
    loses(app, sam.person, "recovered", clock)
    clock.advance(seconds=1)
    sam.visitor.sign_in(sam.person)
    confirms(sam, looks(sam, accounts="ann"))
    assert decides(sue) == f"{PAGE}?done=changed"


@pytest.mark.parametrize(("early", "changed"), [(timedelta(seconds=1), False), (timedelta(0), True)])
def test_where_one_person_alone_has_a_key_it_changes_a_day_later(
    early: timedelta, changed: bool, app: Flask, sam: Colleague, team: Phase, clock: Clock
) -> None:
    assert "24 hours after you confirm it" in looks(sam, accounts="ann")
    assert confirms(sam, looks(sam, accounts="ann")) == f"{PAGE}?done=alone"
    clock.now += DAY - early
    with app.app_context():
        assert mandates.carry_out_proposals(now=clock.now) == changed
        assert mandates.carry_out_proposals(now=clock.now) == 0
    assert (current(app) != {"team": team}) is changed
    assert (waiting(app, sam, clock) == []) is changed


@pytest.mark.attack("A13")
def test_a_colleague_who_has_a_key_by_then_has_to_approve(
    app: Flask, sam: Colleague, team: Phase, make_colleague: Callable[[str], Colleague], clock: Clock
) -> None:
    confirms(sam, looks(sam, accounts="ann"))
    sue = make_colleague("sue")
    clock.advance(days=1)
    with app.app_context():
        assert mandates.carry_out_proposals(now=clock.now) == 0
    assert current(app) == {"team": team}
    sue.visitor.sign_in(sue.person)
    assert [one.begins_at for one in waiting(app, sue, clock)] == [None]
    assert decides(sue) == f"{PAGE}?done=changed"
    assert current(app) != {"team": team}


def test_a_lone_change_of_what_is_another_phase_by_then_is_dropped(
    app: Flask, sam: Colleague, team: Phase, clock: Clock
) -> None:
    confirms(sam, looks(sam, accounts="ann"))
    confirms(sam, looks(sam, accounts="ann bea cid"))
    clock.advance(days=1)
    with app.app_context():
        mandates.carry_out_proposals(now=clock.now)
    assert current(app)["team"].cohort.accounts == {"ann", "bea", "cid"}
    assert waiting(app, sam, clock) == []


def test_a_proposal_lasts_two_weeks(app: Flask, sam: Colleague, sue: Colleague, team: Phase, clock: Clock) -> None:
    confirms(sam, looks(sam, accounts="ann"))
    clock.advance(days=14, seconds=-1)
    assert len(waiting(app, sue, clock)) == 1
    clock.advance(seconds=1)
    with request_to(app), pytest.raises(NotFound):
        mandates.decide_phase(1, staff_id=sue.person.id, approve=True, now=clock.now)


def test_the_key_confirms_this_rule_and_this_reason(sam: Colleague, sue: Colleague, team: Phase) -> None:
    page = looks(sam, enforced_from="2027-04-01")
    hidden = {name: html.unescape(found[1]) for name in ("name", "old", "new") if (found := _hidden(page, name))}
    asked = sam.visitor.post(PAGE, reason=WHY, **hidden).location
    seen = words(sam.visitor.get(asked).text)
    for text in ("Change the phase team", "1 April 2027, 00:00 UTC (was: 1 March 2027, 09:30 UTC)", WHY):
        assert text in seen
    assert sam.visitor.post(asked, way="password", password=sam.person.password).status_code == 401


def test_while_the_file_decides_there_is_no_form(app: Flask, sam: Colleague, sue: Colleague, team: Phase) -> None:
    page = looks(sam, accounts="ann bea cid")
    confirms(sam, looks(sam, accounts="ann"))
    path = app.extensions["authsvc.settings"].instance / "mandates.toml"
    path.write_text("[team]\naccounts = ['ann']\nenforced_from = 2027-03-01\n")
    shown = sam.visitor.get(PAGE).text
    assert "decides, so phases are changed there" in shown
    assert "<form" not in shown.partition("<main")[2].partition("</main>")[0]
    for address in ("change", "change?phase=team", "take-away?phase=team"):
        assert sam.visitor.get(f"{PAGE}/{address}").status_code == 403
    assert "mandates.toml decides" in confirms(sam, page)
    assert "mandates.toml decides" in decides(sue)
    path.write_text("[team]\n")
    assert sam.visitor.get(PAGE).status_code == 503


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"weekly_downloads": "many"}, "Write a number in digits."),
        ({"top": "0"}, "Top is a number from 1."),
        ({"grace_days": "366"}, "Grace_days are days from 0 to 365."),
        ({"enforced_from": ""}, "Choose a day."),
        ({"enforced_from": "soon"}, "Choose a day."),
        ({"announced": "2027-03-02"}, "It is enforced before it is announced."),
        ({"reminders": "30, x"}, "Write a number in digits."),
        ({"reminders": "366"}, "Reminders are days before"),
        ({"packages": "left-pad"}, "is no package; write it like npm:left-pad."),
        ({"accounts": "a!b"}, "Use 1 to 39 letters"),
        ({"brown_outs": "tomorrow"}, "Write each as 2027-03-02 14:00 to 2027-03-02 17:00"),
        ({"brown_outs": "2027-13-02 14:00 to 2027-13-02 17:00"}, "Write each as 2027-03-02 14:00"),
        ({"brown_outs": "2027-03-02 14:00 to 2027-03-02 13:00"}, "a brown-out ends before it begins"),
        ({"strength": "mail"}, "is none of any_second_factor"),
        ({"accounts": ""}, "An unknown phase; say whom it covers"),
        ({}, "Nothing is changed."),
    ],
    ids=str,
)
def test_what_cannot_be_read_is_told_and_stays_as_it_was_typed(
    fields: dict[str, str], problem: str, sam: Colleague, team: Phase
) -> None:
    answer = sam.visitor.post(f"{PAGE}/change", phase="team", **FORM | fields)
    assert answer.status_code == 422
    assert problem.lower() in words(answer.text).lower()
    for typed in fields.values():
        assert html.escape(typed) in answer.text


def test_a_new_phase_needs_a_name_of_its_own(sam: Colleague, team: Phase) -> None:
    for name, problem in (("team", "There is a phase of this name."), ("By Hand", "A name is small letters")):
        answer = sam.visitor.post(f"{PAGE}/change", phase="", name=name, **FORM)
        assert answer.status_code == 422
        assert problem in answer.text
    assert sam.visitor.get(f"{PAGE}/change?phase=gone").status_code == 404
    assert sam.visitor.get(f"{PAGE}/take-away").status_code == 404


def test_a_reason_takes_ten_characters(sam: Colleague, team: Phase) -> None:
    page = looks(sam, accounts="ann")
    assert "Give a reason of 10 to 400 characters." in confirms(sam, page, "x" * 9)
    assert "Give a reason of 10 to 400 characters." in confirms(sam, page, "x" * 401)
    assert confirms(sam, page, "x" * 400).startswith(PAGE)


def test_a_rule_that_was_tampered_with_is_refused(sam: Colleague, team: Phase) -> None:
    early = '{"everybody": true, "enforced_from": "0001-01-01T00:00:00+05:00"}'
    nul = '{"packages": ["npm:\\u0000"], "enforced_from": "2027-01-01T00:00:00"}'
    for new in ("{", '{"top": 1}', "[]", "1", "1" * 5000, "[" * 10_000, early, nul):
        assert sam.visitor.post(PAGE, name="team", old="", new=new, reason=WHY).status_code == 400


@pytest.mark.parametrize("reason", [WHY, ""])
def test_what_changes_nothing_or_looked_at_an_older_phase_is_refused_before_the_key(
    reason: str, sam: Colleague, team: Phase
) -> None:
    rule = json.dumps(mandates.to_rule(team))
    for old, new in (("", ""), (rule, rule), ("", rule)):
        assert sam.visitor.post(PAGE, name="team", old=old, new=new, reason=reason).status_code == 400
    assert sam.visitor.post(PAGE, name="gone", old=rule, new="", reason=reason).status_code == 400


def test_whoever_pretends_that_there_was_less_before_changes_nothing(
    app: Flask, sam: Colleague, team: Phase, clock: Clock
) -> None:
    with request_to(app), pytest.raises(BadInput):
        mandates.propose_phase("team", old=None, new=team, reason=WHY, staff_id=sam.person.id, now=clock.now)


def test_for_others_the_page_does_not_exist(
    make_account: MakeAccount, new_client: Callable[[], Visitor], team: Phase
) -> None:
    visitor = new_client()
    visitor.sign_in(make_account("ann"))
    for path in (PAGE, f"{PAGE}/change", f"{PAGE}/take-away?phase=team", f"{PAGE}/1"):
        assert visitor.get(path).status_code == 404
