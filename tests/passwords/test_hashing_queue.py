"""The hashing queue under real threads: who goes first, who makes room, and how many wait at most."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from authsvc.cli import THREADS
from authsvc.core.errors import Busy
from authsvc.passwords import hashing
from authsvc.passwords.hashing import Queue
from authsvc.policy.stuffing import Turn


class Counter:
    """A queue, the hash in flight that keeps it waiting, and whoever queues up behind it."""

    def __init__(self, queue: Queue, pool: ThreadPoolExecutor) -> None:
        self.queue, self.pool = queue, pool
        self.hashed: list[str] = []
        self.release = threading.Event()
        self.most, self._now, self._lock = 0, 0, threading.Lock()
        self.in_flight: set[str] = set()
        self.twice: list[str] = []

    def come(self, who: str, turn: Turn, *, account: str = "", pressed: bool = False) -> "Future[None]":
        """Queue up in a thread of one's own; returns once the queue knows."""
        before = self.size()
        done = self.pool.submit(self.hash, who, turn, account or who, pressed)
        while self.size() <= before and not done.done() and before < hashing.SLOTS + hashing.QUEUE:
            threading.Event().wait(0.001)
        return done

    def size(self) -> int:
        """How many hash or wait."""
        with self.queue._lock:
            return len(self.queue._waiting) + len(self.queue._hashing)

    def hash(self, who: str, turn: Turn, account: str, pressed: bool) -> None:
        """Wait for the turn, and hash until `release`."""
        with self.queue.turn(turn, account, pressed=pressed):
            with self._lock:
                self._now += 1
                self.most = max(self.most, self._now)
                if account in self.in_flight:
                    self.twice.append(account)
                self.in_flight.add(account)
                self.hashed.append(who)
            self.release.wait(10)
            with self._lock:
                self._now -= 1
                self.in_flight.discard(account)


def counter(slots: int = 1, places: int = hashing.QUEUE) -> Iterator[Counter]:
    """A counter whose first customer holds the only slot until `release`."""
    with ThreadPoolExecutor(40) as pool:
        made = Counter(Queue(slots=slots, places=places, strangers_under_pressure=2), pool)
        yield made
        made.release.set()


@pytest.fixture
def busy() -> Iterator[Counter]:
    """A hash is in flight already."""
    for made in counter():
        made.come("first", Turn.STRANGER)
        yield made


def finish(busy: Counter, *waiting: "Future[None]") -> None:
    """Let all hashes run."""
    busy.release.set()
    for one in waiting:
        one.result(timeout=10)


def test_known_browsers_go_first_and_tripped_networks_last(busy: Counter) -> None:
    waiting = [
        busy.come("suspect", Turn.SUSPECT),
        busy.come("stranger", Turn.STRANGER),
        busy.come("owner", Turn.KNOWN),
        busy.come("second stranger", Turn.STRANGER),
    ]
    finish(busy, *waiting)
    assert busy.hashed == ["first", "owner", "stranger", "second stranger", "suspect"]


def test_a_known_browser_takes_the_place_of_the_worst_who_waits(busy: Counter) -> None:
    strangers = [busy.come(f"stranger {n}", Turn.STRANGER) for n in range(hashing.QUEUE - 1)]
    suspect = busy.come("suspect", Turn.SUSPECT)
    owner = busy.come("owner", Turn.KNOWN)
    with pytest.raises(Busy):
        suspect.result(timeout=10)
    finish(busy, owner, *strangers)
    assert busy.hashed[:2] == ["first", "owner"]


def test_strangers_displace_tripped_networks_and_never_each_other(busy: Counter) -> None:
    suspects = [busy.come(f"suspect {n}", Turn.SUSPECT) for n in range(hashing.QUEUE)]
    strangers = [busy.come(f"stranger {n}", Turn.STRANGER) for n in range(hashing.QUEUE)]
    for suspect in suspects:
        with pytest.raises(Busy):
            suspect.result(timeout=10)
    with pytest.raises(Busy):
        busy.come("one too many", Turn.STRANGER).result(timeout=10)
    finish(busy, *strangers)


def test_when_all_who_wait_are_known_a_known_browser_is_told_to_come_back(busy: Counter) -> None:
    owners = [busy.come(f"owner {n}", Turn.KNOWN) for n in range(hashing.QUEUE)]
    with pytest.raises(Busy):
        busy.come("one too many", Turn.KNOWN).result(timeout=10)
    finish(busy, *owners)


def test_under_pressure_two_strangers_wait_and_known_browsers_still_find_a_place(busy: Counter) -> None:
    strangers = [busy.come(f"stranger {n}", Turn.STRANGER, pressed=True) for n in range(2)]
    with pytest.raises(Busy):
        busy.come("third", Turn.STRANGER, pressed=True).result(timeout=10)
    owners = [busy.come(f"owner {n}", Turn.KNOWN, pressed=True) for n in range(3)]
    finish(busy, *owners, *strangers)


def test_whoever_waits_too_long_is_told_so_and_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "WAIT_SECONDS", 0.01)
    for busy in counter():
        busy.come("first", Turn.STRANGER)
        with pytest.raises(Busy):
            busy.pool.submit(busy.hash, "late", Turn.KNOWN, "late", False).result(timeout=10)
        assert busy.queue._waiting == []


def test_one_hash_is_in_flight_for_an_account_whatever_slots_are_free() -> None:
    for busy in counter(slots=3, places=20):
        busy.release.set()
        done = [busy.come(f"{n}", Turn.STRANGER, account=f"account {n % 4}") for n in range(20)]
        for one in done:
            one.result(timeout=10)
        assert busy.twice == []
        assert len(busy.hashed) == 20


def test_a_flood_from_many_threads_leaves_two_request_threads_free(busy: Counter) -> None:
    turns, most, stop = [Turn.SUSPECT, Turn.STRANGER, Turn.KNOWN], [0], threading.Event()

    def watch() -> None:
        while not stop.is_set():
            most[0] = max(most[0], busy.size())

    watching = threading.Thread(target=watch)
    watching.start()
    flood = [busy.pool.submit(busy.hash, f"{n}", turns[n % 3], f"{n}", False) for n in range(30)]
    while sum(one.done() for one in flood) < 30 - hashing.QUEUE:  # those without a place are refused at once
        threading.Event().wait(0.001)
    busy.release.set()
    refused = [one for one in flood if isinstance(one.exception(timeout=10), Busy)]
    stop.set()
    watching.join()
    assert (busy.most, len(refused)) == (1, 30 - hashing.QUEUE)
    assert most[0] == hashing.SLOTS + hashing.QUEUE == THREADS - 2
    assert set(busy.hashed[1:]) <= {f"{n}" for n in range(30) if turns[n % 3] is Turn.KNOWN}


@pytest.mark.parametrize(
    ("turn", "pressed", "rests"),
    [(Turn.STRANGER, True, 1), (Turn.SUSPECT, True, 1), (Turn.STRANGER, False, 0), (Turn.KNOWN, True, 0)],
)
def test_under_pressure_strangers_rest_as_long_as_the_last_hash_took(
    monkeypatch: pytest.MonkeyPatch, turn: Turn, pressed: bool, rests: int
) -> None:
    now, rested = [100.0], list[float]()
    monkeypatch.setattr(hashing, "clock", lambda: now[0])
    monkeypatch.setattr(hashing, "pause", rested.append)
    queue = Queue(slots=1, places=5, strangers_under_pressure=2)
    with queue.turn(Turn.KNOWN, "alice", pressed=False):
        now[0] += 0.03
    with queue.turn(turn, "bob", pressed=pressed):
        pass
    assert rested == [pytest.approx(0.03)] * rests
