"""Make one recovery point of all sources and bring it to all tiers."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from backup.capture import Capture
from backup.catalogue import read_manifest
from backup.deliver import Delivery, deliver
from backup.errors import one_line
from backup.keys import load_recipients
from backup.manifest import FILE_NAME, FULL, LOGICAL, Manifest
from backup.parents import Parent, Parents, major
from backup.progress import Progress, one_at_a_time, silent
from backup.recovery.bases import Base, chain_of
from backup.settings import BackupSettings
from backup.sources.base_backup import MANIFEST as BACKUP_MANIFEST
from backup.sources.registry import open_dump, open_sources
from backup.sources.source import Source
from backup.spool import spool
from backup.tiers.registry import open_tiers
from backup.wal.names import format_lsn
from storewatch.core.clock import rfc3339
from storewatch.core.errors import BackupError, UsageError
from storewatch.core.evidence import Evidence, Measurement, new_id
from storewatch.core.names import BYTES
from storewatch.core.targets import Target, Verdict
from storewatch.store.evidence import EvidenceDraft, EvidenceStore
from storewatch.store.files import write_atomic


@dataclass(slots=True)
class _Outcome:
    """What a run can say for itself, whole or not."""

    manifest: Manifest | None = None
    deliveries: list[Delivery] = field(default_factory=list)
    capture_s: float | None = None
    deliver_s: float | None = None


def run_backup(
    settings: BackupSettings, evidence: EvidenceStore, progress: Progress = silent
) -> Evidence:
    """Capture, seal, deliver and verify one recovery point.

    A backup that fails is evidence too: FAIL, with the reason in its notes. It passes only when
    every tier holds a copy that was read back whole, and nothing is missing from it.

    Args:
        settings: of the package.
        evidence: where the record goes.
        progress: told of bytes.

    Raises:
        UsageError: the settings cannot work (no recipients).
        BackupError: another backup is running.
    """

    def sources(folder: Path) -> list[Source]:
        return open_sources(settings, folder, lambda one: _lacking(settings, one))

    return _run(settings, evidence, settings.subject, sources, FULL, progress)


def run_dump(
    settings: BackupSettings, evidence: EvidenceStore, progress: Progress = silent
) -> Evidence:
    """Make one logical dump of the database, with roles, and deliver it like a recovery point.

    Args:
        settings: of the package.
        evidence: where the record goes.
        progress: told of bytes.

    Raises:
        UsageError: there is no source `postgres`, or no recipients.
        BackupError: another backup is running.
    """
    if settings.sources.postgres is None:
        raise UsageError("backup.sources.postgres is not set; there is nothing to dump")

    def sources(folder: Path) -> list[Source]:
        return [open_dump(settings, folder)]

    subject = f"{settings.subject}/dump"
    return _run(settings, evidence, subject, sources, LOGICAL, progress)


def _run(
    settings: BackupSettings,
    evidence: EvidenceStore,
    subject: str,
    sources: Callable[[Path], list[Source]],
    kind: str,
    progress: Progress,
) -> Evidence:
    recipients = load_recipients(settings)
    identifier = new_id()
    report = one_at_a_time(progress)
    with spool(settings.spool, identifier, settings.minimum_free_bytes) as lent:
        draft = evidence.open("backup", subject)
        outcome = _Outcome()
        try:
            begun = time.monotonic()
            capture = Capture(settings, lent, recipients, report)
            outcome.manifest = capture.run(identifier, sources(lent.folder), kind)
            outcome.capture_s = time.monotonic() - begun
            content = outcome.manifest.to_bytes()
            write_atomic(lent.folder / FILE_NAME, content)
            begun = time.monotonic()
            tiers = open_tiers(settings)
            outcome.deliveries = deliver(tiers, outcome.manifest, lent.folder, report)
            outcome.deliver_s = time.monotonic() - begun
            if not any(one.error for one in outcome.deliveries):
                _keep_parent(settings, outcome.manifest, lent.folder)
            write_atomic(draft.folder / FILE_NAME, content)
        except Exception as error:  # noqa: BLE001 - a backup that breaks off is a failed backup
            return _finish(settings, draft, outcome, f"backup failed: {one_line(error)}")
        return _finish(settings, draft, outcome)


def _lacking(settings: BackupSettings, identifier: str) -> str:
    """Tell what keeps a recovery point from being built on; empty when nothing does."""
    for tier in open_tiers(settings):
        try:
            chain_of(tier, read_manifest(tier, settings.subject, identifier))
        except BackupError as error:
            return one_line(error)
    return ""


def _keep_parent(settings: BackupSettings, manifest: Manifest, folder: Path) -> None:
    """Remember a base backup that every tier holds, for the next one to build on."""
    base = Base.of(manifest)
    if base is None:
        return
    parents, finished = Parents(settings.spool), rfc3339(manifest.finished_at)
    known = parents.newest()
    full_at = known.full_at if manifest.parent and known else finished
    version = major(manifest.sources["postgres"]["version"])
    stop = format_lsn(base.stop)
    parent = Parent(
        manifest.id, manifest.parent, finished, full_at, base.system_identifier, base.timeline,
        stop, version,
    )  # fmt: skip
    parents.keep(parent, folder / BACKUP_MANIFEST)


def _finish(
    settings: BackupSettings, draft: EvidenceDraft, outcome: _Outcome, failure: str = ""
) -> Evidence:
    manifest = outcome.manifest
    verified = [one.tier for one in outcome.deliveries if not one.error]
    notes = [failure] if failure else []
    if manifest is not None:
        held_by = ", ".join(verified) or "no tier"
        notes.append(f"recovery point {manifest.id}, verified in {held_by}")
        if reason := manifest.sources.get("postgres", {}).get("full_because"):
            notes.append(f"full: {reason}")
        notes.extend(manifest.sources.get("postgres", {}).get("not_compared", []))
        if manifest.sources.get("dump", {}).get("role_passwords") is False:
            notes.append("dump: roles without passwords, the role may not read them")
        if manifest.parent:
            notes.append(f"incremental: builds on {manifest.parent}")
        notes.extend(f"partial: {problem}" for problem in manifest.problems)
    notes.extend(f"degraded: {one.error}" for one in outcome.deliveries if one.error)
    not_copied = len(manifest.problems) if manifest else None
    tables = manifest.sources.get("postgres", {}).get("tables", []) if manifest else []
    measurements = [
        Measurement("tiers_verified", len(verified), "tiers", Target("=", len(settings.tiers))),
        Measurement("not_copied", not_copied, "files", Target("=", 0)),
        Measurement(BYTES, manifest.plain_bytes if manifest else None, "bytes"),
        Measurement("stored_bytes", manifest.stored_bytes if manifest else None, "bytes"),
        Measurement("rows_recorded", sum(t["rows"] for t in tables) if manifest else None, "rows"),
        Measurement("capture_s", _rounded(outcome.capture_s), "s"),
        Measurement("deliver_s", _rounded(outcome.deliver_s), "s"),
    ]
    return draft.finish(measurements, notes, [Verdict.FAIL] if failure else [])


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
