"""DNS: where does mail for a domain go, and does the domain exist? Asks recursive resolvers with dnspython.

Every question is one packet whose answer code is looked at here, because `dns.resolver` folds SERVFAIL,
REFUSED and bogus into one exception. A fault is evidence, never an exception.
"""

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.resolver

from authsvc.core.domain_names import registrable_domain
from authsvc.core.evidence import DnsEvidence, DnsFault, MailHost

TRY_SECONDS = 1.0
LOOK_UP_SECONDS = 3.0  # for one look-up in all
TRIES = 2
MAX_MAIL_HOSTS = 20  # nobody has more; a hostile domain could
MAX_NAME_SERVERS = 20
MAX_ALIASES = 8
EDNS_PAYLOAD = 1232  # bytes; larger answers come over TCP (DNS flag day 2020)
# Extended errors that mean "the signatures do not hold" (RFC 8914, 4.7 to 4.13).
BOGUS_CODES = frozenset(range(6, 13))


@dataclass(frozen=True)
class _Answer:
    """A usable answer: whether the name exists, and its records of the type asked for."""

    exists: bool
    records: tuple[Any, ...] = ()


class DnsClient:
    """Looks mail domains up through one resolver, or two of which the second confirms the first."""

    def __init__(
        self,
        resolvers: str = "",
        *,
        try_seconds: float = TRY_SECONDS,
        look_up_seconds: float = LOOK_UP_SECONDS,
    ) -> None:
        """`resolvers`: comma-separated `host:port`, hosts as IP addresses; empty: the system's.

        Raises ValueError for anything else.
        """
        self._resolvers = tuple(_address(part) for part in resolvers.split(",") if part.strip())
        self._try_seconds = try_seconds
        self._look_up_seconds = look_up_seconds

    @property
    def resolvers(self) -> str:
        """Who is asked, as text."""
        return ",".join(f"{host}:{port}" for host, port in self._asked())

    def _asked(self) -> tuple[tuple[str, int], ...]:
        return (self._resolvers or _system_resolvers())[:2]

    def ask_canary(self, name: str) -> str:
        """What every resolver says of a name: `exists`, `missing`, a DnsFault, or `differ`. Raises nothing."""
        deadline = time.monotonic() + self._look_up_seconds
        said = {_Look(resolver, deadline, self._try_seconds).presence_of(name) for resolver in self._asked()}
        return said.pop() if len(said) == 1 else "differ"

    def look_up(self, domain: str) -> DnsEvidence:
        """What the resolvers say about mail for this A-label name. Raises nothing."""
        deadline = time.monotonic() + self._look_up_seconds
        resolvers = self._asked()
        if not resolvers:
            return DnsEvidence(fault=DnsFault.TIMEOUT)
        looks = [_Look(resolver, deadline, self._try_seconds) for resolver in resolvers]
        with ThreadPoolExecutor(len(looks)) as pool:
            return _agreed(list(pool.map(lambda look: look.mail_of(domain), looks)))

    def txt(self, name: str) -> frozenset[str] | DnsFault:
        """The texts at exactly this A-label name that every resolver sees; a fault where one gives no answer.

        Aliases are not followed: whoever holds what one points at would speak for the name. Raises nothing.
        """
        deadline = time.monotonic() + self._look_up_seconds
        texts: list[frozenset[str]] = []
        for resolver in (self._resolvers or _system_resolvers())[:2]:
            seen = _Look(resolver, deadline, self._try_seconds).texts_at(name)
            if isinstance(seen, DnsFault):
                return seen
            texts.append(seen)
        return frozenset.intersection(*texts) if texts else DnsFault.TIMEOUT


def _agreed(seen: list[DnsEvidence]) -> DnsEvidence:
    """One evidence from what each resolver saw. That mail cannot arrive must be said by all of them."""
    answers = [evidence for evidence in seen if evidence.fault is None]
    if not answers:
        return seen[0]
    if len({_essence(evidence) for evidence in answers}) > 1:
        return DnsEvidence(fault=DnsFault.DISAGREE)
    if len(answers) < len(seen) and not any(host.addresses for host in answers[0].mail_hosts):
        return next(evidence for evidence in seen if evidence.fault is not None)
    missing = frozenset(answers[0].missing).intersection(*(evidence.missing for evidence in seen))
    return replace(answers[0], missing=tuple(sorted(missing)))


def _essence(evidence: DnsEvidence) -> tuple[object, ...]:
    """What two resolvers must agree on. Addresses differ by place and name servers by cache."""
    names = frozenset(host.name for host in evidence.mail_hosts)
    reachable = any(host.addresses for host in evidence.mail_hosts)
    return evidence.exists, evidence.null_mx, names, reachable


class _Fault(Exception):
    """Ends a look at the first question without a usable answer."""

    def __init__(self, fault: DnsFault) -> None:
        super().__init__(fault)
        self.fault = fault


class _Look:
    """One look at one domain through one resolver."""

    def __init__(self, resolver: tuple[str, int], deadline: float, try_seconds: float) -> None:
        self._host, self._port = resolver
        self._deadline = deadline
        self._try_seconds = try_seconds

    def mail_of(self, domain: str) -> DnsEvidence:
        """All that is asked about a mail domain, in order."""
        try:
            mx = self._ask(domain, "MX")
            zone = registrable_domain(domain) or domain
            ns = self._ask(zone, "NS")
            own = _Answer(mx.exists)
            if not mx.records:  # the domain's own address counts, and confirms that there is none
                own = self._addresses(domain)
            zone_contradicts = mx.exists != ns.exists and (mx.exists or zone == domain)
            if zone_contradicts or mx.exists != own.exists:
                raise _Fault(DnsFault.INCONSISTENT)
            targets = _targets(mx.records)
            if mx.records:
                hosts = self._hosts(targets)
            else:
                hosts = (MailHost(name=domain, addresses=own.records),) if own.records else ()
        except _Fault as stopped:
            return DnsEvidence(fault=stopped.fault)
        name_servers = tuple(sorted(_text(record.target) for record in ns.records))
        return DnsEvidence(
            exists=mx.exists,
            null_mx=bool(mx.records) and not targets,
            implicit_mx=not mx.records and bool(hosts),
            mail_hosts=hosts,
            name_servers=name_servers,
            missing=self._missing(zone, hosts, name_servers),
        )

    def presence_of(self, name: str) -> str:
        """Whether a name is there: `exists`, `missing`, or the fault that kept it from being known."""
        try:
            return "exists" if self._ask(name, "A").exists else "missing"
        except _Fault as stopped:
            return stopped.fault.value

    def texts_at(self, name: str) -> frozenset[str] | DnsFault:
        """The texts of the TXT records whose owner is the name itself."""
        at = dns.name.from_text(name)
        try:
            response = self._exchange(dns.message.make_query(at, "TXT", use_edns=0, payload=EDNS_PAYLOAD))
        except _Fault as stopped:
            return stopped.fault
        found = response.get_rrset(response.answer, at, dns.rdataclass.IN, dns.rdatatype.TXT)
        return frozenset(b"".join(record.strings).decode("utf-8", "replace") for record in found or ())

    def _missing(self, own: str, hosts: Iterable[MailHost], name_servers: Iterable[str]) -> tuple[str, ...]:
        """Registrable domains of servers that do not exist, other than `own`; a fault is no sign of that."""
        names = [host.name for host in hosts if not host.addresses] + list(name_servers)[:MAX_NAME_SERVERS]
        domains = {registrable_domain(name) for name in names} - {own}
        return tuple(sorted(name for name in domains if name is not None and self._is_missing(name)))

    def _is_missing(self, name: str) -> bool:
        try:
            return not self._ask(name, "NS").exists
        except _Fault:
            return False

    def _hosts(self, names: Iterable[str]) -> tuple[MailHost, ...]:
        """The mail hosts with their addresses. A fault counts only when no host is known to have any."""
        hosts: list[MailHost] = []
        fault: DnsFault | None = None
        for name in names:
            try:
                hosts.append(MailHost(name=name, addresses=self._addresses(name).records))
            except _Fault as stopped:
                fault = fault or stopped.fault
                hosts.append(MailHost(name=name))
        if fault is not None and not any(host.addresses for host in hosts):
            raise _Fault(fault)
        return tuple(hosts)

    def _addresses(self, name: str) -> _Answer:
        """The IP addresses of a name, as text."""
        v4, v6 = self._ask(name, "A"), self._ask(name, "AAAA")
        if v4.exists != v6.exists:
            raise _Fault(DnsFault.INCONSISTENT)
        return _Answer(v4.exists, tuple(record.address for record in (*v4.records, *v6.records)))

    def _ask(self, name: str, kind: str) -> _Answer:
        """One question, following aliases the resolver left unresolved. Raises _Fault."""
        at = dns.name.from_text(name)
        for _ in range(MAX_ALIASES):
            response = self._exchange(dns.message.make_query(at, kind, use_edns=0, payload=EDNS_PAYLOAD))
            try:
                chain = response.resolve_chaining()
            except dns.exception.DNSException as error:  # a loop of aliases
                raise _Fault(DnsFault.SERVFAIL) from error
            if chain.answer is not None:
                return _Answer(True, tuple(chain.answer))
            missing = response.rcode() == dns.rcode.NXDOMAIN
            if missing or not chain.cnames:  # an alias that leads nowhere exists itself
                return _Answer(not missing or bool(chain.cnames) or at != dns.name.from_text(name))
            at = chain.canonical_name
        raise _Fault(DnsFault.SERVFAIL)

    def _exchange(self, query: dns.message.QueryMessage) -> dns.message.QueryMessage:
        """Send a query, once more after a fault; over TCP when the answer is truncated. Raises _Fault."""
        fault = DnsFault.TIMEOUT
        for _ in range(TRIES):
            seconds = min(self._try_seconds, self._deadline - time.monotonic())
            if seconds <= 0:
                break
            try:
                response, _tcp = dns.query.udp_with_fallback(
                    query, self._host, seconds, self._port, ignore_unexpected=True, ignore_errors=True
                )
            except dns.exception.Timeout:
                fault = DnsFault.TIMEOUT
            except (dns.exception.DNSException, OSError, EOFError):
                fault = DnsFault.SERVFAIL
            else:
                usable = response.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN)
                if usable and isinstance(response, dns.message.QueryMessage):
                    return response
                fault = DnsFault.BOGUS if _is_bogus(response) else DnsFault.SERVFAIL
        raise _Fault(fault)


def _targets(records: Iterable[Any]) -> tuple[str, ...]:
    """Names of the mail hosts, best first, without the null target that alone says "no mail"."""
    ordered = sorted(records, key=lambda record: (record.preference, record.exchange))
    names = [_text(record.exchange) for record in ordered if record.exchange != dns.name.root]
    return tuple(dict.fromkeys(names))[:MAX_MAIL_HOSTS]


def _is_bogus(response: dns.message.Message) -> bool:
    return any(isinstance(o, dns.edns.EDEOption) and o.code in BOGUS_CODES for o in response.options)


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()


def _address(text: str) -> tuple[str, int]:
    """`host:port` as a pair. Raises ValueError."""
    parts = urlsplit(f"//{text.strip()}")
    host = str(ip_address(parts.hostname or ""))
    if parts.path or parts.query:
        raise ValueError(f"not host:port: {text!r}")
    return host, parts.port or 53


def _system_resolvers() -> tuple[tuple[str, int], ...]:
    try:
        system = dns.resolver.Resolver()
    except dns.exception.DNSException:  # no configuration on this machine
        return ()
    return tuple((str(server), system.port) for server in system.nameservers)
