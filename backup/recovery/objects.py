"""The objects of a recovery point into a folder; a chain of backups becomes one data folder."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from backup.manifest import INCREMENTAL, Manifest, ObjectRecord
from backup.parents import major
from backup.progress import Progress
from backup.recovery.bases import chain_of
from backup.recovery.redis_files import write_redis_folder
from backup.restore import Times, place_of, restore_object
from backup.settings import BackupSettings
from backup.sources.base_backup import major_of
from backup.tiers.tier import Tier
from storewatch.core.errors import BackupError
from storewatch.store.postgres_programs import find_postgres

_POSTGRES, _REDIS = "postgres", "redis"  # as a manifest names its sources
_CHAIN = ".chain"


def restore_objects(
    settings: BackupSettings,
    tier: Tier,
    manifest: Manifest,
    folder: Path,
    identity: Any,
    times: Times,
    progress: Progress,
) -> None:
    """Restore every object.

    Raises:
        BackupError: one is missing, damaged or not for this identity.
    """
    for one in manifest.objects:
        restore_one(settings, tier, manifest, one, folder, identity, times, progress)


def restore_one(
    settings: BackupSettings,
    tier: Tier,
    manifest: Manifest,
    one: ObjectRecord,
    folder: Path,
    identity: Any,
    times: Times,
    progress: Progress,
) -> None:
    """Restore one object; an incremental base backup with all that it builds on.

    Raises:
        BackupError: it is missing, damaged or not for this identity, or its chain is unusable.
    """
    if one.source == _REDIS:
        restore_object(tier, manifest, one, folder, identity, times, progress)
        write_redis_folder(place_of(one, folder), manifest.sources[_REDIS])
        return
    if manifest.kind != INCREMENTAL or one.source != _POSTGRES:
        restore_object(tier, manifest, one, folder, identity, times, progress)
        return
    program = _program(settings, manifest)
    scratch = folder / _CHAIN
    scratch.mkdir(mode=0o700)
    try:
        parts: list[Path] = []
        for number, link in enumerate(chain_of(tier, manifest)):
            place = scratch / str(number)
            place.mkdir(mode=0o700)
            record = link.record(one.name)
            restore_object(tier, link, record, place, identity, times, progress)
            parts.append(place_of(record, place))
        _combine(program, parts, place_of(one, folder), progress)
    finally:
        shutil.rmtree(scratch)


def _program(settings: BackupSettings, manifest: Manifest) -> Path:
    source = settings.sources.postgres
    programs = find_postgres(source.bin if source else None, settings.programs_cache)
    program = programs / "pg_combinebackup"
    theirs, ours = major(manifest.sources[_POSTGRES]["version"]), major_of(program)
    if theirs != ours:
        raise BackupError(
            f"{manifest.id} is of PostgreSQL {theirs}, the programs in {programs} are of {ours}; "
            f"set sources.postgres.bin to the bin folder of PostgreSQL {theirs}"
        )
    return program


def _combine(program: Path, parts: list[Path], place: Path, progress: Progress) -> None:
    """Make one data folder; files that need no putting together are linked, not copied."""
    progress("combine postgres", 0, None)
    done = subprocess.run(
        [str(program), "--link", f"--output={place}", *map(str, parts)],
        capture_output=True,
        text=True,
        errors="replace",
        env={**os.environ, "LC_ALL": "C"},
        check=False,
    )
    if done.returncode:
        line = (done.stderr.strip().splitlines() or ["it failed without a message"])[-1]
        raise BackupError(f"pg_combinebackup: {line}")
