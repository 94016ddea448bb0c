"""Ports for the servers of benchmarks."""

import contextlib
import socket


def free_port() -> int:
    """Return a port nobody listens on, below those that the kernel gives to clients."""
    for port in range(21000, 32000):
        with contextlib.suppress(OSError), socket.socket() as one:
            one.bind(("127.0.0.1", port))
            return port
    raise OSError("no free port between 21000 and 32000")
