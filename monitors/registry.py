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
from monitors.collectors.postgres import PostgresCollector
from monitors.collectors.redis import RedisCollector
from monitors.exporter import serve
from monitors.families import Collector
from monitors.journeys import JourneyCollector, JourneyPlan, JourneyTimer, load_journey
from monitors.probes.http import HttpProbe
from monitors.settings import JourneySettings, MonitorSettings


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


def build_watch(settings: MonitorSettings, home: Path, evidence: EvidenceSource) -> Watch:
    """Return everything the settings ask for.

    Args:
        settings: what is watched.
        home: the state folder; relative paths of the settings lie in it.
        evidence: where the evidence of rehearsals is read from.

    Raises:
        ValueError: a journey cannot be loaded.
        OSError: the exporter's state folder cannot be made, or the log exists but cannot be read.
    """
    state = home / "monitors"
    state.mkdir(parents=True, exist_ok=True)
    timers = tuple(JourneyTimer(journey_plan(journey, home)) for journey in settings.journeys)
    collectors: list[Collector] = [EvidenceCollector(evidence)]
    if settings.host:
        collectors.append(HostCollector(settings.host))
    if settings.edge:
        log = home / settings.edge.log
        collectors.append(EdgeCollector(settings.edge, log, state / "edge.json"))
    if settings.postgres:
        for node in settings.postgres.nodes:
            collectors.append(PostgresCollector(settings.postgres, node))
    if settings.redis:
        collectors.append(RedisCollector(settings.redis))
    if settings.business and settings.postgres:
        collectors.append(BusinessCollector(settings.business, settings.postgres))
    for target in settings.http:
        collectors.append(HttpProbe(target, _below(home, target.ca_file)))
    if timers:
        collectors.append(JourneyCollector(timers))
    return Watch(tuple(collectors), timers)


def run_exporter(
    settings: MonitorSettings, home: Path, evidence: EvidenceSource, stop: threading.Event
) -> None:
    """Watch and serve /metrics until `stop` is set.

    Raises:
        UnreachableError: the address is taken.
    """
    watch = build_watch(settings, home, evidence)
    with watch.running():
        serve(settings.listen, watch.collectors, stop, deadline_s=settings.deadline)


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
