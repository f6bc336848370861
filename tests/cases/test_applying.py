"""Opening a case and showing proofs in it: what counts, who hears, and what nobody may learn (POLICY 10)."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from authsvc import (
    account_pages,
    accounts,
    audit,
    cases,
    devices,
    domains,
    freezes,
    holds,
    login,
    recovery_codes,
    sessions,
)
from authsvc.audit import EventType
from authsvc.cases import reading
from authsvc.cases.models import Case
from authsvc.core import db
from authsvc.policy.freeze import FreezeCause
from authsvc.policy.recovery import Proof
from tests.cases.people import LINK, NEW, NEW_ADDRESS, Applicant
from tests.conftest import Clock
from tests.people import PASSWORD, Outbox, Person, Visitor, kinds
from tests.slices import request_to

MakeAccount = Callable[..., Person]
CHANGING = re.compile(r'name="csrf_token" value="[^"]+"|nonce="[^"]+"|vouch/\d+|authsvc-proof=[\w-]+|case/[\w-]{40,}')


def log(app: Flask, person: Person) -> list[EventType]:
    """What stands in an account's log, oldest first."""
    with request_to(app):
        return [event.type for event in reversed(audit.events(person.id))]


def test_an_account_without_a_factor_is_recovered_after_72_hours_to_the_second(
    app: Flask, applicant: Applicant, make_account: MakeAccount, clock: Clock, outbox: Outbox
) -> None:
    # Given somebody who shows their password and their mailbox
    alice = make_account("alice")
    applicant.opens("alice")
    applicant.shows_own_kind(alice)
    page = applicant.page()
    assert "Enough is shown" in page
    assert "27 November 2026, 12:00 UTC" in page
    assert applicant.proves_new_address() == 303
    # When they come back one second before the time, nothing happens
    clock.advance(hours=72, seconds=-1)
    assert applicant.completes().status_code == 403
    # And at the time the account is theirs
    clock.advance(seconds=1)
    assert applicant.completes().location == "/login"
    with request_to(app):
        own = accounts.addresses(alice.id)
        assert [(a.email, a.is_primary) for a in own] == [(NEW_ADDRESS, True), (alice.email, False)]
        assert accounts.get(alice.id).last_recovery_at == clock.now
        assert accounts.get(alice.id).confirm_after == clock.now
        hold = holds.current(alice.id, now=clock.now)
        assert hold is not None
        assert hold.cause.value == "recovery"
    assert applicant.visitor.post("/login", username="alice", password=PASSWORD).status_code == 401
    assert applicant.visitor.post("/login", username="alice", password=NEW).status_code == 303
    for address in (alice.email, NEW_ADDRESS):
        assert any(m["Subject"] == "Account alice was recovered" for m in outbox.to(address))
    assert log(app, alice)[-1] is not EventType.RECOVERY_ENDED
    assert EventType.RECOVERY_COMPLETED in log(app, alice)


def test_a_case_is_completed_once(applicant: Applicant, make_account: MakeAccount) -> None:
    alice = make_account("alice")
    applicant.opens("alice")
    applicant.shows_own_kind(alice)
    applicant.proves_new_address()
    applicant.waits(hours=72)
    form = {"new_password": NEW}
    statuses = applicant.visitor.post_at_once("/recovery/case/complete", form, form, form)
    assert statuses.count(303) == 1
    assert set(statuses) <= {303, 403, 410, 422}
    assert applicant.completes("another four words altogether").status_code == 410


def test_what_the_owner_knows_and_holds_does_not_recover_an_account_with_a_key(
    app: Flask, applicant: Applicant, make_account: MakeAccount, outbox: Outbox
) -> None:
    alice = make_account("alice", key=True)
    applicant.opens("alice")
    applicant.shows_own_kind(alice)
    assert "One more is needed" in applicant.page()
    applicant.proves_new_address()
    applicant.waits(days=29)
    assert applicant.completes().status_code == 403
    assert [m["Subject"] for m in outbox.to(alice.email)].count("Somebody wants to recover the account alice") == 1
    assert kinds(app, alice.id, applicant.clock.now)


def test_recovery_voids_keys_codes_and_sessions(
    app: Flask, applicant: Applicant, owners: tuple[Person, ...], new_client: Callable[[], Visitor], clock: Clock
) -> None:
    alice, bob, carol = owners
    thief = new_client()
    thief.sign_in(alice)
    assert thief.signed_in()
    applicant.opens("alice")
    for fellow in (bob, carol):
        vouch(new_client(), fellow, applicant.number())
    assert "Enough is shown" in applicant.page()
    applicant.proves_new_address()
    applicant.waits(days=14)
    assert applicant.completes().status_code == 303
    assert kinds(app, alice.id, clock.now) == set()
    assert not thief.signed_in()
    with request_to(app):
        assert recovery_codes.left(alice.id) == 0


def vouch(visitor: Visitor, person: Person, number: int) -> int:
    """Sign in and vouch with the key; the status of the last answer."""
    visitor.sign_in(person)
    asked = visitor.post(f"/account/vouch/{number}")
    if asked.status_code != 303:
        return asked.status_code
    handle = asked.location
    assert person.key is not None
    return visitor.use_key(person.key, f"{handle}/key", handle, user_verified=True, way="key").status_code


# What nobody may learn


def steps(applicant: Applicant, typed: str, password: str) -> list[str]:
    """All that somebody sees who opens a case and shows what does not add up."""
    seen = [applicant.opens(typed)]
    seen.append(str(applicant.shows_password(password).status_code))
    seen.append(applicant.page())
    applicant.asks_for_code(f"{typed}@example.test")
    seen.append(applicant.page())
    seen.append(str(applicant.visitor.post("/recovery/case/code", code="12345678").status_code))
    applicant.visitor.post("/recovery/case/place", place="example.org")
    seen.append(applicant.page())
    applicant.works()
    applicant.visitor.post("/recovery/case/people", statement="I am who I say.")
    applicant.visitor.post("/recovery/case/browser")
    seen.append(applicant.page())
    seen.append(str(applicant.visitor.post("/recovery/case/address", new_email="x@y.test").status_code))
    seen.append(str(applicant.completes().status_code))
    applicant.visitor.post("/recovery/case/withdraw")
    return [CHANGING.sub("", page).replace(typed, "NAME") for page in seen]


@pytest.mark.parametrize("password", [PASSWORD, "wrong"])
def test_unknown_known_and_disabled_accounts_look_alike_until_a_kind_is_shown(
    app: Flask, applicant: Applicant, make_account: MakeAccount, password: str
) -> None:
    make_account("alice", key=True)
    frank = make_account("frank")
    with request_to(app):
        accounts.set_disabled(frank.id, now=applicant.clock.now)
    nobody = steps(applicant, "quentin", password)
    for one, other in zip(steps(applicant, "alice", password), nobody, strict=True):
        assert one.splitlines() == other.splitlines()
    assert steps(applicant, "frank", password) == nobody


def test_nobody_hears_before_a_kind_is_shown(applicant: Applicant, make_account: MakeAccount, outbox: Outbox) -> None:
    alice = make_account("alice")
    applicant.opens("alice")
    applicant.shows_password(PASSWORD)
    assert outbox.messages == []
    applicant.shows_mailbox(alice.email)
    assert outbox.messages[-1]["Subject"] == "Somebody wants to recover the account alice"


def test_a_code_goes_to_no_address_that_the_account_does_not_have(
    applicant: Applicant, make_account: MakeAccount, outbox: Outbox
) -> None:
    make_account("alice")
    bob = make_account("bob")
    applicant.opens("alice")
    applicant.asks_for_code(bob.email)
    applicant.asks_for_code("stranger@elsewhere.test")
    assert outbox.messages == []


def test_passwords_are_charged_to_the_budget_that_signing_in_uses(
    applicant: Applicant, make_account: MakeAccount, new_client: Callable[[], Visitor]
) -> None:
    make_account("alice")
    applicant.opens("alice")
    answers = [applicant.shows_password(f"wrong {n}").status_code for n in range(11)]
    assert answers == [303] * 10 + [429]
    assert new_client().post("/login", username="alice", password=PASSWORD).status_code != 303


def test_a_code_counts_once(applicant: Applicant, make_account: MakeAccount, outbox: Outbox) -> None:
    alice = make_account("alice")
    applicant.opens("alice")
    applicant.shows_mailbox(alice.email)
    applicant.visitor.post("/recovery/case/code", code=outbox.code(alice.email))
    applicant.shows_password(PASSWORD)
    assert "Enough is shown" in applicant.page()


def test_the_code_of_one_case_is_none_in_another(
    applicant: Applicant, make_account: MakeAccount, outbox: Outbox, new_client: Callable[[], Visitor]
) -> None:
    alice = make_account("alice")
    applicant.opens("alice")
    applicant.asks_for_code(alice.email)
    rival = Applicant(applicant.app, applicant.clock, outbox, new_client())
    rival.opens("alice")
    rival.visitor.post("/recovery/case/code", code=outbox.code(alice.email))
    rival.shows_password(PASSWORD)
    assert "Enough is shown" not in rival.page()


# What counts


def test_a_browser_known_for_three_days_counts_beside_the_password(
    applicant: Applicant, make_account: MakeAccount, clock: Clock
) -> None:
    alice = make_account("alice")
    applicant.visitor.sign_in(alice)
    applicant.visitor.post("/logout")
    clock.advance(hours=72, seconds=-1)
    applicant.opens("alice")
    applicant.shows_password(PASSWORD)
    assert "Enough is shown" not in applicant.page()
    clock.advance(seconds=1)
    applicant.visitor.post("/recovery/case/browser")
    assert "Enough is shown" in applicant.page()


@pytest.mark.parametrize("what", ["browser", "session"])
def test_a_browser_that_was_forgotten_or_a_session_that_was_ended_does_not_count(
    app: Flask, applicant: Applicant, make_account: MakeAccount, clock: Clock, what: str
) -> None:
    # Given a browser known for three days, and in the second case a session alone
    alice = make_account("alice")
    applicant.visitor.sign_in(alice)
    if what == "browser":
        applicant.visitor.post("/logout")
    clock.advance(hours=11)
    for _ in range(6):  # a session that is used stays
        applicant.visitor.get("/account")
        clock.advance(hours=11)
    applicant.opens("alice")
    applicant.shows_password(PASSWORD)
    assert "Enough is shown" in applicant.page()
    # When the owner does away with it
    with request_to(app):
        browsers = devices.of_account(alice.id)
        if what == "session":
            assert [one.proof for one in reading.of_account(alice.id, now=clock.now)[0].facts.shown] == [
                Proof.BROWSER,
                Proof.SESSION,
                Proof.PASSWORD,
            ]
        for browser in browsers:
            devices.forget(alice.id, browser.id, now=clock.now)
    assert ("Enough is shown" in applicant.page()) is (what == "session")
    with request_to(app):
        sessions.end_all(alice.id, now=clock.now)
    # Then the password stands alone
    assert "Enough is shown" not in applicant.page()


def test_what_was_shown_before_the_password_changed_does_not_count(
    app: Flask, applicant: Applicant, make_account: MakeAccount
) -> None:
    alice = make_account("alice")
    applicant.opens("alice")
    applicant.shows_own_kind(alice)
    applicant.proves_new_address()
    with request_to(app):
        accounts.raise_epoch(alice.id)
    assert "Enough is shown" not in applicant.page()
    applicant.waits(hours=72)
    assert applicant.completes().status_code == 403


def test_an_address_that_was_blocked_meanwhile_does_not_count(
    app: Flask, applicant: Applicant, make_account: MakeAccount, clock: Clock
) -> None:
    alice = make_account("alice")
    applicant.opens("alice")
    applicant.shows_own_kind(alice)
    with request_to(app):
        accounts.block_address(accounts.addresses(alice.id)[0].id, reason="NOT_REGISTERED", now=clock.now)
    assert "Enough is shown" not in applicant.page()


def test_recovery_removes_the_lost_address_and_lifts_its_block(
    app: Flask, applicant: Applicant, owners: tuple[Person, ...], new_client: Callable[[], Visitor], clock: Clock
) -> None:
    alice, bob, carol = owners
    with request_to(app):
        accounts.block_address(accounts.addresses(alice.id)[0].id, reason="NOT_REGISTERED", now=clock.now)
    applicant.opens("alice")
    for fellow in (bob, carol):
        vouch(new_client(), fellow, applicant.number())
    applicant.proves_new_address()
    applicant.waits(days=14)
    assert applicant.completes().status_code == 303
    with request_to(app):
        every = accounts.addresses(alice.id, with_removed=True)
        assert [(a.email, a.removed_at is None, a.blocked_at) for a in every] == [
            (NEW_ADDRESS, True, None),
            (alice.email, False, None),
        ]


def test_the_new_address_may_not_be_somebody_elses(
    applicant: Applicant, make_account: MakeAccount, outbox: Outbox
) -> None:
    alice, bob = make_account("alice"), make_account("bob")
    applicant.opens("alice")
    applicant.shows_own_kind(alice)
    answer = applicant.visitor.post("/recovery/case/address", new_email=bob.email)
    assert answer.status_code == 303
    assert [m["Subject"] for m in outbox.to(bob.email)] == ["This address belongs to bob already"]


def test_a_new_address_at_a_domain_that_cannot_be_checked_is_refused(
    applicant: Applicant, make_account: MakeAccount, outbox: Outbox
) -> None:
    alice = make_account("alice")
    applicant.opens("alice")
    applicant.shows_own_kind(alice)
    assert applicant.proves_new_address("new@no-such-domain.org") == 422
    applicant.waits(hours=72)
    assert applicant.completes().status_code == 403


def test_without_a_new_address_nothing_is_completed(applicant: Applicant, make_account: MakeAccount) -> None:
    alice = make_account("alice")
    applicant.opens("alice")
    applicant.shows_own_kind(alice)
    applicant.waits(hours=72)
    assert applicant.completes().status_code == 403


# Coming back, and going


def test_the_link_is_shown_once_and_leads_back_from_another_browser_of_whoever_says_it_is_theirs(
    applicant: Applicant, make_account: MakeAccount, new_client: Callable[[], Visitor]
) -> None:
    make_account("alice")
    found = LINK.search(applicant.opens("alice"))
    assert found
    assert LINK.search(applicant.page()) is None
    assert applicant.visitor.get(found[1]).location == "/recovery/case"
    other = new_client()
    page = other.get(found[1])
    assert "Was that you?" in page.text
    assert "Recover alice" not in other.get("/recovery/case").text
    assert other.post(found[1]).location == "/recovery/case"
    assert "Recover alice" in other.get("/recovery/case").text


def test_what_the_owner_shows_after_a_link_that_a_thief_sent_counts_for_nobody(
    applicant: Applicant, make_account: MakeAccount, new_client: Callable[[], Visitor], clock: Clock
) -> None:
    # Given an owner whose browser the account has known for three days
    alice, owner = make_account("alice"), new_client()
    owner.sign_in(alice)
    clock.advance(hours=73)
    # When a thief sends the link of a case, and the owner opens it and types what such a page asks for
    found = LINK.search(applicant.opens("alice"))
    assert found
    owner.get(found[1])
    owner.get("/recovery/case")
    owner.post("/recovery/case/browser")
    owner.post("/recovery/case/password", password=PASSWORD)
    # Then nothing of it is in the thief's case
    assert "Enough is shown" not in applicant.page()
    assert "One more is needed" not in applicant.page()


def test_a_withdrawn_case_is_over(app: Flask, applicant: Applicant, make_account: MakeAccount) -> None:
    alice = make_account("alice")
    found = LINK.search(applicant.opens("alice"))
    assert found
    applicant.visitor.post("/recovery/case/withdraw")
    answer = applicant.visitor.get(found[1])
    assert answer.status_code == 410
    assert "withdrawn" in answer.text
    assert applicant.visitor.post(found[1]).status_code == 410
    assert EventType.RECOVERY_ENDED in log(app, alice)


def test_a_case_ends_after_thirty_days(app: Flask, applicant: Applicant, make_account: MakeAccount) -> None:
    alice = make_account("alice")
    applicant.opens("alice")
    applicant.waits(days=30, seconds=-1)
    assert applicant.visitor.get("/recovery/case").status_code == 200
    applicant.waits(seconds=1)
    assert applicant.visitor.get("/recovery/case").status_code == 410
    assert EventType.RECOVERY_ENDED in log(app, alice)
    with request_to(app):
        cases.purge(before=applicant.clock.now + timedelta(days=1))
        assert cases.standing(alice.id, now=applicant.clock.now) == []


def test_somebody_without_a_case_meets_the_form(client: Visitor) -> None:
    assert "Begin" in client.get("/recovery/case").text
    assert client.post("/recovery/case/password", password=PASSWORD).status_code == 410


NASTY = ["", " ", "\x00", "a" * 5000, "ａｌｉｃｅ", "alice\u202e", "a@b@c", "@", "a@[127.0.0.1]", "<b>", "-1", "1" * 40]
FORMS = {
    "/password": "password",
    "/mailbox": "email",
    "/code": "code",
    "/place": "place",
    "/people": "statement",
    "/address": "new_email",
    "/address/code": "code",
    "/complete": "new_password",
    "": "username",  # last, as it begins another case
}


@pytest.mark.slow
def test_hostile_input_gets_a_clear_answer_at_every_form(
    applicant: Applicant, make_account: MakeAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("authsvc.core.rate_limits.limiter.enabled", False)
    alice = make_account("alice")
    applicant.opens("alice")
    applicant.shows_own_kind(alice)
    for path, field in FORMS.items():
        for value in NASTY:
            answer = applicant.visitor.post(f"/recovery/case{path}", **{field: value})
            assert answer.status_code in {303, 400, 403, 410, 422, 429}, (path, value, answer.text)
            applicant.works()
    for path in ("/recovery/case/x", "/recovery/object/x", "/recovery/object/%00", "/account/vouch/0"):
        assert applicant.visitor.get(path).status_code in {303, 404, 410}


@pytest.mark.parametrize("more", [False, True])
def test_a_right_password_that_nothing_follows_is_told_its_owner_as_at_sign_in(
    app: Flask, applicant: Applicant, make_account: MakeAccount, outbox: Outbox, clock: Clock, more: bool
) -> None:
    alice = make_account("alice")
    applicant.opens("alice")
    applicant.shows_password("wrong")
    applicant.shows_password(PASSWORD)
    if more:
        applicant.shows_mailbox(alice.email)
    clock.advance(hours=1)
    with app.app_context():
        login.tell_unfinished(now=clock.now)
    subjects = [message["Subject"] for message in outbox.to(alice.email)]
    assert subjects.count("Somebody knows the password of alice") == (0 if more else 1)


def test_an_account_that_is_deleted_leaves_nothing_that_was_typed(
    app: Flask, applicant: Applicant, make_account: MakeAccount, clock: Clock
) -> None:
    alice = make_account("alice")
    applicant.opens("alice")
    applicant.shows_own_kind(alice)
    applicant.proves_new_address()
    with request_to(app):
        freezes.begin(alice.id, FreezeCause.DELETION, disputed_at=clock.now, client=None, now=clock.now)
    clock.advance(days=30)
    with app.app_context():
        account_pages.delete_due(now=clock.now)
    assert applicant.visitor.get("/recovery/case").status_code == 410
    with request_to(app):
        kept = db.session().scalars(select(Case)).one()
    assert (kept.typed, kept.new_email, kept.statement) == ("", None, "")


def test_an_address_that_confirms_later_brings_the_date_nearer_and_everybody_hears_of_it(
    applicant: Applicant, owners: tuple[Person, ...], new_client: Callable[[], Visitor], outbox: Outbox, clock: Clock
) -> None:
    alice, bob, carol = owners
    applicant.opens("alice")
    for fellow in (bob, carol):
        vouch(new_client(), fellow, applicant.number())
    assert "after 8 December 2026, 12:00 UTC" in outbox.to(alice.email)[-1].get_content()
    clock.advance(days=1)
    applicant.shows_mailbox(alice.email)
    assert "after 2 December 2026, 12:00 UTC" in outbox.to(alice.email)[-1].get_content()
    assert "after 2 December 2026, 12:00 UTC" in outbox.to(bob.email)[-1].get_content()
    applicant.proves_new_address()
    applicant.waits(days=7, seconds=-1)
    assert applicant.completes().status_code == 403
    applicant.waits(seconds=1)
    assert applicant.completes().status_code == 303


@pytest.mark.parametrize("password", [PASSWORD, "wrong wrong wrong"])
def test_the_page_says_that_a_proof_was_looked_at_and_not_whether_it_was_right(
    new_client: Callable[[], Visitor], make_account: Callable[..., Person], password: str
) -> None:
    make_account("alice")
    visitor = new_client()
    visitor.post("/recovery/case", username="alice")
    shown = visitor.get(str(visitor.post("/recovery/case/password", password=password).location)).text
    assert "We looked at it. It counts once what you show adds up." in shown
    assert "What you have shown" not in shown


def test_a_backup_address_is_none_any_more_once_the_account_is_recovered(
    app: Flask, applicant: Applicant, make_account: MakeAccount, clock: Clock
) -> None:
    alice, proved_at = make_account("alice"), clock.now - timedelta(days=9)
    with request_to(app):
        number = accounts.add_address(alice.id, "a@thief.test", is_primary=False, verified_at=None, now=proved_at)
        domains.record_verification(number, "thief.test", verified_at=proved_at, now=proved_at)
        accounts.mark_backup(alice.id, number, is_backup=True)
    applicant.opens("alice")
    applicant.shows_own_kind(alice)
    applicant.proves_new_address()
    applicant.waits(hours=72)
    assert applicant.completes().status_code == 303
    with request_to(app):
        assert not any(address.is_backup for address in accounts.addresses(alice.id))
        assert EventType.ADDRESS_UNMARKED_BACKUP in {event.type for event in audit.events(alice.id)}


def test_an_address_named_while_another_is_proved_is_not_proved_by_it(
    app: Flask,
    applicant: Applicant,
    make_account: MakeAccount,
    clock: Clock,
    outbox: Outbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alice = make_account("alice")
    applicant.opens("alice")
    applicant.shows_own_kind(alice)
    applicant.visitor.post("/recovery/case/address", new_email=NEW_ADDRESS)
    code, look = outbox.code(NEW_ADDRESS), domains.check_fresh

    def meanwhile(name: str, **values: Any) -> domains.Look:
        monkeypatch.undo()
        with request_to(app):
            db.session().execute(update(Case).values(new_email="stranger@other.test", new_email_proved_at=None))
        return look(name, **values)

    monkeypatch.setattr(domains, "check_fresh", meanwhile)
    assert applicant.visitor.post("/recovery/case/address/code", code=code).status_code == 422
    with request_to(app):
        assert db.session().scalars(select(Case.new_email_proved_at)).one() is None
