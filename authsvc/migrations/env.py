"""Runs migrations. Alembic loads this file by its path: `authsvc db upgrade`, `alembic revision`."""

from typing import Any, Literal

from alembic import context
from sqlalchemy import text

import authsvc.app  # noqa: F401 -- knows every slice, so that every row class is known
from authsvc.core import config, db

UPGRADE_LOCK = 0x61757468  # any number, the same for every version of this program


def render_item(kind: str, item: object, _context: Any) -> str | Literal[False]:
    """Write our time column as what it stores, so that an old migration needs nothing of today's code."""
    return "sa.DateTime()" if kind == "type" and isinstance(item, db.UtcDateTime) else False


def run() -> None:
    """Run what was asked for in one transaction, one machine at a time."""
    engine = db.connect(context.config.attributes.get("url") or config.load().database)
    try:
        with engine.connect() as connection:
            if engine.dialect.name == "sqlite":
                # Changing a table means copying and dropping it, which would take its dependants along. Only
                # takes effect outside a transaction, hence on the driver's own connection.
                driver: Any = connection.connection.dbapi_connection
                driver.execute("PRAGMA foreign_keys=OFF")
            context.configure(
                connection=connection,
                target_metadata=db.Row.metadata,
                render_item=render_item,
                render_as_batch=True,  # SQLite cannot alter a column in place
                transactional_ddl=True,  # true of SQLite too, as core/db begins transactions itself
            )
            with context.begin_transaction():
                if engine.dialect.name == "postgresql":
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": UPGRADE_LOCK})
                context.run_migrations()
    finally:
        engine.dispose()


run()
