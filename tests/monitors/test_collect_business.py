from collections.abc import Iterator

import psycopg
import pytest
from watching import Pair, one, samples

from monitors.collectors.business import BusinessCollector
from monitors.settings import BusinessQuery, BusinessSettings


def query(sql: str, name: str = "shop_orders", kind: str = "gauge") -> BusinessQuery:
    return BusinessQuery(name=name, help="A figure.", type=kind, sql=sql)


def collector(pair: Pair, *queries: BusinessQuery) -> BusinessCollector:
    settings = BusinessSettings(queries=queries, maximum_rows=10, timeout="5s")
    return BusinessCollector(settings, pair.settings())


@pytest.fixture(autouse=True)
def orders(pair: Pair) -> Iterator[None]:
    """Three orders in two states, on both nodes."""
    with pair.primary.connect("shop") as connection:
        connection.execute("TRUNCATE orders")
        connection.execute("INSERT INTO orders VALUES (1, 'paid'), (2, 'paid'), (3, 'placed')")
        row = connection.execute("SELECT pg_current_wal_insert_lsn()").fetchone()
    assert row is not None
    with pair.standby.connect("shop") as connection:
        done = "SELECT pg_last_wal_replay_lsn() >= %s"
        while connection.execute(done, row).fetchone() != (True,):
            pass
    yield


def test_columns_become_labels_and_the_value(pair: Pair) -> None:
    sql = "SELECT state, count(*) AS value FROM orders GROUP BY state"
    families = list(collector(pair, query(sql)).collect())
    assert one(families, "storewatch_business_up") == 1
    assert one(families, "shop_orders", state="paid") == 2
    assert one(families, "shop_orders", state="placed") == 1


def test_the_standby_is_asked(pair: Pair) -> None:
    sql = "SELECT pg_is_in_recovery()::int AS value"
    assert one(list(collector(pair, query(sql)).collect()), "shop_orders") == 1


def test_the_other_node_is_asked_when_one_goes_away_even_mid_way(pair: Pair) -> None:
    watched = collector(pair, query("SELECT pg_is_in_recovery()::int AS value"))
    assert one(list(watched.collect()), "shop_orders") == 1
    pair.standby.stop()
    try:
        assert one(list(watched.collect()), "shop_orders") == 0
    finally:
        pair.standby.start()


def test_a_counter_never_falls(pair: Pair) -> None:
    watched = collector(pair, query("SELECT count(*) AS value FROM orders", kind="counter"))
    assert one(list(watched.collect()), "shop_orders_total") == 3
    with pair.primary.connect("shop") as connection:
        connection.execute("DELETE FROM orders WHERE id = 1")
    watched._options["target_session_attrs"] = "primary"
    assert watched._connection is not None
    watched._connection.close()
    assert one(list(watched.collect()), "shop_orders_total") == 3


@pytest.mark.parametrize(
    "sql",
    [
        "SELEC",
        "SELECT 1 AS number",
        "SELECT 'many' AS value",
        "SELECT NULL AS value",
        "SELECT n AS label, 1 AS value FROM generate_series(1, 11) AS n",
        "DELETE FROM orders",
        "UPDATE orders SET state = 'x' RETURNING 1 AS value",
        "SELECT count(*) AS value FROM pg_authid",
    ],
)
def test_a_query_that_is_wrong_is_named_and_the_others_stand(pair: Pair, sql: str) -> None:
    good = query("SELECT count(*) AS value FROM orders", "shop_good")
    families = list(collector(pair, query(sql, "shop_bad"), good).collect())
    assert one(families, "storewatch_business_query_failed", query="shop_bad") == 1
    assert one(families, "storewatch_business_query_failed", query="shop_good") == 0
    assert one(families, "shop_good") == 3
    assert not [key for key in samples(families) if key[0] == "shop_bad"]


def test_a_query_that_takes_too_long_is_ended_by_the_server_and_the_others_stand(
    pair: Pair,
) -> None:
    slow = query("SELECT 1 AS value FROM pg_sleep(20)", "shop_slow")
    good = query("SELECT count(*) AS value FROM orders", "shop_good")
    settings = BusinessSettings(queries=(slow, good), timeout="200ms")
    families = list(BusinessCollector(settings, pair.settings()).collect())
    assert one(families, "storewatch_business_query_failed", query="shop_slow") == 1
    assert one(families, "shop_good") == 3


def test_no_node_that_answers_is_down(pair: Pair) -> None:
    settings = pair.settings()
    dead = [node.model_copy(update={"port": 1}) for node in settings.nodes]
    watched = BusinessCollector(
        BusinessSettings(queries=(query("SELECT 1 AS value"),)),
        settings.model_copy(update={"nodes": tuple(dead)}),
    )
    with pytest.raises(psycopg.OperationalError):
        list(watched.collect())
    assert one(list(watched.down()), "storewatch_business_up") == 0
