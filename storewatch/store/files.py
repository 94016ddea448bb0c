"""Files that are whole or absent: temporary name, fsync, rename, fsync of the folder."""

import ctypes
import hashlib
import io
import os
import tempfile
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_WRITE_BEHIND_BYTES = 8 << 20


def write_atomic(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a file so that a crash leaves either the old content or the new, never a part.

    Args:
        path: the file; its folder exists.
        content: the whole content.
        mode: permission bits of the new file.
    """
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a folder's entries durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_file_system(path: Path) -> None:
    """Make all that was written to the file system of a path durable, however many files it is.

    Raises:
        OSError: it could not be written.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        if _LIBC.syncfs(handle):
            raise OSError(ctypes.get_errno(), "syncfs failed", str(path))
    finally:
        os.close(handle)


class WriteBehind:
    """A new file that goes to the disk while it is written: a sync at the end has little to do.

    Source: PostgreSQL's pg_flush_data, which takes the same advice where sync_file_range is not
    to be had; pages that are still dirty stay in memory.

    Args:
        file: unbuffered.
    """

    def __init__(self, file: io.FileIO) -> None:
        self._file = file
        self._done = self._behind = 0

    def write(self, data: bytes | memoryview) -> int:
        """Write everything; a disk that takes a part only says why at the rest."""
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        self._done += len(data)
        if self._done - self._behind >= _WRITE_BEHIND_BYTES:
            self.flush()
        return len(data)

    def flush(self) -> None:
        """Let the disk begin with what was written since the last time."""
        size = self._done - self._behind
        os.posix_fadvise(self._file.fileno(), self._behind, size, os.POSIX_FADV_DONTNEED)
        self._behind = self._done


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal; memory does not grow with the file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
