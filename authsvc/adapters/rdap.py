"""RDAP: what does the registry say about a domain (RFC 9082, 9083)? A fault is evidence, never an exception.

Servers come from the shipped bootstrap file (RFC 9224), or one base URL for tests and private mirrors.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any

from authsvc.adapters.http import HttpAnswer, HttpClient, HttpFault
from authsvc.core.domain_names import InvalidDomain, mail_domain, registry_domain
from authsvc.core.evidence import RdapEvidence, RdapOutcome

MAX_BODY_BYTES = 256 * 1024  # real answers have 2 to 20 kB
MAX_REDIRECTS = 3
MAX_TEXT = 200  # characters kept of a handle or registrar
ACCEPT = {"Accept": "application/rdap+json, application/json"}


class RdapClient:
    """Asks registries about registrable domains."""

    def __init__(self, http: HttpClient, base_url: str = "") -> None:
        """`base_url`: one server for every name; empty: the bootstrap file."""
        self._http = http
        self._base_url = base_url

    def look_up(self, domain: str) -> RdapEvidence:
        """What the registry of this A-label domain says about its registrable part. Raises nothing."""
        name = registry_domain(domain)
        if name is None:
            return RdapEvidence(outcome=RdapOutcome.NO_SERVICE, detail="no registry registers this name")
        base = self._base_url or _servers().get(name.rpartition(".")[2])
        if not base:
            return RdapEvidence(outcome=RdapOutcome.NO_SERVICE, detail="no RDAP service is known")
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
        wait = answer.headers.get("retry-after", "")
        return RdapEvidence(
            outcome=RdapOutcome.UNAVAILABLE,
            detail=f"status {answer.status}",
            retry_after_seconds=int(wait) if wait.isascii() and wait.isdigit() else None,
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
    """An RFC 3339 date as an instant; a date without zone or time is taken as UTC."""
    try:
        at = datetime.fromisoformat(text.strip().upper() if isinstance(text, str) else "")
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


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


@cache
def _servers() -> dict[str, str]:
    """Base URL by top-level domain, from the bootstrap file: https only."""
    text = resources.files("authsvc.adapters").joinpath("rdap_bootstrap.json").read_text(encoding="utf-8")
    servers: dict[str, str] = {}
    for tlds, urls in json.loads(text)["services"]:
        https = [url for url in urls if url.startswith("https://")]
        servers.update(dict.fromkeys(tlds, https[0]) if https else {})
    return servers
