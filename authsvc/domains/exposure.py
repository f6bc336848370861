"""Which published addresses sit at lapsed domains, and which of those are false alarms.

The answer is an attacker's shopping list; only operators get it.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from authsvc import accounts
from authsvc.core import db
from authsvc.domains.looks import Look, check_now, known, last_look
from authsvc.domains.published import BadLine, Nothing, Progress, Published, read
from authsvc.domains.registries import A_QUESTION_EVERY
from authsvc.policy.domain_verdict import Verdict
from authsvc.policy.exposure import OwnAddress, Standing, is_gone, standing
from authsvc.policy.registry_schedule import Purpose

log = logging.getLogger(__name__)

FRESH = timedelta(days=1)  # how old a last look may be
TRIES = 10  # while the registry may not be asked about a name that DNS does not know
NOT_TOLD = (Verdict.UNKNOWN.value, "LOOK_BROKE_OFF")

Pause = Callable[[float], object]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One published address that somebody else may get hold of."""

    published: Published
    verdict: str
    reason: str
    standing: Standing


@dataclass
class Seen:
    """What a file held. `domains` counts each domain once, the others lines."""

    addresses: int = 0
    without_address: int = 0
    bad: int = 0
    domains: Counter[tuple[str, str]] = field(default_factory=Counter)  # by verdict and reason
    standings: Counter[Standing] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class _State:
    """What is thought of a domain, and whether addresses there were proved before it changed hands."""

    verdict: str
    reason: str
    changed_hands: bool = False


def expose(
    path: Path, seen: Seen, *, now: datetime, progress: Progress, pause: Pause = time.sleep
) -> Iterator[Finding | BadLine]:
    """What the file gives away, line by line, and the lines that cannot be read; `seen` counts along.

    Each domain is judged once: by the last look when that is younger than a day, else by one taken now, which waits
    while the registry has to be left alone. What grows is the number of domains, not that of lines. Runs in
    transactions of its own; looks at domains without accounts are not stored.
    """
    began, states, shared = time.monotonic(), dict[str, _State](), dict[_State, _State]()
    for line in read(path, progress=progress):
        if isinstance(line, BadLine):
            seen.bad += 1
            yield line
            continue
        if isinstance(line, Nothing):
            seen.without_address += 1
            continue
        seen.addresses += 1
        name = line.domain
        if name not in states:
            state = _state(name, now=now + timedelta(seconds=time.monotonic() - began), pause=pause)
            states[name] = shared.setdefault(state, state)
            seen.domains[state.verdict, state.reason] += 1
        finding = _finding(line, states[name])
        if finding is not None:
            seen.standings[finding.standing] += 1
            yield finding


def _state(name: str, *, now: datetime, pause: Pause) -> _State:
    with db.snapshot():
        look, is_ours = last_look(name), known(name)
    try:
        if look is None or now - look.checked_at >= FRESH:
            look = _look(name, tries=1 if is_ours else TRIES, now=now, pause=pause)  # ours: each look counts as one
    except Exception:  # a domain made to break a look must not hide the others
        log.exception("the look at %s broke off", name)
        return _State(*NOT_TOLD)
    with db.snapshot() as session:
        changed_hands = is_ours and session.scalar(accounts.in_doubt_at(name).limit(1)) is not None
    return _State(look.judgement.verdict.value, look.judgement.reason, changed_hands or look.generation > 0)


def _look(name: str, *, tries: int, now: datetime, pause: Pause) -> Look:
    for _ in range(tries):
        with db.transaction():
            look = check_now(name, now=now, purpose=Purpose.SWEEP)
        evidence = look.evidence
        if evidence is None or evidence.dns.exists or not evidence.rdap.overdue:
            break
        pause(A_QUESTION_EVERY.total_seconds())  # only the registry can tell a free name from a broken one
        now += A_QUESTION_EVERY
    return look


def _finding(line: Published, state: _State) -> Finding | None:
    """None for an address that is in order. One at a domain that works is lost to an owner who proved it before."""
    verdict, gone = state.verdict, is_gone(Verdict(state.verdict), state.reason)
    if not gone and not state.changed_hands:
        return None
    with db.snapshot():
        owner = accounts.owner_of_address(line.email)
        if not gone:
            own = next((a for a in accounts.addresses(owner) if a.email == line.email), None) if owner else None
            if own is None or not _is_lost(own):
                return None
            verdict = own.verdict if own.verdict in accounts.LOST_VERDICTS else Verdict.REREGISTERED.value
        found = accounts.find(line.account) if line.account else None
        ids = {owner, found.id if found else None} - {None}
        addresses = [a for number in ids if number is not None for a in accounts.addresses(number)]
    return Finding(
        published=line,
        verdict=verdict,
        reason=state.reason if gone else "GENERATION_CHANGED",
        standing=standing(line.domain, _own(addresses) if ids else None),
    )


def _own(addresses: Collection[accounts.AddressView]) -> list[OwnAddress]:
    return [
        OwnAddress(domain=a.domain, healthy=a.trusted and a.verdict == Verdict.HEALTHY.value, lost=_is_lost(a))
        for a in addresses
        if a.verified_at is not None
    ]


def _is_lost(address: accounts.AddressView) -> bool:
    return (
        address.blocked_at is not None
        or address.verdict in accounts.LOST_VERDICTS
        or address.generation != address.domain_generation
    )
