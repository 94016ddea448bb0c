"""Several processes, on one machine or on many, make the load of one run.

Locust's master and workers carry the messages. The master leads: it deals out the plan, announces
the stages, and adds up what the workers tell it every second. Of N workers each serves every N-th
arrival, so that none meets the test data of another. A worker that is lost ends the run: what it
had under way nobody knows.

Nothing of this is encrypted or asks who is there (as in Locust): loopback, or a network of its own.
"""

import gc
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import gevent
from gevent.event import Event
from gevent.queue import Empty, Queue
from locust.env import Environment
from locust.runners import STATE_MISSING

from loadtests.arrivals import Stage
from loadtests.conductor import Conductor
from loadtests.plan import Plan
from loadtests.recorder import Recorder
from loadtests.shoppers import Run, VirtualShopper
from loadtests.watch import Watch
from storewatch.core.errors import LoadError

HELLO, PLAN, READY, BEGIN = (f"storewatch-{word}" for word in ("hello", "plan", "ready", "begin"))
STAGE, FIGURES, END, DONE = (f"storewatch-{word}" for word in ("stage", "figures", "end", "done"))
_COME_WITHIN_S = 300.0
_READY_WITHIN_S = 60.0
OnSignals = Callable[[Callable[[], None]], None]


def address(text: str) -> tuple[str, int]:
    """Return host and port of HOST:PORT."""
    host, _, port = text.rpartition(":")
    return host, int(port)


def spawn_rate(plan: Plan) -> float:
    """Return how many shoppers get ready per second: all within five seconds."""
    return max(100, plan.shoppers / 5)


class _Leader:
    def __init__(self, plan: Plan, folder: Path, host: str, port: int, workers: int) -> None:
        self.plan = plan
        self.workers = workers
        self.ending = Event()
        self.lost = ""
        self.done: set[str] = set()
        self.health: dict[str, tuple[int, float]] = {}
        self.beginning = time.monotonic()
        self.recorder = Recorder(
            folder,
            (),
            mixed=len(plan.journeys) > 1,
            longest_visit_s=plan.patience_s + plan.longest_visit_s,
        )
        self._inbox: Queue[Any] = Queue()
        self.runner = Environment(user_classes=[VirtualShopper]).create_master_runner(host, port)
        for name in (HELLO, READY, FIGURES, DONE):
            self.runner.register_message(name, _into(self._inbox))

    def elapsed(self) -> float:
        return time.monotonic() - self.beginning

    def wait_until(self, moment_s: float) -> None:
        gevent.sleep(max(0.0, moment_s - self.elapsed()))

    def tell(self, kind: str, data: Any = None, to: str | None = None) -> None:
        self.runner.send_message(kind, data, to)

    def announce(self, stage: Stage | None) -> None:
        if stage is not None:
            self.recorder.add_stage(stage)
        self.tell(STAGE, {"stage": stage and stage.to_json()})

    def gather(self, kind: str, within_s: float) -> Iterator[Any]:
        """Yield a message of each worker.

        Raises:
            LoadError: one did not send it in time.
        """
        for number in range(self.workers):
            try:
                message = self._inbox.get(timeout=within_s)
            except Empty:
                raise LoadError(
                    f"{number} of {self.workers} workers were there within {within_s:.0f} s"
                ) from None
            if message.type != kind:
                raise LoadError(f"a worker says {message.type}, expected {kind}: {message.data}")
            yield message

    def listen(self) -> None:
        """Add up what the workers tell until all are done or one is lost."""
        while len(self.done) < self.workers and not self.lost:
            try:
                message = self._inbox.get(timeout=1.0)
            except Empty:
                self.look_for_the_lost()
                continue
            if message.type == FIGURES:
                self.recorder.absorb(message.data["figures"])
                self.health[message.node_id] = (message.data["busy"], message.data["cpu_ratio"])
            elif message.type == DONE:
                self.done.add(message.node_id)
            self.look_for_the_lost()

    def look_for_the_lost(self) -> None:
        clients = self.runner.clients
        here = {one.id for one in clients.all if one.state != STATE_MISSING}
        if gone := set(self.health) - here - self.done:
            self.lost = f"{len(gone)} of {self.workers} workers lost after {self.elapsed():.0f} s"

    def said_health(self) -> tuple[int, float]:
        busy = [one[0] for one in self.health.values()]
        return sum(busy), max((one[1] for one in self.health.values()), default=0.0)


def lead(
    plan: Plan, folder: Path, host: str, port: int, workers: int, on_signals: OnSignals
) -> None:
    """Lead so many workers through a plan and write what they recorded into the folder.

    Prints where it listens first: {"listening": "HOST:PORT"}.

    Raises:
        LoadError: not all workers came in time, or they could not begin.
    """
    leader = _Leader(plan, folder, host, port, workers)
    on_signals(leader.ending.set)
    _say({"listening": f"{host}:{leader.runner.server.port}"})
    try:
        for index, hello in enumerate(list(leader.gather(HELLO, _COME_WITHIN_S))):
            leader.health[hello.node_id] = (0, 0.0)
            leader.tell(PLAN, {"plan": plan.to_json(), "part": [index, workers]}, hello.node_id)
        for ready in leader.gather(READY, _READY_WITHIN_S):
            if ready.data:
                raise LoadError(f"a worker cannot begin: {ready.data}")
        leader.runner.start(plan.shoppers, spawn_rate(plan))
        _lead(leader)
    finally:
        leader.runner.quit()


def _lead(leader: _Leader) -> None:
    leader.beginning = time.monotonic()
    leader.recorder.began_at = time.time()
    leader.tell(BEGIN)
    conductor = Conductor(leader.plan, leader.recorder, leader.announce, leader.wait_until)
    leading = gevent.spawn(conductor.lead)
    leading.link_exception(lambda _: leader.ending.set())
    leader.ending.rawlink(lambda _: leader.tell(END))
    watch = Watch(leader.plan, leader.recorder, leader.elapsed, leader.ending, conductor.hopeless)
    watching = gevent.spawn(watch.until_the_end, leader.said_health)
    leader.listen()
    complete = not leader.ending.is_set() and not leader.lost
    duration_s = leader.elapsed()
    leader.ending.set()
    watching.join()
    leading.kill()
    if leading.exception:
        raise leading.exception
    leader.recorder.write(
        leader.said_health()[1],
        duration_s,
        complete=complete,
        aborted=watch.aborted,
        ladder=conductor.outcomes,
        lost_workers=leader.lost,
    )


def follow(folder: Path, host: str, port: int, on_signals: OnSignals) -> int:
    """Make a part of the load that a leader asks for; the figures go to it."""
    inbox: Queue[Any] = Queue()
    runner = Environment(user_classes=[VirtualShopper], catch_exceptions=False)
    worker = runner.create_worker_runner(host, port)
    for name in (PLAN, BEGIN, STAGE, END):
        worker.register_message(name, _into(inbox))
    worker.send_message(HELLO)
    dealt = inbox.get()
    try:
        run = VirtualShopper.run_ = Run(
            Plan.from_json(dealt.data["plan"]), folder, tuple(dealt.data["part"])
        )
    except Exception as error:  # noqa: BLE001 - the leader says it
        worker.send_message(READY, f"{type(error).__name__}: {error}")
        worker.greenlet.join()
        return 1
    on_signals(run.ending.set)
    listening = gevent.spawn(_listen, inbox, run)
    worker.send_message(READY)
    run.begun.wait()
    gc.freeze()
    telling = gevent.spawn(_tell, worker, run)
    run.go_through()
    run.over.set()
    telling.join()
    run.close()
    _tell_once(worker, run)
    worker.send_message(DONE)
    listening.kill()
    worker.greenlet.join()  # until the leader says goodbye
    return 0


def _into(inbox: "Queue[Any]") -> Callable[..., None]:
    """Return a listener that only passes on: Locust would log an error of it and go on."""

    def listener(environment: Environment, msg: Any) -> None:  # noqa: ARG001 - Locust's signature
        inbox.put(msg)

    return listener


def _listen(inbox: "Queue[Any]", run: Run) -> None:
    for message in inbox:
        if message.type == BEGIN:
            run.begin()
        elif message.type == STAGE:
            raw = message.data["stage"]
            run.announce(raw and Stage(**raw))
        else:
            run.ending.set()


def _tell(worker: Any, run: Run) -> None:
    while not run.over.wait(1.0):
        _tell_once(worker, run)


def _tell_once(worker: Any, run: Run) -> None:
    told: Mapping[str, Any] = {
        "figures": run.recorder.take(),
        "busy": run.busy,
        "cpu_ratio": run.cpu_ratio(),
    }
    worker.send_message(FIGURES, told)


def _say(line: Mapping[str, Any]) -> None:
    print(json.dumps(line), flush=True)  # noqa: T201 - the parent reads it
