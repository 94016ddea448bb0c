"""PostgreSQL: a base backup with the WAL it needs, by pg_basebackup, as one tar stream."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from backup.seal import CHUNK_BYTES
from backup.sources.settings import PostgresSourceSettings
from backup.sources.source import Captured, OpenObject
from backup.tables import TableRecord, measure, same_text_everywhere
from storewatch.core.clock import rfc3339
from storewatch.core.errors import BackupError
from storewatch.store.files import write_atomic

NAME = "postgres"
OBJECT = "postgres.tar"
_CONNECT_TIMEOUT_S = 10

_IDENTITY = """
SELECT (SELECT system_identifier::text FROM pg_control_system()),
       (SELECT timeline_id FROM pg_control_checkpoint()),
       current_setting('server_version'), pg_is_in_recovery(),
       (SELECT sum(pg_database_size(oid))::bigint FROM pg_database
        WHERE has_database_privilege(oid, 'CONNECT'))
"""

_BOUNDARY = """
SELECT least(clock_timestamp(),
             (SELECT min(xact_start) FROM pg_stat_activity WHERE pid <> pg_backend_pid()),
             (SELECT min(prepared) FROM pg_prepared_xacts)) - make_interval(secs => %s),
       pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')
"""

_START = re.compile(r"write-ahead log start point: ([0-9A-F]+/[0-9A-F]+) on timeline (\d+)")
_STOP = re.compile(r"write-ahead log end point: ([0-9A-F]+/[0-9A-F]+)")


class PostgresSource:
    """The primary at the time of the backup.

    Args:
        settings: where it is and what to record.
        programs: folder of pg_basebackup.
        scratch: private folder for the password file and pg_basebackup's messages.
    """

    name = NAME

    def __init__(self, settings: PostgresSourceSettings, programs: Path, scratch: Path) -> None:
        self._settings = settings
        self._programs = programs
        self._scratch = scratch

    def capture(self, open_object: OpenObject) -> Captured:
        """Record what a restore must show, then stream the base backup.

        Raises:
            BackupError: no primary answers, a recorded table is not there, pg_basebackup fails.
        """
        try:
            with psycopg.connect(
                self._settings.url.get_secret_value(),
                autocommit=True,
                connect_timeout=_CONNECT_TIMEOUT_S,
                application_name="storewatch backup",
            ) as connection:
                node = {"host": connection.info.host, "port": str(connection.info.port)}
                facts, size_bytes = self._record(connection)
        except psycopg.Error as error:
            raise BackupError(f"postgres: {_one_line(error)}") from error
        facts["node"] = f"{node['host']}:{node['port']}"
        facts.update(self._base_backup(open_object, node, size_bytes))
        if facts["timeline"] != facts.pop("stream_timeline"):
            raise BackupError(
                f"postgres: {facts['node']} changed its timeline during the backup (a promotion); "
                "run the backup again"
            )
        return Captured(facts)

    def _record(self, connection: psycopg.Connection[Any]) -> tuple[dict[str, Any], int | None]:
        row = connection.execute(_IDENTITY).fetchone()
        assert row is not None
        if row[3]:
            raise BackupError(
                "postgres: the node that answered is a standby; add "
                "target_session_attrs=read-write to the URL"
            )
        row_of_boundary = connection.execute(_BOUNDARY, (self._settings.settle,)).fetchone()
        assert row_of_boundary is not None
        boundary, sees_everybody = row_of_boundary
        facts: dict[str, Any] = {
            "object": OBJECT,
            "system_identifier": row[0],
            "timeline": row[1],
            "version": row[2],
            "boundary": boundary.isoformat(),
            "boundary_basis": "oldest transaction" if sees_everybody else "settle time only",
        }
        same_text_everywhere(connection)
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        taken = connection.execute("SELECT clock_timestamp(), pg_current_snapshot()::text")
        facts["snapshot_at"], facts["snapshot"] = taken.fetchone() or (None, None)
        facts["snapshot_at"] = rfc3339(facts["snapshot_at"])
        facts["tables"] = [t.to_json() for t in self._tables(connection, boundary)]
        facts["newest_at"] = newest(connection, self._settings.newest_query)
        connection.execute("COMMIT")
        return facts, row[4]

    def _tables(
        self, connection: psycopg.Connection[Any], boundary: datetime
    ) -> Iterator[TableRecord]:
        for table in self._settings.tables:
            up = table.parent
            parent = (up.table, up.key, up.column) if up else None
            yield measure(connection, table.name, table.columns, table.settled_by, parent, boundary)

    def _base_backup(
        self, open_object: OpenObject, node: dict[str, str], size_bytes: int | None
    ) -> dict[str, Any]:
        messages = self._scratch / "pg_basebackup.log"
        with (
            self._environment() as environment,
            messages.open("wb") as stderr,
            subprocess.Popen(
                self._command(node), stdout=subprocess.PIPE, stderr=stderr, env=environment
            ) as process,
        ):
            assert process.stdout is not None
            try:
                with open_object(OBJECT, size_bytes) as sink:
                    while chunk := process.stdout.read(CHUNK_BYTES):
                        sink.write(chunk)
                    if process.wait() != 0:
                        raise BackupError(f"postgres: {_last_line(messages)}")
            finally:
                process.kill()
        return _points(messages.read_text(errors="replace"))

    def _command(self, node: dict[str, str]) -> list[str]:
        parts = conninfo_to_dict(self._settings.url.get_secret_value())
        kept = {
            key: value
            for key, value in parts.items()
            if key not in ("password", "dbname", "target_session_attrs", "passfile")
        }
        return [
            str(self._programs / "pg_basebackup"),
            f"--dbname={make_conninfo('', **{**kept, **node})}",
            "--pgdata=-",
            "--format=tar",
            "--wal-method=fetch",
            f"--checkpoint={self._settings.checkpoint}",
            "--label=storewatch",
            "--no-password",
            "--verbose",
        ]

    @contextmanager
    def _environment(self) -> Iterator[dict[str, str]]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
        environment |= {"LC_ALL": "C", "PGCONNECT_TIMEOUT": str(_CONNECT_TIMEOUT_S)}
        password = conninfo_to_dict(self._settings.url.get_secret_value()).get("password")
        if not password:
            yield environment
            return
        file = self._scratch / "pgpass"
        escaped = str(password).replace("\\", "\\\\").replace(":", "\\:")
        write_atomic(file, f"*:*:*:*:{escaped}\n".encode(), mode=0o600)
        try:
            yield {**environment, "PGPASSFILE": str(file)}
        finally:
            file.unlink(missing_ok=True)


def newest(connection: psycopg.Connection[Any], query: str) -> str | None:
    """Return the time that the query finds, None without a query or a row."""
    if not query:
        return None
    row = connection.execute(query.encode()).fetchone()
    return None if row is None or row[0] is None else rfc3339(row[0])


def _points(messages: str) -> dict[str, Any]:
    start, stop = _START.search(messages), _STOP.search(messages)
    if start is None or stop is None:
        raise BackupError("postgres: pg_basebackup did not say from where to where its WAL goes")
    return {"start_lsn": start[1], "stop_lsn": stop[1], "stream_timeline": int(start[2])}


def _last_line(messages: Path) -> str:
    lines = messages.read_text(errors="replace").strip().splitlines()
    errors = [line for line in lines if "error:" in line or "FATAL" in line]
    return (errors or lines or ["pg_basebackup failed without a message"])[-1]


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
