"""The business in figures: queries of the settings, asked of whichever database node answers."""

import logging
from collections.abc import Iterable
from typing import Any

import psycopg
from prometheus_client.core import Metric
from psycopg.rows import dict_row

from monitors.families import counter, gauge, value
from monitors.settings import BusinessQuery, BusinessSettings, PostgresSettings

_log = logging.getLogger(__name__)

_UP = "Whether the business's figures could be asked for."


class BusinessCollector:
    """All queries over one connection, kept from scrape to scrape, standbys preferred.

    A counter that the database says has fallen (a restored copy, a standby that is behind) holds
    its value until it is passed again, so that nothing is counted twice.
    """

    name = "business"

    def __init__(self, settings: BusinessSettings, database: PostgresSettings) -> None:
        self.timeout_s = settings.timeout
        self._settings = settings
        self._connection: psycopg.Connection[dict[str, Any]] | None = None
        self._peaks: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        self._failing: set[str] = set()
        nodes = database.nodes
        self._options: dict[str, Any] = {
            "host": ",".join(n.host for n in nodes),
            "port": ",".join(str(n.port) for n in nodes),
            "dbname": database.database,
            "user": database.user,
            "password": database.password.get_secret_value() or None,
            "connect_timeout": 2,
            "target_session_attrs": "prefer-standby",
            "application_name": "storewatch-business",
            "options": (
                f"-c statement_timeout={int(settings.timeout * 1000)}"
                " -c default_transaction_read_only=on"
            ),
            "autocommit": True,
            "row_factory": dict_row,
        }

    def collect(self) -> Iterable[Metric]:
        """Run the queries; one that fails is left out and named, the others stand."""
        families, failed = [], {}
        for query in self._settings.queries:
            try:
                families.append(self._family(query, self._rows(query)))
                failed[query.name] = 0.0
            except (psycopg.Error, ValueError, TypeError, KeyError) as error:
                if isinstance(error, psycopg.Error) and self._broken():
                    raise  # not the query's fault
                if query.name not in self._failing:
                    _log.warning("query %s: %s", query.name, str(error).partition("\n")[0])
                failed[query.name] = 1.0
        self._failing = {name for name, number in failed.items() if number}
        yield value("storewatch_business_up", _UP, 1)
        yield gauge(
            "storewatch_business_query_failed",
            "Whether the query was refused or returned what is no metric.",
            [({"query": name}, number) for name, number in failed.items()],
        )
        yield from families

    def down(self) -> Iterable[Metric]:
        """Say that no node answers."""
        yield value("storewatch_business_up", _UP, 0)

    def _rows(self, query: BusinessQuery) -> list[dict[str, Any]]:
        """Return a query's rows. A connection that broke is made again, once."""
        kept = self._connection is not None
        try:
            return self._run(query)
        except psycopg.Error:
            if not kept or not self._broken():
                raise
        return self._run(query)

    def _broken(self) -> bool:
        return self._connection is None or self._connection.closed

    def _run(self, query: BusinessQuery) -> list[dict[str, Any]]:
        if self._connection is None or self._connection.closed:
            self._connection = None
            self._connection = psycopg.connect(**self._options)
        limit = self._settings.maximum_rows
        with self._connection.cursor() as cursor:
            cursor.execute(query.sql.encode())
            rows = cursor.fetchmany(limit + 1)
        if len(rows) > limit:
            raise ValueError(f"more than {limit} rows; group by a bounded set")
        return rows

    def _family(self, query: BusinessQuery, rows: list[dict[str, Any]]) -> Metric:
        samples = []
        for row in rows:
            labels = {name: str(content) for name, content in row.items() if name != "value"}
            number = float(row["value"])
            if query.type == "counter":
                key = (query.name, tuple(sorted(labels.items())))
                number = self._peaks[key] = max(number, self._peaks.get(key, 0.0))
            samples.append((labels, number))
        return (counter if query.type == "counter" else gauge)(query.name, query.help, samples)
