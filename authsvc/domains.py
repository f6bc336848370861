"""Mail domains: what was seen of them, what follows for the addresses there, and the sweep that looks again.

Evidence belongs to a domain and is shared by its addresses; the verdict is written to the addresses through
`accounts`. The rules are in `policy/domain_verdict.py`. Nobody is asked inside a transaction.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ForeignKey, String, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from authsvc import accounts, adapters, audit, host_domains, mail
from authsvc.accounts import AddressView
from authsvc.audit import EventType
from authsvc.core import db
from authsvc.core.db import BigId, Row
from authsvc.core.domain_names import is_reserved, mail_domain, registrable_domain
from authsvc.core.evidence import DnsEvidence, Evidence, RdapEvidence, RdapOutcome
from authsvc.core.web import Client, settings
from authsvc.policy.continuity import Renewals, continuity_shown
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
PROOF_EVIDENCE_MAX_AGE = timedelta(minutes=10)  # of the look at the domain when an address is proved
CODE_EVIDENCE_MAX_AGE = timedelta(hours=1)  # POLICY 8: of the look at the domain when a code is mailed
RDAP_MAX_AGE = timedelta(days=1)  # POLICY 8: asked again at a reset when older
RDAP_MAX_AGE_IN_SWEEP = timedelta(days=30)  # registries are slow and count questions; any change asks at once
NEAR_EXPIRY = timedelta(days=3)  # before the date, asked daily: a renewal counts when it is seen before
WORKER_SHARE = timedelta(seconds=5)  # of one round of the worker, whose next task may be a mail
NEW_BASELINE_WITHIN = timedelta(days=7)  # later looks say nothing of how it was when the address was proved


class Domain(Row):
    """One mail domain that holds an address: its last look, and the history before that look.

    `generation` rises once for each lapse or new registration.
    """

    __tablename__ = "domains"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(255), unique=True)  # A-label
    verdict: Mapped[str] = mapped_column(String(16), default=Verdict.UNKNOWN.value)
    reason: Mapped[str] = mapped_column(String(40), default="NOT_LOOKED_AT")
    generation: Mapped[int] = mapped_column(default=0)
    dns: Mapped[dict[str, Any] | None]
    rdap: Mapped[dict[str, Any] | None]
    hosts_rdap: Mapped[dict[str, Any] | None]  # by registrable domain of the mail hosts
    checked_at: Mapped[datetime | None]
    rdap_checked_at: Mapped[datetime | None]
    registered_at: Mapped[datetime | None]  # the newest registration ever seen
    lapsed_at: Mapped[datetime | None]  # the lapse that no healthy look has followed yet
    consecutive_failures: Mapped[int] = mapped_column(default=0)
    first_failure_at: Mapped[datetime | None]
    failure: Mapped[str | None] = mapped_column(String(10))
    last_healthy_at: Mapped[datetime | None]
    last_rdap_ok_at: Mapped[datetime | None]
    paid_until: Mapped[datetime | None]  # with `unbroken_since`: see `policy/continuity.py`
    unbroken_since: Mapped[datetime | None]
    next_check_at: Mapped[datetime] = mapped_column(index=True)
    claimed_until: Mapped[datetime | None]

    def evidence(self) -> Evidence | None:
        """What the last look saw; None before the first, and for reserved names."""
        if self.dns is None or self.rdap is None:
            return None
        dns, rdap = DnsEvidence.from_json(self.dns), RdapEvidence.from_json(self.rdap)
        hosts = {name: RdapEvidence.from_json(answer) for name, answer in (self.hosts_rdap or {}).items()}
        return Evidence(domain=self.name, dns=dns, rdap=rdap, hosts_rdap=hosts)

    def history_before(self) -> History:
        """The looks before the last one: what the last one is judged with, for whichever address."""
        return History(
            consecutive_failures=self.consecutive_failures,
            first_failure_at=self.first_failure_at,
            failure=Failure(self.failure) if self.failure else None,
            last_healthy_at=self.last_healthy_at,
            last_rdap_ok_at=self.last_rdap_ok_at,
        )

    def history(self) -> History:
        """The looks so far: what the next one is judged with."""
        evidence, before = self.evidence(), self.history_before()
        if evidence is None or self.checked_at is None:
            return before
        last = Judgement(Verdict(self.verdict), self.reason, self.next_check_at)
        asked_at = self.rdap_checked_at or self.checked_at
        return next_history(before, last, evidence, rdap_answered_at=asked_at, now=self.checked_at)


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
    hosts = host_domains.ask(row.name, dns, max_age=rdap_max_age, now=now)
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


def judge_address(look: Look, address: AddressView, *, impact: Impact = Impact.NORMAL) -> Judgement:
    """What a look means for one address: when its owner proved it, and what was seen then."""
    if look.evidence is None:
        return look.judgement
    return judge(
        look.evidence,
        look.before,
        _baseline(address),
        verified_at=address.verified_at,
        impact=impact,
        now=look.checked_at,
    )


def _baseline(address: AddressView) -> Baseline:
    row = db.session().get(AddressBaseline, address.id)
    if row is None:
        return Baseline()
    return Baseline(
        mx=frozenset(row.mx),
        ns=frozenset(row.ns),
        registered_at=row.registered_at,
        expires_at=row.expires_at,
        registrar=row.registrar,
        handle=row.handle,
    )


def continuous(look: Look, address: AddressView) -> bool:
    """Whether the look shows that the domain never left its owner's hands since the address was proved (POLICY 8)."""
    if look.evidence is None:
        return True  # a reserved name on one's own machine
    row = db.session().scalar(select(Domain).where(Domain.name == look.domain))
    if row is None or address.verified_at is None:
        return False
    return continuity_shown(
        look.evidence,
        _baseline(address),
        Renewals(paid_until=row.paid_until, unbroken_since=row.unbroken_since),
        verified_at=address.verified_at,
        now=look.checked_at,
    )


def comparable(look: Look, address: AddressView) -> bool:
    """Whether a healthy look says anything: there is a baseline or a registration date, or nobody is asked at all."""
    if look.evidence is None or look.evidence.rdap.registered_at is not None:
        return True
    return db.session().get(AddressBaseline, address.id) is not None


def known(name: str) -> bool:
    """True when the domain holds, or held, an address."""
    return db.session().scalar(select(Domain.id).where(Domain.name == name)) is not None


# What follows for addresses


def mailbox_worth(address: AddressView | None) -> Mailbox:
    """What the address may be used for at sign-in, by the stored verdict (POLICY 8, second column).

    Unknown counts as good until canaries can tell our own faults from the domain's (decision 0007).
    """
    if address is None or address.blocked_at is not None:
        return Mailbox.LOST
    if address.verified_at is not None and address.generation != address.domain_generation:
        return Mailbox.LOST
    if address.verdict in accounts.LOST_VERDICTS:
        return Mailbox.LOST
    return Mailbox.DOUBTFUL if address.verdict == Verdict.SUSPECT.value else Mailbox.GOOD


def may_get_code(account_id: int, email: str, *, now: datetime) -> bool:
    """Whether a code may leave for the account's address; looks at the domain first when an hour has passed."""
    check_fresh(mail_domain(email), max_age=CODE_EVIDENCE_MAX_AGE, now=now)
    found = next((a for a in accounts.addresses(account_id) if a.email == email), None)
    return mailbox_worth(found) is not Mailbox.LOST


def seen_while_healthy(address: AddressView | None, first_seen_at: datetime, *, now: datetime) -> bool:
    """True for a senior browser that was known before the domain's last healthy look (POLICY 8)."""
    if address is None or now - first_seen_at < accounts.SENIOR_AFTER:
        return False
    row = db.session().scalar(select(Domain).where(Domain.name == address.domain))
    if row is None:
        return False
    last = row.checked_at if row.verdict == Verdict.HEALTHY.value else row.last_healthy_at
    return last is not None and first_seen_at < last


def first_proof(account_id: int, email: str, *, now: datetime) -> None:
    """A mailed code proved an address: its first verification, or nothing new (POLICY 8)."""
    for address in accounts.addresses(account_id):
        if address.email == email and address.verified_at is None:
            record_verification(address.id, address.domain, verified_at=now, now=now)
            audit.record(EventType.ADDRESS_VERIFIED, account_id=account_id, at=now, email=email)


def proof_would_count(address: AddressView, *, now: datetime) -> bool:
    """Whether a mailed code may prove the address now; looks at the domain first (POLICY 8).

    A first proof counts unless the domain is known to be bad. A later one counts at a healthy domain, and where the
    address is in doubt only after a strong sign-in since the doubt began. Ends the present transaction when it looks.
    """
    verdict = check_fresh(address.domain, max_age=PROOF_EVIDENCE_MAX_AGE, now=now).judgement.verdict
    address = _as_it_stands(address)
    if address.verified_at is None:
        return verdict in {Verdict.HEALTHY, Verdict.UNKNOWN}
    if verdict is not Verdict.HEALTHY:
        return False
    return mailbox_worth(address) is not Mailbox.LOST or _strong_sign_in_since(address)


def _strong_sign_in_since(address: AddressView) -> bool:
    """True after a strong sign-in since the address was proved last, and since any block or doubt began."""
    strong = accounts.get(address.account_id).last_strong_sign_in_at
    times = (address.verified_at, address.blocked_at, address.doubted_at)
    return strong is not None and all(t is None or strong > t for t in times)


def prove(address: AddressView, *, client: Client | None, now: datetime) -> bool:
    """The owner proved an address by a mailed code; False where that must not count (see `proof_would_count`).

    An address that was in doubt is healed by it, which the account's other trusted addresses hear of. Without a strong
    sign-in, proving anew what is in no doubt changes nothing: a mailed code moves no baseline.
    """
    if not proof_would_count(address, now=now):
        return False
    address, account = _as_it_stands(address), accounts.get(address.account_id)
    if address.verified_at is not None and not _strong_sign_in_since(address):
        return True
    if address.verified_at is not None and mailbox_worth(address) is Mailbox.LOST:
        accounts.lift_block(address.id)
        audit.record(EventType.ADDRESS_UNBLOCKED, account_id=account.id, at=now, client=client, email=address.email)
        mail.notify(  # this address is none of the trusted ones yet
            account.id,
            "address_healed",
            subject=f"Address confirmed anew for {account.username}",
            now=now,
            username=account.username,
            email=address.email,
            client=client,
        )
    record_verification(address.id, address.domain, verified_at=now, now=now)
    audit.record(EventType.ADDRESS_VERIFIED, account_id=account.id, at=now, client=client, email=address.email)
    return True


def _as_it_stands(address: AddressView) -> AddressView:
    """The address again, after a look at its domain may have changed what it is worth."""
    return next((a for a in accounts.addresses(address.account_id) if a.id == address.id), address)


def record_verification(address_id: int, domain: str, *, verified_at: datetime, now: datetime) -> None:
    """The owner proved the address at that time, in the domain's present generation; look at the domain soon."""
    row = _row(domain, now=now)
    verdict = Verdict.HEALTHY.value if is_reserved(domain) and settings().is_loopback else row.verdict
    accounts.verify_address(address_id, generation=row.generation, verdict=verdict, now=verified_at)
    db.session().execute(delete(AddressBaseline).where(AddressBaseline.address_id == address_id))
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


def sweep(
    *,
    limit: int,
    now: datetime,
    at_most: timedelta | None = WORKER_SHARE,
    progress: Callable[[int], object] = lambda done: None,
) -> Sweep:
    """Look at domains that are due, longest due first, until `limit` or the time `at_most` is used up.

    Each is leased by itself, so that many workers share the work and a killed one keeps nothing back.
    """
    began, checked, changed, verdicts = time.monotonic(), 0, 0, dict[str, int]()
    while checked < limit and (at_most is None or time.monotonic() - began < at_most.total_seconds()):
        ids = db.claim(
            Domain.id,
            Domain.claimed_until,
            Domain.next_check_at <= now,
            limit=1,
            lease=LEASE,
            now=now,
            order_by=Domain.next_check_at,
        )
        if not ids:
            break
        with db.transaction() as session:
            row = session.get_one(Domain, ids[0])
            name, was = row.name, row.verdict
        verdict = check_now(name, now=now, rdap_max_age=RDAP_MAX_AGE_IN_SWEEP).judgement.verdict.value
        checked, changed = checked + 1, changed + (verdict != was)
        verdicts[verdict] = verdicts.get(verdict, 0) + 1
        progress(checked)
    return Sweep(checked, changed, verdicts)


def due(*, now: datetime) -> int:
    """How many domains wait for a look."""
    return db.session().scalar(select(func.count()).select_from(Domain).where(Domain.next_check_at <= now)) or 0
