"""Ending a hold early, by something older than its cause (POLICY 5)."""

from flask import Response, make_response, redirect, url_for
from flask.typing import ResponseReturnValue

from authsvc import access, accounts, audit, holds, mail
from authsvc.account_pages.blueprint import bp
from authsvc.audit import EventType
from authsvc.core.assurance import Action, Principal
from authsvc.core.errors import Forbidden
from authsvc.core.rate_limits import limited
from authsvc.core.web import client, request_time, requires


def may_end(who: Principal) -> bool:
    """True when the account has an authenticator that ends its hold."""
    now = request_time()
    return any(holds.may_be_ended_by(who.account_id, a, now=now) for a in accounts.enrolled(who.account_id, now=now))


@bp.post("/account/hold/end")
@requires(Action.END_HOLD)
@limited("account")
def end_hold() -> ResponseReturnValue:
    """Ask for the step-up, which takes something older than the hold."""
    if not may_end(access.require_principal()):
        raise Forbidden(
            "nothing older than the hold",
            message="Only a key, passkey or app that you had before the wait began can end it. It ends by itself.",
        )
    return access.step_up(Action.END_HOLD, params={}, words="End the wait now, so that nothing waits any more")


@access.carries_out(Action.END_HOLD)
def _end(who: Principal, params: dict[str, str]) -> Response:
    now = request_time()
    if holds.end_all(who.account_id, now=now):
        audit.record(EventType.HOLD_ENDED, account_id=who.account_id, at=now, client=client())
        mail.notify(
            who.account_id,
            "hold_ended",
            subject=f"Nothing waits any more for {who.username}",
            now=now,
            username=who.username,
            client=client(),
        )
    return make_response(redirect(url_for("account_pages.security"), code=303))
