import io
import os
from pathlib import Path

import pytest

from storewatch.store.files import WriteBehind, sync_file_system


class _Sipping(io.FileIO):
    """A file that takes at most three bytes at a time, as a disk that is nearly full does."""

    def write(self, data: object) -> int:
        return super().write(bytes(data)[:3])  # type: ignore[call-overload, no-any-return]


def test_what_the_disk_takes_in_parts_is_written_whole(tmp_path: Path) -> None:
    with _Sipping(tmp_path / "file", "w") as file:
        behind = WriteBehind(file)
        assert behind.write(b"acknowledged") == len(b"acknowledged")
        behind.flush()
    assert (tmp_path / "file").read_bytes() == b"acknowledged"


def test_a_long_file_is_written_as_it_was_given(tmp_path: Path) -> None:
    content = os.urandom(9 << 20)
    with (tmp_path / "file").open("xb", buffering=0) as file:
        behind = WriteBehind(file)
        for start in range(0, len(content), 1 << 20):
            behind.write(memoryview(content)[start : start + (1 << 20)])
    assert (tmp_path / "file").read_bytes() == content


def test_a_file_system_that_cannot_be_synced_is_said(tmp_path: Path) -> None:
    sync_file_system(tmp_path)
    with pytest.raises(FileNotFoundError):
        sync_file_system(tmp_path / "gone")
