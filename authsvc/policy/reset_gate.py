"""Reset gate: may a password-reset link be mailed to this address now?

Facts in, decision out. `recovery` gathers the facts and applies the decision.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from authsvc.core.assurance import Factor
from authsvc.policy.domain_verdict import Verdict

EVIDENCE_MAX_AGE = timedelta(minutes=10)  # of the look at the domain when a link is mailed (POLICY 8)
WAIT = timedelta(hours=72)  # of a new password, where the mailbox alone does not do (POLICY 8)


@dataclass(frozen=True, kw_only=True)
class ResetFacts:
    """What is known about one address. Times are UTC-aware."""

    address_verified: bool
    blocked: bool  # a block stands (see `block_stands`)
    generation_is_current: bool  # no lapse, no new registration since the owner proved the address
    verdict: Verdict
    reason: str  # the verdict's reason code
    continuity: bool  # nothing speaks of another owner since then (see `policy/continuity.py`)
    comparable: bool  # there is a baseline or a registration date to compare with, or a name nobody registers
    looked_up_at: datetime
    enrolled: frozenset[Factor]


@dataclass(frozen=True)
class Allow:
    """Mail the link. One of `also_prove` is asked for inside the reset; empty: nothing is enrolled.

    With `at_once` the mailbox alone will do; else `completes_at_once` decides when the link is used.
    """

    also_prove: frozenset[Factor]
    at_once: bool


@dataclass(frozen=True)
class Defer:
    """Not now: nothing is mailed, nothing is stored against the account."""

    reason: str


@dataclass(frozen=True)
class Block:
    """Nothing is mailed, and a block is stored on the address; only an older proof or recovery lifts it."""

    reason: str


def decide(facts: ResetFacts, now: datetime) -> Allow | Defer | Block:
    """Decide what a reset request for this address leads to.

    Rules run top to bottom; the first that applies decides. Missing evidence defers, so a failed look-up can
    delay a reset but never allow one. Raises nothing. Source: POLICY 8; OWASP ASVS 5.0, 6.4.3 (a reset does
    not bypass enabled factors).
    """
    if not facts.address_verified:
        return Defer("ADDRESS_UNVERIFIED")
    if facts.blocked:
        return Block("STICKY_BLOCK")
    if facts.verdict in {Verdict.LAPSED, Verdict.REREGISTERED}:
        return Block(facts.reason)
    if not facts.generation_is_current:
        return Block("GENERATION_CHANGED")
    if facts.verdict is not Verdict.HEALTHY:
        return Defer(facts.reason)
    if not facts.comparable:
        return Defer("NO_BASELINE")
    if now - facts.looked_up_at > EVIDENCE_MAX_AGE:
        return Defer("EVIDENCE_TOO_OLD")
    return Allow(also_prove=facts.enrolled - {Factor.PASSWORD}, at_once=facts.continuity)


def completes_at_once(*, continuity: bool, factor_proved: bool, senior_browser: bool) -> bool:
    """True when a new password is in force as soon as it is typed; else it waits for WAIT, and may be objected to.

    `continuity` as it was when the link was mailed; the browser is the one that opens the link. Source: POLICY 8.
    """
    return continuity or factor_proved or senior_browser


def block_stands(
    blocked_at: datetime | None,
    *,
    verified_at: datetime | None,
    last_strong_sign_in_at: datetime | None,
    last_recovery_at: datetime | None,
) -> bool:
    """True while a stored block counts.

    Completed recovery after it lifts it, or a strong sign-in after it *and then* proving the address again; a
    domain that works again may work for somebody else. A password or mailed code lifts nothing.
    Source: POLICY 8.
    """
    if blocked_at is None:
        return False
    if last_recovery_at is not None and last_recovery_at > blocked_at:
        return False
    strong, proved = last_strong_sign_in_at, verified_at
    return strong is None or proved is None or not blocked_at < strong <= proved
