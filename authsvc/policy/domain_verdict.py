"""Domain verdict: what do these DNS and registry answers say about the domain of an address?

Evidence in, verdict out. `domains` gathers the evidence and stores the verdict. A broken resolver or
registry is never a lapse: it makes the verdict unknown.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from authsvc.core.domain_names import registrable_domain
from authsvc.core.evidence import DnsFault, DomainLists, Evidence, MailHost, RdapOutcome

# Registry clocks and time zones differ by hours, and some registries give only a date.
REGISTRATION_SLACK = timedelta(hours=24)
CONFIRM_FAILURES = 3  # looks in a row before a failure means lapsed…
CONFIRM_AFTER = timedelta(hours=48)  # …the first of them at least so long ago
FAULT_SUSPECT_AFTER = timedelta(days=7)  # DNS without a usable answer for so long is suspect
RECHECK_SOON = timedelta(hours=1)
RECHECK_OFTEN = timedelta(hours=6)
RECHECK_DAILY = timedelta(hours=24)

EXPIRED_STATUSES = frozenset({"redemptionperiod", "pendingrestore", "pendingdelete"})
# The registry took the name out of the zone.
HOLD_STATUSES = {"serverhold": "SERVER_HOLD", "clienthold": "CLIENT_HOLD"}
DEAD_REASONS = frozenset(HOLD_STATUSES.values()) | {
    "NXDOMAIN",
    "NXDOMAIN_BUT_REGISTERED",
    "NULL_MX",
    "NO_MX_NO_ADDRESS",
    "MX_HOST_NXDOMAIN",
    "MX_UNROUTABLE",
}
MX_HOST_DOMAIN_LAPSED = "MX_HOST_DOMAIN_LAPSED"
NO_LISTS = DomainLists()
PRIVATE_NETWORKS = tuple(map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")))


class Verdict(StrEnum):
    """What we think of a mail domain."""

    HEALTHY = "healthy"
    SUSPECT = "suspect"
    LAPSED = "lapsed"
    REREGISTERED = "reregistered"
    UNKNOWN = "unknown"


class Impact(StrEnum):
    """How much hangs on the account; high asks for fresher registry data."""

    NORMAL = "normal"
    HIGH = "high"


RDAP_FRESH = {Impact.NORMAL: timedelta(days=35), Impact.HIGH: timedelta(days=7)}


class Failure(StrEnum):
    """The kinds of failure that are counted in a row. One kind does not confirm the other."""

    FAULT = "fault"  # no usable answer; never a lapse
    DEAD = "dead"  # a clear answer that mail cannot arrive


@dataclass(frozen=True, kw_only=True)
class History:
    """Earlier looks at the domain, not counting the present one."""

    consecutive_failures: int = 0
    first_failure_at: datetime | None = None
    failure: Failure | None = None  # kind of those failures; None: not known, stands for any
    last_healthy_at: datetime | None = None
    last_rdap_ok_at: datetime | None = None  # last usable answer of the registry


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """What was seen when the owner last proved the address. Empty: never known."""

    mx: frozenset[str] = frozenset()
    ns: frozenset[str] = frozenset()
    registered_at: datetime | None = None
    expires_at: datetime | None = None
    registrar: str = ""
    handle: str = ""

    @classmethod
    def of(cls, evidence: Evidence) -> "Baseline":
        """The baseline that this look would make."""
        dns, rdap = evidence.dns, evidence.rdap
        return cls(
            mx=frozenset() if dns.implicit_mx else frozenset(host.name for host in dns.mail_hosts),
            ns=frozenset(dns.name_servers),
            registered_at=rdap.registered_at,
            expires_at=rdap.expires_at,
            registrar=rdap.registrar,
            handle=rdap.handle,
        )


@dataclass(frozen=True)
class Judgement:
    """A verdict, the one reason code that decided, and when to look again."""

    verdict: Verdict
    reason: str
    recheck_at: datetime


@dataclass(frozen=True, kw_only=True)
class _Case:
    """All that a rule may look at."""

    evidence: Evidence
    history: History
    baseline: Baseline
    verified_at: datetime | None
    impact: Impact
    lists: DomainLists
    now: datetime

    def confirmed(self, kind: Failure) -> bool:
        """True when this failure is one of at least three of its kind in a row over two days."""
        began = self.failing_since(kind)
        failures = self.history.consecutive_failures + 1
        return began is not None and failures >= CONFIRM_FAILURES and self.now - began >= CONFIRM_AFTER

    def failing_since(self, kind: Failure) -> datetime | None:
        """When the run of failures of this kind began; None when the present one is the first."""
        same_kind = self.history.failure in (None, kind)
        return self.history.first_failure_at if same_kind and self.history.consecutive_failures else None

    @property
    def ns_moved(self) -> bool:
        return moved(self.baseline.ns, self.evidence.dns.name_servers)

    @property
    def mx_moved(self) -> bool:
        return moved(self.baseline.mx, (host.name for host in self.evidence.dns.mail_hosts))


Finding = tuple[Verdict, str]


def judge(
    evidence: Evidence,
    history: History,
    baseline: Baseline,
    *,
    verified_at: datetime | None,
    impact: Impact,
    lists: DomainLists = NO_LISTS,
    now: datetime,
) -> Judgement:
    """Judge a mail domain as seen from one address; `verified_at` None judges it for nobody in particular.

    Rules run top to bottom; the first that applies decides. Raises nothing. Source: POLICY 8 and the rules of
    docs/domain-scenarios.md, by the same numbers.
    """
    case = _Case(
        evidence=evidence,
        history=history,
        baseline=baseline,
        verified_at=verified_at,
        impact=impact,
        lists=lists,
        now=now,
    )
    findings = (rule(case) for rule in RULES)
    healthy = (Verdict.HEALTHY, _why_healthy(case))
    verdict, reason = next((found for found in findings if found is not None), healthy)
    return Judgement(verdict, reason, now + _recheck_after(case, verdict))


def next_history(
    history: History, judgement: Judgement, evidence: Evidence, *, rdap_answered_at: datetime, now: datetime
) -> History:
    """The history once this look counts as well. `rdap_answered_at`: when the registry's answer was given.

    A fault of our own resolvers neither counts nor ends a run.
    """
    failure = _failure_of(judgement.reason)
    rdap_answered = evidence.rdap.outcome is RdapOutcome.FOUND
    if evidence.dns.fault is DnsFault.OURS:
        return replace(history, last_rdap_ok_at=rdap_answered_at) if rdap_answered else history
    same_run = failure is not None and history.failure in (None, failure) and history.consecutive_failures > 0
    return History(
        consecutive_failures=0 if failure is None else history.consecutive_failures + 1 if same_run else 1,
        first_failure_at=None if failure is None else history.first_failure_at if same_run else now,
        failure=failure,
        last_healthy_at=now if judgement.verdict is Verdict.HEALTHY else history.last_healthy_at,
        last_rdap_ok_at=rdap_answered_at if rdap_answered else history.last_rdap_ok_at,
    )


def _registry_answers(case: _Case) -> Finding | None:
    """Rule 1: the registry knows the name, and what it says settles the matter."""
    rdap = case.evidence.rdap
    if rdap.outcome is not RdapOutcome.FOUND:
        return None
    if rdap.registered_at is not None:
        if case.verified_at is not None and rdap.registered_at > case.verified_at + REGISTRATION_SLACK:
            return Verdict.REREGISTERED, "REGISTERED_AFTER_VERIFICATION"
    elif rdap.handle and case.baseline.handle and rdap.handle != case.baseline.handle:
        everything_moved = case.ns_moved and case.mx_moved
        return Verdict.REREGISTERED if everything_moved else Verdict.SUSPECT, "HANDLE_CHANGED"
    if rdap.statuses & {"redemptionperiod", "pendingrestore"}:
        return Verdict.LAPSED, "REDEMPTION_PERIOD"
    if "pendingdelete" in rdap.statuses:
        return Verdict.LAPSED, "PENDING_DELETE"
    for status, reason in HOLD_STATUSES.items():
        if status in rdap.statuses:
            return Verdict.LAPSED if case.confirmed(Failure.DEAD) else Verdict.SUSPECT, reason
    return None


def _registry_knows_nothing(case: _Case) -> Finding | None:
    """Rule 2: the registry says there is no such name. Two sources that agree need no waiting."""
    dns = case.evidence.dns
    if case.evidence.rdap.outcome is not RdapOutcome.NOT_FOUND or dns.fault is not None:
        return None
    if not dns.exists:
        return Verdict.LAPSED, "NOT_REGISTERED"
    return Verdict.UNKNOWN, "RDAP_DNS_CONFLICT"


def _a_mail_host_changed_hands(case: _Case) -> Finding | None:
    """Rule 3: whoever holds the domain of one mail host reads mail, whatever its preference."""
    hosts, then = case.evidence.hosts_rdap, {registrable_domain(name) for name in case.baseline.mx}
    if lapsed_host(case.evidence) is not None:
        return Verdict.LAPSED, MX_HOST_DOMAIN_LAPSED
    registered = [rdap.registered_at for name, rdap in hosts.items() if name in then and rdap.registered_at is not None]
    if case.verified_at is not None and any(at > case.verified_at + REGISTRATION_SLACK for at in registered):
        return Verdict.REREGISTERED, "MX_HOST_DOMAIN_REREGISTERED"
    return None


def lapsed_host(evidence: Evidence) -> str | None:
    """The first mail host's domain that is free, or has expired."""
    for name, rdap in evidence.hosts_rdap.items():
        free = rdap.outcome is RdapOutcome.NOT_FOUND and name in evidence.dns.missing
        if free or rdap.statuses & EXPIRED_STATUSES:
            return name
    return None


def _dns_gave_no_answer(case: _Case) -> Finding | None:
    """Rule 4: DNS gave no usable answer. It may be our own fault, so never a lapse."""
    fault = case.evidence.dns.fault
    if fault is None:
        return None
    since = None if fault is DnsFault.OURS else case.failing_since(Failure.FAULT)
    too_long = since is not None and case.now - since >= FAULT_SUSPECT_AFTER
    return Verdict.SUSPECT if too_long else Verdict.UNKNOWN, fault.value


def _mail_cannot_arrive(case: _Case) -> Finding | None:
    """Rule 5: DNS says clearly that mail cannot be delivered. Lapsed once confirmed."""
    dns = case.evidence.dns
    addresses = [ip_address(address) for host in dns.mail_hosts for address in host.addresses]
    if not dns.exists:
        found = case.evidence.rdap.outcome is RdapOutcome.FOUND
        reason = "NXDOMAIN_BUT_REGISTERED" if found else "NXDOMAIN"
    elif dns.null_mx:
        reason = "NULL_MX"
    elif not dns.mail_hosts:
        reason = "NO_MX_NO_ADDRESS"
    elif not addresses:
        reason = "MX_HOST_NXDOMAIN"
    elif all(map(_is_unroutable, addresses)):
        reason = "MX_UNROUTABLE"
    else:
        return None
    return Verdict.LAPSED if case.confirmed(Failure.DEAD) else Verdict.SUSPECT, reason


def _something_moved(case: _Case) -> Finding | None:
    """Rule 6: mail works, but not where it did when the owner proved the address, or where nobody should rest on it."""
    rdap, baseline = case.evidence.rdap, case.baseline
    usable = rdap.outcome is RdapOutcome.FOUND and not rdap.overdue
    if case.ns_moved and "autorenewperiod" in rdap.statuses:
        return Verdict.SUSPECT, "AUTO_RENEW_NS_CHANGED"
    if any(_is_listed(name, case.lists.parking) for name in case.evidence.dns.name_servers):
        return Verdict.SUSPECT, "PARKED"
    if case.ns_moved and case.mx_moved:
        if not usable:
            return Verdict.SUSPECT, "NS_AND_MX_CHANGED"
        expiry, verified = baseline.expires_at, case.verified_at
        if expiry is not None and verified is not None and verified < expiry < case.now:
            return Verdict.SUSPECT, "CHANGED_ACROSS_EXPIRY"
    if baseline.mx and case.evidence.dns.implicit_mx:
        return Verdict.SUSPECT, "MX_DROPPED"
    if _is_listed(case.evidence.domain, case.lists.disposable):
        return Verdict.SUSPECT, "DISPOSABLE_DOMAIN"
    return None


def _registry_is_silent(case: _Case) -> Finding | None:
    """Rule 7: the registry gave no usable answer now, or could not be asked; how old is the last one?"""
    rdap = case.evidence.rdap
    if rdap.outcome is not RdapOutcome.UNAVAILABLE and not rdap.overdue:
        return None
    last = case.history.last_rdap_ok_at
    if last is not None and case.now - last < RDAP_FRESH[case.impact]:
        return Verdict.HEALTHY, "OK_RDAP_UNAVAILABLE"
    return Verdict.UNKNOWN, "RDAP_STALE"


RULES = (
    _registry_answers,
    _registry_knows_nothing,
    _a_mail_host_changed_hands,
    _dns_gave_no_answer,
    _mail_cannot_arrive,
    _something_moved,
    _registry_is_silent,
)


def _failure_of(reason: str) -> Failure | None:
    if reason in frozenset(DnsFault):
        return Failure.FAULT
    return Failure.DEAD if reason in DEAD_REASONS else None


def _why_healthy(case: _Case) -> str:
    """Rule 8: healthy, with the first remark that fits."""
    dns, rdap = case.evidence.dns, case.evidence.rdap
    remarks = (
        (rdap.outcome is RdapOutcome.NO_SERVICE, "OK_NO_RDAP"),
        ("autorenewperiod" in rdap.statuses, "OK_AUTO_RENEW"),
        (not all(map(works, dns.mail_hosts)), "OK_PARTIAL_MX"),
        (case.ns_moved or case.mx_moved, "OK_MOVED"),
        (dns.implicit_mx, "OK_IMPLICIT_MX"),
        (rdap.registered_at is None, "OK_NO_REGISTRATION_DATE"),
    )
    return next((reason for fits, reason in remarks if fits), "OK")


def _recheck_after(case: _Case, verdict: Verdict) -> timedelta:
    not_asked = case.evidence.rdap.overdue and case.evidence.dns.fault is None  # many wait for that registry's turn
    if verdict is Verdict.UNKNOWN and not not_asked:
        return RECHECK_SOON
    if verdict in {Verdict.UNKNOWN, Verdict.SUSPECT} or case.impact is Impact.HIGH:
        return RECHECK_OFTEN
    return RECHECK_DAILY


def moved(before: frozenset[str], now: Iterable[str]) -> bool:
    """True when the servers of both times are known and share no registrable domain; inside a company is no move."""
    then, seen = ({registrable_domain(name) or name for name in names} for names in (before, now))
    return bool(then) and bool(seen) and not then & seen


def _is_listed(name: str, listed: frozenset[str]) -> bool:
    """True for a listed domain and every name below one."""
    labels = name.split(".")
    return any(".".join(labels[at:]) in listed for at in range(len(labels)))


def works(host: MailHost) -> bool:
    """True when the host has an address that leads somewhere on the Internet."""
    return any(not _is_unroutable(ip_address(address)) for address in host.addresses)


def _is_unroutable(address: IPv4Address | IPv6Address) -> bool:
    """True for addresses that lead nowhere on the Internet."""
    plain = (isinstance(address, IPv6Address) and address.ipv4_mapped) or address
    return (
        plain.is_loopback
        or plain.is_link_local
        or plain.is_unspecified
        or any(plain in network for network in PRIVATE_NETWORKS)
    )
