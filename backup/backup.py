"""Make one recovery point of all sources and bring it to all tiers."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from backup.deliver import Delivery, deliver
from backup.errors import one_line
from backup.keys import load_recipients
from backup.manifest import FILE_NAME, Manifest, ObjectRecord
from backup.progress import Progress, one_at_a_time, silent
from backup.seal import Sink, sealing
from backup.settings import BackupSettings
from backup.sources.registry import open_sources
from backup.spool import Spool, spool
from backup.tiers.registry import open_tiers
from storewatch.core.clock import utc_now
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
    recipients = load_recipients(settings)
    identifier = new_id()
    report = one_at_a_time(progress)
    with spool(settings.spool, identifier, settings.minimum_free_bytes) as lent:
        draft = evidence.open("backup", settings.subject)
        outcome = _Outcome()
        try:
            begun = time.monotonic()
            capture = _Capture(settings, lent, recipients, report)
            outcome.manifest = capture.run(identifier)
            outcome.capture_s = time.monotonic() - begun
            content = outcome.manifest.to_bytes()
            write_atomic(lent.folder / FILE_NAME, content)
            begun = time.monotonic()
            tiers = open_tiers(settings)
            outcome.deliveries = deliver(tiers, outcome.manifest, lent.folder, report)
            outcome.deliver_s = time.monotonic() - begun
            write_atomic(draft.folder / FILE_NAME, content)
        except Exception as error:  # noqa: BLE001 - a backup that breaks off is a failed backup
            return _finish(settings, draft, outcome, f"backup failed: {one_line(error)}")
        return _finish(settings, draft, outcome)


class _Capture:
    """All sources, one after another, sealed into the spool."""

    def __init__(
        self, settings: BackupSettings, lent: Spool, recipients: list[Any], progress: Progress
    ) -> None:
        self._settings = settings
        self._spool = lent
        self._recipients = recipients
        self._progress = progress
        self._objects: list[ObjectRecord] = []

    def run(self, identifier: str) -> Manifest:
        started_at = utc_now()
        facts: dict[str, dict[str, Any]] = {}
        problems: list[str] = []
        for source in open_sources(self._settings, self._spool.folder):
            captured = source.capture(self._opener(source.name))
            facts[source.name] = captured.facts
            problems.extend(captured.problems)
        return self._manifest(identifier, started_at, facts, problems)

    def _manifest(
        self,
        identifier: str,
        started_at: datetime,
        facts: dict[str, dict[str, Any]],
        problems: list[str],
    ) -> Manifest:
        return Manifest(
            id=identifier,
            subject=self._settings.subject,
            started_at=started_at,
            finished_at=utc_now(),
            objects=tuple(self._objects),
            sources=facts,
            problems=tuple(problems),
        )

    def _opener(self, source: str) -> Any:
        @contextmanager
        def open_object(name: str, estimate: int | None) -> Iterator[Sink]:
            record = ObjectRecord(name, source, 0, "", 0, "")
            path: Path = self._spool.folder / record.stored_name
            self._spool.guard(0)

            def watch(plain_bytes: int) -> None:
                self._progress(f"seal {name}", plain_bytes, estimate)

            level = self._settings.zstd_level
            with sealing(path, self._recipients, level, watch, self._spool.guard) as sink:
                yield sink
            assert sink.sizes is not None
            sizes = sink.sizes
            self._objects.append(
                ObjectRecord(
                    name,
                    source,
                    sizes.plain_bytes,
                    sizes.plain_sha256,
                    sizes.stored_bytes,
                    sizes.stored_sha256,
                )
            )

        return open_object


def _finish(
    settings: BackupSettings, draft: EvidenceDraft, outcome: _Outcome, failure: str = ""
) -> Evidence:
    manifest = outcome.manifest
    verified = [one.tier for one in outcome.deliveries if not one.error]
    notes = [failure] if failure else []
    if manifest is not None:
        held_by = ", ".join(verified) or "no tier"
        notes.append(f"recovery point {manifest.id}, verified in {held_by}")
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
