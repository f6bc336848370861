"""The recovery queue and the vote: who decides, what they see, what stands in the log (POLICY 10, 13)."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier

import pytest
from flask import Flask

from authsvc import accounts, audit, cases, freezes
from authsvc.audit import EventType
from authsvc.cases import Queue
from authsvc.policy.freeze import FreezeCause
from authsvc.policy.recovery import AskStaff, Prove, Wait
from authsvc.staff import recovery as views
from authsvc.staff.words import CANNED, DEFERRALS
from tests.cases.people import Applicant
from tests.conftest import Clock
from tests.people import BASE_URL, FIREFOX, Outbox, Person, Visitor
from tests.slices import request_to
from tests.staff.conftest import REASON, Colleague

MakeAccount = Callable[..., Person]
MakeColleague = Callable[[str], Colleague]
NewClient = Callable[[], Visitor]


def lines(app: Flask, clock: Clock) -> list[cases.CaseLine]:
    """All cases."""
    with request_to(app):
        return cases.queue(Queue.ALL, now=clock.now)


def logged(app: Flask, person: Person, type_: EventType) -> list[audit.EventView]:
    """Such events of the account, newest first."""
    with request_to(app):
        return [event for event in audit.events(person.id) if event.type is type_]


# Two people


def test_two_people_approve_and_the_wait_begins(
    app: Flask, asked: int, alice: Person, sam: Colleague, sue: Colleague, outbox: Outbox, clock: Clock
) -> None:
    page = sam.page(asked)
    assert "Two people decide" in page
    assert "We met at the conference." in page
    assert sam.decides(asked).location == f"/staff/recovery/{asked}?done=approved"
    assert "Approved by 1, one more decides" in sam.page(asked)
    assert outbox.to(alice.email)[-1]["Subject"] == "Recovery of the account alice was approved by one person"
    clock.advance(minutes=5)
    sue.decides(asked)
    (line,) = lines(app, clock)
    assert line.decision == Wait(clock.now + timedelta(hours=72))
    assert "Unless somebody objects" in outbox.to(alice.email)[-1].get_content()
    assert [event.detail["staff"] for event in logged(app, alice, EventType.RECOVERY_APPROVED)] == ["sue", "sam"]


@pytest.mark.attack("A03")
def test_one_person_twice_is_one_person(app: Flask, asked: int, sam: Colleague, sue: Colleague, clock: Clock) -> None:
    twice = [sam.starts(asked).location for _ in range(2)]
    assert sam.proves(twice[0]).status_code == 303
    again = sam.proves(twice[1])
    assert again.status_code == 403
    assert "It takes another person now" in again.text
    assert sam.starts(asked).status_code == 403
    assert "Your key confirms it" not in sam.page(asked)
    assert [line.decision for line in lines(app, clock)] == [Prove(independent=False)]


@pytest.mark.attack("A13")
@pytest.mark.parametrize("first", [True, False])
def test_an_approval_by_a_thief_of_a_colleague_s_account_does_not_count_once_it_is_frozen(
    first: bool, app: Flask, asked: int, sam: Colleague, sue: Colleague, clock: Clock
) -> None:
    sam.decides(asked)
    if not first:
        sue.decides(asked)
    with request_to(app):
        past = clock.now - timedelta(days=1)
        freezes.begin(sam.person.id, FreezeCause.OWNER, disputed_at=past, client=None, now=clock.now)
    if first:
        sue.decides(asked)
    (line,) = lines(app, clock)
    assert (line.approvals, isinstance(line.decision, Wait)) == (1, False)


@pytest.mark.attack("A03")
def test_neither_the_target_nor_its_co_owners_decide(
    app: Flask,
    applicant: Applicant,
    owners: tuple[Person, ...],
    mark_staff: Callable[[Person], Person],
    new_client: NewClient,
    clock: Clock,
) -> None:
    applicant.opens("alice")
    applicant.visitor.post("/recovery/case/people", statement="It is me.")
    for person, why in ((owners[0], "about your own account"), (owners[1], "maintain a package together")):
        colleague = Colleague(mark_staff(person), new_client())
        colleague.visitor.sign_in(person)
        assert why in colleague.page(applicant.number())
        assert why in colleague.starts(applicant.number()).text
    assert lines(app, clock)[0].approvals == 0


@pytest.mark.attack("A03")
def test_who_joined_a_package_of_the_target_an_hour_ago_does_not_decide(
    asked: int, alice: Person, sam: Colleague, share: Callable[..., None]
) -> None:
    share("left-pad", alice, sam.person, for_days=1 / 24)
    answer = sam.starts(asked)
    assert answer.status_code == 403
    assert "You maintain a package together with this account" in answer.text


def test_one_refusal_ends_it_and_is_mailed(
    app: Flask, asked: int, alice: Person, sam: Colleague, sue: Colleague, outbox: Outbox
) -> None:
    assert sam.decides(asked, "refuse").location == "/staff/recovery?done=refused"
    assert "refused and is over" in sam.visitor.get("/staff/recovery?done=refused").text
    assert "This request is over" in sue.page(asked)
    assert outbox.to(alice.email)[-1]["Subject"] == "Recovery of the account alice was refused"
    (event,) = logged(app, alice, EventType.RECOVERY_REFUSED)
    assert (event.detail["staff"], event.detail["reason"]) == ("sam", REASON)


def test_of_one_proof_sent_twice_at_once_one_counts(app: Flask, asked: int, sam: Colleague, clock: Clock) -> None:
    step_up = sam.starts(asked).location
    assert sam.person.key is not None
    sam.person.key.user_verified = True
    challenge = sam.visitor.post(f"{step_up}/key").text
    form = {"way": "key", "credential": sam.person.key.answer(challenge)}
    statuses = sam.visitor.post_at_once(step_up, form, form)
    assert statuses.count(303) == 1
    assert lines(app, clock)[0].approvals == 1


def test_two_people_who_decide_at_one_instant_both_count(
    app: Flask, asked: int, sam: Colleague, sue: Colleague, clock: Clock
) -> None:
    sent = []
    for one in (sam, sue):
        step_up = one.starts(asked).location
        assert one.person.key is not None
        one.person.key.user_verified = True
        form = {"way": "key", "credential": one.person.key.answer(one.visitor.post(f"{step_up}/key").text)}
        sent.append((step_up, {"csrf_token": one.visitor.csrf(), **form}, one.visitor.cookies()))
    together = Barrier(2)

    def decide(step_up: str, form: dict[str, str], cookies: str) -> int:
        together.wait(timeout=10)
        headers = {"Cookie": cookies, "User-Agent": FIREFOX}
        browser = app.test_client(use_cookies=False)
        return browser.post(step_up, data=form, base_url=BASE_URL, headers=headers).status_code

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda one: decide(*one), sent)) == [303, 303]
    assert [type(line.decision) for line in lines(app, clock)] == [Wait]


def test_where_one_person_alone_has_a_key_their_approval_counts_a_day_later(
    app: Flask, applicant: Applicant, asked: int, sam: Colleague, clock: Clock
) -> None:
    assert "counts a day later" in sam.page(asked)
    sam.decides(asked)
    assert "a day takes the place of another person" in sam.page(asked)
    applicant.proves_new_address()
    assert lines(app, clock)[0].decision == Wait(clock.now + timedelta(hours=24 + 72))
    applicant.waits(hours=24 + 72, seconds=-1)
    assert applicant.completes().status_code == 403
    applicant.waits(seconds=1)
    assert applicant.completes().status_code == 303


def test_a_colleague_who_comes_meanwhile_has_to_approve_as_well(
    app: Flask, applicant: Applicant, asked: int, sam: Colleague, make_colleague: MakeColleague, clock: Clock
) -> None:
    sam.decides(asked)
    make_colleague("sue")
    applicant.waits(days=10)
    assert lines(app, clock)[0].decision == Prove(independent=False)


def test_an_objection_between_two_approvals_voids_the_first(
    app: Flask,
    applicant: Applicant,
    alice: Person,
    sam: Colleague,
    sue: Colleague,
    client: Visitor,
    objection_link: Callable[[str], str],
    clock: Clock,
) -> None:
    applicant.opens("alice")
    applicant.shows_own_kind(alice)
    link, number = objection_link(alice.email), applicant.number()
    sam.decides(number)
    clock.advance(minutes=1)
    client.post(link)
    clock.advance(minutes=1)
    sue.decides(number)
    assert lines(app, clock)[0].decision == AskStaff(1)
    assert "Somebody who reads a trusted address objected" in sam.page(number)
    sam.decides(number)
    assert isinstance(lines(app, clock)[0].decision, Wait)


def test_an_objection_that_comes_while_somebody_decides_is_read_first(
    app: Flask,
    applicant: Applicant,
    alice: Person,
    sam: Colleague,
    client: Visitor,
    objection_link: Callable[[str], str],
    clock: Clock,
) -> None:
    applicant.opens("alice")
    applicant.shows_own_kind(alice)
    number = applicant.number()
    step_up = sam.starts(number).location
    clock.advance(minutes=1)
    client.post(objection_link(alice.email))
    clock.advance(minutes=1)
    answer = sam.proves(step_up)
    assert answer.status_code == 403
    assert "Somebody objected after you opened the case" in answer.text
    assert lines(app, clock)[0].decision == AskStaff(0)
    assert sam.decides(number).status_code == 303
    assert lines(app, clock)[0].approvals == 1


# The step-up


@pytest.mark.attack("A13")
def test_a_decision_takes_the_key_again_at_once_and_is_spent_once(app: Flask, asked: int, sam: Colleague) -> None:
    step_up = sam.starts(asked, reason="She called from the number we know.").location
    page = sam.visitor.get(step_up).text
    for words in ("Approve the recovery of alice", f"no. {asked}", "She called from the number we know."):
        assert words in page
    assert sam.visitor.post(step_up, way="password", password=sam.person.password).status_code == 401
    assert sam.person.key is not None
    without_pin = sam.visitor.use_key(sam.person.key, f"{step_up}/key", step_up, way="key")
    assert without_pin.status_code == 401
    assert sam.proves(step_up).status_code == 303
    assert sam.visitor.get(step_up).status_code == 410
    assert sam.visitor.post(step_up, way="key", credential="{}").status_code == 410


@pytest.mark.attack("A13")
def test_a_mark_that_is_taken_meanwhile_ends_the_decision(
    app: Flask, asked: int, sam: Colleague, sue: Colleague, clock: Clock
) -> None:
    step_up = sam.starts(asked).location
    with request_to(app):
        accounts.set_staff(sam.person.id, is_staff=False)
    assert sam.proves(step_up).status_code == 404
    assert lines(app, clock)[0].approvals == 0


@pytest.mark.attack("A13")
def test_where_makers_roots_are_configured_a_key_without_attestation_decides_nothing(
    app: Flask, asked: int, sam: Colleague, clock: Clock
) -> None:
    step_up = sam.starts(asked).location
    app.extensions["authsvc.settings"] = replace(app.extensions["authsvc.settings"], attestation_roots_file="roots.pem")
    assert sam.visitor.get(step_up).status_code == 403
    assert sam.visitor.post(step_up, way="key", credential="{}").status_code == 403
    assert lines(app, clock)[0].approvals == 0


# Reasons


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"reason": ""}, "Give a reason of 10 to 500 characters."),
        ({"reason": "x" * 9}, "Give a reason of 10 to 500 characters."),
        ({"reason": "", "canned": "objection"}, "That text is for refusing."),
        ({"reason": "x" * 490, "canned": "met"}, "Give a reason of 10 to 500 characters."),
        ({"reason": "x" * 10}, None),
        ({"reason": "", "canned": "met"}, None),
    ],
)
def test_a_decision_takes_a_reason_and_what_was_typed_stays(
    fields: dict[str, str], problem: str | None, asked: int, sam: Colleague
) -> None:
    answer = sam.starts(asked, **fields)
    assert answer.status_code == (303 if problem is None else 422)
    if problem is not None:
        assert problem in answer.text
        assert f">{fields['reason']}</textarea>" in answer.text


def test_a_ready_made_reason_and_own_words_stand_together_in_the_log(
    app: Flask, asked: int, alice: Person, sam: Colleague
) -> None:
    sam.decides(asked, canned="spoken", reason="On Monday.")
    (event,) = logged(app, alice, EventType.RECOVERY_APPROVED)
    assert event.detail["reason"] == f"{CANNED['spoken'].text} On Monday."


def test_what_is_neither_approval_nor_refusal_is_not_understood(asked: int, sam: Colleague) -> None:
    assert sam.starts(asked, "perhaps").status_code == 400
    assert sam.starts(asked, seen="all").status_code == 400


# What they see


@pytest.mark.attack("A01")
def test_what_an_applicant_types_is_marked_as_theirs_and_runs_nowhere(
    applicant: Applicant, alice: Person, sam: Colleague
) -> None:
    applicant.opens("alice")
    applicant.visitor.post("/recovery/case/people", statement='<script src="//x.test"></script><img src=x onerror=a>')
    answer = sam.visitor.get(f"/staff/recovery/{applicant.number()}")
    assert "&lt;script src=" in answer.text
    assert "<img src=x" not in answer.text
    assert "In their own words. Nobody has checked them" in answer.text
    assert "script-src 'self' 'nonce-" in answer.headers["Content-Security-Policy"]


@pytest.mark.attack("A06")
def test_a_case_holds_nothing_that_opens_the_account_or_speaks_for_the_applicant(
    app: Flask, applicant: Applicant, owners: tuple[Person, ...], sam: Colleague
) -> None:
    page = applicant.opens("alice")
    applicant.visitor.post("/recovery/case/people", statement="It is me.")
    secrets = re.findall(r"[\w-]{40,}", page)
    seen = sam.page(applicant.number())
    tokens = {secret for secret in secrets if secret in seen}
    assert len(secrets) >= 2
    assert tokens == set()
    for forbidden in ("argon2", "public_key", owners[0].codes[0], *cookies(applicant.visitor)):
        assert forbidden not in seen
    assert 'name="new_password"' not in seen
    assert 'name="password"' not in seen


def cookies(visitor: Visitor) -> list[str]:
    """What the applicant's browser holds."""
    return [cookie.value for cookie in (visitor.http._cookies or {}).values() if len(cookie.value) > 20]


def test_a_case_shows_the_account_its_packages_and_whom_was_told(
    applicant: Applicant, owners: tuple[Person, ...], sam: Colleague
) -> None:
    applicant.opens("alice")
    applicant.shows_own_kind(owners[0])
    seen = sam.page(applicant.number())
    for words in (
        "left-pad (npm)",
        "10 downloads a week",
        "bob, carol",
        "alice@example.test",
        ", since 16 August 2026",
        "The password",
        "alice@example.test: Somebody wants to recover the account alice",
        "bob@example.test: Somebody wants to recover the account alice, your co-owner",
    ):
        assert words in seen, words


def test_a_look_stands_in_the_log_of_the_account_once_an_hour_and_person(
    app: Flask, asked: int, alice: Person, sam: Colleague, sue: Colleague, clock: Clock
) -> None:
    def looks() -> list[str]:
        return [event.detail["staff"] for event in logged(app, alice, EventType.RECOVERY_VIEWED)]

    sam.page(asked)
    sam.page(asked)
    sue.page(asked)
    clock.advance(minutes=60, seconds=-1)
    sam.page(asked)
    assert looks() == ["sue", "sam"]
    clock.advance(seconds=1)
    sam.page(asked)
    assert looks() == ["sam", "sue", "sam"]


def test_the_owner_reads_what_staff_did_in_words(
    asked: int, alice: Person, sam: Colleague, new_client: NewClient
) -> None:
    sam.decides(asked)
    owner = new_client()
    owner.sign_in(alice)
    page = owner.get("/account/log?show=staff").text
    assert "Firefox" not in page.partition('id="log"')[2]  # nothing of where staff sit
    assert "A request to recover this account was looked at, by the people who run this service" in page
    assert f"was approved, by the people who run this service: {REASON.rstrip('.')}" in page


def test_a_case_of_nobody_or_that_is_over_is_not_found(applicant: Applicant, sam: Colleague) -> None:
    applicant.opens("quentin")
    applicant.visitor.post("/recovery/case/people", statement="It is me.")
    assert sam.visitor.get(f"/staff/recovery/{applicant.number()}").status_code == 404
    assert sam.starts(applicant.number()).status_code == 404


# The queue


def test_an_empty_queue_says_what_comes_here(sam: Colleague) -> None:
    assert "Nobody waits for you" in sam.visitor.get("/staff/recovery").text
    assert "No cases" in sam.visitor.get("/staff/recovery?show=waiting").text


def test_the_tabs_tell_cases_for_people_from_those_that_wait(
    app: Flask,
    asked: int,
    sam: Colleague,
    make_account: MakeAccount,
    new_client: NewClient,
    outbox: Outbox,
    clock: Clock,
) -> None:
    other = Applicant(app, clock, outbox, new_client())
    bob = make_account("bob")
    other.opens("bob")
    other.shows_own_kind(bob)
    seen = {
        show: re.findall(r"<div><strong>(\w+)</strong>", sam.visitor.get(f"/staff/recovery?show={show}").text)
        for show in ("needs_staff", "waiting", "all", "anything")
    }
    assert seen == {"needs_staff": ["alice"], "waiting": ["bob"], "all": ["bob", "alice"], "anything": ["alice"]}


def test_a_long_queue_has_pages(
    app: Flask,
    asked: int,
    sam: Colleague,
    make_account: MakeAccount,
    new_client: NewClient,
    outbox: Outbox,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(views, "CASES_ON_PAGE", 1)
    make_account("bob")
    other = Applicant(app, clock, outbox, new_client())
    clock.advance(seconds=1)
    other.opens("bob")
    other.visitor.post("/recovery/case/people", statement="It is me.")
    for page, name in (("", "alice"), ("1", "alice"), ("2", "bob"), ("99", "bob"), ("0", "alice"), ("x", "alice")):
        found = sam.visitor.get(f"/staff/recovery?page={page}").text
        assert re.findall(r"<div><strong>(\w+)</strong>", found) == [name]
    assert "2 cases, page 2 of 2" in sam.visitor.get("/staff/recovery?page=2").text


def test_pages_of_the_queue_hold_each_case_once_and_those_that_showed_nothing_come_last(
    app: Flask,
    asked: int,
    make_account: MakeAccount,
    new_client: NewClient,
    outbox: Outbox,
    clock: Clock,
) -> None:
    for name in ("bob", "carol", "dora"):
        clock.advance(seconds=1)
        person, other = make_account(name), Applicant(app, clock, outbox, new_client())
        other.opens(name)
        if name == "carol":
            other.visitor.post("/recovery/case/people", statement="It is me.")
        else:
            other.shows_own_kind(person)
    with request_to(app):
        for which, names in (
            (Queue.ALL, ["bob", "dora", "alice", "carol"]),
            (Queue.NEEDS_STAFF, ["alice", "carol"]),
            (Queue.WAITING, ["bob", "dora"]),
        ):
            assert [line.username for line in cases.queue(which, now=clock.now)] == names
            pages = [cases.queue(which, now=clock.now, begin=begin, most=3) for begin in (0, 3, 6)]
            assert [line.username for page in pages for line in page] == names
            assert cases.queue_lengths(now=clock.now)[which] == len(names)


# The first page


def test_the_first_page_says_what_waits_and_what_the_reset_gate_did_in_the_last_week(
    app: Flask, asked: int, alice: Person, sam: Colleague, clock: Clock
) -> None:
    with request_to(app):
        for days in (0, 7, 8):
            at = clock.now - timedelta(days=days)
            audit.record(EventType.RESET_REFUSED, account_id=alice.id, at=at, reason="…", code="NOT_REGISTERED")
        audit.record(EventType.RESET_DEFERRED, account_id=alice.id, at=clock.now, reason="DNS_TIMEOUT")
        accounts.block_address(accounts.addresses(alice.id)[0].id, reason="REDEMPTION_PERIOD", now=clock.now)
    page = re.sub(r"<svg.*?</svg>", "", sam.visitor.get("/staff").text)
    assert "case needs people" in page
    assert re.search(r"Its domain is not registered any more</th><td>2</td><td>1</td>", page)
    assert re.search(r"name servers did not answer</th><td>1</td><td>1</td>", page)
    assert re.search(r"Its domain has expired</th><td>1</td>", page)


def test_every_reason_that_puts_a_reset_off_has_words() -> None:
    from pathlib import Path

    import authsvc.policy.domain_verdict as verdicts
    import authsvc.policy.reset_gate as gate
    from authsvc.core.evidence import DnsFault

    text = "".join(Path(str(module.__file__)).read_text(encoding="utf-8") for module in (verdicts, gate))
    named = set(re.findall(r'(?:Verdict\.(?:SUSPECT|UNKNOWN), |Defer\()"([A-Z_]+)"', text))
    assert len(named) > 10
    assert named | {fault.value for fault in DnsFault} | set(verdicts.HOLD_STATUSES.values()) <= DEFERRALS.keys()
