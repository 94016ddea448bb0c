"""The processes that make load, and what they leave behind."""

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from loadtests.books import read_books
from loadtests.ledger import Reconciliation, read_ledger, reconcile
from loadtests.plan import Plan
from loadtests.settings import ReconciliationSettings
from storewatch.core.clock import utc_now
from storewatch.core.errors import LoadError, UsageError

Progress = Callable[[dict[str, Any]], None]
# Clocks of client and database may differ by this much; orders are looked up from before the run.
CLOCK_TOLERANCE = timedelta(seconds=30)
_START_WITHIN_S = 60.0
_REMOTE_WITHIN_S = 300.0
_EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 - compared with, not bound to


@dataclass(frozen=True, slots=True)
class Crew:
    """Who makes the load.

    Attributes:
        workers: processes on this machine; alone, one is generator and leader at once.
        remote: how many join from elsewhere with `storewatch load worker`.
        listen: where they find the leader, HOST:PORT; port 0: any.
    """

    workers: int = 1
    remote: int = 0
    listen: str = "127.0.0.1:0"

    @property
    def alone(self) -> bool:
        """Whether a single process does it all."""
        return self.size == 1 and not self.remote

    @property
    def size(self) -> int:
        """How many processes there are."""
        return self.workers + self.remote


ALONE = Crew()


@dataclass(slots=True)
class RunningLoad:
    """Load that goes on until it is stopped or its plan ends."""

    plan: Plan
    folder: Path
    crew: Crew
    started_at: datetime = field(default_factory=utc_now)
    _processes: list[subprocess.Popen[str]] = field(default_factory=list)
    _begun: threading.Event = field(default_factory=threading.Event)
    _reader: threading.Thread | None = None
    _trouble: Exception | None = None

    def start(self, progress: Progress) -> None:
        """Start the processes; `progress` gets an object a second from a thread."""
        plan = self.folder / "plan.json"
        self.plan.write(plan)
        words = ["--plan", str(plan)]
        if not self.crew.alone:
            words += ["--lead", self.crew.listen, "--workers", str(self.crew.size)]
        self._spawn(self.folder, "generator.log", words)
        self._reader = threading.Thread(target=self._read, args=(progress,), daemon=True)
        self._reader.start()

    def stop(self) -> dict[str, Any]:
        """End the schedule, let journeys under way finish and return the summary.

        Raises:
            LoadError: the generator died; its last words are in `generator.log`.
        """
        self._begun.wait(self._begins_within_s)  # before, SIGTERM would find nobody to handle it
        self.interrupt()
        return self._end(self.plan.longest_end_s)

    def interrupt(self) -> None:
        """Ask the generator to end in order."""
        with contextlib.suppress(ProcessLookupError):
            self._processes[0].send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the generator at once, for when nobody will read the result."""
        for process in self._processes:
            process.kill()
            process.wait()

    def wait(self) -> dict[str, Any]:
        """Wait for the plan's end and return the summary, as `stop` does."""
        return self._end(self._begins_within_s + self.plan.duration_s + self.plan.longest_end_s)

    @property
    def _begins_within_s(self) -> float:
        return _START_WITHIN_S + (_REMOTE_WITHIN_S if self.crew.remote else 0.0)

    def _end(self, within_s: float) -> dict[str, Any]:
        try:
            status = self._processes[0].wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise LoadError(
                f"the load generator did not end in {within_s:.0f} s and was killed;"
                f" see {self.folder / 'generator.log'}"
            ) from None
        assert self._reader is not None
        self._reader.join()
        for worker in self._processes[1:]:  # the leader has said goodbye to them
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.wait(10)
        self.kill()
        if self._trouble is not None:
            raise LoadError(f"the load was ended: {self._trouble}") from self._trouble
        try:
            summary = json.loads((self.folder / "summary.json").read_text())
        except (OSError, ValueError) as error:
            raise LoadError(
                f"the load generator ended with status {status} and no summary;"
                f" see {self.folder / 'generator.log'}"
            ) from error
        return dict(summary)

    def ledger(self) -> tuple[list[str], list[dict[str, Any]]]:
        """Return attempted keys and acknowledged orders so far."""
        path = self.folder / "ledger.jsonl"
        return read_ledger(path) if path.exists() else ([], [])

    def reconcile(self, settings: ReconciliationSettings) -> Reconciliation:
        """Compare the ledger with the shop and the payment providers."""
        attempts, acknowledged = self.ledger()
        books = read_books(settings, self.started_at - CLOCK_TOLERANCE)
        return reconcile(attempts, acknowledged, books, settings.accepted_states)

    def _spawn(self, folder: Path, log_name: str, words: list[str]) -> None:
        with (self.folder / log_name).open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "loadtests.generator", str(folder), *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        self._processes.append(process)

    def _read(self, progress: Progress) -> None:
        stdout = self._processes[0].stdout
        assert stdout is not None
        for line in stdout:
            try:
                said = json.loads(line)
            except ValueError:
                continue
            if "listening" in said:
                self._follow(said["listening"])
                continue
            self._begun.set()
            try:
                if self._trouble is None:
                    progress(said)
            except Exception as error:  # noqa: BLE001 - raised where the load is waited for
                self._trouble = error
                self.interrupt()
        self._begun.set()

    def _follow(self, leader: str) -> None:
        """Start the workers of this machine."""
        leader = leader.replace(_EVERY_ADDRESS, "127.0.0.1")
        for number in range(1, self.crew.workers + 1):
            folder = self.folder / f"worker-{number}"
            folder.mkdir()
            self._spawn(folder, f"worker-{number}/generator.log", ["--follow", leader])


def checked_address(text: str) -> str:
    """Return the text.

    Raises:
        UsageError: it is no HOST:PORT.
    """
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise UsageError(f"{text!r} is no address; write HOST:PORT, such as 10.0.0.5:5557")
    return text


def join(leader: str) -> int:
    """Make a part of the load that a leader elsewhere asks for; return the exit status.

    Raises:
        UsageError: the address is none.
    """
    with tempfile.TemporaryDirectory(prefix="storewatch-load-") as folder:
        words = [folder, "--follow", checked_address(leader)]
        argv = [sys.executable, "-m", "loadtests.generator", *words]
        return subprocess.run(argv, check=False).returncode
