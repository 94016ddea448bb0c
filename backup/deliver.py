"""Bring a recovery point to the tiers: put, read back, compare; the manifest last."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from backup.errors import DamagedError, one_line
from backup.manifest import FILE_NAME, Manifest, ObjectRecord
from backup.progress import Progress
from backup.tiers.tier import Tier


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one tier; an empty error means that its copy was read back and is whole."""

    tier: str
    error: str = ""


def key_of(manifest: Manifest, name: str) -> str:
    """Return the key of a file of a recovery point."""
    return f"{manifest.subject}/{manifest.id}/{name}"


def verify_object(tier: Tier, manifest: Manifest, one: ObjectRecord, progress: Progress) -> None:
    """Read an object back from a tier and compare size and SHA-256 with the manifest.

    Raises:
        DamagedError: it is not what was written.
        MissingObjectError: it is not there.
        TierError: the tier cannot be read.
    """
    seen, size_bytes = hashlib.sha256(), 0
    for chunk in tier.read(key_of(manifest, one.stored_name)):
        seen.update(chunk)
        size_bytes += len(chunk)
        progress(f"verify {tier.name}: {one.name}", size_bytes, one.stored_bytes)
    compare(tier.name, manifest, one, size_bytes, seen.hexdigest())


def compare(tier: str, manifest: Manifest, one: ObjectRecord, size: int, sha256: str) -> None:
    where = f"tier {tier}: {key_of(manifest, one.stored_name)} is damaged"
    if size != one.stored_bytes:
        raise DamagedError(f"{where}: {size} bytes instead of {one.stored_bytes}")
    if sha256 != one.stored_sha256:
        raise DamagedError(f"{where}: SHA-256 {sha256[:16]} instead of {one.stored_sha256[:16]}")


def deliver(
    tiers: Sequence[Tier], manifest: Manifest, folder: Path, progress: Progress
) -> list[Delivery]:
    """Copy everything to every tier at once; a tier that fails does not hold up the others.

    The manifests are written when all objects are in their places and verified: a run that is
    killed before leaves nothing that counts.

    Args:
        tiers: where to.
        manifest: what.
        folder: with the sealed objects and the manifest.
        progress: safe for threads.
    """
    with ThreadPoolExecutor(max_workers=len(tiers), thread_name_prefix="tier") as pool:
        errors = list(pool.map(lambda t: _objects(t, manifest, folder, progress), tiers))
    return [
        Delivery(tier.name, error or _manifest(tier, manifest, folder / FILE_NAME))
        for tier, error in zip(tiers, errors, strict=True)
    ]


def _objects(tier: Tier, manifest: Manifest, folder: Path, progress: Progress) -> str:
    """Put and verify all objects; return what went wrong, empty when nothing did."""
    try:
        for one in manifest.objects:
            label = f"to {tier.name}: {one.name}"
            tier.put(
                key_of(manifest, one.stored_name),
                folder / one.stored_name,
                lambda done, label=label, total=one.stored_bytes: progress(label, done, total),  # type: ignore[misc]
            )
            verify_object(tier, manifest, one, progress)
    except Exception as error:  # noqa: BLE001 - whatever fails one tier must not fail the others
        return one_line(error)
    return ""


def _manifest(tier: Tier, manifest: Manifest, file: Path) -> str:
    """Put and compare the manifest; return what went wrong, empty when nothing did."""
    key = key_of(manifest, FILE_NAME)
    try:
        tier.put(key, file, lambda _done: None)
        whole = b"".join(tier.read(key)) == manifest.to_bytes()
    except Exception as error:  # noqa: BLE001 - whatever fails one tier must not fail the others
        return one_line(error)
    return "" if whole else f"tier {tier.name}: {key} is not what was written"
