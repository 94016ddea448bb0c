"""Delete from a tier what its retention no longer wants; with any doubt, delete nothing."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta

from backup.copies import Copies
from backup.deliver import key_of
from backup.errors import TierError, one_line
from backup.holdings import Holdings
from backup.manifest import FILE_NAME, Manifest
from backup.progress import Progress, silent
from backup.prune_plan import SWEEP_AFTER, Plan, make_plan, plan_wal, policy_of
from backup.retention import Point, chain, keep_chain
from backup.settings import BackupSettings
from backup.tiers.lease import Lease, clear_leases
from backup.tiers.registry import open_tier
from backup.tiers.tier import Tier
from storewatch.core.clock import rfc3339, utc_now
from storewatch.core.errors import BusyError, UsageError
from storewatch.core.evidence import Evidence, Measurement
from storewatch.core.targets import Target, Verdict
from storewatch.store.evidence import EvidenceDraft, EvidenceStore
from storewatch.store.files import write_atomic


def prune(
    settings: BackupSettings,
    tier: str,
    evidence: EvidenceStore,
    progress: Progress = silent,
    clock: Callable[[], datetime] = utc_now,
) -> Evidence:
    """Delete what the retention of a tier no longer wants.

    Raises:
        UsageError: the tier is unknown, has no retention, or no credential that may delete.
    """
    opened = open_tier(settings, tier)
    policy_of(settings, tier)
    if refusal := opened.refuse_to_delete():
        raise UsageError(refusal)
    draft = evidence.open("prune", tier)
    run = _Run(settings, opened, progress, clock)
    try:
        with Lease(opened, settings.subject, "a prune", exclusive=True) as lease:
            run.go(lease)
    except BusyError as error:
        return run.finish(draft, [f"not now: {error}"], [Verdict.INCONCLUSIVE])
    except Exception as error:  # noqa: BLE001 - a prune that breaks off is a failed prune
        return run.finish(draft, [f"prune failed: {one_line(error)}"], [Verdict.FAIL])
    return run.finish(draft, [], [])


class _Run:
    """One prune of one tier."""

    def __init__(
        self,
        settings: BackupSettings,
        tier: Tier,
        progress: Progress,
        clock: Callable[[], datetime],
    ) -> None:
        self._settings, self._tier, self._clock = settings, tier, clock
        self._policy = policy_of(settings, tier.name)
        self._progress = progress
        self._plan: Plan | None = None
        self._deleted: list[Manifest] = []
        self._swept = self._wal = self._failed = 0
        self._notes: list[str] = []

    def go(self, lease: Lease) -> None:
        """Plan, make sure of what stays, delete.

        Raises:
            BackupError: the tier cannot be read, or the lease was lost.
        """
        plan = self._plan = make_plan(self._settings, self._tier, self._clock)
        if not plan.refusals:
            self._secure(plan)
        if plan.refusals:
            return
        plan_wal(self._settings, self._tier, plan, self._clock())
        for manifest in plan.going:
            if self._delete_point(manifest, plan.held, lease):
                self._deleted.append(manifest)
        for entry in plan.unfinished:
            self._swept += self._delete(entry.key, lease)
        for entry in plan.wal:
            self._wal += self._delete(entry.key, lease)
        before = self._tier.now() - SWEEP_AFTER
        self._swept += self._tier.sweep(f"{self._settings.subject}/", before)
        clear_leases(self._tier, self._settings.subject, SWEEP_AFTER.total_seconds())

    def _secure(self, plan: Plan) -> None:
        """Make sure of enough verified copies before anything goes; keep more for it."""
        copies = Copies(self._settings, self._tier, plan.held, self._progress, self._clock)
        since = self._clock() - timedelta(seconds=self._policy.verified_within)
        known = {one.point.id: one.point for one in plan.judged.values()}
        ordered = sorted(plan.judged.values(), key=lambda j: (j.kept, j.point.at), reverse=True)
        good: list[Point] = []
        for one in ordered:
            if len(good) >= self._policy.minimum or not (plan.going or plan.wal):
                break
            links = chain(one.point, known)
            if links is None or not one.point.complete:
                continue
            problems = [p for link in links for p in copies.assure(link.id, since)]
            plan.damaged += [p for p in problems if p not in plan.damaged]
            if not problems:
                good.append(one.point)
                if not one.kept:
                    one.keep("one of the few verified copies")
                    keep_chain(one.point, known, plan.judged)
        plan.verified = len(good)
        if not (plan.going or plan.wal):
            return
        if len(good) < self._policy.minimum:
            plan.refusals.append(
                f"{len(good)} copies can be read back whole, {self._policy.minimum} must stay "
                "(retention.minimum)"
            )
        newest = max((point.at for point in good), default=None)
        for one in plan.judged.values():
            if not one.kept and (newest is None or one.point.at >= newest):
                one.keep("no newer copy is verified")
                keep_chain(one.point, known, plan.judged)

    def _delete_point(self, manifest: Manifest, held: Holdings, lease: Lease) -> bool:
        """Delete a recovery point, its manifest first, so that it never looks whole in part."""
        self._progress(f"delete {manifest.id}", 0, None)
        if not self._delete(key_of(manifest, FILE_NAME), lease):
            return False
        done = [self._delete(e.key, lease) for e in held.files.get(manifest.id, [])]
        return all(done)

    def _delete(self, key: str, lease: Lease) -> bool:
        lease.check()
        try:
            self._tier.delete(key)
        except TierError as error:
            self._failed += 1
            self._notes.append(one_line(error))
            return False
        return True

    def finish(self, draft: EvidenceDraft, notes: list[str], overrides: list[Verdict]) -> Evidence:
        """Write the evidence."""
        plan = self._plan
        if plan is not None:
            content = json.dumps(plan.to_json(), indent=2).encode()
            write_atomic(draft.folder / "plan.json", content)
            notes = [*notes, *(f"refused: {one}" for one in plan.refusals), *plan.damaged]
            notes += plan.notes
            overrides = [*overrides, *([Verdict.FAIL] if plan.refusals else [])]
        kept = sum(one.kept for one in plan.judged.values()) if plan else None
        bytes_deleted = sum(manifest.stored_bytes for manifest in self._deleted)
        damaged = len(plan.damaged) + len(plan.held.damaged) if plan else None
        measurements = [
            Measurement("points_kept", kept, "recovery points"),
            Measurement("points_deleted", len(self._deleted), "recovery points"),
            Measurement("bytes_deleted", bytes_deleted, "bytes"),
            Measurement("wal_deleted", self._wal, "segments"),
            Measurement("objects_swept", self._swept, "objects"),
            Measurement("verified_copies", plan.verified if plan else None, "recovery points"),
            Measurement("damaged", damaged, "objects", Target("=", 0)),
            Measurement("not_deleted", self._failed, "objects", Target("=", 0)),
        ]
        deleted = [f"deleted: {one.id} of {rfc3339(one.finished_at)}" for one in self._deleted]
        return draft.finish(measurements, [*notes, *self._notes, *deleted], overrides)
