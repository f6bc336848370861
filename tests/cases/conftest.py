"""Applicants, maintainers who share a package, and what they do with a case."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask

from authsvc import cases
from authsvc.mandates import by_account
from authsvc.mandates.models import Ownership, Package
from tests.cases.people import Applicant
from tests.conftest import Clock
from tests.people import Outbox, Person, Visitor
from tests.slices import request_to

DAY = timedelta(days=1)


@pytest.fixture
def applicant(app: Flask, clock: Clock, outbox: Outbox, client: Visitor) -> Applicant:
    """Somebody with a browser that has not been here before, who wants an account back."""
    return Applicant(app, clock, outbox, client)


@pytest.fixture
def share(app: Flask, clock: Clock) -> Callable[..., None]:
    """Make people maintain a package together: `share("left-pad", alice, bob, carol, for_days=100)`."""

    def made(name: str, *people: Person, for_days: float = 100, downloads: int = 10) -> None:
        with request_to(app):
            from authsvc.core import db

            db.session().add(Package(ecosystem="npm", name=name, weekly_downloads=downloads, high_impact=False))
            for person in people:
                row = Ownership(
                    ecosystem="npm",
                    package=name,
                    account=person.username,
                    account_id=person.id or None,
                    role="owner",
                    accepted_at=clock.now - timedelta(days=for_days),
                )
                db.session().add(row)
                db.session().flush()
                if person.id:
                    by_account.note([(person.id, row.id)])

    return made


@pytest.fixture
def owners(make_account: Callable[..., Person], share: Callable[..., None]) -> tuple[Person, Person, Person]:
    """alice, who has a key, and bob and carol, who have keys too; they have shared left-pad for 100 days."""
    people = tuple(make_account(name, key=True) for name in ("alice", "bob", "carol"))
    share("left-pad", *people)
    return people  # type: ignore[return-value]


@pytest.fixture
def tend(app: Flask, clock: Clock) -> Callable[[], None]:
    """What the worker does once a minute."""

    def done() -> None:
        with app.app_context():
            cases.tend(now=clock.now)

    return done


@pytest.fixture
def objection_link(outbox: Outbox) -> Callable[[str], str]:
    """The link to object in the newest mail about a recovery to an address."""

    def found(address: str) -> str:
        for message in reversed(outbox.to(address)):
            match = re.search(r"http://localhost:8000(/recovery/object/\S+)", message.get_content())
            if match:
                return match[1]
        raise AssertionError(f"no link to object was mailed to {address}")

    return found
