"""Leases on faults: taken first, given back once, and held for as long as was said."""

import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from chaos_site import bystander
from held_faults import Care, inject, unwatched
from loopback import until

from chaos import hold, lease
from chaos.faults import process
from chaos.lease import alive, give_back, injecting, open_leases
from storewatch.core.errors import ChaosError


def test_the_lease_is_on_disk_before_the_fault_and_knows_its_moment_after(fault: Path) -> None:
    before = time.time()
    with injecting("a file", (("rm", "-f", str(fault)),), ()):
        (intended,) = open_leases()
        assert intended.injected_unix_s is None
        fault.touch()
    (held,) = open_leases()
    assert held.injected_unix_s is not None
    assert before <= held.injected_unix_s <= time.time()
    assert held.holder[0] == held.runner[0] == os.getpid()
    assert held.path().stat().st_mode & 0o777 == 0o600


def test_an_injection_that_fails_leaves_a_lease_that_can_be_undone(fault: Path) -> None:
    def fail() -> None:
        with injecting("a file", (("rm", "-f", str(fault)),), (("test", "!", "-e", str(fault)),)):
            fault.touch()
            raise ChaosError("half-way")

    with pytest.raises(ChaosError, match="half-way"):
        fail()
    (left,) = open_leases()
    assert left.injected_unix_s is None
    assert give_back(left)
    assert not fault.exists()
    assert open_leases() == []


def test_without_a_state_folder_nothing_is_injected(
    fault: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STOREWATCH_HOME")
    with pytest.raises(ChaosError, match="STOREWATCH_HOME is not set"):
        inject(fault)
    assert not fault.exists()


def test_a_lease_that_is_over_before_the_injection_injects_nothing(
    fault: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = lease._take

    def taken_and_given_back(*words: object) -> lease.Lease:
        found = take(*words)  # type: ignore[arg-type]
        give_back(found)
        return found

    monkeypatch.setattr(lease, "_take", taken_and_given_back)
    with pytest.raises(ChaosError, match="not injected: a file: the lease was over"):
        inject(fault)
    assert not fault.exists()
    assert open_leases() == []


def test_many_undo_at_once_and_it_is_done_once(fault: Path, tmp_path: Path) -> None:
    held = inject(fault, tmp_path / "count")
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _n: give_back(held), range(8)))
    assert sorted(results) == [False] * 7 + [True]
    assert (tmp_path / "count").read_text() == "x"
    assert not give_back(held)
    assert not list(lease.folder().glob("*.lock"))


def test_a_fault_that_stays_keeps_its_lease(fault: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "_GONE_WITHIN_S", 0.0)
    with injecting("a file", (("true",),), (("test", "!", "-e", str(fault)),)):
        fault.touch()
    (held,) = open_leases()
    with pytest.raises(ChaosError, match=r"a file is not undone: test ! -e .* still fails"):
        give_back(held)
    assert open_leases() == [held]


def test_an_undo_that_fails_and_cannot_be_checked_keeps_its_lease() -> None:
    with injecting("something", (("false",),), ()):
        pass
    (held,) = open_leases()
    with pytest.raises(ChaosError, match="something is not undone: false failed"):
        give_back(held)
    assert open_leases() == [held]


def test_a_command_that_does_not_exist_is_a_failed_one() -> None:
    with injecting("something", (("no-such-program-here",),), ()):
        pass
    with pytest.raises(ChaosError, match="no-such-program-here failed"):
        give_back(open_leases()[0])


def test_a_sweep_undoes_what_dead_runs_left_and_leaves_the_living_alone(
    fault: Path, tmp_path: Path, child: Care
) -> None:
    living = inject(fault)
    gone = child(bystander())
    dead = replace(
        living,
        id="0DEAD",
        fault="an old file",
        holder=(gone.pid, psutil.Process(gone.pid).create_time()),
        undo=(("true",),),
        gone=(),
    )
    gone.kill()
    gone.wait()
    dead.write()
    assert lease.sweep() == ["an old file"]
    assert open_leases() == [living]
    assert fault.exists()


def test_a_file_that_is_no_lease_is_one_line(fault: Path) -> None:
    held = inject(fault)
    broken = held.path().with_name("broken.json")
    broken.write_text(json.dumps({"fault": "x"}))
    with pytest.raises(ChaosError, match=r"broken\.json: no lease .*; undo the fault by hand"):
        open_leases()


def test_a_pid_that_is_used_again_is_another_process(child: Care) -> None:
    one = psutil.Process(child(bystander()).pid)
    assert alive(one.pid, one.create_time())
    assert not alive(one.pid, one.create_time() - 60)
    one.suspend()
    until(lambda: one.status() == psutil.STATUS_STOPPED)
    assert process.main("continue", one.pid, one.create_time() - 60) == 0
    assert one.status() == psutil.STATUS_STOPPED
    assert process.main("runs", one.pid, one.create_time()) == 1
    assert process.main("continue", one.pid, one.create_time()) == 0
    until(lambda: one.status() != psutil.STATUS_STOPPED)
    assert process.main("runs", one.pid, one.create_time()) == 0


def test_an_experiment_undoes_its_own_faults_only(fault: Path) -> None:
    ours = inject(fault)
    theirs = replace(ours, id="0THEIRS", holder=(1, psutil.Process(1).create_time()))
    theirs.write()
    assert hold.undo() == ["a file"]
    assert open_leases() == [theirs]
    assert hold.undo() == []


def test_a_hold_ends_when_it_is_released(
    fault: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(hold.RELEASE_VARIABLE, str(tmp_path / "release"))
    inject(fault)
    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(hold.until_released, 20)
        threading.Event().wait(0.3)
        assert not holding.done()
        (tmp_path / "release").touch()
        assert holding.result(5) == "released"


def test_a_hold_ends_with_its_runner(
    fault: Path, child: Care, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = child(bystander())
    identity = (runner.pid, psutil.Process(runner.pid).create_time())
    unwatched(inject(fault), runner=identity)
    runner.kill()
    assert hold.until_released(20) == "the runner is gone"


def test_a_hold_without_a_fault_is_over_at_once(fault: Path) -> None:
    assert hold.until_released(20) == "no fault is held"
    held = inject(fault)
    replace(held, injected_unix_s=None).write()
    assert hold.until_released(20) == "no fault is held"


def test_a_hold_minds_its_own_fault_only(fault: Path) -> None:
    ours = inject(fault)
    replace(ours, id="0THEIRS", holder=(1, 0.0), runner=(1, 0.0)).write()
    assert hold.until_released(0.3) == "held as long as allowed"
