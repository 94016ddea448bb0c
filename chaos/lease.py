"""A lease on a fault: what was done and how it is undone, on disk before it is done.

Whoever injects holds the lease. When the holder or its runner is gone, or its time is over, the
watchdog (a process of its own) undoes the fault; what even that missed is swept at the next start.
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

Commands = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Lease:
    """One fault under lease.

    `undo` are commands that take it back and may run twice; `gone` are commands that end with
    status 0 once it is seen to be gone. `holder` is who injects and will undo, `runner` who wants
    the fault: pid and create time, both must live.
    """

    id: str
    fault: str
    expires_unix_s: float
    undo: Commands
    gone: Commands
    holder: tuple[int, float]
    runner: tuple[int, float]
    injected_unix_s: float | None = None

    def path(self) -> Path:
        """Return where the lease is kept."""
        return folder() / f"{self.id}.json"

    def write(self) -> None:
        """Write the lease, whole or not at all."""
        folder().mkdir(parents=True, exist_ok=True)
        write_atomic(self.path(), (json.dumps(asdict(self), indent=2) + "\n").encode(), mode=0o600)

    def over(self) -> bool:
        """Tell whether its time is over, or holder or runner are gone."""
        return (
            time.time() > self.expires_unix_s or not alive(*self.holder) or not alive(*self.runner)
        )


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
    """Tell whether the process of that pid is the one created then (pids are used again).

    One that has ended and was not waited for yet (a zombie) is not alive.
    """
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - created_unix_s) < 1.0
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


@contextmanager
def injecting(fault: str, undo: Commands, gone: Commands) -> Iterator[None]:
    """Inject inside the block: the lease is on disk before, and nobody undoes meanwhile.

    An undo that comes between waits for the injection, or for the end of who was injecting.

    Raises:
        ChaosError: the lease was over before anything was injected.
    """
    lease = _take(fault, undo, gone)
    with _locked(lease):
        if not lease.path().exists():
            raise ChaosError(f"not injected: {fault}: the lease was over before it began")
        moment = time.time()
        yield
        replace(lease, injected_unix_s=moment).write()


def _take(fault: str, undo: Commands, gone: Commands) -> Lease:
    """Write the intent to inject and start the watchdog."""
    holder = psutil.Process()
    runner = psutil.Process(int(os.environ.get(RUNNER_VARIABLE) or holder.pid))
    lease = Lease(
        id=new_id(),
        fault=fault,
        expires_unix_s=time.time() + float(os.environ.get(LEASE_VARIABLE) or 180),
        undo=undo,
        gone=gone,
        holder=(holder.pid, holder.create_time()),
        runner=(runner.pid, runner.create_time()),
    )
    lease.write()
    with (folder() / "watchdog.log").open("ab") as log:
        subprocess.Popen(
            [sys.executable, "-m", "chaos.watchdog", str(lease.path())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
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
        raw["holder"], raw["runner"] = tuple(raw["holder"]), tuple(raw["runner"])
        return Lease(**raw)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ChaosError(
            f"{path}: no lease ({error}); undo the fault by hand, then remove it"
        ) from error


def open_leases(holder: int | None = None) -> list[Lease]:
    """Return the leases not yet given back, oldest first; with a pid, those that it holds."""
    found = [read(path) for path in sorted(folder().glob("*.json"))]
    return [lease for lease in found if lease and holder in (None, lease.holder[0])]


def give_back(lease: Lease) -> bool:
    """Undo the fault, see that it is gone, and remove the lease; False when it was gone already.

    Raises:
        ChaosError: the fault is still there; the lease stays.
    """
    with _locked(lease):
        if not lease.path().exists():
            _lock_file(lease).unlink(missing_ok=True)
            return False
        failed = [words for words in lease.undo if _run(words) != 0]
        if failed and not lease.gone:
            raise ChaosError(f"{lease.fault} is not undone: {' '.join(failed[0])} failed")
        deadline = time.monotonic() + _GONE_WITHIN_S
        while failed := [words for words in lease.gone if _run(words) != 0]:
            if time.monotonic() > deadline:
                raise ChaosError(f"{lease.fault} is not undone: {' '.join(failed[0])} still fails")
            time.sleep(0.5)
        lease.path().unlink()
        _lock_file(lease).unlink(missing_ok=True)
    return True


def sweep() -> list[str]:
    """Undo every fault whose runner is gone or whose time is over; return what was undone."""
    return [lease.fault for lease in open_leases() if lease.over() and give_back(lease)]


@contextmanager
def _locked(lease: Lease) -> Iterator[None]:
    """One at a time: injection, rollback, watchdog and sweep may meet. Ends with its process."""
    with _lock_file(lease).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _lock_file(lease: Lease) -> Path:
    return folder() / f"{lease.id}.lock"


def _run(words: tuple[str, ...]) -> int:
    try:
        done = subprocess.run(
            resolve(words), stdin=subprocess.DEVNULL, check=False, timeout=_COMMAND_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return 1
    return done.returncode
