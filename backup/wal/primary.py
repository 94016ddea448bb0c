"""The primary as the WAL archiver sees it: who it is, where it writes, its replication slot."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.pq import ExecStatus

from backup.sources.postgres_login import CONNECT_TIMEOUT_S, program_conninfo
from backup.sources.settings import PostgresSourceSettings
from backup.wal.names import Fork, parse_history, parse_lsn
from storewatch.core.errors import BackupError

_IDENTITY = """
SELECT (SELECT system_identifier::text FROM pg_control_system()),
       pg_size_bytes(current_setting('wal_segment_size')),
       left(pg_walfile_name(pg_current_wal_insert_lsn()), 8),
       current_setting('server_version_num')::int / 10000
"""
# The clock before the position: what was acknowledged by then lies before the position.
_LOOK = """
SELECT clock_timestamp(), pg_current_wal_insert_lsn()::text,
       pg_snapshot_xmax(pg_current_snapshot())::text
"""


@dataclass(frozen=True, slots=True)
class Reading:
    """A moment of the primary.

    Attributes:
        at: its clock; every transaction acknowledged by then lies before `position`.
        position: where it writes next.
        next_transaction: it grows with every transaction that writes.
    """

    at: datetime
    position: int
    next_transaction: int


class Primary:
    """A connection to the node that takes writes.

    Args:
        settings: of the source.

    Raises:
        BackupError: none answers, or it is a standby.
    """

    def __init__(self, settings: PostgresSourceSettings) -> None:
        self._settings = settings
        try:
            self._connection = psycopg.connect(
                settings.url.get_secret_value(),
                autocommit=True,
                connect_timeout=CONNECT_TIMEOUT_S,
                application_name="storewatch wal",
            )
        except psycopg.Error as error:
            raise BackupError(f"postgres: {' '.join(str(error).split())}") from error
        info = self._connection.info
        self.node = {"host": info.host, "port": str(info.port)}
        row = self._one("SELECT pg_is_in_recovery()")
        if row[0]:
            self.close()
            raise BackupError(
                "postgres: the node that answered is a standby; add "
                "target_session_attrs=read-write to the URL"
            )
        self.system_identifier, self.segment_bytes, timeline, self.major = self._one(_IDENTITY)
        self.timeline = int(timeline, 16)

    def __enter__(self) -> "Primary":
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def look(self) -> Reading:
        """Read clock and position, in this order.

        Raises:
            psycopg.Error: the connection is lost.
        """
        at, position, transaction = self._one(_LOOK)
        return Reading(at, parse_lsn(position), int(transaction))

    def end_segment(self) -> None:
        """Let the server go on in the next segment.

        Raises:
            BackupError: the role may not.
            psycopg.Error: the connection is lost.
        """
        try:
            self._one("SELECT pg_switch_wal()")
        except psycopg.errors.InsufficientPrivilege:
            raise BackupError(
                "postgres: the role may not end a WAL segment; run as a superuser: GRANT EXECUTE "
                f"ON FUNCTION pg_switch_wal() TO {self._connection.info.user}"
            ) from None

    def ensure_slot(self, name: str, *, anew: bool = False) -> None:
        """Make the replication slot when it is missing or lost; it keeps WAL from now on.

        Args:
            name: of the slot.
            anew: make it again, because it points at WAL that nobody has.

        Raises:
            BackupError: the role may not, or somebody else uses it.
        """
        try:
            row = self._connection.execute(
                "SELECT coalesce(wal_status, '') FROM pg_replication_slots WHERE slot_name = %s",
                (name,),
            ).fetchone()
            if row is not None and (anew or row[0] == "lost"):
                self._one("SELECT pg_drop_replication_slot(%s)", name)
                row = None
            if row is None:
                self._one("SELECT pg_create_physical_replication_slot(%s, true)", name)
        except psycopg.Error as error:
            raise BackupError(f"postgres: slot {name}: {' '.join(str(error).split())}") from error

    def history(self) -> tuple[Fork, ...]:
        """Return the ancestors of the primary's timeline; none for the first one.

        Raises:
            BackupError: the replication connection does not answer.
        """
        if self.timeline == 1:
            return ()
        answer = self._replication(f"TIMELINE_HISTORY {self.timeline}")
        return parse_history(answer, self.timeline)

    def _replication(self, command: str) -> bytes:
        password = self._connection.info.password
        conninfo = program_conninfo(
            self._settings.url, replication="true", password=password, dbname="", **self.node
        )
        link = psycopg.pq.PGconn.connect(conninfo.encode())
        try:
            result = link.exec_(command.encode())
            content = result.get_value(0, 1) if result.status == ExecStatus.TUPLES_OK else None
            if content is None:
                text = link.error_message.decode(errors="replace")
                raise BackupError(f"postgres: {command}: {' '.join(text.split())}")
            return content
        finally:
            link.finish()

    def _one(self, query: str, *values: object) -> Any:
        row = self._connection.execute(query.encode(), values or None).fetchone()
        assert row is not None
        return row
