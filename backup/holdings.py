"""What one tier holds of a subject, read once: manifests, pins, WAL, what belongs to nothing."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from backup.errors import DamagedError, TierError
from backup.manifest import FILE_NAME, Manifest
from backup.retention import Point, id_time
from backup.tiers.lease import FOLDER as LEASES
from backup.tiers.tier import Entry, Tier
from backup.wal.names import FOLDER as WAL
from storewatch.core.errors import BackupError

PIN_NAME = "pin.json"
_MAX_MANIFEST_BYTES = 64 << 20


@dataclass(slots=True)
class Holdings:
    """One listing of a tier, understood.

    Attributes:
        manifests: whole ones by id.
        damaged: ids whose manifest cannot be read or is not ours, with the reason.
        pins: reasons by id.
        files: entries by id; without the manifest's own.
        wal: entries below `wal/`.
        foreign: keys that no part of storewatch writes.
    """

    manifests: dict[str, Manifest] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)
    pins: dict[str, str] = field(default_factory=dict)
    files: dict[str, list[Entry]] = field(default_factory=dict)
    wal: list[Entry] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    @property
    def unfinished(self) -> dict[str, list[Entry]]:
        """Objects by id that have no manifest: a backup under way, or one that broke off."""
        with_manifest = self.manifests.keys() | self.damaged.keys()
        return {i: files for i, files in self.files.items() if i not in with_manifest}

    def points(self, tier: Tier | None = None) -> list[Point]:
        """Return what retention judges; with the tier, ask it what it refuses to delete."""
        return [
            Point.of(one, self.pins.get(one.id, ""), _locked(tier, one) if tier else None)
            for one in self.manifests.values()
        ]


def _locked(tier: Tier, manifest: Manifest) -> datetime | None:
    """Return until when a tier keeps a recovery point; its manifest was written last."""
    return tier.immutable_until(f"{manifest.subject}/{manifest.id}/{FILE_NAME}")


def read_holdings(tier: Tier, subject: str) -> Holdings:
    """List a tier and read its manifests and pins.

    Raises:
        TierError: the tier cannot be read.
    """
    held = Holdings()
    for entry in tier.entries(f"{subject}/"):
        parts = entry.key.split("/")[1:]
        if parts[0] == WAL:
            held.wal.append(entry)
        elif parts[0] == LEASES:
            continue
        elif len(parts) != 2 or id_time(parts[0]) is None:
            held.foreign.append(entry.key)
        elif parts[1] == FILE_NAME:
            _take_manifest(held, tier, subject, parts[0])
        else:
            held.files.setdefault(parts[0], []).append(entry)
            if parts[1] == PIN_NAME:
                held.pins[parts[0]] = _reason(tier, entry.key)
    return held


def _take_manifest(held: Holdings, tier: Tier, subject: str, identifier: str) -> None:
    try:
        held.manifests[identifier] = read_manifest(tier, subject, identifier)
    except TierError:
        raise
    except BackupError as error:
        held.damaged[identifier] = str(error)


def _reason(tier: Tier, key: str) -> str:
    """Return why somebody pinned it; a pin that cannot be read is a pin all the same."""
    try:
        return str(json.loads(b"".join(tier.read(key)))["reason"])
    except (BackupError, ValueError, KeyError, TypeError):
        return "its pin cannot be read"


def read_manifest(tier: Tier, subject: str, identifier: str) -> Manifest:
    """Read one manifest.

    Raises:
        DamagedError: it is truncated, edited, or another's.
        MissingObjectError: there is none.
        TierError: the tier cannot be read.
    """
    key = f"{subject}/{identifier}/{FILE_NAME}"
    where = f"tier {tier.name}: {key}"
    try:
        manifest = Manifest.from_bytes(_limited(tier.read(key)))
    except DamagedError as error:
        raise DamagedError(f"{where}: {error}") from None
    if (manifest.subject, manifest.id) != (subject, identifier):
        raise DamagedError(f"{where}: manifest of {manifest.subject}/{manifest.id}")
    return manifest


def _limited(chunks: Iterable[bytes]) -> bytes:
    content = bytearray()
    for chunk in chunks:
        content += chunk
        if len(content) > _MAX_MANIFEST_BYTES:
            raise DamagedError(f"manifest is larger than {_MAX_MANIFEST_BYTES} bytes")
    return bytes(content)
