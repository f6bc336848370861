"""Fixtures: a site that signs people in through us, and asking for a reset link."""

import re
from collections.abc import Callable

import pytest
from flask import Flask

from authsvc import recovery
from tests.conftest import Clock
from tests.oidc.conftest import key_pairs, signing_keys, site
from tests.people import Outbox, Person, Visitor

__all__ = ["key_pairs", "signing_keys", "site"]

LINK = re.compile(r"http://localhost:8000(/recovery/reset/\S+)")


@pytest.fixture
def link(app: Flask, clock: Clock, outbox: Outbox, new_client: Callable[[], Visitor]) -> Callable[[Person], str]:
    """Ask for a reset link as anybody can; gives the path that was mailed to its owner."""

    def asked(person: Person) -> str:
        new_client().post("/recovery", username=person.username)
        with app.app_context():
            recovery.process_resets(now=clock.now)
        found = LINK.search(outbox.to(person.email)[-1].get_content())
        assert found
        return found[1]

    return asked
