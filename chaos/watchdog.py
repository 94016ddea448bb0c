"""`python -m chaos.watchdog LEASE`: undoes the fault when its runner dies or its time is over."""

import sys
import time
from pathlib import Path

from chaos.lease import give_back, read
from storewatch.core.errors import ChaosError

_LOOK_EVERY_S = 0.5
_TRY_AGAIN_S = 5.0
# A stack that is down cannot be repaired; the lease stays, to be swept at the next start.
_GIVE_UP_AFTER_S = 900.0


def watch(path: Path) -> None:
    """Wait until the lease is given back, or give it back ourselves, however often it takes."""
    deadline: float | None = None
    while (lease := read(path)) is not None:
        if not lease.over():
            time.sleep(_LOOK_EVERY_S)
            continue
        deadline = deadline or time.monotonic() + _GIVE_UP_AFTER_S
        try:
            give_back(lease)
        except ChaosError as error:
            print(error, file=sys.stderr, flush=True)  # noqa: T201 - into watchdog.log
            if time.monotonic() > deadline:
                return
            time.sleep(_TRY_AGAIN_S)


if __name__ == "__main__":
    watch(Path(sys.argv[1]))
