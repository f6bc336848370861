"""Fixtures for the provider: signing keys made once, a registered site, a signed-in visitor."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask

from authsvc.core import db
from authsvc.oidc import keys
from tests.conftest import Clock
from tests.oidc.site import Site, register, sign_in
from tests.people import Person, Visitor


@pytest.fixture(scope="session")
def key_pairs() -> dict[str, keys.Key]:
    """A key pair for each algorithm; making them takes longer than a test should."""
    return {alg: keys.generate(alg) for alg in keys.ALGORITHMS}


@pytest.fixture(autouse=True)
def signing_keys(app: Flask, clock: Clock, key_pairs: dict[str, keys.Key]) -> None:
    """Every database here has signed for a while."""
    made = clock.now - timedelta(days=1)
    with app.app_context(), db.transaction():
        for alg, key in key_pairs.items():
            keys.add(key, alg, signs_from=made, now=made)


@pytest.fixture
def site(app: Flask, clock: Clock) -> Site:
    """A site with a secret."""
    return register(app, now=clock.now)


@pytest.fixture
def alice(client: Visitor, make_account: Callable[..., Person], clock: Clock) -> Person:
    """Alice, whose browser is `client`, signed in with a password a minute ago."""
    person = make_account("alice")
    sign_in(client, person, now=clock.now, auth_time=clock.now - timedelta(minutes=1))
    return person
