"""Domains that are as they were: found out by the fast path, and written down in one statement.

They were healthy at the last look, DNS says the same in bulk, no registry is due, and the same judgement follows.
Everything else is for `looks.check_now`: nothing is ever concluded from a difference seen here.
"""

import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from sqlalchemy import case, select, update

from authsvc import accounts, adapters
from authsvc.adapters.dns_bulk import Answer, Kind, Question
from authsvc.core import db
from authsvc.core.domain_names import registrable_domain
from authsvc.core.evidence import DnsEvidence, Evidence, MailHost, RdapEvidence, RdapOutcome
from authsvc.domains.hosts import HostDomain
from authsvc.domains.models import Domain
from authsvc.policy.domain_verdict import RECHECK_DAILY, RECHECK_OFTEN, Baseline, Impact, Verdict, judge, works
from authsvc.policy.registry_schedule import RegistryFacts, due

AGAIN_AFTER = {Impact.NORMAL: RECHECK_DAILY, Impact.HIGH: RECHECK_OFTEN}
JITTER = 0.1  # of that time, so that domains that came together do not stay together…
STEPS = 21  # …in so many steps
USABLE = frozenset({RdapOutcome.FOUND, RdapOutcome.NO_SERVICE})

zone_of = lru_cache(maxsize=50_000)(registrable_domain)  # servers are the same few for most domains


@dataclass(frozen=True)
class _Candidate:
    """A domain that stays as it is if DNS says what it said."""

    id: int
    name: str
    impact: Impact
    dns: DnsEvidence

    def questions(self) -> Iterator[Question]:
        """All that has to be asked. Most domains share all but the first two with others."""
        zone = zone_of(self.name) or self.name
        yield self.name, Kind.MX
        yield zone, Kind.NS
        for host in self.dns.mail_hosts:
            yield host.name, Kind.A
            yield host.name, Kind.AAAA
        for domain in {zone_of(server) for server in self.dns.name_servers} - {zone, None}:
            yield str(domain), Kind.NS  # that it exists: see `DnsEvidence.missing`

    def is_as_before(self, answers: Mapping[Question, Answer]) -> bool:
        """Whether the answers are what `policy.registry_schedule.same_servers` compares, and each is plain."""
        said = [answers.get(question) for question in self.questions()]
        zone = zone_of(self.name) or self.name
        return (
            None not in said
            and said[0] == frozenset(host.name for host in self.dns.mail_hosts)
            and said[1] == frozenset(self.dns.name_servers)
            and all(self._lives(host, answers, zone) for host in self.dns.mail_hosts)
        )

    def _lives(self, host: MailHost, answers: Mapping[Question, Answer], zone: str) -> bool:
        addresses = (answers[host.name, Kind.A] or frozenset()) | (answers[host.name, Kind.AAAA] or frozenset())
        if zone_of(host.name) == zone and addresses != frozenset(host.addresses):
            return False
        return works(MailHost(name=host.name, addresses=tuple(addresses)))


def settle(
    rows: Sequence[Domain],
    impacts: Mapping[str, Impact],
    *,
    lease: datetime,
    until: float,
    claimed_at: datetime,
    now: datetime,
) -> frozenset[int]:
    """Ask about claimed domains in bulk and write down those that are as before; returns their ids.

    `lease`: what they are claimed until; a row that somebody else wrote to since is left alone. `until`: when to stop
    asking, by the monotonic clock. Nobody is asked inside a transaction; the writing is one of its own.
    """
    bulk = adapters.current().dns_bulk
    if bulk is None:
        return frozenset()
    candidates = _candidates(rows, impacts, now=now)
    questions = dict.fromkeys(question for candidate in candidates for question in candidate.questions())
    answers: dict[Question, Answer] = {}
    for question, answer in bulk.ask(questions):
        answers[question] = answer
        if time.monotonic() >= until:
            break
    same = [candidate for candidate in candidates if candidate.is_as_before(answers)]
    written = set[int]()
    for impact in Impact:
        ids = [candidate.id for candidate in same if candidate.impact is impact]
        written |= _write(ids, impact, lease=lease, claimed_at=claimed_at, now=now)
    return frozenset(written)


def _candidates(rows: Sequence[Domain], impacts: Mapping[str, Impact], *, now: datetime) -> list[_Candidate]:
    with db.transaction():
        newest = accounts.newest_at([row.name for row in rows])
        hosts = _host_answers({host for row in rows for host in row.hosts_rdap or ()})
    found = []
    for row in rows:
        impact = impacts.get(row.name, Impact.NORMAL)
        evidence = row.evidence()
        if evidence is not None and _may_stay(row, evidence, newest.get(row.name), hosts, impact, now=now):
            found.append(_Candidate(row.id, row.name, impact, evidence.dns))
    return found


def _host_answers(names: Iterable[str]) -> dict[str, tuple[RdapEvidence, datetime]]:
    """What registries said about domains of mail hosts, and when."""
    rows = db.session().scalars(select(HostDomain).where(HostDomain.name.in_(names)))
    return {row.name: (RdapEvidence.from_json(row.rdap), row.asked_at) for row in rows}


def _may_stay(
    row: Domain,
    last: Evidence,
    newest: datetime | None,
    hosts: Mapping[str, tuple[RdapEvidence, datetime]],
    impact: Impact,
    *,
    now: datetime,
) -> bool:
    """Whether a look that saw the same in DNS would change nothing but the times.

    `newest`: when an address was last added or proved there. An address that came after the last look, or after the
    registry's answer, has no baseline yet, or is older than what was registered.
    """
    dns, asked_at = last.dns, row.rdap_checked_at
    if row.verdict != Verdict.HEALTHY.value or row.checked_at is None or asked_at is None or row.held_at is not None:
        return False
    if row.judged_at is None:
        return False
    if newest is not None and (newest >= row.checked_at or newest > asked_at):
        return False
    if dns.implicit_mx or dns.missing or not dns.mail_hosts or not all(map(works, dns.mail_hosts)):
        return False
    if not dns.name_servers or not _rests(last.rdap, asked_at, impact, now=now):
        return False
    theirs = {zone_of(host.name) for host in dns.mail_hosts} - {zone_of(row.name), None}
    if theirs != set(last.hosts_rdap):
        return False
    for name, before in last.hosts_rdap.items():
        answer, answered_at = hosts.get(name, (None, now))
        if answer is None or answer.registered_at != before.registered_at:
            return False
        if not _rests(answer, answered_at, impact, now=now):
            return False
    seen = Evidence(
        domain=row.name, dns=dns, rdap=last.rdap, hosts_rdap={name: hosts[name][0] for name in last.hosts_rdap}
    )
    judgement = judge(
        seen,
        row.history_before(),  # it matters to failures alone
        Baseline(),
        verified_at=None,
        impact=impact,
        lists=adapters.current().lists,
        now=now,
    )
    return (judgement.verdict.value, judgement.reason) == (row.verdict, row.reason)


def _rests(rdap: RdapEvidence, answered_at: datetime, impact: Impact, *, now: datetime) -> bool:
    """Whether a registry need not be asked now. That there is none to ask holds as long as an answer would."""
    facts = RegistryFacts(
        answered_at=answered_at if rdap.outcome in USABLE and not rdap.overdue else None,
        expires_at=rdap.expires_at,
        renewed_by_itself="autorenewperiod" in rdap.statuses,
        impact=impact,
    )
    return not due(facts, now=now)


def _write(ids: Sequence[int], impact: Impact, *, lease: datetime, claimed_at: datetime, now: datetime) -> set[int]:
    """One more healthy look for each, as `looks._store` would write it with the same evidence. Returns those written.

    An address proved in the meantime has made its domain due anew: such a row is left for the next look.
    """
    if not ids:
        return set()
    spread = JITTER * AGAIN_AFTER[impact]
    times = {step: now + AGAIN_AFTER[impact] + spread * (2 * step / (STEPS - 1) - 1) for step in range(STEPS)}
    no_registry = Domain.reason == "OK_NO_RDAP"
    change = (
        update(Domain)
        .where(Domain.id.in_(ids), Domain.claimed_until == lease, Domain.next_check_at <= claimed_at)
        .values(
            consecutive_failures=0,
            first_failure_at=None,
            failure=None,
            last_healthy_at=Domain.checked_at,  # the look before this one: see `Domain.history`
            last_rdap_ok_at=case((no_registry, Domain.last_rdap_ok_at), else_=Domain.rdap_checked_at),
            checked_at=now,
            next_check_at=case(times, value=(Domain.id + random.randrange(STEPS)) % STEPS),
            claimed_until=None,
        )
        .returning(Domain.id)
    )
    with db.transaction() as session:
        return set(session.scalars(change, execution_options={"synchronize_session": False}))
