"""Look into fetched WAL with pg_waldump: is there a commit after a time, where is a name."""

import os
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

from backup.wal.names import Segment, format_lsn, parse_lsn

# Source: PostgreSQL 18, xact_desc_commit (xactdesc.c) and xlog_desc (xlogdesc.c).
_LINE = re.compile(r"rmgr: (\S+) .*?tx: +(\d+), lsn: ([0-9A-F]+/[0-9A-F]+), .*?desc: (.*)")
_ENDED = re.compile(r"(?:COMMIT|ABORT)(?:_PREPARED (\d+):)? (\d{4}-\S+ [0-9:.]+)")
_POINT = "RESTORE_POINT "


class WalDump:
    """Fetched segments.

    Args:
        program: pg_waldump.
        folder: with the segments.
        segment_bytes: of the database.
    """

    def __init__(self, program: Path, folder: Path, segment_bytes: int) -> None:
        self._program = program
        self._folder = folder
        self._size = segment_bytes

    def has_commit_after(self, segments: Sequence[Segment], moment: datetime) -> bool:
        """Tell whether a transaction ended after a moment."""
        for _at, _transaction, text in self._records(segments, "Transaction"):
            if (match := _ENDED.match(text)) and _moment(match[2]) > moment:
                return True
        return False

    def has_record_from(self, segment: Segment, position: int) -> bool:
        """Tell whether a record begins at a position or behind it, in the segment."""
        start = max(position, segment.number * self._size)
        return any(at >= position for at, _tx, _text in self._run(segment.timeline, start, segment))

    def find_restore_point(self, segments: Sequence[Segment], name: str) -> int | None:
        """Return where a restore point was made."""
        wanted = _POINT + name
        records = self._records(segments, "XLOG")
        return next((at for at, _tx, text in records if text == wanted), None)

    def find_end(self, segments: Sequence[Segment], transaction: int) -> int | None:
        """Return where a transaction was committed or aborted."""
        for at, owner, text in self._records(segments, "Transaction"):
            if (match := _ENDED.match(text)) and int(match[1] or owner) == transaction:
                return at
        return None

    def _records(self, segments: Sequence[Segment], manager: str) -> Iterator[tuple[int, int, str]]:
        by_timeline: Callable[[Segment], int] = lambda one: one.timeline  # noqa: E731
        for timeline, group in groupby(segments, by_timeline):
            found = list(group)
            yield from self._run(timeline, found[0].number * self._size, found[-1], manager)

    def _run(
        self, timeline: int, start: int, last: Segment, manager: str = ""
    ) -> Iterator[tuple[int, int, str]]:
        """Yield position, transaction and description; it ends where the WAL does."""
        command = [
            str(self._program),
            f"--path={self._folder}",
            f"--timeline={timeline}",
            f"--start={format_lsn(start)}",
            f"--end={format_lsn(last.end(self._size))}",  # else it waits for the next file
            *([f"--rmgr={manager}"] if manager else []),
        ]
        environment = {**os.environ, "TZ": "UTC", "LC_ALL": "C"}
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            errors="replace",
            env=environment,
        ) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    match = _LINE.match(line)
                    if match and (at := parse_lsn(match[3])) < last.end(self._size):
                        yield at, int(match[2]), match[4].strip()
            finally:
                process.kill()


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
