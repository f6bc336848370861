"""Passwords: hashed with Argon2id in a bounded queue, checked against what is known to be guessed or leaked.

Verbs: verify (charges the guess first), problem_with (why a new one is refused), set_hash, hash_new, exists.
"""

from authsvc.passwords.choice import problem_with
from authsvc.passwords.hashing import hash_new
from authsvc.passwords.service import Verified, changed_at, exists, is_present, set_hash, verify

__all__ = ["Verified", "changed_at", "exists", "hash_new", "is_present", "problem_with", "set_hash", "verify"]
