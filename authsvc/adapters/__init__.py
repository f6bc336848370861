"""The outside world: what each service promises, and the bundle of them that `create_app` receives.

Tests give the bundle other parts; `connect` makes the real ones from the settings.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Protocol

from flask import current_app

from authsvc.adapters.dns import DnsClient
from authsvc.adapters.dns_bulk import BulkDns
from authsvc.adapters.domain_lists import domain_lists, shipped_lists
from authsvc.adapters.geoip import GeoIpFile
from authsvc.adapters.hibp import BreachedPasswords
from authsvc.adapters.http import HttpAnswer, HttpClient, HttpFault
from authsvc.adapters.rdap import RdapClient
from authsvc.adapters.smtp import MailNotSent, MailTransport
from authsvc.core.config import Settings
from authsvc.core.evidence import DnsEvidence, DnsFault, DomainLists, Place, RdapEvidence

__all__ = [
    "Adapters",
    "Breaches",
    "Dns",
    "HttpAnswer",
    "HttpClient",
    "HttpFault",
    "Mail",
    "MailNotSent",
    "Places",
    "Rdap",
]


class Dns(Protocol):
    """Where does mail for a domain go, and which texts stand at a name?"""

    def look_up(self, domain: str) -> DnsEvidence:
        """Look at an A-label domain, within three seconds. Raises nothing: a fault is evidence."""
        ...

    @property
    def resolvers(self) -> str:
        """Who is asked, as text."""
        ...

    def ask_canary(self, name: str) -> str:
        """What every resolver says of a name: `exists`, `missing`, a DnsFault, or `differ`. Raises nothing."""
        ...

    def txt(self, name: str) -> frozenset[str] | DnsFault:
        """The texts published at exactly this name, within three seconds. Raises nothing."""
        ...


class Rdap(Protocol):
    """What does the registry say?"""

    @property
    def bootstrapped(self) -> bool:
        """True when servers are found by the bootstrap file, and not by a setting."""
        ...

    def server_of(self, domain: str, newer: Mapping[str, str] | None = None) -> str:
        """Base URL of the registry of an A-label domain, empty for none; `newer` stands for the shipped file."""
        ...

    def look_up(self, domain: str, server: str | None = None) -> RdapEvidence:
        """Ask about the registrable part of an A-label domain. Raises nothing: a fault is evidence."""
        ...


class Breaches(Protocol):
    """Which passwords were leaked?"""

    def count(self, password: str) -> int | None:
        """How often the password was seen in leaks; None when nobody answered."""
        ...


class Places(Protocol):
    """Where on earth is an address?"""

    def look_up(self, ip: str) -> Place:
        """The place of an IP address, at once; an empty one where nothing is known. Raises nothing."""
        ...


class Mail(Protocol):
    """Takes finished messages."""

    def send(self, message: EmailMessage) -> None:
        """Hand a message over to its recipients. Raises MailNotSent."""
        ...


@dataclass(frozen=True, kw_only=True)
class Adapters:
    """All services outside this process. Called between transactions, never inside one."""

    dns: Dns
    rdap: Rdap
    breaches: Breaches
    mail: Mail
    http: HttpClient
    places: Places = field(default_factory=GeoIpFile)
    lists: DomainLists = field(default_factory=shipped_lists)
    dns_bulk: BulkDns | None = None  # None: no fast path, every domain of a sweep is looked at by itself


def connect(settings: Settings) -> Adapters:
    """The real services, as the settings say. Raises ValueError for a setting that cannot be used."""
    http = HttpClient(allow_private=settings.allow_loopback_targets)
    return Adapters(
        dns=DnsClient(settings.dns_resolvers),
        dns_bulk=BulkDns(settings.dns_resolvers, in_flight=settings.dns_in_flight),
        rdap=RdapClient(http, settings.rdap_base_url),
        breaches=BreachedPasswords(
            HttpClient(allow_private=settings.allow_loopback_targets, total_seconds=3, idle_seconds=2),
            settings.hibp_base_url,
        ),
        mail=MailTransport(settings.smtp_url, settings.instance),
        http=http,
        places=GeoIpFile(settings.geoip_file),
        lists=domain_lists(parking=settings.parking_nameservers_file, disposable=settings.disposable_domains_file),
    )


def current() -> Adapters:
    """The services of the running app."""
    found: Adapters = current_app.extensions["authsvc.adapters"]
    return found
