"""Read a part of a tier back, so that in a month every byte of it was read at least once.

Each run takes what was not read for longest. What was read is remembered object by object, so a
run that is killed loses one object's work. A backup reads back what it writes: that is the first
reading of each object.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from backup.copies import read_whole
from backup.deliver import key_of
from backup.errors import TierError, one_line
from backup.holdings import PIN_NAME, Holdings, read_holdings
from backup.progress import Progress, silent
from backup.settings import BackupSettings
from backup.tiers.registry import open_tier
from backup.tiers.tier import Tier
from backup.verified import ARTEFACT, Reading, Verified
from backup.verify_wal import WalCheck, wal_problems
from backup.wal.names import WalFile
from storewatch.core.clock import utc_now
from storewatch.core.errors import BackupError
from storewatch.core.evidence import Evidence, Measurement
from storewatch.core.targets import Target, Verdict
from storewatch.store.evidence import EvidenceDraft, EvidenceStore
from storewatch.store.files import write_atomic

_FIRST_SHARE_S = 86400.0
_MARGIN = 1.25  # a run that is left out now and then does no harm


@dataclass(frozen=True, slots=True)
class Item:
    """One object that is to be read now and then.

    Attributes:
        sha256: of its sealed bytes; None when no manifest tells (WAL).
        last: when it was read back last, at the latest when it was written.
    """

    key: str
    size_bytes: int
    sha256: str | None
    last: datetime


@dataclass(slots=True)
class Outcome:
    """What a verification found.

    Attributes:
        damaged: one line for each object that is not what was written.
        foreign: keys that belong to nothing.
        readings: objects that were read whole and good.
        items: all that there is to read.
    """

    damaged: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    items: dict[str, Item] = field(default_factory=dict)


def share(items: list[Item], now: datetime, passed_s: float, every_s: float) -> list[Item]:
    """Return what to read now: what was not read for longest, so that all is read in time.

    Args:
        items: everything there is.
        now: the present moment.
        passed_s: seconds since the last verification.
        every_s: seconds in which all is to be read once.
    """
    oldest_first = sorted(items, key=lambda item: (item.last, item.key))
    budget = sum(i.size_bytes for i in items) * min(1.0, passed_s / every_s * _MARGIN)
    soon = now - timedelta(seconds=max(0.0, every_s - 2 * passed_s))
    chosen: list[Item] = []
    for item in oldest_first:
        if budget <= 0 and item.last > soon and chosen:
            break
        chosen.append(item)
        budget -= item.size_bytes
    return chosen


def verify_tier(
    settings: BackupSettings,
    tier: str,
    evidence: EvidenceStore,
    progress: Progress = silent,
    clock: Callable[[], datetime] = utc_now,
) -> Evidence:
    """Read today's share of a tier back and compare it; name what is damaged, missing or foreign.

    Raises:
        UsageError: the tier is unknown.
    """
    opened, done = open_tier(settings, tier), Outcome()
    last = next((e.started_at for e in evidence.list("verify", tier)), None)
    draft = evidence.open("verify", tier)
    Verified(settings.spool, tier).rebuild(evidence, tier)
    failure = ""
    try:
        now = clock()
        passed_s = _FIRST_SHARE_S if last is None else max(0.0, (now - last).total_seconds())
        _Run(settings, opened, done, progress, clock).go(passed_s)
    except Exception as error:  # noqa: BLE001 - a verification that breaks off has failed
        failure = f"verification failed: {one_line(error)}"
    return _finish(settings, draft, done, failure, clock())


class _Run:
    """One verification of one tier."""

    def __init__(
        self,
        settings: BackupSettings,
        tier: Tier,
        done: Outcome,
        progress: Progress,
        clock: Callable[[], datetime],
    ) -> None:
        self._settings, self._tier, self._done = settings, tier, done
        self._progress, self._clock = progress, clock
        self._verified = Verified(settings.spool, tier.name)
        self._known = self._verified.load()

    def go(self, passed_s: float) -> None:
        """List, choose, read.

        Raises:
            TierError: the tier cannot be read.
        """
        held = read_holdings(self._tier, self._settings.subject)
        self._done.damaged += held.damaged.values()
        self._done.foreign += held.foreign
        self._collect(held)
        wal = WalCheck(self._settings, self._tier, self._known)
        chosen = share(
            list(self._done.items.values()), self._clock(), passed_s, self._settings.verify_every
        )
        for item in chosen:
            try:
                self._read(item, wal)
            except TierError:
                raise
            except BackupError as error:
                self._done.damaged.append(str(error))
        self._verified.forget_all_but(set(self._done.items))

    def _collect(self, held: Holdings) -> None:
        """Take everything there is to read; name what a listing alone shows to be wrong."""
        where = f"tier {self._tier.name}:"
        for manifest in held.manifests.values():
            there = {e.key: e.size_bytes for e in held.files.get(manifest.id, [])}
            there.pop(key_of(manifest, PIN_NAME), None)
            for one in manifest.objects:
                key = key_of(manifest, one.stored_name)
                size = there.pop(key, None)
                if size is None:
                    self._done.damaged.append(f"{where} {key} is missing")
                    continue
                known = self._known.get(key)
                last = manifest.finished_at
                if known is not None and known.sha256 == one.stored_sha256:
                    last = max(last, known.at)
                self._done.items[key] = Item(key, size, one.stored_sha256, last)
            self._done.foreign += there
        for entry in held.wal:
            file = WalFile.parse(entry.key.rsplit("/", 1)[-1])
            if file is not None:
                known = self._known.get(entry.key)
                last = known.at if known else file.ended_at
                self._done.items[entry.key] = Item(entry.key, entry.size_bytes, None, last)
        self._done.damaged += wal_problems(self._settings, self._tier, held)

    def _read(self, item: Item, wal: WalCheck) -> None:
        if item.sha256 is None:
            sha256 = wal.read(item.key, item.size_bytes, self._progress)
        else:
            name = item.key.rsplit("/", 1)[-1]
            sha256, size = read_whole(self._tier, item.key, name, item.size_bytes, self._progress)
            if sha256 != item.sha256:
                self._done.damaged.append(
                    f"tier {self._tier.name}: {item.key} is damaged: {size} bytes with SHA-256 "
                    f"{sha256[:16]} instead of {item.sha256[:16]}"
                )
                return
        reading = Reading(item.key, sha256, self._clock())
        self._verified.add([reading])
        self._done.readings.append(reading)


def _finish(
    settings: BackupSettings, draft: EvidenceDraft, done: Outcome, failure: str, now: datetime
) -> Evidence:
    lines = "".join(reading.line() for reading in done.readings)
    write_atomic(draft.folder / ARTEFACT, lines.encode())
    last = {key: item.last for key, item in done.items.items()}
    last |= {reading.key: reading.at for reading in done.readings}
    ages = {key: (now - at).total_seconds() for key, at in last.items()}
    late = [key for key, age_s in ages.items() if age_s > settings.verify_every]
    size = {key: item.size_bytes for key, item in done.items.items()}
    known = not failure
    measurements = [
        Measurement("bytes_verified", sum(size[r.key] for r in done.readings), "bytes"),
        Measurement("objects_verified", len(done.readings), "objects"),
        Measurement("bytes_held", sum(size.values()) if known else None, "bytes"),
        Measurement(
            "bytes_due", sum(size[k] for k in late) if known else None, "bytes", Target("=", 0)
        ),
        Measurement(
            "oldest_unverified_s",
            round(max(ages.values(), default=0.0)) if known else None,
            "s",
            Target("<=", settings.verify_every),
        ),
        Measurement("damaged", len(done.damaged) if known else None, "objects", Target("=", 0)),
        Measurement("foreign", len(done.foreign) if known else None, "objects", Target("=", 0)),
    ]
    foreign = [f"tier {draft.subject}: {key} is nothing of ours" for key in done.foreign]
    notes = [*([failure] if failure else []), *done.damaged, *foreign]
    return draft.finish(measurements, notes, [Verdict.FAIL] if failure else [])
