"""Pages of the authorization endpoint: refused requests, consent, sign-out on behalf of a client."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import assert_never
from urllib.parse import urlencode, urlsplit

from flask import Response, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from authsvc import access, accounts, audit, browser_actions, sessions, tokens, webauthn
from authsvc.audit import EventType
from authsvc.core import db
from authsvc.core.assurance import PHISHING_RESISTANT, Acr, Action, Principal
from authsvc.core.errors import Gone
from authsvc.core.rate_limits import limited
from authsvc.core.web import (
    allow_form_to_reach,
    client,
    drop_cookie,
    machine,
    public,
    request_time,
    requires,
    settings,
    text_field,
)
from authsvc.oidc import authorize, clients, keys, requests, token
from authsvc.oidc.authorize import (
    PARAMETERS,
    AskConsent,
    Asked,
    Facts,
    Problem,
    Proceed,
    Sent,
    SignIn,
    one,
)
from authsvc.oidc.blueprint import bp
from authsvc.oidc.clients import ClientView
from authsvc.oidc.requests import URN, PutDown
from authsvc.policy import permission

MAX_HANDLE = 64
LOGOUT_PARAMETERS = ("id_token_hint", "client_id", "post_logout_redirect_uri", "state")


@bp.get("/oauth2/authorize", endpoint="authorize")
@public
@limited("account")
def show_request() -> ResponseReturnValue:
    """Check a request and lead on: to sign-in, to consent, or back to the client."""
    sent: Sent = dict(request.args.lists())
    put_down, handle = None, ""
    if one(sent, "request_uri").startswith(URN):
        handle = one(sent, "request_uri").removeprefix(URN)
        put_down = requests.find(handle, now=request_time())
        if put_down is None or [put_down.client_id] != sent.get("client_id"):
            problem = Problem("invalid_request_uri", "This request was answered already, or took too long.")
            return _error_page(problem, None)
        sent = put_down.sent
    found = clients.find(one(sent, "client_id"))
    wrong = authorize.first_wrong(sent, found)
    if wrong is not None or found is None:
        return _refuse(wrong, sent, found)
    return _lead_on(authorize.read(sent, found), sent, put_down, handle)


@bp.post("/oauth2/authorize")
@public
@machine
@limited("account")
def submit_request() -> ResponseReturnValue:
    """The same by POST. It is put down and goes on by GET, since cookies do not come along from another site's form."""
    sent: Sent = dict(request.form.lists())
    found = clients.find(one(sent, "client_id"))
    wrong = authorize.first_wrong(sent, found)
    if wrong is not None or found is None:
        return _refuse(wrong, sent, found)
    return redirect(requests.put_down(authorize.read(sent, found), sent, PARAMETERS, now=request_time()), code=303)


def _refuse(wrong: authorize.Wrong | None, sent: Sent, found: ClientView | None) -> ResponseReturnValue:
    problem = wrong.problem if wrong is not None else Problem("invalid_request", "")
    if wrong is None or wrong.shown_here:
        return _error_page(problem, found)
    state = sent["state"][0] if len(sent.get("state", ())) == 1 else None
    return _send_back(one(sent, "redirect_uri"), state, error=problem.error, error_description=problem.description)


def _error_page(problem: Problem, found: ClientView | None) -> ResponseReturnValue:
    name = found.name if found is not None else None
    page = render_template("oidc/error.html", message=problem.description, code=problem.error, client_name=name)
    return page, 400


def _send_back(redirect_uri: str, state: str | None, **values: str) -> Response:
    """To the client, with `iss` in every answer (RFC 9207, 2; attack O41)."""
    if state is not None:
        values["state"] = state
    separator = "&" if urlsplit(redirect_uri).query else "?"
    query = urlencode({**values, "iss": settings().base_url})
    return make_response(redirect(redirect_uri + separator + query, code=303))


def _hinted_sub(hint: str) -> str | None:
    """Whom an ID token of ours names, however old; None for anything else."""
    found = keys.check(hint, typ="JWT") if hint else None
    return str(found["sub"]) if found is not None and found.get("iss") == settings().base_url else None


def _facts(asked: Asked, put_down: PutDown | None, *, consented: bool | None = None) -> Facts:
    who = access.principal()
    reachable = set[Acr]()
    if who is not None and asked.acr_values:
        kinds = {a.kind for a in accounts.enrolled(who.account_id, now=request_time())}
        reachable = {Acr.AAL1} | ({Acr.AAL2} if kinds else set()) | ({Acr.PHR} if kinds & PHISHING_RESISTANT else set())
        reachable |= {Acr.PHRH} if webauthn.attested(who.account_id) else set()
    if consented is None:
        consented = who is not None and requests.consented(who.account_id, asked)
    return Facts(
        who=who,
        asked_at=put_down.created_at if put_down is not None else None,
        reachable=frozenset(reachable),
        hinted_sub=_hinted_sub(asked.id_token_hint),
        consented=consented,
    )


def _lead_on(asked: Asked, sent: Sent, put_down: PutDown | None, handle: str) -> ResponseReturnValue:
    now = request_time()
    if asked.id_token_hint and _hinted_sub(asked.id_token_hint) is None:
        return _answer(asked, Problem("invalid_request", "id_token_hint is not an ID token of this service"))
    facts = _facts(asked, put_down)
    decision = authorize.decide(asked, facts, now=now)
    if isinstance(decision, Problem):
        return _answer(asked, decision)
    if isinstance(decision, SignIn | AskConsent) and put_down is None:
        db.writing()
        path = requests.put_down(asked, sent, PARAMETERS, now=now)
    else:
        path = requests.path_of(handle, asked)
    match decision:
        case SignIn():
            return redirect(url_for("login.start", next=path), code=303)
        case AskConsent() if put_down is None:
            return redirect(path, code=303)
        case AskConsent():
            return _consent_page(asked, handle)
        case Proceed():
            return _grant(asked, put_down, now=now)
    assert_never(decision)


def _answer(asked: Asked, problem: Problem) -> Response:
    return _send_back(asked.redirect_uri, asked.state, error=problem.error, error_description=problem.description)


def _grant(asked: Asked, put_down: PutDown | None, *, now: datetime) -> Response:
    """Issue a code: the one place that does, whatever led here (attack E18)."""
    who = access.require_principal()
    db.writing()
    allowed = isinstance(permission.decide(Action.SIGN_IN_TO_CLIENT, who), permission.Allowed)
    epoch = tokens.epoch_for(who) if allowed else None
    if epoch is None:
        return _answer(asked, Problem("access_denied", "the account may not be used here at the moment"))
    if put_down is not None and not requests.finish(put_down.id, now=now):
        raise Gone("a rival request was first")
    code = token.issue_code(asked, who, epoch=epoch, now=now)
    audit.record(
        EventType.CLIENT_SIGNED_IN,
        account_id=who.account_id,
        at=now,
        client=client(),
        label=asked.client.name,
        scopes=sorted(asked.scopes),
    )
    return _send_back(asked.redirect_uri, asked.state, code=code)


# Consent


def _words(asked: Asked) -> list[str]:
    return browser_actions.words(asked.scopes, access.require_principal(), network=client().network, now=request_time())


def _consent_page(asked: Asked, handle: str) -> str:
    allow_form_to_reach(asked.redirect_uri)
    return render_template(
        "oidc/consent.html",
        client_name=asked.client.name,
        client_verified=not asked.client.public,
        redirect_host=urlsplit(asked.redirect_uri).netloc,
        scopes=_words(asked),
        username=access.require_principal().username,
        hidden={"request": handle},
    )


@bp.post("/oauth2/consent")
@requires(Action.SIGN_IN_TO_CLIENT)
@limited("account")
def decide_consent() -> ResponseReturnValue:
    """Continue or deny. What writes takes a step-up (POLICY 4)."""
    who, now = access.require_principal(), request_time()
    handle = text_field("request", max_length=MAX_HANDLE)
    put_down, asked = _reopen(requests.find(handle, now=now))
    if text_field("decision", max_length=10) != "approve":
        requests.finish(put_down.id, now=now)
        return _answer(asked, Problem("access_denied", "the person declined"))
    back = requests.path_of(handle, asked)
    if not _still_stands(asked, put_down):
        return redirect(back, code=303)
    if not tokens.writing(asked.scopes):
        return _consent_and_grant(asked, put_down, who, now=now)
    decision = permission.decide(Action.CONSENT_TO_WRITE, who)
    if isinstance(decision, permission.Refused):
        raise access.refusal(decision, who.account_id)
    return access.step_up(
        Action.CONSENT_TO_WRITE,
        params={"request_id": str(put_down.id)},
        words=f"Give {asked.client.name} access to your account",
        details=[
            ("It will be able to", "; ".join(_words(asked))),
            ("Your browser goes on to", urlsplit(asked.redirect_uri).netloc),
        ],
        back=back,
    )


@access.carries_out(Action.CONSENT_TO_WRITE)
def carry_out_consent(who: Principal, params: dict[str, str]) -> Response:
    """Grant after the step-up."""
    now = request_time()
    put_down, asked = _reopen(requests.by_id(int(params["request_id"]), now=now))
    if not _still_stands(asked, put_down):
        raise Gone("what was asked does not stand any more")
    return _consent_and_grant(asked, put_down, who, now=now)


def _reopen(put_down: PutDown | None) -> tuple[PutDown, Asked]:
    """A waiting request, checked again: its client may have changed meanwhile. Raises Gone."""
    found = clients.find(put_down.client_id) if put_down is not None else None
    if put_down is None or found is None or authorize.first_wrong(put_down.sent, found) is not None:
        raise Gone("the authorization request is over")
    return put_down, authorize.read(put_down.sent, found)


def _still_stands(asked: Asked, put_down: PutDown) -> bool:
    """Consent was all that was missing, also now."""
    settled = replace(asked, prompts=asked.prompts - {"consent"})
    return isinstance(
        authorize.decide(settled, _facts(asked, put_down, consented=True), now=request_time()),
        Proceed,
    )


def _consent_and_grant(asked: Asked, put_down: PutDown, who: Principal, *, now: datetime) -> Response:
    requests.remember_consent(who.account_id, asked, now=now)
    return _grant(asked, put_down, now=now)


# Sign-out that a client asks for (OpenID Connect RP-Initiated Logout 1.0)


@bp.get("/oauth2/end_session")
@public
@limited("account")
def end_session() -> ResponseReturnValue:
    """Ask before signing out; go back only to a registered address, with a good hint for this person (attack O45)."""
    sent = {name: request.args.getlist(name) for name in LOGOUT_PARAMETERS}
    return_url, client_name = _return_address(sent)
    if one(sent, "post_logout_redirect_uri") and return_url is None:
        return _error_page(
            Problem("invalid_request", "The address to go back to is not registered, or comes without a good hint."),
            None,
        )
    if access.principal() is None:
        if return_url is not None:
            return redirect(return_url, code=303)
        return render_template("oidc/signed_out.html", client_name=None, return_url=None)
    if return_url is not None:
        allow_form_to_reach(return_url)
    return render_template(
        "oidc/end_session.html",
        client_name=client_name,
        username=access.require_principal().username,
        hidden={name: one(sent, name) for name in LOGOUT_PARAMETERS if one(sent, name)},
    )


@bp.post("/oauth2/end_session")
@public
@machine
@limited("account")
def submit_end_session() -> ResponseReturnValue:
    """The same by POST; it goes on by GET, where this browser's cookies come along."""
    sent = {name: request.form.getlist(name) for name in LOGOUT_PARAMETERS}
    query = urlencode({name: one(sent, name) for name in LOGOUT_PARAMETERS if one(sent, name)})
    return redirect(url_for("oidc.end_session") + ("?" + query if query else ""), code=303)


@bp.post("/oauth2/end_session/confirm")
@requires(Action.SIGN_OUT)
@limited("account")
def sign_out() -> ResponseReturnValue:
    """End this session and go back to the client, or to the page that says so."""
    who, now = access.require_principal(), request_time()
    return_url, _ = _return_address({name: request.form.getlist(name) for name in LOGOUT_PARAMETERS})
    if who.session_id is not None:
        sessions.end(who.account_id, who.session_id, now=now)
        audit.record(EventType.SESSION_ENDED, account_id=who.account_id, at=now, client=client())
    response = make_response(redirect(return_url or url_for("oidc.end_session"), code=303))
    drop_cookie(response, "session")
    return response


def _return_address(sent: Mapping[str, list[str]]) -> tuple[str | None, str | None]:
    """Where to go after sign-out, with `state`, and the name of the client that asks; as far as they can be trusted."""
    hint = keys.check(one(sent, "id_token_hint"), typ="JWT") if one(sent, "id_token_hint") else None
    if hint is None or hint.get("iss") != settings().base_url or one(sent, "client_id") not in {"", hint["aud"]}:
        return None, None
    found, who = clients.find(str(hint["aud"])), access.principal()
    uri, state = one(sent, "post_logout_redirect_uri"), one(sent, "state")
    if found is None or (who is not None and who.sub != hint["sub"]):
        return None, None
    if uri not in found.post_logout_redirect_uris:
        return None, found.name
    separator = "&" if urlsplit(uri).query else "?"
    return uri + (separator + urlencode({"state": state}) if state else ""), found.name
