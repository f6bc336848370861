"""Sign-in pages. Each POST checks one proof and hands over to the dispatcher; each GET shows what is asked next."""

from datetime import datetime, timedelta
from typing import assert_never

from flask import Blueprint, Response, make_response, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from authsvc import access, accounts, audit, email_codes, sessions, totp
from authsvc.audit import EventType
from authsvc.core import db
from authsvc.core.assurance import PHISHING_RESISTANT, Action, Factor
from authsvc.core.errors import TooMany
from authsvc.core.rate_limits import limited
from authsvc.core.web import (
    Page,
    allow_form_to_lead_to,
    client,
    code_field,
    cookie,
    drop_cookie,
    public,
    query_field,
    request_time,
    requires,
    set_cookie,
    settings,
    text_field,
)
from authsvc.login import banner, dispatch, enrolment, service
from authsvc.login.dispatch import SESSION_COOKIE, advance, decide
from authsvc.login.service import COOKIE, PASSKEY_COOKIE, LoginExpired, Pending, Situation
from authsvc.policy.login import (
    AskEmailCode,
    AskFirstFactor,
    AskSecondFactor,
    Complete,
    EnrolFactor,
    ExplainFreeze,
    GoToRecovery,
    ReplacePassword,
)
from authsvc.policy.mandate import Strength

bp = Blueprint("login", __name__)
banner.register(bp)

WRONG_FIRST = "User name, address or password is not right. Please check them and try again."
WRONG_CODE = "That code is not right, or not valid any more."
NO_MORE_CODES = "A code was sent often enough for now. Please wait a while before asking for another."
RESEND_AFTER_SECONDS = 30
PASSWORD_REASONS = {
    "frozen": "Your account was frozen. It opens again with a new password.",
    "breached": "Your present password is in lists of leaked passwords that attackers use.",
    "sprayed": "Your present password is being tried on many accounts by somebody who guesses.",
    "unfinished": "Somebody typed your present password in a new browser several times and went no further.",
}


@bp.get("/login")
@public
def start() -> ResponseReturnValue:
    """The sign-in page."""
    return _start_page(username="", error=None)


@bp.post("/login")
@public
@limited("login")
def submit_password() -> ResponseReturnValue:
    """Check name and password; the dispatcher picks what follows."""
    name = text_field("username")
    password = text_field("password", max_length=1024, strip=False)
    token = service.try_password(name, password, next_path=query_field("next"), now=request_time())
    if token is None:
        return _start_page(username=name, error=WRONG_FIRST), 401
    return advance(token)


def _start_page(*, username: str, error: str | None, signal: dict[str, str] | None = None) -> str:
    allow_form_to_lead_to(query_field("next"))
    return render_template(
        "login/start.html",
        username=username,
        error=error,
        next_path=query_field("next") or None,
        unknown_credential=signal,
    )


@bp.post("/login/passkey/options")
@public
@limited("login")
def passkey_options() -> ResponseReturnValue:
    """A challenge for a passkey; it begins a pending login without an account."""
    now = request_time()
    token = cookie(PASSKEY_COOKIE)
    pending = service.find(token, now=now)
    if pending is None or pending.account_id is not None:
        token = service.begin_for(None, next_path="", now=now)
        pending = service.find(token, now=now)
    if pending is None:
        raise LoginExpired("pending login vanished")
    response = _json(service.key_challenge(pending, "passkey"))
    set_cookie(response, PASSKEY_COOKIE, token, max_age_seconds=int(service.LIFE.total_seconds()))
    return response


@bp.post("/login/passkey")
@public
@limited("login")
def submit_passkey() -> ResponseReturnValue:
    """Check a passkey: first and second factor at once."""
    pending = service.current(PASSKEY_COOKIE)
    credential = text_field("credential", max_length=20_000)
    checked = service.check_key(pending, credential, "passkey", now=request_time())
    if not checked.ok:
        error = "That passkey could not be used. Try again, or sign in with your password."
        return _start_page(username="", error=error, signal=checked.signal), 401
    service.set_next(pending, query_field("next"))
    return advance(cookie(PASSKEY_COOKIE))


@bp.get("/login/next")
@public
def next_step() -> ResponseReturnValue:
    """Show what this sign-in needs next. Changes nothing."""
    pending = service.find(cookie(COOKIE), now=request_time())
    if pending is None:
        return render_template("login/expired.html"), 401
    return _page(pending, error=None, failed_way=None)


@bp.post("/login/code")
@public
@limited("code")
def submit_email_code() -> ResponseReturnValue:
    """Check the mailed code."""
    pending = service.current()
    if not service.check_email_code(pending, code_field(), now=request_time()):
        return _page(pending, error=WRONG_CODE, failed_way="email_code"), 401
    return advance(cookie(COOKIE))


@bp.post("/login/code/resend")
@public
@limited("code")
def resend_email_code() -> ResponseReturnValue:
    """Mail another code; the one before stops working."""
    pending, now = service.current(), request_time()
    step, situation = decide(pending, now=now)
    if not isinstance(step, AskEmailCode) or situation is None:
        return redirect(url_for("login.next_step"), code=303)
    sent = email_codes.sent(pending.bound_to)
    if sent is not None and (now - sent[0]).total_seconds() < RESEND_AFTER_SECONDS:
        return _page(pending, error="A code is on its way. Please wait half a minute.", failed_way="email_code"), 429
    if not dispatch.send_code(pending, situation, now=now):
        raise TooMany("mailed code budget empty", message=NO_MORE_CODES, retry_after=3600)
    return redirect(url_for("login.next_step"), code=303)


def _submit_code(factor: Factor, way: str) -> ResponseReturnValue:
    pending = service.current()
    checked = service.check_code(pending, factor, code_field(), now=request_time())
    if checked.ok:
        return advance(cookie(COOKIE))
    if checked.wait is not None:
        db.commit()
        raise TooMany("second factor budget empty", retry_after=checked.wait)
    return _page(pending, error=WRONG_CODE, failed_way=way), 401


@bp.post("/login/totp")
@public
@limited("code")
def submit_totp() -> ResponseReturnValue:
    """Check a code from the app."""
    return _submit_code(Factor.TOTP, "totp")


@bp.post("/login/recovery-code")
@public
@limited("code")
def submit_recovery_code() -> ResponseReturnValue:
    """Check a recovery code; it is spent only when the sign-in completes."""
    return _submit_code(Factor.RECOVERY_CODE, "recovery_code")


@bp.post("/login/key/options")
@public
@limited("code")
def key_options() -> ResponseReturnValue:
    """A challenge for one of the account's keys."""
    pending = service.current()
    if pending.account_id is None or Factor.PASSWORD not in pending.proved:
        raise LoginExpired("key before password")
    return _json(service.key_challenge(pending, "key"))


@bp.post("/login/key")
@public
@limited("code")
def submit_key() -> ResponseReturnValue:
    """Check a key beside the password."""
    pending = service.current()
    if not service.check_key(pending, text_field("credential", max_length=20_000), "key", now=request_time()).ok:
        return _page(pending, error="That key could not be used here. Please try again.", failed_way="key"), 401
    return advance(cookie(COOKIE))


@bp.post("/login/new-password")
@public
@limited("code")
def submit_new_password() -> ResponseReturnValue:
    """Replace a password that may not be used any more."""
    pending, now = service.current(), request_time()
    password = text_field("new_password", max_length=4096, strip=False)
    step, situation = decide(pending, now=now)
    if not isinstance(step, ReplacePassword) or situation is None:
        return advance(cookie(COOKIE))
    problem = service.replace_password(pending, situation.account, password, now=now)
    if problem is not None:
        return _page(pending, error=problem, failed_way="new_password"), 422
    return advance(cookie(COOKIE))


@bp.post("/login/enrol")
@public
@limited("code")
def choose_enrolment() -> ResponseReturnValue:
    """Begin the enrolment that a mandate asks for."""
    pending, now = service.current(), request_time()
    way = "totp" if text_field("way", max_length=10) == "totp" else "key"
    step, situation = decide(pending, now=now)
    if (
        not isinstance(step, EnrolFactor) or situation is None
    ):  # never a second way past an enrolled factor (attack T12)
        return advance(cookie(COOKIE))
    if step.mandate.strength.for_keys:
        way = "key"
    enrolment.begin(pending.bound_to, situation.account.id, way, now=now)
    return redirect(url_for("login.enrol", way=way), code=303)


@bp.post("/login/enrol/postpone")
@public
@limited("code")
def postpone_enrolment() -> ResponseReturnValue:
    """Not today: in a brown-out this sign-in goes on without. Nothing else can be put off."""
    pending = service.current()
    step, _ = decide(pending, now=request_time())
    if isinstance(step, EnrolFactor) and step.may_postpone:
        service.postpone(pending)
    return advance(cookie(COOKIE))


def _may_enrol(pending: Pending) -> Situation | None:
    step, situation = decide(pending, now=request_time())
    return situation if isinstance(step, EnrolFactor) else None


@bp.get("/login/enrol/<way>")
@public
def enrol(way: str) -> ResponseReturnValue:
    """The enrolment under way in this sign-in."""
    return _enrol_page(service.current(), error=None)


def _enrol_page(pending: Pending, *, error: str | None, label: str = "") -> Page:
    if _may_enrol(pending) is None:
        return redirect(url_for("login.next_step"), code=303)
    allow_form_to_lead_to(pending.next_path)
    under_way = enrolment.find(pending.bound_to, now=request_time())
    back = url_for("login.next_step")
    if under_way.proved:
        return render_template(
            "account_pages/recovery_codes.html",
            codes=under_way.codes,
            error=error,
            action_url=url_for("login.confirm_codes"),
            download_url=url_for("login.download_codes"),
        )
    if under_way.kind == "key":
        return render_template(
            "account_pages/enrol_key.html",
            label=label,
            errors={"credential": error} if error else {},
            action_url=url_for("login.prove_key"),
            options_url=url_for("login.enrol_key_options"),
            back_url=back,
        )
    situation = service.gather(pending, now=request_time())
    name = situation.account.username if situation else ""
    seed = under_way.secrets["seed"]
    uri = totp.provisioning_uri(seed, username=name, issuer=settings().host)
    return render_template(
        "account_pages/enrol_totp.html",
        qr_svg=totp.qr_svg(uri),
        secret=seed,
        error=error,
        action_url=url_for("login.prove_totp"),
        back_url=back,
    )


@bp.post("/login/enrol/totp")
@public
@limited("code")
def prove_totp() -> ResponseReturnValue:
    """The first code from the new app."""
    pending = service.current()
    if _may_enrol(pending) is None:
        return advance(cookie(COOKIE))
    under_way = enrolment.find(pending.bound_to, "totp", now=request_time())
    if not enrolment.prove_totp(under_way, code_field(), now=request_time()):
        return _enrol_page(pending, error=WRONG_CODE)
    return _after_proof(pending)


@bp.post("/login/enrol/key/options")
@public
@limited("code")
def enrol_key_options() -> ResponseReturnValue:
    """A challenge for the new key."""
    pending = service.current()
    if _may_enrol(pending) is None:
        raise LoginExpired("no enrolment is due in this sign-in")
    return _json(enrolment.key_options(enrolment.find(pending.bound_to, "key", now=request_time())))


@bp.post("/login/enrol/key")
@public
@limited("code")
def prove_key() -> ResponseReturnValue:
    """The new key's answer."""
    pending, now = service.current(), request_time()
    if _may_enrol(pending) is None:
        return advance(cookie(COOKIE))
    label = text_field("label", max_length=enrolment.MAX_LABEL, required=False)
    under_way = enrolment.find(pending.bound_to, "key", now=now)
    problem = enrolment.prove_key(under_way, text_field("credential", max_length=20_000), label, now=now)
    if problem is not None:
        return _enrol_page(pending, error=problem, label=label)
    return _after_proof(pending)


def _after_proof(pending: Pending) -> ResponseReturnValue:
    under_way = enrolment.find(pending.bound_to, now=request_time())
    if under_way.codes:
        return redirect(url_for("login.enrol", way=under_way.kind), code=303)
    return _finish_enrolment(pending, under_way)


@bp.post("/login/enrol/codes")
@public
@limited("code")
def confirm_codes() -> ResponseReturnValue:
    """One recovery code typed back; the authenticator counts from now on."""
    pending = service.current()
    if _may_enrol(pending) is None:
        return advance(cookie(COOKIE))
    under_way = enrolment.find(pending.bound_to, now=request_time())
    if not enrolment.confirm_code(under_way, code_field()):
        return _enrol_page(pending, error="That is not one of the codes shown here. Please type one of them.")
    return _finish_enrolment(pending, under_way)


@bp.get("/login/enrol/codes.txt")
@public
def download_codes() -> ResponseReturnValue:
    """The recovery codes as a text file, while they are shown."""
    pending = service.current()
    if _may_enrol(pending) is None:
        raise LoginExpired("no enrolment is due in this sign-in")
    return codes_file(enrolment.find(pending.bound_to, now=request_time()).codes)


def codes_file(codes: list[str]) -> Response:
    """Recovery codes as a file to keep."""
    lines = [f"Recovery codes for {settings().host}", "Each works once.", ""]
    lines += [" ".join(code[i : i + 4] for i in range(0, len(code), 4)) for code in codes]
    response = make_response("\n".join(lines) + "\n")
    response.mimetype = "text/plain"
    response.headers["Content-Disposition"] = 'attachment; filename="recovery-codes.txt"'
    return response


def _finish_enrolment(pending: Pending, under_way: enrolment.Open) -> ResponseReturnValue:
    now = request_time()
    situation = service.gather(pending, now=now)
    browser = situation.browser if situation else None
    known_for = browser.known_for(now) if browser else now - now
    enrolled = enrolment.finish(under_way, browser_known_for=known_for, now=now)
    if enrolled is not None:
        service.note_enrolled(pending, enrolled, now=now)
    return advance(cookie(COOKIE))


@bp.post("/login/continue")
@public
@limited("code")
def go_on() -> ResponseReturnValue:
    """Let the dispatcher look again."""
    return advance(cookie(COOKIE))


@bp.post("/login/cancel")
@public
def cancel() -> ResponseReturnValue:
    """Drop this sign-in."""
    pending = service.find(cookie(COOKIE), now=request_time())
    if pending is not None:
        service.drop(pending, now=request_time())
    response = make_response(redirect(url_for("login.start"), code=303))
    drop_cookie(response, COOKIE)
    return response


@bp.post("/logout")
@requires(Action.SIGN_OUT)
def logout() -> ResponseReturnValue:
    """End this session on the server (attack S05)."""
    who, now = access.require_principal(), request_time()
    if who.session_id is not None:
        sessions.end(who.account_id, who.session_id, now=now)
        audit.record(EventType.SESSION_ENDED, account_id=who.account_id, at=now, client=client())
    response = make_response(redirect(url_for("login.start"), code=303))
    drop_cookie(response, SESSION_COOKIE)
    response.headers["Clear-Site-Data"] = '"cache"'
    return response


def _json(text: str) -> Response:
    response = make_response(text)
    response.mimetype = "application/json"
    return response


def _page(pending: Pending, *, error: str | None, failed_way: str | None) -> Page:
    """The page of the step this sign-in is at."""
    now: datetime = request_time()
    step, situation = decide(pending, now=now)
    if situation is None:
        return redirect(url_for("login.start"), code=303)
    allow_form_to_lead_to(pending.next_path)
    match step:
        case AskFirstFactor():
            return redirect(url_for("login.start"), code=303)
        case GoToRecovery():
            return redirect(url_for("recovery.help"), code=303)
        case ExplainFreeze():
            return render_template("login/frozen.html", username=situation.account.username)
        case AskSecondFactor():
            ways = service.ways(situation)
            return render_template("login/second_factor.html", ways=ways, error=error, failed_way=failed_way)
        case AskEmailCode():
            sent = email_codes.sent(pending.bound_to)
            return render_template(
                "login/email_code.html",
                masked_address=situation.address.masked if situation.address else "",
                sent_at=sent[0] if sent else None,
                ends_at=sent[1] if sent else None,
                resend_in_seconds=max(0, RESEND_AFTER_SECONDS - int((now - sent[0]).total_seconds())) if sent else 0,
                error=error if sent else error or NO_MORE_CODES,
            )
        case ReplacePassword():
            return render_template(
                "login/replace_password.html",
                reason=PASSWORD_REASONS.get(
                    situation.account.password_must_change or "", "Your password has to be replaced."
                ),
                username=situation.account.username,
                min_length=settings().password_min_length,
                errors={"new_password": error} if error else {},
            )
        case EnrolFactor(mandate, may_postpone):
            known_for = situation.browser.known_for(now) if situation.browser else timedelta(0)
            return render_template(
                "login/enrol_required.html",
                reason=mandate.reason,
                enforced_from=mandate.enforced_from,
                for_keys=mandate.strength.for_keys,
                two_keys=mandate.strength is Strength.TWO_PHISHING_RESISTANT,
                has_key=bool(frozenset(situation.facts.enrolled) & PHISHING_RESISTANT),
                may_postpone=may_postpone,
                counts_from=accounts.would_be_senior_at(situation.account.id, browser_known_for=known_for, now=now),
            )
        case Complete():
            return render_template("login/ready.html")
    assert_never(step)
