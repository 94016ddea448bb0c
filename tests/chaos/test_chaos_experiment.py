"""Experiments run by the real Chaos Toolkit, in a process of their own."""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import yaml
from chaos_site import TOKEN, SwitchedPart, bystander, python, write_experiment
from chaoslib.experiment import ensure_experiment_is_valid
from chaoslib.loader import load_experiment
from loopback import until

from chaos import experiment, lease
from chaos.lease import open_leases
from chaos.settings import ChaosSettings
from storewatch.core.errors import ChaosError

SHIPPED = sorted((Path(experiment.__file__).parent / "experiments").glob("*.yaml"))
Care = Callable[[subprocess.Popen[str]], subprocess.Popen[str]]


def begin(tmp_path: Path, part: SwitchedPart, longest_s: float = 60) -> experiment.Experiment:
    folder = tmp_path / "experiment"
    folder.mkdir()
    file = write_experiment(tmp_path / "hangs.json", part, longest_s)
    return experiment.start(file, folder, 120, os.environ)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_experiment_is_valid_and_undoes_what_it_does(path: Path) -> None:
    ensure_experiment_is_valid(load_experiment(str(path)))
    found = yaml.safe_load(path.read_text())
    assert [step["provider"]["func"] for step in found["rollbacks"]] == ["undo"]
    hold = found["method"][-1]["provider"]
    assert hold["func"] == "until_released"
    assert hold["arguments"]["longest_s"] < ChaosSettings().lease
    assert found["steady-state-hypothesis"]["probes"]


def test_there_are_shipped_experiments() -> None:
    assert {path.stem for path in SHIPPED} >= {
        "primary-killed",
        "provider-hangs",
        "instance-frozen",
    }


def test_a_fault_is_held_until_it_is_released_and_then_undone(
    tmp_path: Path, part: SwitchedPart
) -> None:
    running = begin(tmp_path, part)
    held = running.injected()
    assert part.mode == "hang"
    assert running.holding()
    assert held.injected_unix_s is not None
    journal = running.release()
    assert journal["status"] == "completed"
    assert part.history == ["hang", "ok"]
    assert open_leases() == []
    assert not running.holding()


def test_the_token_is_in_no_file_of_the_experiment(tmp_path: Path, part: SwitchedPart) -> None:
    running = begin(tmp_path, part)
    (held,) = [running.injected()]
    written = [held.path().read_text()]
    running.release()
    written += [p.read_text() for p in running.folder.iterdir() if p.is_file()]
    assert len(written) >= 4
    assert not any(TOKEN in text for text in written)


def test_a_fault_that_is_held_too_long_is_undone_by_the_experiment(
    tmp_path: Path, part: SwitchedPart
) -> None:
    running = begin(tmp_path, part, longest_s=0.3)
    running.injected()
    until(lambda: not running.holding())
    assert part.mode == "ok"
    assert open_leases() == []


def test_nothing_is_injected_into_a_part_that_is_not_healthy(
    tmp_path: Path, part: SwitchedPart
) -> None:
    part.healthy = False
    running = begin(tmp_path, part)
    with pytest.raises(ChaosError, match=r"the fault was not injected: .*chaos\.log"):
        running.injected()
    assert part.history == []
    assert open_leases() == []


def test_an_injection_that_fails_is_said_at_once_and_undone(
    tmp_path: Path, part: SwitchedPart
) -> None:
    part.refused_modes = {"hang"}
    running = begin(tmp_path, part)
    with pytest.raises(ChaosError, match="the fault was not injected"):
        running.injected()
    running.release()
    assert part.history == ["ok"]
    assert open_leases() == []


def test_the_fault_of_somebody_else_is_neither_taken_for_ours_nor_undone(
    tmp_path: Path, part: SwitchedPart
) -> None:
    me = (os.getpid(), psutil.Process().create_time())
    theirs = lease.Lease("0THEIRS", "theirs", 9e9, (("false",),), (), me, me, 1.0)
    theirs.write()
    part.healthy = False
    running = begin(tmp_path, part)
    with pytest.raises(ChaosError, match="not injected"):
        running.injected()
    running.release()
    assert open_leases() == [theirs]


def test_a_killed_experiment_is_undone_and_said(tmp_path: Path, part: SwitchedPart) -> None:
    running = begin(tmp_path, part)
    held = running.injected()
    os.killpg(held.holder[0], signal.SIGKILL)
    with pytest.raises(ChaosError, match="the experiment did not end in order"):
        running.release()
    assert part.mode == "ok"
    assert open_leases() == []


def test_a_rollback_that_fails_is_followed_by_an_undo_from_here(
    tmp_path: Path, part: SwitchedPart, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = begin(tmp_path, part)
    held = running.injected()
    held.path().unlink()  # so that the watchdog is out of it
    replace(held, id="0COPY", undo=(("false",),), gone=()).write()
    with pytest.raises(ChaosError, match="switched to hang is not undone: false failed"):
        running.release()
    (left,) = open_leases()
    assert left.id == "0COPY"


def test_when_the_runner_is_killed_the_experiment_undoes_its_fault(
    tmp_path: Path, part: SwitchedPart, child: Care
) -> None:
    program = """
import os, sys
from pathlib import Path
from chaos import experiment
folder = Path(sys.argv[2])
folder.mkdir()
running = experiment.start(Path(sys.argv[1]), folder, 120, os.environ)
print(running.injected().holder[0], flush=True)
input()
"""
    file = write_experiment(tmp_path / "hangs.json", part)
    folder = tmp_path / "experiment"
    runner = child(python(program, str(file), str(folder)))
    assert runner.stdout is not None
    toolkit = psutil.Process(int(runner.stdout.readline()))
    assert part.mode == "hang"
    runner.kill()
    runner.wait()
    until(lambda: not toolkit.is_running())
    assert part.mode == "ok"
    assert open_leases() == []
    journal = json.loads((folder / "journal.json").read_text())
    assert [run["status"] for run in journal["rollbacks"]] == ["succeeded"]


def test_a_runner_killed_while_the_fault_goes_in_leaves_no_fault(
    tmp_path: Path, part: SwitchedPart, child: Care
) -> None:
    arriving, go_on = threading.Event(), threading.Event()

    def hold(mode: str) -> None:
        if mode == "hang":
            arriving.set()
            go_on.wait(10)

    part.before_put = hold
    runner = child(bystander())
    folder = tmp_path / "experiment"
    folder.mkdir()
    file = write_experiment(tmp_path / "hangs.json", part)
    running = experiment.start(file, folder, 120, os.environ)
    assert arriving.wait(20)
    (pending,) = open_leases()
    replace(pending, runner=(runner.pid, psutil.Process(runner.pid).create_time())).write()
    runner.kill()
    until(open_leases()[0].over)
    threading.Event().wait(1.0)  # the watchdog has looked, and waits
    assert part.history == []
    go_on.set()
    until(lambda: not open_leases())
    assert part.history[0] == "hang"
    assert part.mode == "ok"
    running.abandon()
