"""To which moments each base backup leads, from listings alone."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from backup.catalogue import RecoveryPoint
from backup.errors import TierError
from backup.recovery.bases import Base, missing_parent
from backup.settings import BackupSettings
from backup.tiers.registry import open_tiers
from backup.wal.archive import Archive, read_archive
from backup.wal.names import Segment
from storewatch.core.clock import rfc3339


@dataclass(frozen=True, slots=True)
class Reach:
    """The moments to which a recovery point can be restored from one tier.

    Attributes:
        since: the end of the base backup.
        until: the last archived moment that it leads to.
        missing: the segment that is missing behind it while there are later ones, else empty.
    """

    since: datetime
    until: datetime
    missing: str = ""

    def to_json(self) -> dict[str, str]:
        """Return the reach for machines."""
        return {"from": rfc3339(self.since), "to": rfc3339(self.until), "missing": self.missing}


def reach_of(base: Base, archive: Archive) -> Reach:
    """Follow the WAL behind a base backup as far as it goes without a gap.

    A later timeline is taken to come from the one before, and to begin with the segment in which
    that one ended; a restore reads the history files and is exact.

    Args:
        base: where it begins.
        archive: of one tier.
    """
    size = base.segment_bytes
    begun = base.stop // size
    firsts: dict[int, int] = {}
    later: set[Segment] = set()
    for one in archive.segments(size):
        firsts.setdefault(one.timeline, one.number)
        later.add(one)
    firsts = {t: n for t, n in firsts.items() if t > base.timeline and n >= begun}
    number, until = begun, base.stop_at
    if _timeline(number, base, firsts) == base.timeline:  # the base backup brings this one along
        number += 1
    while (segment := Segment(number, _timeline(number, base, firsts))) in later:
        file = archive.of(segment, size)
        assert file is not None
        until = max(until, file.ended_at)
        number += 1
    beyond = any(one.number > number and one.timeline in (base.timeline, *firsts) for one in later)
    return Reach(base.stop_at, until, segment.name(size) if beyond else "")


def _timeline(number: int, base: Base, firsts: dict[int, int]) -> int:
    return max([base.timeline, *(t for t, first in firsts.items() if first <= number)])


def broken_chains(points: Sequence[RecoveryPoint]) -> dict[str, str]:
    """Return by recovery point, for incremental ones, which parent is missing in which tier."""
    found: dict[str, str] = {}
    for point in points:
        for tier in point.tiers:
            there = {one.manifest.id: one.manifest for one in points if tier in one.tiers}
            if lost := missing_parent(point.manifest, there):
                found[point.manifest.id] = f"chain unusable in {tier}: {lost} is missing"
    return found


def list_reaches(
    settings: BackupSettings, points: Iterable[RecoveryPoint]
) -> dict[str, dict[str, Reach]]:
    """Return by recovery point and tier what can be restored; a tier that is down is left out."""
    bases = [(point, base) for point in points if (base := Base.of(point.manifest))]
    systems = {base.system_identifier for _point, base in bases}
    found: dict[str, dict[str, Reach]] = {point.manifest.id: {} for point, _base in bases}
    for tier in open_tiers(settings):
        try:
            archives = {one: read_archive(tier, settings.subject, one) for one in systems}
        except TierError:
            continue
        for point, base in bases:
            if tier.name in point.tiers:
                reach = reach_of(base, archives[base.system_identifier])
                found[point.manifest.id][tier.name] = reach
    return found
