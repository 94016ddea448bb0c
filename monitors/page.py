"""One page of metrics, asked of all collectors at once, each within its own time."""

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from prometheus_client import PROCESS_COLLECTOR
from prometheus_client.core import Metric

from monitors.families import Collector, gauge, merge

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Run:
    """One call of a collector in its own thread."""

    started: float
    done: threading.Event = field(default_factory=threading.Event)
    families: list[Metric] | None = None
    error: str = ""
    duration_s: float = 0.0


class Slot:
    """One collector and at most one run of it: a stuck backend holds one thread, never more."""

    def __init__(self, collector: Collector) -> None:
        self.collector = collector
        self._lock = threading.Lock()
        self._run: _Run | None = None
        self._was_up: bool | None = None

    def start(self) -> _Run:
        """Return the run in flight, begun now unless one is still under way."""
        with self._lock:
            if self._run is None or self._run.done.is_set():
                self._run = _Run(time.monotonic())
                threading.Thread(target=self._collect, args=(self._run,), daemon=True).start()
            return self._run

    def result(self, run: _Run, deadline: float) -> tuple[list[Metric], bool, float]:
        """Wait for a run until its own timeout or the deadline (monotonic), whichever is first.

        Returns:
            The families (those of `down()` after a failure), success, and the seconds it took.
        """
        until = min(run.started + self.collector.timeout_s, deadline)
        finished = run.done.wait(max(0.0, until - time.monotonic()))
        if finished and run.families is not None:
            self._note(True, "")
            return run.families, True, run.duration_s
        waited_s = time.monotonic() - run.started
        self._note(False, run.error if finished else f"no answer within {waited_s:.1f} s")
        return list(self.collector.down()), False, run.duration_s if finished else waited_s

    def _collect(self, run: _Run) -> None:
        try:
            run.families = list(self.collector.collect())
        except Exception as error:  # noqa: BLE001 - whatever a backend does, the exporter lives
            run.error = f"{type(error).__name__}: {error}".strip().replace("\n", " ")
        run.duration_s = time.monotonic() - run.started
        run.done.set()

    def _note(self, up: bool, reason: str) -> None:
        if up != self._was_up:
            if not up:
                _log.warning("%s: %s", self.collector.name, reason)
            elif self._was_up is not None:
                _log.info("%s: answers again", self.collector.name)
            self._was_up = up


class Page:
    """All collectors as one registry: `collect()` runs them in parallel.

    Args:
        collectors: what is asked.
        deadline_s: the longest that one page takes.
    """

    def __init__(self, collectors: Sequence[Collector], deadline_s: float) -> None:
        names = [c.name for c in collectors]
        assert len(set(names)) == len(names), f"collectors share a name: {names}"
        self._slots = [Slot(c) for c in collectors]
        self._deadline_s = deadline_s

    def collect(self, limit_s: float | None = None) -> Iterable[Metric]:
        """Return the merged families of all collectors and how each of them fared."""
        limit_s = self._deadline_s if limit_s is None else min(limit_s, self._deadline_s)
        deadline = time.monotonic() + limit_s
        runs = [(slot, slot.start()) for slot in self._slots]
        families: list[Metric] = []
        success, duration = [], []
        for slot, run in runs:
            found, ok, seconds = slot.result(run, deadline)
            families.extend(found)
            labels = {"collector": slot.collector.name}
            success.append((labels, float(ok)))
            duration.append((labels, seconds))
        families.append(
            gauge("storewatch_collector_success", "Whether the collector answered.", success)
        )
        families.append(
            gauge("storewatch_collector_duration_seconds", "Time the collector took.", duration)
        )
        families.extend(PROCESS_COLLECTOR.collect())
        return merge(families)
