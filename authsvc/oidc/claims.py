"""What clients are told about an account: claims by scope, and ID tokens."""

import base64
import hashlib
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from authsvc import accounts, holds
from authsvc.core import crypto
from authsvc.oidc import keys
from authsvc.oidc.clients import ClientView
from authsvc.tokens import Issued

ID_TOKEN_LIFE = timedelta(minutes=10)  # it is read once, on arrival


def of_account(account_id: int, scopes: Collection[str]) -> dict[str, Any]:
    """Claims that the scopes cover; those without a value are left out (OpenID Connect Core, 5.3.2, 5.4).

    An address is told only while it is verified and its domain can be trusted: clients take accounts over by it
    (attacks E14, D04).
    """
    account = accounts.get(account_id)
    found: dict[str, Any] = {"sub": account.sub}
    if "profile" in scopes:
        found["preferred_username"] = account.username
    if "email" in scopes:
        address = accounts.mail_address(account_id)
        if address is not None and address.trusted:
            found |= {"email": address.email, "email_verified": True}
    return found


def id_token(
    client: ClientView, issued: Issued, *, issuer: str, nonce: str | None, asked: Collection[str], now: datetime
) -> str:
    """A signed ID token for the grant just used. `asked`: further claims wanted in it, as far as scopes cover them.

    `acr` says what the sign-in still counts for now (POLICY 1), `hold` whether risky actions wait (POLICY 5).
    Source: OpenID Connect Core, 2, 3.1.3.6, 12.2.
    """
    view = issued.view
    claims = {
        "iss": issuer,
        "sub": view.sub,
        "aud": client.id,
        "iat": int(now.timestamp()),
        "exp": int((now + ID_TOKEN_LIFE).timestamp()),
        "auth_time": int(view.auth_time.timestamp()),
        "acr": view.acr.value,
        "amr": sorted(view.amr),
        "at_hash": _half_hash(issued.access_token),
        "hold": holds.current(view.account_id, now=now) is not None,
    }
    if nonce is not None:
        claims["nonce"] = nonce
    if view.session_id is not None:
        claims["sid"] = session_name(view.session_id)
    if asked:
        claims |= {k: v for k, v in of_account(view.account_id, view.scopes).items() if k in asked}
    return keys.sign(claims, alg=client.id_token_alg, typ="JWT", now=now)


def session_name(session_id: int) -> str:
    """The `sid` of a session: always the same, and says nothing about it."""
    return crypto.keyed_digest("sid", str(session_id)).hex()[:32]


def _half_hash(token: str) -> str:
    """`at_hash`: both of our algorithms hash with SHA-256 (OpenID Connect Core, 3.1.3.6)."""
    return base64.urlsafe_b64encode(hashlib.sha256(token.encode("ascii")).digest()[:16]).rstrip(b"=").decode()
