"""A server whose latency is known beforehand: a queue over real HTTP, in a process of its own.

`GET /serve/<number>` waits its turn and its service time, which the number alone decides. A slot
that is free takes the next request at the moment at which the one before was to end, and not when
the timer got round to it, so that what timers add is in each answer once and never adds up.
"""

import asyncio
import json
import math
import random
import selectors
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
Answer = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Queue:
    """One queue, first come first served.

    Attributes:
        mean_s: seconds that a request is served for, in the mean.
        exponential: whether they are drawn from the exponential distribution; else all the same.
        slots: how many requests are served at once.
        seed: of what is drawn.
        stop_at_s, stop_s: from the first request on, when all service stops and for how long; what
            was being served goes on afterwards.
    """

    mean_s: float
    exponential: bool = False
    slots: int = 1
    seed: str = ""
    stop_at_s: float = math.inf
    stop_s: float = 0.0

    def service_s(self, number: int) -> float:
        """Return how long the request of that number is served."""
        return (
            random.Random(f"{self.seed} {number}").expovariate(1 / self.mean_s)
            if self.exponential
            else self.mean_s
        )

    def end_s(self, begin_s: float, service_s: float) -> float:
        """Return when a service that begins then is over; moments count from the first request."""
        begun_s = begin_s
        if self.stop_at_s <= begin_s < self.stop_at_s + self.stop_s:
            begun_s = self.stop_at_s + self.stop_s
        end_s = begun_s + service_s
        return end_s + self.stop_s if begun_s < self.stop_at_s < end_s else end_s


class Desk:
    """Serves a queue in the time of an event loop."""

    def __init__(self, queue: Queue, loop: asyncio.AbstractEventLoop) -> None:
        self._queue = queue
        self._loop = loop
        self._free = queue.slots
        self._waiting: deque[tuple[float, float, Answer]] = deque()
        self._begun_at: float | None = None

    def arrive(self, number: int, answer: Answer) -> None:
        """Take a request; `answer` is called once it was served."""
        now = self._loop.time()
        if self._begun_at is None:
            self._begun_at = now
        came_s, service_s = now - self._begun_at, self._queue.service_s(number)
        if self._free:
            self._free -= 1
            self._serve(came_s, service_s, answer)
        else:
            self._waiting.append((came_s, service_s, answer))

    def _serve(self, begin_s: float, service_s: float, answer: Answer) -> None:
        assert self._begun_at is not None
        end_s = self._queue.end_s(begin_s, service_s)
        self._loop.call_at(self._begun_at + end_s, self._end, end_s, answer)

    def _end(self, end_s: float, answer: Answer) -> None:
        if self._waiting:
            came_s, service_s, its_answer = self._waiting.popleft()
            self._serve(max(came_s, end_s), service_s, its_answer)
        else:
            self._free += 1
        answer()


class Connection(asyncio.Protocol):
    """Speaks as much HTTP as a load generator needs."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what answers are written to."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Hand whole requests to the desk."""
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, self._received = self._received.partition(b"\r\n\r\n")
            path = head.split(b" ", 2)[1]
            self._desk.arrive(int(path.rpartition(b"/")[2]), self._answer)

    def _answer(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(_ANSWER)


async def serve(queue: Queue) -> None:
    """Print the port, then serve until standard input ends."""
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    desk = Desk(queue, loop)
    server = await loop.create_server(lambda: Connection(desk), "127.0.0.1", 0, backlog=1000)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    loop.add_reader(sys.stdin.fileno(), over.set)
    await over.wait()


@contextmanager
def serving(queue: Queue) -> Iterator[str]:
    """Serve the queue inside the block, and say where."""
    argv = [sys.executable, str(Path(__file__)), json.dumps(asdict(queue))]
    server = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert server.stdin is not None
    assert server.stdout is not None
    with server.stdin, server.stdout:
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.kill()
            server.wait()


if __name__ == "__main__":
    # select(2) waits to the microsecond, epoll to the millisecond.
    _loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    _loop.run_until_complete(serve(Queue(**json.loads(sys.argv[1]))))
