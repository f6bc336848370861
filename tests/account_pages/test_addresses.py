"""Addresses of an account: what adding one tells, which may become the main one, where codes do not go."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import update

from authsvc import accounts, domains
from authsvc.accounts.models import Address
from authsvc.core import db
from tests.conftest import Clock
from tests.people import PASSWORD, Outbox, Person, Visitor

MakeAccount = Callable[..., Person]
DAY = timedelta(days=1)


@pytest.fixture
def alice(client: Visitor, make_account: MakeAccount) -> Person:
    """Signed in with password and mailed code."""
    person = make_account("alice")
    client.sign_in(person)
    return person


def adds(visitor: Visitor, person: Person, outbox: Outbox, email: str) -> str:
    """Add an address with the step-up; gives where it leads, without the address's number."""
    page = visitor.post("/account/addresses/add", email=email).location
    answer = visitor.post(page, way="password", password=PASSWORD, code=outbox.code(person.email))
    assert answer.status_code == 303, answer.text
    return str(answer.location)


def loses(app: Flask, person: Person, now: datetime) -> None:
    """The domains of the account's addresses lapse."""
    with app.app_context(), db.transaction():
        for domain in {a.domain for a in accounts.addresses(person.id)}:
            accounts.set_trust(domain, verdict="lapsed", generation=1, now=now)


def has_second(app: Flask, person: Person, email: str, *, proved_at: datetime) -> int:
    """Give the account a second address; returns its id."""
    with app.app_context(), db.transaction():
        added = accounts.add_address(person.id, email, is_primary=False, verified_at=None, now=proved_at)
        domains.record_verification(added, email.rpartition("@")[2], verified_at=proved_at, now=proved_at)
    return added


@pytest.mark.attack("L08")
def test_adding_an_address_does_not_tell_whether_it_has_an_account(
    client: Visitor, alice: Person, make_account: MakeAccount, outbox: Outbox
) -> None:
    make_account("bob", email="taken@example.test")
    seen = []
    for email in ("taken@example.test", "free@example.test"):
        page = adds(client, alice, outbox, email)
        shown = client.get(page)
        wrong = client.post(page, code="00000000").status_code
        seen.append((shown.status_code, "ends" in shown.text, wrong))
    assert seen[0] == seen[1]
    assert {m["Subject"] for m in outbox.to("taken@example.test")} == {"This address belongs to bob already"}


@pytest.mark.attack("R23")
@pytest.mark.parametrize("email", ["taken@example.test", "free@example.test"])
def test_mails_to_a_new_address_have_one_limit_whoever_it_belongs_to(
    client: Visitor, alice: Person, make_account: MakeAccount, outbox: Outbox, email: str
) -> None:
    make_account("bob", email="taken@example.test")
    number = adds(client, alice, outbox, email).split("/")[3]
    statuses = [client.post(f"/account/addresses/{number}/send").status_code for _ in range(5)]
    assert (len(outbox.to(email)), statuses) == (4, [303, 303, 303, 429, 429])  # the step-up's was one of five


@pytest.mark.attack("D01")
def test_the_owner_of_a_taken_address_at_a_lost_domain_is_not_written_to(
    app: Flask, client: Visitor, alice: Person, make_account: MakeAccount, outbox: Outbox, clock: Clock
) -> None:
    bob = make_account("bob", email="bob@gone.test")
    loses(app, bob, clock.now)
    adds(client, alice, outbox, "bob@gone.test")
    client.post("/register", username="carol", email="bob@gone.test", password=PASSWORD)
    assert outbox.to("bob@gone.test") == []


@pytest.mark.parametrize(("age", "status"), [(3 * DAY, 303), (3 * DAY - timedelta(seconds=1), 403)])
def test_an_address_can_be_the_main_one_after_three_days(
    app: Flask, client: Visitor, alice: Person, clock: Clock, age: timedelta, status: int
) -> None:
    number = has_second(app, alice, "a@backup.test", proved_at=clock.now - age)
    answer = client.post(f"/account/addresses/{number}/main")
    assert answer.status_code == status
    if status == 403:
        assert "from 24 November 2026, 12:00 UTC on" in answer.text


def test_on_an_accounts_first_day_its_addresses_are_senior(
    app: Flask, client: Visitor, make_account: MakeAccount, clock: Clock
) -> None:
    newcomer = make_account("newcomer", age=timedelta(hours=1))
    client.sign_in(newcomer)
    number = has_second(app, newcomer, "a@backup.test", proved_at=clock.now)
    assert client.post(f"/account/addresses/{number}/main").status_code == 303


@pytest.mark.attack("D01")
def test_a_lost_address_gets_a_code_only_when_its_proof_would_count(
    app: Flask, client: Visitor, alice: Person, clock: Clock, outbox: Outbox
) -> None:
    number = has_second(app, alice, "a@backup.test", proved_at=clock.now - 9 * DAY)
    with app.app_context(), db.transaction() as session:
        session.execute(update(Address).where(Address.id == number).values(blocked_at=clock.now, block_reason="X"))
    clock.advance(minutes=1)
    assert client.post(f"/account/addresses/{number}/send").status_code == 403
    assert outbox.to("a@backup.test") == []
    with app.app_context(), db.transaction():
        accounts.note_sign_in(alice.id, strong=True, now=clock.now)
    page = client.post(f"/account/addresses/{number}/send").location
    assert client.post(page, code=outbox.code("a@backup.test")).status_code == 303
    with app.app_context(), db.transaction():
        assert all(a.trusted for a in accounts.addresses(alice.id))
