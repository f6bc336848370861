"""Looks at mail domains, stored on both databases, against real resolvers and a real registry."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from authsvc import accounts, audit, domains
from authsvc.accounts import AddressView
from authsvc.adapters import Adapters, HttpClient
from authsvc.adapters.dns import DnsClient
from authsvc.adapters.rdap import RdapClient
from authsvc.audit import EventType
from authsvc.core import db
from authsvc.core.evidence import RdapEvidence
from authsvc.domains import hosts, looks, registries
from authsvc.mail import Message
from authsvc.policy.domain_verdict import Verdict
from authsvc.policy.login import Mailbox
from authsvc.policy.registry_schedule import Purpose
from tests import servers
from tests.slices import NOON

DAY = timedelta(days=1)
ALIVE = [
    ["corp.org", "NS", "ns1.host.net."],
    ["corp.org", "MX", "10 mx.mail.net."],
    ["mx.mail.net", "A", "203.0.113.1"],
    ["ns1.host.net", "A", "203.0.113.53"],
]
NULL_MX = [["corp.org", "NS", "ns1.host.net."], ["corp.org", "MX", "0 ."]]


def registration(at: str = "2014-03-02T00:00:00Z", *, status: str = "active") -> dict[str, Any]:
    """What the registry says about a domain registered then."""
    body = {
        "objectClassName": "domain",
        "handle": "D1",
        "status": [status],
        "events": [{"eventAction": "registration", "eventDate": at}],
    }
    return {"http": 200, "body": body}


class World:
    """An account at corp.org, and what the outside says about that domain."""

    def __init__(self, app: Flask, dns: servers.Dns, web: servers.Web) -> None:
        self.app, self.dns, self.web, self.now = app, dns, web, NOON
        http = HttpClient()
        app.extensions["authsvc.adapters"] = Adapters(
            dns=DnsClient(dns.setting),
            rdap=RdapClient(http, web.url),
            breaches=None,  # type: ignore[arg-type]  # nobody asks
            mail=None,  # type: ignore[arg-type]
            http=http,
        )
        self.says(ALIVE, registration())

    def says(self, records: list[list[str]], rdap: dict[str, Any] | None) -> None:
        """From now on this is what DNS and the registry answer; without `rdap` the name is not registered."""
        self.dns.zone = servers.Zone(records)
        self.web.answers.clear()
        if rdap is not None:
            self.web.add_rdap({"corp.org": rdap})

    def person(self, username: str, *, email: str = "", verified_at: datetime | None = None) -> int:
        """Make an account whose address was proved then, or now; returns the account's id."""
        email = email or f"{username}@corp.org"
        with self.app.app_context(), db.transaction():
            account_id = accounts.create(username=username, now=self.now)
            address_id = accounts.add_address(account_id, email, is_primary=True, verified_at=None, now=self.now)
            domain = email.rpartition("@")[2]
            proved = verified_at or self.now
            domains.record_verification(address_id, domain, verified_at=proved, now=self.now)
        return account_id

    def look(self, name: str = "corp.org", **days_on: float) -> domains.Look:
        """Look at the domain, some time later."""
        self.now += timedelta(**days_on)
        with self.app.app_context():
            return domains.check_now(name, now=self.now)

    def address(self, account_id: int) -> AddressView:
        """The account's address as it stands."""
        with self.app.app_context(), db.transaction():
            found = accounts.mail_address(account_id)
            assert found is not None
            return found

    def judged(self, account_id: int) -> tuple[str, str]:
        """Verdict and reason for the account's address, from the last look."""
        address = self.address(account_id)
        with self.app.app_context(), db.transaction():
            look = domains.check_fresh(address.domain, max_age=timedelta(days=999), now=self.now)
            found = domains.judge_address(look, address)
        return found.verdict.value, found.reason

    def worth(self, account_id: int) -> Mailbox:
        """What the mailbox may be used for at sign-in."""
        address = self.address(account_id)
        with self.app.app_context(), db.transaction():
            return domains.mailbox_worth(address)


@pytest.fixture
def world(app: Flask, dns_server: servers.Dns, web_server: servers.Web) -> World:
    """A healthy domain that nobody has looked at yet."""
    return World(app, dns_server, web_server)


def proves(world: World, account_id: int) -> bool:
    """Somebody types the code that was mailed to the account's address; True when that counts."""
    address = world.address(account_id)
    with world.app.test_request_context(), db.transaction():
        return domains.prove(address, client=None, now=world.now)


def signs_in_strongly(world: World, account_id: int) -> None:
    """A sign-in with a senior authenticator."""
    with world.app.app_context(), db.transaction():
        accounts.note_sign_in(account_id, strong=True, now=world.now)


def test_a_healthy_domain_makes_its_addresses_trusted(world: World) -> None:
    alice = world.person("alice")
    look = world.look()
    assert (look.judgement.verdict, look.judgement.reason, look.generation) == (Verdict.HEALTHY, "OK", 0)
    assert world.address(alice).trusted
    assert world.worth(alice) is Mailbox.GOOD


def test_a_domain_that_is_gone_loses_its_addresses_and_the_generation_rises_once(world: World) -> None:
    alice = world.person("alice")
    world.look()
    world.says([], None)
    assert world.look(days=1).judgement.reason == "NOT_REGISTERED"
    world.dns.zone = servers.Zone([], [{"name": "corp.org", "do": "servfail"}])
    assert world.look(days=1).judgement.verdict is Verdict.UNKNOWN
    world.says([], None)
    assert world.look(days=1).generation == 1
    assert not world.address(alice).trusted
    assert world.worth(alice) is Mailbox.LOST


def test_a_domain_that_works_again_may_work_for_somebody_else(world: World) -> None:
    alice = world.person("alice")
    world.look()
    world.says([], None)
    world.look(days=1)
    world.says(ALIVE, registration())
    assert world.look(days=1).judgement.verdict is Verdict.HEALTHY
    assert world.worth(alice) is Mailbox.LOST
    newcomer = world.person("bob")
    assert world.worth(newcomer) is Mailbox.GOOD
    world.says([], None)
    assert world.look(days=1).generation == 2


def test_a_registration_between_two_looks_is_noticed(world: World) -> None:
    alice = world.person("alice")
    world.look()
    world.says([*ALIVE, ["corp.org", "NS", "ns2.host.net."]], registration((NOON + 3 * DAY).isoformat()))
    assert world.look(days=5).generation == 1
    assert world.judged(alice) == ("reregistered", "REGISTERED_AFTER_VERIFICATION")
    assert world.worth(alice) is Mailbox.LOST


def test_a_registration_before_the_first_look_is_noticed_for_those_who_proved_before(world: World) -> None:
    world.says(ALIVE, registration("2026-10-02T00:00:00Z"))
    old = world.person("alice", verified_at=datetime.fromisoformat("2021-05-04T10:00:00+00:00"))
    new = world.person("bob")
    assert world.look().generation == 0
    assert (world.worth(old), world.worth(new)) == (Mailbox.LOST, Mailbox.GOOD)
    assert not world.address(old).trusted
    assert world.judged(old)[0] == "reregistered"
    assert world.judged(new) == ("healthy", "OK")


def test_dead_mail_is_confirmed_by_three_looks_over_two_days_and_by_no_question_in_between(world: World) -> None:
    alice = world.person("alice")
    world.says(NULL_MX, registration())
    assert world.look().judgement.verdict is Verdict.SUSPECT
    assert world.worth(alice) is Mailbox.DOUBTFUL
    assert world.look(days=3).judgement.verdict is Verdict.SUSPECT
    assert world.judged(alice) == ("suspect", "NULL_MX")  # the second look, asked about again
    assert world.look(hours=1).judgement.verdict is Verdict.LAPSED
    assert world.judged(alice) == ("lapsed", "NULL_MX")


def asked_about(world: World, name: str) -> int:
    """How often the registry was asked about a name."""
    return world.web.asked.count(f"/domain/{name}")


@pytest.mark.attack("D01")
def test_a_mail_host_s_domain_registered_anew_loses_those_whose_mail_went_there(world: World) -> None:
    alice = world.person("alice")
    world.look()
    world.web.add_rdap({"mail.net": registration((NOON + 3 * DAY).isoformat())})
    world.look(days=5)
    bob = world.person("bob")
    assert world.judged(alice) == ("reregistered", "MX_HOST_DOMAIN_REREGISTERED")
    assert world.worth(alice) is Mailbox.LOST
    assert world.worth(bob) is Mailbox.GOOD


@pytest.mark.attack("D01")
def test_a_free_domain_of_a_backup_mail_host_is_a_lapse(world: World) -> None:
    alice = world.person("alice")
    world.look()
    world.says([*ALIVE, ["corp.org", "MX", "99 mx.free.net."]], registration())
    assert world.look(days=1).judgement.reason == "MX_HOST_DOMAIN_LAPSED"
    assert world.worth(alice) is Mailbox.LOST
    world.says(ALIVE, registration())  # the owner looks after it, or whoever holds the name now
    assert world.look(days=1).generation == 1
    assert world.worth(alice) is Mailbox.LOST


def test_a_mail_host_s_domain_that_vanishes_is_asked_about_anew_however_fresh_the_answer(world: World) -> None:
    world.person("alice")
    world.web.add_rdap({"mail.net": registration()})
    world.look()
    own = [["corp.org", "MX", "20 mx.corp.org."], ["mx.corp.org", "A", "203.0.113.7"]]
    world.says([*own, *(record for record in ALIVE if record[0] != "mx.mail.net")], registration())
    assert world.look(hours=1).judgement.reason == "MX_HOST_DOMAIN_LAPSED"


def test_the_registry_is_asked_once_about_a_mail_host_that_many_domains_use(world: World) -> None:
    world.web.add_rdap({"mail.net": registration()})
    world.dns.zone = servers.Zone([*ALIVE, ["other.org", "MX", "10 mx.mail.net."]])
    for name in ("corp.org", "other.org"):
        world.person(name[:4], email=f"a@{name}")
        world.look(name, hours=1)
    assert asked_about(world, "mail.net") == 1
    world.look(days=1)
    assert asked_about(world, "mail.net") == 2


def test_the_registry_is_left_alone_while_its_answer_is_fresh_and_nothing_changed(world: World) -> None:
    world.person("alice")
    world.look()
    world.look(hours=23)
    assert asked_about(world, "corp.org") == 1
    world.look(hours=2)
    assert asked_about(world, "corp.org") == 2
    world.dns.zone = servers.Zone([*ALIVE, ["corp.org", "MX", "20 mx2.mail.net."]])
    world.look(hours=1)
    assert asked_about(world, "corp.org") == 3


def test_a_registry_that_says_wait_is_not_asked_before(world: World) -> None:
    world.person("alice")
    world.says(ALIVE, {"http": 429, "retry_after": 3600})
    world.look()
    world.look(minutes=59)
    assert asked_about(world, "corp.org") == 1
    world.look(minutes=2)
    assert asked_about(world, "corp.org") == 2


def test_a_silent_registry_leans_on_its_last_answer_for_a_while(world: World) -> None:
    world.person("alice")
    world.look()
    world.says(ALIVE, {"http": 503})
    assert world.look(days=34).judgement.reason == "OK_RDAP_UNAVAILABLE"
    assert world.look(days=2).judgement.reason == "RDAP_STALE"


def test_everything_moved_counts_against_what_was_seen_when_the_address_was_proved(world: World) -> None:
    alice = world.person("alice")
    world.look()
    elsewhere = [
        ["corp.org", "NS", "ns.other.com."],
        ["corp.org", "MX", "10 mx.other.com."],
        ["mx.other.com", "A", "203.0.113.9"],
    ]
    world.says(elsewhere, {"http": 503})
    world.look(days=2)
    bob = world.person("bob")
    assert world.judged(alice) == ("suspect", "NS_AND_MX_CHANGED")
    assert world.judged(bob) == ("healthy", "OK_RDAP_UNAVAILABLE")


def has_baseline(world: World, account_id: int) -> bool:
    """True when it is known how the domain looked when the address was proved."""
    with world.app.app_context(), db.transaction() as session:
        return session.get(domains.AddressBaseline, world.address(account_id).id) is not None


@pytest.mark.parametrize(("days", "recorded"), [(7, True), (7.01, False)])
def test_the_first_healthy_look_within_a_week_is_the_baseline(world: World, days: float, recorded: bool) -> None:
    alice = world.person("alice")
    world.dns.zone = servers.Zone([], [{"name": "corp.org", "do": "servfail"}])
    world.look()  # a fault that may be ours stands in nobody's way
    world.says(ALIVE, registration())
    world.look(days=days)
    assert has_baseline(world, alice) == recorded


def test_a_healthy_look_after_something_was_wrong_is_no_baseline(world: World) -> None:
    alice = world.person("alice")
    world.says(NULL_MX, registration())
    world.look()
    world.says(ALIVE, registration())
    world.look(days=1)
    world.look(days=1)
    assert not has_baseline(world, alice)


def test_a_domain_without_accounts_is_judged_and_forgotten(world: World) -> None:
    assert world.look().judgement.verdict is Verdict.HEALTHY
    with world.app.app_context(), db.transaction():
        assert not domains.known("corp.org")


@pytest.mark.parametrize("domain", ["corp.test", "corp.example", "localhost"])
def test_reserved_names_are_healthy_on_ones_own_machine_and_nobody_is_asked(world: World, domain: str) -> None:
    alice = world.person("alice", email=f"alice@{domain}")
    assert world.look(domain).judgement.verdict is Verdict.HEALTHY
    assert world.worth(alice) is Mailbox.GOOD
    assert world.dns.zone.asked == []


def test_a_look_is_used_again_for_ten_minutes(world: World) -> None:
    world.person("alice")
    world.look()
    asked = len(world.dns.zone.asked)
    for minutes, more in ((10, False), (11, True)):
        with world.app.app_context():
            domains.check_fresh("corp.org", max_age=timedelta(minutes=10), now=NOON + timedelta(minutes=minutes))
        assert (len(world.dns.zone.asked) > asked) == more


def test_a_sweep_looks_at_what_is_due_and_says_what_changed(world: World) -> None:
    world.person("alice")
    world.person("bob", email="bob@gone.org")
    with world.app.app_context():
        first = domains.sweep(limit=10, now=NOON)
        again = domains.sweep(limit=10, now=NOON)
    assert (first.checked, first.changed, first.verdicts) == (2, 2, {"healthy": 1, "lapsed": 1})
    assert again.checked == 0
    with world.app.app_context():
        assert domains.sweep(limit=1, now=NOON + 2 * DAY).checked == 1


def test_a_browser_from_before_the_last_healthy_look_is_known(world: World) -> None:
    alice = world.person("alice")
    world.look()
    world.says([], None)
    world.look(days=10)
    address = world.address(alice)
    with world.app.app_context(), db.transaction():
        for first_seen, known in ((NOON - DAY, True), (NOON, False), (NOON + DAY, False)):
            assert domains.seen_while_healthy(address, first_seen, now=world.now) == known
        assert not domains.seen_while_healthy(address, NOON - DAY, now=NOON + DAY)  # not senior then
        assert not domains.seen_while_healthy(None, NOON, now=world.now)


@pytest.mark.attack("D01")
def test_the_new_holder_s_healthy_looks_make_no_browser_known(world: World) -> None:
    alice = world.person("alice")
    world.look()
    world.look(days=10)
    world.says(ALIVE, registration((NOON + 15 * DAY).isoformat()))
    world.look(days=10)
    world.look(days=10)
    address = world.address(alice)
    assert world.worth(alice) is Mailbox.LOST
    with world.app.app_context(), db.transaction():
        for first_seen, known in ((9.9, True), (10, False), (16, False), (21, False)):
            assert domains.seen_while_healthy(address, NOON + first_seen * DAY, now=world.now) == known


def test_a_look_between_the_registration_and_its_being_noticed_makes_no_browser_known(world: World) -> None:
    alice = world.person("alice")
    world.look()
    with world.app.app_context():  # the sweep asks the registry once a month
        domains.check_now("corp.org", now=NOON + 20 * DAY, purpose=Purpose.SWEEP)
    world.says(ALIVE, registration((NOON + 15 * DAY).isoformat()))
    world.look(days=25)
    address = world.address(alice)
    with world.app.app_context(), db.transaction():
        for first_seen, known in ((-1, True), (1, False), (16, False)):
            assert domains.seen_while_healthy(address, NOON + first_seen * DAY, now=world.now) == known


# --- proving an address anew


@pytest.mark.attack("D01")
@pytest.mark.parametrize("looked_in_between", [True, False])
def test_a_strong_sign_in_from_before_the_domain_was_lost_heals_nothing(world: World, looked_in_between: bool) -> None:
    # Given an owner whose last strong sign-in came after the proof, and a domain that somebody else then registered
    alice = world.person("alice")
    world.look()
    world.now += DAY
    signs_in_strongly(world, alice)
    world.says(ALIVE, registration((NOON + 5 * DAY).isoformat()))
    world.now += 5 * DAY
    if looked_in_between:
        world.look()
    # When the new holder types the mailed code, it does not count; neither does it again
    world.now += DAY
    assert [proves(world, alice), proves(world, alice)] == [False, False]
    assert world.worth(alice) is Mailbox.LOST
    # But the owner's strong sign-in since then makes it count
    world.now += timedelta(minutes=1)
    signs_in_strongly(world, alice)
    world.now += timedelta(minutes=1)
    assert proves(world, alice)
    assert world.worth(alice) is Mailbox.GOOD


def test_a_lapse_found_by_the_look_that_a_proof_brings_counts_against_it(world: World) -> None:
    alice = world.person("alice")
    world.look()
    world.now += 2 * DAY
    world.says(ALIVE, registration((NOON + DAY + DAY / 2).isoformat()))
    world.now += 2 * DAY
    assert not proves(world, alice)


@pytest.mark.parametrize("strong", [True, False])
def test_a_mailed_code_moves_a_baseline_only_after_a_strong_sign_in(world: World, strong: bool) -> None:
    alice = world.person("alice")
    world.look()
    world.now += DAY
    if strong:
        signs_in_strongly(world, alice)
    world.now += DAY
    assert proves(world, alice)
    assert world.address(alice).verified_at == (world.now if strong else NOON)
    world.look(hours=1)
    assert has_baseline(world, alice)


@pytest.mark.parametrize("blocked", [True, False])
def test_a_healed_address_is_logged_and_the_other_addresses_hear_of_it(world: World, blocked: bool) -> None:
    alice = world.person("alice")
    with world.app.app_context(), db.transaction():
        other = accounts.add_address(alice, "a@backup.test", is_primary=False, verified_at=None, now=world.now)
        domains.record_verification(other, "backup.test", verified_at=world.now, now=world.now)
    world.look()
    world.says([], None)
    world.look(days=1)
    if blocked:
        with world.app.app_context(), db.transaction():
            accounts.block_address(world.address(alice).id, reason="NOT_REGISTERED", now=world.now)
    world.says(ALIVE, registration())
    world.look(days=1)
    signs_in_strongly(world, alice)
    assert proves(world, alice)
    assert world.address(alice).trusted
    assert world.address(alice).doubted_at is None
    with world.app.app_context(), db.transaction() as session:
        assert EventType.ADDRESS_UNBLOCKED in [e.type for e in audit.events(alice)]
        assert list(session.execute(select(Message.recipient, Message.kind))) == [("a@backup.test", "address_healed")]


def test_a_mail_host_registered_anew_is_not_forgotten_when_dns_falls_silent(world: World) -> None:
    world.web.add_rdap({"mail.net": registration("2010-01-01T00:00:00Z")})
    alice = world.person("alice")
    world.look()
    world.web.add_rdap({"mail.net": registration((NOON + 20 * DAY).isoformat())})
    world.look(days=32)
    world.dns.zone = servers.Zone(ALIVE, [{"name": "mx.mail.net", "do": "servfail"}])
    assert world.look(days=1).judgement.reason == "DNS_SERVFAIL"
    assert world.worth(alice) is Mailbox.LOST
    assert not world.address(alice).trusted


def test_a_mail_host_whose_name_nobody_could_register_stops_no_look(world: World) -> None:
    world.person("alice")
    world.says([ALIVE[0], ["corp.org", "MX", "10 " + "\\001" * 63 + ".com."], ALIVE[3]], registration())
    assert world.look().judgement.reason == "MX_HOST_NXDOMAIN"


@pytest.mark.parametrize("action", ["registration", "expiration"])
@pytest.mark.parametrize("date", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_a_date_that_stands_for_none_stops_no_look(world: World, action: str, date: str) -> None:
    answer = registration()
    answer["body"]["events"].append({"eventAction": action, "eventDate": date})
    world.says(ALIVE, answer)
    world.person("alice")
    world.look()
    assert world.look(days=1).judgement.reason == "OK"


def test_a_mail_host_registered_anew_loses_however_many_addresses_there_are(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looks, "IDS_AT_ONCE", 1)
    world.web.add_rdap({"mail.net": registration("2010-01-01T00:00:00Z")})
    people = [world.person(name) for name in ("alice", "bob", "carol")]
    world.look()
    world.web.add_rdap({"mail.net": registration((NOON + 20 * DAY).isoformat())})
    world.look(days=32)
    assert {world.worth(person) for person in people} == {Mailbox.LOST}


ELSEWHERE = [
    ["corp.org", "NS", "ns1.other.com."],
    ["corp.org", "MX", "10 mx.other.com."],
    ["mx.other.com", "A", "203.0.113.9"],
    ["ns1.other.com", "A", "203.0.113.9"],
]


@pytest.mark.attack("D01")
def test_what_was_seen_at_the_proof_counts_at_sign_in_too(world: World) -> None:
    without_dates: dict[str, Any] = {"http": 200, "body": {"objectClassName": "domain", "handle": "D1"}}
    world.says(ALIVE, without_dates)
    alice = world.person("alice")
    world.look()
    assert world.worth(alice) is Mailbox.GOOD
    # The registry names another handle, and all servers are others
    world.says(ELSEWHERE, {"http": 200, "body": {**without_dates["body"], "handle": "D2"}})
    world.look(days=2)
    assert world.worth(alice) is Mailbox.LOST
    # All servers are others, and the registry cannot be asked
    world.says(ELSEWHERE, {"http": 503, "body": {}})
    world.look(days=2)
    assert world.judged(alice) == ("suspect", "NS_AND_MX_CHANGED")
    assert world.worth(alice) is Mailbox.DOUBTFUL


def mail_at(world: World, *names: str) -> None:
    """From now on these domains take the mail."""
    records = [["corp.org", "NS", "ns1.host.net."], ALIVE[3]]
    for name in names:
        records += [[f"mx.{name}", "A", "203.0.113.7"]]
        records += [[mailed, "MX", f"10 mx.{name}."] for mailed in ("corp.org", "sub.corp.org")]
    world.says(records, registration())
    world.web.add_rdap({name: registration() for name in names})


def hosts_known(world: World) -> set[str]:
    """Domains of mail hosts about which something is kept."""
    with world.app.app_context(), db.transaction() as session:
        return set(session.scalars(select(hosts.HostDomain.name)))


def test_a_domain_that_names_other_mail_hosts_at_each_look_has_few_of_them_asked_about(world: World) -> None:
    world.person("alice")
    world.person("bob", email="bob@sub.corp.org")
    for number in range(3):
        mail_at(world, *(f"x{number}-{host}.net" for host in range(6)))
        world.look(hours=1)
        world.look("sub.corp.org")
    assert hosts_known(world) == {f"x0-{host}.net" for host in range(6)}
    world.look(hours=22)
    assert hosts_known(world) == {f"x{number}-{host}.net" for host in range(6) for number in (0, 2)}


def test_the_first_question_about_a_mail_host_comes_from_the_share_of_the_sweep(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, Purpose]] = []
    real = registries.ask

    def ask(name: str, *, purpose: Purpose, now: datetime) -> RdapEvidence | None:
        asked.append((name, purpose))
        return real(name, purpose=purpose, now=now)

    monkeypatch.setattr(registries, "ask", ask)
    world.person("alice")
    mail_at(world, "mail.net")
    world.look()
    world.look(days=2)
    assert [purpose for name, purpose in asked if name == "mail.net"] == [Purpose.SWEEP, Purpose.RESET]


def test_a_mail_host_that_nobody_uses_is_forgotten_after_ninety_days(world: World) -> None:
    world.person("alice")
    mail_at(world, "mail.net")
    world.look()
    for late, left in ((timedelta(0), {"mail.net"}), (timedelta(seconds=1), set())):
        with world.app.app_context(), db.transaction():
            domains.forget_hosts(now=NOON + 90 * DAY + late)
        assert hosts_known(world) == left
