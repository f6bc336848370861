"""The migrations make the schema that the row classes describe, and can be undone."""

from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect
from sqlalchemy.exc import DatabaseError

import authsvc.app  # noqa: F401 -- knows every row class
from authsvc.core import db, migrate


def differences(url: str) -> list[Any]:
    """What autogenerate would still change."""
    engine = db.connect(url)
    with engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), db.Row.metadata)
    engine.dispose()
    return list(found)


def tables(url: str) -> set[str]:
    """Names of the tables there are."""
    engine = db.connect(url)
    names = set(inspect(engine).get_table_names())
    engine.dispose()
    return names


def test_an_upgraded_database_is_what_the_row_classes_describe(empty_database_url: str) -> None:
    migrate.upgrade(empty_database_url)
    assert differences(empty_database_url) == []
    assert tables(empty_database_url) == {*db.Row.metadata.tables, "alembic_version"}


def test_upgrading_twice_changes_nothing(empty_database_url: str) -> None:
    assert migrate.current(empty_database_url) is None
    for _ in range(2):
        migrate.upgrade(empty_database_url)
        assert migrate.current(empty_database_url) == migrate.newest() is not None


def test_every_migration_can_be_undone(empty_database_url: str) -> None:
    migrate.upgrade(empty_database_url)
    command.downgrade(migrate.config(empty_database_url), "base")
    assert tables(empty_database_url) == {"alembic_version"}


def test_a_failing_migration_leaves_the_schema_as_it_was(empty_database_url: str) -> None:
    # Given a database that lacks a table which undoing the migrations would drop
    migrate.upgrade(empty_database_url)
    engine = db.connect(empty_database_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE audit_events")
    engine.dispose()
    before = tables(empty_database_url)
    # When they are undone
    with pytest.raises(DatabaseError, match="audit_events"):
        command.downgrade(migrate.config(empty_database_url), "base")
    # Then the failure takes back what had been done before it
    assert tables(empty_database_url) == before
