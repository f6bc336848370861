"""Looks at mail domains: who is asked, what is written down, and what was seen last.

Nobody is asked inside a transaction.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from authsvc import accounts, adapters, sessions
from authsvc.core import db
from authsvc.core.domain_names import is_reserved, registrable_domain
from authsvc.core.evidence import DnsEvidence, DnsFault, Evidence, RdapEvidence, RdapOutcome
from authsvc.core.web import settings
from authsvc.domains import canaries, mass_change, own_verdicts, registries
from authsvc.domains import hosts as mail_hosts
from authsvc.domains.models import AddressBaseline, Domain
from authsvc.policy.continuity import Renewals
from authsvc.policy.domain_verdict import (
    MX_HOST_DOMAIN_LAPSED,
    REGISTRATION_SLACK,
    Baseline,
    History,
    Impact,
    Judgement,
    Verdict,
    judge,
    lapsed_host,
)
from authsvc.policy.registry_schedule import MAX_AGE_AT_RESET, Purpose, RegistryFacts, due, same_servers

IDS_AT_ONCE = 10_000  # in one statement; databases take some ten thousand parameters
NEW_BASELINE_WITHIN = timedelta(days=7)  # later looks say nothing of how it was when the address was proved


@dataclass(frozen=True, kw_only=True)
class Look:
    """One look at a domain: what was seen, what came before it, and what it means for nobody in particular."""

    domain: str
    evidence: Evidence | None  # None: a reserved name that nobody is asked about
    before: History
    judgement: Judgement
    generation: int
    held: bool  # a change of hands waits for staff (decision 0025)
    checked_at: datetime


def check_now(name: str, *, now: datetime, purpose: Purpose = Purpose.RESET, impact: Impact = Impact.NORMAL) -> Look:
    """Look at a domain, judge it, and store that when it holds an address.

    Asks DNS always, the registry when that is due for this purpose (`policy/registry_schedule.py`).
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
        lists = adapters.current().lists
        evidence, rdap_at = _ask(row, purpose=purpose, impact=impact, now=now)
        judgement = judge(evidence, before, Baseline(), verified_at=None, impact=impact, lists=lists, now=now)
        if judgement.verdict is not Verdict.HEALTHY and not canaries.sing(now=now):
            evidence = replace(evidence, dns=DnsEvidence(fault=DnsFault.OURS))
            judgement = judge(evidence, before, Baseline(), verified_at=None, impact=impact, lists=lists, now=now)
    if found is None:
        return Look(
            domain=name,
            evidence=evidence,
            before=before,
            judgement=judgement,
            generation=0,
            held=False,
            checked_at=now,
        )
    _store(name, evidence, before, judgement, rdap_at=rdap_at, now=now)
    return _view(db.session().scalars(select(Domain).where(Domain.name == name)).one(), checked_at=now)


def _ask(row: Domain, *, purpose: Purpose, impact: Impact, now: datetime) -> tuple[Evidence, datetime | None]:
    """Ask DNS, and registries where that is due and they may be asked; says too when the domain's own answered.

    A registry that could not be asked leaves its last answer standing, marked and with its age.
    """
    last, asked_at = row.evidence(), row.rdap_checked_at
    proved = asked_at is not None and bool(accounts.proved_since(row.name, since=asked_at + datetime.resolution))
    db.commit()
    asked_for = Purpose.PROOF if proved else purpose
    dns = adapters.current().dns.look_up(row.name)
    if last is not None and dns.fault is not None:  # whoever took a mail host over is not forgotten for being silent
        hosts = last.hosts_rdap
    else:
        hosts = mail_hosts.ask(row.name, dns, purpose=asked_for, impact=impact, now=now)
    rdap = RdapEvidence(outcome=RdapOutcome.UNAVAILABLE, detail="not asked yet")
    if last is not None and asked_at is not None:
        rdap = last.rdap
        as_before = row.verdict == Verdict.HEALTHY.value and same_servers(row.name, last.dns, dns)
        facts = RegistryFacts(
            answered_at=asked_at if rdap.outcome is RdapOutcome.FOUND and not rdap.overdue else None,
            expires_at=rdap.expires_at,
            renewed_by_itself="autorenewperiod" in rdap.statuses,
            changed=not as_before,
            purpose=asked_for,
            impact=impact,
        )
        if not due(facts, now=now):
            return Evidence(domain=row.name, dns=dns, rdap=rdap, hosts_rdap=hosts), asked_at
    answer = registries.ask(row.name, purpose=asked_for, now=now)
    if answer is None:
        return Evidence(domain=row.name, dns=dns, rdap=replace(rdap, overdue=True), hosts_rdap=hosts), asked_at
    return Evidence(domain=row.name, dns=dns, rdap=answer, hosts_rdap=hosts), now


def _store(
    name: str,
    evidence: Evidence | None,
    before: History,
    judgement: Judgement,
    *,
    rdap_at: datetime | None,
    now: datetime,
) -> None:
    """Write one look down, in one transaction: row, generation, trust of the addresses, missing baselines.

    What would take mail away from people is held back as suspect where too much of it comes at once.
    """
    row = db.session().scalars(select(Domain).where(Domain.name == name).with_for_update()).one()
    was = (row.verdict, row.generation)
    registered = evidence.rdap.registered_at if evidence else None
    known = row.registered_at
    lapses = judgement.verdict is Verdict.LAPSED and row.lapsed_at is None
    anew = registered is not None and known is not None and registered > known + REGISTRATION_SLACK
    doubted = _proved_by_others(name, evidence)
    judges = evidence is not None and own_verdicts.due(row, evidence, judgement, rdap_at=rdap_at)
    own = own_verdicts.worse(name, evidence, before, now=now) if evidence is not None and judges else {}
    known_of = {address_id for doubt in doubted for address_id in doubt.only or ()}
    seen_by_them = [address_id for address_id in own.get(Verdict.REREGISTERED, []) if address_id not in known_of]
    doubted += [_Doubt(now, ids) for ids in _in_parts(seen_by_them)]
    new = [d for d in doubted if accounts.would_be_doubted(name, proved_before=d.proved_before, only=d.only)]
    in_doubt = bool(new)
    host = None
    if evidence is not None and judgement.reason == MX_HOST_DOMAIN_LAPSED:
        host = lapsed_host(evidence)
    elif new and not (lapses or anew) and all(d.host is not None for d in new):
        host = new[0].host
    held = (lapses or anew or in_doubt) and mass_change.holds_back(row, host=host, now=now)
    row.held_at = (row.held_at or now) if held else None
    if held:
        reason = "REGISTERED_AFTER_VERIFICATION" if judgement.verdict is Verdict.HEALTHY else judgement.reason
        judgement = Judgement(Verdict.SUSPECT, reason, judgement.recheck_at)
    else:
        row.generation += lapses + anew
        row.lapsed_at = now if lapses else None if judgement.verdict is Verdict.HEALTHY else row.lapsed_at
        if registered is not None and (known is None or registered > known):
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
    if judges or was != (row.verdict, generation):
        silent = evidence is not None and evidence.dns.fault is not None
        cannot_tell = silent or judgement.verdict is Verdict.UNKNOWN
        accounts.set_trust(name, verdict=row.verdict, generation=generation, keep_worse=cannot_tell, now=now)
        row.judged_at = now
    if row.verdict in accounts.TRUSTED_VERDICTS:
        for part in _in_parts(own.get(Verdict.SUSPECT, [])):
            accounts.set_suspect(part)
    if row.registered_at is not None:
        accounts.set_reregistered(name, proved_before=row.registered_at - REGISTRATION_SLACK, now=now)
    for doubt in () if held else doubted:
        accounts.set_reregistered(name, proved_before=doubt.proved_before, now=now, only=doubt.only)
    if (lapses or anew or in_doubt) and not held:
        row.healthy_before_doubt_at = before.last_healthy_at
    if was != (row.verdict, generation) or in_doubt:
        sessions.end_resting_on_mail(accounts.in_doubt_at(name), since=before.last_healthy_at, now=now)
    nothing_wrong_before = was[0] in {Verdict.HEALTHY.value, Verdict.UNKNOWN.value}
    if evidence is not None and judgement.verdict is Verdict.HEALTHY and nothing_wrong_before:
        since = max(before.last_healthy_at or now - NEW_BASELINE_WITHIN, now - NEW_BASELINE_WITHIN)
        _record_baselines(name, Baseline.of(evidence), proved_since=since, now=now)
    db.commit()


@dataclass(frozen=True)
class _Doubt:
    """Who may have lost an address there to somebody else, and through which mail host's domain."""

    proved_before: datetime
    only: list[int] | None = None  # ids; None: all at the domain
    host: str | None = None


def _proved_by_others(name: str, evidence: Evidence | None) -> list[_Doubt]:
    """Who may have lost an address to a registration of the domain, or of a mail host's domain (rules 1 and 3)."""
    if evidence is None:
        return []
    found = list[_Doubt]()
    if evidence.rdap.registered_at is not None:
        found.append(_Doubt(evidence.rdap.registered_at - REGISTRATION_SLACK))
    for host, answer in evidence.hosts_rdap.items():
        if answer.registered_at is not None:
            before = answer.registered_at - REGISTRATION_SLACK
            for ids in _in_parts(accounts.proved_before(name, before=before)):
                rows = select(AddressBaseline).where(AddressBaseline.address_id.in_(ids))
                used = [
                    r.address_id for r in db.session().scalars(rows) if host in {registrable_domain(mx) for mx in r.mx}
                ]
                found.append(_Doubt(before, used, host))
    return found


def _in_parts(ids: list[int]) -> list[list[int]]:
    return [ids[at : at + IDS_AT_ONCE] for at in range(0, len(ids), IDS_AT_ONCE)]


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
    """The last look when it is young enough, and the registry's answer in it, else a new one.

    An answer that could not be had anew is not waited for again within `max_age`.
    """
    row = db.session().scalar(select(Domain).where(Domain.name == name))
    if row is None or row.checked_at is None or now - row.checked_at > max_age:
        return check_now(name, now=now)
    last = _view(row, checked_at=row.checked_at)
    rdap = last.evidence.rdap if last.evidence is not None else None
    if rdap is None or rdap.outcome is not RdapOutcome.FOUND or rdap.overdue or row.rdap_checked_at is None:
        return last
    too_old = now - row.rdap_checked_at > max(max_age, MAX_AGE_AT_RESET)
    return check_now(name, now=now) if too_old else last


def last_look(name: str) -> Look | None:
    """The last look at a domain that holds an address; None when nobody has looked yet."""
    row = db.session().scalar(select(Domain).where(Domain.name == name))
    return _view(row, checked_at=row.checked_at) if row is not None and row.checked_at is not None else None


def _view(row: Domain, *, checked_at: datetime) -> Look:
    return Look(
        domain=row.name,
        evidence=row.evidence(),
        before=row.history_before(),
        judgement=Judgement(Verdict(row.verdict), row.reason, row.next_check_at),
        generation=row.generation,
        held=row.held_at is not None,
        checked_at=checked_at,
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
