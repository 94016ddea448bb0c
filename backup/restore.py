"""Bring one object of a recovery point back from a tier: fetch, verify, decrypt, unpack."""

import io
import shutil
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backup.deliver import key_of, verify_object
from backup.errors import DamagedError, DecryptionError
from backup.manifest import Manifest, ObjectRecord
from backup.progress import Progress
from backup.seal import CHUNK_BYTES
from backup.tiers.tier import Tier
from backup.unseal import opened
from backup.untar import untar
from storewatch.core.errors import BackupError, UsageError
from storewatch.store.files import sync_file_system, sync_folder, write_atomic

_ARCHIVE = ".tar"
UNFINISHED = "RESTORE-NOT-FINISHED"


@dataclass(slots=True)
class Times:
    """Seconds spent; reading, decrypting and writing go on at the same time.

    Attributes:
        fetch_s: reading from the tier.
        decrypt_s: waiting for plain bytes: fetch, decryption and decompression, as far as they
            take longer than writing.
        restore_s: writing the plain files.
    """

    fetch_s: float = 0.0
    decrypt_s: float = 0.0
    restore_s: float = 0.0


@contextmanager
def unfinished(target: Path) -> Iterator[None]:
    """Mark a folder as not finished until the end, so that a killed restore never looks whole."""
    marker = target / UNFINISHED
    write_atomic(marker, b"A restore into this folder has not ended: do not use what is here.\n")
    yield
    sync_file_system(target)
    marker.unlink()
    sync_folder(target)


def refuse_occupied(target: Path) -> None:
    """Make sure that nothing is overwritten.

    Raises:
        UsageError: the target is a file or holds something.
    """
    if (target / UNFINISHED).exists():
        raise UsageError(
            f"{target} holds a restore that was broken off ({UNFINISHED}); remove it or name a new "
            "folder"
        )
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target} is not empty; a restore needs a new or an empty folder")


def place_of(one: ObjectRecord, target: Path) -> Path:
    """Return where an object is restored to: a folder for an archive, else a file."""
    return target / one.name.removesuffix(_ARCHIVE)


def restore_object(
    tier: Tier,
    manifest: Manifest,
    one: ObjectRecord,
    target: Path,
    identity: Any,
    times: Times,
    progress: Progress,
) -> None:
    """Fetch one object, open it and unpack it in one pass; what fails leaves nothing behind.

    Raises:
        BackupError: it is missing, damaged, or not for this identity; tier and object are named.
    """
    place = place_of(one, target)
    begun = time.monotonic()
    fetched = Fetched(tier, manifest, one, progress)
    try:
        waited_s = _unpack(fetched, one, place, identity)
        fetched.end()
    except BaseException as error:
        shutil.rmtree(place, ignore_errors=True) if place.is_dir() else place.unlink(True)
        if isinstance(error, DecryptionError | DamagedError):
            fetched.raise_failure()  # the tier's own failure explains it,
            verify_object(tier, manifest, one, progress)  # or other bytes than those stored
            raise type(error)(f"{fetched.where}: {error}") from None
        if isinstance(error, tarfile.TarError | OSError):
            raise BackupError(f"{fetched.where} cannot be unpacked: {error}") from error
        raise
    times.fetch_s += fetched.took_s
    times.decrypt_s += waited_s
    times.restore_s += time.monotonic() - begun - waited_s


class Fetched(io.RawIOBase):
    """The sealed bytes of an object as they come from a tier.

    Not hashed: age authenticates them, the hash of the plain bytes is compared, and whatever is
    wrong with either has the object read again, by its hash.

    Attributes:
        where: tier and key, for messages.
        took_s: seconds that the tier took.
    """

    def __init__(
        self, tier: Tier, manifest: Manifest, one: ObjectRecord, progress: Progress
    ) -> None:
        self._tier, self._manifest, self._one = tier, manifest, one
        self._progress = progress
        self._chunks = tier.read(key_of(manifest, one.stored_name))
        self._rest = memoryview(b"")
        self._failure: Exception | None = None
        self.where = f"tier {tier.name}: {key_of(manifest, one.stored_name)}"
        self.size_bytes = 0
        self.took_s = 0.0

    def readable(self) -> bool:
        """Say that this file is for reading."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; 0 at the end."""
        if not self._rest:
            self._rest = memoryview(self._next())
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def _next(self) -> bytes:
        begun = time.monotonic()
        try:
            chunk = next(self._chunks, b"")
        except Exception as error:
            self._failure = error
            raise
        self.size_bytes += len(chunk)
        self.took_s += time.monotonic() - begun
        self._progress(f"restore {self._one.name}", self.size_bytes, self._one.stored_bytes)
        return chunk

    def raise_failure(self) -> None:
        """Raise what the tier failed with, if it did."""
        if self._failure is not None:
            raise self._failure

    def end(self) -> None:
        """Read what is left and compare the size with the manifest.

        Raises:
            BackupError: it is missing, longer or shorter, or cannot be read.
        """
        while self._failure is None and self._next():
            pass
        self.raise_failure()
        if self.size_bytes != self._one.stored_bytes:
            raise DamagedError(
                f"{self.where} is damaged: {self.size_bytes} bytes instead of"
                f" {self._one.stored_bytes}"
            )


def _unpack(sealed: Any, one: ObjectRecord, place: Path, identity: Any) -> float:
    """Open a sealed object and unpack it; return the seconds spent waiting for plain bytes."""
    with opened(sealed, identity) as plain:
        if one.name.endswith(_ARCHIVE):
            untar(plain, place)
        else:
            with place.open("xb") as restored:
                shutil.copyfileobj(plain, restored, CHUNK_BYTES)
        while plain.read(CHUNK_BYTES):  # the padding behind the archive is part of the hash
            pass
        if (plain.size_bytes, plain.sha256) != (one.plain_bytes, one.plain_sha256):
            raise DamagedError("its plain bytes are not the captured ones")
        return plain.waited_s
