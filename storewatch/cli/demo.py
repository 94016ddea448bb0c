"""`demo`: the whole loop, once, with a live display."""

import time

import click
from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from storewatch.cli.common import (
    config_option,
    json_option,
    parts,
    print_json,
    print_table,
    say,
    target_text,
)
from storewatch.core.figures import number
from storewatch.demo import run_demo

_STYLE = {"PASS": "green", "ready": "green", "FAIL": "red"}


class PlainBoard:
    """One line per event, with the seconds since the beginning."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._title = ""

    def begin(self, title: str) -> None:
        """A chapter begins."""
        self._title = title
        self._print("...")

    def say(self, line: str) -> None:
        """Something happened in it."""
        self._print(line)

    def end(self, verdict: str) -> None:
        """It ended."""
        self._print(verdict)

    def _print(self, text: str) -> None:
        click.echo(f"{time.monotonic() - self._began:6.1f} s  {self._title}: {text}", err=True)


class LiveBoard:
    """Chapters with their verdicts, and what is happening now, redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._began = time.monotonic()
        self._done: list[Text] = []
        self._title = ""
        self._chapter_began = self._began
        self._line = ""
        self._spinner = Spinner("dots")
        self.live = Live(get_renderable=self._render, console=console, refresh_per_second=8)

    def begin(self, title: str) -> None:
        """A chapter begins."""
        self._title, self._line, self._chapter_began = title, "", time.monotonic()

    def say(self, line: str) -> None:
        """Something happened in it."""
        self._line = line

    def end(self, verdict: str) -> None:
        """It ended."""
        took = time.monotonic() - self._chapter_began
        text = Text(f"{verdict:>13}", style=_STYLE.get(verdict, "yellow"))
        text.append(f"  {self._title}  ", style="default")
        text.append(f"{took:.0f} s", style="dim")
        self._done.append(text)
        self._title = ""

    def _render(self) -> Group:
        if not self._title:
            return Group(*self._done)
        now = time.monotonic()
        self._spinner.update(text=f"{self._title}  {now - self._chapter_began:.0f} s  {self._line}")
        total = Text(f"{now - self._began:>11.0f} s  since the beginning", style="dim")
        return Group(*self._done, self._spinner, total)


@click.command()
@click.option("--keep", is_flag=True, help="Leave everything running and print the addresses.")
@json_option
@config_option
def demo(*, keep: bool, as_json: bool) -> None:
    """Start the reference shop, load, back up, restore, break and repair it; leave a report."""
    found = parts()
    console = Console(stderr=True)
    if console.is_terminal:
        board = LiveBoard(console)
        with board.live:
            evidence = run_demo(found, board, keep=keep)
    else:
        evidence = run_demo(found, PlainBoard(), keep=keep)
    folder = found.evidence.folder(evidence)
    if as_json:
        print_json({**evidence.to_json(), "folder": str(folder)})
    else:
        rows = [
            (m.name, number(m.value, m.unit), target_text(m), m.verdict)
            for m in evidence.measurements
            if m.target is not None
        ]
        print_table(("measurement", "measured", "target", "verdict"), rows, "nothing was measured")
        for note in evidence.notes:
            say(note)
        say(f"verdict: {evidence.verdict}")
        say(f"report:  {folder / 'report.html'}")
        if keep and found.config.settings.demo:
            for name, url in found.config.settings.demo.addresses.items():
                say(f"{name}: {url}")
            say("everything is left running; `storewatch down` ends it")
    click.get_current_context().exit(evidence.verdict.exit_code)
