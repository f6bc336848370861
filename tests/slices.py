"""What tests of a slice's verbs need below the pages: an app with a database and keys, and rivals in threads."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier
from typing import TypeVar

import pytest
from flask import Flask

from authsvc import accounts
from authsvc.core import crypto, db
from authsvc.core.config import Settings

NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
Result = TypeVar("Result")


@pytest.fixture
def slice_app(empty_database_url: str, tmp_path: Path) -> Iterator[Flask]:
    """An app without pages, on both databases."""
    app = Flask("authsvc")
    db.init(app, empty_database_url)
    app.extensions["authsvc.settings"] = Settings(database_url=empty_database_url)
    app.extensions["authsvc.keys"] = crypto.load_keys(tmp_path / "sealing-keys", create=True)
    with app.app_context():
        db.Row.metadata.create_all(db.engine())
    yield app
    with app.app_context():
        db.engine().dispose()


@contextmanager
def request_to(app: Flask) -> Iterator[None]:
    """One request, which commits at its end or rolls back."""
    with app.test_request_context(), db.transaction():
        yield


def new_account(app: Flask, username: str, *, now: datetime = NOON) -> int:
    """An account and nothing else."""
    with request_to(app):
        return accounts.create(username=username, now=now)


def at_once(app: Flask, *calls: Callable[[], Result]) -> list[Result]:
    """What the calls return, each in a request of its own and all of them at the same time."""
    start = Barrier(len(calls))

    def one(call: Callable[[], Result]) -> Result:
        start.wait(timeout=10)
        with request_to(app):
            return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [done.result(timeout=20) for done in [pool.submit(one, call) for call in calls]]
