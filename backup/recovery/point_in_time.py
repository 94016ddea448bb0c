"""Restore to a recovery point, or to a moment between two: base backup, then WAL."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backup.catalogue import newest_in, read_manifest
from backup.keys import load_identity
from backup.manifest import LOGICAL, Manifest
from backup.progress import Progress, silent
from backup.recovery.bases import Base, read_bases
from backup.recovery.objects import restore_objects
from backup.recovery.plan import Plan, Planner, only
from backup.recovery.refusals import refuse_production, refuse_target
from backup.recovery.server_files import WAL_FOLDER, write_recovery
from backup.recovery.target import RecoveryTarget
from backup.recovery.timelines import find_route
from backup.recovery.wal_fetch import WalReader
from backup.recovery.waldump import WalDump
from backup.restore import Times, unfinished
from backup.settings import BackupSettings
from backup.tiers.registry import open_tier
from backup.tiers.tier import Tier
from backup.wal.archive import read_archive
from storewatch.core.errors import BackupError, UsageError
from storewatch.store.postgres_programs import find_postgres

POSTGRES_FOLDER = "postgres"


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore brought back.

    Attributes:
        manifest: of the recovery point that it began with.
        target: what was asked for; None for the recovery point itself.
        segments: WAL segments that were fetched.
        timeline: that PostgreSQL follows; None without PostgreSQL.
    """

    manifest: Manifest
    target: RecoveryTarget | None
    segments: int = 0
    timeline: int | None = None


def restore_to(
    settings: BackupSettings,
    tier: str,
    folder: Path,
    target: RecoveryTarget | None = None,
    point: str | None = None,
    port: int | None = None,
    progress: Progress = silent,
) -> Restored:
    """Restore into an empty folder; PostgreSQL recovers to the target when it is started.

    Args:
        settings: of the package.
        tier: where to fetch from.
        folder: new or empty.
        target: None for the recovery point itself.
        point: id of a recovery point; the newest one before the target without it.
        port: that the restored PostgreSQL will listen on; None for drill.port.
        progress: told of bytes.

    Raises:
        UsageError: folder or port are not free for this, or the target lies outside of what there
            is; the line says what there is.
        BackupError: something that is needed is missing or damaged, by name.
    """
    port = settings.drill.port if port is None else port
    refuse_target(settings, folder, port)
    identity = load_identity(settings.identity_file)
    opened = open_tier(settings, tier)
    with _whole_or_empty(folder):
        return _restore(settings, opened, folder, target, point, port, identity, progress)


@contextmanager
def _whole_or_empty(folder: Path) -> Iterator[None]:
    """Make the folder; leave nothing in it when something fails."""
    new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with unfinished(folder):
            yield
    except BaseException:
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if new:
            folder.rmdir()
        raise


def _restore(
    settings: BackupSettings,
    opened: Tier,
    folder: Path,
    target: RecoveryTarget | None,
    point: str | None,
    port: int,
    identity: Any,
    progress: Progress,
) -> Restored:
    if target is None:
        return _point(settings, opened, folder, point, port, identity, progress)
    bases, problems = read_bases(opened, settings.subject)
    chosen = only(bases, point) if point else bases
    if not chosen:
        why = f" ({problems[0]})" if problems else ""
        raise BackupError(
            f"tier {opened.name} holds no usable base backup of {settings.subject}{why}; "
            "run `storewatch backup run`"
        )
    refuse_production(chosen[-1].manifest, folder)
    plan = _plan(settings, opened, chosen, folder, identity, target, progress)
    manifest = plan.base.manifest
    restore_objects(settings, opened, manifest, folder, identity, Times(), progress)
    data = folder / POSTGRES_FOLDER
    write_recovery(data, plan.target, plan.route.timeline, port)
    return Restored(manifest, target, len(plan.segments), plan.route.timeline)


def _point(
    settings: BackupSettings,
    tier: Tier,
    folder: Path,
    identifier: str | None,
    port: int,
    identity: Any,
    progress: Progress,
) -> Restored:
    """Restore a recovery point as it is."""
    if identifier is None:
        manifest = newest_in(tier, settings.subject)
    else:
        manifest = read_manifest(tier, settings.subject, identifier)
    if manifest.kind == LOGICAL:
        raise UsageError(f"{manifest.id} is a logical dump; restore it with --dump {manifest.id}")
    refuse_production(manifest, folder)
    restore_objects(settings, tier, manifest, folder, identity, Times(), progress)
    base = Base.of(manifest)
    data = folder / POSTGRES_FOLDER
    if data.is_dir():
        write_recovery(data, None, None, port)
    return Restored(manifest, None, 0, base.timeline if base else None)


def _plan(
    settings: BackupSettings,
    tier: Tier,
    bases: list[Base],
    folder: Path,
    identity: Any,
    target: RecoveryTarget,
    progress: Progress,
) -> Plan:
    newest = bases[-1]
    archive = read_archive(tier, settings.subject, newest.system_identifier)
    if archive.problems:
        raise BackupError(archive.problems[0])
    reader = WalReader(tier, settings.subject, archive, newest.segment_bytes, identity)
    same = [one for one in bases if one.system_identifier == newest.system_identifier]
    route = find_route(reader, [one.timeline for one in same])
    wal = folder / WAL_FOLDER
    wal.mkdir(mode=0o700)
    reader.fetch_histories(wal)
    source = settings.sources.postgres
    programs = find_postgres(source.bin if source else None, settings.programs_cache)
    dump = WalDump(programs / "pg_waldump", wal, newest.segment_bytes)
    return Planner(same, route, reader, wal, dump, progress).plan(target)
