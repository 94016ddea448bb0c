"""Following a log file through rotation and truncation, by inode and offset."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_BLOCK_BYTES = 1024 * 1024
_MAXIMUM_LINE_BYTES = 1024 * 1024
_SETTLE_S = 1.0
"""A renamed file is left once it was not written to for so long: writers reopen one by one."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far a log has been read: the file's inode, and the bytes up to the last whole line."""

    inode: int
    offset: int


class LogFollower:
    """Read the lines that a log gains.

    A file that was renamed is read to its end before its successor is begun; where that happened
    while nobody followed, the renamed file is found beside the log (`<name>*`) by its inode. A
    file that became shorter than what was read was truncated and is read from its start. A last
    line without its end is left until it is whole.

    Args:
        path: the log; it need not exist yet.
        position: where to go on; None: at the present end of the log.
        settle_s: seconds without a write after which a renamed file is taken as complete.
    """

    def __init__(self, path: Path, position: Position | None, settle_s: float = _SETTLE_S) -> None:
        self._path = path
        self._settle_s = settle_s
        self._file: BinaryIO | None = None
        self._inode = 0
        self._offset = 0
        if position is not None:
            self._resume(position)
        elif path.exists():
            self._open(path, 0)
            self._offset = self._last_line_end()

    @property
    def position(self) -> Position | None:
        """How far was read; None before the log exists."""
        return None if self._file is None else Position(self._inode, self._offset)

    def backlog_bytes(self) -> int:
        """Return the bytes of the open file that were not read."""
        return 0 if self._file is None else max(0, self._size() - self._offset)

    def batches(self) -> Iterator[tuple[list[bytes], int]]:
        """Yield whole lines as they are read, in batches, each with its size in bytes.

        The position is past a batch as soon as it was yielded.

        Raises:
            OSError: the log does not exist or cannot be read.
        """
        if self._file is None:
            self._open(self._path, 0)
        while True:
            yield from self._rest()
            if not self._rotated() or not self._settled():
                return
            yield from self._rest()  # what was written between the last read and the rename
            self._open(self._path, 0)

    def _rest(self) -> Iterator[tuple[list[bytes], int]]:
        assert self._file is not None
        if self._size() < self._offset:
            self._offset = 0
        while True:
            self._file.seek(self._offset)
            block = self._file.read(_BLOCK_BYTES)
            end = block.rfind(b"\n") + 1
            if end == 0:
                if len(block) < _MAXIMUM_LINE_BYTES:
                    return
                end = len(block)  # no line is that long: skip it as one malformed line
            self._offset += end
            yield block[:end].splitlines(), end

    def _rotated(self) -> bool:
        """Tell whether another file has taken the log's name."""
        try:
            return self._path.stat().st_ino != self._inode
        except FileNotFoundError:
            return False  # renamed, and its successor is not there yet

    def _settled(self) -> bool:
        return time.time() - self._stat().st_mtime >= self._settle_s

    def _resume(self, position: Position) -> None:
        folder, name = self._path.parent, self._path.name
        for candidate in (self._path, *sorted(folder.glob(f"{name}?*"))):
            try:
                if candidate.stat().st_ino == position.inode:
                    self._open(candidate, position.offset)
                    return
            except FileNotFoundError:
                continue
        # The file is gone with what was not read of it; its successor is all new.
        if self._path.exists():
            self._open(self._path, 0)

    def _open(self, path: Path, offset: int) -> None:
        file = path.open("rb")
        if self._file is not None:
            self._file.close()
        self._file = file
        self._offset = offset
        self._inode = self._stat().st_ino

    def _last_line_end(self) -> int:
        assert self._file is not None
        size = self._size()
        start = max(0, size - _MAXIMUM_LINE_BYTES)
        self._file.seek(start)
        return start + self._file.read(size - start).rfind(b"\n") + 1

    def _size(self) -> int:
        return self._stat().st_size

    def _stat(self) -> os.stat_result:
        assert self._file is not None
        return os.fstat(self._file.fileno())
