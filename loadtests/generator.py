"""The load generator: Locust's users serve arrivals that come by a schedule, not by their leisure.

Runs as a process of its own (`python -m loadtests.generator PLAN FOLDER`), because importing Locust
patches sockets and threads. Prints one JSON object a second; SIGTERM and SIGINT end the schedule,
and so does a reader of these lines that is gone. Journeys under way are finished, then
`summary.json` is written.

What a shopper sends with is loadtests/curl.py; cookies do not outlive a journey. Certificates are
checked against the plan's CA file (Locust's own default checks nothing).
"""

# ruff: noqa: E402 - gevent must patch before anything else is imported
from gevent import monkey

monkey.patch_all()

import gc
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

import gevent
import psutil
from gevent.event import Event
from gevent.queue import Queue
from locust import User, task
from locust.env import Environment

from loadtests.arrivals import shopper_number
from loadtests.curl import CurlSession, Transfers
from loadtests.health import WAKE_EVERY_S, busiest
from loadtests.plan import Plan
from loadtests.recorder import Recorder, Visit
from storewatch.core.journey import (
    Journey,
    JourneyFailedError,
    Response,
    SteppingShopper,
    load_journey,
)

_SERVER_ERROR = 500


class Run:
    """What the virtual shoppers of one run share."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan = plan
        self.journeys = {one.name: load_journey(one.path) for one in plan.journeys}
        self.recorder = Recorder(
            folder,
            plan.stages,
            mixed=len(plan.journeys) > 1,
            longest_visit_s=plan.patience_s + plan.longest_visit_s,
        )
        self.transfers = Transfers()
        self.arrivals: Queue[tuple[int, float, str]] = Queue()
        self.beginning = time.monotonic()
        self.busy = 0
        self.cpu_s: list[tuple[float, float]] = []
        self.ending = Event()

    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.beginning

    def schedule(self) -> None:
        """Hand out arrivals at their moments; the run's end is the end of this greenlet."""
        for number, (moment, journey) in enumerate(self.plan.arrivals()):
            if (early_s := moment - self.elapsed()) > 0:
                gevent.sleep(early_s)
            self.arrivals.put((number, moment, journey))
        gevent.sleep(max(0.0, self.plan.duration_s - self.elapsed()))

    def watch_itself(self) -> None:
        """Record how late the process wakes up: as late it may be to see an answer, too.

        Moments that were slept through count as well, each with what it was late.
        """
        due_s = 0.0
        while due_s < self.plan.duration_s:
            gevent.sleep(max(0.0, due_s - self.elapsed()))
            now_s = self.elapsed()
            while due_s <= now_s and due_s < self.plan.duration_s:
                self.recorder.woke(due_s, now_s - due_s)
                due_s += WAKE_EVERY_S

    def report(self) -> None:
        """Print how far the run is, at once and then every second."""
        over, process = False, psutil.Process()
        while not over:
            used = process.cpu_times()
            self.cpu_s.append((self.elapsed(), used.user + used.system))
            line = {
                "elapsed_s": round(self.elapsed(), 1),
                "duration_s": self.plan.duration_s,
                "visits": self.recorder.visits,
                "failed": self.recorder.failed,
                "busy": self.busy,
            }
            try:
                print(json.dumps(line), flush=True)  # noqa: T201 - the parent reads it
            except OSError:  # it is gone: load that nobody asks for any more must end
                self.ending.set()
            over = self.ending.wait(1.0)

    def give_up_waiting(self) -> None:
        """Count the arrivals that no shopper took before the end."""
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


class VirtualShopper(User):  # type: ignore[misc]
    """Takes the next arrival, lives through the journey, takes the next."""

    abstract = True
    run_: Run

    def on_start(self) -> None:
        """Get what requests are sent with."""
        plan = self.run_.plan
        self._session = CurlSession(
            self.run_.transfers, plan.base_url, plan.ca_file, plan.timeout_s
        )

    @task  # type: ignore[untyped-decorator]
    def visit(self) -> None:
        """Serve arrivals until the runner ends; Locust's own round costs as much as a request."""
        while True:
            self._serve()

    def _serve(self) -> None:
        run = self.run_
        number, intended_s, name = run.arrivals.get()
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


def main(plan_file: Path, folder: Path) -> int:
    """Generate the load of a plan; write `summary.json` and `ledger.jsonl` into the folder."""
    plan = Plan.read(plan_file)
    run = Run(plan, folder)
    user_class = type("Shopper", (VirtualShopper,), {"abstract": False, "run_": run})
    environment = Environment(user_classes=[user_class], catch_exceptions=False)
    runner = environment.create_local_runner()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, run.ending.set)
    runner.start(plan.shoppers, spawn_rate=100)
    runner.spawning_greenlet.join()
    gc.freeze()  # what was imported is looked at no more
    run.beginning = time.monotonic()
    reporting = gevent.spawn(run.report)
    watching = gevent.spawn(run.watch_itself)
    scheduling = gevent.spawn(run.schedule)
    run.ending.rawlink(lambda _: scheduling.kill(block=False))
    scheduling.get()  # an error in it is one of the run
    duration_s = run.elapsed()
    watching.kill()
    _let_finish(run)
    run.ending.set()
    reporting.join()
    runner.quit()
    run.give_up_waiting()
    run.recorder.write(busiest(run.cpu_s), duration_s)
    return 0


def _let_finish(run: Run) -> None:
    """Wait for journeys under way, as long as their slowest step sequence may take."""
    patience = gevent.Timeout.start_new(run.plan.longest_visit_s)
    try:
        while run.busy or not run.arrivals.empty():
            gevent.sleep(0.05)
    except gevent.Timeout as timeout:
        if timeout is not patience:
            raise
    finally:
        patience.close()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
