"""What every command shares: --config, --json, progress, and how a verdict ends a command."""

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from backup.settings import BackupSettings
from storewatch.config import DEFAULT_FILE, load_config
from storewatch.core.errors import UsageError
from storewatch.core.evidence import Evidence, Measurement
from storewatch.core.figures import number
from storewatch.core.names import CONFIG_VARIABLE
from storewatch.core.targets import worst
from storewatch.wiring import Parts

F = TypeVar("F", bound=Callable[..., Any])
_PLAIN_LINE_EVERY_S = 5.0


def config_option(function: F) -> F:
    """Take --config after the command's name as well as before it."""
    option = click.option(
        "--config", "config_file", metavar="FILE", expose_value=False, callback=_remember,
        help="Default: storewatch.yaml.",
    )  # fmt: skip
    return option(function)


def json_option(function: F) -> F:
    """Take --json."""
    return click.option("--json", "as_json", is_flag=True, help="For machines.")(function)


def _remember(context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.obj["config_file"] = value


def config_path() -> Path:
    """Return the configuration file of this call: --config, $STOREWATCH_CONFIG, storewatch.yaml."""
    chosen = click.get_current_context().obj["config_file"]
    return Path(chosen or os.environ.get(CONFIG_VARIABLE) or DEFAULT_FILE)


def parts() -> Parts:
    """Return the parts of this call's configuration."""
    return _parts(config_path().resolve())


@cache
def _parts(path: Path) -> Parts:
    return Parts(load_config(path))


def backup_settings(found: Parts) -> BackupSettings:
    """Return the section, which every command here needs.

    Raises:
        UsageError: there is none.
    """
    if found.config.settings.backup is None:
        raise UsageError(f"{found.config.file.name}: backup: missing; name sources and tiers there")
    return found.config.settings.backup


def say(line: str) -> None:
    """Print one line."""
    click.echo(line)


def log_to_stderr() -> None:
    """Write the log of a long-running process, for whoever collects it."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")


def until_told() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set."""
    ending = threading.Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, lambda _number, _frame: ending.set())
    return ending


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(value, indent=2))


def print_table(columns: tuple[str, ...], rows: list[tuple[Any, ...]], empty: str) -> None:
    """Print a table, or the line that says why there is none."""
    if not rows:
        click.echo(empty)
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    Console(width=None if sys.stdout.isatty() else 160, highlight=False).print(table)


def end_with(evidence: Evidence, folder: Path, *, as_json: bool) -> None:
    """Print an evidence record and end the command by its verdict."""
    if as_json:
        print_json(evidence_json(evidence, folder))
    else:
        rows = [
            (m.name, number(m.value, m.unit), target_text(m), m.verdict or "")
            for m in evidence.measurements
        ]
        print_table(("measurement", "measured", "target", "verdict"), rows, "nothing was measured")
        for note in evidence.notes:
            say(note)
        say(verdict_line(evidence, folder))
    click.get_current_context().exit(evidence.verdict.exit_code)


def end_with_worst(all_evidence: list[Evidence]) -> None:
    """End the command by the worst verdict."""
    found = worst([one.verdict for one in all_evidence])
    click.get_current_context().exit(found.exit_code)


def evidence_json(evidence: Evidence, folder: Path) -> dict[str, Any]:
    """Return a record for machines, with the folder that it lies in."""
    return {**evidence.to_json(), "folder": str(folder)}


def verdict_line(evidence: Evidence, folder: Path) -> str:
    """Say in a line what a record is worth and where it lies."""
    return f"{evidence.kind} {evidence.subject}: {evidence.verdict}  ({folder})"


def target_text(measurement: Measurement) -> str:
    """Write a target in the unit that its measurement is shown in."""
    if measurement.target is None:
        return ""
    return f"{measurement.target.comparison} {number(measurement.target.bound, measurement.unit)}"


class Reporter:
    """Progress of long work: a bar on a terminal, a line every few seconds elsewhere."""

    def __init__(self, bar: Progress | None) -> None:
        self._bar = bar
        self._tasks: dict[str, Any] = {}
        self._last = 0.0

    def __call__(self, label: str, done: float, total: float | None) -> None:
        """Tell that `done` of `total` (None: unknown) of the labelled work is done."""
        if self._bar is not None:
            if label not in self._tasks:
                self._tasks[label] = self._bar.add_task(label, total=total)
            self._bar.update(self._tasks[label], completed=done, total=total)
        elif time.monotonic() - self._last > _PLAIN_LINE_EVERY_S:
            self._last = time.monotonic()
            share = f"{done / total:.0%}" if total else number(done)
            click.echo(f"{label}: {share}", err=True)


@contextmanager
def reporting() -> Iterator[Reporter]:
    """Show progress on standard error while inside."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Reporter(None)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        yield Reporter(bar)
