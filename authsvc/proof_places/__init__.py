"""Published proof: places where only the owner can publish, linked in good times and asked in a recovery (POLICY 10).

A place is a name in DNS, a page, or a repository at a forge. It is linked by a step-up and by publishing a token there,
counts 30 days later, and is suspended by freeze, reset and recovery until it is confirmed again (POLICY 6).

Verbs, for the account page: parse, places, is_full, name, unproved, check, link, renew, unlink, erase; for recovery:
usable, new_token, line, verify.
"""

from authsvc.policy.proof_place import Kind, Reason, Standing
from authsvc.proof_places.places import InvalidPlace, Location, line, new_token, parse
from authsvc.proof_places.service import (
    MAX_PLACES,
    PlaceView,
    Refused,
    Unproved,
    Verified,
    check,
    erase,
    is_full,
    link,
    name,
    places,
    renew,
    unlink,
    unproved,
    usable,
    verify,
)

# Why a published line does not count now, for people.
REFUSED_WORDS = {
    Reason.NOT_USABLE: "This place cannot be used now.",
    Reason.DOMAIN_REREGISTERED: "The domain of this place was registered anew since the place was linked.",
    Reason.DOMAIN_UNHEALTHY: "The domain of this place is not in order: it may have lapsed, moved, or take no mail.",
    Reason.DOMAIN_UNCLEAR: (
        "Nothing says now since when this domain is registered, so it might have changed hands. Please try again "
        "later. For some domains nobody publishes this, and a place at another domain is needed."
    ),
    Reason.DOMAIN_MOVED: (
        "The domain of this place was transferred, or its registrar, name servers or mail servers changed, since the "
        "place was linked, so it may be somebody else's now. If it is yours, link the place again."
    ),
    Reason.UNHEALTHY_ADDRESS: "This place is at the domain of an address of yours that is in doubt.",
    Reason.UNREACHABLE: (
        "The place could not be read. A page has to be public, answer within ten seconds, and be at most 256 KiB long."
    ),
    Reason.MOVED: "This address only leads on to another one. Name the page where the line itself stands.",
    Reason.NOT_FOUND: "The line is not there yet. DNS and pages can take some minutes to show it.",
}

__all__ = [
    "MAX_PLACES",
    "REFUSED_WORDS",
    "InvalidPlace",
    "Kind",
    "Location",
    "PlaceView",
    "Reason",
    "Refused",
    "Standing",
    "Unproved",
    "Verified",
    "check",
    "erase",
    "is_full",
    "line",
    "link",
    "name",
    "new_token",
    "parse",
    "places",
    "renew",
    "unlink",
    "unproved",
    "usable",
    "verify",
]
