"""Recovery points of any age, small and whole, straight into tiers."""

import hashlib
import os
import secrets
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from backup_house import House

from backup.deliver import key_of
from backup.manifest import FILE_NAME, FULL, Manifest, ObjectRecord
from backup.settings import BackupSettings
from backup.tiers.registry import open_tier
from backup.tiers.settings import FolderTierSettings
from storewatch.core.clock import utc_now

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
DAY = timedelta(days=1)
MEBIBYTE = 1 << 20


def id_at(moment: datetime) -> str:
    """Return a ULID of a moment."""
    number = int(moment.timestamp() * 1000) << 80 | secrets.randbits(80)
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def put_point(
    settings: BackupSettings,
    at: datetime,
    tiers: tuple[str, ...] = ("local",),
    *,
    kind: str = FULL,
    parent: str = "",
    size: int = 1000,
    sources: dict[str, Any] | None = None,
    content: bytes = b"",
    **changed: Any,
) -> Manifest:
    """Put a recovery point of two objects into tiers, as a backup of that moment would have."""
    at = at.replace(microsecond=at.microsecond // 1000 * 1000)  # as a manifest tells it
    identifier = changed.pop("id", id_at(at))
    contents = {"a.tar": content or os.urandom(size), "b.rdb": os.urandom(size // 2)}
    objects = tuple(
        ObjectRecord(name, "files", len(c), "0" * 64, len(c), hashlib.sha256(c).hexdigest())
        for name, c in contents.items()
    )
    manifest = Manifest(
        identifier, settings.subject, at, at + timedelta(seconds=1), objects, sources or {},
        changed.pop("problems", ()), kind, parent, **changed,
    )  # fmt: skip
    contents = {one.stored_name: contents[one.name] for one in objects}
    contents[FILE_NAME] = manifest.to_bytes()
    for tier in settings.tiers:
        if tier.name in tiers:
            for name, content in contents.items():
                store(settings, tier, key_of(manifest, name), content)
    return manifest


def store(settings: BackupSettings, tier: Any, key: str, content: bytes) -> None:
    """Write a file without waiting for the disk, or put an object."""
    if isinstance(tier, FolderTierSettings):
        (tier.path / key).parent.mkdir(parents=True, exist_ok=True)
        (tier.path / key).write_bytes(content)
        return
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        open_tier(settings, tier.name).put(key, Path(file.name), lambda _done: None)


def points_of(house: House, *ages: float, tiers: tuple[str, ...] = ("local",)) -> list[Manifest]:
    """Put recovery points of some ages in days."""
    return [put_point(house.settings, utc_now() - age * DAY, tiers) for age in ages]


def with_lsn(number: int) -> dict[str, Any]:
    """Return the sources of a base backup that begins in a mebibyte of WAL."""
    return {"postgres": {"system_identifier": "77", "start_lsn": f"0/{number * MEBIBYTE + 40:X}"}}
