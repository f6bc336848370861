"""Staff with keys in browsers of their own, and cases for them to decide."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from authsvc import accounts
from tests.cases.conftest import applicant, objection_link, owners, share, tend
from tests.cases.people import Applicant
from tests.people import Person, Visitor
from tests.slices import request_to

__all__ = ["applicant", "objection_link", "owners", "share", "tend"]  # fixtures
REASON = "I spoke to her on the phone."


@dataclass
class Colleague:
    """Somebody of the service, signed in with password and key."""

    person: Person
    visitor: Visitor

    def starts(self, number: int, decision: str = "approve", **fields: str) -> TestResponse:
        """Read the case and send its form."""
        found = re.search(r'name="seen" value="(\d+)"', self.page(number))
        sent = {"reason": REASON, "seen": found[1] if found else "0", **fields}
        return self.visitor.post(f"/staff/recovery/{number}", decision=decision, **sent)

    def proves(self, step_up: str) -> TestResponse:
        """Answer the step-up with the key, by its PIN."""
        assert self.person.key is not None
        return self.visitor.use_key(self.person.key, f"{step_up}/key", step_up, user_verified=True, way="key")

    def decides(self, number: int, decision: str = "approve", **fields: str) -> TestResponse:
        """Both."""
        asked = self.starts(number, decision, **fields)
        assert asked.status_code == 303, asked.text
        return self.proves(asked.location)

    def page(self, number: int) -> str:
        """The case as they see it."""
        return self.visitor.get(f"/staff/recovery/{number}").text


@pytest.fixture
def mark_staff(app: Flask) -> Callable[[Person], Person]:
    """What the command line does for the first one."""

    def marked(person: Person) -> Person:
        with request_to(app):
            accounts.set_staff(person.id, is_staff=True)
        return person

    return marked


@pytest.fixture
def make_colleague(
    make_account: Callable[..., Person], mark_staff: Callable[[Person], Person], new_client: Callable[[], Visitor]
) -> Callable[[str], Colleague]:
    """Makes staff with a senior key, signed in."""

    def made(name: str) -> Colleague:
        colleague = Colleague(mark_staff(make_account(name, key=True)), new_client())
        colleague.visitor.sign_in(colleague.person)
        return colleague

    return made


@pytest.fixture
def sam(make_colleague: Callable[[str], Colleague]) -> Colleague:
    """One of staff."""
    return make_colleague("sam")


@pytest.fixture
def sue(make_colleague: Callable[[str], Colleague]) -> Colleague:
    """Another of staff."""
    return make_colleague("sue")


@pytest.fixture
def alice(make_account: Callable[..., Person]) -> Person:
    """Somebody with a password and a mailbox alone."""
    return make_account("alice", age=timedelta(days=400))


@pytest.fixture
def asked(applicant: Applicant, alice: Person) -> int:
    """The number of a case about alice whose applicant asked for people."""
    applicant.opens("alice")
    applicant.visitor.post("/recovery/case/people", statement="We met at the conference.")
    return applicant.number()
