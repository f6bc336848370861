"""Adding and renaming authenticators, and new recovery codes, each after a step-up."""

from datetime import datetime, timedelta

from flask import Response, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from authsvc import (
    access,
    accounts,
    audit,
    devices,
    login,
    recovery_codes,
    totp,
)
from authsvc.account_pages import keys_only, removal
from authsvc.account_pages.blueprint import bp
from authsvc.audit import EventType
from authsvc.core.assurance import Action, Factor, Principal
from authsvc.core.errors import Forbidden
from authsvc.core.rate_limits import limited
from authsvc.core.web import client, code_field, request_time, requires, settings, text_field
from authsvc.login import enrolment

WAYS = {"key": "Add a security key or passkey", "totp": "Add an authenticator app"}
WRONG_CODE = "That code is not right. Please type the one the app shows now."


def _owner(who: Principal) -> str:
    return f"session:{who.session_id}"


@bp.get("/account/enrol")
@requires(Action.ADD_AUTHENTICATOR)
def enrol_choose() -> ResponseReturnValue:
    """Choose what to add."""
    account_id = access.require_principal().account_id
    kinds = {a.kind for a in accounts.enrolled(account_id, now=request_time())}
    return render_template(
        "account_pages/enrol_choose.html",
        has_totp=Factor.TOTP in kinds,
        keys_only=accounts.get(account_id).keys_only,
    )


@bp.post("/account/enrol")
@requires(Action.ADD_AUTHENTICATOR)
@limited("account")
def begin_enrolment() -> ResponseReturnValue:
    """Ask for the step-up; the enrolment begins once it is given."""
    way = "totp" if text_field("way", max_length=10) == "totp" else "key"
    keys_only.check_way(access.require_principal().account_id, way)
    return access.step_up(
        Action.ADD_AUTHENTICATOR,
        params={"way": way},
        words=WAYS[way],
        back=url_for("account_pages.enrol_choose"),
    )


@access.carries_out(Action.ADD_AUTHENTICATOR)
def _begin(who: Principal, params: dict[str, str]) -> Response:
    return begin(who, params["way"])


def begin(who: Principal, way: str, *, replaces: int | None = None) -> Response:
    """Begin an enrolment that was stepped up to. Raises KeysOnly."""
    keys_only.check_way(who.account_id, way)
    enrolment.begin(_owner(who), who.account_id, way, replaces=replaces, now=request_time())
    return make_response(redirect(url_for("account_pages.enrolment_page"), code=303))


@bp.get("/account/enrol/now")
@requires(Action.ADD_AUTHENTICATOR)
def enrolment_page() -> ResponseReturnValue:
    """The enrolment under way, at the step it is at."""
    return _page(access.require_principal(), error=None)


def _page(who: Principal, *, error: str | None, label: str = "") -> str:
    under_way = enrolment.find(_owner(who), now=request_time())
    if under_way.proved:
        return render_template("account_pages/recovery_codes.html", codes=under_way.codes, error=error)
    if under_way.kind == "key":
        return render_template(
            "account_pages/enrol_key.html", label=label, errors={"credential": error} if error else {}
        )
    seed = under_way.secrets["seed"]
    uri = totp.provisioning_uri(seed, username=who.username, issuer=settings().host)
    return render_template("account_pages/enrol_totp.html", qr_svg=totp.qr_svg(uri), secret=seed, error=error)


@bp.post("/account/enrol/totp")
@requires(Action.ADD_AUTHENTICATOR)
@limited("code")
def enrol_totp() -> ResponseReturnValue:
    """The first code from the new app."""
    who, now = access.require_principal(), request_time()
    if not enrolment.prove_totp(enrolment.find(_owner(who), "totp", now=now), code_field(), now=now):
        return _page(who, error=WRONG_CODE), 422
    return _after_proof(who)


@bp.post("/account/enrol/key/options")
@requires(Action.ADD_AUTHENTICATOR)
@limited("code")
def enrol_key_options() -> ResponseReturnValue:
    """A challenge for the new key, as JSON."""
    who = access.require_principal()
    response = make_response(enrolment.key_options(enrolment.find(_owner(who), "key", now=request_time())))
    response.mimetype = "application/json"
    return response


@bp.post("/account/enrol/key")
@requires(Action.ADD_AUTHENTICATOR)
@limited("code")
def enrol_key() -> ResponseReturnValue:
    """The new key's answer."""
    who, now = access.require_principal(), request_time()
    label = text_field("label", max_length=enrolment.MAX_LABEL, required=False)
    credential = text_field("credential", max_length=20_000)
    problem = enrolment.prove_key(enrolment.find(_owner(who), "key", now=now), credential, label, now=now)
    if problem is not None:
        return _page(who, error=problem, label=label), 422
    return _after_proof(who)


def _after_proof(who: Principal) -> ResponseReturnValue:
    under_way = enrolment.find(_owner(who), now=request_time())
    return redirect(url_for("account_pages.enrolment_page"), code=303) if under_way.codes else _finish(who, under_way)


@bp.post("/account/enrol/codes")
@requires(Action.ADD_AUTHENTICATOR)
@limited("code")
def recovery_codes_kept() -> ResponseReturnValue:
    """One recovery code typed back; now it counts."""
    who = access.require_principal()
    under_way = enrolment.find(_owner(who), now=request_time())
    if not enrolment.confirm_code(under_way, code_field()):
        return _page(who, error="That is not one of the codes shown here. Please type one of them."), 422
    return _finish(who, under_way)


@bp.get("/account/enrol/codes.txt")
@requires(Action.ADD_AUTHENTICATOR)
def download_recovery_codes() -> ResponseReturnValue:
    """The codes as a text file, while they are shown."""
    under_way = enrolment.find(_owner(access.require_principal()), now=request_time())
    return login.codes_file(under_way.codes)


def _finish(who: Principal, under_way: enrolment.Open) -> Response:
    now = request_time()
    enrolled = enrolment.finish(under_way, browser_known_for=_known_for(who, now), now=now)
    response = make_response(redirect(url_for("account_pages.security"), code=303))
    if enrolled is None or under_way.replaces is None:
        return response
    return removal.replace_lost(response, who, under_way.replaces, enrolled.factor)


def _known_for(who: Principal, now: datetime) -> timedelta:
    known = [b.known_for(now) for b in devices.of_account(who.account_id) if b.id == who.browser_id]
    return known[0] if known else timedelta(0)


@bp.get("/account/recovery-codes")
@requires(Action.RENEW_RECOVERY_CODES)
def new_recovery_codes() -> ResponseReturnValue:
    """Ask before the old codes die."""
    left = recovery_codes.left(access.require_principal().account_id)
    return render_template("account_pages/recovery_codes_new.html", left=left)


@bp.post("/account/recovery-codes")
@requires(Action.RENEW_RECOVERY_CODES)
@limited("account")
def renew_recovery_codes() -> ResponseReturnValue:
    """Ask for the step-up; the new codes are shown once it is given."""
    who = access.require_principal()
    if not accounts.enrolled(who.account_id, now=request_time()):
        raise Forbidden("no authenticator", message="Recovery codes come with a second step. Add one first.")
    return access.step_up(
        Action.RENEW_RECOVERY_CODES, params={}, words="Make new recovery codes; the old ones stop working"
    )


@access.carries_out(Action.RENEW_RECOVERY_CODES)
def _renew(who: Principal, params: dict[str, str]) -> Response:
    enrolment.begin(_owner(who), who.account_id, "codes", now=request_time())
    return make_response(redirect(url_for("account_pages.enrolment_page"), code=303))


@bp.route("/account/authenticators/<int(max=9223372036854775807):authenticator_id>/name", methods=["GET", "POST"])
@requires(Action.RENAME_AUTHENTICATOR)
def rename_authenticator(authenticator_id: int) -> ResponseReturnValue:
    """Give a key another name."""
    found, who = removal.own(authenticator_id), access.require_principal()
    if request.method == "GET":
        return render_template(
            "account_pages/rename_authenticator.html", authenticator_id=found.id, label=found.label, errors={}
        )
    label = text_field("label", max_length=enrolment.MAX_LABEL)
    accounts.rename_authenticator(who.account_id, found.id, label)
    audit.record(
        EventType.AUTHENTICATOR_RENAMED,
        account_id=who.account_id,
        at=request_time(),
        client=client(),
        label=label,
        was=found.label,
    )
    return redirect(url_for("account_pages.security"), code=303)
