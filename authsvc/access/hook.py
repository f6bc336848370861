"""One before-request hook: every view is marked, every caller is known, the permission table decides."""

from dataclasses import replace
from datetime import datetime
from typing import assert_never

from flask import Flask, Request, Response, g, has_request_context, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import AnonymousUserMixin, LoginManager, current_user
from werkzeug.local import LocalProxy

from authsvc import audit, devices, holds, mail, mandates, sessions, tokens
from authsvc.audit import EventType
from authsvc.core import db
from authsvc.core.assurance import Acr, Action, Lack, Principal, Program, strength_now
from authsvc.core.errors import AuthError, Forbidden, NotFound, NotSignedIn, wants_json
from authsvc.core.templating import date_words
from authsvc.core.web import (
    Client,
    browser_family,
    check_csrf,
    client,
    cookie,
    local_path,
    request_time,
    set_cookie,
    settings,
)
from authsvc.policy import permission, stepping_down

ASKED_AGAIN = {
    "other_browser": "Your session was seen in another kind of browser, so please prove again that it is you.",
    "new_country": "Your session was seen in another country, so please prove again that it is you.",
}
BEARER = "Bearer "


class InHold(Forbidden):
    """The action waits until the account's hold is over (POLICY 5)."""

    code = "account_in_hold"
    title = "This has to wait"


class MandateUnmet(Forbidden):
    """The action waits until what the account's mandate asks for is enrolled (POLICY 2, 4; attack T21)."""

    code = Lack.AUTHENTICATOR.value
    title = "A second step comes first"
    message = "Your account needs a second step. Set it up, then come back to this."


class MandateUnproved(Forbidden):
    """The action waits for a sign-in with what the account's mandate asks for (POLICY 2.6)."""

    code = Lack.PROOF.value
    title = "Sign in with your second step"
    message = (
        "Your account needs a second step at every sign-in, and this session began without one that is enough. "
        "Please sign in again."
    )


class MandateTooNew(Forbidden):
    """The action waits until what meets the account's mandate is senior, and was shown so (POLICY 2.6, 3)."""

    code = Lack.SENIORITY.value
    title = "Your second step is still new"
    message = (
        "This session began with a recovery code, or with a second step that was less than three days old. "
        "Please sign in again with one that is older."
    )


class InsufficientScope(Forbidden):
    """The token does not cover this (RFC 6750, section 3.1)."""

    code = "insufficient_scope"
    message = "The token does not cover this."


class KeyNeeded(Forbidden):
    """Staff did not sign in with a senior key or passkey, or did so more than 24 hours ago (POLICY 13)."""

    code = "key_needed"
    title = "Sign in with your key"
    message = "This takes a sign-in with a key or passkey in the last 24 hours. Please sign in again."


def principal() -> Principal | None:
    """Who makes this request, or None."""
    if "_login_user" not in g:  # set here, so that Flask-Login never looks at its own remember cookie
        g._login_user = _load(request) or AnonymousUserMixin()
    user = current_user._get_current_object() if isinstance(current_user, LocalProxy) else current_user
    return user if isinstance(user, Principal) else None


def program() -> Program | None:
    """The client that makes this request for itself, on routes for programs, or None."""
    header = request.headers.get("Authorization", "")
    if not getattr(request, "machine", False) or not header.startswith(BEARER):
        return None
    return tokens.program(header.removeprefix(BEARER).strip(), now=request_time())


def require_principal() -> Principal:
    """Who makes this request. Raises NotSignedIn."""
    found = principal()
    if found is None:
        raise NotSignedIn("no session")
    return found


def carry_over(response: Response, who: Principal, *, epoch: int) -> Response:
    """Keep the browser that raised the epoch signed in and known, under a new session name (POLICY 6, attack S01)."""
    if who.session_id is not None:
        token = sessions.rotate(who.session_id, epoch=epoch)
        set_cookie(response, sessions.COOKIE, token, max_age_seconds=int(sessions.LIFE.total_seconds()))
    if who.browser_id is not None:
        devices.carry_over(who.browser_id, epoch=epoch)
    return response


def _load(req: Request) -> Principal | None:
    """The caller: by bearer token on routes for programs, by session cookie on pages; never by either on the other."""
    now = request_time()
    if getattr(req, "machine", False):
        header = req.headers.get("Authorization", "")
        if not header.startswith(BEARER):
            return None
        found: Principal | None = tokens.principal(header.removeprefix(BEARER).strip(), now=now)
    else:
        found = _of_session(cookie(sessions.COOKIE), now)
    if found is None:
        return None
    return replace(
        found,
        in_hold=holds.current(found.account_id, now=now) is not None,
        mandate_lack=mandates.lack(found.account_id, acr=found.proved_acr, amr=found.amr, now=now),
    )


def _of_session(token: str, now: datetime) -> Principal | None:
    session = sessions.find(token, short=cookie(sessions.SHORT_COOKIE), now=now) if token else None
    if session is None:
        return None
    why = session.stepped_down or _step_down(session, now)
    if why is not None:  # it opens nothing until its browser signs in again
        g.asked_again = ASKED_AGAIN[why]
        return None
    if now - session.last_used_at >= sessions.TOUCH_EVERY:
        db.writing()
        sessions.touch(session.id, now=now)
        db.commit()
    return Principal(
        account_id=session.account_id,
        sub=session.sub,
        username=session.username,
        acr=strength_now(session.acr, session.auth_time, now),
        proved_acr=session.acr,
        amr=session.amr,
        auth_time=session.auth_time,
        is_staff=session.is_staff,
        session_id=session.id,
        browser_id=session.browser_id,
    )


def _step_down(session: sessions.SessionView, now: datetime) -> str | None:
    """Step a session down that is seen where it should not be; says why, or None where it goes on."""
    here = client()
    decision = stepping_down.decide(
        stepping_down.Seen(
            family_then=browser_family(session.browser),
            family_now=browser_family(here.browser),
            countries=session.countries,
            country_now=here.country,
        )
    )
    match decision:
        case stepping_down.Keep():
            return None
        case stepping_down.StepDown(why):
            _note_step_down(session, why, here, now)
            return why
    assert_never(decision)


def _note_step_down(session: sessions.SessionView, why: str, here: Client, now: datetime) -> None:
    db.writing()
    if sessions.step_down(session.id, why=why):
        words = why.replace("_", " ")
        audit.record(EventType.SESSION_STEPPED_DOWN, account_id=session.account_id, at=now, client=here, why=words)
        mail.notify(
            session.account_id,
            "session_stepped_down",
            subject=f"Session of {session.username} stopped",
            now=now,
            username=session.username,
            why=why,
            client=here,
        )
    db.commit()


def _ask_to_sign_in() -> ResponseReturnValue:
    if wants_json():
        error = NotSignedIn(f"{request.method} {request.path}")
        raise error
    return redirect(url_for("login.start", next=_here()), code=303)


def _here() -> str:
    """Where to come back to after a sign-in."""
    back = request.full_path.removesuffix("?") if request.method == "GET" else "/account"
    return local_path(back, "/account")


def decide(action: Action, who: Principal | Program | None) -> permission.Decision:
    """What the permission table says of this caller, in this installation."""
    return permission.decide(action, who, staff_acr=Acr.PHRH if settings().attestation_roots_file else Acr.PHR)


def _ask_for_key() -> ResponseReturnValue:
    """Lead staff to a sign-in with their key, without a loop for those who have none."""
    if wants_json():
        raise KeyNeeded(f"{request.method} {request.path}")
    return render_template("access/key_needed.html", hardware=settings().attestation_roots_file, back=_here()), 403


def register(app: Flask) -> None:
    """Attach the hook and Flask-Login's request loader. Flask-Login keeps no cookie and no session of its own."""
    manager = LoginManager()
    manager.session_protection = None
    manager.request_loader(_load)
    manager.init_app(app, add_context_processor=False)  # ours, below, never decodes its remember cookie

    @app.before_request
    def enforce() -> ResponseReturnValue | None:
        view = app.view_functions.get(request.endpoint or "")
        if view is None or request.endpoint == "static":
            return None
        asked = getattr(view, "access", None)
        if asked is None:
            raise RuntimeError(f"{request.endpoint} is neither @public nor @requires(…)")
        if request.method not in {"GET", "HEAD", "OPTIONS"} and not getattr(view, "machine", False):
            check_csrf()
        # Now, before anything is written: reading it notes that the session is in use, in a transaction of its own.
        who = None if getattr(view, "machine", False) and not isinstance(asked, Action) else principal()
        if not isinstance(asked, Action):
            return None
        decision = decide(asked, who or program())
        match decision:
            case permission.Allowed():
                return None
            case permission.SignInNeeded():
                return _ask_to_sign_in()
            case permission.KeyNeeded():
                return _ask_for_key()
            case permission.Hidden() | permission.Refused():
                raise refusal(decision, who.account_id if who else 0)
        assert_never(decision)

    @app.context_processor
    def caller() -> dict[str, object]:
        nobody = not has_request_context() or getattr(request, "machine", False)  # a mail of the worker, a program
        return {"principal": None if nobody else principal(), "asked_again": g.get("asked_again")}


def refusal(
    decision: permission.Refused | permission.Hidden | permission.KeyNeeded | permission.SignInNeeded, account_id: int
) -> AuthError:
    """The error that says what has to come first: the end of a hold, what a mandate asks for, a key, a sign-in."""
    match decision:
        case permission.SignInNeeded():
            return NotSignedIn(f"account {account_id}")
        case permission.Hidden():
            return NotFound(f"account {account_id} is not staff")
        case permission.KeyNeeded():
            return KeyNeeded(f"account {account_id}")
        case permission.Refused("insufficient_scope"):
            return InsufficientScope(f"account {account_id}")
        case permission.Refused(reason):
            return _waits(reason, account_id)
    assert_never(decision)


def _waits(reason: str, account_id: int) -> AuthError:
    now, sign_in = request_time(), ("Sign in again", url_for("login.start", next=_here()))
    match reason:
        case Lack.AUTHENTICATOR:
            set_up = ("Set it up", url_for("account_pages.enrol_choose"))
            mandate = mandates.in_force(account_id, now=now)
            why = f"{mandate.reason} Needed first: {mandates.STRENGTH_WORDS[mandate.strength]}." if mandate else None
            return MandateUnmet(f"account {account_id}", message=why, way_on=set_up)
        case Lack.PROOF:
            return MandateUnproved(f"account {account_id}", way_on=sign_in)
        case Lack.SENIORITY:
            then = mandates.counts_from(account_id, now=now)
            if then is None:
                return MandateTooNew(f"account {account_id}", way_on=sign_in)
            words = f"A second step signs you in at once. For changes it counts from {date_words(then)} on."
            account = ("Go to your account", url_for("account_pages.security"))
            return MandateTooNew(f"account {account_id}", message=words, way_on=account)
    hold = holds.current(account_id, now=now)
    until = f" until {date_words(hold.ends_at)}" if hold else ""
    return InHold(
        f"account {account_id}",
        message=f"After a recent change to your account this waits{until}. It protects you if it was not yours.",
    )
