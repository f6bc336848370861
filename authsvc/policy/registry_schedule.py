"""Registry schedule: has the time come to ask a registry about a domain again?

Facts in, decision out. `domains` asks; registries are slow and count questions, so that most looks lean on the answer
before. Source: issue 4, "Sweep"; decision 0024.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never

from authsvc.core.domain_names import registrable_domain
from authsvc.core.evidence import DnsEvidence
from authsvc.policy.domain_verdict import Impact

MAX_AGE = {Impact.NORMAL: timedelta(days=30), Impact.HIGH: timedelta(days=7)}
MAX_AGE_AT_RESET = timedelta(days=1)  # POLICY 8
MAX_AGE_AT_PROOF = timedelta(minutes=10)  # always, but not for each of many newcomers at one company
# A renewal counts only when it is seen before the date (decision 0024). Twice, because a daily look may be late.
BEFORE_EXPIRY = (timedelta(days=2), timedelta(days=1))
FIRST_AFTER_EXPIRY = timedelta(days=1)
WEEKLY = timedelta(days=7)
# Grace, redemption and deletion take 45, 30 and 5 days: by then an expired name is renewed or free.
WEEKLY_FOR = timedelta(days=80)


class Purpose(StrEnum):
    """For whom a domain is looked at. For all but the sweep somebody waits."""

    SWEEP = "sweep"
    RESET = "reset"
    PROOF = "proof"  # of an address, or of a place where proofs are published; also the sweep's first look after it


@dataclass(frozen=True, kw_only=True)
class RegistryFacts:
    """What is known of one domain, and who asks. Times are aware UTC."""

    answered_at: datetime | None  # when the last usable answer was given; None: there is none to lean on
    expires_at: datetime | None = None  # the date in that answer
    renewed_by_itself: bool = False  # that answer said "auto renew period": the registry may take the renewal back
    changed: bool = False  # DNS differs from the look before, or the domain was not healthy then
    purpose: Purpose = Purpose.SWEEP
    impact: Impact = Impact.NORMAL


def due_at(facts: RegistryFacts) -> datetime | None:
    """From when on the registry is to be asked; None: at once. Raises nothing."""
    answered_at = facts.answered_at
    if answered_at is None or facts.changed:
        return None
    times = [answered_at + _max_age(facts)]
    if facts.renewed_by_itself:
        times.append(answered_at + WEEKLY)
    if facts.expires_at is not None:
        times += [at for at in _around(facts.expires_at) if at > answered_at]
    return min(times)


def due(facts: RegistryFacts, *, now: datetime) -> bool:
    """True when the registry is to be asked now."""
    at = due_at(facts)
    return at is None or now >= at


def _max_age(facts: RegistryFacts) -> timedelta:
    match facts.purpose:
        case Purpose.PROOF:
            return MAX_AGE_AT_PROOF
        case Purpose.RESET:
            return MAX_AGE_AT_RESET
        case Purpose.SWEEP:
            return MAX_AGE[facts.impact]
        case _:
            assert_never(facts.purpose)


def _around(expires_at: datetime) -> list[datetime]:
    """When to ask around an expiry date."""
    weeks = (WEEKLY_FOR - FIRST_AFTER_EXPIRY) // WEEKLY
    after = [FIRST_AFTER_EXPIRY + week * WEEKLY for week in range(weeks + 1)]
    return [expires_at - before for before in BEFORE_EXPIRY] + [expires_at + later for later in after]


def same_servers(domain: str, before: DnsEvidence, now: DnsEvidence) -> bool:
    """True when DNS says the same as before, as far as it may speak of other hands.

    Addresses count only of hosts in the domain itself: those of a mail company change daily.
    """
    return _as_compared(domain, before) == _as_compared(domain, now)


def _as_compared(domain: str, seen: DnsEvidence) -> tuple[object, ...]:
    own = registrable_domain(domain) or domain
    hosts = frozenset(
        (host.name, host.addresses if registrable_domain(host.name) == own else bool(host.addresses))
        for host in seen.mail_hosts
    )
    return replace(seen, mail_hosts=()), hosts
