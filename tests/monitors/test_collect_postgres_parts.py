import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from loopback import until
from prometheus_client.core import Metric
from watching import PASSWORD, Node, Pair, Talker, one, samples

from monitors.collectors.postgres.collector import PostgresCollector
from monitors.settings import PostgresNode


def collect(pair: Pair, which: int = 0, **settings: Any) -> list[Metric]:
    watched = pair.settings().model_copy(update=settings)
    return list(PostgresCollector(watched, watched.nodes[which]).collect())


@contextlib.contextmanager
def monitoring(node: Node) -> Iterator[psycopg.Connection[Any]]:
    """A session of the monitoring role without the exporter's own limits."""
    with psycopg.connect(
        f"host=127.0.0.1 port={node.port} user=storewatch_monitor dbname=shop",
        password=PASSWORD,
        autocommit=True,
    ) as connection:
        yield connection


def test_no_part_is_refused_on_either_node(pair: Pair) -> None:
    for which in (0, 1):
        failed = {k: v for k, v in samples(collect(pair, which)).items() if "part_failed" in k[0]}
        assert len(failed) >= 18
        assert not any(failed.values())


def test_sessions_transactions_and_locks_are_seen(pair: Pair) -> None:
    with pair.primary.connect("shop") as holder, pair.primary.connect("shop") as waiter:
        holder.execute("BEGIN")
        holder.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        thread = threading.Thread(target=waiter.execute, args=("SELECT count(*) FROM orders",))
        thread.start()
        until(lambda: one(collect(pair), "storewatch_pg_blocked_sessions") == 1)
        until(lambda: one(collect(pair), "storewatch_pg_longest_lock_wait_seconds") > 0.1)
        found = collect(pair, long_transaction=0.05, slow_statement=0.05)
        holder.execute("ROLLBACK")
        thread.join()
    state = "idle in transaction"
    assert one(found, "pg_stat_activity_count", datname="shop", state=state) == 1
    assert one(found, "pg_stat_activity_max_tx_duration", datname="shop", state=state) > 0.05
    assert one(found, "pg_locks_count", datname="shop", mode="accessexclusivelock") == 1
    assert one(found, "storewatch_pg_longest_lock_wait_seconds") > 0
    assert one(found, "storewatch_pg_long_transactions") >= 2
    assert one(found, "storewatch_pg_oldest_transaction_seconds") > 0.05
    assert one(found, "storewatch_pg_longest_idle_in_transaction_seconds") > 0
    assert one(found, "storewatch_pg_running_slow_statements") == 1
    assert one(collect(pair), "storewatch_pg_long_transactions") == 0


def test_a_table_that_is_locked_holds_up_nothing(pair: Pair) -> None:
    with pair.primary.connect("shop") as holder:
        holder.execute("BEGIN")
        holder.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        found = collect(pair, timeout=1.0)
    assert "storewatch_pg_table_size_bytes" in {f.name for f in found if f.samples}
    assert not any(v for k, v in samples(found).items() if k[0] == "storewatch_pg_part_failed")


def test_slow_kinds_of_statements_are_counted(pair: Pair) -> None:
    with pair.primary.connect("shop") as connection:
        connection.execute("SELECT pg_stat_statements_reset()")
        connection.execute("SELECT pg_sleep(0.2)")
    found = collect(pair, slow_statement=0.1)
    assert one(found, "storewatch_pg_slow_statements") == 1
    assert 0.2 < one(found, "storewatch_pg_slowest_statement_mean_seconds") < 2
    assert one(found, "storewatch_pg_known_statements") < 60


def test_a_slot_nobody_reads_is_named_with_what_it_holds_back(pair: Pair) -> None:
    with pair.primary.connect("shop") as connection:
        connection.execute("SELECT pg_create_physical_replication_slot('orphan', true)")
        try:
            connection.execute("SELECT pg_logical_emit_message(true, 'x', repeat('y', 100000))")
            found = collect(pair)
        finally:
            connection.execute("SELECT pg_drop_replication_slot('orphan')")
    assert one(found, "pg_replication_slot_slot_is_active", slot_name="orphan") == 0
    assert one(found, "storewatch_pg_slot_retained_bytes", slot_name="orphan") >= 100_000


def test_a_standby_that_replays_nothing_is_behind_in_bytes_on_both_sides(pair: Pair) -> None:
    with pair.standby.connect() as standby, pair.primary.connect("shop") as primary:
        standby.execute("SELECT pg_wal_replay_pause()")
        try:
            primary.execute("SELECT pg_logical_emit_message(false, 'x', repeat('y', 500000))")
            until(lambda: one(collect(pair, 1), "storewatch_pg_unreplayed_bytes") > 400_000)
            lag = one(collect(pair), "pg_stat_replication_pg_wal_lsn_diff")
            assert lag > 400_000
        finally:
            standby.execute("SELECT pg_wal_replay_resume()")
    until(lambda: one(collect(pair), "pg_stat_replication_pg_wal_lsn_diff") == 0)


def test_an_archive_that_fails_is_seen_with_what_waits(pair: Pair) -> None:
    def settings(**values: str) -> None:
        with pair.primary.connect() as connection:
            for name, content in values.items():
                connection.execute(f"ALTER SYSTEM SET {name} = '{content}'")
        pair.primary.stop()
        pair.primary.start()

    settings(archive_mode="on", archive_command="false")
    try:
        with pair.primary.connect() as connection:
            connection.execute("SELECT pg_logical_emit_message(true, 'x', 'y'), pg_switch_wal()")
        until(lambda: one(collect(pair), "storewatch_pg_archiver_failing") == 1)
        found = collect(pair)
        assert one(found, "pg_stat_archiver_failed_count") >= 1
        assert one(found, "storewatch_pg_archive_waiting_bytes") >= 16 * 1024 * 1024
    finally:
        settings(archive_mode="off", archive_command="")
    found = collect(pair)
    assert "storewatch_pg_archive_waiting_bytes" not in {f.name for f in found if f.samples}


def test_bloat_is_estimated_from_statistics_alone(pair: Pair) -> None:
    def bloat(table: str) -> float:
        return one(collect(pair), "storewatch_pg_table_bloat_bytes", relname=table)

    with pair.primary.connect("shop") as connection:
        connection.execute(
            "CREATE TABLE tight AS SELECT n AS id, repeat('x', 100) AS words, NULL::text AS none"
            " FROM generate_series(1, 20000) AS n"
        )
        try:
            connection.execute("VACUUM ANALYZE tight")
            size = one(collect(pair), "storewatch_pg_table_size_bytes", relname="tight")
            assert bloat("tight") < 0.1 * size
            connection.execute("DELETE FROM tight WHERE id % 2 = 0")
            connection.execute("VACUUM ANALYZE tight")
            assert bloat("tight") == pytest.approx(size / 2, rel=0.1)
            assert one(collect(pair), "pg_stat_user_tables_n_dead_tup", relname="tight") == 0
        finally:
            connection.execute("DROP TABLE tight")


def test_tables_beyond_the_maximum_have_no_series(pair: Pair) -> None:
    with pair.primary.connect("shop") as connection:
        try:
            for number in range(5):
                connection.execute(f"CREATE TABLE many_{number} (id int)")
            found = samples(collect(pair, maximum_tables=3))
        finally:
            for number in range(5):
                connection.execute(f"DROP TABLE many_{number}")
    assert len([key for key in found if key[0] == "pg_stat_user_tables_n_live_tup"]) == 3


def test_a_part_that_is_refused_is_named_and_the_others_stand(pair: Pair) -> None:
    with pair.primary.connect("shop") as connection:
        connection.execute("REVOKE EXECUTE ON FUNCTION pg_ls_waldir() FROM pg_monitor")
        try:
            found = collect(pair)
        finally:
            connection.execute("GRANT EXECUTE ON FUNCTION pg_ls_waldir() TO pg_monitor")
    assert one(found, "storewatch_pg_part_failed", part="wal") == 1
    assert one(found, "storewatch_pg_part_failed", part="locks") == 0
    assert one(found, "pg_up") == 1
    assert "pg_wal_segments" not in {f.name for f in found if f.samples}


def test_the_monitor_gets_in_when_the_shop_has_taken_every_connection(pair: Pair) -> None:
    limit = int(one(collect(pair), "storewatch_pg_connections_limit"))
    with pair.primary.connect("shop") as admin:
        admin.execute(f"CREATE ROLE greedy LOGIN PASSWORD '{PASSWORD}'")
        options = f"host=127.0.0.1 port={pair.primary.port} user=greedy dbname=shop"
        held = []
        try:
            with pytest.raises(psycopg.OperationalError, match="reserved"):
                while True:
                    held.append(psycopg.connect(options, password=PASSWORD))
            found = collect(pair)
            assert one(found, "pg_up") == 1
            assert one(found, "storewatch_pg_connections") >= limit
        finally:
            for connection in held:
                connection.close()
            until(lambda: one(collect(pair), "storewatch_pg_connections") < 10)
            admin.execute("DROP ROLE greedy")


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO orders VALUES (99, 'x')",
        "CREATE TABLE mine (id int)",
        "CREATE SCHEMA mine",
        "DROP FUNCTION storewatch.row_widths()",
        "COPY orders TO PROGRAM 'cat'",
        "SELECT pg_read_file('postgresql.conf')",
        "SELECT rolpassword FROM pg_authid",
        "SELECT * FROM pg_statistic",
        "SELECT most_common_vals FROM pg_stats WHERE tablename = 'persons' LIMIT 1",
        "SELECT secret FROM persons",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres'",
        "ALTER ROLE storewatch_monitor SUPERUSER",
    ],
)
def test_the_monitoring_role_cannot(pair: Pair, sql: str) -> None:
    with pair.primary.connect("shop") as admin:
        admin.execute("CREATE TABLE persons AS SELECT 'x' AS secret FROM generate_series(1, 9)")
        admin.execute("ANALYZE persons")
        try:
            with monitoring(pair.primary) as connection:
                with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                    connection.execute("CREATE TEMPORARY TABLE mine (id int)")
                connection.execute("SET default_transaction_read_only = off")
                try:
                    rows = connection.execute(sql).fetchall()
                except psycopg.errors.InsufficientPrivilege:
                    return
                assert rows == [], sql
        finally:
            admin.execute("DROP TABLE persons")


def test_every_session_of_the_monitoring_role_has_limits(pair: Pair) -> None:
    with monitoring(pair.primary) as connection:
        for setting in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
            assert connection.execute(f"SHOW {setting}").fetchone() != ("0",)
        assert connection.execute("SHOW default_transaction_read_only").fetchone() == ("on",)
        with pytest.raises(psycopg.errors.ConfigurationLimitExceeded):
            connection.execute(
                "SELECT count(*) FROM (SELECT repeat('x', 1000) AS t, n"
                " FROM generate_series(1, 500000) AS n ORDER BY t, n) AS big"
            )


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad\r\n\r\n", b"S" * 500, b"N" + b"\x00" * 999])
def test_a_server_that_answers_garbage_is_an_error(
    pair: Pair, talker: Talker, answer: bytes
) -> None:
    node = PostgresNode(name="liar", port=talker(lambda send: send(answer)))
    with pytest.raises(psycopg.OperationalError):
        list(PostgresCollector(pair.settings("1s"), node).collect())
