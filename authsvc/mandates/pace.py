"""Writing millions of rows while others write too: short transactions, with room between them.

SQLite has one writer's place, and who waits for it only looks now and then whether it is free. So a transaction takes
about `HOLD` of time, as many rows as that may be, and then the place stays free for as long. PostgreSQL's writers
do not wait for rows that nobody else knows.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy.orm import Session

from authsvc.core import db

HOLD = timedelta(milliseconds=20)  # a sign-in writes three times; measured in docs/performance.md
LEAST, FIRST, MOST = 50, 500, 5000  # rows of a transaction on SQLite
OF_MANY_WRITERS = 2000  # on PostgreSQL, where rows that name an account keep others from locking it meanwhile

Item = TypeVar("Item")


def gently(statement: Any) -> None:
    """Run one statement so, which takes little."""
    with Pace().transaction() as session:
        session.execute(statement, execution_options={"synchronize_session": False})


class Pace:
    """How many rows one transaction writes."""

    def __init__(self, *, at_most: int | None = None) -> None:
        self.at_most, self.one_writer = at_most or MOST, db.engine().dialect.name == "sqlite"
        self.rows = min(self.at_most, FIRST if self.one_writer else OF_MANY_WRITERS)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A transaction for up to `rows` rows; a pause after it, and `rows` for the next."""
        with db.transaction() as session:
            session.connection()  # has waited for its turn: that is not this transaction's time
            begun = time.perf_counter()
            yield session
        if self.one_writer:
            self.rest(time.perf_counter() - begun)

    def rest(self, taken: float) -> None:
        """Leave the place free for as long as it was taken, in seconds, and choose `rows` for the next turn."""
        fitting = int(self.rows * HOLD.total_seconds() / max(taken, 1e-6))
        self.rows = max(min(LEAST, self.at_most), self.rows // 2, min(fitting, self.rows * 2, self.at_most))
        time.sleep(min(taken, 0.1))

    def ranges(self, count: int) -> Iterator[tuple[int, int]]:
        """Numbers from 1 to `count`, as many at a time as one transaction takes: after the first, up to the second."""
        done = 0
        while done < count:
            last = min(done + self.rows, count)
            yield done, last
            done = last

    def batches(self, items: Iterable[Item]) -> Iterator[list[Item]]:
        """The items, as many at a time as one transaction takes."""
        iterator = iter(items)
        while some := list(islice(iterator, self.rows)):
            yield some
