"""Start, stop and ask the processes of the stack."""

import contextlib
import socket
import time
import urllib.parse
import warnings
import xmlrpc.client
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import requests
import urllib3

from storewatch.core.errors import UnreachableError, UsageError
from storewatch.settings import ProcessSettings
from storewatch.supervision import Supervisor

Say = Callable[[str], None]

_ALIVE = ("RUNNING", "STARTING", "STOPPING")
_LOST = ("FATAL", "BACKOFF", "EXITED", "UNKNOWN")


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """What is known of one process."""

    name: str
    state: str
    pid: int | None
    uptime_s: float | None
    ready: bool | None

    def to_json(self) -> dict[str, object]:
        """Return the status as one JSON object."""
        return {
            "name": self.name,
            "state": self.state,
            "pid": self.pid,
            "uptime_s": self.uptime_s,
            "ready": self.ready,
        }


class Stack:
    """The processes of one configuration under one supervisord.

    Args:
        home: the state folder.
        processes: all processes, in the order they are listed in.
        environment: what every process gets beside our own environment, secrets included.
    """

    def __init__(
        self, home: Path, processes: Sequence[ProcessSettings], environment: dict[str, str]
    ) -> None:
        self.supervisor = Supervisor(home)
        self.processes = {process.name: process for process in processes}
        self._environment = environment

    def up(self, say: Say) -> None:
        """Start everything in order; when a part does not come up, end what was started.

        Raises:
            UsageError: the stack is up already, or a port is in use (the line names the holder).
            UnreachableError: a process did not become ready; the line names its log.
        """
        if self.supervisor.alive():
            raise UsageError(
                "the stack is up already; `storewatch status` shows it, `down` ends it"
            )
        if ended := self.supervisor.end_orphans():
            say(f"ended what a killed supervisor left behind: {', '.join(ended)}")
        self._refuse_ports_in_use()
        self.supervisor.launch(self.processes.values(), self._environment)
        try:
            self._start_in_order(say)
        except BaseException:
            self.down(lambda _line: None)
            raise

    def down(self, say: Say) -> None:
        """Stop everything, also what a killed supervisor left behind."""
        longest = max((p.stop_within for p in self.processes.values()), default=10)
        if self.supervisor.alive() or self.supervisor.pid() is not None:
            self.supervisor.shutdown(within_s=2 * longest + 10)
            say("stopped")
        elif not self.supervisor.orphans():
            say("nothing was running")
        if ended := self.supervisor.end_orphans():
            say(f"ended what a killed supervisor left behind: {', '.join(ended)}")

    def status(self) -> list[ProcessStatus]:
        """Return the status of every process; all STOPPED when the stack is down."""
        infos = {}
        if self.supervisor.alive():
            infos = {info["name"]: info for info in self.supervisor.rpc().getAllProcessInfo()}
        return [self._status(process, infos.get(name)) for name, process in self.processes.items()]

    def start(self, name: str, say: Say) -> None:
        """Start one process and wait until it is ready."""
        self._known(name)
        if self._state(name) not in _ALIVE:
            self._call("startProcess", name, False)
        self._await_ready([name], say)

    def stop(self, name: str) -> None:
        """Stop one process and wait until it is gone; one that does not run is left alone."""
        self._known(name)
        if self._state(name) in _ALIVE:
            self._wake(name)
            self._call("stopProcess", name, True)

    def restart(self, name: str, say: Say) -> None:
        """Stop one process, whatever its state, and start it again."""
        self.stop(name)
        self.start(name, say)

    def pid(self, name: str) -> int:
        """Return the pid of a running process.

        Raises:
            UnreachableError: it is not running.
        """
        self._known(name)
        if not self.supervisor.alive():
            raise UnreachableError("the stack is down; `storewatch up --detach` starts it")
        pid = int(self.supervisor.rpc().getProcessInfo(name)["pid"])
        if not pid:
            raise UnreachableError(f"{name} is not running; `storewatch status` shows the stack")
        return pid

    def _start_in_order(self, say: Say) -> None:
        waiting = dict(self.processes)
        ready: set[str] = set()
        started: dict[str, float] = {}
        while waiting or started:
            for name in [n for n, p in waiting.items() if ready.issuperset(p.after)]:
                del waiting[name]
                started[name] = time.monotonic()
                self._call("startProcess", name, False)
            if not started:
                stuck = ", ".join(waiting)
                raise UsageError(f"processes: {stuck} wait for each other or for an unknown name")
            for name in self._await_any(started):
                ready.add(name)
                took = time.monotonic() - started.pop(name)
                say(f"{name} is ready ({took:.1f} s; {len(ready)} of {len(self.processes)})")

    def _await_ready(self, names: Iterable[str], say: Say) -> None:
        started = dict.fromkeys(names, time.monotonic())
        while started:
            for name in self._await_any(started):
                say(f"{name} is ready ({time.monotonic() - started.pop(name):.1f} s)")

    def _await_any(self, started: dict[str, float]) -> list[str]:
        """Wait until at least one of the started processes is ready and return those that are."""
        while True:
            done = []
            for name, since in started.items():
                process = self.processes[name]
                if self._state(name) in _LOST:
                    raise UnreachableError(f"{name} ended instead of starting: {self._last(name)}")
                if answers(process.ready):
                    done.append(name)
                elif time.monotonic() - since > process.start_within:
                    raise UnreachableError(
                        f"{name} was not ready in {process.start_within:g} s: {self._last(name)}"
                    )
            if done:
                return done
            time.sleep(0.1)

    def _refuse_ports_in_use(self) -> None:
        for process in self.processes.values():
            if process.ready is None:
                continue
            port = urllib.parse.urlsplit(process.ready).port
            if port and (holder := port_holder(port)):
                raise UsageError(
                    f"port {port}, wanted by {process.name}, is in use by {holder};"
                    " stop it or configure another port"
                )

    def _status(self, process: ProcessSettings, info: dict[str, int] | None) -> ProcessStatus:
        if not info:
            return ProcessStatus(process.name, "STOPPED", None, None, None)
        running = bool(info["pid"])
        return ProcessStatus(
            process.name,
            str(info["statename"]),
            info["pid"] or None,
            float(info["now"] - info["start"]) if running else None,
            answers(process.ready) if running and process.ready else None,
        )

    def _known(self, name: str) -> None:
        if name not in self.processes:
            known = ", ".join(self.processes)
            raise UsageError(f"no process {name!r}; this stack has: {known}")

    def _state(self, name: str) -> str:
        if not self.supervisor.alive():
            raise UnreachableError("the stack is down; `storewatch up --detach` starts it")
        return str(self.supervisor.rpc().getProcessInfo(name)["statename"])

    def _wake(self, name: str) -> None:
        """A frozen process cannot act on SIGTERM before it is continued."""
        with contextlib.suppress(UnreachableError, psutil.Error):
            process = psutil.Process(self.pid(name))
            if process.status() == psutil.STATUS_STOPPED:
                process.resume()

    def _call(self, method: str, name: str, wait: bool) -> None:
        try:
            getattr(self.supervisor.rpc(), method)(name, wait)
        except xmlrpc.client.Fault as fault:
            raise UnreachableError(f"{method} {name}: {fault.faultString.lower()}") from None

    def _last(self, name: str) -> str:
        log = self.supervisor.log_folder / f"{name}.log"
        try:
            lines = log.read_text(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return f"{lines[-1][:300] if lines else 'it wrote nothing'} (log: {log})"


def answers(ready: str | None) -> bool:
    """Tell whether a readiness address answers now; nothing to ask counts as ready.

    Args:
        ready: tcp://host:port, or an http(s) URL, of which any status below 500 will do. The
            certificate is not judged here: that is the monitors' work.
    """
    if ready is None:
        return True
    parts = urllib.parse.urlsplit(ready)
    try:
        if parts.scheme == "tcp":
            with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=1):
                return True
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", urllib3.exceptions.InsecureRequestWarning)
            answer = requests.get(ready, timeout=2, verify=False, allow_redirects=False)  # noqa: S501
        return answer.status_code < 500
    except (OSError, requests.RequestException):
        return False


def port_holder(port: int) -> str | None:
    """Return who listens on a local TCP port, None when nobody does."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            pass
        else:
            return None
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            local = connection.laddr
            if connection.status == psutil.CONN_LISTEN and local and local.port == port:
                if connection.pid is None:
                    break
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return "another process"
