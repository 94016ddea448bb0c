"""PostgreSQL: a base backup with the WAL it needs, by pg_basebackup, as one tar stream."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

from backup.parents import Parent, Parents, Server, choose_parent, major
from backup.sources.base_backup import BaseBackup, NoIncrementError
from backup.sources.postgres_login import logged_in, node_of
from backup.sources.settings import PostgresSourceSettings
from backup.sources.source import Captured, OpenObject
from backup.tables import TableRecord, measure, same_text_everywhere, stored_in
from storewatch.core.clock import rfc3339
from storewatch.core.errors import BackupError

NAME = "postgres"
OBJECT = "postgres.tar"

_IDENTITY = """
SELECT (SELECT system_identifier::text FROM pg_control_system()),
       CASE WHEN pg_is_in_recovery() THEN 0 ELSE
         ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int END,
       current_setting('server_version'), pg_is_in_recovery(),
       (SELECT sum(pg_database_size(oid))::bigint FROM pg_database
        WHERE has_database_privilege(oid, 'CONNECT')),
       pg_size_bytes(current_setting('wal_segment_size')),
       current_setting('data_directory', true),
       current_setting('summarize_wal', true)
"""

_BOUNDARY = """
SELECT least(clock_timestamp(),
             (SELECT min(xact_start) FROM pg_stat_activity WHERE pid <> pg_backend_pid()),
             (SELECT min(prepared) FROM pg_prepared_xacts)) - make_interval(secs => %s),
       pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')
"""


class PostgresSource:
    """The primary at the time of the backup.

    Args:
        settings: where it is and what to record.
        programs: folder of pg_basebackup.
        scratch: private folder for the password file and pg_basebackup's messages.
        parents: earlier base backups that this one may build on.
        in_every_tier: tells what is wrong with the copies of a recovery point, empty when nothing.
    """

    name = NAME

    def __init__(
        self,
        settings: PostgresSourceSettings,
        programs: Path,
        scratch: Path,
        parents: Parents,
        in_every_tier: Callable[[str], str],
    ) -> None:
        self._parents = parents
        self._in_every_tier = in_every_tier
        self._settings = settings
        self._programs = programs
        self._scratch = scratch

    def capture(self, open_object: OpenObject) -> Captured:
        """Record what a restore must show, then stream the base backup.

        Raises:
            BackupError: no primary answers, a recorded table is not there, pg_basebackup fails.
        """
        with logged_in(self._settings.url, "backup") as connection:
            node = node_of(connection)
            base = BaseBackup(self._settings, self._programs, self._scratch, node)
            base.refuse_other_major(connection.info.server_version // 10000)
            facts, size_bytes = self._record(connection)
        facts["node"] = f"{node['host']}:{node['port']}"
        facts.update(self._base_backup(open_object, base, facts, size_bytes))
        self._finish(node, facts)
        if facts["timeline"] != facts.pop("stream_timeline"):
            raise BackupError(
                f"postgres: {facts['node']} changed its timeline during the backup (a promotion); "
                "run the backup again"
            )
        return Captured(facts)

    def _finish(self, node: dict[str, str], facts: dict[str, Any]) -> None:
        """Note the server's clock, and leave out tables that can no longer be compared."""
        before = facts.pop("stored_in")
        with logged_in(self._settings.url, "backup", **node) as connection:
            row = connection.execute("SELECT clock_timestamp()").fetchone()
            after = {name: stored_in(connection, name) for name in before}
        assert row is not None
        facts["stop_at"] = row[0].isoformat()  # in microseconds: a target may lie right behind it
        changed = [name for name in before if before[name] != after[name]]
        facts["tables"] = [one for one in facts["tables"] if one["name"] not in changed]
        facts["not_compared"] = [
            f"{name} was {'rewritten or truncated' if after[name] else 'dropped'} during the backup"
            for name in changed
        ]

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
            "wal_segment_bytes": row[5],
            "data_directory": row[6],
            "summarizes": row[7] == "on",
            "boundary": boundary.isoformat(),
            "boundary_basis": "oldest transaction" if sees_everybody else "settle time only",
        }
        same_text_everywhere(connection)
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        taken = connection.execute("SELECT clock_timestamp(), pg_current_snapshot()::text")
        facts["snapshot_at"], facts["snapshot"] = taken.fetchone() or (None, None)
        facts["snapshot_at"] = rfc3339(facts["snapshot_at"])
        facts["tables"] = [t.to_json() for t in self._tables(connection, boundary)]
        names = [one.name for one in self._settings.tables]
        facts["stored_in"] = {name: stored_in(connection, name) for name in names}
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
        self, open_object: OpenObject, base: BaseBackup, facts: dict[str, Any], size: int | None
    ) -> dict[str, Any]:
        """Stream an incremental backup where one can be made, else a full one, and say why."""
        parent, reason = self._parent(facts)
        if parent is not None:
            manifest = self._parents.manifest(parent.id)
            assert manifest is not None
            try:
                return {"parent": parent.id, **base.run(open_object, OBJECT, size, manifest)}
            except NoIncrementError as error:
                reason = str(error)
        return {"full_because": reason, **base.run(open_object, OBJECT, size, None)}

    def _parent(self, facts: dict[str, Any]) -> tuple[Parent | None, str]:
        server = Server(
            facts["system_identifier"],
            facts["timeline"],
            major(facts["version"]),
            summarizes=facts.pop("summarizes"),
        )
        return choose_parent(
            self._parents, server, time.time(), self._settings.full_every, self._in_every_tier
        )


def newest(connection: psycopg.Connection[Any], query: str) -> str | None:
    """Return the time that the query finds, None without a query or a row."""
    if not query:
        return None
    row = connection.execute(query.encode()).fetchone()
    return None if row is None or row[0] is None else rfc3339(row[0])
