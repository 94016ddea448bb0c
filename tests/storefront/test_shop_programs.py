"""Programs that the engines' account cannot reach are copied to where it can."""

import threading
from pathlib import Path

import pytest

from storefront.engines import process


def installed(folder: Path) -> Path:
    (folder / "pginstall" / "bin").mkdir(parents=True)
    for number in range(300):
        (folder / "pginstall" / "bin" / f"tool-{number}").write_bytes(b"x" * 1000)
    return folder / "pginstall"


def test_both_database_nodes_may_copy_the_programs_at_the_same_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "reachable", lambda path, _account: "cache" in path.parts)
    program, cache = installed(tmp_path / "venv"), tmp_path / "cache"
    together, found, errors = threading.Barrier(4), [], []

    def copy() -> None:
        together.wait()
        try:
            found.append(process.usable(program, cache, None))
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=copy) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(set(found)) == 1
    assert len(list((found[0] / "bin").iterdir())) == 300
    assert [path for path in cache.iterdir() if path != found[0].parent] == []


def test_programs_that_were_installed_anew_are_copied_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "reachable", lambda path, _account: "cache" in path.parts)
    first = process.usable(installed(tmp_path / "one"), tmp_path / "cache", None)
    second = process.usable(installed(tmp_path / "two"), tmp_path / "cache", None)
    assert first != second


def test_libraries_keep_their_place_beside_the_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "reachable", lambda path, _account: "cache" in path.parts)
    program = installed(tmp_path / "site" / "package")
    libraries = tmp_path / "site" / "package.libs"
    libraries.mkdir()
    (libraries / "libpq.so").write_bytes(b"x")
    copied = process.usable(
        program, tmp_path / "cache", None, root=tmp_path / "site", libraries=[libraries]
    )
    assert (copied / "bin" / ".." / ".." / ".." / "package.libs" / "libpq.so").exists()
