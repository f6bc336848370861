"""Mail domains: what was seen of them, what follows for the addresses there, and the sweep that looks again.

Evidence belongs to a domain and is shared by its addresses; the verdict is written to the addresses through
`accounts`. The rules are in `policy/domain_verdict.py`. Nobody is asked inside a transaction.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ForeignKey, String, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from authsvc import accounts, adapters, audit
from authsvc.accounts import AddressView
from authsvc.audit import EventType
from authsvc.core import db
from authsvc.core.db import BigId, Row
from authsvc.core.domain_names import is_reserved, mail_domain
from authsvc.core.evidence import DnsEvidence, Evidence, RdapEvidence, RdapOutcome
from authsvc.core.web import settings
from authsvc.policy.domain_verdict import (
    REGISTRATION_SLACK,
    Baseline,
    Failure,
    History,
    Impact,
    Judgement,
    Verdict,
    judge,
    next_history,
)
from authsvc.policy.login import Mailbox

LEASE = timedelta(minutes=1)
RDAP_MAX_AGE = timedelta(days=1)  # POLICY 8: asked again at a reset when older
NEW_BASELINE_WITHIN = timedelta(days=1)  # later looks say nothing of how it was when the address was proved
BLOCKING = frozenset({Verdict.LAPSED, Verdict.REREGISTERED})


class Domain(Row):
    """One mail domain that holds an address. `generation` rises once for each lapse or new registration."""

    __tablename__ = "domains"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(255), unique=True)  # A-label
    verdict: Mapped[str] = mapped_column(String(16), default=Verdict.UNKNOWN.value)
    reason: Mapped[str] = mapped_column(String(40), default="NOT_LOOKED_AT")
    generation: Mapped[int] = mapped_column(default=0)
    dns: Mapped[dict[str, Any] | None]
    rdap: Mapped[dict[str, Any] | None]
    checked_at: Mapped[datetime | None]
    rdap_checked_at: Mapped[datetime | None]
    registered_at: Mapped[datetime | None]
    consecutive_failures: Mapped[int] = mapped_column(default=0)
    first_failure_at: Mapped[datetime | None]
    failure: Mapped[str | None] = mapped_column(String(10))
    last_healthy_at: Mapped[datetime | None]
    last_rdap_ok_at: Mapped[datetime | None]
    next_check_at: Mapped[datetime] = mapped_column(index=True)
    claimed_until: Mapped[datetime | None]

    def history(self) -> History:
        """The looks so far."""
        return History(
            consecutive_failures=self.consecutive_failures,
            first_failure_at=self.first_failure_at,
            failure=Failure(self.failure) if self.failure else None,
            last_healthy_at=self.last_healthy_at,
            last_rdap_ok_at=self.last_rdap_ok_at,
        )


class AddressBaseline(Row):
    """What was seen of the domain when the owner proved the address."""

    __tablename__ = "address_baselines"

    address_id: Mapped[int] = mapped_column(ForeignKey("addresses.id"), primary_key=True, autoincrement=False)
    mx: Mapped[list[Any]]
    ns: Mapped[list[Any]]
    registered_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    registrar: Mapped[str] = mapped_column(String(200))
    handle: Mapped[str] = mapped_column(String(200))
    recorded_at: Mapped[datetime]


@dataclass(frozen=True, kw_only=True)
class Look:
    """One look at a domain: what was seen, what came before it, and what it means for nobody in particular."""

    domain: str
    evidence: Evidence | None  # None: a reserved name that nobody is asked about
    before: History
    judgement: Judgement
    generation: int
    checked_at: datetime


def may_register(email: str) -> bool:
    """False for reserved names, unless this is somebody trying things out on their own machine."""
    return settings().is_loopback or not is_reserved(mail_domain(email))


def _row(name: str, *, now: datetime) -> Domain:
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


def check_now(name: str, *, now: datetime) -> Look:
    """Look at a domain and store what it means. Asks DNS always and the registry when its last answer is a day old.

    Ends the present transaction; call it outside one that has written.
    """
    row = _row(name, now=now)
    before, old_rdap, rdap_at = row.history(), row.rdap, row.rdap_checked_at
    db.commit()
    if is_reserved(name) and settings().is_loopback:
        judgement = Judgement(Verdict.HEALTHY, "OK_RESERVED", now + timedelta(days=1))
        return _store(name, None, before, judgement, rdap_at=None, now=now)
    services = adapters.current()
    dns = services.dns.look_up(name)
    rdap = RdapEvidence.from_json(old_rdap) if old_rdap else None
    if rdap is None or rdap_at is None or now - rdap_at > RDAP_MAX_AGE or rdap.outcome is not RdapOutcome.FOUND:
        rdap, rdap_at = services.rdap.look_up(name), now
    evidence = Evidence(domain=name, dns=dns, rdap=rdap)
    judgement = judge(evidence, before, Baseline(), verified_at=None, impact=Impact.NORMAL, now=now)
    return _store(name, evidence, before, judgement, rdap_at=rdap_at, now=now)


def _store(
    name: str,
    evidence: Evidence | None,
    before: History,
    judgement: Judgement,
    *,
    rdap_at: datetime | None,
    now: datetime,
) -> Look:
    """Write one look down, in one transaction: row, generation, trust of the addresses, missing baselines."""
    row = db.session().scalars(select(Domain).where(Domain.name == name).with_for_update()).one()
    registered = evidence.rdap.registered_at if evidence else None
    lapsed = judgement.verdict is Verdict.LAPSED and row.verdict != Verdict.LAPSED.value
    known = row.registered_at
    anew = registered is not None and known is not None and registered > known + REGISTRATION_SLACK
    row.generation += 1 if lapsed or anew else 0
    row.verdict, row.reason = judgement.verdict.value, judgement.reason
    row.checked_at, row.next_check_at, row.claimed_until = now, judgement.recheck_at, None
    after = replace(before, last_healthy_at=now)
    if evidence is not None:
        after = next_history(before, judgement, evidence, rdap_answered_at=rdap_at or now, now=now)
        row.dns, row.rdap, row.rdap_checked_at = evidence.dns.as_json(), evidence.rdap.as_json(), rdap_at
        row.registered_at = registered or known
    row.consecutive_failures, row.first_failure_at = after.consecutive_failures, after.first_failure_at
    row.failure = after.failure.value if after.failure else None
    row.last_healthy_at, row.last_rdap_ok_at = after.last_healthy_at, after.last_rdap_ok_at
    accounts.set_trust(name, verdict=judgement.verdict.value, generation=row.generation)
    if registered is not None:
        accounts.set_reregistered(name, proved_before=registered - REGISTRATION_SLACK)
    if evidence is not None and judgement.verdict is Verdict.HEALTHY:
        _record_baselines(name, Baseline.of(evidence), now=now)
    generation = row.generation
    db.commit()
    return Look(
        domain=name, evidence=evidence, before=before, judgement=judgement, generation=generation, checked_at=now
    )


def _record_baselines(name: str, seen: Baseline, *, now: datetime) -> None:
    """Give addresses proved in the last day the baseline they lack."""
    have = select(AddressBaseline.address_id)
    for address_id in accounts.proved_since(name, since=now - NEW_BASELINE_WITHIN):
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
    row = _row(name, now=now)
    if row.checked_at is None or now - row.checked_at > max_age:
        return check_now(name, now=now)
    evidence = None
    if row.dns is not None and row.rdap is not None:
        evidence = Evidence(domain=name, dns=DnsEvidence.from_json(row.dns), rdap=RdapEvidence.from_json(row.rdap))
    judgement = Judgement(Verdict(row.verdict), row.reason, row.next_check_at)
    return Look(
        domain=name,
        evidence=evidence,
        before=row.history(),
        judgement=judgement,
        generation=row.generation,
        checked_at=row.checked_at,
    )


def judge_address(look: Look, address: AddressView) -> Judgement:
    """What a look means for one address: when its owner proved it, and what was seen then."""
    if look.evidence is None:
        return look.judgement
    row = db.session().get(AddressBaseline, address.id)
    baseline = Baseline()
    if row is not None:
        baseline = Baseline(
            mx=frozenset(row.mx),
            ns=frozenset(row.ns),
            registered_at=row.registered_at,
            expires_at=row.expires_at,
            registrar=row.registrar,
            handle=row.handle,
        )
    return judge(
        look.evidence,
        look.before,
        baseline,
        verified_at=address.verified_at,
        impact=Impact.NORMAL,
        now=look.checked_at,
    )


def known(name: str) -> bool:
    """True when the domain holds, or held, an address."""
    return db.session().scalar(select(Domain.id).where(Domain.name == name)) is not None


# What follows for addresses


def mailbox_worth(address: AddressView | None) -> Mailbox:
    """What the address may be used for at sign-in, by the stored verdict (POLICY 8, second column).

    Unknown counts as good until canaries can tell our own faults from the domain's (decision 0007).
    """
    if address is None or address.blocked_at is not None or address.generation != address.domain_generation:
        return Mailbox.LOST
    if address.verdict in {v.value for v in BLOCKING}:
        return Mailbox.LOST
    return Mailbox.DOUBTFUL if address.verdict == Verdict.SUSPECT.value else Mailbox.GOOD


def seen_while_healthy(address: AddressView | None, first_seen_at: datetime, *, now: datetime) -> bool:
    """True for a senior browser that was known before the domain's last healthy look (POLICY 8)."""
    if address is None or now - first_seen_at < accounts.SENIOR_AFTER:
        return False
    last = db.session().scalar(select(Domain.last_healthy_at).where(Domain.name == address.domain))
    return last is not None and first_seen_at < last


def first_proof(account_id: int, email: str, *, now: datetime) -> None:
    """A mailed code proved an address: its first verification, or nothing new (POLICY 8)."""
    for address in accounts.addresses(account_id):
        if address.email == email and address.verified_at is None:
            record_verification(address.id, address.domain, verified_at=now, now=now)
            audit.record(EventType.ADDRESS_VERIFIED, account_id=account_id, at=now, email=email)


def record_verification(address_id: int, domain: str, *, verified_at: datetime, now: datetime) -> None:
    """The owner proved the address at that time, in the domain's present generation; look at the domain soon."""
    row = _row(domain, now=now)
    accounts.verify_address(address_id, generation=row.generation, verdict=row.verdict, now=verified_at)
    db.session().execute(update(Domain).where(Domain.id == row.id).values(next_check_at=now))


def health_words(address: AddressView) -> tuple[str, str]:
    """How the address stands, for its owner: good, warn or bad, and a sentence."""
    if address.blocked_at is not None:
        return "bad", "Password resets to it are blocked, because its domain lapsed or changed hands."
    worth = mailbox_worth(address)
    if worth is Mailbox.LOST:
        return "bad", "Its domain has expired or changed hands. Nothing is mailed there."
    if worth is Mailbox.DOUBTFUL:
        return "warn", "Its domain cannot receive mail properly at the moment."
    if address.verdict == Verdict.HEALTHY.value:
        return "good", "Its domain is in order."
    return "warn", "Its domain could not be checked yet."


# The sweep


@dataclass(frozen=True)
class Sweep:
    """What one sweep did: how many were looked at, how many verdicts changed, and how many of each now."""

    checked: int
    changed: int
    verdicts: dict[str, int]


def sweep(*, limit: int, now: datetime, progress: Callable[[int], object] = lambda done: None) -> Sweep:
    """Look at domains that are due, longest due first. Many workers share the work by leases."""
    ids = db.claim(
        Domain.id,
        Domain.claimed_until,
        Domain.next_check_at <= now,
        limit=limit,
        lease=LEASE * max(1, limit // 10),
        now=now,
        order_by=Domain.next_check_at,
    )
    changed, verdicts = 0, dict[str, int]()
    for done, domain_id in enumerate(ids, start=1):
        with db.transaction() as session:
            row = session.get_one(Domain, domain_id)
            name, was = row.name, row.verdict
        verdict = check_now(name, now=now).judgement.verdict.value
        changed += verdict != was
        verdicts[verdict] = verdicts.get(verdict, 0) + 1
        progress(done)
    return Sweep(len(ids), changed, verdicts)
