"""Who may object to a case or vouch in it, and how the people of the service decide (POLICY 10, 13)."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask

from authsvc import accounts, audit, cases, freezes, holds
from authsvc.cases import CaseView, Queue, completion, objecting
from authsvc.core.errors import AuthError, BadInput, NotFound
from authsvc.core.web import Client
from authsvc.policy.freeze import FreezeCause
from authsvc.policy.recovery import AskStaff, NoVote, Proof, Strength, Wait
from tests.cases.people import NEW, NEW_ADDRESS, Applicant
from tests.cases.test_applying import vouch
from tests.conftest import Clock
from tests.people import PASSWORD, Outbox, Person, Visitor
from tests.slices import at_once, request_to

MakeAccount = Callable[..., Person]
Share = Callable[..., None]
NewClient = Callable[[], Visitor]
SOMEWHERE = Client(ip="198.51.100.9", network="198.51.100.9", browser="Firefox")


@pytest.fixture
def alice(make_account: MakeAccount) -> Person:
    """Somebody without a factor and without packages."""
    return make_account("alice")


@pytest.fixture
def staff(make_account: MakeAccount) -> tuple[Person, Person]:
    """Two people of the service."""
    return make_account("sam", key=True), make_account("sue", key=True)


@pytest.fixture
def shown(applicant: Applicant, alice: Person) -> Applicant:
    """A case about alice that waits, with a new address proved."""
    applicant.opens("alice")
    applicant.shows_own_kind(alice)
    applicant.proves_new_address()
    return applicant


@pytest.fixture
def votes(app: Flask, clock: Clock) -> Callable[..., NoVote | None]:
    """One vote, a second later than whatever was before."""

    def voted(number: int, person: Person, *, approve: bool = True) -> NoVote | None:
        clock.advance(seconds=1)
        with request_to(app):
            return cases.vote(number, staff_id=person.id, approve=approve, reason="I spoke to her.", now=clock.now)

    return voted


def look(app: Flask, number: int, person: Person, clock: Clock) -> CaseView:
    """What somebody of the service sees."""
    with request_to(app):
        return cases.look_at(number, staff_id=person.id, now=clock.now)


def lines(app: Flask, which: Queue, clock: Clock) -> list[cases.CaseLine]:
    """The queue."""
    with request_to(app):
        return cases.queue(which, now=clock.now)


# Objecting


def test_an_objection_by_mail_stops_the_wait_and_ends_nothing(
    app: Flask, shown: Applicant, alice: Person, client: Visitor, objection_link: Callable[[str], str], clock: Clock
) -> None:
    link = objection_link(alice.email)
    assert "Nothing was changed by opening it" in client.get(link).text
    assert "Enough is shown" in shown.page()
    assert client.post(link).location == "/recovery/objected"
    assert "People decide this one" in shown.page()
    shown.waits(days=20)
    assert shown.completes().status_code == 403
    assert [line.decision for line in lines(app, Queue.NEEDS_STAFF, clock)] == [AskStaff(0)]


def test_an_objection_counts_once(
    app: Flask, shown: Applicant, alice: Person, client: Visitor, objection_link: Callable[[str], str], clock: Clock
) -> None:
    link = objection_link(alice.email)
    for _ in range(2):
        client.post(link)
        clock.advance(hours=1)
    assert [line.objections for line in lines(app, Queue.ALL, clock)] == [1]


def test_an_objection_after_completion_comes_too_late(
    shown: Applicant, alice: Person, client: Visitor, objection_link: Callable[[str], str]
) -> None:
    link = objection_link(alice.email)
    shown.waits(hours=72)
    assert shown.completes().status_code == 303
    assert client.post(link).status_code == 410


def test_an_address_that_is_blocked_meanwhile_has_no_say(
    app: Flask, shown: Applicant, alice: Person, client: Visitor, objection_link: Callable[[str], str], clock: Clock
) -> None:
    link = objection_link(alice.email)
    with request_to(app):
        accounts.block_address(accounts.addresses(alice.id)[0].id, reason="NOT_REGISTERED", now=clock.now)
    assert client.post(link).status_code == 410


def test_an_owner_signed_in_from_a_browser_known_for_three_days_objects_on_the_security_page(
    app: Flask, applicant: Applicant, alice: Person, new_client: NewClient, clock: Clock
) -> None:
    owner = new_client()
    owner.sign_in(alice)
    applicant.opens("alice")
    applicant.shows_own_kind(alice)
    assert "This is not me" in owner.get("/account").text
    assert owner.post("/account/recovery/object").status_code == 403  # this browser was never seen before today
    clock.advance(hours=72)
    owner.sign_in(alice)
    assert owner.post("/account/recovery/object").location == "/account"
    assert "People decide this one" in applicant.page()


def test_nobody_sees_a_banner_before_a_kind_is_shown(
    applicant: Applicant, alice: Person, new_client: NewClient
) -> None:
    owner = new_client()
    owner.sign_in(alice)
    applicant.opens("alice")
    applicant.shows_password(PASSWORD)
    assert "This is not me" not in owner.get("/account").text
    assert owner.post("/account/recovery/object").status_code == 410


def test_freezing_the_account_sends_the_case_to_people(
    app: Flask, shown: Applicant, alice: Person, clock: Clock
) -> None:
    with request_to(app):
        freezes.begin(alice.id, FreezeCause.OWNER, disputed_at=clock.now, client=None, now=clock.now)
    shown.waits(hours=72)
    assert shown.completes().status_code == 403


# Rivals


def test_a_second_case_that_shows_as_much_sends_both_to_people(
    app: Flask, shown: Applicant, alice: Person, new_client: NewClient, outbox: Outbox, clock: Clock
) -> None:
    rival = Applicant(app, clock, outbox, new_client())
    rival.opens("alice")
    rival.shows_own_kind(alice)
    shown.waits(hours=72)
    assert shown.completes().status_code == 403
    assert [line.decision for line in lines(app, Queue.NEEDS_STAFF, clock)] == [AskStaff(0), AskStaff(0)]


def test_a_weaker_case_stops_nothing_and_ends_when_the_stronger_is_completed(
    app: Flask, applicant: Applicant, owners: tuple[Person, ...], new_client: NewClient, outbox: Outbox, clock: Clock
) -> None:
    alice, bob, carol = owners
    rival = Applicant(app, clock, outbox, new_client())
    rival.opens("alice")
    rival.shows_own_kind(alice)
    applicant.opens("alice")
    for fellow in (bob, carol):
        vouch(new_client(), fellow, applicant.number())
    applicant.proves_new_address()
    applicant.waits(days=14)
    assert applicant.completes().status_code == 303
    page = rival.visitor.get("/recovery/case")
    assert page.status_code == 410
    assert "recovered by another request" in page.text


# Vouching


def test_co_owners_hear_with_a_link_and_object(
    app: Flask, applicant: Applicant, owners: tuple[Person, ...], new_client: NewClient, outbox: Outbox, clock: Clock
) -> None:
    alice, bob, _ = owners
    visitor = new_client()
    visitor.sign_in(bob)
    applicant.opens("alice")
    applicant.shows_own_kind(alice)
    number = applicant.number()
    told = outbox.to(bob.email)[-1]
    assert told["Subject"] == "Somebody wants to recover the account alice, your co-owner"
    assert f"/account/vouch/{number}" in told.get_content()
    assert "left-pad" in visitor.get(f"/account/vouch/{number}").text
    clock.advance(hours=72, seconds=-1)
    visitor.sign_in(bob)
    assert visitor.post(f"/account/vouch/{number}/object").status_code == 403  # a thief's is as new as that
    clock.advance(seconds=1)
    visitor.post(f"/account/vouch/{number}/object")
    assert "You have objected" in visitor.get(f"/account/vouch/{number}").text
    assert lines(app, Queue.NEEDS_STAFF, clock)[0].decision == AskStaff(0)


def test_strangers_and_the_owner_do_not_see_the_page_for_co_owners(
    applicant: Applicant, owners: tuple[Person, ...], make_account: MakeAccount, new_client: NewClient
) -> None:
    applicant.opens("alice")
    for person in (owners[0], make_account("dora", key=True)):
        visitor = new_client()
        visitor.sign_in(person)
        assert visitor.get(f"/account/vouch/{applicant.number()}").status_code == 404
        assert visitor.post(f"/account/vouch/{applicant.number()}").status_code == 404
        assert visitor.post(f"/account/vouch/{applicant.number()}/object").status_code == 404


def test_one_of_two_co_owners_is_not_enough(
    applicant: Applicant, owners: tuple[Person, ...], new_client: NewClient, outbox: Outbox
) -> None:
    applicant.opens("alice")
    visitor = new_client()
    assert vouch(visitor, owners[1], applicant.number()) == 303
    assert "You have vouched" in visitor.get(f"/account/vouch/{applicant.number()}").text
    assert "Enough is shown" not in applicant.page()
    assert vouch(visitor, owners[1], applicant.number()) == 303
    assert "Enough is shown" not in applicant.page()
    assert vouch(new_client(), owners[2], applicant.number()) == 303
    assert "Enough is shown" in applicant.page()


@pytest.mark.parametrize(("days", "status"), [(90, 403), (90 + 1 / 86400, 303)])
def test_a_co_owner_vouches_once_the_package_was_shared_for_over_90_days(
    days: float,
    status: int,
    applicant: Applicant,
    make_account: MakeAccount,
    share: Share,
    new_client: NewClient,
) -> None:
    alice, bob = make_account("alice"), make_account("bob", key=True)
    share("left-pad", alice, bob, for_days=days)
    applicant.opens("alice")
    assert vouch(new_client(), bob, applicant.number()) == status


def test_an_account_made_less_than_90_days_ago_under_the_name_of_a_maintainer_does_not_vouch(
    applicant: Applicant, make_account: MakeAccount, share: Share, new_client: NewClient
) -> None:
    alice, bob = make_account("alice"), make_account("bob", key=True, age=timedelta(days=89))
    share("left-pad", alice, bob, for_days=1000)
    applicant.opens("alice")
    assert vouch(new_client(), bob, applicant.number()) == 403


def test_co_owners_of_a_lesser_package_do_not_vouch(
    applicant: Applicant, make_account: MakeAccount, share: Share, new_client: NewClient
) -> None:
    alice, bob = make_account("alice"), make_account("bob", key=True)
    share("small", alice, bob, downloads=5)
    share("large", alice, downloads=2_000_000)
    applicant.opens("alice")
    assert vouch(new_client(), bob, applicant.number()) == 403


def test_who_maintains_the_package_without_an_account_here_counts_among_those_to_convince(
    applicant: Applicant, owners: tuple[Person, ...], share: Share, new_client: NewClient
) -> None:
    absent = [Person(0, f"absent-{n}", "") for n in range(3)]
    share("larger", *owners, *absent, downloads=50)
    applicant.opens("alice")
    for fellow in owners[1:]:
        assert vouch(new_client(), fellow, applicant.number()) == 303
    assert "Enough is shown" not in applicant.page()  # two of five


def test_a_vouch_takes_an_authenticator_and_not_password_and_mailbox(
    applicant: Applicant, make_account: MakeAccount, share: Share, new_client: NewClient
) -> None:
    alice, bob = make_account("alice"), make_account("bob")
    share("left-pad", alice, bob)
    applicant.opens("alice")
    visitor = new_client()
    visitor.sign_in(bob)
    assert visitor.post(f"/account/vouch/{applicant.number()}").status_code == 403


# People of the service


def test_two_people_end_a_dispute_and_the_wait_begins_anew(
    app: Flask,
    shown: Applicant,
    alice: Person,
    client: Visitor,
    staff: tuple[Person, Person],
    votes: Callable[..., NoVote | None],
    objection_link: Callable[[str], str],
    outbox: Outbox,
    clock: Clock,
) -> None:
    number = shown.number()
    client.post(objection_link(alice.email))
    assert votes(number, staff[0]) is None
    assert votes(number, staff[0]) is NoVote.VOTED
    assert "People decide this one" in shown.page()
    assert votes(number, staff[1]) is None
    assert "Enough is shown" in shown.page()
    assert "Unless somebody objects" in outbox.to(alice.email)[-1].get_content()
    shown.waits(hours=72, seconds=-1)
    assert shown.completes().status_code == 403
    shown.waits(seconds=1)
    assert shown.completes().status_code == 303


def test_two_people_are_an_independent_kind_for_whoever_lost_everything(
    app: Flask,
    applicant: Applicant,
    owners: tuple[Person, ...],
    staff: tuple[Person, Person],
    votes: Callable[..., NoVote | None],
    clock: Clock,
) -> None:
    applicant.opens("alice")
    assert lines(app, Queue.ALL, clock) == []
    applicant.visitor.post("/recovery/case/people", statement="We met at the conference.")
    number = applicant.number()
    assert [line.id for line in lines(app, Queue.NEEDS_STAFF, clock)] == [number]
    assert look(app, number, staff[0], clock).statement == "We met at the conference."
    for person in staff:
        assert votes(number, person) is None
    (line,) = lines(app, Queue.WAITING, clock)
    assert line.strength is Strength.INDEPENDENT
    assert line.decision == Wait(clock.now + timedelta(days=14))
    assert lines(app, Queue.NEEDS_STAFF, clock) == []


def test_one_refusal_ends_the_case(
    shown: Applicant,
    alice: Person,
    staff: tuple[Person, Person],
    votes: Callable[..., NoVote | None],
    outbox: Outbox,
) -> None:
    number = shown.number()
    assert votes(number, staff[0], approve=False) is None
    page = shown.visitor.get("/recovery/case")
    assert page.status_code == 410
    assert "refused" in page.text
    assert outbox.to(alice.email)[-1]["Subject"] == "Recovery of the account alice was refused"
    with pytest.raises(NotFound):
        votes(number, staff[1])


def test_neither_the_target_nor_its_co_owners_vote(
    applicant: Applicant, owners: tuple[Person, ...], votes: Callable[..., NoVote | None]
) -> None:
    applicant.opens("alice")
    assert votes(applicant.number(), owners[0]) is NoVote.TARGET
    assert votes(applicant.number(), owners[1]) is NoVote.CO_OWNER


def test_a_vote_takes_a_reason_and_a_case(
    app: Flask, shown: Applicant, staff: tuple[Person, Person], clock: Clock
) -> None:
    number = shown.number()
    for reason in (" ", "x" * 501):
        with request_to(app), pytest.raises(BadInput):
            cases.vote(number, staff_id=staff[0].id, approve=True, reason=reason, now=clock.now)
    with request_to(app), pytest.raises(NotFound):
        cases.vote(number + 1, staff_id=staff[0].id, approve=True, reason="Yes.", now=clock.now)


def test_looking_at_a_case_shows_evidence_and_risks_and_stands_in_the_log(
    app: Flask,
    shown: Applicant,
    alice: Person,
    client: Visitor,
    staff: tuple[Person, Person],
    objection_link: Callable[[str], str],
    clock: Clock,
) -> None:
    clock.advance(hours=1)
    client.post(objection_link(alice.email))
    view = look(app, shown.number(), staff[0], clock)
    assert {(p.proof, p.counts) for p in view.proofs} == {(Proof.PASSWORD, True), (Proof.MAILBOX, True)}
    assert view.no_vote is None
    assert view.timeline[0].words == "Opened"
    assert view.timeline[-1].words == "Somebody who reads a trusted address objected"
    assert "No browser that the account knows was seen in the applicant's network." in view.risks
    with request_to(app):
        newest = audit.events(alice.id, limit=1)[0]
    assert (newest.type, newest.detail["by"], newest.detail["staff"]) == (
        audit.EventType.RECOVERY_VIEWED,
        "staff",
        "sam",
    )


def test_a_case_about_nobody_is_not_in_any_queue(app: Flask, applicant: Applicant, clock: Clock) -> None:
    applicant.opens("quentin")
    applicant.visitor.post("/recovery/case/people", statement="It is me.")
    assert lines(app, Queue.ALL, clock) == []


# A frozen account


def test_a_frozen_account_is_opened_by_a_case_that_two_people_approve(
    app: Flask,
    applicant: Applicant,
    alice: Person,
    staff: tuple[Person, Person],
    votes: Callable[..., NoVote | None],
    clock: Clock,
) -> None:
    with request_to(app):
        freezes.begin(alice.id, FreezeCause.OWNER, disputed_at=clock.now, client=None, now=clock.now)
    applicant.opens("alice")
    applicant.shows_own_kind(alice)
    assert "People decide this one" in applicant.page()
    for person in staff:
        votes(applicant.number(), person)
    applicant.proves_new_address()
    applicant.waits(hours=72)
    assert applicant.completes().status_code == 303
    with request_to(app):
        assert not accounts.get(alice.id).frozen
        assert freezes.current(alice.id) is None
        assert holds.current(alice.id, now=clock.now) is not None
        assert accounts.addresses(alice.id)[0].email == NEW_ADDRESS
    assert applicant.visitor.post("/login", username="alice", password=NEW).status_code == 303


def test_of_an_objection_and_a_completion_at_once_one_wins(
    app: Flask, shown: Applicant, alice: Person, objection_link: Callable[[str], str], clock: Clock
) -> None:
    token = objection_link(alice.email).rpartition("/")[2]
    shown.waits(hours=72)
    with request_to(app):
        (case,) = cases.standing(alice.id, now=clock.now)

    def completes() -> bool:
        try:
            completion.complete(case, NEW, client=SOMEWHERE, now=clock.now)
        except AuthError:
            return False
        return True

    def objects() -> bool:
        try:
            objecting.object_by_link(token, client=SOMEWHERE, now=clock.now)
        except AuthError:
            return False
        return True

    assert sorted(at_once(app, completes, objects)) == [False, True]


def test_a_freeze_voids_what_was_approved_before_it(
    app: Flask,
    applicant: Applicant,
    alice: Person,
    staff: tuple[Person, Person],
    votes: Callable[..., NoVote | None],
    clock: Clock,
) -> None:
    applicant.opens("alice")
    for person in staff:
        votes(applicant.number(), person)
    applicant.proves_new_address()
    clock.advance(hours=10)
    with request_to(app):
        freezes.begin(alice.id, FreezeCause.OWNER, disputed_at=clock.now, client=None, now=clock.now)
    applicant.waits(hours=72)
    assert applicant.completes().status_code == 403
    assert votes(applicant.number(), staff[0]) is None
