"""Bringing a database to the newest schema. The steps themselves are in `authsvc/migrations`."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from authsvc.core import db

FOLDER = Path(__file__).parents[1] / "migrations"


def config(url: str) -> Config:
    """Alembic's configuration for one database; works from a checkout and from an installed wheel."""
    made = Config()
    made.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    made.attributes["url"] = url
    return made


def upgrade(url: str) -> None:
    """Run every step the database lacks, in one transaction. Safe to call from several machines at once."""
    command.upgrade(config(url), "head")


def current(url: str) -> str | None:
    """The database's revision; None when it is empty."""
    engine = db.connect(url)
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()


def newest() -> str | None:
    """The revision this code needs."""
    return ScriptDirectory(str(FOLDER)).get_current_head()
