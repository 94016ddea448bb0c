"""Prometheus, Alertmanager and receivers of their notifications, on free ports."""

import json
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import loopback
from loopback import Found, LoopbackServer, QuietHandler

from storewatch.tools import working_folder


def until(condition: Callable[[], Found], within_s: float = 30.0) -> Found:
    """Wait longer: scrape, evaluation, grouping and notification each take their turn."""
    return loopback.until(condition, within_s)


class HttpServer:
    """A server on loopback that remembers what it was sent and answers as it is told."""

    def __init__(self, pages: dict[str, str] | None = None) -> None:
        self.status = 200
        self.posted: list[tuple[str, Any]] = []
        self.pages = pages or {}
        own = self

        class Handler(QuietHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                self.answer(200 if path in own.pages else 404, own.pages.get(path, "").encode())

            def do_POST(self) -> None:
                own.posted.append((self.path, json.loads(self.body())))
                self.answer(own.status, b"ok")

        self.server = LoopbackServer(Handler)
        self.url = self.server.url

    def alerts(self, path: str) -> list[dict[str, Any]]:
        """Return the alerts of webhooks that came to a path."""
        return [alert for at, body in self.posted if at == path for alert in body["alerts"]]


@contextmanager
def serving(pages: dict[str, str] | None = None) -> Iterator[HttpServer]:
    served = HttpServer(pages)
    with served.server.serving():
        yield served


@contextmanager
def running(argv: list[str], log: Path, ready: str) -> Iterator[None]:
    """Run a program until its address answers, and end it afterwards."""
    with log.open("wb") as output:
        child = subprocess.Popen(
            argv, cwd=working_folder(Path(argv[0])), stdout=output, stderr=output
        )
    try:

        def answers() -> bool:
            assert child.poll() is None, log.read_text()[-2000:]
            try:
                with urllib.request.urlopen(ready, timeout=1) as answer:
                    return bool(answer.status == 200)
            except OSError:
                return False

        until(answers, 30)
        yield
    finally:
        child.terminate()
        child.wait(20)
