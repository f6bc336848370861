"""Pages of the mailed link that gives a browser tries of its own. Opening it changes nothing, the button does."""

from flask import make_response, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from authsvc.core.rate_limits import limited
from authsvc.core.web import cookie, drop_cookie, public, request_time, set_cookie
from authsvc.login import passes
from authsvc.login.passes import LINK_COOKIE, PassGone
from authsvc.login.views import bp

__all__ = ["bp"]


@bp.get("/login/pass/<token>")
@public
@limited("code")
def open_pass_link(token: str) -> ResponseReturnValue:
    """Move the token from the address into a cookie, so that it leaks nowhere (attack R15). Uses nothing up."""
    response = make_response(redirect(url_for("login.own_tries"), code=303))
    set_cookie(response, LINK_COOKIE, token[:100], max_age_seconds=int(passes.LINK_LIFE.total_seconds()))
    return response


@bp.get("/login/pass")
@public
def own_tries() -> ResponseReturnValue:
    """What the button will do."""
    try:
        account = passes.find_link(cookie(LINK_COOKIE), now=request_time())
    except PassGone:
        return render_template("login/own_tries.html", username=None), 410
    return render_template("login/own_tries.html", username=account.username)


@bp.post("/login/pass")
@public
@limited("code")
def take_pass() -> ResponseReturnValue:
    """Give this browser its tries; then sign in, through the same door as always."""
    response = make_response(redirect(url_for("login.start"), code=303))
    try:
        passes.open_link(cookie(LINK_COOKIE), response, now=request_time())
    except PassGone:
        return render_template("login/own_tries.html", username=None), 410
    drop_cookie(response, LINK_COOKIE)
    return response
