"""Helpers of the monitors' tests: database nodes, samples, waiting."""

import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import psycopg
from loopback import until
from prometheus_client.core import Metric

from monitors.settings import PostgresNode, PostgresSettings
from storewatch.store.unprivileged import demote_kwargs, unprivileged_user

PASSWORD = "a-secret"


Talker = Callable[[Callable[[Callable[[bytes], None]], None]], int]
"""Starts a server that talks as the function does and never listens; returns its port."""


def samples(families: list[Metric]) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return all samples by name and sorted labels."""
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for f in families for s in f.samples}


def one(families: list[Metric], name: str, /, **labels: str) -> float:
    """Return the value of the one sample of that name that carries the labels."""
    found = [
        s.value
        for f in families
        for s in f.samples
        if s.name == name and labels.items() <= s.labels.items()
    ]
    assert len(found) == 1, f"{name}{labels}: {found}"
    return found[0]


@dataclass
class Node:
    """One PostgreSQL server."""

    name: str
    port: int
    data: Path
    programs: Path
    process: subprocess.Popen[bytes] | None = None

    def run(self, *argv: str) -> None:
        user = unprivileged_user()
        environment = {"PATH": "/usr/bin:/bin", "PGPASSWORD": PASSWORD, "LC_ALL": "C"}
        subprocess.run(
            [str(self.programs / argv[0]), *argv[1:]],
            env=environment,
            cwd=self.data.parent,
            check=True,
            capture_output=True,
            **demote_kwargs(user),
        )

    def start(self) -> None:
        self.process = subprocess.Popen(
            [str(self.programs / "postgres"), "-D", str(self.data)],
            cwd=self.data.parent,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **demote_kwargs(unprivileged_user()),
        )
        until(self.answers)

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(20)
            self.process = None

    def answers(self) -> bool:
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            f"host=127.0.0.1 port={self.port} user=postgres dbname={database} connect_timeout=2",
            password=PASSWORD,
            autocommit=True,
        )


@dataclass
class Pair:
    """A primary, its standby, and the settings that watch them."""

    primary: Node
    standby: Node

    def settings(self, timeout: str = "5s") -> PostgresSettings:
        return PostgresSettings(
            nodes=tuple(
                PostgresNode(name=n.name, port=n.port) for n in (self.primary, self.standby)
            ),
            database="shop",
            user="storewatch_monitor",
            password=PASSWORD,
            timeout=timeout,
        )


def reply(handler: BaseHTTPRequestHandler, status: int = 200, body: bytes = b"ok") -> None:
    """Send one whole answer."""
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
