"""Bring a recovery point back from a tier: fetch, verify, decrypt, unpack."""

import hashlib
import os
import shutil
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from backup.catalogue import newest_in, read_manifest
from backup.deliver import compare, key_of
from backup.errors import DamagedError, DecryptionError
from backup.keys import load_identity
from backup.manifest import Manifest, ObjectRecord
from backup.progress import Progress, silent
from backup.seal import CHUNK_BYTES, Plain, opened
from backup.settings import BackupSettings
from backup.tiers.registry import open_tier
from backup.tiers.tier import Tier
from storewatch.core.errors import BackupError, UsageError

_ARCHIVE = ".tar"


@dataclass(slots=True)
class Times:
    """Seconds spent; their sum is the time from the first byte to unpacked files.

    Attributes:
        fetch_s: reading from the tier, hashing, writing the sealed bytes.
        decrypt_s: waiting for decryption and decompression.
        restore_s: writing the plain files.
    """

    fetch_s: float = 0.0
    decrypt_s: float = 0.0
    restore_s: float = 0.0


def restore(
    settings: BackupSettings,
    tier: str,
    target: Path,
    identifier: str | None = None,
    progress: Progress = silent,
) -> Manifest:
    """Restore a recovery point (the newest of the tier without an id) into an empty folder.

    PostgreSQL's data folder becomes `postgres`, Redis' snapshot `redis.rdb`, each folder of files
    `files-<name>` with its listing `files-<name>.sha256` (sha256sum -c) beside it. Nothing is
    started.

    Raises:
        UsageError: the target is not empty, the tier unknown, the identity not there.
        BackupError: the copy is missing, damaged or not for this identity.
    """
    refuse_occupied(target)
    identity = load_identity(settings.identity_file)
    opened_tier = open_tier(settings, tier)
    manifest = (
        newest_in(opened_tier, settings.subject)
        if identifier is None
        else read_manifest(opened_tier, settings.subject, identifier)
    )
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    for one in manifest.objects:
        restore_object(opened_tier, manifest, one, target, identity, Times(), progress)
    return manifest


def refuse_occupied(target: Path) -> None:
    """Make sure that nothing is overwritten.

    Raises:
        UsageError: the target is a file or holds something.
    """
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
    """Fetch one object, verify it, unpack it; the sealed bytes are gone afterwards.

    Raises:
        BackupError: it is missing, damaged, or not for this identity; tier and object are named.
    """
    sealed = target / f".{one.stored_name}"
    try:
        begun = time.monotonic()
        fetch(tier, manifest, one, sealed, progress)
        times.fetch_s += time.monotonic() - begun
        begun = time.monotonic()
        waited_s = unpack(tier, manifest, one, sealed, place_of(one, target), identity, progress)
        times.decrypt_s += waited_s
        times.restore_s += time.monotonic() - begun - waited_s
    finally:
        sealed.unlink(missing_ok=True)


def fetch(
    tier: Tier, manifest: Manifest, one: ObjectRecord, destination: Path, progress: Progress
) -> None:
    """Copy a sealed object to a file and verify its size and SHA-256.

    Raises:
        BackupError: it is missing, damaged or cannot be read.
    """
    seen, size_bytes = hashlib.sha256(), 0
    with destination.open("xb") as file:
        for chunk in tier.read(key_of(manifest, one.stored_name)):
            file.write(chunk)
            seen.update(chunk)
            size_bytes += len(chunk)
            progress(f"fetch {one.name}", size_bytes, one.stored_bytes)
    compare(tier.name, manifest, one, size_bytes, seen.hexdigest())


def unpack(
    tier: Tier,
    manifest: Manifest,
    one: ObjectRecord,
    sealed: Path,
    place: Path,
    identity: Any,
    progress: Progress,
) -> float:
    """Open a sealed file and unpack it.

    Returns:
        seconds spent waiting for decryption and decompression.

    Raises:
        BackupError: the identity does not fit, or the content is not what was captured.
    """
    where = f"tier {tier.name}: {key_of(manifest, one.stored_name)}"
    with sealed.open("rb") as file, _named(where), opened(file, identity) as plain:
        watch: Callable[[], None] = lambda: progress(  # noqa: E731 - one expression, used twice
            f"unpack {one.name}", plain.size_bytes, one.plain_bytes
        )
        if one.name.endswith(_ARCHIVE):
            _extract(plain, place, watch)
        else:
            with place.open("xb") as restored:
                shutil.copyfileobj(plain, restored, CHUNK_BYTES)
        while plain.read(CHUNK_BYTES):  # the padding behind the archive is part of the hash
            watch()
        if (plain.size_bytes, plain.sha256) != (one.plain_bytes, one.plain_sha256):
            raise DamagedError("its plain bytes are not the captured ones")
        return plain.waited_s


def _extract(plain: Plain, place: Path, watch: Callable[[], None]) -> None:
    """Unpack files and folders below the place and nothing else.

    Stricter than tarfile's `filter="data"`, which Python before 3.11.4 (Debian 12) does not have:
    no links, no devices, and a file never replaces another one.
    """
    place.mkdir(mode=0o700)
    with tarfile.open(fileobj=plain, mode="r|", bufsize=CHUNK_BYTES) as archive:
        for member in archive:
            _extract_member(archive, member, place)
            archive.members.clear()  # type: ignore[attr-defined]  # tarfile keeps all
            watch()


def _extract_member(archive: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> None:
    inside = PurePosixPath(member.name)
    if inside.is_absolute() or ".." in inside.parts:
        raise DamagedError(f"the archive has {member.name!r}, which leads out of its folder")
    path = place / inside
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(member.mode & 0o755 | 0o700)
    elif member.isreg():
        content = archive.extractfile(member)
        assert content is not None
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            shutil.copyfileobj(content, file, CHUNK_BYTES)
            os.fchmod(file.fileno(), member.mode & 0o755 | 0o600)
        os.utime(path, (member.mtime, member.mtime))
    else:
        raise DamagedError(f"the archive has {member.name!r}, which is no file and no folder")


@contextmanager
def _named(where: str) -> Iterator[None]:
    try:
        yield
    except (DecryptionError, DamagedError) as error:
        raise type(error)(f"{where}: {error}") from None
    except (tarfile.TarError, OSError) as error:
        raise BackupError(f"{where} cannot be unpacked: {error}") from error
