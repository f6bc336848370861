"""Passkeys and security keys: what is enrolled, what an assertion proves, and all that is refused."""

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from flask import Flask
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url

from authsvc import accounts, audit, webauthn
from authsvc.audit import EventType
from authsvc.core.assurance import Factor
from authsvc.core.errors import BadInput
from authsvc.webauthn import Assertion, Reason, Refused
from tests.authenticator import Authenticator
from tests.slices import NOON, at_once, new_account, request_to

LATER = NOON + timedelta(minutes=1)


def enrol(app: Flask, account_id: int, key: Authenticator) -> webauthn.Registered:
    with request_to(app):
        options, challenge = webauthn.begin_registration(account_id)
        return webauthn.finish_registration(
            account_id, key.register(options), challenge, label="Key", browser_known_for=timedelta(0), now=NOON
        )


def prove(
    app: Flask, key: Authenticator, account_id: int | None = None, *, verified: bool | None = None
) -> Assertion | Refused:
    """Ask, let the key answer, check. With an account it is asked as a second factor, without as a passkey."""
    required = account_id is None if verified is None else verified
    with request_to(app):
        options, challenge = webauthn.begin_assertion(
            account_id, user_verification="required" if required else "discouraged"
        )
        return webauthn.verify_assertion(
            key.answer(options), challenge, account_id=account_id, user_verification_required=required, now=LATER
        )


def reason(outcome: Assertion | Refused) -> Reason | None:
    return outcome.reason if isinstance(outcome, Refused) else None


# --- registration


def test_the_browser_is_asked_for_a_discoverable_key_and_no_attestation(app: Flask) -> None:
    alice = new_account(app, "alice")
    with request_to(app):
        options = json.loads(webauthn.begin_registration(alice)[0])
        sub = accounts.get(alice).sub
    assert options["rp"] == {"name": "authsvc", "id": "localhost"}
    assert base64url_to_bytes(options["user"]["id"]) == sub.encode()
    assert options["user"]["name"] == "alice"
    assert options["attestation"] == "none"
    assert options["excludeCredentials"] == []
    assert options["authenticatorSelection"] == {
        "residentKey": "preferred",
        "requireResidentKey": False,
        "userVerification": "preferred",
    }


def test_every_ceremony_has_a_challenge_of_its_own(app: Flask) -> None:
    alice = new_account(app, "alice")
    with request_to(app):
        asked = [webauthn.begin_registration(alice) for _ in range(2)]
        asked += [webauthn.begin_assertion(None, user_verification="required") for _ in range(2)]
    assert len({challenge for _, challenge in asked}) == 4
    assert all(json.loads(options)["challenge"] == bytes_to_base64url(challenge) for options, challenge in asked)
    assert all(len(challenge) >= 16 for _, challenge in asked)


@pytest.mark.parametrize(
    ("key", "kind", "hardware", "backed_up"),
    [
        (Authenticator(), Factor.PASSKEY, True, False),
        (Authenticator(user_verified=False), Factor.SECURITY_KEY, True, False),
        (Authenticator(backup_eligible=True), Factor.PASSKEY, False, False),
        (Authenticator(backup_eligible=True, backed_up=True), Factor.PASSKEY, False, True),
    ],
)
def test_what_is_enrolled_is_what_the_key_says_of_itself(
    app: Flask, key: Authenticator, kind: Factor, hardware: bool, backed_up: bool
) -> None:
    alice = new_account(app, "alice")
    registered = enrol(app, alice, key)
    assert (registered.user_verified, registered.hardware) == (kind is Factor.PASSKEY, hardware)
    with request_to(app):
        (listed,) = accounts.enrolled(alice, now=NOON)
    assert (listed.id, listed.kind, listed.label) == (registered.authenticator_id, kind, "Key")
    assert listed.backed_up == backed_up


def test_an_account_has_several_keys_and_is_not_asked_to_enrol_one_twice(app: Flask) -> None:
    alice, keys = new_account(app, "alice"), [Authenticator(), Authenticator(transports=["internal", "odd"])]
    for key in keys:
        enrol(app, alice, key)
    ids = [bytes_to_base64url(key.credential_id) for key in keys]
    with request_to(app):
        excluded = json.loads(webauthn.begin_registration(alice)[0])["excludeCredentials"]
        assert webauthn.credential_ids(alice) == ids
    assert excluded == [
        {"id": ids[0], "type": "public-key", "transports": ["usb"]},
        {"id": ids[1], "type": "public-key", "transports": ["internal"]},
    ]


@pytest.mark.parametrize(
    "key",
    [
        Authenticator(origin="https://localhost:8000"),
        Authenticator(origin="http://localhost:8001"),
        Authenticator(origin="http://evil.localhost:8000"),
        Authenticator(rp_id="evil.example"),
        Authenticator(present=False),
        Authenticator(cross_origin=True),
        Authenticator(backed_up=True),  # though not eligible
        Authenticator(credential_id=bytes(1024)),
        Authenticator(credential_id=b""),
    ],
)
def test_a_registration_that_does_not_hold_is_refused(app: Flask, key: Authenticator) -> None:
    alice = new_account(app, "alice")
    with pytest.raises(webauthn.RegistrationRefused):
        enrol(app, alice, key)
    with request_to(app):
        assert accounts.enrolled(alice, now=NOON) == []
        assert webauthn.credential_ids(alice) == []


@pytest.mark.attack("W04")
def test_a_registration_for_another_challenge_is_refused(app: Flask) -> None:
    alice, key = new_account(app, "alice"), Authenticator()
    with request_to(app):
        options, _ = webauthn.begin_registration(alice)
        _, challenge = webauthn.begin_registration(alice)
        problem = webauthn.problem_with_registration(key.register(options), challenge)
    assert problem == webauthn.RegistrationRefused.message


def test_a_good_registration_can_be_looked_at_before_it_is_stored(app: Flask) -> None:
    alice, key = new_account(app, "alice"), Authenticator()
    with request_to(app):
        options, challenge = webauthn.begin_registration(alice)
        assert webauthn.problem_with_registration(key.register(options), challenge) is None
        assert webauthn.credential_ids(alice) == []


def test_a_credential_id_exists_once_in_the_installation(app: Flask) -> None:
    alice, mallory, key = new_account(app, "alice"), new_account(app, "mallory"), Authenticator()
    enrol(app, alice, key)
    for account_id in (alice, mallory):
        copy = Authenticator(credential_id=key.credential_id)
        with request_to(app):
            options, challenge = webauthn.begin_registration(account_id)
            problem = webauthn.problem_with_registration(copy.register(options), challenge)
            assert problem == webauthn.CredentialTaken.message
        with pytest.raises(webauthn.CredentialTaken):
            enrol(app, account_id, copy)
    assert isinstance(prove(app, key), Assertion)


def test_of_two_accounts_that_register_one_credential_id_at_once_one_gets_it(app: Flask) -> None:
    def attempt(account_id: int) -> bool:
        try:
            enrol(app, account_id, Authenticator(credential_id=b"the same for both"))
        except webauthn.CredentialTaken:
            return False
        return True

    pair = [new_account(app, name) for name in ("alice", "mallory")]
    assert sorted(at_once(app, *[partial(attempt, account_id) for account_id in pair])) == [False, True]


# --- assertion


def test_a_passkey_names_its_account_and_proves_its_user(app: Flask) -> None:
    alice, key = new_account(app, "alice"), Authenticator()
    registered = enrol(app, alice, key)
    assert prove(app, key) == Assertion(
        account_id=alice,
        authenticator_id=registered.authenticator_id,
        user_verified=True,
        hardware=True,
        attested=False,
    )
    with request_to(app):
        assert accounts.enrolled(alice, now=LATER)[0].last_used_at == LATER


def test_a_security_key_answers_for_a_known_account_without_verifying_anybody(app: Flask) -> None:
    alice, key = new_account(app, "alice"), Authenticator(user_verified=False)
    enrol(app, alice, key)
    key.user_handle = None  # as keys do that keep nothing
    found = prove(app, key, alice)
    assert isinstance(found, Assertion)
    assert not found.user_verified


def test_only_the_account_s_own_keys_are_asked_for(app: Flask) -> None:
    alice, bob, key = new_account(app, "alice"), new_account(app, "bob"), Authenticator()
    enrol(app, alice, key)
    enrol(app, bob, Authenticator())
    with request_to(app):
        known = json.loads(webauthn.begin_assertion(alice, user_verification="discouraged")[0])
        unknown = json.loads(webauthn.begin_assertion(None, user_verification="required")[0])
    assert [c["id"] for c in known["allowCredentials"]] == [bytes_to_base64url(key.credential_id)]
    assert (known["userVerification"], known["rpId"]) == ("discouraged", "localhost")
    assert (unknown["userVerification"], unknown["allowCredentials"]) == ("required", [])


def test_a_synced_passkey_is_not_called_hardware_and_its_state_is_kept(app: Flask) -> None:
    alice, key = new_account(app, "alice"), Authenticator(backup_eligible=True, counts=False)
    enrol(app, alice, key)
    key.backed_up = True
    found = prove(app, key)
    assert isinstance(found, Assertion)
    assert not found.hardware
    with request_to(app):
        assert accounts.enrolled(alice, now=LATER)[0].backed_up
    assert isinstance(prove(app, key), Assertion)  # its counter stays at 0


@pytest.mark.attack("W03")
def test_a_passkey_sign_in_is_refused_when_nobody_was_verified(app: Flask) -> None:
    alice, key = new_account(app, "alice"), Authenticator()
    enrol(app, alice, key)
    key.user_verified = False
    assert reason(prove(app, key)) is Reason.NO_USER_VERIFICATION
    found = prove(app, key, alice)
    assert isinstance(found, Assertion)
    assert not found.user_verified


def test_a_key_enrolled_without_verification_never_stands_alone(app: Flask) -> None:
    # Given a key without a PIN, and a thief who gives it one
    alice, key = new_account(app, "alice"), Authenticator(user_verified=False)
    enrol(app, alice, key)
    key.user_verified = True
    # When it is used without and with the password
    alone, beside = prove(app, key), prove(app, key, alice)
    # Then it is a second factor and no more: decision 0020
    assert reason(alone) is Reason.SECOND_FACTOR_ONLY
    assert isinstance(beside, Assertion)
    assert not beside.user_verified


@pytest.mark.attack("W05")
def test_a_key_of_another_account_is_refused_and_its_counter_stays(app: Flask) -> None:
    alice, mallory = new_account(app, "alice"), new_account(app, "mallory")
    of_alice, of_mallory = Authenticator(), Authenticator()
    enrol(app, alice, of_alice)
    registered = enrol(app, mallory, of_mallory)
    assert prove(app, of_mallory, alice) == Refused(
        reason=Reason.OTHER_ACCOUNT, account_id=mallory, authenticator_id=registered.authenticator_id
    )
    of_mallory.sign_count -= 1
    assert isinstance(prove(app, of_mallory, mallory), Assertion)


@pytest.mark.attack("W05")
@pytest.mark.parametrize("named", [True, False])
def test_a_user_handle_of_another_account_is_refused(app: Flask, named: bool) -> None:
    alice, mallory, key = new_account(app, "alice"), new_account(app, "mallory"), Authenticator()
    enrol(app, mallory, key)
    with request_to(app):
        key.user_handle = accounts.get(alice).sub.encode()
    assert reason(prove(app, key, mallory if named else None)) is Reason.OTHER_ACCOUNT


def test_a_passkey_sign_in_without_user_handle_is_refused(app: Flask) -> None:
    alice, key = new_account(app, "alice"), Authenticator()
    enrol(app, alice, key)
    key.user_handle = None
    assert reason(prove(app, key)) is Reason.OTHER_ACCOUNT


def test_an_unknown_key_is_refused(app: Flask) -> None:
    alice, key = new_account(app, "alice"), Authenticator(user_handle=b"alice")
    signal = {"rpId": "localhost", "credentialId": bytes_to_base64url(key.credential_id)}
    for account_id in (None, alice):
        assert prove(app, key, account_id) == Refused(reason=Reason.UNKNOWN_CREDENTIAL, signal=signal)


@pytest.mark.parametrize("by_register_alone", [True, False])
def test_a_revoked_key_is_refused_and_the_browser_may_forget_it_once_its_row_is_gone(
    app: Flask, by_register_alone: bool
) -> None:
    alice, key = new_account(app, "alice"), Authenticator()
    authenticator_id = enrol(app, alice, key).authenticator_id
    with request_to(app):
        accounts.revoke_authenticator(alice, authenticator_id, now=NOON)
        if not by_register_alone:
            webauthn.revoke(authenticator_id)
            assert webauthn.credential_ids(alice) == []
    found = prove(app, key)
    assert reason(found) is (Reason.NOT_ENROLLED if by_register_alone else Reason.UNKNOWN_CREDENTIAL)
    assert isinstance(found, Refused)
    assert (found.signal is None) == by_register_alone


@pytest.mark.attack("W01")
@pytest.mark.parametrize(
    "change",
    [
        {"private_key": Authenticator().private_key},
        {"origin": "https://localhost:8000"},
        {"origin": "http://localhost:8000.evil.example"},
        {"rp_id": "evil.example"},
        {"present": False},
        {"cross_origin": True},
        {"backup_eligible": True},
        {"backed_up": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_assertion_that_does_not_hold_is_refused_and_moves_no_counter(app: Flask, change: dict[str, Any]) -> None:
    alice, key = new_account(app, "alice"), Authenticator()
    enrol(app, alice, key)
    good = {name: getattr(key, name) for name in change}
    for name, value in change.items():
        setattr(key, name, value)
    key.sign_count = 1000
    assert reason(prove(app, key)) is Reason.CHECK_FAILED
    for name, value in good.items():
        setattr(key, name, value)
    key.sign_count = 1
    assert isinstance(prove(app, key), Assertion)


@pytest.mark.attack("W04")
def test_an_answer_to_another_challenge_is_refused(app: Flask) -> None:
    alice, key = new_account(app, "alice"), Authenticator()
    enrol(app, alice, key)
    with request_to(app):
        options, _ = webauthn.begin_assertion(None, user_verification="required")
        _, challenge = webauthn.begin_assertion(None, user_verification="required")
        answer = key.answer(options)
        found = webauthn.verify_assertion(
            answer, challenge, account_id=None, user_verification_required=True, now=LATER
        )
    assert reason(found) is Reason.CHECK_FAILED


@pytest.mark.parametrize(("sent", "passes"), [(9, False), (10, False), (0, False), (11, True), (2**32 - 1, True)])
def test_a_counter_has_to_grow(app: Flask, sent: int, passes: bool) -> None:
    # Given a key whose counter stands at 10
    alice, key = new_account(app, "alice"), Authenticator(sign_count=9)
    registered = enrol(app, alice, key)
    # When it says another number next
    key.sign_count, key.counts = sent, False
    found = prove(app, key)
    # Then only a higher one passes, and the owner's log shows the others
    assert reason(found) is (None if passes else Reason.COUNTER_BACK)
    with request_to(app):
        events = audit.events(alice)
    if passes:
        assert events == []
    else:
        assert [(e.type, e.detail) for e in events] == [
            (
                EventType.AUTHENTICATOR_COUNTER_BACK,
                {"authenticator_id": registered.authenticator_id, "stored": 10, "sent": sent},
            )
        ]


def test_a_counter_that_went_back_is_no_alarm_when_the_signature_is_wrong(app: Flask) -> None:
    alice, key = new_account(app, "alice"), Authenticator(sign_count=9)
    enrol(app, alice, key)
    forger = Authenticator(credential_id=key.credential_id, user_handle=key.user_handle)
    assert reason(prove(app, forger)) is Reason.CHECK_FAILED
    with request_to(app):
        assert audit.events(alice) == []


def test_of_rivals_with_one_answer_one_passes(app: Flask) -> None:
    alice, key = new_account(app, "alice"), Authenticator()
    enrol(app, alice, key)
    with request_to(app):
        options, challenge = webauthn.begin_assertion(None, user_verification="required")
    answer = key.answer(options)

    def attempt() -> Reason | None:
        return reason(
            webauthn.verify_assertion(answer, challenge, account_id=None, user_verification_required=True, now=LATER)
        )

    assert sorted(at_once(app, *[attempt] * 3), key=str) == [None, Reason.COUNTER_BACK, Reason.COUNTER_BACK]


# --- hostile input

NOT_CREDENTIALS = ["", "{", "null", "[]", "7", '"text"', "{}", "[" * 10_000, '{"id": 1}', "\ud800", "\x00", "9" * 5000]
ODD_VALUES: list[object] = [None, 7, "", "!", "AA", "A", "é", "\ud800", [], {}, "A" * 40_000]


def test_what_is_no_credential_is_bad_input(app: Flask) -> None:
    for text in NOT_CREDENTIALS:
        with request_to(app), pytest.raises(BadInput) as refused:
            webauthn.verify_assertion(text, b"challenge", account_id=None, user_verification_required=True, now=NOON)
        assert refused.value.status == 400


def test_what_is_no_credential_is_not_enrolled(app: Flask) -> None:
    with request_to(app):
        assert all(webauthn.problem_with_registration(text, b"challenge") for text in NOT_CREDENTIALS)


def mangled(text: str) -> list[str]:
    """The credential with every field in turn left out, or replaced by something odd."""
    found = []
    for path in [("id",), ("rawId",), ("type",), *[("response", name) for name in json.loads(text)["response"]]]:
        for value in [*ODD_VALUES, hashlib]:
            whole = json.loads(text)
            part = whole if len(path) == 1 else whole[path[0]]
            if value is hashlib:  # stands for: no such field
                del part[path[-1]]
            else:
                part[path[-1]] = value
            found.append(json.dumps(whole))
    return found


def test_a_mangled_registration_is_refused_and_nothing_worse(app: Flask) -> None:
    alice = new_account(app, "alice")
    with request_to(app):
        options, challenge = webauthn.begin_registration(alice)
        good = Authenticator().register(options)
        passed = [t for t in mangled(good) if webauthn.problem_with_registration(t, challenge) is None]
    assert all(json.loads(t)["response"].get("transports") != ["usb"] for t in passed)


def test_a_mangled_assertion_is_refused_and_nothing_worse(app: Flask) -> None:
    alice, key = new_account(app, "alice"), Authenticator()
    enrol(app, alice, key)
    with request_to(app):
        options, challenge = webauthn.begin_assertion(None, user_verification="required")
        check: Callable[[str], Assertion | Refused] = partial(
            webauthn.verify_assertion, challenge=challenge, account_id=None, user_verification_required=True, now=LATER
        )
        for text in mangled(key.answer(options)):
            with suppress(BadInput):
                assert isinstance(check(text), Refused)
        assert isinstance(check(key.answer(options)), Assertion)
