"""Activities that belong to every experiment: hold the fault, and take it back."""

import os
import time
from pathlib import Path

from chaos.lease import alive, give_back, open_leases

RELEASE_VARIABLE = "STOREWATCH_CHAOS_RELEASE"


def until_released(longest_s: float) -> str:
    """Hold the fault until the release file exists, the runner is gone, or the time is over.

    Without a runner (the experiment run by hand) the fault is held for `longest_s` seconds. There
    is nothing to hold when the injection failed, or when the watchdog has taken the fault back.
    """
    release = os.environ.get(RELEASE_VARIABLE)
    deadline = time.monotonic() + longest_s
    while time.monotonic() < deadline:
        if release and Path(release).exists():
            return "released"
        held = [lease for lease in open_leases(os.getpid()) if lease.injected_unix_s]
        if not held:
            return "no fault is held"
        if any(not alive(*lease.runner) for lease in held):
            return "the runner is gone"
        time.sleep(0.2)
    return "held as long as allowed"


def undo() -> list[str]:
    """Give back every lease of this experiment and return the faults that were undone."""
    return [lease.fault for lease in open_leases(os.getpid()) if give_back(lease)]
