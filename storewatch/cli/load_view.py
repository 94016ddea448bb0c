"""A load test as it goes on: a live view on a terminal, a plain line now and then elsewhere."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from loadtests.verdict import CPU_LIMIT_RATIO
from storewatch.core.figures import number, rate
from storewatch.core.targets import Target, Verdict

Said = Mapping[str, Any]
_PLAIN_LINE_EVERY_S = 5.0
_BAR_WIDTH = 36


@dataclass(frozen=True, slots=True)
class LoadView:
    """What is shown of one load test.

    Attributes:
        subject: what is loaded, such as checkout/baseline.
        p95_target: of the settings; seconds.
    """

    subject: str
    p95_target: Target | None = None

    def line(self, said: Said) -> str:
        """Write what a run last said of itself, a line of progress.json, in words."""
        generator = number(said["generator_cpu_ratio"], "ratio")
        parts = (
            _percent(said),
            _time(said),
            said["stage"],
            f"{_journeys(said)} journeys/s",
            f"{rate(said['requests_per_s'])} requests/s",
            *(f"{name} {text}" for name, text, _ in self._latencies(said)),
            f"{_failed(said)} failed",
            f"{said['missed']:,} missed",
            f"{number(said['busy'], 'shoppers')} busy",
            f"generator {generator} of a core",
        )
        return f"load {self.subject}: {', '.join(parts)}"

    def table(self, said: Said) -> RenderableType:
        """Draw the same for a terminal; what is beyond a limit is red."""
        bar = Table.grid(padding=(0, 2))
        drawn = ProgressBar(total=1.0, completed=_share(said), width=_BAR_WIDTH)
        bar.add_row(drawn, _percent(said), _time(said))
        rows = Table.grid(padding=(0, 2))
        for label, value in self._rows(said):
            rows.add_row(Text(label, "dim"), value)
        return Group(
            Text.assemble("load ", (self.subject, "bold"), "  ", (said["stage"], "cyan")), bar, rows
        )

    def _rows(self, said: Said) -> Iterator[tuple[str, Text]]:
        cpu_ratio = said["generator_cpu_ratio"]
        yield "journeys", Text(f"{_journeys(said)} /s")
        yield "requests", Text(f"{rate(said['requests_per_s'])} /s")
        for name, text, bad in self._latencies(said):
            yield name, Text(text, _style(bad))
        yield "failed", Text(_failed(said), _style(said["failed"] > 0))
        yield "missed", Text(f"{said['missed']:,}", _style(said["missed"] > 0))
        yield "shoppers busy", Text(f"{said['busy']:,}")
        of_a_core = f"{number(cpu_ratio, 'ratio')} of a core"
        yield "generator", Text(of_a_core, _style(cpu_ratio > CPU_LIMIT_RATIO))

    def _latencies(self, said: Said) -> Iterator[tuple[str, str, bool]]:
        """Yield name and value of the quantiles of ten seconds, and whether a target is missed."""
        for name in ("p50", "p95", "p99"):
            value, text, bad = said[f"{name}_s"], "", False
            if name == "p95" and self.p95_target is not None:
                bound = number(self.p95_target.bound, "s")
                text = f" (target {self.p95_target.comparison} {bound})"
                bad = self.p95_target.judge(value) is Verdict.FAIL
            yield name, f"{number(value, 's')}{text}", bad


@dataclass(slots=True)
class PlainLines:
    """Says a line at the beginning and then every five seconds of the run."""

    view: LoadView
    say: Callable[[str], object]
    _due_s: float = field(default=0.0)

    def __call__(self, said: Said) -> None:
        """Take in what the run says of itself; say it when it is time."""
        if said["elapsed_s"] >= self._due_s:
            self._due_s = (said["elapsed_s"] // _PLAIN_LINE_EVERY_S + 1) * _PLAIN_LINE_EVERY_S
            self.say(self.view.line(said))


@contextmanager
def watching(subject: str, p95_target: Target | None) -> Iterator[Callable[[Said], None]]:
    """Show on standard error what is handed to what this yields, while inside."""
    view, console = LoadView(subject, p95_target), Console(stderr=True)
    if not console.is_terminal:
        yield PlainLines(view, lambda line: click.echo(line, err=True))
        return
    begin = Text(f"load {subject}: the generator starts")
    with Live(begin, console=console, auto_refresh=False, transient=True) as live:
        yield lambda said: live.update(view.table(said), refresh=True)


def _share(said: Said) -> float:
    return min(1.0, said["elapsed_s"] / said["duration_s"]) if said["duration_s"] else 0.0


def _percent(said: Said) -> str:
    return f"{_share(said) * 100:.0f} %"


def _time(said: Said) -> str:
    elapsed_s = min(said["elapsed_s"], said["duration_s"])
    return f"{timedelta(seconds=int(elapsed_s))} of {timedelta(seconds=round(said['duration_s']))}"


def _journeys(said: Said) -> str:
    """Write the rate, beside the one that is asked for; users of a closed profile have none."""
    asked = said["asked_per_s"]
    return rate(said["started_per_s"]) + ("" if asked is None else f" of {rate(asked)}")


def _failed(said: Said) -> str:
    return f"{said['failed']:,} of {said['visits']:,}"


def _style(bad: bool) -> str:
    return "red" if bad else ""
