"""What was seen of a mail domain: the words in which `adapters` report and `policy` judges.

A fault ("did not answer") is evidence like any other; nothing here is an opinion. Times are aware UTC.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import Any

from authsvc.core.domain_names import registrable_domain

MAX_NAME = 253  # characters of a name in DNS


class DnsFault(StrEnum):
    """Why DNS gave no usable answer."""

    SERVFAIL = "DNS_SERVFAIL"  # also REFUSED and the like
    TIMEOUT = "DNS_TIMEOUT"
    BOGUS = "DNSSEC_BOGUS"
    INCONSISTENT = "DNS_INCONSISTENT"  # the name exists for one type and not for another
    DISAGREE = "RESOLVERS_DISAGREE"
    OURS = "OWN_RESOLVERS_FAIL"  # they answer known names wrongly: what they say of others is no evidence


@dataclass(frozen=True, kw_only=True)
class MailHost:
    """One host that takes mail for the domain, and where it lives; without addresses it cannot be reached."""

    name: str
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DnsEvidence:
    """What DNS says about where mail for a domain goes. With a `fault` the other fields say nothing."""

    fault: DnsFault | None = None
    exists: bool = True  # false: NXDOMAIN
    null_mx: bool = False  # RFC 7505
    implicit_mx: bool = False  # no MX; the domain's own address takes the mail (RFC 5321, 5.1)
    mail_hosts: tuple[MailHost, ...] = ()
    name_servers: tuple[str, ...] = ()  # of the registrable domain
    missing: tuple[str, ...] = ()  # registrable domains of name servers and dead mail hosts that DNS does not know

    def as_json(self) -> dict[str, Any]:
        """Values that JSON can hold; `from_json` reads them back."""
        hosts = [{"name": host.name, "addresses": list(host.addresses)} for host in self.mail_hosts]
        plain = {"mail_hosts": hosts, "name_servers": list(self.name_servers), "missing": list(self.missing)}
        return {**asdict(self), "fault": self.fault.value if self.fault else None, **plain}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "DnsEvidence":
        """Read back what `as_json` made."""
        values = dict(stored)
        values.update(
            fault=DnsFault(values["fault"]) if values["fault"] else None,
            mail_hosts=tuple(
                MailHost(name=host["name"], addresses=tuple(host["addresses"])) for host in values["mail_hosts"]
            ),
            name_servers=tuple(values["name_servers"]),
            missing=tuple(values.get("missing", ())),
        )
        return cls(**values)


class RdapOutcome(StrEnum):
    """How the question to the registry ended."""

    FOUND = "found"
    NOT_FOUND = "not_found"
    UNAVAILABLE = "unavailable"  # no answer, refused, or not what it should be
    NO_SERVICE = "no_service"  # no registry to ask: private suffix, or a TLD without RDAP


@dataclass(frozen=True, kw_only=True)
class RdapEvidence:
    """What the registry says about the registrable domain (RFC 9083). Without FOUND it says nothing."""

    outcome: RdapOutcome
    detail: str = ""  # why there is no answer, for operators
    retry_after_seconds: int | None = None
    statuses: frozenset[str] = frozenset()  # lower case, without spaces
    registered_at: datetime | None = None  # the latest registration or re-registration
    expires_at: datetime | None = None
    transferred_at: datetime | None = None
    handle: str = ""
    registrar: str = ""
    name_servers: tuple[str, ...] = ()
    overdue: bool = False  # an earlier answer: the registry should have been asked anew, and could not be

    def as_json(self) -> dict[str, Any]:
        """Values that JSON can hold; `from_json` reads them back."""
        times = {name: value.isoformat() for name, value in self._times().items()}
        plain = {"statuses": sorted(self.statuses), "name_servers": list(self.name_servers)}
        return {**asdict(self), "outcome": self.outcome.value, **plain, **times}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "RdapEvidence":
        """Read back what `as_json` made."""
        values = dict(stored)
        for name in _TIMES:
            values[name] = datetime.fromisoformat(values[name]) if values[name] else None
        values.update(
            outcome=RdapOutcome(values["outcome"]),
            statuses=frozenset(values["statuses"]),
            name_servers=tuple(values["name_servers"]),
        )
        return cls(**values)

    def _times(self) -> dict[str, datetime]:
        return {name: value for name in _TIMES if (value := getattr(self, name)) is not None}


_TIMES = tuple(f.name for f in fields(RdapEvidence) if f.name.endswith("_at"))


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that one look at a mail domain found."""

    domain: str  # A-label
    dns: DnsEvidence
    rdap: RdapEvidence
    hosts_rdap: Mapping[str, RdapEvidence] = field(default_factory=dict)  # by registrable domain of the mail hosts


@dataclass(frozen=True, kw_only=True)
class DomainLists:
    """Domains known for what they are used for, as A-labels; a name below one counts as well."""

    parking: frozenset[str] = frozenset()  # of name servers at companies that sell or park domains
    disposable: frozenset[str] = frozenset()  # of mailboxes anybody may read


def host_domains(domain: str, dns: DnsEvidence) -> frozenset[str]:
    """Registrable domains of the hosts that take mail for `domain`, other than its own.

    Odd octets are written out, so a hostile name can be longer than any that somebody could register.
    """
    found = (registrable_domain(host.name) for host in dns.mail_hosts)
    own = registrable_domain(domain)
    return frozenset(name for name in found if name is not None and name != own and len(name) <= MAX_NAME)


@dataclass(frozen=True)
class Place:
    """Where an IP address is, as far as a GeoIP file says. Empty where nothing is known."""

    country: str = ""  # ISO 3166-1 alpha-2
    words: str = ""  # "Oslo, Norway"
