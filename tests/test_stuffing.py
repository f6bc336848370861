"""The detectors of stuffing and spraying: what they count, in memory and in Redis, and what they keep."""

import threading
from datetime import timedelta
from hashlib import sha256

import pytest

from authsvc import stuffing
from authsvc.policy.stuffing import NETWORK_PERIOD, PASSWORD_PERIOD, SITE_PERIOD, Thresholds
from authsvc.stuffing import CUT, Detector, InMemory, InRedis
from tests import servers
from tests.conftest import NOON

HOME, OTHER = "192.0.2.7", "198.51.100.9"
LIMITS = Thresholds()


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
def detector(request: pytest.FixtureRequest) -> Detector:
    """One that has seen nothing; once in memory, once in Redis."""
    if request.param == "memory":
        return Detector(InMemory(), 1)
    return Detector(SameKeys(request.getfixturevalue("redis_url")), 1)


class SameKeys(InRedis):
    """Redis counts right to a percent, by chance of the key: with the same one it counts the same in every run."""

    def key(self, day: int) -> bytes:
        """Always the same for a day."""
        return sha256(f"day {day}".encode()).digest()


def test_distinct_wrong_pairs_trip_their_network_and_no_other(detector: Detector) -> None:
    for number in range(LIMITS.pairs - 1):
        detector.note_failure(f"account:{number}", f"from a list {number}", HOME, now=NOON)
    assert not detector.look(HOME, now=NOON).tripped
    detector.note_failure("account:900", "from a list 900", HOME, now=NOON)
    assert detector.look(HOME, now=NOON).tripped
    assert not detector.look(OTHER, now=NOON).tripped


def test_the_same_wrong_pair_typed_again_and_again_counts_once(detector: Detector) -> None:
    for _ in range(200):
        detector.note_failure("account:1", "my old password", HOME, now=NOON)
    assert not detector.look(HOME, now=NOON).tripped


def test_a_network_is_forgotten_after_at_most_two_periods_and_not_before_one(detector: Detector) -> None:
    for number in range(LIMITS.pairs):
        detector.note_failure(f"account:{number}", "x" * number, HOME, now=NOON)
    assert detector.look(HOME, now=NOON + 2 * NETWORK_PERIOD - timedelta(seconds=1)).tripped
    assert not detector.look(HOME, now=NOON + 2 * NETWORK_PERIOD).tripped


def test_pairs_spread_over_the_64s_of_one_48_trip_all_of_it(detector: Detector) -> None:
    for number in range(LIMITS.wide_pairs):
        network = f"2001:db8:7:{number % 60:x}::/64"  # two or three each
        detector.note_failure(f"account:{number}", f"p{number}", network, now=NOON)
    assert detector.look("2001:db8:7:ffff::/64", now=NOON).tripped
    assert not detector.look("2001:db8:8::/64", now=NOON).tripped


@pytest.mark.attack("L19")
def test_a_password_tried_on_many_accounts_from_as_many_networks_is_sprayed(detector: Detector) -> None:
    for number in range(LIMITS.accounts):
        assert not detector.is_sprayed("Summer2026!", now=NOON)
        detector.note_failure(f"account:{number}", "Summer2026!", f"10.0.{number}.1", now=NOON)
    assert detector.is_sprayed("Summer2026!", now=NOON)
    assert not detector.is_sprayed("Summer2027!", now=NOON)
    assert detector.is_sprayed("Summer2026!", now=NOON + PASSWORD_PERIOD)  # yesterday's guesses still count
    assert not detector.is_sprayed("Summer2026!", now=NOON + 2 * PASSWORD_PERIOD)


def test_one_person_who_tries_many_of_their_names_sprays_nothing(detector: Detector) -> None:
    for name in ("account:1", "name:a", "name:b", "name:c", "account:1", "name:a"):
        detector.note_failure(name, "my own password", HOME, now=NOON)
    assert not detector.is_sprayed("my own password", now=NOON)


def test_a_network_that_tries_few_but_sprayed_passwords_trips(detector: Detector) -> None:
    sprayed = [f"Winter{n}" for n in range(LIMITS.sprayed)]
    for password in sprayed:
        for number in range(LIMITS.accounts):
            detector.note_failure(f"account:{number}", password, f"10.0.{number}.1", now=NOON)
    for password in sprayed:
        assert not detector.look(HOME, now=NOON).tripped
        detector.note_failure("account:77", password, HOME, now=NOON)
    assert detector.look(HOME, now=NOON).tripped


def test_the_site_is_pressed_while_many_accounts_fail_and_no_longer(detector: Detector) -> None:
    for number in range(LIMITS.failing):
        assert not detector.look(OTHER, now=NOON).pressed
        detector.note_failure(f"account:{number}", f"p{number}", f"10.1.{number}.1", now=NOON)
    assert detector.look(OTHER, now=NOON).pressed
    assert not detector.look(OTHER, now=NOON + 2 * SITE_PERIOD).pressed


def test_processes_that_share_redis_share_what_they_saw(redis_url: str) -> None:
    detectors = [Detector(InRedis(redis_url), 1) for _ in range(3)]
    for number in range(LIMITS.accounts + 2):  # room for what Redis may miss
        detectors[number % 3].note_failure(f"account:{number}", "Summer2026!", f"10.0.{number}.1", now=NOON)
    assert all(one.is_sprayed("Summer2026!", now=NOON) for one in detectors)


def test_a_redis_that_is_gone_slows_nobody() -> None:
    detector = Detector(InRedis(f"redis://127.0.0.1:{servers.free_port()}/0"), 1)
    for number in range(100):
        detector.note_failure(f"account:{number}", f"p{number}", HOME, now=NOON)
    assert not detector.look(HOME, now=NOON).tripped


@pytest.mark.slow
def test_memory_is_bounded_and_forgets_what_was_quiet_longest() -> None:
    sets = InMemory(max_members=1000)
    detector = Detector(sets, 1)
    for number in range(20_000):
        detector.note_failure(f"account:{number}", f"p{number}", f"10.{number % 250}.{number % 199}.1", now=NOON)
        if number % 200 == 0:
            for account in range(LIMITS.accounts):
                detector.note_failure(f"account:{account}", "Summer2026!", OTHER, now=NOON)
    assert sum(len(members) for _, members in sets._sets.values()) <= 1000 * CUT
    assert detector.is_sprayed("Summer2026!", now=NOON)


def test_what_is_kept_names_no_account_and_no_password_and_its_key_is_new_each_day() -> None:
    sets = InMemory()
    detector = Detector(sets, 1)
    detector.note_failure("account:1", "hunter2 hunter2", HOME, now=NOON)
    kept = repr(sets._sets)
    assert "hunter2" not in kept
    assert "account:1" not in kept
    today = int(NOON.timestamp() // PASSWORD_PERIOD.total_seconds())
    first, second = sets.key(today), sets.key(today + 1)
    assert first != second
    sets.key(today + 2)
    assert set(sets._keys) == {today + 1, today + 2}


def test_many_threads_lose_no_count() -> None:
    sets = InMemory()
    detector = Detector(sets, 1)

    def guess(start: int) -> None:
        for number in range(start, start + 7):
            detector.note_failure(f"account:{number}", f"p{number}", HOME, now=NOON)

    threads = [threading.Thread(target=guess, args=(7 * n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    period = int(NOON.timestamp() // NETWORK_PERIOD.total_seconds())
    assert sets.sizes([[f"pairs:{HOME}:{period}"]], now=NOON.timestamp()) == [56]
    assert stuffing.MAX_MEMBERS >= 100_000
