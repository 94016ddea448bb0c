import signal
import time

import psycopg
import pytest
from loopback import until
from watching import Pair, one

from monitors.collectors.postgres.collector import PostgresCollector
from monitors.settings import PostgresNode


def collector(pair: Pair, which: int) -> PostgresCollector:
    settings = pair.settings()
    return PostgresCollector(settings, settings.nodes[which])


def test_a_primary_tells_its_role_its_standby_and_its_connections(pair: Pair) -> None:
    until(
        lambda: one(
            list(collector(pair, 0).collect()), "storewatch_pg_standby_streaming", standby="db-b"
        )
    )
    families = list(collector(pair, 0).collect())
    assert one(families, "pg_up", node="db-a") == 1
    assert one(families, "pg_replication_is_replica", node="db-a") == 0
    assert one(families, "pg_settings_max_connections", node="db-a") == 100
    assert one(families, "pg_stat_activity_count", datname="shop", state="active") >= 1
    assert one(families, "pg_stat_database_deadlocks", node="db-a", datname="shop") == 0
    assert one(families, "pg_database_size_bytes", node="db-a", datname="shop") > 1_000_000
    assert one(families, "storewatch_pg_standby_sync", standby="db-b") == 0


def test_a_standby_tells_its_role_and_that_it_is_not_behind(pair: Pair) -> None:
    until(lambda: one(list(collector(pair, 1).collect()), "storewatch_pg_receiver_streaming"))
    until(lambda: one(list(collector(pair, 1).collect()), "storewatch_pg_unreplayed_bytes") == 0)
    until(lambda: one(list(collector(pair, 1).collect()), "pg_replication_lag_seconds") == 0)
    families = list(collector(pair, 1).collect())
    assert one(families, "pg_replication_is_replica", node="db-b") == 1


def test_a_standby_that_waits_synchronously_is_said_to(pair: Pair) -> None:
    with pair.primary.connect() as connection:
        connection.execute("ALTER SYSTEM SET synchronous_standby_names = '\"db-b\"'")
        connection.execute("SELECT pg_reload_conf()")
    try:
        until(lambda: one(list(collector(pair, 0).collect()), "storewatch_pg_standby_sync") == 1)
    finally:
        with pair.primary.connect() as connection:
            connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
            connection.execute("SELECT pg_reload_conf()")


def test_a_standby_that_lost_its_primary_falls_behind(pair: Pair) -> None:
    with pair.primary.connect("shop") as connection:
        connection.execute("INSERT INTO orders SELECT coalesce(max(id), 0) + 1 FROM orders")
    until(lambda: one(list(collector(pair, 1).collect()), "storewatch_pg_receiver_streaming"))
    pair.primary.stop()
    try:
        until(lambda: one(list(collector(pair, 1).collect()), "pg_replication_lag_seconds") > 0.2)
        assert one(list(collector(pair, 1).collect()), "storewatch_pg_receiver_streaming") == 0
        with pytest.raises(psycopg.OperationalError):
            list(collector(pair, 0).collect())
    finally:
        pair.primary.start()


def test_a_primary_without_its_standby_says_so(pair: Pair) -> None:
    pair.standby.stop()
    try:
        until(
            lambda: one(list(collector(pair, 0).collect()), "storewatch_pg_standby_streaming") == 0
        )
    finally:
        pair.standby.start()


def test_a_node_that_is_down_is_down_and_has_no_other_series(pair: Pair) -> None:
    families = list(collector(pair, 0).down())
    assert [f.name for f in families] == ["pg_up"]
    assert one(families, "pg_up", node="db-a") == 0


def test_a_database_that_accepts_and_never_answers_ends_in_an_error(pair: Pair, liar: int) -> None:
    settings = pair.settings("1s")
    node = PostgresNode(name="liar", port=liar)
    started = time.monotonic()
    with pytest.raises(psycopg.OperationalError):
        list(PostgresCollector(settings, node).collect())
    assert time.monotonic() - started < 4


def test_a_frozen_database_ends_in_an_error(pair: Pair) -> None:
    assert pair.standby.process is not None
    pair.standby.process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(psycopg.OperationalError):
            list(collector(pair, 1).collect())
    finally:
        pair.standby.process.send_signal(signal.SIGCONT)
