"""The WAL archiver: receive, seal, deliver, follow a promotion, and say how it stands."""

import json
import logging
import threading
import time
from pathlib import Path

import psycopg

from backup.errors import one_line
from backup.keys import load_recipients
from backup.settings import BackupSettings
from backup.sources.settings import PostgresSourceSettings
from backup.tiers.registry import open_tiers
from backup.wal.names import FACTS, PAGE_HEADER_BYTES, Fork, Segment, format_lsn
from backup.wal.outbox import Outbox, open_outboxes
from backup.wal.position import Position
from backup.wal.primary import Primary, Reading
from backup.wal.receiver import Receiver, place_marker
from backup.wal.report import report
from backup.wal.sealer import Sealer
from backup.wal.status import WalStatus, wal_folder
from storewatch.core.errors import BackupError, UsageError
from storewatch.store.files import write_atomic
from storewatch.store.lock import held
from storewatch.store.postgres_programs import find_postgres

_LOG = logging.getLogger("storewatch.wal")
_POLL_S = 0.2
_LOOK_EVERY_S = 1.0
_PAUSE_S = 1.0
_END_S = 5.0
_LITTLE_BYTES = 4096
"""An idle server writes less than this between checkpoints; that alone ends no segment."""
_PATIENCE = 10
"""What no transaction wrote (a restore point) is archived after so many intervals."""


def run_archiver(settings: BackupSettings, stop: threading.Event) -> None:
    """Archive WAL until told to stop; whatever breaks is tried again and said in status.json.

    Call it in the thread that lives as long as the process: pg_receivewal ends with its thread.

    Args:
        settings: of the package.
        stop: ends the work; what is received and sealed by then stays in the spool.

    Raises:
        UsageError: there is no source `postgres`, nobody to seal to, or a tier holds WAL of another
            database.
        BusyError: another archiver uses this spool.
    """
    source = settings.sources.postgres
    if source is None:
        raise UsageError("backup.sources.postgres is not set; there is no WAL to archive")
    folder = wal_folder(settings)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with held(folder / "lock", "a WAL archiver"):
        _Archiver(settings, source, folder).run(stop)


class _Archiver:
    """One run."""

    def __init__(
        self, settings: BackupSettings, source: PostgresSourceSettings, folder: Path
    ) -> None:
        self._settings = settings
        self._source = source
        self._folder = folder
        self._recipients = load_recipients(settings)
        self._programs = find_postgres(source.bin, settings.programs_cache)
        self._position = Position.read(folder)
        self._status = WalStatus(slot=settings.wal.slot)
        self._outboxes: dict[str, Outbox] = {}
        self._sealer: Sealer | None = None
        self._last: Reading | None = None
        self._ended_at = time.monotonic()

    def run(self, stop: threading.Event) -> None:
        try:
            if self._position.system_identifier:
                self._open()
            while not stop.is_set():
                try:
                    self._follow(stop)
                except (psycopg.Error, BackupError, OSError) as error:
                    self._trouble("waiting", one_line(error))
                stop.wait(_PAUSE_S)
        except UsageError as error:
            self._status.errors = [str(error)]
            raise
        finally:
            self._status.state = "stopped"
            for outbox in self._outboxes.values():
                outbox.stop()
            for outbox in self._outboxes.values():
                outbox.join(_END_S)
            self._say()

    def _open(self) -> None:
        """Open outboxes and sealer once the database is known."""
        if self._sealer is not None:
            return
        position = self._position
        facts = self._folder / FACTS
        content = {
            "system_identifier": position.system_identifier,
            "wal_segment_bytes": position.segment_bytes,
        }
        write_atomic(facts, (json.dumps(content) + "\n").encode())
        self._outboxes = open_outboxes(
            lambda tier: Outbox(
                tier,
                self._settings.subject,
                position.system_identifier,
                self._folder / "pending" / tier.name,
                facts,
            ),
            open_tiers(self._settings),
        )
        self._sealer = Sealer(
            self._folder,
            position,
            self._outboxes.values(),
            self._recipients,
            self._settings.zstd_level,
            self._settings.minimum_free_bytes,
        )
        for outbox in self._outboxes.values():
            outbox.start()

    def _follow(self, stop: threading.Event) -> None:
        """Work with one node until it is gone or we are to stop."""
        with Primary(self._source) as primary:
            node = ":".join(primary.node.values())
            self._position.belongs_to(primary.system_identifier, primary.segment_bytes, node)
            self._open()
            assert self._sealer is not None
            self._sealer.seal_finished()
            self._sealer.room()
            self._last = primary.look()
            self._sealer.remember(self._last)
            self._status.node, self._status.timeline = node, primary.timeline
            self._lead_on(primary)
            primary.ensure_slot(self._settings.wal.slot)
            with Receiver(
                self._source, self._settings.wal, self._programs, primary.node, self._folder
            ) as receiver:
                self._status.state, self._status.errors = "receiving", []
                self._receive(primary, receiver, stop)

    def _receive(self, primary: Primary, receiver: Receiver, stop: threading.Event) -> None:
        assert self._sealer is not None
        looked_at = 0.0
        while not stop.wait(_POLL_S):
            if self._sealer.seal_finished():
                self._ended_at = time.monotonic()
            if receiver.ended:
                self._given_up(primary, receiver)
                return
            if time.monotonic() - looked_at >= _LOOK_EVERY_S:
                looked_at = time.monotonic()
                self._sealer.room()
                self._last = primary.look()
                self._sealer.remember(self._last)
                self._end_segment_when_due(primary)
                self._say()

    def _end_segment_when_due(self, primary: Primary) -> None:
        """End the segment under way when it is old and holds something."""
        now, interval, seen = time.monotonic(), self._settings.wal.interval, self._last
        assert seen is not None
        if now - self._ended_at < interval:
            return
        last = self._position.last
        moved = 2 * _LITTLE_BYTES  # a timeline that was never archived is
        if last and last.timeline == primary.timeline:
            moved = seen.position - last.end(primary.segment_bytes)
        written = seen.next_transaction != self._position.next_transaction
        patient = now - self._ended_at >= _PATIENCE * interval
        if moved > PAGE_HEADER_BYTES and (written or moved > _LITTLE_BYTES or patient):
            primary.end_segment()
            self._ended_at = now

    def _lead_on(self, primary: Primary) -> None:
        """Let pg_receivewal go on behind what was sealed, on whatever timeline that leads to.

        Raises:
            BackupError: the node stayed behind a promotion.
        """
        last = self._position.last
        if last is None or self._position.anew:
            return
        if primary.timeline < last.timeline:
            raise BackupError(
                f"postgres: {self._status.node} is on timeline {primary.timeline}, but WAL of "
                f"timeline {last.timeline} was archived: it was left behind by a promotion; "
                "take it out of the URL or rejoin it with pg_rewind"
            )
        received, size = self._folder / "received", self._position.segment_bytes
        fork = _fork_of(primary, last.timeline)
        if fork is None:
            self._start_anew(primary, f"timeline {primary.timeline} does not come from ours")
            return
        first = Segment(last.number + 1, last.timeline)
        if first.number * size > fork.position:
            # What was written behind the fork is lost to the new primary, and stays archived.
            first = Segment.holding(fork.position, last.timeline, size)
        marker = Segment(first.number - 1, first.timeline)
        assert self._sealer is not None
        self._sealer.clear({marker}, first)
        if not (received / marker.name(size)).exists():
            place_marker(received, marker.name(size), size)

    def _given_up(self, primary: Primary, receiver: Receiver) -> None:
        if receiver.wal_is_gone():
            self._start_anew(primary, receiver.reason())
        self._trouble("waiting", receiver.reason())

    def _start_anew(self, primary: Primary, reason: str) -> None:
        """Go on with what the server still has; the gap stays visible in the archive."""
        _LOG.error("a gap in the archive, a new base backup is needed: %s", reason)
        assert self._sealer is not None
        self._sealer.clear(set(), None)
        self._position.anew = True
        self._position.write(self._folder)
        primary.ensure_slot(self._settings.wal.slot, anew=True)
        last = primary.look()
        segment = Segment.holding(last.position, primary.timeline, primary.segment_bytes)
        self._status.errors = [f"gap before {segment.name(primary.segment_bytes)}: {reason}"]

    def _trouble(self, state: str, error: str) -> None:
        self._status.state = "full" if "must stay free" in error else state
        if error not in self._status.errors:
            _LOG.warning("%s", error)
            self._status.errors = [*self._status.errors[-4:], error]
        self._say()

    def _say(self) -> None:
        status = self._status
        status.current_lsn = format_lsn(self._last.position) if self._last else ""
        report(status, self._settings, self._position, self._outboxes, self._last)
        status.write(self._folder)


def _fork_of(primary: Primary, timeline: int) -> Fork | None:
    """Return where a timeline ended in the primary's history; none when it is no ancestor."""
    if primary.timeline == timeline:
        return Fork(timeline, 1 << 64)
    return next((one for one in primary.history() if one.timeline == timeline), None)
