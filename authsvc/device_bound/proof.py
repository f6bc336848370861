"""Challenges, and the proofs of a key that answer them.

A challenge is not stored: it names its session, its purpose and its time, under a MAC. It is spent in `sessions`, where
the time of the newest one answered only moves forward; so asking for challenges, which anybody may, spoils none.
"""

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from authsvc.core import crypto

CHALLENGE_LIFE = timedelta(minutes=2)  # a slow TPM takes a second or two
MAX_PROOF_LENGTH = 4096
TYPE = "dbsc+jwt"
BIND, REFRESH = "bind", "refresh"  # what a challenge is for
ALGORITHMS = ("ES256", "RS256")  # all that the draft knows
MICROSECOND = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Registry(jws.JWSRegistry):
    """The library's rules, with room for an RSA key in the header."""

    max_header_length = 2048


@dataclass(frozen=True)
class Proof:
    """A JWT whose signature holds: the challenge it answers, and the public key with its `alg`."""

    challenge: str
    key: dict[str, Any]


def challenge(session_id: int, purpose: str, *, now: datetime) -> str:
    """A challenge for one session and purpose."""
    at = (now - EPOCH) // MICROSECOND
    return f"{at}.{crypto.keyed_digest('device-bound', purpose, str(session_id), str(at)).hex()}"


def made_at(text: str, session_id: int, purpose: str, *, now: datetime) -> datetime | None:
    """When the challenge was made; None when it is not ours, not of this session and purpose, or too old."""
    digits, _, mac = text.partition(".")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 17):
        return None
    expected = crypto.keyed_digests("device-bound", purpose, str(session_id), digits)
    if not any(crypto.same(mac.encode(), digest.hex().encode()) for digest in expected):
        return None
    made = EPOCH + int(digits) * MICROSECOND
    return made if made <= now < made + CHALLENGE_LIFE else None


def first_proof(text: str, *, url: str) -> Proof | None:
    """Read the proof that brings its own public key along; None when it does not hold."""
    try:
        header = jws.extract_compact(text[: MAX_PROOF_LENGTH + 1].encode(), registry=_Registry()).headers()
        jwk = header.get("jwk")
        return proof(text, {**jwk, "alg": header.get("alg")}, url=url) if isinstance(jwk, dict) else None
    except (JoseError, ValueError, TypeError):
        return None


def proof(text: str, key: dict[str, Any], *, url: str) -> Proof | None:
    """Check a proof by a key, with that key's one algorithm (attacks J01, J02); None when it does not hold.

    `url` is where it was sent; a proof that names another one (`aud`) is refused. Source: DBSC, "DBSC proof".
    """
    alg = key.get("alg")
    if len(text) > MAX_PROOF_LENGTH or alg not in ALGORITHMS:
        return None
    try:
        imported = _import(key, alg)
        read = jwt.decode(text, imported, registry=_Registry(algorithms=[alg]))
    except (JoseError, ValueError, TypeError, KeyError):  # the last for a curve that the library does not know
        return None
    answered = read.claims.get("jti")
    if read.header.get("typ") != TYPE or not isinstance(answered, str) or read.claims.get("aud", url) != url:
        return None
    return Proof(answered, {**imported.as_dict(private=False), "alg": alg})


def _import(key: dict[str, Any], alg: str) -> ECKey | RSAKey:
    """The key as one of its algorithm, of a size that is neither weak nor slow. Raises ValueError or JoseError."""
    if alg == "ES256":
        found = ECKey.import_key({name: key[name] for name in ("kty", "crv", "x", "y") if name in key})
        if found.curve_name != "P-256":
            raise ValueError(f"curve {found.curve_name}")
        return found
    bits = int.from_bytes(base64.urlsafe_b64decode(f"{key.get('n', '')}==")).bit_length()
    if not 2048 <= bits <= 4096:
        raise ValueError(f"RSA of {bits} bits")
    return RSAKey.import_key({name: key[name] for name in ("kty", "n", "e") if name in key})
