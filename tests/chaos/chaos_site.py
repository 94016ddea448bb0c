"""A part with a switch over real HTTP, experiments that turn it, children that live and die."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from loopback import LoopbackServer, QuietHandler

TOKEN = "the-switch-token"
TOKEN_VARIABLE = "SWITCH_TOKEN"


class SwitchedPart:
    """`PUT /switch {"mode": ...}`, `GET /switch`, and `GET /health` for the steady state."""

    def __init__(self) -> None:
        self.mode = "ok"
        self.history: list[str] = []
        self.healthy = True
        self.refused_modes: set[str] = set()
        self.before_put: Callable[[str], object] = lambda _mode: None
        handler = type("Handler", (_Handler,), {"part": self})
        self.server = LoopbackServer(handler)
        self.url = self.server.url
        self.switch = f"{self.url}/switch"

    @contextmanager
    def serving(self) -> Iterator["SwitchedPart"]:
        with self.server.serving():
            yield self


class _Handler(QuietHandler):
    part: SwitchedPart

    def do_GET(self) -> None:
        if self.path == "/health":
            self.answer_json(200 if self.part.healthy else 503, {})
        elif self._allowed():
            self.answer_json(200, {"mode": self.part.mode})

    def do_PUT(self) -> None:
        mode = json.loads(self.body())["mode"]
        if not self._allowed():
            return
        if mode in self.part.refused_modes:
            self.answer_json(500, {})
            return
        self.part.before_put(mode)
        self.part.mode = mode
        self.part.history.append(mode)
        self.answer_json(200, {"mode": mode})

    def _allowed(self) -> bool:
        allowed = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if not allowed:
            self.answer_json(401, {})
        return allowed


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
