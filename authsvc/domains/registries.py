"""Registries: how often each is asked by all machines together, and where they are.

A quarter of what a registry may be asked is kept for those who wait: resets, and proofs of addresses. "Not asked" is no
evidence; callers keep the answer they have.
"""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import BigInteger, String, case, or_, select, update
from sqlalchemy.orm import Mapped, mapped_column

from authsvc import adapters
from authsvc.adapters.http import HttpFault
from authsvc.adapters.rdap import Bootstrap, UnusableBootstrap, fetch_bootstrap, shipped_servers
from authsvc.core import db
from authsvc.core.db import BigId, Row
from authsvc.core.domain_names import registry_domain
from authsvc.core.evidence import RdapEvidence
from authsvc.core.web import settings
from authsvc.policy.registry_schedule import Purpose

log = logging.getLogger(__name__)

A_QUESTION_EVERY = timedelta(seconds=1)  # for each registry, sustained, by all machines together
BURST = 60  # questions at once
KEPT_FOR_RESETS = 0.25  # of the burst
REFRESH_EVERY = timedelta(days=7)
TRY_AGAIN_AFTER = timedelta(days=1)  # when the file could not be had
KEEPS_AT_LEAST = 0.5  # of the top-level domains known so far, or a new file is not believed
ONLY = 1  # there is one row
OFF = "off"


class Registry(Row):
    """One registry, by the host of its RDAP service: a bucket that fills by one question each A_QUESTION_EVERY.

    Or one name, where a server of one's own is asked about all: see `_counted_as`.
    """

    __tablename__ = "registries"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    host: Mapped[str] = mapped_column(String(255), unique=True)
    full_at: Mapped[int] = mapped_column(BigInteger)  # ms since 1970: when nothing will be missing from the bucket
    closed_until: Mapped[datetime | None]  # it asked to be left alone


class RdapServers(Row):
    """The bootstrap file that the worker fetched last."""

    __tablename__ = "rdap_servers"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    servers: Mapped[dict[str, Any]]  # base URL by top-level domain; empty: the shipped file holds
    etag: Mapped[str] = mapped_column(String(200))
    modified: Mapped[str] = mapped_column(String(200))
    fetch_at: Mapped[datetime]  # next


def ask(domain: str, *, purpose: Purpose, now: datetime) -> RdapEvidence | None:
    """What the registry says about the registrable part of a domain; None when it may not be asked now.

    The sweep leaves a quarter for others. Ends the present transaction. Raises nothing.
    """
    rdap = adapters.current().rdap
    server = rdap.server_of(domain, _newer_servers() if rdap.bootstrapped else None)
    counted = _counted_as(domain, server)
    db.commit()
    if counted and not _take(counted, purpose, now=now):
        return None
    answer = rdap.look_up(domain, server)
    if counted and answer.retry_after_seconds is not None:
        _close(counted, until=now + timedelta(seconds=answer.retry_after_seconds))
    return answer


def _counted_as(domain: str, server: str) -> str:
    """Whose bucket a question is taken from: the registry's; a server of one's own stands for many, so each name's."""
    if not server or adapters.current().rdap.bootstrapped:
        return urlsplit(server).netloc
    return registry_domain(domain) or ""


def _take(host: str, purpose: Purpose, *, now: datetime) -> bool:
    """Take one question out of the registry's bucket, in one statement of its own; False when there is none to take."""
    at, cost = round(now.timestamp() * 1000), A_QUESTION_EVERY // timedelta(milliseconds=1)
    burst = int(BURST * (1 - KEPT_FOR_RESETS)) if purpose is Purpose.SWEEP else BURST
    full_at = case((Registry.full_at > at, Registry.full_at), else_=at) + cost
    fits = full_at <= at + burst * cost
    is_open = or_(Registry.closed_until.is_(None), Registry.closed_until <= now)
    taken = db.session().scalar(
        db.upsert(Registry)
        .values(host=host, full_at=at + cost)
        .on_conflict_do_update(index_elements=[Registry.host], set_={"full_at": full_at}, where=fits & is_open)
        .returning(Registry.id)
    )
    db.commit()
    return taken is not None


def _close(host: str, *, until: datetime) -> None:
    """Nobody asks this registry before; a later time that it told another machine stands."""
    earlier = or_(Registry.closed_until.is_(None), Registry.closed_until < until)
    db.session().execute(update(Registry).where(Registry.host == host, earlier).values(closed_until=until))
    db.commit()


def _newer_servers() -> Mapping[str, str] | None:
    found: Mapping[str, str] | None = db.session().scalar(select(RdapServers.servers).where(RdapServers.id == ONLY))
    return found or None


def refresh_servers(*, now: datetime) -> bool:
    """Fetch the bootstrap file when a week has passed; True when another one is in force now. The worker's task.

    Of several workers one fetches. A file that cannot be had or believed changes nothing, and is logged. The shipped
    one is good for the first day, so that nothing is fetched by those who only try things out.
    """
    url = settings().rdap_bootstrap_url
    if url == OFF or not adapters.current().rdap.bootstrapped:
        return False
    with db.transaction() as session:
        first = {"servers": {}, "etag": "", "modified": "", "fetch_at": now + TRY_AGAIN_AFTER}
        session.execute(db.upsert(RdapServers).values(id=ONLY, **first).on_conflict_do_nothing())
        claim = update(RdapServers).where(RdapServers.fetch_at <= now).values(fetch_at=now + TRY_AGAIN_AFTER)
        row = session.scalar(claim.returning(RdapServers))
        if row is None:
            return False
        known, etag, modified = row.servers or shipped_servers(), row.etag, row.modified
    try:
        found = fetch_bootstrap(adapters.current().http, url, etag=etag, modified=modified)
        if found is not None:
            _check_against(known, found)
    except (HttpFault, UnusableBootstrap) as error:
        log.warning("RDAP bootstrap file not refreshed: %s", error)
        return False
    values: dict[str, Any] = {"fetch_at": now + REFRESH_EVERY}
    if found is not None:
        values |= {"servers": dict(found.servers), "etag": found.etag, "modified": found.modified}
    with db.transaction() as session:
        session.execute(update(RdapServers).values(values))
    return found is not None


def _check_against(known: Mapping[str, str], found: Bootstrap) -> None:
    """A file without most of what was known would silence registries. Raises UnusableBootstrap."""
    kept = sum(tld in found.servers for tld in known)
    if kept < KEEPS_AT_LEAST * len(known):
        raise UnusableBootstrap(f"it names only {kept} of {len(known)} known top-level domains")
