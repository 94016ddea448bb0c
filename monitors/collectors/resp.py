"""Just enough of Redis' protocol to ask a few questions, within one deadline and bounded memory.

A client library waits anew for each piece of an answer and takes one of any length; a server that
drips or that never ends would hold the exporter.

Source: Redis documentation, "Redis serialization protocol specification", RESP2.
"""

import socket
import time
from types import TracebackType
from typing import Self

Answer = str | int | None | list["Answer"]

_MAXIMUM_BYTES = 4 * 1024 * 1024
_MAXIMUM_DEPTH = 4


class RespError(Exception):
    """The server answered with an error of its own."""


class RespClient:
    """One connection; everything on it together ends by the deadline.

    Args:
        host, port: the server.
        limit_s: seconds for connecting and all answers.

    Raises:
        OSError: the server cannot be reached, or not in time.
    """

    def __init__(self, host: str, port: int, limit_s: float) -> None:
        self._deadline = time.monotonic() + limit_s
        self._socket = socket.create_connection((host, port), timeout=limit_s)
        self._buffer = bytearray()
        self._received_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def ask(self, *words: str) -> Answer:
        """Send one command and return the answer.

        Raises:
            RespError: the server refuses the command.
            OSError: no whole answer by the deadline.
            ValueError: what comes back is no answer, or too long.
        """
        encoded = [word.encode() for word in words]
        parts = b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)
        self._socket.settimeout(self._remaining_s())
        self._socket.sendall(b"*%d\r\n%s" % (len(words), parts))
        return self._answer(_MAXIMUM_DEPTH)

    def _answer(self, depth: int) -> Answer:
        line = self._line()
        kind, content = line[:1], line[1:]
        if kind == b"+":
            return content.decode(errors="replace")
        if kind == b"-":
            raise RespError(content.decode(errors="replace"))
        if kind not in (b":", b"$", b"*") or (kind == b"*" and depth == 0):
            raise ValueError("this is no Redis server: its answer is not RESP")
        number = int(content)
        if kind == b":":
            return number
        if number < 0:
            return None
        if kind == b"*":
            return [self._answer(depth - 1) for _ in range(number)]
        return self._take(number + 2)[:-2].decode(errors="replace")

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            self._receive()
        return self._take(end + 2)[:-2]

    def _take(self, size: int) -> bytes:
        if size > _MAXIMUM_BYTES:
            raise ValueError(f"the answer is longer than {_MAXIMUM_BYTES} bytes")
        while len(self._buffer) < size:
            self._receive()
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _receive(self) -> None:
        self._socket.settimeout(self._remaining_s())
        block = self._socket.recv(65536)
        if not block:
            raise ConnectionError("the server closed the connection in the middle of an answer")
        self._received_bytes += len(block)
        if self._received_bytes > _MAXIMUM_BYTES:
            raise ValueError(f"the answers are longer than {_MAXIMUM_BYTES} bytes")
        self._buffer += block

    def _remaining_s(self) -> float:
        remaining_s = self._deadline - time.monotonic()
        if remaining_s <= 0:
            raise TimeoutError("no whole answer in time")
        return remaining_s
