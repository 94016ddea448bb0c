"""Progress of work that moves bytes: how much, how fast, how long still."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from storewatch.core.figures import number

_PLAIN_LINE_EVERY_S = 5.0
Report = Callable[[str, int, int | None], None]


def transfer_line(label: str, done: int, total: int | None, elapsed_s: float) -> str:
    """Say in one line how far a transfer is.

    Args:
        label: of the work.
        done, total: bytes; None where the total is not known.
        elapsed_s: since it began.
    """
    parts = [number(done, "bytes") + (f" of {number(total, 'bytes')}" if total else "")]
    if total:
        parts.append(f"{done / total:.0%}")
    if elapsed_s > 0 and done:
        rate = done / elapsed_s
        parts.append(f"{number(rate, 'bytes')}/s")
        if total and done < total:
            parts.append(f"{number((total - done) / rate, 's')} left")
    return f"{label}: {', '.join(parts)}"


@dataclass(slots=True)
class _Lines:
    """A line every few seconds, for logs."""

    began: dict[str, float] = field(default_factory=dict)
    last_s: float = field(default_factory=time.monotonic)

    def __call__(self, label: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        elapsed_s = now - self.began.setdefault(label, now)
        if now - self.last_s >= _PLAIN_LINE_EVERY_S:
            self.last_s = now
            click.echo(transfer_line(label, done, total, elapsed_s), err=True)


@dataclass(slots=True)
class _Bars:
    """A bar for each label, on a terminal."""

    progress: Progress
    tasks: dict[str, TaskID] = field(default_factory=dict)

    def __call__(self, label: str, done: int, total: int | None) -> None:
        if label not in self.tasks:
            self.tasks[label] = self.progress.add_task(label, total=total)
        self.progress.update(self.tasks[label], completed=done, total=total)


@contextmanager
def transferring() -> Iterator[Report]:
    """Show on standard error how far the work is: bytes, rate and time left."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        yield _Bars(bars)
