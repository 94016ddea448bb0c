"""Try once everything that is watched, and say what was found."""

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg

from monitors.collectors.business import BusinessCollector
from monitors.collectors.edge import EdgeCounts
from monitors.collectors.host import HostCollector
from monitors.collectors.monotonic import MonotonicCounters
from monitors.collectors.postgres.collector import PostgresCollector
from monitors.collectors.redis import RedisCollector
from monitors.families import Collector
from monitors.journeys import JourneyPlan, JourneyTimer
from monitors.probes.modules import load_modules
from monitors.probes.prober import Prober
from monitors.queries import BusinessQuery, load_queries
from monitors.settings import EdgeSettings, MonitorSettings, ProbeTarget

_PROBE_S = 10.0
_TAIL_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Trial:
    """One thing that was tried: what it is, whether it works, seconds it took, what was found."""

    kind: str
    name: str
    ok: bool
    took_s: float
    found: str


def trials(settings: MonitorSettings, home: Path, plans: Sequence[JourneyPlan]) -> Iterator[Trial]:
    """Try probes, journeys, backends, queries and the edge's log, each once.

    Nothing that a running exporter counts is changed; a journey that orders does place an order.

    Args:
        settings: what is watched.
        home: the state folder.
        plans: of the journeys.
    """
    yield from _probes(settings, home)
    for plan in plans:
        yield _journey(plan)
    if settings.host:
        yield _collector("host", "this one", HostCollector(settings.host))
    if settings.edge:
        yield _edge(settings.edge, home / settings.edge.log)
    if settings.postgres:
        for node in settings.postgres.nodes:
            yield _collector("postgres", node.name, PostgresCollector(settings.postgres, node))
    if settings.redis:
        yield _collector("redis", settings.redis.name, RedisCollector(settings.redis))
    yield from _queries(settings)


def _probes(settings: MonitorSettings, home: Path) -> Iterator[Trial]:
    targets = settings.probes.targets
    if not targets:
        return
    modules = load_modules(settings.probes.modules)

    async def probe(prober: Prober, target: ProbeTarget) -> Trial:
        began = time.monotonic()
        report = await prober.probe(target.target, modules[target.module], _PROBE_S)
        status = report.values.get("probe_http_status_code")
        found = report.error or (f"status {int(status)}" if status else "answers")
        ok = bool(int(report.values["probe_success"]))
        return Trial("probe", target.name, ok, time.monotonic() - began, found)

    async def probe_all() -> list[Trial]:
        prober = Prober(modules, home)
        try:
            return await asyncio.gather(*(probe(prober, target) for target in targets))
        finally:
            prober.close()

    yield from asyncio.run(probe_all())


def _journey(plan: JourneyPlan) -> Trial:
    result = JourneyTimer(plan).walk_once()
    steps = ", ".join(step.name for step in result.steps if step.ok)
    found = result.error or f"steps: {steps}"
    return Trial("journey", plan.name, result.outcome == "ok", result.duration_s, found)


def _collector(kind: str, name: str, collector: Collector) -> Trial:
    def collect() -> str:
        samples = sum(len(family.samples) for family in collector.collect())
        return f"{samples} samples"

    return _try(kind, name, collect)


def _edge(settings: EdgeSettings, log: Path) -> Trial:
    def read_tail() -> str:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL_BYTES))
            lines = file.read().splitlines(keepends=True)
        lines = lines[1:] if size > _TAIL_BYTES else lines
        counts = EdgeCounts(settings.routes, settings.maximum_routes)
        counts.add(b"".join(lines))
        if lines and counts.malformed == len(lines):
            raise ValueError(
                "none of its lines is what is expected; see docs/reference/settings.md"
            )
        return f"{len(lines)} lines at its end, {counts.malformed} of them malformed"

    return _try("edge", log.name, read_tail)


def _queries(settings: MonitorSettings) -> Iterator[Trial]:
    if settings.business is None or settings.postgres is None:
        return
    queries = load_queries(settings.business.file)
    with tempfile.TemporaryDirectory() as folder:
        counters = MonotonicCounters(Path(folder) / "business.json")
        collector = BusinessCollector(settings.business, queries, settings.postgres, counters)
        for query in queries:
            yield _try("query", query.name, partial(_query, collector, query))


def _query(collector: BusinessCollector, query: BusinessQuery) -> str:
    series, dropped = collector.try_query(query)
    return f"{series} series" + (f", {dropped} rows dropped" if dropped else "")


def _try(kind: str, name: str, call: Callable[[], str]) -> Trial:
    began = time.monotonic()
    try:
        ok, found = True, call()
    except (OSError, psycopg.Error, ValueError, TypeError, KeyError, TimeoutError) as error:
        ok, found = False, str(error).strip().partition("\n")[0] or type(error).__name__
    return Trial(kind, name, ok, time.monotonic() - began, found)
