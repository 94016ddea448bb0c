import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from watching import one

from monitors.exporter import Exporter, scrape_limit_s
from monitors.families import value
from monitors.page import Page
from monitors.probes.modules import load_modules
from storewatch.core.errors import UnreachableError


@dataclass
class Backend:
    """A collector that does what its function does."""

    name: str
    act: Callable[[], float]
    timeout_s: float = 0.3
    calls: int = 0
    threads: set[int | None] = field(default_factory=set)

    def collect(self) -> Iterable[Metric]:
        self.calls += 1
        self.threads.add(threading.current_thread().ident)
        yield value("shared_up", "Whether it answers.", 1, backend=self.name)
        yield value("figure", "A figure.", self.act(), backend=self.name)

    def down(self) -> Iterable[Metric]:
        yield value("shared_up", "Whether it answers.", 0, backend=self.name)


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """What hanging backends wait for."""
    event = threading.Event()
    yield event
    event.set()


def hang(event: threading.Event) -> Callable[[], float]:
    def act() -> float:
        event.wait(30)
        return 1.0

    return act


def broken() -> float:
    raise RuntimeError("a backend\nthat lies")


def test_families_of_several_collectors_are_one(released: threading.Event) -> None:
    page = Page([Backend("a", lambda: 1.0), Backend("b", lambda: 2.0)], 2.0)
    families = list(page.collect())
    assert len([f for f in families if f.name == "figure"]) == 1
    assert one(families, "figure", backend="b") == 2


def test_a_broken_collector_is_down_without_series_and_the_others_stand() -> None:
    families = list(Page([Backend("a", broken), Backend("b", lambda: 2.0)], 2.0).collect())
    assert one(families, "shared_up", backend="a") == 0
    assert one(families, "storewatch_collector_success", collector="a") == 0
    assert [s.labels for f in families if f.name == "figure" for s in f.samples] == [
        {"backend": "b"}
    ]


def test_a_hanging_collector_is_down_after_its_own_timeout(released: threading.Event) -> None:
    page = Page([Backend("a", hang(released)), Backend("b", lambda: 2.0)], 5.0)
    started = time.monotonic()
    families = list(page.collect())
    assert 0.25 < time.monotonic() - started < 1.5
    assert one(families, "shared_up", backend="a") == 0
    assert one(families, "figure", backend="b") == 2


def test_many_hanging_collectors_hang_at_the_same_time(released: threading.Event) -> None:
    page = Page([Backend(str(n), hang(released)) for n in range(20)], 5.0)
    started = time.monotonic()
    list(page.collect())
    assert time.monotonic() - started < 2


def test_the_deadline_bounds_a_scrape_whatever_the_collectors_ask_for(
    released: threading.Event,
) -> None:
    page = Page([Backend("a", hang(released), timeout_s=30)], 0.2)
    started = time.monotonic()
    assert one(list(page.collect()), "shared_up", backend="a") == 0
    assert time.monotonic() - started < 1.5


def test_a_stuck_backend_holds_one_thread_however_often_it_is_scraped(
    released: threading.Event,
) -> None:
    backend = Backend("a", hang(released), timeout_s=0.05)
    page = Page([backend], 1.0)
    for _ in range(5):
        list(page.collect())
    assert backend.calls == 1
    assert len(backend.threads) == 1


def test_a_backend_that_answers_again_is_up_again(released: threading.Event) -> None:
    page = Page([Backend("a", hang(released), timeout_s=0.5)], 1.0)
    assert one(list(page.collect()), "shared_up") == 0
    released.set()
    deadline = time.monotonic() + 10
    while one(list(page.collect()), "shared_up") == 0:
        assert time.monotonic() < deadline


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[[Page], str]]:
    """Serve pages on free ports; returns their addresses."""
    stops = []

    def serve(page: Page) -> str:
        exporter = Exporter(("127.0.0.1", 0), page, load_modules(None), tmp_path)
        stop = threading.Event()
        thread = threading.Thread(target=exporter.serve, args=(stop,))
        thread.start()
        stops.append((stop, thread))
        return f"http://127.0.0.1:{exporter.address[1]}"

    yield serve
    for stop, thread in stops:
        stop.set()
        thread.join(10)
        assert not thread.is_alive()


def fetch(url: str, **headers: str) -> str:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
        body: bytes = answer.read()
        return body.decode()


def test_metrics_are_served_in_prometheus_text_with_the_process_own(
    served: Callable[[Page], str],
) -> None:
    text = fetch(served(Page([Backend("a", lambda: 1.0)], 1.0)) + "/metrics")
    names = {family.name for family in text_string_to_metric_families(text)}
    assert {"figure", "storewatch_collector_success", "process_resident_memory_bytes"} <= names


def test_a_scrape_ends_within_prometheus_timeout_header(
    served: Callable[[Page], str], released: threading.Event
) -> None:
    url = served(Page([Backend("a", hang(released), timeout_s=30)], 30))
    started = time.monotonic()
    text = fetch(url + "/metrics", **{"X-Prometheus-Scrape-Timeout-Seconds": "0.8"})
    assert time.monotonic() - started < 0.8
    assert 'shared_up{backend="a"} 0.0' in text


def test_a_scraper_that_goes_away_does_no_harm(served: Callable[[Page], str]) -> None:
    import socket

    url = served(Page([Backend("a", lambda: 1.0)], 1.0))
    port = int(url.rpartition(":")[2])
    for request in (b"GET /metrics HTTP/1.1\r\n\r\n", b"", b"\x00\xff\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(request)
    assert "figure" in fetch(url + "/metrics")
    assert fetch(url + "/health") == "ok\n"


def test_a_port_in_use_is_one_line_that_says_what_to_do(
    served: Callable[[Page], str], tmp_path: Path
) -> None:
    port = int(served(Page([], 1.0)).rpartition(":")[2])
    with pytest.raises(UnreachableError, match=r"set monitors\.listen to a free host:port"):
        Exporter(("127.0.0.1", port), Page([], 1.0), {}, tmp_path)


@pytest.mark.parametrize(
    ("header", "limit"), [("10", 9.5), ("0.6", 0.3), ("0.001", 0.0005), ("", None), ("0", None)]
)
def test_the_limit_of_a_scrape_leaves_time_to_write_it(header: Any, limit: Any) -> None:
    assert scrape_limit_s(header) == limit
