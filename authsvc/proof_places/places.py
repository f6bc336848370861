"""Kinds of places: what an owner may name, where exactly the line goes, and how it is fetched."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from authsvc import adapters
from authsvc.adapters import HttpFault
from authsvc.core import crypto
from authsvc.core.domain_names import InvalidDomain, mail_domain, registrable_domain
from authsvc.core.evidence import DnsFault
from authsvc.core.web import settings
from authsvc.policy.proof_place import Kind, Reason

TXT_LABEL = "_authsvc-proof"  # a name of its own: no wildcard for visitors' names is likely to cover it
MAX_PAGE_BYTES = 256 * 1024
# What forges count with. Names are given up and taken by others, numbers and UUIDs are not.
REPOSITORY_ID = re.compile(r"[1-9]\d{0,19}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
LOCATION_LENGTH = 500
HOST_LENGTH = 230  # with the label before it, within the 253 of DNS


class InvalidPlace(ValueError):
    """What was typed names no place that could be linked. The message says what to type instead."""


@dataclass(frozen=True, kw_only=True)
class Location:
    """A place, whoever linked it: `text` is a domain, a URL or a repository's id, `forge` the host of the latter."""

    kind: Kind
    text: str
    forge: str = ""

    @property
    def words(self) -> str:
        """The place in a sentence."""
        match self.kind:
            case Kind.DNS:
                return f"DNS of {self.text}"
            case Kind.WEB:
                return f"the page {self.text}"
            case Kind.REPOSITORY:
                return f"repository {self.text} at {self.forge}"

    @property
    def brief(self) -> str:
        """The same for mails, which carry no link that somebody else chose."""
        return f"a page at {self.domain}" if self.kind is Kind.WEB else self.words

    @property
    def instruction(self) -> str:
        """Where the line goes, as a sentence before it."""
        if self.kind is Kind.DNS:
            return f"Add a TXT record at {TXT_LABEL}.{self.text} with this text:"
        return f"Put this line where {self.url or self.words} shows it to everybody:"

    @property
    def url(self) -> str | None:
        """What is fetched; None for DNS, and for a forge that the settings do not know any more."""
        if self.kind is Kind.REPOSITORY:
            template = settings().forges.get(self.forge)
            return template and template.replace("{id}", self.text)
        return self.text if self.kind is Kind.WEB else None

    @property
    def domain(self) -> str | None:
        """The registrable domain whose holder can publish there."""
        host = self.text if self.kind is Kind.DNS else urlsplit(self.url or "").hostname
        return _registrable(host) if host else None


def new_token() -> str:
    """Something nobody publishes by chance. No secret: it proves who can publish, not who knows it."""
    return crypto.random_token()


def line(token: str) -> str:
    """What is published."""
    return f"authsvc-proof={token}"


def parse(kind: str, typed: str) -> Location:
    """The place an owner named; `kind` is `dns`, `web` or the host of a forge. Raises InvalidPlace."""
    if len(typed) > LOCATION_LENGTH:
        raise InvalidPlace(f"This is longer than {LOCATION_LENGTH} characters.")
    if kind in settings().forges:
        if not REPOSITORY_ID.fullmatch(typed):
            raise InvalidPlace(f"Type the id that {kind} gave the repository, not its name: names can change hands.")
        return Location(kind=Kind.REPOSITORY, text=typed, forge=kind)
    if kind == Kind.DNS.value:
        return Location(kind=Kind.DNS, text=_host(typed, "a domain such as example.org"))
    if kind == Kind.WEB.value:
        return Location(kind=Kind.WEB, text=_page(typed))
    raise InvalidPlace("Choose one of these kinds.")


def fetch(location: Location, token: str) -> Reason | None:
    """Look for the line at the place; None when it is there. Asks the network: call it outside of transactions."""
    if location.kind is Kind.DNS:
        records = adapters.current().dns.txt(f"{TXT_LABEL}.{location.text}")
        if isinstance(records, DnsFault):
            return Reason.UNREACHABLE
        return None if line(token) in records else Reason.NOT_FOUND
    if location.url is None:
        return Reason.UNREACHABLE
    try:  # no redirect is followed: the place is what was linked, not whatever it points at today
        answer = adapters.current().http.request("GET", location.url, max_bytes=MAX_PAGE_BYTES)
    except HttpFault:
        return Reason.UNREACHABLE
    if 300 <= answer.status < 400:
        return Reason.MOVED
    if answer.status != 200:
        return Reason.UNREACHABLE
    return None if line(token).encode() in answer.body else Reason.NOT_FOUND


def _page(typed: str) -> str:
    """A URL as it will be fetched. Raises InvalidPlace."""
    example = "an address such as https://example.org/about"
    try:
        parts = urlsplit(typed)
        port = parts.port
    except ValueError:
        raise InvalidPlace(f"Type {example}.") from None
    near = settings().allow_loopback_targets  # development: plain http and any port
    if parts.scheme != "https" and not (near and parts.scheme == "http"):
        raise InvalidPlace(f"Type {example}. It has to begin with https://.")
    if port is not None and not near:
        raise InvalidPlace("Type the address without a port.")
    if "@" in parts.netloc or parts.query or parts.fragment or not typed.isprintable() or " " in typed:
        raise InvalidPlace("Type the address of the page alone, without ?, # or @.")
    host = _host(parts.hostname or "", example)
    if _registrable(host) in {_registrable(forge) for forge in settings().forges}:
        raise InvalidPlace("Choose this forge above, and give the id of the repository: names there can change hands.")
    return f"{parts.scheme}://{host}{'' if port is None else f':{port}'}{parts.path or '/'}"


def _host(typed: str, example: str) -> str:
    """A name that somebody registered, or a name below one, as A-label. Raises InvalidPlace."""
    try:
        host = "" if "@" in typed else mail_domain(typed)
    except InvalidDomain:
        host = ""
    if not host or len(host) > HOST_LENGTH or _registrable(host) is None:
        raise InvalidPlace(f"Type {example}.")
    return host


def _registrable(host: str) -> str | None:
    return registrable_domain(host.removesuffix(".").lower())
