"""Carry sealed objects from one tier to another through the spool."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from backup.progress import Progress
from backup.tiers.tier import Tier

_CHUNK_BYTES = 1 << 20


@dataclass(slots=True)
class Outcome:
    """What a sync of one tier did.

    Attributes:
        copied: recovery points brought whole.
        objects: brought, of recovery points and of WAL.
        moved_bytes: of them.
        lacking: what could not be brought, one line each.
        notes: what a person should know.
        differing: ids whose manifests are not the same in two tiers.
    """

    copied: list[str] = field(default_factory=list)
    objects: int = 0
    moved_bytes: int = 0
    lacking: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)


class Carrier:
    """Fetches from any tier and puts into one.

    Args:
        target: where to.
        folder: for what is under way; a killed run's parts are gone on with.
        done: counted there.
        progress: told of bytes.
    """

    def __init__(self, target: Tier, folder: Path, done: Outcome, progress: Progress) -> None:
        self.target, self.done = target, done
        self._folder, self._progress = folder, progress

    def part(self, key: str) -> Path:
        """Return the file of an object under way."""
        return self._folder / key.replace("/", "+")

    def forget(self, key: str) -> None:
        """Remove what is under way of an object."""
        self.part(key).unlink(missing_ok=True)

    def fetch(self, source: Tier, key: str, size_bytes: int) -> tuple[Path, str]:
        """Fetch an object; what a killed run fetched of it is not fetched again.

        Returns:
            its file and the SHA-256 of what is in it.

        Raises:
            BackupError: it is missing or the tier cannot be read.
        """
        file, seen = self.part(key), hashlib.sha256()
        label = f"from {source.name}: {key.rsplit('/', 1)[-1]}"
        with file.open("a+b") as part:
            part.seek(0)
            while chunk := part.read(_CHUNK_BYTES):
                seen.update(chunk)
            if (begin := part.tell()) < size_bytes:
                for chunk in source.read(key, begin):
                    part.write(chunk)
                    seen.update(chunk)
                    self._progress(label, part.tell(), size_bytes)
        return file, seen.hexdigest()

    def put(self, key: str, file: Path) -> None:
        """Put a file and remove it.

        Raises:
            TierError: the tier cannot be written.
        """
        size = file.stat().st_size
        label = f"to {self.target.name}: {key.rsplit('/', 1)[-1]}"
        self.target.put(key, file, lambda done: self._progress(label, done, size))
        file.unlink()
        self.done.objects += 1
        self.done.moved_bytes += size
