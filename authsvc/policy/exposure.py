"""Exposure: a registry publishes an address at a domain somebody else may hold. Is its account still within reach?

Facts in, answer out. `domains` gathers the facts. Source: issue 4, "Public metadata".
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from authsvc.policy.domain_verdict import Verdict

# Suspect for one of these: gone as far as can be told, but no registry says so, or staff have yet to believe it.
GONE = frozenset({"NXDOMAIN", "NOT_REGISTERED", "REDEMPTION_PERIOD", "PENDING_DELETE", "MX_HOST_DOMAIN_LAPSED"})


class Standing(StrEnum):
    """What a published address at a lost domain means."""

    EXPOSED = "exposed"  # the account rests on a lost domain here too
    MOVED_ON = "moved on"  # a false alarm: what is published is out of date
    UNCLEAR = "unclear"  # the account went elsewhere, and that is not in order either
    NO_ACCOUNT = "no account"  # nobody here: what is published is all that is known


@dataclass(frozen=True, kw_only=True)
class OwnAddress:
    """One verified address of the account on our side."""

    domain: str
    healthy: bool  # the verdict is healthy, and the address was proved in this generation of the domain
    lost: bool  # somebody else may hold its mailbox


def is_gone(verdict: Verdict, reason: str) -> bool:
    """Whether an address at a domain of this verdict is to be told of; a lapse that nobody confirmed counts."""
    return verdict is Verdict.LAPSED or (verdict is Verdict.SUSPECT and reason in GONE)


def standing(published_domain: str, own: Collection[OwnAddress] | None) -> Standing:
    """What the account's verified addresses say; None when nobody here has that name or address.

    Rules run top to bottom; only an account whose every address is elsewhere and healthy is a false alarm. Raises
    nothing.
    """
    if own is None:
        return Standing.NO_ACCOUNT
    if any(address.lost or address.domain == published_domain for address in own):
        return Standing.EXPOSED
    if not own or not all(address.healthy for address in own):
        return Standing.UNCLEAR
    return Standing.MOVED_ON
