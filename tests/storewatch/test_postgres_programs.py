import subprocess
from pathlib import Path

import pytest

from storewatch.core.errors import UnreachableError
from storewatch.store import postgres_programs
from storewatch.store.postgres_programs import find_postgres


def test_the_wheels_programs_run_where_they_were_copied_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_programs, "reachable", lambda _path, _user: False)
    programs = find_postgres(None, tmp_path / "cache")
    assert programs.is_relative_to(tmp_path)
    for name in ("postgres", "initdb", "pg_basebackup", "pg_verifybackup"):
        done = subprocess.run([programs / name, "--version"], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
    assert find_postgres(None, tmp_path / "cache") == programs


def test_a_configured_folder_without_programs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="no pg_ctl in"):
        find_postgres(tmp_path, tmp_path / "cache")
