"""A tier that is a folder: local disk or a mounted file system."""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, TypeVar

from backup.errors import ExistsError, MissingObjectError, TierError
from backup.tiers.bandwidth import Bandwidth
from backup.tiers.settings import FolderTierSettings
from backup.tiers.tier import Entry, Watch
from storewatch.core.clock import from_unix
from storewatch.store.files import sync_folder, write_atomic

_CHUNK_BYTES = 1 << 20
_TEMPORARY = ".incoming-"
_ATTEMPTS = 100
_NAMES_OF_AN_UNSHARED_FILE = 2  # the spool's and ours
_NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)

T = TypeVar("T")


class FolderTier:
    """A folder; made when only its last part is missing, so that an unmounted disk is noticed.

    Args:
        settings: name, path and bandwidth.
        minimum_free_bytes: what must stay free on its file system.
    """

    def __init__(self, settings: FolderTierSettings, minimum_free_bytes: int = 0) -> None:
        self.name = settings.name
        self._root = settings.path
        self._minimum_free_bytes = minimum_free_bytes
        self._bandwidth = Bandwidth(settings.bandwidth)

    def put(self, key: str, file: Path, watch: Watch) -> None:
        """Link the file, or copy it beside its place, make it durable, then give it its name."""
        with self._failures(key):
            self._root.mkdir(mode=0o700, exist_ok=True)
            folder = (self._root / key).parent
            handle, name = _in_folder(
                folder, lambda: tempfile.mkstemp(prefix=_TEMPORARY, dir=folder)
            )
            temporary = Path(name)
            try:
                with os.fdopen(handle, "wb") as target:
                    if not self._link(file, temporary, watch):
                        self._copy(file, target, watch)
                self._name(temporary, key)
            finally:
                temporary.unlink(missing_ok=True)
            for parent in (folder, folder.parent, self._root):
                sync_folder(parent)

    def _link(self, file: Path, temporary: Path, watch: Watch) -> bool:
        """Take a file of the same file system as it is, unless another tier has done so.

        Nobody writes into a sealed file: it is deleted when all tiers have theirs. Two tiers must
        not share one, or what damages the one copy damages the other.
        """
        if self._bandwidth.limited or file.stat().st_dev != temporary.stat().st_dev:
            return False
        linked = temporary.with_name(f"{temporary.name}.link")
        try:
            os.link(file, linked)
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            return False
        try:
            if linked.stat().st_nlink > _NAMES_OF_AN_UNSHARED_FILE:
                return False
            self._refuse_when_full(0)
            linked.chmod(0o600)
            watch(linked.stat().st_size)
            with linked.open("rb") as durable:
                os.fsync(durable.fileno())
            os.utime(linked)  # the time of the delivery, by which leftovers are told
            linked.replace(temporary)
        finally:
            linked.unlink(missing_ok=True)
        return True

    def _copy(self, file: Path, target: BinaryIO, watch: Watch) -> None:
        self._refuse_when_full(file.stat().st_size)
        with file.open("rb") as source:
            while chunk := source.read(_CHUNK_BYTES):
                self._bandwidth.spend(len(chunk))
                target.write(chunk)
                watch(target.tell())
        target.flush()
        os.fsync(target.fileno())

    def mark(self, key: str, content: bytes) -> None:
        """Write the note beside its place, then rename."""
        with self._failures(key):
            self._root.mkdir(mode=0o700, exist_ok=True)
            place = self._root / key
            _in_folder(place.parent, lambda: write_atomic(place, content))

    def read(self, key: str, start: int = 0, size: int | None = None) -> Iterator[bytes]:
        """Yield the object's bytes."""
        try:
            with (self._root / key).open("rb") as file:
                file.seek(start)
                left = -1 if size is None else size
                while chunk := file.read(_CHUNK_BYTES if left < 0 else min(left, _CHUNK_BYTES)):
                    left -= len(chunk) if left >= 0 else 0
                    self._bandwidth.spend(len(chunk))
                    yield chunk
        except FileNotFoundError:
            raise MissingObjectError(f"tier {self.name}: {key} is missing") from None
        except OSError as error:
            raise TierError(f"tier {self.name}: {key}: {error.strerror or error}") from error

    def entries(self, prefix: str) -> list[Entry]:
        """Return the objects; a folder that is not there is an unreachable tier, no empty one."""
        if not self._root.is_dir():
            raise TierError(f"tier {self.name}: {self._root} is no folder (not mounted?)")
        below = self._root / prefix.rpartition("/")[0]
        found = []
        with self._failures(prefix):
            files = _files_below(below)
        for path in files:
            key = str(path.relative_to(self._root))
            if not key.startswith(prefix) or path.name.startswith("."):
                continue
            with suppress(FileNotFoundError):  # deleted while we look
                status = path.stat()
                found.append(Entry(key, status.st_size, from_unix(status.st_mtime)))
        return sorted(found, key=lambda entry: entry.key)

    def list(self, prefix: str) -> list[str]:
        """Return the keys."""
        return [entry.key for entry in self.entries(prefix)]

    def now(self) -> datetime:
        """Return the time that the file system gives a new file."""
        with (
            self._failures("its clock"),
            tempfile.NamedTemporaryFile(prefix=_TEMPORARY, dir=self._root) as file,
        ):
            return from_unix(Path(file.name).stat().st_mtime)

    def refuse_to_delete(self) -> str:
        """Return nothing: who may write a folder may delete."""
        return ""

    def immutable_until(self, key: str) -> datetime | None:
        """Return None: a folder keeps nothing from its owner."""
        if not (self._root / key).exists():
            raise MissingObjectError(f"tier {self.name}: {key} is missing")
        return None

    def delete(self, key: str) -> None:
        """Unlink the object, then the folders that became empty."""
        with self._failures(key):
            path = self._root / key
            path.unlink(missing_ok=True)
            for parent in path.parents:
                if parent == self._root:
                    break
                try:
                    parent.rmdir()
                except FileNotFoundError:  # somebody else was as quick
                    continue
                except OSError as error:
                    if error.errno != errno.ENOTEMPTY:
                        raise
                    with suppress(FileNotFoundError):
                        sync_folder(parent)
                    return
            sync_folder(self._root)

    def sweep(self, prefix: str, before: datetime) -> int:
        """Remove the temporary files of copies that were cut."""
        swept = 0
        with self._failures(prefix):
            for path in _files_below(self._root / prefix.rpartition("/")[0]):
                if not path.name.startswith(_TEMPORARY):
                    continue
                with suppress(FileNotFoundError):
                    if from_unix(path.stat().st_mtime) < before:
                        path.unlink()
                        swept += 1
                        with suppress(OSError):  # not empty
                            path.parent.rmdir()
        return swept

    def _name(self, temporary: Path, key: str) -> None:
        """Give a file its name unless another one has it; a link never replaces, a rename does."""
        place = self._root / key
        try:
            os.link(temporary, place)
        except FileExistsError:
            if not _same(temporary, place):
                raise ExistsError(
                    f"tier {self.name}: {key} exists with other bytes; it is not overwritten"
                ) from None
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            if place.exists() and not _same(temporary, place):
                raise ExistsError(
                    f"tier {self.name}: {key} exists with other bytes; it is not overwritten"
                ) from None
            temporary.replace(place)

    def _refuse_when_full(self, size_bytes: int) -> None:
        free = shutil.disk_usage(self._root).free
        if free - size_bytes < self._minimum_free_bytes:
            raise TierError(
                f"tier {self.name}: {free} bytes free at {self._root}; {size_bytes} are needed "
                f"and {self._minimum_free_bytes} must stay free (minimum_free_bytes)"
            )

    @contextmanager
    def _failures(self, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise TierError(f"tier {self.name}: {key}: {error.strerror or error}") from error


def _in_folder(folder: Path, work: Callable[[], T]) -> T:
    """Work in a folder that is made when it is missing.

    Whoever deletes the last object of a folder deletes the folder: it may be gone again before the
    first file is in it.
    """
    for _ in range(_ATTEMPTS):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return work()
        except (FileNotFoundError, FileExistsError) as error:  # mkdir met it, is_dir did not
            gone = error
    raise gone


def _files_below(folder: Path) -> list[Path]:
    """Return the files; a folder that is deleted meanwhile has none.

    Raises:
        OSError: a folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise error

    walk = os.walk(folder, onerror=refuse)
    return [Path(where) / name for where, _, names in walk for name in names]


def _same(one: Path, other: Path) -> bool:
    """Compare two files byte by byte."""
    if one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as a, other.open("rb") as b:
        while chunk := a.read(_CHUNK_BYTES):
            if chunk != b.read(_CHUNK_BYTES):
                return False
    return True
