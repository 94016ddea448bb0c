"""The folder in which sealed objects wait for the tiers. One run at a time uses it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storewatch.core.errors import BackupError
from storewatch.store.lock import held

_LOCK = "lock"
_KEPT = (
    _LOCK,
    "wal",
    "parents",
    "state",
    "sync",
)  # of the WAL archiver; manifests that increments build on
_GUARD_EVERY_BYTES = 64 << 20


class Spool:
    """A folder of this run alone.

    Args:
        folder: of this run.
        minimum_free_bytes: what must stay free on its file system.
    """

    def __init__(self, folder: Path, minimum_free_bytes: int) -> None:
        self.folder = folder
        self._minimum_free_bytes = minimum_free_bytes
        self._checked_bytes = 0

    def guard(self, written_bytes: int) -> None:
        """Stop before the disk is full.

        Raises:
            BackupError: less than the minimum is free.
        """
        if written_bytes and abs(written_bytes - self._checked_bytes) < _GUARD_EVERY_BYTES:
            return
        self._checked_bytes = written_bytes
        free = shutil.disk_usage(self.folder).free
        if free < self._minimum_free_bytes:
            raise BackupError(
                f"spool {self.folder.parent}: {free} bytes free, {self._minimum_free_bytes} must "
                "stay free (minimum_free_bytes); make room or name another spool"
            )


@contextmanager
def spool(root: Path, identifier: str, minimum_free_bytes: int) -> Iterator[Spool]:
    """Lend the spool to one run: clear what a killed run left, and leave nothing.

    Raises:
        BusyError: another run holds it.
        BackupError: it is too full.
    """
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with held(root / _LOCK, "a backup"):
        for leftover in root.iterdir():
            if leftover.name not in _KEPT:
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        folder = root / identifier
        folder.mkdir(mode=0o700)
        try:
            lent = Spool(folder, minimum_free_bytes)
            lent.guard(0)
            yield lent
        finally:
            shutil.rmtree(folder, ignore_errors=True)
