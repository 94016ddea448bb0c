"""From a target to a base backup and the WAL behind it; what cannot be reached is refused."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from backup.progress import Progress
from backup.recovery.bases import Base, newest_first, oldest_on
from backup.recovery.target import Kind, RecoveryTarget
from backup.recovery.timelines import Route
from backup.recovery.wal_fetch import WalReader
from backup.recovery.waldump import WalDump
from backup.wal.names import PAGE_HEADER_BYTES, Segment
from storewatch.core.clock import rfc3339
from storewatch.core.errors import BackupError, UsageError


@dataclass(frozen=True, slots=True)
class Plan:
    """How a target is reached.

    Attributes:
        base: where it begins.
        segments: fetched, in order.
        target: what PostgreSQL is told; `latest` when the fetched WAL ends exactly there.
        route: of timelines.
    """

    base: Base
    segments: tuple[Segment, ...]
    target: RecoveryTarget
    route: Route


class Planner:
    """Finds the way, and fetches the WAL on it.

    Args:
        bases: oldest first; one alone when the operator named it.
        route: of timelines.
        reader: the archive.
        folder: for the WAL.
        dump: looks into that folder.
        progress: told of bytes.
    """

    def __init__(
        self,
        bases: Sequence[Base],
        route: Route,
        reader: WalReader,
        folder: Path,
        dump: WalDump,
        progress: Progress,
    ) -> None:
        self._bases = bases
        self._route = route
        self._reader = reader
        self._folder = folder
        self._dump = dump
        self._progress = progress
        self._size = reader.segment_bytes

    def plan(self, target: RecoveryTarget) -> Plan:
        """Return the way to a target; its WAL is fetched.

        Raises:
            UsageError: the target lies outside of what there is; the line says what there is.
            BackupError: a segment or a history file that is needed is missing or damaged.
        """
        if target.kind in (Kind.NAME, Kind.XID):
            return self._search(target)
        base = next(newest_first(self._bases, self._route, target), None)
        if base is None:
            raise self._outside(target, "lies before the end of every base backup")
        behind = self._behind(base)
        wanted = self._until(target, base, behind)
        self._reader.fetch(wanted, self._folder, self._progress)
        return Plan(base, tuple(wanted), self._exact(target, wanted), self._route)

    def _behind(self, base: Base) -> list[Segment]:
        return self._route.segments(base.stop, base.timeline, self._reader)

    def _until(
        self, target: RecoveryTarget, base: Base, behind: Sequence[Segment]
    ) -> Sequence[Segment]:
        """Return the segments up to the target."""
        if target.kind == Kind.LATEST:
            self._refuse_hole(base, behind)
            return behind
        for count, segment in enumerate(behind, start=1):
            if target.kind == Kind.LSN:
                reached = target.position <= segment.end(self._size) + PAGE_HEADER_BYTES
            else:
                file = self._reader.archive.of(segment, self._size)
                assert file is not None and target.at is not None
                reached = file.ended_at >= target.at
            if reached:
                return behind[:count]
        if target.kind == Kind.LSN and target.position <= base.stop:
            return []
        self._refuse_hole(base, behind)
        raise self._outside(target, "lies beyond the archived WAL")

    def _refuse_hole(self, base: Base, behind: Sequence[Segment]) -> None:
        """Make sure that the WAL ended because there is no more, not because some is missing.

        Raises:
            BackupError: a segment in the middle or a history file is missing.
        """
        reached = behind[-1] if behind else Segment.holding(base.stop, base.timeline, self._size)
        hole = self._route.missing(reached, self._reader)
        if hole is not None:
            raise BackupError(
                f"WAL segment {hole.name(self._size)} is missing, but there are later ones; "
                f"{self._range()}"
            )
        if self._route.unfollowed:
            raise BackupError(f"{self._route.unfollowed[0][1]}; {self._range()}")

    def _exact(self, target: RecoveryTarget, segments: Sequence[Segment]) -> RecoveryTarget:
        """Return what PostgreSQL is to be told.

        It refuses a target behind the last record that it finds. Where nothing lies between the
        target and the end of what was fetched, that end is the target.
        """
        latest = RecoveryTarget(Kind.LATEST)
        if target.kind == Kind.TIME:
            assert target.at is not None
            near, at = segments[-2:], target.at
            found = self._dump.has_commit_after(near, at)
            found = found or self._dump.has_commit_after(segments, at)
            return target if found else latest
        if target.kind == Kind.LSN:
            found = bool(segments) and self._dump.has_record_from(segments[-1], target.position)
            return target if found else latest
        return target

    def _search(self, target: RecoveryTarget) -> Plan:
        """Look for a name or a transaction behind the newest base first, then behind older ones."""
        seen: set[Segment] = set()
        for base in newest_first(self._bases, self._route, target):
            behind = self._behind(base)
            fresh = [one for one in behind if one not in seen]
            self._reader.fetch(fresh, self._folder, self._progress)
            if target.kind == Kind.NAME:
                found = self._dump.find_restore_point(fresh, target.name)
            else:
                found = self._dump.find_end(fresh, target.transaction)
            if found is not None:
                wanted = [one for one in behind if one.number * self._size <= found]
                wanted = behind[: len(wanted) + 1]  # the record may reach into the next one
                self._drop({*behind, *seen} - set(wanted))
                return Plan(base, tuple(wanted), target, self._route)
            seen.update(fresh)
        oldest = oldest_on(self._bases, self._route)
        if oldest is not None:
            self._refuse_hole(oldest, self._behind(oldest))
        raise self._outside(target, "is not in the archived WAL behind a base backup")

    def _drop(self, segments: set[Segment]) -> None:
        for one in segments:
            (self._folder / one.name(self._size)).unlink(missing_ok=True)

    def _outside(self, target: RecoveryTarget, why: str) -> UsageError:
        return UsageError(f"{target} {why}; {self._range()}")

    def _range(self) -> str:
        """Say what can be restored."""
        oldest = oldest_on(self._bases, self._route)
        if oldest is None:
            return "there is no usable base backup; run `storewatch backup run`"
        behind = self._behind(oldest)
        file = self._reader.archive.of(behind[-1], self._size) if behind else None
        until = max(oldest.stop_at, file.ended_at) if file else oldest.stop_at
        return f"{rfc3339(oldest.stop_at)} to {rfc3339(until)} can be restored"


def only(bases: Sequence[Base], identifier: str) -> list[Base]:
    """Return the base of one recovery point.

    Raises:
        UsageError: there is none of that id.
    """
    found = [one for one in bases if one.manifest.id == identifier]
    if not found:
        names = ", ".join(one.manifest.id for one in bases) or "none"
        raise UsageError(f"no usable base backup {identifier}; there are {names}")
    return found
