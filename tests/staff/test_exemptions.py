"""Exemptions in the console: by two people, or by one and a day (POLICY 13)."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
from flask import Flask

from authsvc import accounts, audit, freezes, mandates
from authsvc.audit import EventType
from authsvc.core.errors import BadInput, NotFound
from authsvc.mandates.exemptions import ExemptionView
from authsvc.policy.freeze import FreezeCause
from tests.conftest import Clock
from tests.people import BASE_URL, FIREFOX, Outbox, Person, Visitor
from tests.slices import request_to
from tests.staff.conftest import Colleague

MakeAccount = Callable[..., Person]
PAGE = "/staff/mandates"
EXEMPTIONS = "/staff/mandates/exemptions"
WHY = "Travels for a month without a key."
DAY = timedelta(days=1)


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
