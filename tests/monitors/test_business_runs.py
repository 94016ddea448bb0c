"""When business queries run, for how long, and on which node."""

import contextlib
import itertools
import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from business_figures import ORDERS, Watched, place, query
from loopback import until
from watching import Node, Pair, Talker, one, samples

from monitors.settings import PostgresNode

pytestmark = pytest.mark.usefixtures("orders")


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
