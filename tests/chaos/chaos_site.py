"""A part with a switch over real HTTP, experiments that turn it, children that live and die."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TOKEN = "the-switch-token"
TOKEN_VARIABLE = "SWITCH_TOKEN"


def until(condition: Callable[[], object], within_s: float = 20.0) -> None:
    """Wait until the condition holds; fail when it does not in time."""
    deadline = time.monotonic() + within_s
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"not so within {within_s} s"
        pause.wait(0.02)


class SwitchedPart:
    """`PUT /switch {"mode": ...}`, `GET /switch`, and `GET /health` for the steady state."""

    def __init__(self) -> None:
        self.mode = "ok"
        self.history: list[str] = []
        self.healthy = True
        self.refused_modes: set[str] = set()
        self.before_put: Callable[[str], object] = lambda _mode: None
        handler = type("Handler", (_Handler,), {"part": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.switch = f"{self.url}/switch"

    @contextmanager
    def serving(self) -> Iterator["SwitchedPart"]:
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield self
        finally:
            self.server.shutdown()
            self.server.server_close()


class _Handler(BaseHTTPRequestHandler):
    part: SwitchedPart

    def do_GET(self) -> None:
        if self.path == "/health":
            self._answer(200 if self.part.healthy else 503, {})
        elif self._allowed():
            self._answer(200, {"mode": self.part.mode})

    def do_PUT(self) -> None:
        mode = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["mode"]
        if not self._allowed():
            return
        if mode in self.part.refused_modes:
            self._answer(500, {})
            return
        self.part.before_put(mode)
        self.part.mode = mode
        self.part.history.append(mode)
        self._answer(200, {"mode": mode})

    def _allowed(self) -> bool:
        allowed = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if not allowed:
            self._answer(401, {})
        return allowed

    def _answer(self, status: int, body: dict[str, str]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass


def write_experiment(path: Path, part: SwitchedPart, longest_s: float = 60) -> Path:
    """Write an experiment like the shipped ones, that lets the part hang."""
    turn = {"url": part.switch, "mode": "hang", "token_variable": TOKEN_VARIABLE}
    probe = {
        "type": "probe",
        "name": "healthy",
        "tolerance": 200,
        "provider": {"type": "http", "url": f"{part.url}/health", "timeout": 5},
    }
    actions = [
        ("part-hangs", "chaos.faults.switch", "turn", turn),
        ("hold", "chaos.hold", "until_released", {"longest_s": longest_s}),
    ]
    experiment = {
        "title": "The part hangs",
        "description": "For the tests.",
        "steady-state-hypothesis": {"title": "healthy", "probes": [probe]},
        "method": [_action(*action) for action in actions],
        "rollbacks": [_action("undo", "chaos.hold", "undo", {})],
    }
    path.write_text(json.dumps(experiment))
    return path


def _action(name: str, module: str, func: str, arguments: dict[str, object]) -> dict[str, object]:
    provider = {"type": "python", "module": module, "func": func, "arguments": arguments}
    return {"type": "action", "name": name, "provider": provider}


def python(program: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a child that runs a program of ours; it is told and tells by lines."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def bystander() -> subprocess.Popen[str]:
    """Start a child that does nothing until its input ends."""
    return python("input()")
