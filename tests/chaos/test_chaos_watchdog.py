"""The watchdog undoes a fault when whoever should do so is dead, or too late."""

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from chaos_site import bystander, python
from held_faults import Care, inject, unwatched
from loopback import until

from chaos import lease, watchdog
from chaos.lease import LEASE_VARIABLE, RUNNER_VARIABLE, give_back, open_leases

HOLDER = """
import sys
from pathlib import Path
from chaos.lease import injecting
fault, log = Path(sys.argv[1]), Path(sys.argv[2])
note = "import sys; open(sys.argv[1], 'a').write('undone ')"
undo = (("python", "-c", note, str(log)), ("rm", "-f", str(fault)))
with injecting("a file", undo, (("test", "!", "-e", str(fault)),)):
    print("injecting", flush=True)
    input()
    log.open("a").write("injected ")
    fault.touch()
print("injected", flush=True)
input()
"""


def say(child: subprocess.Popen[str], line: str) -> None:
    assert child.stdin is not None
    child.stdin.write(line + "\n")
    child.stdin.flush()


def hear(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def test_the_watchdog_undoes_when_the_runner_is_killed(
    fault: Path, child: Care, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = child(bystander())
    monkeypatch.setenv(RUNNER_VARIABLE, str(runner.pid))
    inject(fault)
    runner.kill()  # nobody waits for it: a zombie is dead, too
    until(lambda: not open_leases())
    assert not fault.exists()


def test_the_watchdog_undoes_when_the_time_is_over(
    fault: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LEASE_VARIABLE, "0.3")
    inject(fault)
    assert fault.exists()
    until(lambda: not open_leases())
    assert not fault.exists()


def test_the_watchdog_undoes_when_the_holder_is_killed_though_its_runner_lives(
    fault: Path, tmp_path: Path, child: Care, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RUNNER_VARIABLE, str(os.getpid()))
    holder = child(python(HOLDER, str(fault), str(tmp_path / "log")))
    assert hear(holder) == "injecting"
    say(holder, "go")
    assert hear(holder) == "injected"
    assert fault.exists()
    holder.kill()
    until(lambda: not open_leases())
    assert not fault.exists()


def test_a_holder_killed_between_lease_and_injection_leaves_nothing(
    fault: Path, tmp_path: Path, child: Care
) -> None:
    holder = child(python(HOLDER, str(fault), str(tmp_path / "log")))
    assert hear(holder) == "injecting"
    assert len(open_leases()) == 1
    holder.kill()
    until(lambda: not open_leases())
    assert not fault.exists()


def test_an_undo_never_comes_before_the_injection_that_it_undoes(
    fault: Path, tmp_path: Path, child: Care, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = child(bystander())
    monkeypatch.setenv(RUNNER_VARIABLE, str(runner.pid))
    holder = child(python(HOLDER, str(fault), str(tmp_path / "log")))
    assert hear(holder) == "injecting"
    runner.kill()
    runner.wait()
    (pending,) = open_leases()
    assert pending.over()
    with ThreadPoolExecutor(1) as pool:
        undoing = pool.submit(give_back, pending)  # beside the watchdog
        threading.Event().wait(1.5)  # longer than the watchdog's rhythm
        assert not undoing.done()
        say(holder, "go")
        assert hear(holder) == "injected"
        undoing.result(20)
    until(lambda: not open_leases())
    assert not fault.exists()
    assert (tmp_path / "log").read_text().split() == ["injected", "undone"]


def test_a_watchdog_gives_up_and_leaves_the_lease_when_nothing_helps(
    fault: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lease, "_GONE_WITHIN_S", 0.0)
    monkeypatch.setattr(watchdog, "_TRY_AGAIN_S", 0.01)
    monkeypatch.setattr(watchdog, "_GIVE_UP_AFTER_S", 0.2)
    hopeless = unwatched(inject(fault), gone=(("false",),), expires_unix_s=0.0)
    watchdog.watch(hopeless.path())
    assert hopeless.path().exists()
    assert "is not undone: false still fails" in capsys.readouterr().err


def test_a_watchdog_outlives_the_whole_group_of_its_experiment(fault: Path, tmp_path: Path) -> None:
    leader = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(fault), str(tmp_path / "log")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert hear(leader) == "injecting"
    say(leader, "go")
    assert hear(leader) == "injected"
    os.killpg(leader.pid, signal.SIGKILL)
    leader.communicate()
    until(lambda: not open_leases())
    assert not fault.exists()
