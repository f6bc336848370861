"""Who guesses widely: wrong pairs by network, wrong passwords over many accounts, failures on the whole site.

Nothing is stored that could be read back: accounts and passwords are HMAC values, cut short, under a key that lives in
memory only (or in Redis, where all processes share it) and is replaced every day. The thresholds are in
`policy/stuffing.py`. Only what was typed in browsers the account does not know is counted.
"""

import logging
import secrets
import struct
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from hmac import digest
from typing import Protocol

import redis
from flask import Flask, current_app

from authsvc.core.rate_limits import wide_network_of
from authsvc.policy import stuffing as policy
from authsvc.policy.stuffing import NETWORK_PERIOD, PASSWORD_PERIOD, REMEMBER_UP_TO, SITE_PERIOD, Seen

log = logging.getLogger(__name__)

MAX_MEMBERS = 100_000  # in all sets of one process together: some 30 MB, twenty minutes of hashing at full speed
CUT = 8  # bytes kept of a HMAC: two of 100,000 share one with a chance of 1 in 10^9
REDIS_TIMEOUT_SECONDS = 0.3
REDIS_REST_SECONDS = 10.0  # after a failure Redis is left alone for so long


class Sets(Protocol):
    """Sets of short byte strings that end by themselves. Both return, for each name given, how many are in it."""

    def key(self, day: int) -> bytes:
        """The HMAC key of a day."""

    def sizes(self, unions: list[list[str]], *, now: float) -> list[int]:
        """How many distinct members each union of sets has."""

    def add(self, members: list[tuple[str, bytes, float]], *, now: float) -> None:
        """Put members into sets: name, member, seconds to keep the set."""


class InMemory:
    """Sets of one process. The one longest without a new member goes when there are too many in all."""

    def __init__(self, max_members: int = MAX_MEMBERS) -> None:
        self._lock = threading.Lock()
        self._max, self._members = max_members, 0
        self._sets: OrderedDict[str, tuple[float, bytes]] = OrderedDict()  # name → end, members one after another
        self._keys: dict[int, bytes] = {}

    def key(self, day: int) -> bytes:
        """The key of a day; those of two days are kept."""
        with self._lock:
            for old in [d for d in self._keys if d < day - 1]:
                del self._keys[old]
            return self._keys.setdefault(day, secrets.token_bytes(32))

    def sizes(self, unions: list[list[str]], *, now: float) -> list[int]:
        """Exact, up to REMEMBER_UP_TO members of each set."""
        with self._lock:
            return [len({*_split(b"".join(self._live(name, now) for name in names))}) for names in unions]

    def _live(self, name: str, now: float) -> bytes:
        ends, members = self._sets.get(name, (now, b""))
        return members if ends > now else b""

    def add(self, members: list[tuple[str, bytes, float]], *, now: float) -> None:
        """Put members in; a set that is full already has said what it has to say."""
        with self._lock:
            for name, member, seconds in members:
                kept = self._live(name, now)
                self._members -= len(self._sets.pop(name, (now, b""))[1]) // CUT
                if _split(member)[0] not in _split(kept) and len(kept) < REMEMBER_UP_TO * CUT:
                    kept += member
                self._sets[name] = (now + seconds, kept)
                self._members += len(kept) // CUT
            while self._members > self._max:
                _, (_, dropped) = self._sets.popitem(last=False)
                self._members -= len(dropped) // CUT


def _split(members: bytes) -> tuple[int, ...]:
    return struct.unpack(f"={len(members) // CUT}Q", members)


class InRedis:
    """HyperLogLogs that all processes share; right to a percent, at some kilobytes a set at most.

    While Redis does not answer nothing is counted and nobody is slowed: budgets hold without it.
    """

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(
            url, socket_timeout=REDIS_TIMEOUT_SECONDS, socket_connect_timeout=REDIS_TIMEOUT_SECONDS
        )
        self._rest_until = 0.0
        self._keys: dict[int, bytes] = {}

    def key(self, day: int) -> bytes:
        """The key of a day, made by whichever process comes first."""
        found = self._keys.get(day)
        if found is None:
            name, fresh = f"authsvc:sketch-key:{day}", secrets.token_bytes(32)
            if time.monotonic() < self._rest_until:
                return fresh  # nothing is counted under it either
            try:
                self._redis.set(name, fresh, nx=True, ex=int(2 * PASSWORD_PERIOD.total_seconds()))
                found = bytes(self._redis.get(name) or fresh)  # type: ignore[arg-type]
            except redis.RedisError as error:
                self._rest(error)
                return fresh
            self._keys = {d: key for d, key in self._keys.items() if d >= day - 1} | {day: found}
        return found

    def sizes(self, unions: list[list[str]], *, now: float) -> list[int]:
        """Counted by Redis in one round trip."""
        if time.monotonic() < self._rest_until:
            return [0] * len(unions)
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                for names in unions:
                    pipe.pfcount(*(f"authsvc:{name}" for name in names))
                return [int(count) for count in pipe.execute()]
        except redis.RedisError as error:
            self._rest(error)
            return [0] * len(unions)

    def add(self, members: list[tuple[str, bytes, float]], *, now: float) -> None:
        """Added by Redis in one round trip."""
        if time.monotonic() < self._rest_until:
            return
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                for name, member, seconds in members:
                    pipe.pfadd(f"authsvc:{name}", member)
                    pipe.expire(f"authsvc:{name}", int(seconds) + 1)
                pipe.execute()
        except redis.RedisError as error:
            self._rest(error)

    def _rest(self, error: Exception) -> None:
        log.warning("detectors of stuffing and spraying are blind: %s", error)
        self._rest_until = time.monotonic() + REDIS_REST_SECONDS


@dataclass(frozen=True)
class Look:
    """What is known about the network that asks and about the whole site, before anything is compared."""

    tripped: bool
    pressed: bool


class Detector:
    """The counts of one app."""

    def __init__(self, sets: Sets, processes: int) -> None:
        self.sets, self.limits = sets, policy.thresholds(processes)

    def look(self, network: str, *, now: datetime) -> Look:
        """What to think of a guess from this network."""
        wide = wide_network_of(network) or network
        unions = [
            self._periods("pairs", network, NETWORK_PERIOD, now),
            self._periods("pairs", wide, NETWORK_PERIOD, now),
            self._periods("sprayed", network, NETWORK_PERIOD, now),
            self._periods("failing", "site", SITE_PERIOD, now),
        ]
        pairs, wide_pairs, sprayed, failing = self.sets.sizes(unions, now=now.timestamp())
        seen = Seen(pairs=pairs, wide_pairs=wide_pairs if wide != network else 0, sprayed=sprayed, failing=failing)
        return Look(policy.tripped(seen, self.limits), policy.under_pressure(seen, self.limits))

    def is_sprayed(self, password: str, *, now: datetime) -> bool:
        """True when the password was wrong for many accounts, today or yesterday."""
        today = self._period(PASSWORD_PERIOD, now)
        counts = self.sets.sizes([[self._password(password, day)] for day in (today, today - 1)], now=now.timestamp())
        return any(policy.is_sprayed(count, self.limits) for count in counts)

    def note_failure(self, subject: str, password: str, network: str, *, now: datetime) -> None:
        """Count one wrong pair of account (or unknown name) and password."""
        today, minutes = self._period(PASSWORD_PERIOD, now), NETWORK_PERIOD
        whom, pair = self._cut(today, "subject", subject), self._cut(today, "pair", subject, password)
        found = [
            (self._name("pairs", network, minutes, now), pair, 2 * minutes),
            (self._name("failing", "site", SITE_PERIOD, now), whom, 2 * SITE_PERIOD),
            (self._password(password, today), whom, 2 * PASSWORD_PERIOD),
        ]
        wide = wide_network_of(network)
        if wide is not None:
            found.append((self._name("pairs", wide, minutes, now), pair, 2 * minutes))
        if self.is_sprayed(password, now=now):
            tried = self._cut(today, "password", password)
            found.append((self._name("sprayed", network, minutes, now), tried, 2 * minutes))
        self.sets.add([(n, m, seconds.total_seconds()) for n, m, seconds in found], now=now.timestamp())

    def _period(self, length: timedelta, now: datetime) -> int:
        return int(now.timestamp() // length.total_seconds())

    def _name(self, kind: str, whose: str, length: timedelta, now: datetime, *, back: int = 0) -> str:
        return f"{kind}:{whose}:{self._period(length, now) - back}"

    def _periods(self, kind: str, whose: str, length: timedelta, now: datetime) -> list[str]:
        return [self._name(kind, whose, length, now), self._name(kind, whose, length, now, back=1)]

    def _password(self, password: str, day: int) -> str:
        return f"tried:{day}:{self._cut(day, 'password', password).hex()}"

    def _cut(self, day: int, *parts: str) -> bytes:
        return digest(self.sets.key(day), "\x1f".join(parts).encode(), "sha256")[:CUT]


def register(app: Flask, *, redis_url: str, processes: int) -> None:
    """Give the app a detector that has seen nothing: in memory, or in Redis when a URL is given."""
    sets: Sets = InRedis(redis_url) if redis_url else InMemory()
    app.extensions["authsvc.stuffing"] = Detector(sets, 1 if redis_url else processes)


def current() -> Detector:
    """The detector of the running app."""
    found: Detector = current_app.extensions["authsvc.stuffing"]
    return found
