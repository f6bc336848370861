"""Pages that open a frozen account again: prove what is older, wait where that is all, confirm what is disputed."""

from collections.abc import Callable, Collection
from typing import assert_never

from flask import make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from authsvc import login
from authsvc.core.assurance import PHISHING_RESISTANT, Factor
from authsvc.core.errors import BadInput
from authsvc.core.rate_limits import limited
from authsvc.core.web import (
    client,
    code_field,
    cookie,
    drop_cookie,
    public,
    request_time,
    set_cookie,
    settings,
    text_field,
)
from authsvc.policy import freeze as policy
from authsvc.recovery import unfreezing
from authsvc.recovery.unfreezing import Open
from authsvc.recovery.views import bp

COOKIE = "unfreeze"
WRONG = "That was not right. Please try again."
LIFE = policy.WAIT + unfreezing.MATURE_FOR


def _attempt() -> Open:
    return unfreezing.find(cookie(COOKIE), browser_token=cookie(login.BROWSER_COOKIE), now=request_time())


def _begun(token: str) -> ResponseReturnValue:
    response = make_response(redirect(url_for("recovery.unfreeze"), code=303))
    set_cookie(response, COOKIE, token, max_age_seconds=int(LIFE.total_seconds()))
    return response


@bp.get("/recovery/unfreeze/<token>")
@public
def open_unfreeze_link(token: str) -> ResponseReturnValue:
    """Move the token from the address into a cookie (attack R15). Uses nothing up."""
    return _begun(token[:100])


@bp.post("/recovery/unfreeze/begin")
@public
@limited("code")
def unfreeze_in_sign_in() -> ResponseReturnValue:
    """Go on from a sign-in that met the freeze."""
    account_id, with_password = login.frozen_account()
    return _begun(unfreezing.begin_in_sign_in(account_id, with_password=with_password, now=request_time()))


@bp.get("/recovery/unfreeze")
@public
def unfreeze() -> ResponseReturnValue:
    """What this attempt still needs."""
    return _page(_attempt(), {})


def _page(attempt: Open, errors: dict[str, str]) -> str:
    decision = policy.decide(attempt.facts)
    shared = {
        "username": attempt.account.username,
        "disputed_at": attempt.freeze.disputed_at,
        "errors": errors,
    }
    match decision:
        case policy.AskAuthenticator(any_of):
            return render_template(
                "recovery/unfreeze_prove.html",
                ways=_ways(any_of),
                **shared,
            )
        case policy.AskPassword(or_wait):
            return render_template(
                "recovery/unfreeze_password.html",
                may_wait=or_wait,
                by_key=bool(attempt.facts.proved),
                waits_until=attempt.waits_until,
                **shared,
            )
        case policy.AskWait():
            return render_template("recovery/unfreeze_wait.html", waits_until=attempt.waits_until, **shared)
        case policy.AskMailbox() | policy.AskPeople():
            return render_template(
                "recovery/unfreeze_stuck.html", vetoed=attempt.vetoed, ways=_ways(attempt.may_object), **shared
            )
        case policy.Unfreeze():
            return render_template(
                "recovery/unfreeze_confirm.html",
                items=unfreezing.disputed(attempt),
                min_length=settings().password_min_length,
                **shared,
            )
    assert_never(decision)


def _ways(any_of: frozenset[Factor]) -> list[str]:
    return (["key"] if any_of & PHISHING_RESISTANT else []) + (["totp"] if Factor.TOTP in any_of else [])


@bp.post("/recovery/unfreeze/key")
@public
@limited("code")
def unfreeze_key_options() -> ResponseReturnValue:
    """A challenge for one of the older keys, as JSON."""
    attempt = _attempt()
    return _options(attempt, attempt.older)


def _options(attempt: Open, among: Collection[int]) -> ResponseReturnValue:
    response = make_response(unfreezing.key_options(attempt, among=among))
    response.mimetype = "application/json"
    return response


@bp.post("/recovery/unfreeze/prove")
@public
@limited("code")
def unfreeze_prove() -> ResponseReturnValue:
    """Check an older key or a code of an older app."""
    return _submit(_attempt(), unfreezing.prove)


def _submit(attempt: Open, check: Callable[..., bool]) -> ResponseReturnValue:
    credential = text_field("credential", max_length=20_000, required=False)
    code = code_field() if request.form.get("code") else ""
    if not check(attempt, code=code, credential=credential, client=client(), now=request_time()):
        return _page(attempt, {"credential" if credential else "code": WRONG}), 401
    return redirect(url_for("recovery.unfreeze"), code=303)


@bp.post("/recovery/unfreeze/object/key")
@public
@limited("code")
def object_key_options() -> ResponseReturnValue:
    """A challenge for one of the disputed keys, as JSON."""
    attempt = _attempt()
    return _options(attempt, attempt.newer)


@bp.post("/recovery/unfreeze/object")
@public
@limited("code")
def unfreeze_object() -> ResponseReturnValue:
    """Object to the opening, by something that is disputed."""
    attempt = _attempt()
    if not attempt.may_object:
        return redirect(url_for("recovery.unfreeze"), code=303)
    return _submit(attempt, unfreezing.object_)


@bp.post("/recovery/unfreeze/password")
@public
@limited("login")
def unfreeze_password() -> ResponseReturnValue:
    """Check the password from before."""
    attempt = _attempt()
    if not unfreezing.prove_password(attempt, text_field("password", max_length=1024, strip=False), now=request_time()):
        return _page(attempt, {"password": "This is not the password from then."}), 401
    return redirect(url_for("recovery.unfreeze"), code=303)


@bp.post("/recovery/unfreeze/wait")
@public
@limited("code")
def unfreeze_wait() -> ResponseReturnValue:
    """Begin the wait of three days."""
    attempt = _attempt()
    if policy.decide(attempt.facts) in (policy.AskPassword(or_wait=True), policy.AskWait()):
        unfreezing.wait(attempt, client=client(), now=request_time())
    return redirect(url_for("recovery.unfreeze"), code=303)


@bp.post("/recovery/unfreeze")
@public
@limited("code")
def submit_unfreeze() -> ResponseReturnValue:
    """Set the new password, keep what was ticked, open the account; then sign in through the same door as always."""
    attempt = _attempt()
    new = text_field("new_password", max_length=4096, strip=False)
    if not isinstance(policy.decide(attempt.facts), policy.Unfreeze):
        return redirect(url_for("recovery.unfreeze"), code=303)
    problem = unfreezing.problem_with(attempt, new)
    if problem is not None:
        return _page(attempt, {"new_password": problem}), 422
    unfreezing.complete(attempt, new, keep=_kept(), client=client(), now=request_time())
    response = make_response(redirect(url_for("login.start"), code=303))
    drop_cookie(response, COOKIE)
    return response


def _kept() -> set[tuple[str, int]]:
    """The ticked items, each "what:id". Raises BadInput."""
    kept = set()
    for value in request.form.getlist("keep")[:200]:
        what, _, number = value.partition(":")
        if not number.isdecimal() or len(number) > 18:
            raise BadInput(f"keep={value[:40]!r}")
        kept.add((what, int(number)))
    return kept
