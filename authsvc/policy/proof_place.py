"""Published proof: which linked places count for recovery, and whether a place's domain lets it count now.

Facts in, decision out. `proof_places` gathers them, asks the place and applies the decision.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from authsvc.policy.domain_verdict import Verdict

NEW_FOR = timedelta(days=30)  # POLICY 10: linked by step-up 30 days before
CHECK_LASTS = timedelta(minutes=10)  # between finding the line and the step-up that links the place


class Kind(StrEnum):
    """Where a line can be published. The values are stored."""

    DNS = "dns"
    WEB = "web"
    REPOSITORY = "repository"  # by its immutable id, since a name can be given up and taken by others


class Standing(StrEnum):
    """What a linked place counts for."""

    NEW = "new"  # linked under 30 days ago: whoever is in the account for a day must gain nothing by it
    READY = "ready"
    SUSPENDED = "suspended"  # until its owner confirms it again (POLICY 6)


class Reason(StrEnum):
    """Why a published line does not count now."""

    NOT_USABLE = "not_usable"  # unlinked, new, suspended, or somebody else's
    DOMAIN_REREGISTERED = "domain_reregistered"
    DOMAIN_UNHEALTHY = "domain_unhealthy"
    DOMAIN_UNCLEAR = "domain_unclear"  # registry or DNS told too little to say
    DOMAIN_MOVED = "domain_moved"  # nothing shows that it stayed in the same hands
    UNHEALTHY_ADDRESS = "unhealthy_address"
    UNREACHABLE = "unreachable"
    MOVED = "moved"  # a redirect: whose the other place is, nobody knows
    NOT_FOUND = "not_found"


def standing(*, linked_at: datetime, confirmed_at: datetime, confirm_after: datetime | None, now: datetime) -> Standing:
    """What a place counts for. Confirming it again does not make it younger: it was linked when it was linked.

    Source: POLICY 6 (`accounts.confirm_after`), POLICY 10. Raises nothing.
    """
    if confirm_after is not None and confirmed_at <= confirm_after:
        return Standing.SUSPENDED
    return Standing.NEW if now - linked_at < NEW_FOR else Standing.READY


@dataclass(frozen=True, kw_only=True)
class DomainFacts:
    """What a fresh look says about the registrable domain of a place."""

    verdict: Verdict  # judged from the place: when it was linked, and what was seen when it was confirmed last
    registered_at: datetime | None
    linked_at: datetime  # now, for a place that is being linked
    asked: bool  # false: a reserved name on one's own machine, which nobody is asked about
    continuous: bool  # since it was linked (`policy/continuity.py`)
    address_in_doubt: bool  # an address of the account at this domain may not get a code without more


def domain_problem(facts: DomainFacts) -> Reason | None:
    """Why the domain's present holder may be another than the one who linked the place; None when all is in order.

    Rules run top to bottom; the first that applies decides. A registration on the day of linking gets no slack, as
    it does for addresses: the owner can link another place. Without a date of registration nothing shows that the
    domain stayed in the same hands, so the place does not count; nor does it once the domain was transferred, or its
    registrar or servers are others, for a domain that is sold keeps its date. Raises nothing.
    Source: POLICY 10 ("own domain verdict, not on a domain of an unhealthy address"); POLICY 8, continuity.
    """
    registered_later = facts.registered_at is not None and facts.registered_at > facts.linked_at
    if registered_later or facts.verdict is Verdict.REREGISTERED:
        return Reason.DOMAIN_REREGISTERED
    if facts.address_in_doubt:
        return Reason.UNHEALTHY_ADDRESS
    if facts.verdict is Verdict.UNKNOWN:
        return Reason.DOMAIN_UNCLEAR
    if facts.verdict is not Verdict.HEALTHY:
        return Reason.DOMAIN_UNHEALTHY
    if facts.asked and facts.registered_at is None:
        return Reason.DOMAIN_UNCLEAR
    return None if facts.continuous else Reason.DOMAIN_MOVED
