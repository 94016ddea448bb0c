"""What business queries bring: labels, values, counters, and never a change."""

import time
from pathlib import Path
from typing import Any

import pytest
from business_figures import ORDERS, Watched, place, query
from watching import Pair, one, samples

from monitors.collectors.business import BusinessCollector
from monitors.collectors.monotonic import MonotonicCounters
from monitors.settings import BusinessSettings

pytestmark = pytest.mark.usefixtures("orders")
STATES = "SELECT state, count(*) AS value FROM orders GROUP BY state"
BY_STATE = {"state": ["placed", "paid"]}


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
