"""Pages of those who are asked about a case: co-owners vouch or object, owners object."""

from flask import Response, make_response, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from authsvc import access
from authsvc.cases import objecting
from authsvc.cases.blueprint import bp
from authsvc.core.assurance import Action, Principal
from authsvc.core.errors import Forbidden
from authsvc.core.rate_limits import limited
from authsvc.core.web import client, public, request_time, requires

ID = "<int(max=9223372036854775807):case_id>"


@bp.get(f"/account/vouch/{ID}")
@requires(Action.READ_ACCOUNT)
def vouch(case_id: int) -> ResponseReturnValue:
    """What somebody asks for, and what they showed, for those who share a package with the account's owner."""
    asked = objecting.of_co_owner(case_id, access.require_principal().account_id, now=request_time())
    return render_template("cases/vouch.html", case_id=case_id, asked=asked)


@bp.post(f"/account/vouch/{ID}")
@requires(Action.VOUCH)
@limited("account")
def submit_vouch(case_id: int) -> ResponseReturnValue:
    """Ask for the step-up, which takes a senior authenticator; then the vouch counts."""
    asked = objecting.of_co_owner(case_id, access.require_principal().account_id, now=request_time())
    if not asked.may_vouch:
        raise Forbidden(f"case {case_id}", message="You have not shared this package for 90 days.")
    return access.step_up(
        Action.VOUCH,
        params={"case": str(case_id)},
        words=f"Vouch for {asked.account.username}, who wants to recover their account",
        details=[("Opened", f"from {asked.case.browser}, {asked.case.ip}")],
        back=url_for("cases.vouch", case_id=case_id),
    )


@access.carries_out(Action.VOUCH)
def _vouch(who: Principal, params: dict[str, str]) -> Response:
    case_id = int(params["case"])
    objecting.vouch(case_id, who.account_id, client=client(), now=request_time())
    return make_response(redirect(url_for("cases.vouch", case_id=case_id), code=303))


@bp.post(f"/account/vouch/{ID}/object")
@requires(Action.OBJECT_TO_RECOVERY)
@limited("account")
def co_owner_objects(case_id: int) -> ResponseReturnValue:
    """A co-owner says that something is wrong."""
    objecting.object_by_co_owner(case_id, access.require_principal(), client=client(), now=request_time())
    return redirect(url_for("cases.vouch", case_id=case_id), code=303)


@bp.post("/account/recovery/object")
@requires(Action.OBJECT_TO_RECOVERY)
@limited("account")
def owner_objects() -> ResponseReturnValue:
    """Somebody signed in to the account says that it was not them."""
    objecting.object_by_owner(access.require_principal(), client=client(), now=request_time())
    return redirect("/account", code=303)


@bp.get("/recovery/object/<token>")
@public
def object_by_link(token: str) -> ResponseReturnValue:
    """What objecting means, and the button. Opening the page changes nothing (attack R19)."""
    found, link = objecting.by_link(token, now=request_time())
    username = found.account.username if found.account else ""
    return render_template("cases/object.html", token=token, username=username, at=link.event_at)


@bp.post("/recovery/object/<token>")
@public
@limited("account")
def submit_objection(token: str) -> ResponseReturnValue:
    """Object by the link in a mail. It needs no sign-in, and gives none."""
    objecting.object_by_link(token, client=client(), now=request_time())
    return redirect(url_for("cases.objected"), code=303)


@bp.get("/recovery/objected")
@public
def objected() -> ResponseReturnValue:
    """What happens now."""
    return render_template("cases/objected.html")
