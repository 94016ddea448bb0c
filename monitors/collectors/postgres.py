"""PostgreSQL, node by node, under postgres_exporter's names where the meaning is the same."""

from collections.abc import Iterable
from typing import Any

import psycopg
from prometheus_client.core import Metric
from psycopg.rows import dict_row

from monitors.families import gauge, unknown, value
from monitors.settings import PostgresNode, PostgresSettings

_UP = "Whether the server answers."

_SERVER = """
SELECT pg_is_in_recovery() AS in_recovery,
       extract(epoch FROM pg_postmaster_start_time())::float8 AS started,
       current_setting('max_connections')::int AS max_connections,
       coalesce((SELECT status = 'streaming' FROM pg_stat_wal_receiver), false) AS streaming,
       coalesce(pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), 0)::float8
         AS unreplayed_bytes,
       extract(epoch FROM now() - pg_last_xact_replay_timestamp())::float8 AS since_replay_s,
       (SELECT count(*) FROM pg_replication_slots WHERE NOT active)::int AS idle_slots
"""
_ACTIVITY = """
SELECT coalesce(state, 'background') AS state, count(*)::int AS count,
       coalesce(max(extract(epoch FROM now() - xact_start)), 0)::float8 AS longest_s
  FROM pg_stat_activity WHERE backend_type = 'client backend' GROUP BY 1
"""
_STANDBYS = """
SELECT application_name, state, coalesce(sync_state, 'async') AS sync_state,
       CASE WHEN pg_is_in_recovery() THEN 0
            ELSE coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn), 0) END::float8
         AS lag_bytes
  FROM pg_stat_replication
"""
_DATABASE = """
SELECT numbackends, xact_commit, xact_rollback, blks_read, blks_hit, tup_inserted, tup_updated,
       tup_deleted, conflicts, temp_bytes, deadlocks, pg_database_size(datid)::float8 AS size_bytes
  FROM pg_stat_database WHERE datname = current_database()
"""
_STATES = ("active", "idle", "idle in transaction", "idle in transaction (aborted)", "background")
_COUNTERS = (
    "xact_commit",
    "xact_rollback",
    "blks_read",
    "blks_hit",
    "tup_inserted",
    "tup_updated",
    "tup_deleted",
    "conflicts",
    "temp_bytes",
    "deadlocks",
)


class PostgresCollector:
    """One node, asked over a fresh connection: a server that lets nobody in is not up.

    Args:
        settings: database and account.
        node: the server that is asked.
    """

    def __init__(self, settings: PostgresSettings, node: PostgresNode) -> None:
        self.name = f"postgres-{node.name}"
        self.timeout_s = settings.timeout
        self._node = {"node": node.name}
        self._database = {**self._node, "datname": settings.database}
        self._others = [n.name for n in settings.nodes if n.name != node.name]
        self._options: dict[str, Any] = {
            "host": node.host,
            "port": node.port,
            "dbname": settings.database,
            "user": settings.user,
            "password": settings.password.get_secret_value() or None,
            "connect_timeout": 2,  # libpq knows no less
            "application_name": "storewatch",
            "options": f"-c statement_timeout={int(settings.timeout * 1000)}",
            "autocommit": True,
            "row_factory": dict_row,
        }

    def collect(self) -> Iterable[Metric]:
        """Ask the node for its role, load and replication."""
        with psycopg.connect(**self._options) as connection:
            server = connection.execute(_SERVER).fetchone()
            activity = connection.execute(_ACTIVITY).fetchall()
            standbys = connection.execute(_STANDBYS).fetchall()
            database = connection.execute(_DATABASE).fetchone()
        assert server is not None
        assert database is not None
        yield value("pg_up", _UP, 1, **self._node)
        yield from self._server(server)
        yield from self._activity(activity)
        yield from self._replication(server, standbys)
        yield from self._statistics(database)

    def down(self) -> Iterable[Metric]:
        """Say that the node does not answer."""
        yield value("pg_up", _UP, 0, **self._node)

    def _server(self, server: dict[str, Any]) -> Iterable[Metric]:
        in_recovery = float(server["in_recovery"])
        for name, documentation, number in (
            ("pg_in_recovery", "Whether the node is a standby.", in_recovery),
            ("pg_replication_is_replica", "Whether the node is a standby.", in_recovery),
            ("pg_postmaster_start_time_seconds", "Unix time of the start.", server["started"]),
            (
                "pg_settings_max_connections",
                "Limit of connections.",
                float(server["max_connections"]),
            ),
            (
                "pg_replication_slots_inactive",
                "Slots nobody reads, which hold back the removal of WAL.",
                float(server["idle_slots"]),
            ),
        ):
            yield value(name, documentation, number, **self._node)

    def _activity(self, rows: list[dict[str, Any]]) -> Iterable[Metric]:
        counts = dict.fromkeys(_STATES, 0) | {row["state"]: row["count"] for row in rows}
        yield gauge(
            "pg_stat_activity_count",
            "Connections of clients by state.",
            [({**self._node, "state": state}, count) for state, count in counts.items()],
        )
        yield value(
            "pg_stat_activity_max_tx_duration",
            "Age of the longest transaction in seconds.",
            max((row["longest_s"] for row in rows), default=0.0),
            **self._node,
        )

    def _replication(
        self, server: dict[str, Any], standbys: list[dict[str, Any]]
    ) -> Iterable[Metric]:
        if server["in_recovery"]:
            yield value(
                "pg_replication_lag_seconds",
                "How far the standby's data is behind.",
                replication_lag_s(
                    streaming=server["streaming"],
                    unreplayed_bytes=server["unreplayed_bytes"],
                    since_replay_s=server["since_replay_s"],
                ),
                **self._node,
            )
            yield value(
                "pg_replication_lag_bytes",
                "WAL that was received and not replayed.",
                server["unreplayed_bytes"],
                **self._node,
            )
            yield value(
                "pg_stat_wal_receiver_up",
                "Whether the standby streams from its primary.",
                float(server["streaming"]),
                **self._node,
            )
            return
        known = {row["application_name"]: row for row in standbys}
        yield gauge(
            "pg_replication_standby_streaming",
            "Whether the primary streams to this standby.",
            [
                ({**self._node, "standby": name}, name in known and _streams(known[name]))
                for name in self._others
            ],
        )
        yield gauge(
            "pg_replication_standby_sync",
            "Whether commits wait for this standby.",
            [
                ({**self._node, "standby": name}, name in known and _synchronous(known[name]))
                for name in self._others
            ],
        )
        yield gauge(
            "pg_stat_replication_pg_wal_lsn_diff",
            "WAL that the standby has not replayed, in bytes.",
            [
                (
                    {
                        **self._node,
                        "application_name": row["application_name"],
                        "state": row["state"],
                    },
                    row["lag_bytes"],
                )
                for row in standbys
                if row["application_name"] in self._others
            ],
        )

    def _statistics(self, row: dict[str, Any]) -> Iterable[Metric]:
        for name in _COUNTERS:
            yield unknown(
                f"pg_stat_database_{name}",
                f"{name} of pg_stat_database.",
                [(self._database, row[name])],
            )
        yield value(
            "pg_stat_database_numbackends",
            "Connections to the database.",
            row["numbackends"],
            **self._database,
        )
        yield value(
            "pg_database_size_bytes", "Size of the database.", row["size_bytes"], **self._database
        )


def replication_lag_s(
    *, streaming: bool, unreplayed_bytes: float, since_replay_s: float | None
) -> float:
    """Return how many seconds a standby is behind.

    A standby that streams and has replayed all it received is not behind, however long ago the
    last transaction was; one that does not stream is behind by the age of what it knows.

    Source: postgres_exporter's pg_replication collector, with the receiver's state added.
    """
    if streaming and unreplayed_bytes <= 0:
        return 0.0
    return max(0.0, since_replay_s or 0.0)


def _streams(row: dict[str, Any]) -> bool:
    return bool(row["state"] == "streaming")


def _synchronous(row: dict[str, Any]) -> bool:
    return row["sync_state"] in ("sync", "quorum")
