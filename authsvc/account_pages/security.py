"""The security page, and the small acts on it that need no proof: ending sessions, tokens and browsers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from flask import Response, make_response, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from authsvc import (
    access,
    accounts,
    audit,
    cases,
    devices,
    domains,
    holds,
    mandates,
    passwords,
    proof_places,
    recovery_codes,
    sessions,
    tokens,
    webauthn,
)
from authsvc.account_pages import log, removal
from authsvc.account_pages.blueprint import bp
from authsvc.account_pages.hold import may_end
from authsvc.accounts import AuthenticatorView
from authsvc.audit import EventType
from authsvc.core.assurance import PHISHING_RESISTANT, Action, Principal
from authsvc.core.errors import NotFound
from authsvc.core.rate_limits import limited
from authsvc.core.web import client, drop_cookie, place_words, request_time, requires
from authsvc.policy.login import keys_alone

NEWEST = 20  # lines of the log on this page; the whole of it has its own


@dataclass(frozen=True)
class Protection:
    """How protected the account is, in one sentence, and the next best step."""

    percent: int
    label: str
    sentence: str
    next_text: str | None = None
    next_url: str | None = None


def protection(authenticators: Sequence[AuthenticatorView], codes_left: int) -> Protection:
    """Judge what is enrolled."""
    add = url_for("account_pages.enrol_choose")
    keys = [a for a in authenticators if a.kind in PHISHING_RESISTANT]
    young = [a for a in keys if not a.senior]
    if not authenticators:
        text = "A password alone can be guessed, leaked or phished. A second step makes it useless to a thief."
        return Protection(30, "Weakly protected", text, "Add a second step", add)
    if not keys:
        text = "A code from an app can still be phished by a page that looks like this one. A key or passkey cannot."
        return Protection(60, "Fairly protected", text, "Add a key or passkey", add)
    if len(keys) == 1:
        text = "Add a second key or passkey, so that losing one does not lock you out."
        return Protection(80, "Well protected", text, "Add a second key", add)
    if young:
        text = f"“{young[0].label}” is new; once it is three days old it stands in for the others in everything."
        return Protection(90, "Well protected", text)
    if codes_left < 3:
        text = "Few recovery codes are left."
        return Protection(90, "Well protected", text, "Make new codes", url_for("account_pages.new_recovery_codes"))
    return Protection(100, "Very well protected", "Two keys or more, and recovery codes in reserve.")


@bp.get("/account")
@requires(Action.READ_ACCOUNT)
def security() -> ResponseReturnValue:
    """Everything the owner should know at a glance."""
    who, now = access.require_principal(), request_time()
    authenticators = accounts.enrolled(who.account_id, now=now)
    left = recovery_codes.left(who.account_id)
    made_at = recovery_codes.made_at(who.account_id)
    hold = holds.current(who.account_id, now=now)
    return render_template(
        "account_pages/security.html",
        protection=protection(authenticators, left),
        hold=hold
        and {
            "reason": holds.CAUSE_WORDS[hold.cause],
            "began_at": hold.began_at,
            "ends_at": hold.ends_at,
            "may_end": may_end(who),
        },
        recoveries=cases.standing(who.account_id, now=now),
        going_at=removal.due_at(who.account_id),
        password_changed_at=passwords.changed_at(who.account_id),
        authenticators=authenticators,
        attested=webauthn.attested(who.account_id),
        accepted_credentials=webauthn.accepted_credentials(who.account_id),
        keys_only=_keys_only(who, authenticators, now),
        recovery_codes={"left": left, "made_at": made_at} if authenticators else None,
        addresses=[_address(a) for a in accounts.addresses(who.account_id)],
        proof_places=proof_places.places(who.account_id, now=now),
        sessions=[_session(s, who.session_id, now) for s in sessions.of_account(who.account_id, now=now)],
        browsers=[
            {
                "id": b.id,
                "browser": b.browser,
                "place": place_words(b.ip),
                "first_seen_at": b.first_seen_at,
                "last_seen_at": b.last_seen_at,
                "senior": b.senior(now),
                "current": b.id == who.browser_id,
            }
            for b in devices.of_account(who.account_id)
        ],
        tokens=tokens.of_account(who.account_id, now=now),
        events=log.lines(audit.page(who.account_id, limit=NEWEST).lines),
    )


def _keys_only(who: Principal, authenticators: Sequence[AuthenticatorView], now: datetime) -> str | None:
    """The switch of decision 0018: on, off, required (by a mandate); None while there is no senior key to turn it."""
    if accounts.get(who.account_id).keys_only:
        return "on"
    kinds = frozenset(a.kind for a in authenticators)
    if keys_alone(kinds, mandate=mandates.in_force(who.account_id, now=now), keys_only=False):
        return "required"
    return "off" if any(a.senior and a.kind in PHISHING_RESISTANT for a in authenticators) else None


def _address(address: accounts.AddressView) -> dict[str, object]:
    health, words = domains.health_words(address)
    return {
        "id": address.id,
        "email": address.email,
        "is_primary": address.is_primary,
        "is_backup": address.is_backup,
        "trusted": address.trusted,
        "verified_at": address.verified_at,
        "health": health,
        "health_words": words,
    }


def _session(session: sessions.SessionView, own: int | None, now: datetime) -> dict[str, object]:
    return {
        "id": session.id,
        "browser": session.browser,
        "place": place_words(session.ip),
        "started_at": session.created_at,
        "last_seen_at": session.last_used_at,
        "way": way_words(session.amr),
        "current": session.id == own,
        "bound": session.bound,
        "stopped": STOPPED.get(session.stepped_down or ""),
    }


STOPPED = {
    "other_browser": "Stopped: another browser",
    "new_country": "Stopped: another country",
}


def way_words(amr: frozenset[str]) -> str:
    """How a session was proved, in words."""
    if "user" in amr:
        return "passkey"
    if amr & {"hwk", "swk"}:
        return "password and security key"
    return "password and code" if "otp" in amr else "password"


@bp.post("/account/sessions/<int(max=9223372036854775807):session_id>/end")
@requires(Action.END_SESSIONS)
@limited("account")
def end_session(session_id: int) -> ResponseReturnValue:
    """Sign one session out."""
    who, now = access.require_principal(), request_time()
    if not sessions.end(who.account_id, session_id, now=now):
        raise NotFound(f"session {session_id}")
    audit.record(EventType.SESSION_ENDED, account_id=who.account_id, at=now, client=client())
    return _back("sessions")


@bp.post("/account/sessions/end-others")
@requires(Action.END_SESSIONS)
@limited("account")
def end_other_sessions() -> ResponseReturnValue:
    """Sign out everywhere else."""
    who, now = access.require_principal(), request_time()
    ended = sessions.end_all(who.account_id, now=now, but=who.session_id)
    audit.record(EventType.SESSIONS_ENDED, account_id=who.account_id, at=now, client=client(), count=ended)
    return _back("sessions")


@bp.post("/account/sessions/end-all")
@requires(Action.END_SESSIONS)
@limited("account")
def end_all_sessions() -> ResponseReturnValue:
    """Sign out everywhere, here too."""
    who, now = access.require_principal(), request_time()
    ended = sessions.end_all(who.account_id, now=now)
    audit.record(EventType.SESSIONS_ENDED, account_id=who.account_id, at=now, client=client(), count=ended)
    return _signed_out()


@bp.post("/account/browsers/<int(max=9223372036854775807):browser_id>/forget")
@requires(Action.FORGET_BROWSER)
@limited("account")
def forget_browser(browser_id: int) -> ResponseReturnValue:
    """Forget a known browser, and end the sessions in it; one's own browser, and one is signed out."""
    who, now = access.require_principal(), request_time()
    if not devices.forget(who.account_id, browser_id, now=now):
        raise NotFound(f"browser {browser_id}")
    ended = sessions.end_of_browser(who.account_id, browser_id, now=now)
    audit.record(EventType.BROWSER_FORGOTTEN, account_id=who.account_id, at=now, client=client(), sessions=ended)
    return _signed_out() if browser_id == who.browser_id else _back("browsers")


@bp.post("/account/tokens/<int(max=9223372036854775807):token_id>/revoke")
@requires(Action.REVOKE_TOKEN)
@limited("account")
def revoke_token(token_id: int) -> ResponseReturnValue:
    """Revoke a token of one's own (attack K02)."""
    who, now = access.require_principal(), request_time()
    if not tokens.revoke(who.account_id, token_id, now=now):
        raise NotFound(f"token {token_id}")
    audit.record(EventType.TOKEN_REVOKED, account_id=who.account_id, at=now, client=client())
    return _back("tokens")


def _signed_out() -> Response:
    response = make_response(redirect(url_for("login.start"), code=303))
    drop_cookie(response, sessions.COOKIE)
    return response


def _back(part: str) -> ResponseReturnValue:
    return make_response(redirect(url_for("account_pages.security", _anchor=part), code=303))
