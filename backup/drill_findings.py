"""What a drill found, and the evidence that is made of it."""

import json
from dataclasses import dataclass, field
from datetime import datetime

from backup.drill_checks import Check
from backup.drill_estimate import Run, estimate
from backup.manifest import Manifest
from backup.restore import Times
from backup.settings import BackupSettings
from storewatch.core.clock import rfc3339
from storewatch.core.evidence import Evidence, Measurement
from storewatch.core.names import BYTES, RECOVERY_POINT_S, RECOVERY_TIME_S, ROWS_VERIFIED
from storewatch.core.targets import Target, Verdict
from storewatch.store.evidence import EvidenceDraft
from storewatch.store.files import write_atomic

ARTEFACT = "drill.json"
_MEGABYTE = 1e6


@dataclass(slots=True, kw_only=True)
class Findings:
    """What is known so far; None is what was not reached.

    Attributes:
        tier_name: the copy came from here.
        why: it was chosen.
        unpack_s: fetch, decryption and writing together, by the clock.
        restored_bytes: that lie in the scratch folder.
        replay_s: from the start of the restored server until it answers.
        redo_s: the part of it in which WAL was replayed, as the server logs it.
        wal_bytes: that were replayed.
        application_up_s: from the start of the application until it is ready.
        orders_lost: that production took and the restored database lacks.
    """

    settings: BackupSettings
    tier_name: str
    why: str = ""
    manifest: Manifest | None = None
    checks: list[Check] = field(default_factory=list)
    times: Times = field(default_factory=Times)
    unpack_s: float = 0.0
    restored_bytes: int = 0
    replay_s: float | None = None
    redo_s: float | None = None
    wal_bytes: int | None = None
    verify_s: float = 0.0
    application_up_s: float | None = None
    recovery_time_s: float | None = None
    recovered_until: datetime | None = None
    orders_lost: int | None = None
    notes: list[str] = field(default_factory=list)

    def result(self, draft: EvidenceDraft) -> Evidence:
        """Turn what is known into evidence."""
        failed = [check for check in self.checks if not check.ok]
        notes = [f"{check.name}: {check.detail}" for check in failed]
        if self.manifest is not None:
            finished = rfc3339(self.manifest.finished_at)
            chosen = f", {self.why}" if self.why else ""
            notes.insert(0, f"recovery point {self.manifest.id} of {finished}{chosen}")
            notes.extend(f"partial backup: {one}" for one in self.manifest.problems)
        extrapolated, assumptions = estimate(self.settings.drill.production, self._run())
        record = {
            "recovery_point": None if self.manifest is None else self.manifest.id,
            "tier": self.tier_name,
            "recovered_until": self.recovered_until and rfc3339(self.recovered_until),
            "checks": [check.to_json() for check in self.checks],
        }
        content = (json.dumps(record, indent=2) + "\n").encode()
        write_atomic(draft.folder / ARTEFACT, content)
        overrides = [Verdict.FAIL] if failed else []
        measurements = [*self._measurements(draft, len(failed)), *extrapolated]
        return draft.finish(measurements, [*notes, *self.notes, *assumptions], overrides)

    def _run(self) -> Run | None:
        """Return what an estimate is made of; None for a drill that did not get to its end."""
        if self.recovery_time_s is None:
            return None
        return Run(
            restored_bytes=self.restored_bytes,
            unpack_s=self.unpack_s,
            replay_s=self.replay_s,
            redo_s=self.redo_s,
            wal_bytes=self.wal_bytes,
            verify_s=self.verify_s,
            application_up_s=self.application_up_s,
        )

    def _measurements(self, draft: EvidenceDraft, failed: int) -> list[Measurement]:
        targets = self.settings.drill.targets
        lost_s = None
        if self.recovered_until is not None:
            lost_s = max(0.0, (draft.started_at - self.recovered_until).total_seconds())
        at_least_one = Target(">=", 1) if self.settings.sources.postgres else None
        rows = sum(check.rows for check in self.checks)
        return [
            Measurement(
                RECOVERY_TIME_S, _rounded(self.recovery_time_s), "s", targets.recovery_time_s
            ),
            Measurement(RECOVERY_POINT_S, _rounded(lost_s), "s", targets.recovery_point_s),
            *_if_known("recovery_point_orders", self.orders_lost, "orders"),
            Measurement(ROWS_VERIFIED, rows, "rows", at_least_one),
            Measurement("checks_failed", failed, "checks", Target("=", 0)),
            Measurement("checks_passed", len(self.checks) - failed, "checks"),
            *self._costs(),
        ]

    def _costs(self) -> list[Measurement]:
        plain = self.manifest.plain_bytes if self.manifest else None
        stored = self.manifest.stored_bytes if self.manifest else None
        unpack_s = self.times.decrypt_s + self.times.restore_s
        return [
            Measurement(BYTES, plain, "bytes"),
            Measurement("stored_bytes", stored, "bytes"),
            *_if_known("wal_bytes", self.wal_bytes, "bytes"),
            Measurement("fetch_s", _rounded(self.times.fetch_s), "s"),
            Measurement("decrypt_s", _rounded(self.times.decrypt_s), "s"),
            Measurement("restore_s", _rounded(self.times.restore_s), "s"),
            Measurement("replay_s", _rounded(self.replay_s), "s"),
            Measurement("verify_s", _rounded(self.verify_s), "s"),
            *_if_known("application_up_s", _rounded(self.application_up_s), "s"),
            Measurement("fetch_mb_per_s", _rate(stored, self.times.fetch_s), "MB/s"),
            Measurement("restore_mb_per_s", _rate(plain, unpack_s), "MB/s"),
        ]


def _if_known(name: str, value: float | None, unit: str) -> list[Measurement]:
    return [] if value is None else [Measurement(name, value, unit)]


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _rate(size_bytes: int | None, seconds: float) -> float | None:
    return None if not size_bytes or not seconds else round(size_bytes / seconds / _MEGABYTE, 1)
