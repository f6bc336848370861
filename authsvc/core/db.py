"""The database: row base class, UTC time, one transaction a request, claiming rows with a lease.

*Returning commits, raising rolls back* (decision 0002). On SQLite a transaction that may write begins
IMMEDIATE: one that reads first and writes later would fail at once when somebody else wrote in between.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from flask import Flask, current_app, g, request
from sqlalchemy import (
    JSON,
    BigInteger,
    ColumnElement,
    CursorResult,
    DateTime,
    Dialect,
    Engine,
    Executable,
    Integer,
    MetaData,
    create_engine,
    event,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute, Session
from sqlalchemy.types import TypeDecorator

BUSY_TIMEOUT = timedelta(seconds=10)  # how long a SQLite writer waits for another


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC instant, stored naive. Refuses naive values, which would be somebody's local time."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without zone reached the database")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


# SQLite only counts INTEGER PRIMARY KEY up by itself.
BigId = BigInteger().with_variant(Integer, "sqlite")


class Row(DeclarativeBase):
    """Base of every row class."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar = {datetime: UtcDateTime, dict[str, Any]: JSON, list[Any]: JSON}


def connect(url: str) -> Engine:
    """An engine for the URL. The one place that knows the two databases differ."""
    if url.startswith("sqlite"):
        engine = create_engine(
            url,
            connect_args={"timeout": BUSY_TIMEOUT.total_seconds(), "check_same_thread": False},
            hide_parameters=True,
        )

        @event.listens_for(engine, "connect")
        def prepare(connection: sqlite3.Connection, _record: object) -> None:
            connection.isolation_level = None  # we say BEGIN ourselves, below
            for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
                connection.execute(f"PRAGMA {pragma}")

        @event.listens_for(engine, "begin")
        def begin(connection: Any) -> None:
            mode = "IMMEDIATE" if connection.get_execution_options().get("writes", True) else "DEFERRED"
            connection.exec_driver_sql(f"BEGIN {mode}")

        return engine
    return create_engine(url, pool_pre_ping=True, hide_parameters=True)


def init(app: Flask, url: str) -> None:
    """Give the app its engine and end each request's transaction."""
    app.extensions["authsvc.engine"] = connect(url)

    @app.after_request
    def finish(response: Any) -> Any:
        commit()
        return response

    @app.teardown_appcontext
    def close(_error: BaseException | None) -> None:
        opened: Session | None = g.pop("db_session", None)
        if opened is not None:
            opened.close()


def engine() -> Engine:
    """The engine of the current app."""
    found: Engine = current_app.extensions["authsvc.engine"]
    return found


def session() -> Session:
    """The session of the running request or of the surrounding `transaction`."""
    opened: Session | None = g.get("db_session")
    if opened is None:
        opened = g.db_session = Session(
            engine().execution_options(writes=g.get("db_writes", True)),
            expire_on_commit=False,
            autoflush=True,
        )
    return opened


def execute(statement: Executable, parameters: dict[str, Any] | None = None) -> CursorResult[Any]:
    """Run a prebuilt statement on the session's connection, past the ORM, which costs more than the database does.

    For hot paths. It does not see rows added to the session and not flushed yet.
    """
    return session().connection().execute(statement, parameters)


def reading() -> None:
    """Say, before the first statement, that this request only reads."""
    g.db_writes = False


def writing() -> None:
    """Say that what follows writes. Ends a reading transaction first, since it could not be turned into one."""
    if g.get("db_writes", True) is False:
        opened: Session | None = g.pop("db_session", None)
        if opened is not None:
            opened.commit()
            opened.close()
    g.db_writes = True


def commit() -> None:
    """End the present transaction now: before hashing, before the network, after charging a guess."""
    opened: Session | None = g.get("db_session")
    if opened is not None:
        opened.commit()


def rollback() -> None:
    """Undo the present transaction."""
    opened: Session | None = g.get("db_session")
    if opened is not None:
        opened.rollback()


@contextmanager
def transaction() -> Iterator[Session]:
    """A transaction outside a request, for commands, the worker and tests: commits at the end, or rolls back."""
    try:
        yield session()
        commit()
    except BaseException:
        rollback()
        raise
    finally:
        opened: Session | None = g.pop("db_session", None)
        if opened is not None:
            opened.close()


@contextmanager
def snapshot() -> Iterator[Session]:
    """A transaction that only reads and in which all statements see the same state. For commands."""
    reading()
    with transaction() as opened:
        if engine().dialect.name == "postgresql":  # SQLite's are so anyway
            opened.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        yield opened
    g.pop("db_writes")


def upsert(row: type[Row]) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that takes `.on_conflict_do_update(…)`; both databases know it, each by a class of its own."""
    return sqlite.insert(row) if engine().dialect.name == "sqlite" else postgresql.insert(row)


def request_reads() -> bool:
    """True for methods that change nothing."""
    return request.method in {"GET", "HEAD", "OPTIONS"}


def claim(
    key: InstrumentedAttribute[int],
    claimed_until: InstrumentedAttribute[datetime | None],
    due: ColumnElement[bool],
    *,
    limit: int,
    lease: timedelta,
    now: datetime,
    order_by: Any,
) -> list[int]:
    """Lease up to `limit` due rows to the caller and commit. A killed worker's rows come back after the lease.

    PostgreSQL skips rows another worker holds; SQLite has one writer at a time anyway.
    """
    free = due & ((claimed_until.is_(None)) | (claimed_until < now))
    candidates = select(key).where(free).order_by(order_by, key).limit(limit).with_for_update(skip_locked=True)
    with transaction() as opened:
        ids = list(opened.scalars(candidates))
        if ids:
            opened.execute(update(key.class_).where(key.in_(ids)).values({claimed_until.key: now + lease}))
    return ids
