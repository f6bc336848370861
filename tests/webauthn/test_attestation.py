"""Hardware whose maker's certificate leads to a configured root: what counts, what does not, and what it is worth."""

from collections.abc import Callable
from copy import copy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import update

from authsvc import sessions, webauthn
from authsvc.accounts.models import Authenticator as AuthenticatorRow
from authsvc.app import create_app
from authsvc.core import db
from authsvc.core.config import SettingError, Settings
from authsvc.webauthn import attestation
from tests.authenticator import Authenticator, Maker
from tests.conftest import Clock
from tests.people import Person, Visitor
from tests.slices import NOON, new_account, request_to

MODEL, OTHER_MODEL = bytes.fromhex("2fc0579f811347eab116bb5a8db9202a"), bytes(range(16))
MakeAccount = Callable[..., Person]
MAKER = Maker()


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    """The maker's root is configured."""
    roots = tmp_path / "roots.pem"
    roots.write_bytes(Maker().root_pem + MAKER.root_pem)
    return replace(settings, attestation_roots_file=str(roots))


@pytest.fixture
def listed(app: Flask) -> None:
    """One model alone may be enrolled."""
    settings: Settings = app.extensions["authsvc.settings"]
    app.extensions["authsvc.settings"] = replace(settings, allowed_aaguids=f" {UUID(bytes=MODEL)}, ")


def enrol(app: Flask, account_id: int, key: Authenticator) -> webauthn.Registered:
    with request_to(app):
        options, challenge = webauthn.begin_registration(account_id)
        return webauthn.finish_registration(
            account_id, key.register(options), challenge, label="Key", browser_known_for=timedelta(0), now=NOON
        )


def changed(**what: object) -> Maker:
    """The maker with the same root, who says something else."""
    made = copy(MAKER)
    for name, value in what.items():
        setattr(made, name, value)
    return made


def test_a_key_of_a_configured_maker_is_attested_and_stays_so(app: Flask) -> None:
    alice, key = new_account(app, "alice"), Authenticator(aaguid=MODEL, maker=MAKER)
    registered = enrol(app, alice, key)
    assert registered.attested
    with request_to(app):
        assert webauthn.attested(alice) == {registered.authenticator_id}
        options, challenge = webauthn.begin_assertion(None, user_verification="required")
        found = webauthn.verify_assertion(
            key.answer(options), challenge, account_id=None, user_verification_required=True, now=NOON
        )
    assert isinstance(found, webauthn.Assertion)
    assert found.attested


@pytest.mark.parametrize(
    "key",
    [
        Authenticator(aaguid=MODEL),
        Authenticator(aaguid=MODEL, maker=Maker()),
        Authenticator(aaguid=MODEL, maker=changed(self_attested=True)),
        Authenticator(aaguid=MODEL, maker=changed(says_aaguid=OTHER_MODEL)),
        Authenticator(aaguid=MODEL, maker=changed(unit="Firmware Signing")),
        Authenticator(aaguid=MODEL, maker=changed(is_authority=True)),
        Authenticator(aaguid=MODEL, maker=changed(ends=datetime(2021, 1, 1, tzinfo=UTC))),
        Authenticator(aaguid=MODEL, maker=MAKER, backup_eligible=True),
    ],
    ids=["none", "unknown maker", "self", "other model", "other purpose", "authority", "expired", "synced"],
)
def test_what_shows_less_is_enrolled_without_the_mark_and_refused_where_models_are_listed(
    app: Flask, key: Authenticator, request: pytest.FixtureRequest
) -> None:
    alice = new_account(app, "alice")
    assert not enrol(app, alice, replace(key, credential_id=b"another")).attested
    request.getfixturevalue("listed")
    with pytest.raises(webauthn.NotAllowed):
        enrol(app, alice, key)


def test_a_statement_whose_signature_is_wrong_is_refused_altogether(app: Flask) -> None:
    alice, key = new_account(app, "alice"), Authenticator(aaguid=MODEL, maker=changed(spoilt=True))
    with pytest.raises(webauthn.RegistrationRefused):
        enrol(app, alice, key)


def test_where_models_are_listed_others_are_refused_with_a_reason(app: Flask, listed: None) -> None:
    alice = new_account(app, "alice")
    assert enrol(app, alice, Authenticator(aaguid=MODEL, maker=MAKER)).attested
    with request_to(app):
        options, challenge = webauthn.begin_registration(alice)
        other = Authenticator(aaguid=OTHER_MODEL, maker=MAKER).register(options)
        problem = webauthn.problem_with_registration(other, challenge)
    assert problem == webauthn.NotAllowed.message


def test_a_certificate_that_names_no_model_vouches_for_the_one_it_signed(app: Flask, listed: None) -> None:
    key = Authenticator(aaguid=MODEL, maker=changed(names_model=False))
    assert enrol(app, new_account(app, "alice"), key).attested


def test_without_roots_nothing_is_asked_for_and_nothing_is_attested(app: Flask) -> None:
    app.extensions[attestation.EXTENSION] = []
    alice = new_account(app, "alice")
    assert not enrol(app, alice, Authenticator(aaguid=MODEL, maker=MAKER)).attested


@pytest.mark.parametrize(
    "text", [None, "", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"]
)
def test_a_file_of_roots_that_cannot_be_used_stops_the_start_and_is_named(
    settings: Settings, tmp_path: Path, text: str | None
) -> None:
    path = tmp_path / "bad.pem"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SettingError, match="AUTHSVC_ATTESTATION_ROOTS_FILE"):
        create_app(replace(settings, database_url="", attestation_roots_file=str(path)))


@pytest.mark.parametrize(
    ("maker", "junior", "acr"), [(MAKER, False, "phrh"), (MAKER, True, "aal1"), (None, False, "phr")]
)
@pytest.mark.parametrize("alone", [True, False])
def test_only_a_senior_attested_key_reaches_the_highest_strength(
    app: Flask,
    client: Visitor,
    make_account: MakeAccount,
    clock: Clock,
    maker: Maker | None,
    junior: bool,
    acr: str,
    alone: bool,
) -> None:
    # Given an account with one key
    carol, key = make_account("carol"), Authenticator(aaguid=MODEL, maker=maker)
    enrol(app, carol.id, key)
    with app.app_context(), db.transaction() as session:
        senior_at = clock.now + timedelta(seconds=1 if junior else 0)
        session.execute(update(AuthenticatorRow).values(senior_at=senior_at))
    # When it signs in with the key alone, or beside the password
    if alone:
        client.use_key(key, "/login/passkey/options", "/login/passkey", user_verified=True)
    else:
        client.post("/login", username="carol", password=carol.password)
        client.use_key(key, "/login/key/options", "/login/key")
    # Then the session is as strong as the key
    with app.app_context(), db.transaction():
        assert [session.acr for session in sessions.of_account(carol.id, now=clock.now)] == [acr]
    assert ("Hardware, verified" in client.get("/account").text) == (maker is not None)
