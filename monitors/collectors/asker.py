"""Asking whichever database node answers, standbys first, in transactions that cannot write."""

import contextlib
import logging
import math
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg

from monitors.collectors.postgres.collector import connection_options
from monitors.settings import PostgresNode, PostgresSettings

_log = logging.getLogger(__name__)

Row = dict[str, Any]

_GRACE_S = 0.25
"""The server ends a statement at its time-out; a server that has not by then is gone."""
_LIFETIME_S = 60.0
"""A session on the primary moves back to a standby within this time."""
_AVOID_S = 60.0
"""A node that did not answer is asked last for so long."""
_GREETING_S = 0.5
"""A server that lives answers a first packet at once; libpq would wait for 2 s at least."""
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
"""Source: PostgreSQL documentation, "Message Formats", SSLRequest; the answer is S or N."""


class Asker:
    """One session with one node, made anew when it breaks or is old.

    What is asked runs as a cursor in a read-only transaction that is rolled back: the server takes
    one SELECT and nothing else, and sends no more rows than are fetched.
    """

    def __init__(self, database: PostgresSettings, name: str) -> None:
        self._database = database
        self._name = name
        self._connection: psycopg.Connection[Row] | None = None
        self._node = ""
        self._opened = 0.0
        self._avoided_until: dict[str, float] = {}

    def rows(self, sql: str, timeout_s: float, limit: int) -> list[Row]:
        """Return the first rows of one SELECT, by another node when the first breaks off.

        Args:
            sql: one SELECT.
            timeout_s: longest run.
            limit: most rows.

        Raises:
            psycopg.Error: the query was refused, or no node answers (`answers` tells which).
        """
        kept = self._session_is_young()
        try:
            return self._run(sql, timeout_s, limit)
        except psycopg.Error:
            if self.answers or not self._node:
                raise
            self._avoid(self._node)
            if not kept:
                raise
        return self._run(sql, timeout_s, limit)

    @property
    def answers(self) -> bool:
        """Whether there is a session: what failed last was the query, not the server."""
        held = self._connection
        return held is not None and not held.closed and not held.broken

    def close(self) -> None:
        """End the session."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _session_is_young(self) -> bool:
        if self.answers and time.monotonic() - self._opened > _LIFETIME_S:
            self.close()
        return self.answers

    def _run(self, sql: str, timeout_s: float, limit: int) -> list[Row]:
        if not self.answers:
            self._connect()
        connection = self._connection
        assert connection is not None
        with (
            _ended_after(connection, timeout_s + _GRACE_S),
            connection.transaction(force_rollback=True),
        ):
            milliseconds = max(1, math.ceil(timeout_s * 1000))
            connection.execute(f"SET LOCAL statement_timeout = {milliseconds}".encode())
            with connection.cursor(name="business") as cursor:
                cursor.execute(sql.encode())
                return cursor.fetchmany(limit)

    def _connect(self) -> None:
        """Open a session with a standby, else with a primary, else with a node that failed."""
        self.close()
        now = time.monotonic()
        nodes = sorted(
            self._database.nodes, key=lambda n: self._avoided_until.get(n.name, 0.0) > now
        )
        reserve: tuple[psycopg.Connection[Row], str] | None = None
        error: psycopg.Error | None = None
        for node in nodes:
            if reserve and self._avoided_until.get(node.name, 0.0) > now:
                break
            try:
                connection = self._open(node)
            except psycopg.Error as reason:
                self._avoid(node.name)
                error = reason
                continue
            if connection.info.parameter_status("in_hot_standby") == "on":
                self._keep(connection, node.name)
                if reserve:
                    reserve[0].close()
                return
            if reserve:
                connection.close()
            else:
                reserve = (connection, node.name)
        if reserve is None:
            self._node = ""
            raise error or psycopg.OperationalError("no node is named")
        self._keep(*reserve)

    def _open(self, node: PostgresNode) -> psycopg.Connection[Row]:
        _greet(node)
        options = connection_options(
            self._database, 1.0, host=node.host, port=node.port, name=self._name
        )
        options["options"] += " -c cursor_tuple_fraction=1"
        connection: psycopg.Connection[Row] = psycopg.connect(**options)
        connection.read_only = True
        return connection

    def _keep(self, connection: psycopg.Connection[Row], node: str) -> None:
        self._connection, self._node, self._opened = connection, node, time.monotonic()

    def _avoid(self, node: str) -> None:
        if self._avoided_until.get(node, 0.0) < time.monotonic():
            _log.warning("%s: node %s does not answer; the others are asked", self._name, node)
        self._avoided_until[node] = time.monotonic() + _AVOID_S
        self.close()


def _greet(node: PostgresNode) -> None:
    """Find out quickly whether a server answers at all.

    Raises:
        psycopg.OperationalError: it does not.
    """
    if node.host.startswith("/"):
        return  # a local socket
    try:
        with socket.create_connection((node.host, node.port), timeout=_GREETING_S) as line:
            line.sendall(_SSL_REQUEST)
            answer = line.recv(1)
    except OSError as error:
        raise psycopg.OperationalError(f"{node.host}:{node.port}: {error}") from error
    if answer not in (b"S", b"N"):
        raise psycopg.OperationalError(f"{node.host}:{node.port} is no PostgreSQL server")


@contextlib.contextmanager
def _ended_after(connection: psycopg.Connection[Any], seconds: float) -> Iterator[None]:
    """Break the connection when the body takes longer: a frozen server answers no time-out."""
    with socket.socket(fileno=os.dup(connection.fileno())) as line:

        def end() -> None:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()
