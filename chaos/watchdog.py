"""`python -m chaos.watchdog LEASE`: undoes the fault when its runner dies or its time is over."""

import sys
import time
from pathlib import Path

from chaos.lease import give_back, read
from storewatch.core.errors import ChaosError

_LOOK_EVERY_S = 0.5
_TRY_AGAIN_S = 5.0


def watch(path: Path) -> None:
    """Wait until the lease is given back, or give it back ourselves, however often it takes."""
    while (lease := read(path)) is not None:
        if not lease.over():
            time.sleep(_LOOK_EVERY_S)
            continue
        try:
            give_back(lease)
        except ChaosError:
            time.sleep(_TRY_AGAIN_S)


if __name__ == "__main__":
    watch(Path(sys.argv[1]))
