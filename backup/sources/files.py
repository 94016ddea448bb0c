"""A folder of files as one tar stream, and its listing.

The listing has the form of sha256sum, so that `sha256sum -c` checks an unpacked folder. A file that
changes, vanishes or cannot be read while it is copied is named and makes the backup partial; it is
never silently missing.
"""

import hashlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO, cast

from backup.seal import CHUNK_BYTES
from backup.sources.settings import FilesSourceSettings
from backup.sources.source import Captured, OpenObject
from storewatch.core.errors import BackupError


class FilesSource:
    """One named folder.

    Objects: `files-<name>.tar` and `files-<name>.sha256`.
    """

    def __init__(self, settings: FilesSourceSettings) -> None:
        self.name = f"files-{settings.name}"
        self._root = settings.path

    def capture(self, open_object: OpenObject) -> Captured:
        """Stream the folder, then its listing.

        Raises:
            BackupError: the folder is not there.
        """
        if not self._root.is_dir():
            raise BackupError(f"{self.name}: {self._root} is not a folder; name one that exists")
        problems: list[str] = []
        with tempfile.TemporaryFile() as listing:
            counts = self._archive(open_object, listing, problems)
            listing.seek(0)
            with open_object(f"{self.name}.sha256", None) as sink:
                shutil.copyfileobj(listing, cast(BinaryIO, sink), CHUNK_BYTES)
        facts = {"object": f"{self.name}.tar", "listing": f"{self.name}.sha256"}
        return Captured({**facts, **counts}, tuple(problems))

    def _archive(
        self, open_object: OpenObject, listing: IO[bytes], problems: list[str]
    ) -> dict[str, int]:
        """Stream the archive and write its listing; return the number of files and bytes."""
        counts = {"files": 0, "bytes": 0}
        with (
            open_object(f"{self.name}.tar", None) as sink,
            tarfile.open(fileobj=cast(BinaryIO, sink), mode="w|", bufsize=CHUNK_BYTES) as tar,
        ):
            for path in self._paths(problems):
                entry = self._add(tar, path, problems)
                tar.members.clear()  # type: ignore[attr-defined]  # tarfile remembers every file; we never ask
                if entry is not None:
                    line = f"{entry[0]}  {self._relative(path)}\n"
                    listing.write(line.encode("utf-8", "surrogateescape"))
                    counts["files"] += 1
                    counts["bytes"] += entry[1]
        return counts

    def _paths(self, problems: list[str]) -> Iterator[Path]:
        def unreadable(error: OSError) -> None:
            problems.append(f"{self.name}: {self._relative(error.filename)}: {error.strerror}")

        for folder, folders, names in os.walk(self._root, onerror=unreadable):
            folders.sort()
            for name in sorted(names):
                yield Path(folder, name)

    def _relative(self, path: str | Path) -> Path:
        return Path(path).relative_to(self._root)

    def _add(self, tar: tarfile.TarFile, path: Path, problems: list[str]) -> tuple[str, int] | None:
        """Add one file; return its hash and size, None when it is not in the copy."""
        where = f"{self.name}: {self._relative(path)}"
        if "\n" in path.name:
            problems.append(f"{where!r}: a line break in a name cannot be listed")
            return None
        if path.is_symlink() or not path.is_file():
            reason = "vanished" if not path.exists() else "is no regular file"
            problems.append(f"{where}: {reason}")
            return None
        try:
            with path.open("rb") as file:
                before = os.fstat(file.fileno())
                header = tarfile.TarInfo(str(self._relative(path)))
                header.size, header.mtime, header.mode = before.st_size, before.st_mtime, 0o644
                reader = _Exactly(file, before.st_size)
                tar.addfile(header, reader)
                after = os.fstat(file.fileno())
        except FileNotFoundError:
            problems.append(f"{where}: vanished")
            return None
        except OSError as error:
            problems.append(f"{where}: {error.strerror}")
            return None
        if reader.short or (before.st_size, before.st_mtime_ns) != (
            after.st_size,
            after.st_mtime_ns,
        ):
            problems.append(f"{where}: changed while it was read")
        return reader.sha256, before.st_size


class _Exactly:
    """A file of exactly the announced size: the rest of a file that shrank is zeros."""

    def __init__(self, file: BinaryIO, size_bytes: int) -> None:
        self._file = file
        self._left = size_bytes
        self._hash = hashlib.sha256()
        self.short = False

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        try:
            data = self._file.read(wanted)
        except OSError:
            data = b""
        if len(data) < wanted:
            self.short = True
            data += bytes(wanted - len(data))
        self._left -= len(data)
        self._hash.update(data)
        return data

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()
