"""The rules of the domain verdict, one by one. Whole situations are in tests/adapters/test_scenarios.py."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from authsvc.core.evidence import DnsEvidence, DnsFault, DomainLists, Evidence, MailHost, RdapEvidence, RdapOutcome
from authsvc.policy.domain_verdict import (
    Baseline,
    Failure,
    History,
    Impact,
    Judgement,
    Verdict,
    judge,
    next_history,
)

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
VERIFIED = NOON - timedelta(days=400)
SECOND = timedelta(seconds=1)

HEALTHY = Evidence(
    domain="maintainer.org",
    dns=DnsEvidence(
        mail_hosts=(MailHost(name="mx.provider.net", addresses=("203.0.113.10",)),),
        name_servers=("ns1.dnshost.net",),
    ),
    rdap=RdapEvidence(
        outcome=RdapOutcome.FOUND,
        statuses=frozenset({"active"}),
        registered_at=VERIFIED - timedelta(days=2000),
        expires_at=NOON + timedelta(days=100),
        handle="D1",
        registrar="Registrar One",
        name_servers=("ns1.dnshost.net",),
    ),
)
AS_BEFORE = Baseline.of(HEALTHY)
QUIET = History(last_healthy_at=NOON - timedelta(days=1), last_rdap_ok_at=NOON - timedelta(days=1))
LISTS = DomainLists(parking=frozenset({"parked.net"}), disposable=frozenset({"throwaway.com"}))
ELSEWHERE = (MailHost(name="mx.other.com", addresses=("203.0.113.99",)),)


def seen(*, dns: dict[str, Any] | None = None, rdap: dict[str, Any] | None = None) -> Evidence:
    """Healthy evidence with some of it changed."""
    return replace(HEALTHY, dns=replace(HEALTHY.dns, **dns or {}), rdap=replace(HEALTHY.rdap, **rdap or {}))


def verdict(
    evidence: Evidence,
    *,
    history: History = QUIET,
    baseline: Baseline = AS_BEFORE,
    verified_at: datetime | None = VERIFIED,
    impact: Impact = Impact.NORMAL,
    lists: DomainLists = LISTS,
) -> tuple[str, str]:
    """Verdict and reason at noon."""
    found = judge(evidence, history, baseline, verified_at=verified_at, impact=impact, lists=lists, now=NOON)
    return found.verdict.value, found.reason


def failing(times: int, since: timedelta, failure: Failure | None = None) -> History:
    """A history of failures in a row up to now."""
    return replace(QUIET, consecutive_failures=times, first_failure_at=NOON - since, failure=failure)


def silent_registry() -> dict[str, Any]:
    """What changes when the registry does not answer."""
    return {
        "outcome": RdapOutcome.UNAVAILABLE,
        "registered_at": None,
        "handle": "",
        "statuses": frozenset(),
    }


def test_a_domain_as_it_was_is_healthy() -> None:
    assert verdict(HEALTHY) == ("healthy", "OK")


# --- rule 1


@pytest.mark.parametrize(
    ("registered_at", "expected"),
    [
        (VERIFIED + timedelta(hours=24), ("healthy", "OK")),
        (VERIFIED + timedelta(hours=24) + SECOND, ("reregistered", "REGISTERED_AFTER_VERIFICATION")),
    ],
)
def test_a_registration_a_day_after_the_proof_is_somebody_elses(
    registered_at: datetime, expected: tuple[str, str]
) -> None:
    assert verdict(seen(rdap={"registered_at": registered_at})) == expected


def test_judged_for_nobody_no_registration_is_too_new() -> None:
    assert verdict(seen(rdap={"registered_at": NOON}), verified_at=None) == ("healthy", "OK")


def test_another_handle_counts_where_there_is_no_registration_date() -> None:
    changed: dict[str, Any] = {"registered_at": None, "handle": "D2"}
    assert verdict(seen(rdap=changed)) == ("suspect", "HANDLE_CHANGED")
    assert verdict(seen(rdap=changed | {"registered_at": VERIFIED})) == ("healthy", "OK")


def test_another_handle_with_everything_moved_is_a_new_owner() -> None:
    moved = seen(
        dns={"mail_hosts": ELSEWHERE, "name_servers": ("ns.other.com",)},
        rdap={"registered_at": None, "handle": "D2"},
    )
    assert verdict(moved) == ("reregistered", "HANDLE_CHANGED")


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ({"redemptionperiod"}, ("lapsed", "REDEMPTION_PERIOD")),
        ({"pendingrestore", "active"}, ("lapsed", "REDEMPTION_PERIOD")),
        ({"pendingdelete", "redemptionperiod"}, ("lapsed", "REDEMPTION_PERIOD")),
        ({"pendingdelete"}, ("lapsed", "PENDING_DELETE")),
        ({"serverhold", "clienthold"}, ("suspect", "SERVER_HOLD")),
        ({"clienthold"}, ("suspect", "CLIENT_HOLD")),
        ({"clienttransferprohibited"}, ("healthy", "OK")),
        ({"autorenewperiod"}, ("healthy", "OK_AUTO_RENEW")),
    ],
)
def test_the_status_of_a_registration_decides(statuses: set[str], expected: tuple[str, str]) -> None:
    assert verdict(seen(rdap={"statuses": frozenset(statuses)})) == expected


# --- rule 2


def test_two_sources_that_know_nothing_are_a_lapse_at_once() -> None:
    gone = seen(dns={"exists": False, "mail_hosts": ()}, rdap=silent_registry() | {"outcome": RdapOutcome.NOT_FOUND})
    assert verdict(gone) == ("lapsed", "NOT_REGISTERED")


def test_a_registry_that_denies_what_dns_answers_is_not_believed() -> None:
    denied = silent_registry() | {"outcome": RdapOutcome.NOT_FOUND}
    assert verdict(seen(rdap=denied)) == ("unknown", "RDAP_DNS_CONFLICT")
    assert verdict(seen(dns={"fault": DnsFault.SERVFAIL}, rdap=denied)) == ("unknown", "DNS_SERVFAIL")


# --- rule 3


def mail_host(**changes: Any) -> Evidence:
    """Healthy evidence, with the registry's answer about the domain of the mail host."""
    answer = replace(HEALTHY.rdap, **changes)
    return replace(HEALTHY, hosts_rdap={"provider.net": answer})


@pytest.mark.parametrize("status", ["redemptionperiod", "pendingrestore", "pendingdelete"])
def test_an_expired_domain_of_a_mail_host_is_a_lapse(status: str) -> None:
    assert verdict(mail_host(statuses=frozenset({status}))) == ("lapsed", "MX_HOST_DOMAIN_LAPSED")


@pytest.mark.parametrize(("missing", "expected"), [(("provider.net",), "lapsed"), ((), "healthy")])
def test_a_mail_host_s_domain_is_free_when_registry_and_dns_say_so(missing: tuple[str, ...], expected: str) -> None:
    free = mail_host(outcome=RdapOutcome.NOT_FOUND)
    assert verdict(replace(free, dns=replace(free.dns, missing=missing)))[0] == expected


@pytest.mark.parametrize(
    ("registered_at", "expected"),
    [
        (VERIFIED + timedelta(hours=24), ("healthy", "OK")),
        (VERIFIED + timedelta(hours=24) + SECOND, ("reregistered", "MX_HOST_DOMAIN_REREGISTERED")),
    ],
)
def test_a_mail_host_s_domain_registered_a_day_after_the_proof_is_somebody_elses(
    registered_at: datetime, expected: tuple[str, str]
) -> None:
    evidence = mail_host(registered_at=registered_at)
    assert verdict(evidence) == expected
    new_host = replace(AS_BEFORE, mx=frozenset({"mx.other.com", "mx.maintainer.org"}))
    assert verdict(evidence, baseline=new_host)[0] == "healthy"  # the owner chose it since


# --- rule 4


@pytest.mark.parametrize("fault", sorted(set(DnsFault) - {DnsFault.OURS}))
def test_dns_without_an_answer_is_never_a_lapse(fault: DnsFault) -> None:
    broken = seen(dns={"fault": fault, "mail_hosts": ()})
    for_ever = failing(1000, timedelta(days=300))
    assert verdict(broken) == ("unknown", fault.value)
    assert verdict(broken, history=for_ever) == ("suspect", fault.value)


def test_a_fault_of_our_own_resolvers_is_never_suspect() -> None:
    broken = seen(dns={"fault": DnsFault.OURS, "mail_hosts": ()})
    for_ever = failing(1000, timedelta(days=300), Failure.FAULT)
    assert verdict(broken, history=for_ever) == ("unknown", "OWN_RESOLVERS_FAIL")


@pytest.mark.parametrize("registry", [RdapOutcome.FOUND, RdapOutcome.UNAVAILABLE])
def test_a_fault_of_our_own_resolvers_neither_counts_nor_ends_a_run(registry: RdapOutcome) -> None:
    broken = seen(dns={"fault": DnsFault.OURS}, rdap={"outcome": registry})
    before = failing(2, timedelta(days=1), Failure.DEAD)
    judgement = judge(broken, before, Baseline(), verified_at=None, impact=Impact.NORMAL, now=NOON)
    after = next_history(before, judgement, broken, rdap_answered_at=NOON, now=NOON)
    answered = NOON if registry is RdapOutcome.FOUND else before.last_rdap_ok_at
    assert after == replace(before, last_rdap_ok_at=answered)


def test_a_week_without_an_answer_is_suspect() -> None:
    broken = seen(dns={"fault": DnsFault.TIMEOUT})
    week = timedelta(days=7)
    assert verdict(broken, history=failing(9, week - SECOND, Failure.FAULT))[0] == "unknown"
    assert verdict(broken, history=failing(9, week, Failure.FAULT))[0] == "suspect"
    assert verdict(broken, history=failing(9, week, Failure.DEAD))[0] == "unknown"


# --- rule 5


@pytest.mark.parametrize(
    ("dns", "reason"),
    [
        ({"exists": False, "mail_hosts": ()}, "NXDOMAIN_BUT_REGISTERED"),
        ({"null_mx": True, "mail_hosts": ()}, "NULL_MX"),
        ({"mail_hosts": ()}, "NO_MX_NO_ADDRESS"),
        ({"mail_hosts": (MailHost(name="mx.gone.net"),)}, "MX_HOST_NXDOMAIN"),
        ({"mail_hosts": (MailHost(name="mx.here", addresses=("10.0.0.1", "fd00::1")),)}, "MX_UNROUTABLE"),
    ],
)
def test_mail_that_cannot_arrive_is_suspect_and_lapsed_once_confirmed(dns: dict[str, Any], reason: str) -> None:
    evidence, days = seen(dns=dns), timedelta(hours=48)
    assert verdict(evidence) == ("suspect", reason)
    assert verdict(evidence, history=failing(2, days)) == ("lapsed", reason)
    assert verdict(evidence, history=failing(1, days)) == ("suspect", reason)
    assert verdict(evidence, history=failing(2, days - SECOND)) == ("suspect", reason)
    assert verdict(evidence, history=failing(2, days, Failure.DEAD)) == ("lapsed", reason)
    assert verdict(evidence, history=failing(2, days, Failure.FAULT)) == ("suspect", reason)


def test_a_missing_name_without_a_registry_is_called_so() -> None:
    nowhere = silent_registry() | {"outcome": RdapOutcome.NO_SERVICE}
    assert verdict(seen(dns={"exists": False, "mail_hosts": ()}, rdap=nowhere)) == ("suspect", "NXDOMAIN")


@pytest.mark.parametrize(
    ("address", "routable"),
    [
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.31.0.1", False),
        ("192.168.1.1", False),
        ("169.254.1.1", False),
        ("0.0.0.0", False),  # noqa: S104 – an address in DNS, nothing is bound
        ("::", False),
        ("::1", False),
        ("fe80::1", False),
        ("fd12::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:203.0.113.1", True),
        ("172.32.0.1", True),
        ("2001:db8::1", True),
    ],
)
def test_addresses_nobody_can_reach_are_no_mail_host(address: str, routable: bool) -> None:
    found = verdict(seen(dns={"mail_hosts": (MailHost(name="mx.provider.net", addresses=(address,)),)}))
    assert found == (("healthy", "OK") if routable else ("suspect", "MX_UNROUTABLE"))


# --- rule 6


def test_name_servers_that_move_in_the_grace_period_are_suspect() -> None:
    grace = {"statuses": frozenset({"autorenewperiod"})}
    away = {"name_servers": ("ns.parking.com",)}
    assert verdict(seen(dns=away, rdap=grace)) == ("suspect", "AUTO_RENEW_NS_CHANGED")


def test_everything_moved_is_suspect_only_without_a_registry_to_vouch() -> None:
    away = {"mail_hosts": ELSEWHERE, "name_servers": ("ns.other.com",)}
    assert verdict(seen(dns=away)) == ("healthy", "OK_MOVED")
    assert verdict(seen(dns=away, rdap=silent_registry())) == ("suspect", "NS_AND_MX_CHANGED")


@pytest.mark.parametrize(
    ("expires_at", "reason"),
    [
        (NOON - SECOND, "CHANGED_ACROSS_EXPIRY"),
        (NOON, "OK_MOVED"),
        (VERIFIED, "OK_MOVED"),
        (None, "OK_MOVED"),
    ],
)
def test_everything_moved_across_the_old_expiry_date_is_suspect(expires_at: datetime | None, reason: str) -> None:
    away = seen(dns={"mail_hosts": ELSEWHERE, "name_servers": ("ns.other.com",)})
    assert verdict(away, baseline=replace(AS_BEFORE, expires_at=expires_at))[1] == reason
    assert verdict(away, baseline=replace(AS_BEFORE, expires_at=expires_at), verified_at=None)[1] == "OK_MOVED"


def test_mail_that_falls_back_to_the_web_host_is_suspect() -> None:
    bare = {"implicit_mx": True, "mail_hosts": (MailHost(name="maintainer.org", addresses=("203.0.113.1",)),)}
    assert verdict(seen(dns=bare)) == ("suspect", "MX_DROPPED")
    assert verdict(seen(dns=bare), baseline=Baseline()) == ("healthy", "OK_IMPLICIT_MX")


@pytest.mark.parametrize(
    ("name_servers", "parked"),
    [
        (("ns1.parked.net", "ns2.parked.net"), True),
        (("ns1.dnshost.net", "a.b.parked.net"), True),  # one is enough
        (("parked.net",), True),
        (("ns1.notparked.net",), False),
        (("parked.net.dnshost.net",), False),
        ((), False),
    ],
)
def test_name_servers_of_a_parking_company_are_suspect(name_servers: tuple[str, ...], parked: bool) -> None:
    away = seen(dns={"name_servers": name_servers})
    assert (verdict(away) == ("suspect", "PARKED")) == parked
    assert (verdict(away, baseline=Baseline.of(away)) == ("suspect", "PARKED")) == parked  # from the beginning too
    assert verdict(away, lists=DomainLists())[1] != "PARKED"


@pytest.mark.parametrize(
    ("domain", "disposable"),
    [("throwaway.com", True), ("mail.throwaway.com", True), ("notthrowaway.com", False), ("throwaway.com.org", False)],
)
def test_a_provider_of_throw_away_mailboxes_is_suspect(domain: str, disposable: bool) -> None:
    found = verdict(replace(HEALTHY, domain=domain))
    assert found == (("suspect", "DISPOSABLE_DOMAIN") if disposable else ("healthy", "OK"))


def test_of_what_moved_the_first_in_order_is_named() -> None:
    parked = {"name_servers": ("ns1.parked.net",), "mail_hosts": ELSEWHERE}
    grace = {"statuses": frozenset({"autorenewperiod"})}
    bare = {"implicit_mx": True, "mail_hosts": (MailHost(name="throwaway.com", addresses=("203.0.113.1",)),)}
    assert verdict(seen(dns=parked, rdap=grace))[1] == "AUTO_RENEW_NS_CHANGED"
    assert verdict(seen(dns=parked, rdap=silent_registry()))[1] == "PARKED"
    assert verdict(replace(seen(dns=bare), domain="throwaway.com"))[1] == "MX_DROPPED"
    assert verdict(replace(seen(rdap=silent_registry()), domain="throwaway.com"))[1] == "DISPOSABLE_DOMAIN"


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("mx9.provider.net", "OK"),  # inside one company
        ("mx.other.com", "OK_MOVED"),
        ("net", "OK_MOVED"),  # a public suffix stands for itself
    ],
)
def test_a_mail_host_moved_when_it_left_its_registrable_domain(host: str, reason: str) -> None:
    elsewhere = {"mail_hosts": (MailHost(name=host, addresses=("203.0.113.7",)),)}
    assert verdict(seen(dns=elsewhere))[1] == reason


# --- rule 7


@pytest.mark.parametrize(("impact", "days"), [(Impact.NORMAL, 35), (Impact.HIGH, 7)])
def test_a_silent_registry_is_forgiven_while_its_last_answer_is_fresh(impact: Impact, days: int) -> None:
    silent = seen(rdap=silent_registry())
    for age, expected in (
        (timedelta(days=days) - SECOND, ("healthy", "OK_RDAP_UNAVAILABLE")),
        (timedelta(days=days), ("unknown", "RDAP_STALE")),
    ):
        history = replace(QUIET, last_rdap_ok_at=NOON - age)
        assert verdict(silent, history=history, impact=impact) == expected
    assert verdict(silent, history=replace(QUIET, last_rdap_ok_at=None)) == ("unknown", "RDAP_STALE")


def test_a_registry_that_could_not_be_asked_is_forgiven_alike_and_vouches_for_nothing() -> None:
    earlier, away = {"overdue": True}, {"mail_hosts": ELSEWHERE, "name_servers": ("ns.other.com",)}
    for days, expected in ((34, ("healthy", "OK_RDAP_UNAVAILABLE")), (35, ("unknown", "RDAP_STALE"))):
        history = replace(QUIET, last_rdap_ok_at=NOON - timedelta(days=days))
        assert verdict(seen(rdap=earlier), history=history) == expected
    assert verdict(seen(dns=away, rdap=earlier)) == ("suspect", "NS_AND_MX_CHANGED")


@pytest.mark.parametrize(
    ("rdap", "expected"),
    [
        ({"statuses": frozenset({"redemptionperiod"})}, ("lapsed", "REDEMPTION_PERIOD")),
        ({"registered_at": VERIFIED + timedelta(days=2)}, ("reregistered", "REGISTERED_AFTER_VERIFICATION")),
        ({"statuses": frozenset({"serverhold"})}, ("suspect", "SERVER_HOLD")),
    ],
)
def test_what_a_registry_said_against_a_domain_stands_until_it_is_asked_again(
    rdap: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert verdict(seen(rdap=rdap | {"overdue": True})) == expected


# --- rule 8


def test_the_first_remark_that_fits_is_given() -> None:
    nowhere = silent_registry() | {"outcome": RdapOutcome.NO_SERVICE}
    half = {"mail_hosts": (*HEALTHY.dns.mail_hosts, MailHost(name="mx2.provider.net"))}
    assert verdict(seen(rdap=nowhere))[1] == "OK_NO_RDAP"
    assert verdict(seen(dns=half))[1] == "OK_PARTIAL_MX"
    assert verdict(seen(dns={"name_servers": ("ns.other.com",)}))[1] == "OK_MOVED"
    assert verdict(seen(rdap={"registered_at": None}))[1] == "OK_NO_REGISTRATION_DATE"


# --- when to look again, and what is remembered


@pytest.mark.parametrize(
    ("evidence", "impact", "hours"),
    [
        (HEALTHY, Impact.NORMAL, 24),
        (HEALTHY, Impact.HIGH, 6),
        (seen(dns={"mail_hosts": ()}), Impact.NORMAL, 6),
        (seen(dns={"fault": DnsFault.TIMEOUT}), Impact.NORMAL, 1),
        (seen(dns={"fault": DnsFault.TIMEOUT}, rdap={"overdue": True}), Impact.NORMAL, 1),
        (seen(rdap={"outcome": RdapOutcome.NOT_FOUND}), Impact.NORMAL, 1),
        (seen(rdap={"outcome": RdapOutcome.NOT_FOUND, "overdue": True}), Impact.NORMAL, 6),  # not asked: no hurry
        (seen(rdap={"statuses": frozenset({"pendingdelete"})}), Impact.NORMAL, 24),
    ],
)
def test_what_is_doubtful_is_looked_at_sooner(evidence: Evidence, impact: Impact, hours: int) -> None:
    found = judge(evidence, QUIET, AS_BEFORE, verified_at=VERIFIED, impact=impact, now=NOON)
    assert found.recheck_at == NOON + timedelta(hours=hours)


def after(history: History, reason: str, verdict: Verdict = Verdict.SUSPECT) -> History:
    """The history after one more look that ended so, with yesterday's answer of the registry."""
    judgement = Judgement(verdict, reason, NOON)
    yesterday = NOON - timedelta(days=1)
    return next_history(history, judgement, HEALTHY, rdap_answered_at=yesterday, now=NOON)


def test_failures_are_counted_in_a_row() -> None:
    first = after(History(), "NULL_MX")
    assert first == History(
        consecutive_failures=1,
        first_failure_at=NOON,
        failure=Failure.DEAD,
        last_rdap_ok_at=NOON - timedelta(days=1),
    )
    again = after(replace(first, first_failure_at=VERIFIED), "MX_UNROUTABLE")
    assert (again.consecutive_failures, again.first_failure_at) == (2, VERIFIED)


def test_a_fault_breaks_a_row_of_dead_answers() -> None:
    dead = failing(2, timedelta(days=9), Failure.DEAD)
    broken = after(dead, DnsFault.SERVFAIL.value, Verdict.UNKNOWN)
    assert (broken.consecutive_failures, broken.failure) == (1, Failure.FAULT)
    assert after(broken, "NULL_MX").consecutive_failures == 1


def test_a_working_domain_ends_the_row() -> None:
    history = after(failing(2, timedelta(days=9), Failure.DEAD), "OK", Verdict.HEALTHY)
    assert (history.consecutive_failures, history.first_failure_at, history.failure) == (0, None, None)
    assert history.last_healthy_at == NOON


def test_a_registry_without_an_answer_leaves_the_last_one_standing() -> None:
    judgement = Judgement(Verdict.HEALTHY, "OK_RDAP_UNAVAILABLE", NOON)
    silent = seen(rdap=silent_registry())
    history = next_history(QUIET, judgement, silent, rdap_answered_at=NOON, now=NOON)
    assert history.last_rdap_ok_at == QUIET.last_rdap_ok_at


def test_evidence_survives_being_stored() -> None:
    half = (*HEALTHY.dns.mail_hosts, MailHost(name="mx2.provider.net"))
    for dns in (replace(HEALTHY.dns, mail_hosts=half), DnsEvidence(fault=DnsFault.BOGUS)):
        assert DnsEvidence.from_json(dns.as_json()) == dns
    for rdap in (HEALTHY.rdap, RdapEvidence(outcome=RdapOutcome.UNAVAILABLE, retry_after_seconds=60)):
        assert RdapEvidence.from_json(rdap.as_json()) == rdap
