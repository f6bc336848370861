"""How often registries are asked, what happens when they may not be, and where they are: on both databases."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from flask import Flask

from authsvc import accounts, domains
from authsvc.adapters import Adapters, HttpClient
from authsvc.adapters.dns import DnsClient
from authsvc.adapters.rdap import RdapClient, shipped_servers
from authsvc.core import db
from authsvc.core.evidence import RdapEvidence
from authsvc.domains import registries
from authsvc.domains.registries import BURST, KEPT_FOR_RESETS
from authsvc.policy.domain_verdict import Impact
from authsvc.policy.registry_schedule import Purpose
from tests import servers
from tests.slices import NOON, OneRegistry, at_once

DAY, HOUR, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(seconds=1)
SWEEP, RESET, PROOF = Purpose.SWEEP, Purpose.RESET, Purpose.PROOF
ALIVE = [
    ["corp.org", "NS", "ns1.host.net."],
    ["corp.org", "MX", "10 mx.mail.net."],
    ["mx.mail.net", "A", "203.0.113.1"],
    ["ns1.host.net", "A", "203.0.113.53"],
]


def registration(*, status: str = "active", expires: str = "2027-09-01T00:00:00Z") -> dict[str, Any]:
    """What the registry says about a domain that is registered for long."""
    dates = {"registration": "2014-03-02T00:00:00Z", "expiration": expires}
    events = [{"eventAction": action, "eventDate": at} for action, at in dates.items()]
    return {"http": 200, "body": {"objectClassName": "domain", "handle": "D1", "status": [status], "events": events}}


class World:
    """A registry, and alice's address at corp.org."""

    def __init__(self, app: Flask, dns: servers.Dns, web: servers.Web) -> None:
        self.app, self.web = app, web
        dns.zone = servers.Zone(ALIVE)
        parts: Adapters = app.extensions["authsvc.adapters"]
        rdap = OneRegistry(HttpClient(), web.url)
        app.extensions["authsvc.adapters"] = replace(parts, dns=DnsClient(dns.setting), rdap=rdap)
        web.add_rdap({"corp.org": registration()})
        with app.app_context(), db.transaction():
            alice = accounts.create(username="alice", now=NOON)
            self.address_id = accounts.add_address(alice, "a@corp.org", is_primary=True, verified_at=None, now=NOON)
            domains.record_verification(self.address_id, "corp.org", verified_at=NOON, now=NOON)
        self.alice = alice

    def ask(self, purpose: Purpose, *, domain: str = "corp.org", now: datetime = NOON) -> RdapEvidence | None:
        """Ask the registry alone."""
        with self.app.app_context():
            return registries.ask(domain, purpose=purpose, now=now)

    def look(self, at: datetime, purpose: Purpose = RESET, impact: Impact = Impact.NORMAL) -> domains.Look:
        """Look at corp.org."""
        with self.app.app_context():
            return domains.check_now("corp.org", now=at, purpose=purpose, impact=impact)

    def close(self, *, seconds: int | str, now: datetime) -> None:
        """Let the registry ask to be left alone."""
        self.web.add_rdap({"other.org": {"http": 429, "retry_after": seconds}})
        self.ask(RESET, domain="other.org", now=now)

    @property
    def asked(self) -> int:
        """How often the registry was asked about corp.org."""
        return self.web.asked.count("/domain/corp.org")

    def continuous(self, look: domains.Look) -> bool:
        """Whether a reset by this look would complete at once."""
        with self.app.app_context(), db.transaction():
            address = accounts.mail_address(self.alice)
            assert address is not None
            return domains.continuous(look, address)


@pytest.fixture
def world(app: Flask, dns_server: servers.Dns, web_server: servers.Web) -> World:
    """A registry that was not asked anything yet."""
    return World(app, dns_server, web_server)


# --- the bucket


def test_the_sweep_leaves_a_quarter_of_the_questions_to_resets(world: World) -> None:
    answers = [world.ask(SWEEP) for _ in range(BURST)]
    assert answers.count(None) == BURST * KEPT_FOR_RESETS
    assert [world.ask(purpose) is None for purpose in (RESET, PROOF)] == [False, False]
    answers = [world.ask(RESET) for _ in range(BURST)]
    assert BURST - answers.count(None) == BURST * KEPT_FOR_RESETS - 2
    assert world.asked == BURST


def test_one_question_a_second_comes_back_and_resets_are_served_first(world: World) -> None:
    for _ in range(BURST):
        world.ask(RESET)
    assert world.ask(RESET, now=NOON + SECOND / 2) is None
    assert world.ask(SWEEP, now=NOON + SECOND) is None
    assert world.ask(RESET, now=NOON + SECOND) is not None
    assert world.ask(RESET, now=NOON + SECOND) is None
    quarter = SECOND * BURST * KEPT_FOR_RESETS
    assert world.ask(SWEEP, now=NOON + SECOND + quarter) is None
    assert world.ask(SWEEP, now=NOON + 2 * SECOND + quarter) is not None


def test_machines_that_ask_at_once_share_what_is_left(world: World) -> None:
    for _ in range(BURST - 3):
        world.ask(RESET)
    answers = at_once(world.app, *[lambda: registries.ask("corp.org", purpose=RESET, now=NOON)] * 8)
    assert answers.count(None) == 5
    assert world.asked == BURST


def test_rivals_that_ask_a_registry_first_are_both_counted(world: World) -> None:
    at_once(world.app, *[lambda: registries.ask("corp.org", purpose=RESET, now=NOON)] * 4)
    answers = [world.ask(RESET) for _ in range(BURST)]
    assert answers.count(None) == 4


def test_names_without_a_registry_cost_nothing(world: World) -> None:
    answers = [world.ask(SWEEP, domain="someone.github.io") for _ in range(2 * BURST)]
    assert None not in answers
    assert world.web.asked == []


# --- a registry that asks to be left alone


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("told", "wait"), [({"retry_after": 3600}, HOUR), ({"retry_after": 10**9}, DAY), ({}, timedelta(minutes=1))]
)
def test_a_registry_is_left_alone_by_everybody_for_as_long_as_it_says(
    world: World, status: int, told: dict[str, Any], wait: timedelta
) -> None:
    world.web.add_rdap({"other.org": {"http": status} | told})
    world.ask(SWEEP, domain="other.org")
    for purpose in Purpose:
        assert world.ask(purpose, now=NOON + wait - SECOND) is None
    assert world.ask(SWEEP, now=NOON + wait) is not None


def test_on_a_server_of_ones_own_each_name_is_counted_by_itself(world: World) -> None:
    parts = world.app.extensions["authsvc.adapters"]
    own = RdapClient(HttpClient(), world.web.url)
    world.app.extensions["authsvc.adapters"] = replace(parts, rdap=own)
    world.close(seconds=60, now=NOON)
    assert world.ask(RESET, domain="other.org") is None
    answers = [world.ask(RESET) for _ in range(BURST + 1)]
    assert answers.count(None) == 1


def test_another_registry_is_asked_all_the_same(world: World) -> None:
    world.close(seconds=3600, now=NOON)
    with servers.web() as elsewhere:
        elsewhere.add_rdap({"corp.org": registration()})
        parts = world.app.extensions["authsvc.adapters"]
        world.app.extensions["authsvc.adapters"] = replace(parts, rdap=OneRegistry(HttpClient(), elsewhere.url))
        assert world.ask(SWEEP) is not None


def test_the_later_of_two_times_that_a_registry_names_holds(world: World) -> None:
    for seconds in (60, 3600):  # of questions under way at once, the second answer names the earlier time
        world.web.add_rdap({"other.org": {"http": 429, "retry_after": seconds}})
        world.ask(RESET, domain="other.org", now=NOON if seconds == 60 else NOON + timedelta(minutes=1))
    with world.app.app_context():
        registries._close(world.web.url.removeprefix("http://"), until=NOON + timedelta(minutes=5))
    assert world.ask(RESET, now=NOON + timedelta(minutes=6)) is None


# --- what follows for a domain that could not be asked about


def test_a_domain_that_could_not_be_asked_about_keeps_its_answer_with_its_age(world: World) -> None:
    first = world.look(NOON)
    assert (first.judgement.reason, world.continuous(first)) == ("OK", True)
    world.close(seconds=3 * 3600, now=NOON + 2 * DAY)
    look = world.look(NOON + 2 * DAY)
    assert world.asked == 1
    assert look.evidence is not None
    assert look.evidence.rdap.handle == "D1"
    assert (look.judgement.verdict.value, look.judgement.reason) == ("healthy", "OK_RDAP_UNAVAILABLE")
    assert look.before.consecutive_failures == 0
    assert not world.continuous(look)  # what is new since then is not known
    later = world.look(NOON + 2 * DAY + 4 * HOUR, SWEEP)
    assert (world.asked, later.judgement.reason, world.continuous(later)) == (2, "OK", True)


def test_an_answer_that_could_not_be_had_anew_for_too_long_is_stale_and_no_fault(world: World) -> None:
    world.look(NOON)
    for days in (34, 35):
        world.close(seconds=60, now=NOON + days * DAY)
        look = world.look(NOON + days * DAY, SWEEP)
        assert look.judgement.reason == ("OK_RDAP_UNAVAILABLE" if days == 34 else "RDAP_STALE")
        assert look.before.consecutive_failures == 0


def test_what_the_registry_said_against_a_domain_stands_while_it_cannot_be_asked(world: World) -> None:
    world.look(NOON)
    world.web.add_rdap({"corp.org": registration(status="redemption period")})
    world.look(NOON + 2 * DAY)
    world.close(seconds=3600, now=NOON + 4 * DAY)
    assert world.look(NOON + 4 * DAY).judgement.reason == "REDEMPTION_PERIOD"


def test_what_was_said_of_a_mail_host_s_domain_stands_while_it_cannot_be_asked_about(world: World) -> None:
    world.web.add_rdap({"mail.net": registration(status="pending delete")})
    assert world.look(NOON).judgement.reason == "MX_HOST_DOMAIN_LAPSED"
    world.close(seconds=3600, now=NOON + 2 * DAY)
    assert world.look(NOON + 2 * DAY).judgement.reason == "MX_HOST_DOMAIN_LAPSED"


def test_a_domain_nobody_could_ever_ask_about_is_unknown(world: World) -> None:
    world.close(seconds=3600, now=NOON)
    look = world.look(NOON)
    assert (look.judgement.verdict.value, look.judgement.reason) == ("unknown", "RDAP_STALE")
    assert world.look(NOON + 2 * HOUR).judgement.reason == "OK"


# --- when it is asked


@pytest.mark.parametrize(("impact", "days"), [(Impact.NORMAL, 30), (Impact.HIGH, 7)])
def test_the_sweep_asks_again_after_a_month_or_a_week(world: World, impact: Impact, days: int) -> None:
    world.look(NOON, SWEEP)
    world.look(NOON + days * DAY - SECOND, SWEEP, impact)
    assert world.asked == 1
    world.look(NOON + days * DAY, SWEEP, impact)
    assert world.asked == 2


def test_the_sweep_asks_before_and_after_the_expiry_date(world: World) -> None:
    world.web.add_rdap({"corp.org": registration(expires=(NOON + 10 * DAY).isoformat())})
    world.look(NOON, SWEEP)
    asked = []
    for days in range(1, 20):
        before = world.asked
        world.look(NOON + days * DAY, SWEEP)
        if world.asked > before:
            asked.append(days)
    assert asked == [8, 9, 11, 18]


def test_the_sweep_asks_weekly_while_the_registry_may_take_its_own_renewal_back(world: World) -> None:
    world.web.add_rdap({"corp.org": registration(status="auto renew period")})
    world.look(NOON, SWEEP)
    world.look(NOON + 7 * DAY - SECOND, SWEEP)
    assert world.asked == 1
    world.look(NOON + 7 * DAY, SWEEP)
    assert world.asked == 2


def test_a_proof_has_the_registry_asked_once_however_fresh_its_answer(world: World) -> None:
    world.look(NOON, SWEEP)
    with world.app.app_context(), db.transaction():
        domains.record_verification(world.address_id, "corp.org", verified_at=NOON + HOUR, now=NOON + HOUR)
    world.look(NOON + HOUR, SWEEP)
    world.look(NOON + 2 * HOUR, SWEEP)
    assert world.asked == 2


def test_a_reset_does_not_rest_on_what_the_registry_told_the_sweep_days_ago(world: World) -> None:
    world.look(NOON, SWEEP)
    world.look(NOON + 2 * DAY, SWEEP)
    assert world.asked == 1
    for _ in range(2):
        with world.app.app_context():
            domains.check_fresh("corp.org", max_age=timedelta(minutes=10), now=NOON + 2 * DAY + SECOND)
    assert world.asked == 2


def test_resets_in_a_row_look_once_while_the_registry_cannot_be_asked(world: World, dns_server: servers.Dns) -> None:
    world.look(NOON, SWEEP)
    world.close(seconds=3600, now=NOON + 2 * DAY)
    seen = []
    for minutes in (0, 1, 9):
        with world.app.app_context():
            at = NOON + 2 * DAY + timedelta(minutes=minutes)
            domains.check_fresh("corp.org", max_age=timedelta(minutes=10), now=at)
        seen.append(len(dns_server.zone.asked))
    assert seen[0] == seen[1] == seen[2]


# --- where registries are


@dataclass
class Iana:
    """A server of the bootstrap file."""

    url: str = ""
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)

    def names(self, servers_by_tld: dict[str, str], **headers: str) -> None:
        """From now on this is the file."""
        services = [[[tld], [url]] for tld, url in servers_by_tld.items()]
        self.status, self.body = 200, json.dumps({"version": "1.0", "services": services}).encode()
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


@contextmanager
def iana() -> Iterator[Iana]:
    """Run a server of the bootstrap file, which answers 304 to who knows its ETag."""
    running = Iana()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            running.asked.append({name.lower(): value for name, value in self.headers.items()})
            known = self.headers.get("If-None-Match")
            same = known is not None and known == running.headers.get("ETag")
            self.send_response(304 if same else running.status)
            body = b"" if same else running.body
            for name, value in (running.headers | {"Content-Length": str(len(body))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            """Tests need no access log."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        running.url = f"http://127.0.0.1:{server.server_port}/rdap/dns.json"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield running
        finally:
            server.shutdown()
            thread.join()


SHIPPED = dict(shipped_servers())
NEWER = SHIPPED | {"org": "https://rdap.new.example/", "tm": "https://rdap.tm.example/"}


class Installation:
    """An installation that finds registries by the bootstrap file."""

    def __init__(self, app: Flask, source: Iana) -> None:
        self.app, self.source = app, source
        http = HttpClient(total_seconds=2)
        parts = app.extensions["authsvc.adapters"]
        app.extensions["authsvc.adapters"] = replace(parts, rdap=RdapClient(http), http=http)
        app.extensions["authsvc.settings"] = replace(app.extensions["authsvc.settings"], rdap_bootstrap_url=source.url)
        source.names(NEWER, ETag='"1"')
        self.refresh(NOON)

    def refresh(self, at: datetime) -> bool:
        """The worker comes by."""
        with self.app.app_context():
            return domains.refresh_servers(now=at)

    def server_of(self, domain: str) -> str:
        """Which server would be asked."""
        with self.app.app_context(), db.transaction():
            return RdapClient(HttpClient()).server_of(domain, registries._newer_servers())


@pytest.fixture
def installation(app: Flask) -> Iterator[Installation]:
    """It runs since noon."""
    with iana() as source:
        yield Installation(app, source)


def test_the_file_is_fetched_after_a_day_and_then_weekly(installation: Installation) -> None:
    assert not installation.refresh(NOON + DAY - SECOND)
    assert installation.source.asked == []
    assert installation.server_of("corp.org") == SHIPPED["org"]
    assert installation.refresh(NOON + DAY)
    assert installation.server_of("corp.org") == "https://rdap.new.example/"
    assert installation.server_of("corp.tm") == "https://rdap.tm.example/"
    installation.refresh(NOON + 8 * DAY - SECOND)
    assert len(installation.source.asked) == 1
    installation.refresh(NOON + 8 * DAY)
    assert len(installation.source.asked) == 2


def test_a_file_that_did_not_change_is_not_sent_again(installation: Installation) -> None:
    installation.source.names(NEWER, ETag='"1"', Last_Modified="Mon, 23 Nov 2026 12:00:00 GMT")
    installation.refresh(NOON + DAY)
    assert not installation.refresh(NOON + 8 * DAY)
    first, second = installation.source.asked
    assert "if-none-match" not in first
    assert (second["if-none-match"], second["if-modified-since"]) == ('"1"', "Mon, 23 Nov 2026 12:00:00 GMT")
    assert installation.server_of("corp.tm") == "https://rdap.tm.example/"
    assert not installation.refresh(NOON + 15 * DAY - SECOND)
    assert len(installation.source.asked) == 2


HALF = dict(list(NEWER.items())[: len(NEWER) // 2 + 1])


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>"),
        (200, b"[]"),
        (200, b'{"services": [["org"]]}'),
        (200, b'{"services": [[[5], ["https://rdap.new.example/"]]]}'),
        (200, b"[" * 100_000),
        (200, b" " * (1024 * 1024) + b"{}"),
        (200, b'{"services": []}'),
        (404, b""),
        (500, b""),
    ],
)
def test_a_file_that_cannot_be_used_changes_nothing(installation: Installation, status: int, body: bytes) -> None:
    installation.refresh(NOON + DAY)
    installation.source.status, installation.source.body, installation.source.headers = status, body, {}
    assert not installation.refresh(NOON + 8 * DAY)
    assert installation.server_of("corp.org") == "https://rdap.new.example/"
    installation.source.names(SHIPPED)
    assert not installation.refresh(NOON + 9 * DAY - SECOND)
    assert installation.refresh(NOON + 9 * DAY)  # tried again after a day
    assert installation.server_of("corp.org") == SHIPPED["org"]


@pytest.mark.parametrize(("missing", "believed"), [(0, True), (1, False)])
def test_a_file_must_name_half_of_what_was_known(installation: Installation, missing: int, believed: bool) -> None:
    half = (len(SHIPPED) + 1) // 2
    installation.source.names(dict(list(SHIPPED.items())[: half - missing]))
    assert installation.refresh(NOON + DAY) == believed


def test_servers_without_https_are_left_out(installation: Installation) -> None:
    installation.source.names(NEWER | {"org": "http://rdap.new.example/", "net": "https:///"})
    assert installation.refresh(NOON + DAY)
    assert (installation.server_of("corp.org"), installation.server_of("corp.net")) == ("", "")


def test_of_several_workers_one_fetches(installation: Installation) -> None:
    done = at_once(installation.app, *[lambda: domains.refresh_servers(now=NOON + DAY)] * 4)
    assert (sorted(done), len(installation.source.asked)) == ([False, False, False, True], 1)


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:9", ""])
def test_nothing_is_fetched_where_the_setting_says_so(installation: Installation, base_url: str) -> None:
    parts = installation.app.extensions["authsvc.adapters"]
    settings = installation.app.extensions["authsvc.settings"]
    installation.app.extensions["authsvc.adapters"] = replace(parts, rdap=RdapClient(HttpClient(), base_url))
    if not base_url:
        installation.app.extensions["authsvc.settings"] = replace(settings, rdap_bootstrap_url="off")
    installation.refresh(NOON + DAY)
    assert installation.source.asked == []
