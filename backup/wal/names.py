"""Names and arithmetic of write-ahead log: LSNs, segments, timelines, keys in a tier.

Source: PostgreSQL 18, src/include/access/xlog_internal.h (segment file names, history files) and
src/backend/access/transam/timeline.c (content of a history file).
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from backup.errors import DamagedError
from backup.manifest import SUFFIX

FOLDER = "wal"
FACTS = "wal.json"
HASH_DIGITS = 16
_SEGMENT = re.compile(r"[0-9A-F]{24}")
_HISTORY = re.compile(r"([0-9A-F]{8})\.history")
_KEY = re.compile(
    rf"(?P<name>[0-9A-F]{{24}}|[0-9A-F]{{8}}\.history)-(?P<time>\d{{8}}T\d{{6}}Z)"
    rf"-(?P<hash>[0-9a-f]{{{HASH_DIGITS}}}){re.escape(SUFFIX)}"
)
_TIME = "%Y%m%dT%H%M%SZ"
_LSN = re.compile(r"([0-9A-F]{1,8})/([0-9A-F]{1,8})", re.IGNORECASE)
PAGE_HEADER_BYTES = 40
"""A segment begins with a long page header: an LSN that points at it or behind it is the same."""


def parse_lsn(text: str) -> int:
    """Return a position such as 0/3000028 as a number of bytes.

    Raises:
        ValueError: it is no LSN.
    """
    match = _LSN.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no LSN; write one such as 0/3000028")
    return int(match[1], 16) << 32 | int(match[2], 16)


def format_lsn(position: int) -> str:
    """Write a position as PostgreSQL does."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """One file of the log.

    Attributes:
        number: counted from LSN 0, whatever the timeline.
        timeline: which history it belongs to.
    """

    number: int
    timeline: int

    @classmethod
    def parse(cls, name: str, segment_bytes: int) -> "Segment":
        """Read a file name.

        Raises:
            ValueError: it is none.
        """
        if not _SEGMENT.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a WAL segment")
        per_log = (1 << 32) // segment_bytes
        return cls(int(name[8:16], 16) * per_log + int(name[16:], 16), int(name[:8], 16))

    @classmethod
    def holding(cls, position: int, timeline: int, segment_bytes: int) -> "Segment":
        """Return the segment that holds the byte at a position."""
        return cls(position // segment_bytes, timeline)

    def name(self, segment_bytes: int) -> str:
        """Return its file name."""
        log, inside = divmod(self.number, (1 << 32) // segment_bytes)
        return f"{self.timeline:08X}{log:08X}{inside:08X}"

    def end(self, segment_bytes: int) -> int:
        """Return the position of the first byte behind it."""
        return (self.number + 1) * segment_bytes


def is_segment(name: str) -> bool:
    """Tell whether a file is a whole segment."""
    return _SEGMENT.fullmatch(name) is not None


def is_history(name: str) -> bool:
    """Tell whether a file is the history of a timeline."""
    return _HISTORY.fullmatch(name) is not None


def history_name(timeline: int) -> str:
    """Return the name of a timeline's history file."""
    return f"{timeline:08X}.history"


@dataclass(frozen=True, slots=True)
class WalFile:
    """A file of the archive, as its key alone tells.

    Attributes:
        name: of the segment or history file.
        ended_at: the server's clock before the segment was ended: every transaction that was
            acknowledged by then lies in it or before it.
        plain_hash: first hexadecimal digits of the SHA-256 of its plain bytes.
        file: last part of its key.
    """

    name: str
    ended_at: datetime
    plain_hash: str
    file: str

    @property
    def timeline(self) -> int:
        """The timeline it belongs to."""
        return int(self.name[:8], 16)

    @classmethod
    def parse(cls, file: str) -> "WalFile | None":
        """Read the last part of a key; None for anything else."""
        match = _KEY.fullmatch(file)
        if match is None:
            return None
        moment = datetime.strptime(match["time"], _TIME).replace(tzinfo=UTC)
        return cls(match["name"], moment, match["hash"], file)

    @classmethod
    def make(cls, name: str, ended_at: datetime, plain_sha256: str) -> "WalFile":
        """Name a file; the time is cut to the second before it."""
        plain_hash = plain_sha256[:HASH_DIGITS]
        text = ended_at.astimezone(UTC).strftime(_TIME)
        moment = ended_at.astimezone(UTC).replace(microsecond=0)
        return cls(name, moment, plain_hash, f"{name}-{text}-{plain_hash}{SUFFIX}")

    def key(self, subject: str, system_identifier: str) -> str:
        """Return its key in a tier."""
        return f"{prefix(subject, system_identifier)}{self.timeline:08X}/{self.file}"


def prefix(subject: str, system_identifier: str) -> str:
    """Return what the keys of all WAL of a system begin with."""
    return f"{subject}/{FOLDER}/{system_identifier}/"


@dataclass(frozen=True, slots=True)
class Fork:
    """Where a timeline ended and the next one of a history began."""

    timeline: int
    position: int


def parse_history(content: bytes, timeline: int) -> tuple[Fork, ...]:
    """Read a history file: the ancestors of a timeline, oldest first.

    Raises:
        DamagedError: it is no history of that timeline.
    """
    forks: list[Fork] = []
    try:
        for line in content.decode().splitlines():
            words = line.split("#")[0].split()
            if words:
                forks.append(Fork(int(words[0]), parse_lsn(words[1])))
    except (ValueError, IndexError):
        raise DamagedError(f"{history_name(timeline)} is no history file") from None
    rising = [(one.timeline, one.position) for one in forks]
    if not forks or rising != sorted(rising) or forks[-1].timeline >= timeline:
        raise DamagedError(f"{history_name(timeline)} is no history of timeline {timeline}")
    return tuple(forks)
