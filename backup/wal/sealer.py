"""From what pg_receivewal wrote to sealed files in every outbox; a kill at any point loses nothing.

Order: seal into a scratch file; link it into each outbox; note the position; remove what was
received. Killed before the note, the same segment is sealed again, and each outbox keeps one.
"""

import shutil
from collections import deque
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from backup.seal import CHUNK_BYTES, Sizes, sealing
from backup.spool import Spool
from backup.wal.names import Segment, WalFile
from backup.wal.outbox import Outbox
from backup.wal.position import Position, finished_segments, histories
from backup.wal.primary import Reading

_MOST_READINGS = 10_000


class Sealer:
    """Seals in order.

    Args:
        folder: of the archiver.
        position: how far we are.
        outboxes: one for each tier.
        recipients: age recipients.
        level: of zstd.
        minimum_free_bytes: what must stay free on the spool.
    """

    def __init__(
        self,
        folder: Path,
        position: Position,
        outboxes: Iterable[Outbox],
        recipients: list[Any],
        level: int,
        minimum_free_bytes: int,
    ) -> None:
        self._folder = folder
        self._position = position
        self._outboxes = list(outboxes)
        self._recipients = recipients
        self._level = level
        self._spool = Spool(folder, minimum_free_bytes)
        self._readings: deque[Reading] = deque(maxlen=_MOST_READINGS)
        self._histories: set[str] = set()
        self._received = folder / "received"
        self._scratch = folder / "sealing"
        self._received.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir(mode=0o700)

    def remember(self, reading: Reading) -> None:
        """Keep a moment, to name segments by."""
        self._readings.append(reading)

    def room(self) -> None:
        """Make sure that the spool takes more.

        Raises:
            BackupError: it does not.
        """
        self._spool.guard(0)

    def seal_finished(self) -> int:
        """Seal all that is whole, and return how many segments that were.

        Raises:
            BackupError: the spool is full.
            OSError: it cannot be written.
        """
        for name in histories(self._received):
            if name not in self._histories:
                self._seal(name, self._position.moment)
                self._histories.add(name)
        size, count = self._position.segment_bytes, 0
        for segment in finished_segments(self._received, size):
            if not self._position.covers(segment):
                at, transaction = self._moment(segment.end(size))
                self._seal(segment.name(size), at)
                self._position.advance(segment, at, transaction)
                self._position.write(self._folder)
                count += 1
        if count:
            self._forget()
        return count

    def _moment(self, end: int) -> tuple[datetime, int]:
        """Return the newest moment whose position lies before the end of a segment."""
        found = (self._position.moment, self._position.next_transaction)
        while self._readings and self._readings[0].position <= end:
            reading = self._readings.popleft()
            if reading.at >= found[0]:
                found = (reading.at, reading.next_transaction)
        return found

    def _seal(self, name: str, at: datetime) -> None:
        self._spool.guard(0)
        scratch = self._scratch / name
        scratch.unlink(missing_ok=True)
        sizes = self._sealed(self._received / name, scratch)
        file = WalFile.make(name, at, sizes.plain_sha256)
        for outbox in self._outboxes:
            outbox.take(scratch, file)
        scratch.unlink()

    def _sealed(self, source: Path, destination: Path) -> Sizes:
        with (
            source.open("rb") as plain,
            sealing(destination, self._recipients, self._level) as sink,
        ):
            while chunk := plain.read(CHUNK_BYTES):
                sink.write(chunk)
        assert sink.sizes is not None
        return sink.sizes

    def _forget(self) -> None:
        """Remove what is sealed but the greatest, behind which pg_receivewal goes on."""
        size = self._position.segment_bytes
        found = finished_segments(self._received, size)
        for segment in found[:-1]:
            if self._position.covers(segment):
                (self._received / segment.name(size)).unlink()

    def clear(self, whole: set[Segment], partial: Segment | None) -> None:
        """Remove what was received and does not lead on.

        Args:
            whole: the whole segments that stay.
            partial: the one under way that stays: it may be all there is of the last transactions.
        """
        for path in self._received.iterdir():
            name = path.name.removesuffix(".partial")
            try:
                segment = Segment.parse(name, self._position.segment_bytes)
            except ValueError:
                continue
            if segment != partial if name != path.name else segment not in whole:
                path.unlink()
