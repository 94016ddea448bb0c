"""Bring to a tier what it lacks and another one has: after an outage, or when a tier is new.

Sealed objects are copied as they are, so no identity is needed. The manifest comes last, as always.
"""

from collections.abc import Sequence

from backup.carry import Carrier, Outcome
from backup.catalogue import tier_settings
from backup.deliver import PATIENCE_S, compare, key_of, verify_object
from backup.errors import DamagedError, TierError, one_line
from backup.holdings import Holdings, read_holdings
from backup.manifest import FILE_NAME, Manifest, ObjectRecord
from backup.progress import Progress, silent
from backup.retention import judge
from backup.settings import BackupSettings
from backup.sync_wal import sync_wal
from backup.tiers.lease import Lease
from backup.tiers.registry import open_tier, open_tiers
from backup.tiers.tier import Tier
from backup.verified import Reading, Verified
from storewatch.core.clock import utc_now
from storewatch.core.errors import BackupError, BusyError
from storewatch.core.evidence import Evidence, Measurement
from storewatch.core.targets import Target, Verdict
from storewatch.store.evidence import EvidenceStore
from storewatch.store.files import write_atomic
from storewatch.store.lock import held

FOLDER = "sync"


def sync(
    settings: BackupSettings, tier: str, evidence: EvidenceStore, progress: Progress = silent
) -> Evidence:
    """Copy to a tier what it lacks of what its retention would keep.

    Raises:
        UsageError: the tier is unknown.
        BusyError: another sync runs on this host.
    """
    target = open_tier(settings, tier)
    with held(settings.spool / FOLDER / "lock", "a sync"):
        draft, done = evidence.open("sync", tier), Outcome()
        overrides: list[Verdict] = []
        try:
            lease = Lease(
                target, settings.subject, "a sync", exclusive=False, patience_s=PATIENCE_S
            )
            with lease:
                _Sync(settings, target, lease, done, progress).run()
        except BusyError as error:
            done.notes.insert(0, f"not now: {error}")
            overrides.append(Verdict.INCONCLUSIVE)
        except Exception as error:  # noqa: BLE001 - a sync that breaks off is a failed sync
            done.notes.insert(0, f"sync failed: {one_line(error)}")
            overrides.append(Verdict.FAIL)
    measurements = [
        Measurement("points_copied", len(done.copied), "recovery points"),
        Measurement("objects_copied", done.objects, "objects"),
        Measurement("bytes", done.moved_bytes, "bytes"),
        Measurement("lacking", len(done.lacking), "objects", Target("=", 0)),
        Measurement("differing", len(done.differing), "manifests", Target("=", 0)),
    ]
    notes = [*done.notes, *done.lacking, *done.differing]
    return draft.finish(measurements, [*notes, *(f"copied: {i}" for i in done.copied)], overrides)


class _Sync:
    """One sync of one tier."""

    def __init__(
        self,
        settings: BackupSettings,
        target: Tier,
        lease: Lease,
        done: Outcome,
        progress: Progress,
    ) -> None:
        self._settings, self._target, self._lease = settings, target, lease
        self._done, self._progress = done, progress
        self._carrier = Carrier(target, settings.spool / FOLDER, done, progress)

    def run(self) -> None:
        """Compare and copy, oldest first, so that a parent comes before what builds on it."""
        mine = self._mine()
        others: list[tuple[Tier, Holdings]] = []
        for tier in open_tiers(self._settings):
            if tier.name != self._target.name:
                try:
                    others.append((tier, read_holdings(tier, self._settings.subject)))
                except TierError as error:
                    self._done.notes.append(f"not compared: {error}")
        self._compare(mine, others)
        for identifier in self._wanted(mine, [theirs for _tier, theirs in others]):
            sources = [(t, h.manifests[identifier]) for t, h in others if identifier in h.manifests]
            self._point(identifier, mine, sources)
        sync_wal(self._settings, self._target, self._mine(), others, self._carrier)

    def _mine(self) -> Holdings:
        return read_holdings(self._target, self._settings.subject)

    def _compare(self, mine: Holdings, others: Sequence[tuple[Tier, Holdings]]) -> None:
        for tier, theirs in others:
            for identifier in sorted(mine.manifests.keys() & theirs.manifests.keys()):
                if mine.manifests[identifier] != theirs.manifests[identifier]:
                    self._done.differing.append(
                        f"the manifests of {identifier} in tiers {self._target.name} and "
                        f"{tier.name} differ; one was forged or damaged, neither is touched"
                    )
        for reason in mine.damaged.values():
            self._done.lacking.append(reason)

    def _wanted(self, mine: Holdings, others: Sequence[Holdings]) -> list[str]:
        """Return the ids of which something is to be brought, oldest first."""
        points = {point.id: point for theirs in reversed(others) for point in theirs.points()}
        points |= {point.id: point for point in mine.points()}
        policy = tier_settings(self._settings, self._target.name).retention
        judged = judge(points.values(), policy, utc_now())
        known = {i for theirs in others for i in theirs.manifests}
        return [
            identifier
            for identifier, one in sorted(judged.items())
            if identifier in known
            and identifier not in mine.damaged
            and (identifier in mine.manifests or one.kept)
            and self._gaps(identifier, mine)
        ]

    @staticmethod
    def _gaps(identifier: str, mine: Holdings) -> bool:
        if identifier not in mine.manifests:
            return True
        sizes = {e.key: e.size_bytes for e in mine.files.get(identifier, [])}
        manifest = mine.manifests[identifier]
        return any(key_of(manifest, one.stored_name) not in sizes for one in manifest.objects)

    def _point(
        self, identifier: str, mine: Holdings, sources: Sequence[tuple[Tier, Manifest]]
    ) -> None:
        """Bring one recovery point, from the first tier that can give each object whole."""
        manifest = mine.manifests.get(identifier, sources[0][1])
        good = [tier for tier, theirs in sources if theirs == manifest]
        there = {entry.key for entry in mine.files.get(identifier, [])}
        readings = []
        try:
            for one in manifest.objects:
                key = key_of(manifest, one.stored_name)
                if key not in there:
                    self._object(manifest, one, good)
                verify_object(self._target, manifest, one, self._progress)
                readings.append(Reading(key, one.stored_sha256, utc_now()))
            if identifier not in mine.manifests:
                self._lease.check()
                self._manifest(manifest)
        except TierError:
            raise
        except BackupError as error:
            self._done.lacking.append(f"{identifier}: {one_line(error)}")
            return
        Verified(self._settings.spool, self._target.name).add(readings)
        self._done.copied.append(identifier)

    def _object(self, manifest: Manifest, one: ObjectRecord, sources: Sequence[Tier]) -> None:
        key, problems = key_of(manifest, one.stored_name), []
        for source in sources:
            try:
                file, sha256 = self._carrier.fetch(source, key, one.stored_bytes)
                compare(source.name, manifest, one, file.stat().st_size, sha256)
            except BackupError as error:
                problems.append(one_line(error))
                self._carrier.forget(key)
                continue
            self._carrier.put(key, file)
            return
        raise DamagedError("; ".join(problems) or f"no tier has {key}")

    def _manifest(self, manifest: Manifest) -> None:
        key = key_of(manifest, FILE_NAME)
        file = self._carrier.part(key)
        write_atomic(file, manifest.to_bytes())
        self._carrier.put(key, file)
