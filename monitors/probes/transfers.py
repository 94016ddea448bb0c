"""libcurl's multi interface on an asyncio loop: many transfers, no thread, no polling of its own.

libcurl says which sockets it waits for and when it wants to be called (curl_multi_socket_action).
The sockets wait in an epoll of our own, which is one descriptor to the loop: adding each socket to
the loop itself costs a handle per probe and, measured, a third more CPU per probe.
"""

import asyncio
import contextlib
import select

import pycurl

from monitors.prompt import PromptFuture

_EVENTS = {
    pycurl.POLL_IN: select.EPOLLIN,
    pycurl.POLL_OUT: select.EPOLLOUT,
    pycurl.POLL_INOUT: select.EPOLLIN | select.EPOLLOUT,
}
_WATCHED = select.EPOLLIN | select.EPOLLOUT | select.EPOLLERR | select.EPOLLHUP
_READY = [
    (pycurl.CSELECT_IN if events & select.EPOLLIN else 0)
    | (pycurl.CSELECT_OUT if events & select.EPOLLOUT else 0)
    | (pycurl.CSELECT_ERR if events & (select.EPOLLERR | select.EPOLLHUP) else 0)
    for events in range(_WATCHED + 1)
]
_MOST_EVENTS = 64
"""Sockets served before other work of the loop has its turn."""
_CLOCK_S = 0.001
"""Resolution of the loop's clock: a timer may fire this much too early."""


Result = tuple[int, str]
"""libcurl's result code, 0 for a whole response, and what it says about it."""


class Transfers:
    """Performs transfers of libcurl on the running loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[pycurl.Curl, PromptFuture[Result]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._due: float | None = None
        self._epoll = select.epoll()
        self._known: set[int] = set()
        self._wanted: dict[int, int] = {}
        self._adding = False
        self._added: list[pycurl.Curl] = []
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_socket)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._on_timer)
        self._loop.add_reader(self._epoll.fileno(), self._serve)

    def close(self) -> None:
        """Break off what is under way and leave the loop."""
        self._loop.remove_reader(self._epoll.fileno())
        if self._timer is not None:
            self._timer.cancel()
        for handle in list(self._waiting):
            self.abandon(handle)
        self._multi.close()
        self._epoll.close()

    def start(self, handle: pycurl.Curl) -> PromptFuture[Result]:
        """Begin one transfer; what is returned says how it ended."""
        done = self._waiting[handle] = PromptFuture(loop=self._loop)
        if not self._added:
            self._loop.call_soon(self._launch)
        self._added.append(handle)
        return done

    def _launch(self) -> None:
        """Connect, then send, for every transfer begun in this turn of the loop.

        Measured: each step for eight transfers in a row costs a fifth less CPU than eight
        transfers one by one, since the kernel's and libcurl's code is then at hand.
        """
        if not self._added:  # they were abandoned
            return
        self._adding = True
        for handle in self._added:
            self._multi.add_handle(handle)
        self._added.clear()
        self._adding = False
        _, running = self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        for socket, what in list(self._wanted.items()):
            if what == pycurl.POLL_OUT:
                _, running = self._multi.socket_action(socket, pycurl.CSELECT_OUT)
        self._after(running)

    def abandon(self, handle: pycurl.Curl) -> None:
        """Break off a transfer that nobody waits for any longer."""
        if self._waiting.pop(handle, None) is None:
            return
        if handle in self._added:
            self._added.remove(handle)
        else:
            self._multi.remove_handle(handle)

    def _on_socket(self, what: int, socket: int, _multi: object, _data: object) -> None:
        """Note what libcurl wants of a socket; it changes its mind within one call of it.

        A socket that it gives back is closed next, which takes it out of the epoll without
        another call; one that stays open is taken out when it is next heard of.
        """
        if what == pycurl.POLL_REMOVE:
            self._known.discard(socket)
            self._wanted.pop(socket, None)
        else:
            self._wanted[socket] = what

    def _watch(self) -> None:
        """Wait for what libcurl wants of its sockets."""
        for socket, what in self._wanted.items():
            change = self._epoll.modify if socket in self._known else self._epoll.register
            try:
                change(socket, _EVENTS[what])
            except FileExistsError:  # it was given back and stayed open
                self._epoll.modify(socket, _EVENTS[what])
            self._known.add(socket)
        self._wanted.clear()

    def _on_timer(self, milliseconds: int) -> None:
        """Call libcurl no later than this; -1: never.

        A timer that runs already is left running and set again when it fires too early: libcurl
        moves its time with every step, and most steps come long before it.
        """
        if self._adding:  # it is called at once, and says its next time then
            return
        if milliseconds < 0:
            self._due = None
            return
        self._due = self._loop.time() + milliseconds / 1000
        if self._timer is None or self._timer_at > self._due:
            self._set_timer(self._due)

    def _set_timer(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = due  # uvloop's handle of a moment that is past has no when()
        self._timer = self._loop.call_at(due, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        if self._due is None:
            return
        if self._due > self._loop.time() + _CLOCK_S:
            self._set_timer(self._due)
        else:
            self._due = None
            self._expire()

    def _expire(self) -> None:
        _, running = self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        self._after(running)

    def _serve(self) -> None:
        running = len(self._waiting)
        for socket, events in self._epoll.poll(0, _MOST_EVENTS):
            if socket in self._known:
                _, running = self._multi.socket_action(socket, _READY[events & _WATCHED])
            else:
                with contextlib.suppress(OSError):
                    self._epoll.unregister(socket)
        self._after(running)

    def _after(self, running: int) -> None:
        if running < len(self._waiting):
            self._collect()
        if self._wanted:
            self._watch()

    def _collect(self) -> None:
        ended: list[tuple[pycurl.Curl, Result]] = []
        queued = 1
        while queued:
            queued, whole, broken = self._multi.info_read()
            ended += [(handle, (0, "")) for handle in whole]
            ended += [(handle, (code, message)) for handle, code, message in broken]
        for handle, _ in ended:
            self._multi.remove_handle(handle)
        for handle, result in ended:
            self._waiting.pop(handle).finish(result)
