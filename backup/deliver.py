"""Bring a recovery point to the tiers: put, read back, compare; the manifest last."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from backup.errors import DamagedError, MissingObjectError, TierError, one_line
from backup.manifest import FILE_NAME, Manifest, ObjectRecord
from backup.progress import Progress
from backup.tiers.lease import Lease
from backup.tiers.tier import Tier
from backup.verified import Reading, Verified
from storewatch.core.clock import utc_now

PATIENCE_S = 600.0
"""How long a backup or a sync waits for a prune to end."""


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
    killed before leaves nothing that counts. A lease keeps a prune away meanwhile.

    Args:
        tiers: where to.
        manifest: what.
        folder: with the sealed objects and the manifest; its parent is the spool.
        progress: safe for threads.
    """
    with ExitStack() as leases, ThreadPoolExecutor(len(tiers), "tier") as pool:
        runs = [_Run(tier, manifest, folder, progress, leases) for tier in tiers]
        errors = list(pool.map(lambda run: _told(run.objects), runs))
        return [
            Delivery(run.tier.name, error or _told(run.manifest))
            for run, error in zip(runs, errors, strict=True)
        ]


class _Run:
    """One recovery point on its way to one tier."""

    def __init__(
        self,
        tier: Tier,
        manifest: Manifest,
        folder: Path,
        progress: Progress,
        leases: ExitStack,
    ) -> None:
        self.tier, self._manifest, self._folder = tier, manifest, folder
        self._progress, self._leases = progress, leases
        self._lease = Lease(
            tier, manifest.subject, "a backup", exclusive=False, patience_s=PATIENCE_S
        )
        self._readings: list[Reading] = []

    def objects(self) -> None:
        """Put and verify all objects.

        Raises:
            BackupError: what went wrong.
        """
        self._leases.enter_context(self._lease)
        refuse_other_system(self.tier, self._manifest)
        for one in self._manifest.objects:
            label = f"to {self.tier.name}: {one.name}"
            key = key_of(self._manifest, one.stored_name)
            self.tier.put(
                key,
                self._folder / one.stored_name,
                lambda done, label=label, total=one.stored_bytes: self._progress(
                    label, done, total
                ),  # type: ignore[misc]
            )
            verify_object(self.tier, self._manifest, one, self._progress)
            self._readings.append(Reading(key, one.stored_sha256, utc_now()))

    def manifest(self) -> None:
        """Put and compare the manifest, once nothing can go wrong any more.

        Raises:
            BackupError: what went wrong.
        """
        key = key_of(self._manifest, FILE_NAME)
        if self._manifest.parent:
            self._refuse_orphan()
        self._lease.check()
        self.tier.put(key, self._folder / FILE_NAME, lambda _done: None)
        if b"".join(self.tier.read(key)) != self._manifest.to_bytes():
            raise DamagedError(f"tier {self.tier.name}: {key} is not what was written")
        Verified(self._folder.parent, self.tier.name).add(self._readings)

    def _refuse_orphan(self) -> None:
        """Make sure that what an incremental copy builds on is in this tier, too."""
        parent = f"{self._manifest.subject}/{self._manifest.parent}/{FILE_NAME}"
        if parent not in self.tier.list(parent):
            raise MissingObjectError(
                f"tier {self.tier.name}: {self._manifest.id} builds on {self._manifest.parent}, "
                "which is not there; `storewatch backup sync` brings both"
            )


def refuse_other_system(tier: Tier, manifest: Manifest) -> None:
    """Refuse to mix backups of two database systems: a restore could take the wrong one's WAL.

    Raises:
        DamagedError: the newest recovery point that the tier can tell of is of another system.
    """
    ours = manifest.sources.get("postgres", {}).get("system_identifier")
    prefix = f"{manifest.subject}/"
    try:
        keys = [key for key in tier.list(prefix) if key.endswith(f"/{FILE_NAME}")]
    except TierError:  # a folder tier is made by the first thing that is put
        return
    for key in sorted(keys, reverse=True) if ours else ():
        try:
            other = Manifest.from_bytes(b"".join(tier.read(key)))
        except (DamagedError, MissingObjectError):
            continue
        theirs = other.sources.get("postgres", {}).get("system_identifier")
        if theirs is not None:
            if theirs != ours:
                raise DamagedError(
                    f"tier {tier.name}: {prefix} holds recovery points of system {theirs}, ours is "
                    f"{ours}; name another subject, or move the old ones away"
                )
            return


def _told(work: Callable[[], None]) -> str:
    """Do it; return what went wrong, empty when nothing did."""
    try:
        work()
    except Exception as error:  # noqa: BLE001 - whatever fails one tier must not fail the others
        return one_line(error)
    return ""
