"""Unpacking a tar stream: what tar itself would write, and nothing that breaks off unseen."""

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from backup.errors import DamagedError
from backup.restore import UNFINISHED, unfinished
from backup.untar import untar

CHUNKS = [1, 511, 4096, 1 << 20]


class Stream:
    """A stream that gives a few bytes at a time, as a decompressor does."""

    def __init__(self, content: bytes, most: int) -> None:
        self._file = io.BytesIO(content)
        self._most = most

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: memoryview) -> int:
        return self._file.readinto(buffer[: self._most])


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Files of awkward sizes below awkward names."""
    root = tmp_path / "tree"
    (root / "empty folder").mkdir(parents=True)
    for size in (0, 1, 511, 512, 513, 10_240, (2 << 20) + 7):
        (root / f"{size}.bin").write_bytes(os.urandom(size))
    deep = root / ("d" * 120) / ("ö" * 60)
    deep.mkdir(parents=True)
    (deep / ("n" * 200)).write_bytes(b"far down")
    (root / "run.sh").write_bytes(b"#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    return root


def contents(root: Path) -> dict[str, tuple[bytes | None, int]]:
    return {
        str(path.relative_to(root)): (
            path.read_bytes() if path.is_file() else None,
            path.stat().st_mode & 0o111 if path.is_file() else 0,
        )
        for path in root.rglob("*")
    }


@pytest.mark.parametrize("form", ["gnu", "posix", "ustar"])
@pytest.mark.parametrize("most", CHUNKS)
def test_what_tar_packs_comes_back(tree: Path, tmp_path: Path, form: str, most: int) -> None:
    left_out = ["--exclude=" + "d" * 120] if form == "ustar" else []  # its names are short
    argv = ["tar", f"--format={form}", *left_out, "-cC", str(tree), "."]
    packed = subprocess.run(argv, check=True, capture_output=True).stdout
    untar(Stream(packed, most), tmp_path / "out")
    wanted = contents(tree)
    if left_out:
        wanted = {name: one for name, one in wanted.items() if not name.startswith("ddd")}
    assert contents(tmp_path / "out") == wanted


def test_an_archive_that_ends_inside_a_file_is_damaged(tree: Path, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(tree / f"{(2 << 20) + 7}.bin", "big.bin")
    half = packed.getvalue()[: 1 << 20]
    with pytest.raises(DamagedError, match=r"the archive ends inside 'big\.bin'"):
        untar(Stream(half, 4096), tmp_path / "out")


def test_a_file_never_replaces_another(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for content in (b"first", b"second"):
            member = tarfile.TarInfo("same")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    with pytest.raises(FileExistsError):
        untar(Stream(packed.getvalue(), 4096), tmp_path / "out")
    assert (tmp_path / "out" / "same").read_bytes() == b"first"


def test_a_restore_counts_once_the_disk_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unfinished_at_sync = []
    monkeypatch.setattr(
        "backup.restore.sync_file_system",
        lambda folder: unfinished_at_sync.append((folder / UNFINISHED).exists()),
    )
    with unfinished(tmp_path):
        assert unfinished_at_sync == []
    assert unfinished_at_sync == [True]
    assert not (tmp_path / UNFINISHED).exists()
