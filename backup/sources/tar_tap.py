"""Take one small file out of a tar stream as it passes."""

from pathlib import Path
from types import TracebackType
from typing import BinaryIO

_BLOCK_BYTES = 512
_NAME, _SIZE = slice(0, 100), slice(124, 136)


class TarTap:
    """Follows the headers of an archive and copies the members of one name into a file.

    Source: POSIX ustar; PostgreSQL writes no extended headers (src/port/tar.c).

    Args:
        member: name of the wanted file.
        destination: written anew; empty when the member does not come.
    """

    def __init__(self, member: str, destination: Path) -> None:
        self._member = member.encode()
        self._file: BinaryIO = destination.open("wb")
        self._header = bytearray()
        self._content = 0
        self._padding = 0
        self._wanted = False

    def __enter__(self) -> "TarTap":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the archive."""
        at = 0
        while at < len(data):
            if self._content:
                count = min(self._content, len(data) - at)
                if self._wanted:
                    self._file.write(data[at : at + count])
                self._content -= count
            elif self._padding:
                count = min(self._padding, len(data) - at)
                self._padding -= count
            else:
                count = min(_BLOCK_BYTES - len(self._header), len(data) - at)
                self._header += data[at : at + count]
                if len(self._header) == _BLOCK_BYTES:
                    self._begin(bytes(self._header))
                    self._header.clear()
            at += count

    def _begin(self, header: bytes) -> None:
        self._wanted = header[_NAME].split(b"\0")[0] == self._member
        size = header[_SIZE]
        if size[0] & 0x80:  # base 256, for files of 8 GB and more
            self._content = int.from_bytes(size[1:], "big")
        else:
            self._content = int(size.strip(b" \0") or b"0", 8)
        self._padding = -self._content % _BLOCK_BYTES
