"""What the generator keeps of a run: figures, a curve per second, the ledger of orders."""

import bisect
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from loadtests.arrivals import WARM_UP, Stage
from loadtests.curves import Curves
from loadtests.figures import StageFigures, Timed, Visit, by_name, tally, together
from loadtests.health import worst_lateness
from loadtests.histogram import bucket, merged
from loadtests.ladder import Outcome
from storewatch.store.files import write_atomic

MOST_ROUTES = MOST_ERRORS = 100
OTHER = "other"


class Recorder:
    """Collects visits in bounded memory; writes summary.json, ledger.jsonl and latency.hlog.

    Args:
        folder: where the files go.
        stages: of the run, more may follow; what is meant to start in one that does not count is
            left out of everything but its own figures, the curves and the ledger.
        mixed: whether there is more than one journey; steps are then named with theirs.
        longest_visit_s: seconds after its intended start at which a visit has ended.
        relayed: whether somebody else takes the lines of the ledger as well (see `take`).
    """

    def __init__(
        self,
        folder: Path,
        stages: Iterable[Stage],
        *,
        mixed: bool = False,
        longest_visit_s: float = 0.0,
        relayed: bool = False,
    ) -> None:
        self.folder = folder
        self.began_at = 0.0  # when time began, in unix seconds
        self.stages: list[Stage] = []
        self._figures: list[StageFigures] = []
        self._ends: list[float] = []
        for stage in stages:
            self.add_stage(stage)
        self._mixed = mixed
        self._routes: set[str] = set()
        self.curves = Curves(folder, longest_visit_s, self._may_count)
        self._acknowledged = 0
        self._said: list[bytes] | None = [] if relayed else None
        self._ledger = (folder / "ledger.jsonl").open("ab", buffering=0)

    def add_stage(self, stage: Stage) -> None:
        """Append a stage."""
        self.stages.append(stage)
        self._figures.append(StageFigures())
        self._ends.append((self._ends[-1] if self._ends else 0.0) + stage.duration_s)

    def count_in(self, position: int) -> None:
        """Let a stage belong to the figures of the run."""
        self.stages[position] = replace(self.stages[position], counts=True)

    def under_way(self, now_s: float) -> tuple[float, Stage | None]:
        """Return the beginning of the stage of a moment, and the stage; None before the first."""
        if not self.stages:
            return 0.0, None
        position = self._position(now_s)
        return self._ends[position - 1] if position else 0.0, self.stages[position]

    @property
    def end_s(self) -> float:
        """The end of the last stage that is known."""
        return self._ends[-1]

    def attempted(self, idempotency_key: str) -> None:
        """Write down that an order is about to be sent, before it is sent."""
        self._write({"attempt": idempotency_key})

    def order(self, order: dict[str, Any]) -> None:
        """Write down an order that the shop has acknowledged."""
        self._acknowledged += 1
        self._write({"order": order})

    def request(self, at_s: float, route: str, took_s: float, *, ok: bool) -> None:
        """Count one HTTP request.

        Args:
            at_s: when it was answered, from the beginning of the run.
            route: method and template; beyond `MOST_ROUTES` of them the rest is one.
            took_s: from sending to its whole answer.
            ok: whether it was answered, and not by an error of the server.
        """
        self.curves.at(at_s).requests += 1
        if at_s >= self._ends[-1]:
            return  # of a visit that takes longer than the run; no rate has room for it
        figures = self._at(at_s)
        figures.requests += 1
        figures.requests_failed += not ok
        if route not in self._routes:
            route = self._known(route)
        figures.routes[route].count(bucket(took_s), ok=ok)

    def arrive(self, intended_s: float) -> None:
        """Count a visit that is meant to start."""
        self.curves.at(intended_s).arrivals += 1
        self._at(intended_s).arrivals += 1

    def exhausted(self, at_s: float) -> None:
        """Count a request for which this machine had no socket left."""
        self._at(at_s).exhausted += 1

    def woke(self, due_s: float, late_s: float) -> None:
        """Count one moment at which the generator was to wake up, and how late it did."""
        self._at(due_s).waking.record(late_s)

    def miss(self, intended_s: float) -> None:
        """Count an arrival that could not be started in time: for its second it has failed."""
        self.curves.at(intended_s).failed += 1
        self._at(intended_s).missed += 1

    def visit(self, visit: Visit) -> None:
        """Record one visit; its first step is measured from the intended start."""
        waited_s = visit.started_s - visit.intended_s
        second = self.curves.at(visit.intended_s)
        second.started += 1
        second.failed += bool(visit.error)
        figures = self._at(visit.intended_s)
        cell = figures.cells[visit.journey]
        before_s = waited_s
        for step in visit.steps:
            one = bucket(step.duration_s + before_s)
            before_s = 0.0
            cell.steps[step.name].count(one, ok=step.ok)
            if second.quantiles is None:
                second.latency.count(one)
        cell.visits += 1
        cell.visit.record(visit.ended_s - visit.intended_s)
        figures.lateness.record(waited_s)
        figures.service.record(visit.ended_s - visit.started_s)
        if visit.error:
            cell.failed += 1
            error = visit.error[:200]
            known = error in figures.errors or len(figures.errors) < MOST_ERRORS
            figures.errors[error if known else OTHER] += 1

    def take(self) -> dict[str, Any]:
        """Return what was recorded since the last time and forget it: a worker tells its master."""
        said = {
            "stages": {n: one.to_json() for n, one in enumerate(self._figures)},
            "seconds": self.curves.take(),
            "ledger": self._said or [],
        }
        self._figures = [StageFigures() for _ in self.stages]
        self._said = []
        return said

    def absorb(self, said: Mapping[str, Any]) -> None:
        """Take in what a worker told."""
        for number, raw in said["stages"].items():
            self._figures[number].add(raw)
        self.curves.absorb(said["seconds"])
        for line in said["ledger"]:
            self._ledger.write(line)
            self._acknowledged += line.startswith(b'{"order"')

    def stage(self, position: int) -> dict[str, Any]:
        """Return counts and quantiles of one stage so far."""
        return tally([self._figures[position]])

    def steps_of(self, position: int | None = None) -> dict[str, Timed]:
        """Return the steps of the journeys in one stage so far; None: in all that count."""
        figures = self.counting() if position is None else [self._figures[position]]
        return by_name(
            {f"{name}/{step}" if self._mixed else step: one for step, one in cell.steps.items()}
            for stage in figures
            for name, cell in sorted(stage.cells.items())
        )

    def counting(self) -> list[StageFigures]:
        """Return the figures of the stages that count."""
        return [
            figures
            for stage, figures in zip(self.stages, self._figures, strict=True)
            if stage.counts
        ]

    def totals(self) -> dict[str, int]:
        """Return the counts of the run so far, without the warm-up."""
        figures = self._beyond_warm_up()
        cells = [cell for one in figures for cell in one.cells.values()]
        return {
            "visits": sum(cell.visits for cell in cells),
            "failed": sum(cell.failed for cell in cells),
            "missed": sum(one.missed for one in figures),
        }

    def summary(self, cpu_ratio: float, duration_s: float) -> dict[str, Any]:
        """Return all figures; latencies in seconds, `cpu_ratio` as `busiest` says it."""
        seconds = self.curves.rows()
        counting = self.counting()
        journeys = sorted({name for one in counting for name in one.cells})
        beyond_warm_up = self._beyond_warm_up()
        routes = by_name(one.routes for one in counting)
        steps = self.steps_of()
        return {
            "began_at": self.began_at,
            "duration_s": round(duration_s, 3),
            "generator_cpu_ratio": round(cpu_ratio, 4),
            **tally(counting),
            "arrivals_missed": sum(one.missed for one in beyond_warm_up),
            "orders_acknowledged": self._acknowledged,
            "sockets_exhausted": sum(one.exhausted for one in self._figures),
            "errors": dict(sum((one.errors for one in beyond_warm_up), Counter()).most_common(20)),
            "by_step": {name: one.row() for name, one in steps.items()},
            "by_journey": {name: tally(counting, name) for name in journeys},
            "by_route": {name: one.row() for name, one in sorted(routes.items())},
            "stages": [stage.to_json() for stage in self.stages],
            "by_stage": [
                {"name": stage.name, **self.stage(n)} for n, stage in enumerate(self.stages)
            ],
            "service": merged(one.service for one in counting).quantiles(),
            "lateness": worst_lateness(one.lateness for one in beyond_warm_up),
            "waking": worst_lateness(one.waking for one in self._beyond_warm_up(also_broken=True)),
            "spectrum": together(steps.values()).took.spectrum(),
            "windows": self.curves.windows(lambda at_s: self._stage(at_s).counts),
            "seconds": seconds,
        }

    def write(
        self,
        cpu_ratio: float,
        duration_s: float,
        *,
        complete: bool = True,
        aborted: str = "",
        lost_workers: str = "",
        ladder: Sequence[Outcome] = (),
    ) -> None:
        """Write `summary.json`; close ledger and log.

        Args:
            cpu_ratio: cores that the busiest process used, as `Busiest` says it.
            duration_s: of the run.
            complete: whether it went to the end of its plan.
            aborted: which target could not be met any more.
            lost_workers: how many of them were lost, and when.
            ladder: what a search for the breaking point found.
        """
        self._ledger.close()
        summary = {
            **self.summary(cpu_ratio, duration_s),
            "complete": complete,
            "aborted": aborted,
            "lost_workers": lost_workers,
            "ladder": list(ladder),
        }
        text = json.dumps(summary, indent=1) + "\n"
        write_atomic(self.folder / "summary.json", text.encode())

    def _write(self, record: dict[str, Any]) -> None:
        line = orjson.dumps(record) + b"\n"
        self._ledger.write(line)
        if self._said is not None:
            self._said.append(line)

    def _beyond_warm_up(self, *, also_broken: bool = False) -> list[StageFigures]:
        """Where arrivals are to start in time; in steps that broke the shop kept them waiting."""
        return [
            figures
            for stage, figures in zip(self.stages, self._figures, strict=True)
            if stage.name != WARM_UP and (also_broken or stage.counts or not stage.may_break)
        ]

    def _position(self, moment_s: float) -> int:
        return min(bisect.bisect_right(self._ends, moment_s), len(self._ends) - 1)

    def _at(self, moment_s: float) -> StageFigures:
        return self._figures[self._position(moment_s)]

    def _stage(self, moment_s: float) -> Stage:
        return self.stages[self._position(moment_s)]

    def _may_count(self, moment_s: float) -> bool:
        """Tell whether it counts, or may when a search for the breaking point is over."""
        stage = self._stage(moment_s)
        return stage.counts or stage.may_break

    def _known(self, route: str) -> str:
        if len(self._routes - {OTHER}) >= MOST_ROUTES:
            route = OTHER
        self._routes.add(route)
        return route
