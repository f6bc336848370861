"""A code of an app counts once, wherever it was shown first (attack T01)."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from authsvc import accounts
from authsvc.core import crypto, db
from authsvc.recovery.models import ResetLink
from tests.conftest import Clock
from tests.people import PASSWORD, Person, Visitor

NEW = "seven quiet otters paint the harbour"


@pytest.mark.attack("T01")
@pytest.mark.parametrize("first", ["sign-in", "step-up", "reset"])
def test_a_code_accepted_at_one_place_is_refused_at_every_other(
    app: Flask,
    client: Visitor,
    new_client: Callable[[], Visitor],
    make_account: Callable[..., Person],
    clock: Clock,
    first: str,
) -> None:
    # Given a sign-in, a step-up and a reset, each waiting for a code
    bob, token = make_account("bob", totp_app=True), crypto.random_token()
    signing_in, resetting = new_client(), new_client()
    client.sign_in(bob, now=clock.now)
    page = client.post("/account/enrol", way="key").location
    signing_in.post("/login", username="bob", password=PASSWORD)
    with app.app_context(), db.transaction() as session:
        address = accounts.mail_address(bob.id)
        assert address
        link = ResetLink(digest=crypto.digest(token), account_id=bob.id, address_id=address.id)
        link.epoch, link.created_at = accounts.get(bob.id).epoch, clock.now
        link.expires_at = clock.now + timedelta(hours=1)
        session.add(link)
    resetting.get(f"/recovery/reset/{token}")
    clock.advance(seconds=30)
    code = bob.totp(clock.now)
    ways: dict[str, Callable[[], TestResponse]] = {
        "sign-in": lambda: signing_in.post("/login/totp", code=code),
        "step-up": lambda: client.post(page, way="totp", code=code),
        "reset": lambda: resetting.post("/recovery/reset", new_password=NEW, code=code),
    }
    # When the code is shown at one of them, then it counts there
    assert ways.pop(first)().status_code == 303
    # And nowhere else
    if first == "reset":  # which ends what was under way, so a sign-in begins anew
        signing_in.post("/login", username="bob", password=NEW)
        del ways["step-up"]
    assert {way().status_code for way in ways.values()} <= {401, 422}
