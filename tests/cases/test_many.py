"""Many cases about one account: three have begun, one mail a day tells of as much, the worker goes on (POLICY 10)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import event, select
from sqlalchemy.engine import Engine

from authsvc import accounts, audit, cases
from authsvc.audit import EventType
from authsvc.cases import reading, service
from authsvc.cases.models import Case
from authsvc.core import db
from authsvc.core.web import Client
from authsvc.policy.recovery import SLOTS, Proof, Strength
from tests.cases.people import NEW_ADDRESS, Applicant
from tests.cases.test_applying import vouch
from tests.conftest import Clock
from tests.people import Outbox, Person, Visitor
from tests.slices import request_to

SUBJECT = "Somebody wants to recover the account alice"
SOMEWHERE = Client(ip="198.51.100.9", network="198.51.100.9", browser="Firefox")


@pytest.fixture
def alice(make_account: Callable[..., Person]) -> Person:
    """Somebody without a factor and without packages."""
    return make_account("alice")


def opened(app: Flask, clock: Clock) -> int:
    """A case about alice that has shown what she knows and holds; gives its number."""
    with request_to(app):
        token = service.open_case("alice", browser_token="", client=SOMEWHERE, now=clock.now)
    with request_to(app):
        case = reading.find(token, now=clock.now)
        assert case.account
        shows(case.id, case.account, clock)
    return case.id


def shows(case_id: int, account: accounts.AccountView, clock: Clock) -> None:
    """Password and mailbox, in a request."""
    address = accounts.addresses(account.id)[0].id
    for proof, ref in ((Proof.PASSWORD, 0), (Proof.MAILBOX, address)):
        service.note_proof(case_id, account, proof, ref=ref, client=SOMEWHERE, now=clock.now)


def begun(app: Flask, person: Person, clock: Clock) -> list[int]:
    with request_to(app):
        return [case.id for case in cases.standing(person.id, now=clock.now)]


def told(outbox: Outbox, person: Person) -> int:
    """How many mails said that somebody asked."""
    return sum(message["Subject"] == SUBJECT for message in outbox.to(person.email))


@contextmanager
def counted() -> Iterator[list[str]]:
    """The statements that were run meanwhile."""
    run: list[str] = []

    def count(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        run.append(statement)

    event.listen(Engine, "before_cursor_execute", count)
    try:
        yield run
    finally:
        event.remove(Engine, "before_cursor_execute", count)


def test_a_fourth_case_that_shows_as_much_waits_until_a_slot_is_free(
    app: Flask, applicant: Applicant, alice: Person, clock: Clock
) -> None:
    first = [opened(app, clock) for _ in range(SLOTS)]
    applicant.opens("alice")
    assert "others are before you" not in applicant.page()
    applicant.shows_own_kind(alice)
    assert "others are before you" in applicant.page()
    assert begun(app, alice, clock) == first
    # And no time runs for it
    applicant.proves_new_address()
    applicant.waits(hours=100)
    assert applicant.completes().status_code == 403
    applicant.visitor.post("/recovery/case/begin")
    assert begun(app, alice, clock) == first
    # Then the others end, and its wait begins with its slot
    for number in first:
        with request_to(app):
            case = reading.get(number, now=clock.now)
            assert case
            service.withdraw(case, client=SOMEWHERE, now=clock.now)
    clock.advance(hours=25)  # they were mailed about within the day
    applicant.visitor.post("/recovery/case/begin")
    assert "others are before you" not in applicant.page()
    with request_to(app):
        (case,) = cases.standing(alice.id, now=clock.now)
        assert case.told_until == clock.now + timedelta(hours=72)
    applicant.waits(hours=72, seconds=-1)
    assert applicant.completes().status_code == 403
    applicant.waits(seconds=1)
    assert applicant.completes().status_code == 303


def test_a_stronger_case_takes_the_slot_of_the_oldest_weaker_one(
    app: Flask,
    applicant: Applicant,
    owners: tuple[Person, ...],
    new_client: Callable[[], Visitor],
    clock: Clock,
    outbox: Outbox,
) -> None:
    alice, bob, carol = owners
    first = [opened(app, clock) for _ in range(SLOTS)]
    applicant.opens("alice")
    for fellow in (bob, carol):
        vouch(new_client(), fellow, applicant.number())
    assert "Enough is shown. Come back" in " ".join(applicant.page().replace("</strong>", "").split())
    assert begun(app, alice, clock) == [*first[1:], applicant.number()]
    with request_to(app):
        given_up = reading.get(first[0], now=clock.now)
        assert given_up is not None
        assert (given_up.begun_at, given_up.strength) == (None, Strength.OWN)
    applicant.proves_new_address()
    applicant.waits(days=14)
    assert applicant.completes().status_code == 303
    assert outbox.to(NEW_ADDRESS)


def test_opening_and_withdrawing_again_and_again_mails_once_a_day(
    app: Flask, applicant: Applicant, alice: Person, outbox: Outbox, clock: Clock
) -> None:
    for _ in range(4):
        with request_to(app):
            case = reading.get(opened(app, clock), now=clock.now)
            assert case
            service.withdraw(case, client=SOMEWHERE, now=clock.now)
        clock.advance(hours=1)
    assert told(outbox, alice) == 1


def test_a_case_that_nobody_heard_of_waits_from_the_day_they_do(
    app: Flask, applicant: Applicant, alice: Person, outbox: Outbox, clock: Clock
) -> None:
    # Given a case withdrawn, and another right after it
    with request_to(app):
        case = reading.get(opened(app, clock), now=clock.now)
        assert case
        service.withdraw(case, client=SOMEWHERE, now=clock.now)
    applicant.opens("alice")
    number = applicant.number()
    with request_to(app):
        row = db.session().scalars(select(Case).where(Case.id == number)).one()
        case = reading.view(row, now=clock.now)
        assert case.account
        shows(number, case.account, clock)
    applicant.proves_new_address()
    applicant.waits(hours=24, seconds=-1)
    assert told(outbox, alice) == 1
    # When everybody hears of it a day later
    applicant.waits(seconds=60)
    assert told(outbox, alice) == 2
    # Then 72 hours go by from there
    applicant.waits(hours=72, seconds=-1)
    assert applicant.completes().status_code == 403
    applicant.waits(seconds=1)
    assert applicant.completes().status_code == 303


def test_more_evidence_is_told_at_once(applicant: Applicant, app: Flask, alice: Person, outbox: Outbox) -> None:
    opened(app, applicant.clock)
    assert told(outbox, alice) == 1
    opened(app, applicant.clock)  # now people decide, which is one more thing to tell
    opened(app, applicant.clock)
    assert told(outbox, alice) == 2


def test_what_the_worker_does_for_an_account_does_not_grow_with_the_cases_about_it(
    app: Flask, alice: Person, clock: Clock
) -> None:
    asked = []
    for more in (SLOTS, 9):
        for _ in range(more):
            opened(app, clock)
        clock.advance(minutes=1)
        with app.app_context(), counted() as run:
            cases.tend(now=clock.now)
        asked.append(len(run))
    assert asked[1] <= asked[0]


def test_the_worker_looks_at_a_case_once_in_a_round_and_stops_in_time(
    app: Flask, alice: Person, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(app, clock)
    with app.app_context(), monkeypatch.context() as patch:
        patch.setattr("authsvc.domains.WORKER_SHARE", timedelta(0))
        with counted() as run:
            cases.tend(now=clock.now)
        assert not any("tended_until=" in statement for statement in run)
    rounds = []
    for seconds in (0, 1, 60):
        clock.advance(seconds=seconds)
        with app.app_context(), counted() as run:
            cases.tend(now=clock.now)
        rounds.append(sum("SET tended_until=" in statement for statement in run))
    assert rounds == [1, 0, 1]


def test_cases_that_nobody_went_on_with_end_together(app: Flask, alice: Person, clock: Clock) -> None:
    for _ in range(5):
        with request_to(app):
            service.open_case("alice", browser_token="", client=SOMEWHERE, now=clock.now)
    clock.advance(days=30)
    with app.app_context(), counted() as run:
        cases.tend(now=clock.now)
    assert (
        sum(statement.startswith("UPDATE recovery_cases SET ended_at") for statement in run) == 2
    )  # the last finds none
    with request_to(app):
        assert [e.type for e in audit.events(alice.id)].count(EventType.RECOVERY_ENDED) == 5
