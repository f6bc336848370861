"""What an applicant does, through pages alone."""

import re
from datetime import timedelta

from flask import Flask
from werkzeug.test import TestResponse

from authsvc import cases
from tests.conftest import Clock
from tests.people import Outbox, Person, Visitor

NEW = "seven quiet otters paint the harbour"
NEW_ADDRESS = "new@fresh.test"
VOUCH = re.compile(r"http://localhost:8000(/account/vouch/(\d+))")
LINK = re.compile(r"http://localhost:8000(/recovery/case/[\w-]{40,})")


class Applicant:
    """Somebody who wants an account back."""

    def __init__(self, app: Flask, clock: Clock, outbox: Outbox, visitor: Visitor) -> None:
        self.app, self.clock, self.outbox, self.visitor = app, clock, outbox, visitor

    def opens(self, typed: str) -> str:
        """Open a case; gives the page that follows."""
        assert self.visitor.post("/recovery/case", username=typed).location == "/recovery/case"
        return self.page()

    def page(self) -> str:
        """The case's page."""
        return self.visitor.get("/recovery/case").text

    def number(self) -> int:
        """The number in the link for co-owners."""
        found = VOUCH.search(self.page())
        assert found
        return int(found[2])

    def shows_password(self, password: str) -> TestResponse:
        """Type the password."""
        return self.visitor.post("/recovery/case/password", password=password)

    def works(self) -> None:
        """What the worker does."""
        with self.app.app_context():
            cases.process(now=self.clock.now)

    def asks_for_code(self, address: str) -> None:
        """Have a code mailed."""
        assert self.visitor.post("/recovery/case/mailbox", email=address).status_code == 303
        self.works()

    def shows_mailbox(self, address: str) -> TestResponse:
        """Have a code mailed, and type it."""
        self.asks_for_code(address)
        return self.visitor.post("/recovery/case/code", code=self.outbox.code(address))

    def shows_own_kind(self, person: Person) -> None:
        """Password and mailbox."""
        self.shows_password(person.password)
        self.shows_mailbox(person.email)

    def proves_new_address(self, address: str = NEW_ADDRESS) -> int:
        """Name a new address and type the code that came to it; the status of the last answer."""
        answer = self.visitor.post("/recovery/case/address", new_email=address)
        assert answer.status_code == 303, answer.text
        return self.visitor.post("/recovery/case/address/code", code=self.outbox.code(address)).status_code

    def completes(self, password: str = NEW) -> TestResponse:
        """Set the new password."""
        return self.visitor.post("/recovery/case/complete", new_password=password)

    def waits(self, **distance: float) -> None:
        """Let time go by, with the worker at its end."""
        self.clock.now += timedelta(**distance)
        with self.app.app_context():
            cases.tend(now=self.clock.now)
