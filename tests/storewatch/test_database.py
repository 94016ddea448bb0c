import stat
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from storewatch.core.errors import UnreachableError
from storewatch.store import database
from storewatch.store.database import HEAD, _revision, open_database


def test_the_state_database_and_its_journals_are_their_owners_alone(tmp_path: Path) -> None:
    file = tmp_path / "storewatch.db"
    file.touch(mode=0o644)  # as older versions left it
    with open_database(f"sqlite:///{file}").connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes.keys() >= {"storewatch.db", "storewatch.db-wal"}
    assert set(modes.values()) == {0o600}


def test_a_state_database_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match=r"nowhere/storewatch\.db cannot be opened: .*"):
        open_database(f"sqlite:///{tmp_path}/nowhere/storewatch.db")


def test_the_newest_revision_is_the_one_that_is_looked_for() -> None:
    migrations = Path(database.__file__).parent / "migrations"
    assert ScriptDirectory(str(migrations)).get_current_head() == HEAD


def test_a_database_without_the_newest_revision_gets_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/storewatch.db"
    for _ in range(2):
        with open_database(url).begin() as connection:
            assert {"incidents", "alembic_version"} <= set(inspect(connection).get_table_names())
            assert _revision(connection) == HEAD
            connection.exec_driver_sql("DROP TABLE alembic_version")
            for table in inspect(connection).get_table_names():
                connection.exec_driver_sql(f"DROP TABLE {table}")
