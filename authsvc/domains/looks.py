"""Looks at mail domains: who is asked, what is written down, and what was seen last.

Nobody is asked inside a transaction.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from authsvc import accounts, adapters
from authsvc.core import db
from authsvc.core.domain_names import is_reserved, registrable_domain
from authsvc.core.evidence import Evidence, RdapOutcome
from authsvc.core.web import settings
from authsvc.domains import hosts as mail_hosts
from authsvc.domains.models import AddressBaseline, Domain
from authsvc.policy.continuity import Renewals
from authsvc.policy.domain_verdict import (
    REGISTRATION_SLACK,
    Baseline,
    History,
    Impact,
    Judgement,
    Verdict,
    judge,
)

RDAP_MAX_AGE = timedelta(days=1)  # POLICY 8: asked again at a reset when older
NEAR_EXPIRY = timedelta(days=3)  # before the date, asked daily: a renewal counts when it is seen before
NEW_BASELINE_WITHIN = timedelta(days=7)  # later looks say nothing of how it was when the address was proved


@dataclass(frozen=True, kw_only=True)
class Look:
    """One look at a domain: what was seen, what came before it, and what it means for nobody in particular."""

    domain: str
    evidence: Evidence | None  # None: a reserved name that nobody is asked about
    before: History
    judgement: Judgement
    generation: int
    checked_at: datetime


def check_now(name: str, *, now: datetime, rdap_max_age: timedelta = RDAP_MAX_AGE) -> Look:
    """Look at a domain, judge it, and store that when it holds an address.

    Asks DNS always, the registry when its last answer is older than `rdap_max_age` or anything looks different.
    Ends the present transaction; call it outside one that has written.
    """
    found = db.session().scalar(select(Domain).where(Domain.name == name))
    row = found or Domain(name=name, verdict=Verdict.UNKNOWN.value, reason="", generation=0, consecutive_failures=0)
    before = row.history()
    db.commit()
    if is_reserved(name) and settings().is_loopback:
        evidence, rdap_at = None, None
        judgement = Judgement(Verdict.HEALTHY, "OK_RESERVED", now + timedelta(days=1))
    else:
        evidence, rdap_at = _ask(row, rdap_max_age=rdap_max_age, now=now)
        judgement = judge(evidence, before, Baseline(), verified_at=None, impact=Impact.NORMAL, now=now)
    generation = _store(name, evidence, before, judgement, rdap_at=rdap_at, now=now) if found else 0
    return Look(
        domain=name, evidence=evidence, before=before, judgement=judgement, generation=generation, checked_at=now
    )


def _ask(row: Domain, *, rdap_max_age: timedelta, now: datetime) -> tuple[Evidence, datetime]:
    """Ask DNS, and registries where their last answer will not do; says too when the domain's own answered."""
    services, last = adapters.current(), row.evidence()
    dns = services.dns.look_up(row.name)
    hosts = mail_hosts.ask(row.name, dns, max_age=rdap_max_age, now=now)
    if last is not None and row.rdap_checked_at is not None:
        age, expires_at = now - row.rdap_checked_at, last.rdap.expires_at
        if expires_at is not None and row.rdap_checked_at < expires_at <= now + NEAR_EXPIRY:
            rdap_max_age = min(rdap_max_age, RDAP_MAX_AGE - timedelta(hours=1))  # less than the sweep's day
        told_to_wait = age < timedelta(seconds=last.rdap.retry_after_seconds or 0)
        as_before = dns == last.dns and row.verdict == Verdict.HEALTHY.value
        if told_to_wait or (as_before and last.rdap.outcome is RdapOutcome.FOUND and age <= rdap_max_age):
            return Evidence(domain=row.name, dns=dns, rdap=last.rdap, hosts_rdap=hosts), row.rdap_checked_at
    return Evidence(domain=row.name, dns=dns, rdap=services.rdap.look_up(row.name), hosts_rdap=hosts), now


def _store(
    name: str,
    evidence: Evidence | None,
    before: History,
    judgement: Judgement,
    *,
    rdap_at: datetime | None,
    now: datetime,
) -> int:
    """Write one look down, in one transaction: row, generation, trust of the addresses, missing baselines.

    Returns the generation from now on.
    """
    row = db.session().scalars(select(Domain).where(Domain.name == name).with_for_update()).one()
    was = (row.verdict, row.generation)
    registered = evidence.rdap.registered_at if evidence else None
    known = row.registered_at
    if judgement.verdict is Verdict.LAPSED and row.lapsed_at is None:
        row.generation, row.lapsed_at = row.generation + 1, now
    elif judgement.verdict is Verdict.HEALTHY:
        row.lapsed_at = None
    if registered is not None and (known is None or registered > known):
        row.generation += 1 if known is not None and registered > known + REGISTRATION_SLACK else 0
        row.registered_at = registered
    row.verdict, row.reason = judgement.verdict.value, judgement.reason
    row.checked_at, row.next_check_at, row.claimed_until = now, judgement.recheck_at, None
    renewals = Renewals(paid_until=row.paid_until, unbroken_since=row.unbroken_since)
    renewals = renewals.after(evidence.rdap.expires_at if evidence else None, now=rdap_at or now)
    row.paid_until, row.unbroken_since = renewals.paid_until, renewals.unbroken_since
    row.dns = evidence.dns.as_json() if evidence else None
    row.rdap, row.rdap_checked_at = evidence.rdap.as_json() if evidence else None, rdap_at
    row.hosts_rdap = {name: answer.as_json() for name, answer in evidence.hosts_rdap.items()} if evidence else None
    row.consecutive_failures, row.first_failure_at = before.consecutive_failures, before.first_failure_at
    row.failure = before.failure.value if before.failure else None
    row.last_healthy_at, row.last_rdap_ok_at = before.last_healthy_at, before.last_rdap_ok_at
    generation = row.generation
    if was != (row.verdict, generation):
        accounts.set_trust(name, verdict=row.verdict, generation=generation, now=now)
    if row.registered_at is not None:
        accounts.set_reregistered(name, proved_before=row.registered_at - REGISTRATION_SLACK, now=now)
    for host, answer in evidence.hosts_rdap.items() if evidence else ():
        if answer.registered_at is not None:
            _host_registered(name, host, before=answer.registered_at - REGISTRATION_SLACK, now=now)
    nothing_wrong_before = was[0] in {Verdict.HEALTHY.value, Verdict.UNKNOWN.value}
    if evidence is not None and judgement.verdict is Verdict.HEALTHY and nothing_wrong_before:
        since = max(before.last_healthy_at or now - NEW_BASELINE_WITHIN, now - NEW_BASELINE_WITHIN)
        _record_baselines(name, Baseline.of(evidence), proved_since=since, now=now)
    db.commit()
    return generation


def _host_registered(name: str, host: str, *, before: datetime, now: datetime) -> None:
    """A mail host's domain was registered: addresses proved before with mail at it are in doubt (rule 3)."""
    ids = accounts.proved_before(name, before=before)
    if not ids:
        return
    rows = select(AddressBaseline).where(AddressBaseline.address_id.in_(ids))
    used = [row.address_id for row in db.session().scalars(rows) if host in {registrable_domain(mx) for mx in row.mx}]
    accounts.set_reregistered(name, proved_before=before, now=now, only=used)


def _record_baselines(name: str, seen: Baseline, *, proved_since: datetime, now: datetime) -> None:
    """Give addresses proved since then the baseline they lack: this is their first healthy look."""
    have = select(AddressBaseline.address_id)
    for address_id in accounts.proved_since(name, since=proved_since):
        if db.session().scalar(have.where(AddressBaseline.address_id == address_id)) is None:
            db.session().add(
                AddressBaseline(
                    address_id=address_id,
                    mx=sorted(seen.mx),
                    ns=sorted(seen.ns),
                    registered_at=seen.registered_at,
                    expires_at=seen.expires_at,
                    registrar=seen.registrar,
                    handle=seen.handle,
                    recorded_at=now,
                )
            )


def check_fresh(name: str, *, max_age: timedelta, now: datetime) -> Look:
    """The last look when it is young enough, else a new one."""
    last = last_look(name)
    return last if last is not None and now - last.checked_at <= max_age else check_now(name, now=now)


def last_look(name: str) -> Look | None:
    """The last look at a domain that holds an address; None when nobody has looked yet."""
    row = db.session().scalar(select(Domain).where(Domain.name == name))
    if row is None or row.checked_at is None:
        return None
    return Look(
        domain=name,
        evidence=row.evidence(),
        before=row.history_before(),
        judgement=Judgement(Verdict(row.verdict), row.reason, row.next_check_at),
        generation=row.generation,
        checked_at=row.checked_at,
    )


def known(name: str) -> bool:
    """True when the domain holds, or held, an address."""
    return db.session().scalar(select(Domain.id).where(Domain.name == name)) is not None


def row_of(name: str, *, now: datetime) -> Domain:
    """The domain's row, made when it is missing."""
    session, query = db.session(), select(Domain).where(Domain.name == name)
    found = session.scalar(query)
    if found is None:
        try:
            with session.begin_nested():
                session.execute(
                    insert(Domain).values(name=name, next_check_at=now, generation=0, consecutive_failures=0)
                )
        except IntegrityError:  # a rival was first
            pass
        found = session.scalars(query).one()
    return found
