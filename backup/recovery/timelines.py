"""The way through timelines that a recovery takes, and the segments that lie on it."""

from collections.abc import Sequence
from dataclasses import dataclass

from backup.recovery.wal_fetch import WalReader
from backup.wal.names import Fork, Segment, format_lsn
from storewatch.core.errors import BackupError


@dataclass(frozen=True, slots=True)
class Route:
    """From the first timeline to the one that is to be reached.

    Attributes:
        timeline: the last one.
        forks: where each ancestor ended, oldest first.
        unfollowed: later timelines that cannot be followed, with the reason.
    """

    timeline: int
    forks: tuple[Fork, ...] = ()
    unfollowed: tuple[tuple[int, str], ...] = ()

    def end_of(self, timeline: int) -> int | None:
        """Return where a timeline of the route ends; none when it is not on it."""
        if timeline == self.timeline:
            return 1 << 64
        return next((one.position for one in self.forks if one.timeline == timeline), None)

    def timeline_at(self, number: int, segment_bytes: int) -> int:
        """Return whose file of a segment PostgreSQL reads: the newest that has begun by its end."""
        for fork in self.forks:
            if number < fork.position // segment_bytes:
                return fork.timeline
        return self.timeline

    def segments(self, after: int, timeline: int, reader: WalReader) -> list[Segment]:
        """Return what lies behind a base backup without a gap, in order.

        Args:
            after: end of the base backup.
            timeline: of the base backup.
            reader: the archive.
        """
        size = reader.segment_bytes
        number = after // size
        found: list[Segment] = []
        first = Segment(number, self.timeline_at(number, size))
        if first.timeline == timeline:  # the base backup brings this one along
            number += 1
        while True:
            segment = Segment(number, self.timeline_at(number, size))
            if reader.archive.of(segment, size) is None:
                return found
            found.append(segment)
            number += 1

    def missing(self, reached: Segment, reader: WalReader) -> Segment | None:
        """Return the first missing segment behind those reached, if there are later ones."""
        size = reader.segment_bytes
        later = (
            one
            for one in reader.archive.segments(size)
            if one.number > reached.number and self.timeline_at(one.number, size) == one.timeline
        )
        if next(later, None) is None:
            return None
        return Segment(reached.number + 1, self.timeline_at(reached.number + 1, size))


def find_route(reader: WalReader, base_timelines: Sequence[int]) -> Route:
    """Return the route to the newest timeline that its history file leads to.

    Args:
        reader: the archive.
        base_timelines: of the base backups.

    Raises:
        DamagedError: a history file contradicts the archive.
    """
    size = reader.segment_bytes
    firsts: dict[int, Segment] = {}
    for one in reader.archive.segments(size):
        firsts.setdefault(one.timeline, one)
    unfollowed: list[tuple[int, str]] = []
    for timeline in sorted({*firsts, *base_timelines}, reverse=True):
        if timeline == 1:
            return Route(1, (), tuple(unfollowed))
        try:
            forks = reader.history(timeline)
            _refuse_contradiction(timeline, forks, firsts.get(timeline), size)
            return Route(timeline, forks, tuple(unfollowed))
        except BackupError as error:
            if timeline in base_timelines:  # its own backups need no ancestors
                return Route(timeline, (), (*unfollowed, (timeline, str(error))))
            unfollowed.append((timeline, str(error)))
    raise BackupError("there is no base backup and no WAL")


def _refuse_contradiction(
    timeline: int, forks: Sequence[Fork], first: Segment | None, size: int
) -> None:
    began = forks[-1].position
    if first is not None and first.number < began // size:
        raise BackupError(
            f"the history of timeline {timeline} says that it began at {format_lsn(began)}, but "
            f"the archive has its segment {first.name(size)}, which lies before"
        )
