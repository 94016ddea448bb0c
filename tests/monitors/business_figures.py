"""Queries over the orders of the test database, and a collector that asks them."""

import time
from pathlib import Path
from typing import Any

from loopback import until
from prometheus_client.core import Metric
from watching import Pair, one

from monitors.collectors.business import BusinessCollector
from monitors.collectors.monotonic import MonotonicCounters
from monitors.queries import BusinessQuery
from monitors.settings import BusinessSettings

WATCHED: list[BusinessCollector] = []
ORDERS = "SELECT count(*) AS value FROM orders"


def query(sql: str, name: str = "shop_orders", **keys: Any) -> BusinessQuery:
    keys = {"type": "gauge", "timeout": "1s", **keys}
    return BusinessQuery.model_validate({"name": name, "help": "A figure.", "sql": sql, **keys})


class Watched:
    """A collector of queries with a clock of the test's own."""

    def __init__(self, pair: Pair, folder: Path, *queries: BusinessQuery, **keys: Any) -> None:
        settings = BusinessSettings.model_construct(timeout=keys.get("timeout_s", 5.0))
        database = pair.settings()
        if "nodes" in keys:
            database = database.model_copy(update={"nodes": keys["nodes"]})
        self.late_s = 0.0
        self.counters = MonotonicCounters(
            folder / "business.json", lambda: time.monotonic() + self.late_s
        )
        self.collector = BusinessCollector(
            settings, queries, database, self.counters, lambda: time.time() + self.late_s
        )
        WATCHED.append(self.collector)

    def scrape(self) -> list[Metric]:
        return list(self.collector.collect())

    def failed(self, name: str = "shop_orders") -> float:
        return one(self.scrape(), "storewatch_business_query_failed", query=name)


def place(pair: Pair, rows: str) -> None:
    with pair.primary.connect("shop") as connection:
        connection.execute("TRUNCATE orders")
        connection.execute(f"INSERT INTO orders VALUES {rows}")  # noqa: S608
        row = connection.execute("SELECT pg_current_wal_insert_lsn()").fetchone()
    assert row is not None
    with pair.standby.connect("shop") as connection:
        done = "SELECT pg_last_wal_replay_lsn() >= %s"
        until(lambda: connection.execute(done, row).fetchone() == (True,))
