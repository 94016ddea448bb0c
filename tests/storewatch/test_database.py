import stat
from pathlib import Path

import pytest

from storewatch.core.errors import UnreachableError
from storewatch.store.database import open_database


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
