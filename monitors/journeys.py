"""Journeys on a timer: walk the shop as a shopper does, keep the newest result for the scrape."""

import itertools
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from prometheus_client.core import Metric

from monitors.families import counter, gauge
from monitors.visitor import Visitor
from storewatch.core.journey import Journey, JourneyFailedError, SteppingShopper, StepResult

_log = logging.getLogger(__name__)

OUTCOMES = ("ok", "failed", "timeout")
_MAXIMUM_HUNG = 3
_MARGIN_S = 0.25
"""Requests end this long before the journey's timeout, so that the step that hung is known."""


@dataclass(frozen=True, slots=True)
class JourneyResult:
    """One walk: outcome (of `OUTCOMES`), seconds, end as Unix time, the steps that were reached.

    `failures` counts the walks in a row, this one included, that did not succeed.
    """

    outcome: str
    duration_s: float
    ended_at: float
    steps: tuple[StepResult, ...]
    error: str = ""
    failures: int = 0


@dataclass(frozen=True, slots=True)
class JourneyPlan:
    """What is walked and how often; times in seconds.

    `shoppers` are the first and last shopper number, used in turn.
    """

    name: str
    journey: Journey
    base_url: str
    ca_file: Path | None
    interval_s: float
    timeout_s: float
    shoppers: tuple[int, int] = (490, 499)


class _Walk:
    """One walk in its own thread. Once abandoned, whatever it still brings is of no interest."""

    def __init__(self, plan: JourneyPlan, number: int) -> None:
        self._plan = plan
        self._started = time.monotonic()
        self._error = ""
        self._visitor = Visitor(
            plan.base_url, plan.ca_file, self._started + max(plan.timeout_s - _MARGIN_S, 0.05)
        )
        data = {"number": number, "run": f"watch-{secrets.token_hex(8)}"}
        self._shopper = SteppingShopper(self._visitor.send, data)
        self.done = threading.Event()
        threading.Thread(target=self._walk, name=f"journey-{plan.name}", daemon=True).start()

    def result(self) -> JourneyResult:
        """Wait for the end or the journey's timeout and say how it went."""
        remaining_s = self._started + self._plan.timeout_s - time.monotonic()
        finished = self.done.wait(max(0.0, remaining_s))
        duration_s = time.monotonic() - self._started
        steps = tuple(self._shopper.steps)
        if not finished:
            self._visitor.abort()
            return JourneyResult("timeout", duration_s, time.time(), steps, "the walk hangs")
        outcome = "ok"
        if self._error:
            outcome = "timeout" if self._visitor.expired else "failed"
        return JourneyResult(outcome, duration_s, time.time(), steps, self._error)

    def _walk(self) -> None:
        try:
            self._plan.journey(self._shopper)
        except JourneyFailedError as error:
            self._error = str(error)
        except Exception as error:  # noqa: BLE001 - a journey's bug is a failed journey
            self._error = f"{type(error).__name__}: {error}"
        finally:
            self._visitor.close()
            self.done.set()


class JourneyTimer:
    """One journey on its timer; `newest` is what the last walk brought.

    A walk that hangs is given up at its timeout. Its thread is left to end with its sockets; with
    three such threads alive no further walk is begun, and the journey counts as timed out.
    """

    def __init__(self, plan: JourneyPlan) -> None:
        self.plan = plan
        self.newest: JourneyResult | None = None
        self.runs = dict.fromkeys(OUTCOMES, 0)
        first, last = plan.shoppers
        self._numbers = itertools.cycle(range(first, last + 1))
        self._hung: list[_Walk] = []
        self._stop = threading.Event()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to walk, at once and then at each interval."""
        threading.Thread(target=self._loop, name=f"timer-{self.plan.name}", daemon=True).start()

    def stop(self) -> None:
        """Begin no further walk."""
        self._stop.set()

    def snapshot(self) -> tuple[JourneyResult | None, dict[str, int]]:
        """Return the newest result and the runs by outcome, from the same moment."""
        with self._lock:
            return self.newest, dict(self.runs)

    def walk_once(self) -> JourneyResult:
        """Walk now, unless too many walks hang, and keep the result."""
        self._hung = [walk for walk in self._hung if not walk.done.is_set()]
        if len(self._hung) >= _MAXIMUM_HUNG:
            error = f"{len(self._hung)} walks hang; none was begun"
            result = JourneyResult("timeout", 0.0, time.time(), (), error)
        else:
            walk = _Walk(self.plan, next(self._numbers))
            result = walk.result()
            if not walk.done.is_set():
                self._hung.append(walk)
        before = self.newest.failures if self.newest else 0
        result = replace(result, failures=0 if result.outcome == "ok" else before + 1)
        self._keep(result)
        return result

    def _keep(self, result: JourneyResult) -> None:
        before = self.newest
        with self._lock:
            self.newest = result
            self.runs[result.outcome] += 1
        if result.outcome != "ok" and (before is None or before.outcome == "ok"):
            _log.warning("journey %s: %s: %s", self.plan.name, result.outcome, result.error)
        elif result.outcome == "ok" and before is not None and before.outcome != "ok":
            _log.info("journey %s: succeeds again", self.plan.name)

    def _loop(self) -> None:
        next_walk = time.monotonic()
        while not self._stop.wait(max(0.0, next_walk - time.monotonic())):
            try:
                self.walk_once()
            except Exception:  # noqa: BLE001 - such as no thread to be had: the timer lives on
                _log.exception("journey %s could not be walked", self.plan.name)
            now = time.monotonic()
            next_walk += self.plan.interval_s
            if next_walk < now:  # walks that were missed are not made up for
                next_walk = now


class _Timer(Protocol):
    plan: JourneyPlan

    def snapshot(self) -> tuple[JourneyResult | None, dict[str, int]]: ...


class JourneyCollector:
    """The newest results of all timers; reading them asks nobody."""

    name = "journeys"
    timeout_s = 1.0

    def __init__(self, timers: Iterable[_Timer]) -> None:
        self._timers = tuple(timers)

    def collect(self) -> Iterable[Metric]:
        """Return success, duration, steps, age and counts of every journey that was walked."""
        snapshots = [(t.plan.name, *t.snapshot()) for t in self._timers]
        newest = [(name, result) for name, result, _ in snapshots if result is not None]
        yield counter(
            "storewatch_journey_runs",
            "Walks by outcome.",
            [
                ({"journey": name, "outcome": outcome}, float(count))
                for name, _, runs in snapshots
                for outcome, count in runs.items()
            ],
        )
        for metric, documentation, read in _PER_JOURNEY:
            yield gauge(metric, documentation, [({"journey": n}, read(r)) for n, r in newest])
        for metric, documentation, read_step in _PER_STEP:
            yield gauge(
                metric,
                documentation,
                [
                    ({"journey": name, "step": step.name}, read_step(step))
                    for name, result in newest
                    for step in {s.name: s for s in result.steps}.values()
                ],
            )

    def down(self) -> Iterable[Metric]:
        """Return nothing: without a result there is none to publish."""
        return ()


_PER_JOURNEY: tuple[tuple[str, str, Callable[[JourneyResult], Any]], ...] = (
    (
        "storewatch_journey_success",
        "Whether the newest walk succeeded.",
        lambda r: r.outcome == "ok",
    ),
    (
        "storewatch_journey_consecutive_failures",
        "Walks in a row that did not succeed; 0 after one that did.",
        lambda r: r.failures,
    ),
    ("storewatch_journey_duration_seconds", "Time of the newest walk.", lambda r: r.duration_s),
    (
        "storewatch_journey_last_run_timestamp_seconds",
        "Unix time at which the newest walk ended.",
        lambda r: r.ended_at,
    ),
)
_PER_STEP: tuple[tuple[str, str, Callable[[StepResult], Any]], ...] = (
    (
        "storewatch_journey_step_success",
        "Whether the step of the newest walk succeeded; steps not reached are absent.",
        lambda s: s.ok,
    ),
    (
        "storewatch_journey_step_duration_seconds",
        "Time of the step of the newest walk.",
        lambda s: s.duration_s,
    ),
)
