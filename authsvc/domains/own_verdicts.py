"""What a look means for addresses there whose owners saw the domain otherwise when they proved them.

The domain's verdict is for nobody in particular; here are the addresses for which it is worse. They are judged when a
look saw something that their baselines are compared with, not at every look: there may be thousands.
"""

from collections import defaultdict
from datetime import datetime

from sqlalchemy import select

from authsvc import accounts, adapters
from authsvc.core import db
from authsvc.core.evidence import DnsEvidence, Evidence
from authsvc.domains.models import AddressBaseline, Domain
from authsvc.policy.domain_verdict import Baseline, History, Impact, Judgement, Verdict, judge

WORSE = frozenset({Verdict.SUSPECT, Verdict.REREGISTERED})  # what a baseline can add; the other rules know of none


def due(row: Domain, evidence: Evidence, judgement: Judgement, *, rdap_at: datetime | None) -> bool:
    """Whether the addresses are to be judged anew, given the row of the look before. Reads baselines at most.

    A date of a baseline that has passed is noticed when the registry answered anew, so that a look that sees the same
    and asks no registry never changes anything (`as_before`).
    """
    last = row.evidence()
    if row.judged_at is None or last is None or row.held_at is not None or judgement.verdict.value != row.verdict:
        return True
    if _compared(last) != _compared(evidence):
        return True
    return rdap_at is not None and rdap_at != row.rdap_checked_at and _date_passed(row.name, row.judged_at, rdap_at)


def _compared(seen: Evidence) -> tuple[object, ...]:
    """All that a rule sets against a baseline."""
    return _servers(seen.dns), seen.rdap


def _servers(dns: DnsEvidence) -> tuple[object, ...]:
    hosts = frozenset(host.name for host in dns.mail_hosts)
    return dns.fault, dns.exists, dns.null_mx, dns.implicit_mx, hosts, frozenset(dns.name_servers)


def _date_passed(name: str, since: datetime, until: datetime) -> bool:
    passed = AddressBaseline.expires_at.between(since, until)
    query = select(AddressBaseline.address_id).where(AddressBaseline.address_id.in_(accounts.ids_at(name)), passed)
    return db.session().scalar(query.limit(1)) is not None


def worse(name: str, evidence: Evidence, before: History, *, now: datetime) -> dict[Verdict, list[int]]:
    """Ids of addresses that are suspect or re-registered by their own baseline, by verdict.

    Those with the same baseline are judged at once, by the oldest proof: that one is worst off.
    """
    proofs, same = accounts.proofs_at(name), defaultdict[Baseline, list[int]](list)
    rows = select(AddressBaseline).where(AddressBaseline.address_id.in_(accounts.ids_at(name)))
    for row in db.session().scalars(rows.execution_options(yield_per=1000)):
        if row.address_id in proofs:
            same[row.seen()].append(row.address_id)
    lists, found = adapters.current().lists, defaultdict[Verdict, list[int]](list)

    def verdict(baseline: Baseline, verified_at: datetime) -> Verdict:
        return judge(
            evidence, before, baseline, verified_at=verified_at, impact=Impact.NORMAL, lists=lists, now=now
        ).verdict

    for baseline, ids in same.items():
        if verdict(baseline, min(proofs[address_id] for address_id in ids)) in WORSE:
            for address_id in ids:
                found[verdict(baseline, proofs[address_id])].append(address_id)
    return {kind: ids for kind, ids in found.items() if kind in WORSE}
