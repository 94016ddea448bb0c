"""PostgreSQL, node by node, under postgres_exporter's names where the meaning is the same.

One exporter watches several servers, so every series carries the label `node`, where those of
postgres_exporter are told apart by `instance`.
"""

import logging
from collections.abc import Iterable
from typing import Any

import psycopg
from prometheus_client.core import Metric
from psycopg.rows import dict_row

from monitors.collectors.postgres import activity, replication, storage
from monitors.collectors.postgres.part import Part
from monitors.families import gauge, value
from monitors.settings import PostgresNode, PostgresSettings

_log = logging.getLogger(__name__)

PARTS = (*activity.PARTS, *replication.PARTS, *storage.PARTS)

_UP = "Whether the server answers."
_LOCK_TIMEOUT_MS = 200
"""Nothing we ask should wait for a lock; what does anyway may not hold up the other parts."""


class PostgresCollector:
    """One node, asked over a fresh connection: a server that lets nobody in is not up.

    A part that fails (no right to look, a view of another version) is left out and named.

    Args:
        settings: database, account and thresholds.
        node: the server that is asked.
    """

    def __init__(self, settings: PostgresSettings, node: PostgresNode) -> None:
        self.name = f"postgres-{node.name}"
        self.timeout_s = settings.timeout
        self._node = {"node": node.name}
        self._failing: set[str] = set()
        self._parameters = {
            "others": [n.name for n in settings.nodes if n.name != node.name],
            "slow_s": settings.slow_statement,
            "long_s": settings.long_transaction,
            "maximum_tables": settings.maximum_tables,
        }
        self._options = connection_options(
            settings, settings.timeout, host=node.host, port=node.port, name="storewatch"
        )

    def collect(self) -> Iterable[Metric]:
        """Ask the node, part by part."""
        families: list[Metric] = []
        failed: dict[str, float] = {}
        with psycopg.connect(**self._options) as connection:
            for part in self._suitable(connection):
                try:
                    rows = connection.execute(part.sql.encode(), self._parameters).fetchall()
                    families.extend(part.families(rows, self._node))
                    failed[part.name] = 0.0
                except psycopg.Error as error:
                    if connection.closed or connection.broken:
                        raise
                    self._note(part, error)
                    failed[part.name] = 1.0
        self._failing = {name for name, number in failed.items() if number}
        yield value("pg_up", _UP, 1, **self._node)
        yield gauge(
            "storewatch_pg_part_failed",
            "Whether the node refused what this part of the collector asks.",
            [({**self._node, "part": name}, number) for name, number in failed.items()],
        )
        yield from families

    def down(self) -> Iterable[Metric]:
        """Say that the node does not answer."""
        yield value("pg_up", _UP, 0, **self._node)

    def _suitable(self, connection: psycopg.Connection[dict[str, Any]]) -> list[Part]:
        """Return the parts that this server can be asked for."""
        conditions = "".join(f', ({p.requires}) AS "{p.name}"' for p in PARTS)
        sql = f"SELECT current_setting('server_version_num')::int AS version{conditions}"
        server = connection.execute(sql.encode(), {}).fetchone()
        assert server is not None
        return [part for part in PARTS if part.fits(server["version"]) and server[part.name]]

    def _note(self, part: Part, error: psycopg.Error) -> None:
        if part.name not in self._failing:
            reason = str(error).partition("\n")[0]
            _log.warning("%s: part %s: %s", self._node["node"], part.name, reason)


def connection_options(
    settings: PostgresSettings, statement_s: float, *, host: str, port: int, name: str
) -> dict[str, Any]:
    """Return how to reach one node to look, never to write.

    Args:
        settings: database and account.
        statement_s: longest statement, kept by the server.
        host, port: the node.
        name: what the server calls the session.
    """
    return {
        "host": host,
        "port": port,
        "dbname": settings.database,
        "user": settings.user,
        "password": settings.password.get_secret_value() or None,
        "connect_timeout": 2,  # libpq knows no less
        # A host that vanished without a word is noticed within 5 s, not after hours.
        "keepalives_idle": 2,
        "keepalives_interval": 1,
        "keepalives_count": 3,
        "tcp_user_timeout": 5000,
        "application_name": name,
        "options": (
            f"-c statement_timeout={int(statement_s * 1000)}"
            f" -c lock_timeout={_LOCK_TIMEOUT_MS} -c default_transaction_read_only=on"
        ),
        "autocommit": True,
        "row_factory": dict_row,
    }
