"""The sweep on both databases, against a real resolver and registry: what the fast path settles, and what it leaves."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import dnslib
import pytest
from flask import Flask
from sqlalchemy import delete, select, update

from authsvc import accounts, domains, mandates
from authsvc.adapters import HttpClient
from authsvc.adapters.dns import DnsClient
from authsvc.adapters.dns_bulk import Answer, BulkDns, Question
from authsvc.adapters.rdap import RdapClient
from authsvc.core import db
from authsvc.core.config import Settings
from authsvc.core.evidence import DnsEvidence, DomainLists
from authsvc.domains import canaries
from authsvc.domains.models import Domain
from authsvc.domains.sweep import LEASE, Sweep
from authsvc.policy.registry_schedule import Purpose
from tests import servers
from tests.slices import NOON

DAY = timedelta(days=1)
NEXT = NOON + 1.2 * DAY  # every domain is due then, whatever its jitter
LONG_AGO = "2014-03-02T00:00:00Z"
SHARED = [
    ["mx.mail.net", "A", "203.0.113.1"],
    ["mail.net", "NS", "ns1.host.net."],
    ["host.net", "NS", "ns1.host.net."],
]


def healthy(name: str) -> list[list[str]]:
    """Records of a domain in order; its mail and its name servers are at companies."""
    return [[name, "NS", "ns1.host.net."], [name, "MX", "10 mx.mail.net."]]


def registered(at: str = LONG_AGO) -> dict[str, Any]:
    """What the registry says about a domain registered then."""
    events = [{"eventAction": "registration", "eventDate": at}]
    return {"http": 200, "body": {"objectClassName": "domain", "events": events}}


class Town:
    """Some domains, each with an account, all looked at once at noon and in order."""

    def __init__(self, app: Flask, dns: servers.Dns, web: servers.Web, count: int = 3, *, suffix: str = "org") -> None:
        self.app, self.dns, self.web = app, dns, web
        self.names = [f"d{number}.{suffix}" for number in range(count)]
        self.use(BulkDns(dns.setting, try_seconds=10))
        self.says()
        web.add_rdap({name: registered() for name in (*self.names, "mail.net")})
        for name in self.names:
            self.proves(name, at=NOON)
        with app.app_context():
            domains.sweep(now=NOON)
        assert self.rows(Domain.verdict) == dict.fromkeys(self.names, "healthy")
        dns.zone.asked.clear()
        web.asked.clear()

    def use(self, bulk: BulkDns | None, **others: Any) -> None:
        """Ask through these."""
        known = self.app.extensions["authsvc.adapters"]
        parts = {"dns": DnsClient(self.dns.setting), "rdap": RdapClient(HttpClient(), self.web.url), **others}
        self.app.extensions["authsvc.adapters"] = replace(known, dns_bulk=bulk, **parts)

    def says(self, *instead: list[list[str]], behaviour: Sequence[dict[str, Any]] = ()) -> None:
        """From now on DNS says that all is well, but of d1.org, and others that follow, it says these."""
        records = [*SHARED]
        for number, name in enumerate(self.names):
            records += instead[number - 1] if 0 < number <= len(instead) else healthy(name)
        self.dns.zone = servers.Zone(records, behaviour)

    def proves(self, name: str, *, at: datetime, user: str = "") -> int:
        """Somebody proves an address there; returns the account."""
        with self.app.app_context(), db.transaction():
            account_id = accounts.create(username=user or name.replace(".", "-"), now=at)
            email = f"{user or 'me'}@{name}"
            address_id = accounts.add_address(account_id, email, is_primary=True, verified_at=None, now=at)
            domains.record_verification(address_id, name, verified_at=at, now=at)
        return account_id

    def sweep(self, at: datetime = NEXT, **wishes: Any) -> Sweep:
        """Sweep at that time."""
        with self.app.app_context():
            return domains.sweep(now=at, **wishes)

    def rows(self, *columns: Any) -> dict[str, Any]:
        """By name, one or more columns of every domain."""
        with self.app.app_context(), db.transaction() as session:
            found = session.execute(select(Domain.name, *columns).order_by(Domain.id))
            return {row[0]: row[1] if len(columns) == 1 else tuple(row[1:]) for row in found}


@pytest.fixture
def town(app: Flask, dns_server: servers.Dns, web_server: servers.Web) -> Town:
    """Three such domains."""
    return Town(app, dns_server, web_server)


def test_domains_that_are_as_before_are_settled_with_few_questions(town: Town) -> None:
    report = town.sweep()
    assert (report.checked, report.as_before, report.changed) == (3, 3, 0)
    assert (report.verdicts, report.reasons) == ({"healthy": 3}, {"OK": 3})
    asked = [(name, kind) for name, kind in town.dns.zone.asked if name not in canaries.NAMES]
    own = [(name, kind) for name in town.names for kind in ("MX", "NS")]
    shared = [("mx.mail.net", "A"), ("mx.mail.net", "AAAA"), ("host.net", "NS")]
    assert sorted(asked) == sorted(own + shared)
    assert town.web.asked == []


def test_the_fast_path_writes_what_an_ordinary_look_would(town: Town) -> None:
    # Given two domains that are alike, one of them without the fast path
    columns = [c for c in Domain.__table__.columns if c.key not in {"id", "name", "registrable"}]
    with town.app.app_context(), db.transaction() as session:
        first = NOON + timedelta(minutes=1)
        session.execute(update(Domain).values(checked_at=first, rdap_checked_at=first, judged_at=first))

    def two() -> tuple[dict[str, Any], dict[str, Any]]:
        found = town.rows(*columns)
        named = [dict(zip([c.key for c in columns], found[name], strict=True)) for name in ("d0.org", "d1.org")]
        return named[0], named[1]

    for day in (1, 2, 3):
        at = NOON + 1.2 * day * DAY
        # When both are looked at, several times
        with town.app.app_context():
            domains.check_now("d1.org", now=at, purpose=Purpose.SWEEP)
        assert town.sweep(at).as_before == 2
        fast, ordinary = two()
        # Then they differ in nothing but jitter, and the instant of the look
        assert abs(fast.pop("next_check_at") - ordinary.pop("next_check_at")) <= 0.1 * DAY + timedelta(seconds=10)
        assert timedelta(0) <= fast.pop("checked_at") - ordinary.pop("checked_at") < timedelta(seconds=10)
        before = fast.pop("last_healthy_at"), ordinary.pop("last_healthy_at")
        assert abs(before[0] - before[1]) < timedelta(seconds=10)
        assert fast == ordinary


def test_the_next_look_comes_after_a_day_give_or_take_a_tenth(app: Flask, dns_server: Any, web_server: Any) -> None:
    town = Town(app, dns_server, web_server, count=12)
    town.sweep()
    later = {at - NEXT for at in town.rows(Domain.next_check_at).values()}
    assert min(later) >= 0.9 * DAY
    assert max(later) <= 1.1 * DAY + timedelta(seconds=10)
    assert len(later) > 6


BROKEN: list[tuple[str, list[list[str]], str]] = [
    ("no such name", [], "NXDOMAIN_BUT_REGISTERED"),
    ("no mail", [["d1.org", "NS", "ns1.host.net."], ["d1.org", "MX", "0 ."]], "NULL_MX"),
    ("a dead mail host", [["d1.org", "NS", "ns1.host.net."], ["d1.org", "MX", "5 gone.mail.net."]], "MX_HOST_NXDOMAIN"),
]


@pytest.mark.parametrize(("records", "reason"), [pytest.param(r, w, id=name) for name, r, w in BROKEN])
def test_a_broken_domain_is_looked_at_by_itself(town: Town, records: list[list[str]], reason: str) -> None:
    town.says(records)
    report = town.sweep()
    assert (report.checked, report.as_before, report.changed, report.deferred) == (3, 2, 1, 1)
    assert town.rows(Domain.verdict, Domain.reason)["d1.org"] == ("suspect", reason)


def test_a_lapsed_domain_is_counted_as_blocked(town: Town) -> None:
    town.says([])
    del town.web.answers["/domain/d1.org"]
    report = town.sweep()
    assert (report.changed, report.blocked, report.deferred) == (1, 1, 0)
    assert report.reasons == {"OK": 2, "NOT_REGISTERED": 1}


MOVED = [
    ("another name server more", [["d1.org", "NS", "ns2.host.net."], *healthy("d1.org")]),
    ("another mail host", [["d1.org", "NS", "ns1.host.net."], ["d1.org", "MX", "10 mx2.mail.net."]]),
    ("its own address", [["d1.org", "NS", "ns1.host.net."], ["d1.org", "A", "203.0.113.7"]]),
]


@pytest.mark.parametrize("records", [pytest.param(records, id=name) for name, records in MOVED])
def test_where_anything_moved_the_registry_is_asked(town: Town, records: list[list[str]]) -> None:
    town.says([*records, ["mx2.mail.net", "A", "203.0.113.2"]])
    report = town.sweep()
    assert (report.as_before, report.checked) == (2, 3)
    assert town.web.asked == ["/domain/d1.org"]


def test_a_mail_host_that_dies_is_found_at_every_domain_that_uses_it(town: Town) -> None:
    town.dns.zone = servers.Zone([r for name in town.names for r in healthy(name)] + SHARED[1:])
    report = town.sweep()
    assert (report.as_before, report.changed) == (0, 3)
    assert report.reasons == {"MX_HOST_NXDOMAIN": 3}


def test_a_name_server_whose_domain_is_gone_is_found(town: Town) -> None:
    town.dns.zone = servers.Zone([r for name in town.names for r in healthy(name)] + SHARED[:2])
    assert town.sweep().as_before == 0
    assert [dns["missing"] for dns in town.rows(Domain.dns).values()] == [["host.net"]] * 3


def test_a_mail_host_of_ones_own_that_moved_is_looked_at_closely(app: Flask, dns_server: Any, web_server: Any) -> None:
    own = [["d0.org", "NS", "ns1.host.net."], ["d0.org", "MX", "10 mx.d0.org."]]
    for before, after, settled in (("203.0.113.1", "203.0.113.1", 1), ("203.0.113.1", "203.0.113.2", 0)):
        town = Town.__new__(Town)
        town.app, town.dns, town.web, town.names = app, dns_server, web_server, ["d0.org"]
        town.use(BulkDns(dns_server.setting))
        web_server.add_rdap({"d0.org": registered()})
        town.dns.zone = servers.Zone([*SHARED, *own, ["mx.d0.org", "A", before]])
        with app.app_context(), db.transaction() as session:
            session.execute(delete(Domain))
            session.add(Domain(name="d0.org", next_check_at=NOON))
        town.sweep(NOON)
        town.dns.zone = servers.Zone([*SHARED, *own, ["mx.d0.org", "A", after]])
        assert town.sweep().as_before == settled


def test_dropped_packets_are_no_evidence(town: Town) -> None:
    # Given a resolver that loses every question of the fast path about one domain
    town.use(BulkDns(town.dns.setting, try_seconds=0.3))
    town.says(behaviour=[{"name": "d1.org", "type": "MX", "do": "timeout", "times": 2}])
    before = town.rows(Domain.verdict, Domain.generation)
    # When the sweep runs
    report = town.sweep()
    # Then the ordinary look decides, and nothing is held against the domain
    assert (report.checked, report.changed) == (3, 0)
    assert report.as_before < 3
    assert town.rows(Domain.verdict, Domain.generation) == before
    assert town.rows(Domain.consecutive_failures)["d1.org"] == 0


def test_a_resolver_that_lies_in_the_fast_path_changes_nothing(town: Town) -> None:
    class Liar(BulkDns):
        def ask(self, questions: Any) -> Iterator[tuple[Question, Answer]]:
            for question, _ in super().ask(questions):
                yield question, frozenset({"evil.example.com"})

    town.use(Liar(town.dns.setting))
    report = town.sweep()
    assert (report.checked, report.as_before, report.changed) == (3, 0, 0)


def test_a_domain_without_a_registry_is_settled_too(app: Flask, dns_server: Any, web_server: Any) -> None:
    town = Town(app, dns_server, web_server, suffix="github.io")  # names that others give away
    report = town.sweep()
    assert (report.as_before, report.reasons) == (3, {"OK_NO_RDAP": 3})
    assert set(town.rows(Domain.last_rdap_ok_at).values()) == {None}


def test_a_company_that_parks_domains_by_now_is_found_although_nothing_moved(town: Town) -> None:
    town.use(BulkDns(town.dns.setting), lists=DomainLists(parking=frozenset({"host.net"})))
    report = town.sweep()
    assert (report.as_before, report.deferred) == (0, 3)


def test_a_domain_that_is_held_back_is_looked_at_closely(town: Town) -> None:
    with town.app.app_context(), db.transaction() as session:
        session.execute(update(Domain).where(Domain.name == "d1.org").values(held_at=NOON))
    assert town.sweep().as_before == 2


def test_without_a_fast_path_every_domain_is_looked_at_by_itself(town: Town) -> None:
    town.use(None)
    report = town.sweep()
    assert (report.checked, report.as_before, report.verdicts) == (3, 0, {"healthy": 3})


def test_an_address_proved_since_the_last_look_gets_its_baseline(town: Town) -> None:
    town.proves("d1.org", at=NOON + DAY / 2, user="newcomer")
    assert town.sweep().as_before == 2
    with town.app.app_context(), db.transaction() as session:
        assert len(session.scalars(select(domains.AddressBaseline)).all()) == 4


class During(BulkDns):
    """A fast path in the midst of which something else happens."""

    def __init__(self, resolvers: str, happens: Callable[[], object]) -> None:
        super().__init__(resolvers)
        self.happens = happens

    def ask(self, questions: Any) -> Iterator[tuple[Question, Answer]]:
        """As ever, but the other thing is done before the last answer is heard."""
        answers = list(super().ask(questions))
        self.happens()
        yield from answers


def test_what_somebody_else_found_meanwhile_is_not_written_over(town: Town) -> None:
    def look() -> None:
        town.says([])
        with town.app.app_context():
            domains.check_now("d1.org", now=NEXT)

    town.use(During(town.dns.setting, look))
    town.sweep()
    assert town.rows(Domain.verdict)["d1.org"] == "suspect"


def test_an_address_proved_meanwhile_gets_its_baseline(town: Town) -> None:
    proved_at = NEXT + timedelta(seconds=1)
    town.use(During(town.dns.setting, lambda: town.proves("d1.org", at=proved_at, user="newcomer")))
    assert town.sweep().as_before == 2
    with town.app.app_context(), db.transaction() as session:
        assert len(session.scalars(select(domains.AddressBaseline)).all()) == 4


@pytest.mark.parametrize(("days", "asked"), [(29, []), (31, ["/domain/d0.org", "/domain/d1.org", "/domain/d2.org"])])
def test_the_registry_is_asked_once_in_thirty_days(town: Town, days: int, asked: list[str]) -> None:
    town.sweep(NOON + days * DAY)
    assert sorted(name for name in town.web.asked if name != "/domain/mail.net") == asked


def requires(town: Town, name: str) -> None:
    """Give the account at the domain a mandate."""
    with town.app.app_context(), db.transaction():
        found = accounts.find(name.replace(".", "-"))
        assert found is not None
        mandates.require(found.id, from_=NOON + 30 * DAY, reason="Many depend on it", set_by="test", now=NOON)


def test_domains_of_high_impact_are_looked_at_every_six_hours(town: Town) -> None:
    requires(town, "d1.org")
    town.sweep()
    later = {name: at - NEXT for name, at in town.rows(Domain.next_check_at).items()}
    assert timedelta(hours=5.4) <= later["d1.org"] <= timedelta(hours=6.6, seconds=10)
    assert later["d0.org"] >= 0.9 * DAY


def test_the_registry_is_asked_weekly_about_domains_of_high_impact(town: Town) -> None:
    requires(town, "d1.org")
    town.sweep(NOON + 8 * DAY)
    assert "/domain/d1.org" in town.web.asked
    assert "/domain/d0.org" not in town.web.asked


@pytest.mark.parametrize(("hours", "due"), [(6.5, 0), (6.7, 1)])
def test_a_new_mandate_brings_the_next_look_forward(town: Town, hours: float, due: int) -> None:
    requires(town, "d1.org")
    at = NOON + timedelta(hours=hours)
    with town.app.app_context():
        assert domains.bring_forward(now=at) == due
        assert domains.bring_forward(now=at) == 0  # it is due already
        with db.transaction():
            assert domains.due(now=at) == due


def test_a_registration_seen_for_one_mail_domain_counts_for_all_with_that_host(town: Town) -> None:
    # Given a company for mail whose domain is registered anew
    town.web.add_rdap({"mail.net": registered("2026-11-25T00:00:00Z")})
    # When a look at one of its customers finds that
    with town.app.app_context():
        domains.check_now("d0.org", now=NOON + 1.1 * DAY, purpose=Purpose.RESET)
    # Then no other customer is taken for being as before
    assert town.sweep().as_before == 0
    with town.app.app_context(), db.transaction():
        people = [accounts.find(name.replace(".", "-")) for name in town.names]
        addresses = [accounts.mail_address(person.id) for person in people if person is not None]
    assert [address.verdict for address in addresses if address is not None] == ["reregistered"] * 3


def test_a_look_that_breaks_off_stops_no_other(town: Town, caplog: pytest.LogCaptureFixture) -> None:
    class Fragile(DnsClient):
        def look_up(self, domain: str) -> DnsEvidence:
            if domain == "d0.org":
                raise RuntimeError("a domain made to break us")
            return super().look_up(domain)

    town.use(None, dns=Fragile(town.dns.setting))
    report = town.sweep()
    assert (report.checked, report.failed) == (2, 1)
    assert "d0.org" in caplog.text
    assert town.sweep().checked == 0  # until its lease is over
    town.use(None)
    assert town.sweep(NEXT + LEASE + timedelta(seconds=1)).checked == 1


def test_a_lease_is_renewed_while_looks_take_long_and_not_for_what_others_did(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given looks of three minutes each, and somebody who looks at the last domain during the first of them
    passed, leases = timedelta(0), []

    class Slow(DnsClient):
        def look_up(self, domain: str) -> DnsEvidence:
            nonlocal passed
            leases.append(min(u for u in town.rows(Domain.claimed_until).values() if u is not None) - NEXT - passed)
            if not passed:
                town.use(None)
                with town.app.app_context():
                    domains.check_now("d2.org", now=NEXT)
                town.use(None, dns=self)
            passed += timedelta(minutes=3)
            return super().look_up(domain)

    town.use(None, dns=Slow(town.dns.setting))
    slowly = SimpleNamespace(monotonic=lambda: time.monotonic() + passed.total_seconds())
    monkeypatch.setattr(sys.modules["authsvc.domains.sweep"], "time", slowly)
    # When the sweep has them all to look at
    report = town.sweep(at_most=None)
    # Then nobody else could take one from it, and it left out what was done
    assert report.checked == len(leases) == 2
    assert min(leases) > LEASE / 2


def test_what_there_is_no_time_for_is_given_back(town: Town) -> None:
    town.use(During(town.dns.setting, threading.Event().is_set))  # all answers at once, at the end
    report = town.sweep(at_most=timedelta(microseconds=1))
    assert report.checked == 0
    assert set(town.rows(Domain.claimed_until).values()) == {None}
    assert town.sweep().checked == 3


def test_no_more_are_looked_at_than_asked_for(town: Town) -> None:
    assert [town.sweep(limit=2).checked, town.sweep(limit=2).checked, town.sweep(limit=2).checked] == [2, 1, 0]


def test_two_sweeps_at_once_share_the_work(app: Flask, dns_server: Any, web_server: Any, monkeypatch: Any) -> None:
    # Given more domains than fit into a batch, half of which need an ordinary look
    town = Town(app, dns_server, web_server, count=12)
    monkeypatch.setattr(sys.modules["authsvc.domains.sweep"], "BATCH", 2)
    town.says(*[[["d.org", "A", "203.0.113.9"]]] * 6)
    both = threading.Barrier(2)

    def one(_: int) -> Sweep:
        both.wait()
        return town.sweep()

    # When two sweeps run at once
    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(one, range(2)))
    # Then each domain was looked at once
    assert sum(report.checked for report in reports) == 12
    assert sum(report.as_before for report in reports) == 6
    asked = [name for name, kind in town.dns.zone.asked if kind == "MX" and name == "d9.org"]
    assert len(asked) == 1


class Falling(servers.Zone):
    """A zone that answers so many questions about the town and its servers, and then says that it fell silent."""

    answers = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.asked_of_town = 0
        self.silent = threading.Event()

    def answer(self, question: dnslib.DNSRecord, resolver: int, over_udp: bool) -> bytes | None:
        if str(question.q.qname).lower().rstrip(".") in canaries.NAMES:
            return super().answer(question, resolver, over_udp)
        self.asked_of_town += 1
        if self.asked_of_town > self.answers:
            self.silent.set()
            return None
        return super().answer(question, resolver, over_udp)


def test_a_sweep_ends_where_our_own_resolvers_fail(town: Town) -> None:
    # Given canaries that were answered rightly
    there = [name for name, answer in canaries.NAMES.items() if answer == canaries.EXISTS]
    town.dns.zone = servers.Zone([*town.dns.zone.records, *([name, "A", "203.0.113.8"] for name in there)])
    with town.app.app_context():
        assert canaries.sing(now=NEXT - timedelta(hours=1))
    # When the resolvers know nothing any more
    town.dns.zone = servers.Zone([])
    before = town.rows(Domain.verdict, Domain.reason, Domain.checked_at)
    report = town.sweep()
    # Then nothing follows for any domain, and all wait for the next sweep
    assert report.resolvers_fail
    assert (report.checked, town.rows(Domain.verdict, Domain.reason, Domain.checked_at)) == (0, before)
    assert set(town.rows(Domain.claimed_until).values()) == {None}
    with town.app.app_context(), db.transaction() as session:
        session.execute(update(Domain).values(next_check_at=NOON))
    (command,) = domains.commands
    said = town.app.test_cli_runner().invoke(command, ["sweep"])
    assert (said.exit_code, "known names wrongly" in said.stderr) == (1, True)


IN_BULK = 9  # questions about three domains that share their servers
MOMENTS = {"first question": 0, "fast path": IN_BULK - 2, "after it": IN_BULK, "ordinary look": IN_BULK + 3}


@pytest.mark.slow
@pytest.mark.parametrize("answers", [pytest.param(number, id=words) for words, number in MOMENTS.items()])
def test_a_killed_sweep_loses_nothing_and_changes_no_verdict(town: Town, settings: Settings, answers: int) -> None:
    # Given a sweep in a process of its own, and a domain that needs an ordinary look
    with town.app.app_context(), db.transaction() as session:
        session.execute(update(Domain).values(next_check_at=datetime.fromisoformat("2020-01-01T00:00:00+00:00")))
    town.says([*healthy("d1.org"), ["d1.org", "MX", "20 mx.mail.net."], ["d1.org", "NS", "ns2.host.net."]])
    before = town.rows(Domain.verdict, Domain.generation)
    looked_at = town.rows(Domain.checked_at)
    town.dns.zone = falling = Falling(town.dns.zone.records)
    falling.answers = answers
    environment = {
        "AUTHSVC_INSTANCE_PATH": settings.instance_path,
        "AUTHSVC_SEALING_KEYS_FILE": settings.sealing_keys_file,
        "AUTHSVC_DATABASE_URL": settings.database_url,
        "AUTHSVC_DNS_RESOLVERS": town.dns.setting,
        "AUTHSVC_RDAP_BASE_URL": town.web.url,
    }
    command = [sys.executable, "-m", "authsvc.cli", "domains", "sweep"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert falling.silent.wait(60)
        # When it is killed in the midst of it
        running.kill()
    # Then no verdict has changed; what was not looked at is leased, and what was is not
    assert town.rows(Domain.verdict, Domain.generation) == before
    leases = {name: until for name, until in town.rows(Domain.claimed_until).items() if until is not None}
    assert set(leases) == {name for name, at in town.rows(Domain.checked_at).items() if at == looked_at[name]}
    assert "d1.org" in leases
    assert len(leases) == (1 if answers >= IN_BULK else 3)
    # And another sweep does the rest once the lease is over, and not before
    town.dns.zone = servers.Zone(town.dns.zone.records)
    over = max(leases.values())
    assert town.sweep(over - timedelta(minutes=1)).checked == 0
    report = town.sweep(over + timedelta(seconds=1))
    assert (report.checked, report.changed) == (len(leases), 0)
    assert town.rows(Domain.verdict, Domain.generation) == before


def test_the_command_reports_in_words_and_as_json(town: Town) -> None:
    with town.app.app_context(), db.transaction() as session:
        session.execute(update(Domain).values(next_check_at=NOON))
    town.says([])
    (command,) = domains.commands
    runner = town.app.test_cli_runner()
    found = json.loads(runner.invoke(command, ["sweep", "--limit", "2", "--json"]).stdout)
    assert found["checked"] == found["as_before"] + 1 == 2
    assert found["reasons"] == {"OK": 1, "NXDOMAIN_BUT_REGISTERED": 1}
    assert (found["changed"], found["blocked"], found["deferred"], found["failed"]) == (1, 0, 1, 0)
    said = runner.invoke(command, ["sweep"])
    assert "1 domains checked, 1 of them as before" in said.stdout
    assert said.exit_code == 0
