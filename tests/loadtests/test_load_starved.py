"""A generator that does not get the processor it needs must say so, whatever the shop did."""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from load_queues import Queue, serving

from loadtests.run import Wish, run_load
from loadtests.settings import LoadSettings
from storewatch.core.evidence import Evidence
from storewatch.core.targets import Verdict
from storewatch.store.evidence import EvidenceStore

Starve = Callable[[psutil.Process], None]
_BUSY_LOOPS = 20
_SPIN = "import time\nend = time.monotonic() + 8\nwhile time.monotonic() < end: pass"


def run(folder: Path, rate: float, p95: str, starve: Starve) -> Evidence:
    """Run a load on a server that answers within a few milliseconds, and starve its generator."""
    begun = threading.Event()

    def hear(_line: dict[str, Any]) -> None:
        if not begun.is_set():
            begun.set()
            ours = psutil.Process().children()
            starve(next(one for one in ours if "loadtests.generator" in one.cmdline()))

    with serving(Queue(0.001, slots=100_000)) as url:
        settings = LoadSettings.model_validate(
            {
                "base_url": url,
                "journeys": {"ask": "load_walks:ask"},
                "profiles": {"short": {"rate": rate, "warm_up": "1s", "hold": "4s"}},
                "targets": {"p95_s": p95, "error_ratio": "<= 1", "arrivals_missed": ">= 0"},
            }
        )
        return run_load(settings, Wish("ask", "short", gives_up=False), EvidenceStore(folder), hear)


def leave_alone(_generator: psutil.Process) -> None:
    """Do not starve it."""


@pytest.fixture
def busy_loops() -> Iterator[Starve]:
    """Fill the processor of a generator with busy loops; they end by themselves or the test."""
    running: list[subprocess.Popen[bytes]] = []

    def starve(generator: psutil.Process) -> None:
        processor = min(os.sched_getaffinity(0))
        generator.cpu_affinity([processor])
        generator.nice(19)
        for _ in range(_BUSY_LOOPS):  # a session each: Linux may share out by session
            argv = [sys.executable, "-S", "-c", _SPIN]
            running.append(subprocess.Popen(argv, start_new_session=True))
            psutil.Process(running[-1].pid).cpu_affinity([processor])

    yield starve
    for one in running:
        one.kill()
        one.wait()


@pytest.fixture
def quota() -> Iterator[Starve]:
    """Let a generator run for 20 of every 90 ms, as a container's processor quota does."""
    over = threading.Event()
    threads: list[threading.Thread] = []

    def starve(generator: psutil.Process) -> None:
        def throttle() -> None:
            with contextlib.suppress(psutil.NoSuchProcess):
                while not over.is_set():
                    generator.suspend()
                    over.wait(0.07)
                    generator.resume()
                    over.wait(0.02)

        threads.append(threading.Thread(target=throttle))
        threads[-1].start()

    yield starve
    over.set()
    for one in threads:
        one.join()


def test_a_generator_that_has_its_processor_to_itself_passes(tmp_path: Path) -> None:
    evidence = run(tmp_path, 50, "< 0.05", leave_alone)
    assert (evidence.verdict, evidence.notes) == (Verdict.PASS, ())


def test_a_generator_on_a_processor_full_of_busy_loops_is_invalid_and_never_a_pass(
    tmp_path: Path, busy_loops: Starve
) -> None:
    evidence = run(tmp_path, 1500, "< 1000", busy_loops)
    missed = [m for m in evidence.measurements if m.verdict not in {None, Verdict.PASS}]
    assert missed == []
    assert evidence.verdict is Verdict.INVALID
    assert any("starved" in note for note in evidence.notes)


def test_a_generator_with_a_processor_quota_is_invalid_although_it_starts_all_within_the_limit(
    tmp_path: Path, quota: Starve
) -> None:
    evidence = run(tmp_path, 50, "< 0.05", quota)
    assert evidence.value("generator_lateness_p99_s") < 0.1
    assert evidence.value("p95_s") > 0.05  # of a server that answers within two milliseconds
    assert evidence.verdict is Verdict.INVALID
    assert ["the generator was starved" in note for note in evidence.notes] == [True]
