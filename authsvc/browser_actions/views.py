"""The pages of /device: type the code, look at who asks, approve or deny."""

from flask import Blueprint, Response, make_response, render_template, url_for
from flask.typing import ResponseReturnValue

from authsvc import access, tokens
from authsvc.browser_actions import service
from authsvc.browser_actions.service import Entered
from authsvc.core.assurance import Action, Principal
from authsvc.core.errors import Gone
from authsvc.core.rate_limits import limited
from authsvc.core.web import client, query_field, request_time, requires, text_field
from authsvc.policy import permission

bp = Blueprint("browser_actions", __name__)

WRONG_CODE = "That code is not right, or not valid any more. Look at the device again."
MAX_TYPED = 32


@bp.get("/device")
@requires(Action.GRANT_READ)
def device() -> ResponseReturnValue:
    """Where a code is typed. A link may fill it in, and does nothing more (attack O25)."""
    code = service.plain(query_field("user_code", max_length=MAX_TYPED))
    return _entry_page(service.shown(code) if len(code) == service.CODE_LENGTH else "", error=None)


@bp.post("/device")
@requires(Action.GRANT_READ)
@limited("device")
def submit_device() -> ResponseReturnValue:
    """Find the request of a typed code, charged first, and show who asks, from where, since when and for what."""
    who, now = access.require_principal(), request_time()
    code = text_field("user_code", max_length=MAX_TYPED)
    service.charge_guess(who, now=now)
    found = service.entered(who, now=now, user_code=code) if service.enter(code, who, now=now) else None
    if found is None:
        return _entry_page(code, error=WRONG_CODE), 422
    return render_template(
        "browser_actions/device_confirm.html",
        user_code=service.shown(service.plain(code)),
        client_name=found.client_name,
        client_verified=found.client_verified,
        phrase=found.phrase,
        username=who.username,
        place=found.ip,
        browser=found.browser,
        same_place=found.network == client().network,
        asked_at=found.created_at,
        ends_at=found.expires_at,
        scopes=_words(found, who),
    )


def _entry_page(user_code: str, *, error: str | None) -> str:
    return render_template("browser_actions/device.html", user_code=user_code, error=error)


def _words(request: Entered, who: Principal) -> list[str]:
    return service.words(request.scopes, who, network=request.network, now=request_time())


@bp.post("/device/decide")
@requires(Action.GRANT_READ)
@limited("device")
def decide_device() -> ResponseReturnValue:
    """Approve or deny what this session entered. What writes takes a step-up (POLICY 4)."""
    who, now = access.require_principal(), request_time()
    found = service.entered(who, now=now, user_code=text_field("user_code", max_length=MAX_TYPED))
    if found is None:
        return _done("gone", None), 410
    if text_field("decision", max_length=10) != "approve":
        service.deny(found, who, asker=client(), now=now)
        return _done("denied", found.client_name)
    if not tokens.writing(found.scopes):
        return _approve(found, who)
    decision = permission.decide(Action.GRANT_WRITE, who)
    if isinstance(decision, permission.Refused):
        raise access.refusal(decision, who.account_id)
    return access.step_up(
        Action.GRANT_WRITE,
        params={"request_id": str(found.id)},
        words=f"Give {found.client_name} access to your account",
        details=[
            ("It will be able to", "; ".join(_words(found, who))),
            ("Asked from", f"{found.ip}, {found.browser}"),
            ("Phrase", found.phrase),
        ],
        back=url_for("browser_actions.device"),
    )


@access.carries_out(Action.GRANT_WRITE)
def carry_out(who: Principal, params: dict[str, str]) -> Response:
    """Approve after the step-up."""
    request = service.entered(who, now=request_time(), request_id=int(params["request_id"]))
    if request is None:
        raise Gone("the device request ended during the step-up")
    return make_response(_approve(request, who))


def _approve(request: Entered, who: Principal) -> ResponseReturnValue:
    if not service.approve(request, who, asker=client(), now=request_time()):
        return _done("gone", None), 410
    return _done("approved", request.client_name)


def _done(outcome: str, client_name: str | None) -> str:
    return render_template("browser_actions/device_done.html", outcome=outcome, client_name=client_name)
