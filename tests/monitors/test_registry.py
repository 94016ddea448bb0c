import os
import threading
import time
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from loopback import free_port, until
from watching import PASSWORD, Pair, Talker, one, reply, samples

from monitors.page import Page
from monitors.registry import Sources, Watch, build_watch, run_exporter
from monitors.settings import MonitorSettings
from storewatch.store.evidence import EvidenceStore

Web = Callable[[Callable[[BaseHTTPRequestHandler], None]], str]


def everything(home: Path, url: str, databases: list[int], cache: int) -> Watch:
    nodes = [{"name": f"db-{n}", "port": port} for n, port in enumerate(databases)]
    (home / "business.yaml").write_text(
        "queries:\n"
        "- {name: orders, type: gauge, help: O, sql: SELECT count(*) AS value FROM orders}\n"
    )
    settings = MonitorSettings.model_validate(
        {
            "journeys": [
                {
                    "name": "checkout",
                    "journey": "walks:good",
                    "base_url": url,
                    "interval": "100ms",
                    "timeout": "500ms",
                }
            ],
            "edge": {"log": "access.json", "routes": ["GET /"]},
            "postgres": {
                "nodes": nodes,
                "database": "shop",
                "user": "storewatch_monitor",
                "password": PASSWORD,
            },
            "redis": {"port": cache, "password": PASSWORD, "timeout": "500ms"},
            "business": {"file": str(home / "business.yaml")},
        }
    )
    return build_watch(settings, home, Sources(EvidenceStore(home)))


def test_everything_that_is_asked_for_is_watched(
    tmp_path: Path, web: Web, pair: Pair, cache: int
) -> None:
    (tmp_path / "access.json").touch()
    ports = [pair.primary.port, pair.standby.port]
    watch = everything(tmp_path, web(reply), ports, cache)
    with watch.running():
        until(lambda: watch.timers[0].newest)
        found = list(Page(watch.collectors, 5.0).collect())
    failed = [key for key in samples(found) if key[0] == "storewatch_collector_success"]
    assert len(failed) == len(watch.collectors)
    assert all(samples(found)[key] == 1 for key in failed)
    for name in ("redis_up", "storewatch_edge_up", "storewatch_journey_success"):
        assert one(found, name) == 1


def test_backends_that_accept_and_never_answer_leave_no_series_and_a_scrape_in_time(
    tmp_path: Path, liar: int
) -> None:
    watch = everything(tmp_path, f"http://127.0.0.1:{liar}", [liar, liar], liar)
    page = Page(watch.collectors, 1.9)
    for _ in range(2):
        started = time.monotonic()
        found = list(page.collect())
        assert time.monotonic() - started < 2.5
        ups = [s for f in found for s in f.samples if s.name.endswith("_up")]
        assert {s.name for s in ups if s.value == 0} == {
            "pg_up",
            "redis_up",
            "storewatch_business_up",
            "storewatch_edge_up",
        }
        stale = ("pg_stat", "pg_repl", "redis_mem", "storewatch_edge_req", "orders")
        assert not [key for key in samples(found) if key[0].startswith(stale)]


def drip(send: Callable[[bytes], None]) -> None:
    while True:
        send(b"+")
        threading.Event().wait(0.05)


def flood(send: Callable[[bytes], None]) -> None:
    while True:
        send(b"x" * 65536)


BROKEN: dict[str, Callable[[Callable[[bytes], None]], None] | None] = {
    "dead": None,
    "silent": lambda _: None,
    "garbage": lambda send: send(b"\x00\xffHTTP/1.1 200 OK\r\n\r\n" * 40),
    "drip": drip,
    "flood": flood,
}


@pytest.mark.parametrize("how", BROKEN)
@pytest.mark.parametrize("what", ["redis", "one node", "every node", "edge"])
def test_a_broken_backend_costs_its_own_metrics_and_the_scrape_stays_in_its_budget(
    tmp_path: Path, web: Web, pair: Pair, cache: int, talker: Talker, what: str, how: str
) -> None:
    talk = BROKEN[how]
    bad = free_port() if talk is None else talker(talk)
    nodes = [pair.primary.port, pair.standby.port]
    if what == "edge":  # a pipe nobody reads stands for a log of any kind that is none
        os.mkfifo(tmp_path / "access.json")
    else:
        (tmp_path / "access.json").touch()
    if what == "one node":
        nodes[1] = bad
    elif what == "every node":
        nodes = [bad, bad]
    watch = everything(tmp_path, web(reply), nodes, bad if what == "redis" else cache)
    page = Page(watch.collectors, 1.9)
    with watch.running():
        until(lambda: watch.timers[0].newest)
        for _ in range(2):
            started = time.monotonic()
            found = list(page.collect())
            assert time.monotonic() - started < 2.1
    names = {family.name for family in found if family.samples}
    ups = {(s.name, s.labels.get("node")): s.value for f in found for s in f.samples}
    assert ups["redis_up", "redis"] == (what != "redis")
    assert ups["storewatch_edge_up", None] == (what != "edge")
    assert ups["pg_up", "db-0"] == (what != "every node")
    assert ups["pg_up", "db-1"] == (what not in ("one node", "every node"))
    assert ups["storewatch_business_up", None] == (what != "every node")
    assert ("orders" in names) == (what != "every node")
    assert ("redis_memory_used_bytes" in names) == (what != "redis")
    assert ("storewatch_edge_requests" in names) == (what != "edge")
    assert {"storewatch_journey_success", "node_load1", "storewatch_host_up"} <= names


def test_the_number_of_series_does_not_grow_with_what_shoppers_do(
    tmp_path: Path, web: Web, pair: Pair, cache: int
) -> None:
    log = tmp_path / "access.json"
    log.touch()
    watch = everything(tmp_path, web(reply), [pair.primary.port, pair.standby.port], cache)
    page = Page(watch.collectors, 5.0)
    with watch.running():
        until(lambda: sum(watch.timers[0].runs.values()) >= 1)
        entry = '{{"route":"/","method":"GET","status":200,"request_time_s":0.1,"id":"{}"}}\n'

        def series() -> int:
            with log.open("a") as file:
                file.writelines(entry.format(number) for number in range(500))
            return len([k for k in samples(list(page.collect())) if k[0].startswith("storewatch")])

        before = series()
        until(lambda: sum(watch.timers[0].runs.values()) >= 4)
        assert series() == before


def test_the_exporter_serves_until_it_is_stopped(tmp_path: Path) -> None:
    port = free_port()
    settings = MonitorSettings.model_validate({"listen": f"127.0.0.1:{port}"})
    stop = threading.Event()
    arguments = (settings, tmp_path, Sources(EvidenceStore(tmp_path)), stop)
    thread = threading.Thread(target=run_exporter, args=arguments)
    thread.start()

    def fetched() -> bytes:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                body: bytes = answer.read()
                return body
        except OSError:
            return b""

    until(lambda: b"storewatch_evidence_up 1.0" in fetched())
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    with pytest.raises(OSError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health")
