"""Probes per CPU-second and a thousand targets: our exporter beside blackbox_exporter."""

import asyncio
import functools
import tempfile
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.figure import Figure
from benchmarks.probe_site import Peer, Scrape, connect, exporters, targets
from storewatch.core.targets import Target

_ROUNDS = 4
_ROUND_S = 2.0
_CONNECTIONS = 8
_TARGETS = 1000
_INTERVAL_S = 15.0
_PEER = "blackbox_exporter"


@contextmanager
def _site() -> Iterator[tuple[list[str], Sequence[Peer]]]:
    """Run the targets and both exporters while inside."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        urls = stack.enter_context(targets(folder))
        yield urls, stack.enter_context(exporters(folder))


def probe_cost_ratio() -> Figure:
    """Measure HTTP probes per CPU-second of the exporter, its own HTTP server included.

    Both are asked as Prometheus asks, on kept connections, for the same targets; each probe makes
    a connection of its own. Rounds alternate and the best of each counts.
    """
    best = [0.0, 0.0]
    with _site() as (urls, peers):
        for _ in range(_ROUNDS):
            for index, peer in enumerate(peers):
                before = peer.cpu_s()
                probes = _run(_as_fast_as_it_goes(peer, urls))
                best[index] = max(best[index], probes / (peer.cpu_s() - before))
    return Figure("probe_cost_ratio", best[0], "probes/CPU-s", _PEER, best[1], Target(">=", 5))


async def _as_fast_as_it_goes(peer: Peer, urls: list[str]) -> int:
    loop = asyncio.get_running_loop()
    until, addresses = loop.time() + _ROUND_S, cycle(urls)
    scrapes: list[Scrape] = []

    async def one_after_another() -> None:
        connection = await connect(peer.port)
        while loop.time() < until:
            scrapes.append(await connection.scrape(next(addresses)))

    await asyncio.gather(*(one_after_another() for _ in range(_CONNECTIONS)))
    _demand_success(scrapes)
    return len(scrapes)


@dataclass(frozen=True, slots=True)
class _Thousand:
    """What an exporter took for a thousand targets every 15 s."""

    core_share: float
    rss_bytes: int
    added_p99_s: float


@functools.cache
def _thousand() -> tuple[_Thousand, _Thousand]:
    """Watch a thousand targets for one interval by both exporters at the same time."""
    with _site() as (urls, peers):
        ours, blackbox = _run(_both_paced(peers, urls))
        return ours, blackbox


async def _both_paced(peers: tuple[Peer, Peer], urls: list[str]) -> list[_Thousand]:
    return await asyncio.gather(*(_paced(peer, urls) for peer in peers))


async def _paced(peer: Peer, urls: list[str]) -> _Thousand:
    """Spread the scrapes over the interval, as Prometheus does; the first round warms up."""
    loop = asyncio.get_running_loop()
    free = [await connect(peer.port) for _ in range(_CONNECTIONS)]

    async def one(number: int) -> Scrape:
        connection = free.pop() if free else await connect(peer.port)
        scrape = await connection.scrape(f"{urls[number % len(urls)]}/{number}")
        free.append(connection)
        return scrape

    await asyncio.gather(*(one(number) for number in range(_CONNECTIONS)))
    started, before = loop.time(), peer.cpu_s()
    scrapes = []
    for number in range(_TARGETS):
        due = started + number * _INTERVAL_S / _TARGETS
        await asyncio.sleep(max(0.0, due - loop.time()))
        scrapes.append(asyncio.create_task(one(number)))
    done = await asyncio.gather(*scrapes)
    share = (peer.cpu_s() - before) / (loop.time() - started)
    _demand_success(done)
    added = sorted(scrape.added_s for scrape in done)[int(_TARGETS * 0.99)]
    return _Thousand(share, peer.process.memory_info().rss, added)


def probe_1000_targets_core_ratio() -> Figure:
    """Measure the share of one core that a thousand targets every 15 s take."""
    ours, blackbox = _thousand()
    return Figure(
        "probe_1000_targets_core_ratio", ours.core_share, "of a core",
        _PEER, blackbox.core_share, Target("<=", 0.10), absolute=True,
    )  # fmt: skip


def probe_1000_targets_rss_bytes() -> Figure:
    """Measure the memory of the exporter while it probes them."""
    ours, blackbox = _thousand()
    return Figure(
        "probe_1000_targets_rss_bytes", ours.rss_bytes, "bytes",
        _PEER, blackbox.rss_bytes, Target("<=", 150_000_000), absolute=True,
    )  # fmt: skip


def probe_added_latency_p99_s() -> Figure:
    """Measure what a scrape takes longer than its probe, at the 99th percentile of them.

    The target is our own: Prometheus leaves half a second for it.
    """
    ours, blackbox = _thousand()
    return Figure(
        "probe_added_latency_p99_s", ours.added_p99_s, "s",
        _PEER, blackbox.added_p99_s, Target("<=", 0.05), absolute=True,
    )  # fmt: skip


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def _demand_success(scrapes: list[Scrape]) -> None:
    failed = sum(not scrape.success for scrape in scrapes)
    if failed > len(scrapes) / 100:
        raise RuntimeError(f"{failed} of {len(scrapes)} probes failed; the figure means nothing")
