"""The token endpoint's grants: a code, a refresh token or a device code is traded for tokens."""

import base64
import hashlib
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, assert_never

from sqlalchemy import bindparam, insert, select, update

from authsvc import audit, browser_actions, tokens
from authsvc.audit import EventType
from authsvc.core import crypto, db
from authsvc.core.assurance import Acr, Principal
from authsvc.core.web import client as caller
from authsvc.core.web import settings
from authsvc.oidc import claims
from authsvc.oidc.authorize import Asked, Sent, one
from authsvc.oidc.clients import CODE, DEVICE, ITSELF, REFRESH, ClientView
from authsvc.oidc.models import AuthorizationCode
from authsvc.tokens import ACCESS_LIFE, SCOPES, Issued, Refused, Reused

CODE_LIFE = timedelta(seconds=60)
VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")  # RFC 7636, 4.1


@dataclass(frozen=True)
class Denied:
    """Nothing is given; `error` is the standard's name for why (RFC 6749, 5.2; RFC 8628, 3.5)."""

    error: str
    description: str


Answer = dict[str, Any] | Denied

_INSERT = insert(AuthorizationCode)
_CONSUME = (
    update(AuthorizationCode)
    .where(AuthorizationCode.digest == bindparam("presented"), AuthorizationCode.consumed_at.is_(None))
    .values(consumed_at=bindparam("now"))
    .returning(AuthorizationCode.id)
)


def issue_code(asked: Asked, who: Principal, *, epoch: int, now: datetime) -> str:
    """A code for what was asked, bound to client, address and challenge."""
    code = crypto.random_token()
    values = {
        "digest": crypto.digest(code),
        "client_id": asked.client.id,
        "redirect_uri": asked.redirect_uri,
        "code_challenge": asked.code_challenge,
        "nonce": asked.nonce,
        "claims": list(asked.claims),
        "scopes": " ".join(sorted(asked.scopes)),
        "writes_from": browser_actions.writes_from(asked.scopes, who, network=caller().network, now=now),
        "account_id": who.account_id,
        "epoch": epoch,
        "acr": who.proved_acr.value,
        "amr": " ".join(sorted(who.amr)),
        "auth_time": who.auth_time,
        "session_id": who.session_id,
        "created_at": now,
        "expires_at": now + CODE_LIFE,
    }
    db.session().execute(_INSERT, values)
    return code


def answer(client: ClientView, form: Sent, *, now: datetime) -> Answer:
    """What the token endpoint says to an authenticated client."""
    grant_type = one(form, "grant_type")
    if any(len(values) > 1 for values in form.values()):
        return Denied("invalid_request", "A parameter was sent more than once.")
    if not grant_type:
        return Denied("invalid_request", "grant_type is missing.")
    if grant_type not in GRANTS:
        return Denied("unsupported_grant_type", "This grant type is not served.")
    if grant_type not in client.grant_types:
        return Denied("unauthorized_client", "This client is not registered for the grant type.")
    return GRANTS[grant_type](client, form, now)


def redeem_code(client: ClientView, form: Sent, now: datetime) -> Answer:
    """Trade a code. Whoever shows it, it is consumed first, in one statement; shown again, what it gave is revoked.

    Source: RFC 6749, 4.1.2, 4.1.3; RFC 7636, 4.6; RFC 9700, 4.5; attacks O04, O05, O07.
    """
    code, verifier = one(form, "code"), one(form, "code_verifier")
    if not code or not one(form, "redirect_uri"):
        return Denied("invalid_request", "code or redirect_uri is missing.")
    bad = Denied("invalid_grant", "The code is not valid, or not with what was sent beside it.")
    consumed = db.session().scalar(_CONSUME, {"presented": crypto.digest(code), "now": now})
    row = db.session().scalar(select(AuthorizationCode).where(AuthorizationCode.digest == crypto.digest(code)))
    if row is None:
        return bad
    if consumed is None:
        if row.grant_id is not None and tokens.revoke_grant(row.grant_id, now=now):
            _note_reuse(row.account_id, client.name, now)
        return bad
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=")
    if (
        row.expires_at <= now
        or row.client_id != client.id
        or row.redirect_uri != one(form, "redirect_uri")
        or not VERIFIER.fullmatch(verifier)
        or not crypto.same(challenge, row.code_challenge.encode())
    ):
        return bad
    row.grant_id = tokens.open_grant(
        row.account_id,
        client_id=client.id,
        label=client.name,
        scopes=frozenset(row.scopes.split()),
        writes_from=row.writes_from,
        epoch=row.epoch,
        acr=Acr(row.acr),
        amr=frozenset(row.amr.split()),
        auth_time=row.auth_time,
        session_id=row.session_id,
        now=now,
    )
    return _first_tokens(client, row.grant_id, row.scopes.split(), nonce=row.nonce, asked=row.claims, now=now)


def refresh(client: ClientView, form: Sent, now: datetime) -> Answer:
    """Trade a refresh token for its successor; shown twice, or by another client, it ends everything (attack O11)."""
    token, scope = one(form, "refresh_token"), one(form, "scope")
    if not token:
        return Denied("invalid_request", "refresh_token is missing.")
    found = tokens.rotate(token, client_id=client.id, scopes=frozenset(scope.split()) or None, now=now)
    match found:
        case Issued():
            return _tokens(client, found, nonce=None, asked=(), now=now)
        case Reused(account_id=account_id, label=label):
            _note_reuse(account_id, label, now)
            return Denied("invalid_grant", "The refresh token is not valid.")
        case Refused(error="invalid_scope"):
            return Denied("invalid_scope", "More was asked for than was granted.")
        case Refused():
            return Denied("invalid_grant", "The refresh token is not valid.")
    assert_never(found)


def redeem_device_code(client: ClientView, form: Sent, now: datetime) -> Answer:
    """Poll for the outcome of a device request, and take the tokens once it is approved (RFC 8628, 3.4, 3.5)."""
    device_code = one(form, "device_code")
    if not device_code:
        return Denied("invalid_request", "device_code is missing.")
    found = browser_actions.poll(device_code, client_id=client.id, now=now)
    if isinstance(found, browser_actions.Waiting):
        return Denied(found.error, found.description)
    grant_id = tokens.open_grant(
        found.account_id,
        client_id=client.id,
        label=client.name,
        scopes=found.scopes,
        writes_from=found.writes_from,
        epoch=found.epoch,
        acr=found.acr,
        amr=found.amr,
        auth_time=found.auth_time,
        session_id=found.session_id,
        now=now,
    )
    return _first_tokens(client, grant_id, found.scopes, nonce=None, asked=(), now=now)


def for_itself(client: ClientView, form: Sent, now: datetime) -> Answer:
    """A token for the client itself (RFC 6749, 4.4): all it may have, or what it asks for. No refresh token (4.4.3)."""
    asked = frozenset(one(form, "scope").split()) or client.own_scopes
    if not asked or not asked <= client.own_scopes:
        return Denied("invalid_scope", "scope holds something that this client may not have for itself.")
    return {
        "access_token": tokens.issue_to_program(client.id, asked, now=now),
        "token_type": "Bearer",
        "expires_in": int(ACCESS_LIFE.total_seconds()),
        "scope": " ".join(sorted(asked)),
    }


GRANTS = {CODE: redeem_code, REFRESH: refresh, DEVICE: redeem_device_code, ITSELF: for_itself}


def _first_tokens(
    client: ClientView,
    grant_id: int | None,
    scopes: frozenset[str] | list[str],
    *,
    nonce: str | None,
    asked: list[str] | tuple[()],
    now: datetime,
) -> Answer:
    gone = Denied("invalid_grant", "The account may not be used at the moment.")
    if grant_id is None:
        return gone
    with_refresh = "offline_access" in scopes and REFRESH in client.grant_types
    issued = tokens.issue(grant_id, with_refresh=with_refresh, now=now)
    if isinstance(issued, Refused):
        return gone
    audit.record(
        EventType.TOKEN_ISSUED,
        account_id=issued.view.account_id,
        at=now,
        client=caller(),
        label=client.name,
        scopes=sorted(scopes),
    )
    return _tokens(client, issued, nonce=nonce, asked=asked, now=now)


def _tokens(
    client: ClientView, issued: Issued, *, nonce: str | None, asked: list[str] | tuple[()], now: datetime
) -> dict[str, Any]:
    """The answer of RFC 6749, section 5.1."""
    found: dict[str, Any] = {
        "access_token": issued.access_token,
        "token_type": "Bearer",
        "expires_in": int((issued.view.expires_at - now).total_seconds()),
        "scope": " ".join(name for name in SCOPES if name in issued.view.scopes),
    }
    if issued.refresh_token is not None:
        found["refresh_token"] = issued.refresh_token
    if "openid" in issued.view.scopes:
        issuer = settings().base_url
        found["id_token"] = claims.id_token(client, issued, issuer=issuer, nonce=nonce, asked=asked, now=now)
    return found


def _note_reuse(account_id: int, label: str, now: datetime) -> None:
    audit.record(EventType.TOKEN_REUSED, account_id=account_id, at=now, client=caller(), label=label)
