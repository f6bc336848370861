"""Changing the password: shown as one action, proved by a step-up, and everything issued before it dies."""

from flask import Response, make_response, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from authsvc import access, accounts, audit, mail, passwords
from authsvc.account_pages.blueprint import bp
from authsvc.audit import EventType
from authsvc.core.assurance import Action, Principal
from authsvc.core.errors import TooMany
from authsvc.core.rate_limits import limited
from authsvc.core.web import client, request_time, requires, settings, text_field


@bp.get("/account/password")
@requires(Action.CHANGE_PASSWORD)
def change_password() -> ResponseReturnValue:
    """The form."""
    return _form(access.require_principal(), {})


def _form(who: Principal, errors: dict[str, str]) -> str:
    return render_template(
        "account_pages/change_password.html",
        errors=errors,
        username=who.username,
        min_length=settings().password_min_length,
        token_count=0,
    )


@bp.post("/account/password")
@requires(Action.CHANGE_PASSWORD)
@limited("account")
def submit_password() -> ResponseReturnValue:
    """Check the present and the new password, then ask for the step-up (ASVS 6.2.3)."""
    who, now = access.require_principal(), request_time()
    present = text_field("password", max_length=1024, strip=False)
    new = text_field("new_password", max_length=4096, strip=False)
    verified = passwords.verify(who.account_id, present, name=who.username, browser_id=who.browser_id, now=now)
    if not verified.charged:
        raise TooMany("password budget empty", retry_after=300)
    if not verified.ok:
        return _form(who, {"password": "This is not your present password."}), 422
    problem = "Choose a password that is not the present one." if new == present else None
    problem = problem or passwords.problem_with(new, username=who.username)
    if problem is not None:
        return _form(who, {"new_password": problem}), 422
    return access.step_up(
        Action.CHANGE_PASSWORD,
        params={"hash": passwords.hash_new(new, known=True)},
        words="Change your password and sign out everywhere else",
        back=url_for("account_pages.change_password"),
    )


@access.carries_out(Action.CHANGE_PASSWORD)
def _change(who: Principal, params: dict[str, str]) -> Response:
    now = request_time()
    passwords.set_hash(who.account_id, params["hash"], now=now)
    epoch = accounts.raise_epoch(who.account_id)
    audit.record(EventType.PASSWORD_CHANGED, account_id=who.account_id, at=now, client=client())
    mail.notify(
        who.account_id,
        "password_changed",
        subject=f"Password changed for {who.username}",
        now=now,
        username=who.username,
        client=client(),
    )
    response = make_response(redirect(url_for("account_pages.security"), code=303))
    return access.carry_over(response, who, epoch=epoch)
