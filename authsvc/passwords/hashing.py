"""Argon2id, and the queue in front of it, so that a flood of sign-ins leaves threads for everything else (POLICY 7).

Whoever waits is taken in the order of `policy.stuffing.Turn`: known browsers, then strangers, then networks that
tripped a detector. Where no place is free a better turn takes that of the worst who waits.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from authsvc.core import db
from authsvc.core.config import Settings
from authsvc.core.errors import Busy
from authsvc.core.web import settings
from authsvc.policy import stuffing as policy
from authsvc.policy.stuffing import Turn

pause, clock = time.sleep, time.monotonic  # a simulation has its own

Result = TypeVar("Result")

SLOTS = 1  # hashes at once in one process: there are as many processes as cores
QUEUE = 5  # waiting beside them; of 8 request threads two stay free
STRANGERS_UNDER_PRESSURE = 2  # of those who wait, while the whole site is being guessed at
WAIT_SECONDS = 5.0
MOST_REST_SECONDS = 0.1  # so that a known browser never waits long for a stranger's rest
NICENESS = 10  # of the hashing thread, so that a storm of sign-ins takes the processor from nobody else (decision 0023)


@dataclass(eq=False)
class _Waiter:
    """Somebody in the queue. `called` is set when the turn has come, or when a better one took the place."""

    turn: Turn
    account: str | None  # None: a new password, which is no guess
    called: threading.Event = field(default_factory=threading.Event)
    displaced: bool = False


class Queue:
    """Slots to hash in, and places to wait. Safe to call from many threads."""

    def __init__(self, *, slots: int, places: int, strangers_under_pressure: int) -> None:
        self._slots, self._places, self._strangers = slots, places, strangers_under_pressure
        self._lock = threading.Lock()
        self._waiting: list[_Waiter] = []  # in the order they came
        self._hashing: list[str | None] = []  # accounts whose hash is in flight
        self._took = 0.0  # by the last hash, in seconds
        self._pressed = False  # as the last stranger who came knew it

    def full_for_strangers(self) -> bool:
        """True when whoever is not known would be turned away. A look from outside, soon out of date."""
        with self._lock:
            return self._full(Turn.STRANGER, pressed=self._pressed)

    def _full(self, turn: Turn, *, pressed: bool) -> bool:
        strangers = sum(w.turn > Turn.KNOWN for w in self._waiting)
        if pressed and turn > Turn.KNOWN and strangers >= self._strangers:
            return True
        return len(self._waiting) + len(self._hashing) >= self._slots + self._places

    @contextmanager
    def turn(self, turn: Turn, account: str | None, *, pressed: bool) -> Iterator[None]:
        """Wait for the turn to hash; one hash in flight per account. Raises Busy, before anything was charged."""
        waiter = self._enter(_Waiter(turn, account), pressed=pressed)
        waiter.called.wait(WAIT_SECONDS)
        with self._lock:
            if waiter.displaced:
                raise Busy("a better turn took the place in the hashing queue", retry_after=5)
            if waiter in self._waiting:
                self._waiting.remove(waiter)
                raise Busy("hashing queue does not move", retry_after=5)
        begun = clock()
        try:
            if pressed and turn > Turn.KNOWN:
                pause(self._took)  # under pressure strangers get half of the slot's time, and the rest of us the core
                begun = clock()
            yield
        finally:
            with self._lock:
                self._took = min(clock() - begun, MOST_REST_SECONDS)
                self._hashing.remove(account)
                self._call()

    def _enter(self, waiter: _Waiter, *, pressed: bool) -> _Waiter:
        with self._lock:
            if waiter.account is not None and waiter.turn > Turn.KNOWN:
                self._pressed = pressed
            if self._full(waiter.turn, pressed=pressed):
                worst = max(self._waiting, key=lambda w: w.turn, default=waiter)
                if worst.turn <= waiter.turn:
                    raise Busy("hashing queue is full", retry_after=2)
                self._waiting.remove(worst)
                worst.displaced = True
                worst.called.set()
            self._waiting.append(waiter)
            self._call()
        return waiter

    def _call(self) -> None:
        """Give free slots to the best turns, first come first served among equals."""
        while len(self._hashing) < self._slots:
            ready = [w for w in self._waiting if w.account is None or w.account not in self._hashing]
            if not ready:
                return
            best = min(ready, key=lambda w: w.turn)
            self._waiting.remove(best)
            self._hashing.append(best.account)
            best.called.set()


def _stand_back() -> None:
    if sys.platform == "linux":  # where a thread has a niceness of its own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


_thread = ThreadPoolExecutor(SLOTS, thread_name_prefix="hashing", initializer=_stand_back)


def _aside(work: Callable[..., Result], *values: str) -> Result:
    """Do it in the hashing thread."""
    return _thread.submit(work, *values).result()


_queue = Queue(slots=SLOTS, places=QUEUE, strangers_under_pressure=STRANGERS_UNDER_PRESSURE)


@contextmanager
def turn(turn: Turn, account: str | None, *, pressed: bool = False) -> Iterator[None]:
    """The turn to hash for an account or a name, with the transaction before it ended. Raises Busy.

    Guesses are charged inside, so that a full queue costs the owner nothing.
    """
    db.commit()
    with _queue.turn(turn, account, pressed=pressed):
        yield


def no_place_for_strangers() -> bool:
    """True when a stranger's password would not be hashed now, so that nothing need be looked up for it."""
    return _queue.full_for_strangers()


@lru_cache(maxsize=4)
def hasher(settings: Settings) -> PasswordHasher:
    """What hashes. The one function to replace where hashing itself must cost nothing, as in a simulation."""
    return PasswordHasher(
        time_cost=settings.argon2_time_cost,
        memory_cost=settings.argon2_memory_kib,
        parallelism=settings.argon2_parallelism,
    )


@lru_cache(maxsize=4)
def _decoy(settings: Settings) -> str:
    """A hash that nothing matches, so that an unknown name costs the same work (attack L09)."""
    return hasher(settings).hash("no password has this hash\x00")


def hash_new(password: str, *, known: bool = False) -> str:
    """Hash a password as typed: no trimming, no normalising (decision 0006). Raises Busy.

    `known`: who asks has shown who they are, so they go before strangers.
    """
    with turn(policy.turn(known=known, network_tripped=False), None):
        return _aside(hasher(settings()).hash, password)


def matches(hashed: str | None, password: str) -> bool:
    """Compare, inside one's turn; a missing hash costs the same and never matches."""
    try:
        return _aside(hasher(settings()).verify, hashed or _decoy(settings()), password) and hashed is not None
    except (Argon2Error, InvalidHashError):
        return False


def outdated(hashed: str) -> bool:
    """True when the settings changed since it was made."""
    return hasher(settings()).check_needs_rehash(hashed)
