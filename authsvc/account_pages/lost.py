"""Replacing a lost authenticator in one action: the new one is enrolled, the old one ends, a hold begins (POLICY 4)."""

from flask import Response, render_template
from flask.typing import ResponseReturnValue

from authsvc import access, accounts, audit, mail, recovery_codes
from authsvc.account_pages import enrol, removal
from authsvc.account_pages.blueprint import bp
from authsvc.audit import EventType
from authsvc.core.assurance import Action, Factor, Principal
from authsvc.core.errors import Forbidden
from authsvc.core.rate_limits import limited
from authsvc.core.web import client, request_time, requires, text_field


class NoCodesLeft(Forbidden):
    """Nothing was kept that could replace what is lost."""

    title = "No recovery codes are left"
    message = (
        "What is lost is replaced with one of your recovery codes, and there are none. Remove it with another key, "
        "passkey or app of yours instead; without one, recovery is the way on."
    )


@bp.get("/account/authenticators/<int(max=9223372036854775807):authenticator_id>/lost")
@requires(Action.REPLACE_AUTHENTICATOR)
def lost_authenticator(authenticator_id: int) -> ResponseReturnValue:
    """What comes in place of the lost one."""
    found, who = removal.own(authenticator_id), access.require_principal()
    app_too = removal.may_replace(who.account_id, found, Factor.TOTP, now=request_time())
    return render_template(
        "account_pages/lost.html",
        authenticator_id=found.id,
        label=found.label,
        codes_left=recovery_codes.left(who.account_id),
        keys_only=accounts.get(who.account_id).keys_only or not app_too,
    )


@bp.post("/account/authenticators/<int(max=9223372036854775807):authenticator_id>/lost")
@requires(Action.REPLACE_AUTHENTICATOR)
@limited("account")
def submit_lost(authenticator_id: int) -> ResponseReturnValue:
    """Ask for the step-up, which takes a recovery code; then the new one is enrolled and the lost one ends."""
    found, account = removal.own(authenticator_id), accounts.get(access.require_principal().account_id)
    way = "totp" if text_field("way", max_length=10) == "totp" and not account.keys_only else "key"
    if not recovery_codes.left(account.id):
        raise NoCodesLeft("no recovery codes left")
    kind = Factor.TOTP if way == "totp" else Factor.SECURITY_KEY
    removal.check_replacement(account.id, found, kind, now=request_time())
    new = "an authenticator app" if way == "totp" else "a security key or passkey"
    return access.step_up(
        Action.REPLACE_AUTHENTICATOR,
        params={"id": str(found.id), "way": way},
        words=f"Replace {removal.words_for(found)}, which is lost, by {new}",
    )


@access.carries_out(Action.REPLACE_AUTHENTICATOR)
def _replace(who: Principal, params: dict[str, str]) -> Response:
    now, left = request_time(), recovery_codes.left(who.account_id)
    audit.record(EventType.RECOVERY_CODE_USED, account_id=who.account_id, at=now, client=client(), left=left)
    mail.notify(
        who.account_id,
        "recovery_code_used",
        subject=f"Recovery code used for {who.username}",
        now=now,
        username=who.username,
        left=left,
        client=client(),
    )
    return enrol.begin(who, params["way"], replaces=removal.own(int(params["id"])).id)
