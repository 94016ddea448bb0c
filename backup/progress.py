"""How the work tells how far it is; the command line renders it."""

import threading
from collections.abc import Callable

Progress = Callable[[str, int, int | None], None]
"""Called as progress(label, done_bytes, total_bytes or None), one call at a time."""


def silent(label: str, done: int, total: int | None) -> None:
    """Report nothing."""


def one_at_a_time(progress: Progress) -> Progress:
    """Return the reporter made safe for several threads."""
    lock = threading.Lock()

    def report(label: str, done: int, total: int | None) -> None:
        with lock:
            progress(label, done, total)

    return report
