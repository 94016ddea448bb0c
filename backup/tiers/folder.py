"""A tier that is a folder: local disk or a mounted file system."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from backup.errors import MissingObjectError, TierError
from backup.tiers.settings import FolderTierSettings
from backup.tiers.tier import Watch
from storewatch.store.files import sync_folder

_CHUNK_BYTES = 1 << 20
_TEMPORARY = ".incoming-"


class FolderTier:
    """A folder; made when only its last part is missing, so that an unmounted disk is noticed.

    Args:
        settings: name and path.
        minimum_free_bytes: what must stay free on its file system.
    """

    def __init__(self, settings: FolderTierSettings, minimum_free_bytes: int = 0) -> None:
        self.name = settings.name
        self._root = settings.path
        self._minimum_free_bytes = minimum_free_bytes

    def put(self, key: str, file: Path, watch: Watch) -> None:
        """Copy the file beside its place, make it durable, then rename."""
        try:
            self._root.mkdir(mode=0o700, exist_ok=True)
            folder = (self._root / key).parent
            folder.mkdir(parents=True, exist_ok=True)
            self._refuse_when_full(file.stat().st_size)
            handle, temporary = tempfile.mkstemp(prefix=_TEMPORARY, dir=folder)
            try:
                with os.fdopen(handle, "wb") as target, file.open("rb") as source:
                    while chunk := source.read(_CHUNK_BYTES):
                        target.write(chunk)
                        watch(target.tell())
                    target.flush()
                    os.fsync(target.fileno())
                Path(temporary).replace(self._root / key)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
            for parent in (folder, folder.parent, self._root):
                sync_folder(parent)
        except OSError as error:
            raise TierError(f"tier {self.name}: {key}: {error.strerror or error}") from error

    def read(self, key: str) -> Iterator[bytes]:
        """Yield the object's bytes."""
        try:
            with (self._root / key).open("rb") as file:
                while chunk := file.read(_CHUNK_BYTES):
                    yield chunk
        except FileNotFoundError:
            raise MissingObjectError(f"tier {self.name}: {key} is missing") from None
        except OSError as error:
            raise TierError(f"tier {self.name}: {key}: {error.strerror or error}") from error

    def list(self, prefix: str) -> list[str]:
        """Return the keys; a folder that is not there is an unreachable tier, not an empty one."""
        if not self._root.is_dir():
            raise TierError(f"tier {self.name}: {self._root} is no folder (not mounted?)")
        keys = (
            str(path.relative_to(self._root))
            for path in self._root.rglob("*")
            if path.is_file() and not path.name.startswith(_TEMPORARY)
        )
        return sorted(key for key in keys if key.startswith(prefix))

    def _refuse_when_full(self, size_bytes: int) -> None:
        free = shutil.disk_usage(self._root).free
        if free - size_bytes < self._minimum_free_bytes:
            raise TierError(
                f"tier {self.name}: {free} bytes free at {self._root}; {size_bytes} are needed "
                f"and {self._minimum_free_bytes} must stay free (minimum_free_bytes)"
            )
