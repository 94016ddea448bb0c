"""A lease on a fault: what was done and how it is undone, on disk before it is done.

Whoever injects holds the lease. When its runner is gone or its time is over, the watchdog (a
process of its own) undoes the fault; what even that missed is swept at the next start.
"""

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil

from storewatch.core.commands import resolve
from storewatch.core.errors import ChaosError
from storewatch.core.evidence import new_id
from storewatch.core.names import HOME_VARIABLE
from storewatch.store.files import write_atomic

RUNNER_VARIABLE = "STOREWATCH_CHAOS_RUNNER"
LEASE_VARIABLE = "STOREWATCH_CHAOS_LEASE_S"
_COMMAND_TIMEOUT_S = 90.0
_GONE_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Lease:
    """One fault under lease.

    `undo` are commands that take it back and may run twice; `gone` are commands that end with
    status 0 once it is seen to be gone. `runner` is the pid and create time of who must live.
    """

    id: str
    fault: str
    expires_unix_s: float
    undo: tuple[tuple[str, ...], ...]
    gone: tuple[tuple[str, ...], ...]
    runner: tuple[int, float]
    injected_unix_s: float | None = None

    def path(self) -> Path:
        """Return where the lease is kept."""
        return folder() / f"{self.id}.json"

    def write(self) -> None:
        """Write the lease, whole or not at all."""
        folder().mkdir(parents=True, exist_ok=True)
        write_atomic(self.path(), (json.dumps(asdict(self), indent=2) + "\n").encode(), mode=0o600)

    def injected(self) -> "Lease":
        """Write down that the fault is in, and when, and return the lease."""
        lease = replace(self, injected_unix_s=time.time())
        lease.write()
        return lease

    def over(self) -> bool:
        """Tell whether its time is over or its runner is gone."""
        return time.time() > self.expires_unix_s or not alive(*self.runner)


def folder() -> Path:
    """Return the folder of leases below the state folder.

    Raises:
        ChaosError: the state folder is not named in the environment.
    """
    home = os.environ.get(HOME_VARIABLE)
    if not home:
        raise ChaosError(f"{HOME_VARIABLE} is not set; run experiments through `storewatch prove`")
    return Path(home) / "chaos"


def alive(pid: int, created_unix_s: float) -> bool:
    """Tell whether the process of that pid is the one created then (pids are used again)."""
    try:
        return abs(psutil.Process(pid).create_time() - created_unix_s) < 1.0
    except psutil.Error:
        return False


def take(fault: str, undo: tuple[tuple[str, ...], ...], gone: tuple[tuple[str, ...], ...]) -> Lease:
    """Write the intent to inject and start the watchdog; inject only after this returned."""
    runner = psutil.Process(int(os.environ.get(RUNNER_VARIABLE) or os.getpid()))
    lease = Lease(
        id=new_id(),
        fault=fault,
        expires_unix_s=time.time() + float(os.environ.get(LEASE_VARIABLE) or 180),
        undo=undo,
        gone=gone,
        runner=(runner.pid, runner.create_time()),
    )
    lease.write()
    subprocess.Popen(
        [sys.executable, "-m", "chaos.watchdog", str(lease.path())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    return lease


def read(path: Path) -> Lease | None:
    """Read a lease; None when it is gone.

    Raises:
        ChaosError: the file is no lease.
    """
    try:
        raw = json.loads(path.read_text())
        raw["undo"] = tuple(tuple(words) for words in raw["undo"])
        raw["gone"] = tuple(tuple(words) for words in raw["gone"])
        raw["runner"] = tuple(raw["runner"])
        return Lease(**raw)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ChaosError(
            f"{path}: no lease ({error}); undo the fault by hand, then remove it"
        ) from error


def open_leases() -> list[Lease]:
    """Return the leases not yet given back, oldest first."""
    found = [read(path) for path in sorted(folder().glob("*.json"))]
    return [lease for lease in found if lease is not None]


def give_back(lease: Lease) -> bool:
    """Undo the fault, see that it is gone, and remove the lease; False when it was gone already.

    Raises:
        ChaosError: the fault is still there; the lease stays.
    """
    with _locked(lease):
        if not lease.path().exists():
            return False
        for words in lease.undo:
            _run(words)
        deadline = time.monotonic() + _GONE_WITHIN_S
        while failed := [words for words in lease.gone if _run(words) != 0]:
            if time.monotonic() > deadline:
                raise ChaosError(f"{lease.fault} is not undone: {' '.join(failed[0])} still fails")
            time.sleep(0.5)
        lease.path().unlink()
    return True


def sweep() -> list[str]:
    """Undo every fault whose runner is gone or whose time is over; return what was undone."""
    return [lease.fault for lease in open_leases() if lease.over() and give_back(lease)]


@contextmanager
def _locked(lease: Lease) -> Iterator[None]:
    """One undo at a time: rollback, watchdog and sweep may meet."""
    with (folder() / f"{lease.id}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run(words: tuple[str, ...]) -> int:
    try:
        done = subprocess.run(
            resolve(words), stdin=subprocess.DEVNULL, check=False, timeout=_COMMAND_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return 1
    return done.returncode
