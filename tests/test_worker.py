"""What the worker does beside handing mail over: it looks at the domain before a code leaves."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from authsvc import domains, mail, worker
from authsvc.adapters import HttpClient
from authsvc.adapters.dns import DnsClient
from authsvc.adapters.rdap import RdapClient
from tests import servers
from tests.conftest import Clock
from tests.people import PASSWORD, Outbox, Person, Visitor

ALIVE = [
    ["corp.org", "NS", "ns1.host.net."],
    ["corp.org", "MX", "10 mx.mail.net."],
    ["mx.mail.net", "A", "203.0.113.1"],
]
LONG_AGO, LATELY = "2014-03-02T00:00:00Z", "2026-11-20T00:00:00Z"


def registered(at: str) -> dict[str, Any]:
    """The registry's answer about a domain registered then."""
    event = {"eventAction": "registration", "eventDate": at}
    return {"corp.org": {"http": 200, "body": {"objectClassName": "domain", "events": [event]}}}


@pytest.fixture
def alice(
    app: Flask,
    clock: Clock,
    make_account: Callable[..., Person],
    dns_server: servers.Dns,
    web_server: servers.Web,
) -> Person:
    """A person at corp.org, which was looked at just now and is in order."""
    dns_server.zone = servers.Zone(ALIVE)
    web_server.add_rdap(registered(LONG_AGO))
    dns, rdap = DnsClient(dns_server.setting), RdapClient(HttpClient(), web_server.url)
    app.extensions["authsvc.adapters"] = replace(app.extensions["authsvc.adapters"], dns=dns, rdap=rdap)
    person = make_account("alice", email="alice@corp.org")
    with app.app_context():
        domains.check_now("corp.org", now=clock.now)
    dns_server.zone.asked.clear()
    return person


def asks_for_a_code(visitor: Visitor, person: Person, kind: str) -> None:
    """Begin what mails a code of this kind."""
    if kind == "step_up_code":
        visitor.sign_in(person)
        visitor.post("/account/enrol", way="totp")
    else:
        visitor.post("/login", username=person.username, password=PASSWORD)


def codes(outbox: Outbox) -> int:
    """How many mails with a code were handed over."""
    return sum("Subject: Your" in path.read_text() for path in outbox.folder.glob("*.eml"))


@pytest.mark.attack("D01")
@pytest.mark.parametrize("kind", ["login_code", "step_up_code"])
@pytest.mark.parametrize(("since_registered", "arrives"), [(LONG_AGO, True), (LATELY, False)])
def test_a_code_leaves_only_after_a_look_at_the_domain(
    app: Flask,
    clock: Clock,
    client: Visitor,
    alice: Person,
    dns_server: servers.Dns,
    web_server: servers.Web,
    outbox: Outbox,
    kind: str,
    since_registered: str,
    arrives: bool,
) -> None:
    # Given a look of more than an hour ago, and a domain that somebody else may have registered since
    clock.advance(minutes=61)
    asks_for_a_code(client, alice, kind)
    before = codes(outbox)
    dns_server.zone = servers.Zone([*ALIVE, ["corp.org", "NS", "ns2.host.net."]])
    web_server.answers.clear()
    web_server.add_rdap(registered(since_registered))
    # When the worker takes up the mail
    worker.run_due(app, {}, now=clock.now)
    # Then it leaves only where the domain is still its owner's, and does not come back
    assert codes(outbox) - before == arrives
    with app.app_context():
        assert mail.waiting() == 0


@pytest.mark.parametrize(("minutes", "asked"), [(59, False), (61, True)])
def test_the_look_of_the_last_hour_serves_every_code(
    app: Flask, clock: Clock, client: Visitor, alice: Person, dns_server: servers.Dns, minutes: int, asked: bool
) -> None:
    clock.now += timedelta(minutes=minutes)
    asks_for_a_code(client, alice, "login_code")
    worker.run_due(app, {task.name: clock.now + timedelta(days=1) for task in worker.TASKS[1:]}, now=clock.now)
    assert bool(dns_server.zone.asked) == asked
