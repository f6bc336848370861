"""Counters in memory for the limits per network, in the shape that flask-limiter's library asks for.

The library's own memory starts a thread with nearly every request, which looks through all keys and keeps them for
ever: a third of a sign-in's cost beside the hash, and more with every network that calls (decision 0011).
"""

import threading
import time
from typing import Any

from limits.storage import Storage

SWEEP_FROM = 10_000  # keys; beyond, and whenever twice what the last sweep left is reached, ended windows are dropped


class Counters(Storage):
    """Fixed windows: a count and the time it ends, by key. Safe to call from many threads."""

    STORAGE_SCHEME: list[str] | None = ["counters"]  # noqa: RUF012 -- the base class declares it so

    def __init__(self, uri: str | None = None, wrap_exceptions: bool = False, **_options: Any) -> None:
        super().__init__(uri, wrap_exceptions=wrap_exceptions)
        self._lock = threading.Lock()
        self._windows: dict[str, tuple[int, float]] = {}
        self._sweep_at = SWEEP_FROM

    @property
    def base_exceptions(self) -> type[Exception]:
        """What the library may see as a failure of storage: nothing that could happen here."""
        return OSError

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Count, in a new window of `expiry` seconds when the last one is over; the count so far."""
        now = time.time()
        with self._lock:
            count, ends = self._windows.get(key, (0, 0.0))
            if ends <= now:
                count, ends = 0, now + expiry
            self._windows[key] = (count + amount, ends)
            if len(self._windows) > self._sweep_at:
                self._windows = {k: window for k, window in self._windows.items() if window[1] > now}
                self._sweep_at = max(SWEEP_FROM, 2 * len(self._windows))
            return count + amount

    def decr(self, key: str, amount: int = 1) -> int:
        """Take back what was counted; the count so far."""
        with self._lock:
            count, ends = self._windows.get(key, (0, 0.0))
            self._windows[key] = (max(0, count - amount), ends)
            return max(0, count - amount)

    def get(self, key: str) -> int:
        """The count of the window that has not ended."""
        count, ends = self._windows.get(key, (0, 0.0))
        return count if ends > time.time() else 0

    def get_expiry(self, key: str) -> float:
        """When the window ends, in seconds since 1970."""
        return self._windows.get(key, (0, time.time()))[1]

    def check(self) -> bool:
        """Memory is always there."""
        return True

    def reset(self) -> int:
        """Forget everything; how many keys there were."""
        with self._lock:
            count = len(self._windows)
            self._windows = {}
            return count

    def clear(self, key: str) -> None:
        """Forget one key."""
        with self._lock:
            self._windows.pop(key, None)
