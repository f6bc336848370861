"""What holds of a key wherever one is asked for: alone, beside the password, for a change, for a new password."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from authsvc import accounts, audit
from authsvc.audit import EventType
from authsvc.core import crypto, db
from authsvc.recovery.models import ResetLink
from tests.authenticator import Authenticator
from tests.conftest import Clock
from tests.people import PASSWORD, Outbox, Person, Visitor

MakeAccount = Callable[..., Person]
Ceremony = tuple[str, str, dict[str, str]]  # where its options are, where its answer goes, what goes with it
NEW = "seven quiet otters paint the harbour"


@pytest.fixture
def carol(make_account: MakeAccount) -> Person:
    """She has one key, with a PIN, which counts."""
    return make_account("carol", key=True)


@pytest.fixture(params=["passkey", "key", "step-up", "reset"])
def ceremony(
    request: pytest.FixtureRequest, app: Flask, client: Visitor, carol: Person, clock: Clock
) -> Callable[[], Ceremony]:
    """Begin one of the four and say where it is asked and answered."""

    def begin() -> Ceremony:
        if request.param == "passkey":
            return "/login/passkey/options", "/login/passkey", {}
        if request.param == "key":
            client.post("/login", username="carol", password=PASSWORD)
            return "/login/key/options", "/login/key", {}
        if request.param == "step-up":
            client.sign_in(carol)
            page = client.post("/account/enrol", way="totp").location
            return f"{page}/key", page, {"way": "key"}
        token = crypto.random_token()
        with app.app_context(), db.transaction() as session:
            address = accounts.mail_address(carol.id)
            assert address
            link = ResetLink(digest=crypto.digest(token), account_id=carol.id, address_id=address.id)
            link.epoch, link.created_at = accounts.get(carol.id).epoch, clock.now
            link.expires_at = clock.now + timedelta(hours=1)
            session.add(link)
        client.get(f"/recovery/reset/{token}")
        return "/recovery/reset/key", "/recovery/reset", {"new_password": NEW}

    return begin


def use(client: Visitor, key: Authenticator, ceremony: Ceremony, *, user_verified: bool = True) -> TestResponse:
    options, submit, fields = ceremony
    return client.use_key(key, options, submit, user_verified=user_verified, **fields)


def test_a_counter_that_went_back_is_refused_logged_and_mailed(
    app: Flask, client: Visitor, carol: Person, outbox: Outbox, ceremony: Callable[[], Ceremony]
) -> None:
    began = ceremony()
    assert carol.key
    carol.key.sign_count, carol.key.counts = 0, False
    assert use(client, carol.key, began).status_code in {401, 422}
    with app.app_context(), db.transaction():
        assert EventType.AUTHENTICATOR_COUNTER_BACK in [e.type for e in audit.events(carol.id)]
    assert "A key of carol was refused" in [m["Subject"] for m in outbox.to(carol.email)]


@pytest.mark.attack("W03")
def test_a_key_stands_without_a_password_only_when_it_verified_its_user(
    client: Visitor, carol: Person, ceremony: Callable[[], Ceremony]
) -> None:
    began = ceremony()
    assert carol.key
    beside_password = began[1] == "/login/key"
    assert (use(client, carol.key, began, user_verified=False).status_code == 303) == beside_password
    if not beside_password:
        assert use(client, carol.key, began).status_code == 303


@pytest.mark.attack("W04")
def test_an_answer_counts_once_and_only_where_it_was_asked_for(
    client: Visitor, carol: Person, ceremony: Callable[[], Ceremony], new_client: Callable[[], Visitor]
) -> None:
    # Given an answer to another browser's question
    options, submit, fields = ceremony()
    assert carol.key
    carol.key.user_verified = True
    elsewhere = carol.key.answer(new_client().post("/login/passkey/options").text)
    # When it is given here, then it is refused, also without a question asked
    for _ in range(2):
        assert client.post(submit, credential=elsewhere, **fields).status_code in {401, 422}
        asked = client.post(options).text
    # And an answer to the own question counts, once
    answer = carol.key.answer(asked)
    assert client.post(submit, credential=answer, **fields).status_code == 303
    assert client.post(submit, credential=answer, **fields).status_code in {401, 410, 422}


@pytest.mark.attack("W05")
def test_a_key_of_somebody_else_is_refused(
    client: Visitor, carol: Person, make_account: MakeAccount, ceremony: Callable[[], Ceremony]
) -> None:
    mallory, began = make_account("mallory", key=True), ceremony()
    assert mallory.key
    answered = use(client, mallory.key, began)
    if began[1] == "/login/passkey":  # there it names its own account
        assert "mallory" in client.get("/account").text
    else:
        assert answered.status_code in {401, 422}


def test_a_passkey_of_nobody_is_named_to_the_browser_and_one_of_somebody_is_not(client: Visitor, carol: Person) -> None:
    assert carol.key
    strange = Authenticator(user_handle=carol.key.user_handle)
    asked: Ceremony = ("/login/passkey/options", "/login/passkey", {})
    text = use(client, strange, asked).text
    assert "data-unknown-credential" in text
    forged = Authenticator(user_handle=carol.key.user_handle, credential_id=carol.key.credential_id)
    assert "data-unknown-credential" not in use(client, forged, asked).text
