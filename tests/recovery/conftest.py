"""A healthy corp.org, and asking for a link."""

from collections.abc import Callable

import pytest
from flask import Flask

from authsvc import recovery
from tests import servers
from tests.conftest import Clock
from tests.people import Visitor
from tests.recovery.corp import Outside


@pytest.fixture
def outside(app: Flask, dns_server: servers.Dns, web_server: servers.Web) -> Outside:
    """A healthy corp.org."""
    return Outside(app, dns_server, web_server)


@pytest.fixture
def ask(app: Flask, clock: Clock, client: Visitor) -> Callable[..., None]:
    """Ask for a link as anybody can, and let the worker decide."""

    def asked(typed: str, by: Visitor = client) -> None:
        assert by.post("/recovery", username=typed).location == "/recovery/sent"
        with app.app_context():
            recovery.process_resets(now=clock.now)

    return asked
