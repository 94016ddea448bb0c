"""The load generator: Locust's users serve arrivals that come by a schedule, not by their leisure.

Runs as a process of its own (`python -m loadtests.generator PLAN FOLDER`), because importing Locust
patches sockets and threads. Prints one JSON object a second; SIGTERM and SIGINT end the schedule,
and so does a reader of these lines that is gone. Journeys under way are finished, then
`summary.json` is written.

Connections are kept open between journeys of one virtual shopper, cookies are not. Certificates
are checked against the plan's CA file (Locust's own default checks nothing).
"""

# ruff: noqa: E402 - gevent must patch before anything else is imported
from gevent import monkey

monkey.patch_all()

import importlib
import json
import signal
import ssl
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import gevent
import psutil
from gevent.event import Event
from gevent.queue import Empty, Queue
from locust import FastHttpUser, task
from locust.env import Environment

from loadtests.arrivals import constant, shopper_number
from loadtests.plan import Plan
from loadtests.recorder import Recorder, Visit
from storewatch.core.journey import Journey, JourneyFailedError, Response, SteppingShopper


class Run:
    """What the virtual shoppers of one run share."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        module, _, function = plan.journey.partition(":")
        self.plan = plan
        self.journey: Journey = getattr(importlib.import_module(module), function)
        self.recorder = Recorder(folder, plan.warm_up_s)
        self.arrivals: Queue[tuple[int, float]] = Queue()
        self.beginning = time.monotonic()
        self.busy = 0
        self.ending = Event()

    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.beginning

    def schedule(self) -> None:
        """Hand out arrivals at their moments until the plan or the run ends."""
        for number, moment in enumerate(constant(self.plan.rate, self.plan.duration_s)):
            if self.ending.wait(max(0.0, moment - self.elapsed())):
                return
            self.arrivals.put((number, moment))

    def report(self) -> None:
        """Print how far the run is, at once and then every second."""
        over = False
        while not over:
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
            _, intended_s = self.arrivals.get_nowait()
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


class VirtualShopper(FastHttpUser):  # type: ignore[misc]
    """Takes the next arrival, lives through the journey, takes the next."""

    abstract = True
    run_: Run
    max_redirects = 5
    max_retries = 0

    @task  # type: ignore[untyped-decorator]
    def visit(self) -> None:
        """Serve one arrival."""
        run = self.run_
        try:
            number, intended_s = run.arrivals.get(timeout=0.5)
        except Empty:
            return
        started_s = run.elapsed()
        if started_s - intended_s > run.plan.patience_s:
            run.recorder.miss(intended_s)
            return
        run.busy += 1
        self.client.cookiejar.clear()
        shopper = SteppingShopper(
            self._send,
            _KeptOrder(run.recorder, number=shopper_number(number), run=run.plan.run),
        )
        error = "not over long after the end of the run, given up"
        try:
            error = _outcome(run.journey, shopper)
        finally:  # also when the greenlet is ended
            run.busy -= 1
            steps = tuple(shopper.steps)
            run.recorder.visit(Visit(intended_s, started_s, run.elapsed(), steps, error))

    def _send(self, method: str, path: str, route: str | None, options: dict[str, Any]) -> Response:
        response = self.client.request(method, path, name=route or path, **options)
        ok = 0 < response.status_code < 500
        self.run_.recorder.request(self.run_.elapsed(), ok=ok)
        if response.status_code == 0:
            raise ConnectionError(str(response.error))
        return cast(Response, response)


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


def _context_factory(plan: Plan) -> Callable[[], ssl.SSLContext]:
    """Read the CA once; every connection shares the context and so resumes its sessions."""
    context = ssl.create_default_context(cafile=plan.ca_file)
    return lambda: context


def main(plan_file: Path, folder: Path) -> int:
    """Generate the load of a plan; write `summary.json` and `ledger.jsonl` into the folder."""
    plan = Plan.read(plan_file)
    run = Run(plan, folder)
    attributes = {
        "abstract": False,
        "run_": run,
        "host": plan.base_url,
        "insecure": False,
        "ssl_context_factory": staticmethod(_context_factory(plan)),
        "connection_timeout": plan.timeout_s,
        "network_timeout": plan.timeout_s,
    }
    user_class = type("Shopper", (VirtualShopper,), attributes)
    environment = Environment(user_classes=[user_class], catch_exceptions=False)
    runner = environment.create_local_runner()
    process = psutil.Process()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, run.ending.set)
    runner.start(plan.shoppers, spawn_rate=100)
    runner.spawning_greenlet.join()
    cpu_before = process.cpu_times()
    run.beginning = time.monotonic()
    reporting = gevent.spawn(run.report)
    gevent.spawn(run.schedule).get()  # an error in it is one of the run
    duration_s = run.elapsed()
    cpu = process.cpu_times()
    used_s = cpu.user + cpu.system - cpu_before.user - cpu_before.system
    _let_finish(run)
    run.ending.set()
    reporting.join()
    runner.quit()
    run.give_up_waiting()
    run.recorder.write(used_s / max(duration_s, 0.001), duration_s)
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
