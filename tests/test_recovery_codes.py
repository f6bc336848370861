"""Recovery codes: each good once, for its own account, until a new set replaces it."""

import secrets
from datetime import timedelta
from functools import partial

import pytest
from flask import Flask
from sqlalchemy import select

from authsvc import recovery_codes
from authsvc.core import crypto, db
from authsvc.recovery_codes import RecoveryCode
from tests.slices import NOON, at_once, new_account, request_to


def stored(app: Flask, account_id: int) -> list[str]:
    """A new set, stored."""
    codes = recovery_codes.generate()
    with request_to(app):
        recovery_codes.store(account_id, codes, now=NOON)
    return codes


def use(app: Flask, account_id: int, code: str) -> bool:
    """Check and spend, as a sign-in that completes at once does."""
    with request_to(app):
        code_id = recovery_codes.check(account_id, code)
        return code_id is not None and recovery_codes.spend(code_id, now=NOON)


def left(app: Flask, account_id: int) -> int:
    with request_to(app):
        return recovery_codes.left(account_id)


def test_a_set_is_ten_different_codes_of_16_digits() -> None:
    codes = recovery_codes.generate()
    assert len(set(codes)) == 10
    assert all(len(code) == 16 and code.isascii() and code.isdigit() for code in codes)


@pytest.mark.attack("T09")
def test_a_code_is_good_once(app: Flask) -> None:
    alice = new_account(app, "alice")
    code, *_ = stored(app, alice)
    assert left(app, alice) == 10
    assert use(app, alice, code)
    assert left(app, alice) == 9
    assert not use(app, alice, code)


def test_checking_a_code_spends_nothing(app: Flask) -> None:
    alice = new_account(app, "alice")
    code, *_ = stored(app, alice)
    with request_to(app):
        assert recovery_codes.check(alice, code) == recovery_codes.check(alice, code) is not None
    assert left(app, alice) == 10


def test_a_code_may_be_typed_in_fours(app: Flask) -> None:
    alice = new_account(app, "alice")
    one, two, *_ = stored(app, alice)
    assert use(app, alice, f" {one[:4]} {one[4:8]}\t{one[8:12]} {one[12:]}\n")
    assert use(app, alice, f"{two[:4]}-{two[4:8]}-{two[8:12]}-{two[12:]}")


def test_anything_else_is_refused(app: Flask) -> None:
    alice = new_account(app, "alice")
    with request_to(app):
        recovery_codes.store(alice, ["1" * 16], now=NOON)
        for code in ["", "0", "0" * 16, "1" * 15, "１" * 16, "\ud800", "x" * 1000]:
            assert recovery_codes.check(alice, code) is None


@pytest.mark.attack("T10")
def test_a_code_of_another_account_is_refused_and_not_spent(app: Flask) -> None:
    alice, mallory = new_account(app, "alice"), new_account(app, "mallory")
    stored(app, alice)
    code, *_ = stored(app, mallory)
    assert not use(app, alice, code)
    assert left(app, mallory) == 10
    assert use(app, mallory, code)


@pytest.mark.attack("T09")
def test_a_new_set_kills_the_old(app: Flask) -> None:
    alice = new_account(app, "alice")
    old, used, *_ = stored(app, alice)
    assert use(app, alice, used)
    new, *_ = stored(app, alice)
    assert left(app, alice) == 10
    assert not use(app, alice, old)
    assert use(app, alice, new)


@pytest.mark.attack("T09")
def test_a_code_checked_before_a_new_set_cannot_be_spent_after_it(app: Flask) -> None:
    alice = new_account(app, "alice")
    code, *_ = stored(app, alice)
    with request_to(app):
        code_id = recovery_codes.check(alice, code)
    stored(app, alice)
    with request_to(app):
        assert code_id is not None
        assert not recovery_codes.spend(code_id, now=NOON)
    assert left(app, alice) == 10


def test_the_owner_sees_when_the_newest_set_was_made(app: Flask) -> None:
    alice = new_account(app, "alice")
    later = NOON + timedelta(days=1)
    with request_to(app):
        assert recovery_codes.made_at(alice) is None
        for now in (NOON, later):
            recovery_codes.store(alice, recovery_codes.generate(), now=now)
            assert recovery_codes.made_at(alice) == now


def test_voiding_leaves_nothing(app: Flask) -> None:
    alice, bob = new_account(app, "alice"), new_account(app, "bob")
    code, *_ = stored(app, alice)
    stored(app, bob)
    with request_to(app):
        recovery_codes.void(alice, now=NOON)
    assert not use(app, alice, code)
    assert (left(app, alice), left(app, bob)) == (0, 10)


@pytest.mark.attack("T06")
def test_of_rivals_with_one_code_one_wins(app: Flask) -> None:
    alice = new_account(app, "alice")
    code, *_ = stored(app, alice)
    with request_to(app):
        code_id = recovery_codes.check(alice, code)
    assert code_id is not None
    attempts = [partial(recovery_codes.spend, code_id, now=NOON)] * 4
    assert sorted(at_once(app, *attempts)) == [False, False, False, True]


@pytest.mark.attack("T09")
def test_of_two_new_sets_at_once_one_stands(app: Flask) -> None:
    alice = new_account(app, "alice")
    stored(app, alice)
    sets = [recovery_codes.generate() for _ in range(3)]
    at_once(app, *[partial(recovery_codes.store, alice, codes, now=NOON) for codes in sets])
    with request_to(app):
        good = [[recovery_codes.check(alice, code) is not None for code in codes] for codes in sets]
    assert sorted(good) == [[False] * 10, [False] * 10, [True] * 10]


def test_codes_are_not_stored_in_clear(app: Flask) -> None:
    alice = new_account(app, "alice")
    codes = stored(app, alice)
    with request_to(app):
        digests = db.session().scalars(select(RecoveryCode.digest)).all()
    assert {len(digest) for digest in digests} == {32}
    assert not {crypto.digest(code) for code in codes} & set(digests)


def test_codes_outlive_a_rotated_key_and_die_with_a_lost_one(app: Flask) -> None:
    alice = new_account(app, "alice")
    code, other, *_ = stored(app, alice)
    old: crypto.SealingKeys = app.extensions["authsvc.keys"]
    new = {"new": secrets.token_bytes(32)}
    app.extensions["authsvc.keys"] = crypto.SealingKeys({**new, **old.by_id})
    assert use(app, alice, code)
    app.extensions["authsvc.keys"] = crypto.SealingKeys(new)
    assert not use(app, alice, other)
