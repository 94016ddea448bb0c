"""Restore drill: bring a recovery point back for real, look at it, measure, leave nothing."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from backup.catalogue import newest_in, read_manifest
from backup.drill_application import restored_application, walk_journeys
from backup.drill_checks import (
    Check,
    check_files_of_backup,
    check_invariants,
    check_listing,
    check_newest,
    check_recovery,
    check_references,
    check_structure,
    check_tables,
    read_listing,
    replayed_bytes,
    replayed_until,
)
from backup.drill_findings import Findings
from backup.drill_orders import orders_lost
from backup.drill_postgres import RestoredPostgres
from backup.drill_redis import count_keys, find_redis_server
from backup.drill_scratch import bytes_below, refuse_busy_port, scratch
from backup.errors import one_line
from backup.keys import load_identity
from backup.manifest import Manifest
from backup.progress import Progress, one_at_a_time, silent
from backup.recovery.objects import restore_one
from backup.restore import place_of
from backup.settings import BackupSettings
from backup.tiers.registry import open_tier
from backup.tiers.tier import Tier
from storewatch.core.errors import BackupError
from storewatch.core.evidence import Evidence
from storewatch.core.parts import JourneyWalker
from storewatch.store.evidence import EvidenceStore
from storewatch.store.postgres_programs import find_postgres


def run_drill(
    settings: BackupSettings,
    tier: str,
    evidence: EvidenceStore,
    progress: Progress = silent,
    identifier: str | None = None,
    why: str = "",
    walk: JourneyWalker | None = None,
) -> Evidence:
    """Restore the newest recovery point of a tier (or the one named) and judge the result.

    A drill that cannot restore is evidence too: FAIL, with what is wrong by name.

    Args:
        settings: of the package.
        tier: where to fetch from.
        evidence: where the record goes.
        progress: told of bytes.
        identifier: of the recovery point.
        why: it was chosen, for the record.
        walk: walks the journeys of `drill.application`.

    Raises:
        UsageError: there is no such tier, or the port is one of production.
        BusyError: another drill is running.
        BackupError: the port is in use.
    """
    opened = open_tier(settings, tier)
    with scratch(settings.drill.scratch) as folder:
        refuse_busy_port(settings)
        draft = evidence.open("drill", tier)
        drill = _Drill(
            settings=settings,
            tier_name=opened.name,
            why=why,
            tier=opened,
            folder=folder,
            progress=one_at_a_time(progress),
            walk=walk,
        )
        try:
            drill.run(identifier)
        except Exception as error:  # noqa: BLE001 - a drill that breaks off is a failed drill
            drill.checks.append(Check(drill.phase, False, one_line(error)))
        drill.count_orders(draft.started_at)
    return drill.result(draft)


@dataclass(slots=True, kw_only=True)
class _Drill(Findings):
    """One drill under way; what is known so far is in its attributes."""

    tier: Tier
    folder: Path
    progress: Progress
    walk: JourneyWalker | None
    phase: str = "find recovery point"

    def run(self, identifier: str | None) -> None:
        begun = time.monotonic()
        identity = load_identity(self.settings.identity_file)
        self.manifest = self._find(identifier)
        self.phase = "restore"
        self._restore(self.manifest, identity)
        self.phase = "files"
        with self._verifying():
            self._check_files(self.manifest)
        if "redis" in self.manifest.sources:
            self.phase = "redis"
            with self._verifying():
                self._check_redis(self.manifest)
        if "postgres" in self.manifest.sources:
            self.phase = "postgres"
            self._check_postgres(self.manifest)
        else:
            self.recovered_until = self.manifest.started_at
        self.recovery_time_s = time.monotonic() - begun

    def _find(self, identifier: str | None) -> Manifest:
        subject = self.settings.subject
        if identifier is not None:
            return read_manifest(self.tier, subject, identifier)
        return newest_in(self.tier, subject)

    def _restore(self, manifest: Manifest, identity: Any) -> None:
        begun = time.monotonic()
        damaged = 0
        for one in manifest.objects:
            try:
                restore_one(
                    self.settings, self.tier, manifest, one, self.folder, identity, self.times,
                    self.progress,
                )  # fmt: skip
            except BackupError as error:
                damaged += 1
                self.checks.append(Check(f"restore {one.name}", False, str(error)))
        if damaged:
            raise BackupError(f"{damaged} of {len(manifest.objects)} objects cannot be restored")
        self.checks.append(
            Check("restored", True, f"{len(manifest.objects)} objects, hashes equal")
        )
        self.unpack_s = time.monotonic() - begun
        self.restored_bytes = bytes_below(self.folder)

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
            self.replay_s, self.redo_s = server.replay_s, server.redo_s()
            with self._verifying(), server.connect() as connection:
                self.progress("check rows and references", 0, None)
                connection.execute("SET default_transaction_read_only = on")
                self._check_database(connection, facts)
                self.progress("check tables and indexes", 0, None)
                self.checks.append(check_structure(connection, programs, str(parts["dbname"])))
            self._try_application(manifest)

    def _try_application(self, manifest: Manifest) -> None:
        """Start the application; last, because it may write."""
        application = self.settings.drill.application
        if application is None:
            return
        self.phase = "application"
        self.progress("start the application", 0, None)
        with restored_application(self.settings, application, manifest, self.folder) as up_s:
            self.application_up_s = up_s
            self.progress("walk journeys", 0, None)
            with self._verifying():
                self.checks.extend(walk_journeys(application, self.walk))

    def _check_database(self, connection: psycopg.Connection[Any], facts: dict[str, Any]) -> None:
        source, drill = self.settings.sources.postgres, self.settings.drill
        assert source is not None
        self.recovered_until = replayed_until(connection, facts)
        self.wal_bytes = replayed_bytes(connection, facts)
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

    def count_orders(self, begun: datetime) -> None:
        """Ask production for the orders that a recovery would lose."""
        source, query = self.settings.sources.postgres, self.settings.drill.orders_lost_query
        if source is None or not query or self.recovered_until is None:
            return
        try:
            self.orders_lost = orders_lost(source.url, query, self.recovered_until, begun)
        except BackupError as error:
            self.notes.append(f"recovery point in orders: not known: {error}")

    @contextmanager
    def _verifying(self) -> Iterator[None]:
        begun = time.monotonic()
        try:
            yield
        finally:
            self.verify_s += time.monotonic() - begun
