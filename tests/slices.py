"""What tests of a slice's verbs need below the pages: requests without a route, and rivals in threads."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Barrier
from typing import TypeVar

from flask import Flask

from authsvc import accounts
from authsvc.adapters.rdap import RdapClient
from authsvc.core import db

NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
Result = TypeVar("Result")


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


class OneRegistry(RdapClient):
    """A server that is the registry of all names, and not one's own that stands for many."""

    bootstrapped = True
