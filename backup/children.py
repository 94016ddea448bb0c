"""Processes that we start: they end with us, even when we are killed, and pass us whole chunks."""

import contextlib
import ctypes
import fcntl
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_PIPE_BYTES = 1 << 20
_LONGEST_SOCKET_FOLDER = 80  # a socket's path has at most 107 bytes


def ending_with_us(how: signal.Signals) -> Callable[[], None]:
    """Return what a child calls before exec: the kernel sends it the signal when we are gone.

    Source: prctl(2), PR_SET_PDEATHSIG.
    """

    def ask() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(how), 0, 0, 0)

    return ask


def socket_folder(scratch: Path) -> tempfile.TemporaryDirectory[str]:
    """Return a private folder for sockets: in the scratch folder unless its path is too long."""
    inside = scratch if len(str(scratch).encode()) < _LONGEST_SOCKET_FOLDER else None
    return tempfile.TemporaryDirectory(prefix="sw-", dir=inside)


def widen(pipe: int) -> None:
    """Let a pipe hold a chunk: each side then works for a while before it waits for the other."""
    with contextlib.suppress(OSError, AttributeError):  # more than this account may have
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
