"""Every domain scenario on both databases: from the stored history and baseline to the link that is mailed or not."""

from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from authsvc import accounts, audit, domains, recovery
from authsvc.accounts.models import Account, Address
from authsvc.adapters import HttpClient
from authsvc.adapters.dns import DnsClient
from authsvc.adapters.rdap import RdapClient
from authsvc.audit import EventType
from authsvc.core import db
from authsvc.core.domain_names import registry_domain
from authsvc.core.web import Client
from authsvc.domains import AddressBaseline, Domain
from authsvc.mail import Message
from authsvc.policy.domain_verdict import Baseline, Judgement
from authsvc.policy.registry_schedule import Purpose
from tests import servers
from tests.scenarios import Scenario, scenarios

CLIENT = Client(ip="203.0.113.9", network="203.0.113.9", browser="Firefox")
OUTCOMES = {EventType.RESET_SENT: "allow", EventType.RESET_DEFERRED: "defer", EventType.RESET_REFUSED: "block"}


class Registries(RdapClient):
    """The registry of a scenario: some top-level domains have none."""

    without: frozenset[str] = frozenset()

    def server_of(self, domain: str, newer: Any = None) -> str:
        """Nobody to ask about those."""
        tld = (registry_domain(domain) or "").rpartition(".")[2]
        return "" if tld in self.without else super().server_of(domain, newer)


def outside(app: Flask, scenario: Scenario, dns: servers.Dns, web: servers.Web) -> None:
    """Let DNS and the registry answer what the scenario says."""
    dns.zone = servers.Zone(scenario.records, scenario.behaviour)
    web.answers.clear()
    web.add_rdap(scenario.rdap)
    registries = Registries(HttpClient(total_seconds=2), web.url)
    registries.without = scenario.tlds_without_rdap
    parts = app.extensions["authsvc.adapters"]
    app.extensions["authsvc.adapters"] = replace(
        parts, dns=DnsClient(dns.setting), rdap=registries, lists=scenario.lists
    )


def account_of(scenario: Scenario) -> int:
    """Store the account, what was seen when its address was proved, and the earlier looks."""
    verified_at = scenario.at("email_verified_at")
    assert verified_at is not None
    account_id = accounts.create(username="somebody", now=verified_at)
    email = accounts.normalise_address(scenario.email)
    address_id = accounts.add_address(account_id, email, is_primary=True, verified_at=None, now=verified_at)
    name = email.rpartition("@")[2]
    domains.record_verification(address_id, name, verified_at=verified_at, now=verified_at)
    session, history, seen = db.session(), scenario.history, scenario.baseline
    session.execute(
        update(Domain)
        .where(Domain.name == name)
        .values(
            consecutive_failures=history.consecutive_failures,
            first_failure_at=history.first_failure_at,
            last_healthy_at=history.last_healthy_at,
            last_rdap_ok_at=history.last_rdap_ok_at,
        )
    )
    session.execute(
        update(Account)
        .where(Account.id == account_id)
        .values(
            last_strong_sign_in_at=scenario.at("last_strong_auth_at"), last_recovery_at=scenario.at("last_recovery_at")
        )
    )
    session.execute(update(Address).where(Address.id == address_id).values(blocked_at=scenario.blocked_at))
    if seen != Baseline():
        session.add(
            AddressBaseline(
                address_id=address_id,
                mx=sorted(seen.mx),
                ns=sorted(seen.ns),
                registered_at=seen.registered_at,
                expires_at=seen.expires_at,
                registrar=seen.registrar,
                handle=seen.handle,
                recorded_at=verified_at,
            )
        )
    return account_id


def judged(scenario: Scenario, account_id: int) -> Judgement:
    """The verdict for the address, from the look that was just stored."""
    address = accounts.mail_address(account_id)
    assert address is not None
    look = domains.last_look(address.domain)
    assert look is not None
    return domains.judge_address(look, address, impact=scenario.impact)


@pytest.mark.parametrize("scenario", scenarios(), ids=str)
def test_a_stored_scenario_ends_as_expected(
    app: Flask, scenario: Scenario, dns_server: servers.Dns, web_server: servers.Web
) -> None:
    # Given what was known before, and what DNS and the registry say now
    outside(app, scenario, dns_server, web_server)
    with app.app_context(), db.transaction():
        account_id = account_of(scenario)
    # When a link is asked for, after a look that knows how much hangs on the account
    with app.app_context():
        domains.check_now(
            accounts.normalise_address(scenario.email).rpartition("@")[2],
            now=scenario.now,
            purpose=Purpose.RESET,
            impact=scenario.impact,
        )
        with db.transaction():
            recovery.request_reset(scenario.email, CLIENT, now=scenario.now)
        recovery.process_resets(now=scenario.now)
    # Then verdict, reason and decision are those of the file, and a link leaves only where it says so
    with app.app_context(), db.transaction():
        found = judged(scenario, account_id)
        events = [event.type for event in audit.events(account_id)]
        address = accounts.mail_address(account_id)
        assert address is not None
        links = db.session().scalars(select(Message.recipient).where(Message.kind == "reset_link")).all()
    decision = next(OUTCOMES[EventType(kind)] for kind in events if kind in OUTCOMES)
    assert (found.verdict.value, decision) == (scenario.expect["verdict"], scenario.expect["reset"])
    if scenario.expect["reason"] != "STICKY_BLOCK":
        assert found.reason == scenario.expect["reason"]
    assert (address.blocked_at is not None) >= (decision == "block")
    assert links == ([address.email] if decision == "allow" else [])
