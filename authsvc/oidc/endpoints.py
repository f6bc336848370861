"""Endpoints for programs: discovery, keys, tokens, userinfo, introspection, revocation, device authorization."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

from flask import Response, current_app, jsonify, request
from flask.typing import ResponseReturnValue

from authsvc import audit, browser_actions, holds, mandates, tokens
from authsvc.audit import EventType
from authsvc.core import db
from authsvc.core.assurance import Acr, Action
from authsvc.core.rate_limits import limited
from authsvc.core.web import client as caller
from authsvc.core.web import machine, public, read_only, request_time, settings
from authsvc.oidc import claims, clients, keys, token
from authsvc.oidc.authorize import NOT_SERVED, PROMPTS, Sent, one
from authsvc.oidc.blueprint import bp
from authsvc.oidc.clients import AUTH_METHODS, DEVICE, GRANT_TYPES, ClientView
from authsvc.policy import permission
from authsvc.tokens import SCOPES, Kind

View = TypeVar("View", bound=Callable[..., Any])

METADATA_MAX_AGE = timedelta(hours=1)


def open_to_scripts(view: View) -> View:
    """Scripts of any site may call this view and read the answer; cookies never count here (RFC 9700, 2.6)."""
    view.open_to_scripts = True  # type: ignore[attr-defined]
    return view


@bp.after_request
def allow_scripts(response: Response) -> Response:
    """CORS, without credentials, for the views marked `open_to_scripts`."""
    if getattr(current_app.view_functions.get(request.endpoint or ""), "open_to_scripts", False):
        response.headers["Access-Control-Allow-Origin"] = "*"
        if request.method == "OPTIONS":
            response.headers["Access-Control-Allow-Methods"] = response.headers.get("Allow", "")
            response.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type"
            response.headers["Access-Control-Max-Age"] = "86400"
    return response


# What is where


@bp.get("/.well-known/openid-configuration")
@bp.get("/.well-known/oauth-authorization-server")
@public
@machine
@open_to_scripts
def discovery() -> ResponseReturnValue:
    """What is served (OpenID Connect Discovery, 3; RFC 8414, 2). Nothing stands here that is not."""
    base = settings().base_url
    found: dict[str, Any] = {
        "issuer": base,
        "authorization_endpoint": f"{base}/oauth2/authorize",
        "token_endpoint": f"{base}/oauth2/token",
        "userinfo_endpoint": f"{base}/oauth2/userinfo",
        "jwks_uri": f"{base}/oauth2/jwks",
        "introspection_endpoint": f"{base}/oauth2/introspect",
        "revocation_endpoint": f"{base}/oauth2/revoke",
        "device_authorization_endpoint": f"{base}/oauth2/device_authorization",
        "end_session_endpoint": f"{base}/oauth2/end_session",
        "scopes_supported": list(clients.ALL_SCOPES),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": list(GRANT_TYPES),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": list(keys.ALGORITHMS),
        "acr_values_supported": [acr.value for acr in Acr],
        "prompt_values_supported": sorted(PROMPTS),
        "claims_supported": [
            *("sub", "iss", "aud", "exp", "iat", "nonce", "auth_time", "acr", "amr", "at_hash", "sid", "hold"),
            *("preferred_username", "email", "email_verified"),
        ],
        "token_endpoint_auth_methods_supported": list(AUTH_METHODS),
        "introspection_endpoint_auth_methods_supported": [m for m in AUTH_METHODS if m != "none"],
        "revocation_endpoint_auth_methods_supported": list(AUTH_METHODS),
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        "claims_parameter_supported": True,
        **{f"{name}_parameter_supported": False for name in NOT_SERVED if name != "registration"},
    }
    response = jsonify(found)
    response.headers["Cache-Control"] = f"public, max-age={int(METADATA_MAX_AGE.total_seconds())}"
    return response


@bp.get("/oauth2/jwks")
@public
@machine
@open_to_scripts
def jwks() -> ResponseReturnValue:
    """The public keys."""
    now = request_time()
    found = keys.jwks(now=now)
    if not found:  # the very first request of an installation that was not started by `serve`
        db.writing()
        keys.ensure_keys(now=now)
        found = keys.jwks(now=now)
    response = jsonify(keys=found)
    response.headers["Cache-Control"] = f"public, max-age={int(keys.JWKS_MAX_AGE.total_seconds())}"
    return response


# Tokens


def _fail(error: str, description: str, status: int = 400) -> Response:
    response = jsonify(error=error, error_description=description)
    response.status_code = status
    return _uncached(response)


def _uncached(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    response.headers["Pragma"] = "no-cache"  # for caches older than HTTP/1.1 (RFC 6749, 5.1)
    return response


def _form() -> Sent:
    return dict(request.form.lists())


def _client(form: Sent) -> ClientView | Response:
    """Who asks, or the answer for somebody unknown."""
    header = request.headers.get("Authorization")
    found = clients.authenticate(header, form)
    if isinstance(found, ClientView):
        return found
    response = _fail(found.error, found.description, 401 if found.error == "invalid_client" else 400)
    if header is not None and response.status_code == 401:
        response.headers["WWW-Authenticate"] = 'Basic realm="client"'
    return response


@bp.post("/oauth2/token", endpoint="token")
@public
@machine
@open_to_scripts
@limited("token")
def give_tokens() -> ResponseReturnValue:
    """Trade a code, a refresh token or a device code for tokens."""
    form = _form()
    client = _client(form)
    if isinstance(client, Response):
        return client
    answer = token.answer(client, form, now=request_time())
    return _fail(answer.error, answer.description) if isinstance(answer, token.Denied) else _uncached(jsonify(answer))


@bp.post("/oauth2/device_authorization")
@public
@machine
@limited("device")
def device_authorization() -> ResponseReturnValue:
    """Begin a device grant (RFC 8628, 3.1, 3.2). `phrase` is ours: the program shows it, the approval page too."""
    form = _form()
    client = _client(form)
    if isinstance(client, Response):
        return client
    if any(len(values) > 1 for values in form.values()):
        return _fail("invalid_request", "A parameter was sent more than once.")
    if DEVICE not in client.grant_types:
        return _fail("unauthorized_client", "This client is not registered for the device grant.")
    scopes = client.allowed(frozenset(one(form, "scope").split()))
    if not scopes:
        return _fail("invalid_scope", "scope holds nothing that this client may ask for.")
    begun = browser_actions.begin(
        client.id,
        client.name,
        client_verified=not client.public,
        scopes=scopes,
        asker=caller(),
        now=request_time(),
    )
    address = f"{settings().base_url}/device"
    return _uncached(
        jsonify(
            device_code=begun.device_code,
            user_code=begun.user_code,
            verification_uri=address,
            verification_uri_complete=f"{address}?user_code={begun.user_code}",
            expires_in=begun.expires_in,
            interval=begun.interval,
            phrase=begun.phrase,
        )
    )


@bp.post("/oauth2/introspect")
@public
@machine
@read_only
def introspect() -> ResponseReturnValue:
    """What a token is good for at this moment (RFC 7662). Clients see their own tokens; resource servers see the access
    tokens of all (attack O18). Anything else is exactly `{"active": false}`. Not limited: registries ask here for every
    request of theirs, behind a secret that cannot be guessed."""
    form = _form()
    client = _client(form)
    if isinstance(client, Response):
        return client
    if client.public:
        return _fail("invalid_client", "Introspection needs a client with a secret.", 401)
    if len(form.get("token", ())) != 1:
        return _fail("invalid_request", "token is missing, or was sent more than once.")
    now = request_time()
    found = tokens.find(one(form, "token"), now=now)
    if found is None or not (found.client_id == client.id or (client.resource_server and found.kind is Kind.ACCESS)):
        return _uncached(jsonify(active=False))
    return _uncached(
        jsonify(
            active=True,
            iss=settings().base_url,
            sub=found.sub,
            username=found.username,
            client_id=found.client_id,
            scope=" ".join(name for name in SCOPES if name in found.scopes),
            token_type="Bearer" if found.kind is Kind.ACCESS else "refresh_token",
            iat=int(found.created_at.timestamp()),
            exp=int(found.expires_at.timestamp()),
            auth_time=int(found.auth_time.timestamp()),
            acr=found.acr.value,
            amr=sorted(found.amr),
            hold=holds.current(found.account_id, now=now) is not None,
            **_mandate(found.account_id, now),
        )
    )


def _mandate(account_id: int, now: datetime) -> dict[str, Any]:
    """The member `mandate` of accounts that have one: what is asked, from when, and whether it is met."""
    state = mandates.state(account_id, now=now)
    if state is None:
        return {}
    mandate, met = state
    begins = int(mandate.enforced_from.timestamp())
    return {"mandate": {"strength": mandate.strength.value, "enforced_from": begins, "met": met}}


@bp.post("/oauth2/revoke")
@public
@machine
@open_to_scripts
@limited("token")
def revoke() -> ResponseReturnValue:
    """A client gives a token back (RFC 7009). The answer is the same whether there was anything to end."""
    form = _form()
    client = _client(form)
    if isinstance(client, Response):
        return client
    if len(form.get("token", ())) != 1:
        return _fail("invalid_request", "token is missing, or was sent more than once.")
    now = request_time()
    account_id = tokens.revoke_token(one(form, "token"), client_id=client.id, now=now)
    tokens.revoke_of_program(one(form, "token"), client_id=client.id, now=now)
    if account_id is not None:
        audit.record(EventType.TOKEN_REVOKED, account_id=account_id, at=now, client=caller(), label=client.name)
    return _uncached(Response(status=200))


# Userinfo


@bp.route("/oauth2/userinfo", methods=["GET", "POST"])
@public
@machine
@read_only
@open_to_scripts
@limited("token")
def userinfo() -> ResponseReturnValue:
    """Claims about the account of an access token (OpenID Connect Core, 5.3). The permission table decides."""
    scheme, _, in_header = request.headers.get("Authorization", "").partition(" ")
    in_body = request.form.getlist("access_token")
    sent = ([in_header.strip()] if scheme.lower() == "bearer" else []) + in_body
    if not sent:
        return _challenge(401)
    if len(sent) > 1:
        return _challenge(400, "invalid_request", "The token was sent more than once.")
    who = tokens.principal(sent[0], now=request_time())
    decision = permission.decide(Action.READ_USERINFO, who)
    if who is None or isinstance(decision, permission.SignInNeeded):
        return _challenge(401, "invalid_token", "The token is not valid, or not any more.")
    if isinstance(decision, permission.Refused):
        return _challenge(403, "insufficient_scope", "The token does not cover this.", scope="openid")
    return _uncached(jsonify(claims.of_account(who.account_id, who.scopes)))


def _challenge(status: int, error: str = "", description: str = "", **more: str) -> Response:
    """RFC 6750, section 3: nothing but the scheme for somebody who sent no token."""
    response = _fail(error, description, status) if error else _uncached(Response(status=status))
    values = {"error": error, "error_description": description, **more} if error else {}
    parts = ", ".join(f'{name}="{value}"' for name, value in values.items())
    response.headers["WWW-Authenticate"] = f"Bearer {parts}".strip()
    return response
