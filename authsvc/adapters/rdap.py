"""RDAP: what does the registry say about a domain (RFC 9082, 9083)? A fault is evidence, never an exception.

Servers come from the bootstrap file (RFC 9224), shipped and kept up to date by `domains`, or are one base URL for tests
and private mirrors. How often a registry may be asked is counted in `domains`, for all machines together.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

from authsvc.adapters.http import HttpAnswer, HttpClient, HttpFault
from authsvc.core.domain_names import InvalidDomain, mail_domain, registry_domain
from authsvc.core.evidence import RdapEvidence, RdapOutcome

MAX_BODY_BYTES = 256 * 1024  # real answers have 2 to 20 kB
MAX_BOOTSTRAP_BYTES = 1024 * 1024  # the real one has 60 kB
MAX_REDIRECTS = 3
MAX_WAIT = timedelta(hours=24)  # whatever a registry says
WAIT_UNLESS_TOLD = timedelta(minutes=1)  # after 429 and 503
MAX_TEXT = 200  # characters kept of a handle or registrar
YEARS = range(1980, 2200)  # others stand for "no date" at some registries, and cannot be reckoned with
ACCEPT = {"Accept": "application/rdap+json, application/json"}


class RdapClient:
    """Asks registries about registrable domains."""

    def __init__(self, http: HttpClient, base_url: str = "") -> None:
        """`base_url`: one server for every name; empty: the bootstrap file."""
        self._http = http
        self._base_url = base_url

    @property
    def bootstrapped(self) -> bool:
        """True when servers are found by the bootstrap file."""
        return not self._base_url

    def server_of(self, domain: str, newer: Mapping[str, str] | None = None) -> str:
        """Base URL of the registry of this A-label domain; empty where there is none to ask.

        `newer`: servers by top-level domain, from a later bootstrap file than the shipped one.
        """
        name = registry_domain(domain)
        if name is None:
            return ""
        return self._base_url or (newer or shipped_servers()).get(name.rpartition(".")[2], "")

    def look_up(self, domain: str, server: str | None = None) -> RdapEvidence:
        """What the registry of this A-label domain says about its registrable part. Raises nothing.

        `server`: what `server_of` said; None asks the one of the shipped file.
        """
        name, base = registry_domain(domain), self.server_of(domain) if server is None else server
        if name is None or not base:
            why = "no registry registers this name" if name is None else "no RDAP service is known"
            return RdapEvidence(outcome=RdapOutcome.NO_SERVICE, detail=why)
        try:
            answer = self._http.request(
                "GET",
                f"{base.rstrip('/')}/domain/{name}",
                headers=ACCEPT,
                own=bool(self._base_url),
                redirects=MAX_REDIRECTS,
                max_bytes=MAX_BODY_BYTES,
            )
        except HttpFault as fault:
            return RdapEvidence(outcome=RdapOutcome.UNAVAILABLE, detail=fault.reason)
        return _read(answer, name)


def _read(answer: HttpAnswer, name: str) -> RdapEvidence:
    if answer.status == 404:
        return RdapEvidence(outcome=RdapOutcome.NOT_FOUND)
    if answer.status != 200:
        told = retry_after(answer.headers)
        wait = WAIT_UNLESS_TOLD if told is None and answer.status in {429, 503} else told
        return RdapEvidence(
            outcome=RdapOutcome.UNAVAILABLE,
            detail=f"status {answer.status}",
            retry_after_seconds=None if wait is None else int(wait.total_seconds()),
        )
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        return RdapEvidence(outcome=RdapOutcome.UNAVAILABLE, detail="not JSON")
    if not isinstance(found, dict) or found.get("objectClassName") != "domain":
        return RdapEvidence(outcome=RdapOutcome.UNAVAILABLE, detail="not a domain object")
    if _plain(found.get("ldhName", name)) != name:
        return RdapEvidence(outcome=RdapOutcome.UNAVAILABLE, detail="about another domain")
    events = _events(found)
    return RdapEvidence(
        outcome=RdapOutcome.FOUND,
        statuses=frozenset("".join(s.lower().split()) for s in _list(found, "status") if isinstance(s, str)),
        registered_at=_latest(events, {"registration", "reregistration"}),
        expires_at=_latest(events, {"expiration"}),
        transferred_at=_latest(events, {"transfer"}),
        handle=_text(found.get("handle")),
        registrar=_registrar(found),
        name_servers=tuple(sorted(_plain(ns.get("ldhName")) for ns in _dicts(found, "nameservers"))),
    )


def _events(found: Mapping[str, Any]) -> list[tuple[str, datetime]]:
    """(action, instant) of every event whose date can be read."""
    pairs = ((e.get("eventAction"), _instant(e.get("eventDate"))) for e in _dicts(found, "events"))
    return [(action.lower(), at) for action, at in pairs if isinstance(action, str) and at is not None]


def _latest(events: Iterable[tuple[str, datetime]], actions: set[str]) -> datetime | None:
    return max((at for action, at in events if action in actions), default=None)


def _instant(text: object) -> datetime | None:
    """An RFC 3339 date as an instant; a date without zone or time is taken as UTC. None for one out of YEARS."""
    try:
        at = datetime.fromisoformat(text.strip().upper() if isinstance(text, str) else "")
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return at if at.year in YEARS else None


def _registrar(found: Mapping[str, Any]) -> str:
    """The registrar's name from its jCard (RFC 7095), else its handle."""
    for entity in _dicts(found, "entities"):
        if "registrar" not in _list(entity, "roles"):
            continue
        card = entity.get("vcardArray")
        lines = card[1] if isinstance(card, list) and len(card) == 2 and isinstance(card[1], list) else []
        for line in lines:
            if isinstance(line, list) and len(line) == 4 and line[0] == "fn":
                return _text(line[3])
        return _text(entity.get("handle"))
    return ""


def _list(found: Mapping[str, Any], key: str) -> list[Any]:
    value = found.get(key)
    return value if isinstance(value, list) else []


def _dicts(found: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    return [value for value in _list(found, key) if isinstance(value, dict)]


def _text(value: object) -> str:
    return value.strip()[:MAX_TEXT] if isinstance(value, str) else ""


def _plain(value: object) -> str:
    """A domain name as A-label without trailing dot; empty when it is none."""
    try:
        return mail_domain(value) if isinstance(value, str) else ""
    except InvalidDomain:
        return ""


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """How long an answer asks to be left alone, at most a day; None where it does not say (RFC 9110, 10.2.3).

    A date is compared with the answer's own, so that no clock but the server's counts.
    """
    told = headers.get("retry-after", "").strip()
    if told.isascii() and told.isdigit():
        return timedelta(seconds=min(int(told[:9]), MAX_WAIT.total_seconds()))
    try:
        until, said_at = (parsedate_to_datetime(text) for text in (told, headers.get("date", "")))
        return min(max(until - said_at, timedelta(0)), MAX_WAIT)
    except (ValueError, TypeError, OverflowError):  # no date, or only one of them has a zone
        return None


class UnusableBootstrap(Exception):
    """The text is no bootstrap file to rely on. The message says why, for operators."""


def read_bootstrap(text: bytes) -> dict[str, str]:
    """Base URL by top-level domain, from a bootstrap file: https only. Raises UnusableBootstrap. Source: RFC 9224."""
    servers: dict[str, str] = {}
    try:
        for tlds, urls in json.loads(text)["services"]:
            https = [
                url for url in urls if isinstance(url, str) and url.startswith("https://") and urlsplit(url).hostname
            ]
            servers.update({tld.lower(): https[0] for tld in tlds} if https else {})
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UnusableBootstrap(f"not in the format of RFC 9224: {error!r}") from error
    return servers


@cache
def shipped_servers() -> Mapping[str, str]:
    """What the shipped bootstrap file says."""
    return read_bootstrap(resources.files("authsvc.adapters").joinpath("rdap_bootstrap.json").read_bytes())


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """A bootstrap file as it was fetched, and what a later question for it says, to be answered only by a newer one."""

    servers: Mapping[str, str]
    etag: str
    modified: str


def fetch_bootstrap(http: HttpClient, url: str, *, etag: str, modified: str) -> Bootstrap | None:
    """The bootstrap file from this URL; None when it is still that of `etag` or `modified` (RFC 9110, 13.1).

    Raises HttpFault or UnusableBootstrap.
    """
    since = {"If-None-Match": etag, "If-Modified-Since": modified}
    answer = http.request(
        "GET",
        url,
        headers={"Accept": "application/json"} | {name: value for name, value in since.items() if value},
        own=True,
        redirects=MAX_REDIRECTS,
        max_bytes=MAX_BOOTSTRAP_BYTES,
    )
    if answer.status == 304:
        return None
    if answer.status != 200:
        raise UnusableBootstrap(f"status {answer.status}")
    told = {name: answer.headers.get(name, "") for name in ("etag", "last-modified")}
    kept = {name: value if len(value) <= MAX_TEXT else "" for name, value in told.items()}
    return Bootstrap(servers=read_bootstrap(answer.body), etag=kept["etag"], modified=kept["last-modified"])
