"""The banner on every page of somebody whose mandate is not met yet: why, from when, and how long that is."""

from datetime import datetime

from flask import Blueprint

from authsvc import access, mandates
from authsvc.core.web import request_time
from authsvc.policy.mandate import Strength


def register(bp: Blueprint) -> None:
    """Give every template `mandate_ahead()`. Called when the page is written, so what was enrolled just now counts."""

    @bp.app_context_processor
    def banner() -> dict[str, object]:
        return {"mandate_ahead": mandate_ahead}


def mandate_ahead() -> dict[str, object] | None:
    """What the banner says; None where there is none."""
    who, now = access.principal(), request_time()
    mandate = mandates.ahead(who.account_id, now=now) if who is not None else None
    if mandate is None:
        return None
    return {
        "reason": mandate.reason,
        "enforced_from": mandate.enforced_from,
        "in_force": mandate.in_force(now),
        "left": time_left(mandate.enforced_from, now),
        "for_keys": mandate.strength.for_keys,
        "two_keys": mandate.strength is Strength.TWO_PHISHING_RESISTANT,
    }


def time_left(until: datetime, now: datetime) -> str:
    """How long that is, in words: days, on the last day hours."""
    hours = int((until - now).total_seconds() // 3600)
    number, unit = (hours // 24, "day") if hours >= 48 else (hours, "hour")
    if number < 1:
        return "less than an hour"
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"
