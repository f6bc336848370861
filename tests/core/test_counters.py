"""Counters in memory: windows that end, and keys that do not stay for ever."""

import threading

import pytest

from authsvc.core import counters
from authsvc.core.counters import Counters


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which a test sets."""
    clock = [1000.0]
    monkeypatch.setattr("authsvc.core.counters.time.time", lambda: clock[0])
    return clock


def test_a_window_counts_until_its_very_end(now: list[float]) -> None:
    memory = Counters()
    assert [memory.incr("a", 60) for _ in range(3)] == [1, 2, 3]
    assert memory.get_expiry("a") == 1060
    now[0] = 1059.9
    assert (memory.get("a"), memory.incr("a", 60)) == (3, 4)
    now[0] = 1060
    assert (memory.get("a"), memory.incr("a", 60)) == (0, 1)


def test_what_was_counted_can_be_taken_back_and_forgotten(now: list[float]) -> None:
    memory = Counters()
    memory.incr("a", 60)
    assert (memory.decr("a"), memory.decr("a")) == (0, 0)
    memory.incr("a", 60)
    memory.clear("a")
    assert memory.get("a") == 0
    memory.incr("b", 60)
    assert memory.reset() == 1
    assert memory.check()


def test_ended_windows_are_dropped_and_living_ones_kept(now: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "SWEEP_FROM", 100)
    memory = Counters()
    for number in range(100):
        memory.incr(f"old{number}", 10)
    now[0] = 1020
    memory.incr("new", 60)
    assert len(memory._windows) == 1
    for number in range(150):
        memory.incr(f"living{number}", 60)
    assert memory.get("new") == 1


def test_rivals_are_all_counted() -> None:
    memory = Counters()
    threads = [threading.Thread(target=lambda: [memory.incr("a", 60) for _ in range(500)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert memory.get("a") == 4000
