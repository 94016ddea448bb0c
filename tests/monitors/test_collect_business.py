import contextlib
import itertools
import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from prometheus_client.core import Metric
from watching import Node, Pair, Talker, one, samples, until

from monitors.collectors.business import BusinessCollector
from monitors.collectors.monotonic import MonotonicCounters
from monitors.queries import BusinessQuery
from monitors.settings import BusinessSettings, PostgresNode

WATCHED: list[BusinessCollector] = []
ORDERS = "SELECT count(*) AS value FROM orders"
STATES = "SELECT state, count(*) AS value FROM orders GROUP BY state"
BY_STATE = {"state": ["placed", "paid"]}


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


@pytest.fixture(autouse=True)
def orders(pair: Pair) -> Iterator[None]:
    """Three orders in two states, on both nodes."""
    place(pair, "(1, 'paid'), (2, 'paid'), (3, 'placed')")
    yield
    while WATCHED:
        WATCHED.pop()._asked = -math.inf  # as after ten minutes without a scrape


def place(pair: Pair, rows: str) -> None:
    with pair.primary.connect("shop") as connection:
        connection.execute("TRUNCATE orders")
        connection.execute(f"INSERT INTO orders VALUES {rows}")  # noqa: S608
        row = connection.execute("SELECT pg_current_wal_insert_lsn()").fetchone()
    assert row is not None
    with pair.standby.connect("shop") as connection:
        done = "SELECT pg_last_wal_replay_lsn() >= %s"
        until(lambda: connection.execute(done, row).fetchone() == (True,))


@contextlib.contextmanager
def frozen(node: Node) -> Iterator[None]:
    """Freeze every process of a server: it accepts and never answers."""
    assert node.process is not None
    children = Path(f"/proc/{node.process.pid}/task/{node.process.pid}/children")
    pids = [node.process.pid, *map(int, children.read_text().split())]
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def test_declared_columns_become_labels_and_the_value(pair: Pair, tmp_path: Path) -> None:
    found = Watched(pair, tmp_path, query(STATES, labels=BY_STATE)).scrape()
    assert one(found, "storewatch_business_up") == 1
    assert one(found, "shop_orders", state="paid") == 2
    assert one(found, "shop_orders", state="placed") == 1
    assert one(found, "storewatch_business_query_failed", query="shop_orders") == 0
    assert one(found, "storewatch_business_query_last_run_timestamp_seconds") > time.time() - 9
    assert one(found, "storewatch_business_query_duration_seconds") < 1


def test_values_that_no_row_brings_are_zero_where_that_was_said(pair: Pair, tmp_path: Path) -> None:
    labels = {"state": ["placed", "paid", "shipped"], "size": ["big", "small"]}
    sql = "SELECT state, 'big' AS size, count(*) AS value FROM orders GROUP BY state"
    zero = query(sql, labels=labels, default=0)
    silent = query(sql, "shop_silent", labels=labels)
    counted = query(sql, "shop_counted", labels=labels, type="counter")
    found = samples(Watched(pair, tmp_path, zero, silent, counted).scrape())
    key = (("size", "small"), ("state", "shipped"))
    assert found["shop_orders", key] == 0
    assert ("shop_silent", key) not in found
    assert found["shop_counted_total", key] == 0
    assert len([k for k in found if k[0] == "shop_orders"]) == 6


def test_rows_with_values_that_are_not_declared_are_left_out_and_counted(
    pair: Pair, tmp_path: Path
) -> None:
    found = Watched(pair, tmp_path, query(STATES, labels={"state": ["paid"]})).scrape()
    assert one(found, "shop_orders") == 2
    assert one(found, "storewatch_business_query_dropped_rows", query="shop_orders") == 1
    assert one(found, "storewatch_business_query_failed", query="shop_orders") == 0


def test_a_label_with_a_maximum_keeps_the_values_that_came_first(
    pair: Pair, tmp_path: Path
) -> None:
    sql = "SELECT id AS sku, 1 AS value FROM orders ORDER BY id"
    watched = Watched(pair, tmp_path, query(sql, labels={"sku": {"maximum": 2}}))
    values = set()
    for first in range(1, 200, 20):
        place(pair, ", ".join(f"({n}, 'x')" for n in range(first, first + 20)))
        found = samples(watched.scrape())
        values |= {key[1] for key in found if key[0] == "shop_orders"}
    assert values == {(("sku", "1"),), (("sku", "2"),)}


def test_null_is_no_value(pair: Pair, tmp_path: Path) -> None:
    watched = Watched(pair, tmp_path, query("SELECT avg(id) AS value FROM orders WHERE false"))
    assert watched.failed() == 0
    assert not [key for key in samples(watched.scrape()) if key[0] == "shop_orders"]


@pytest.mark.parametrize(
    "sql",
    [
        "SELEC",
        "SELECT 1 AS number",
        "SELECT 1 AS value, 2 AS undeclared",
        "SELECT 'many' AS value",
        "SELECT 'NaN'::float8 AS value",
        "SELECT 1 AS value FROM generate_series(1, 2)",
        "SELECT 1 AS value FROM generate_series(1, 100000000)",
        "SELECT count(*) AS value FROM pg_authid",
        "SELECT 1 AS value FROM pg_sleep(9)",
    ],
)
def test_a_query_that_is_wrong_is_named_and_the_others_stand(
    pair: Pair, tmp_path: Path, sql: str
) -> None:
    bad, good = query(sql, "shop_bad"), query(ORDERS, "shop_good")
    watched = Watched(pair, tmp_path, bad, good, timeout_s=4.0)
    started = time.monotonic()
    found = watched.scrape()
    assert time.monotonic() - started < 3
    assert one(found, "storewatch_business_query_failed", query="shop_bad") == 1
    assert one(found, "storewatch_business_query_failed", query="shop_good") == 0
    assert one(found, "shop_good") == 3
    assert not [key for key in samples(found) if key[0] == "shop_bad"]


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM orders",
        "DELETE FROM orders RETURNING 1 AS value",
        "WITH gone AS (DELETE FROM orders RETURNING 1) SELECT count(*) AS value FROM gone",
        "SELECT 1 AS value; DELETE FROM orders",
        "SELECT 1 AS value; COMMIT; SET default_transaction_read_only = off; DELETE FROM orders",
        "COMMIT",
        "TRUNCATE orders",
        "SELECT id AS value FROM orders FOR UPDATE",
        "SELECT 1 AS value INTO stolen",
        "CREATE TABLE mine AS SELECT 1 AS value",
        "DO $$ BEGIN DELETE FROM orders; END $$",
        "SELECT lo_create(0)::int AS value",
        "SELECT nextval('counter') AS value",
        "SELECT set_config('transaction_read_only', 'off', false)::int AS value",
        "COPY (SELECT 1) TO PROGRAM 'cat'",
        "VACUUM orders",
    ],
)
def test_nothing_can_be_changed_even_by_an_account_that_may(
    pair: Pair, tmp_path: Path, sql: str
) -> None:
    def state() -> list[Any]:
        with pair.primary.connect("shop") as connection:
            tables = "SELECT relname, relfilenode FROM pg_class WHERE relkind IN ('r', 'S')"
            return [
                *connection.execute("SELECT * FROM orders ORDER BY id").fetchall(),
                *connection.execute(tables + " AND relnamespace = 2200 ORDER BY 1").fetchall(),
                connection.execute("SELECT count(*) FROM pg_largeobject_metadata").fetchone(),
                connection.execute("SELECT last_value, is_called FROM counter").fetchone(),
            ]

    with pair.primary.connect("shop") as connection:
        connection.execute("CREATE SEQUENCE counter")
    try:
        before = state()
        powerful = pair.settings().model_copy(update={"user": "postgres"})
        settings = BusinessSettings.model_construct(timeout=5.0)
        powerful = powerful.model_copy(update={"nodes": powerful.nodes[:1]})
        counters = MonotonicCounters(tmp_path / "business.json")
        collector = BusinessCollector(settings, [query(sql)], powerful, counters)
        found = list(collector.collect())
        assert one(found, "storewatch_business_query_failed") == 1
        assert state() == before
    finally:
        with pair.primary.connect("shop") as connection:
            connection.execute("DROP SEQUENCE counter")


def test_a_query_without_time_left_fails_and_those_before_it_stand(
    pair: Pair, tmp_path: Path
) -> None:
    slow = [query("SELECT 1 AS value FROM pg_sleep(9)", f"shop_slow_{n}") for n in range(3)]
    watched = Watched(
        pair, tmp_path, query(ORDERS), *slow, query(ORDERS, "shop_last"), timeout_s=1.2
    )
    started = time.monotonic()
    found = watched.scrape()
    assert time.monotonic() - started < 1.3
    assert one(found, "shop_orders") == 3
    assert one(found, "storewatch_business_query_failed", query="shop_last") == 1


def test_a_query_with_an_interval_runs_beside_the_scrapes(pair: Pair, tmp_path: Path) -> None:
    sql = "SELECT count(*) AS value FROM orders, pg_sleep(0.4)"
    watched = Watched(pair, tmp_path, query(sql, interval="1h"), timeout_s=1.0)
    started = time.monotonic()
    assert not [key for key in samples(watched.scrape()) if key[0] == "shop_orders"]
    assert time.monotonic() - started < 0.4
    until(lambda: [key for key in samples(watched.scrape()) if key[0] == "shop_orders"])
    stamp = "storewatch_business_query_last_run_timestamp_seconds"
    first = one(watched.scrape(), stamp)
    place(pair, "(9, 'paid')")
    found = watched.scrape()
    assert one(found, "shop_orders") == 3
    assert one(found, stamp) == first


def test_a_result_that_is_too_old_is_dropped(pair: Pair, tmp_path: Path) -> None:
    watched = Watched(pair, tmp_path, query(ORDERS, interval="1h"))
    until(lambda: "shop_orders" in {f.name for f in watched.scrape()})
    watched.late_s = 7000
    assert "shop_orders" in {f.name for f in watched.scrape()}
    watched.late_s = 7300
    found = watched.scrape()
    assert "shop_orders" not in {f.name for f in found}
    assert one(found, "storewatch_business_query_last_run_timestamp_seconds") < time.time()


def test_the_interval_is_kept(pair: Pair, tmp_path: Path) -> None:
    watched = Watched(pair, tmp_path, query(ORDERS, interval="200ms"))
    watched.scrape()
    outcome = watched.collector._outcomes["shop_orders"]
    began: set[float] = set()
    until(lambda: began.add(outcome.begun) or len(began) >= 4)
    times = sorted(began)[1:]
    assert all(0.19 < b - a < 0.6 for a, b in itertools.pairwise(times))


def test_the_standby_is_asked(pair: Pair, tmp_path: Path) -> None:
    watched = Watched(pair, tmp_path, query("SELECT pg_is_in_recovery()::int AS value"))
    assert one(watched.scrape(), "shop_orders") == 1


def test_the_other_node_is_asked_when_one_goes_away_even_mid_way(
    pair: Pair, tmp_path: Path
) -> None:
    watched = Watched(pair, tmp_path, query("SELECT pg_is_in_recovery()::int AS value"))
    assert one(watched.scrape(), "shop_orders") == 1
    pair.standby.stop()
    try:
        assert one(watched.scrape(), "shop_orders") == 0
    finally:
        pair.standby.start()


def test_a_node_that_freezes_in_the_middle_is_left_for_the_other(
    pair: Pair, tmp_path: Path
) -> None:
    watched = Watched(
        pair, tmp_path, query("SELECT pg_is_in_recovery()::int AS value", timeout="300ms")
    )
    assert one(watched.scrape(), "shop_orders") == 1
    with frozen(pair.standby):
        started = time.monotonic()
        assert one(watched.scrape(), "shop_orders") == 0
        assert time.monotonic() - started < 2
        started = time.monotonic()
        assert one(watched.scrape(), "shop_orders") == 0
        assert time.monotonic() - started < 0.5
    until(pair.standby.answers)


def test_no_node_that_answers_is_down(pair: Pair, tmp_path: Path, liar: int) -> None:
    for port in (1, liar):
        nodes = (PostgresNode(name="a", port=port), PostgresNode(name="b", port=port))
        watched = Watched(pair, tmp_path, query(ORDERS), nodes=nodes)
        with pytest.raises(psycopg.OperationalError):
            watched.scrape()
        found = list(watched.collector.down())
        assert [f.name for f in found] == ["storewatch_business_up"]
        assert one(found, "storewatch_business_up") == 0


def test_a_node_that_answers_garbage_is_passed_over(
    pair: Pair, tmp_path: Path, talker: Talker
) -> None:
    garbage = PostgresNode(name="liar", port=talker(lambda send: send(b"S\x00\xffgarbage" * 99)))
    nodes = (garbage, pair.settings().nodes[0])
    assert one(Watched(pair, tmp_path, query(ORDERS), nodes=nodes).scrape(), "shop_orders") == 3


def test_a_counter_never_falls_and_goes_on_after_a_restore(pair: Pair, tmp_path: Path) -> None:
    watched = Watched(pair, tmp_path, query(ORDERS, type="counter"))
    assert one(watched.scrape(), "shop_orders_total") == 3
    place(pair, "(1, 'paid')")
    assert one(watched.scrape(), "shop_orders_total") == 3
    watched.late_s = 130
    assert one(watched.scrape(), "shop_orders_total") == 3
    place(pair, "(1, 'paid'), (2, 'paid')")
    assert one(watched.scrape(), "shop_orders_total") == 4


def test_a_restart_is_no_second_beginning(pair: Pair, tmp_path: Path) -> None:
    assert one(Watched(pair, tmp_path, query(ORDERS, type="counter")).scrape(), "shop_orders_total")
    place(pair, "(1, 'paid')")
    again = Watched(pair, tmp_path, query(ORDERS, type="counter"))
    assert one(again.scrape(), "shop_orders_total") == 3


def test_a_label_that_vanishes_keeps_its_counter(pair: Pair, tmp_path: Path) -> None:
    labels = {"state": {"maximum": 5}}
    watched = Watched(pair, tmp_path, query(STATES, labels=labels, type="counter"))
    assert one(watched.scrape(), "shop_orders_total", state="placed") == 1
    place(pair, "(1, 'paid')")
    assert one(watched.scrape(), "shop_orders_total", state="placed") == 1


def test_queries_with_an_interval_rest_when_nobody_scrapes(pair: Pair, tmp_path: Path) -> None:
    watched = Watched(pair, tmp_path, query(ORDERS, interval="100ms"))
    watched.scrape()
    thread = watched.collector._beside
    assert thread is not None
    watched.collector._asked = -math.inf
    thread.join(5)
    assert not thread.is_alive()
    until(lambda: "shop_orders" in {f.name for f in watched.scrape()})


def test_no_thread_outlives_the_scrapes_of_queries_without_interval(
    pair: Pair, tmp_path: Path
) -> None:
    watched = Watched(pair, tmp_path, query(ORDERS))
    before = threading.active_count()
    for _ in range(3):
        watched.scrape()
    assert threading.active_count() <= before
    assert watched.collector._beside is None
