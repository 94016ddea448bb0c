"""Restore drill: bring a recovery point back for real, look at it, measure, leave nothing."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from backup.catalogue import newest_in, read_manifest
from backup.drill_checks import (
    Check,
    check_files_of_backup,
    check_invariants,
    check_listing,
    check_newest,
    check_recovery,
    check_references,
    check_tables,
    read_listing,
    replayed_until,
)
from backup.drill_postgres import RestoredPostgres
from backup.drill_redis import count_keys, find_redis_server
from backup.drill_scratch import refuse_busy_port, scratch
from backup.errors import one_line
from backup.keys import load_identity
from backup.manifest import Manifest
from backup.progress import Progress, one_at_a_time, silent
from backup.restore import Times, place_of, restore_object
from backup.settings import BackupSettings
from backup.tiers.registry import open_tier
from backup.tiers.tier import Tier
from storewatch.core.clock import rfc3339
from storewatch.core.errors import BackupError
from storewatch.core.evidence import Evidence, Measurement
from storewatch.core.names import BYTES, RECOVERY_POINT_S, RECOVERY_TIME_S, ROWS_VERIFIED
from storewatch.core.targets import Target, Verdict
from storewatch.store.evidence import EvidenceDraft, EvidenceStore
from storewatch.store.files import write_atomic
from storewatch.store.postgres_programs import find_postgres

ARTEFACT = "drill.json"
_MEGABYTE = 1e6


def run_drill(
    settings: BackupSettings,
    tier: str,
    evidence: EvidenceStore,
    progress: Progress = silent,
    identifier: str | None = None,
) -> Evidence:
    """Restore the newest recovery point of a tier (or the one named) and judge the result.

    A drill that cannot restore is evidence too: FAIL, with what is wrong by name.

    Args:
        settings: of the package.
        tier: where to fetch from.
        evidence: where the record goes.
        progress: told of bytes.
        identifier: of the recovery point.

    Raises:
        UsageError: there is no such tier, or the port is one of production.
        BackupError: another drill is running, or the port is in use.
    """
    opened = open_tier(settings, tier)
    with scratch(settings.drill.scratch) as folder:
        refuse_busy_port(settings)
        draft = evidence.open("drill", tier)
        drill = _Drill(settings, opened, folder, one_at_a_time(progress))
        try:
            drill.run(identifier)
        except Exception as error:  # noqa: BLE001 - a drill that breaks off is a failed drill
            drill.checks.append(Check(drill.phase, False, one_line(error)))
    return drill.result(draft)


@dataclass(slots=True)
class _Drill:
    """One drill under way; what is known so far is in its attributes."""

    settings: BackupSettings
    tier: Tier
    folder: Path
    progress: Progress
    phase: str = "find recovery point"
    manifest: Manifest | None = None
    checks: list[Check] = field(default_factory=list)
    times: Times = field(default_factory=Times)
    replay_s: float | None = None
    verify_s: float = 0.0
    recovery_time_s: float | None = None
    recovered_until: datetime | None = None
    notes: list[str] = field(default_factory=list)

    def run(self, identifier: str | None) -> None:
        begun = time.monotonic()
        identity = load_identity(self.settings.identity_file)
        self.manifest = self._find(identifier)
        self.phase = "restore"
        self._restore(self.manifest, identity)
        self.phase = "files"
        with self._verifying():
            self._check_files(self.manifest)
        if "postgres" in self.manifest.sources:
            self.phase = "postgres"
            self._check_postgres(self.manifest)
        if "redis" in self.manifest.sources:
            self.phase = "redis"
            with self._verifying():
                self._check_redis(self.manifest)
        self.recovery_time_s = time.monotonic() - begun

    def _find(self, identifier: str | None) -> Manifest:
        subject = self.settings.subject
        if identifier is not None:
            return read_manifest(self.tier, subject, identifier)
        return newest_in(self.tier, subject)

    def _restore(self, manifest: Manifest, identity: Any) -> None:
        damaged = 0
        for one in manifest.objects:
            try:
                restore_object(
                    self.tier, manifest, one, self.folder, identity, self.times, self.progress
                )
            except BackupError as error:
                damaged += 1
                self.checks.append(Check(f"restore {one.name}", False, str(error)))
        if damaged:
            raise BackupError(f"{damaged} of {len(manifest.objects)} objects cannot be restored")
        self.checks.append(
            Check("restored", True, f"{len(manifest.objects)} objects, hashes equal")
        )

    def _check_files(self, manifest: Manifest) -> None:
        for facts in manifest.sources.values():
            if "listing" in facts:
                folder = place_of(manifest.record(facts["object"]), self.folder)
                listing = read_listing(place_of(manifest.record(facts["listing"]), self.folder))
                self.checks.append(check_listing(folder, listing))

    def _check_postgres(self, manifest: Manifest) -> None:
        source = self.settings.sources.postgres
        if source is None:
            raise BackupError("sources.postgres is not set; the drill needs database and role")
        facts = manifest.sources["postgres"]
        programs = find_postgres(source.bin, self.settings.programs_cache)
        data = place_of(manifest.record(facts["object"]), self.folder)
        parts = conninfo_to_dict(source.url.get_secret_value())
        with self._verifying():
            self.checks.append(check_files_of_backup(data, programs))
        server = RestoredPostgres(
            data,
            programs,
            self.settings.drill.port,
            self.settings.drill.start_timeout,
            (str(parts["dbname"]), str(parts.get("user") or "postgres")),
        )
        self.progress("replay WAL", 0, None)
        with server:
            self.replay_s = server.replay_s
            with self._verifying(), server.connect() as connection:
                self.progress("check rows and references", 0, None)
                connection.execute("SET default_transaction_read_only = on")
                self._check_database(connection, facts)

    def _check_database(self, connection: psycopg.Connection[Any], facts: dict[str, Any]) -> None:
        source, drill = self.settings.sources.postgres, self.settings.drill
        assert source is not None
        self.recovered_until = replayed_until(connection, facts)
        self.checks.append(check_recovery(connection, facts))
        self.checks.extend(check_tables(connection, facts))
        self.checks.extend(check_newest(connection, source.newest_query, facts))
        self.checks.extend(check_invariants(connection, drill.invariants_view))
        for reference in drill.references:
            folder = self.folder / f"files-{reference.files}"
            listing = read_listing(folder.with_name(f"{folder.name}.sha256"))
            self.checks.append(check_references(connection, reference, folder, listing))

    def _check_redis(self, manifest: Manifest) -> None:
        facts = manifest.sources["redis"]
        program = find_redis_server(self.settings.drill.redis_server)
        found = count_keys(
            place_of(manifest.record(facts["object"]), self.folder),
            facts["database"],
            program,
            self.folder,
            self.settings.drill.start_timeout,
        )
        detail = f"{found} keys in database {facts['database']}; the snapshot has {facts['keys']}"
        self.checks.append(Check("redis keys", found == facts["keys"], detail))

    @contextmanager
    def _verifying(self) -> Iterator[None]:
        begun = time.monotonic()
        try:
            yield
        finally:
            self.verify_s += time.monotonic() - begun

    def result(self, draft: EvidenceDraft) -> Evidence:
        """Turn what is known into evidence."""
        failed = [check for check in self.checks if not check.ok]
        notes = [f"{check.name}: {check.detail}" for check in failed]
        if self.manifest is not None:
            finished = rfc3339(self.manifest.finished_at)
            notes.insert(0, f"recovery point {self.manifest.id} of {finished}")
            notes.extend(f"partial backup: {one}" for one in self.manifest.problems)
        record = {
            "recovery_point": None if self.manifest is None else self.manifest.id,
            "tier": self.tier.name,
            "recovered_until": self.recovered_until and rfc3339(self.recovered_until),
            "checks": [check.to_json() for check in self.checks],
        }
        content = (json.dumps(record, indent=2) + "\n").encode()
        write_atomic(draft.folder / ARTEFACT, content)
        overrides = [Verdict.FAIL] if failed else []
        return draft.finish(self._measurements(draft, len(failed)), notes, overrides)

    def _measurements(self, draft: EvidenceDraft, failed: int) -> list[Measurement]:
        targets = self.settings.drill.targets
        lost_s = None
        if self.recovered_until is not None:
            lost_s = max(0.0, (draft.started_at - self.recovered_until).total_seconds())
        plain = self.manifest.plain_bytes if self.manifest else None
        stored = self.manifest.stored_bytes if self.manifest else None
        unpack_s = self.times.decrypt_s + self.times.restore_s
        return [
            Measurement(
                RECOVERY_TIME_S, _rounded(self.recovery_time_s), "s", targets.recovery_time_s
            ),
            Measurement(RECOVERY_POINT_S, _rounded(lost_s), "s", targets.recovery_point_s),
            Measurement(
                ROWS_VERIFIED, sum(check.rows for check in self.checks), "rows", Target(">=", 1)
            ),
            Measurement("checks_failed", failed, "checks", Target("=", 0)),
            Measurement("checks_passed", len(self.checks) - failed, "checks"),
            Measurement(BYTES, plain, "bytes"),
            Measurement("stored_bytes", stored, "bytes"),
            Measurement("fetch_s", _rounded(self.times.fetch_s), "s"),
            Measurement("decrypt_s", _rounded(self.times.decrypt_s), "s"),
            Measurement("restore_s", _rounded(self.times.restore_s), "s"),
            Measurement("replay_s", _rounded(self.replay_s), "s"),
            Measurement("verify_s", _rounded(self.verify_s), "s"),
            Measurement("fetch_mb_per_s", _rate(stored, self.times.fetch_s), "MB/s"),
            Measurement("restore_mb_per_s", _rate(plain, unpack_s), "MB/s"),
        ]


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _rate(size_bytes: int | None, seconds: float) -> float | None:
    return None if not size_bytes or not seconds else round(size_bytes / seconds / _MEGABYTE, 1)
