"""What is counted of a run. All of it can be added up: over seconds, over workers."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from loadtests.histogram import Histogram, merged
from storewatch.core.journey import StepResult

SECOND_COUNTS = ("arrivals", "started", "requests", "failed")
_STAGE_COUNTS = ("arrivals", "missed", "requests", "requests_failed", "exhausted")
_STAGE_HISTOGRAMS = ("lateness", "waking", "service")


@dataclass(frozen=True, slots=True)
class Visit:
    """One journey as it went; moments are seconds from the beginning of the run."""

    journey: str
    intended_s: float
    started_s: float
    ended_s: float
    steps: tuple[StepResult, ...]
    error: str


@dataclass(slots=True)
class Timed:
    """How long something took each time, and how often it failed."""

    took: Histogram = field(default_factory=Histogram)
    failed: int = 0

    def count(self, one: int, *, ok: bool) -> None:
        """Count one time by the bucket of its duration."""
        self.took.count(one)
        self.failed += not ok

    def add(self, other: "Timed") -> None:
        """Take in all that another one has counted."""
        self.took.add(other.took)
        self.failed += other.failed

    def row(self) -> dict[str, Any]:
        """Return count, failures and quantiles in seconds."""
        return {**self.took.quantiles(), "failed": self.failed}


def together(some: Iterable[Timed]) -> Timed:
    """Return one of all."""
    whole = Timed()
    for one in some:
        whole.add(one)
    return whole


def _by_name() -> defaultdict[str, Timed]:
    return defaultdict(Timed)


@dataclass(slots=True)
class Second:
    """One second of the run, for the curves.

    Attributes:
        arrivals: visits that were meant to start in it.
        started: those of them that did, once they have ended.
        latency: of the steps of visits that were meant to start in it.
        quantiles: of `latency` once it was let go of.
    """

    arrivals: int = 0
    started: int = 0
    requests: int = 0
    failed: int = 0
    latency: Histogram = field(default_factory=Histogram)
    quantiles: dict[str, float | None] | None = None

    def add(self, raw: Mapping[str, Any]) -> None:
        """Take in what another one said in `to_json`."""
        for name in SECOND_COUNTS:
            setattr(self, name, getattr(self, name) + raw[name])
        if self.quantiles is None:
            self.latency.add(Histogram(raw["latency"]))

    def join(self, other: "Second") -> None:
        """Take in another one; both are over, and the worse quantiles stay."""
        mine, theirs = self.quantiles or {}, other.quantiles or {}
        for name in SECOND_COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.quantiles = {
            name: max((one for one in (mine.get(name), value) if one is not None), default=None)
            for name, value in theirs.items()
        }

    def to_json(self) -> dict[str, Any]:
        """Return all of it; histograms as their counts by bucket."""
        counts = {name: getattr(self, name) for name in SECOND_COUNTS}
        return {**counts, "latency": self.latency.counts}


@dataclass(slots=True)
class Cell:
    """What became of the visits of one journey in one stage.

    Attributes:
        steps: by name; the first of each visit is measured from the intended start.
        visit: from the intended start to the end.
    """

    visits: int = 0
    failed: int = 0
    steps: defaultdict[str, Timed] = field(default_factory=_by_name)
    visit: Histogram = field(default_factory=Histogram)

    def add(self, raw: Mapping[str, Any]) -> None:
        """Take in what another one said in `to_json`."""
        self.visits += raw["visits"]
        self.failed += raw["failed"]
        _add_each(self.steps, raw["steps"])
        self.visit.add(Histogram(raw["visit"]))

    def to_json(self) -> dict[str, Any]:
        """Return all of it; histograms as their counts by bucket."""
        counts = {"visits": self.visits, "failed": self.failed, "visit": self.visit.counts}
        return {**counts, "steps": _each_of(self.steps)}


@dataclass(slots=True)
class StageFigures:
    """What became of one stage.

    Attributes:
        cells: by journey.
        arrivals: visits that were meant to start.
        missed: arrivals that were never started.
        exhausted: requests for which the generator had no socket left.
        lateness: from the intended start to the start.
        waking: how late the generator woke, at moments evenly spaced.
        service: from the start to the end.
        routes: from sending a request to its whole answer.
    """

    cells: defaultdict[str, Cell] = field(default_factory=lambda: defaultdict(Cell))
    arrivals: int = 0
    missed: int = 0
    requests: int = 0
    requests_failed: int = 0
    exhausted: int = 0
    lateness: Histogram = field(default_factory=Histogram)
    waking: Histogram = field(default_factory=Histogram)
    service: Histogram = field(default_factory=Histogram)
    routes: defaultdict[str, Timed] = field(default_factory=_by_name)
    errors: Counter[str] = field(default_factory=Counter)

    def add(self, raw: Mapping[str, Any]) -> None:
        """Take in what another one said in `to_json`."""
        for journey, cell in raw["cells"].items():
            self.cells[journey].add(cell)
        for name in _STAGE_COUNTS:
            setattr(self, name, getattr(self, name) + raw[name])
        for name in _STAGE_HISTOGRAMS:
            getattr(self, name).add(Histogram(raw[name]))
        _add_each(self.routes, raw["routes"])
        self.errors.update(raw["errors"])

    def to_json(self) -> dict[str, Any]:
        """Return all of it; histograms as their counts by bucket."""
        return {
            **{name: getattr(self, name) for name in _STAGE_COUNTS},
            "cells": {journey: cell.to_json() for journey, cell in self.cells.items()},
            **{name: getattr(self, name).counts for name in _STAGE_HISTOGRAMS},
            "routes": _each_of(self.routes),
            "errors": dict(self.errors),
        }


def tally(stages: Iterable[StageFigures], journey: str | None = None) -> dict[str, Any]:
    """Return counts and quantiles of some stages together, or of one journey in them."""
    stages = list(stages)
    cells = [cell for one in stages for name, cell in one.cells.items() if journey in (None, name)]
    if journey is not None:
        stages = []  # their counts are of all journeys
    return {
        "arrivals": sum(one.arrivals for one in stages),
        "visits": sum(cell.visits for cell in cells),
        "visits_failed": sum(cell.failed for cell in cells),
        "arrivals_missed": sum(one.missed for one in stages),
        "requests": sum(one.requests for one in stages),
        "requests_failed": sum(one.requests_failed for one in stages),
        "steps": together(one for cell in cells for one in cell.steps.values()).row(),
        "visit": merged(cell.visit for cell in cells).quantiles(),
    }


def by_name(groups: Iterable[Mapping[str, Timed]]) -> dict[str, Timed]:
    """Return what several groups have, added up by name."""
    found = _by_name()
    for group in groups:
        for name, one in group.items():
            found[name].add(one)
    return found


def _add_each(mine: defaultdict[str, Timed], raw: Mapping[str, Mapping[str, Any]]) -> None:
    for name, one in raw.items():
        mine[name].add(Timed(Histogram(one["took"]), one["failed"]))


def _each_of(some: Mapping[str, Timed]) -> dict[str, dict[str, Any]]:
    return {name: {"took": one.took.counts, "failed": one.failed} for name, one in some.items()}
