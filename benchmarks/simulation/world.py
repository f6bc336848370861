"""Simulated time: actors that wait and ask, and the queue for hashing slots that they wait in.

An actor is a generator. It yields seconds to wait, or a function to call, whose result it is sent. Functions run in a
greenlet, so that a request in the middle of the real code can wait in simulated time for a hashing slot.
"""

import heapq
import itertools
import random
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from greenlet import getcurrent, greenlet  # type: ignore[import-untyped]

START = datetime(2026, 11, 24, tzinfo=UTC)
Actor = Generator[float | Callable[[], Any], Any, None]


class World:
    """The clock, and what happens when. `now` in seconds since START."""

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        self.rng = random.Random(seed)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._hub = getcurrent()

    def clock(self) -> datetime:
        """The time for `create_app`."""
        return START + timedelta(seconds=self.now)

    def time(self) -> float:
        """The same as `time.time()` gives it."""
        return START.timestamp() + self.now

    def at(self, when: float, what: Callable[[], None]) -> None:
        """Let something happen at a time."""
        heapq.heappush(self._events, (max(when, self.now), next(self._order), what))

    def start(self, actor: Actor, when: float) -> None:
        """Let an actor begin at a time."""
        self.at(when, lambda: self._send(actor, None))

    def run(self, progress: Callable[[float], None]) -> None:
        """Until nothing is left to happen; tells the time now and then."""
        for count in itertools.count():
            if not self._events:
                return
            self.now, _, what = heapq.heappop(self._events)
            what()
            if count % 200 == 0:
                progress(self.now)

    def sleep(self, seconds: float) -> None:
        """Wait, inside a function that an actor called."""
        me = getcurrent()
        self.at(self.now + seconds, lambda: me.switch())
        self.park()

    def park(self) -> None:
        """Wait until somebody switches back."""
        self._hub.switch()

    def _send(self, actor: Actor, value: Any) -> None:
        try:
            wish = actor.send(value)
        except StopIteration:
            return
        if callable(wish):
            call = wish
            greenlet(lambda: self.at(self.now, _bind(self._send, actor, call()))).switch()
        else:
            self.at(self.now + wish, lambda: self._send(actor, None))


def _bind(function: Callable[..., None], *values: Any) -> Callable[[], None]:
    return lambda: function(*values)


class QueueFull(Exception):
    """No place is left, or the wait was too long."""


@dataclass
class _Process:
    placed: int = 0
    busy: bool = False
    waiting: list[list[Any]] = field(default_factory=list)  # heap of [priority, order, greenlet or None]


class HashQueue:
    """What stands in front of the hash in each web process: one slot, `places` in all, and the rest is turned away.

    Lower `priority` goes first, then who came first. Waiting ends after `patience` seconds. A request comes to a
    process by chance, as connections do. `rate` in hashes per second, all processes together.
    """

    def __init__(self, world: World, *, rate: float, processes: int, places: int, patience: float) -> None:
        self.world, self.places, self.patience = world, places, patience
        self.seconds_per_hash = processes / rate
        self.hashed = self.turned_away = 0
        self._processes = [_Process() for _ in range(processes)]
        self._order = itertools.count()

    def enter(self, *, places: int | None = None) -> _Process:
        """A place. Raises QueueFull."""
        process = self.world.rng.choice(self._processes)
        if process.placed >= (self.places if places is None else places):
            self.turned_away += 1
            raise QueueFull
        process.placed += 1
        return process

    def leave(self, process: _Process) -> None:
        """Give the place back."""
        process.placed -= 1

    def hash(self, process: _Process, priority: int) -> None:
        """Wait for the slot and hold it for the length of a hash. Raises QueueFull when the wait is too long."""
        if process.busy:
            me: list[Any] = [priority, next(self._order), getcurrent()]
            heapq.heappush(process.waiting, me)
            self.world.at(self.world.now + self.patience, lambda: self._give_up(me))
            self.world.park()
            if me[2] == "gave up":
                self.turned_away += 1
                raise QueueFull
        process.busy = True
        self.world.sleep(self.seconds_per_hash)
        self.hashed += 1
        process.busy = False
        while process.waiting:
            following = heapq.heappop(process.waiting)
            if following[2] != "gave up":
                waiter, following[2] = following[2], "served"
                process.busy = True
                self.world.at(self.world.now, waiter.switch)
                break

    def _give_up(self, entry: list[Any]) -> None:
        if not isinstance(entry[2], str):
            waiter, entry[2] = entry[2], "gave up"
            waiter.switch()
