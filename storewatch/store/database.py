"""Our own state in one database: SQLite by default, PostgreSQL by URL."""

import contextlib
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event, inspect
from sqlalchemy.exc import OperationalError

from storewatch.core.errors import UnreachableError

HEAD = "0001"
"""The newest revision in `migrations/versions`."""
_VERSIONS = "alembic_version"


def open_database(url: str) -> Engine:
    """Return an engine whose database has every migration applied.

    Args:
        url: an SQLAlchemy URL, such as sqlite:////srv/storewatch/storewatch.db.

    Raises:
        UnreachableError: the database does not answer or its file cannot be written.
    """
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        _keep_private(engine.url.database)
        event.listen(engine, "connect", _durable_sqlite)
    try:
        with engine.begin() as connection:
            if _revision(connection) != HEAD:
                _upgrade(connection)
    except OperationalError as error:
        raise UnreachableError(
            f"the state database {engine.url.render_as_string()} cannot be opened: {error.orig}"
        ) from error
    return engine


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(_VERSIONS):
        return None
    found = connection.exec_driver_sql(f"SELECT version_num FROM {_VERSIONS}").scalar()  # noqa: S608
    return None if found is None else str(found)


def _upgrade(connection: Connection) -> None:
    """Apply what is missing; only then Alembic is loaded, a fifth of the start of a command."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _keep_private(file: str | None) -> None:
    """Create the file for its owner alone; SQLite gives its journals the same mode."""
    if file and file != ":memory:":
        with contextlib.suppress(OSError):  # what keeps it from opening is said by opening it
            Path(file).touch(mode=0o600)
            Path(file).chmod(0o600)


def _durable_sqlite(connection, _record) -> None:  # type: ignore[no-untyped-def]
    """Readers beside one writer, and a committed incident survives a power cut."""
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA busy_timeout=5000")
    connection.execute("PRAGMA foreign_keys=ON")
