"""Which collectors the settings ask for: one line per collector."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from monitors.collectors.business import BusinessCollector
from monitors.collectors.edge import EdgeCollector
from monitors.collectors.evidence import EvidenceCollector, EvidenceSource
from monitors.collectors.host import HostCollector
from monitors.collectors.incidents import IncidentCollector
from monitors.collectors.monotonic import MonotonicCounters
from monitors.collectors.postgres.collector import PostgresCollector
from monitors.collectors.redis import RedisCollector
from monitors.collectors.signals import SignalCollector
from monitors.collectors.wal import WalCollector
from monitors.exporter import Exporter, allow_many_files
from monitors.families import Collector
from monitors.journeys import JourneyCollector, JourneyPlan, JourneyTimer
from monitors.page import Page
from monitors.probes.modules import load_modules
from monitors.queries import load_queries
from monitors.settings import JourneySettings, MonitorSettings
from storewatch.core.journey import load_journey
from storewatch.core.parts import IncidentSource, SignalSource, WalSource


@dataclass(frozen=True, slots=True)
class Sources:
    """What the rest of the suite knows and the exporter publishes; None: not published."""

    evidence: EvidenceSource
    signals: SignalSource | None = None
    incidents: IncidentSource | None = None
    wal: WalSource | None = None

    def collectors(self) -> Iterator[Collector]:
        """Return one collector for each."""
        yield EvidenceCollector(self.evidence)
        if self.signals is not None:
            yield SignalCollector(self.signals)
        if self.incidents is not None:
            yield IncidentCollector(self.incidents)
        if self.wal is not None:
            yield WalCollector(self.wal)


@dataclass(frozen=True, slots=True)
class Watch:
    """The collectors and the timers that feed one of them."""

    collectors: tuple[Collector, ...]
    timers: tuple[JourneyTimer, ...]

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let the timers run while inside."""
        for timer in self.timers:
            timer.start()
        try:
            yield
        finally:
            for timer in self.timers:
                timer.stop()


def build_watch(
    settings: MonitorSettings,
    home: Path,
    sources: Sources,
) -> Watch:
    """Return everything the settings ask for.

    Args:
        settings: what is watched.
        home: the state folder; relative paths of the settings lie in it.
        sources: what the rest of the suite knows.

    Raises:
        ValueError: a journey cannot be loaded.
        OSError: the exporter's state folder cannot be made, or the log exists but cannot be read.
    """
    state = home / "monitors"
    state.mkdir(parents=True, exist_ok=True)
    timers = tuple(JourneyTimer(journey_plan(journey, home)) for journey in settings.journeys)
    collectors: list[Collector] = list(sources.collectors())
    if settings.host:
        collectors.append(HostCollector(settings.host))
    if settings.edge:
        log = home / settings.edge.log
        collectors.append(EdgeCollector(settings.edge, log, state / "edge.json"))
    collectors.extend(_backends(settings, state))
    if timers:
        collectors.append(JourneyCollector(timers))
    return Watch(tuple(collectors), timers)


def _backends(settings: MonitorSettings, state: Path) -> Iterator[Collector]:
    """Return what watches database, cache and business; their state lies in the folder."""
    if settings.postgres:
        for node in settings.postgres.nodes:
            yield PostgresCollector(settings.postgres, node)
    if settings.redis:
        yield RedisCollector(settings.redis)
    if settings.business and settings.postgres:
        queries = load_queries(settings.business.file)
        counters = MonotonicCounters(state / "business.json")
        yield BusinessCollector(settings.business, queries, settings.postgres, counters)


def run_exporter(
    settings: MonitorSettings,
    home: Path,
    sources: Sources,
    stop: threading.Event,
) -> None:
    """Watch, and serve /metrics and /probe until `stop` is set.

    Raises:
        UnreachableError: the address is taken.
    """
    watch = build_watch(settings, home, sources)
    allow_many_files()
    page = Page(watch.collectors, settings.deadline)
    exporter = Exporter(settings.listen, page, load_modules(settings.probes.modules), home)
    with watch.running():
        exporter.serve(stop)


def journey_plan(settings: JourneySettings, home: Path) -> JourneyPlan:
    """Return the plan of a journey of the settings; its CA file lies below home."""
    return JourneyPlan(
        name=settings.name,
        journey=load_journey(settings.journey),
        base_url=settings.base_url,
        ca_file=_below(home, settings.ca_file),
        interval_s=settings.interval,
        timeout_s=settings.timeout,
        shoppers=settings.shoppers,
    )


def _below(home: Path, path: Path | None) -> Path | None:
    return None if path is None else home / path
