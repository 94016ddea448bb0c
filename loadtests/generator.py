"""The load generator: Locust's users serve arrivals that come by a schedule, not by their leisure.

Runs as a process of its own, because importing Locust patches sockets and threads: alone, or as one
of a fleet (loadtests/fleet.py). Prints one JSON object a second; SIGTERM and SIGINT end the
schedule, and so does a reader of these lines that is gone. Journeys under way are finished, then
`summary.json` is written.
"""

# ruff: noqa: E402 - gevent must patch before anything else is imported
from gevent import monkey

monkey.patch_all()

import argparse
import gc
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import gevent
from locust.env import Environment

from loadtests import fleet
from loadtests.conductor import Conductor
from loadtests.plan import Plan
from loadtests.shoppers import Run, VirtualShopper
from loadtests.watch import Watch


def alone(plan: Plan, folder: Path) -> None:
    """Generate the load of a plan; write what was recorded into the folder."""
    run = VirtualShopper.run_ = Run(plan, folder)
    runner = Environment(
        user_classes=[VirtualShopper], catch_exceptions=False
    ).create_local_runner()
    _on_signals(run.ending.set)
    runner.start(plan.shoppers, spawn_rate=fleet.spawn_rate(plan))
    runner.spawning_greenlet.join()
    gc.freeze()  # what was imported is looked at no more
    run.begin()
    conductor = Conductor(plan, run.recorder, run.announce, run.wait_until)
    leading = gevent.spawn(conductor.lead)
    leading.link_exception(lambda _: run.ending.set())
    watch = Watch(plan, run.recorder, run.elapsed, run.ending, conductor.hopeless)
    watching = gevent.spawn(watch.until_the_end, lambda: (run.busy, run.cpu_ratio()))
    complete = run.go_through()
    duration_s = run.elapsed()
    run.ending.set()
    watching.join()
    runner.quit()
    run.close()
    if leading.exception:
        raise leading.exception
    run.recorder.write(
        run.cpu_ratio(),
        duration_s,
        complete=complete,
        aborted=watch.aborted,
        ladder=conductor.outcomes,
    )


def _on_signals(end: Callable[[], None]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, end)


def main(argv: list[str]) -> int:
    """Generate load alone, lead a fleet, or follow a leader."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.generator")
    parser.add_argument("folder", type=Path, help="where the figures go; with --follow, a spool")
    parser.add_argument("--plan", type=Path)
    parser.add_argument("--lead", metavar="HOST:PORT", help="port 0: any")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--follow", metavar="HOST:PORT")
    given = parser.parse_args(argv)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if given.follow:
        return fleet.follow(given.folder, *fleet.address(given.follow), _on_signals)
    plan = Plan.read(given.plan)
    if given.lead:
        fleet.lead(plan, given.folder, *fleet.address(given.lead), given.workers, _on_signals)
    else:
        alone(plan, given.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
