"""The step-up page: it shows the one action and asks for the proof."""

from flask import Blueprint, make_response, render_template, request
from flask.typing import ResponseReturnValue

from authsvc import accounts, webauthn
from authsvc.access import stepup
from authsvc.access.hook import require_principal
from authsvc.core.assurance import PHISHING_RESISTANT, Action, Factor
from authsvc.core.errors import Forbidden, TooMany
from authsvc.core.rate_limits import limited
from authsvc.core.web import allow_form_to_lead_to, code_field, request_time, requires, text_field
from authsvc.policy.permission import StepUpProofs

bp = Blueprint("access", __name__)

WRONG = "That was not right. Please try again."
NO_CODE = "This is confirmed without a code by mail. Please go back to the page before."


@bp.get("/step-up/<handle>", endpoint="step_up")
@requires(Action.STEP_UP)
def show(handle: str) -> ResponseReturnValue:
    """Show the action and the ways to prove it."""
    return _page(handle, error=None, failed_way=None)


@bp.post("/step-up/<handle>")
@requires(Action.STEP_UP)
@limited("code")
def submit_step_up(handle: str) -> ResponseReturnValue:
    """Check the proof; when it is good the action is carried out at once."""
    who, now = require_principal(), request_time()
    way = text_field("way", max_length=10)
    done = stepup.prove(
        stepup.find(handle, who, now=now),
        who,
        way=way,
        code=code_field() if request.form.get("code") else "",
        password=text_field("password", max_length=1024, required=False, strip=False),
        credential=text_field("credential", max_length=20_000, required=False),
        recovery_code=code_field("recovery_code") if request.form.get("recovery_code") else "",
        now=now,
    )
    if done is not None:
        return done
    return _page(handle, error=WRONG, failed_way=way), 401


@bp.post("/step-up/<handle>/key")
@requires(Action.STEP_UP)
@limited("code")
def step_up_key_options(handle: str) -> ResponseReturnValue:
    """A WebAuthn challenge bound to this action, as JSON."""
    who, now = require_principal(), request_time()
    pending = stepup.find(handle, who, now=now)
    options, challenge = webauthn.begin_assertion(who.account_id, user_verification="preferred")
    stepup.set_challenge(pending, challenge)
    response = make_response(options)
    response.mimetype = "application/json"
    return response


@bp.post("/step-up/<handle>/code")
@requires(Action.STEP_UP)
@limited("code")
def resend_step_up_code(handle: str) -> ResponseReturnValue:
    """Mail the action's code once more."""
    who, now = require_principal(), request_time()
    pending = stepup.find(handle, who, now=now)
    if not stepup.proofs_for(who, pending.action, pending.params, now=now).mailbox:
        raise Forbidden(f"no mailed code confirms action {pending.id}", message=NO_CODE)
    if not stepup.send_code(pending.id, who.account_id, pending.words, who, now=now):
        raise TooMany("mailed code budget empty", retry_after=3600)
    return _page(handle, error=None, failed_way=None)


def _ways(proofs: StepUpProofs) -> list[str]:
    """The ways that could meet `proofs`, strongest first."""
    kinds = frozenset[Factor]().union(*proofs.any_of)
    ways = ["key"] if kinds & PHISHING_RESISTANT else []
    if Factor.TOTP in kinds:
        ways.append("totp")
    if any(needed - {Factor.RECOVERY_CODE} == {Factor.PASSWORD} for needed in proofs.any_of):
        ways.append("password")
    return ways


def _page(handle: str, *, error: str | None, failed_way: str | None) -> str:
    who, now = require_principal(), request_time()
    pending = stepup.find(handle, who, now=now)
    allow_form_to_lead_to(pending.back)
    proofs = stepup.proofs_for(who, pending.action, pending.params, now=now)
    address = accounts.mail_address(who.account_id)
    return render_template(
        "access/step_up.html",
        handle=handle,
        action_words=pending.words,
        parameters=pending.details,
        ways=_ways(proofs),
        with_code=proofs.mailbox,
        with_recovery_code=proofs.recovery_code,
        masked_address=address.masked if address else None,
        resend_in_seconds=30,
        error=error,
        failed_way=failed_way,
        cancel_url=pending.back,
    )
