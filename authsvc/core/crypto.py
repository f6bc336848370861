"""Random values, digests and sealing. Keys live in a file outside the database (POLICY 15).

The file holds one `id base64key` per line; the first line seals, all of them unseal, so a key is
rotated by writing a new line on top.
"""

import base64
import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from flask import current_app

KEY_BYTES = 32
NONCE_BYTES = 12  # NIST SP 800-38D, 8.2


class SealBroken(Exception):
    """A sealed value was changed, belongs to another purpose, or its key is gone."""


@dataclass(frozen=True)
class SealingKeys:
    """Keys by id, newest first."""

    by_id: dict[str, bytes]

    @property
    def newest(self) -> tuple[str, bytes]:
        """Id and key that seal from now on."""
        return next(iter(self.by_id.items()))


def load_keys(path: Path, *, create: bool) -> SealingKeys:
    """Read the key file; with `create`, make it (mode 0600) when it is missing.

    Raises FileNotFoundError when it is missing and may not be made, ValueError when a line is unusable.
    """
    if create and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        line = f"k{secrets.token_hex(4)} {base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}\n"
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(line)
        except FileExistsError:  # another process was first; its key counts
            pass
    keys: dict[str, bytes] = {}
    for number, line in enumerate(path.read_text(encoding="ascii").splitlines(), start=1):
        if not line.strip():
            continue
        key_id, _, encoded = line.strip().partition(" ")
        key = base64.b64decode(encoded, validate=True)
        if len(key) != KEY_BYTES or not key_id or len(key_id) > 20 or key_id in keys:
            raise ValueError(f"{path}, line {number}: needs a new id and a base64 key of {KEY_BYTES} bytes")
        keys[key_id] = key
    if not keys:
        raise ValueError(f"{path} holds no key")
    return SealingKeys(keys)


def _keys() -> SealingKeys:
    keys: SealingKeys = current_app.extensions["authsvc.keys"]
    return keys


def random_token(size_bytes: int = 32) -> str:
    """A URL-safe secret of `size_bytes` random bytes."""
    return secrets.token_urlsafe(size_bytes)


def random_digits(count: int) -> str:
    """`count` random decimal digits."""
    return f"{secrets.randbelow(10**count):0{count}d}"


def random_letters(count: int) -> str:
    """`count` random letters of 20, 4.3 bits each: no vowels, so no words, and no digits, so no one-time code."""
    return "".join(secrets.choice("BCDFGHJKLMNPQRSTVWXZ") for _ in range(count))


def digest(token: str) -> bytes:
    """SHA-256, for secrets of 128 bits or more, which cannot be guessed from it."""
    return hashlib.sha256(token.encode()).digest()


def keyed_digests(purpose: str, *parts: str) -> list[bytes]:
    """HMAC-SHA-256 of a short secret under every key, newest first; compare stored values with any of them."""
    message = "\x1f".join((purpose, *parts)).encode()
    return [hmac.digest(_derived(key, purpose), message, "sha256") for key in _keys().by_id.values()]


def keyed_digest(purpose: str, *parts: str) -> bytes:
    """HMAC-SHA-256 under the newest key, for storing a secret under 128 bits (POLICY 15)."""
    message = "\x1f".join((purpose, *parts)).encode()
    return hmac.digest(_derived(_keys().newest[1], purpose), message, "sha256")


def secret_for(purpose: str) -> list[str]:
    """Secrets derived for a library that signs on its own, oldest first (itsdangerous' order)."""
    return [_derived(key, purpose).hex() for key in reversed(_keys().by_id.values())]


def seal(plaintext: bytes, purpose: str) -> bytes:
    """Encrypt and authenticate (AES-256-GCM). The purpose is bound in, so a value cannot change its role."""
    key_id, key = _keys().newest
    nonce = secrets.token_bytes(NONCE_BYTES)
    sealed = AESGCM(_derived(key, "seal")).encrypt(nonce, plaintext, purpose.encode())
    return bytes([len(key_id)]) + key_id.encode() + nonce + sealed


def unseal(blob: bytes, purpose: str) -> bytes:
    """Open what `seal` closed. Raises SealBroken."""
    size = blob[0] if blob else 0
    key = _keys().by_id.get(blob[1 : 1 + size].decode("ascii", "replace"))
    if key is None:
        raise SealBroken("sealed under a key that is not in the key file")
    nonce, sealed = blob[1 + size : 1 + size + NONCE_BYTES], blob[1 + size + NONCE_BYTES :]
    try:
        return AESGCM(_derived(key, "seal")).decrypt(nonce, sealed, purpose.encode())
    except (InvalidTag, ValueError) as error:
        raise SealBroken(f"a sealed {purpose} value was changed") from error


def same(one: bytes, other: bytes) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(one, other)


def _derived(key: bytes, purpose: str) -> bytes:
    """A key of its own for each purpose, so that one use never weakens another."""
    return hmac.digest(key, b"authsvc:" + purpose.encode(), "sha256")
