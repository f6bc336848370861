"""What a case asks of the outside: the domain of an address of the account, and places linked before (POLICY 8, 10)."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask

from authsvc import accounts, audit, cases, domains, proof_places, recovery
from authsvc.audit import EventType
from authsvc.cases import reading, service
from authsvc.core import db
from authsvc.core.web import Client
from authsvc.policy.recovery import Proof
from authsvc.proof_places.models import ProofPlace
from tests import servers
from tests.cases.people import Applicant
from tests.conftest import Clock
from tests.people import PASSWORD, Outbox, Person
from tests.recovery.corp import ALIVE, Outside, registered
from tests.slices import request_to

LINE = re.compile(r"authsvc-proof=[\w-]+")


@pytest.fixture
def outside(app: Flask, dns_server: servers.Dns, web_server: servers.Web) -> Outside:
    """A healthy corp.org."""
    return Outside(app, dns_server, web_server)


@pytest.fixture
def alice(app: Flask, clock: Clock, make_account: Callable[..., Person], outside: Outside) -> Person:
    """Somebody with an address at corp.org, which was looked at when she proved it."""
    alice = make_account("alice", email="alice@corp.org", age=timedelta(days=100))
    with app.app_context():
        domains.check_now("corp.org", now=clock.now)
    clock.advance(minutes=11)
    return alice


def link_place(app: Flask, person: Person, clock: Clock, *, days: float = 31, location: str = "corp.org") -> None:
    """The DNS of corp.org, or of a name below it, is a place of hers."""
    linked = clock.now - timedelta(days=days)
    with request_to(app):
        db.session().add(
            ProofPlace(
                account_id=person.id,
                kind="dns",
                location=location,
                forge="",
                created_at=linked,
                linked_at=linked,
                confirmed_at=linked,
            )
        )


def newest(app: Flask, person: Person) -> audit.EventView:
    """The last line of somebody's log."""
    with request_to(app):
        return audit.events(person.id, limit=1)[0]


def test_a_code_goes_to_an_address_at_a_healthy_domain(app: Flask, applicant: Applicant, alice: Person) -> None:
    applicant.opens("alice")
    applicant.shows_password(PASSWORD)
    assert applicant.shows_mailbox(alice.email).status_code == 303
    assert "Enough is shown" in applicant.page()
    with request_to(app):
        types = [event.type for event in audit.events(alice.id)]
    assert EventType.RECOVERY_CODE_SENT in types


@pytest.mark.parametrize("rdap", [None, registered("2026-11-20T00:00:00Z")], ids=["lapsed", "registered-anew"])
def test_no_code_goes_to_a_domain_that_lapsed_or_was_registered_anew(
    app: Flask,
    applicant: Applicant,
    alice: Person,
    outside: Outside,
    outbox: Outbox,
    clock: Clock,
    rdap: dict[str, object] | None,
) -> None:
    outside.says(ALIVE if rdap else [], rdap)
    clock.advance(hours=25)
    applicant.opens("alice")
    applicant.asks_for_code(alice.email)
    assert outbox.to(alice.email) == []
    assert newest(app, alice).type is EventType.RECOVERY_PROOF_FAILED
    assert "alice" in applicant.page()


def test_a_mailbox_counts_no_more_once_its_domain_lapsed(
    app: Flask, applicant: Applicant, alice: Person, outside: Outside, clock: Clock
) -> None:
    applicant.opens("alice")
    applicant.shows_password(PASSWORD)
    applicant.shows_mailbox(alice.email)
    outside.says([], None)
    clock.advance(hours=1)
    with app.app_context():
        domains.check_now("corp.org", now=clock.now)
    assert "Enough is shown" not in applicant.page()


def test_unknown_and_known_names_at_a_domain_ask_dns_the_same(
    applicant: Applicant, alice: Person, outside: Outside, clock: Clock
) -> None:
    asked = []
    for typed in ("alice", "quentin"):
        clock.advance(minutes=11)
        outside.dns.zone.asked.clear()
        applicant.opens(typed)
        applicant.asks_for_code(f"{typed}@corp.org")
        asked.append(sorted(outside.dns.zone.asked))
    assert asked[0] == asked[1]
    assert asked[0]


def test_a_line_at_a_place_linked_thirty_days_ago_is_an_independent_kind(
    app: Flask, applicant: Applicant, alice: Person, outside: Outside, clock: Clock
) -> None:
    link_place(app, alice, clock)
    found = LINE.search(applicant.opens("alice"))
    assert found
    outside.dns.zone = servers.Zone([*ALIVE, ["_authsvc-proof.corp.org", "TXT", f'"{found[0]}"']])
    applicant.visitor.post("/recovery/case/place", place="corp.org")
    applicant.works()
    assert "Enough is shown" in applicant.page()


@pytest.mark.parametrize(("days", "published"), [(31, False), (29, True)], ids=["not-published", "linked-lately"])
def test_a_place_without_the_line_or_linked_lately_proves_nothing(
    app: Flask, applicant: Applicant, alice: Person, outside: Outside, clock: Clock, days: float, published: bool
) -> None:
    link_place(app, alice, clock, days=days)
    found = LINE.search(applicant.opens("alice"))
    assert found
    if published:
        outside.dns.zone = servers.Zone([*ALIVE, ["_authsvc-proof.corp.org", "TXT", f'"{found[0]}"']])
    applicant.visitor.post("/recovery/case/place", place="corp.org")
    applicant.works()
    assert "Enough is shown" not in applicant.page()
    assert newest(app, alice).type is EventType.RECOVERY_PROOF_FAILED


def publishes(applicant: Applicant, outside: Outside) -> None:
    """Open a case about alice and publish its line in the DNS of corp.org."""
    found = LINE.search(applicant.opens("alice"))
    assert found
    outside.dns.zone = servers.Zone([*ALIVE, ["_authsvc-proof.corp.org", "TXT", f'"{found[0]}"']])
    applicant.visitor.post("/recovery/case/place", place="corp.org")
    applicant.works()
    assert "Enough is shown" in applicant.page()


def test_a_place_that_is_unlinked_counts_no_more_and_one_that_is_suspended_goes_to_people(
    app: Flask, applicant: Applicant, alice: Person, outside: Outside, clock: Clock
) -> None:
    link_place(app, alice, clock)
    publishes(applicant, outside)
    with request_to(app):
        accounts.raise_epoch(alice.id, confirm_after=clock.now)
    assert "People decide this one" in applicant.page()
    with request_to(app):
        (place,) = proof_places.places(alice.id, now=clock.now)
        proof_places.unlink(alice.id, place.id, now=clock.now)
    assert "People decide this one" not in applicant.page()
    assert "Enough is shown" not in applicant.page()


def confirms(app: Flask, person: Person, clock: Clock) -> bool:
    """Whether a mailbox shown in her case shortens its wait."""
    with request_to(app):
        (case,) = cases.standing(person.id, now=clock.now)
        return any(one.proof is Proof.MAILBOX and one.confirms for one in case.facts.shown)


@pytest.mark.parametrize("handed_over", [False, True])
def test_a_mailbox_confirms_only_while_its_domain_shows_no_sign_of_other_hands(
    app: Flask, applicant: Applicant, alice: Person, outside: Outside, clock: Clock, handed_over: bool
) -> None:
    answer = registered()
    if handed_over:
        at = (clock.now - timedelta(minutes=1)).isoformat()
        answer["body"]["events"].append({"eventAction": "transfer", "eventDate": at})
    outside.says(ALIVE, answer)
    clock.advance(hours=25)
    applicant.opens("alice")
    applicant.shows_own_kind(alice)
    assert confirms(app, alice, clock) is not handed_over


def test_a_mailbox_at_the_domain_of_the_published_proof_confirms_nothing(
    app: Flask, applicant: Applicant, alice: Person, outside: Outside, clock: Clock
) -> None:
    link_place(app, alice, clock)
    publishes(applicant, outside)
    applicant.shows_mailbox(alice.email)
    assert not confirms(app, alice, clock)


def test_places_that_fit_are_looked_at_one_at_a_time_until_one_has_the_line(
    app: Flask, applicant: Applicant, alice: Person, outside: Outside, clock: Clock
) -> None:
    # Given three places at one domain, of which the last has the line
    for host in ("a.corp.org", "b.corp.org", "c.corp.org"):
        link_place(app, alice, clock, location=host)
    found = LINE.search(applicant.opens("alice"))
    assert found
    outside.dns.zone = servers.Zone([*ALIVE, ["_authsvc-proof.c.corp.org", "TXT", f'"{found[0]}"']])
    applicant.visitor.post("/recovery/case/place", place="corp.org")
    with app.app_context():
        assert cases.process(now=clock.now) == 3
    assert "Enough is shown" in applicant.page()


def test_whoever_asks_in_many_cases_waits_behind_those_who_ask_in_one(
    app: Flask, applicant: Applicant, alice: Person, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    took: list[int] = []
    monkeypatch.setattr("authsvc.cases.asking._process", lambda case_id, *, now: took.append(case_id))
    for network in ("198.51.100.0/24", "198.51.100.0/24", "203.0.113.0/24"):
        with request_to(app):
            client = Client(ip="198.51.100.9", network=network, browser="Firefox")
            token = service.open_case("alice", browser_token="", client=client, now=clock.now)
            case = reading.find(token, now=clock.now)
            service.ask(case, "place", "corp.org", network=network, now=clock.now)
            service.ask(case, "place", "corp.org", network=network, now=clock.now)  # again, which is no second case
    with app.app_context():
        cases.process(now=clock.now)
    assert took == [1, 3, 2]


def test_why_a_place_was_refused_is_told_once_a_kind_is_shown(
    app: Flask, applicant: Applicant, alice: Person, clock: Clock
) -> None:
    link_place(app, alice, clock)
    applicant.opens("alice")
    told = []
    for _ in range(2):
        applicant.visitor.post("/recovery/case/place", place="corp.org")
        applicant.works()
        told.append("The line is not there yet" in applicant.page())
        applicant.shows_password(PASSWORD)
        applicant.shows_mailbox(alice.email)
    assert told == [False, True]


def test_an_ask_is_answered_once(app: Flask, applicant: Applicant, alice: Person, outbox: Outbox, clock: Clock) -> None:
    applicant.opens("alice")
    applicant.asks_for_code(alice.email)
    with app.app_context():
        assert cases.process(now=clock.now + timedelta(hours=1)) == 0
    assert len(outbox.messages) == 1


def test_an_account_disabled_meanwhile_gets_no_code(
    app: Flask, applicant: Applicant, alice: Person, outbox: Outbox, clock: Clock
) -> None:
    applicant.opens("alice")
    applicant.visitor.post("/recovery/case/mailbox", email=alice.email)
    with request_to(app):
        accounts.set_disabled(alice.id, now=clock.now)
    applicant.works()
    assert outbox.messages == []


@pytest.mark.parametrize(("hours", "mailed"), [(-1, 0), (1, 1)], ids=["recovered-before", "recovered-since"])
def test_a_recovery_since_a_block_lets_reset_links_leave_again(
    app: Flask, applicant: Applicant, alice: Person, outbox: Outbox, clock: Clock, hours: float, mailed: int
) -> None:
    with request_to(app):
        accounts.block_address(accounts.addresses(alice.id)[0].id, reason="NOT_REGISTERED", now=clock.now)
        accounts.note_recovery(alice.id, now=clock.now + timedelta(hours=hours))
    applicant.visitor.post("/recovery", username="alice")
    with app.app_context():
        recovery.process_resets(now=clock.now)
    assert len(outbox.to(alice.email)) == mailed
