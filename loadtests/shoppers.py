"""Virtual shoppers: Locust's users, and what those of one process share.

What a shopper sends with is loadtests/curl.py; cookies do not outlive a journey. Certificates are
checked against the plan's CA file (Locust's own default checks nothing).
"""

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
from gevent.event import Event
from gevent.queue import Queue
from locust import User, task

from loadtests.arrivals import Stage, shopper_number
from loadtests.curl import CurlSession, ExhaustedError, Transfers
from loadtests.figures import Visit
from loadtests.health import WAKE_EVERY_S, Busiest
from loadtests.plan import Plan
from loadtests.recorder import Recorder
from storewatch.core.journey import (
    Journey,
    JourneyFailedError,
    Response,
    SteppingShopper,
    load_journey,
)

_SERVER_ERROR = 500
_LONGEST_THOUGHT = 10  # times the mean. Source: TPC-W 1.8


class Run:
    """What the virtual shoppers of one process share.

    Args:
        plan: of the whole run.
        folder: where the figures go.
        part: which of so many processes this is; it serves every so many-th arrival.
    """

    def __init__(self, plan: Plan, folder: Path, part: tuple[int, int] = (0, 1)) -> None:
        self.plan = plan
        self.part, self.parts = part
        self.journeys = {one.name: load_journey(one.path) for one in plan.journeys}
        self.recorder = Recorder(
            folder,
            (),
            mixed=len(plan.journeys) > 1,
            longest_visit_s=plan.patience_s + plan.longest_visit_s,
            relayed=self.parts > 1,
        )
        self.transfers = Transfers()
        self.arrivals: Queue[tuple[int, float, str]] = Queue()
        self.stages: Queue[Stage | None] = Queue()
        self.beginning = time.monotonic()
        self.busy = 0
        self.ready = 0
        self._cpu = Busiest()
        self.begun, self.over = Event(), Event()
        self.ending = Event()
        self._came = 0

    def begin(self) -> None:
        """Let time begin."""
        self.beginning = time.monotonic()
        self.recorder.began_at = time.time()
        self.begun.set()

    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.beginning

    def wait_until(self, moment_s: float) -> None:
        """Return at a moment of the run."""
        if (early_s := moment_s - self.elapsed()) > 0:
            gevent.sleep(early_s)

    def announce(self, stage: Stage | None) -> None:
        """Add a stage; None: there are no more."""
        if stage is not None:
            self.recorder.add_stage(stage)
        self.stages.put(stage)

    def go_through(self) -> bool:
        """Make load until the last stage is over, or the run is to end; tell which: True, False."""
        waking = gevent.spawn(self.watch_itself)
        scheduling = gevent.spawn(self.schedule)
        self.ending.rawlink(lambda _: scheduling.kill(block=False))
        ended = scheduling.get()  # an error in it is one of the run
        waking.kill()
        self.finish()
        return not isinstance(ended, gevent.GreenletExit)

    def schedule(self) -> None:
        """Hand out arrivals at their moments until the last stage is over."""
        if self.plan.think_s is not None:
            for _ in self._announced():
                pass  # users come by themselves
        else:
            for number, (moment, name) in enumerate(self.plan.arrivals(self._announced())):
                if number % self.parts == self.part:
                    self.wait_until(moment)
                    self.recorder.arrive(moment)
                    self.arrivals.put((number, moment, name))
        self.wait_until(self.recorder.end_s)

    def watch_itself(self) -> None:
        """Record how late the process wakes up: as late it may be to see an answer, too.

        Moments that were slept through count as well, each with what it was late.
        """
        due_s = 0.0
        while True:
            self.wait_until(due_s)
            now_s = self.elapsed()
            if not self.recorder.stages:
                due_s = now_s + WAKE_EVERY_S
            while due_s <= now_s:
                self.recorder.woke(due_s, now_s - due_s)
                due_s += WAKE_EVERY_S

    def _announced(self) -> Iterator[Stage]:
        while (stage := self.stages.get()) is not None:
            yield stage

    def visits_of(self, user: int) -> Iterator[tuple[int, float, str]]:
        """Yield number, intended start and journey of what one shopper does, as it is due."""
        if self.plan.think_s is None:
            while True:
                yield self.arrivals.get()
        chance = random.Random(f"{self.plan.run} user {user}")
        names, weights = self.plan.mix
        coming = self.plan.stages[0]
        due_s = coming.duration_s * (user + 1) / coming.end_rate
        while True:
            thought_s = chance.expovariate(1 / self.plan.think_s)
            due_s += min(thought_s, _LONGEST_THOUGHT * self.plan.think_s)
            self.wait_until(due_s)
            if self.ending.is_set() or due_s >= self.recorder.end_s:
                return
            self.recorder.arrive(due_s)
            yield self._number(), due_s, chance.choices(names, weights)[0]
            due_s = self.elapsed()

    def _number(self) -> int:
        self._came += 1
        return (self._came - 1) * self.parts + self.part

    def cpu_ratio(self) -> float:
        """Return the cores used in the busiest ten seconds so far."""
        return self._cpu.note(self.elapsed(), time.process_time())

    def finish(self) -> None:
        """Wait for journeys under way, as long as their slowest step sequence may take."""
        patience = gevent.Timeout.start_new(self.plan.longest_visit_s)
        try:
            while self.busy or not self.arrivals.empty():
                gevent.sleep(0.05)
        except gevent.Timeout as timeout:
            if timeout is not patience:
                raise
        finally:
            patience.close()

    def close(self) -> None:
        """Count the arrivals that no shopper took before the end; let go of all connections."""
        self.transfers.close()
        while not self.arrivals.empty():
            _, intended_s, _ = self.arrivals.get_nowait()
            self.recorder.miss(intended_s)


class _KeptOrder(dict[str, Any]):
    """The journey's `data`: what it writes about its order reaches the ledger at that moment."""

    def __init__(self, recorder: Recorder, **values: Any) -> None:
        super().__init__(values)
        self._recorder = recorder

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        if key == "attempt":
            self._recorder.attempted(value)
        elif key == "order":
            self._recorder.order(value)

    def update(self, *others: Any, **values: Any) -> None:
        """As of a dict, which itself would not ask `__setitem__`."""
        for key, value in dict(*others, **values).items():
            self[key] = value

    def setdefault(self, key: str, default: Any = None) -> Any:
        """As of a dict."""
        if key not in self:
            self[key] = default
        return self[key]

    def __ior__(self, other: Any) -> "_KeptOrder":  # type: ignore[override,misc]
        self.update(other)
        return self


class VirtualShopper(User):  # type: ignore[misc]
    """Takes the next arrival, lives through the journey, takes the next."""

    run_: Run

    def on_start(self) -> None:
        """Get what requests are sent with."""
        plan = self.run_.plan
        self._session = CurlSession(
            self.run_.transfers, plan.base_url, plan.ca_file, plan.timeout_s
        )
        self._number = self.run_.ready * self.run_.parts + self.run_.part
        self.run_.ready += 1

    @task  # type: ignore[untyped-decorator]
    def visit(self) -> None:
        """Serve arrivals until the runner ends; Locust's own round costs as much as a request."""
        self.run_.begun.wait()
        for number, intended_s, name in self.run_.visits_of(self._number):
            self._serve(number, intended_s, name)
        Event().wait()  # what is left of the run is not this shopper's

    def _serve(self, number: int, intended_s: float, name: str) -> None:
        run = self.run_
        started_s = run.elapsed()
        if started_s - intended_s > run.plan.patience_s:
            run.recorder.miss(intended_s)
            return
        run.busy += 1
        self._session.forget()
        shopper = SteppingShopper(
            self._send,
            _KeptOrder(run.recorder, number=shopper_number(number), run=run.plan.run),
        )
        error = "not over long after the end of the run, given up"
        try:
            error = _outcome(run.journeys[name], shopper)
        finally:  # also when the greenlet is ended
            run.busy -= 1
            steps = tuple(shopper.steps)
            run.recorder.visit(Visit(name, intended_s, started_s, run.elapsed(), steps, error))

    def _send(self, method: str, path: str, route: str | None, options: dict[str, Any]) -> Response:
        ok, begun_s = False, self.run_.elapsed()
        try:
            response = self._session.request(method, path, **options)
            ok = 0 < response.status_code < _SERVER_ERROR
            return response
        except ExhaustedError:
            self.run_.recorder.exhausted(begun_s)
            raise
        finally:
            now_s = self.run_.elapsed()
            where = f"{method} {route or path}"
            self.run_.recorder.request(now_s, where, now_s - begun_s, ok=ok)


def _outcome(journey: Journey, shopper: SteppingShopper) -> str:
    """Run the journey and return what went wrong, "" for nothing.

    A mistake in the journey's own code must show as a failed visit, not end the generator.
    """
    try:
        journey(shopper)
    except JourneyFailedError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - see above
        return f"the journey itself failed: {type(error).__name__}: {error}"
    return ""
