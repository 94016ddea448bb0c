"""Unpack a tar stream below a folder, files and folders only, as fast as it comes."""

import os
import tarfile
from pathlib import Path, PurePosixPath
from typing import Any

from backup.errors import DamagedError
from backup.seal import CHUNK_BYTES
from storewatch.store.files import WriteBehind


def untar(plain: Any, place: Path) -> None:
    """Unpack an archive into a new folder.

    Stricter than tarfile's `filter="data"`, which Python before 3.11.4 (Debian 12) does not have:
    no links, no devices, and a file never replaces another one. tarfile reads the headers; the
    content goes from the stream to the file through one buffer, since `tarfile.extractfile` took
    longer than decryption and decompression together.

    Args:
        plain: the stream, with `readinto` and `tell`.
        place: the folder.

    Raises:
        DamagedError: the archive has an entry that it must not have, or ends early.
        tarfile.TarError, OSError: it cannot be read or written.
    """
    place.mkdir(mode=0o700)
    buffer = memoryview(bytearray(CHUNK_BYTES))
    stream = _Whole(plain)
    archive = tarfile.TarFile(fileobj=stream)  # type: ignore[arg-type]  # read and tell suffice
    while (member := archive.next()) is not None:
        _unpack(member, place, stream, buffer)
        archive.members.clear()  # type: ignore[attr-defined]  # tarfile remembers all


class _Whole:
    """A stream whose reads are whole: what tarfile takes for a file."""

    def __init__(self, plain: Any) -> None:
        self._plain = plain
        self.name = None
        self.mode = "rb"

    def tell(self) -> int:
        return int(self._plain.tell())

    def read(self, size: int) -> bytes:
        content = bytearray(size)
        return bytes(content[: self.fill(memoryview(content))])

    def fill(self, buffer: memoryview) -> int:
        """Fill the buffer as far as the stream goes."""
        filled = 0
        while filled < len(buffer) and (count := self._plain.readinto(buffer[filled:])):
            filled += count
        return filled


def _unpack(
    member: tarfile.TarInfo,
    place: Path,
    stream: _Whole,
    buffer: memoryview,
) -> None:
    inside = PurePosixPath(member.name)
    if inside.is_absolute() or ".." in inside.parts:
        raise DamagedError(f"the archive has {member.name!r}, which leads out of its folder")
    path = place / inside
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(member.mode & 0o755 | 0o700)
    elif member.isreg() and not member.issparse():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb", buffering=0) as file:
            _copy(member, WriteBehind(file), stream, buffer)
            os.fchmod(file.fileno(), member.mode & 0o755 | 0o600)
        os.utime(path, (member.mtime, member.mtime))
    else:
        raise DamagedError(f"the archive has {member.name!r}, which is no file and no folder")


def _copy(
    member: tarfile.TarInfo,
    file: WriteBehind,
    stream: _Whole,
    buffer: memoryview,
) -> None:
    left = member.size
    while left:
        piece = buffer[: min(left, len(buffer))]
        if stream.fill(piece) < len(piece):
            raise DamagedError(f"the archive ends inside {member.name!r}")
        file.write(piece)
        left -= len(piece)
    file.flush()
    stream.read(-member.size % tarfile.BLOCKSIZE)
