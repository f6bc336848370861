"""Signing keys: made, published before they sign, rotated, dropped; signing and checking JWTs with them.

Each key has one algorithm for ever, so a token cannot choose how it is checked (attacks J01, J02).
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey
from sqlalchemy import bindparam, select, update

from authsvc.core import crypto, db
from authsvc.oidc.models import SigningKey

ALGORITHMS = ("RS256", "ES256")  # OpenID Connect Core, 15.1 wants the first; the second is short and fast
JWKS_MAX_AGE = timedelta(minutes=15)
PUBLISHED_BEFORE = timedelta(hours=1)  # several times JWKS_MAX_AGE, so that every client has the key when it signs
PUBLISHED_AFTER = timedelta(hours=3)  # the longest life of an ID token, and caches
RSA_BITS = 2048  # RFC 7518, 3.3: at least; rotation is one command

Key = RSAKey | ECKey


@dataclass(frozen=True)
class _Known:
    """One key that was not dropped."""

    kid: str
    alg: str
    public_jwk: dict[str, Any]
    created_at: datetime
    signs_from: datetime


_KNOWN = (
    select(SigningKey.kid, SigningKey.alg, SigningKey.public_jwk, SigningKey.created_at, SigningKey.signs_from)
    .where(SigningKey.dropped_at.is_(None))
    .order_by(SigningKey.signs_from.desc(), SigningKey.created_at.desc())
)
_SEALED = select(SigningKey.sealed_private_jwk).where(SigningKey.kid == bindparam("kid"))

_opened: dict[str, Key] = {}  # private keys by thumbprint, so that signing does not parse one each time


def _known() -> list[_Known]:
    return [_Known(**row._mapping) for row in db.session().execute(_KNOWN)]


def _signing(keys: list[_Known], alg: str, now: datetime) -> _Known | None:
    return next((k for k in keys if k.alg == alg and k.signs_from <= now), None)


def generate(alg: str) -> Key:
    """A fresh key pair for one of ALGORITHMS."""
    return RSAKey.generate_key(RSA_BITS) if alg == "RS256" else ECKey.generate_key("P-256")


def add(key: Key, alg: str, *, signs_from: datetime, now: datetime) -> str:
    """Store a key pair and return its id; it is published at once."""
    kid = key.thumbprint()
    db.session().add(
        SigningKey(
            kid=kid,
            alg=alg,
            public_jwk={**key.as_dict(private=False), "kid": kid, "use": "sig", "alg": alg},
            sealed_private_jwk=crypto.seal(json.dumps(key.as_dict(private=True)).encode(), f"signing-key:{kid}"),
            created_at=now,
            signs_from=signs_from,
        )
    )
    db.session().flush()
    return kid


def ensure_keys(*, now: datetime) -> None:
    """Make the keys that are missing. Called before serving; safe to repeat."""
    keys = _known()
    for alg in ALGORITHMS:
        if _signing(keys, alg, now) is None:
            add(generate(alg), alg, signs_from=now, now=now)


def rotate(*, compromised: bool, now: datetime) -> list[str]:
    """Make new keys and return their ids. They sign after PUBLISHED_BEFORE; with `compromised` at once, and every
    older key is dropped at once: what it signed is good for nothing any more (POLICY 15)."""
    if compromised:
        db.session().execute(update(SigningKey).where(SigningKey.dropped_at.is_(None)).values(dropped_at=now))
    signs_from = now if compromised else now + PUBLISHED_BEFORE
    return [add(generate(alg), alg, signs_from=signs_from, now=now) for alg in ALGORITHMS]


def jwks(*, now: datetime) -> list[dict[str, Any]]:
    """The public keys to publish: those that will sign, that sign, and that signed until lately."""
    published, keys = [], _known()
    for index, key in enumerate(keys):
        successors = [k.signs_from for k in keys[:index] if k.alg == key.alg and k.signs_from <= now]
        if not successors or now < min(successors) + PUBLISHED_AFTER:
            published.append(key.public_jwk)
    return published


def sign(claims: dict[str, Any], *, alg: str, typ: str, now: datetime) -> str:
    """A JWT under the current key of the algorithm."""
    found = _signing(_known(), alg, now)
    if found is None:
        ensure_keys(now=now)
        found = _signing(_known(), alg, now)
        if found is None:
            raise LookupError(f"no key for {alg}")
    return jwt.encode({"alg": alg, "typ": typ, "kid": found.kid}, claims, _open(found), algorithms=[alg])


def _open(found: _Known) -> Key:
    if found.kid not in _opened:
        sealed = db.session().execute(_SEALED, {"kid": found.kid}).scalar_one()
        private = json.loads(crypto.unseal(sealed, f"signing-key:{found.kid}"))
        _opened[found.kid] = (RSAKey if found.alg == "RS256" else ECKey).import_key(private)
    return _opened[found.kid]


def check(token: str, *, typ: str) -> dict[str, Any] | None:
    """The claims of a JWT of ours, however old; None when it is not ours, was changed, or is of another type.

    Retired keys still count, dropped ones do not. Times and audience are the caller's to look at.
    Source: RFC 8725, 3.1, 3.10, 3.11.
    """
    for key in _known():
        imported = (RSAKey if key.alg == "RS256" else ECKey).import_key(key.public_jwk)
        try:
            read = jwt.decode(token, imported, algorithms=[key.alg])
        except (JoseError, ValueError):
            continue
        if read.header.get("kid") == key.kid and read.header.get("typ") == typ:
            return dict(read.claims)
    return None
