"""The two endpoints that the browser itself calls, and the offer that makes it do so.

Neither gives a session or rights: they bind one that exists, and renew the short cookie that it then needs as well.
"""

from flask import Blueprint, Response, jsonify, request, url_for
from flask.typing import ResponseReturnValue

from authsvc import audit, sessions
from authsvc.audit import EventType
from authsvc.core import crypto
from authsvc.core.errors import Forbidden, NotFound
from authsvc.core.rate_limits import limited
from authsvc.core.web import (
    client,
    cookie,
    cookie_name,
    machine,
    public,
    refuse_other_sites,
    request_time,
    set_cookie,
    settings,
)
from authsvc.device_bound import proof

bp = Blueprint("device_bound", __name__)

# The browser forgets the short cookie a little before we do, so that it never shows one that is just too old.
COOKIE_SECONDS = int(sessions.SHORT_LIFE.total_seconds()) - 30


class NotBound(Forbidden):
    """The session cannot be bound: it has ended, has a key, or the proof does not hold. It goes on as it is."""

    code = "not_bound"


def offer(response: Response, session_id: int) -> None:
    """Offer the browser to bind the session that this response begins. Without https there is nothing to offer."""
    if settings().secure:
        challenge = proof.challenge(session_id, proof.BIND, now=request_time())
        path = url_for("device_bound.bind")
        response.headers["Secure-Session-Registration"] = f'(ES256 RS256);path="{path}";challenge="{challenge}"'


@bp.post("/session/bind")
@public
@machine
@limited("token")
def bind() -> ResponseReturnValue:
    """Bind the session of the cookie to the key that the browser has made for it. Once a session."""
    _only_browsers_here()
    now = request_time()
    session = sessions.find_named(cookie(sessions.COOKIE), now=now)
    found = proof.first_proof(_header("Secure-Session-Response"), url=settings().base_url + request.path)
    if session is None or session.bound or session.stepped_down or found is None:
        raise NotBound("no session that could be bound, or no proof")
    made_at = proof.made_at(found.challenge, session.id, proof.BIND, now=now)
    short = crypto.random_token()
    held = cookie(sessions.SHORT_COOKIE)  # what requests under way carry: nothing, or that of a session before
    if made_at is None or not sessions.bind(
        session.id, key=found.key, short=short, held=held, made_at=made_at, now=now
    ):
        raise NotBound(f"session {session.id}: challenge of another time, purpose or session, or a rival was first")
    audit.record(EventType.SESSION_BOUND, account_id=session.account_id, at=now, client=client())
    return _instructions(_identifier(session.id), short)


@bp.post("/session/refresh")
@public
@machine  # no limit by network: Chromium gives a session up at a 429, so a neighbour could sign people out
def refresh() -> ResponseReturnValue:
    """Renew the short cookie for whoever proves the key. No cookie is needed: browsers send none across sites.

    Without a proof that holds the answer is a challenge; for a session that has ended, the browser is told to stop.
    """
    _only_browsers_here()
    now, identifier = request_time(), _header("Sec-Secure-Session-Id")
    session_id = _session_id(identifier)
    key = sessions.bound_key(session_id, now=now) if session_id is not None else None
    if session_id is None or key is None:
        return jsonify({"session_identifier": identifier, "continue": False})
    found = proof.proof(_header("Secure-Session-Response"), key, url=settings().base_url + request.path)
    made_at = proof.made_at(found.challenge, session_id, proof.REFRESH, now=now) if found else None
    short = crypto.random_token()
    if made_at is None or not sessions.renew(session_id, short=short, made_at=made_at, now=now):
        challenge = proof.challenge(session_id, proof.REFRESH, now=now)
        response = jsonify(error="proof_needed", error_description="Prove the key of this session.")
        response.headers["Secure-Session-Challenge"] = f'"{challenge}";id="{identifier}"'
        return response, 403
    return _instructions(identifier, short)


def _only_browsers_here() -> None:
    """Raise NotFound without https, BadCsrf for other sites: a page elsewhere must not make our browsers call this."""
    if not settings().secure:
        raise NotFound("sessions are bound over https alone")
    refuse_other_sites()


def _header(name: str) -> str:
    """A structured string (RFC 8941, 3.3.3) of characters that need no escape; Chromium leaves the quotes out."""
    return request.headers.get(name, "").strip().strip('"')


def _identifier(session_id: int) -> str:
    """What the browser calls the session: of this origin alone, and not to be guessed."""
    mac = crypto.keyed_digest("device-bound-name", str(session_id)).hex()[:32]
    return f"{settings().base_url}/{session_id}.{mac}"


def _session_id(identifier: str) -> int | None:
    digits, _, mac = identifier.removeprefix(f"{settings().base_url}/").partition(".")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
        return None
    expected = crypto.keyed_digests("device-bound-name", digits)
    known = any(crypto.same(mac.encode(), digest.hex()[:32].encode()) for digest in expected)
    return int(digits) if known else None


def _instructions(identifier: str, short: str) -> Response:
    """The short cookie, and what the browser has to keep up. Source: DBSC, "Session instructions"."""
    response = jsonify(
        {
            "session_identifier": identifier,
            "refresh_url": url_for("device_bound.refresh"),
            "scope": {
                "origin": settings().base_url,
                "include_site": False,
                "scope_specification": [{"type": "exclude", "domain": settings().host, "path": "/static"}],
            },
            "credentials": [
                {
                    "type": "cookie",
                    "name": cookie_name(sessions.SHORT_COOKIE),
                    "attributes": "Path=/; Secure; HttpOnly; SameSite=Lax",
                }
            ],
            # Sites that send people here to sign in: without this they would arrive without the short cookie.
            "allowed_refresh_initiators": ["*"],
        }
    )
    set_cookie(response, sessions.SHORT_COOKIE, short, max_age_seconds=COOKIE_SECONDS)
    return response
