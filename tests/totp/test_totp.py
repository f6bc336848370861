"""Codes of authenticator apps: RFC 6238 held to its vectors, every time step accepted once."""

import re
from datetime import UTC, datetime, timedelta
from functools import partial

import pyotp
import pytest
from flask import Flask
from sqlalchemy import select, update

from authsvc import accounts, totp
from authsvc.core import crypto, db
from authsvc.core.assurance import Factor
from authsvc.totp.models import TotpCredential
from tests.slices import NOON, at_once, new_account, request_to

SEED = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"  # RFC 6238, appendix B: the ASCII bytes 12345678901234567890
OTHER_SEED = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
STEP = int(NOON.timestamp()) // 30
SECOND = timedelta(seconds=1)


def code_at(step: int, seed: str = SEED) -> str:
    return pyotp.TOTP(seed).generate_otp(step)


def start_of(step: int) -> datetime:
    return datetime.fromtimestamp(step * 30, UTC)


def enrol(app: Flask, account_id: int, seed: str = SEED, *, first_step: int = STEP - 10) -> int:
    with request_to(app):
        return totp.enrol(
            account_id, seed, first_step, label="Phone", browser_known_for=timedelta(0), now=start_of(first_step)
        )


def verify(app: Flask, account_id: int, code: str, *, now: datetime = NOON) -> int | None:
    with request_to(app):
        return totp.verify(account_id, code, now=now)


@pytest.mark.parametrize(
    ("seconds", "code"),
    [  # RFC 6238, appendix B, SHA1: the last six of the eight digits
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_codes_are_those_of_the_standard(seconds: int, code: str) -> None:
    assert totp.matches(SEED, code, now=datetime.fromtimestamp(seconds, UTC)) == seconds // 30


@pytest.mark.attack("T23")
@pytest.mark.parametrize(
    ("now", "step"),
    [
        (start_of(STEP - 1) - SECOND, None),
        (start_of(STEP - 1), STEP),
        (start_of(STEP + 2) - SECOND, STEP),
        (start_of(STEP + 2), None),
    ],
)
def test_a_code_counts_one_step_either_side_and_no_second_longer(now: datetime, step: int | None) -> None:
    assert totp.matches(SEED, code_at(STEP), now=now) == step


def test_white_space_in_a_code_does_not_count() -> None:
    code = code_at(STEP)
    assert totp.matches(SEED, f" {code[:3]} {code[3:]}\n", now=NOON) == STEP


@pytest.mark.parametrize("code", ["", "000000", "12345", "1234567", "abcdef", "１２３４５６", "\ud800", "-00001"])
def test_what_is_no_code_of_the_moment_matches_nothing(code: str) -> None:
    assert totp.matches(SEED, code, now=NOON) is None


def test_a_new_seed_has_160_bits_and_is_another_each_time() -> None:
    assert re.fullmatch("[A-Z2-7]{32}", totp.new_seed())
    assert totp.new_seed() != totp.new_seed()


def test_apps_read_back_what_the_page_offers() -> None:
    uri = totp.provisioning_uri(SEED, "alice", "id.example")
    read = pyotp.parse_uri(uri)
    assert isinstance(read, pyotp.TOTP)
    assert (read.secret, read.name, read.issuer, read.digits, read.interval) == (SEED, "alice", "id.example", 6, 30)


def test_the_picture_needs_nothing_our_content_policy_refuses() -> None:
    svg = totp.qr_svg(totp.provisioning_uri(SEED, "alice", "id.example"))
    assert svg.startswith('<svg role="img" viewBox=')
    assert "<title>" in svg
    assert not re.search(r"style|<script|href|xmlns|\son\w+=", svg)


def test_an_enrolled_app_signs_its_account_in(app: Flask) -> None:
    alice = new_account(app, "alice")
    phone = enrol(app, alice)
    assert verify(app, alice, code_at(STEP)) == phone
    with request_to(app):
        (listed,) = accounts.enrolled(alice, now=NOON)
        assert (listed.id, listed.kind, listed.label, listed.last_used_at) == (phone, Factor.TOTP, "Phone", NOON)


def test_a_wrong_code_is_refused_and_spends_nothing(app: Flask) -> None:
    alice = new_account(app, "alice")
    phone = enrol(app, alice)
    assert verify(app, alice, code_at(STEP, OTHER_SEED)) is None
    assert verify(app, alice, code_at(STEP)) == phone


def test_a_code_of_another_account_is_refused(app: Flask) -> None:
    alice, mallory = new_account(app, "alice"), new_account(app, "mallory")
    enrol(app, alice)
    enrol(app, mallory, OTHER_SEED)
    assert verify(app, alice, code_at(STEP, OTHER_SEED)) is None


def test_an_account_without_an_app_has_no_code(app: Flask) -> None:
    assert verify(app, new_account(app, "alice"), code_at(STEP)) is None


@pytest.mark.attack("T01")
def test_a_code_passes_once(app: Flask) -> None:
    alice = new_account(app, "alice")
    phone = enrol(app, alice)
    assert verify(app, alice, code_at(STEP)) == phone
    assert verify(app, alice, code_at(STEP), now=NOON + SECOND) is None
    assert verify(app, alice, code_at(STEP), now=start_of(STEP + 1)) is None


@pytest.mark.attack("T01")
def test_older_steps_are_refused_after_a_newer_one_and_newer_ones_pass(app: Flask) -> None:
    alice = new_account(app, "alice")
    phone = enrol(app, alice)
    assert verify(app, alice, code_at(STEP)) == phone
    assert verify(app, alice, code_at(STEP - 1)) is None
    assert verify(app, alice, code_at(STEP + 1)) == phone


@pytest.mark.attack("T01")
def test_the_code_that_confirmed_the_app_is_spent(app: Flask) -> None:
    alice = new_account(app, "alice")
    phone = enrol(app, alice, first_step=STEP)
    assert verify(app, alice, code_at(STEP)) is None
    assert verify(app, alice, code_at(STEP + 1)) == phone


@pytest.mark.attack("T01")
def test_a_step_counts_once_for_all_apps_of_the_account(app: Flask) -> None:
    alice = new_account(app, "alice")
    phone, tablet = enrol(app, alice), enrol(app, alice, OTHER_SEED)
    assert verify(app, alice, code_at(STEP)) == phone
    assert verify(app, alice, code_at(STEP, OTHER_SEED)) is None
    assert verify(app, alice, code_at(STEP + 1, OTHER_SEED)) == tablet


@pytest.mark.attack("T01")
def test_a_new_app_does_not_make_a_spent_step_good_again(app: Flask) -> None:
    alice = new_account(app, "alice")
    phone = enrol(app, alice)
    assert verify(app, alice, code_at(STEP)) == phone
    enrol(app, alice, OTHER_SEED, first_step=STEP - 1)
    assert verify(app, alice, code_at(STEP, OTHER_SEED)) is None


@pytest.mark.attack("T06")
@pytest.mark.parametrize("apps", [1, 2])
def test_of_rivals_with_one_code_one_wins(app: Flask, apps: int) -> None:
    alice = new_account(app, "alice")
    phone, *_ = [enrol(app, alice, seed) for seed in (SEED, OTHER_SEED)[:apps]]
    attempts = [partial(totp.verify, alice, code_at(STEP), now=NOON)] * 4
    assert sorted(at_once(app, *attempts), key=str) == [phone, None, None, None]


def test_a_revoked_app_is_refused_and_its_seed_gone(app: Flask) -> None:
    alice = new_account(app, "alice")
    phone = enrol(app, alice)
    with request_to(app):
        totp.revoke(phone)
        accounts.revoke_authenticator(alice, phone, now=NOON)
    assert verify(app, alice, code_at(STEP)) is None
    with request_to(app):
        assert db.session().scalars(select(TotpCredential)).all() == []


def test_the_register_alone_is_enough_to_revoke(app: Flask) -> None:
    alice = new_account(app, "alice")
    phone = enrol(app, alice)
    with request_to(app):
        accounts.revoke_authenticator(alice, phone, now=NOON)
    assert verify(app, alice, code_at(STEP)) is None


@pytest.mark.attack("T16")
def test_the_seed_lies_sealed_and_cannot_be_lent_to_another_account(app: Flask) -> None:
    alice, mallory = new_account(app, "alice"), new_account(app, "mallory")
    enrol(app, alice)
    enrol(app, mallory, OTHER_SEED)
    with request_to(app):
        sealed = {row.account_id: row.sealed_seed for row in db.session().scalars(select(TotpCredential))}
        assert SEED.encode() not in sealed[alice]
        stolen = update(TotpCredential).where(TotpCredential.account_id == alice)
        db.session().execute(stolen.values(sealed_seed=sealed[mallory]))
    with pytest.raises(crypto.SealBroken):
        verify(app, alice, code_at(STEP, OTHER_SEED))
