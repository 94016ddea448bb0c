"""The whole loop, once: up, load, backup, drill, faults, report, down."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from backup.backup import run_backup
from backup.drill import run_drill
from backup.keys import ensure_keys
from loadtests.run import Wish, run_load
from storewatch import tools
from storewatch.core.errors import StorewatchError, UnreachableError, UsageError
from storewatch.core.evidence import Evidence, Measurement
from storewatch.core.targets import Target, Verdict
from storewatch.demo_report import Chapter, render
from storewatch.own_processes import address
from storewatch.proving import run_proof
from storewatch.scheduler import forget_jobs
from storewatch.settings import DemoSettings
from storewatch.store.evidence import EvidenceDraft
from storewatch.store.files import write_atomic
from storewatch.store.lock import held
from storewatch.store.prometheus_api import instant
from storewatch.walking import walk_journey
from storewatch.wiring import Parts

# From the first process to the verdict; the packages' download comes before and is not in it.
DURATION_TARGET = Target("<=", 480)
_SETTLED_WITHIN_S = 60.0


class Board(Protocol):
    """Where the demo tells how far it is."""

    def begin(self, title: str) -> None:
        """A chapter begins."""

    def say(self, line: str) -> None:
        """Something happened in it."""

    def end(self, verdict: str) -> None:
        """It ended."""


@dataclass(slots=True)
class _Demo:
    parts: Parts
    settings: DemoSettings
    board: Board
    draft: EvidenceDraft
    started_unix_s: float = field(default_factory=time.time)
    chapters: list[Chapter] = field(default_factory=list)
    shown: str = ""

    def chapter(self, title: str, work: Callable[[], Evidence | None]) -> None:
        """Run one part; what goes wrong in it is its verdict and does not end the demo."""
        self.board.begin(title)
        begun = time.time()
        evidence, error = None, ""
        try:
            evidence = work()
        except StorewatchError as reason:
            error = str(reason)
            self.board.say(error)
        chapter = Chapter(title, begun, time.time(), evidence, error)
        self.chapters.append(chapter)
        self.board.end(chapter.verdict)

    def progress(self, label: str, _done: float, _total: float | None) -> None:
        """Show what long work is at."""
        if label != self.shown:
            self.shown = label
            self.board.say(label)


def run_demo(parts: Parts, board: Board, *, keep: bool) -> Evidence:
    """Run the loop and return its evidence; its folder holds `report.html`.

    Args:
        parts: of a configuration with the section `demo`.
        board: told what happens.
        keep: leave everything running.

    Raises:
        UsageError: the configuration has no section `demo` or no `backup`.
        StorewatchError: the stack did not come up.
    """
    config = parts.config
    if config.settings.demo is None or config.settings.backup is None:
        raise UsageError(f"{config.file.name}: `demo` and `backup` are needed for a demo")
    with held(config.home / "demo.lock", "a demo"):
        return _run(parts, config.settings.demo, board, keep=keep)


def _run(parts: Parts, settings: DemoSettings, board: Board, *, keep: bool) -> Evidence:
    board.begin("tools")
    for name in ("prometheus", "alertmanager"):
        board.say(f"{name}: {tools.find_program(name)}")
    board.end("ready")
    _begin_fresh(parts, settings, board)
    with _stack(parts, board, keep=keep):
        draft = parts.evidence.open("demo", parts.config.settings.name)
        demo = _Demo(parts, settings, board, draft)
        _chapters(demo)
        return _finish(demo)


def _begin_fresh(parts: Parts, settings: DemoSettings, board: Board) -> None:
    """End what an earlier run left, undo its faults, and begin with a new shop."""
    board.begin("fresh start")
    home = parts.config.home
    if parts.stack.supervisor.alive():
        board.say("an earlier run is still up; ending it")
    parts.down(board.say)
    for name in settings.fresh:
        shutil.rmtree(home / name, ignore_errors=True)
    forget_jobs(parts.state_url)
    for unresolved in parts.incidents.list(unresolved_only=True):
        parts.incidents.resolve(unresolved.id, "the demo, which began with a new shop")
    assert parts.config.settings.backup is not None
    ensure_keys(parts.config.settings.backup)
    board.end("ready")


@contextmanager
def _stack(parts: Parts, board: Board, *, keep: bool) -> Iterator[None]:
    """Have the stack up while inside; whatever ends the demo ends the stack, unless it is kept."""
    board.begin("up")
    parts.stack.up(board.say)
    finished = False
    try:
        _await_sight(parts, board)
        board.end("ready")
        yield
        finished = True
    finally:
        if not (keep and finished):
            board.begin("down")
            parts.down(board.say)
            board.end("ready")


def _await_sight(parts: Parts, board: Board) -> None:
    """Wait until Prometheus has seen every journey succeed and nothing is firing."""
    prometheus = address(parts.config.settings.alerting.prometheus.listen)
    wanted = len(parts.config.settings.monitors.journeys)
    deadline = time.monotonic() + _SETTLED_WITHIN_S
    while time.monotonic() < deadline:
        found = instant(prometheus, "sum(storewatch_journey_success)")
        if found == wanted:
            board.say(f"Prometheus sees all {wanted} journeys succeed")
            return
        time.sleep(0.5)
    raise UnreachableError(
        f"Prometheus did not see the {wanted} journeys succeed in {_SETTLED_WITHIN_S:.0f} s;"
        f" see {parts.config.home / 'logs' / 'exporter.log'}"
    )


def _chapters(demo: _Demo) -> None:
    parts, settings, board = demo.parts, demo.settings, demo.board
    config = parts.config.settings
    backup = config.backup
    assert backup is not None

    def on_load(line: dict[str, Any]) -> None:
        if line["elapsed_s"] % 10 < 1:
            board.say(f"{line['visits']} checkouts measured, {line['failed']} failed")

    demo.chapter(
        f"load: {settings.journey}/{settings.profile}",
        lambda: run_load(
            config.loadtests,
            Wish(settings.journey, settings.profile),
            parts.evidence,
            on_load,
            parts.surroundings,
        ),
    )
    demo.chapter("backup", lambda: run_backup(backup, parts.evidence, demo.progress))
    demo.chapter(
        f"drill: {settings.drill_tier}",
        lambda: run_drill(
            backup, settings.drill_tier, parts.evidence, demo.progress, walk=walk_journey
        ),
    )
    for name in settings.proofs:
        demo.chapter(
            f"proof: {name}",
            lambda name=name: run_proof(parts, name, board.say),  # type: ignore[misc]
        )


def _finish(demo: _Demo) -> Evidence:
    """Judge the chapters, draw the report and return the evidence."""
    demo.board.begin("report")
    duration_s = time.time() - demo.started_unix_s
    found = [Measurement("duration_s", round(duration_s, 1), "s", DURATION_TARGET)]
    overrides, notes = [], []
    for chapter in demo.chapters:
        if chapter.evidence is None:
            overrides.append(Verdict.FAIL)
            notes.append(f"{chapter.title}: {chapter.error}")
            continue
        overrides.append(chapter.evidence.verdict)
        found += [
            Measurement(f"{chapter.title.replace(': ', ' ')}: {m.name}", m.value, m.unit, m.target)
            for m in chapter.evidence.measurements
            if m.target is not None
        ]
    timeline = [
        {"title": c.title, "begun_unix_s": c.begun_unix_s, "ended_unix_s": c.ended_unix_s}
        for c in demo.chapters
    ]
    (demo.draft.folder / "chapters.json").write_text(json.dumps(timeline, indent=1) + "\n")
    preview = Evidence(
        id=demo.draft.id,
        kind="demo",
        subject=demo.draft.subject,
        started_at=demo.draft.started_at,
        duration_s=duration_s,
        measurements=tuple(found),
        notes=tuple(notes),
        overrides=tuple(overrides),
    )
    prometheus = address(demo.parts.config.settings.alerting.prometheus.listen)
    html = render(preview, demo.chapters, demo.parts.evidence, prometheus, demo.started_unix_s)
    write_atomic(demo.draft.folder / "report.html", html.encode())
    evidence = demo.draft.finish(found, notes, overrides)
    demo.board.end(evidence.verdict)
    return evidence
