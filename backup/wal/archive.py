"""The WAL archive as a listing shows it: what is there, in which ranges, and what is missing.

Nothing is opened: names carry the timeline, the position, the server's time and a hash.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from backup.tiers.tier import Tier
from backup.wal.names import FOLDER, Segment, WalFile, is_history, is_segment, prefix
from storewatch.core.errors import UsageError


@dataclass(frozen=True, slots=True)
class Range:
    """Segments of one timeline without a gap.

    Attributes:
        first, last: both are there.
        until: the server's clock before the last one was ended.
    """

    first: Segment
    last: Segment
    until: datetime


@dataclass(frozen=True, slots=True)
class Gap:
    """Segments that are missing between two that are there."""

    after: Segment
    before: Segment


@dataclass(slots=True)
class Archive:
    """Everything of one system in one tier.

    Attributes:
        files: by name of segment or history file.
        problems: what contradicts itself, one line each.
    """

    system_identifier: str
    files: dict[str, WalFile] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, file: WalFile, where: str = "") -> None:
        """Take a file; another one of the same name must have the same content."""
        known = self.files.setdefault(file.name, file)
        if known.plain_hash != file.plain_hash:
            self.problems.append(
                f"{where}{file.name} is there twice with different bytes: {known.file} and "
                f"{file.file}"
            )

    def segments(self, segment_bytes: int) -> list[Segment]:
        """Return all segments, in the order of the log."""
        names = (name for name in self.files if is_segment(name))
        return sorted(Segment.parse(name, segment_bytes) for name in names)

    def histories(self) -> list[int]:
        """Return the timelines that have a history file."""
        return sorted(file.timeline for name, file in self.files.items() if is_history(name))

    def of(self, segment: Segment, segment_bytes: int) -> WalFile | None:
        """Return the file of a segment."""
        return self.files.get(segment.name(segment_bytes))

    def ranges(self, segment_bytes: int) -> list[Range]:
        """Return what is there without gaps, by timeline and position."""
        found: list[Range] = []
        for one in sorted(self.segments(segment_bytes), key=lambda s: (s.timeline, s.number)):
            until = self.files[one.name(segment_bytes)].ended_at
            last = found[-1] if found else None
            if last and last.last == Segment(one.number - 1, one.timeline):
                found[-1] = Range(last.first, one, max(until, last.until))
            else:
                found.append(Range(one, one, until))
        return found


def find_gaps(segments: Iterable[Segment]) -> list[Gap]:
    """Return what is missing in the middle, also between a timeline's end and the next one.

    A timeline that began by a promotion begins with the segment in which its ancestor ended, so it
    may not begin behind the ancestor's last segment.
    """
    gaps: list[Gap] = []
    last: Segment | None = None
    reached: Segment | None = None
    for one in sorted(segments, key=lambda s: (s.timeline, s.number)):
        before = last if last and last.timeline == one.timeline else reached
        if before and one.number > before.number + 1:
            gaps.append(Gap(before, one))
        last = one
        reached = max(reached, one) if reached else one
    return gaps


def read_archive(tier: Tier, subject: str, system_identifier: str) -> Archive:
    """List the archive of a system in a tier.

    Raises:
        TierError: the tier cannot be read.
    """
    start = prefix(subject, system_identifier)
    return collect(tier.list(start), start, system_identifier, f"tier {tier.name}: ")


def collect(keys: Sequence[str], start: str, system_identifier: str, where: str = "") -> Archive:
    """Make an archive of the keys below its prefix; other keys are passed over."""
    archive = Archive(system_identifier)
    for key in keys:
        parts = key[len(start) :].split("/")
        file = WalFile.parse(parts[-1])
        if file and len(parts) == 2 and parts[0] == f"{file.timeline:08X}":
            archive.add(file, where)
    return archive


def systems_in(keys: Iterable[str], subject: str) -> set[str]:
    """Return the system identifiers whose WAL the keys hold."""
    start = f"{subject}/{FOLDER}/"
    return {key[len(start) :].split("/")[0] for key in keys if key.startswith(start)}


def refuse_other_system(tier: str, systems: set[str], ours: str, subject: str) -> None:
    """Make sure that two databases never share a prefix.

    Raises:
        UsageError: the tier holds WAL of another system.
    """
    if other := sorted(systems - {ours}):
        raise UsageError(
            f"tier {tier}: {subject}/{FOLDER}/ holds WAL of system {other[0]}, ours is {ours}; "
            "name another subject, or move the old archive away"
        )
