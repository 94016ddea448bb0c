"""Keep a transfer below so many bytes a second."""

import threading
import time

_BURST_S = 0.25


class Bandwidth:
    """A bucket of bytes that fills at the permitted rate; all transfers of a tier share it.

    Source: the token bucket, with room for a quarter of a second.

    Args:
        bytes_per_s: the limit; None for none.
    """

    def __init__(self, bytes_per_s: int | None) -> None:
        self._rate = bytes_per_s
        self._lock = threading.Lock()
        self._paid_until = 0.0

    @property
    def limited(self) -> bool:
        """Whether there is a limit."""
        return bool(self._rate)

    def spend(self, size_bytes: int) -> None:
        """Wait until so many bytes may pass."""
        if not self._rate:
            return
        with self._lock:
            begin = max(self._paid_until, time.monotonic() - _BURST_S)
            self._paid_until = begin + size_bytes / self._rate
            due = self._paid_until
        if (wait := due - time.monotonic()) > 0:
            time.sleep(wait)
