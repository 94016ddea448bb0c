"""What a load test shows while it goes on: on a terminal, in a log, and beside --json."""

import io
import json
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from load_progress import SAID
from load_shop import SmallShop
from rich.console import Console

from storewatch.cli.load_view import LoadView, PlainLines
from storewatch.core.targets import Target

BAD = {**SAID, "failed": 3, "missed": 1, "p95_s": 0.5, "generator_cpu_ratio": 0.95}
VIEW = LoadView("checkout/baseline", Target("<", 0.2))


def drawn(said: dict[str, Any], view: LoadView = VIEW, width: int = 80) -> Console:
    console = Console(record=True, file=io.StringIO(), width=width, force_terminal=True)
    console.print(view.table(said))
    return console


def test_a_plain_line_has_every_figure_in_words() -> None:
    assert VIEW.line(SAID) == (
        "load checkout/baseline: 45 %, 0:00:18 of 0:00:40, hold, 29.9 of 30 journeys/s,"
        " 59.6 requests/s, p50 10 ms, p95 40 ms (target < 200 ms), p99 90 ms,"
        " 0 of 1,280 failed, 0 missed, 4 shoppers busy, generator 21 % of a core"
    )


def test_before_the_first_answer_and_after_the_schedule_there_is_a_line_too() -> None:
    none = {"p50_s": None, "p95_s": None, "p99_s": None}
    early = VIEW.line({**SAID, **none, "elapsed_s": 0.0})
    assert "0 %, 0:00:00 of 0:00:40" in early
    assert "p50 -, p95 - (target < 200 ms), p99 -" in early
    assert ", 1 shopper busy," in VIEW.line({**SAID, "busy": 1})
    assert "100 %, 0:00:40 of 0:00:40" in VIEW.line({**SAID, "elapsed_s": 43.0})


def test_users_who_come_as_they_like_are_not_shown_beside_a_rate() -> None:
    line = LoadView("look/users").line({**SAID, "asked_per_s": None})
    assert ", 29.9 journeys/s," in line
    assert "target" not in line


def test_a_plain_line_comes_at_once_and_every_five_seconds_of_the_run() -> None:
    lines: list[str] = []
    plain = PlainLines(VIEW, lines.append)
    for elapsed_s in (0.0, 1.0, 4.9, 5.1, 6.1, 9.9, 10.9, 11.9, 22.0, 23.0, 25.0):
        plain({**SAID, "elapsed_s": elapsed_s})
    seconds = [line.split(" of ")[0].rsplit(":", 1)[1] for line in lines]
    assert seconds == ["00", "05", "10", "22", "25"]


def test_the_live_view_has_every_figure_and_fits_a_terminal() -> None:
    for width in (60, 80):
        rows = drawn(SAID, width=width).export_text(styles=False).splitlines()
        assert max(map(len, rows)) <= width
        assert rows[0].split() == ["load", "checkout/baseline", "hold"]
        assert rows[1].split("  ", 1)[1].split() == ["45", "%", "0:00:18", "of", "0:00:40"]
        assert [" ".join(row.split()) for row in rows[2:]] == [
            "journeys 29.9 of 30 /s",
            "requests 59.6 /s",
            "p50 10 ms",
            "p95 40 ms (target < 200 ms)",
            "p99 90 ms",
            "failed 0 of 1,280",
            "missed 0",
            "shoppers busy 4",
            "generator 21 % of a core",
        ]


def test_what_is_beyond_a_limit_is_red_and_nothing_else_is() -> None:
    red = "\x1b[31m"
    assert red not in drawn(SAID).export_text(styles=True)
    text = drawn(BAD).export_text(styles=True)
    marked = [part.split("\x1b")[0].strip() for part in text.split(red)[1:]]
    assert marked == ["500 ms (target < 200 ms)", "3 of 1,280", "1", "95 % of a core"]


@pytest.fixture
def command(shop: SmallShop, tmp_path: Path) -> Callable[..., subprocess.Popen[bytes]]:
    """Start `load run look` against the shop, with a configuration as `init` writes it."""
    argv = [sys.executable, "-m", "storewatch.cli.main"]
    kept = {k: v for k, v in os.environ.items() if not k.startswith("STOREWATCH_")}
    environment = {**kept, "STOREWATCH_HOME": str(tmp_path / "home"), "TERM": "xterm"}
    subprocess.run([*argv, "init"], cwd=tmp_path, env=environment, check=True, timeout=60)
    file = tmp_path / "storewatch.yaml"
    settings = yaml.safe_load(file.read_text())
    settings["loadtests"] = {
        "base_url": shop.url,
        "journeys": {"look": "load_walks:look"},
        "profiles": {"baseline": {"rate": 20, "warm_up": "1s", "hold": "3s"}},
        "targets": {"p95_s": "< 4"},
    }
    file.write_text(yaml.safe_dump(settings))

    def start(*words: str, stderr: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*argv, "load", "run", "look", *words],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=stderr,
        )

    return start


def test_without_a_terminal_lines_go_to_standard_error_and_json_alone_to_standard_output(
    command: Callable[..., subprocess.Popen[bytes]],
) -> None:
    out, err = command("--json", stderr=subprocess.PIPE).communicate(timeout=60)
    assert json.loads(out)["subject"] == "look/baseline"
    line, *more = err.decode().splitlines()
    assert all(one.startswith("load look/baseline: ") for one in more)
    assert line.startswith("load look/baseline: 0 %, 0:00:00 of 0:00:04, warm-up, ")
    assert "(target < 4.0 s)" in line


def test_on_a_terminal_the_view_is_live_and_gone_at_the_end(
    command: Callable[..., subprocess.Popen[bytes]],
) -> None:
    ours, theirs = pty.openpty()
    process = command("--json", stderr=theirs)
    os.close(theirs)
    shown: list[bytes] = []
    reader = threading.Thread(target=lambda: shown.extend(iter(lambda: read(ours), b"")))
    reader.start()
    out, _ = process.communicate(timeout=60)
    reader.join(10)
    os.close(ours)
    assert json.loads(out)["subject"] == "look/baseline"
    text = b"".join(shown).decode()
    assert "the generator starts" in text
    assert text.count("shoppers busy") >= 4  # at once, and every second
    assert "warm-up" in text.split("journeys")[0]
    assert "hold" in text
    assert "of 20 /s" in text
    assert text.rsplit("of a core", 1)[1].count("\x1b[2K") == 11  # its lines are taken away


def read(terminal: int) -> bytes:
    """Return what was written to a terminal; nothing once nobody holds it any more."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""
