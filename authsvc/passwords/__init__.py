"""Passwords: hashed with Argon2id in a bounded queue, checked against what is known to be guessed or leaked.

Verbs: verify (charges the guess first), problem_with (why a new one is refused), set_hash, hash_new, exists, was_valid
(for what was replaced), purge, erase; no_place_for_strangers (what the queue would say).
"""

from authsvc.passwords.choice import problem_with
from authsvc.passwords.hashing import hash_new, no_place_for_strangers
from authsvc.passwords.service import (
    Verified,
    changed_at,
    erase,
    exists,
    is_present,
    purge,
    set_hash,
    verify,
    was_valid,
)

__all__ = [
    "Verified",
    "changed_at",
    "erase",
    "exists",
    "hash_new",
    "is_present",
    "no_place_for_strangers",
    "problem_with",
    "purge",
    "set_hash",
    "verify",
    "was_valid",
]
