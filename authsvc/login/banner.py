"""The banner on every page of somebody whose mandate is not met yet: why, from when, and how long that is."""

from datetime import datetime

from flask import Blueprint, current_app, request

from authsvc import access, accounts, mandates
from authsvc.core.assurance import PHISHING_RESISTANT, Action, Lack
from authsvc.core.web import request_time
from authsvc.policy.mandate import Strength

WORDS = {  # what is required, and what to do about it
    Strength.ANY_SECOND_FACTOR: ("A second step is", "Add a second step"),
    Strength.PHISHING_RESISTANT: ("A key or passkey is", "Add a key or passkey"),
    Strength.TWO_PHISHING_RESISTANT: ("Two keys or passkeys are", "Add a key or passkey"),
}


def register(bp: Blueprint) -> None:
    """Give every template `mandate_ahead()`. Called when the page is written, so what was enrolled just now counts."""

    @bp.app_context_processor
    def banner() -> dict[str, object]:
        return {"mandate_ahead": mandate_ahead}


def mandate_ahead() -> dict[str, object] | None:
    """What the banner says; None where there is none, and on pages that are for everybody."""
    view = current_app.view_functions.get(request.endpoint or "")
    who, now = access.principal(), request_time()
    if who is None or not isinstance(getattr(view, "access", None), Action):
        return None
    mandate = mandates.ahead(who.account_id, now=now)
    if who.mandate_lack in {Lack.PROOF, Lack.SENIORITY} and not (mandate and mandate.in_force(now)):
        then = mandates.counts_from(who.account_id, now=now)
        return {"state": "too_new" if then else "unproved", "counts_from": then}
    if mandate is None:
        return None
    exemption = mandates.current_exemption(who.account_id, now=now)
    exempt = exemption is not None and exemption.until == mandate.enforced_from
    kinds = {own.kind for own in accounts.enrolled(who.account_id, now=now)}
    what, add = WORDS[mandate.strength]
    return {
        "reason": mandate.reason,
        "enforced_from": mandate.enforced_from,
        "state": "in_force" if mandate.in_force(now) else "exempt" if exempt else "ahead",
        "left": time_left(mandate.enforced_from, now),
        "what": what,
        "add": "Add a second key" if mandate.strength.number > 1 and kinds & PHISHING_RESISTANT else add,
    }


def time_left(until: datetime, now: datetime) -> str:
    """How long that is, in words: days, on the last day hours."""
    hours = int((until - now).total_seconds() // 3600)
    number, unit = (hours // 24, "day") if hours >= 48 else (hours, "hour")
    if number < 1:
        return "less than an hour"
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"
