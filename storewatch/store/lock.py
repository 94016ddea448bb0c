"""One run at a time: an advisory lock that dies with its process."""

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storewatch.core.clock import rfc3339, utc_now
from storewatch.core.errors import BusyError


@contextmanager
def held(path: Path, purpose: str) -> Iterator[None]:
    """Hold the lock file while inside.

    The kernel drops the lock with its process, so neither a crash nor a reused pid blocks the next
    run; the content only says who holds it.

    Raises:
        BusyError: another process holds it; the message says which.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(f"{_holder(path)}; wait for it to end (lock {path})") from None
        file.truncate(0)
        json.dump(
            {
                "purpose": purpose,
                "pid": os.getpid(),
                "host": socket.gethostname(),
                "since": rfc3339(utc_now()),
            },
            file,
        )
        file.flush()
        yield
        file.truncate(0)


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text())
        return (
            f"{holder['purpose']} is already running: pid {holder['pid']} on {holder['host']} "
            f"since {holder['since']}"
        )
    except (OSError, ValueError, KeyError, TypeError):
        return "another run is just starting or ending"
