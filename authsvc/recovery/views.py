"""Pages of a forgotten password. The answers are the same for everybody (POLICY 9)."""

from flask import Blueprint, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from authsvc import login
from authsvc.core.rate_limits import limited
from authsvc.core.web import (
    client,
    code_field,
    cookie,
    drop_cookie,
    public,
    query_field,
    request_time,
    set_cookie,
    settings,
    text_field,
)
from authsvc.recovery import resetting, service
from authsvc.recovery.resetting import LinkGone, Open

bp = Blueprint("recovery", __name__)

COOKIE = "reset"


@bp.get("/recovery")
@public
def request_reset() -> ResponseReturnValue:
    """The form."""
    return render_template("recovery/request.html", username="", error=None)


@bp.post("/recovery")
@public
@limited("reset")
def submit_request() -> ResponseReturnValue:
    """Write the request down; the same page follows whatever was typed."""
    typed, browser = text_field("username", max_length=320), cookie(login.BROWSER_COOKIE)
    service.request_reset(typed, client(), browser_token=browser, now=request_time())
    return redirect(url_for("recovery.sent"), code=303)


@bp.get("/recovery/sent")
@public
def sent() -> ResponseReturnValue:
    """What everybody is told."""
    return render_template("recovery/sent.html")


@bp.get("/recovery/help", endpoint="help")
@public
def help_page() -> ResponseReturnValue:
    """What is possible when something is lost."""
    return render_template("recovery/help.html")


@bp.get("/recovery/reset/<token>")
@public
@limited("reset")
def open_link(token: str) -> ResponseReturnValue:
    """Move the token from the address into a cookie, so that it leaks nowhere (attack R15). Uses nothing up."""
    response = make_response(redirect(url_for("recovery.reset"), code=303))
    set_cookie(response, COOKIE, token[:100], max_age_seconds=int(service.LINK_LIFE.total_seconds()))
    return response


@bp.get("/recovery/reset")
@public
def reset() -> ResponseReturnValue:
    """The form for the new password, or until when the one that was typed waits."""
    try:
        return _page(_find(), {})
    except LinkGone:
        return render_template("recovery/gone.html"), 410


def _find() -> Open:
    return resetting.find(cookie(COOKIE), browser_token=cookie(login.BROWSER_COOKIE), now=request_time())


def _page(link: Open, errors: dict[str, str]) -> str:
    if link.waits and link.waits_until is not None:
        return render_template(
            "recovery/reset_waits.html",
            username=link.account.username,
            typed_at=link.typed_at,
            until=link.waits_until,
            over=request_time() >= link.waits_until,
        )
    way = link.way(query_field("way"))
    return render_template(
        "recovery/reset.html",
        username=link.account.username,
        min_length=settings().password_min_length,
        factor=way,
        waits=not link.at_once,
        other_way="totp" if way == "key" and link.way("totp") == "totp" else None,
        options_url=url_for("recovery.key_options"),
        errors=errors,
    )


@bp.post("/recovery/reset/key")
@public
@limited("code")
def key_options() -> ResponseReturnValue:
    """A challenge for one of the account's keys, as JSON."""
    response = make_response(resetting.key_options(_find()))
    response.mimetype = "application/json"
    return response


@bp.post("/recovery/reset")
@public
@limited("code")
def submit_reset() -> ResponseReturnValue:
    """Set the new password; then sign in with it, through the same door as always. Or begin its wait."""
    try:
        link = _find()
    except LinkGone:
        return render_template("recovery/gone.html"), 410
    outcome = resetting.reset(
        link,
        text_field("new_password", max_length=4096, strip=False),
        code=code_field() if request.form.get("code") else "",
        credential=text_field("credential", max_length=20_000, required=False),
        client=client(),
        now=request_time(),
    )
    match outcome:
        case resetting.Refused(field, why):
            return _page(link, {field: why}), 422
        case resetting.Waiting():
            return redirect(url_for("recovery.reset"), code=303)
        case None:
            return _done(link)


@bp.post("/recovery/reset/complete")
@public
@limited("code")
def complete_reset() -> ResponseReturnValue:
    """Put the password in force whose wait is over."""
    link = _find()
    resetting.complete(link, client=client(), now=request_time())
    return _done(link)


def _done(link: Open) -> ResponseReturnValue:
    response = make_response(redirect(url_for("login.start"), code=303))
    login.give_pass(link.account.id, response, now=request_time())
    drop_cookie(response, COOKIE)
    return response
