"""Argon2id, and the queue in front of it, so that a flood of sign-ins leaves threads for everything else (POLICY 7)."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from authsvc.core import db
from authsvc.core.config import Settings
from authsvc.core.errors import Busy
from authsvc.core.web import settings

SLOTS = 1  # hashes at once in one process: there are as many processes as cores
QUEUE = 5  # waiting beside them; of 8 request threads two stay free
WAIT_SECONDS = 5.0

_slots = threading.BoundedSemaphore(SLOTS)
_places = threading.BoundedSemaphore(SLOTS + QUEUE)


@contextmanager
def place() -> Iterator[None]:
    """A place in the queue, to be taken before a guess is charged. Raises Busy when the queue is full."""
    if not _places.acquire(blocking=False):
        raise Busy("hashing queue is full", retry_after=2)
    try:
        yield
    finally:
        _places.release()


@contextmanager
def _slot() -> Iterator[None]:
    """The turn to hash, with no transaction open meanwhile. Raises Busy when the queue does not move."""
    db.commit()
    if not _slots.acquire(timeout=WAIT_SECONDS):
        raise Busy("hashing queue does not move", retry_after=5)
    try:
        yield
    finally:
        _slots.release()


@lru_cache(maxsize=4)
def _hasher(settings: Settings) -> PasswordHasher:
    return PasswordHasher(
        time_cost=settings.argon2_time_cost,
        memory_cost=settings.argon2_memory_kib,
        parallelism=settings.argon2_parallelism,
    )


@lru_cache(maxsize=4)
def _decoy(settings: Settings) -> str:
    """A hash that nothing matches, so that an unknown name costs the same work (attack L09)."""
    return _hasher(settings).hash("no password has this hash\x00")


def hash_new(password: str) -> str:
    """Hash a password as typed: no trimming, no normalising (decision 0006). Raises Busy."""
    with place(), _slot():
        return _hasher(settings()).hash(password)


def matches(hashed: str | None, password: str) -> bool:
    """Compare, from a place in the queue; a missing hash costs the same and never matches. Raises Busy."""
    with _slot():
        try:
            return _hasher(settings()).verify(hashed or _decoy(settings()), password) and hashed is not None
        except (Argon2Error, InvalidHashError):
            return False


def outdated(hashed: str) -> bool:
    """True when the settings changed since it was made."""
    return _hasher(settings()).check_needs_rehash(hashed)
